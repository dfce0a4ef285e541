/** Section A: allocation and containers. */

import { expect, test } from 'vitest';
import { EEXIST, EINVAL, ENOMEM } from '../../../../hostkernel/base/errno.ts';
import { allocate } from '../../../../vkernel/physmem/core/allocate.ts';
import { censusOf } from '../../../../vkernel/physmem/core/invariants.ts';
import { ALL_OR_NONE, EXTRA, LAZY, MAP_READ, SOFT, SQUASH } from '../../../../vkernel/physmem/interface.ts';
import { Machine, P } from '../machine.ts';
import { filled, finish, setup } from './setup.ts';

test('A1 12K at 0 becomes 8K and 4K, and takes no memory', () => {
  const { machine, amount } = setup();
  const a = machine.create();
  expect(machine.allocate(a, 0, 3)).toBe(0);
  expect([machine.shape(a), amount(), machine.use]).toEqual(['2@0 1@2', 3, 0]);
  finish(machine);
});
test('A2 sizes ignore the start', () => {
  const { machine } = setup();
  const a = machine.create();
  machine.allocate(a, 5, 3);
  expect(machine.shape(a)).toBe('2@5 1@7');
  finish(machine);
});
test('A3 28K is three frames, 4 MiB one, 4 MiB + 4K two', () => {
  const { machine } = setup({ pages: 4096 });
  const a = machine.create();
  machine.allocate(a, 0, 7);
  expect(machine.shape(a)).toBe('4@0 2@4 1@6');
  const b = machine.create();
  machine.allocate(b, 0, 1024);
  expect(machine.shape(b)).toBe('1024@0');
  const c = machine.create();
  machine.allocate(c, 0, 1025);
  expect(machine.shape(c)).toBe('1024@0 1@1024');
  finish(machine);
});
test('A4 nothing, part of a page, or a start inside one: EINVAL', () => {
  const { machine, amount } = setup();
  const a = machine.create();
  for (const [start, size] of [
    [0, 0],
    [0, 100],
    [100, P],
    [0.5, P],
  ]) {
    expect(allocate(machine.physmem, a, 0, start, size)).toBe(EINVAL);
    expect(amount()).toBe(0);
  }
  expect(a.entries.size).toBe(0);
  finish(machine);
});
test('A5 a range that wraps past the address width: EINVAL', () => {
  const { machine } = setup();
  expect(allocate(machine.physmem, machine.create(), 0, 2 ** 53 - P, 2 * P)).toBe(EINVAL);
  expect(allocate(machine.physmem, machine.create(), 0, 2 ** 64, P)).toBe(EINVAL);
  const narrow = new Machine({ memory: [[1, 8]], wordBits: 32 });
  expect(allocate(narrow.physmem, narrow.create(), 0, 2 ** 32 - P, 2 * P)).toBe(EINVAL);
  expect(allocate(narrow.physmem, narrow.create(), 0, 2 ** 32 - P, P)).toBe(0);
  finish(machine);
});
test('A6 occupied: what came before stays, unless ALL_OR_NONE', () => {
  const { machine, amount } = setup();
  const a = machine.create();
  machine.allocate(a, 2, 2);
  expect([machine.allocate(a, 0, 4), amount()]).toEqual([EEXIST, 0]);
  const b = machine.create();
  machine.allocate(b, 2, 1);
  expect([machine.allocate(b, 0, 3, ALL_OR_NONE), amount(), machine.shape(b)]).toEqual([EEXIST, 0, '1@2']);
  expect([machine.allocate(b, 0, 3), amount(), machine.shape(b)]).toEqual([EEXIST, 2, '2@0 1@2']);
  finish(machine);
});
test('A7 SQUASH replaces: old contents read as zero', () => {
  const { machine, amount } = setup();
  const a = filled(machine, 4);
  expect([machine.allocate(a, 2, 4, SQUASH), amount()]).toEqual([0, 4]);
  expect(machine.values(a, 0, 6)).toEqual([10, 11, 0, 0, 0, 0]);
  finish(machine);
});
test('A8 fresh pages read zero where the memory held the data of another task', () => {
  const { machine } = setup({ pages: 4 });
  machine.physmem.destroy(filled(machine, 4));
  const b = machine.create();
  machine.allocate(b, 0, 4);
  expect([0, 1, 2, 3].map((page) => machine.read(b, page))).toEqual([0, 0, 0, 0]);
  finish(machine);
});
test('A9 64 single pages are 64 frames, 256K at once is one', () => {
  const { machine } = setup();
  const a = machine.create();
  for (let page = 0; page < 64; page += 1) machine.allocate(a, page, 1);
  expect(censusOf(machine.physmem).unbound).toEqual([64]);
  machine.physmem.destroy(a);
  machine.allocate(machine.create(), 0, 64);
  expect(censusOf(machine.physmem).unbound).toEqual([0, 0, 0, 0, 0, 0, 1]);
  finish(machine);
});
test('flags: unknown ones are EINVAL, EXTRA helps nobody yet', () => {
  const { machine } = setup({ pages: 4 });
  const a = machine.create();
  for (const flag of [LAZY, SOFT, 1 << 20, 2 ** 40, MAP_READ]) expect(machine.allocate(a, 0, 1, flag)).toBe(EINVAL);
  expect(machine.allocate(a, 0, 5, EXTRA | ALL_OR_NONE)).toBe(ENOMEM);
  expect(machine.allocate(a, 0, 4, EXTRA | ALL_OR_NONE)).toBe(0);
  finish(machine);
});
test('beyond the limit as many pages as fit are placed, or none', () => {
  const { machine, amount } = setup({ pages: 5 });
  const a = machine.create();
  expect([machine.allocate(a, 0, 8, ALL_OR_NONE), amount()]).toEqual([ENOMEM, 0]);
  expect([machine.allocate(a, 0, 8), amount(), machine.shape(a)]).toEqual([ENOMEM, 5, '4@0 1@4']);
  expect([machine.allocate(a, 0, 6, SQUASH), amount()]).toEqual([ENOMEM, 5]);
  finish(machine);
});
