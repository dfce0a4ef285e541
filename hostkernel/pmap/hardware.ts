/**
 * The pmap on real page tables: tables in RAM frames, built with the codec of any registered layout, and shot down
 * through the TLB of the machine. Not the walk the hardware makes (machine/mmu), not the policy (vm/).
 *
 *   root table -> ... -> leaf table -> frame            every leaf maps one base page; table pages go when they are empty
 *                        slot i <-> record i of the leaf table's chunk in the reverse map
 *
 * Invariants (assertInvariants of HardwarePmaps):
 *   H1  the use count of a table page is the number of its entries that are not zero; only a root may have none
 *   H2  every leaf has its record in the list of the frame it maps, and there is no record without a leaf
 *   H3  `mapped` is the number of leaves
 *   H4  a table page is in exactly one place of exactly one pmap
 */

import { kassert } from '../base/assert.ts';
import { type Access, EXEC, type HostFrame, PAGE_SIZE, READ, type VirtualPage, WRITE } from '../base/units.ts';
import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  ATTR_USER,
  type Hardware,
  type PageTableFormat,
  type RamView,
  type TranslationContext,
} from '../machine/index.ts';
import type { PageSource, Pmap, PmapSystem } from './pmap.ts';
import { CHUNK_RECORDS, ReverseMap } from './reverse-map.ts';

const CHUNK_SHIFT = 9;
const RIGHTS = READ | WRITE | EXEC;
const NO_FRAME = 0 as HostFrame;
const MAX_LEVELS = 5;

/** All hardware pmaps of a machine, and what their table pages have in common. */
export class HardwarePmaps implements PmapSystem {
  readonly machine: Hardware;
  readonly pages: PageSource;
  readonly reverse: ReverseMap;
  /** By frame: entries in use, if the frame is a page table. */
  readonly use: Uint16Array;
  /** By frame, two each: the chunks of a leaf table's slots [0, 512) and [512, 1024). */
  readonly chunks: Int32Array;
  readonly #pmaps: (HardwarePmap | null)[] = [];
  readonly #freeIds: number[] = [];

  constructor(machine: Hardware, pages: PageSource) {
    this.machine = machine;
    this.pages = pages;
    this.reverse = new ReverseMap(machine.ram.frames);
    this.use = new Uint16Array(machine.ram.frames);
    this.chunks = new Int32Array(2 * machine.ram.frames);
  }

  /** An empty pmap with tables of `format`, or null: no frame for the root table, or no more contexts to be had. */
  create(format: PageTableFormat): HardwarePmap | null {
    kassert(format.levels <= MAX_LEVELS, 'pmap: depth of the page tables');
    const root = this.pages.allocateTable();
    if (root === NO_FRAME) return null;
    const context = this.machine.createContext(format, root);
    if (context === null) {
      this.pages.freeTable(root);
      return null;
    }
    const id = this.#freeIds.pop() ?? this.#pmaps.length;
    const pmap = new HardwarePmap(this, id, context);
    this.#pmaps[id] = pmap;
    return pmap;
  }

  /** For HardwarePmap.destroy: the id may be given out again. */
  forget(id: number): void {
    this.#pmaps[id] = null;
    this.#freeIds.push(id);
  }

  removeAll(frame: HostFrame): void {
    for (let record = this.reverse.first(frame); record !== 0; record = this.reverse.first(frame)) {
      const page = this.reverse.pageOf(record);
      this.#pmapOf(record).remove(page, (page + 1) as VirtualPage);
    }
  }

  harvest(frame: HostFrame): void {
    for (let record = this.reverse.first(frame); record !== 0; record = this.reverse.next(record)) {
      this.#pmapOf(record).clean(this.reverse.pageOf(record));
    }
  }

  isMapped(frame: HostFrame): boolean {
    return this.reverse.first(frame) !== 0;
  }

  /** Checks all pmaps; returns the number of page-table frames. */
  assertInvariants(): number {
    this.reverse.assertInvariants();
    const seen = new Set<HostFrame>();
    let leaves = 0;
    for (const pmap of this.#pmaps) {
      if (pmap === null) continue;
      pmap.assertInvariants(seen);
      leaves += pmap.mapped;
    }
    kassert(leaves === this.reverse.records, 'pmap H2: records without a leaf');
    return seen.size;
  }

  #pmapOf(record: number): HardwarePmap {
    const pmap = this.#pmaps[this.reverse.pmapOf(record)];
    kassert(pmap !== null, 'pmap: record of a destroyed pmap');
    return pmap;
  }
}

/** The page tables of one space. Made by HardwarePmaps.create. */
export class HardwarePmap implements Pmap {
  /** Index of this pmap in the reverse map; given out again after destroy. */
  readonly id: number;
  /** What a hart activates to run on these tables, and what TypeScript code translates with. */
  readonly context: TranslationContext;
  readonly #all: HardwarePmaps;
  readonly #ram: RamView;
  readonly #format: PageTableFormat;
  readonly #root: HostFrame;
  readonly #words: number; // i32 words of an entry: 1 or 2
  readonly #wordShift: number; // log2 of the above
  readonly #entries: number; // entries of a table page
  #mapped = 0;

  constructor(all: HardwarePmaps, id: number, context: TranslationContext) {
    const { format } = context;
    this.#all = all;
    this.id = id;
    this.#ram = all.machine.ram;
    this.#format = format;
    this.#root = context.root;
    this.#wordShift = format.entryShift - 2;
    this.#words = format.entryBytes / 4;
    this.#entries = PAGE_SIZE / format.entryBytes;
    this.context = context;
  }

  get mapped(): number {
    return this.#mapped;
  }

  enter(page: VirtualPage, frame: HostFrame, access: Access, rights: Access): boolean {
    const table = this.#makeLeafTable(page);
    if (table === NO_FRAME) return false;
    const format = this.#format;
    const slot = format.index(0, page);
    const word = this.#word(table, slot);
    const i32 = this.#ram.i32;
    const reverse = this.#all.reverse;
    let keep = ATTR_ACCESSED | ((access & WRITE) !== 0 ? ATTR_DIRTY : 0);
    if (i32[word] === 0) {
      this.#all.use[table]++;
      this.#mapped++;
      reverse.insert(frame, this.#record(table, slot));
    } else {
      const lo = i32[word];
      const hi = this.#high(word);
      const old = format.frame(0, lo, hi) as HostFrame;
      if (old === frame) {
        keep |= format.attributes(0, lo, hi) & (ATTR_ACCESSED | ATTR_DIRTY);
      } else {
        // The new page starts clean: what the old one collected is the old one's.
        const record = this.#record(table, slot);
        this.#fold(old, format.attributes(0, lo, hi));
        reverse.remove(record);
        reverse.insert(frame, record);
      }
      this.context.invalidatePage(page * PAGE_SIZE);
    }
    const attributes = rights | ((rights & WRITE) !== 0 ? READ : 0) | ATTR_USER | keep;
    this.#store(word, format.leafLo(0, frame, attributes), format.leafHi(0, frame, attributes));
    return true;
  }

  remove(start: VirtualPage, end: VirtualPage): void {
    if (this.#mapped !== 0) this.#removeIn(this.#root, this.#format.levels - 1, 0, start, end);
  }

  protect(start: VirtualPage, end: VirtualPage, rights: Access): void {
    if ((rights & RIGHTS) === 0) this.remove(start, end);
    else if (this.#mapped !== 0) this.#protectIn(this.#root, this.#format.levels - 1, 0, start, end, rights);
  }

  extract(page: VirtualPage): HostFrame {
    const word = this.#find(page);
    if (word < 0) return NO_FRAME;
    return this.#format.frame(0, this.#ram.i32[word], this.#high(word)) as HostFrame;
  }

  rights(page: VirtualPage): Access {
    const word = this.#find(page);
    if (word < 0) return 0;
    return this.#format.attributes(0, this.#ram.i32[word], this.#high(word)) & RIGHTS;
  }

  /** Moves the accessed and modified bits of the translation of `page`, if there is one, to its page. */
  clean(page: VirtualPage): void {
    const word = this.#find(page);
    if (word < 0) return;
    const format = this.#format;
    const lo = this.#ram.i32[word];
    const hi = this.#high(word);
    this.#fold(format.frame(0, lo, hi) as HostFrame, format.attributes(0, lo, hi));
    this.#ram.i32[word] = format.clearStatus(lo);
    this.context.invalidatePage(page * PAGE_SIZE);
  }

  destroy(): void {
    this.remove(0 as VirtualPage, this.#format.span(this.#format.levels) as VirtualPage);
    this.context.release();
    this.#all.pages.freeTable(this.#root);
    this.#all.forget(this.id);
  }

  /** The pages in [start, end) that have a translation, in order. For checks and listings. */
  *mappedPages(start: VirtualPage, end: VirtualPage): Generator<VirtualPage> {
    yield* this.#pagesIn(this.#root, this.#format.levels - 1, 0, start, end);
  }

  /** @param seen table pages met so far in all pmaps; those of this one are added */
  assertInvariants(seen: Set<HostFrame>): void {
    const leaves = this.#checkTable(this.#root, this.#format.levels - 1, 0, seen);
    kassert(leaves === this.#mapped, 'pmap H3');
  }

  // ---------------------------------------------------------------------------------------------------- tables

  /** Word index of entry `slot` of the table page `table`. */
  #word(table: HostFrame, slot: number): number {
    return this.#ram.offsetOf(table) / 4 + (slot << this.#wordShift);
  }

  #record(table: HostFrame, slot: number): number {
    return this.#all.chunks[2 * table + (slot >>> CHUNK_SHIFT)] * CHUNK_RECORDS + (slot & (CHUNK_RECORDS - 1));
  }

  /** Upper half of the entry at `word`; entries of 4 bytes have none. */
  #high(word: number): number {
    return this.#words === 2 ? this.#ram.i32[word + 1] : 0;
  }

  #store(word: number, lo: number, hi: number): void {
    if (this.#words === 2) this.#ram.i32[word + 1] = hi;
    this.#ram.i32[word] = lo;
  }

  /** The table page the entry at `word`, of level `level`, points to. The entry must not be zero. */
  #child(level: number, word: number): HostFrame {
    return (this.#format.tableAddress(level, this.#ram.i32[word], this.#high(word)) / PAGE_SIZE) as HostFrame;
  }

  /** Word index of the leaf of `page`, or -1: it has none. */
  #find(page: VirtualPage): number {
    const format = this.#format;
    let table = this.#root;
    for (let level = format.levels - 1; level > 0; level--) {
      const word = this.#word(table, format.index(level, page));
      if (this.#ram.i32[word] === 0) return -1;
      table = this.#child(level, word);
    }
    const word = this.#word(table, format.index(0, page));
    return this.#ram.i32[word] === 0 ? -1 : word;
  }

  /** The leaf table of `page`, with every table above it; made if missing. 0: not enough frames, nothing has changed. */
  #makeLeafTable(page: VirtualPage): HostFrame {
    const format = this.#format;
    let table = this.#root;
    for (let level = format.levels - 1; level > 0; level--) {
      const word = this.#word(table, format.index(level, page));
      if (this.#ram.i32[word] !== 0) {
        table = this.#child(level, word);
        continue;
      }
      if (this.#all.pages.freeFrames < level) return NO_FRAME; // this one and all below are missing
      table = this.#addTable(table, word, level - 1, page);
    }
    return table;
  }

  /** Makes an empty table of `level` on the path to `page`, and the entry at `word` of `parent` point to it. */
  #addTable(parent: HostFrame, word: number, level: number, page: VirtualPage): HostFrame {
    const table = this.#all.pages.allocateTable();
    kassert(table !== NO_FRAME, 'pmap: a counted frame is missing');
    if (level === 0) {
      const first = page - (page % this.#format.span(1));
      for (let half = 0; half * CHUNK_RECORDS < this.#entries; half++) {
        this.#all.chunks[2 * table + half] = this.#all.reverse.allocateChunk(this.id, (first + half * CHUNK_RECORDS) as VirtualPage);
      }
    }
    const address = table * PAGE_SIZE;
    this.#store(word, this.#format.tableLo(level + 1, address), this.#format.tableHi(level + 1, address));
    this.#all.use[parent]++;
    return table;
  }

  #freeTable(table: HostFrame, level: number): void {
    if (level === 0) {
      for (let half = 0; half * CHUNK_RECORDS < this.#entries; half++) this.#all.reverse.freeChunk(this.#all.chunks[2 * table + half]);
    }
    this.#all.pages.freeTable(table);
  }

  /** remove() below one table, which is of `level` and begins at page `base`. */
  #removeIn(table: HostFrame, level: number, base: number, start: number, end: number): void {
    const span = this.#format.span(level);
    const last = Math.min(this.#entries - 1, Math.ceil((end - base) / span) - 1);
    const use = this.#all.use;
    for (let slot = Math.max(0, Math.floor((start - base) / span)); slot <= last && use[table] !== 0; slot++) {
      const word = this.#word(table, slot);
      if (this.#ram.i32[word] === 0) continue;
      if (level === 0) {
        this.#dropLeaf(word, this.#record(table, slot), base + slot);
      } else {
        const child = this.#child(level, word);
        this.#removeIn(child, level - 1, base + slot * span, start, end);
        if (use[child] !== 0) continue;
        this.#store(word, 0, 0);
        this.#freeTable(child, level - 1);
      }
      use[table]--;
    }
  }

  #dropLeaf(word: number, record: number, page: number): void {
    const format = this.#format;
    const lo = this.#ram.i32[word];
    const hi = this.#high(word);
    this.#store(word, 0, 0);
    this.context.invalidatePage(page * PAGE_SIZE);
    this.#fold(format.frame(0, lo, hi) as HostFrame, format.attributes(0, lo, hi));
    this.#all.reverse.remove(record);
    this.#mapped--;
  }

  /** protect() below one table; rights is not empty. */
  #protectIn(table: HostFrame, level: number, base: number, start: number, end: number, rights: Access): void {
    const span = this.#format.span(level);
    const last = Math.min(this.#entries - 1, Math.ceil((end - base) / span) - 1);
    for (let slot = Math.max(0, Math.floor((start - base) / span)); slot <= last; slot++) {
      const word = this.#word(table, slot);
      if (this.#ram.i32[word] === 0) continue;
      if (level === 0) this.#narrowLeaf(word, base + slot, rights);
      else this.#protectIn(this.#child(level, word), level - 1, base + slot * span, start, end, rights);
    }
  }

  /** Intersects the rights of one leaf with `rights`. A leaf left with none is removed: hardware has no empty leaf. */
  #narrowLeaf(word: number, page: number, rights: Access): void {
    const format = this.#format;
    const lo = this.#ram.i32[word];
    const hi = this.#high(word);
    const attributes = format.attributes(0, lo, hi);
    const allowed = rights | ((rights & WRITE) !== 0 ? READ : 0);
    const left = attributes & ~(RIGHTS & ~allowed);
    if (left === attributes) return;
    if ((left & RIGHTS) === 0) {
      // May free the table we came from; its entries are zero then, and the loops above meet nothing more.
      this.remove(page as VirtualPage, (page + 1) as VirtualPage);
      return;
    }
    const frame = format.frame(0, lo, hi);
    this.#store(word, format.leafLo(0, frame, left), format.leafHi(0, frame, left));
    this.context.invalidatePage(page * PAGE_SIZE);
  }

  /** mappedPages() below one table. */
  *#pagesIn(table: HostFrame, level: number, base: number, start: number, end: number): Generator<VirtualPage> {
    const span = this.#format.span(level);
    for (let slot = 0; slot < this.#entries; slot++) {
      const first = base + slot * span;
      const word = this.#word(table, slot);
      if (this.#ram.i32[word] === 0 || first >= end || first + span <= start) continue;
      if (level === 0) yield first as VirtualPage;
      else yield* this.#pagesIn(this.#child(level, word), level - 1, first, start, end);
    }
  }

  #fold(frame: HostFrame, attributes: number): void {
    if ((attributes & (ATTR_ACCESSED | ATTR_DIRTY)) !== 0) this.#all.pages.foldReferenced(frame, (attributes & ATTR_DIRTY) !== 0);
  }

  // ------------------------------------------------------------------------------------------------ invariants

  /** Checks one table and all below; returns its leaves. */
  #checkTable(table: HostFrame, level: number, base: number, seen: Set<HostFrame>): number {
    kassert(!seen.has(table), 'pmap H4');
    seen.add(table);
    let used = 0;
    let leaves = 0;
    for (let slot = 0; slot < this.#entries; slot++) {
      const word = this.#word(table, slot);
      if (this.#ram.i32[word] === 0) continue;
      used++;
      if (level > 0) {
        leaves += this.#checkTable(this.#child(level, word), level - 1, base + slot * this.#format.span(level), seen);
        continue;
      }
      leaves++;
      this.#checkRecord(this.#format.frame(0, this.#ram.i32[word], this.#high(word)) as HostFrame, this.#record(table, slot), base + slot);
    }
    kassert(used === this.#all.use[table] && (used > 0 || table === this.#root), 'pmap H1');
    return leaves;
  }

  #checkRecord(frame: HostFrame, wanted: number, page: number): void {
    const reverse = this.#all.reverse;
    kassert(reverse.pmapOf(wanted) === this.id && reverse.pageOf(wanted) === page, 'pmap H2: address of a record');
    let record = reverse.first(frame);
    while (record !== 0 && record !== wanted) record = reverse.next(record);
    kassert(record === wanted, 'pmap H2: leaf without a record');
  }
}
