/** Frames that hold instructions a hart has already decoded: when their contents change, it executes the new ones. */

import { expect, test } from 'vitest';
import { EXEC, PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { FAULT_OK, MADV_FREE, type VmSpace } from '../../../hostkernel/vm/index.ts';
import { Guest, V, W } from './guest.ts';
import { Rig, RWX } from './rig.ts';

const ECALL = 0x73;
const TRAP_ILLEGAL = 2;
const TRAP_ECALL = 8;
const TRAP_BUDGET = 32;
const ACCESS_OF: ReadonlyMap<number, number> = new Map([
  [12, EXEC],
  [13, READ],
  [15, WRITE],
]);

/** Runs from `pc` until something other than a page fault happens. */
function run(rig: Rig, space: VmSpace, pc: number): number {
  const { hart } = rig.machine;
  hart.activate(space.context, 64);
  hart.setPc(pc);
  for (;;) {
    const cause = hart.run(1000);
    const access = ACCESS_OF.get(cause);
    if (access === undefined) return cause;
    expect(space.fault(hart.tval, access)).toBe(FAULT_OK);
  }
}

test('a freed frame does not execute what it held', () => {
  const rig = new Rig();
  const at = rig.space.mmap({ addr: 0, len: PAGE_SIZE, prot: RWX, flags: 0x1002, object: null, offset: 0 });
  const program = (value: number) => new Uint8Array(new Uint32Array([(value << 20) | (5 << 7) | 0x13, ECALL]).buffer); // li x5, value
  for (const value of [1, 2, 3]) {
    rig.space.copyOut(at, program(value));
    expect(run(rig, rig.space, at)).toBe(TRAP_ECALL);
    expect(rig.machine.hart.x[10]).toBe(value);
    rig.space.madvise(at, PAGE_SIZE, MADV_FREE);
    expect(run(rig, rig.space, at)).toBe(TRAP_ILLEGAL); // zeros, in the same frame
  }
});

test('an entry that is marked while its table page is executed as code executes as marked', () => {
  const g = new Guest(new Rig({ vpte: 'vpte-32-nx' }));
  g.leaf(0, 9 * PAGE_SIZE + V + W); // as an instruction 0x9003: lh x0, 0(x1). Marked, 0x9063: bne x1, x0, to itself
  g.leaf(2, g.leafTable * PAGE_SIZE + V); // the table itself, to be executed
  g.leaf(3, 10 * PAGE_SIZE + V); // what x1 points to
  g.rig.machine.hart.x[2] = 3 * PAGE_SIZE;
  g.leaf(1, ECALL); // nobody walks to this one
  expect(run(g.rig, g.space, 2 * PAGE_SIZE)).toBe(TRAP_ECALL);
  expect(g.peek(g.leafTable, 0)).toBe(0x9003);
  expect(g.fault(0, WRITE)).toBe(FAULT_OK);
  expect(g.peek(g.leafTable, 0)).toBe(0x9063);
  expect(run(g.rig, g.space, 2 * PAGE_SIZE)).toBe(TRAP_BUDGET);
});

test('an image written as a file is executed as written', () => {
  const g = new Guest(new Rig({ vpte: 'vpte-64-nx' }));
  g.leaf(0, 9 * PAGE_SIZE + V);
  for (const value of [4, 5]) {
    g.image.write(9 * PAGE_SIZE, new Uint8Array(new Uint32Array([(value << 20) | (5 << 7) | 0x13, ECALL]).buffer));
    expect(run(g.rig, g.space, 0)).toBe(TRAP_ECALL);
    expect(g.rig.machine.hart.x[10]).toBe(value);
  }
});
