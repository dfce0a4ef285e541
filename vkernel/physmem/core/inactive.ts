/**
 * The inactive list: frames that only swap needs are written out when memory is short, and read back when they are used.
 *
 *                 swapOut, the last user goes                  writeOut: flush, write, free
 *   in use  <------------------------------------>  inactive  ------------------------------>  on disk
 *              swapIn: no I/O                                                                     |
 *      ^                                                                                          |
 *      +--------------- swapIn, then the first access: one read for all who share it -------------+
 *
 * Not here: who may put what into swap (swap.ts), and which frames are inactive (hidden.ts).
 * Source: hurd-l4 design document, "virtual memory management": the inactive list; the clean slot is ours.
 */

import type { GuestFrame } from '../../../hostkernel/base/units.ts';
import { charge } from './container.ts';
import { carve } from './deallocate.ts';
import {
  attach,
  BOUND,
  CLEAN,
  detach,
  type EntryId,
  entriesOf,
  type FrameId,
  NO_ENTRY,
  NO_FRAME,
  ON_DISK,
  PLACE,
  STALE,
} from './frame-table.ts';
import { flushFrame, loseMemory, loseSlots, split } from './frames.ts';
import { enlist, SOFT, SWAP, swapOf, swapPages, usersOf } from './hidden.ts';
import type { Physmem } from './physmem.ts';
import type { Swap } from './swap.ts';
import { NO_SLOT } from './swap-store.ts';

/** How many failures of the store one request puts up with. */
const MAX_FAILURES = 8;

// --- Out ---------------------------------------------------------------------------------------------------------

/**
 * Frees memory by writing inactive frames out, oldest first. What cannot be written stays in memory, and is counted.
 * @returns pages freed: at least `pages`, or all there was to be had
 */
export function writeOut(pm: Physmem, pages: number): number {
  const { swap, table } = pm;
  if (swap === null) return 0;
  const failed: number[] = []; // slots, kept until the end so that others are tried
  let freed = 0;
  for (let frame = swap.inactive.head; frame !== NO_FRAME && freed < pages && failed.length < MAX_FAILURES; ) {
    const size = table.size[frame];
    const failures = failed.length;
    const slot = (table.state[frame] & CLEAN) !== 0 ? swap.slotOf(frame) : writeFrame(pm, swap, frame, failed);
    if (slot === NO_SLOT) {
      if (size > 0)
        split(pm, frame); // and its halves are tried next
      else if (failed.length === failures) break; // no slot is left, but for those that failed
      continue;
    }
    const next = swap.inactive.next(frame);
    leaveMemory(pm, frame, slot);
    freed += 1 << size;
    frame = next;
  }
  for (const slot of failed) swap.slots.free(slot, 1);
  return freed;
}

/** Writes a frame to slots of its own. @returns the first, or NO_SLOT; a single slot that fails is put into `failed` */
function writeFrame(pm: Physmem, swap: Swap, frame: FrameId, failed: number[]): number {
  const { table } = pm;
  const pages = 1 << table.size[frame];
  const slot = swap.slots.allocate(pages);
  if (slot === NO_SLOT) return NO_SLOT;
  flushFrame(pm, frame);
  const wasFailing = swap.failing;
  const isWritten = swap.write(slot, table.address[frame] as GuestFrame, pages);
  if (swap.failing !== wasFailing) pm.accounts.buffer?.storeSwapFailing(swap.failing);
  if (isWritten) {
    swap.unbacked -= swapPages(pm, frame);
    return slot;
  }
  if (pages === 1) failed.push(slot);
  else swap.slots.free(slot, pages);
  return NO_SLOT;
}

/** What `frame` holds is in `slot`: its memory is free. */
function leaveMemory(pm: Physmem, frame: FrameId, slot: number): void {
  const { table } = pm;
  const address = table.address[frame] as GuestFrame;
  flushFrame(pm, frame);
  enlist(pm, frame, 0);
  loseMemory(pm, frame);
  table.state[frame] = (table.state[frame] & ~(PLACE | STALE | CLEAN)) | ON_DISK;
  table.address[frame] = slot;
  pm.zones.free(address, 1 << table.size[frame]);
}

// --- In ----------------------------------------------------------------------------------------------------------

/**
 * The contents of a frame on disk have been read, and its memory comes next. Where swap entries share it, nobody will
 * write it, and the slots are kept: to write it out again takes no I/O. Else they are free.
 */
export function settleSlots(pm: Physmem, frame: FrameId): void {
  const { table } = pm;
  if ((usersOf(pm, frame) & SWAP) === 0) {
    loseSlots(pm, frame);
    return;
  }
  swapOf(pm).keepSlot(frame, table.address[frame]);
  table.state[frame] |= CLEAN;
}

// --- Copies that nobody needs in memory --------------------------------------------------------------------------

/** Whether a task uses `frame` in another group than that of `entry`. */
export function hasOtherUsers(pm: Physmem, frame: FrameId, entry: EntryId): boolean {
  const { table } = pm;
  for (let other = table.first[frame]; other !== NO_ENTRY; other = table.next[other]) {
    if (table.group[other] !== table.group[entry] && pm.containerOf(other as EntryId).kind === 'user') return true;
  }
  return false;
}

/**
 * Where `entry`, of one page, shares a frame with swap and soft references only, ends that without memory for a copy: the
 * swap side goes to disk, the soft references are lost. To be called again until it returns false: its steps are small.
 * @returns whether something has changed; false: other tasks share it too, or the store has failed
 */
export function yieldCopies(pm: Physmem, entry: EntryId): boolean {
  const { table } = pm;
  const frame = table.frame[entry] as FrameId;
  if ((table.state[frame] & PLACE) !== BOUND || hasOtherUsers(pm, frame, entry)) return false;
  if (table.size[frame] > 0) {
    split(pm, frame);
    return true;
  }
  const users = usersOf(pm, frame);
  if ((users & SOFT) !== 0) {
    dropSoft(pm, frame);
    return true;
  }
  return (users & SWAP) !== 0 && moveSwapToDisk(pm, frame);
}

/** Takes the soft references off a frame of one page. */
function dropSoft(pm: Physmem, frame: FrameId): void {
  const { table } = pm;
  for (const entry of entriesOf(table, frame)) {
    const container = pm.containerOf(entry);
    if (container.kind !== 'soft') continue;
    const start = table.start[entry];
    carve(pm, container, entry, start, start + 1, false);
    charge(container, -1);
  }
}

/** Moves the swap entries of a frame of one page in memory to a frame on disk. @returns whether that worked */
function moveSwapToDisk(pm: Physmem, frame: FrameId): boolean {
  const { table } = pm;
  const swap = swapOf(pm);
  let slot: number;
  if ((table.state[frame] & CLEAN) !== 0) slot = swap.slotOf(frame);
  else {
    const failed: number[] = [];
    let failures: number;
    do {
      failures = failed.length;
      slot = writeFrame(pm, swap, frame, failed);
    } while (slot === NO_SLOT && failed.length > failures && failed.length < MAX_FAILURES);
    for (const each of failed) swap.slots.free(each, 1);
    if (slot === NO_SLOT) return false;
  }
  table.state[frame] &= ~CLEAN;
  const target = table.newFrame(0, ON_DISK, slot);
  for (const entry of entriesOf(table, frame)) {
    if (pm.containerOf(entry).kind !== 'swap') continue;
    detach(table, entry);
    attach(table, entry, target);
  }
  return true;
}
