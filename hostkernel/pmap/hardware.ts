/**
 * All the real translations of a machine: the pmaps, and what their tables have in common. What concerns a frame,
 * wherever it is mapped, is here; what concerns one space is hardware-pmap.ts.
 *
 *   frame --reverse-map.ts--> records --> pmap, page, leaf table --> entry
 *
 * Invariants (assertInvariants, with those of the pmaps):
 *   H1  the use count of a table is the number of its entries that map something; only a root may have none
 *   H2  every base page that a leaf maps has its record in the list of its frame, and there is no other record
 *   H4  a table is in exactly one place of exactly one pmap
 *   H6  `largePages` is the number of large leaves in all pmaps
 */

import { kassert } from '../base/assert.ts';
import type { HostFrame } from '../base/units.ts';
import type { Hardware, PageTableFormat } from '../machine/index.ts';
import { HardwarePmap } from './hardware-pmap.ts';
import type { PageSource, PmapSystem } from './pmap.ts';
import { ReverseMap, UNIT_RECORDS } from './reverse-map.ts';
import { refusalOf, Tables } from './tables.ts';

const NO_FRAME = 0 as HostFrame;

/** All hardware pmaps of a machine, and what their tables have in common. */
export class HardwarePmaps implements PmapSystem {
  readonly machine: Hardware;
  readonly pages: PageSource;
  readonly reverse: ReverseMap;
  /** By frame: entries in use, if a page table begins there. */
  readonly use: Int32Array;
  /** By frame: the chunk of the reverse map, if a leaf table begins there. */
  readonly chunks: Int32Array;
  /** By frame: a slot that kept the leaf table which begins there from becoming a large page; looked at first. */
  readonly oddSlots: Uint16Array;
  /** Whether full tables become large pages. Those that exist stay if it is turned off. */
  superpages = true;
  /** Since the machine was switched on, on all levels. */
  promotions = 0;
  demotions = 0;
  /** Large leaves now, of any level. */
  largePages = 0;
  readonly #tables = new Map<PageTableFormat, Tables>();
  readonly #pmaps: (HardwarePmap | null)[] = [];
  readonly #freeIds: number[] = [];

  constructor(machine: Hardware, pages: PageSource) {
    const { frames } = machine.ram;
    this.machine = machine;
    this.pages = pages;
    this.reverse = new ReverseMap(frames);
    this.use = new Int32Array(frames);
    this.chunks = new Int32Array(frames);
    this.oddSlots = new Uint16Array(frames);
  }

  /** Bytes of all arrays: what the reverse map and the tables' state cost beside the tables. */
  get bytes(): number {
    return this.reverse.bytes + this.use.byteLength + this.chunks.byteLength + this.oddSlots.byteLength;
  }

  /**
   * An empty pmap with tables of `format`, which refusalOf has nothing against.
   * @returns null: no frames for the root table, or no more contexts to be had
   */
  create(format: PageTableFormat): HardwarePmap | null {
    const tables = this.#tablesOf(format);
    const rootLevel = tables.levels - 1;
    const root = this.pages.allocateTable(tables.frames[rootLevel]);
    if (root === NO_FRAME) return null;
    tables.clear(root, rootLevel);
    const context = this.machine.createContext(format, root);
    if (context === null) {
      this.pages.freeTable(root, tables.frames[rootLevel]);
      return null;
    }
    const id = this.#freeIds.pop() ?? this.#pmaps.length;
    const pmap = new HardwarePmap(this, id, context, tables);
    this.#pmaps[id] = pmap;
    return pmap;
  }

  /** For HardwarePmap.destroy: the id may be given out again. */
  forget(id: number): void {
    this.#pmaps[id] = null;
    this.#freeIds.push(id);
  }

  /** The record of `slot` of a leaf table. Hot. */
  record(table: HostFrame, slot: number): number {
    return this.chunks[table] * UNIT_RECORDS + slot;
  }

  removeAll(frame: HostFrame): void {
    // Always the first one: whatever dropping it does to the list, this goes on with what is left.
    for (let record = this.reverse.first(frame); record !== 0; record = this.reverse.first(frame)) {
      this.#pmapOf(record).dropRecord(record);
    }
  }

  harvest(frame: HostFrame): boolean {
    let referenced = false;
    // The next one is taken first: a format without accessed bits shows them by dropping the record.
    for (let record = this.reverse.first(frame), next = 0; record !== 0; record = next) {
      next = this.reverse.next(record);
      if (this.#pmapOf(record).cleanRecord(record)) referenced = true;
    }
    return referenced;
  }

  writeProtect(frame: HostFrame): void {
    for (let record = this.reverse.first(frame), next = 0; record !== 0; record = next) {
      next = this.reverse.next(record);
      this.#pmapOf(record).writeProtectRecord(record);
    }
  }

  isMapped(frame: HostFrame): boolean {
    return this.reverse.first(frame) !== 0;
  }

  /** Checks all pmaps; returns the number of page-table frames. */
  assertInvariants(): number {
    this.reverse.assertInvariants();
    const seen = new Set<HostFrame>();
    let pages = 0;
    let large = 0;
    for (const pmap of this.#pmaps) {
      if (pmap === null) continue;
      pmap.assertInvariants(seen);
      pages += pmap.mapped;
      large += pmap.largePages;
    }
    kassert(pages === this.reverse.records, 'pmap H2: records without a leaf');
    kassert(large === this.largePages, 'pmap H6');
    return seen.size;
  }

  #tablesOf(format: PageTableFormat): Tables {
    let tables = this.#tables.get(format);
    if (tables === undefined) {
      const refusal = refusalOf(format);
      kassert(refusal === null, `pmap: ${format.id} cannot be the real tables: ${refusal}`);
      tables = new Tables(format, this.machine.ram);
      this.#tables.set(format, tables);
    }
    return tables;
  }

  #pmapOf(record: number): HardwarePmap {
    const pmap = this.#pmaps[this.reverse.pmapOf(record)];
    kassert(pmap !== null, 'pmap: record of a destroyed pmap');
    return pmap;
  }
}
