/** What the tables of a layout map and cost in memory, by its description alone. */
import { frameParts } from './check.ts';
import type { LayoutDescriptor } from './descriptor.ts';

/** Sizes of the pages a layout maps, the smallest first, as bytes. */
export function pageSizes(layout: LayoutDescriptor): readonly number[] {
  const shifts = new Set<number>();
  for (const level of layout.levels) {
    for (const pattern of layout.classify[level.name]) {
      if (pattern.as === 'leaf' && frameParts(layout, level.name, pattern).length > 0) shifts.add(pattern.pageShift ?? level.lo);
    }
  }
  return [...shifts].toSorted((a, b) => a - b).map((shift) => 2 ** shift);
}

export interface TableCost {
  /** Bytes of one table, by level, root first; a root register has none. */
  readonly tableBytes: readonly number[];
  /** Bytes of tables that map one base page. */
  readonly onePage: number;
  /** Bytes of tables that map 1 GiB densely with base pages, from an address that is a multiple of 1 GiB. */
  readonly gibibyte: number;
  /** Bytes of tables that map everything with base pages: exact up to 2^53, rounded beyond. */
  readonly everything: number;
}

const GIBIBYTE = 2 ** 30;

export function tableCost(layout: LayoutDescriptor): TableCost {
  const { levels, entryBytes, va } = layout;
  const tables = levels.filter((level) => level.bits > 0);
  const bytes = (bits: number): number => entryBytes * 2 ** bits;
  const forSpace = (space: number): number =>
    tables.reduce((sum, level) => sum + bytes(level.bits) * Math.max(1, space / 2 ** (level.lo + level.bits)), 0);
  return {
    tableBytes: tables.map((level) => bytes(level.bits)),
    onePage: forSpace(1),
    gibibyte: forSpace(Math.min(GIBIBYTE, 2 ** va.bits)),
    everything: forSpace(2 ** va.bits),
  };
}
