/** Logical copies: pages of one container appear in another, on the same frames. */

import { kassert } from '../../../hostkernel/base/assert.ts';
import { EEXIST, EINVAL, ENOENT, ENOMEM, EOPNOTSUPP, ESRCH } from '../../../hostkernel/base/errno.ts';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { ALL_OR_NONE, COPY_IN_PLACE, COPY_MOVE, COPY_SHARED, EXTRA, SQUASH } from '../interface.ts';
import { admissiblePages } from './allocate.ts';
import { type Container, charge } from './container.ts';
import { forgetSoft, vacate } from './deallocate.ts';
import { type FrameId, NO_ENTRY } from './frame-table.ts';
import { cover, revokeWrite } from './frames.ts';
import type { Physmem } from './physmem.ts';
import { freePages, hasOnly, isRange, presentPages } from './range.ts';

const COPY_FLAGS = COPY_SHARED | ALL_OR_NONE | SQUASH | EXTRA;

/**
 * Logical copy: container bytes of the source appear in the destination, on the same frames. COPY_SHARED: both see
 * all later writes. Else each side keeps what it has: the first write to a side copies. Nothing is bound or copied
 * now; every destination page is charged. Pieces follow the source's frames, never the destination's alignment.
 * Flags: COPY_SHARED, ALL_OR_NONE, SQUASH, EXTRA.
 * @returns 0, or an errno with `amount`:
 *   EINVAL      not page aligned, wraps, an unknown flag
 *   ENOENT      the first source page is absent; ESRCH  a later one
 *   EEXIST      a destination page is present (without SQUASH), or source and destination overlap
 *   ENOMEM      admission.ts does not let all of them in
 *   EOPNOTSUPP  COPY_MOVE, COPY_IN_PLACE
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
  if (!hasOnly(flags, COPY_FLAGS | COPY_MOVE | COPY_IN_PLACE)) return EINVAL;
  if (!isRange(pm, sourceStart, size) || !isRange(pm, destinationStart, size)) return EINVAL;
  if ((flags & (COPY_MOVE | COPY_IN_PLACE)) !== 0) return EOPNOTSUPP;
  if (source === destination && Math.abs(sourceStart - destinationStart) < size) return EEXIST;
  const from = sourceStart / PAGE_SIZE;
  const to = destinationStart / PAGE_SIZE;
  const pages = size / PAGE_SIZE;
  const squash = (flags & SQUASH) !== 0;
  const present = presentPages(pm, source, from, pages);
  const free = squash ? pages : freePages(pm, destination, to, pages);
  const admitted = admissiblePages(pm, destination, to, pages, flags);
  const possible = Math.min(present, free, admitted);
  const error = possible === pages ? 0 : possible === present ? (present === 0 ? ENOENT : ESRCH) : possible === free ? EEXIST : ENOMEM;
  if (error !== 0 && (flags & ALL_OR_NONE) !== 0) return error;
  if (squash) vacate(pm, destination, to, to + possible);
  copyPages(pm, source, from, destination, to, possible, (flags & COPY_SHARED) !== 0);
  pm.amount = possible * PAGE_SIZE;
  pm.returns.balance();
  return error;
}

/** Puts entries on the frames of source pages [from, from + pages), all present, at destination pages from `to` on. */
function copyPages(pm: Physmem, source: Container, from: number, destination: Container, to: number, pages: number, shared: boolean): void {
  const { table } = pm;
  for (let done = 0; done < pages; ) {
    const entry = source.entries.at(from + done);
    kassert(entry !== NO_ENTRY, 'physmem: copying an absent page');
    const frame = table.frame[entry] as FrameId;
    const inEntry = from + done - table.start[entry];
    const count = Math.min((1 << table.log2[entry]) - inEntry, pages - done);
    const offset = table.offset[entry] + inEntry;
    if (!shared) revokeWrite(pm, frame);
    const group = shared ? table.group[entry] : table.newGroup();
    forgetSoft(pm, destination, to + done, to + done + count);
    cover(pm, destination, to + done, frame, offset, offset + count, group);
    charge(destination, count);
    done += count;
  }
}
