/** Section H, what H7 means for every kind of copy: pages that a device may write are copied at once, or not at all. */

import { expect, test } from 'vitest';
import { EBUSY, ENOMEM } from '../../../../hostkernel/base/errno.ts';
import { copyVector } from '../../../../vkernel/physmem/core/copy-vector.ts';
import { assertInvariants } from '../../../../vkernel/physmem/core/invariants.ts';
import { pin } from '../../../../vkernel/physmem/core/pins.ts';
import { recover } from '../../../../vkernel/physmem/core/soft.ts';
import {
  ALL_OR_NONE,
  COPY_IN_PLACE,
  COPY_MOVE,
  COPY_SHARED,
  LAZY,
  MAP_WRITE,
  MAX_HOLD_US,
  SOFT,
  SQUASH,
} from '../../../../vkernel/physmem/interface.ts';
import { P } from '../machine.ts';
import { filled, finish, setup } from './setup.ts';

const OWN = { task: 5, weak: null, expires: Number.POSITIVE_INFINITY };

/** Six pages holding 10, 11, ..., of which a device may write the third and the fourth; `free` blocks are left to be had. */
function withDevice() {
  const { machine, amount } = setup({ pages: 64 });
  const a = filled(machine, 6);
  expect(pin(machine.physmem, a, OWN, 2 * P, 2 * P, MAX_HOLD_US, MAP_WRITE, { room: 24, run() {} })).toBe(0);
  const frames = [2, 3].map((page) => machine.guestFrameAt(a, page));
  return {
    machine,
    amount,
    a,
    b: machine.create(),
    /** The device writes: past every page table. */
    transfer: (): void => {
      frames.forEach((frame, i) => machine.contents.set(frame, 500 + i));
      expect([2, 3].map((page) => machine.guestFrameAt(a, page))).toEqual(frames);
    },
    leave: (blocks: number): void => {
      let left = blocks;
      machine.failsAllocation = () => {
        left -= 1;
        return left < 0;
      };
    },
  };
}

test('H7 a copy has the values of the moment, on frames of its own where the device writes, shared elsewhere', () => {
  const { machine, amount, a, b, transfer } = withDevice();
  const copies = machine.physmem.counters.copiedPages;
  expect([machine.copy(a, 0, b, 0, 6), amount(), machine.physmem.counters.copiedPages - copies]).toEqual([0, 6, 2]);
  transfer();
  expect([machine.values(b, 0, 6), machine.values(a, 2, 2)]).toEqual([
    [10, 11, 12, 13, 14, 15],
    [500, 501],
  ]);
  expect([machine.frameAt(b, 0) === machine.frameAt(a, 0), machine.frameAt(b, 2) === machine.frameAt(a, 2)]).toEqual([true, false]);
  finish(machine);
});
test('H7 without memory the copy ends before the page that needs it, or has changed nothing', () => {
  const { machine, amount, a, b, leave } = withDevice();
  leave(1);
  expect([machine.copy(a, 0, b, 0, 6, ALL_OR_NONE), amount(), b.pages]).toEqual([ENOMEM, 0, 0]);
  leave(1);
  expect([machine.copy(a, 0, b, 0, 6), amount(), machine.values(b, 0, 4)]).toEqual([ENOMEM, 3, [10, 11, 12, '-']]);
  leave(0);
  expect([machine.copy(a, 3, b, 3, 2), amount()]).toEqual([ENOMEM, 0]);
  assertInvariants(machine.physmem); // what had been set aside is back
  finish(machine);
});
test('H7 what would be squashed stays where the copy cannot be made', () => {
  const { machine, a, b, leave } = withDevice();
  machine.allocate(b, 0, 6);
  for (let page = 0; page < 6; page += 1) machine.write(b, page, 20 + page);
  leave(1);
  expect(machine.copy(a, 0, b, 0, 6, SQUASH | ALL_OR_NONE)).toBe(ENOMEM);
  expect(machine.values(b, 0, 6)).toEqual([20, 21, 22, 23, 24, 25]);
  leave(2);
  expect(machine.copy(a, 0, b, 0, 6, SQUASH | ALL_OR_NONE)).toBe(0);
  expect(machine.values(b, 0, 6)).toEqual([10, 11, 12, 13, 14, 15]);
  finish(machine);
});
test('H7 a sharer of what the device writes is copied at once too, and may share it on, but not give it up softly', () => {
  const { machine, a, transfer } = withDevice();
  const [b, c, d] = [machine.create(), machine.create(), machine.create()];
  expect([machine.copy(a, 2, b, 0, 2, COPY_SHARED), machine.copy(b, 0, c, 0, 2), machine.copy(b, 0, d, 0, 2, COPY_MOVE)]).toEqual([
    0, 0, 0,
  ]);
  transfer();
  expect([machine.values(c, 0, 2), machine.values(d, 0, 2), b.pages]).toEqual([[12, 13], [500, 501], 0]);
  machine.deallocate(d, 0, 2, SOFT);
  expect(recover(machine.physmem, d, 0, P, 0)).not.toBe(0);
  expect(machine.copy(a, 2, d, 0, 1, COPY_MOVE)).toBe(EBUSY);
  finish(machine);
});
test('H7 in place the bytes are copied, and into a pinned page nothing is', () => {
  const { machine, amount, a, b, transfer } = withDevice();
  machine.allocate(b, 0, 6);
  expect(machine.copy(a, 1, b, 1, 4, COPY_IN_PLACE | ALL_OR_NONE)).toBe(0);
  transfer();
  expect(machine.values(b, 0, 6)).toEqual([0, 11, 12, 13, 14, 0]);
  expect([machine.copy(b, 0, a, 0, 6, COPY_IN_PLACE | ALL_OR_NONE), machine.peek(a, 0)]).toEqual([EBUSY, 10]);
  expect([machine.copy(b, 0, a, 0, 6, COPY_IN_PLACE), amount(), machine.values(a, 0, 4)]).toEqual([EBUSY, 2, [0, 11, 500, 501]]);
  finish(machine);
});
test('H7 a list, as one: memory for every page that a device may write, or nothing is done', () => {
  const { machine, a, b, transfer, leave } = withDevice();
  const list = [0, 5, 2, 7, 3, 1].map((page) => page * P);
  leave(1);
  expect([copyVector(machine.physmem, a, b, list, ALL_OR_NONE), b.pages]).toEqual([ENOMEM, 0]);
  assertInvariants(machine.physmem);
  leave(2);
  expect([copyVector(machine.physmem, a, b, list, ALL_OR_NONE), b.pages]).toEqual([0, 3]);
  transfer();
  expect([5, 7, 1].map((page) => machine.peek(b, page))).toEqual([10, 12, 13]);
  finish(machine);
});
test('H5 where two pages of a pin are one page of memory, with a copy elsewhere, both stay where the first was told', () => {
  const { machine } = setup({ pages: 64 });
  const a = filled(machine, 2);
  const b = machine.create();
  machine.copy(a, 0, a, 4, 2, COPY_SHARED);
  machine.copy(a, 0, b, 0, 2);
  machine.allocate(a, 2, 2);
  const told: number[] = [];
  const run = (frame: number, pages: number): void => void told.push(...Array.from({ length: pages }, (_, i) => frame + i));
  expect(pin(machine.physmem, a, OWN, 0, 6 * P, MAX_HOLD_US, 0, { room: 24, run })).toBe(0);
  expect(told).toEqual([0, 1, 2, 3, 4, 5].map((page) => machine.guestFrameAt(a, page)));
  expect([told[4], told[5]]).toEqual([told[0], told[1]]);
  finish(machine);
});
test('F7 LAZY is a permission only: what a device may write is unmapped at once', () => {
  const { machine, a, transfer } = withDevice();
  const b = machine.create();
  machine.copy(a, 2, b, 0, 2, COPY_SHARED);
  expect(machine.read(b, 0)).toBe(12);
  machine.deallocate(b, 0, 2, LAZY);
  expect(machine.leftovers).toEqual([]);
  transfer();
  finish(machine);
});
