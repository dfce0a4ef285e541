/**
 * How frames lose their users: flush, carve, normalise.
 *
 *   carve       take [from, to) of an entry out: flush, detach, put back what is left of it, normalise
 *   normalise   no entry: free it. Covered by an entry: leave it. Else split, and normalise both halves
 *
 * With `carve` defined by `normalise`, nobody works out who inherits which part of a frame: the largest remaining
 * entries do. Copy-on-write counts are never kept, so they cannot be wrong.
 */

import { EBUSY, EINVAL, ENOENT, EOPNOTSUPP } from '../../../hostkernel/base/errno.ts';
import { type GuestFrame, PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { ALL_OR_NONE, LAZY, SOFT } from '../interface.ts';
import { type Container, charge } from './container.ts';
import { BOUND, detach, type EntryId, type FrameId, isCovered, NO_ENTRY, ON_DISK, PLACE } from './frame-table.ts';
import { cover, flushEntry, flushFrame, loseMemory, loseSlots, split } from './frames.ts';
import type { Physmem } from './physmem.ts';
import { firstPinned } from './pinned.ts';
import { hasOnly, isRange, presentPages } from './range.ts';

const DEALLOCATE_FLAGS = ALL_OR_NONE | LAZY;

/**
 * Removes the pages of [start, start + size), unmaps them everywhere and uncharges them. Holes are skipped; `amount`
 * is what was really removed. Flags: ALL_OR_NONE; LAZY: who could only read may do so as long as others use the memory
 * and nobody may write it.
 * @returns 0, or EINVAL (alignment, wraps, an unknown flag), EOPNOTSUPP (SOFT), ENOENT (a hole, with ALL_OR_NONE),
 *   EBUSY (a pinned page: nothing from there on is removed). With ALL_OR_NONE nothing has changed after an error.
 */
export function deallocate(pm: Physmem, container: Container, start: number, size: number, flags: number): number {
  pm.amount = 0;
  if (!hasOnly(flags, DEALLOCATE_FLAGS | SOFT) || !isRange(pm, start, size)) return EINVAL;
  if ((flags & SOFT) !== 0) return EOPNOTSUPP;
  const first = start / PAGE_SIZE;
  const pages = size / PAGE_SIZE;
  const end = firstPinned(container, first, first + pages);
  if ((flags & ALL_OR_NONE) !== 0) {
    if (presentPages(pm, container, first, pages) < pages) return ENOENT;
    if (end < first + pages) return EBUSY;
  }
  pm.amount = vacate(pm, container, first, end, (flags & LAZY) !== 0) * PAGE_SIZE;
  return end < first + pages ? EBUSY : 0;
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
  flushEntry(pm, entry, lazy);
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
  if (isCovered(pm.table, frame)) return;
  const upper = split(pm, frame);
  normalise(pm, frame);
  normalise(pm, upper);
}

/** The last entry of a frame has gone. */
function discard(pm: Physmem, frame: FrameId): void {
  const { table } = pm;
  flushFrame(pm, frame);
  if ((table.state[frame] & PLACE) === BOUND) {
    const address = table.address[frame] as GuestFrame;
    loseMemory(pm, frame);
    pm.zones.free(address, 1 << table.size[frame]);
  } else if ((table.state[frame] & PLACE) === ON_DISK) loseSlots(pm, frame);
  table.freeFrame(frame);
}
