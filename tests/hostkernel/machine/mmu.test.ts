/** Translation as the hart and TypeScript processes see it: accessed and dirty bits, invalidation, blocks, collisions. */

import { describe, expect, test } from 'vitest';
import { EXEC, READ, WRITE } from '../../../hostkernel/base/units.ts';
import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  Machine,
  Ram,
  TRAP_ECALL,
  TRAP_LOAD_PAGE,
  TRAP_STORE_PAGE,
  MmuContext,
} from '../../../hostkernel/machine/index.ts';
import { RW, RX, Rig, code } from './rig.ts';
import * as asm from './riscv/assembler.ts';

const CODE = 0x10000;
const DATA = 0x40000;

describe('memory', () => {
  test('the hart comes first, then all frames asked for', () => {
    const ram = Ram.create(100_000);
    expect(ram?.frames).toBe(32); // rounded up to 64 KiB
    ram?.assertInvariants();
  });

  test.each([0, -1, Number.NaN, 2 ** 32, Infinity])('%d bytes cannot be had', (bytes) => {
    expect(Ram.create(bytes)).toBeNull();
    expect(Machine.create({ ramBytes: bytes })).toBeNull();
  });

  test('a frame beyond 2 GiB is a frame like any other', () => {
    const rig = new Rig({ ramBytes: 2 ** 31 + 2 ** 24 });
    const { ram, hart } = rig.machine;
    const frame = (ram.frames - 1) as Parameters<typeof ram.offsetOf>[0];
    rig.map(DATA, frame, RW);
    rig.put(
      rig.mapNew(CODE, 1, RX),
      0,
      code([asm.sd(7, 0, 8), asm.ld(5, 0, 8), asm.sb(7, 9, 8), asm.lb(6, 9, 8), asm.ld(9, 3, 8), asm.ECALL]),
    );
    rig.setX(7, 0x1234_5678_9abcn);
    rig.setX(8, DATA);
    hart.setPc(CODE);
    expect(hart.run(10)).toBe(TRAP_ECALL);
    expect([rig.x(5), rig.x(6)]).toEqual([0x1234_5678_9abcn, BigInt.asUintN(64, -0x44n)]);
    expect(rig.context.lookup(DATA, READ)).toBe(ram.base + frame * 4096);
  });
});

/** A rig with one page at DATA whose attributes are given, and code that accesses it. */
function rigWith(attributes: number, words: readonly number[] = [asm.lw(5, 0, 8), asm.sw(6, 0, 8), asm.ECALL]) {
  const rig = new Rig();
  rig.put(rig.mapNew(CODE, 1, RX), 0, code(words));
  rig.map(DATA, rig.frame(), RW, rig.context, attributes);
  rig.setX(8, DATA);
  rig.machine.hart.setPc(CODE);
  const at = rig.entryAt(DATA);
  return { rig, bits: () => rig.format.attributes(0, rig.machine.ram.i32[at], rig.machine.ram.i32[at + 1]) & (ATTR_ACCESSED | ATTR_DIRTY) };
}

describe('accessed and dirty bits are exact', () => {
  test('a load sets accessed, the first store dirty', () => {
    const { rig, bits } = rigWith(0);
    expect(bits()).toBe(0);
    rig.machine.hart.run(1);
    expect(bits()).toBe(ATTR_ACCESSED);
    rig.machine.hart.run(1);
    expect(bits()).toBe(ATTR_ACCESSED | ATTR_DIRTY);
  });

  test('lookup does the same', () => {
    const { rig, bits } = rigWith(0);
    rig.context.lookup(DATA + 5, READ);
    expect(bits()).toBe(ATTR_ACCESSED);
    rig.context.lookup(DATA + 9, READ);
    expect(bits()).toBe(ATTR_ACCESSED);
    rig.context.lookup(DATA + 5, WRITE);
    expect(bits()).toBe(ATTR_ACCESSED | ATTR_DIRTY);
  });

  test('a refused access sets neither', () => {
    const rig = new Rig();
    rig.map(DATA, rig.frame(), READ, rig.context, 0);
    expect(rig.context.lookup(DATA, WRITE)).toBe(-1);
    expect(rig.context.lookup(DATA, EXEC)).toBe(-1);
    const at = rig.entryAt(DATA);
    expect(rig.format.attributes(0, rig.machine.ram.i32[at], 0) & (ATTR_ACCESSED | ATTR_DIRTY)).toBe(0);
  });

  test('after they are cleared and the page is invalidated they are set again', () => {
    const { rig, bits } = rigWith(0);
    rig.context.lookup(DATA, WRITE);
    rig.machine.ram.i32[rig.entryAt(DATA)] &= ~(rig.format.accessedLo | rig.format.dirtyLo);
    rig.context.invalidatePage(DATA);
    rig.context.lookup(DATA, READ);
    expect(bits()).toBe(ATTR_ACCESSED);
  });
});

describe('one walk serves every kind of access that it found permitted', () => {
  test('read, then write, to a page already dirty', () => {
    const { rig } = rigWith(ATTR_ACCESSED | ATTR_DIRTY);
    const before = rig.machine.mmu.walks;
    rig.context.lookup(DATA, READ);
    rig.context.lookup(DATA, WRITE);
    rig.context.lookup(DATA + 4095, READ);
    expect(rig.machine.mmu.walks - before).toBe(1);
  });

  test('a store to a clean page walks once more', () => {
    const { rig } = rigWith(ATTR_ACCESSED);
    const before = rig.machine.mmu.walks;
    rig.context.lookup(DATA, READ);
    rig.context.lookup(DATA, WRITE);
    rig.context.lookup(DATA, WRITE);
    expect(rig.machine.mmu.walks - before).toBe(2);
  });
});

describe('invalidation', () => {
  test.each(['page', 'all'] as const)('of %s takes rights away from the hart', (what) => {
    const { rig } = rigWith(ATTR_ACCESSED | ATTR_DIRTY);
    const { hart, ram } = rig.machine;
    expect(hart.run(10)).toBe(TRAP_ECALL);
    ram.i32[rig.entryAt(DATA)] = 0;
    if (what === 'page') rig.context.invalidatePage(DATA + 123);
    else rig.context.invalidateAll();
    hart.setPc(CODE);
    expect(hart.run(10)).toBe(TRAP_LOAD_PAGE);
    hart.setPc(CODE + 4);
    expect(hart.run(10)).toBe(TRAP_STORE_PAGE);
  });

  test('of one page leaves pages that collide with it', () => {
    const rig = new Rig({ ramBytes: 16 << 20 });
    const pages = [DATA, DATA + 2 ** 22, DATA + 2 ** 24, DATA + 2 ** 32];
    for (const va of pages) rig.mapNew(va, 1, RW);
    for (const va of pages) rig.context.lookup(va, READ);
    rig.context.invalidatePage(pages[1]);
    const before = rig.machine.mmu.walks;
    for (const va of pages) rig.context.lookup(va, READ);
    expect(rig.machine.mmu.walks - before).toBe(1);
  });

  test('addresses that are none are ignored', () => {
    const rig = new Rig();
    for (const va of [-1, Number.NaN, Infinity, 2 ** 53, 1e300]) rig.context.invalidatePage(va);
    rig.machine.mmu.assertInvariants();
  });
});

test.each([-1, -4096, Number.NaN, Infinity, -Infinity, 2 ** 38, 2 ** 40, 2 ** 53, 2 ** 64, 1e300])('lookup refuses %d', (va) => {
  const rig = new Rig();
  rig.mapNew(0, 1, RW);
  for (const access of [READ, WRITE, EXEC]) expect(rig.context.lookup(va, access)).toBe(-1);
});

test('three arrays 16 MiB apart do not throw each other out', () => {
  const rig = new Rig({ ramBytes: 16 << 20 });
  for (let i = 0; i < 3; i++) rig.mapNew(0x1000_0000 + i * 2 ** 24, 64, RW);
  const loop = [asm.ld(5, 0, 10), asm.ld(6, 0, 11), asm.add(5, 5, 6), asm.sd(5, 0, 12)];
  const step = [10, 11, 12].map((register) => asm.addi(register, register, 8));
  rig.put(rig.mapNew(CODE, 1, RX), 0, code([...loop, ...step, asm.bne(10, 13, -28), asm.ECALL]));
  for (let i = 0; i < 3; i++) rig.setX(10 + i, 0x1000_0000 + i * 2 ** 24);
  rig.setX(13, 0x1000_0000 + 64 * 4096);
  rig.machine.hart.setPc(CODE);
  expect(rig.machine.hart.run(1e6)).toBe(TRAP_ECALL);
  expect(rig.machine.mmu.walks).toBeLessThan(200 + 64); // one a page, not one an access (98304)
});

describe('TLB blocks', () => {
  test('a switch of address spaces flushes nothing', () => {
    const rig = new Rig();
    const spaces = Array.from({ length: 8 }, () => rig.space());
    for (const space of spaces) rig.map(DATA, rig.frame(), RW, space);
    const visit = (): number[] => spaces.map((space) => space.lookup(DATA, READ));
    const first = visit();
    const before = rig.machine.mmu.walks;
    expect(visit()).toEqual(first);
    expect(rig.machine.mmu.walks).toBe(before);
  });

  test('with more spaces than blocks the one unused for longest loses its block, and comes back', () => {
    const rig = new Rig();
    const spaces = Array.from({ length: 40 }, () => rig.space());
    const frames = spaces.map((space) => {
      const frame = rig.frame();
      rig.map(DATA, frame, RW, space);
      return rig.machine.ram.offsetOf(frame);
    });
    for (let round = 0; round < 3; round++) {
      for (const [i, space] of spaces.entries()) {
        expect(space.lookup(DATA, WRITE)).toBe(frames[i]);
        expect(spaces[0].lookup(DATA, WRITE)).toBe(frames[0]); // used all the time
      }
      rig.machine.mmu.assertInvariants();
    }
    const before = rig.machine.mmu.walks;
    spaces[0].lookup(DATA, READ);
    expect(rig.machine.mmu.walks).toBe(before);
  });

  test('the hart goes on after its block was taken', () => {
    const { rig } = rigWith(ATTR_ACCESSED | ATTR_DIRTY);
    const { hart } = rig.machine;
    hart.run(1);
    for (let i = 0; i < 40; i++) {
      const space = rig.space();
      rig.map(DATA, rig.frame(), RW, space);
      space.lookup(DATA, READ);
    }
    expect(hart.run(10)).toBe(TRAP_ECALL);
    rig.machine.mmu.assertInvariants();
  });

  test('a released block is given out again, empty', () => {
    const rig = new Rig();
    const old = rig.space();
    rig.map(DATA, rig.frame(), RW, old);
    old.lookup(DATA, READ);
    old.release();
    old.release();
    const fresh = new MmuContext(rig.machine.mmu, rig.format, rig.frame());
    expect(fresh.lookup(DATA, READ)).toBe(-1);
    rig.machine.mmu.assertInvariants();
  });
});

test('a space keeps no translations of 64-bit addresses when it becomes one of 32 bits', () => {
  const rig = new Rig();
  const { hart } = rig.machine;
  rig.mapNew(2 ** 32 + DATA, 1, RW);
  expect(rig.context.lookup(2 ** 32 + DATA, READ)).toBeGreaterThan(0);
  rig.put(rig.mapNew(CODE, 1, RX), 0, code([asm.lw(5, 0, 8), asm.ECALL]));
  hart.activate(rig.context, 32);
  hart.setPc(CODE);
  rig.setX(8, DATA);
  expect(hart.run(10)).toBe(TRAP_LOAD_PAGE);
  expect(rig.context.lookup(2 ** 32 + DATA, READ)).toBe(-1);
});

test('a page of a large leaf is found at its place', () => {
  const rig = new Rig({ ramBytes: 16 << 20 });
  const { ram } = rig.machine;
  rig.entryAt(0x4000_0000 + 2 ** 21); // makes the tables
  const root = (ram.offsetOf(rig.context.root) + 8 * rig.format.index(2, 0x40000)) / 4;
  const table = rig.format.tableAddress(2, ram.i32[root], ram.i32[root + 1]) / 4096;
  const at = (ram.base + table * 4096) / 4;
  const attributes = RW | 8 | ATTR_ACCESSED | ATTR_DIRTY;
  ram.i32[at] = rig.format.leafLo(1, 512, attributes);
  ram.i32[at + 1] = rig.format.leafHi(1, 512, attributes);
  expect(rig.context.lookup(0x4000_0000 + 5 * 4096 + 7, READ)).toBe(ram.base + (512 + 5) * 4096 + 7);
  expect(rig.context.lookup(0x4000_0000 + 6 * 4096, WRITE)).toBe(ram.base + (512 + 6) * 4096);
});
