/**
 * The entries of one container, ordered by start and disjoint: chunks of at most CHUNK entries under one directory.
 *
 *   chunks   [ e0 e1 e2 ... ] [ e40 e41 ... ] [ ... ]       binary search in the directory, then in the chunk
 *
 * A container of n entries costs O(log n) a look-up and moves at most CHUNK + n / CHUNK references a change, which is
 * quicker than a balanced tree up to a few hundred thousand entries. Pages are numbers up to 2^52.
 *
 * Invariants:
 *   I1  entries are pairwise disjoint, in ascending order
 *   I2  no chunk is empty or longer than CHUNK; size counts all entries
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import type { FrameEntry } from './frame.ts';

const CHUNK = 64; // entries

export class EntrySet {
  readonly #chunks: FrameEntry[][] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The entry that holds `page`, or null. */
  at(page: number): FrameEntry | null {
    const entry = this.#lastStartingAtOrBefore(page);
    return entry !== null && page < entry.start + entry.pages ? entry : null;
  }

  /** The first entry that ends after `page`: the one that holds it, or the next one; or null. */
  from(page: number): FrameEntry | null {
    if (this.#chunks.length === 0) return null;
    const chunkIndex = this.#chunkOf(page);
    const chunk = this.#chunks[chunkIndex];
    const index = indexIn(chunk, page);
    if (index >= 0 && page < chunk[index].start + chunk[index].pages) return chunk[index];
    if (index + 1 < chunk.length) return chunk[index + 1];
    return chunkIndex + 1 < this.#chunks.length ? this.#chunks[chunkIndex + 1][0] : null;
  }

  /** Whether any page of [from, to) is present. */
  overlaps(from: number, to: number): boolean {
    const entry = this.from(from);
    return entry !== null && entry.start < to;
  }

  /** Adds an entry. Its range must be free. */
  insert(entry: FrameEntry): void {
    this.#size += 1;
    if (this.#chunks.length === 0) {
      this.#chunks.push([entry]);
      return;
    }
    const chunkIndex = this.#chunkOf(entry.start);
    const chunk = this.#chunks[chunkIndex];
    const at = indexIn(chunk, entry.start) + 1;
    insertAt(chunk, at, entry);
    if (chunk.length > CHUNK) this.#chunks.splice(chunkIndex + 1, 0, chunk.splice(CHUNK / 2));
  }

  /** Takes out an entry that is present, under the start it was found at. */
  remove(entry: FrameEntry): void {
    const chunkIndex = this.#chunkOf(entry.start);
    const chunk = this.#chunks[chunkIndex];
    const at = indexIn(chunk, entry.start);
    kassert(chunk[at] === entry, 'entry-set: not present');
    this.#size -= 1;
    removeAt(chunk, at);
    if (chunk.length === 0) this.#chunks.splice(chunkIndex, 1);
    else if (chunk.length < CHUNK / 8) this.#mergeWithNext(chunkIndex);
  }

  /** All entries in order. For checks, accounts and tests: it builds an array. */
  toArray(): FrameEntry[] {
    return this.#chunks.flat();
  }

  assertInvariants(): void {
    const entries = this.toArray();
    for (let i = 1; i < entries.length; i += 1) {
      kassert(entries[i - 1].start + entries[i - 1].pages <= entries[i].start, 'entry-set I1');
    }
    kassert(entries.length === this.#size, 'entry-set I2');
    kassert(
      this.#chunks.every((chunk) => chunk.length > 0 && chunk.length <= CHUNK),
      'entry-set I2',
    );
  }

  #lastStartingAtOrBefore(page: number): FrameEntry | null {
    if (this.#chunks.length === 0) return null;
    const chunk = this.#chunks[this.#chunkOf(page)];
    const index = indexIn(chunk, page);
    return index < 0 ? null : chunk[index];
  }

  /** Index of the last chunk that starts at or before `page`; 0 where none does. */
  #chunkOf(page: number): number {
    const chunks = this.#chunks;
    let low = 0;
    let high = chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (chunks[middle][0].start <= page) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Keeps chunks from withering away one by one. */
  #mergeWithNext(chunkIndex: number): void {
    if (chunkIndex + 1 >= this.#chunks.length) return;
    const chunk = this.#chunks[chunkIndex];
    const next = this.#chunks[chunkIndex + 1];
    if (chunk.length + next.length > CHUNK / 2) return;
    chunk.push(...next);
    this.#chunks.splice(chunkIndex + 1, 1);
  }
}

// What splice does, without making an array of what it takes out: entries come and go with every page.

function insertAt(chunk: FrameEntry[], at: number, entry: FrameEntry): void {
  chunk.push(entry);
  for (let i = chunk.length - 1; i > at; i -= 1) chunk[i] = chunk[i - 1];
  chunk[at] = entry;
}

function removeAt(chunk: FrameEntry[], at: number): void {
  for (let i = at + 1; i < chunk.length; i += 1) chunk[i - 1] = chunk[i];
  chunk.pop();
}

/** Index of the last entry of `chunk` that starts at or before `page`; -1 where none does. */
function indexIn(chunk: readonly FrameEntry[], page: number): number {
  let low = -1;
  let high = chunk.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (chunk[middle].start <= page) low = middle;
    else high = middle - 1;
  }
  return low;
}
