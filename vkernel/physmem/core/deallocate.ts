/**
 * How frames lose their users: flush, carve, normalise.
 *
 *   carve       take [from, to) of an entry out: flush, detach, put back what is left of it, normalise
 *   normalise   no entry: free it. Covered by an entry: leave it. Else split, and normalise both halves
 *
 * With `carve` defined by `normalise`, nobody works out who inherits which part of a frame: the largest remaining
 * entries do. Copy-on-write counts are never kept, so they cannot be wrong.
 */

import { EBUSY, EINVAL, ENOENT } from '../../../hostkernel/base/errno.ts';
import { type GuestFrame, PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { ALL_OR_NONE, LAZY, SOFT } from '../interface.ts';
import { type Container, charge } from './container.ts';
import {
  BOUND,
  CLEAN,
  detach,
  type EntryId,
  type FrameId,
  INACTIVE,
  isCovered,
  NO_ENTRY,
  ON_DISK,
  PLACE,
  SOFT_ONLY,
} from './frame-table.ts';
import { cover, flushEntry, flushFrame, loseMemory, loseSlots, revokeWrite, split } from './frames.ts';
import { forgetHidden, leaveSwap, settle } from './hidden.ts';
import type { Physmem } from './physmem.ts';
import { firstHeld } from './holds.ts';
import { hasOnly, isRange, presentPages } from './range.ts';
import { isDeviceWritten } from './pinned.ts';

const DEALLOCATE_FLAGS = ALL_OR_NONE | LAZY | SOFT;
const HIDDEN = INACTIVE | SOFT_ONLY | CLEAN; // a frame that is more than its memory

/**
 * Removes the pages of [start, start + size), unmaps them everywhere and uncharges them. Holes are skipped; `amount`
 * is what was really removed. Flags: ALL_OR_NONE; LAZY: who could only read may do so as long as others use the memory
 * and nobody may write it; SOFT: they are remembered (soft.ts).
 * @returns 0, or EINVAL (alignment, wraps, an unknown flag), ENOENT (a hole, with ALL_OR_NONE),
 *   EBUSY (a page is pinned or locked: nothing from there on is removed). With ALL_OR_NONE nothing has changed after an error.
 */
export function deallocate(pm: Physmem, container: Container, start: number, size: number, flags: number): number {
  pm.amount = 0;
  if (!hasOnly(flags, DEALLOCATE_FLAGS) || !isRange(pm, start, size)) return EINVAL;
  const first = start / PAGE_SIZE;
  const pages = size / PAGE_SIZE;
  const end = firstHeld(pm, container, first, first + pages);
  if ((flags & ALL_OR_NONE) !== 0) {
    if (presentPages(pm, container, first, pages) < pages) return ENOENT;
    if (end < first + pages) return EBUSY;
  }
  if ((flags & SOFT) !== 0) remember(pm, container, first, end);
  pm.amount = vacate(pm, container, first, end, (flags & LAZY) !== 0) * PAGE_SIZE;
  pm.returns.settle();
  return end < first + pages ? EBUSY : 0;
}

/**
 * Before the pages of [from, to) leave their container: makes soft references to them (soft.ts). A principal has no more
 * than there is memory, or it could make descriptors without end that nobody is charged for.
 */
function remember(pm: Physmem, container: Container, from: number, to: number): void {
  const { table } = pm;
  container.soft ??= pm.create(container.control, 'soft');
  const { soft } = container;
  const { principal } = container.control;
  for (let page = from; page < to; ) {
    const entry = container.entries.from(page);
    if (entry === NO_ENTRY || table.start[entry] >= to) break;
    const first = Math.max(page, table.start[entry]);
    page = Math.min(to, table.start[entry] + (1 << table.log2[entry]));
    if (isDeviceWritten(pm, entry)) continue; // it will not stay what it was
    if (principal.softPages + page - first > pm.receivedPages) break;
    const frame = table.frame[entry] as FrameId;
    const offset = table.offset[entry] + first - table.start[entry];
    revokeWrite(pm, frame);
    cover(pm, soft, first, frame, offset, offset + page - first, table.newGroup());
    charge(soft, page - first);
  }
}

/** Ends the soft references to pages [from, to): the position gets another page, or nobody can ask for it any more. */
export function forgetSoft(pm: Physmem, container: Container, from: number, to: number): void {
  if (container.soft !== null) vacate(pm, container.soft, from, to);
}

/** Removes the pages of [from, to), pinned or not. @returns how many there were */
export function vacate(pm: Physmem, container: Container, from: number, to: number, lazy = false): number {
  const { table } = pm;
  let removed = 0;
  for (let page = from; page < to; ) {
    const entry = container.entries.from(page);
    if (entry === NO_ENTRY || table.start[entry] >= to) break;
    const first = Math.max(page, table.start[entry]);
    const last = Math.min(to, table.start[entry] + (1 << table.log2[entry]));
    carve(pm, container, entry, first, last, lazy);
    charge(container, first - last);
    removed += last - first;
    page = last;
  }
  return removed;
}

/** Takes container pages [from, to) of `entry`, not empty, out of its container. Charges are the caller's. */
export function carve(pm: Physmem, container: Container, entry: EntryId, from: number, to: number, lazy: boolean): void {
  const { table } = pm;
  const frame = table.frame[entry] as FrameId;
  const start = table.start[entry];
  const end = start + (1 << table.log2[entry]);
  const offset = table.offset[entry];
  const group = table.group[entry];
  if (container.kind === 'user') flushEntry(pm, entry, lazy);
  else if (container.kind === 'swap') leaveSwap(pm, frame, to - from);
  container.entries.remove(entry);
  detach(table, entry);
  table.freeEntry(entry);
  if (start < from) cover(pm, container, start, frame, offset, offset + from - start, group);
  if (to < end) cover(pm, container, to, frame, offset + to - start, offset + end - start, group);
  normalise(pm, frame);
}

/** Restores the cover: frees what no entry uses, and cuts the rest into one frame a largest entry. */
export function normalise(pm: Physmem, frame: FrameId): void {
  if (pm.table.first[frame] === NO_ENTRY) {
    discard(pm, frame);
    return;
  }
  if (isCovered(pm.table, frame) && (pm.hidden === 0 || settle(pm, frame))) return;
  const upper = split(pm, frame);
  normalise(pm, frame);
  normalise(pm, upper);
}

/** The last entry of a frame has gone. */
function discard(pm: Physmem, frame: FrameId): void {
  const { table } = pm;
  flushFrame(pm, frame);
  if ((table.state[frame] & HIDDEN) !== 0) forgetHidden(pm, frame);
  if ((table.state[frame] & PLACE) === BOUND) {
    const address = table.address[frame] as GuestFrame;
    loseMemory(pm, frame);
    pm.zones.free(address, 1 << table.size[frame]);
  } else if ((table.state[frame] & PLACE) === ON_DISK) loseSlots(pm, frame);
  table.freeFrame(frame);
}
