/** L: swap and soft references. */

import { expect, test } from 'vitest';
import { EDQUOT, EEXIST, EINVAL, EIO, ENOENT, ENOEXIST, ENOMEM } from '../../../../hostkernel/base/errno.ts';
import type { Container } from '../../../../vkernel/physmem/core/container.ts';
import { assertInvariants } from '../../../../vkernel/physmem/core/invariants.ts';
import { writeOut } from '../../../../vkernel/physmem/core/inactive.ts';
import { settle } from '../../../../vkernel/physmem/core/move.ts';
import { softPages } from '../../../../vkernel/physmem/core/soft.ts';
import { swapDrop, swapUsed } from '../../../../vkernel/physmem/core/swap.ts';
import {
  HEADER_SERVER,
  HEADER_SWAP_FAILING,
  policyWord,
  ROW_GUARANTEED,
  ROW_POLICY,
  rowOf,
  ALL_OR_NONE,
  CONSTRAINED,
  CONTIGUOUS,
  COPY_SHARED,
  EXTRA,
  KEEP,
  LAZY,
  MAP_READ,
  SOFT,
} from '../../../../vkernel/physmem/interface.ts';
import { Machine, P } from '../machine.ts';
import { PolicyRig } from '../policy-rig.ts';
import { filled, finish } from './setup.ts';

interface Options {
  readonly pages?: number;
  readonly slots?: number;
  readonly swapQuota?: number;
  readonly copyPages?: number;
}

/** A machine with swap space. */
function setup({ pages = 64, slots = 64, swapQuota, copyPages = 1024 }: Options = {}) {
  const machine = new Machine({ memory: [[1024, pages]], slots, copyPages, ...(swapQuota === undefined ? {} : { swapQuota }) });
  const pm = machine.physmem;
  const swap = pm.swap;
  if (swap === null) throw new Error('no swap space');
  /** Puts pages away. @returns the first id */
  const out = (container: Container, page: number, count: number): number => {
    expect([machine.swapOut(container, page, count), pm.amount]).toEqual([0, count * P]);
    return pm.swapId;
  };
  return {
    machine,
    swap,
    out,
    /** Pages written and read. */
    io: () => [swap.counters.pagesWritten, swap.counters.pagesRead],
    drop: (id: number, count: number) => [swapDrop(pm, pm.root.principal, id, count), pm.amount],
    /** What one container holds, read by its client. */
    reads: (container: Container, page: number, count: number) =>
      Array.from({ length: count }, (_, i) => machine.read(container, page + i)),
    pressure: (count = 1000) => writeOut(pm, count),
    finish: () => {
      finish(machine);
      expect([swap.slots.used, pm.soft.frames, swap.inactive.frames, pm.hidden]).toEqual([0, 0, 0, 0]);
    },
  };
}

test('L1 four pages put away and taken back without pressure: contents back, no I/O', () => {
  const { machine, out, io, reads, finish } = setup();
  const a = filled(machine, 4);
  const id = out(a, 0, 4);
  expect(reads(a, 0, 4)).toEqual([0, 0, 0, 0]);
  expect([machine.swapIn(a, id, 0, 4), machine.physmem.amount]).toEqual([0, 4 * P]);
  expect(reads(a, 0, 4)).toEqual([10, 11, 12, 13]);
  expect(io()).toEqual([0, 0]);
  finish();
});

test('L1 after write-out the contents come back from disk, with one read for the frame', () => {
  const { machine, swap, out, io, reads, pressure, finish } = setup();
  const a = filled(machine, 4);
  const id = out(a, 0, 4);
  expect([pressure(), machine.use, swap.slots.used]).toEqual([4, 0, 4]);
  machine.swapIn(a, id, 0, 4);
  expect(reads(a, 0, 4)).toEqual([10, 11, 12, 13]);
  expect([io(), swap.counters.reads, swap.slots.used]).toEqual([[4, 4], 1, 0]);
  finish();
});

test('L2 what three tasks share is written once, read once, and still shared until someone writes', () => {
  for (const touchFirst of [false, true]) {
    const { machine, out, io, pressure, finish } = setup();
    const [a, b, c] = [filled(machine, 1), machine.create(), machine.create()];
    machine.copy(a, 0, b, 0, 1);
    machine.copy(a, 0, c, 0, 1);
    const ids = [a, b, c].map((each) => out(each, 0, 1));
    expect([pressure(), machine.use, io()]).toEqual([1, 0, [1, 0]]);
    for (const [i, each] of [a, b, c].entries()) {
      machine.swapIn(each, ids[i], 0, 1);
      if (touchFirst) machine.read(each, 0);
    }
    if (touchFirst) expect([[a, b, c].map((each) => machine.read(each, 0)), machine.use]).toEqual([[10, 10, 10], 1]);
    machine.write(b, 0, 99); // also where nobody has read it before: one read for all of them
    expect(io()).toEqual([1, 1]);
    expect([[a, b, c].map((each) => machine.read(each, 0)), machine.use]).toEqual([[10, 99, 10], 2]);
    finish();
  }
});

test('L3 what one of three still maps is not written, whatever the pressure', () => {
  const { machine, out, io, pressure, finish } = setup();
  const [a, b, c] = [filled(machine, 1), machine.create(), machine.create()];
  machine.copy(a, 0, b, 0, 1);
  machine.copy(a, 0, c, 0, 1);
  out(a, 0, 1);
  out(b, 0, 1);
  expect(machine.read(c, 0)).toBe(10);
  expect([pressure(), io(), machine.use]).toEqual([0, [0, 0], 1]);
  machine.deallocate(c, 0, 1);
  expect([pressure(), io(), machine.use]).toEqual([1, [1, 0], 0]);
  finish();
});

test('L4 a quota of ten pages: the eleventh is EDQUOT, after one is dropped it is fine', () => {
  const { machine, out, drop, finish } = setup({ swapQuota: 10 });
  const a = filled(machine, 16);
  expect([machine.swapOut(a, 0, 12), machine.physmem.amount]).toEqual([EDQUOT, 10 * P]);
  const id = machine.physmem.swapId;
  expect(machine.swapOut(a, 10, 1)).toBe(EDQUOT);
  expect(drop(id + 3, 1)).toEqual([0, 1]);
  out(a, 10, 1);
  expect(swapUsed(machine.physmem.root.principal)).toBe(10);
  finish();
});

test('L4 there are never more pages put away than can be written', () => {
  const { machine, swap, out, pressure, finish } = setup({ slots: 6 });
  const a = filled(machine, 16);
  expect([machine.swapOut(a, 0, 8), machine.physmem.amount]).toEqual([ENOMEM, 6 * P]);
  const id = machine.physmem.swapId;
  pressure();
  expect([swap.slots.used, swap.room]).toEqual([6, 0]);
  machine.swapIn(a, id, 0, 2); // not read yet: the slots are still in use
  expect(machine.swapOut(a, 8, 1)).toBe(ENOMEM);
  expect([machine.read(a, 0), machine.read(a, 1)]).toEqual([10, 11]);
  out(a, 8, 2);
  finish();
});

test('L4 the quota is the one the policy server gives, in units of sixteen pages', () => {
  const rig = new PolicyRig(100, { slots: 64 });
  const { machine } = rig;
  const a = rig.principal(7, 50);
  machine.allocate(a, 0, 40);
  rig.introduce();
  rig.words.store(rowOf(7) + ROW_GUARANTEED, 50);
  rig.words.store(rowOf(7) + ROW_POLICY, policyWord(false, 16));
  rig.commit();
  expect([machine.swapOut(a, 0, 20), machine.physmem.amount]).toEqual([EDQUOT, 16 * P]);
  rig.words.store(rowOf(7) + ROW_POLICY, policyWord(false, 35)); // rounded down to 32
  expect([machine.swapOut(a, 16, 20), machine.physmem.amount]).toEqual([EDQUOT, 16 * P]);
  finish(machine);
});

test('L5 after it was put away a page reads zero, and is written without a copy', () => {
  const { machine, out, finish } = setup();
  const a = filled(machine, 4);
  out(a, 0, 4);
  expect(machine.read(a, 2)).toBe(0);
  machine.write(a, 2, 7);
  expect([machine.read(a, 2), machine.physmem.counters.copies]).toEqual([7, 0]);
  expect([a.pages, machine.physmem.root.used]).toEqual([4, 4]);
  finish();
});

test('L5b taken back with KEEP, only read, and released: no I/O; after a write the id still holds the old bytes', () => {
  const { machine, swap, out, io, drop, pressure, finish } = setup();
  const a = filled(machine, 1);
  const id = out(a, 0, 1);
  pressure();
  machine.swapIn(a, id, 0, 1, KEEP);
  expect(machine.read(a, 0)).toBe(10);
  expect(machine.deallocate(a, 0, 1)).toBe(0); // dropped again, without another swapOut
  expect([pressure(), machine.use, io()]).toEqual([1, 0, [1, 1]]);
  machine.allocate(a, 0, 1);
  machine.swapIn(a, id, 0, 1, KEEP);
  machine.write(a, 0, 77);
  machine.allocate(a, 5, 1);
  machine.swapIn(a, id, 5, 1, KEEP);
  expect([machine.read(a, 0), machine.read(a, 5)]).toEqual([77, 10]);
  expect(drop(id, 1)).toEqual([0, 1]);
  expect(machine.read(a, 5)).toBe(10);
  expect([swap.slots.used, machine.swapIn(a, id, 0, 1)]).toEqual([0, ENOENT]);
  finish();
});

test('L6 a part of a frame: slots are freed exactly, a partial drop too', () => {
  const { machine, swap, out, reads, drop, pressure, finish } = setup();
  const a = filled(machine, 16);
  const b = machine.create();
  machine.allocate(b, 0, 8);
  const id = out(a, 2, 4);
  expect([pressure(), swap.slots.used, machine.use]).toEqual([4, 4, 12]);
  machine.swapIn(b, id + 1, 3, 2);
  expect(reads(b, 2, 4)).toEqual([0, 13, 14, 0]);
  expect([swap.slots.used, machine.physmem.root.principal.swap?.pages]).toEqual([2, 2]);
  expect(drop(id, 1)).toEqual([0, 1]);
  expect(swap.slots.used).toBe(1);
  expect(drop(id, 4)).toEqual([ENOENT, 1]);
  expect(swap.slots.used).toBe(0);
  expect(reads(a, 0, 7)).toEqual([10, 11, 0, 0, 0, 0, 16]);
  finish();
});

test('L6 what swap alone uses of a frame that a task uses in part is written out alone', () => {
  const { machine, out, io, pressure, finish } = setup();
  const a = filled(machine, 8);
  const id = out(a, 0, 8);
  machine.swapIn(a, id, 3, 1, KEEP); // page 3 takes what page 0 held
  expect([pressure(), machine.use, io()]).toEqual([7, 1, [7, 0]]);
  expect(machine.read(a, 3)).toBe(10);
  finish();
});

test('L6 taken in over a part of a copy of itself: the frame is cut while it is read', () => {
  for (const flags of [0, KEEP]) {
    const { machine, out, finish } = setup();
    const [a, b] = [filled(machine, 8), machine.create()];
    machine.copy(a, 0, b, 0, 8);
    const id = out(a, 0, 8);
    expect([machine.swapIn(b, id, 0, 6, flags), machine.physmem.amount]).toEqual([0, 6 * P]);
    expect(machine.values(b, 0, 8)).toEqual([10, 11, 12, 13, 14, 15, 16, 17]);
    assertInvariants(machine.physmem);
    finish();
  }
});

test('L6 a sharer of a part puts it away: what it puts away does not change with what the others write', () => {
  const { machine, out, finish } = setup();
  const [a, b] = [filled(machine, 4), machine.create()];
  machine.copy(a, 1, b, 0, 1, COPY_SHARED);
  machine.write(a, 1, 21);
  const id = out(b, 0, 1);
  assertInvariants(machine.physmem);
  for (const page of [0, 1, 2, 3]) machine.write(a, page, 30 + page);
  machine.swapIn(b, id, 0, 1);
  expect([machine.read(b, 0), machine.read(a, 1)]).toEqual([21, 31]);
  finish();
});

test('L7 pages that were never bound are put away and taken back without I/O, and take no slot', () => {
  const { machine, swap, out, io, reads, pressure, finish } = setup();
  const a = machine.create();
  machine.allocate(a, 0, 4);
  const id = out(a, 0, 4);
  expect([pressure(), swap.slots.used, machine.use]).toEqual([0, 0, 0]);
  machine.swapIn(a, id, 0, 4);
  expect([reads(a, 0, 4), io()]).toEqual([
    [0, 0, 0, 0],
    [0, 0],
  ]);
  finish();
});

test('L8 a write error: the data stays in memory, the failure is to be seen, and nothing is lost', () => {
  const { machine, swap, out, io, reads, pressure, finish } = setup();
  const a = filled(machine, 4);
  const id = out(a, 0, 4);
  machine.transferred = (isWrite, pages) => (isWrite ? pages - 1 : pages); // short
  expect([pressure(), machine.use, swap.slots.used, swap.failing]).toEqual([0, 4, 0, true]);
  expect(swap.counters.writeErrors).toBeGreaterThan(0);
  machine.transferred = (_, pages) => pages;
  expect([pressure(), machine.use, swap.failing, io()]).toEqual([4, 0, false, [4, 0]]);
  machine.swapIn(a, id, 0, 4);
  expect(reads(a, 0, 4)).toEqual([10, 11, 12, 13]);
  finish();
});

test('L8 a write error is to be seen in the policy buffer, until a write succeeds', () => {
  const rig = new PolicyRig(100, { slots: 64 });
  const { machine } = rig;
  const a = rig.principal(7, 50);
  machine.allocate(a, 0, 4);
  for (const page of [0, 1, 2, 3]) machine.write(a, page, page);
  rig.introduce();
  const isSaid = () => (rig.words.load(HEADER_SERVER) & HEADER_SWAP_FAILING) !== 0;
  expect([machine.swapOut(a, 0, 4), isSaid()]).toEqual([0, false]);
  machine.transferred = () => 0;
  expect([writeOut(machine.physmem, 1), isSaid(), rig.overcommit]).toEqual([0, true, false]);
  machine.transferred = (_, pages) => pages;
  expect([writeOut(machine.physmem, 1), isSaid()]).toEqual([1, false]);
  finish(machine);
});

test('L8 a bad slot is passed over, and the rest is written', () => {
  const { machine, swap, out, pressure, reads, finish } = setup();
  const a = filled(machine, 4);
  const id = out(a, 0, 4);
  let writes = 0;
  machine.transferred = (isWrite, pages) => (isWrite && ++writes <= 4 ? 0 : pages); // 4P, 2P, 1P, 1P
  expect([pressure(), machine.use, swap.counters.writeErrors, swap.failing]).toEqual([4, 0, 4, false]);
  machine.swapIn(a, id, 0, 4);
  expect(reads(a, 0, 4)).toEqual([10, 11, 12, 13]);
  finish();
});

test('L8 a read error is EIO, of the page it hits only, and the data is there when the store works again', () => {
  const { machine, out, pressure, reads, finish } = setup();
  const a = filled(machine, 4);
  const id = out(a, 0, 4);
  pressure();
  machine.swapIn(a, id, 0, 4);
  machine.transferred = (_, pages) => (pages > 1 ? pages - 1 : pages); // whole pages get through
  expect(machine.read(a, 1)).toBe(11);
  machine.transferred = () => 0;
  expect([machine.read(a, 0), machine.write(a, 3, 1), machine.read(a, 1)]).toEqual([-EIO, EIO, 11]);
  machine.transferred = (_, pages) => pages;
  expect(reads(a, 0, 4)).toEqual([10, 11, 12, 13]);
  finish();
});

test('L9 given up softly and recovered at once: contents intact, no I/O', () => {
  const { machine, io, reads, finish } = setup();
  const a = filled(machine, 4);
  expect([machine.deallocate(a, 0, 4, SOFT), machine.physmem.amount, a.pages]).toEqual([0, 4 * P, 0]);
  expect([softPages(machine.physmem, a, 0, 4), machine.physmem.soft.pages]).toEqual([4, 4]);
  expect([machine.recover(a, 0, 4), machine.physmem.amount]).toEqual([0, 4 * P]);
  expect([reads(a, 0, 4), io(), machine.physmem.soft.pages]).toEqual([[10, 11, 12, 13], [0, 0], 0]);
  machine.write(a, 1, 5);
  expect([machine.read(a, 1), machine.physmem.counters.copies]).toEqual([5, 0]);
  finish();
});

test('L9 reused memory is ENOEXIST, the oldest first', () => {
  const { machine, finish } = setup({ pages: 8 });
  const a = filled(machine, 4);
  const b = machine.create();
  for (const page of [2, 0, 1, 3]) machine.deallocate(a, page, 1, SOFT);
  machine.allocate(b, 0, 4);
  machine.allocate(b, 8, 2);
  for (const page of [0, 1, 2, 3, 8, 9]) machine.write(b, page, 50 + page);
  expect([2, 0, 1, 3].map((page) => machine.recover(a, page, 1))).toEqual([ENOEXIST, ENOEXIST, 0, 0]);
  expect([machine.read(a, 1), machine.read(a, 3), machine.physmem.counters.softDiscarded]).toEqual([11, 13, 2]);
  finish();
});

test('L9 without guarantee or extra ENOMEM, and the soft reference stays', () => {
  const { machine, finish } = setup({ pages: 8 });
  const child = machine.physmem.splitControl(machine.physmem.root, 4);
  if (child === null) throw new Error('no control');
  const a = machine.create(child);
  machine.allocate(a, 0, 4);
  for (let page = 0; page < 4; page += 1) machine.write(a, page, 10 + page);
  machine.deallocate(a, 0, 4, SOFT);
  machine.allocate(a, 8, 3);
  expect([machine.recover(a, 0, 2, ALL_OR_NONE), machine.recover(a, 0, 2), machine.physmem.amount]).toEqual([ENOMEM, ENOMEM, P]);
  machine.deallocate(a, 8, 3);
  expect([machine.recover(a, 1, 3), machine.read(a, 0), machine.read(a, 3)]).toEqual([0, 10, 13]);
  expect([machine.recover(a, 1, 1), machine.recover(a, 9, 1), machine.recover(a, 0, 0)]).toEqual([EEXIST, ENOEXIST, EINVAL]);
  finish();
});

test('L9 a page that others use keeps its contents: the soft reference is a copy of the moment it was given up', () => {
  for (const sharing of [0, COPY_SHARED]) {
    const { machine, finish } = setup();
    const a = filled(machine, 2);
    const b = machine.create();
    machine.copy(a, 0, b, 0, 2, sharing);
    machine.deallocate(a, 0, 2, SOFT | LAZY);
    expect(machine.physmem.soft.pages).toBe(0);
    machine.write(b, 0, 99);
    expect(machine.recover(a, 0, 2)).toBe(0);
    expect([machine.read(a, 0), machine.read(a, 1), machine.read(b, 0)]).toEqual([10, 11, 99]);
    finish();
  }
});

test('L9 a name that is used again means something else, and with its container a name is gone', () => {
  const { machine, finish } = setup();
  const [a, b] = [filled(machine, 4), filled(machine, 1)];
  machine.deallocate(a, 0, 4, SOFT);
  machine.allocate(a, 1, 1);
  machine.copy(b, 0, a, 2, 1);
  machine.deallocate(a, 1, 2);
  expect([0, 1, 2, 3].map((page) => softPages(machine.physmem, a, page, 1))).toEqual([1, 0, 0, 1]);
  expect([machine.recover(a, 0, 4), machine.physmem.amount]).toEqual([ENOEXIST, P]);
  machine.physmem.destroy(a);
  expect([machine.physmem.soft.pages, machine.use]).toEqual([0, 1]);
  finish();
});

test('L10 what is given up softly counts for a return request, and its memory is there for who waits for it', () => {
  const rig = new PolicyRig(32);
  const { machine } = rig;
  const [a, b] = [rig.principal(7, 4), rig.principal(8, 20)];
  rig.introduce();
  rig.guarantee(7, 4);
  rig.guarantee(8, 20);
  rig.commit();
  machine.allocate(a, 0, 24, EXTRA);
  for (let page = 0; page < 24; page += 1) machine.write(a, page, page);
  machine.allocate(b, 0, 20);
  expect(rig.asked).toEqual([{ task: 7, count: 12, at: 0 }]);
  machine.deallocate(a, 0, 12, SOFT);
  expect(a.control.principal.request).toBe(null);
  rig.pass(1_000_000);
  expect([rig.punished, machine.physmem.soft.pages]).toEqual([[], 12]);
  for (let page = 0; page < 20; page += 1) expect(machine.write(b, page, 100 + page)).toBe(0);
  expect([machine.physmem.soft.pages, machine.recover(a, 0, 1)]).toEqual([0, ENOEXIST]);
  expect(machine.read(a, 20)).toBe(20);
  finish(machine);
});

test('L11 the id of another principal, and a stale one, are ENOENT', () => {
  const { machine, out, drop, finish } = setup();
  const pm = machine.physmem;
  const a = filled(machine, 2);
  const mine = pm.splitControl(pm.root, 8, 5);
  const theirs = pm.splitControl(pm.root, 8, 6);
  if (mine === null || theirs === null) throw new Error('no control');
  const [b, c] = [machine.create(mine), machine.create(theirs)];
  for (const each of [b, c]) machine.allocate(each, 0, 2);
  machine.write(b, 0, 5);
  const id = out(b, 0, 2);
  expect([machine.swapIn(c, id, 0, 1), machine.swapIn(a, id, 0, 1), swapDrop(pm, theirs.principal, id, 1)]).toEqual([
    ENOENT,
    ENOENT,
    ENOENT,
  ]);
  expect([machine.swapIn(b, id, 0, 1), machine.swapIn(b, id, 0, 1), machine.swapIn(b, id + 2, 0, 1)]).toEqual([0, ENOENT, ENOENT]);
  expect([machine.swapIn(b, id + 1, 0, 2), pm.amount]).toEqual([ENOENT, P]);
  expect([Number.NaN, -1, 0.5, 2 ** 60].map((each) => machine.swapIn(b, each, 0, 1))).toEqual([ENOENT, ENOENT, ENOENT, ENOENT]);
  expect([drop(Number.NaN, 1)[0], drop(1, 0)[0], drop(1, -1)[0], drop(0, 5)[0]]).toEqual([EINVAL, EINVAL, EINVAL, ENOENT]);
  out(b, 1, 1);
  pm.destroyControl(mine); // with everything it has put away
  expect(pm.hidden).toBe(0);
  finish();
});

test('L12 a break with all memory full and swap as the only other user: the swap side goes to disk', () => {
  for (const shared of [1, 3]) {
    const { machine, swap, out, io, finish } = setup({ pages: 8 });
    const [a, b] = [filled(machine, 1), filled(machine, 7)];
    const ids: number[] = [];
    for (let i = 0; i < shared; i += 1) {
      machine.deallocate(b, 6, 1);
      machine.copy(a, 0, b, 6, 1);
      ids.push(out(b, 6, 1));
    }
    for (let page = 0; page < 7; page += 1) machine.write(b, page, 20 + page);
    expect([machine.physmem.zones.freePages, io()]).toEqual([0, [0, 0]]);
    expect(machine.write(a, 0, 99)).toBe(0);
    expect([machine.use, io(), swap.slots.used]).toEqual([8, [1, 0], 1]);
    machine.swapIn(b, ids[0], 6, 1);
    expect([machine.read(a, 0), machine.read(b, 6)]).toEqual([99, 10]);
    finish();
  }
});

test('L12 where the store fails, such a break is refused, and nothing has changed', () => {
  const { machine, out, finish } = setup({ pages: 8 });
  const [a, b] = [filled(machine, 1), filled(machine, 7)];
  machine.deallocate(b, 6, 1);
  machine.copy(a, 0, b, 6, 1);
  const id = out(b, 6, 1);
  machine.write(b, 6, 26);
  machine.transferred = () => 0;
  expect([machine.write(a, 0, 99), machine.read(a, 0)]).toEqual([ENOMEM, 10]);
  machine.transferred = (_, pages) => pages;
  expect(machine.write(a, 0, 99)).toBe(0);
  machine.swapIn(b, id, 6, 1);
  expect(machine.read(b, 6)).toBe(10);
  finish();
});

test('a large break beside swap is made page by page where memory is short', () => {
  const { machine, out, io, reads, finish } = setup({ pages: 8 });
  const a = filled(machine, 4);
  const b = machine.create();
  machine.copy(a, 0, b, 0, 4);
  const id = out(b, 0, 4);
  for (let page = 0; page < 4; page += 1) machine.write(b, page, 30 + page);
  expect(machine.physmem.zones.freePages).toBe(0);
  for (let page = 0; page < 4; page += 1) expect(machine.write(a, page, 40 + page)).toBe(0);
  expect([io(), reads(a, 0, 4)]).toEqual([
    [4, 0],
    [40, 41, 42, 43],
  ]);
  machine.swapIn(b, id, 0, 4);
  expect(reads(b, 0, 4)).toEqual([10, 11, 12, 13]);
  finish();
});

test('K13 a constraint survives being put away and taken back, written out or not', () => {
  for (const written of [true, false]) {
    const { machine, out, pressure, reads, finish } = setup();
    const a = machine.create();
    // Page 1 of every four, three times; and a run of three.
    for (const page of [0, 1, 2]) machine.allocate(a, page, 1, CONSTRAINED, P, 2 * P);
    machine.allocate(a, 4, 3, CONTIGUOUS);
    for (const page of [0, 1, 2, 4, 5, 6]) machine.write(a, page, 10 + page);
    const run = [4, 5, 6].map((page) => machine.guestFrameAt(a, page));
    const id = out(a, 0, 3);
    const second = out(a, 4, 3);
    if (written) pressure();
    const other = filled(machine, 16); // takes what has become free
    machine.swapIn(a, id, 0, 3);
    machine.swapIn(a, second, 4, 3);
    expect([...reads(a, 0, 3), ...reads(a, 4, 3)]).toEqual([10, 11, 12, 14, 15, 16]);
    for (const page of [0, 1, 2]) expect(machine.guestFrameAt(a, page) & 3).toBe(1);
    expect([4, 5, 6].map((page) => machine.guestFrameAt(a, page))).toEqual(run);
    expect(reads(other, 0, 16)).toEqual(Array.from({ length: 16 }, (_, i) => 10 + i));
    finish();
  }
});

test('K13 data from elsewhere lies anywhere, and can be brought to where its new place wants it', () => {
  const { machine, out, finish } = setup();
  const [a, b] = [machine.create(), filled(machine, 4)];
  machine.allocate(a, 0, 1, CONSTRAINED, 3 * P, 0);
  const id = out(b, 0, 1);
  machine.swapIn(a, id, 0, 1);
  expect(machine.read(a, 0)).toBe(10);
  expect([settle(machine.physmem, machine.frameAt(a, 0)), machine.guestFrameAt(a, 0) & 3, machine.read(a, 0)]).toEqual([0, 3, 10]);
  finish();
});

test('nothing is put away without swap space, from a hole, or in parts of pages', () => {
  const machine = new Machine({ memory: [[1024, 8]] });
  const a = filled(machine, 2);
  expect([machine.swapOut(a, 0, 1), machine.physmem.swapId]).toEqual([ENOMEM, 0]);
  expect(machine.swapIn(a, 1, 0, 1)).toBe(ENOENT);
  finish(machine);
  const { machine: other, finish: end } = setup();
  const b = filled(other, 2);
  expect([other.swapOut(b, 1, 3), other.physmem.amount, other.swapOut(b, 4, 1)]).toEqual([ENOENT, P, ENOENT]);
  expect([other.swapOut(b, 0, 0), other.swapOut(b, 0.5, 1), other.swapIn(b, 1, 0, 0), other.swapIn(b, 1, 0, 1, MAP_READ)]).toEqual([
    EINVAL,
    EINVAL,
    EINVAL,
    EINVAL,
  ]);
  end();
});

test('ids come back when all have been given, and never while they are in use', () => {
  const { machine, out, drop, finish } = setup();
  const a = filled(machine, 4);
  const { principal } = machine.physmem.root;
  const first = out(a, 0, 2);
  principal.nextSwapId = machine.physmem.limitPages - 1;
  expect([out(a, 2, 1), out(a, 3, 1)]).toEqual([machine.physmem.limitPages - 1, 3]);
  principal.nextSwapId = 1;
  expect(out(a, 0, 1)).toBe(4);
  expect([drop(first, 2), drop(4, 1)]).toEqual([
    [0, 2],
    [0, 1],
  ]);
  finish();
});
