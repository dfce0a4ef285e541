/**
 * What everyone above the machine sees of a page-table format: entries in, meaning out, and back. No memory here:
 * `walk.ts` follows tables in RAM, the kernels follow virtual page tables in their objects.
 *
 * An entry comes as two 32-bit halves, signed or not (what an Int32Array or Uint32Array holds); the upper half of a
 * 4-byte entry is 0. Encoders return signed halves. Levels count from the leaf:
 *
 *   sv39    va   | 38 .. 30 | 29 .. 21 | 20 .. 12 | 11 .. 0 |
 *   level           2          1          0                       level 3 = `levels`: the root, where it is an entry
 */
import type { LayoutDescriptor, Options } from './descriptor.ts';

/** What an entry permits and remembers: READ, WRITE, EXEC (units.ts) and these, in one integer. */
export const ATTR_USER = 8;
export const ATTR_ACCESSED = 16;
export const ATTR_DIRTY = 32;
export const ATTR_GLOBAL = 64;

/** What an entry is. */
export const ENTRY_INVALID = 0;
export const ENTRY_RESERVED = 1; // reserved bit or encoding, misaligned large page, pointer on level 0: always refuses
export const ENTRY_TABLE = 2;
export const ENTRY_LEAF = 3;

/**
 * A page-table format, compiled from its descriptor. All functions are hot: none allocates.
 *
 * RISC-V formats serve as virtual-page-table formats too: their root value is then an entry of the same format, a
 * pointer or a leaf that maps everything linearly. Value 0 is invalid in every format but vpte-2006.
 */
export interface PageTableFormat {
  readonly id: string;
  readonly descriptor: LayoutDescriptor;
  readonly options: Options;
  readonly entryBytes: 4 | 8;
  readonly entryShift: 2 | 3; // log2 of entryBytes
  readonly levels: number; //    tables on a full walk: 0 = base pages ... levels - 1 = root table
  readonly pageBits: number; //  bits of a virtual page number that the tables resolve: 20, 27, 36
  readonly vaBits: number;
  readonly userEnd: number; //   first byte address beyond user space, used as MMU format: 2^32, 2^38, 2^47 (sign rule: half)
  readonly frameBits: number; // width of the frame field
  readonly rootIsEntry: boolean; // as a virtual-page-table format. false: a zero entry is valid, so the root is a bare frame number
  readonly hasPermissions: boolean; // false: every valid entry grants everything
  readonly hasAccessed: boolean;
  readonly hasDirty: boolean;
  readonly offsetAdds: boolean; // a large page's offset is added to its frame, which needs no alignment
  readonly checksEveryLevel: boolean; // permissions are on directory entries too
  readonly accessedLo: number; // mask of the accessed bit in the lower half, 0 where there is none: for updates in place
  readonly dirtyLo: number;

  /** Slot of `page` in its table of `level`. Bits above pageBits are ignored. Exact for 0 <= page < 2^53. */
  index(level: number, page: number): number;
  /** Pages that one entry of `level` maps. span(levels) is the whole space: what a root entry maps. */
  span(level: number): number;
  /** ENTRY_*. `level` may be `levels`, for a root entry. */
  kind(level: number, lo: number, hi: number): number;
  /** Frame of the next table, or of the leaf: pages, exact. */
  frame(level: number, lo: number, hi: number): number;
  /**
   * READ .. ATTR_GLOBAL of a table or leaf entry; of anything else the result means nothing.
   *
   * What a format cannot say is reported as granted: a pointer in a format without directory permissions grants all
   * (and is accessed and dirty); a format without accessed and dirty bits has both set; a virtual page table does not
   * consult its U bit, so its entries are always ATTR_USER. A format without a global bit never reports ATTR_GLOBAL.
   */
  attributes(level: number, lo: number, hi: number): number;
  /**
   * Lower half of the leaf that maps `frame` on `level`. Above level 0 the frame is a multiple of span(level), unless offsetAdds.
   *
   * The entry grants the least that contains the READ, WRITE and EXEC asked for (RISC-V cannot write without reading);
   * if none is asked for, it is an invalid entry. Other attributes are exact where the format has them.
   * @throws KernelPanic if the format has no leaf on `level`
   */
  leafLo(level: number, frame: number, attributes: number): number;
  leafHi(level: number, frame: number, attributes: number): number;
  /** Lower half of a pointer to the table in `frame`, with full permissions where pointers carry them. */
  tableLo(frame: number): number;
  tableHi(frame: number): number;
}
