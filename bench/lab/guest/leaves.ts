/**
 * What kernels ask of page tables beside single pages: where the next leaf is, whether a large one has room. Pages are as
 * the tables count them: without sign.
 */
import { panic } from '../../../hostkernel/base/assert.ts';
import { EXEC, PAGE_SHIFT, powerOf2, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { ATTR_USER, ENTRY_INVALID, ENTRY_LEAF, type PageTableFormat } from '../../../hostkernel/machine/paging/index.ts';
import type { PageSize, PageTables } from '../../../hostkernel/machine/timing/index.ts';
import { LabError } from './lab-error.ts';

export const PERMISSIONS = READ | WRITE | EXEC;

/** Pages that a leaf of `size` maps, or a run of leaves. */
export function pagesIn(size: PageSize): number {
  return powerOf2(size.shift - PAGE_SHIFT);
}

/** The level of the invalid entry that a walk for `page` ends at, or -1: it is mapped. */
export function emptyLevel(tables: PageTables, root: number, page: number): number {
  const { format, memory } = tables;
  for (let level = format.levels - 1; level >= 0; level--) {
    tables.readEntry(tables.entryAt(root, level, page));
    const kind = format.kind(level, memory.lo, memory.hi);
    if (kind === ENTRY_INVALID) return level;
    if (kind === ENTRY_LEAF) return -1;
  }
  return panic('page tables: a walk without end');
}

/** Whether nothing is mapped where a leaf of `size` would be: no table hangs there either. */
export function isEmptyFor(tables: PageTables, root: number, page: number, size: PageSize): boolean {
  const span = pagesIn(size) / size.entries;
  for (let i = 0; i < size.entries; i++) if (emptyLevel(tables, root, page + i * span) < size.level) return false;
  return true;
}

/** The first page of [from, end) that has a leaf, or `end`. What tables.find() found is that leaf. */
export function nextLeaf(tables: PageTables, root: number, from: number, end: number): number {
  for (let page = from; page < end; ) {
    if (tables.find(root, page)) return page;
    const span = tables.format.span(emptyLevel(tables, root, page));
    page = page - (page % span) + span;
  }
  return end;
}

/** Pages of the leaf that tables.find() has found, from `page` in it on, as far as they lie below `end`. */
export function leafPages(tables: PageTables, page: number, end: number): number {
  const pages = powerOf2(tables.shift - PAGE_SHIFT);
  return Math.min(page - (page % pages) + pages, end) - page;
}

/** The permissions that a leaf made with `rights` grants: some formats cannot deny all others. */
export function grantedBy(format: PageTableFormat, level: number, rights: number): number {
  const attributes = rights | ATTR_USER;
  return format.attributes(level, format.leafLo(level, 0, attributes), format.leafHi(level, 0, attributes)) & PERMISSIONS;
}

/** @throws LabError unless there is room for `count` more tables, whatever their level */
export function requireTables({ memory, format }: PageTables, count: number): void {
  let bytes = 0;
  for (let level = 0; level < format.levels; level++) bytes = Math.max(bytes, format.tableBytes(level));
  const room = memory.limit - memory.base;
  if (memory.used + count * bytes > room)
    throw new LabError(`no room for ${count} more page tables of ${format.id}: ${memory.used} of ${room} bytes are used`);
}
