/**
 * vm_map: which object is behind which addresses of a space. An ordered array of entries; a lookup is a binary search
 * with a one-entry memory, an insertion moves the tail. Not the checks of the system calls (space.ts), not the real
 * translations: whoever changes entries removes those.
 *
 *   entry [start, end)  ->  object, from page `offset`                      linear
 *   entry [start, end)  ->  root -> tables in the object -> its pages       vpagetable: page - start + offset is the index
 *
 * Invariants (assertInvariants):
 *   M1  entries are in ascending order, not empty, without overlap, and inside the user range
 *   M2  each entry holds one reference on its object; only a linear anonymous entry may have none yet
 *   M3  `pages` is the sum of the lengths
 */

import { kassert } from '../base/assert.ts';
import type { Access } from '../base/units.ts';
import type { PageTableFormat } from '../machine/index.ts';
import { MAX_OBJECT_PAGES, type VmObject } from './object.ts';

/** Entries a map may have. A caller that asks for more gets ENOMEM. */
export const MAX_MAP_ENTRIES = 65_536;

/** One mapping. Page numbers are exact doubles; `end` is exclusive. */
export class VmMapEntry {
  start: number;
  end: number;
  /** null: anonymous memory nobody has touched. */
  object: VmObject | null;
  /** Pages: of the object for a linear entry, of the virtual page table's range for a vpagetable entry. */
  offset: number;
  protection: Access;
  /** MAP_NOSYNC, MAP_NOCORE. */
  flags: number;
  /** The object holds private pages of this map only: what is unmapped is forgotten. */
  readonly oneMapping: boolean;
  /** Format of the virtual page table, or null: a linear entry. */
  readonly format: PageTableFormat | null;
  /** Root VPTE, as halves; a bare frame number in a format without root entries. */
  rootLo = 0;
  rootHi = 0;

  constructor(fields: {
    readonly start: number;
    readonly end: number;
    readonly object: VmObject | null;
    readonly offset: number;
    readonly protection: Access;
    readonly flags: number;
    readonly oneMapping: boolean;
    readonly format: PageTableFormat | null;
  }) {
    this.start = fields.start;
    this.end = fields.end;
    this.object = fields.object;
    this.offset = fields.offset;
    this.protection = fields.protection;
    this.flags = fields.flags;
    this.oneMapping = fields.oneMapping;
    this.format = fields.format;
  }

  /** Whether `next`, which begins where this ends, says of its pages what this entry would say. */
  continuedBy(next: VmMapEntry): boolean {
    return (
      this.end === next.start &&
      this.object === next.object &&
      (this.object === null ? next.end - this.start <= MAX_OBJECT_PAGES : this.offset + (this.end - this.start) === next.offset) &&
      this.protection === next.protection &&
      this.flags === next.flags &&
      this.oneMapping === next.oneMapping &&
      this.format === next.format &&
      this.rootLo === next.rootLo &&
      this.rootHi === next.rootHi
    );
  }
}

export class VmMap {
  /** First page beyond user space. */
  readonly endPage: number;
  readonly #entries: VmMapEntry[] = [];
  #hint = 0; // index of the entry found last
  #pages = 0;

  constructor(endPage: number) {
    this.endPage = endPage;
  }

  get entries(): readonly VmMapEntry[] {
    return this.#entries;
  }

  /** Pages in all entries. */
  get pages(): number {
    return this.#pages;
  }

  /** The entry that contains `page`, or null. Hot. */
  lookup(page: number): VmMapEntry | null {
    const entries = this.#entries;
    if (this.#hint < entries.length) {
      const entry = entries[this.#hint];
      if (page >= entry.start && page < entry.end) return entry;
    }
    const at = this.#indexFrom(page);
    if (at === entries.length || entries[at].start > page) return null;
    this.#hint = at;
    return entries[at];
  }

  /** The entries that overlap [start, end), in order. */
  overlapping(start: number, end: number): readonly VmMapEntry[] {
    const first = this.#indexFrom(start);
    return this.#entries.slice(first, this.#indexFromStart(first, end));
  }

  /** Whether entries overlap [start, end) nowhere. */
  isFree(start: number, end: number): boolean {
    const at = this.#indexFrom(start);
    return at === this.#entries.length || this.#entries[at].start >= end;
  }

  /** Whether entries cover [start, end) without a hole. */
  isCovered(start: number, end: number): boolean {
    let page = start;
    for (let at = this.#indexFrom(start); page < end; at++) {
      if (at === this.#entries.length || this.#entries[at].start > page) return false;
      page = this.#entries[at].end;
    }
    return true;
  }

  /** Whether `more` further entries can be made. */
  hasRoomFor(more: number): boolean {
    return this.#entries.length + more <= MAX_MAP_ENTRIES;
  }

  /** The lowest page >= `from` with `pages` free pages, or -1. O(entries). */
  findSpace(from: number, pages: number): number {
    let page = from;
    for (let at = this.#indexFrom(from); page + pages <= this.endPage; at++) {
      if (at === this.#entries.length || this.#entries[at].start >= page + pages) return page;
      page = this.#entries[at].end;
    }
    return -1;
  }

  /** Takes in `entry`, with the reference on its object. Its range must be free. */
  insert(entry: VmMapEntry): void {
    kassert(this.isFree(entry.start, entry.end), 'vm_map: overlap');
    const at = this.#indexFrom(entry.start);
    this.#entries.splice(at, 0, entry);
    this.#pages += entry.end - entry.start;
    this.#hint = at;
  }

  /** Lengthens `entry` to end at `end`; the range behind it must be free. */
  extend(entry: VmMapEntry, end: number): void {
    kassert(this.isFree(entry.end, end), 'vm_map: overlap');
    this.#pages += end - entry.end;
    entry.end = end;
  }

  /** Splits the entries that reach over `start` or `end`, so that the entries returned are exactly those of [start, end). */
  clip(start: number, end: number): readonly VmMapEntry[] {
    this.#splitAt(start);
    this.#splitAt(end);
    return this.overlapping(start, end);
  }

  /** Takes out the entries of [start, end), clipped to it, and returns them. Their references pass to the caller. */
  remove(start: number, end: number): readonly VmMapEntry[] {
    this.#splitAt(start);
    this.#splitAt(end);
    const first = this.#indexFrom(start);
    const removed = this.#entries.splice(first, this.#indexFromStart(first, end) - first);
    for (const entry of removed) this.#pages -= entry.end - entry.start;
    return removed;
  }

  /** Joins entries around [start, end) that say the same, roots included; the references of those joined are released. */
  simplify(start: number, end: number): void {
    for (let at = Math.max(1, this.#indexFrom(start)); at < this.#entries.length && this.#entries[at].start <= end; ) {
      const entry = this.#entries[at];
      const before = this.#entries[at - 1];
      if (!before.continuedBy(entry)) {
        at++;
        continue;
      }
      before.end = entry.end;
      entry.object?.release();
      this.#entries.splice(at, 1);
    }
  }

  assertInvariants(): void {
    let page = 0;
    let pages = 0;
    for (const entry of this.#entries) {
      kassert(entry.start >= page && entry.end > entry.start && entry.end <= this.endPage, 'vm_map M1');
      kassert(entry.object !== null || entry.format === null, 'vm_map M2');
      page = entry.end;
      pages += entry.end - entry.start;
    }
    kassert(pages === this.#pages, 'vm_map M3');
  }

  /** Index of the first entry that ends after `page`. */
  #indexFrom(page: number): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#entries[middle].end > page) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Index of the first entry, from index `first` on, that starts at or after `end`. */
  #indexFromStart(first: number, end: number): number {
    let at = first;
    while (at < this.#entries.length && this.#entries[at].start < end) at++;
    return at;
  }

  /** Makes `page` a border between entries, if it is inside one. */
  #splitAt(page: number): void {
    const at = this.#indexFrom(page);
    if (at === this.#entries.length) return;
    const entry = this.#entries[at];
    if (entry.start >= page) return;
    const rest = new VmMapEntry({
      start: page,
      end: entry.end,
      object: entry.object,
      offset: entry.object === null ? 0 : entry.offset + (page - entry.start),
      protection: entry.protection,
      flags: entry.flags,
      oneMapping: entry.oneMapping,
      format: entry.format,
    });
    rest.rootLo = entry.rootLo;
    rest.rootHi = entry.rootHi;
    entry.end = page;
    entry.object?.reference();
    this.#entries.splice(at + 1, 0, rest);
  }
}
