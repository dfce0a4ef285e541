/**
 * Section M: what went wrong in hurd-l4 physmem, as it was published. One test each; where the scenario that shows a
 * defect stands elsewhere too, this is its smallest form.
 */

import { expect, test } from 'vitest';
import { EINVAL, ENOENT, ENOMEM, ESRCH } from '../../../../hostkernel/base/errno.ts';
import { allocate } from '../../../../vkernel/physmem/core/allocate.ts';
import { copy } from '../../../../vkernel/physmem/core/copy.ts';
import { isCopyOnWrite } from '../../../../vkernel/physmem/core/frame-table.ts';
import { assertInvariants, framesOf } from '../../../../vkernel/physmem/core/invariants.ts';
import { map } from '../../../../vkernel/physmem/core/map.ts';
import { COPY_SHARED, MAP_READ } from '../../../../vkernel/physmem/interface.ts';
import { Items, Machine, P } from '../machine.ts';
import { filled, finish, setup } from './setup.ts';

test('X1 breaking copy-on-write for an entry that is split on the way', () => {
  const { machine } = setup({ copyPages: 1 });
  const a = filled(machine, 4);
  const b = machine.create();
  machine.copy(a, 0, b, 0, 4);
  machine.write(b, 2, 99);
  expect([machine.values(a, 0, 4), machine.values(b, 0, 4)]).toEqual([
    [10, 11, 12, 13],
    [10, 11, 99, 13],
  ]);
  finish(machine);
});

test('X3 a promise that loses a part frees nothing, and its rest has no address', () => {
  const { machine } = setup();
  const a = machine.create();
  machine.allocate(a, 0, 16);
  const free = machine.physmem.zones.freePages;
  machine.deallocate(a, 5, 6);
  expect([machine.physmem.zones.freePages, machine.use]).toEqual([free, 0]);
  const left = [0, 1, 2, 3, 4, 11, 12, 13, 14, 15];
  expect(left.map((page) => machine.guestFrameAt(a, page))).toEqual(left.map(() => -1));
  for (const page of left) machine.write(a, page, page);
  expect(new Set([0, 4, 11, 12].map((page) => machine.guestFrameAt(a, page))).size).toBe(4);
  finish(machine);
});

test('X4 what is left over may reach past the end of the hole', () => {
  const { machine } = setup();
  const a = filled(machine, 8);
  const b = machine.create();
  machine.copy(a, 4, b, 0, 4, COPY_SHARED);
  machine.deallocate(a, 2, 4);
  expect([machine.shape(a), machine.shape(b), machine.use]).toEqual(['2@0 2@6', '4@0', 6]);
  machine.write(b, 3, 99);
  expect(machine.read(a, 7)).toBe(99);
  finish(machine);
});

test('X5 a copy is still owed while members of the group that never overlapped stay behind', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  const [b, c, d] = [machine.create(), machine.create(), machine.create()];
  machine.copy(a, 1, b, 0, 1, COPY_SHARED);
  machine.copy(a, 2, c, 0, 1, COPY_SHARED);
  machine.copy(a, 0, d, 0, 4);
  machine.deallocate(a, 0, 4);
  machine.write(b, 0, 77);
  expect(isCopyOnWrite(machine.physmem.table, machine.frameAt(d, 2))).toBe(true);
  machine.write(c, 0, 88);
  expect(machine.values(d, 0, 4)).toEqual([10, 11, 12, 13]);
  finish(machine);
});

test('X6 a frame knows who is owed a copy, whatever has come and gone', () => {
  const { machine } = setup({ copyPages: 2 });
  const containers = [filled(machine, 8), machine.create(), machine.create(), machine.create()];
  for (let i = 0; i < 200; i += 1) {
    const [from, to] = [containers[i % 4], containers[(i * 3 + 1) % 4]];
    machine.copy(from, (i * 5) % 8, to, (i * 7) % 8, 1 + (i % 4), i % 3 === 0 ? COPY_SHARED : 0);
    machine.write(to, i % 8, i);
    machine.deallocate(from, (i * 3) % 8, 1 + (i % 3));
    machine.allocate(from, (i * 3) % 8, 2);
    assertInvariants(machine.physmem);
  }
  finish(machine);
});

test('X7 destroying a container gives its pages to who still uses them, and frees the others', () => {
  const { machine } = setup();
  const a = filled(machine, 8);
  const b = machine.create();
  machine.copy(a, 2, b, 0, 2, COPY_SHARED);
  machine.physmem.destroy(a);
  expect([machine.use, machine.values(b, 0, 2)]).toEqual([2, [12, 13]]);
  assertInvariants(machine.physmem);
  machine.deallocate(b, 0, 1);
  expect(machine.use).toBe(1);
  finish(machine);
});

test('X8 a reply that is full ends the request, and the rest can be asked for', () => {
  const { machine } = setup();
  const a = machine.create();
  machine.allocate(a, 0, 8);
  for (const room of [1, 2, 3]) {
    const sink = new Items(room);
    expect(map(machine.physmem, a, MAP_READ, P, 0, 8 * P, sink)).toBe(0);
    expect(sink.items.length).toBe(room);
  }
  finish(machine);
});

test('X9 arguments of allocate and copy are looked at', () => {
  const { machine } = setup();
  const { physmem } = machine;
  const [a, b] = [filled(machine, 2), machine.create()];
  for (const [start, size] of [
    [0, 0],
    [0, 100],
    [100, P],
    [2 ** 53 - P, 2 * P],
    [-P, P],
    [Number.NaN, P],
    [0, Number.POSITIVE_INFINITY],
  ]) {
    expect(allocate(physmem, a, 0, start, size)).toBe(EINVAL);
    if (size === 0) continue; // nothing is copied, and that is no error
    expect(copy(physmem, a, 0, b, start, size, 0)).toBe(EINVAL);
    expect(copy(physmem, a, start, b, 0, size, 0)).toBe(EINVAL);
  }
  expect([machine.copy(a, 5, b, 0, 1), machine.copy(a, 0, b, 0, 3)]).toEqual([ENOENT, ESRCH]);
  finish(machine);
});

test('X10 without memory a request is refused, and nothing has changed', () => {
  const machine = new Machine({ memory: [[8, 4]], copyPages: 1024, moving: false });
  const a = filled(machine, 2);
  const b = machine.create();
  machine.copy(a, 0, b, 0, 2);
  machine.failsAllocation = () => true;
  expect(machine.write(b, 0, 99)).toBe(ENOMEM);
  assertInvariants(machine.physmem);
  machine.failsAllocation = () => false;
  expect([machine.write(b, 0, 99), machine.values(a, 0, 2), machine.values(b, 0, 2)]).toEqual([0, [10, 11], [99, 11]]);
  finish(machine);
});

test('X11 entries more than 2 GiB apart are in order, and do not overlap', () => {
  const { machine } = setup();
  const a = machine.create();
  const pages = [3 * 2 ** 20, 0, 2 ** 40, 2 ** 19, 2 ** 31, 2 ** 32 + 1];
  for (const page of pages) expect(machine.allocate(a, page, 1)).toBe(0);
  expect(machine.shape(a)).toBe(
    pages
      .toSorted((x, y) => x - y)
      .map((page) => `1@${page}`)
      .join(' '),
  );
  for (const page of pages) machine.write(a, page, page);
  expect(pages.map((page) => machine.read(a, page))).toEqual(pages);
  expect([machine.deallocate(a, 2 ** 31, 2 ** 32), framesOf(machine.physmem).length]).toEqual([0, 4]);
  finish(machine);
});
