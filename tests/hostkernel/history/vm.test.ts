/**
 * Defects that DragonFly's virtual kernels had in faults, walks and maps, each put together as it was met there. Every test
 * fails when its defect is put back.
 */

import { expect, test } from 'vitest';
import { type ObjectPage, PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { memoryDisk } from '../../../hostkernel/machine/index.ts';
import {
  FAULT_INVALID,
  FAULT_OK,
  FAULT_WAIT,
  MADV_NOSYNC,
  MAP_ANON,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_STACK,
} from '../../../hostkernel/vm/index.ts';
import { A, Guest, M, V, W } from '../vm/guest.ts';
import { MIB, Rig, RW } from '../vm/rig.ts';

const guest = () => new Guest(new Rig({ vpte: 'vpte-32-nx' }));

const SECOND = 1_000_000_000; // ns

/** Lets all transfers end. */
function finish(rig: Rig): void {
  for (let next = rig.vm.nextEvent(); next < Infinity; next = rig.vm.nextEvent()) {
    rig.machine.clock.charge(Math.max(0, next - rig.machine.clock.now()));
    rig.vm.poll();
  }
}

/** A guest on a machine with a disk, whose data pages 20.. hold 100 + page and are all on the disk; its tables are in RAM. */
function guestOnDisk(pages = 3): Guest {
  const g = new Guest(new Rig({ frames: 96, vpte: 'vpte-32-nx', disk: memoryDisk(16 * MIB) }), 200);
  for (let page = 20; page < 20 + pages; page++) g.rig.store32(g.view + page * PAGE_SIZE, 100 + page);
  const press = g.rig.vm.createObject(400);
  const at = g.rig.space.mmap({ addr: 0, len: 400 * PAGE_SIZE, prot: RW, flags: MAP_SHARED, object: press, offset: 0 });
  for (let page = 0; page < 400; page++) g.rig.store32(at + page * PAGE_SIZE, 1);
  press.release();
  g.rig.space.munmap(at, 400 * PAGE_SIZE);
  finish(g.rig);
  for (let page = 20; page < 20 + pages; page++) expect(g.image.lookup(page as ObjectPage)).toBe(0);
  g.peek(0, 0);
  g.peek(g.leafTable, 0);
  return g;
}

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

test('an entry that the guest changes while a fault on it waits is marked as it is then, not as it was', () => {
  const g = guestOnDisk();
  g.leaf(0, 20 * PAGE_SIZE + V + W);
  expect(g.fault(0, WRITE)).toBe(FAULT_WAIT); // the walk is done, the page is on its way
  g.leaf(0, 0); // the guest swaps the entry out, as its own pageout does
  finish(g.rig);
  expect(g.fault(0, WRITE)).toBe(FAULT_INVALID);
  expect(g.peek(g.leafTable, 0)).toBe(0);
  g.leaf(0, 21 * PAGE_SIZE + V); // read-only now: a write must mark nothing
  expect(g.fault(0, WRITE)).toBe(FAULT_INVALID);
  expect(g.peek(g.leafTable, 0) & M).toBe(0);
  g.rig.vm.assertInvariants();
});

test('an invalidation while a fault waits between walk and real PTE is not overtaken by it', () => {
  const g = guestOnDisk();
  g.leaf(0, 20 * PAGE_SIZE + V + W);
  expect(g.fault(0, READ)).toBe(FAULT_WAIT);
  g.leaf(0, 21 * PAGE_SIZE + V + W);
  g.inval(0); // returns: from now on nobody may see frame 20 here
  for (let attempt = 0; attempt < 3 && g.fault(0, READ) === FAULT_WAIT; attempt++) finish(g.rig);
  expect(g.load(0)).toBe(121);
  g.leaf(0, 0);
  g.inval(0);
  finish(g.rig);
  expect(g.permits(0, READ)).toBe(false);
  g.rig.vm.assertInvariants();
});

test('a copy out to a stack grows it, and so does one from behind', () => {
  const rig = new Rig();
  const len = 200 * PAGE_SIZE;
  const at = rig.space.mmap({ addr: 0, len, prot: RW, flags: MAP_ANON | MAP_PRIVATE | MAP_STACK, object: null, offset: 0 });
  const top = at + len;
  expect(rig.space.map.pages).toBe(32);
  const bytes = Uint8Array.from({ length: 3 * PAGE_SIZE }, (_, i) => i * 5);
  expect(rig.space.copyOut(top - 100 * PAGE_SIZE - 7, bytes)).toBe(bytes.length);
  const back = new Uint8Array(bytes.length);
  expect(rig.space.copyIn(top - 100 * PAGE_SIZE - 7, back)).toBe(bytes.length);
  expect(back).toEqual(bytes);
  expect(rig.space.map.pages).toBeGreaterThan(100);
  expect(rig.store32(at, 9)).toBe(0); // its last page
  expect(rig.load32(at)).toBe(9);
  expect(rig.load32(at - PAGE_SIZE)).toBe(-FAULT_INVALID);
  expect(rig.space.map.size).toBe(1);
  rig.vm.assertInvariants();
});

test('two faults on one object do not wait for each other', () => {
  const g = guestOnDisk();
  for (const page of [0, 1, 2]) g.leaf(page, (20 + 70 * page) * PAGE_SIZE + V + W);
  expect(g.fault(0, WRITE)).toBe(FAULT_WAIT);
  const first = g.rig.vm.waitChannel;
  expect(g.fault(1, WRITE)).toBe(FAULT_OK); // a page in RAM, while that one is on its way
  expect(g.store(2, 5)).toBe(0);
  const other = g.rig.newSpace();
  g.map(other);
  g.setRoot(V + W, other);
  expect(other.fault(0, WRITE)).toBe(FAULT_WAIT);
  expect(g.rig.vm.waitChannel).toBe(first); // the same page: they wait for one transfer
  finish(g.rig);
  expect(g.load(0)).toBe(120);
});

test('memory that is not to be synchronised is written to no device while there is room, however its pages came', () => {
  const g = guestOnDisk(16);
  const { rig } = g;
  const reads = rig.vm.objects.pager?.counters;
  if (reads === undefined) throw new Error('no disk');
  expect(rig.space.madvise(g.view, 200 * PAGE_SIZE, MADV_NOSYNC)).toBe(0);
  expect(g.space.madvise(0, 200 * PAGE_SIZE, MADV_NOSYNC)).toBe(0);
  const before = reads.pagesWritten;
  const came = reads.pagesRead;
  expect(rig.load32(g.view + 20 * PAGE_SIZE)).toBe(120);
  expect(reads.pagesRead - came).toBeGreaterThan(1); // its neighbours came with it
  for (let page = 20; page < 36; page++) rig.store32(g.view + page * PAGE_SIZE, 7);
  for (let second = 0; second < 120; second++) {
    rig.machine.clock.charge(SECOND);
    rig.vm.poll();
  }
  finish(rig);
  expect(reads.pagesWritten).toBe(before);
});
