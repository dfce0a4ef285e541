/** Section H: weak containers, locks, pins. */

import { expect, test } from 'vitest';
import { EBUSY, EDQUOT, EINVAL, ENOENT, EPERM } from '../../../../hostkernel/base/errno.ts';
import type { GuestFrame } from '../../../../hostkernel/base/units.ts';
import type { Container } from '../../../../vkernel/physmem/core/container.ts';
import { PINNED } from '../../../../vkernel/physmem/core/frame-table.ts';
import { breakHolds, endHoldsOfTask, expireHolds } from '../../../../vkernel/physmem/core/holds.ts';
import { assertInvariants } from '../../../../vkernel/physmem/core/invariants.ts';
import { lock, MAX_LOCKS, unlock } from '../../../../vkernel/physmem/core/locks.ts';
import { BUSY, compact, openBlock } from '../../../../vkernel/physmem/core/move.ts';
import { type PinSink, pin, unpin } from '../../../../vkernel/physmem/core/pins.ts';
import type { Physmem } from '../../../../vkernel/physmem/core/physmem.ts';
import { release } from '../../../../vkernel/physmem/core/release.ts';
import { copyBy, endShare, expireShares, mapBy, type Party, revoke, share, WeakContainer } from '../../../../vkernel/physmem/core/share.ts';
import {
  ALL_OR_NONE,
  COPY_IN_PLACE,
  COPY_MOVE,
  COPY_SHARED,
  LAZY,
  MAP_READ,
  MAP_WRITE,
  MAX_HOLD_US,
  SQUASH,
  WEAK_COPY_FROM,
  WEAK_COPY_INTO,
  WEAK_LOCK,
  WEAK_MAP_READ,
  WEAK_MAP_WRITE,
  WEAK_PIN,
  WEAK_RIGHTS,
} from '../../../../vkernel/physmem/interface.ts';
import { Items, type Machine, P } from '../machine.ts';
import { filled, finish, RW, setup } from './setup.ts';

const OWNER = 5;
const HOLDER = 6;
const OWN = { task: OWNER, weak: null, expires: Number.POSITIVE_INFINITY };
const MS = 1000;

/** A reply that takes runs of pinned memory. */
class Runs implements PinSink {
  readonly runs: [frame: number, pages: number][] = [];
  room: number;

  constructor(room = 24) {
    this.room = room;
  }

  run(frame: GuestFrame, pages: number): void {
    this.runs.push([frame, pages]);
    this.room -= 1;
  }

  get frames(): number[] {
    return this.runs.flatMap(([frame, pages]) => Array.from({ length: pages }, (_, i) => frame + i));
  }
}

function weakOf(machine: Machine, container: Container, rights: number, duration = 0): WeakContainer {
  const weak = share(machine.physmem, container, HOLDER, rights, duration);
  return weak instanceof WeakContainer ? weak : expect.fail('no weak container');
}

function pinned(machine: Machine, container: Container, from: number, pages: number, flags = 0, duration = 10 * MS): Runs {
  const runs = new Runs();
  expect(pin(machine.physmem, container, OWN, from * P, pages * P, duration, flags, runs)).toBe(0);
  expect(machine.physmem.amount).toBe(pages * P);
  assertInvariants(machine.physmem);
  return runs;
}

/** Asks for the one page at `frame`, whoever has it, and gives it back to the pool. @returns the page, or why not */
function open(physmem: Physmem, frame: number): number {
  const address = openBlock(physmem, 0, { set: frame, clear: 2 ** 31 - 1 - frame });
  if (address >= 0) physmem.zones.free(address, 1);
  return address;
}

/** Maps one page for a party, which must be refused or not. @returns the errno */
function mapPage(machine: Machine, party: Party, flags: number, page: number, pages = 1): number {
  return mapBy(machine.physmem, party, flags, page * P, page * P, pages * P, new Items());
}

function copyPages(machine: Machine, from: Party, into: Party, pages: number, flags: number): number {
  return copyBy(machine.physmem, from, 0, into, 0, pages * P, flags);
}

test('H1 a weak holder maps and copies in place as far as his rights go', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  const own = filled(machine, 4);
  const reader = weakOf(machine, a, WEAK_MAP_READ);
  expect([mapPage(machine, reader, MAP_READ, 0), mapPage(machine, reader, RW, 0)]).toEqual([0, EPERM]);
  expect([copyPages(machine, own, reader, 1, COPY_IN_PLACE), copyPages(machine, reader, machine.create(), 1, 0)]).toEqual([EPERM, EPERM]);
  const writer = weakOf(machine, a, WEAK_MAP_WRITE | WEAK_COPY_INTO);
  expect([mapPage(machine, writer, MAP_WRITE, 0), mapPage(machine, writer, RW, 0)]).toEqual([0, EPERM]);
  machine.write(own, 1, 77);
  expect(copyPages(machine, own, writer, 4, COPY_IN_PLACE)).toBe(0);
  expect(machine.values(a, 0, 4)).toEqual([10, 77, 12, 13]);
  expect(copyPages(machine, own, writer, 4, 0)).toBe(EPERM);
  expect(copyPages(machine, own, writer, 4, SQUASH)).toBe(EPERM);
  finish(machine);
});

test('H1 a share without rights, with unknown ones, or for a negative time is none', () => {
  const { machine } = setup();
  const a = filled(machine, 1);
  for (const [rights, duration] of [
    [0, 0],
    [WEAK_RIGHTS + 1, 0],
    [WEAK_MAP_READ, -1],
    [WEAK_MAP_READ, Number.NaN],
  ]) {
    expect(share(machine.physmem, a, HOLDER, rights, duration)).toBe(EINVAL);
  }
  expect(a.shares).toBe(null);
  finish(machine);
});

test('H2 a server fills the pages of a client, who revokes, and keeps them when the server dies', () => {
  const { machine } = setup();
  const client = filled(machine, 8);
  const cache = filled(machine, 8);
  for (let page = 0; page < 8; page += 1) machine.write(cache, page, 50 + page);
  const weak = weakOf(machine, client, WEAK_COPY_INTO | WEAK_MAP_READ);
  const used = machine.physmem.root.used;
  expect(copyPages(machine, cache, weak, 8, COPY_IN_PLACE)).toBe(0);
  expect(machine.physmem.root.used).toBe(used);
  expect(revoke(machine.physmem, client, HOLDER)).toBe(0);
  expect([weak.alive, machine.retired]).toEqual([false, [weak]]);
  machine.write(cache, 0, 99);
  machine.destroy(cache);
  endHoldsOfTask(machine.physmem, HOLDER);
  expect(Array.from({ length: 8 }, (_, page) => machine.read(client, page))).toEqual([50, 51, 52, 53, 54, 55, 56, 57]);
  finish(machine);
});

test('H2 revocation flushes what the holder may have mapped, and nothing where he could map nothing', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  machine.flushes = [];
  weakOf(machine, a, WEAK_COPY_FROM);
  expect([revoke(machine.physmem, a, 0), machine.flushes.length]).toEqual([0, 0]);
  const weak = weakOf(machine, a, WEAK_MAP_READ);
  expect(mapPage(machine, weak, MAP_READ, 0)).toBe(0);
  expect(revoke(machine.physmem, a, HOLDER + 1)).toBe(0);
  expect([weak.alive, machine.flushes.length]).toEqual([true, 0]);
  expect(revoke(machine.physmem, a, HOLDER)).toBe(0);
  expect(machine.flushes).toEqual([{ frame: machine.guestFrameAt(a, 0), pages: 4, rights: MAP_READ | MAP_WRITE }]);
  finish(machine);
});

test('H2 a share ends by itself, and with its container', () => {
  const { machine } = setup();
  const a = filled(machine, 2);
  const short = weakOf(machine, a, WEAK_MAP_READ, 5 * MS);
  const long = weakOf(machine, a, WEAK_MAP_READ);
  machine.time = 5 * MS - 1;
  expireShares(machine.physmem);
  expect(short.alive).toBe(true);
  machine.time = 5 * MS;
  machine.flushes = [];
  expireShares(machine.physmem);
  expect([short.alive, long.alive, machine.flushes.length]).toEqual([false, true, 1]);
  machine.destroy(a);
  expect([long.alive, machine.retired]).toEqual([false, [short, long, a]]);
  endShare(machine.physmem, long); // again: nothing
  finish(machine);
});

test('H3 copying from a container needs the right; it does not come with others', () => {
  const { machine } = setup();
  const a = filled(machine, 2);
  const thief = machine.create();
  const weak = weakOf(machine, a, WEAK_RIGHTS & ~WEAK_COPY_FROM);
  expect([copyPages(machine, weak, thief, 2, 0), thief.pages]).toEqual([EPERM, 0]);
  expect(copyPages(machine, weakOf(machine, a, WEAK_COPY_FROM), thief, 2, 0)).toBe(0);
  machine.write(thief, 0, 66);
  expect(machine.values(a, 0, 2)).toEqual([10, 11]);
  finish(machine);
});

test('H4 a lock keeps the owner’s hands off its range until it expires', () => {
  const { machine, amount } = setup();
  const a = filled(machine, 8);
  const { physmem } = machine;
  const weak = weakOf(machine, a, WEAK_LOCK | WEAK_MAP_WRITE | WEAK_COPY_INTO);
  const other = filled(machine, 8);
  expect(machine.read(a, 3)).toBe(13);
  expect(lock(physmem, weak, 2 * P, 2 * P, 5 * MS)).toBe(0);
  expect(machine.translations.get(a)?.get(3)?.rights).toBe(MAP_READ); // WRITE was taken away
  expect([machine.deallocate(a, 0, 8), amount()]).toEqual([EBUSY, 2]);
  expect([machine.deallocate(a, 2, 6, ALL_OR_NONE), amount()]).toEqual([EBUSY, 0]);
  expect([machine.deallocate(a, 4, 4), amount()]).toEqual([0, 4]);
  expect([mapPage(machine, a, RW, 2), mapPage(machine, a, MAP_READ, 2), mapPage(machine, weak, MAP_WRITE, 2)]).toEqual([EBUSY, 0, 0]);
  expect(release(physmem, a, 2 * P, P, 0)).toBe(EBUSY);
  expect([machine.copy(other, 0, a, 3, 1, SQUASH), machine.allocate(a, 3, 1, SQUASH), machine.copy(a, 2, other, 20, 1, COPY_MOVE)]).toEqual(
    [EBUSY, EBUSY, EBUSY],
  );
  expect(copyBy(physmem, other, 0, a, 2 * P, 2 * P, COPY_IN_PLACE)).toBe(EBUSY);
  expect(copyBy(physmem, other, 0, weak, 2 * P, 2 * P, COPY_IN_PLACE)).toBe(0); // the holder himself may
  expect(machine.values(a, 2, 2)).toEqual([10, 11]);
  expect(revoke(physmem, a, 0)).toBe(EBUSY);
  assertInvariants(physmem);
  machine.time = 5 * MS;
  expect(mapPage(machine, a, RW, 2)).toBe(0);
  expect([machine.deallocate(a, 2, 1), revoke(physmem, a, 0)]).toEqual([0, 0]);
  finish(machine);
});

test('H4 the owner’s write map stops where the lock begins; what is before it is mapped', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  const weak = weakOf(machine, a, WEAK_LOCK);
  expect(lock(machine.physmem, weak, 2 * P, P, MS)).toBe(0);
  const sink = new Items();
  expect(mapBy(machine.physmem, a, RW, 0, 0, 4 * P, sink)).toBe(EBUSY);
  expect(sink.pages).toBe(2);
  const other = filled(machine, 4);
  expect(copyBy(machine.physmem, other, 0, a, 0, 4 * P, COPY_IN_PLACE)).toBe(EBUSY);
  expect(machine.physmem.amount).toBe(2 * P);
  expect(copyBy(machine.physmem, other, 0, a, 0, 4 * P, COPY_IN_PLACE | ALL_OR_NONE)).toBe(EBUSY);
  expect(machine.physmem.amount).toBe(0);
  finish(machine);
});

test('H4 locks are disjoint, counted, capped in time, and end by unlock of the same range', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  const { physmem } = machine;
  expect(lock(physmem, weakOf(machine, a, WEAK_RIGHTS & ~WEAK_LOCK), 0, P, MS)).toBe(EPERM);
  const weak = weakOf(machine, a, WEAK_LOCK);
  const another = weakOf(machine, a, WEAK_LOCK);
  for (const [start, size, duration] of [
    [0, 0, MS],
    [1, P, MS],
    [0, P, 0],
    [0, P, -5],
    [0, P, Number.NaN],
    [2 ** 53 - P, 2 * P, MS],
  ]) {
    expect(lock(physmem, weak, start, size, duration)).toBe(EINVAL);
  }
  expect([lock(physmem, weak, 0, 2 * P, 1e9), lock(physmem, another, P, P, MS), lock(physmem, weak, P, 2 * P, MS)]).toEqual([
    0,
    EBUSY,
    EBUSY,
  ]);
  expect(a.locks[0].expires).toBe(MAX_HOLD_US);
  expect([unlock(physmem, another, 0, 2 * P), unlock(physmem, weak, 0, P), unlock(physmem, weak, 1, P)]).toEqual([ENOENT, ENOENT, EINVAL]);
  expect([unlock(physmem, weak, 0, 2 * P), unlock(physmem, weak, 0, 2 * P)]).toEqual([0, ENOENT]);
  for (let i = 0; i < MAX_LOCKS; i += 1) expect(lock(physmem, weak, (100 + i) * P, P, MS)).toBe(0);
  expect(lock(physmem, another, 99 * P, P, MS)).toBe(EDQUOT);
  assertInvariants(physmem);
  finish(machine);
});

test('H5 pinned pages stay where they are; expiry and unpin make them movable; pins nest', () => {
  const { machine } = setup();
  const a = filled(machine, 8);
  const { physmem } = machine;
  const runs = pinned(machine, a, 2, 2);
  expect(runs.frames).toEqual([machine.guestFrameAt(a, 2), machine.guestFrameAt(a, 3)]);
  expect([machine.deallocate(a, 2, 1), release(physmem, a, 3 * P, P, 0), machine.copy(a, 3, machine.create(), 0, 1, COPY_MOVE)]).toEqual([
    EBUSY,
    EBUSY,
    EBUSY,
  ]);
  expect(machine.deallocate(a, 4, 4)).toBe(0); // beside it
  pinned(machine, a, 3, 1);
  expect(unpin(physmem, a, OWN, 3 * P, P)).toBe(0);
  expect(physmem.table.state[machine.frameAt(a, 3)] & PINNED).toBe(PINNED);
  expect([unpin(physmem, a, OWN, 3 * P, P), unpin(physmem, a, { ...OWN, task: 9 }, 2 * P, 2 * P)]).toEqual([ENOENT, ENOENT]);
  machine.time = 10 * MS;
  expireHolds(physmem);
  expect(physmem.table.state[machine.frameAt(a, 3)] & PINNED).toBe(0);
  expect([unpin(physmem, a, OWN, 2 * P, 2 * P), machine.deallocate(a, 2, 2)]).toEqual([ENOENT, 0]);
  finish(machine);
});

test('H5 defragmentation moves what is around a pinned page, and that too when the pin is over', () => {
  const { machine } = setup({ pages: 64 });
  const { physmem } = machine;
  const a = machine.create();
  for (let page = 0; page < 64; page += 1) machine.write(a, page, machine.allocate(a, page, 1) + page);
  for (let page = 0; page < 64; page += 1) if (page % 4 !== 0) machine.deallocate(a, page, 1);
  const { frames } = pinned(machine, a, 20, 1);
  const settled = () => {
    for (let i = 0; i < 20 && compact(physmem, 64) > 0; i += 1) assertInvariants(physmem);
    return Array.from({ length: 16 }, (_, i) => machine.guestFrameAt(a, 4 * i));
  };
  const before = Array.from({ length: 16 }, (_, i) => machine.guestFrameAt(a, 4 * i));
  const after = settled();
  expect(after).not.toEqual(before);
  expect([machine.guestFrameAt(a, 20), open(physmem, frames[0])]).toEqual([frames[0], BUSY]);
  expect(Array.from({ length: 16 }, (_, i) => machine.read(a, 4 * i))).toEqual(Array.from({ length: 16 }, (_, i) => 4 * i));
  machine.time = 10 * MS;
  expireHolds(physmem);
  expect([open(physmem, frames[0]), machine.read(a, 20)]).toEqual([frames[0], 20]);
  expect(machine.guestFrameAt(a, 20)).not.toBe(frames[0]);
  finish(machine);
});

test('H5 a pin binds, answers with runs, and does what one reply holds', () => {
  const { machine } = setup();
  const a = machine.create();
  machine.allocate(a, 0, 8);
  const runs = pinned(machine, a, 0, 8);
  expect([runs.runs.length, machine.use, machine.values(a, 0, 8)]).toEqual([1, 8, [0, 0, 0, 0, 0, 0, 0, 0]]);
  const b = machine.create();
  for (let page = 0; page < 8; page += 1) machine.write(page % 2 === 0 ? b : a, machine.allocate(b, page, 1) + page, page); // scattered
  const c = machine.create();
  for (const page of [0, 2, 4, 6]) machine.copy(b, page, c, 3 - page / 2, 1, COPY_SHARED);
  const few = new Runs(2);
  expect(pin(machine.physmem, c, OWN, 0, 4 * P, MS, 0, few)).toBe(0);
  expect([few.runs.length, machine.physmem.amount]).toEqual([2, 2 * P]);
  expect(few.frames).toEqual([machine.guestFrameAt(c, 0), machine.guestFrameAt(c, 1)]);
  assertInvariants(machine.physmem);
  for (const [start, size, duration, flags] of [
    [0, 0, MS, 0],
    [0, P, 0, 0],
    [0, P, MS, SQUASH],
    [1, P, MS, 0],
  ]) {
    expect(pin(machine.physmem, c, OWN, start, size, duration, flags, new Runs())).toBe(EINVAL);
  }
  expect(pin(machine.physmem, c, OWN, 3 * P, 2 * P, MS, 0, new Runs())).toBe(ENOENT);
  finish(machine);
});

test('H6 a quarter of the guarantee may be pinned, each pin counted; the holder’s death ends his pins and locks', () => {
  const { machine } = setup();
  const { physmem } = machine;
  const control = physmem.splitControl(physmem.root, 40, OWNER) ?? expect.fail('no control');
  const a = machine.create(control);
  machine.allocate(a, 0, 20);
  const weak = weakOf(machine, a, WEAK_PIN | WEAK_LOCK);
  const asPinner = (pages: number) => pin(physmem, a, weak.asker, 0, pages * P, MS, 0, new Runs());
  expect([asPinner(11), asPinner(6), asPinner(5), asPinner(4)]).toEqual([EDQUOT, 0, EDQUOT, 0]);
  expect(control.principal.pinned).toBe(10);
  expect(lock(physmem, weak, 10 * P, P, MS)).toBe(0);
  expect(machine.deallocate(a, 10, 1)).toBe(EBUSY);
  endHoldsOfTask(physmem, HOLDER);
  expect([control.principal.pinned, a.pins.length, a.locks.length]).toEqual([0, 0, 0]);
  expect(machine.deallocate(a, 0, 20)).toBe(0);
  finish(machine);
});

test('H6 revocation ends the holder’s pins, and force breaks everybody’s', () => {
  const { machine } = setup();
  const { physmem } = machine;
  const a = filled(machine, 8);
  const weak = weakOf(machine, a, WEAK_PIN, 3 * MS);
  expect(pin(physmem, a, weak.asker, 0, 2 * P, 10 * MS, 0, new Runs())).toBe(0);
  expect([...physmem.holds.all].map(({ expires }) => expires)).toEqual([3 * MS]); // no longer than his capability
  pinned(machine, a, 1, 2);
  expect(revoke(physmem, a, HOLDER)).toBe(0);
  expect(a.pins.length).toBe(1);
  breakHolds(physmem, a, 2, 3);
  expect([a.pins.length, physmem.holds.all.size]).toEqual([0, 0]);
  pinned(machine, a, 0, 8);
  machine.destroy(a);
  expect([physmem.holds.all.size, machine.use]).toEqual([0, 0]);
  finish(machine);
});

test('H7 a copy of what a device writes is made at once: the device’s writes stay with the owner', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  const [address] = pinned(machine, a, 0, 4, MAP_WRITE).frames;
  const b = machine.create();
  const { copiedPages } = machine.physmem.counters;
  expect(machine.copy(a, 0, b, 0, 4)).toBe(0);
  assertInvariants(machine.physmem);
  expect(machine.physmem.counters.copiedPages - copiedPages).toBe(4);
  machine.contents.set(address + 1, 99); // the device
  expect([machine.read(a, 1), machine.read(b, 1)]).toEqual([99, 11]);
  expect(machine.guestFrameAt(a, 0)).toBe(address);
  finish(machine);
});

test('H7 a pin for writing separates first; a sharer sees what the device writes', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  const sharer = machine.create();
  const copied = machine.create();
  machine.copy(a, 0, sharer, 0, 4, COPY_SHARED);
  machine.copy(a, 0, copied, 0, 4);
  const [address] = pinned(machine, a, 1, 1, MAP_WRITE).frames;
  machine.contents.set(address, 99);
  expect([machine.read(a, 1), machine.read(sharer, 1), machine.read(copied, 1)]).toEqual([99, 99, 11]);
  machine.write(copied, 1, 55);
  machine.write(sharer, 1, 66);
  expect([machine.read(a, 1), machine.contents.get(address), machine.read(copied, 1)]).toEqual([66, 66, 55]);
  assertInvariants(machine.physmem);
  finish(machine);
});

test('H7 a lazy deallocation of what a device writes is not lazy', () => {
  const { machine } = setup();
  const a = filled(machine, 2);
  const sharer = machine.create();
  machine.copy(a, 0, sharer, 0, 2, COPY_SHARED);
  const [address] = pinned(machine, a, 0, 2, MAP_WRITE).frames;
  expect(machine.map(sharer, MAP_READ, 0, 2).error).toBe(0);
  machine.flushes = [];
  machine.physmem.table.granted[machine.frameAt(a, 0)] = MAP_READ; // as if nobody had ever mapped it writable
  expect(machine.deallocate(sharer, 0, 1, LAZY)).toBe(0);
  machine.contents.set(address, 99); // who has left must not see this
  expect([machine.flushes.length, machine.leftovers]).toEqual([1, []]);
  finish(machine);
});

test('H8 when a pinned page is written by a processor, the partner gets the copy', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  const b = machine.create();
  const c = machine.create();
  machine.copy(a, 0, b, 0, 4);
  machine.copy(a, 2, c, 0, 2);
  const [address] = pinned(machine, a, 0, 4).frames;
  machine.write(a, 2, 88);
  assertInvariants(machine.physmem);
  expect([machine.read(a, 2), machine.read(b, 2), machine.read(c, 0)]).toEqual([88, 12, 12]);
  expect([0, 1, 2, 3].map((page) => machine.guestFrameAt(a, page))).toEqual([address, address + 1, address + 2, address + 3]);
  machine.write(b, 0, 70); // a partner’s write never moves the pinned page either
  expect([machine.read(a, 0), machine.guestFrameAt(a, 0)]).toEqual([10, address]);
  finish(machine);
});

test('H8 two partners who both pin get memory of their own, and keep it', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  const b = machine.create();
  machine.copy(a, 0, b, 0, 4);
  const [first] = pinned(machine, a, 0, 4).frames;
  const [second] = pinned(machine, b, 0, 4).frames;
  expect(second).not.toBe(first);
  machine.write(a, 0, 1);
  machine.write(b, 0, 2);
  expect([machine.contents.get(first), machine.contents.get(second)]).toEqual([1, 2]);
  assertInvariants(machine.physmem);
  finish(machine);
});

test('H9 no shared copy and no move from or into a container one holds weakly', () => {
  const { machine } = setup();
  const a = filled(machine, 2);
  const own = filled(machine, 2);
  const weak = weakOf(machine, a, WEAK_RIGHTS);
  for (const mode of [COPY_SHARED, COPY_MOVE]) {
    expect(copyPages(machine, weak, machine.create(), 2, mode)).toBe(EPERM);
    expect(copyPages(machine, own, weak, 2, mode | SQUASH)).toBe(EPERM);
  }
  expect([machine.values(a, 0, 2), machine.values(own, 0, 2)]).toEqual([
    [10, 11],
    [10, 11],
  ]);
  finish(machine);
});
