/**
 * Weak capabilities: limited access to a container for another task, for a while, at the owner's expense.
 *
 *   owner --share(rights, duration)--> WeakContainer --map, copy in place, lock, pin--> the owner's pages
 *     |                                     |
 *     +--revoke-->  ended: its holds end, what was mapped is flushed      (also: its time is over, its task died)
 *
 * The client makes the frames, the server fills them, the client revokes and uses them: the server can neither steal
 * frames nor pull them away later. A weak holder never adds, removes or keeps a page; COPY_SHARED and COPY_MOVE would keep a
 * live channel into the owner's pages after revocation, so they are refused on either side.
 *
 * Here is also what the owner may not do to locked pages, where it matters who asks (`mapBy`, `copyBy`).
 *
 * Invariants (assertShares):
 *   I1  a weak container is in the list of all iff it is alive; then its container is alive and lists it
 *   I2  `next` is not later than the first that expires; nobody's hold outlives his weak container
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import { EBUSY, EINVAL, EPERM } from '../../../hostkernel/base/errno.ts';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import {
  ALL_OR_NONE,
  COPY_IN_PLACE,
  COPY_MOVE,
  COPY_SHARED,
  MAP_EXECUTE,
  MAP_READ,
  MAP_WRITE,
  WEAK_COPY_FROM,
  WEAK_COPY_INTO,
  WEAK_MAP_READ,
  WEAK_MAP_WRITE,
  WEAK_RIGHTS,
} from '../interface.ts';
import { Container } from './container.ts';
import { copy } from './copy.ts';
import { copyVector } from './copy-vector.ts';
import { NO_ENTRY } from './frame-table.ts';
import { flushEntry } from './frames.ts';
import { type Asker, endHoldsOfWeak, firstLocked } from './holds.ts';
import { map, type MapSink } from './map.ts';
import type { Physmem } from './physmem.ts';
import { hasOnly, isRange } from './range.ts';

export class WeakContainer {
  readonly container: Container;
  readonly task: number; // the only one who may use it
  readonly rights: number; // WEAK_*
  readonly expires: number; // microseconds; Infinity: only when it is revoked
  readonly asker: Asker;
  alive = true;

  constructor(container: Container, task: number, rights: number, expires: number) {
    this.container = container;
    this.task = task;
    this.rights = rights;
    this.expires = expires;
    this.asker = { task, weak: this, expires };
  }
}

/** Whoever may ask for something of a container: its owner, or a weak holder. */
export type Party = Container | WeakContainer;

/** All weak containers of a physmem. */
export class Shares {
  readonly all = new Set<WeakContainer>();
  /** When to look for those that have expired. */
  next = Number.POSITIVE_INFINITY;
}

/**
 * Lets `task` use the container with `rights` for `duration` microseconds; 0: until it is revoked.
 * @returns the weak container; or EINVAL: no right, or one that does not exist; no duration
 */
export function share(pm: Physmem, container: Container, task: number, rights: number, duration: number): WeakContainer | number {
  if (rights === 0 || !hasOnly(rights, WEAK_RIGHTS) || !(duration >= 0)) return EINVAL;
  const expires = duration === 0 ? Number.POSITIVE_INFINITY : pm.now() + duration;
  const weak = new WeakContainer(container, task, rights, expires);
  container.shares ??= new Set();
  container.shares.add(weak);
  pm.shares.all.add(weak);
  pm.shares.next = Math.min(pm.shares.next, expires);
  return weak;
}

/**
 * Ends the weak containers `task` has of a container; with 0 everybody's.
 * @returns 0, or EBUSY: one of them holds a lock (nothing has changed)
 */
export function revoke(pm: Physmem, container: Container, task: number): number {
  const targets = [...(container.shares ?? [])].filter((weak) => task === 0 || weak.task === task);
  firstLocked(pm, container, 0, pm.limitPages); // ends locks whose time is over
  if (container.locks.some(({ weak }) => targets.some((target) => target === weak))) return EBUSY;
  for (const weak of targets) endShare(pm, weak);
  return 0;
}

/** Ends a weak container: its handle dies, its holds end, and what it may have mapped is unmapped everywhere. */
export function endShare(pm: Physmem, weak: WeakContainer): void {
  if (!weak.alive) return;
  const { container } = weak;
  weak.alive = false;
  pm.shares.all.delete(weak);
  container.shares?.delete(weak);
  if (container.shares?.size === 0) container.shares = null;
  endHoldsOfWeak(pm, weak);
  if ((weak.rights & (WEAK_MAP_READ | WEAK_MAP_WRITE)) !== 0) flushContainer(pm, container);
  pm.retired(weak);
}

/** Ends all weak containers of a container: it is about to die. */
export function endSharesOf(pm: Physmem, container: Container): void {
  for (const weak of container.shares ?? []) endShare(pm, weak);
}

/** Ends the weak containers whose time is over. Cheap while there are none. */
export function expireShares(pm: Physmem): void {
  if (pm.shares.next === Number.POSITIVE_INFINITY) return;
  const now = pm.now();
  if (now < pm.shares.next) return;
  let next = Number.POSITIVE_INFINITY;
  for (const weak of pm.shares.all) {
    if (weak.expires <= now) endShare(pm, weak);
    else next = Math.min(next, weak.expires);
  }
  pm.shares.next = next;
}

/** Revokes what was granted on the pages of a container, for everybody: mappings of one task cannot be told apart. */
function flushContainer(pm: Physmem, container: Container): void {
  const { table } = pm;
  for (let entry = container.entries.from(0); entry !== NO_ENTRY; ) {
    flushEntry(pm, entry, false);
    entry = container.entries.from(table.start[entry] + (1 << table.log2[entry]));
  }
}

/**
 * `map` on behalf of a party.
 * @returns what `map` returns; EPERM a weak right is missing; EBUSY the owner wants to write a locked page: what is
 *   before it is mapped
 */
export function mapBy(pm: Physmem, party: Party, flags: number, vaddr: number, index: number, size: number, sink: MapSink): number {
  if (!(party instanceof Container)) {
    let needed = (flags & (MAP_READ | MAP_EXECUTE)) === 0 ? 0 : WEAK_MAP_READ;
    if ((flags & MAP_WRITE) !== 0) needed |= WEAK_MAP_WRITE;
    if ((party.rights & needed) !== needed) return EPERM;
    return map(pm, party.container, flags, vaddr, index, size, sink);
  }
  if (party.locks.length === 0 || (flags & MAP_WRITE) === 0 || !isRange(pm, index, size)) {
    return map(pm, party, flags, vaddr, index, size, sink);
  }
  const allowed = unlockedBytes(pm, party, index, size);
  if (allowed === size) return map(pm, party, flags, vaddr, index, size, sink);
  const error = allowed === 0 ? 0 : map(pm, party, flags, vaddr, index, allowed, sink);
  return error !== 0 || sink.room === 0 ? error : EBUSY;
}

/**
 * `copy` on behalf of two parties, who belong to one task.
 * @returns what `copy` returns; EPERM a weak right is missing, or the mode is not for weak holders; EBUSY the owner wants
 *   to copy into a locked page: `amount` is what is before it
 */
export function copyBy(
  pm: Physmem,
  source: Party,
  sourceStart: number,
  destination: Party,
  destinationStart: number,
  size: number,
  flags: number,
): number {
  pm.amount = 0;
  if (!mayCopy(source, destination, flags)) return EPERM;
  const from = containerOf(source);
  const into = containerOf(destination);
  if ((flags & COPY_IN_PLACE) === 0 || destination !== into || !isRange(pm, destinationStart, size)) {
    return copy(pm, from, sourceStart, into, destinationStart, size, flags);
  }
  const allowed = unlockedBytes(pm, into, destinationStart, size);
  if (allowed < size && (allowed === 0 || (flags & ALL_OR_NONE) !== 0)) return EBUSY;
  const error = copy(pm, from, sourceStart, into, destinationStart, allowed, flags);
  return error === 0 && pm.amount === allowed && allowed < size ? EBUSY : error;
}

/**
 * `copyVector` on behalf of two parties; as `copyBy`. `pm.position` is the position that fails.
 */
export function copyVectorBy(pm: Physmem, source: Party, destination: Party, list: Float64Array, flags: number): number {
  pm.amount = 0;
  pm.position = 0;
  if (!mayCopy(source, destination, flags)) return EPERM;
  const into = containerOf(destination);
  let pages = list.length / 2;
  if ((flags & COPY_IN_PLACE) !== 0 && destination === into) pages = unlockedPositions(pm, into, list);
  if (2 * pages === list.length) return copyVector(pm, containerOf(source), into, list, flags);
  if ((flags & ALL_OR_NONE) === 0) {
    const error = copyVector(pm, containerOf(source), into, list.subarray(0, 2 * pages), flags);
    if (error !== 0 || pm.position < pages) return error;
  }
  pm.position = pages;
  return EBUSY;
}

/** Whether the rights of both sides allow a copy with `flags`: of the source FROM, of the destination INTO, in place. */
export function mayCopy(source: Party, destination: Party, flags: number): boolean {
  if (!mayCopyFrom(source, flags)) return false;
  if (!(destination instanceof WeakContainer)) return true;
  if ((flags & (COPY_SHARED | COPY_MOVE)) !== 0) return false;
  return (flags & COPY_IN_PLACE) !== 0 && (destination.rights & WEAK_COPY_INTO) !== 0;
}

/** Whether the rights of the source alone do. */
export function mayCopyFrom(source: Party, flags: number): boolean {
  if (!(source instanceof WeakContainer)) return true;
  return (source.rights & WEAK_COPY_FROM) !== 0 && (flags & (COPY_SHARED | COPY_MOVE)) === 0;
}

/** The container a party means. */
export function containerOf(party: Party): Container {
  return party instanceof Container ? party : party.container;
}

/** How many positions of a list come before the first whose destination page is locked. */
function unlockedPositions(pm: Physmem, container: Container, list: Float64Array): number {
  for (let i = 0; 2 * i < list.length; i += 1) {
    const start = list[2 * i + 1];
    if (isRange(pm, start, PAGE_SIZE) && unlockedBytes(pm, container, start, PAGE_SIZE) === 0) return i;
  }
  return list.length / 2;
}

/** How much of [start, start + size) comes before the first locked page. Bytes. */
function unlockedBytes(pm: Physmem, container: Container, start: number, size: number): number {
  const first = start / PAGE_SIZE;
  return firstLocked(pm, container, first, first + size / PAGE_SIZE) * PAGE_SIZE - start;
}

/** Checks I1 and I2. O(shares + holds). */
export function assertShares(pm: Physmem): void {
  for (const weak of pm.shares.all) {
    kassert(weak.alive && weak.container.alive && weak.container.shares?.has(weak) === true, 'share I1');
    kassert(weak.expires >= pm.shares.next, 'share I2');
  }
  let listed = 0;
  for (const container of pm.containers) listed += container?.shares?.size ?? 0;
  kassert(listed === pm.shares.all.size, 'share I1');
  for (const { expires, weak } of pm.holds.all) {
    kassert(weak === null || (weak instanceof WeakContainer && weak.alive && expires <= weak.expires), 'share I2');
  }
}
