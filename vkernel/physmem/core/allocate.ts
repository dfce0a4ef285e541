/** Fresh pages: promises, which get memory when they are first mapped. */

import { EBUSY, EEXIST, EINVAL, ENOMEM, EOPNOTSUPP } from '../../../hostkernel/base/errno.ts';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { ALL_OR_NONE, CONSTRAINED, CONTIGUOUS, DMA, EXTRA, SQUASH } from '../interface.ts';
import { allowance } from './admission.ts';
import { type Container, charge } from './container.ts';
import { forgetSoft, vacate } from './deallocate.ts';
import { log2, spanPiece } from './dyadic.ts';
import { NO_ENTRY } from './frame-table.ts';
import { place } from './frames.ts';
import type { Physmem } from './physmem.ts';
import { firstHeld } from './holds.ts';
import { hasOnly, isRange } from './range.ts';

const ALLOCATE_FLAGS = ALL_OR_NONE | SQUASH | EXTRA;
const ALLOCATE_REFUSED = DMA | CONSTRAINED | CONTIGUOUS; // kinds of memory this machine does not tell apart

/**
 * Puts fresh pages at [start, start + size), in pieces of span(0, size): sizes depend on the length only. Memory is
 * bound at the first map, and reads as zero. Flags: ALL_OR_NONE, SQUASH (deallocate what is there), EXTRA.
 * @returns 0, or an errno with `amount`:
 *   EINVAL      not page aligned, size 0, wraps; an unknown flag
 *   EEXIST      a piece overlaps a present page (without SQUASH)
 *   EBUSY       a piece overlaps a pinned page
 *   ENOMEM      admission.ts does not let all of them in; as many as it does are placed
 *   EOPNOTSUPP  DMA, CONSTRAINED, CONTIGUOUS
 * With ALL_OR_NONE nothing has changed after an error.
 */
export function allocate(pm: Physmem, container: Container, flags: number, start: number, size: number): number {
  pm.amount = 0;
  if (!hasOnly(flags, ALLOCATE_FLAGS | ALLOCATE_REFUSED)) return EINVAL;
  if (size === 0 || !isRange(pm, start, size)) return EINVAL;
  if ((flags & ALLOCATE_REFUSED) !== 0) return EOPNOTSUPP;
  const first = start / PAGE_SIZE;
  const pages = size / PAGE_SIZE;
  const squash = (flags & SQUASH) !== 0;
  if ((flags & ALL_OR_NONE) !== 0 && !squash && container.entries.overlaps(first, first + pages)) return EEXIST;
  const admitted = admissiblePages(pm, container, first, pages, flags);
  if ((flags & ALL_OR_NONE) !== 0 && squash && firstHeld(pm, container, first, first + pages) < first + pages) return EBUSY;
  if ((flags & ALL_OR_NONE) !== 0 && admitted < pages) return ENOMEM;
  const error = placePieces(pm, container, first, admitted, squash);
  pm.returns.balance();
  if (error !== 0) return error;
  return admitted < pages ? ENOMEM : 0;
}

/** Places the pieces of span(0, pages), as far as nothing is in the way. @returns 0, EEXIST or EBUSY */
function placePieces(pm: Physmem, container: Container, first: number, pages: number, squash: boolean): number {
  for (let done = 0; done < pages; ) {
    const piece = spanPiece(done, pages);
    const at = first + done;
    if (!squash && container.entries.overlaps(at, at + piece)) return EEXIST;
    if (squash) {
      if (firstHeld(pm, container, at, at + piece) < at + piece) return EBUSY;
      vacate(pm, container, at, at + piece);
    }
    forgetSoft(pm, container, at, at + piece);
    place(pm, container, at, log2(piece));
    charge(container, piece);
    done += piece;
    pm.amount = done * PAGE_SIZE;
  }
  return 0;
}

/**
 * How many pages from `first` on may be charged to the container's control, at most `pages`. With SQUASH pages that are
 * present are replaced, and cost nothing.
 */
export function admissiblePages(pm: Physmem, container: Container, first: number, pages: number, flags: number): number {
  const { table } = pm;
  let room = allowance(pm.accounts, container.control, (flags & EXTRA) !== 0);
  if ((flags & SQUASH) === 0) return Math.min(pages, room);
  const end = first + pages;
  let page = first;
  while (page < end) {
    const entry = container.entries.from(page);
    const gapEnd = entry === NO_ENTRY ? end : Math.min(end, Math.max(page, table.start[entry]));
    if (gapEnd - page > room) return page + room - first;
    room -= gapEnd - page;
    page = entry === NO_ENTRY ? end : Math.min(end, table.start[entry] + (1 << table.log2[entry]));
  }
  return pages;
}
