/** Ranges of requests: what a message may name, and which pages of it are there. */

import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import type { Container } from './container.ts';
import { NO_ENTRY } from './frame-table.ts';
import type { Physmem } from './physmem.ts';

/** Whether [start, start + size) is whole pages inside the address range. Anything may come in: words are hostile. */
export function isRange(pm: Physmem, start: number, size: number): boolean {
  const first = start / PAGE_SIZE;
  const pages = size / PAGE_SIZE;
  if (!Number.isInteger(first) || !Number.isInteger(pages)) return false; // NaN and Infinity are no integers either
  return first >= 0 && pages >= 0 && first + pages <= pm.limitPages;
}

/** Whether a flag word has no bit outside `allowed`. It may be any word: bits beyond 32 count. */
export function hasOnly(flags: number, allowed: number): boolean {
  return (flags & allowed) === flags;
}

/** Whether `n` can count pages: it comes from a message. */
export function isCount(n: number): boolean {
  return Number.isSafeInteger(n) && n >= 0;
}

/** Length of the run of present pages from `first` on, at most `pages`. */
export function presentPages(pm: Physmem, container: Container, first: number, pages: number): number {
  const { table } = pm;
  let page = first;
  while (page < first + pages) {
    const entry = container.entries.at(page);
    if (entry === NO_ENTRY) return page - first;
    page = table.start[entry] + (1 << table.log2[entry]);
  }
  return pages;
}

/** Length of the run of absent pages from `first` on, at most `pages`. */
export function freePages(pm: Physmem, container: Container, first: number, pages: number): number {
  const entry = container.entries.from(first);
  return entry === NO_ENTRY ? pages : Math.min(pages, Math.max(0, pm.table.start[entry] - first));
}
