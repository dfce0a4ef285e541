/** What the tables of a layout cost in memory, by its description alone. */
import type { LayoutDescriptor } from './descriptor.ts';

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
