/** Section C: logical copies. */

import { expect, test } from 'vitest';
import { EEXIST, EINVAL, ENOENT, ESRCH } from '../../../../hostkernel/base/errno.ts';
import { copy } from '../../../../vkernel/physmem/core/copy.ts';
import { ALL_OR_NONE, COPY_IN_PLACE, COPY_MOVE, COPY_SHARED, MAP_READ, SQUASH } from '../../../../vkernel/physmem/interface.ts';
import { P } from '../machine.ts';
import { filled, finish, RW, setup } from './setup.ts';

test('C1 the writer gets the copy, the other keeps the page', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  const b = machine.create();
  expect(machine.copy(a, 0, b, 0, 4)).toBe(0);
  expect(machine.use).toBe(4);
  machine.write(b, 1, 99);
  expect([machine.read(a, 1), machine.read(b, 1)]).toEqual([11, 99]);
  expect(machine.use).toBe(8);
  finish(machine);
});
test('C2 what each side has left is freed with it', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  const b = machine.create();
  machine.copy(a, 0, b, 0, 4);
  machine.write(b, 1, 99);
  machine.deallocate(a, 0, 4);
  expect(machine.use).toBe(4);
  machine.deallocate(b, 0, 4);
  expect(machine.use).toBe(0);
  finish(machine);
});
test('C1 with small copies only the piece around the write is copied', () => {
  const { machine } = setup({ copyPages: 1 });
  const a = filled(machine, 4);
  const b = machine.create();
  machine.copy(a, 0, b, 0, 4);
  machine.write(b, 1, 99);
  expect([machine.values(a, 0, 4), machine.values(b, 0, 4), machine.use]).toEqual([[10, 11, 12, 13], [10, 99, 12, 13], 5]);
  finish(machine);
});
test('C3 copying promises binds nothing', () => {
  const { machine } = setup();
  const a = machine.create();
  const b = machine.create();
  machine.allocate(a, 0, 4);
  machine.copy(a, 0, b, 0, 4);
  expect(machine.use).toBe(0);
  machine.write(b, 0, 5);
  expect([machine.read(a, 0), machine.read(b, 0)]).toEqual([0, 5]);
  expect(machine.use).toBeLessThanOrEqual(8);
  finish(machine);
});
test('C4 a writable mapping loses WRITE and keeps READ when it is copied', () => {
  const { machine } = setup();
  const a = filled(machine, 2);
  const b = machine.create();
  machine.copy(a, 0, b, 0, 2);
  expect(machine.translations.get(a)?.get(0)?.rights).toBe(MAP_READ);
  machine.write(a, 0, 77);
  expect([machine.read(a, 0), machine.read(b, 0)]).toEqual([77, 10]);
  finish(machine);
});
test('C5 a chain of four copies is one frame; in every order of writes the last one copies nothing', () => {
  const orders = permutations([0, 1, 2, 3]);
  expect(orders.length).toBe(24);
  for (const order of orders) {
    const { machine } = setup();
    const chain = [filled(machine, 1), machine.create(), machine.create(), machine.create()];
    for (let i = 0; i < 3; i += 1) machine.copy(chain[i], 0, chain[i + 1], 0, 1);
    expect(machine.use).toBe(1);
    order.forEach((writer, turn) => {
      machine.write(chain[writer], 0, 100 + turn);
      for (const other of order.slice(turn + 1)) expect(machine.peek(chain[other], 0)).toBe(10);
    });
    expect(machine.physmem.counters.copies).toBe(3);
    finish(machine);
  }
});
test.each([
  ['C6 the copy goes untouched: the source', 1],
  ['C7 the source goes: the copy owns the frame, and', 0],
])('%s writes without copying', (_name, goes) => {
  const { machine } = setup();
  const sides = [filled(machine, 4), machine.create()];
  machine.copy(sides[0], 0, sides[1], 0, 4);
  machine.deallocate(sides[goes], 0, 4);
  machine.write(sides[1 - goes], 2, 5);
  expect([machine.physmem.counters.copies, machine.use, machine.read(sides[1 - goes], 1)]).toEqual([0, 4, 11]);
  finish(machine);
});
test('C8 pages 1 to 6 of an 8P frame become pieces 1, 2, 2, 1', () => {
  const { machine } = setup();
  const b = machine.create();
  machine.copy(filled(machine, 8), 1, b, 3, 6);
  expect([machine.shape(b), machine.values(b, 3, 6)]).toEqual(['1@3 2@4 2@6 1@8', [11, 12, 13, 14, 15, 16]]);
  finish(machine);
});
test('C9 over three source frames, into the third: pieces follow source frames', () => {
  const { machine } = setup();
  const a = machine.create();
  for (const page of [0, 4, 8]) machine.allocate(a, page, 4);
  for (let page = 0; page < 12; page += 1) machine.write(a, page, 10 + page);
  const b = machine.create();
  machine.copy(a, 2, b, 0, 8);
  expect(machine.shape(b)).toBe('2@0 4@2 2@6');
  expect(machine.values(b, 0, 8)).toEqual([12, 13, 14, 15, 16, 17, 18, 19]);
  finish(machine);
});
test('C10 the destination needs no alignment', () => {
  const { machine } = setup();
  const a = filled(machine, 2);
  const b = machine.create();
  expect(machine.copy(a, 0, b, 3, 2)).toBe(0);
  expect([machine.shape(b), machine.values(b, 3, 2)]).toEqual(['2@3', [10, 11]]);
  const { items } = machine.map(b, RW, 3, 2);
  expect([items.map(({ page, pages }) => [page, pages]), machine.values(b, 3, 2)]).toEqual([
    [
      [3, 1],
      [4, 1],
    ],
    [10, 11],
  ]);
  finish(machine);
});
test('C11 a hole in the source: ENOENT at the start, ESRCH later; ALL_OR_NONE leaves the destination', () => {
  const { machine, amount } = setup();
  const a = filled(machine, 2);
  const b = machine.create();
  expect([machine.copy(a, 2, b, 0, 2), amount()]).toEqual([ENOENT, 0]);
  expect([machine.copy(a, 0, b, 0, 4, ALL_OR_NONE), amount(), b.pages]).toEqual([ESRCH, 0, 0]);
  expect([machine.copy(a, 2, b, 0, 2, ALL_OR_NONE), amount(), b.pages]).toEqual([ENOENT, 0, 0]);
  expect([machine.copy(a, 0, b, 0, 4), amount(), b.pages]).toEqual([ESRCH, 2, 2]);
  finish(machine);
});
test('C12 an occupied destination: EEXIST from there on, SQUASH replaces', () => {
  const { machine, amount } = setup();
  const a = filled(machine, 4);
  const b = machine.create();
  machine.allocate(b, 2, 1);
  expect([machine.copy(a, 0, b, 0, 4, ALL_OR_NONE), amount()]).toEqual([EEXIST, 0]);
  expect([machine.copy(a, 0, b, 0, 4), amount()]).toEqual([EEXIST, 2]);
  expect([machine.copy(a, 0, b, 0, 4, SQUASH), amount()]).toEqual([0, 4]);
  expect(machine.values(b, 0, 4)).toEqual([10, 11, 12, 13]);
  finish(machine);
});
test('C13 inside one container: apart it works, overlapping is EEXIST', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  expect(machine.copy(a, 0, a, 4, 4)).toBe(0);
  expect(machine.copy(a, 0, a, 2, 4)).toBe(EEXIST);
  expect(machine.values(a, 4, 4)).toEqual([10, 11, 12, 13]);
  finish(machine);
});
test('C15 opposite copies, one after the other: both finish, and each side has what the other had', () => {
  const { machine } = setup();
  const [a, b] = [filled(machine, 4), machine.create()];
  machine.allocate(b, 0, 4);
  for (let page = 0; page < 4; page += 1) machine.write(b, page, 20 + page);
  expect([machine.copy(a, 0, b, 4, 4), machine.copy(b, 0, a, 4, 4)]).toEqual([0, 0]);
  expect(machine.values(a, 0, 8)).toEqual([10, 11, 12, 13, 20, 21, 22, 23]);
  expect(machine.values(b, 0, 8)).toEqual([20, 21, 22, 23, 10, 11, 12, 13]);
  expect([machine.copy(a, 0, b, 0, 4, SQUASH), machine.copy(b, 4, a, 0, 4, SQUASH)]).toEqual([0, 0]);
  expect([machine.values(b, 0, 4), machine.values(a, 0, 4)]).toEqual([
    [10, 11, 12, 13],
    [10, 11, 12, 13],
  ]);
  for (const each of [a, b]) machine.write(each, 0, 5);
  finish(machine);
});
test('C16 a copy of a shared page hears nothing of the sharers, and they of each other', () => {
  const { machine } = setup();
  const a = filled(machine, 1);
  const [b, c, d] = [machine.create(), machine.create(), machine.create()];
  machine.copy(a, 0, b, 0, 1, COPY_SHARED);
  machine.copy(b, 0, c, 0, 1);
  machine.copy(c, 0, d, 0, 1);
  machine.write(b, 0, 50);
  expect([a, b, c, d].map((each) => machine.read(each, 0))).toEqual([50, 50, 10, 10]);
  finish(machine);
});
test('arguments: alignment, wrap, unknown flags, two ways to copy at once EINVAL; 0 bytes succeed', () => {
  const { machine, amount } = setup();
  const a = filled(machine, 2);
  const b = machine.create();
  expect(copy(machine.physmem, a, 1, b, 0, P, 0)).toBe(EINVAL);
  expect(copy(machine.physmem, a, 0, b, 1, P, 0)).toBe(EINVAL);
  expect(copy(machine.physmem, a, 0, b, 0, 1, 0)).toBe(EINVAL);
  expect(copy(machine.physmem, a, 0, b, 2 ** 53 - P, 2 * P, 0)).toBe(EINVAL);
  expect(machine.copy(a, 0, b, 0, 1, MAP_READ)).toBe(EINVAL);
  for (const two of [COPY_MOVE | COPY_SHARED, COPY_IN_PLACE | COPY_MOVE, COPY_IN_PLACE | COPY_SHARED]) {
    expect(machine.copy(a, 0, b, 0, 1, two)).toBe(EINVAL);
  }
  expect(machine.copy(a, 0, a, 1, 2, COPY_IN_PLACE)).toBe(EINVAL);
  expect([machine.copy(a, 0, b, 0, 0), amount()]).toEqual([0, 0]);
  finish(machine);
});

function permutations(values: readonly number[]): number[][] {
  if (values.length <= 1) return [[...values]];
  return values.flatMap((value) => permutations(values.filter((other) => other !== value)).map((rest) => [value, ...rest]));
}
