/** Section F: what is flushed, and when. */

import { expect, test } from 'vitest';
import { ENOENT } from '../../../../hostkernel/base/errno.ts';
import { COPY_SHARED, LAZY, MAP_WRITE } from '../../../../vkernel/physmem/interface.ts';
import { filled, finish, setup } from './setup.ts';

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
test('F7 LAZY is a permission: the flush is immediate', () => {
  const { machine } = setup();
  const a = filled(machine, 1);
  expect(machine.deallocate(a, 0, 1, LAZY)).toBe(0);
  expect(machine.translations.get(a)?.size).toBe(0);
  finish(machine);
});
