/** The announcement's test program of 2006, and its modern forms: every row of its tables of results. */

import { describe, expect, test } from 'vitest';
import { FAULT_INVALID, FAULT_PROTECTION } from '../../../hostkernel/vm/index.ts';
import { MIB, Rig } from './rig.ts';

const SEGV = -FAULT_INVALID;
const BUS = -FAULT_PROTECTION;
const PS = 2;
const INVALID = 1;

/** 32 MiB, no SETMAP: the root is frame 0. Frames: 0 directory, 1 table, 1024 data. */
function seeded() {
  const rig = new Rig({ vpte: 'vpte-2006', frames: 256 });
  const ptr = rig.mapVpagetable(32 * MIB);
  expect(rig.store32(ptr, PS)).toBe(0); // dir[0]; works because zero is valid and names frame 0 all the way down
  expect(rig.store32(ptr + 4, 0x1000)).toBe(0); // dir[1] = frame 1
  expect(rig.store32(ptr + 4096, 0x400000)).toBe(0); // table[0]
  expect(rig.store32(ptr + 4096 + 4, 0x400000)).toBe(0); // table[1]
  expect(rig.store32(ptr + 4 * MIB, 23)).toBe(0);
  return { rig, ptr };
}

describe('format of 2006', () => {
  test('an untouched mapping shows frame 0 wherever the table says zero', () => {
    const rig = new Rig({ vpte: 'vpte-2006' });
    const ptr = rig.mapVpagetable(32 * MIB);
    for (const page of [0, 1, 1023, 1024, 8191]) expect(rig.load32(ptr + page * 4096)).toBe(0);
    expect(rig.store32(ptr + 4096 * 77, 40)).toBe(0);
    expect(rig.load32(ptr)).toBe(40);
    expect(rig.vm.counters.zeroFills).toBe(1);
  });

  test('every row of the table', () => {
    const { rig, ptr } = seeded();
    expect(rig.load32(ptr + 4 * MIB)).toBe(23);
    expect(rig.load32(ptr + 4 * MIB + 4096)).toBe(23);
    expect(rig.load32(ptr + 4 * MIB + 8192)).toBe(2);
    for (let k = 3; k < 1024; k++) expect(rig.load32(ptr + 4 * MIB + 4096 * k)).toBe(2);
    expect(rig.load32(ptr)).toBe(2);
    expect(rig.load32(ptr + 4096)).toBe(0x400000);
    expect(rig.load32(ptr + 4 * MIB - 4096)).toBe(0);
    expect(rig.load32(ptr + 8 * MIB)).toBe(2);
    expect(rig.load32(ptr + 8 * MIB + 4096)).toBe(0x400000);
    expect(rig.load32(ptr + 8 * MIB + 8192)).toBe(2);
    expect(rig.store32(ptr + 4 * MIB + 4096, 24)).toBe(0);
    expect(rig.load32(ptr + 4 * MIB)).toBe(24);
    rig.vm.assertInvariants();
  });

  test('frames 0, 1 and 1024 are all that is allocated, and those read', () => {
    const { rig, ptr } = seeded();
    rig.load32(ptr + 4 * MIB + 4096);
    rig.load32(ptr + 4 * MIB + 8192);
    expect(rig.vm.counters.zeroFills).toBe(3);
    rig.load32(ptr + 4 * MIB - 4096); // frame 1023
    expect(rig.vm.counters.zeroFills).toBe(4);
  });

  test('an invalid entry stored before the reads faults, and its neighbours do not', () => {
    const { rig, ptr } = seeded();
    rig.store32(ptr + 4096 + 8, INVALID);
    expect(rig.load32(ptr + 4 * MIB + 8192)).toBe(SEGV);
    expect(rig.load32(ptr + 4 * MIB)).toBe(23);
    expect(rig.load32(ptr + 4 * MIB + 12288)).toBe(2);
    rig.store32(ptr + 4096 + 8, 0);
    expect(rig.load32(ptr + 4 * MIB + 8192)).toBe(2); // nothing was cached for the failure
  });

  test('an invalid entry stored after a read is seen after the invalidation', () => {
    const { rig, ptr } = seeded();
    expect(rig.load32(ptr + 4 * MIB + 8192)).toBe(2);
    rig.store32(ptr + 4096 + 8, INVALID);
    expect(rig.load32(ptr + 4 * MIB + 8192)).toBe(2);
    rig.inval(ptr + 4 * MIB + 8192, 4096);
    expect(rig.load32(ptr + 4 * MIB + 8192)).toBe(SEGV);
    expect(rig.space.lastRefusal).toEqual({ reason: 'not-valid', level: 0 });
  });

  test('a frame beyond the mapping is a zero page of anonymous memory, and SIGBUS beyond an object', () => {
    const { rig, ptr } = seeded();
    rig.store32(ptr + 4096 + 8, 8192 * 4096);
    expect(rig.load32(ptr + 4 * MIB + 8192)).toBe(0);

    const other = new Rig({ vpte: 'vpte-2006' });
    const at = other.mapVpagetable(32 * MIB, other.vm.createObject(8192));
    other.store32(at, PS);
    other.store32(at + 4, 0x1000);
    other.store32(at + 4096 + 8, 8192 * 4096);
    expect(other.load32(at + 4 * MIB + 8192)).toBe(BUS);
    other.store32(at + 4096 + 8, 8191 * 4096);
    expect(other.load32(at + 4 * MIB + 8192)).toBe(0);
  });
});

describe('modern 32-bit form', () => {
  const V = 1;
  const RW = 2;
  const LINEAR = 0x80;

  function modern(options: { readonly xlen: 32 | 64; readonly mmu: string }) {
    const rig = new Rig({ vpte: 'vpte-32-nx', ...options });
    const ptr = rig.mapVpagetable(32 * MIB);
    expect(rig.load32(ptr)).toBe(SEGV);
    expect(rig.load32(ptr + 4 * MIB)).toBe(SEGV);
    expect(rig.setMap(ptr, 32 * MIB, V | RW | LINEAR)).toBe(0);
    rig.store32(ptr, 0x83);
    rig.store32(ptr + 4, 0x1003);
    rig.store32(ptr + 4096, 0x400003);
    rig.store32(ptr + 4096 + 4, 0x400003);
    expect(rig.setMap(ptr, 32 * MIB, V | RW)).toBe(0);
    return { rig, ptr };
  }

  test.each([
    ['sv32', 32],
    ['sv39', 64],
  ] as const)('every row of the table, on %s', (mmu, xlen) => {
    const { rig, ptr } = modern({ xlen, mmu });
    expect(rig.store32(ptr + 4 * MIB, 23)).toBe(0);
    expect(rig.load32(ptr + 4)).toBe(0x1063);
    expect(rig.load32(ptr + 4096)).toBe(0x400063);

    expect(rig.load32(ptr + 4 * MIB)).toBe(23);
    expect(rig.load32(ptr + 4 * MIB + 4096)).toBe(23);
    expect(rig.load32(ptr + 4096 + 4)).toBe(0x400023);

    expect(rig.load32(ptr + 4 * MIB + 8192)).toBe(SEGV);
    expect(rig.load32(ptr + 8 * MIB)).toBe(SEGV);

    expect(rig.store32(ptr + 4096 + 8, 0x003)).toBe(0); // through the linear window, so dir[0] gets M
    expect(rig.load8(ptr + 4 * MIB + 8192)).toBe(0xe3);
    expect(rig.load32(ptr + 4096 + 8)).toBe(0x023);

    expect(rig.store32(ptr + 4 * MIB + 4096, 24)).toBe(0);
    expect(rig.load32(ptr + 4 * MIB)).toBe(24);
    expect(rig.load32(ptr + 4096 + 4)).toBe(0x400063);

    expect(rig.store32(ptr + 4096 + 8, 0)).toBe(0);
    expect(rig.load8(ptr + 4 * MIB + 8192)).toBe(0xe3);
    rig.inval(ptr + 4 * MIB + 8192, 4096);
    expect(rig.load8(ptr + 4 * MIB + 8192)).toBe(SEGV);
    rig.vm.assertInvariants();
  });
});

describe('modern 64-bit form', () => {
  const SPAN = 2 * MIB;

  test('every row of the table', () => {
    const rig = new Rig({ vpte: 'vpte-64-nx' });
    const ptr = rig.mapVpagetable(32 * MIB);
    expect(rig.load32(ptr)).toBe(SEGV);
    rig.setMap(ptr, 32 * MIB, 0x83);
    const word = (frame: number, slot: number) => ptr + frame * 4096 + slot * 8;
    rig.store32(word(0, 0), 0x1003);
    rig.store32(word(1, 0), 0x2003);
    rig.store32(word(2, 0), 0x83); // 2 MiB linear window
    rig.store32(word(2, 1), 0x3003);
    rig.store32(word(3, 0), 512 * 4096 + 3);
    rig.store32(word(3, 1), 512 * 4096 + 3);
    rig.setMap(ptr, 32 * MIB, 3);

    expect(rig.store32(ptr + SPAN, 23)).toBe(0);
    for (const [frame, slot, value] of [
      [0, 0, 0x1063],
      [1, 0, 0x2063],
      [2, 1, 0x3063],
      [3, 0, 512 * 4096 + 0x63],
    ]) {
      expect(rig.load32(word(frame, slot))).toBe(value);
    }
    expect(rig.load32(ptr + SPAN)).toBe(23);
    expect(rig.load32(ptr + SPAN + 4096)).toBe(23);
    expect(rig.load32(word(3, 1))).toBe(512 * 4096 + 0x23);
    expect(rig.load32(ptr + SPAN + 8192)).toBe(SEGV);
    expect(rig.load32(ptr + 2 * SPAN)).toBe(SEGV);

    expect(rig.store32(word(3, 2), 0x2003)).toBe(0); // alias of the level-3 page, stored through the linear window
    expect(rig.load8(ptr + SPAN + 8192)).toBe(0xe3);
    expect(rig.load32(word(3, 2))).toBe(0x2023);
    expect(rig.store32(ptr + SPAN + 4096, 24)).toBe(0);
    expect(rig.load32(ptr + SPAN)).toBe(24);
    expect(rig.load32(word(3, 1))).toBe(512 * 4096 + 0x63);
    expect(rig.store32(word(3, 2), 0)).toBe(0);
    expect(rig.load8(ptr + SPAN + 8192)).toBe(0xe3);
    rig.inval(ptr + SPAN + 8192, 4096);
    expect(rig.load8(ptr + SPAN + 8192)).toBe(SEGV);
    rig.vm.assertInvariants();
  });
});
