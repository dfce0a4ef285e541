/**
 * Swap: contents put away under ids, so that logical copies survive: what X tasks put away is written once, after the last
 * of them has let go, and read once.
 *
 *   container [ ... page ... ]              swapOut: a logical copy into the swap container, then a fresh page in its place
 *                    |  ^                   swapIn:  a logical copy back, and the id is gone (KEEP: it stays)
 *                    v  |
 *   swap container of the principal         page number = id. Ids are given upwards and come back when all have been given
 *
 * Nothing is written or read here: a frame that only swap entries use is inactive, and inactive.ts writes it out when
 * memory is short. Pages that were never bound stay promises. A principal may have as many ids as its quota says, one a
 * page; all together no more than can be written.
 * Source: hurd-l4 design document, "virtual memory management", swap; ids and the promise of slots are ours.
 */

import { EBUSY, EDQUOT, EINVAL, ENOENT, ENOMEM } from '../../../hostkernel/base/errno.ts';
import { type GuestFrame, PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { KEEP } from '../interface.ts';
import { type Container, charge } from './container.ts';
import { carve, normalise, vacate } from './deallocate.ts';
import { type FrameId, NO_ENTRY } from './frame-table.ts';
import { FrameList } from './frame-list.ts';
import { cover, flushEntry, revokeWrite, split } from './frames.ts';
import { hasSlot } from './hidden.ts';
import type { Physmem } from './physmem.ts';
import { firstHeld } from './holds.ts';
import { adoptPlacement, placementFor, type Wanted } from './placement.ts';
import type { Principal } from './principals.ts';
import { hasOnly, isCount, isRange, presentPages } from './range.ts';
import { renew } from './release.ts';
import { deviceWrittenPages } from './pinned.ts';
import { SwapSlots, type SwapStore } from './swap-store.ts';

/** Events since the start. */
export interface SwapCounters {
  writes: number;
  pagesWritten: number;
  writeErrors: number;
  reads: number;
  pagesRead: number;
  readErrors: number;
}

/** Swap space and what is in it. Made where there is a store. */
export class Swap {
  readonly slots: SwapSlots;
  readonly inactive = new FrameList();
  readonly counters: SwapCounters = { writes: 0, pagesWritten: 0, writeErrors: 0, reads: 0, pagesRead: 0, readErrors: 0 };
  /** Pages of swap entries on frames without a slot: what may still have to be written. */
  unbacked = 0;
  /** Whether the last write failed: the memory policy server is told. */
  failing = false;
  readonly #store: SwapStore;
  #slot = new Int32Array(0); // of frames that are clean

  constructor(store: SwapStore) {
    this.#store = store;
    this.slots = new SwapSlots(store.slots);
  }

  /** Pages that may still be put away: a slot is left for each of them. */
  get room(): number {
    return this.slots.slots - this.slots.used - this.unbacked;
  }

  /** Where the contents of a clean frame are. */
  slotOf(frame: FrameId): number {
    return this.#slot[frame];
  }

  keepSlot(frame: FrameId, slot: number): void {
    if (frame >= this.#slot.length) {
      const slots = new Int32Array(Math.max(64, frame + (frame >>> 1) + 1));
      slots.set(this.#slot);
      this.#slot = slots;
    }
    this.#slot[frame] = slot;
  }

  /** @returns whether it was written */
  write(slot: number, from: GuestFrame, pages: number): boolean {
    this.failing = this.#store.write(slot, from, pages) !== 0;
    if (this.failing) this.counters.writeErrors += 1;
    else {
      this.counters.writes += 1;
      this.counters.pagesWritten += pages;
    }
    return !this.failing;
  }

  /** @returns 0, or an errno */
  read(slot: number, into: GuestFrame, pages: number): number {
    const error = this.#store.read(slot, into, pages);
    if (error !== 0) this.counters.readErrors += 1;
    else {
      this.counters.reads += 1;
      this.counters.pagesRead += pages;
    }
    return error;
  }
}

/** Pages a principal has put away. */
export function swapUsed(principal: Principal): number {
  return principal.swap?.pages ?? 0;
}

/** Pages a principal may have put away: what the policy server says; where it says nothing, what we were told to allow. */
export function swapQuota(pm: Physmem, principal: Principal): number {
  const quota = principal.swapQuota === 0 ? pm.swapQuota : principal.swapQuota;
  return Math.min(quota, pm.swap?.slots.slots ?? 0);
}

/**
 * Puts the contents of [start, start + size) away under the ids from `pm.swapId` on, and gives the pages back fresh, as
 * release does. `amount` tells how far it came.
 * @returns 0, or an errno: EINVAL (also an empty range); ENOENT a page is absent; EBUSY held, or a device writes there; EDQUOT the principal's
 *   quota; ENOMEM no swap space, or no ids in a row
 */
export function swapOut(pm: Physmem, container: Container, start: number, size: number): number {
  pm.amount = 0;
  pm.swapId = 0;
  if (size === 0 || !isRange(pm, start, size)) return EINVAL;
  const { swap } = pm;
  const first = start / PAGE_SIZE;
  const pages = size / PAGE_SIZE;
  const { principal } = container.control;
  if (pm.accounts.isInForce()) pm.accounts.consult(principal); // its quota
  const present = presentPages(pm, container, first, pages);
  const movable = movablePages(pm, container, first, pages);
  const quota = swapQuota(pm, principal) - swapUsed(principal);
  const room = swap?.room ?? 0;
  let possible = Math.max(0, Math.min(present, movable, quota, room));
  if (swap !== null && possible > 0) {
    const into = swapContainerOf(pm, principal);
    const wanted = possible;
    pm.swapId = takeIds(pm, principal, into, possible);
    while (pm.swapId === 0 && possible > 1) {
      possible >>>= 1;
      pm.swapId = takeIds(pm, principal, into, possible);
    }
    if (pm.swapId === 0) return ENOMEM;
    putAway(pm, swap, container, first, into, pm.swapId, possible);
    pm.amount = possible * PAGE_SIZE;
    if (possible < wanted) return ENOMEM;
  }
  if (possible === pages) return 0;
  if (possible === present) return ENOENT;
  if (possible === movable) return EBUSY;
  return quota < room ? EDQUOT : ENOMEM;
}

/**
 * The pages of [start, start + size), which must be there, take what was put away under `id` and those behind it. The ids
 * are gone then, unless KEEP. Nothing is read: that happens at the first access. `amount` tells how far it came.
 * @returns 0, or an errno: EINVAL (also an empty range, an unknown flag); ENOENT an unknown id, or a page is absent; EBUSY
 */
export function swapIn(pm: Physmem, container: Container, id: number, start: number, size: number, flags: number): number {
  pm.amount = 0;
  if (!hasOnly(flags, KEEP) || size === 0 || !isRange(pm, start, size)) return EINVAL;
  const first = start / PAGE_SIZE;
  const pages = size / PAGE_SIZE;
  const source = container.control.principal.swap;
  if (source === null || !isCount(id)) return ENOENT;
  const known = presentPages(pm, source, id, pages);
  const present = presentPages(pm, container, first, pages);
  const movable = firstHeld(pm, container, first, first + pages) - first;
  const possible = Math.min(known, present, movable);
  takeIn(pm, source, id, container, first, possible, (flags & KEEP) !== 0);
  pm.amount = possible * PAGE_SIZE;
  if (possible === pages) return 0;
  return possible === known || possible === present ? ENOENT : EBUSY;
}

/**
 * Forgets what a principal has put away under `id` and the `pages` - 1 ids behind it; `amount` is how many there were, in
 * pages.
 * @returns 0, or EINVAL, or ENOENT: some were unknown
 */
export function swapDrop(pm: Physmem, principal: Principal, id: number, pages: number): number {
  pm.amount = 0;
  if (!isCount(id) || !isCount(pages) || pages === 0) return EINVAL;
  if (principal.swap !== null) pm.amount = vacate(pm, principal.swap, id, Math.min(id + pages, pm.limitPages));
  return pm.amount === pages ? 0 : ENOENT;
}

/** Length of the run of pages from `first` on that nothing holds and no device may write, at most `pages`. */
function movablePages(pm: Physmem, container: Container, first: number, pages: number): number {
  const end = firstHeld(pm, container, first, first + pages);
  if (deviceWrittenPages(pm, container, first, end) === 0) return end - first;
  let page = first;
  while (deviceWrittenPages(pm, container, page, page + 1) === 0) page += 1;
  return page - first;
}

function swapContainerOf(pm: Physmem, principal: Principal): Container {
  principal.swap ??= pm.create(principal.control, 'swap');
  return principal.swap;
}

/** `pages` ids in a row that nobody has, from the next one on or else from the first. @returns the first; 0: there is no such row */
function takeIds(pm: Physmem, principal: Principal, into: Container, pages: number): number {
  const id = freeIds(pm, into, principal.nextSwapId, pages) || freeIds(pm, into, 1, pages);
  if (id !== 0) principal.nextSwapId = id + pages;
  return id;
}

/** The first of `pages` free ids in a row, at or above `from`; 0 where there is no such row. */
function freeIds(pm: Physmem, into: Container, from: number, pages: number): number {
  for (let id = from; id + pages <= pm.limitPages; ) {
    const entry = into.entries.from(id);
    if (entry === NO_ENTRY || pm.table.start[entry] >= id + pages) return id;
    id = pm.table.start[entry] + (1 << pm.table.log2[entry]);
  }
  return 0;
}

/** Copies `pages` present pages to the ids from `id` on, and makes them fresh. */
function putAway(pm: Physmem, swap: Swap, container: Container, first: number, into: Container, id: number, pages: number): void {
  const { table } = pm;
  for (let done = 0; done < pages; ) {
    const page = first + done;
    const entry = container.entries.at(page);
    const frame = table.frame[entry] as FrameId;
    const start = table.start[entry];
    const offset = table.offset[entry] + page - start;
    const count = Math.min(pages - done, start + (1 << table.log2[entry]) - page);
    if (table.log2[entry] === table.size[frame]) flushEntry(pm, entry, false); // one flush for both what follows
    revokeWrite(pm, frame);
    cover(pm, into, id + done, frame, offset, offset + count, table.newGroup());
    charge(into, count);
    if (!hasSlot(pm, frame)) swap.unbacked += count;
    renew(pm, container, page, page + count, false);
    done += count;
  }
}

/** Replaces `pages` present pages by logical copies of what has the ids from `id` on. They stay charged. */
function takeIn(pm: Physmem, source: Container, id: number, container: Container, first: number, pages: number, keep: boolean): void {
  const { table } = pm;
  for (let done = 0; done < pages; ) {
    const page = first + done;
    const old = container.entries.at(page);
    const wanted = placementFor(pm, old);
    const offset = table.offset[old] + page - table.start[old];
    const inOld = wanted === null ? (1 << table.log2[old]) - (page - table.start[old]) : 1;
    const count = Math.min(pages - done, inOld);
    carve(pm, container, old, page, page + count, false);
    putBack(pm, source, id + done, container, page, count, keep);
    if (wanted !== null) adopt(pm, container, page, wanted, offset);
    done += count;
  }
  charge(container, 0);
}

/** Pages from `page`, which is present, to the end of its entry. */
function restOf(pm: Physmem, container: Container, page: number): number {
  const entry = container.entries.at(page);
  return pm.table.start[entry] + (1 << pm.table.log2[entry]) - page;
}

/** Puts logical copies of what has the ids from `id` on at free pages. */
function putBack(pm: Physmem, source: Container, id: number, container: Container, page: number, pages: number, keep: boolean): void {
  const { table } = pm;
  for (let done = 0; done < pages; ) {
    const entry = source.entries.at(id + done);
    const frame = table.frame[entry] as FrameId;
    const offset = table.offset[entry] + id + done - table.start[entry];
    const count = Math.min(pages - done, restOf(pm, source, id + done));
    cover(pm, container, page + done, frame, offset, offset + count, table.newGroup());
    if (keep) normalise(pm, frame);
    else {
      carve(pm, source, entry, id + done, id + done + count, false);
      charge(source, -count);
    }
    done += count;
  }
}

/** A page that was taken in wants the memory that the one in its place did. */
function adopt(pm: Physmem, container: Container, page: number, wanted: Wanted, offset: number): void {
  const { table } = pm;
  let entry = container.entries.at(page);
  while (table.size[table.frame[entry]] > 0) {
    split(pm, table.frame[entry] as FrameId);
    entry = container.entries.at(page);
  }
  adoptPlacement(pm, entry, wanted, offset);
}
