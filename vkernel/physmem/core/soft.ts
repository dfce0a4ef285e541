/**
 * Soft references: pages given up that are remembered, contents and place, until their memory is wanted.
 *
 *   container       [ page 7 ] --deallocate SOFT--> gone, and not charged any more
 *   its soft container         [ page 7 ] --recover--> back, if nobody has taken it
 *
 * A frame that only soft references use is on the soft list and ours to take, oldest first. One that others use keeps its
 * contents: the soft reference is a logical copy of the moment in which the page was given up. Putting a page at the
 * position, or destroying the container, ends the soft reference: a name that is used again means something else.
 * Source: hurd-l4 design document, "virtual memory management", soft references and name pollution.
 */

import { EEXIST, EINVAL, ENOEXIST, ENOMEM } from '../../../hostkernel/base/errno.ts';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { ALL_OR_NONE, EXTRA } from '../interface.ts';
import { admissiblePages } from './admission.ts';
import { type Container, charge } from './container.ts';
import { carve } from './deallocate.ts';
import { type EntryId, type FrameId, NO_ENTRY, NO_FRAME } from './frame-table.ts';
import { cover } from './frames.ts';
import type { Physmem } from './physmem.ts';
import { freePages, hasOnly, isRange, presentPages } from './range.ts';

/**
 * Turns the soft references to [start, start + size) into pages again. Flags: EXTRA, ALL_OR_NONE. `amount` tells how far
 * it came.
 * @returns 0, or an errno: EINVAL; EEXIST there is a page; ENOEXIST a page was taken or never given up softly; ENOMEM
 *   admission.ts does not let it in (the soft reference stays). With ALL_OR_NONE nothing has changed then.
 */
export function recover(pm: Physmem, container: Container, start: number, size: number, flags: number): number {
  pm.amount = 0;
  if (!hasOnly(flags, EXTRA | ALL_OR_NONE) || size === 0 || !isRange(pm, start, size)) return EINVAL;
  const { soft } = container;
  const first = start / PAGE_SIZE;
  const pages = size / PAGE_SIZE;
  const free = freePages(pm, container, first, pages);
  const known = soft === null ? 0 : presentPages(pm, soft, first, pages);
  const admitted = admissiblePages(pm, container, first, pages, flags & EXTRA);
  const possible = Math.min(free, known, admitted);
  const error = possible === pages ? 0 : possible === free ? EEXIST : possible === known ? ENOEXIST : ENOMEM;
  if (soft === null || (error !== 0 && (flags & ALL_OR_NONE) !== 0)) return error;
  for (let done = 0; done < possible; ) done += recoverEntry(pm, container, soft, first + done, possible - done);
  pm.amount = possible * PAGE_SIZE;
  pm.returns.balance();
  return error;
}

/** Makes the soft reference to `page`, and those behind it on its entry, hard: at most `limit`. @returns how many */
function recoverEntry(pm: Physmem, container: Container, soft: Container, page: number, limit: number): number {
  const { table } = pm;
  const entry = soft.entries.at(page);
  const inEntry = page - table.start[entry];
  const offset = table.offset[entry] + inEntry;
  const count = Math.min(limit, (1 << table.log2[entry]) - inEntry);
  cover(pm, container, page, table.frame[entry] as FrameId, offset, offset + count, table.newGroup());
  charge(container, count);
  carve(pm, soft, entry, page, page + count, false);
  charge(soft, -count);
  return count;
}

/**
 * Frees memory by ending soft references to frames that nothing else uses, oldest first.
 * @returns pages freed: at least `pages`, or all there was to be had
 */
export function discardSoft(pm: Physmem, pages: number): number {
  const { table } = pm;
  const before = pm.zones.freePages;
  while (pm.soft.head !== NO_FRAME && pm.zones.freePages - before < pages) {
    const entry = table.first[pm.soft.head] as EntryId;
    const container = pm.containerOf(entry);
    const start = table.start[entry];
    const count = 1 << table.log2[entry];
    carve(pm, container, entry, start, start + count, false);
    charge(container, -count);
    pm.counters.softDiscarded += count;
  }
  return pm.zones.freePages - before;
}

/** How many of the pages from `first` on are remembered. For tests and accounts. */
export function softPages(pm: Physmem, container: Container, first: number, pages: number): number {
  return container.soft === null || container.soft.entries.from(first) === NO_ENTRY ? 0 : presentPages(pm, container.soft, first, pages);
}
