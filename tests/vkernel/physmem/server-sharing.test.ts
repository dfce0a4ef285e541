/** Sharing, pins, locks, lists and capabilities as requests: what the words say, who may, and what is left behind. */

import { expect, test } from 'vitest';
import {
  EBADF,
  EBUSY,
  ECAP_DIED,
  EDQUOT,
  EEXIST,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOMEM,
  EOPNOTSUPP,
  EPERM,
} from '../../../hostkernel/base/errno.ts';
import { GIFTS_TO_ONE } from '../../../vkernel/cap/objects.ts';
import { defineInterface, Dispatcher } from '../../../vkernel/cap/rpc.ts';
import { fpage, LABEL_PAGE_FAULT, Message, type ThreadId, threadId } from '../../../vkernel/l4/user.ts';
import { assertInvariants } from '../../../vkernel/physmem/core/invariants.ts';
import {
  ALL_OR_NONE,
  COPY_IN_PLACE,
  COPY_MOVE,
  COPY_SHARED,
  FORCE_WRITE,
  MAP_EXECUTE,
  MAP_READ,
  MAP_WRITE,
  PHYSMEM,
  STATE_BOUND,
  STATE_COPY_ON_WRITE,
  STATE_LOCKED,
  STATE_PINNED,
  WEAK_COPY_FROM,
  WEAK_COPY_INTO,
  WEAK_LOCK,
  WEAK_MAP_READ,
  WEAK_MAP_WRITE,
  WEAK_PIN,
  WEAK_RIGHTS,
} from '../../../vkernel/physmem/interface.ts';
import { boot, type Booted, OTHER, P, ROOT_FS } from './server-rig.ts';

const HOLDER = 6; // the task of OTHER
const RW = MAP_READ | MAP_WRITE | FORCE_WRITE;

/** A container of ROOT_FS with pages that have memory; page i holds `first` + i. */
function filled({ ask, handles, kernel }: Booted, pages: number, first = 10): number {
  const container = ask(ROOT_FS, PHYSMEM.create, handles[0]).words[0];
  expect(ask(ROOT_FS, PHYSMEM.allocate, container, 0, 0, pages * P).label).toBe(0);
  const reply = ask(ROOT_FS, PHYSMEM.map, container, RW, 0x100000, 0, pages * P);
  let value = first;
  for (const item of reply.items) {
    const page = Math.floor(item.fpage / P);
    const count = 2 ** (Math.floor((item.fpage % 1024) / 16) - 12);
    for (let i = 0; i < count; i += 1) kernel.memory.set(page + i, value++);
  }
  expect(value).toBe(first + pages);
  return container;
}

/** What a task reads in the first pages of a container. */
function contents({ ask, kernel }: Booted, container: number, pages: number, from = ROOT_FS): number[] {
  return Array.from({ length: pages }, (_, page) => {
    const [item] = ask(from, PHYSMEM.map, container, MAP_READ, 0x200000, page * P, P).items;
    return item === undefined ? Number.NaN : (kernel.memory.get(Math.floor(item.fpage / P)) ?? Number.NaN);
  });
}

function sound({ physmem }: Booted): void {
  assertInvariants(physmem.physmem);
  physmem.objects.assertInvariants();
}

test('H1 what a weak holder may never do is EPERM, and his handle is his alone', () => {
  const booted = boot();
  const { ask, kernel, server, handles } = booted;
  const container = filled(booted, 4);
  const weak = ask(ROOT_FS, PHYSMEM.share, container, HOLDER, WEAK_RIGHTS, 0).words[0];
  for (const [method, ...words] of [
    [PHYSMEM.allocate, 0, 8 * P, P],
    [PHYSMEM.deallocate, 0, P],
    [PHYSMEM.release, 0, P],
    [PHYSMEM.destroy],
    [PHYSMEM.share, 7, WEAK_MAP_READ, 0],
    [PHYSMEM.provide, MAP_READ, 0, 8 * P, P],
    [PHYSMEM.revoke],
    [PHYSMEM.swapOut, 0, P],
    [PHYSMEM.swapIn, 1, 0, P],
    [PHYSMEM.recover, 0, P],
    [PHYSMEM.setDefaultContainer, 0, P],
    [PHYSMEM.copyCapability, 7],
  ] as const) {
    expect([method.name, ask(OTHER, method, weak, ...words).label]).toEqual([method.name, EPERM]);
  }
  expect(ask(OTHER, PHYSMEM.create, weak).label).toBe(EINVAL);
  if (weak !== container) expect(kernel.ask(server, ROOT_FS, PHYSMEM.map.label, [weak, MAP_READ, 0, 0, P])).toBe(null);
  expect(ask(OTHER, PHYSMEM.map, weak, MAP_READ, 0x8000, 0, P).items.length).toBe(1);
  expect(ask(OTHER, PHYSMEM.mapOld, weak, MAP_READ, 0x8000, 0, P).items.length).toBe(1);
  expect(ask(OTHER, PHYSMEM.containerInfo, weak, P).words).toEqual([4 * P, 0, 4 * P, STATE_BOUND, WEAK_RIGHTS]);
  for (const [task, rights] of [
    [5, WEAK_MAP_READ],
    [0, WEAK_MAP_READ],
    [64, WEAK_MAP_READ],
    [HOLDER, 0],
    [HOLDER, WEAK_RIGHTS + 1],
  ]) {
    expect(ask(ROOT_FS, PHYSMEM.share, container, task, rights, 0).label).toBe(EINVAL);
  }
  expect(ask(ROOT_FS, PHYSMEM.lock, container, 0, P, 100).label).toBe(EPERM); // he owns it: no lock against himself
  expect(ask(ROOT_FS, PHYSMEM.share, handles[0], HOLDER, WEAK_MAP_READ, 0).label).toBe(EINVAL);
  sound(booted);
});

test('H2 H3 H9 a server fills a client’s pages in place; it can take nothing, and nothing stays with it', () => {
  const booted = boot();
  const { ask, kernel, handles } = booted;
  const client = filled(booted, 8);
  const cache = ask(OTHER, PHYSMEM.create, handles[1]).words[0];
  ask(OTHER, PHYSMEM.allocate, cache, 0, 0, 8 * P);
  for (const item of ask(OTHER, PHYSMEM.map, cache, RW, 0x100000, 0, 8 * P).items) {
    for (let i = 0; i < 8; i += 1) kernel.memory.set(Math.floor(item.fpage / P) + i, 50 + i);
  }
  const weak = ask(ROOT_FS, PHYSMEM.share, client, HOLDER, WEAK_COPY_INTO | WEAK_MAP_READ, 0).words[0];
  const take = (source: number, target: number, flags: number) => ask(OTHER, PHYSMEM.copy, source, 0, target, 16 * P, P, flags).label;
  expect([take(weak, cache, 0), take(weak, cache, COPY_SHARED), take(weak, cache, COPY_MOVE)]).toEqual([EPERM, EPERM, EPERM]);
  expect([take(cache, weak, 0), take(cache, weak, COPY_SHARED), take(cache, weak, COPY_MOVE)]).toEqual([EPERM, EPERM, EPERM]);
  expect(ask(OTHER, PHYSMEM.copy, cache, 0, weak, 0, 8 * P, COPY_IN_PLACE)).toEqual({ label: 0, words: [8 * P], items: [] });
  expect(ask(OTHER, PHYSMEM.copyVector, cache, weak, COPY_IN_PLACE, 0, 3 * P).label).toBe(0);
  expect(ask(ROOT_FS, PHYSMEM.controlInfo, handles[0]).words[1]).toBe(5 + 8);
  expect(ask(ROOT_FS, PHYSMEM.revoke, client).label).toBe(0);
  expect(ask(OTHER, PHYSMEM.map, weak, MAP_READ, 0, 0, P).label).toBe(ECAP_DIED);
  expect(ask(OTHER, PHYSMEM.releaseCapability, weak).label).toBe(0);
  expect(ask(ROOT_FS, PHYSMEM.taskDied, handles[3], HOLDER).label).toBe(0);
  expect(contents(booted, client, 8)).toEqual([50, 51, 52, 50, 54, 55, 56, 57]);
  sound(booted);
});

test('H4 a lock of 5 ms: the owner is EBUSY, then not, without a message in between', () => {
  const booted = boot();
  const { ask, kernel, server } = booted;
  const container = filled(booted, 4);
  const weak = ask(ROOT_FS, PHYSMEM.share, container, HOLDER, WEAK_LOCK, 0).words[0];
  expect(ask(OTHER, PHYSMEM.lock, weak, P, P, 5000).label).toBe(0);
  expect(kernel.limit).toBe(5000);
  expect(ask(ROOT_FS, PHYSMEM.containerInfo, container, 0).words[3] & STATE_LOCKED).toBe(STATE_LOCKED);
  expect(ask(ROOT_FS, PHYSMEM.deallocate, container, 0, 4 * P)).toEqual({ label: EBUSY, words: [P], items: [] });
  const stopped = ask(ROOT_FS, PHYSMEM.map, container, RW, 0, P, 2 * P);
  expect([stopped.label, stopped.items.length]).toEqual([EBUSY, 0]);
  for (const [method, ...words] of [
    [PHYSMEM.revoke],
    [PHYSMEM.destroy],
    [PHYSMEM.releaseCapability],
    [PHYSMEM.release, P, P],
    [PHYSMEM.swapOut, P, P],
    [PHYSMEM.copyVector, container, COPY_IN_PLACE, 2 * P, P],
  ] as const) {
    expect([method.name, ask(ROOT_FS, method, container, ...words).label]).toEqual([method.name, EBUSY]);
  }
  kernel.timeOut(server, 5000);
  expect(kernel.limit).toBe(Number.POSITIVE_INFINITY);
  expect(ask(ROOT_FS, PHYSMEM.deallocate, container, P, P).label).toBe(0);
  ask(OTHER, PHYSMEM.lock, weak, 2 * P, P, 5000);
  kernel.now += 5000; // no time-out came first: the request finds the lock expired all the same
  expect([ask(ROOT_FS, PHYSMEM.revoke, container).label, ask(OTHER, PHYSMEM.unlock, weak, 2 * P, P).label]).toEqual([0, ECAP_DIED]);
  sound(booted);
});

test('H5 H6 a pin names the physical runs, which are those mapped, and has a quota', () => {
  const booted = boot();
  const { ask, handles, kernel, server } = booted;
  const container = filled(booted, 4);
  const weak = ask(ROOT_FS, PHYSMEM.share, container, HOLDER, WEAK_PIN, 0).words[0];
  const reply = ask(OTHER, PHYSMEM.pin, weak, P, 2 * P, 1000);
  const [amount, address, length] = reply.words;
  expect([reply.label, amount, length, reply.words.length]).toEqual([0, 2 * P, 2 * P, 3]);
  const mapped = ask(ROOT_FS, PHYSMEM.map, container, MAP_READ, 0x1000, P, 2 * P);
  expect(mapped.items[0].fpage - (mapped.items[0].fpage % 1024)).toBe(address);
  expect(ask(ROOT_FS, PHYSMEM.containerInfo, container, P).words.slice(1, 4)).toEqual([P, P, STATE_BOUND | STATE_PINNED]);
  expect(ask(ROOT_FS, PHYSMEM.controlInfo, handles[0]).words.slice(8)).toEqual([2, 26]); // of 105 pages
  expect(ask(ROOT_FS, PHYSMEM.deallocate, container, P, P).label).toBe(EBUSY);
  expect([ask(ROOT_FS, PHYSMEM.unpin, container, P, 2 * P).label, ask(OTHER, PHYSMEM.unpin, weak, P, 2 * P).label]).toEqual([ENOENT, 0]);
  expect(ask(OTHER, PHYSMEM.pin, weak, 9 * P, P, 1000)).toEqual({ label: ENOENT, words: [0], items: [] });
  for (let i = 0; i < 6; i += 1) expect(ask(OTHER, PHYSMEM.pin, weak, 0, 4 * P, 1000).label).toBe(0);
  expect(ask(OTHER, PHYSMEM.pin, weak, 0, 4 * P, 1000).label).toBe(EDQUOT);
  ask(ROOT_FS, PHYSMEM.taskDied, handles[3], HOLDER);
  expect(ask(ROOT_FS, PHYSMEM.controlInfo, handles[0]).words[8]).toBe(0);
  kernel.timeOut(server, 1000);
  ask(ROOT_FS, PHYSMEM.pin, container, 0, 4 * P, 1e12, MAP_WRITE);
  expect(kernel.limit).toBe(999_424); // the cap of 1 s, as ten bits of a timeout say it
  sound(booted);
});

test('H5 a weak holder without the right to pin pins nothing', () => {
  const booted = boot();
  const { ask, physmem } = booted;
  const container = filled(booted, 4);
  const weak = ask(ROOT_FS, PHYSMEM.share, container, HOLDER, WEAK_RIGHTS & ~WEAK_PIN, 0).words[0];
  expect(ask(OTHER, PHYSMEM.pin, weak, 0, P, 1000)).toEqual({ label: EPERM, words: [0], items: [] });
  expect(ask(OTHER, PHYSMEM.pin, weak, 0, P, 1000, MAP_WRITE).label).toBe(EPERM);
  expect(physmem.physmem.holds.all.size).toBe(0);
});

test('H7 H8 copies of pinned pages, as requests', () => {
  const booted = boot();
  const { ask, handles, kernel } = booted;
  const container = filled(booted, 2);
  const copied = ask(ROOT_FS, PHYSMEM.create, handles[0]).words[0];
  const [, address] = ask(ROOT_FS, PHYSMEM.pin, container, 0, 2 * P, 1000, MAP_WRITE).words;
  expect(ask(ROOT_FS, PHYSMEM.copy, container, 0, copied, 0, 2 * P, 0).label).toBe(0);
  kernel.memory.set(address / P, 99);
  expect([contents(booted, container, 2), contents(booted, copied, 2)]).toEqual([
    [99, 11],
    [10, 11],
  ]);
  expect(ask(ROOT_FS, PHYSMEM.containerInfo, copied).words[3] & STATE_COPY_ON_WRITE).toBe(0);
  sound(booted);
});

test('G7 scatter and gather by lists, and the position that fails', () => {
  const booted = boot();
  const { ask, handles } = booted;
  const source = filled(booted, 8);
  const target = ask(ROOT_FS, PHYSMEM.create, handles[0]).words[0];
  expect(ask(ROOT_FS, PHYSMEM.copyVector, source, target, 0, 0, 5 * P, P, 2 * P, 2 * P, 9 * P)).toEqual({
    label: 0,
    words: [3 * P, 0],
    items: [],
  });
  expect(
    contents(booted, target, 10)
      .map((value, page) => [page, value])
      .filter(([, value]) => !Number.isNaN(value)),
  ).toEqual([
    [2, 11],
    [5, 10],
    [9, 12],
  ]);
  expect(ask(ROOT_FS, PHYSMEM.copyVector, source, target, 0, 0, P, 20 * P, 3 * P)).toEqual({ label: ENOENT, words: [P, 1], items: [] });
  expect(ask(ROOT_FS, PHYSMEM.copyVector, source, target, ALL_OR_NONE, 0, 3 * P, P, 3 * P)).toEqual({
    label: EEXIST,
    words: [0, 1],
    items: [],
  });
  expect(ask(ROOT_FS, PHYSMEM.copyVector, source, target, 0).label).toBe(EINVAL); // no element
  expect(ask(ROOT_FS, PHYSMEM.copyVector, source, target, 0, P).label).toBe(EINVAL); // half of one
  const long = Array.from({ length: 25 }, (_, i) => [0, (100 + i) * P]).flat();
  expect(ask(ROOT_FS, PHYSMEM.copyVector, source, target, 0, ...long).label).toBe(EINVAL);
  expect(ask(ROOT_FS, PHYSMEM.copyVector, source, target, 0, ...long.slice(2)).words).toEqual([24 * P, 0]);
  expect(ask(ROOT_FS, PHYSMEM.copyVector, source, handles[0], 0, 0, 0).label).toBe(EINVAL);
  sound(booted);
});

test('G8 containers made with contents and shared: both handles, or neither', () => {
  const booted = boot();
  const { ask, handles, info } = booted;
  const source = filled(booted, 8);
  const before = info();
  const terms = [HOLDER, WEAK_MAP_READ, 0];
  const made = ask(ROOT_FS, PHYSMEM.createWith, handles[0], 4 * P, 0, ...terms);
  expect([made.label, ask(ROOT_FS, PHYSMEM.containerInfo, made.words[0]).words[0]]).toEqual([0, 4 * P]);
  expect(contents(booted, made.words[1], 4, OTHER)).toEqual([0, 0, 0, 0]);
  const from = ask(ROOT_FS, PHYSMEM.createFrom, handles[0], source, 2 * P, 3 * P, 0, ...terms);
  expect(contents(booted, from.words[1], 3, OTHER)).toEqual([12, 13, 14]);
  const gathered = ask(ROOT_FS, PHYSMEM.createGather, handles[0], source, 0, ...terms, 7 * P, P, 3 * P);
  expect(contents(booted, gathered.words[1], 3, OTHER)).toEqual([17, 11, 13]);
  for (const { words } of [made, from, gathered]) expect(ask(ROOT_FS, PHYSMEM.destroy, words[0]).label).toBe(0);
  expect(ask(ROOT_FS, PHYSMEM.createWith, handles[0], 200 * P, 0, ...terms)).toEqual({ label: ENOMEM, words: [0, 0], items: [] });
  expect(ask(ROOT_FS, PHYSMEM.createFrom, handles[0], source, 6 * P, 3 * P, 0, ...terms).label).not.toBe(0);
  expect(ask(ROOT_FS, PHYSMEM.createFrom, handles[0], source, 0, P, COPY_MOVE, ...terms).label).toBe(EINVAL);
  expect(ask(ROOT_FS, PHYSMEM.createGather, handles[0], source, 0, ...terms, 0, 9 * P).words).toEqual([0, 0, 1]);
  expect(ask(ROOT_FS, PHYSMEM.createWith, handles[0], 4 * P, 0, HOLDER, 0, 0).label).toBe(EINVAL);
  expect(ask(ROOT_FS, PHYSMEM.createWith, handles[0], 4 * P, 0, 5, WEAK_MAP_READ, 0).label).toBe(EINVAL);
  expect(info()).toEqual(before);
  const weak = ask(ROOT_FS, PHYSMEM.share, source, HOLDER, WEAK_MAP_READ, 0).words[0];
  const again = ask(ROOT_FS, PHYSMEM.share, source, HOLDER, WEAK_COPY_FROM, 0).words[0];
  const copyFrom = (handle: number, flags: number) =>
    ask(OTHER, PHYSMEM.createFrom, handles[1], handle, 0, P, flags, 5, WEAK_MAP_READ, 0).label;
  expect([copyFrom(weak, 0), copyFrom(again, COPY_SHARED), copyFrom(again, 0)]).toEqual([EPERM, EPERM, 0]);
  sound(booted);
});

test('A10 A11 C14 classes, dead and foreign handles, in the order in which they are checked', () => {
  const booted = boot();
  const { ask, handles, kernel, server } = booted;
  const [control, otherControl, module] = handles;
  for (const method of [PHYSMEM.create, PHYSMEM.createWith, PHYSMEM.controlSplit]) expect(ask(ROOT_FS, method, module).label).toBe(EINVAL);
  const child = ask(ROOT_FS, PHYSMEM.controlSplit, control, 3).words[0];
  const doomed = ask(ROOT_FS, PHYSMEM.create, child).words[0];
  const foreign = ask(OTHER, PHYSMEM.create, otherControl).words[0];
  ask(ROOT_FS, PHYSMEM.controlDestroy, child);
  for (const [handle, label] of [
    [foreign, EINVAL],
    [control, EINVAL],
    [doomed, EBADF],
  ]) {
    expect(ask(ROOT_FS, PHYSMEM.copyVector, module, handle, 0, 0, 0).label).toBe(label);
    expect(ask(ROOT_FS, PHYSMEM.createFrom, control, handle, 0, P, 0, HOLDER, WEAK_MAP_READ, 0).label).toBe(label);
  }
  expect(ask(ROOT_FS, { label: 250 }, doomed).label).toBe(ECAP_DIED); // dead comes before unknown
  expect(ask(ROOT_FS, { label: 250 }, module).label).toBe(EOPNOTSUPP);
  expect(kernel.ask(server, OTHER, PHYSMEM.pin.label, [module])).toBe(null); // foreign comes before the word count
  expect(ask(ROOT_FS, PHYSMEM.pin, module)).toEqual({ label: EINVAL, words: [0], items: [] });
  sound(booted);
});

test('a capability is copied for another task, counted, and released; the object lives as long as one is left', () => {
  const booted = boot();
  const { ask, handles, kernel, server, info } = booted;
  const before = info();
  const container = filled(booted, 2);
  const copied = ask(ROOT_FS, PHYSMEM.copyCapability, container, HOLDER).words[0];
  expect(ask(OTHER, PHYSMEM.allocate, copied, 0, 8 * P, P).label).toBe(0);
  expect(ask(ROOT_FS, PHYSMEM.copyCapability, container, HOLDER).words[0]).toBe(copied);
  for (const task of [0, 64, 2 ** 40, 0.5]) expect(ask(ROOT_FS, PHYSMEM.copyCapability, container, task).label).toBe(EINVAL);
  expect(ask(ROOT_FS, PHYSMEM.releaseCapability, container).label).toBe(0);
  expect(kernel.ask(server, ROOT_FS, PHYSMEM.map.label, [container, MAP_READ, 0, 0, P])).toBe(null);
  expect(ask(OTHER, PHYSMEM.releaseCapability, copied, 3).label).toBe(EINVAL);
  expect(ask(OTHER, PHYSMEM.releaseCapability, copied).label).toBe(0);
  expect(contents(booted, copied, 2, OTHER)).toEqual([10, 11]);
  expect(ask(OTHER, PHYSMEM.releaseCapability, copied).label).toBe(0);
  expect(info()).toEqual(before);
  const control = ask(ROOT_FS, PHYSMEM.copyCapability, handles[0], HOLDER).words[0];
  expect(ask(OTHER, PHYSMEM.controlInfo, control).words[0]).toBe(105);
  sound(booted);
});

test('a task cannot fill the table of another with gifts', () => {
  const booted = boot();
  const { ask, handles } = booted;
  const container = filled(booted, 1);
  const shares = Array.from({ length: GIFTS_TO_ONE }, () => ask(ROOT_FS, PHYSMEM.share, container, HOLDER, WEAK_MAP_READ, 0));
  expect(shares.every(({ label }) => label === 0)).toBe(true);
  expect(ask(ROOT_FS, PHYSMEM.share, container, HOLDER, WEAK_MAP_READ, 0)).toEqual({ label: ENOMEM, words: [0], items: [] });
  expect(ask(ROOT_FS, PHYSMEM.copyCapability, container, HOLDER).label).toBe(ENOMEM);
  expect(ask(ROOT_FS, PHYSMEM.controlSplit, handles[0], 1, HOLDER)).toEqual({ label: ENOMEM, words: [0, 0], items: [] });
  expect(ask(OTHER, PHYSMEM.releaseCapability, shares[0].words[0]).label).toBe(0);
  expect(ask(ROOT_FS, PHYSMEM.copyCapability, container, HOLDER).label).toBe(0);
  sound(booted);
});

test('a task names a container for its faults; physmem answers them a page at a time', () => {
  const booted = boot();
  const { ask, handles, kernel, server } = booted;
  const container = filled(booted, 4);
  const fault = (from: ThreadId, address: number, rights: number, words = [address, 0x1234]) =>
    kernel.ask(server, from, LABEL_PAGE_FAULT + rights, words);
  expect(fault(ROOT_FS, 0x8000, MAP_READ)).toEqual({ label: EFAULT, words: [], items: [] });
  expect(ask(ROOT_FS, PHYSMEM.setDefaultContainer, container, 0x8000, 4 * P).label).toBe(0);
  const copied = ask(ROOT_FS, PHYSMEM.create, handles[0]).words[0];
  ask(ROOT_FS, PHYSMEM.copy, container, 0, copied, 0, 4 * P, 0);
  const read = fault(ROOT_FS, 0x9ffc, MAP_READ);
  expect([read?.label, read?.items.map(({ base, fpage: page }) => [base, page % 8])]).toEqual([0, [[0x9000, MAP_READ | MAP_EXECUTE]]]);
  const written = fault(ROOT_FS, 0x9000, MAP_WRITE); // the copy is made now
  expect(written?.items.map(({ base, fpage: page }) => [base, page % 8])).toEqual([[0x9000, MAP_READ | MAP_WRITE | MAP_EXECUTE]]);
  expect(written?.items[0].fpage).not.toBe((read?.items[0].fpage ?? 0) + MAP_WRITE);
  for (const address of [0x7fff, 0x8000 + 4 * P, 2 ** 60]) expect(fault(ROOT_FS, address, MAP_READ)?.label).toBe(EFAULT);
  expect(fault(OTHER, 0x8000, MAP_READ)?.label).toBe(EFAULT);
  expect(fault(ROOT_FS, 0, MAP_READ, [0x8000])).toBe(null);
  expect(ask(ROOT_FS, PHYSMEM.setDefaultContainer, container, 0x8001, P).label).toBe(EINVAL);
  ask(ROOT_FS, PHYSMEM.deallocate, container, 0, P);
  expect(fault(ROOT_FS, 0x8000, MAP_READ)?.label).toBe(ENOENT);
  ask(ROOT_FS, PHYSMEM.destroy, container);
  expect(fault(ROOT_FS, 0xa000, MAP_READ)?.label).toBe(EFAULT);
  expect(ask(ROOT_FS, PHYSMEM.setDefaultContainer, copied, 0x8000, 4 * P).label).toBe(0);
  expect(ask(ROOT_FS, PHYSMEM.setDefaultContainer, copied, 0x8000, 0).label).toBe(0);
  expect(fault(ROOT_FS, 0x8000, MAP_READ)?.label).toBe(EFAULT);
  sound(booted);
});

test('A12 a request that waits for memory can be cancelled by another thread of its task only', () => {
  const booted = boot();
  const { ask, kernel, physmem } = booted;
  const thread = threadId(70, 5, 64);
  const request = new Message(64);
  request.begin(PHYSMEM.map.label);
  physmem.waiting.worthTrying(); // nothing has happened since
  physmem.parked.park(thread, request);
  expect([ask(OTHER, PHYSMEM.cancel, thread).label, ask(ROOT_FS, PHYSMEM.cancel, threadId(71, 5, 64)).label]).toEqual([3, 3]);
  expect(ask(ROOT_FS, PHYSMEM.cancel, thread).label).toBe(0);
  expect(kernel.replies.filter(({ to }) => to === thread).map(({ reply }) => reply.label)).toEqual([125]);
  expect(ask(ROOT_FS, PHYSMEM.cancel, thread).label).toBe(3);
});

test('A11 a method that is defined and has no handler is EOPNOTSUPP', () => {
  const methods = defineInterface('partial', {
    there: { label: 1, request: [], reply: [] },
    missing: { label: 2, request: ['anything'], reply: ['nothing'] },
  });
  const booted = boot();
  const service = { methods, handlers: { there: () => 0 }, objects: booted.physmem.objects, nobody: booted.physmem.physmem.root };
  const dispatcher = new Dispatcher({ ...service, tracer: booted.tracer });
  const message = new Message(64);
  message.begin(2);
  expect(dispatcher.dispatch(ROOT_FS, message)).toBe(EOPNOTSUPP);
  message.begin(1);
  expect(dispatcher.dispatch(ROOT_FS, message)).toBe(0);
});

test('replies that map hold 31 items at most, for an owner and for a weak holder', () => {
  const booted = boot();
  const { ask, handles } = booted;
  const container = ask(ROOT_FS, PHYSMEM.create, handles[0]).words[0];
  for (let page = 0; page < 64; page += 1) expect(ask(ROOT_FS, PHYSMEM.allocate, container, 0, page * P, P).label).toBe(0);
  const weak = ask(ROOT_FS, PHYSMEM.share, container, HOLDER, WEAK_MAP_READ | WEAK_MAP_WRITE, 0).words[0];
  for (const [from, handle] of [
    [ROOT_FS, container],
    [OTHER, weak],
  ] as const) {
    let page = 0;
    for (let replies = 0; page < 64; replies += 1) {
      const reply = ask(from, PHYSMEM.map, handle, RW, (0x101 + page) * P, page * P, (64 - page) * P);
      expect([reply.label, reply.items.length > 0, reply.items.length <= 31, replies < 4]).toEqual([0, true, true, true]);
      page += reply.items.reduce((sum, item) => sum + 2 ** (Math.floor((item.fpage % 1024) / 16) - 12), 0);
    }
    expect(page).toBe(64);
  }
  expect(fpage(0, 12, 0) % 1024).toBe(12 * 16); // the layout the sums above rest on
});
