/** Section K: which physical memory. K1 to K3 are in zone.test.ts, K7 and K8 in constraint.test.ts as well. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EBUSY, EINVAL, ENOMEM } from '../../../../hostkernel/base/errno.ts';
import type { GuestFrame } from '../../../../hostkernel/base/units.ts';
import { at, colour, DMA16 } from '../../../../vkernel/physmem/core/constraint.ts';
import type { Container } from '../../../../vkernel/physmem/core/container.ts';
import { writeOut } from '../../../../vkernel/physmem/core/inactive.ts';
import { assertInvariants, censusOf } from '../../../../vkernel/physmem/core/invariants.ts';
import { map } from '../../../../vkernel/physmem/core/map.ts';
import { compact } from '../../../../vkernel/physmem/core/move.ts';
import { type PinSink, pin, unpin } from '../../../../vkernel/physmem/core/pins.ts';
import { release } from '../../../../vkernel/physmem/core/release.ts';
import { CONSTRAINED, CONTIGUOUS, COPY_IN_PLACE, DMA, MAP_READ } from '../../../../vkernel/physmem/interface.ts';
import { KINDS, KindsLife } from '../kinds-run.ts';
import { Items, Machine, P } from '../machine.ts';
import { filled, finish, RW } from './setup.ts';

/** Pages of guest memory under pages [from, from + pages). */
function framesAt(machine: Machine, container: Container, pages: number, from = 0): number[] {
  return Array.from({ length: pages }, (_, i) => machine.guestFrameAt(container, from + i));
}

function isConsecutive(frames: readonly number[]): boolean {
  return frames.every((frame, i) => frame === frames[0] + i);
}

/** Binds pages [0, pages), for nobody. */
function bindAll(machine: Machine, container: Container, pages: number): number {
  let error = 0;
  for (let page = 0; page < pages && error === 0; page += 1) {
    if (machine.guestFrameAt(container, page) < 0) error = map(machine.physmem, container, MAP_READ, page * P, page * P, P, new Items());
  }
  return error;
}

const OWN = { task: 5, weak: null, expires: Number.POSITIVE_INFINITY };

/** A reply that takes runs of pinned memory. */
class Runs implements PinSink {
  readonly frames: number[] = [];
  readonly room = 24;

  run(frame: GuestFrame, pages: number): void {
    for (let i = 0; i < pages; i += 1) this.frames.push(frame + i);
  }
}

/** Pins pages. @returns what ends it */
function pinned(machine: Machine, container: Container, page: number, pages: number): () => void {
  const runs = new Runs();
  expect(pin(machine.physmem, container, OWN, page * P, pages * P, 1000, 0, runs)).toBe(0);
  expect(runs.frames).toEqual(framesAt(machine, container, pages, page));
  assertInvariants(machine.physmem);
  return () => expect(unpin(machine.physmem, container, OWN, page * P, pages * P)).toBe(0);
}

/** 64 single pages, bound and holding their numbers, on a machine of 64; every second one is given back. */
function fragmented(options: { moving?: boolean } = {}): { machine: Machine; a: Container } {
  const machine = new Machine({ memory: [[64, 64]], ...options });
  const a = machine.create();
  for (let page = 0; page < 64; page += 1) {
    machine.allocate(a, page, 1);
    machine.write(a, page, page);
  }
  for (let page = 0; page < 64; page += 2) machine.deallocate(a, page, 1);
  expect(machine.physmem.zones.largestOrder).toBe(0);
  machine.flushes = [];
  return { machine, a };
}

test('K4 DMA memory is below 16 MiB, movable pages of others make room, and the surplus fails', () => {
  const machine = new Machine({ memory: [[0, 16_384]] });
  const limit = 2 ** 24 / P;
  const other = machine.create();
  machine.allocate(other, 0, limit - 1);
  bindAll(machine, other, limit - 1);
  machine.write(other, 2050, 7);
  const below = framesAt(machine, other, limit - 1).filter((frame) => frame < limit).length;
  expect(below).toBe(limit - 1); // all that there is: page 0 is nobody's
  const a = machine.create();
  expect(machine.allocate(a, 0, 8, DMA)).toBe(0);
  expect(machine.write(a, 0, 1)).toBe(0);
  expect(machine.write(a, 7, 2)).toBe(0);
  expect(framesAt(machine, a, 8).every((frame) => frame > 0 && frame < limit)).toBe(true);
  expect([machine.physmem.counters.movedPages, machine.read(other, 2050)]).toEqual([8, 7]);
  const dma = machine.create();
  machine.allocate(dma, 0, limit - 9, DMA);
  expect(bindAll(machine, dma, limit - 9)).toBe(0);
  expect(framesAt(machine, dma, limit - 9).every((frame) => frame > 0 && frame < limit)).toBe(true);
  machine.allocate(dma, limit, 1, DMA);
  expect(machine.map(dma, MAP_READ, limit).error).toBe(ENOMEM);
  expect(machine.physmem.zones.freePages).toBeGreaterThan(8000);
  finish(machine);
});

test('K5 every frame of colour 5 of 8 has address bits 12 to 14 at 101', () => {
  const machine = new Machine({ memory: [[3, 200]] });
  const a = machine.create();
  const { set, clear } = colour(5, 8);
  for (let page = 0; page < 20; page += 1) {
    expect(machine.allocate(a, page, 1, CONSTRAINED, set, clear)).toBe(0);
    machine.write(a, page, page);
  }
  expect(framesAt(machine, a, 20).map((frame) => frame % 8)).toEqual(Array.from({ length: 20 }, () => 5));
  finish(machine);
});

test('K6 an exact address: had once; again, the occupant moves; not while it is pinned', () => {
  const machine = new Machine({ memory: [[64, 64]] });
  const { set, clear } = at(100 * P);
  const a = machine.create();
  const b = machine.create();
  expect(machine.allocate(a, 0, 1, CONSTRAINED, set, clear)).toBe(0);
  machine.write(a, 0, 11);
  expect(machine.guestFrameAt(a, 0)).toBe(100);
  machine.allocate(b, 0, 1, CONSTRAINED, set, clear);
  const unpinA = pinned(machine, a, 0, 1);
  expect(machine.write(b, 0, 22)).toBe(EBUSY);
  unpinA();
  expect(machine.write(b, 0, 22)).toBe(0);
  expect([machine.guestFrameAt(b, 0), machine.read(a, 0), machine.read(b, 0)]).toEqual([100, 11, 22]);
  assertInvariants(machine.physmem);
  // What was driven out comes back to be pinned, and drives the other out; but not while that is pinned.
  const unpinB = pinned(machine, b, 0, 1);
  expect(pin(machine.physmem, a, OWN, 0, P, 1000, 0, new Runs())).toBe(EBUSY);
  unpinB();
  pinned(machine, a, 0, 1)();
  expect([machine.guestFrameAt(a, 0), machine.read(a, 0), machine.read(b, 0)]).toEqual([100, 11, 22]);
  finish(machine);
});

test('K6 a plain occupant of an exact address moves, out of a larger frame too', () => {
  const machine = new Machine({ memory: [[64, 64]] });
  const a = filled(machine, 16);
  const wanted = machine.guestFrameAt(a, 5);
  const { set, clear } = at(wanted * P);
  machine.flushes = [];
  machine.allocate(a, 20, 1, CONSTRAINED, set, clear);
  expect(machine.write(a, 20, 99)).toBe(0);
  expect(machine.guestFrameAt(a, 20)).toBe(wanted);
  expect(machine.flushes).toEqual([{ frame: wanted, pages: 1, rights: RW & 7 }]);
  expect(machine.values(a, 0, 16)).toEqual(Array.from({ length: 16 }, (_, i) => 10 + i));
  finish(machine);
});

test('K7 what no memory can ever be is EINVAL', () => {
  const machine = new Machine({ memory: [[2 ** 13, 64]] }); // from 32 MiB on
  const a = machine.create();
  expect(machine.allocate(a, 0, 1, CONSTRAINED, 0x5000, 0x1000)).toBe(EINVAL);
  expect(machine.allocate(a, 0, 2, CONSTRAINED, 0x1000, 0)).toBe(EINVAL);
  expect(machine.allocate(a, 0, 1, DMA)).toBe(EINVAL);
  expect(machine.allocate(a, 0, 1, CONSTRAINED, ...words(at(2 ** 13 * P - P)))).toBe(EINVAL);
  expect(machine.allocate(a, 0, 65, CONTIGUOUS)).toBe(EINVAL);
  expect(machine.allocate(a, 0, 1, CONSTRAINED | DMA, 0, 0)).toBe(EINVAL);
  expect(machine.allocate(a, 0, 1, 0, 0x5000, 0x1000)).toBe(0); // nobody asked for the words
  finish(machine);
});

test('K9 a large frame is bound after moving, contents stay, and moved pages are mapped no more', () => {
  const { machine, a } = fragmented();
  const before = new Map(Array.from({ length: 32 }, (_, i) => [2 * i + 1, machine.guestFrameAt(a, 2 * i + 1)]));
  const b = machine.create();
  machine.allocate(b, 0, 32);
  expect(machine.map(b, RW, 0, 32).error).toBe(0);
  expect([censusOf(machine.physmem).bound[5], machine.physmem.zones.freePages]).toEqual([1, 0]);
  const moved = [...before].filter(([page, frame]) => machine.guestFrameAt(a, page) !== frame);
  expect(moved.length).toBe(16); // a half of 32 pages in use, and no page twice
  for (const [page, frame] of moved) {
    expect(machine.flushes.some((flush) => flush.frame === frame)).toBe(true);
    expect(machine.translations.get(a)?.has(page)).toBe(false);
  }
  for (const page of before.keys()) expect(machine.read(a, page)).toBe(page);
  finish(machine);
});

test('K10 where nothing may be moved, the large frame is split and bound as single pages', () => {
  const { machine, a } = fragmented({ moving: false });
  const b = machine.create();
  machine.allocate(b, 0, 32);
  for (let page = 0; page < 32; page += 1) expect(machine.write(b, page, 100 + page)).toBe(0);
  expect(censusOf(machine.physmem).bound).toEqual([64]);
  expect([machine.physmem.counters.moves, machine.read(b, 31), machine.read(a, 63)]).toEqual([0, 131, 63]);
  finish(machine);
});

test('K11 12K of contiguous DMA memory: three consecutive pages below the limit, moved for if need be', () => {
  const { machine } = fragmented();
  const b = machine.create();
  expect(machine.allocate(b, 0, 3, DMA | CONTIGUOUS)).toBe(0);
  const run = framesAt(machine, b, 3);
  expect(isConsecutive(run) && run[0] % 2 === 0 && run[2] < 4096).toBe(true);
  expect([machine.shape(b), machine.read(b, 0), machine.read(b, 2)]).toEqual(['2@0 1@2', 0, 0]);
  machine.write(b, 1, 5);
  // It stays together, whoever wants large blocks.
  const c = machine.create();
  machine.allocate(c, 0, 16);
  machine.write(c, 0, 1);
  expect([framesAt(machine, b, 3), machine.read(b, 1)]).toEqual([run, 5]);
  finish(machine);
});

test('K11 a run behind a required bit, and the last one that there is', () => {
  const machine = new Machine({ memory: [[64, 64]] });
  const a = machine.create();
  expect(machine.allocate(a, 0, 5, CONSTRAINED | CONTIGUOUS, 4 * P, 0)).toBe(0);
  expect(framesAt(machine, a, 5)).toEqual([68, 69, 70, 71, 72]);
  expect(machine.allocate(a, 5, 60, CONTIGUOUS)).toBe(ENOMEM);
  expect(machine.physmem.amount).toBe(0);
  machine.allocate(a, 8, 1);
  machine.write(a, 8, 3);
  const end = pinned(machine, a, 8, 1);
  const { set, clear } = at(machine.guestFrameAt(a, 8) * P);
  expect(machine.allocate(a, 9, 1, CONSTRAINED | CONTIGUOUS, set, clear)).toBe(EBUSY);
  end();
  finish(machine);
});

test('K12 an aligned frame of 2 MiB at an aligned address is one map item', () => {
  const machine = new Machine({ memory: [[1, 1535]] });
  const a = machine.create();
  machine.allocate(a, 512, 512);
  const { items } = machine.map(a, RW, 512, 512);
  expect(items.map(({ frame, pages }) => [frame % 512, pages])).toEqual([[0, 512]]);
  finish(machine);
});

test('K13 a constraint survives moving; a copy-on-write copy has none, whoever writes first', () => {
  for (const first of ['owner', 'copy']) {
    const machine = new Machine({ memory: [[64, 64]] });
    const { set, clear } = colour(1, 4);
    const a = machine.create();
    machine.allocate(a, 0, 1, CONSTRAINED, set, clear);
    machine.write(a, 0, 1);
    const b = machine.create();
    machine.copy(a, 0, b, 0, 1);
    machine.write(first === 'owner' ? a : b, 0, 2);
    expect([machine.read(a, 0), machine.read(b, 0)]).toEqual(first === 'owner' ? [2, 1] : [1, 2]);
    expect(machine.guestFrameAt(a, 0) % 4).toBe(1);
    expect(machine.guestFrameAt(b, 0)).toBe(64); // the lowest that is free
    // An exact claim on its page drives the owner to another page of the colour, and the copy anywhere.
    for (const [i, each] of [a, b].entries()) {
      machine.allocate(a, 4 + i, 1, CONSTRAINED, ...words(at(machine.guestFrameAt(each, 0) * P)));
      expect(machine.write(a, 4 + i, 9)).toBe(0);
    }
    expect(machine.guestFrameAt(a, 0) % 4).toBe(1);
    expect(machine.guestFrameAt(b, 0) % 4).not.toBe(1);
    expect([machine.read(a, 0), machine.read(b, 0)]).toEqual(first === 'owner' ? [2, 1] : [1, 2]);
    finish(machine);
  }
});

test('K13 parts of a constrained frame keep the high part of what it asked for', () => {
  const machine = new Machine({ memory: [[64, 64]] });
  const a = machine.create();
  machine.allocate(a, 0, 4, CONSTRAINED, 16 * P, 15 * P);
  machine.write(a, 0, 1);
  machine.deallocate(a, 1, 1);
  machine.write(a, 3, 3);
  const frames = framesAt(machine, a, 4);
  expect(frames.filter((frame) => frame >= 0).every((frame) => (frame & 16) === 16 && (frame & 12) === 0)).toBe(true);
  assertInvariants(machine.physmem);
  finish(machine);
});

test('K13 released pages want the memory they had, and get it again', () => {
  const machine = new Machine({ memory: [[64, 64]] });
  const a = machine.create();
  machine.allocate(a, 0, 4, CONSTRAINED, 16 * P, 15 * P);
  machine.allocate(a, 4, 3, CONTIGUOUS);
  for (let page = 0; page < 7; page += 1) machine.write(a, page, page);
  const run = framesAt(machine, a, 3, 4);
  expect(release(machine.physmem, a, P, 5 * P, 0)).toBe(0);
  const other = filled(machine, 32); // takes what has become free
  for (let page = 1; page < 7; page += 1) expect(machine.read(a, page)).toBe(page === 6 ? 6 : 0);
  expect(framesAt(machine, a, 4).every((frame) => (frame & 16) === 16 && (frame & 12) === 0)).toBe(true);
  expect(framesAt(machine, a, 3, 4)).toEqual(run);
  expect(machine.read(other, 31)).toBe(41);
  assertInvariants(machine.physmem);
  finish(machine);
});

test('K13 pages put away and taken back want the memory they had, whether they were written out or not', () => {
  for (const isWritten of [false, true]) {
    const machine = new Machine({ memory: [[64, 64]], slots: 16 });
    const { physmem } = machine;
    const a = machine.create();
    machine.allocate(a, 0, 4, CONSTRAINED, 16 * P, 12 * P);
    for (let page = 0; page < 4; page += 1) machine.write(a, page, page + 1);
    const right = framesAt(machine, a, 4);
    expect(right[0] & 28).toBe(16);
    expect(machine.swapOut(a, 0, 4)).toBe(0);
    const id = physmem.swapId;
    for (let page = 0; page < 4; page += 1) machine.write(a, page, 50); // fresh pages, of the same kind
    expect(framesAt(machine, a, 4).every((frame) => (frame & 28) === 16)).toBe(true);
    if (isWritten) expect(writeOut(physmem, 4)).toBe(4);
    expect(machine.swapIn(a, id, 0, 4)).toBe(0);
    expect([0, 1, 2, 3].map((page) => machine.read(a, page))).toEqual([1, 2, 3, 4]);
    pinned(machine, a, 0, 4)();
    expect(framesAt(machine, a, 4).every((frame) => (frame & 28) === 16)).toBe(true);
    assertInvariants(physmem);
    finish(machine);
  }
});

test('K13 a page that is filled in place stays where it was to be', () => {
  const machine = new Machine({ memory: [[64, 64]] });
  const a = machine.create();
  machine.allocate(a, 0, 1, CONSTRAINED, ...words(at(100 * P)));
  const b = filled(machine, 1);
  expect(machine.copy(b, 0, a, 0, 1, COPY_IN_PLACE)).toBe(0);
  machine.write(b, 0, 99);
  expect([machine.read(a, 0), machine.guestFrameAt(a, 0)]).toEqual([10, 100]);
  finish(machine);
});

test("memory in irregular pieces is conserved, and page 0 is nobody's", () => {
  const machine = new Machine({
    memory: [
      [0, 3],
      [5, 2],
      [16, 33],
      [100, 1],
    ],
  });
  const { physmem } = machine;
  expect([physmem.receivedPages, physmem.fixedPages, physmem.zones.freePages]).toEqual([39, 1, 38]);
  expect([physmem.received.starts, physmem.received.ends]).toEqual([
    [1, 5, 16, 100],
    [3, 7, 49, 101],
  ]);
  const a = machine.create();
  for (let page = 0; page < 38; page += 1) {
    machine.allocate(a, page, 1);
    machine.write(a, page, page);
  }
  expect(physmem.zones.freePages).toBe(0);
  expect(framesAt(machine, a, 38)).not.toContain(0);
  finish(machine);
  expect(physmem.zones.freePages).toBe(38);
});

test('compacting moves at most so many pages at a time, until half of what is free is one block', () => {
  const { machine, a } = fragmented();
  const { zones, counters } = machine.physmem;
  let steps = 0;
  for (let moved = compact(machine.physmem, 3); moved > 0; moved = compact(machine.physmem, 3)) {
    expect(moved).toBeLessThanOrEqual(3);
    assertInvariants(machine.physmem);
    steps += 1;
  }
  expect([zones.largestOrder, counters.movedPages, steps]).toEqual([4, 8, 3]);
  for (let page = 1; page < 64; page += 2) expect(machine.read(a, page)).toBe(page);
  expect(compact(machine.physmem, 3)).toBe(0);
  finish(machine);
});

test('compacting leaves pinned memory alone', () => {
  const { machine, a } = fragmented();
  const frames = framesAt(machine, a, 64);
  const ends = Array.from({ length: 16 }, (_, i) => pinned(machine, a, 4 * i + 1, 1)); // one in every four pages
  for (let moved = compact(machine.physmem, 64); moved > 0; moved = compact(machine.physmem, 64)) assertInvariants(machine.physmem);
  expect([machine.physmem.zones.largestOrder, machine.physmem.counters.movedPages]).toEqual([1, 1]);
  for (let page = 1; page < 64; page += 4) expect(machine.guestFrameAt(a, page)).toBe(frames[page]);
  for (const end of ends) end();
  finish(machine);
});

test('compacting gives a region up where a page of it is pinned half way', () => {
  const { machine, a } = fragmented();
  const { physmem } = machine;
  expect(compact(physmem, 3)).toBe(3);
  const { start, order } = physmem.compaction;
  const left = Array.from({ length: 32 }, (_, i) => 2 * i + 1);
  const inside = left.filter((page) => {
    const frame = machine.guestFrameAt(a, page);
    return frame >= start && frame < start + 2 ** order;
  });
  expect(inside.length).toBeGreaterThan(0);
  const ends = inside.slice(0, 12).map((page) => pinned(machine, a, page, 1));
  const frames = inside.map((page) => machine.guestFrameAt(a, page));
  for (let i = 0; i < 20; i += 1) compact(physmem, 3);
  assertInvariants(physmem);
  expect(inside.map((page) => machine.guestFrameAt(a, page)).slice(0, ends.length)).toEqual(frames.slice(0, ends.length));
  for (const page of left) expect(machine.peek(a, page)).toBe(page);
  for (const end of ends) end();
  finish(machine);
});

test('a reply never names the old place of memory that moved while it was made', () => {
  const machine = new Machine({ memory: [[64, 16]] });
  const a = machine.create();
  const b = machine.create();
  for (let page = 0; page < 16; page += 1) {
    machine.allocate(b, page, 1);
    machine.write(b, page, page);
  }
  for (const page of [0, 2, 4, 6, 9, 10, 12, 14]) machine.deallocate(b, page, 1);
  machine.deallocate(b, 5, 1);
  machine.allocate(a, 0, 1);
  machine.allocate(a, 1, 7);
  expect(machine.map(a, RW, 0, 8).error).toBe(0);
  for (let page = 0; page < 8; page += 1) {
    machine.write(a, page, 50 + page);
    expect(machine.peek(a, page)).toBe(50 + page);
  }
  expect([1, 3, 7, 8, 11, 13, 15].map((page) => machine.read(b, page))).toEqual([1, 3, 7, 8, 11, 13, 15]);
  finish(machine);
});

test('random lives with every kind of memory: contents and conservation hold, and what is pinned is where it is to be', () => {
  const kind = fc.oneof(fc.nat(KINDS - 1), fc.constantFrom(2, 3, 14, 14)); // claims and pins are what it is about
  const step = fc.record({ kind, which: fc.nat(2), page: fc.constantFrom(0, 0, 1, 2, 4, 8, 12), length: fc.nat(7), x: fc.nat(15) });
  let met = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 60 }), (steps) => {
      const life = new KindsLife();
      steps.forEach((each, i) => {
        life.take(each, i + 1);
        life.check();
      });
      finish(life.machine);
      met += life.met;
    }),
    { numRuns: 15 },
  );
  expect(met).toBeGreaterThan(0);
});

function words({ set, clear }: { set: number; clear: number }): [number, number] {
  return [set, clear];
}

test('DMA memory is what DMA16 says', () => {
  const machine = new Machine({ memory: [[4090, 20]] });
  const a = machine.create();
  machine.allocate(a, 0, 4, DMA);
  machine.allocate(a, 4, 4, CONSTRAINED, ...words(DMA16));
  for (let page = 0; page < 8; page += 1) machine.write(a, page, page);
  expect(framesAt(machine, a, 8).filter((frame) => frame >= 4096)).toEqual([]);
  expect(machine.use).toBe(6); // and for two there is none
  finish(machine);
});
