/**
 * Page tables of a real system as records, so that they can be put in place of those the modelled guest would make.
 *
 * As text, a line a page: its virtual page number, then the entries of the walk from the root to the leaf, all hexadecimal.
 *
 *   7f2a8c001 3d0a067 3d0b067 3d0c067 80000001a2b3c867
 *
 * As memory: what lies at which address, and where the root is. The tables are then followed as hardware would follow them.
 * Either way the format is a page-table layout, and each leaf becomes a MAP record.
 */
import { ENTRY_LEAF, ENTRY_TABLE, type PageTableFormat } from '../../../hostkernel/machine/index.ts';
import { MAP } from '../stream.ts';
import { type RecordOutput, TraceError, type TraceReader } from './reader.ts';
import { hexHalves, TextLines } from './text-lines.ts';

/** Reads lines of entries. All belong to space 0. */
export function pageTableReader(format: PageTableFormat, output: RecordOutput): TraceReader {
  const lines = new TextLines((line, offset) => {
    const text = line.trim();
    if (text === '' || text.startsWith('#')) return;
    const [page, ...entries] = text.split(/\s+/).map((word) => hexHalves(word.replace(/^0x/, '')));
    if (page === null || page === undefined || entries.includes(null))
      throw new TraceError(offset, 'no line of hexadecimal numbers: page, then entries');
    if (entries.length === 0 || entries.length > format.levels) {
      throw new TraceError(offset, `${entries.length} entries; a walk of ${format.id} reads 1 to ${format.levels}`);
    }
    for (const [i, entry] of entries.entries()) {
      const { lo, hi } = entry as { lo: number; hi: number };
      const level = format.levels - 1 - i;
      const kind = format.kind(level, lo, hi);
      const isLast = i === entries.length - 1;
      if (isLast ? kind !== ENTRY_LEAF : kind !== ENTRY_TABLE) {
        throw new TraceError(offset, `entry ${i + 1} is no ${isLast ? 'leaf' : 'pointer'} of level ${level} of ${format.id}`);
      }
      if (isLast) leaf(format, output, (page.hi >>> 0) * 4294967296 + (page.lo >>> 0), level, lo, hi);
    }
  });
  return {
    feed: (bytes) => lines.feed(bytes),
    end: () => {
      lines.end();
      output.end();
    },
  };
}

/** The memory that tables lie in: an entry's halves, or null where nothing is known. */
export type EntryAt = (address: number) => { readonly lo: number; readonly hi: number } | null;

/**
 * Follows the tables from the one at byte `root`. Tables that can be reached twice are followed twice; a walk is never
 * deeper than the format, so a table that points to itself ends it too.
 * @returns leaves found
 */
export function recordsOfTables(format: PageTableFormat, root: number, entryAt: EntryAt, output: RecordOutput): number {
  let leaves = 0;

  function table(address: number, level: number, firstPage: number): void {
    const slots = format.tableBytes(level) / format.entryBytes;
    for (let slot = 0; slot < slots; slot++) {
      const entry = entryAt(address + slot * format.entryBytes);
      if (entry === null) continue;
      const kind = format.kind(level, entry.lo, entry.hi);
      const page = firstPage + slot * format.span(level);
      if (kind === ENTRY_TABLE && level > 0) table(format.tableAddress(level, entry.lo, entry.hi), level - 1, page);
      if (kind !== ENTRY_LEAF) continue;
      leaf(format, output, page, level, entry.lo, entry.hi);
      leaves++;
    }
  }

  table(root, format.levels - 1, 0);
  return leaves;
}

function leaf(format: PageTableFormat, output: RecordOutput, page: number, level: number, lo: number, hi: number): void {
  const pages = format.leafPages(level, lo, hi);
  let shift = 12;
  while (2 ** (shift - 12) < pages) shift++;
  const batch = output.room();
  const slot = batch.count;
  batch.control(MAP, 0, page - (page % pages), format.frame(level, lo, hi), format.attributes(level, lo, hi));
  batch.bytes[slot] = shift;
}
