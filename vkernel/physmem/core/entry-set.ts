/**
 * The entries of one container, ordered by start and disjoint: chunks of at most CHUNK ids under one directory.
 *
 *   chunks   [ e0 e1 e2 ... ] [ e40 e41 ... ] [ ... ]       binary search in the directory, then in the chunk
 *
 * A container of n entries costs O(log n) a look-up and moves at most CHUNK + n / CHUNK ids a change, which is quicker
 * than a balanced tree up to a few hundred thousand entries. Appending at the end leaves full chunks behind, so that a
 * container that was filled from the left costs little more than four bytes an entry. Pages are numbers up to 2^52.
 *
 * Invariants:
 *   I1  entries are pairwise disjoint, in ascending order
 *   I2  no chunk is empty, but for the last one left, or longer than CHUNK; size counts all entries
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import { type EntryId, type FrameTable, NO_ENTRY } from './frame-table.ts';

const CHUNK = 256; // entries
const FIRST_CHUNK = 4; // room of the first one: most containers are small

/** Ids in ascending order of their starts; `count` of them are in use. */
interface Chunk {
  ids: Int32Array;
  count: number;
}

export class EntrySet {
  readonly #table: FrameTable;
  readonly #chunks: Chunk[] = [];
  #size = 0;

  constructor(table: FrameTable) {
    this.#table = table;
  }

  get size(): number {
    return this.#size;
  }

  /** The entry that holds `page`, or NO_ENTRY. */
  at(page: number): EntryId {
    if (this.#chunks.length === 0) return NO_ENTRY;
    const chunk = this.#chunks[this.#chunkOf(page)];
    const index = this.#indexIn(chunk, page);
    return index >= 0 && page < this.#endOf(chunk.ids[index]) ? (chunk.ids[index] as EntryId) : NO_ENTRY;
  }

  /** The first entry that ends after `page`: the one that holds it, or the next one; or NO_ENTRY. */
  from(page: number): EntryId {
    if (this.#chunks.length === 0) return NO_ENTRY;
    const chunkIndex = this.#chunkOf(page);
    const chunk = this.#chunks[chunkIndex];
    const index = this.#indexIn(chunk, page);
    if (index >= 0 && page < this.#endOf(chunk.ids[index])) return chunk.ids[index] as EntryId;
    if (index + 1 < chunk.count) return chunk.ids[index + 1] as EntryId;
    return chunkIndex + 1 < this.#chunks.length ? (this.#chunks[chunkIndex + 1].ids[0] as EntryId) : NO_ENTRY;
  }

  /** Whether any page of [from, to) is present. */
  overlaps(from: number, to: number): boolean {
    const entry = this.from(from);
    return entry !== NO_ENTRY && this.#table.start[entry] < to;
  }

  /** Adds an entry. Its range must be free. */
  insert(entry: EntryId): void {
    this.#size += 1;
    if (this.#chunks.length === 0) this.#chunks.push({ ids: new Int32Array(FIRST_CHUNK), count: 0 });
    const start = this.#table.start[entry];
    const chunkIndex = this.#chunkOf(start);
    const chunk = this.#chunks[chunkIndex];
    const at = this.#indexIn(chunk, start) + 1;
    if (chunk.count < CHUNK) insertAt(chunk, at, entry);
    else if (at === CHUNK && chunkIndex === this.#chunks.length - 1) {
      this.#chunks.push({ ids: new Int32Array(CHUNK), count: 0 });
      insertAt(this.#chunks[chunkIndex + 1], 0, entry);
    } else {
      const upper = splitChunk(chunk);
      this.#chunks.splice(chunkIndex + 1, 0, upper);
      if (at <= chunk.count) insertAt(chunk, at, entry);
      else insertAt(upper, at - chunk.count, entry);
    }
  }

  /** Takes out an entry that is present, under the start it was found at. */
  remove(entry: EntryId): void {
    const start = this.#table.start[entry];
    const chunkIndex = this.#chunkOf(start);
    const chunk = this.#chunks[chunkIndex];
    const at = this.#indexIn(chunk, start);
    kassert(at >= 0 && chunk.ids[at] === entry, 'entry-set: not present');
    this.#size -= 1;
    chunk.count -= 1;
    chunk.ids.copyWithin(at, at + 1, chunk.count + 1);
    if (chunk.count === 0) {
      if (this.#chunks.length > 1) this.#chunks.splice(chunkIndex, 1); // the last one is kept: what was in it may come back
    } else if (chunk.count < CHUNK / 8) this.#mergeWithNext(chunkIndex);
  }

  /** All entries in order. For checks, accounts and tests: it builds an array. */
  toArray(): EntryId[] {
    const entries: EntryId[] = [];
    for (const chunk of this.#chunks) for (let i = 0; i < chunk.count; i += 1) entries.push(chunk.ids[i] as EntryId);
    return entries;
  }

  /** Bytes of all chunks. */
  get bytes(): number {
    return this.#chunks.reduce((sum, chunk) => sum + chunk.ids.byteLength, 0);
  }

  assertInvariants(): void {
    const entries = this.toArray();
    for (let i = 1; i < entries.length; i += 1) {
      kassert(this.#endOf(entries[i - 1]) <= this.#table.start[entries[i]], 'entry-set I1');
    }
    kassert(entries.length === this.#size, 'entry-set I2');
    kassert(
      this.#chunks.every((chunk) => chunk.count <= CHUNK && (chunk.count > 0 || this.#chunks.length === 1)),
      'entry-set I2',
    );
  }

  #endOf(entry: number): number {
    return this.#table.start[entry] + (1 << this.#table.log2[entry]);
  }

  /** Index of the last chunk that starts at or before `page`; 0 where none does. */
  #chunkOf(page: number): number {
    const chunks = this.#chunks;
    const { start } = this.#table;
    let low = 0;
    let high = chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (start[chunks[middle].ids[0]] <= page) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Index of the last entry of `chunk` that starts at or before `page`; -1 where none does. */
  #indexIn(chunk: Chunk, page: number): number {
    const { ids } = chunk;
    const { start } = this.#table;
    let low = -1;
    let high = chunk.count - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (start[ids[middle]] <= page) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Keeps chunks from withering away one by one. */
  #mergeWithNext(chunkIndex: number): void {
    if (chunkIndex + 1 >= this.#chunks.length) return;
    const chunk = this.#chunks[chunkIndex];
    const next = this.#chunks[chunkIndex + 1];
    if (chunk.count + next.count > CHUNK / 2) return;
    for (let i = 0; i < next.count; i += 1) insertAt(chunk, chunk.count, next.ids[i]);
    this.#chunks.splice(chunkIndex + 1, 1);
  }
}

/** Puts an id at index `at` of a chunk that is not full. */
function insertAt(chunk: Chunk, at: number, id: number): void {
  if (chunk.count === chunk.ids.length) {
    const ids = new Int32Array(chunk.count * 4);
    ids.set(chunk.ids);
    chunk.ids = ids;
  }
  chunk.ids.copyWithin(at + 1, at, chunk.count);
  chunk.ids[at] = id;
  chunk.count += 1;
}

/** Takes the upper half out of a full chunk. */
function splitChunk(chunk: Chunk): Chunk {
  const ids = new Int32Array(CHUNK);
  ids.set(chunk.ids.subarray(CHUNK / 2));
  chunk.count = CHUNK / 2;
  return { ids, count: CHUNK / 2 };
}
