/** Copies between containers: logical, shared, moving and in place. */

import { EBUSY, EEXIST, EINVAL, ENOENT, ENOMEM, ESRCH } from '../../../hostkernel/base/errno.ts';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { ALL_OR_NONE, COPY_IN_PLACE, COPY_MOVE, COPY_SHARED, EXTRA, SQUASH } from '../interface.ts';
import { admissiblePages } from './admission.ts';
import type { Container } from './container.ts';
import { copyPages } from './copy-pages.ts';
import { vacate } from './deallocate.ts';
import { copyInPlace } from './in-place.ts';
import type { Physmem } from './physmem.ts';
import { firstHeld } from './holds.ts';
import { freePages, hasOnly, isRange, presentPages } from './range.ts';
import { WAIT } from './reclaim.ts';
import { deviceWrittenPages } from './pinned.ts';
import { reserve, unreserve } from './reserve.ts';

const COPY_MODES = COPY_SHARED | COPY_MOVE | COPY_IN_PLACE;
const COPY_FLAGS = COPY_MODES | ALL_OR_NONE | SQUASH | EXTRA;

/**
 * Copies container bytes of the source into the destination. Pieces follow the source's frames, never the
 * destination's alignment. Nothing is bound or copied now, and every new destination page is charged.
 *
 *   (none)         both keep what they have: the first write to a side copies
 *   COPY_SHARED    both see all later writes
 *   COPY_MOVE      the source gives its pages up, with whom it shared them
 *   COPY_IN_PLACE  the destination's pages, which must be there, take the values, as if they were written
 *
 * Flags: one of these, and ALL_OR_NONE, SQUASH, EXTRA.
 * @returns 0, or an errno with `amount`:
 *   EINVAL  not page aligned, wraps, an unknown flag, two modes; source and destination overlap, in place
 *   ENOENT  the first source page is absent; ESRCH  a later one
 *   EEXIST  a destination page is present (without SQUASH), or source and destination overlap
 *   ENOMEM  admission.ts does not let all of them in; in place, a destination page is absent; no memory to be had
 *   EBUSY   a page that would go is pinned or locked, or one to be filled is pinned
 *   WAIT    in place, and where a device may write the source: see reclaim.ts
 * With ALL_OR_NONE nothing has changed after an error.
 */
export function copy(
  pm: Physmem,
  source: Container,
  sourceStart: number,
  destination: Container,
  destinationStart: number,
  size: number,
  flags: number,
): number {
  pm.amount = 0;
  if (!areCopyFlags(flags) || !isRange(pm, sourceStart, size) || !isRange(pm, destinationStart, size)) return EINVAL;
  if (source === destination && Math.abs(sourceStart - destinationStart) < size) return (flags & COPY_IN_PLACE) === 0 ? EEXIST : EINVAL;
  const error = copyRange(pm, source, sourceStart / PAGE_SIZE, destination, destinationStart / PAGE_SIZE, size / PAGE_SIZE, flags);
  unreserve(pm);
  pm.returns.balance();
  return error;
}

/** Whether a flag word is one of a copy, with at most one mode. */
export function areCopyFlags(flags: number): boolean {
  const mode = flags & COPY_MODES;
  return hasOnly(flags, COPY_FLAGS) && (mode & (mode - 1)) === 0;
}

/**
 * `copy` in pages, of ranges that do not overlap. What was set aside for it may be left over.
 * @param isAdmitted the pages have been let in, with others, by whoever asks
 */
export function copyRange(
  pm: Physmem,
  source: Container,
  from: number,
  destination: Container,
  to: number,
  pages: number,
  flags: number,
  isAdmitted = false,
): number {
  const all = (flags & ALL_OR_NONE) !== 0;
  if ((flags & COPY_IN_PLACE) !== 0) return copyInPlace(pm, source, from, destination, to, pages, all);
  const squash = (flags & SQUASH) !== 0;
  const moves = (flags & COPY_MOVE) !== 0;
  const shared = moves || (flags & COPY_SHARED) !== 0;
  for (;;) {
    const { changes } = pm.table;
    const present = presentPages(pm, source, from, pages);
    const free = squash ? pages : freePages(pm, destination, to, pages);
    const stays = moves ? firstHeld(pm, source, from, from + pages) - from : pages;
    const loose = Math.min(stays, squash ? firstHeld(pm, destination, to, to + pages) - to : pages);
    const isFree = isAdmitted || (moves && source.control === destination.control);
    const admitted = isFree ? pages : admissiblePages(pm, destination, to, pages, flags);
    let possible = Math.min(present, free, loose, admitted);
    let error = 0;
    if (possible < pages) {
      if (possible === present) error = present === 0 ? ENOENT : ESRCH;
      else if (possible === free) error = EEXIST;
      else error = possible === loose ? EBUSY : ENOMEM;
    }
    if (error !== 0 && all) return error;
    const atOnce = shared ? 0 : deviceWrittenPages(pm, source, from, from + possible);
    if (atOnce > 0) {
      const refusal = reserve(pm, atOnce, destination.control);
      if (pm.table.changes !== changes) continue; // look again
      if (refusal !== 0 && all) return refusal;
      if (refusal !== 0) {
        possible = pagesWithin(pm, source, from, possible);
        error = refusal === WAIT && possible > 0 ? 0 : refusal;
      }
    }
    if (squash) vacate(pm, destination, to, to + possible);
    copyPages(pm, source, from, destination, to, possible, shared);
    if (moves) vacate(pm, source, from, from + possible);
    pm.amount = possible * PAGE_SIZE;
    return error;
  }
}

/** How many of the `pages` present pages can be copied with what is set aside. */
function pagesWithin(pm: Physmem, source: Container, from: number, pages: number): number {
  let left = pm.reserved.length;
  for (let count = 0; count < pages; count += 1) {
    left -= deviceWrittenPages(pm, source, from + count, from + count + 1);
    if (left < 0) return count;
  }
  return pages;
}
