/**
 * Frames that no task uses any more: on the inactive list if swap needs their contents, on the soft list if only soft
 * references do. Here is what makes a frame one of them; how they give up their memory is in inactive.ts and soft.ts.
 *
 *   users of a frame    some task          one covers the frame: what only swap needs has frames of its own
 *                       swap, soft         in memory: inactive; on disk; or a promise, which takes no memory and no slot
 *                       soft only          in memory or on disk: on the soft list, and ours to take
 *
 * A frame that is read back while swap entries are on it keeps its slot: nobody can write it as long as it is shared with
 * them, so the slot stays good (CLEAN), and it is written out again without I/O.
 *
 * Swap and soft containers are hidden: tasks hold no capability to them, and nothing is ever mapped through them.
 *
 * Invariants (assertHidden):
 *   H1  a frame with users has one that covers it
 *   H2  the inactive list has exactly the frames in memory that swap entries use and no task does
 *   H3  the soft list has exactly the frames with contents that only soft references use
 *   H4  slots in use are those of frames on disk and of clean ones; a clean frame is in memory, with a swap entry on it
 *   H5  unbacked is the number of pages of swap entries on frames without a slot; each can be written: used + unbacked <= slots
 *   H6  softPages of a principal is the number of pages in its soft containers
 */

import { kassert, panic } from '../../../hostkernel/base/assert.ts';
import { BOUND, CLEAN, type EntryId, type FrameId, INACTIVE, NO_ENTRY, ON_DISK, PLACE, SOFT_ONLY, UNBOUND } from './frame-table.ts';
import type { Physmem } from './physmem.ts';
import type { Principal } from './principals.ts';
import type { Swap } from './swap.ts';

// Who uses a frame.
export const USER = 1;
export const SWAP = 2;
export const SOFT = 4;
export const COVERED = 8; // by a user

export function usersOf(pm: Physmem, frame: FrameId): number {
  const { table } = pm;
  const size = table.size[frame];
  let users = 0;
  for (let entry = table.first[frame]; entry !== NO_ENTRY; entry = table.next[entry]) {
    const { kind } = pm.containerOf(entry as EntryId);
    if (kind === 'swap') users |= SWAP;
    else if (kind === 'soft') users |= SOFT;
    else users |= table.log2[entry] === size ? USER | COVERED : USER;
  }
  return users;
}

/**
 * Puts a frame, covered by an entry, on the list it belongs to now, or on none.
 * @returns false where tasks use a part of it, and the rest must become frames of its own: it is to be split
 * Cost: O(1) for a frame covered by a task's entry and on no list; else O(entries).
 */
export function settle(pm: Physmem, frame: FrameId): boolean {
  const { table } = pm;
  const first = table.first[frame] as EntryId;
  const isOnNone = (table.state[frame] & (INACTIVE | SOFT_ONLY | CLEAN)) === 0;
  if (isOnNone && table.log2[first] === table.size[frame] && pm.containerOf(first).kind === 'user') return true;
  const users = usersOf(pm, frame);
  if ((users & (USER | COVERED)) === USER) return false;
  const state = table.state[frame];
  const place = state & PLACE;
  let wanted = 0;
  if ((users & USER) === 0) {
    if ((users & SWAP) === 0) wanted = place === UNBOUND ? 0 : SOFT_ONLY;
    else wanted = place === BOUND ? INACTIVE : 0;
  }
  enlist(pm, frame, wanted);
  if ((state & CLEAN) !== 0 && (users & SWAP) === 0) dropCleanSlot(pm, frame);
  return true;
}

/** Makes the list that a frame is on that of `wanted`: INACTIVE, SOFT_ONLY or 0. */
export function enlist(pm: Physmem, frame: FrameId, wanted: number): void {
  const { table } = pm;
  const now = table.state[frame] & (INACTIVE | SOFT_ONLY);
  if (now === wanted) return;
  const pages = 1 << table.size[frame];
  if (now === INACTIVE) swapOf(pm).inactive.remove(frame, pages);
  if (now === SOFT_ONLY) pm.soft.remove(frame, pages);
  table.state[frame] = (table.state[frame] & ~(INACTIVE | SOFT_ONLY)) | wanted;
  if (wanted === INACTIVE) swapOf(pm).inactive.append(frame, pages);
  if (wanted === SOFT_ONLY) pm.soft.append(frame, pages);
}

/** `upper` has just been split from `frame`: lists and slots follow. */
export function splitHidden(pm: Physmem, frame: FrameId, upper: FrameId): void {
  const { table } = pm;
  const state = table.state[frame];
  if ((state & INACTIVE) !== 0) swapOf(pm).inactive.insertHalf(frame, upper);
  if ((state & SOFT_ONLY) !== 0) pm.soft.insertHalf(frame, upper);
  if ((state & CLEAN) === 0) return;
  const swap = swapOf(pm);
  swap.keepSlot(upper, swap.slotOf(frame) + (1 << table.size[frame]));
  if ((usersOf(pm, frame) & SWAP) === 0) dropCleanSlot(pm, frame);
  if ((usersOf(pm, upper) & SWAP) === 0) dropCleanSlot(pm, upper);
}

/** A frame without entries is about to go: it leaves its list, and gives up the slot it is clean in. */
export function forgetHidden(pm: Physmem, frame: FrameId): void {
  const { table } = pm;
  enlist(pm, frame, 0);
  if ((table.state[frame] & CLEAN) !== 0) dropCleanSlot(pm, frame);
}

/** `pages` pages of a swap entry are about to leave `frame`. */
export function leaveSwap(pm: Physmem, frame: FrameId, pages: number): void {
  if (!hasSlot(pm, frame)) swapOf(pm).unbacked -= pages;
}

/** A group has moved from `frame` to `target`, a frame of its own. It is not a task's where a task's is pinned to `frame`. */
export function settleMoved(pm: Physmem, frame: FrameId, target: FrameId): void {
  if (hasSlot(pm, frame) && !hasSlot(pm, target)) {
    const pages = swapPages(pm, target);
    if (pages > 0) swapOf(pm).unbacked += pages;
  }
  settle(pm, target);
}

/** Whether the contents of a frame are on disk, whether or not they are in memory too. */
export function hasSlot(pm: Physmem, frame: FrameId): boolean {
  const state = pm.table.state[frame];
  return (state & CLEAN) !== 0 || (state & PLACE) === ON_DISK;
}

function dropCleanSlot(pm: Physmem, frame: FrameId): void {
  const swap = swapOf(pm);
  swap.slots.free(swap.slotOf(frame), 1 << pm.table.size[frame]);
  pm.table.state[frame] &= ~CLEAN;
}

export function swapOf(pm: Physmem): Swap {
  return pm.swap ?? panic('physmem: no swap space');
}

/** Pages of the swap entries of a frame; one that several share counts for each. */
export function swapPages(pm: Physmem, frame: FrameId): number {
  const { table } = pm;
  let pages = 0;
  for (let entry = table.first[frame]; entry !== NO_ENTRY; entry = table.next[entry]) {
    if (pm.containerOf(entry as EntryId).kind === 'swap') pages += 1 << table.log2[entry];
  }
  return pages;
}

// --- Checks ------------------------------------------------------------------------------------------------------

/** H1 to H6. @returns the pages in memory that no task uses */
export function assertHidden(pm: Physmem, frames: readonly FrameId[]): number {
  const { swap, table } = pm;
  let used = 0;
  let unbacked = 0;
  let idle = 0;
  const inactive = new Set<FrameId>();
  const soft = new Set<FrameId>();
  for (const frame of frames) {
    const users = usersOf(pm, frame);
    const state = table.state[frame];
    const place = state & PLACE;
    const pages = 1 << table.size[frame];
    kassert((users & USER) === 0 || (users & COVERED) !== 0, 'physmem H1');
    if ((users & USER) === 0 && (users & SWAP) !== 0 && place === BOUND) inactive.add(frame);
    if (users === SOFT && place !== UNBOUND) soft.add(frame);
    if ((users & USER) === 0 && place === BOUND) idle += pages;
    if (hasSlot(pm, frame)) used += pages;
    else unbacked += swapPages(pm, frame);
    kassert((state & CLEAN) === 0 || (place === BOUND && (users & SWAP) !== 0), 'physmem H4');
    const listed = (inactive.has(frame) ? INACTIVE : 0) | (soft.has(frame) ? SOFT_ONLY : 0);
    kassert((state & (INACTIVE | SOFT_ONLY)) === listed, 'physmem H2, H3');
  }
  assertList(pm, pm.soft.toArray(), soft, pm.soft.pages);
  const remembered = new Map<Principal, number>();
  for (const container of pm.containers) {
    if (container?.kind !== 'soft') continue;
    const { principal } = container.control;
    remembered.set(principal, (remembered.get(principal) ?? 0) + container.pages);
  }
  for (const [principal, pages] of remembered) kassert(principal.softPages === pages, 'physmem H6');
  if (swap !== null) {
    assertList(pm, swap.inactive.toArray(), inactive, swap.inactive.pages);
    kassert(swap.slots.used === used, 'physmem H4');
    kassert(swap.unbacked === unbacked && used + unbacked <= swap.slots.slots, 'physmem H5');
    swap.slots.assertInvariants();
  } else kassert(used === 0 && inactive.size === 0, 'physmem H4');
  return idle;
}

function assertList(pm: Physmem, listed: readonly FrameId[], frames: ReadonlySet<FrameId>, pages: number): void {
  kassert(listed.length === frames.size && listed.every((frame) => frames.has(frame)), 'physmem H2, H3');
  kassert(listed.reduce((sum, frame) => sum + (1 << pm.table.size[frame]), 0) === pages, 'physmem H2, H3');
}
