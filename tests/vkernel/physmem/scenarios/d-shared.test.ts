/** Section D: shared copies. */

import { expect, test } from 'vitest';
import { COPY_SHARED } from '../../../../vkernel/physmem/interface.ts';
import { filled, finish, setup } from './setup.ts';

test('D1 writes are seen both ways, use 4, charge 8', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  const b = machine.create();
  machine.copy(a, 0, b, 0, 4, COPY_SHARED);
  machine.write(b, 0, 20);
  machine.write(a, 1, 21);
  expect([machine.read(a, 0), machine.read(b, 1), machine.use, machine.physmem.root.used]).toEqual([20, 21, 4, 8]);
  finish(machine);
});
test('D6 one sharer goes: nothing changes for the other; the last one frees', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  const b = machine.create();
  machine.copy(a, 0, b, 0, 4, COPY_SHARED);
  machine.write(b, 0, 20);
  machine.write(a, 1, 21);
  machine.deallocate(a, 0, 4);
  expect([machine.values(b, 0, 4), machine.use]).toEqual([[20, 21, 12, 13], 4]);
  machine.deallocate(b, 0, 4);
  expect(machine.use).toBe(0);
  finish(machine);
});
test('D2 sharing pages 1 to 3 of an 8P frame', () => {
  const { machine } = setup();
  const a = filled(machine, 8);
  const b = machine.create();
  machine.copy(a, 1, b, 0, 3, COPY_SHARED);
  machine.write(b, 0, 70);
  machine.write(a, 3, 72);
  expect([machine.shape(b), machine.read(a, 1), machine.read(b, 2)]).toEqual(['1@0 2@1', 70, 72]);
  finish(machine);
});
test('D3 sharers of a copied page move together when one of them writes', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  const [b, c] = [machine.create(), machine.create()];
  machine.copy(a, 0, b, 0, 4, COPY_SHARED);
  machine.copy(b, 0, c, 0, 4);
  machine.write(a, 0, 60);
  expect([machine.read(a, 0), machine.read(b, 0), machine.read(c, 0)]).toEqual([60, 60, 10]);
  expect([machine.frameAt(b, 0), machine.use]).toEqual([machine.frameAt(a, 0), 8]);
  machine.write(b, 1, 61);
  expect([machine.read(a, 1), machine.read(c, 1)]).toEqual([61, 11]);
  finish(machine);
});
test('D4 the copy writes first: the sharers keep their frame, and still share', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  const [b, c] = [machine.create(), machine.create()];
  machine.copy(a, 0, b, 0, 4, COPY_SHARED);
  machine.copy(b, 0, c, 0, 4);
  const frame = machine.guestFrameAt(a, 0);
  machine.write(c, 0, 90);
  expect([machine.guestFrameAt(a, 0), machine.guestFrameAt(b, 0)]).toEqual([frame, frame]);
  const copies = machine.physmem.counters.copies;
  machine.write(a, 0, 60);
  expect([machine.read(a, 0), machine.read(b, 0), machine.read(c, 0)]).toEqual([60, 60, 90]);
  expect([machine.physmem.counters.copies, machine.guestFrameAt(a, 0)]).toEqual([copies, frame]);
  finish(machine);
});
test('D5 sharing a copy', () => {
  const { machine } = setup();
  const a = filled(machine, 2);
  const [c, d] = [machine.create(), machine.create()];
  machine.copy(a, 0, c, 0, 2);
  machine.copy(c, 0, d, 0, 2, COPY_SHARED);
  machine.write(d, 0, 33);
  expect([machine.read(c, 0), machine.read(a, 0)]).toEqual([33, 10]);
  finish(machine);
});
test('D7 the smaller sharer takes the larger along', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  const [b, c] = [machine.create(), machine.create()];
  machine.copy(a, 1, b, 0, 2, COPY_SHARED);
  machine.copy(a, 0, c, 0, 4);
  machine.write(b, 0, 81);
  expect([machine.values(a, 0, 4), machine.values(b, 0, 2), machine.values(c, 0, 4)]).toEqual([
    [10, 81, 12, 13],
    [81, 12],
    [10, 11, 12, 13],
  ]);
  expect(machine.frameAt(a, 1)).toBe(machine.frameAt(b, 0));
  finish(machine);
});
