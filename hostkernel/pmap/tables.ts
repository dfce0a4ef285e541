/**
 * Page tables of one format in RAM: where an entry lies, and what it means to the pmap. Which tables there are, and who
 * is told when one changes, is hardware.ts.
 *
 *   table = first frame; slot -> byte slot * entryBytes -> frame (table + byte / 4096), byte mod 4096
 *
 * A table begins on a frame of its own, however small it is; one larger than a frame has as many in a row. Entries of
 * big-endian formats are swapped on the way in and out: everybody but this file sees values.
 *
 * What a leaf remembers is brought to one form, whatever the format has:
 *
 *   format has                 accessed                              dirty
 *   A and D, set by hardware   A                                     D
 *   A and D, set by software   A: an access without it faults        D: a write without it faults
 *   no D                                                             WRITE: entered without it until the first write
 *   no A                       always: only dropping the leaf        as above
 *                              shows whether it is used again
 *
 * In each of them a leaf is dirty only if it is writable, and a page that was written through a leaf has a dirty leaf.
 */

import { kassert } from '../base/assert.ts';
import { type Access, EXEC, type HostFrame, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, READ, WRITE } from '../base/units.ts';
import { ATTR_ACCESSED, ATTR_DIRTY, ATTR_USER, ENTRY_INVALID, ENTRY_LEAF, type PageTableFormat, type RamView } from '../machine/index.ts';

export const RIGHTS = READ | WRITE | EXEC;

/** Why tables of `format` cannot be the real ones of a space, or null: they can. */
export function refusalOf(format: PageTableFormat): string | null {
  if (format.descriptor.stage === 2) return 'second-stage format: no hart walks it alone';
  if (format.basePages !== 1) return 'base pages are not 4 KiB';
  if (emptyValue(format) === null) return 'no value is an invalid entry on every level';
  if ((grantedBy(format, READ) & WRITE) !== 0) return 'no entry forbids writing';
  return null;
}

export class Tables {
  readonly format: PageTableFormat;
  readonly levels: number;
  /** By level: entries of a table, frames of a table, pages that one entry maps, and whether that can be a leaf. */
  readonly entries: Int32Array;
  readonly frames: Int32Array;
  readonly spans: Float64Array;
  readonly hasLeaves: Uint8Array;
  /** Whether hardware marks leaves that are used. Without it only their absence shows that they are not. */
  readonly hasAccessed: boolean;
  readonly #hasDirty: boolean;
  readonly #ram: RamView;
  readonly #i32: Int32Array;
  readonly #entryShift: number;
  readonly #wide: boolean;
  readonly #swapped: boolean;
  /** The words of an entry that maps nothing, as they lie in memory. */
  readonly #empty0: number;
  readonly #empty1: number;
  readonly #granted: Uint8Array; // by rights asked for

  constructor(format: PageTableFormat, ram: RamView) {
    const { levels } = format;
    this.format = format;
    this.levels = levels;
    this.hasAccessed = format.hasAccessed;
    this.#hasDirty = format.hasDirty;
    this.#ram = ram;
    this.#i32 = ram.i32;
    this.#entryShift = format.entryShift;
    this.#wide = format.entryBytes === 8;
    this.#swapped = format.bigEndian;
    this.spans = Float64Array.from({ length: levels + 1 }, (_, level) => format.span(level));
    this.entries = Int32Array.from({ length: levels }, (_, level) => format.tableBytes(level) >>> format.entryShift);
    this.frames = this.entries.map((count) => Math.ceil((count << format.entryShift) / PAGE_SIZE));
    this.hasLeaves = Uint8Array.from({ length: levels }, (_, level) => (format.hasLeaf(level) ? 1 : 0));
    const empty = emptyValue(format);
    kassert(empty !== null, 'pmap: a format without invalid entries');
    const [lo, hi] = empty;
    this.#empty0 = this.#wide && this.#swapped ? this.#order(hi) : this.#order(lo);
    this.#empty1 = this.#wide ? (this.#swapped ? this.#order(lo) : hi) : 0;
    this.#granted = Uint8Array.from({ length: RIGHTS + 1 }, (_, rights) => grantedBy(format, rights));
  }

  /** The rights that a leaf which is asked for `rights` really gives: the least the format has that contain them. */
  granted(rights: Access): Access {
    return this.#granted[rights & RIGHTS];
  }

  /** Word index of entry `slot` of `table`. Hot. */
  word(table: HostFrame, slot: number): number {
    const byte = slot << this.#entryShift;
    return (this.#ram.offsetOf((table + (byte >>> PAGE_SHIFT)) as HostFrame) + (byte & PAGE_MASK)) >>> 2;
  }

  /** Whether the entry at `word` maps nothing. Hot. */
  isEmpty(word: number): boolean {
    return this.#i32[word] === this.#empty0 && (!this.#wide || this.#i32[word + 1] === this.#empty1);
  }

  isLeaf(level: number, word: number): boolean {
    return this.hasLeaves[level] !== 0 && this.format.kind(level, this.lo(word), this.hi(word)) === ENTRY_LEAF;
  }

  /** The lower half of the entry at `word`. Hot. */
  lo(word: number): number {
    if (!this.#swapped) return this.#i32[word];
    return swap(this.#i32[this.#wide ? word + 1 : word]);
  }

  /** The upper half of the entry at `word`; entries of 4 bytes have none. Hot. */
  hi(word: number): number {
    if (!this.#wide) return 0;
    return this.#swapped ? swap(this.#i32[word]) : this.#i32[word + 1];
  }

  /** The table that the entry at `word`, of `level`, points to. Hot. */
  child(level: number, word: number): HostFrame {
    return (this.format.tableAddress(level, this.lo(word), this.hi(word)) / PAGE_SIZE) as HostFrame;
  }

  /** The first frame that the leaf at `word` maps. Hot. */
  frame(level: number, word: number): HostFrame {
    return this.format.frame(level, this.lo(word), this.hi(word)) as HostFrame;
  }

  /** Rights, ATTR_ACCESSED and ATTR_DIRTY of the leaf at `word`, in the form of the head comment. Hot. */
  attributes(level: number, word: number): number {
    return this.#formed(this.format.attributes(level, this.lo(word), this.hi(word)));
  }

  /** Writes a leaf. `attributes` are in the form of the head comment: dirty only if writable. Hot. */
  storeLeaf(level: number, word: number, frame: HostFrame, attributes: number): void {
    const all = this.#unformed(attributes);
    this.#store(word, this.format.leafLo(level, frame, all), this.format.leafHi(level, frame, all));
  }

  /** Whether the entry at `word` is the leaf that storeLeaf would write. Hot. */
  isThisLeaf(level: number, word: number, frame: HostFrame, attributes: number): boolean {
    const all = this.#unformed(attributes);
    return this.lo(word) === this.format.leafLo(level, frame, all) && this.hi(word) === this.format.leafHi(level, frame, all);
  }

  /** Whether `level` has a leaf that maps `frame` and means just what `attributes` say. */
  canMap(level: number, frame: HostFrame, attributes: number): boolean {
    if (this.hasLeaves[level] === 0) return false;
    const all = this.#unformed(attributes);
    const lo = this.format.leafLo(level, frame, all);
    const hi = this.format.leafHi(level, frame, all);
    if (this.format.kind(level, lo, hi) !== ENTRY_LEAF || this.format.frame(level, lo, hi) !== frame) return false;
    return this.#formed(this.format.attributes(level, lo, hi)) === attributes;
  }

  storeTable(level: number, word: number, child: HostFrame): void {
    const address = child * PAGE_SIZE;
    this.#store(word, this.format.tableLo(level, address), this.format.tableHi(level, address));
  }

  storeEmpty(word: number): void {
    this.#i32[word] = this.#empty0;
    if (this.#wide) this.#i32[word + 1] = this.#empty1;
  }

  /** Makes zeroed frames an empty table: where zero is a valid entry, that takes writing. */
  clear(table: HostFrame, level: number): void {
    if ((this.#empty0 | this.#empty1) === 0) return;
    for (let slot = 0; slot < this.entries[level]; slot++) this.storeEmpty(this.word(table, slot));
  }

  #store(word: number, lo: number, hi: number): void {
    if (!this.#swapped) {
      this.#i32[word] = lo;
      if (this.#wide) this.#i32[word + 1] = hi;
    } else if (this.#wide) {
      this.#i32[word] = swap(hi);
      this.#i32[word + 1] = swap(lo);
    } else {
      this.#i32[word] = swap(lo);
    }
  }

  /** From what the format reports to the form of the head comment. */
  #formed(attributes: number): number {
    const dirty = this.#hasDirty ? attributes & ATTR_DIRTY : (attributes & WRITE) << DIRTY_OVER_WRITE;
    return (attributes & (RIGHTS | ATTR_ACCESSED)) | ((attributes & WRITE) !== 0 ? dirty : 0);
  }

  /** The way back. */
  #unformed(attributes: number): number {
    if (this.#hasDirty) return attributes | ATTR_USER;
    // The first write faults, and comes back dirty.
    return (attributes & ATTR_DIRTY) !== 0 ? attributes | ATTR_USER : (attributes & ~WRITE) | ATTR_USER;
  }

  /** A word of an entry as it lies in memory. */
  #order(half: number): number {
    return this.#swapped ? swap(half) : half;
  }
}

/** log2 of ATTR_DIRTY / WRITE. */
const DIRTY_OVER_WRITE = 4;

/** Reverses the bytes of a word. */
function swap(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

/** The value of an entry that is invalid on every level, zero if possible; null: there is none. */
function emptyValue(format: PageTableFormat): readonly [lo: number, hi: number] | null {
  const isInvalid = (lo: number, hi: number): boolean => {
    for (let level = 0; level < format.levels; level++) if (format.kind(level, lo, hi) !== ENTRY_INVALID) return false;
    return true;
  };
  if (isInvalid(0, 0)) return [0, 0];
  for (let bit = 0; bit < 32; bit++) if (isInvalid(1 << bit, 0)) return [1 << bit, 0];
  for (let bit = 0; bit < 32 && format.entryBytes === 8; bit++) if (isInvalid(0, 1 << bit)) return [0, 1 << bit];
  return null;
}

function grantedBy(format: PageTableFormat, rights: Access): Access {
  if ((rights & RIGHTS) === 0) return 0;
  const asked = rights | ((rights & WRITE) !== 0 ? READ | ATTR_DIRTY : 0) | ATTR_ACCESSED | ATTR_USER;
  return format.attributes(0, format.leafLo(0, 1, asked), format.leafHi(0, 1, asked)) & RIGHTS;
}
