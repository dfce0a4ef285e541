/**
 * The reverse map: from a frame to every real PTE that maps it, in whatever space and through whatever number of
 * virtual-page-table aliases. Not the page tables themselves: those are hardware-pmap.ts.
 *
 * A record stands for one slot of a leaf table, and exists as long as the table does: a table of 512 entries comes with
 * 512 records. Entering a PTE links the record of its slot into the list of the frame, so that neither entering nor
 * removing searches or allocates. Where a large page covers the slots of a leaf table, the table and its records are
 * kept, and each record leads to its part of the large page.
 *
 *   head[frame] -> record -> record -> 0          doubly linked; record 0 (and so unit 0) means none
 *   record = unit * 64 + slot mod 64,  a table of 2^n slots has a chunk: 2^n / 64 units in a row, at least one
 *   unit   -> pmap id, first page, table           page of a record = first page + record mod 64
 *
 * Cost: 8.25 bytes for each slot of a leaf table, 4 bytes for each frame.
 *
 * Invariants (assertInvariants):
 *   R1  every list is well linked in both directions, and no record is in two lists
 *   R2  a listed record belongs to a chunk in use
 *   R3  a chunk that is not in use has no listed record
 *   R4  `records` is the number of listed records
 */

import { kassert } from '../base/assert.ts';
import type { HostFrame, VirtualPage } from '../base/units.ts';

/** Records in one unit: the slots of the smallest leaf table there is, of m68040-4k and sparc-srmmu. */
export const UNIT_RECORDS = 64;
const UNIT_SHIFT = 6;
const UNIT_MASK = UNIT_RECORDS - 1;
const FIRST_CAPACITY = 128; // units
const FREE_UNIT = -1; // in pmap

export class ReverseMap {
  readonly #head: Int32Array; // by frame: first record
  #next = new Int32Array(FIRST_CAPACITY * UNIT_RECORDS); // by record; 0 ends the list
  #previous = new Int32Array(FIRST_CAPACITY * UNIT_RECORDS); // by record: previous record, or -frame for the first of its list
  #pmap = new Int32Array(FIRST_CAPACITY).fill(FREE_UNIT); // by unit: pmap id
  #page = new Float64Array(FIRST_CAPACITY); // by unit: first virtual page
  #table = new Int32Array(FIRST_CAPACITY); // by unit: frame of the leaf table
  readonly #free: number[][] = []; // by log2 of the units: chunks given back
  #units = 1; // units ever used, with unit 0
  #records = 0;

  /** @param frames frames of the machine; frame 0 is never mapped */
  constructor(frames: number) {
    this.#head = new Int32Array(frames);
  }

  /** PTEs in all pmaps; one for each base page that a large page maps. */
  get records(): number {
    return this.#records;
  }

  /** Bytes of all arrays. */
  get bytes(): number {
    let bytes = 0;
    for (const array of [this.#head, this.#next, this.#previous, this.#pmap, this.#page, this.#table]) bytes += array.byteLength;
    return bytes;
  }

  /**
   * Makes the records of a leaf table, whose slots map the pages [firstPage, firstPage + slots) of `pmap`.
   * @param slots power of two
   * @returns the chunk: its first unit
   */
  allocateChunk(pmap: number, firstPage: VirtualPage, table: HostFrame, slots: number): number {
    const units = unitsOf(slots);
    const chunk = this.#free[31 - Math.clz32(units)]?.pop() ?? this.#append(units);
    for (let i = 0; i < units; i++) {
      this.#pmap[chunk + i] = pmap;
      this.#page[chunk + i] = firstPage + i * UNIT_RECORDS;
      this.#table[chunk + i] = table;
    }
    return chunk;
  }

  /** Gives a chunk back, of as many slots as it was made with; none of its records may be listed. */
  freeChunk(chunk: number, slots: number): void {
    kassert(chunk > 0 && this.#pmap[chunk] !== FREE_UNIT, 'reverse map: chunk freed twice');
    const units = unitsOf(slots);
    this.#pmap.fill(FREE_UNIT, chunk, chunk + units);
    const size = 31 - Math.clz32(units);
    while (this.#free.length <= size) this.#free.push([]);
    this.#free[size].push(chunk);
  }

  /** Notes that the slot of `record` now maps `frame`. The slot must have been empty. Hot: allocates nothing. */
  insert(frame: HostFrame, record: number): void {
    const first = this.#head[frame];
    this.#next[record] = first;
    this.#previous[record] = -(frame as number);
    if (first !== 0) this.#previous[first] = record;
    this.#head[frame] = record;
    this.#records++;
  }

  /** Notes that the slot of `record` maps nothing any more. Hot: allocates nothing. */
  remove(record: number): void {
    const next = this.#next[record];
    const previous = this.#previous[record];
    if (previous < 0) this.#head[-previous] = next;
    else this.#next[previous] = next;
    if (next !== 0) this.#previous[next] = previous;
    this.#next[record] = 0;
    this.#previous[record] = 0;
    this.#records--;
  }

  /** The first record of `frame`, or 0: no real PTE maps it. */
  first(frame: HostFrame): number {
    return this.#head[frame];
  }

  /** The record after `record` in the list of the same frame, or 0. Of a record that was removed: 0. */
  next(record: number): number {
    return this.#next[record];
  }

  /** The id of the pmap the PTE of `record` is in. */
  pmapOf(record: number): number {
    return this.#pmap[record >>> UNIT_SHIFT];
  }

  /** The virtual page the PTE of `record` translates. */
  pageOf(record: number): VirtualPage {
    return (this.#page[record >>> UNIT_SHIFT] + (record & UNIT_MASK)) as VirtualPage;
  }

  /** The leaf table the PTE of `record` is in. */
  tableOf(record: number): HostFrame {
    return this.#table[record >>> UNIT_SHIFT] as HostFrame;
  }

  /** Panics on the first invariant that does not hold. O(frames + records ever made). */
  assertInvariants(): void {
    const [head, next, back, pmap] = [this.#head, this.#next, this.#previous, this.#pmap];
    let listed = 0;
    for (let frame = 0; frame < head.length; frame++) {
      let previous = -(frame as number);
      for (let record = head[frame]; record !== 0; record = next[record]) {
        kassert(frame !== 0, 'reverse map R1: frame 0 is mapped');
        // A record has one back link: met a second time, in this list or in another, it is wrong.
        kassert(back[record] === previous, 'reverse map R1: back link');
        kassert(pmap[record >>> UNIT_SHIFT] !== FREE_UNIT, 'reverse map R2');
        previous = record;
        listed++;
      }
    }
    // Every listed record has a back link, so if others had links there would be more with links than are listed.
    let linked = 0;
    for (let record = 0; record < next.length; record++) if ((next[record] | back[record]) !== 0) linked++;
    kassert(linked === listed, 'reverse map R3');
    kassert(listed === this.#records, 'reverse map R4');
  }

  /** New units at the end. */
  #append(units: number): number {
    const chunk = this.#units;
    this.#units += units;
    if (this.#units > this.#pmap.length) this.#grow(Math.max(this.#units, Math.ceil(this.#pmap.length * 1.125)));
    return chunk;
  }

  #grow(capacity: number): void {
    const next = new Int32Array(capacity * UNIT_RECORDS);
    next.set(this.#next);
    this.#next = next;
    const previous = new Int32Array(capacity * UNIT_RECORDS);
    previous.set(this.#previous);
    this.#previous = previous;
    const pmap = new Int32Array(capacity).fill(FREE_UNIT);
    pmap.set(this.#pmap);
    this.#pmap = pmap;
    const page = new Float64Array(capacity);
    page.set(this.#page);
    this.#page = page;
    const table = new Int32Array(capacity);
    table.set(this.#table);
    this.#table = table;
  }
}

function unitsOf(slots: number): number {
  return Math.max(1, slots >>> UNIT_SHIFT);
}
