/** Copies on write, sharing, wiring and looking from behind: the cases a person would get wrong. */

import { describe, expect, test } from 'vitest';
import { EAGAIN, EINVAL, ENOMEM } from '../../../hostkernel/base/errno.ts';
import { type ObjectPage, PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import {
  FAULT_PROTECTION,
  MADV_INVAL,
  MAP_ANON,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_VPAGETABLE,
  MCL_CURRENT,
  MCL_FUTURE,
  MS_ASYNC,
  MS_SYNC,
  PROT_READ,
  VM_INHERIT_COPY,
  VM_INHERIT_NONE,
  VM_INHERIT_SHARE,
  type VmObject,
  type VmSpace,
} from '../../../hostkernel/vm/index.ts';
import { PG_DIRTY } from '../../../hostkernel/vm/page.ts';
import { A, Guest, M, PS, V, W } from './guest.ts';
import { Rig, RW, RWX } from './rig.ts';

const ANON = MAP_ANON | MAP_PRIVATE;

function anonymous(rig: Rig, pages: number): number {
  return rig.space.mmap({ addr: 0, len: pages * PAGE_SIZE, prot: RW, flags: ANON, object: null, offset: 0 });
}

/** An image whose page i begins with 10 + i. */
function imageOf(rig: Rig, pages: number): VmObject {
  const image = rig.vm.createObject(pages);
  for (let i = 0; i < pages; i++) image.write(i * PAGE_SIZE, Uint8Array.of(10 + i));
  return image;
}

function forkOf(space: VmSpace): VmSpace {
  const child = space.fork();
  if (child === null) throw new Error('no frames');
  return child;
}

describe('copies', () => {
  test('a private image is the image until it is written, and again when it is forgotten', () => {
    const rig = new Rig();
    const image = imageOf(rig, 4);
    const at = rig.space.mmap({ addr: 0, len: 6 * PAGE_SIZE, prot: RW, flags: MAP_PRIVATE, object: image, offset: 0 });
    expect(rig.load8(at)).toBe(10);
    image.write(0, Uint8Array.of(20));
    expect(rig.load8(at)).toBe(20);
    rig.store32(at, 30);
    image.write(0, Uint8Array.of(40));
    expect(rig.load32(at)).toBe(30);
    expect(rig.load8(at + 5 * PAGE_SIZE)).toBe(-FAULT_PROTECTION); // beyond the image
    expect(rig.space.madvise(at, PAGE_SIZE, 4)).toBe(0);
    expect(rig.load8(at)).toBe(40);
    rig.vm.assertInvariants();
  });

  test('who shares a shadow sees a copy that another made of a page both had read', () => {
    const rig = new Rig();
    const image = imageOf(rig, 2);
    const at = rig.space.mmap({ addr: 0, len: 2 * PAGE_SIZE, prot: RW, flags: MAP_PRIVATE, object: image, offset: 0 });
    rig.space.minherit(at, 2 * PAGE_SIZE, VM_INHERIT_SHARE);
    const child = forkOf(rig.space);
    expect([rig.load8(at), rig.load8(at, child)]).toEqual([10, 10]); // both map the image's page
    rig.store32(at, 77, child);
    expect(rig.load32(at)).toBe(77);
    image.read(0, new Uint8Array(1));
    expect(image.references).toBe(2); // the shadow, and us
    rig.vm.assertInvariants();
  });

  test('a fork of an anonymous virtual page table copies tables when they are walked and data when it is written', () => {
    const rig = new Rig({ vpte: 'vpte-32-nx' });
    const at = rig.space.mmap({ addr: 0, len: 2 ** 23, prot: RWX, flags: ANON | MAP_VPAGETABLE, object: null, offset: 0 });
    rig.setMap(at, 2 ** 23, V + W + PS + M);
    rig.store32(at, 1 * PAGE_SIZE + V + W); // frame 0, the directory: entry 0 leads to the table in frame 1
    for (const page of [0, 1, 2]) rig.store32(at + PAGE_SIZE + 4 * page, 9 * PAGE_SIZE + V + W); // three aliases of frame 9
    rig.setMap(at, 2 ** 23, V + W);
    rig.store32(at, 5);
    const child = forkOf(rig.space);
    const copies = rig.vm.counters.copies;
    expect(rig.load32(at + PAGE_SIZE, child)).toBe(5);
    expect(rig.vm.counters.copies - copies).toBe(2); // its two tables, because the walk marks them
    expect(rig.load32(at + 2 * PAGE_SIZE, child)).toBe(5);
    rig.store32(at, 6, child);
    expect(rig.vm.counters.copies - copies).toBe(3);
    expect([0, 1, 2].map((page) => rig.load32(at + page * PAGE_SIZE, child))).toEqual([6, 6, 6]);
    expect([0, 1, 2].map((page) => rig.load32(at + page * PAGE_SIZE))).toEqual([5, 5, 5]);
    rig.vm.assertInvariants();
    child.destroy();
    rig.store32(at + PAGE_SIZE, 8);
    expect(rig.load32(at)).toBe(8);
    rig.vm.assertInvariants();
  });

  for (const [name, inherit] of [
    ['shared', VM_INHERIT_SHARE],
    ['not inherited', VM_INHERIT_NONE],
  ] as const) {
    test(`a virtual page table of which another piece is ${name} is copied when a process forks`, () => {
      const rig = new Rig({ vpte: 'vpte-32-nx' });
      const at = rig.space.mmap({ addr: 0, len: 2 ** 23, prot: RWX, flags: ANON | MAP_VPAGETABLE, object: null, offset: 0 });
      rig.setMap(at, 2 ** 23, V + W + PS + M);
      rig.store32(at, 1 * PAGE_SIZE + V + W); // frame 0, the directory: entry 0 leads to the table in frame 1
      for (const page of [0, 1, 2]) rig.store32(at + PAGE_SIZE + 4 * page, 9 * PAGE_SIZE + V + W); // aliases of frame 9
      rig.setMap(at, 2 ** 23, V + W);
      rig.store32(at, 5);
      rig.space.minherit(at + PAGE_SIZE, PAGE_SIZE, inherit);
      const child = forkOf(rig.space);
      rig.store32(at + PAGE_SIZE, 6);
      expect([rig.load32(at), rig.load32(at, child)]).toEqual([6, 5]);
      if (inherit === VM_INHERIT_SHARE) expect(rig.load32(at + PAGE_SIZE, child)).toBe(6);
      rig.store32(at, 7, child);
      expect([rig.load32(at), rig.load32(at + PAGE_SIZE)]).toEqual([6, 6]);
      expect(rig.load32(at + 2 * PAGE_SIZE, child)).toBe(7); // on the other side of the piece
      rig.vm.assertInvariants();
    });
  }

  test('a page of zeros in front of an image is kept when memory is short, for the image may come to have the page', () => {
    const rig = new Rig();
    const image = rig.vm.createObject(1);
    const at = rig.space.mmap({ addr: 0, len: PAGE_SIZE, prot: RW, flags: MAP_PRIVATE, object: image, offset: 0 });
    expect(rig.space.mlock(at, PAGE_SIZE)).toBe(0); // a fault for writing, without a write
    const frame = rig.space.map.lookup(at / PAGE_SIZE)?.object?.lookup(0 as ObjectPage) ?? 0;
    expect(frame).not.toBe(0);
    expect(rig.vm.pages.flags[frame] & PG_DIRTY).not.toBe(0);
  });

  test('a copy made at once of a private image shows the image where nothing was written', () => {
    const rig = new Rig();
    const image = imageOf(rig, 2);
    const at = rig.space.mmap({ addr: 0, len: 3 * PAGE_SIZE, prot: RW, flags: MAP_PRIVATE, object: image, offset: 0 });
    rig.store32(at, 77);
    rig.space.minherit(at, 3 * PAGE_SIZE, VM_INHERIT_SHARE);
    forkOf(rig.space);
    rig.space.minherit(at, 3 * PAGE_SIZE, VM_INHERIT_COPY);
    const child = forkOf(rig.space); // it is shared with the first
    image.write(PAGE_SIZE, Uint8Array.of(20));
    expect([rig.load32(at, child), rig.load8(at + PAGE_SIZE, child)]).toEqual([77, 20]);
    expect(rig.load8(at + 2 * PAGE_SIZE, child)).toBe(-FAULT_PROTECTION); // beyond the image
    rig.store32(at, 78, child);
    expect(rig.load32(at)).toBe(77);
    rig.vm.assertInvariants();
  });

  test('a shared virtual page table has one object and, from the fork on, two roots', () => {
    const g = new Guest(new Rig({ vpte: 'vpte-32-nx' }));
    g.leaf(0, 9 * PAGE_SIZE + V + W);
    g.store(0, 5);
    const child = forkOf(g.space);
    expect(g.rig.load32(0, child)).toBe(5);
    g.rig.store32(0, 6, child);
    expect(g.load(0)).toBe(6);
    g.setRoot(0, child);
    expect(g.rig.load32(0, child)).toBeLessThan(0);
    expect(g.load(0)).toBe(6);
    g.rig.vm.assertInvariants();
  });

  test("what the parent writes after a fork, to a page it could write before, is not the child's", () => {
    const rig = new Rig();
    const at = anonymous(rig, 2);
    rig.store32(at, 1);
    const child = forkOf(rig.space);
    expect(rig.space.context.lookup(at, WRITE)).toBe(-1);
    rig.store32(at, 2);
    expect([rig.load32(at), rig.load32(at, child)]).toEqual([2, 1]);
    rig.vm.assertInvariants();
  });

  test('after a fork that was refused, memory that is unmapped is free at once, as before', () => {
    const rig = new Rig({ frames: 32 });
    const other = rig.space.mmap({ addr: 2 ** 20, len: 4 * PAGE_SIZE, prot: RW, flags: ANON, object: null, offset: 0 });
    for (let page = 0; page < 4; page++) rig.store32(other + page * PAGE_SIZE, page);
    rig.space.mprotect(other + 3 * PAGE_SIZE, PAGE_SIZE, PROT_READ); // two entries, one object
    const wired = anonymous(rig, 8);
    expect(rig.space.mlock(wired, 8 * PAGE_SIZE)).toBe(0);
    const hog = rig.vm.createObject(64);
    for (let page = 0; rig.vm.freeFrames > 5; page++) hog.writable(page as ObjectPage);
    expect(rig.space.fork()).toBeNull();
    expect(rig.space.munmap(other, 2 * PAGE_SIZE)).toBe(0);
    expect(rig.vm.freeFrames).toBe(7);
    rig.vm.assertInvariants();
  });

  test('a fork without memory is refused and leaves the parent as it was', () => {
    const rig = new Rig({ frames: 32 });
    const at = anonymous(rig, 8);
    for (let page = 0; page < 8; page++) rig.store32(at + page * PAGE_SIZE, page);
    expect(rig.space.mlock(at, 8 * PAGE_SIZE)).toBe(0); // so that a fork copies at once
    const hog = rig.vm.createObject(64);
    for (let page = 0; rig.vm.freeFrames > 5; page++) hog.writable(page as ObjectPage);
    const mapped = rig.space.pmap.mapped;
    expect(rig.space.fork()).toBeNull();
    expect(rig.vm.freeFrames).toBe(5);
    expect(rig.space.pmap.mapped).toBe(mapped);
    expect(rig.space.context.lookup(at, WRITE)).toBeGreaterThan(0);
    rig.vm.assertInvariants();
    hog.release();
    const child = forkOf(rig.space);
    rig.store32(at, 50);
    expect(rig.load32(at, child)).toBe(0);
    rig.vm.assertInvariants();
  });
});

describe('wiring', () => {
  test('mlock refuses what cannot be accessed, and then nothing is wired', () => {
    const rig = new Rig();
    const at = anonymous(rig, 4);
    rig.space.mprotect(at + 2 * PAGE_SIZE, PAGE_SIZE, 0);
    const free = () => [...rig.vm.pages.wires].filter((count) => count > 0).length;
    expect(rig.space.mlock(at, 4 * PAGE_SIZE)).toBe(-ENOMEM);
    expect(rig.space.mlock(at, 5 * PAGE_SIZE)).toBe(-ENOMEM); // a hole
    expect(rig.space.mlock(at, 2 ** 60)).toBe(-EINVAL);
    expect(free()).toBe(0);
    rig.space.wiring.max = 1;
    expect(rig.space.mlock(at, 2 * PAGE_SIZE)).toBe(-EAGAIN);
    rig.space.wiring.max = 2;
    expect(rig.space.mlock(at, 2 * PAGE_SIZE)).toBe(0);
    expect(free()).toBe(2);
    expect(rig.space.madvise(at, PAGE_SIZE, 4)).toBe(-EINVAL);
    expect(rig.space.munlock(at, 4 * PAGE_SIZE)).toBe(0);
    expect(free()).toBe(0);
    rig.vm.assertInvariants();
  });

  test('behind a virtual page table it marks what it wires, and an invalidation leaves the frames wired', () => {
    const g = new Guest(new Rig({ vpte: 'vpte-32-nx' }));
    g.leaf(0, 9 * PAGE_SIZE + V + W);
    g.leaf(1, 10 * PAGE_SIZE + V);
    expect(g.space.mlock(0, 2 * PAGE_SIZE)).toBe(-ENOMEM); // page 1 is not writable
    expect(g.space.mlock(0, PAGE_SIZE)).toBe(0);
    expect(g.peek(g.leafTable, 0) & (A | M)).toBe(A | M);
    const frame = g.image.lookup(9 as ObjectPage);
    g.space.mcontrol(0, PAGE_SIZE, MADV_INVAL, 0);
    expect(g.permits(0, READ)).toBe(false);
    expect(g.rig.vm.pages.wires[frame]).toBe(1);
    expect(g.load(0)).toBe(0);
    g.space.munmap(0, PAGE_SIZE);
    expect(g.rig.vm.pages.wires[frame]).toBe(0);
    g.rig.vm.assertInvariants();
  });

  test('mlockall wires what is there, and from then on what comes', () => {
    const rig = new Rig();
    const at = anonymous(rig, 2);
    expect(rig.space.mlockall(0)).toBe(-EINVAL);
    expect(rig.space.mlockall(8)).toBe(-EINVAL);
    expect(rig.space.mlockall(MCL_CURRENT | MCL_FUTURE)).toBe(0);
    expect(rig.space.context.lookup(at, WRITE)).toBeGreaterThan(0);
    const more = rig.space.mmap({ addr: at + 2 ** 24, len: PAGE_SIZE, prot: RW, flags: ANON, object: null, offset: 0 });
    expect(rig.space.context.lookup(more, WRITE)).toBeGreaterThan(0);
    expect([...rig.vm.pages.wires].filter((count) => count > 0).length).toBe(3);
    expect(rig.space.munlockall()).toBe(0);
    expect([...rig.vm.pages.wires].filter((count) => count > 0).length).toBe(0);
    rig.vm.assertInvariants();
  });
});

describe('from behind', () => {
  test('mincore tells what is in memory, also behind a virtual page table without a real PTE, and changes nothing', () => {
    const g = new Guest(new Rig({ vpte: 'vpte-32-nx' }));
    g.leaf(0, 9 * PAGE_SIZE + V + W);
    g.leaf(1, 10 * PAGE_SIZE + V + W);
    g.image.write(9 * PAGE_SIZE, Uint8Array.of(1));
    expect(g.space.mincore(0, 3 * PAGE_SIZE)).toEqual(Uint8Array.of(1, 0, 0));
    expect(g.peek(g.leafTable, 0) & (A | M)).toBe(0);
    expect(g.space.pmap.mapped).toBe(0);
    expect(g.space.mincore(1, PAGE_SIZE)).toBe(-EINVAL);
    expect(g.rig.space.mincore(0, PAGE_SIZE)).toBe(-ENOMEM);
  });

  test('peek reads what the entry forbids, and leaves no trace', () => {
    const g = new Guest(new Rig({ vpte: 'vpte-32-nx' }));
    g.leaf(0, 9 * PAGE_SIZE + V + W);
    g.image.write(9 * PAGE_SIZE + 4, Uint8Array.of(7));
    g.space.mprotect(0, PAGE_SIZE, 0);
    const seen = new Uint8Array(8);
    expect(g.space.peek(0, seen)).toBe(8);
    expect(seen[4]).toBe(7);
    expect(g.space.peek(PAGE_SIZE - 4, seen)).toBe(4); // page 1 is not valid
    expect(g.peek(g.leafTable, 0) & A).toBe(0);
    expect(g.space.pmap.mapped).toBe(0);
  });

  test('a frame is invalidated in all spaces and at all addresses by its number in the image', () => {
    const g = new Guest(new Rig({ vpte: 'vpte-32-nx' }));
    const other = g.rig.newSpace();
    g.map(other);
    g.setRoot(V + W, other);
    for (const page of [0, 1]) g.leaf(page, 9 * PAGE_SIZE + V + W);
    for (const page of [0, 1]) g.store(page, 1);
    g.rig.load32(0, other);
    expect(g.rig.vm.invalidateFrames(g.image, 9, 10)).toBe(1);
    expect([g.permits(0, READ), g.permits(1, READ), other.context.lookup(0, READ)]).toEqual([false, false, -1]);
    expect(g.load(1)).toBe(1);
  });

  test('several invalidations are all refused if one is', () => {
    const g = new Guest(new Rig({ vpte: 'vpte-32-nx' }));
    g.leaf(0, 9 * PAGE_SIZE + V + W);
    g.store(0, 1);
    expect(
      g.space.invalidate([
        { addr: 0, len: PAGE_SIZE },
        { addr: 0, len: 2 ** 60 },
      ]),
    ).toBe(-EINVAL);
    expect(g.permits(0, READ)).toBe(true);
    expect(
      g.space.invalidate([
        { addr: 8 * PAGE_SIZE, len: 1 },
        { addr: 5, len: 1 },
      ]),
    ).toBe(0);
    expect(g.permits(0, READ)).toBe(false);
  });

  test('msync and minherit check their arguments', () => {
    const rig = new Rig();
    const at = anonymous(rig, 2);
    expect(rig.space.msync(at, 2 * PAGE_SIZE, MS_SYNC)).toBe(0);
    expect(rig.space.msync(at + 1, 1, MS_SYNC)).toBe(-EINVAL);
    expect(rig.space.msync(at, 1, MS_ASYNC | MS_SYNC)).toBe(-EINVAL);
    expect(rig.space.msync(at, 3 * PAGE_SIZE, 0)).toBe(-ENOMEM);
    expect(rig.space.minherit(at, PAGE_SIZE, 3)).toBe(-EINVAL);
    expect(rig.space.minherit(at, 3 * PAGE_SIZE, 0)).toBe(-ENOMEM);
    expect(rig.space.minherit(at, PAGE_SIZE, 2)).toBe(0);
    expect(rig.space.map.size).toBe(2);
    expect(forkOf(rig.space).map.pages).toBe(1);
  });

  test('limits of entries and pages are met with ENOMEM, and not before', () => {
    const rig = new Rig();
    const at = anonymous(rig, 4);
    rig.space.map.maxEntries = 2;
    expect(rig.space.mprotect(at + PAGE_SIZE, PAGE_SIZE, PROT_READ)).toBe(-ENOMEM); // would be three
    expect(rig.space.mprotect(at, PAGE_SIZE, PROT_READ)).toBe(0);
    expect(rig.space.mprotect(at, 4 * PAGE_SIZE, PROT_READ)).toBe(0);
    rig.space.map.maxPages = 5;
    const flags = MAP_FIXED | MAP_SHARED | MAP_ANON;
    const request = { addr: 2 ** 30, len: 2 * PAGE_SIZE, prot: RW, flags, object: null, offset: 0 };
    expect(rig.space.mmap(request)).toBe(-ENOMEM);
    expect(rig.space.mmap({ ...request, len: PAGE_SIZE })).toBe(2 ** 30);
    expect(rig.space.mmap({ ...request, len: PAGE_SIZE })).toBe(2 ** 30); // in place of it
    rig.vm.assertInvariants();
  });
});

test('a fork that is refused leaves what was to be shared private, and what got a shadow with it', () => {
  const rig = new Rig({ frames: 64 });
  const at = anonymous(rig, 2);
  rig.store32(at, 1);
  rig.store32(at + PAGE_SIZE, 2);
  forkOf(rig.space).destroy(); // the entry still needs a copy, and its object is of one mapping again
  rig.space.minherit(at + PAGE_SIZE, PAGE_SIZE, VM_INHERIT_SHARE);
  const wired = rig.space.mmap({ addr: at + 2 ** 30, len: 36 * PAGE_SIZE, prot: RW, flags: ANON, object: null, offset: 0 });
  expect(rig.space.mlock(wired, 36 * PAGE_SIZE)).toBe(0); // to be copied at once, and too large for that
  expect(rig.space.fork()).toBeNull();
  rig.vm.assertInvariants();
  expect(rig.space.map.entries.map((entry) => entry.shared)).toEqual([false, false, false]);
  expect([rig.load32(at), rig.load32(at + PAGE_SIZE)]).toEqual([1, 2]);
});
