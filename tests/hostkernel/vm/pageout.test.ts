/** Paging: content is what it was, whatever leaves RAM and comes back; counts are right after every step and every failure. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type HostFrame, type ObjectPage, PAGE_SIZE, READ, type VirtualPage, WRITE } from '../../../hostkernel/base/units.ts';
import { type BlockDevice, FaultyDevice, memoryDisk } from '../../../hostkernel/machine/index.ts';
import {
  FAULT_INVALID,
  FAULT_NO_MEMORY,
  FAULT_WAIT,
  MADV_INVAL,
  MAP_SHARED,
  type VmObject,
  type VmSpace,
} from '../../../hostkernel/vm/index.ts';
import { PG_DIRTY } from '../../../hostkernel/vm/page.ts';
import type { SwapPager } from '../../../hostkernel/vm/pager.ts';
import { MIB, Rig, RW } from './rig.ts';

const SWAP = 16 * MIB;

function pagerOf(rig: Rig): SwapPager {
  if (rig.vm.objects.pager === null) throw new Error('no disk');
  return rig.vm.objects.pager;
}

/** Maps all of `object` linearly and returns where. */
function mapAll(rig: Rig, object: VmObject, space: VmSpace = rig.space): number {
  return space.mmap({ addr: 0, len: object.sizePages * PAGE_SIZE, prot: RW, flags: MAP_SHARED, object, offset: 0 });
}

/** A rig with `frames` and a disk, and an object of `pages` pages mapped at `at`. */
function paged(frames: number, pages: number, disk: BlockDevice = memoryDisk(SWAP)) {
  const rig = new Rig({ frames, disk });
  const object = rig.vm.createObject(pages);
  return { rig, object, at: mapAll(rig, object), pager: pagerOf(rig) };
}

/** Lets everything that is under way finish. */
function settle(rig: Rig): void {
  for (let next = rig.vm.nextEvent(); next !== Infinity; next = rig.vm.nextEvent()) {
    rig.machine.clock.charge(Math.max(0, next - rig.machine.clock.now()));
    rig.vm.poll();
  }
}

/** The word a test writes to a page: other pages and other rounds have others. */
const wordOf = (page: number, round = 0) => (page * 2654435761 + round * 40503 + 1) >>> 0;

describe('an object larger than RAM', () => {
  test('keeps what was written to each of its pages', () => {
    const { rig, at, pager } = paged(256, 2000);
    for (let page = 0; page < 2000; page++) expect(rig.store32(at + page * PAGE_SIZE + 4 * (page % 1024), wordOf(page))).toBe(0);
    for (let page = 0; page < 2000; page++) expect(rig.load32(at + page * PAGE_SIZE + 4 * (page % 1024))).toBe(wordOf(page));
    expect(pager.counters.pagesWritten).toBeGreaterThan(1700);
    rig.vm.assertInvariants();
  });

  test('is seen the same through every space, alias and system call', () => {
    const { rig, object, at } = paged(128, 500);
    const other = rig.newSpace();
    const there = mapAll(rig, object, other);
    for (let page = 0; page < 500; page++) rig.store32(at + page * PAGE_SIZE, wordOf(page));
    const bytes = new Uint8Array(4);
    for (let page = 0; page < 500; page++) {
      expect(rig.load32(there + page * PAGE_SIZE, other)).toBe(wordOf(page));
      expect(object.read(page * PAGE_SIZE, bytes)).toBe(4);
      expect(new DataView(bytes.buffer).getUint32(0, true)).toBe(wordOf(page));
    }
    rig.vm.assertInvariants();
  });

  test('gives everything back at its end: frames, slots, and what is still on its way', () => {
    const { rig, object, at, pager } = paged(64, 300);
    for (let page = 0; page < 300; page++) rig.store32(at + page * PAGE_SIZE, 1);
    expect(rig.space.fault(at, READ)).toBe(FAULT_WAIT); // a read is under way, and some writes
    rig.space.munmap(at, 300 * PAGE_SIZE);
    object.release();
    rig.vm.assertInvariants();
    settle(rig);
    expect(pager.swap.used).toBe(0);
    expect(pager.queued).toBe(0);
    expect(rig.vm.freeFrames).toBe(rig.vm.totalFrames - 2); // frame 0 and the root table
    rig.vm.assertInvariants();
  });

  test('64 GiB in 256 MiB: pages far beyond 2^32 bytes come and go', () => {
    const rig = new Rig({ frames: 65_536, disk: memoryDisk(2 ** 37) });
    const object = rig.vm.createObject(2 ** 24);
    const at = mapAll(rig, object);
    const touched = 75_000; // in 50 places all over it, with a large page or two in each
    const addressOf = (i: number) => at + (Math.floor(i / 1500) * 333_333 + (i % 1500)) * PAGE_SIZE;
    for (let i = 0; i < touched; i++) rig.store32(addressOf(i), wordOf(i));
    expect(pagerOf(rig).counters.evicted).toBeGreaterThan(9_000);
    expect([rig.vm.pmaps.promotions > 20, rig.vm.pmaps.demotions > 5]).toEqual([true, true]);
    for (let i = 0; i < touched; i += 3) if (rig.load32(addressOf(i)) !== wordOf(i)) expect.unreachable(`page ${i}`);
    expect(rig.load32(at + 2 ** 36 - PAGE_SIZE)).toBe(0);
    rig.vm.assertInvariants();
  });
});

describe('which pages stay', () => {
  test('those in use: a page touched all the time is not brought in again', () => {
    const { rig, at, pager } = paged(256, 4000);
    rig.store32(at, 7);
    for (let page = 1; page < 4000; page++) {
      rig.store32(at + page * PAGE_SIZE, page);
      rig.vm.poll();
      rig.load32(at);
    }
    expect(pager.counters.pagesRead).toBe(0);
  });

  test('wired ones, however little room there is', () => {
    const { rig, object, at } = paged(64, 400);
    const kept = [3, 5, 200];
    for (const page of kept) {
      rig.store32(at + page * PAGE_SIZE, wordOf(page));
      rig.vm.pages.wire(object.lookup(page as ObjectPage));
    }
    for (let page = 0; page < 400; page++) if (!kept.includes(page)) rig.store32(at + page * PAGE_SIZE, 1);
    for (const page of kept) expect(object.lookup(page as ObjectPage)).toBeGreaterThan(0);
    rig.vm.assertInvariants();
    for (const page of kept) rig.vm.pages.unwire(object.lookup(page as ObjectPage));
    rig.vm.assertInvariants();
  });

  test('those a program took an offset into in this step', () => {
    const { rig, object, at } = paged(64, 400);
    rig.store32(at, 1);
    const held = object.lookup(0 as ObjectPage);
    rig.vm.pages.hold(held);
    for (let page = 1; page < 400; page++) rig.store32(at + page * PAGE_SIZE, 1);
    expect(object.lookup(0 as ObjectPage)).toBe(held);
    rig.vm.poll(); // the next step
    for (let page = 1; page < 400; page++) rig.store32(at + page * PAGE_SIZE, 1);
    expect(object.lookup(0 as ObjectPage)).toBe(0);
  });

  test('a page brought in, until whoever waited for it has it', () => {
    const { rig, object, at } = paged(64, 400);
    for (let page = 0; page < 400; page++) rig.store32(at + page * PAGE_SIZE, wordOf(page));
    settle(rig);
    expect(object.lookup(0 as ObjectPage)).toBe(0);
    expect(rig.space.fault(at, READ)).toBe(FAULT_WAIT);
    const channel = rig.vm.waitChannel;
    expect(rig.vm.waitFor(channel)).toBe(true);
    for (let page = 100; page < 400; page++) rig.load32(at + page * PAGE_SIZE); // others press on
    expect(object.lookup(0 as ObjectPage)).toBe(channel);
    expect(rig.load32(at)).toBe(wordOf(0));
  });

  test('all of them on a machine without a disk: then memory is at its end', () => {
    const rig = new Rig({ frames: 32 });
    const object = rig.vm.createObject(100);
    const at = mapAll(rig, object);
    let page = 0;
    while (rig.store32(at + page * PAGE_SIZE, 1) === 0) page++;
    expect(rig.store32(at + page * PAGE_SIZE, 1)).toBe(-FAULT_NO_MEMORY);
    expect(page).toBeGreaterThan(20);
    rig.vm.assertInvariants();
  });
});

describe('what is written', () => {
  test('a page that has not changed is not written again', () => {
    const { rig, at, pager } = paged(64, 200);
    for (let page = 0; page < 200; page++) rig.store32(at + page * PAGE_SIZE, wordOf(page));
    for (let round = 0; round < 2; round++) for (let page = 0; page < 200; page++) rig.load32(at + page * PAGE_SIZE);
    const written = pager.counters.pagesWritten;
    for (let page = 0; page < 200; page++) expect(rig.load32(at + page * PAGE_SIZE)).toBe(wordOf(page));
    expect(pager.counters.pagesWritten).toBe(written);
  });

  test('a page only read takes no slot: zeros need no copy', () => {
    const { rig, at, pager } = paged(64, 500);
    for (let page = 0; page < 500; page++) expect(rig.load32(at + page * PAGE_SIZE)).toBe(0);
    expect(pager.counters.evicted).toBeGreaterThan(400);
    expect(pager.counters.writes).toBe(0);
  });

  test('neighbours go in one request, and come back in one', () => {
    const { rig, at, pager } = paged(256, 1000);
    for (let page = 0; page < 1000; page++) rig.store32(at + page * PAGE_SIZE, wordOf(page));
    expect(pager.counters.pagesWritten / pager.counters.writes).toBeGreaterThan(8);
    for (let page = 0; page < 1000; page++) expect(rig.load32(at + page * PAGE_SIZE)).toBe(wordOf(page));
    expect(pager.counters.pagesRead / pager.counters.reads).toBeGreaterThan(2);
  });

  test('a full device keeps pages in RAM, and a page given up makes room', () => {
    const { rig, object, at, pager } = paged(64, 500, memoryDisk(101 * PAGE_SIZE));
    let page = 0;
    while (rig.store32(at + page * PAGE_SIZE, wordOf(page)) === 0) page++;
    expect(pager.swap.used).toBe(100);
    expect(pager.counters.swapFull).toBeGreaterThan(0);
    for (let i = 0; i < 40; i++) expect(rig.load32(at + i * PAGE_SIZE)).toBe(wordOf(i)); // what is there can still be had
    rig.vm.assertInvariants();
    object.discard(0, 50);
    expect(rig.store32(at + page * PAGE_SIZE, wordOf(page))).toBe(0);
    for (let i = 50; i <= page; i++) expect(rig.load32(at + i * PAGE_SIZE)).toBe(wordOf(i));
    rig.vm.assertInvariants();
  });
});

describe('progress', () => {
  test.each(['vpte-64-nx', 'vpte-32-nx'])('a chain of cold tables (%s) is walked in the least RAM there can be', (vpte) => {
    const rig = new Rig({ frames: 32, disk: memoryDisk(SWAP), vpte });
    const is64 = vpte === 'vpte-64-nx';
    const levels = is64 ? 4 : 2;
    const object = rig.vm.createObject(1000);
    const entry = new Uint8Array(8);
    const view = new DataView(entry.buffer);
    // Tables in pages 10, 20, ..., each with its entry 0 to the next, and the last to page 100.
    for (let level = 0; level < levels; level++) {
      const to = level + 1 === levels ? 100 : 10 * (level + 2);
      view.setUint32(0, to * PAGE_SIZE + 3, true);
      object.write(10 * (level + 1) * PAGE_SIZE, is64 ? entry : entry.subarray(0, 4));
    }
    view.setUint32(0, 4711, true);
    object.write(100 * PAGE_SIZE, entry.subarray(0, 4));
    const at = rig.mapVpagetable(PAGE_SIZE, object);
    rig.setMap(at, PAGE_SIZE, 10 * PAGE_SIZE + 3);
    const linear = mapAll(rig, object);
    for (let round = 0; round < 20; round++) {
      rig.machine.clock.charge(3e9); // nobody waits any more for what was brought in
      for (let page = 200; page < 400; page++) rig.store32(linear + page * PAGE_SIZE, wordOf(page, round));
      for (let level = 1; level <= levels; level++) expect(object.lookup((10 * level) as ObjectPage)).toBe(0); // all are cold
      expect(rig.load32(at)).toBe(4711);
      expect(rig.store32(at, 4711)).toBe(0);
      rig.vm.assertInvariants();
    }
  });

  test('a page in flight is waited for by all, and read once', () => {
    const { rig, object, at, pager } = paged(64, 300);
    const other = rig.newSpace();
    const there = mapAll(rig, object, other);
    for (let page = 0; page < 300; page++) rig.store32(at + page * PAGE_SIZE, wordOf(page));
    settle(rig);
    const { reads } = pager.counters;
    const woken: number[] = [];
    rig.vm.wakeup = (channel) => woken.push(channel);
    expect(rig.space.fault(at, READ)).toBe(FAULT_WAIT);
    const channel = rig.vm.waitChannel;
    expect(other.fault(there, WRITE)).toBe(FAULT_WAIT);
    expect(rig.vm.waitChannel).toBe(channel);
    settle(rig);
    expect(woken).toContain(channel);
    expect(pager.counters.reads).toBe(reads + 1);
    expect(rig.load32(at)).toBe(wordOf(0));
    expect(rig.load32(there, other)).toBe(wordOf(0));
  });

  test('whoever wants a page that is just being written gets it without a read', () => {
    const { rig, object, at, pager } = paged(64, 300);
    let page = 0;
    for (; page < 300 && pager.writing === 0; page++) {
      rig.store32(at + page * PAGE_SIZE, wordOf(page));
      rig.vm.poll();
    }
    const busy = Array.from({ length: page }, (_, i) => i).find((i) => (rig.vm.pages.flags[object.lookup(i as ObjectPage)] & 4) !== 0);
    expect(busy).toBeDefined();
    expect(rig.load32(at + (busy ?? 0) * PAGE_SIZE)).toBe(wordOf(busy ?? 0));
    expect(pager.counters.reads).toBe(0);
    rig.vm.assertInvariants();
  });

  test('an INVAL while the page is on its way is not forgotten', () => {
    const rig = new Rig({ frames: 64, disk: memoryDisk(SWAP), vpte: 'vpte-32-nx' });
    const object = rig.vm.createObject(400);
    const linear = mapAll(rig, object);
    const at = rig.mapVpagetable(PAGE_SIZE, object);
    rig.setMap(at, PAGE_SIZE, 10 * PAGE_SIZE + 3);
    rig.store32(linear + 10 * PAGE_SIZE, 11 * PAGE_SIZE + 3); // directory -> table
    rig.store32(linear + 11 * PAGE_SIZE, 12 * PAGE_SIZE + 3); // table -> page 12
    rig.store32(linear + 12 * PAGE_SIZE, 1212);
    rig.store32(linear + 13 * PAGE_SIZE, 1313);
    for (let page = 100; page < 300; page++) rig.store32(linear + page * PAGE_SIZE, 1);
    let result = rig.space.fault(at, READ);
    while (result === FAULT_WAIT && object.lookup(12 as ObjectPage) === 0) {
      rig.vm.waitFor(rig.vm.waitChannel);
      result = rig.space.fault(at, READ);
    }
    expect(result).toBe(FAULT_WAIT); // page 12 itself is on its way now; the tables have been walked
    rig.store32(linear + 11 * PAGE_SIZE, 13 * PAGE_SIZE + 3);
    rig.inval(at, PAGE_SIZE);
    settle(rig);
    expect(rig.load32(at)).toBe(1313);
  });
});

describe('failures of the device', () => {
  test('a page that cannot be read is refused once per try, and stays where it is', () => {
    let fails = true;
    const { rig, object, at } = paged(
      64,
      300,
      new FaultyDevice(memoryDisk(SWAP), (request) => (fails && !request.isWrite ? 'error' : 'done')) as never,
    );
    for (let page = 0; page < 300; page++) rig.store32(at + page * PAGE_SIZE, wordOf(page));
    settle(rig);
    expect(rig.load32(at)).toBe(-FAULT_INVALID);
    expect(rig.load32(at)).toBe(-FAULT_INVALID);
    expect(rig.space.lastRefusal.reason).toBe('pager-error');
    expect(object.read(0, new Uint8Array(8))).toBe(0);
    rig.vm.assertInvariants();
    fails = false;
    expect(rig.load32(at)).toBe(wordOf(0));
  });

  test('a page that cannot be written stays, dirty; when all writes fail, memory is at its end', () => {
    let fails = true;
    const { rig, at, pager } = paged(
      64,
      300,
      new FaultyDevice(memoryDisk(SWAP), (request) => (fails && request.isWrite ? 'short' : 'done')) as never,
    );
    let page = 0;
    while (page < 300 && rig.store32(at + page * PAGE_SIZE, wordOf(page)) === 0) page++;
    expect(page).toBeLessThan(300);
    expect(pager.counters.writeErrors).toBeGreaterThan(0);
    for (let i = 0; i < 20; i++) rig.vm.poll();
    rig.vm.assertInvariants();
    fails = false;
    settle(rig);
    for (let i = 0; i < 20; i++) rig.vm.poll();
    settle(rig);
    for (; page < 300; page++) expect(rig.store32(at + page * PAGE_SIZE, wordOf(page))).toBe(0);
    for (let i = 0; i < 300; i++) expect(rig.load32(at + i * PAGE_SIZE)).toBe(wordOf(i));
    rig.vm.assertInvariants();
  });

  test.each(['error', 'short'] as const)('the n-th request ends in %s, for every n: nothing is lost, mixed or leaked', (outcome) => {
    let completed = Infinity;
    for (let n = 1; n <= completed; n++) {
      const device = new FaultyDevice(memoryDisk(SWAP), (_, nth) => (nth === n ? outcome : 'done'));
      const { rig, object, at, pager } = paged(48, 120, device);
      let refused = 0;
      for (let round = 0; round < 2; round++) {
        for (let page = 0; page < 120; page++) {
          let result = rig.store32(at + page * PAGE_SIZE, wordOf(page, round));
          for (; result !== 0; result = rig.store32(at + page * PAGE_SIZE, wordOf(page, round))) {
            expect(result).toBe(-FAULT_INVALID);
            refused++;
          }
        }
      }
      for (let page = 0; page < 120; page++) {
        let value = rig.load32(at + page * PAGE_SIZE);
        if (value === -FAULT_INVALID) {
          refused++;
          value = rig.load32(at + page * PAGE_SIZE);
        }
        expect(value).toBe(wordOf(page, 1));
      }
      expect(refused).toBeLessThanOrEqual(1);
      rig.vm.assertInvariants();
      completed = device.completed;
      rig.space.munmap(at, 120 * PAGE_SIZE);
      object.release();
      settle(rig);
      expect([pager.swap.used, rig.vm.freeFrames]).toEqual([0, rig.vm.totalFrames - 2]);
    }
    expect(completed).toBeGreaterThan(20);
  });
});

describe('every step does what a map of pages does', () => {
  const PAGES = 600;
  const page = fc.oneof(fc.nat(PAGES - 1), fc.nat(40));
  const count = fc.integer({ min: 1, max: 80 });
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('store' as const), page, count, space: fc.nat(1) }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('load' as const), page, count, space: fc.nat(1) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('write' as const), page, count, space: fc.nat(1) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('discard' as const), page, count, space: fc.nat(1) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('begin' as const), page, count, space: fc.nat(1) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('inval' as const), page, count, space: fc.nat(1) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('wire' as const), page, count, space: fc.nat(1) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('poll' as const), page, count, space: fc.nat(1) }) },
  );

  /** Does `steps` on `frames` frames, on a device of `blocks`; checks everything after each. */
  function follow(frames: number, blocks: number, steps: readonly { kind: string; page: number; count: number; space: number }[]): void {
    const { rig, object, at, pager } = paged(frames, PAGES, memoryDisk(blocks * PAGE_SIZE));
    const other = rig.newSpace();
    const spaces = [rig.space, other];
    const bases = [at, mapAll(rig, object, other)];
    const model = new Map<number, number>();
    const wired: HostFrame[] = [];
    for (const [round, { kind, page: first, count: pages, space }] of steps.entries()) {
      const end = Math.min(PAGES, first + pages);
      if (kind === 'wire') {
        for (const frame of wired.splice(0)) rig.vm.pages.unwire(frame);
        for (let i = first; i < Math.min(end, first + 10); i++) {
          const frame = object.settle(i as ObjectPage, true);
          if (frame > 0 && rig.vm.pages.wire(frame as HostFrame)) wired.push(frame as HostFrame);
        }
      } else if (kind === 'discard') {
        object.discard(first, end);
        for (let i = first; i < end; i++) model.delete(i);
      } else if (kind === 'inval') {
        spaces[space].mcontrol(bases[space] + first * PAGE_SIZE, (end - first) * PAGE_SIZE, MADV_INVAL, 0);
      } else if (kind === 'poll') {
        rig.machine.clock.charge(pages * 1000);
        rig.vm.poll();
      }
      for (let i = first; i < end; i++) {
        const va = bases[space] + i * PAGE_SIZE + 4 * (i % 1024);
        if (kind === 'begin') spaces[space].fault(va, READ); // somebody who does not wait
        if (kind === 'load') expect(rig.load32(va, spaces[space])).toBe(model.get(i) ?? 0);
        if (kind === 'store') {
          expect(rig.store32(va, wordOf(i, round), spaces[space])).toBe(0);
          model.set(i, wordOf(i, round));
        }
        if (kind === 'write') {
          expect(object.write(i * PAGE_SIZE + 4 * (i % 1024), new Uint8Array(Uint32Array.of(wordOf(i, round)).buffer))).toBe(4);
          model.set(i, wordOf(i, round));
        }
      }
      rig.vm.assertInvariants();
    }
    for (let i = 0; i < PAGES; i++) expect(rig.load32(at + i * PAGE_SIZE + 4 * (i % 1024))).toBe(model.get(i) ?? 0);
    for (const frame of wired.splice(0)) rig.vm.pages.unwire(frame);
    for (const one of spaces) one.destroy();
    object.release();
    settle(rig);
    expect([pager.swap.used, rig.vm.freeFrames]).toEqual([0, rig.vm.totalFrames - 1]);
    rig.vm.assertInvariants();
  }

  test.each([64, 256])('on %i frames', (frames) => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }), (steps) => follow(frames, 4096, steps)),
      { numRuns: 10 },
    );
  });
});

test('what a real PTE says of a page is in its flags when the page goes', () => {
  const { rig, object, at } = paged(64, 300);
  rig.load32(at); // clean
  rig.store32(at + PAGE_SIZE, 5); // written through the PTE only: the flags do not know
  const frame = object.lookup(1 as ObjectPage);
  expect(rig.vm.pages.flags[frame] & PG_DIRTY).toBe(0);
  expect(rig.space.pmap.extract((at / PAGE_SIZE + 1) as VirtualPage)).toBe(frame);
  for (let page = 2; page < 300; page++) rig.load32(at + page * PAGE_SIZE);
  settle(rig);
  expect(object.lookup(1 as ObjectPage)).toBe(0);
  expect(rig.load32(at + PAGE_SIZE)).toBe(5);
});

test('an error of a page that was merged into a shadow is told there, and not to who gets the id', () => {
  let isBroken = false;
  const disk = new FaultyDevice(memoryDisk(SWAP), (request) => (isBroken && !request.isWrite ? 'error' : 'done'));
  const rig = new Rig({ frames: 64, disk });
  const { objects } = rig.vm;
  const behind = objects.create(1);
  behind.write(0, Uint8Array.of(7));
  const press = objects.create(200);
  const first = objects.create(1);
  for (let page = 0; page < 200; page++) press.write(page * PAGE_SIZE, Uint8Array.of(1));
  expect(behind.lookup(0 as ObjectPage)).toBe(0);
  press.release();
  first.release();
  settle(rig);
  isBroken = true;
  expect(behind.readable(0 as ObjectPage)).toBe(-1); // PAGE_WAIT; who waits never asks again
  settle(rig);
  isBroken = false;
  const shadow = behind.shadow(1, 0);
  shadow.collapse();
  const id = behind.id;
  expect(shadow.readable(0 as ObjectPage)).toBe(-2); // PAGE_ERROR
  expect(shadow.settle(0, false)).toBeGreaterThan(0);
  const next = objects.create(1);
  expect(next.id).toBe(id);
  shadow.release();
  next.release();
});
