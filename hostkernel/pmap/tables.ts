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
 *
 * The codec of a format serves every address there is. Here every frame is one of RAM, so what it makes and reads is cut
 * down to a shift, and to what it said of the same flags before: bench/hostkernel/pmap.bench.ts.
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
  // Where a frame number is in an entry of a level: lo = flags | frame << shift.
  readonly #leafShift: Uint8Array;
  readonly #leafField: Int32Array; //  mask in the lower half
  readonly #tableShift: Uint8Array;
  readonly #tableField: Int32Array;
  readonly #pointerLo: Int32Array; // by level: flags of a pointer
  readonly #pointerHi: Int32Array;
  // Flags of leaves by level and attributes in the form of the head comment, as far as they were asked for.
  readonly #codeKnown: Uint8Array; // [level << 6 | attributes]
  readonly #codeLo: Int32Array;
  readonly #codeHi: Int32Array;
  // What flags mean, as far as they were met: a direct-mapped cache of format.attributes.
  readonly #metLo: Int32Array; //      [level << MET_SHIFT | hash]
  readonly #metHi: Int32Array;
  readonly #metMeaning: Int16Array; // -1: empty

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
    const fields = Array.from({ length: levels }, (_, level) => leafFieldOf(format, level, ram.frames));
    this.#leafShift = Uint8Array.from(fields, ({ shift }) => shift);
    this.#leafField = Int32Array.from(fields, ({ mask }) => mask);
    const pointers = Array.from({ length: levels }, (_, level) => tableFieldOf(format, level, ram.frames));
    this.#tableShift = Uint8Array.from(pointers, ({ shift }) => shift);
    this.#tableField = Int32Array.from(pointers, ({ mask }) => mask);
    this.#pointerLo = Int32Array.from(pointers, (_, level) => (level === 0 ? 0 : format.tableLo(level, 0)));
    this.#pointerHi = Int32Array.from(pointers, (_, level) => (level === 0 ? 0 : format.tableHi(level, 0)));
    this.#codeKnown = new Uint8Array(levels << 6);
    this.#codeLo = new Int32Array(levels << 6);
    this.#codeHi = new Int32Array(levels << 6);
    this.#metLo = new Int32Array(levels << MET_SHIFT);
    this.#metHi = new Int32Array(levels << MET_SHIFT);
    this.#metMeaning = new Int16Array(levels << MET_SHIFT).fill(-1);
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

  /** The first of the slots [slot, last) of `table` that maps something, or `last`: there is none. */
  firstUsed(table: HostFrame, slot: number, last: number): number {
    const i32 = this.#i32;
    const [empty0, empty1, wide] = [this.#empty0, this.#empty1, this.#wide];
    const stride = wide ? 2 : 1;
    const perPage = PAGE_SIZE >>> this.#entryShift;
    for (let at = slot; at < last; ) {
      const end = Math.min(last, (at | (perPage - 1)) + 1); // of what is in the same page
      for (let word = this.word(table, at); at < end; at++, word += stride) {
        if (i32[word] !== empty0 || (wide && i32[word + 1] !== empty1)) return at;
      }
    }
    return last;
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
    return ((this.lo(word) & this.#tableField[level]) >>> this.#tableShift[level]) as HostFrame;
  }

  /** The first frame that the leaf at `word` maps. Hot. */
  frame(level: number, word: number): HostFrame {
    return ((this.lo(word) & this.#leafField[level]) >>> this.#leafShift[level]) as HostFrame;
  }

  /** Rights, ATTR_ACCESSED and ATTR_DIRTY of the leaf at `word`, in the form of the head comment. Hot. */
  attributes(level: number, word: number): number {
    const lo = this.lo(word) & ~this.#leafField[level];
    const hi = this.hi(word);
    const at = (level << MET_SHIFT) | ((lo ^ (lo >>> 5) ^ (hi >>> 27)) & MET_MASK);
    const meaning = this.#metMeaning[at];
    return meaning >= 0 && this.#metLo[at] === lo && this.#metHi[at] === hi ? meaning : this.#meet(level, at, lo, hi);
  }

  /** Writes a leaf. `attributes` are in the form of the head comment: dirty only if writable. Hot. */
  storeLeaf(level: number, word: number, frame: HostFrame, attributes: number): void {
    const at = this.#codeOf(level, attributes);
    this.#store(word, this.#codeLo[at] | (frame << this.#leafShift[level]), this.#codeHi[at]);
  }

  /** The first slot of `table` that is not the leaf which goes on where slot 0 begins with `first`, or 0: there is none. */
  firstDifferent(table: HostFrame, level: number, first: HostFrame, attributes: number): number {
    const at = this.#codeOf(level, attributes);
    const hi = this.#order(this.#codeHi[at]);
    const loWord = this.#wide && this.#swapped ? 1 : 0;
    const stride = this.#wide ? 2 : 1;
    const step = this.spans[level] << this.#leafShift[level];
    let lo = this.#codeLo[at] | (first << this.#leafShift[level]);
    let word = 0;
    for (let slot = 0; slot < this.entries[level]; slot++) {
      word = ((slot << this.#entryShift) & PAGE_MASK) === 0 ? this.word(table, slot) : word + stride;
      if (this.#i32[word + loWord] !== this.#order(lo) || (this.#wide && this.#i32[word + 1 - loWord] !== hi)) return slot;
      lo = (lo + step) | 0;
    }
    return 0;
  }

  /** Whether the entry at `word` is the leaf that storeLeaf would write. Hot. */
  isThisLeaf(level: number, word: number, frame: HostFrame, attributes: number): boolean {
    const at = this.#codeOf(level, attributes);
    return this.lo(word) === (this.#codeLo[at] | (frame << this.#leafShift[level])) && this.hi(word) === this.#codeHi[at];
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

  /** Writes a pointer. Hot. */
  storeTable(level: number, word: number, child: HostFrame): void {
    this.#store(word, this.#pointerLo[level] | (child << this.#tableShift[level]), this.#pointerHi[level]);
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

  /** Where the flags for `attributes` are in #codeLo and #codeHi. Hot. */
  #codeOf(level: number, attributes: number): number {
    const at = (level << 6) | (attributes & (RIGHTS | ATTR_ACCESSED | ATTR_DIRTY));
    if (this.#codeKnown[at] === 0) {
      const all = this.#unformed(attributes);
      this.#codeLo[at] = this.format.leafLo(level, 0, all);
      this.#codeHi[at] = this.format.leafHi(level, 0, all);
      this.#codeKnown[at] = 1;
    }
    return at;
  }

  /** Asks the format what flags mean, and notes it. */
  #meet(level: number, at: number, lo: number, hi: number): number {
    const meaning = this.#formed(this.format.attributes(level, lo, hi));
    this.#metLo[at] = lo;
    this.#metHi[at] = hi;
    this.#metMeaning[at] = meaning;
    return meaning;
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

/** log2 of the flags of a level whose meaning is kept. */
const MET_SHIFT = 6;
const MET_MASK = 63;

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

interface Field {
  readonly shift: number;
  readonly mask: number; // in the lower half, signed
}

const NO_FIELD: Field = { shift: 0, mask: 0 };

/** Where leaves of `level` have the number of a frame of RAM. */
function leafFieldOf(format: PageTableFormat, level: number, frames: number): Field {
  if (level > 0 && !format.hasLeaf(level)) return NO_FIELD;
  const asked = READ | ATTR_ACCESSED | ATTR_USER;
  const lo = (frame: number): number => format.leafLo(level, frame, asked);
  const hi = (frame: number): number => format.leafHi(level, frame, asked);
  return fieldOf(format, format.span(level), frames, lo, hi);
}

/** Where pointers of `level` have the number of the frame that a table begins in. */
function tableFieldOf(format: PageTableFormat, level: number, frames: number): Field {
  if (level === 0) return NO_FIELD;
  const align = Math.max(1, format.tableBytes(level - 1) / PAGE_SIZE);
  const lo = (frame: number): number => format.tableLo(level, frame * PAGE_SIZE);
  const hi = (frame: number): number => format.tableHi(level, frame * PAGE_SIZE);
  return fieldOf(format, align, frames, lo, hi);
}

/** The field that multiples of `align` below `frames` are in: one run of bits of the lower half, as everywhere so far. */
function fieldOf(
  format: PageTableFormat,
  align: number,
  frames: number,
  lo: (frame: number) => number,
  hi: (frame: number) => number,
): Field {
  const none = lo(0);
  if (align >= frames) return NO_FIELD; // none but frame 0
  const shift = 31 - Math.clz32(lo(align) ^ none) - Math.log2(align);
  let mask = 0;
  for (let frame = align; frame < frames; frame *= 2) {
    mask |= frame << shift;
    const isThere = (lo(frame) ^ none) === frame << shift && hi(frame) === hi(0) && frame * 2 ** shift < 2 ** 32;
    kassert(isThere, `pmap: ${format.id} has frame numbers of RAM in pieces`);
  }
  return { shift, mask };
}

function grantedBy(format: PageTableFormat, rights: Access): Access {
  if ((rights & RIGHTS) === 0) return 0;
  const asked = rights | ((rights & WRITE) !== 0 ? READ | ATTR_DIRTY : 0) | ATTR_ACCESSED | ATTR_USER;
  return format.attributes(0, format.leafLo(0, 1, asked), format.leafHi(0, 1, asked)) & RIGHTS;
}
