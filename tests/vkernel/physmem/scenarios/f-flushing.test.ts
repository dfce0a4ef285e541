/** Section F: what is flushed, and when. */

import { describe, expect, test } from 'vitest';
import { ENOENT } from '../../../../hostkernel/base/errno.ts';
import type { GuestFrame } from '../../../../hostkernel/base/units.ts';
import type { Container } from '../../../../vkernel/physmem/core/container.ts';
import { isCopyOnWrite, STALE } from '../../../../vkernel/physmem/core/frame-table.ts';
import { writeOut } from '../../../../vkernel/physmem/core/inactive.ts';
import { moveFrame } from '../../../../vkernel/physmem/core/move.ts';
import { COPY_IN_PLACE, COPY_MOVE, COPY_SHARED, LAZY, MAP_READ, MAP_WRITE, SQUASH } from '../../../../vkernel/physmem/interface.ts';
import { Machine } from '../machine.ts';
import { filled, finish, setup } from './setup.ts';

test('F1 the source of a copy goes: a mapping of the copy may vanish, and a fault brings the same data', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  const b = machine.create();
  machine.copy(a, 0, b, 0, 4);
  for (let page = 0; page < 4; page += 1) machine.read(b, page);
  machine.deallocate(a, 1, 2);
  expect([0, 1, 2, 3].map((page) => machine.read(b, page))).toEqual([10, 11, 12, 13]);
  finish(machine);
});
test('F2 after deallocation nobody can read the page', () => {
  const { machine } = setup({ pages: 1 });
  const a = filled(machine, 1);
  machine.deallocate(a, 0, 1);
  expect(machine.translations.get(a)?.size).toBe(0);
  const b = machine.create();
  machine.allocate(b, 0, 1);
  machine.write(b, 0, 4711);
  expect(machine.read(a, 0)).toBe(-ENOENT);
  finish(machine);
});
test('F3 a sharer that could read the old page must fault onto the new one', () => {
  const { machine } = setup();
  const a = filled(machine, 1);
  const [b, c] = [machine.create(), machine.create()];
  machine.copy(a, 0, b, 0, 1, COPY_SHARED);
  machine.copy(a, 0, c, 0, 1);
  machine.read(b, 0);
  machine.write(a, 0, 5);
  expect([machine.read(b, 0), machine.read(c, 0)]).toEqual([5, 10]);
  finish(machine);
});
test('F4 after no operation of a long row is there a writable mapping of a frame that copies share', () => {
  const { machine } = setup({ copyPages: 2 });
  const containers = [filled(machine, 16), machine.create(), machine.create(), machine.create()];
  const modes = [0, COPY_SHARED, COPY_IN_PLACE, COPY_MOVE];
  let shared = 0;
  for (let i = 0; i < 400; i += 1) {
    const [from, to] = [containers[i % 4], containers[(i * 7 + 1) % 4]];
    const [page, toPage] = [(i * 5) % 16, (i * 3) % 16];
    if (i % 3 === 0) machine.copy(from, page, to, toPage, 1 + (i % 8), modes[(i * 11) % 4] | (i % 2 === 0 ? SQUASH : 0));
    else if (i % 17 === 0) machine.deallocate(from, page, 1 + (i % 3), i % 2 === 0 ? LAZY : 0);
    else if (i % 5 === 0) machine.allocate(to, toPage, 4);
    else machine.write(from, page, i);
    shared += assertReadOnlyWhereShared(machine, containers);
  }
  expect(shared).toBeGreaterThan(1000);
  finish(machine);
});
test('F5 shared copy flushes nothing, a copy of a never writable frame nothing, of a writable one WRITE once', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  const [b, c] = [machine.create(), machine.create()];
  machine.flushes = [];
  machine.copy(a, 0, b, 0, 4, COPY_SHARED);
  expect(machine.flushes).toEqual([]);
  machine.copy(a, 0, c, 0, 4);
  expect(machine.flushes.map((flush) => [flush.pages, flush.rights])).toEqual([[4, MAP_WRITE]]);
  const d = machine.create();
  machine.copy(c, 0, d, 0, 4);
  expect(machine.flushes.length).toBe(1);
  finish(machine);
});

/** B has given up its copy of A's page lazily, with a mapping it can still read; A has never been mapped since. */
function given(machine: Machine) {
  const a = filled(machine, 4);
  const b = machine.create();
  machine.copy(a, 0, b, 0, 4);
  expect(machine.read(b, 0)).toBe(10);
  machine.flushes = [];
  expect(machine.deallocate(b, 0, 4, LAZY)).toBe(0);
  return { a, b, isStale: () => (machine.physmem.table.state[machine.frameAt(a, 0)] & STALE) !== 0 };
}

test('F6 LAZY, of a page that others use and nobody could write: no flush until somebody may write it', () => {
  const { machine } = setup();
  const { a, isStale } = given(machine);
  expect([machine.flushes, machine.leftovers.map(({ rights }) => rights), isStale()]).toEqual([[], [MAP_READ], true]);
  machine.map(a, MAP_READ, 0, 4);
  expect([machine.flushes, isStale()]).toEqual([[], true]);
  machine.write(a, 0, 99);
  expect([machine.leftovers, isStale()]).toEqual([[], false]);
  expect(machine.flushes.map(({ pages }) => pages)).toEqual([4]);
  expect(machine.physmem.counters.copies).toBe(0);
  finish(machine);
});
describe('F7 LAZY is a permission only: the flush is immediate', () => {
  test('for the last user', () => {
    const { machine } = setup();
    const a = machine.create();
    machine.allocate(a, 0, 1);
    machine.read(a, 0);
    expect(machine.deallocate(a, 0, 1, LAZY)).toBe(0);
    expect([machine.leftovers, machine.use]).toEqual([[], 0]);
    finish(machine);
  });
  test('for what could be written', () => {
    const { machine } = setup();
    const a = filled(machine, 1);
    const b = machine.create();
    machine.copy(a, 0, b, 0, 1, COPY_SHARED);
    machine.write(b, 0, 5);
    expect(machine.deallocate(b, 0, 1, LAZY)).toBe(0);
    expect([machine.leftovers, machine.read(a, 0)]).toEqual([[], 5]);
    finish(machine);
  });
  test('for the part of a frame that nobody uses any more', () => {
    const { machine } = setup();
    const a = filled(machine, 4);
    const b = machine.create();
    machine.copy(a, 0, b, 0, 2, 0);
    for (let page = 0; page < 4; page += 1) machine.read(a, page);
    machine.deallocate(a, 0, 4, LAZY);
    const left = machine.guestFrameAt(b, 0);
    expect(machine.leftovers.map(({ frame }) => frame)).toEqual([left, left + 1]);
    finish(machine);
  });
});
describe('F8 a stale frame is flushed first', () => {
  test('when it is freed', () => {
    const { machine } = setup();
    const { a } = given(machine);
    machine.deallocate(a, 0, 4);
    expect([machine.leftovers, machine.use]).toEqual([[], 0]);
    finish(machine);
  });
  test('when a part of it is freed, there', () => {
    const { machine } = setup();
    const { a } = given(machine);
    machine.deallocate(a, 0, 1);
    expect(machine.leftovers).toEqual([]);
    finish(machine);
  });
  test('when it is written out', () => {
    const machine = new Machine({ memory: [[1024, 64]], slots: 16 });
    const { a } = given(machine);
    expect(machine.swapOut(a, 0, 4)).toBe(0);
    expect(writeOut(machine.physmem, 4)).toBe(4);
    expect([machine.leftovers, machine.use]).toEqual([[], 0]);
  });
  test('when its memory moves', () => {
    const { machine } = setup();
    const { a } = given(machine);
    const { physmem } = machine;
    const to = physmem.zones.allocate(4);
    const from = physmem.table.address[machine.frameAt(a, 0)] as GuestFrame;
    moveFrame(physmem, machine.frameAt(a, 0), to);
    physmem.zones.free(from, 4);
    expect([machine.leftovers, machine.guestFrameAt(a, 0), machine.values(a, 0, 4)]).toEqual([[], to, [10, 11, 12, 13]]);
    finish(machine);
  });
  test('when physmem itself writes into it', () => {
    const { machine } = setup();
    const { a } = given(machine);
    const [c, d] = [machine.create(), filled(machine, 4)];
    machine.copy(a, 0, c, 0, 4, COPY_SHARED);
    machine.copy(d, 0, a, 0, 4, COPY_IN_PLACE);
    expect([machine.leftovers, machine.values(c, 0, 4)]).toEqual([[], [10, 11, 12, 13]]);
    finish(machine);
  });
});
test('F9 who reuses an address it gave up lazily sees old bytes there, until it unmaps its own page', () => {
  const { machine } = setup();
  const { a, b } = given(machine);
  machine.allocate(b, 0, 1);
  const [stale] = machine.leftovers;
  const table = machine.translations.get(b);
  table?.set(0, { frame: stale.frame, rights: stale.rights }); // it did not unmap: the translation is at the old address
  expect(machine.read(b, 0)).toBe(10);
  machine.leftovers = [];
  table?.delete(0);
  expect(machine.read(b, 0)).toBe(0);
  expect(machine.read(a, 0)).toBe(10);
  finish(machine);
});

/** @returns how many translations of shared frames were looked at */
function assertReadOnlyWhereShared(machine: Machine, containers: readonly Container[]): number {
  const { table } = machine.physmem;
  let shared = 0;
  for (const container of containers) {
    for (const [page, { rights }] of machine.translations.get(container) ?? []) {
      const frame = machine.frameAt(container, page);
      if (!isCopyOnWrite(table, frame)) continue;
      shared += 1;
      expect((rights | table.granted[frame]) & MAP_WRITE).toBe(0);
    }
  }
  return shared;
}
