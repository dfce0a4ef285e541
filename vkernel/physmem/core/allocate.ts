/** Fresh pages: promises, which get memory when they are first mapped. */

import { EBUSY, EEXIST, EINVAL, ENOMEM } from '../../../hostkernel/base/errno.ts';
import { type GuestFrame, PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { ALL_OR_NONE, CONSTRAINED, CONTIGUOUS, DMA, EXTRA, SQUASH } from '../interface.ts';
import { admissiblePages } from './admission.ts';
import { ANYWHERE, type Constraint } from './constraint.ts';
import { type Container, charge } from './container.ts';
import { forgetSoft, vacate } from './deallocate.ts';
import { log2, spanPiece } from './dyadic.ts';
import type { FrameId } from './frame-table.ts';
import { place, takeMemory } from './frames.ts';
import { BUSY } from './move.ts';
import type { Physmem } from './physmem.ts';
import { firstHeld } from './holds.ts';
import { constrain, constrainHere, placementAsked } from './placement.ts';
import { hasOnly, isRange } from './range.ts';
import { obtainRun } from './reclaim.ts';
import { NO_BLOCK } from './zone.ts';

const PLACING = DMA | CONSTRAINED | CONTIGUOUS; // which memory it is to be
const ALLOCATE_FLAGS = ALL_OR_NONE | SQUASH | EXTRA | PLACING;

/**
 * Puts fresh pages at [start, start + size), in pieces of span(0, size): sizes depend on the length only. Memory is
 * bound at the first map, and reads as zero. Flags: ALL_OR_NONE, SQUASH (deallocate what is there), EXTRA; and which
 * memory it will be: DMA, CONSTRAINED (with the two words of constraint.ts), for each piece by itself; CONTIGUOUS, one
 * run of consecutive memory, all or none of it, bound at once.
 * @returns 0, or an errno with `amount`:
 *   EINVAL      not page aligned, size 0, wraps; an unknown flag; memory that there is not in this machine
 *   EEXIST      a piece overlaps a present page (without SQUASH)
 *   EBUSY       with SQUASH, a piece overlaps a pinned or locked page; the only memory for a run is pinned
 *   ENOMEM      admission.ts does not let all of them in; as many as it does are placed. No memory for a run
 * With ALL_OR_NONE nothing has changed after an error.
 */
export function allocate(
  pm: Physmem,
  container: Container,
  flags: number,
  start: number,
  size: number,
  mustSet = 0,
  mustClear = 0,
): number {
  pm.amount = 0;
  if (!hasOnly(flags, ALLOCATE_FLAGS)) return EINVAL;
  if (size === 0 || !isRange(pm, start, size)) return EINVAL;
  const first = start / PAGE_SIZE;
  const pages = size / PAGE_SIZE;
  const constraint = (flags & PLACING) === 0 ? ANYWHERE : placementAsked(pm, flags, pages, mustSet, mustClear);
  if (constraint === null) return EINVAL;
  const squash = (flags & SQUASH) !== 0;
  const isWhole = (flags & (ALL_OR_NONE | CONTIGUOUS)) !== 0;
  if (isWhole && !squash && container.entries.overlaps(first, first + pages)) return EEXIST;
  const admitted = admissiblePages(pm, container, first, pages, flags);
  if (isWhole && squash && firstHeld(pm, container, first, first + pages) < first + pages) return EBUSY;
  if (isWhole && admitted < pages) return ENOMEM;
  const isRun = (flags & CONTIGUOUS) !== 0;
  const run = isRun ? runFor(pm, pages, constraint) : NO_BLOCK;
  if (isRun && run < 0) return run === BUSY ? EBUSY : ENOMEM;
  const error = placePieces(pm, container, first, admitted, squash);
  if ((flags & PLACING) !== 0) placeWhere(pm, container, first, constraint, run);
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

/** Consecutive memory, cleared. @returns its first page, or NO_BLOCK or BUSY */
function runFor(pm: Physmem, pages: number, constraint: Constraint): GuestFrame {
  const run = obtainRun(pm, pages, constraint);
  if (run >= 0) pm.memory.zero(run, pages);
  return run;
}

/**
 * Lets the frames just placed, `amount` bytes from page `first` on, remember which memory they want.
 * @param run memory for all of them, which they get now: they stay there, unless it is one frame; or NO_BLOCK
 */
function placeWhere(pm: Physmem, container: Container, first: number, constraint: Constraint, run: GuestFrame): void {
  const { table } = pm;
  const pages = pm.amount / PAGE_SIZE;
  for (let done = 0; done < pages; ) {
    const frame = table.frame[container.entries.at(first + done)] as FrameId;
    const size = table.size[frame];
    if (run !== NO_BLOCK) {
      takeMemory(pm, frame, (run + done) as GuestFrame);
      pm.counters.binds += 1;
      pm.counters.zeroedPages += 1 << size;
    }
    if (run !== NO_BLOCK && 1 << size < pages) constrainHere(pm, frame);
    else constrain(pm, frame, constraint, run !== NO_BLOCK);
    done += 1 << size;
  }
}
