/**
 * The pmap on real page tables: tables in RAM frames, built with the codec of any layout that hardware can walk alone,
 * and shot down through the TLBs of the machine. Not the walk the hardware makes (machine/mmu), not the policy (vm/).
 *
 *   root table -> ... -> leaf table -> frame            tables go when they are empty
 *                        slot i <-> record i of the leaf table's chunk in the reverse map
 *
 * A full leaf table of aligned frames in a row that all mean the same becomes one leaf of the level above, and so on up:
 *
 *      +-----+        +------------+ 0 | frame f,     A D RW |      promotion       +-------+
 *   1  | ptr |------> |            | 1 | frame f + 1, A D RW |    ------------>  1  | leaf f|   the table, its records and
 *      +-----+        +------------+ .. ...                       <------------     +-------+   its place are kept (#kept)
 *                                                                   demotion
 *
 * Only accessed pages are promoted, and writable ones only if they are dirty: so a large leaf says of each page what is
 * true of it, and demotion copies it back. The kept table makes demotion an operation that cannot fail. What changes a
 * large leaf in part demotes it first. Neither changes a translation, so neither needs the TLB.
 *
 * Invariants (assertInvariants; H1, H2, H4 and H6 are in hardware.ts):
 *   H3  `mapped` is the number of base pages that leaves map
 *   H5  every large leaf has its kept table, full, whose slots' records are in the lists of the frames; #kept has no other
 */

import { kassert } from '../base/assert.ts';
import { type Access, type HostFrame, PAGE_SIZE, READ, type VirtualPage, WRITE } from '../base/units.ts';
import { ATTR_ACCESSED, ATTR_DIRTY, type PageTableFormat, type TranslationContext } from '../machine/index.ts';
import type { HardwarePmaps } from './hardware.ts';
import type { Pmap } from './pmap.ts';
import { RIGHTS, type Tables } from './tables.ts';

const NO_FRAME = 0 as HostFrame;
const MAX_LEVELS = 8;

/** So many pages are forgotten by the TLB one by one in one operation; the rest as one range. */
const SINGLE_INVALIDATIONS = 16;

/** The page tables of one space. Made by HardwarePmaps.create. */
export class HardwarePmap implements Pmap {
  /** Index of this pmap in the reverse map; given out again after destroy. */
  readonly id: number;
  /** What a hart activates to run on these tables, and what TypeScript code translates with. */
  readonly context: TranslationContext;
  readonly #all: HardwarePmaps;
  readonly #tables: Tables;
  readonly #format: PageTableFormat;
  readonly #root: HostFrame;
  readonly #leafSpan: number; // pages that a leaf table maps
  readonly #leafEntries: number;
  /** The leaf table used last and the first page it maps: faults come in rows. 0: none. */
  #lastTable = NO_FRAME;
  #lastBase = 0;
  /** By level, inside one operation: tables that were allocated and are not yet in place. */
  readonly #fresh = new Int32Array(MAX_LEVELS);
  /** By page * MAX_LEVELS + level of a large leaf: the table that was there before. */
  readonly #kept = new Map<number, HostFrame>();
  #large = 0;
  #mapped = 0;
  // Inside one operation: what the TLB must still forget.
  #invalidations = 0;
  #invalidStart = Infinity;
  #invalidEnd = 0;

  constructor(all: HardwarePmaps, id: number, context: TranslationContext, tables: Tables) {
    kassert(tables.levels <= MAX_LEVELS, 'pmap: depth of the page tables');
    this.#all = all;
    this.id = id;
    this.context = context;
    this.#tables = tables;
    this.#format = tables.format;
    this.#root = context.root;
    this.#leafSpan = tables.spans[1];
    this.#leafEntries = tables.entries[0];
  }

  get mapped(): number {
    return this.#mapped;
  }

  /** Large leaves in this pmap. */
  get largePages(): number {
    return this.#large;
  }

  enter(page: VirtualPage, frame: HostFrame, access: Access, rights: Access): boolean {
    const tables = this.#tables;
    const isWritable = (rights & WRITE) !== 0;
    let attributes = rights | ATTR_ACCESSED | (isWritable ? READ : 0) | (isWritable && (access & WRITE) !== 0 ? ATTR_DIRTY : 0);
    let table = this.#lastTable;
    if (table === NO_FRAME || page < this.#lastBase || page - this.#lastBase >= this.#leafSpan) {
      if (this.#large !== 0 && this.#isPartOfLarge(page, frame, attributes)) return true;
      table = this.#makeLeafTable(page);
      if (table === NO_FRAME) return false;
    }
    const slot = page & (this.#leafEntries - 1);
    const word = tables.word(table, slot);
    const { reverse, use } = this.#all;
    if (tables.isEmpty(word)) {
      use[table]++;
      this.#mapped++;
      reverse.insert(frame, this.#all.record(table, slot));
    } else {
      const old = tables.frame(0, word);
      const was = tables.attributes(0, word);
      if (old !== frame) {
        // The new page starts clean: what the old one collected is the old one's.
        this.#fold(old, was);
        const record = this.#all.record(table, slot);
        reverse.remove(record);
        reverse.insert(frame, record);
      } else if (isWritable) {
        attributes |= was & ATTR_DIRTY;
      } else if ((was & ATTR_DIRTY) !== 0) {
        this.#fold(frame, was); // what becomes read-only becomes clean
      }
      this.context.invalidatePage(page * PAGE_SIZE);
    }
    tables.storeLeaf(0, word, frame, attributes);
    if (use[table] === this.#leafEntries && this.#all.superpages) this.#promote(page, table, slot, frame);
    return true;
  }

  remove(start: VirtualPage, end: VirtualPage): void {
    if (this.#mapped === 0) return;
    this.#removeIn(this.#root, this.#tables.levels - 1, 0, start, end);
    this.#flush();
  }

  protect(start: VirtualPage, end: VirtualPage, rights: Access): void {
    if ((rights & RIGHTS) === 0) {
      this.remove(start, end);
    } else if (this.#mapped !== 0) {
      this.#protectIn(this.#root, this.#tables.levels - 1, 0, start, end, rights);
      this.#flush();
    }
  }

  extract(page: VirtualPage): HostFrame {
    const tables = this.#tables;
    const word = this.#find(page);
    if (word < 0) return NO_FRAME;
    const span = tables.spans[this.#foundLevel];
    return (tables.frame(this.#foundLevel, word) + (page % span)) as HostFrame;
  }

  rights(page: VirtualPage): Access {
    const word = this.#find(page);
    return word < 0 ? 0 : this.#tables.attributes(this.#foundLevel, word) & RIGHTS;
  }

  granted(rights: Access): Access {
    return this.#tables.granted(rights);
  }

  destroy(): void {
    const rootLevel = this.#tables.levels - 1;
    this.remove(0 as VirtualPage, this.#tables.spans[rootLevel + 1] as VirtualPage);
    this.context.release();
    this.#all.pages.freeTable(this.#root, this.#tables.frames[rootLevel]);
    this.#all.forget(this.id);
  }

  /** The pages in [start, end) that have a translation, in order. For checks and listings. */
  *mappedPages(start: VirtualPage, end: VirtualPage): Generator<VirtualPage> {
    yield* this.#pagesIn(this.#root, this.#tables.levels - 1, 0, start, end);
  }

  /** @param seen table frames met so far in all pmaps; those of this one are added */
  assertInvariants(seen: Set<HostFrame>): void {
    const counted = { pages: 0, large: 0, kept: 0 };
    this.#checkTable(this.#root, this.#tables.levels - 1, 0, seen, counted);
    kassert(counted.pages === this.#mapped, 'pmap H3');
    kassert(counted.large === this.#large && counted.kept === this.#kept.size, 'pmap H5: counts');
  }

  // ------------------------------------------------------------------------------- for HardwarePmaps: by record

  /** Drops the translation of one record. */
  dropRecord(record: number): void {
    const { reverse, use } = this.#all;
    const page = reverse.pageOf(record);
    const word = this.#wordOfRecord(record);
    const table = reverse.tableOf(record);
    if (use[table] === 1 && table !== this.#root) {
      this.remove(page, (page + 1) as VirtualPage); // the table goes too
      return;
    }
    use[table]--;
    this.#dropLeaf(word, record, page);
    this.#flush();
  }

  /** Moves the accessed and dirty bits of one record's translation to its page; returns whether it had been accessed. */
  cleanRecord(record: number): boolean {
    const tables = this.#tables;
    if (!tables.hasAccessed) {
      this.dropRecord(record); // mapped means used: what is used again will be entered again
      return true;
    }
    const word = this.#wordOfRecord(record);
    const attributes = tables.attributes(0, word);
    if ((attributes & (ATTR_ACCESSED | ATTR_DIRTY)) === 0) return false;
    const frame = tables.frame(0, word);
    this.#fold(frame, attributes);
    tables.storeLeaf(0, word, frame, attributes & RIGHTS);
    this.context.invalidatePage(this.#all.reverse.pageOf(record) * PAGE_SIZE);
    return (attributes & ATTR_ACCESSED) !== 0;
  }

  /** Takes the right to write from one record's translation. */
  writeProtectRecord(record: number): void {
    const page = this.#all.reverse.pageOf(record);
    this.protect(page, (page + 1) as VirtualPage, RIGHTS & ~WRITE);
  }

  // ---------------------------------------------------------------------------------------------------- tables

  /** Level of the leaf that #find found. */
  #foundLevel = 0;

  /** Word index of the leaf that maps `page`, or -1: there is none. Sets #foundLevel. */
  #find(page: VirtualPage): number {
    const tables = this.#tables;
    let table = this.#root;
    for (let level = tables.levels - 1; ; level--) {
      const word = tables.word(table, this.#format.index(level, page));
      if (tables.isEmpty(word)) return -1;
      if (level === 0 || (this.#large !== 0 && tables.isLeaf(level, word))) {
        this.#foundLevel = level;
        return word;
      }
      table = tables.child(level, word);
    }
  }

  /** Word index of the base leaf of a record; a large leaf over it is demoted first. */
  #wordOfRecord(record: number): number {
    const { reverse } = this.#all;
    const page = reverse.pageOf(record);
    if (this.#large !== 0) this.#demoteAll(page);
    return this.#tables.word(reverse.tableOf(record), page & (this.#leafEntries - 1));
  }

  /**
   * The leaf table of `page`, with every table above it; made if missing. A large leaf over the page is demoted.
   * @returns 0: not enough frames, nothing has changed
   */
  #makeLeafTable(page: VirtualPage): HostFrame {
    const tables = this.#tables;
    let table = this.#root;
    for (let level = tables.levels - 1; level > 0; level--) {
      const word = tables.word(table, this.#format.index(level, page));
      if (tables.isEmpty(word)) {
        table = this.#addTables(table, word, level, page);
        if (table === NO_FRAME) return NO_FRAME;
        break;
      }
      if (this.#large !== 0 && tables.isLeaf(level, word)) this.#demote(level, word, page);
      table = tables.child(level, word);
    }
    this.#lastTable = table;
    this.#lastBase = Math.floor(page / this.#leafSpan) * this.#leafSpan;
    return table;
  }

  /** Makes all the tables below the empty entry at `word` of `parent` on the path to `page`. Returns the leaf table, or 0. */
  #addTables(parent: HostFrame, word: number, level: number, page: VirtualPage): HostFrame {
    const { pages, use } = this.#all;
    const tables = this.#tables;
    const fresh = this.#fresh;
    for (let below = level - 1; below >= 0; below--) {
      const table = pages.allocateTable(tables.frames[below]);
      fresh[below] = table;
      if (table !== NO_FRAME) continue;
      while (++below < level) pages.freeTable(fresh[below] as HostFrame, tables.frames[below]);
      return NO_FRAME;
    }
    let at = word;
    let above = parent;
    for (let below = level - 1; below >= 0; below--) {
      const table = fresh[below] as HostFrame;
      tables.clear(table, below);
      tables.storeTable(below + 1, at, table);
      use[above]++;
      above = table;
      at = tables.word(table, this.#format.index(below, page));
    }
    const first = (Math.floor(page / this.#leafSpan) * this.#leafSpan) as VirtualPage;
    this.#all.chunks[above] = this.#all.reverse.allocateChunk(this.id, first, above, this.#leafEntries);
    this.#all.oddSlots[above] = 0;
    return above;
  }

  #freeTable(table: HostFrame, level: number): void {
    if (level === 0) this.#all.reverse.freeChunk(this.#all.chunks[table], this.#leafEntries);
    if (table === this.#lastTable) this.#lastTable = NO_FRAME;
    this.#all.use[table] = 0;
    this.#all.pages.freeTable(table, this.#tables.frames[level]);
  }

  // ----------------------------------------------------------------------------------------------- large pages

  /** Whether a large leaf maps `page` as enter() would: it stays as it is. */
  #isPartOfLarge(page: VirtualPage, frame: HostFrame, attributes: number): boolean {
    const tables = this.#tables;
    const word = this.#find(page);
    if (word < 0 || this.#foundLevel === 0) return false;
    const level = this.#foundLevel;
    const first = tables.frame(level, word);
    if (first + (page % tables.spans[level]) !== frame) return false;
    const kept = (attributes & WRITE) !== 0 ? tables.attributes(level, word) & ATTR_DIRTY : 0;
    return tables.isThisLeaf(level, word, first, attributes | kept);
  }

  /** Makes large leaves of the full leaf table of `page` and of the tables above it, as far up as they are uniform. */
  #promote(page: VirtualPage, leafTable: HostFrame, slot: number, frame: HostFrame): void {
    const tables = this.#tables;
    const { use, oddSlots } = this.#all;
    if ((frame - slot) % this.#leafSpan !== 0) return;
    let table = leafTable;
    for (let level = 1; level < tables.levels; level++) {
      if (use[table] !== tables.entries[level - 1]) return;
      const word = tables.word(table, 0);
      if (level > 1 && !tables.isLeaf(level - 1, word)) return;
      const first = tables.frame(level - 1, word);
      const attributes = tables.attributes(level - 1, word);
      if (first % tables.spans[level] !== 0 || !isComplete(attributes)) return;
      if (level === 1) {
        // What was odd last time mostly still is. This is on the way of every fault in a full table.
        const odd = oddSlots[table];
        if (odd !== 0 && !tables.isThisLeaf(0, tables.word(table, odd), (first + odd) as HostFrame, attributes)) return;
      }
      if (!tables.canMap(level, first, attributes)) return;
      const different = tables.firstDifferent(table, level - 1, first, attributes);
      if (different !== 0) {
        if (level === 1) oddSlots[table] = different;
        return;
      }
      table = this.#replace(level, page, table, first, attributes);
    }
  }

  /** Puts a large leaf of `level` in the place of `table`, which is kept. Returns the table that has it now. */
  #replace(level: number, page: VirtualPage, table: HostFrame, first: HostFrame, attributes: number): HostFrame {
    const tables = this.#tables;
    let parent = this.#root;
    for (let at = tables.levels - 1; at > level; at--) parent = tables.child(at, tables.word(parent, this.#format.index(at, page)));
    tables.storeLeaf(level, tables.word(parent, this.#format.index(level, page)), first, attributes);
    this.#kept.set(this.#keyOf(level, page), table);
    if (table === this.#lastTable) this.#lastTable = NO_FRAME;
    this.#countLarge(level === 1 ? 1 : 1 - tables.entries[level - 1]);
    this.#all.promotions++;
    return parent;
  }

  /** Puts the kept table back in the place of the large leaf at `word`, which maps `page`. */
  #demote(level: number, word: number, page: number): void {
    const tables = this.#tables;
    const first = tables.frame(level, word);
    const attributes = tables.attributes(level, word);
    const table = this.#takeKept(level, page);
    const span = tables.spans[level - 1];
    for (let slot = 0; slot < tables.entries[level - 1]; slot++) {
      tables.storeLeaf(level - 1, tables.word(table, slot), (first + slot * span) as HostFrame, attributes);
    }
    tables.storeTable(level, word, table);
    this.#countLarge(level === 1 ? -1 : tables.entries[level - 1] - 1);
    this.#all.demotions++;
  }

  /** Demotes until a base leaf maps `page`, which has a translation. */
  #demoteAll(page: VirtualPage): void {
    for (let word = this.#find(page); this.#foundLevel > 0; word = this.#find(page)) this.#demote(this.#foundLevel, word, page);
  }

  /** Frees the tables kept for a large leaf that was at `page`, and the records of what it mapped. */
  #dropKept(level: number, page: number, first: HostFrame, attributes: number): void {
    const tables = this.#tables;
    const { reverse } = this.#all;
    const table = this.#takeKept(level, page);
    const span = tables.spans[level - 1];
    for (let slot = 0; slot < tables.entries[level - 1]; slot++) {
      const frame = (first + slot * span) as HostFrame;
      if (level > 1) {
        this.#dropKept(level - 1, page + slot * span, frame, attributes);
      } else {
        this.#fold(frame, attributes);
        reverse.remove(this.#all.record(table, slot));
      }
    }
    this.#freeTable(table, level - 1);
  }

  #takeKept(level: number, page: number): HostFrame {
    const key = this.#keyOf(level, page);
    const table = this.#kept.get(key);
    kassert(table !== undefined, 'pmap H5: large page without a table');
    this.#kept.delete(key);
    return table;
  }

  #keyOf(level: number, page: number): number {
    const span = this.#tables.spans[level];
    return Math.floor(page / span) * span * MAX_LEVELS + level;
  }

  #countLarge(by: number): void {
    this.#large += by;
    this.#all.largePages += by;
  }

  // ---------------------------------------------------------------------------------------------------- leaves

  /** remove() below one table, which is of `level` and begins at page `base`. */
  #removeIn(table: HostFrame, level: number, base: number, start: number, end: number): void {
    const tables = this.#tables;
    const span = tables.spans[level];
    const last = Math.min(tables.entries[level] - 1, Math.ceil((end - base) / span) - 1);
    const { use } = this.#all;
    for (let slot = Math.max(0, Math.floor((start - base) / span)); slot <= last && use[table] !== 0; slot++) {
      const word = tables.word(table, slot);
      if (tables.isEmpty(word)) continue;
      const page = base + slot * span;
      if (level === 0) {
        this.#dropLeaf(word, this.#all.record(table, slot), page);
      } else if (this.#large !== 0 && page >= start && page + span <= end && tables.isLeaf(level, word)) {
        this.#dropLarge(level, word, page);
      } else {
        if (this.#large !== 0 && tables.isLeaf(level, word)) this.#demote(level, word, page);
        const child = tables.child(level, word);
        this.#removeIn(child, level - 1, page, start, end);
        if (use[child] !== 0) continue;
        tables.storeEmpty(word);
        this.#freeTable(child, level - 1);
      }
      use[table]--;
    }
  }

  #dropLeaf(word: number, record: number, page: number): void {
    const tables = this.#tables;
    const frame = tables.frame(0, word);
    const attributes = tables.attributes(0, word);
    tables.storeEmpty(word);
    this.#invalidate(page, 1);
    this.#fold(frame, attributes);
    this.#all.reverse.remove(record);
    this.#mapped--;
  }

  #dropLarge(level: number, word: number, page: number): void {
    const tables = this.#tables;
    const frame = tables.frame(level, word);
    const attributes = tables.attributes(level, word);
    tables.storeEmpty(word);
    this.#invalidate(page, tables.spans[level]);
    this.#dropKept(level, page, frame, attributes);
    this.#mapped -= tables.spans[level];
    this.#countLarge(-1);
  }

  /** protect() below one table; rights is not empty. */
  #protectIn(table: HostFrame, level: number, base: number, start: number, end: number, rights: Access): void {
    const tables = this.#tables;
    const span = tables.spans[level];
    const last = Math.min(tables.entries[level] - 1, Math.ceil((end - base) / span) - 1);
    const { use } = this.#all;
    for (let slot = Math.max(0, Math.floor((start - base) / span)); slot <= last && use[table] !== 0; slot++) {
      const word = tables.word(table, slot);
      if (tables.isEmpty(word)) continue;
      const page = base + slot * span;
      if (level === 0) {
        this.#narrowLeaf(0, word, page, rights);
        continue;
      }
      if (this.#large !== 0 && tables.isLeaf(level, word)) {
        if (page >= start && page + span <= end && this.#narrowLeaf(level, word, page, rights)) continue;
        this.#demote(level, word, page);
      }
      this.#protectIn(tables.child(level, word), level - 1, page, start, end, rights);
    }
  }

  /**
   * Intersects the rights of one leaf with `rights`. A leaf left with none is removed: hardware has no empty leaf.
   * @returns false: a leaf of this level cannot say it, nothing has changed
   */
  #narrowLeaf(level: number, word: number, page: number, rights: Access): boolean {
    const tables = this.#tables;
    const attributes = tables.attributes(level, word);
    const allowed = rights | ((rights & WRITE) !== 0 ? READ : 0);
    const left = tables.granted(attributes & allowed) & attributes;
    if (left === (attributes & RIGHTS)) return true;
    const span = tables.spans[level];
    if (left === 0) {
      // May free the table we came from; it has no entries in use then, which ends the loops above.
      this.#removeIn(this.#root, tables.levels - 1, 0, page, page + span);
      return true;
    }
    // What becomes read-only becomes clean: its dirty state goes to the page.
    const lost = (left & WRITE) === 0 ? attributes & ATTR_DIRTY : 0;
    const kept = left | (attributes & (ATTR_ACCESSED | ATTR_DIRTY) & ~lost);
    const frame = tables.frame(level, word);
    if (level > 0 && !tables.canMap(level, frame, kept)) return false;
    if (lost !== 0) for (let i = 0; i < span; i++) this.#fold((frame + i) as HostFrame, attributes);
    tables.storeLeaf(level, word, frame, kept);
    this.#invalidate(page, span);
    return true;
  }

  /** mappedPages() below one table. */
  *#pagesIn(table: HostFrame, level: number, base: number, start: number, end: number): Generator<VirtualPage> {
    const tables = this.#tables;
    const span = tables.spans[level];
    const last = Math.min(tables.entries[level], Math.ceil((end - base) / span));
    const begin = Math.max(0, Math.floor((start - base) / span));
    for (let slot = tables.firstUsed(table, begin, last); slot < last; slot = tables.firstUsed(table, slot + 1, last)) {
      const first = base + slot * span;
      const word = tables.word(table, slot);
      if (level > 0 && !tables.isLeaf(level, word)) {
        yield* this.#pagesIn(tables.child(level, word), level - 1, first, start, end);
      } else {
        for (let page = Math.max(first, start); page < Math.min(first + span, end); page++) yield page as VirtualPage;
      }
    }
  }

  #fold(frame: HostFrame, attributes: number): void {
    if ((attributes & (ATTR_ACCESSED | ATTR_DIRTY)) !== 0) this.#all.pages.foldReferenced(frame, (attributes & ATTR_DIRTY) !== 0);
  }

  /** Has the TLB forget pages: now, or with the #flush at the end of the operation. */
  #invalidate(page: number, pages: number): void {
    if (pages === 1 && this.#invalidations < SINGLE_INVALIDATIONS) {
      this.#invalidations++;
      this.context.invalidatePage(page * PAGE_SIZE);
      return;
    }
    if (page < this.#invalidStart) this.#invalidStart = page;
    if (page + pages > this.#invalidEnd) this.#invalidEnd = page + pages;
  }

  #flush(): void {
    this.#invalidations = 0;
    if (this.#invalidEnd === 0) return;
    this.context.invalidateRange(this.#invalidStart, this.#invalidEnd);
    this.#invalidStart = Infinity;
    this.#invalidEnd = 0;
  }

  // ------------------------------------------------------------------------------------------------ invariants

  /** Checks one table and all below. */
  #checkTable(
    table: HostFrame,
    level: number,
    base: number,
    seen: Set<HostFrame>,
    counted: { pages: number; large: number; kept: number },
  ): void {
    const tables = this.#tables;
    this.#see(table, level, seen);
    let used = 0;
    const last = tables.entries[level];
    for (let slot = tables.firstUsed(table, 0, last); slot < last; slot = tables.firstUsed(table, slot + 1, last)) {
      const word = tables.word(table, slot);
      used++;
      const page = base + slot * tables.spans[level];
      if (level === 0) {
        counted.pages++;
        this.#checkRecord(tables.frame(0, word), this.#all.record(table, slot), table, page);
      } else if (tables.isLeaf(level, word)) {
        counted.pages += tables.spans[level];
        counted.large++;
        this.#checkKept(level, page, tables.frame(level, word), seen, counted);
      } else {
        this.#checkTable(tables.child(level, word), level - 1, page, seen, counted);
      }
    }
    kassert(used === this.#all.use[table] && (used > 0 || table === this.#root), 'pmap H1');
  }

  /** Checks the kept tables of a large leaf. */
  #checkKept(level: number, page: number, first: HostFrame, seen: Set<HostFrame>, counted: { kept: number }): void {
    const tables = this.#tables;
    const table = this.#kept.get(this.#keyOf(level, page));
    kassert(table !== undefined && this.#all.use[table] === tables.entries[level - 1], 'pmap H5');
    counted.kept++;
    this.#see(table, level - 1, seen);
    const span = tables.spans[level - 1];
    for (let slot = 0; slot < tables.entries[level - 1]; slot++) {
      const frame = (first + slot * span) as HostFrame;
      if (level > 1) this.#checkKept(level - 1, page + slot * span, frame, seen, counted);
      else this.#checkRecord(frame, this.#all.record(table, slot), table, page + slot);
    }
  }

  #see(table: HostFrame, level: number, seen: Set<HostFrame>): void {
    for (let frame = table; frame < table + this.#tables.frames[level]; frame++) {
      kassert(!seen.has(frame as HostFrame), 'pmap H4');
      seen.add(frame as HostFrame);
    }
  }

  #checkRecord(frame: HostFrame, wanted: number, table: HostFrame, page: number): void {
    const { reverse } = this.#all;
    kassert(reverse.pmapOf(wanted) === this.id && reverse.pageOf(wanted) === page, 'pmap H2: address of a record');
    kassert(reverse.tableOf(wanted) === table, 'pmap H2: table of a record');
    let record = reverse.first(frame);
    while (record !== 0 && record !== wanted) record = reverse.next(record);
    kassert(record === wanted, 'pmap H2: leaf without a record');
  }
}

/** Whether nothing more can happen to a leaf: it is accessed, and dirty if it may be. */
function isComplete(attributes: number): boolean {
  return (attributes & ATTR_ACCESSED) !== 0 && ((attributes & WRITE) === 0 || (attributes & ATTR_DIRTY) !== 0);
}
