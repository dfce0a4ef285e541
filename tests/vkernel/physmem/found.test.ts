/** What random lives and attacks have found: one short life each. */

import { expect, test } from 'vitest';
import { EBUSY } from '../../../hostkernel/base/errno.ts';
import { COPY_SHARED, LAZY, SOFT, WEAK_LOCK } from '../../../vkernel/physmem/interface.ts';
import { Twins } from './twins.ts';

/** Two containers of one principal, on a machine with swap space. */
function twinsOf(pages: number): Twins {
  const twins = new Twins({ memory: [[16, pages]], slots: 32, swapQuota: 24 }, 8);
  twins.addControl(0, pages, 1);
  twins.addContainer(1);
  twins.addContainer(1);
  return twins;
}

test('a soft reference does not follow what a device writes to a page that was shared', () => {
  const twins = twinsOf(32);
  twins.allocate(0, 0, 2, 0);
  twins.copy(0, 0, 1, 0, 2, COPY_SHARED);
  twins.holds.pin(1, 0, 2, true, 1000);
  twins.deallocate(0, 0, 2, SOFT);
  twins.holds.deviceWrite(0, 77);
  twins.check();
  twins.tearDown();
});

test('a page that a device may write through a sharer is not put away', () => {
  const twins = twinsOf(32);
  twins.allocate(0, 0, 2, 0);
  twins.copy(0, 0, 1, 0, 2, COPY_SHARED);
  twins.holds.pin(1, 0, 2, true, 1000);
  expect(twins.machine.swapOut(twins.containers[0].real, 0, 2)).toBe(EBUSY);
  twins.holds.deviceWrite(0, 77);
  twins.check();
  twins.tearDown();
});

test('an owner does not get a writable mapping of a locked page by providing it', () => {
  const twins = twinsOf(32);
  twins.holds.share(0, WEAK_LOCK, 0);
  twins.holds.lock(0, 2, 2, 1000);
  twins.provide(0, 1, 2, 0, true);
  twins.provide(0, 1, 2, 0, false);
  twins.write(0, 2, 5);
  twins.check();
  twins.tearDown();
});

test('a page that a device writes is flushed at once when a sharer gives it up lazily', () => {
  const twins = twinsOf(32);
  twins.allocate(0, 0, 1, 0);
  twins.copy(0, 0, 1, 0, 1, COPY_SHARED);
  twins.holds.pin(1, 0, 1, true, 1000);
  twins.read(0, 0);
  twins.deallocate(0, 0, 1, LAZY);
  twins.holds.deviceWrite(0, 77);
  twins.check();
  expect(twins.machine.leftovers).toEqual([]);
  twins.tearDown();
});

test('a page given up lazily that swap still has is flushed before it is written out', () => {
  const twins = twinsOf(32);
  twins.allocate(0, 0, 1, 0);
  twins.write(0, 0, 5);
  twins.copy(0, 0, 1, 0, 1, 0);
  twins.swap.swapOut(1, 0, 1);
  twins.read(0, 0);
  twins.deallocate(0, 0, 1, LAZY);
  expect(twins.machine.leftovers.length).toBe(1);
  twins.press(2);
  expect(twins.machine.leftovers).toEqual([]);
  twins.check();
  twins.tearDown();
});

test('what is pinned while memory is moved bit by bit stays where it is', () => {
  for (let pinned = 1; pinned < 32; pinned += 2) {
    const twins = new Twins({ memory: [[16, 32]] }, 32);
    twins.addControl(0, 32, 1);
    twins.addContainer(1);
    for (let page = 0; page < 32; page += 1) twins.provide(0, page, 1, 0, true);
    for (let page = 0; page < 32; page += 2) twins.deallocate(0, page, 1, 0);
    twins.compact(1);
    twins.holds.pin(0, pinned, 1, false, 1000);
    for (let i = 0; i < 4; i += 1) twins.compact(4);
    twins.check();
    twins.tearDown();
  }
});

test('a page that is twice in a range stays where the first half of the pin has put it', () => {
  const twins = twinsOf(32);
  twins.allocate(0, 0, 1, 0);
  twins.write(0, 0, 1);
  twins.copy(0, 0, 1, 0, 1, 0);
  twins.copy(0, 0, 0, 1, 1, COPY_SHARED);
  twins.holds.pin(0, 0, 2, false, 1000);
  twins.check();
  twins.tearDown();
});

test('a page given up lazily shows what it showed until it is flushed', () => {
  const twins = twinsOf(32);
  twins.allocate(0, 0, 2, 0);
  twins.write(0, 0, 5);
  twins.copy(0, 0, 1, 0, 2, 0);
  twins.read(0, 0);
  twins.read(1, 0);
  twins.machine.flushes = [];
  twins.deallocate(0, 0, 1, LAZY);
  twins.check();
  expect(twins.machine.leftovers.length).toBe(twins.machine.flushes.length === 0 ? 1 : 0);
  twins.write(1, 0, 6);
  expect(twins.machine.leftovers).toEqual([]);
  twins.check();
  twins.tearDown();
});
