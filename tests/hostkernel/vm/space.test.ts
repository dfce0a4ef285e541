/** The calls on a space: mmap and its table of errors, munmap, mprotect, madvise and mcontrol, copies, the end. */

import { describe, expect, test } from 'vitest';
import { EACCES, EBADF, EEXIST, EINVAL, ENOMEM, EOPNOTSUPP } from '../../../hostkernel/base/errno.ts';
import type { TraceEvents } from '../../../hostkernel/base/trace.ts';
import { PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import {
  FAULT_INVALID,
  FAULT_PROTECTION,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_INVAL,
  MADV_NOSYNC,
  MADV_SETMAP,
  MADV_WILLNEED,
  MAP_ANON,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NOREPLACE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_STACK,
  MAP_TRYFIXED,
  MAP_VPAGETABLE,
  type MmapRequest,
  PROT_NONE,
  PROT_READ,
} from '../../../hostkernel/vm/index.ts';
import { Guest, M, PS, V, W } from './guest.ts';
import { MIB, Rig, RW, RWX } from './rig.ts';

const GIB = 2 ** 30;
const ANON = MAP_ANON | MAP_PRIVATE;

function anonymous(rig: Rig, pages: number, more: Partial<MmapRequest> = {}): number {
  return rig.space.mmap({ addr: 0, len: pages * PAGE_SIZE, prot: RW, flags: ANON, object: null, offset: 0, ...more });
}

describe('mmap', () => {
  const VPT = MAP_SHARED | MAP_VPAGETABLE;
  const good: MmapRequest = { addr: 0, len: PAGE_SIZE, prot: RW, flags: VPT | MAP_ANON, object: null, offset: 0 };

  /** Tries a request on a fresh rig where [1 GiB, 1 GiB + 4 KiB) is mapped; `true` for object means an image. */
  function attempt(more: Omit<Partial<MmapRequest>, 'object'> & { object?: boolean }, enable = true) {
    const rig = new Rig();
    anonymous(rig, 1, { addr: GIB, flags: ANON | MAP_FIXED });
    rig.vm.vkernelEnable = enable;
    const before = rig.space.map.entries.length;
    const result = rig.space.mmap({ ...good, ...more, object: more.object === true ? rig.vm.createObject(16) : null });
    if (result < 0) expect(rig.space.map.entries.length).toBe(before);
    rig.vm.assertInvariants();
    return result;
  }

  test('a good request is one', () => {
    expect(attempt({})).toBeGreaterThan(0);
    expect(attempt({ object: true, flags: VPT })).toBeGreaterThan(0);
    expect(attempt({ flags: MAP_VPAGETABLE | ANON })).toBeGreaterThan(0);
    expect(attempt({ object: true, flags: MAP_PRIVATE | MAP_VPAGETABLE })).toBeGreaterThan(0);
    expect(attempt({ prot: RWX, object: true, flags: VPT, offset: 512 * GIB })).toBeGreaterThan(0);
    expect(attempt({ addr: 0, len: 2 ** 38, object: true, flags: VPT | MAP_FIXED })).toBe(0);
  });

  test.each<[string, Parameters<typeof attempt>[0], number]>([
    ['anonymous with an object', { object: true }, EINVAL],
    ['anonymous with an offset', { offset: PAGE_SIZE }, EINVAL],
    ['the same by the number of Linux', { object: true, flags: VPT | MAP_ANONYMOUS }, EINVAL],
    ['length 0', { len: 0 }, EINVAL],
    ['with MAP_STACK', { flags: VPT | MAP_ANON | MAP_STACK }, EINVAL],
    ['without read', { prot: 2 }, EINVAL],
    ['without write', { prot: 1 }, EINVAL],
    ['fixed, address not a page', { addr: GIB + 1, flags: VPT | MAP_ANON | MAP_FIXED }, EINVAL],
    ['fixed, address not congruent with the offset', { addr: GIB, offset: 12, object: true, flags: VPT | MAP_FIXED }, EINVAL],
    ['fixed, out of the user range', { addr: 2 ** 38, flags: VPT | MAP_ANON | MAP_FIXED }, EINVAL],
    ['fixed, over the end of the user range', { addr: 2 ** 38 - PAGE_SIZE, len: 8192, flags: VPT | MAP_ANON | MAP_FIXED }, EINVAL],
    ['fixed, wrapping', { addr: PAGE_SIZE, len: 2 ** 64, flags: VPT | MAP_ANON | MAP_FIXED }, EINVAL],
    ['bad descriptor', { flags: VPT, fileErrno: EBADF }, EBADF],
    ['descriptor without permission', { flags: VPT, fileErrno: EACCES }, EACCES],
    ['no-replace over a mapping', { addr: GIB, flags: VPT | MAP_ANON | MAP_NOREPLACE }, EEXIST],
    ['no room', { len: 2 ** 38 }, ENOMEM],
    ['a length beyond all', { len: 2 ** 60 }, ENOMEM],
    ['try-fixed over a mapping', { addr: GIB, flags: VPT | MAP_ANON | MAP_TRYFIXED }, ENOMEM],
  ])('%s', (_, request, errno) => {
    expect(attempt(request)).toBe(-errno);
  });

  test('virtual page tables switched off: EOPNOTSUPP, and only for them', () => {
    expect(attempt({}, false)).toBe(-EOPNOTSUPP);
    expect(attempt({ flags: ANON }, false)).toBeGreaterThan(0);
  });

  test('of several mistakes the first in the order is reported', () => {
    expect(attempt({ object: true, len: 0 }, false)).toBe(-EINVAL); // anonymous with an object
    expect(attempt({ len: 0 }, false)).toBe(-EINVAL);
    expect(attempt({ prot: 1 }, false)).toBe(-EOPNOTSUPP);
    expect(attempt({ prot: 1, fileErrno: EBADF })).toBe(-EINVAL);
    expect(attempt({ addr: 1, flags: VPT | MAP_FIXED, fileErrno: EBADF })).toBe(-EINVAL);
    expect(attempt({ len: 2 ** 60, flags: VPT, fileErrno: EBADF })).toBe(-EBADF);
  });

  test('existing mappings do not notice that virtual page tables are switched off', () => {
    const g = new Guest(new Rig({ vpte: 'vpte-32-nx' }));
    g.rig.vm.vkernelEnable = false;
    g.leaf(0, 9 * PAGE_SIZE + V + W);
    expect(g.store(0, 1)).toBe(0);
    g.setRoot(V + W + PS);
  });

  test('an offset inside a page is added to the address', () => {
    const rig = new Rig();
    const image = rig.vm.createObject(4);
    image.write(PAGE_SIZE + 12, new Uint8Array([42]));
    const at = rig.space.mmap({ addr: 0, len: 4, prot: RW, flags: MAP_SHARED, object: image, offset: PAGE_SIZE + 12 });
    expect(at % PAGE_SIZE).toBe(12);
    expect(rig.load32(at)).toBe(42);
  });

  test('MAP_FIXED replaces what was there, in one piece or out of the middle', () => {
    const rig = new Rig();
    const at = anonymous(rig, 8);
    for (let page = 0; page < 8; page++) rig.store32(at + page * PAGE_SIZE, page + 1);
    const image = rig.vm.createObject(2);
    rig.space.mmap({ addr: at + 3 * PAGE_SIZE, len: 2 * PAGE_SIZE, prot: RW, flags: MAP_SHARED | MAP_FIXED, object: image, offset: 0 });
    expect([0, 1, 2, 3, 4, 5, 6, 7].map((page) => rig.load32(at + page * PAGE_SIZE))).toEqual([1, 2, 3, 0, 0, 6, 7, 8]);
    rig.vm.assertInvariants();
    expect(rig.vm.counters.zeroFills).toBe(10);
    expect(rig.vm.pages.count(1)).toBe(8); // the two private pages replaced are free again
  });

  test('the hint is taken where there is room, and the search goes around mappings', () => {
    const rig = new Rig();
    expect(anonymous(rig, 2, { addr: 5 * GIB })).toBe(5 * GIB);
    expect(anonymous(rig, 2, { addr: 5 * GIB })).toBe(5 * GIB + 2 * PAGE_SIZE);
    expect(rig.space.map.entries.length).toBe(1); // anonymous neighbours are one entry
    expect(anonymous(rig, 1, { addr: 2 ** 38 - 10 })).toBe(2 ** 36);
  });

  test('growing anonymous memory page by page stays one entry with one object', () => {
    const rig = new Rig();
    for (let page = 0; page < 16; page++) {
      const at = anonymous(rig, 1, { addr: GIB + page * PAGE_SIZE, flags: ANON | MAP_FIXED });
      rig.store32(at, page);
    }
    expect(rig.space.map.entries.length).toBe(1);
    for (let page = 0; page < 16; page++) expect(rig.load32(GIB + page * PAGE_SIZE)).toBe(page);
    rig.vm.assertInvariants();
  });

  test('virtual page tables side by side are not merged', () => {
    const rig = new Rig();
    const image = rig.vm.createObject(64);
    for (let page = 0; page < 4; page++) {
      const flags = VPT | MAP_FIXED;
      rig.space.mmap({ addr: GIB + page * PAGE_SIZE, len: PAGE_SIZE, prot: RW, flags, object: image, offset: page * PAGE_SIZE });
    }
    expect(rig.space.map.entries.length).toBe(4);
  });

  test('a 32-bit space ends at 2^32, whatever its tables reach', () => {
    for (const mmu of ['sv32', 'sv39']) {
      const rig = new Rig({ mmu, xlen: 32 });
      expect(rig.space.userEnd).toBe(2 ** 32);
      expect(anonymous(rig, 1, { addr: 2 ** 32, flags: ANON | MAP_FIXED })).toBe(-EINVAL);
      const last = anonymous(rig, 1, { addr: 2 ** 32 - PAGE_SIZE, flags: ANON | MAP_FIXED });
      expect(rig.store32(last + 4092, 7)).toBe(0);
      rig.vm.assertInvariants();
    }
  });
});

describe('munmap', () => {
  test('refuses wraps, the kernel half and holes; nothing is a range too', () => {
    const rig = new Rig();
    const at = anonymous(rig, 4);
    expect(rig.space.munmap(at, 0)).toBe(0);
    expect(rig.space.munmap(at, 5 * PAGE_SIZE)).toBe(-EINVAL);
    expect(rig.space.munmap(at, 2 ** 60)).toBe(-EINVAL);
    expect(rig.space.munmap(2 ** 38 - PAGE_SIZE, 2 * PAGE_SIZE)).toBe(-EINVAL);
    expect(rig.space.munmap(-PAGE_SIZE, PAGE_SIZE)).toBe(-EINVAL);
    expect(rig.space.map.pages).toBe(4);
    expect(rig.space.munmap(at + PAGE_SIZE, PAGE_SIZE)).toBe(0);
    expect(rig.space.munmap(at, 3 * PAGE_SIZE)).toBe(-EINVAL);
    expect(rig.load32(at + PAGE_SIZE)).toBe(-FAULT_INVALID);
    expect(rig.load32(at)).toBe(0);
  });

  test('keeps the frames of an image and frees private ones', () => {
    const rig = new Rig();
    const image = rig.vm.createObject(4);
    const shared = rig.space.mmap({ addr: 0, len: 4 * PAGE_SIZE, prot: RW, flags: MAP_SHARED, object: image, offset: 0 });
    rig.store32(shared, 5);
    const own = anonymous(rig, 4);
    rig.store32(own, 6);
    expect(rig.vm.pages.count(1)).toBe(2);
    rig.space.munmap(own, 4 * PAGE_SIZE);
    rig.space.munmap(shared, 4 * PAGE_SIZE);
    expect(image.residentPages).toBe(1);
    expect(image.references).toBe(1);
    image.release();
    expect(rig.vm.freeFrames).toBe(rig.vm.totalFrames - 2); // frame 0, and the root table
    rig.vm.assertInvariants();
  });
});

test.each([
  ['munmap', (rig: Rig, at: number) => rig.space.munmap(at, 0)],
  ['mprotect', (rig: Rig, at: number) => rig.space.mprotect(at, 0, PROT_NONE)],
  ['MADV_NOSYNC', (rig: Rig, at: number) => rig.space.madvise(at, 0, MADV_NOSYNC)],
  ['SETMAP', (rig: Rig, at: number) => rig.setMap(at, 0, V + W)],
])('%s of length 0 inside an entry neither splits nor refuses it', (_name, call) => {
  const rig = new Rig();
  const at = anonymous(rig, 4);
  expect(call(rig, at + PAGE_SIZE)).toBe(0);
  expect(call(rig, at + PAGE_SIZE + 1)).toBe(0);
  expect(rig.space.map.entries.length).toBe(1);
  rig.vm.assertInvariants();
});

describe('mprotect', () => {
  test('takes rights away at once and gives them back by a fault', () => {
    const rig = new Rig();
    const at = anonymous(rig, 3);
    for (let page = 0; page < 3; page++) rig.store32(at + page * PAGE_SIZE, page);
    expect(rig.space.mprotect(at + PAGE_SIZE, PAGE_SIZE, PROT_READ)).toBe(0);
    expect(rig.space.map.entries.length).toBe(3);
    expect(rig.store32(at + PAGE_SIZE, 9)).toBe(-FAULT_PROTECTION);
    expect(rig.load32(at + PAGE_SIZE)).toBe(1);
    expect(rig.space.mprotect(at + PAGE_SIZE, PAGE_SIZE, PROT_NONE)).toBe(0);
    expect(rig.load32(at + PAGE_SIZE)).toBe(-FAULT_PROTECTION);
    expect(rig.space.mprotect(at, 3 * PAGE_SIZE, RW)).toBe(0);
    expect(rig.space.map.entries.length).toBe(1);
    expect(rig.store32(at + PAGE_SIZE, 9)).toBe(0);
    rig.vm.assertInvariants();
  });

  test('a hole is ENOMEM and nothing has changed', () => {
    const rig = new Rig();
    const at = anonymous(rig, 3);
    rig.space.munmap(at + PAGE_SIZE, PAGE_SIZE);
    expect(rig.space.mprotect(at, 3 * PAGE_SIZE, PROT_READ)).toBe(-ENOMEM);
    expect(rig.store32(at, 1)).toBe(0);
    expect(rig.space.mprotect(at, 2 ** 60, PROT_READ)).toBe(-EINVAL);
  });

  test('entries of virtual page tables with different roots are never joined', () => {
    const rig = new Rig({ vpte: 'vpte-32-nx' });
    const at = rig.mapVpagetable(4 * PAGE_SIZE);
    rig.setMap(at, 4 * PAGE_SIZE, V + W + PS + M);
    rig.setMap(at, 2 * PAGE_SIZE, 8 * PAGE_SIZE + V + W + PS + M);
    rig.space.mprotect(at, 4 * PAGE_SIZE, RW);
    expect(rig.space.map.entries.map((entry) => entry.rootLo)).toEqual([8 * PAGE_SIZE + V + W + PS + M, V + W + PS + M]);
    rig.setMap(at, 2 * PAGE_SIZE, V + W + PS + M);
    expect(rig.space.map.entries.length).toBe(1);
    rig.vm.assertInvariants();
  });
});

describe('madvise and mcontrol', () => {
  test('the common checks', () => {
    const { space } = new Rig();
    expect(space.mcontrol(0, PAGE_SIZE, -1, 0)).toBe(-EINVAL);
    expect(space.mcontrol(0, PAGE_SIZE, 12, 0)).toBe(-EINVAL);
    expect(space.madvise(0, PAGE_SIZE, MADV_SETMAP)).toBe(-EINVAL);
    expect(space.madvise(0, PAGE_SIZE, MADV_INVAL)).toBe(0);
    expect(space.madvise(PAGE_SIZE, 2 ** 64, MADV_INVAL)).toBe(-EINVAL);
    expect(space.madvise(space.userEnd, PAGE_SIZE, MADV_INVAL)).toBe(-EINVAL);
    expect(space.madvise(-1, PAGE_SIZE, MADV_INVAL)).toBe(-EINVAL);
    expect(space.madvise(0, space.userEnd, MADV_INVAL)).toBe(0); // one hole
    expect(space.madvise(space.userEnd, 0, MADV_INVAL)).toBe(0); // empty
  });

  test('SETMAP over a mixed range is EINVAL and changes nothing', () => {
    const rig = new Rig({ vpte: 'vpte-32-nx' });
    const at = rig.mapVpagetable(2 * PAGE_SIZE);
    rig.setMap(at, 2 * PAGE_SIZE, V + W + PS + M);
    rig.store32(at, 1);
    anonymous(rig, 1, { addr: at + 2 * PAGE_SIZE, flags: ANON | MAP_FIXED });
    expect(rig.setMap(at + PAGE_SIZE, 2 * PAGE_SIZE, 0)).toBe(-EINVAL);
    expect(rig.space.context.lookup(at, READ)).toBeGreaterThan(0);
    expect(rig.load32(at + PAGE_SIZE)).toBe(0);
    expect(rig.space.map.entries.length).toBe(2);
  });

  test('SETMAP with a value that is not valid unplugs the mapping; out-of-range values are refused', () => {
    const rig = new Rig({ vpte: 'vpte-32-nx' });
    const at = rig.mapVpagetable(2 * PAGE_SIZE);
    rig.setMap(at, 2 * PAGE_SIZE, V + W + PS + M);
    expect(rig.store32(at, 1)).toBe(0);
    expect(rig.setMap(at, 2 * PAGE_SIZE, 0)).toBe(0);
    expect(rig.load32(at)).toBe(-FAULT_INVALID);
    expect(rig.setMap(at, PAGE_SIZE, -1)).toBe(-EINVAL);
    expect(rig.setMap(at, PAGE_SIZE, 2 ** 53)).toBe(-EINVAL);
    expect(rig.setMap(at, PAGE_SIZE, 0.5)).toBe(-EINVAL);
  });

  test('SETMAP clips: one entry becomes three, holes are skipped', () => {
    const rig = new Rig({ vpte: 'vpte-32-nx' });
    const at = rig.mapVpagetable(6 * PAGE_SIZE);
    rig.setMap(at, 6 * PAGE_SIZE, V + W + PS + M);
    expect(rig.setMap(at + 2 * PAGE_SIZE, 2 * PAGE_SIZE, 0)).toBe(0);
    expect(rig.space.map.entries.length).toBe(3);
    rig.space.munmap(at + 2 * PAGE_SIZE, PAGE_SIZE);
    expect(rig.setMap(at, 6 * PAGE_SIZE, 8 * PAGE_SIZE + V + W + PS + M)).toBe(0);
    expect(rig.load32(at + 3 * PAGE_SIZE)).toBe(0);
    expect(rig.load32(at + 2 * PAGE_SIZE)).toBe(-FAULT_INVALID);
    rig.vm.assertInvariants();
  });

  test('INVAL drops real PTEs of all entries, in one space only, and keeps data and dirtiness', () => {
    const g = new Guest(new Rig({ vpte: 'vpte-32-nx' }));
    const other = g.rig.newSpace();
    g.map(other);
    g.setRoot(V + W, other);
    g.leaf(3, 9 * PAGE_SIZE + V + W);
    g.store(3, 50);
    expect(g.rig.load32(3 * PAGE_SIZE, other)).toBe(50);
    const frame = g.image.lookup(9 as never);
    g.rig.vm.pages.flags[frame] = 0;
    g.inval(3);
    expect(g.rig.vm.pages.flags[frame]).toBe(3); // referenced and dirty came from the real PTE
    expect(g.permits(3, READ)).toBe(false);
    expect(other.context.lookup(3 * PAGE_SIZE, READ)).toBeGreaterThan(0);
    expect(g.load(3)).toBe(50);

    const own = anonymous(g.rig, 2);
    g.rig.store32(own, 4);
    g.rig.inval(own + 1, 1); // widened to the page
    expect(g.rig.space.context.lookup(own, READ)).toBe(-1);
    expect(g.rig.load32(own)).toBe(4);
  });

  test('advice on a virtual page table is accepted and changes nothing', () => {
    const g = new Guest(new Rig({ vpte: 'vpte-32-nx' }));
    g.leaf(0, 9 * PAGE_SIZE + V + W);
    g.store(0, 3);
    for (const behav of [MADV_WILLNEED, MADV_DONTNEED, MADV_FREE, MADV_NOSYNC]) expect(g.space.madvise(0, MIB, behav)).toBe(0);
    expect(g.load(0)).toBe(3);
  });

  test('MADV_DONTNEED and MADV_FREE forget private anonymous memory, and only that', () => {
    const rig = new Rig();
    const at = anonymous(rig, 3);
    for (let page = 0; page < 3; page++) rig.store32(at + page * PAGE_SIZE, 8);
    const free = rig.vm.freeFrames;
    expect(rig.space.madvise(at + PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED)).toBe(0);
    expect(rig.vm.freeFrames).toBe(free + 1);
    expect([0, 1, 2].map((page) => rig.load32(at + page * PAGE_SIZE))).toEqual([8, 0, 8]);
    const image = rig.vm.createObject(1);
    const shared = rig.space.mmap({ addr: 0, len: PAGE_SIZE, prot: RW, flags: MAP_SHARED, object: image, offset: 0 });
    rig.store32(shared, 9);
    rig.space.madvise(shared, PAGE_SIZE, MADV_FREE);
    expect(rig.load32(shared)).toBe(9);
    rig.vm.assertInvariants();
  });

  test('advice kept in the entry separates it from its neighbours', () => {
    const rig = new Rig();
    const at = anonymous(rig, 3);
    rig.space.madvise(at + PAGE_SIZE, PAGE_SIZE, MADV_NOSYNC);
    expect(rig.space.map.entries.length).toBe(3);
    rig.space.madvise(at, 3 * PAGE_SIZE, MADV_NOSYNC);
    expect(rig.space.map.entries.length).toBe(1);
  });
});

describe('copies', () => {
  test('fault pages in and stop short at the first that cannot be resolved', () => {
    const rig = new Rig();
    const at = anonymous(rig, 3);
    const bytes = Uint8Array.from({ length: 3 * PAGE_SIZE - 10 }, (_, i) => i * 7);
    expect(rig.space.copyOut(at + 5, bytes)).toBe(bytes.length);
    const back = new Uint8Array(bytes.length);
    expect(rig.space.copyIn(at + 5, back)).toBe(bytes.length);
    expect(back).toEqual(bytes);
    expect(rig.space.copyIn(at + 2 * PAGE_SIZE, back)).toBe(PAGE_SIZE);
    expect(rig.space.copyOut(at + 3 * PAGE_SIZE, back)).toBe(0);
    rig.space.mprotect(at + PAGE_SIZE, PAGE_SIZE, PROT_READ);
    expect(rig.space.copyOut(at, bytes)).toBe(PAGE_SIZE);
  });
});

describe('the end of a space', () => {
  test('destroy gives back every frame, also of spaces full of real PTEs', () => {
    const rig = new Rig({ vpte: 'vpte-64-nx' });
    const before = rig.vm.freeFrames;
    const space = rig.newSpace();
    const image = rig.vm.createObject(16);
    space.mmap({ addr: 0, len: GIB, prot: RW, flags: MAP_SHARED | MAP_VPAGETABLE | MAP_FIXED, object: image, offset: 0 });
    space.mcontrol(0, GIB, MADV_SETMAP, V + W + PS + M);
    for (let page = 0; page < 16; page++) rig.store32(page * PAGE_SIZE, page, space);
    image.release();
    space.destroy();
    expect(rig.vm.freeFrames).toBe(before);
    rig.vm.assertInvariants();
  });
});

describe('what can be observed', () => {
  test('counters, and events only while somebody listens', () => {
    const g = new Guest(new Rig({ vpte: 'vpte-32-nx' }));
    const { counters } = g.rig.vm;
    g.leaf(0, 9 * PAGE_SIZE + V + W);
    const faults: TraceEvents['fault'][] = [];
    const walks: TraceEvents['walk'][] = [];
    g.rig.tracer.fault = (event) => faults.push(event);
    g.rig.tracer.walk = (event) => walks.push(event);
    const references = counters.walkReferences;
    g.fault(0, WRITE);
    g.fault(1, READ);
    expect(counters.walkReferences - references).toBe(4);
    expect(counters.faults).toBe(counters.ok + counters.invalid + counters.protection + counters.noMemory);
    expect(walks).toEqual([
      { space: g.space.id, va: 0, access: WRITE, references: 2, result: 'none', level: 0 },
      { space: g.space.id, va: PAGE_SIZE, access: READ, references: 2, result: 'not-valid', level: 0 },
    ]);
    expect(faults.map((event) => event.result)).toEqual(['ok', 'invalid']);
    g.rig.tracer.fault = null;
    g.rig.tracer.walk = null;
    g.fault(0, WRITE);
    expect(faults.length).toBe(2);
  });
});
