/**
 * The reverse map: from a frame to every real PTE that maps it, in whatever space and through whatever number of
 * virtual-page-table aliases. Not the page tables themselves: those are hardware.ts.
 *
 * A record stands for one leaf slot of a page table, and exists as long as the table page does: a table page of 512
 * entries comes with a chunk of 512 records (one of 1024 entries with two). Entering a PTE links the record of its
 * slot into the list of the frame, so that neither entering nor removing searches or allocates.
 *
 *   head[frame] -> record -> record -> 0          doubly linked; record 0 (and so chunk 0) means none
 *   record = chunk * 512 + slot,  slot = page mod 512
 *   chunk  -> pmap id, first page                  page of a record = first page + slot
 *
 * Cost: 8 bytes for each slot of a leaf table, 4 bytes for each frame.
 *
 * Invariants (assertInvariants):
 *   R1  every list is well linked in both directions, and no record is in two lists
 *   R2  a listed record belongs to a chunk in use
 *   R3  a chunk that is not in use has no listed record
 *   R4  `records` is the number of listed records
 */

import { kassert } from '../base/assert.ts';
import type { HostFrame, VirtualPage } from '../base/units.ts';

/** Records in one chunk; the leaf slots of one page-table page of eight-byte entries. */
export const CHUNK_RECORDS = 512;
const CHUNK_SHIFT = 9;
const SLOT_MASK = CHUNK_RECORDS - 1;
const FIRST_CAPACITY = 16; // chunks
const FREE_CHUNK = -1; // in chunkPmap

export class ReverseMap {
  readonly #head: Int32Array; // by frame: first record
  #next = new Int32Array(FIRST_CAPACITY * CHUNK_RECORDS); // by record; 0 ends the list
  #previous = new Int32Array(FIRST_CAPACITY * CHUNK_RECORDS); // by record: previous record, or -frame for the first of its list
  #chunkPmap = new Int32Array(FIRST_CAPACITY).fill(FREE_CHUNK); // by chunk: pmap id
  #chunkPage = new Float64Array(FIRST_CAPACITY); // by chunk: first virtual page
  readonly #freeChunks: number[] = [];
  #chunks = 1; // chunks ever used, with chunk 0
  #records = 0;

  /** @param frames frames of the machine; frame 0 is never mapped */
  constructor(frames: number) {
    this.#head = new Int32Array(frames);
  }

  /** PTEs in all pmaps. */
  get records(): number {
    return this.#records;
  }

  /** Makes the records for 512 leaf slots, which map the pages [firstPage, firstPage + 512) of `pmap`. Returns the chunk. */
  allocateChunk(pmap: number, firstPage: VirtualPage): number {
    const chunk = this.#freeChunks.pop() ?? this.#chunks++;
    if (chunk >= this.#chunkPmap.length) this.#grow();
    this.#chunkPmap[chunk] = pmap;
    this.#chunkPage[chunk] = firstPage;
    return chunk;
  }

  /** Gives a chunk back; none of its records may be listed. */
  freeChunk(chunk: number): void {
    kassert(chunk > 0 && this.#chunkPmap[chunk] !== FREE_CHUNK, 'reverse map: chunk freed twice');
    this.#chunkPmap[chunk] = FREE_CHUNK;
    this.#freeChunks.push(chunk);
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

  /** The record after `record` in the list of the same frame, or 0. */
  next(record: number): number {
    return this.#next[record];
  }

  /** The id of the pmap the PTE of `record` is in. */
  pmapOf(record: number): number {
    return this.#chunkPmap[record >>> CHUNK_SHIFT];
  }

  /** The virtual page the PTE of `record` translates. */
  pageOf(record: number): VirtualPage {
    return (this.#chunkPage[record >>> CHUNK_SHIFT] + (record & SLOT_MASK)) as VirtualPage;
  }

  /** Panics on the first invariant that does not hold. O(frames + records ever made). */
  assertInvariants(): void {
    const seen = new Uint8Array(this.#next.length);
    let listed = 0;
    for (let frame = 0; frame < this.#head.length; frame++) {
      let previous = -(frame as number);
      for (let record = this.#head[frame]; record !== 0; record = this.#next[record]) {
        kassert(frame !== 0, 'reverse map R1: frame 0 is mapped');
        kassert(seen[record] === 0, 'reverse map R1: a record in two lists');
        kassert(this.#previous[record] === previous, 'reverse map R1: back link');
        kassert(this.#chunkPmap[record >>> CHUNK_SHIFT] !== FREE_CHUNK, 'reverse map R2');
        seen[record] = 1;
        previous = record;
        listed++;
      }
    }
    for (let record = 0; record < this.#next.length; record++) {
      if (seen[record] === 0) kassert(this.#next[record] === 0 && this.#previous[record] === 0, 'reverse map R3');
    }
    kassert(listed === this.#records, 'reverse map R4');
  }

  #grow(): void {
    const capacity = this.#chunkPmap.length * 2;
    const next = new Int32Array(capacity * CHUNK_RECORDS);
    next.set(this.#next);
    this.#next = next;
    const previous = new Int32Array(capacity * CHUNK_RECORDS);
    previous.set(this.#previous);
    this.#previous = previous;
    const chunkPmap = new Int32Array(capacity).fill(FREE_CHUNK);
    chunkPmap.set(this.#chunkPmap);
    this.#chunkPmap = chunkPmap;
    const chunkPage = new Float64Array(capacity);
    chunkPage.set(this.#chunkPage);
    this.#chunkPage = chunkPage;
  }
}
