/** Releasing in place: fresh zero pages where others were. */

import { EBUSY, EINVAL, ENOENT } from '../../../hostkernel/base/errno.ts';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { LAZY } from '../interface.ts';
import { type Container, charge } from './container.ts';
import { carve } from './deallocate.ts';
import { log2, spanPiece } from './dyadic.ts';
import { NO_ENTRY } from './frame-table.ts';
import { place } from './frames.ts';
import type { Physmem } from './physmem.ts';
import { firstHeld } from './holds.ts';
import { inheritPlacement, placementFor } from './placement.ts';
import { hasOnly, isRange, presentPages } from './range.ts';

/**
 * Every page of [start, start + size) leaves its sharers and the copies it was owed, and becomes a fresh zero page: for
 * one whose contents were put away or are not wanted, so that the next write copies nothing. No change of charge.
 * Flags: LAZY, as for deallocate.
 * @returns 0, or EINVAL (alignment, wraps, an unknown flag), ENOENT (a hole), EBUSY (a page is pinned or locked): then
 *   nothing has changed
 */
export function release(pm: Physmem, container: Container, start: number, size: number, flags: number): number {
  if (!hasOnly(flags, LAZY) || !isRange(pm, start, size)) return EINVAL;
  const first = start / PAGE_SIZE;
  const pages = size / PAGE_SIZE;
  if (presentPages(pm, container, first, pages) < pages) return ENOENT;
  if (firstHeld(pm, container, first, first + pages) < first + pages) return EBUSY;
  renew(pm, container, first, first + pages, (flags & LAZY) !== 0);
  return 0;
}

/** Puts fresh pages in place of those of [from, to), all present and not pinned. They want the same memory. */
export function renew(pm: Physmem, container: Container, from: number, to: number, lazy: boolean): void {
  const { table } = pm;
  for (let page = from; page < to; ) {
    const entry = container.entries.at(page);
    if (entry === NO_ENTRY) return;
    const end = Math.min(to, table.start[entry] + (1 << table.log2[entry]));
    const offset = table.offset[entry] + page - table.start[entry];
    const wanted = placementFor(pm, entry);
    carve(pm, container, entry, page, end, lazy);
    for (let done = 0; done < end - page; ) {
      const piece = spanPiece(offset + done, offset + end - page);
      const frame = place(pm, container, page + done, log2(piece));
      if (wanted !== null) inheritPlacement(pm, frame, wanted, offset + done);
      done += piece;
    }
    charge(container, 0); // as many pages, perhaps more entries
    page = end;
  }
}
