/** Copies of single pages, each from and to a place of its own: scatter, gather, and both. */

import { EBUSY, EEXIST, EINVAL, ENOENT, ENOMEM } from '../../../hostkernel/base/errno.ts';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { ALL_OR_NONE, COPY_IN_PLACE, COPY_MOVE, COPY_SHARED, EXTRA, SQUASH } from '../interface.ts';
import { allowance } from './admission.ts';
import type { Container } from './container.ts';
import { areCopyFlags, copyRange } from './copy.ts';
import { NO_ENTRY } from './frame-table.ts';
import { firstHeld } from './holds.ts';
import { prepareInPlace } from './in-place.ts';
import type { Physmem } from './physmem.ts';
import { deviceWrittenPages, firstPinned } from './pinned.ts';
import { isRange } from './range.ts';
import { WAIT } from './reclaim.ts';
import { reserve, unreserve } from './reserve.ts';

/**
 * Copies pages one after the other, as `copy` does with its flags. `list` holds a source start and a destination start
 * for each, in bytes. Stops at the first that fails: `amount` is what was done, `position` which it was.
 * @returns 0, or an errno or WAIT as `copy` does, with ENOENT for every absent source page
 * With ALL_OR_NONE nothing has changed after an error.
 */
export function copyVector(pm: Physmem, source: Container, destination: Container, list: ArrayLike<number>, flags: number): number {
  pm.amount = 0;
  pm.position = 0;
  if (!areCopyFlags(flags)) return EINVAL;
  const pages = list.length >>> 1;
  for (; pm.position < pages; pm.position += 1) {
    if (!isRange(pm, list[2 * pm.position], PAGE_SIZE) || !isRange(pm, list[2 * pm.position + 1], PAGE_SIZE)) return EINVAL;
  }
  pm.position = 0;
  const all = (flags & ALL_OR_NONE) !== 0;
  let error = all ? prepareAll(pm, source, destination, list, flags) : 0;
  while (error === 0 && pm.position < pages) {
    error = copyOne(pm, source, list[2 * pm.position] / PAGE_SIZE, destination, list[2 * pm.position + 1] / PAGE_SIZE, flags);
    if (error === 0) pm.position += 1;
  }
  if (error === WAIT && pm.position > 0 && !all) error = 0;
  pm.amount = all && error !== 0 ? 0 : pm.position * PAGE_SIZE;
  unreserve(pm);
  pm.returns.balance();
  return error;
}

/** One position. With ALL_OR_NONE all have been let in: the descriptors of those before it must not shut it out. */
function copyOne(pm: Physmem, source: Container, from: number, destination: Container, to: number, flags: number): number {
  if (source === destination && from === to) return (flags & COPY_IN_PLACE) === 0 ? EEXIST : EINVAL;
  return copyRange(pm, source, from, destination, to, 1, flags, (flags & ALL_OR_NONE) !== 0);
}

/** Makes sure that every position will succeed. @returns 0, or what the first that does not fails with */
function prepareAll(pm: Physmem, source: Container, destination: Container, list: ArrayLike<number>, flags: number): number {
  for (;;) {
    const { changes } = pm.table;
    const refused = check(pm, source, destination, list, flags);
    if (refused !== 0) return refused;
    let error = 0;
    if ((flags & COPY_IN_PLACE) !== 0) error = prepareAllInPlace(pm, source, destination, list);
    else if ((flags & (COPY_SHARED | COPY_MOVE)) === 0) error = reserveAll(pm, source, destination, list);
    if (error !== 0) return error;
    if (pm.table.changes === changes) return 0; // else memory may have been taken from somebody: look again
  }
}

/** @returns 0, or why the page at `pm.position` cannot take bytes */
function prepareAllInPlace(pm: Physmem, source: Container, destination: Container, list: ArrayLike<number>): number {
  for (pm.position = 0; 2 * pm.position < list.length; pm.position += 1) {
    const from = list[2 * pm.position] / PAGE_SIZE;
    if (prepareInPlace(pm, source, from, destination, list[2 * pm.position + 1] / PAGE_SIZE, 1) === 0) return pm.refusal;
  }
  pm.position = 0;
  return 0;
}

/** Sets memory aside for pages that devices may write. @returns 0, or why there is not enough */
function reserveAll(pm: Physmem, source: Container, destination: Container, list: ArrayLike<number>): number {
  let pages = 0;
  for (let i = 0; i < list.length; i += 2) {
    pages += deviceWrittenPages(pm, source, list[i] / PAGE_SIZE, list[i] / PAGE_SIZE + 1);
  }
  return reserve(pm, pages, destination.control);
}

/** Checks the list as if each position before had been done; `pm.position` is the one that fails, or 0. */
function check(pm: Physmem, source: Container, destination: Container, list: ArrayLike<number>, flags: number): number {
  const pages = list.length >>> 1;
  const free = (flags & COPY_MOVE) !== 0 && source.control === destination.control;
  let room = free ? pages : allowance(pm.accounts, destination.control, (flags & EXTRA) !== 0);
  for (pm.position = 0; pm.position < pages; pm.position += 1) {
    const at = pm.position;
    const from = list[2 * at] / PAGE_SIZE;
    const to = list[2 * at + 1] / PAGE_SIZE;
    const isThere = willBePresent(destination, to, source, destination, list, at, flags);
    if (source === destination && from === to) return (flags & COPY_IN_PLACE) === 0 ? EEXIST : EINVAL;
    if (!willBePresent(source, from, source, destination, list, at, flags)) return ENOENT;
    if (isThere && (flags & (SQUASH | COPY_IN_PLACE)) === 0) return EEXIST;
    if (isThere && isHeld(pm, destination, to, flags)) return EBUSY;
    if ((flags & COPY_MOVE) !== 0 && firstHeld(pm, source, from, from + 1) === from) return EBUSY;
    if (isThere) continue;
    if ((flags & COPY_IN_PLACE) !== 0 || room === 0) return ENOMEM;
    room -= 1;
  }
  pm.position = 0;
  return 0;
}

/** Whether a destination page may not be replaced; or filled in place, which only a pin forbids (share.ts looks at locks). */
function isHeld(pm: Physmem, destination: Container, page: number, flags: number): boolean {
  if ((flags & COPY_IN_PLACE) !== 0) return firstPinned(destination, page, page + 1) === page;
  return firstHeld(pm, destination, page, page + 1) === page;
}

/** Whether a page is present once the positions before `count` are done. */
function willBePresent(
  container: Container,
  page: number,
  source: Container,
  destination: Container,
  list: ArrayLike<number>,
  count: number,
  flags: number,
): boolean {
  for (let i = count - 1; i >= 0; i -= 1) {
    if (container === destination && list[2 * i + 1] / PAGE_SIZE === page) return true;
    if (container === source && (flags & COPY_MOVE) !== 0 && list[2 * i] / PAGE_SIZE === page) return false;
  }
  return container.entries.at(page) !== NO_ENTRY;
}
