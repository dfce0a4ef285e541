/**
 * What everyone above the machine sees of a page-table format: entries in, meaning out, and back. No memory here:
 * `walk.ts` follows tables in RAM, the kernels follow virtual page tables in their objects.
 *
 * An entry comes as two 32-bit halves, signed or not (what an Int32Array or Uint32Array holds); the upper half of a
 * 4-byte entry is 0. Encoders return signed halves. Levels count from the leaf:
 *
 *   sv39    va   | 38 .. 30 | 29 .. 21 | 20 .. 12 | 11 .. 0 |
 *   level           2          1          0                       level 3 = `levels`: the root, where it is an entry
 *
 * Pages and frames are of 4 KiB in every format: a format with larger base pages maps `basePages` of them at once.
 * Halves are the *value* of an entry. Where `bigEndian` is set it lies in memory with its most significant byte first,
 * so seen through an Int32Array on our side its words are byte-swapped (swap32), and those of an 8-byte entry exchanged.
 *
 * Accessed and dirty bits, and what the owner of the tables must do about them:
 *
 *   hasAccessed, hardwareAccessed   the walk sets A itself
 *   hasAccessed alone               a walk refuses an entry without A: enter leaves with ATTR_ACCESSED
 *   no hasAccessed                  entries do not say; they count as accessed always
 *   hasDirty, hardwareDirty         the walk sets D itself on the first write
 *   hasDirty alone                  a walk refuses a write through an entry without D: enter leaves for a write with
 *                                   ATTR_DIRTY, take any other write fault on a writable leaf as the notice to set it
 *   no hasDirty                     entries do not say: whoever grants WRITE must take the page for dirty
 */
import type { LayoutDescriptor, Options } from './descriptor.ts';

/** What an entry permits and remembers: READ, WRITE, EXEC (units.ts) and these, in one integer. */
export const ATTR_USER = 8;
export const ATTR_ACCESSED = 16;
export const ATTR_DIRTY = 32;
export const ATTR_GLOBAL = 64;

/** What an entry is. */
export const ENTRY_INVALID = 0;
export const ENTRY_RESERVED = 1; // reserved bit or encoding, misaligned large page, pointer on level 0, indirect entry: always refuses
export const ENTRY_TABLE = 2;
export const ENTRY_LEAF = 3;

/**
 * A page-table format, compiled from its descriptor. All functions are hot: none allocates.
 *
 * Hardware formats serve as virtual-page-table formats too: their root value is then an entry as their top table has
 * them, which points to that table. (A RISC-V root may also be a leaf that maps everything linearly.) Power's pointers have
 * bit 63 set, so its root is a frame number. An entry of zeros is invalid in every format but vpte-2006, which therefore is
 * no format for the tables of a kernel that clears entries by writing 0.
 */
export interface PageTableFormat {
  readonly id: string;
  readonly descriptor: LayoutDescriptor;
  readonly options: Options;
  readonly bigEndian: boolean;
  readonly entryBytes: 4 | 8;
  readonly entryShift: 2 | 3; // log2 of entryBytes
  readonly levels: number; //    tables on a full walk: 0 = base pages ... levels - 1 = root table
  readonly basePages: number; // 4 KiB pages that one entry of level 0 maps: 1, 2, 4 or 16
  readonly pageBits: number; //  bits of a virtual page number that the tables resolve: 20, 27, 36 ...
  readonly vaBits: number;
  readonly userEnd: number; //   first byte address beyond user space, used as MMU format: the lower half, or everything
  readonly frameBits: number; // frames it can name: 2^frameBits
  readonly rootIsEntry: boolean; // as a virtual-page-table format. false: a zero entry is valid, or pointers are no numbers below 2^53, so the root is a bare frame number
  readonly hasPermissions: boolean; // false: every valid entry grants everything
  readonly hasAccessed: boolean;
  readonly hasDirty: boolean;
  readonly hardwareAccessed: boolean;
  readonly hardwareDirty: boolean;
  readonly offsetAdds: boolean; // a large page's offset is added to its frame, which needs no alignment
  readonly checksEveryLevel: boolean; // permissions are judged on directory entries too, while descending
  readonly accessedLo: number; // of a leaf: bits of the lower half that setAccessed sets, 0 where there are none
  readonly dirtyLo: number;

  /** Slot of `page` in its table of `level`. Bits above pageBits are ignored. Exact for 0 <= page < 2^53. */
  index(level: number, page: number): number;
  /** Pages that one entry of `level` maps. span(levels) is the whole space: what a root entry maps. */
  span(level: number): number;
  /** ENTRY_*. `level` may be `levels`, for a root entry. */
  kind(level: number, lo: number, hi: number): number;
  /** First frame of a leaf: exact, a multiple of leafPages unless offsetAdds. */
  frame(level: number, lo: number, hi: number): number;
  /** Pages that this leaf maps: span(level), but for entries of contiguous ranges, which are repeated. */
  leafPages(level: number, lo: number, hi: number): number;
  /**
   * READ .. ATTR_GLOBAL of a table or leaf entry; of anything else the result means nothing.
   *
   * The permissions are those of user mode if it has any, with ATTR_USER, and otherwise the supervisor's. What a format
   * cannot say is reported as granted: a pointer in a format without directory permissions grants all (and is accessed
   * and dirty); a format without accessed or dirty bits has them set; the vpte formats do not consult their U bit, so
   * their entries are always ATTR_USER. A format without a global bit never reports ATTR_GLOBAL.
   */
  attributes(level: number, lo: number, hi: number): number;
  /** Whether leaves of `level` can be made. */
  hasLeaf(level: number): boolean;
  /**
   * Lower half of the leaf that maps `frame` on `level`. The frame is a multiple of span(level), unless offsetAdds.
   *
   * The entry grants the least that contains the READ, WRITE and EXEC asked for (RISC-V cannot write without reading);
   * if none is asked for, it is an invalid entry. Other attributes are exact where the format has them.
   * @throws KernelPanic if the format has no leaf on `level`
   */
  leafLo(level: number, frame: number, attributes: number): number;
  leafHi(level: number, frame: number, attributes: number): number;

  /** Byte address of the table that a pointer of `level` names. Tables need not be pages: see tableBytes, tableAlign. */
  tableAddress(level: number, lo: number, hi: number): number;
  /** Size of a table of `level`, in bytes: smaller or larger than a page. */
  tableBytes(level: number): number;
  /** What the address of a table of `level` is a multiple of, in bytes. */
  tableAlign(level: number): number;
  /** Lower half of a pointer of `level` to the table at byte `address`, with full permissions where pointers carry them. */
  tableLo(level: number, address: number): number;
  tableHi(level: number, address: number): number;
  /** Value of a root that points to the root table at byte `address`: an entry of level `levels`, or a frame number. */
  rootLo(address: number): number;
  rootHi(address: number): number;

  /** Lower half of a leaf with A, or A and D, set. The entry stays what it is otherwise. */
  setAccessed(lo: number): number;
  setDirty(lo: number): number;
  /** Lower half of a leaf with A and D clear. */
  clearStatus(lo: number): number;
  /**
   * Lower half of a table or leaf entry after `access` went through it: as the format's own walk updates it, if the entry
   * permits the access. The formats of virtual page tables mark some entries that then refuse.
   */
  marked(level: number, lo: number, hi: number, access: number): number;
}

/** The bytes of a 32-bit word in the other order, signed. */
export function swap32(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}
