/** Mistakes the model of this VM made in its history. Each must stay away. */

import { expect, test } from 'vitest';
import { PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { FAULT_INVALID, FAULT_OK } from '../../../hostkernel/vm/index.ts';
import { A, Guest, M, V, W } from './guest.ts';
import { Rig } from './rig.ts';

const guest = () => new Guest(new Rig({ vpte: 'vpte-32-nx' }));

test('a write after a read marks the page modified', () => {
  const g = guest();
  g.leaf(0, 9 * PAGE_SIZE + V + W);
  g.load(0);
  expect(g.peek(g.leafTable, 0) & (A | M)).toBe(A);
  g.store(0, 1);
  expect(g.peek(g.leafTable, 0) & (A | M)).toBe(A | M);
});

test('a frame is not freed while the real PTEs of other spaces map it', () => {
  const g = guest();
  const other = g.rig.newSpace();
  g.map(other);
  g.setRoot(V + W, other);
  for (const page of [0, 1, 2]) g.leaf(page, 9 * PAGE_SIZE + V + W);
  for (const page of [0, 1, 2]) {
    g.store(page, 5);
    g.rig.store32(page * PAGE_SIZE, 5, other);
  }
  const frame = g.image.lookup(9 as never);
  g.image.resize(9); // page 9 is gone: so must be its six real PTEs
  expect(g.rig.vm.pmaps.isMapped(frame)).toBe(false);
  for (const page of [0, 1, 2]) {
    expect(g.permits(page, READ)).toBe(false);
    expect(other.context.lookup(page * PAGE_SIZE, READ)).toBe(-1);
  }
  g.rig.vm.assertInvariants();
});

test('marks go into the entry as it is in memory, also where data and table are one page', () => {
  const g = guest();
  // The leaf table maps itself: the store goes to the page whose entry is being marked.
  g.leaf(0, g.leafTable * PAGE_SIZE + V + W);
  g.store(0, 9 * PAGE_SIZE + V + W); // replaces the entry it went through
  expect(g.peek(g.leafTable, 0)).toBe(9 * PAGE_SIZE + V + W);
  g.inval(0);
  g.load(0);
  expect(g.peek(g.leafTable, 0)).toBe(9 * PAGE_SIZE + V + W + A);
});

test('after an invalidation no translation read before it is used', () => {
  const g = guest();
  g.leaf(0, 9 * PAGE_SIZE + V + W);
  g.store(0, 1);
  g.leaf(0, 10 * PAGE_SIZE + V + W);
  g.inval(0);
  expect(g.load(0)).toBe(0);
  g.leaf(0, 0);
  g.inval(0);
  expect(g.fault(0, READ)).toBe(FAULT_INVALID);
  expect(g.permits(0, READ)).toBe(false);
});

test('modified cleared with an invalidation: the next write is seen again', () => {
  const g = guest();
  g.leaf(0, 9 * PAGE_SIZE + V + W);
  g.store(0, 1);
  g.leaf(0, 9 * PAGE_SIZE + V + W + A); // cleaned
  g.inval(0);
  g.load(0);
  expect(g.permits(0, WRITE)).toBe(false);
  g.store(0, 2);
  expect(g.peek(g.leafTable, 0) & M).toBe(M);
});

test('modified cleared without an invalidation: the write goes unseen, as documented', () => {
  const g = guest();
  g.leaf(0, 9 * PAGE_SIZE + V + W);
  g.store(0, 1);
  g.leaf(0, 9 * PAGE_SIZE + V + W + A);
  g.store(0, 2);
  expect(g.peek(g.leafTable, 0) & M).toBe(0);
});

test('another frame entered at an address does not inherit that the old one was modified', () => {
  const g = guest();
  g.leaf(0, 9 * PAGE_SIZE + V + W);
  g.store(0, 1);
  const flags = g.rig.vm.pages.flags;
  g.leaf(0, 10 * PAGE_SIZE + V + W);
  expect(g.fault(0, READ)).toBe(FAULT_OK); // re-entered without an invalidation
  const old = g.image.lookup(9 as never);
  const fresh = g.image.lookup(10 as never);
  expect(flags[old] & 2).toBe(2);
  g.inval(0);
  expect(flags[fresh] & 2).toBe(0);
  expect(g.peek(g.leafTable, 0)).toBe(10 * PAGE_SIZE + V + W + A);
  g.rig.vm.assertInvariants();
});

test('a space made after another was destroyed starts without its translations', () => {
  const g = guest();
  g.leaf(0, 9 * PAGE_SIZE + V + W);
  for (let round = 0; round < 40; round++) {
    const space = g.rig.newSpace();
    expect(space.context.lookup(0, READ)).toBe(-1);
    expect(space.fault(0, READ)).toBe(FAULT_INVALID);
    g.map(space);
    expect(space.fault(0, READ)).toBe(FAULT_INVALID); // root 0
    g.setRoot(V + W, space);
    expect(g.rig.store32(0, round, space)).toBe(0);
    space.destroy();
    g.rig.vm.assertInvariants();
  }
});

test('invalidating more pages than fit 32 bits reaches all of them', () => {
  const rig = new Rig({ vpte: 'vpte-64-nx', mmu: 'sv48' });
  const at = rig.mapVpagetable(2 ** 46);
  rig.setMap(at, 2 ** 46, V + W + M + 0x80);
  expect(rig.store32(at, 1)).toBe(0);
  const far = at + 5 * 2 ** 40;
  expect(rig.store32(far, 1)).toBe(0); // frame 5 * 2^28: anonymous memory reaches there
  expect(rig.inval(at, 2 ** 46)).toBe(0);
  expect(rig.space.pmap.mapped).toBe(0);
  expect(rig.space.context.lookup(far, READ)).toBe(-1);
  rig.vm.assertInvariants();
});
