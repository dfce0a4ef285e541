/**
 * The contents of one regular file: pages written here, in front of a read-only original, in front of nothing.
 *
 *   offset ->  page written here?  yes: its bytes
 *                                  no:  below lowerEnd: the original's bytes;  above: zeros (a hole)
 *
 * A page is copied from the original when it is first written, so opening a large file for writing costs nothing.
 *
 * Invariants (assertInvariants):
 *   I1  0 <= size <= MAX_FILE_SIZE, and lowerEnd <= min(size, original's size): shrinking hides the original for good
 *   I2  every page written here starts below size
 *   I3  bytes of a page here that lie beyond size are zero, so growing shows zeros
 *   I4  `store.pagesUsed` counts exactly the pages of all contents (each object counts its own part)
 */
import { EFBIG, ENOSPC } from '../../../hostkernel/base/errno.ts';
import { kassert } from '../../../hostkernel/base/assert.ts';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { MAX_FILE_SIZE } from '../abi.ts';

/** The read-only original behind a file. */
export interface LowerFile {
  readonly size: number; // bytes
  /** @returns bytes read into the whole of `into`, fewer only at the end; or -errno */
  read(offset: number, into: Uint8Array): number;
}

/** The memory all files of one file system share: a program cannot make it grow without end. */
export interface Store {
  readonly pagesMax: number;
  pagesUsed: number;
}

export class Contents {
  size: number; // bytes
  readonly #store: Store;
  readonly #lower: LowerFile | null;
  #lowerEnd: number; // bytes of the original that still show
  readonly #pages = new Map<number, Uint8Array>(); // page index -> PAGE_SIZE bytes
  #key: object = {};
  #keyGiven = false;

  constructor(store: Store, lower: LowerFile | null) {
    this.#store = store;
    this.#lower = lower;
    this.#lowerEnd = lower === null ? 0 : Math.min(lower.size, MAX_FILE_SIZE);
    this.size = this.#lowerEnd;
  }

  /** Pages held in memory here. */
  get pages(): number {
    return this.#pages.size;
  }

  /** Whether nothing has been written or cut: the original shows as it is. */
  get pristine(): boolean {
    return this.#lower !== null && this.#pages.size === 0 && this.size === this.#lower.size && this.#lowerEnd === this.size;
  }

  /** An identity for caches of these bytes: it stays the same for as long as the bytes do. */
  get cacheKey(): object {
    this.#keyGiven = true;
    return this.#key;
  }

  /**
   * Reads `len` bytes at `offset` into `into[at...]`.
   * @returns bytes read: fewer than `len` only at the end of the file; or -errno of the original's provider
   */
  read(offset: number, into: Uint8Array, at: number, len: number): number {
    const end = Math.min(offset + len, this.size);
    let position = offset;
    while (position < end) {
      const index = Math.floor(position / PAGE_SIZE);
      const inPage = position - index * PAGE_SIZE;
      const page = this.#pages.get(index);
      const target = at + position - offset;
      if (page !== undefined) {
        const n = Math.min(PAGE_SIZE - inPage, end - position);
        if (n === PAGE_SIZE) into.set(page, target);
        else into.set(page.subarray(inPage, inPage + n), target);
        position += n;
        continue;
      }
      const run = this.#pages.size === 0 ? end - position : this.#absentRun(index, end) - position;
      const error = this.#readLower(position, into, target, run);
      if (error < 0) return position > offset ? position - offset : error;
      position += run;
    }
    return Math.max(0, end - offset);
  }

  /**
   * Writes `len` bytes from `from[at...]` at `offset`; grows the file where needed.
   * @returns bytes written, or -EFBIG, -ENOSPC, or -errno of the original's provider if not even one could be
   */
  write(offset: number, from: Uint8Array, at: number, len: number): number {
    if (len === 0) return 0;
    if (offset >= MAX_FILE_SIZE) return -EFBIG;
    const end = Math.min(offset + len, MAX_FILE_SIZE);
    this.#changed();
    let position = offset;
    while (position < end) {
      const index = Math.floor(position / PAGE_SIZE);
      const inPage = position - index * PAGE_SIZE;
      const n = Math.min(PAGE_SIZE - inPage, end - position);
      const page = this.#pageForWriting(index, n === PAGE_SIZE);
      if (typeof page === 'number') {
        if (position === offset) return page;
        break;
      }
      const source = at + position - offset;
      page.set(from.subarray(source, source + n), inPage);
      position += n;
      if (position > this.size) this.size = position;
    }
    return position - offset;
  }

  /** Sets the size: cuts, or grows by a hole. @returns 0, -EFBIG, or -errno of the original's provider */
  truncate(size: number): number {
    if (size > MAX_FILE_SIZE) return -EFBIG;
    if (size === this.size) return 0;
    this.#changed();
    if (size < this.size) {
      this.#lowerEnd = Math.min(this.#lowerEnd, size);
      const firstGone = Math.ceil(size / PAGE_SIZE);
      for (const index of this.#pages.keys()) {
        if (index >= firstGone) {
          this.#pages.delete(index);
          this.#store.pagesUsed--;
        }
      }
      const last = this.#pages.get(Math.floor(size / PAGE_SIZE));
      if (last !== undefined) last.fill(0, size % PAGE_SIZE);
    }
    this.size = size;
    return 0;
  }

  /** First offset >= `offset` that is data, or the size if there is none. Holes are found by whole pages. */
  nextData(offset: number): number {
    if (offset < this.#lowerEnd) return offset;
    let best = this.size;
    const from = Math.floor(offset / PAGE_SIZE);
    for (const index of this.#pages.keys()) {
      if (index >= from) best = Math.min(best, Math.max(offset, index * PAGE_SIZE));
    }
    return best;
  }

  /** First offset >= `offset` inside a hole; the end of the file counts as one. */
  nextHole(offset: number): number {
    let position = Math.max(offset, Math.min(this.#lowerEnd, this.size));
    while (position < this.size && this.#pages.has(Math.floor(position / PAGE_SIZE))) {
      position = (Math.floor(position / PAGE_SIZE) + 1) * PAGE_SIZE;
    }
    return Math.min(Math.max(position, offset), this.size);
  }

  /** Gives all pages back. The object must not be used again. */
  release(): void {
    this.#store.pagesUsed -= this.#pages.size;
    this.#pages.clear();
    this.size = 0;
    this.#lowerEnd = 0;
  }

  assertInvariants(): void {
    kassert(this.size >= 0 && this.size <= MAX_FILE_SIZE, 'contents I1: size');
    kassert(this.#lowerEnd <= Math.min(this.size, this.#lower?.size ?? 0), 'contents I1: lowerEnd');
    for (const [index, page] of this.#pages) {
      kassert(index * PAGE_SIZE < this.size, 'contents I2');
      const live = Math.min(PAGE_SIZE, this.size - index * PAGE_SIZE);
      kassert(
        page.subarray(live).every((byte) => byte === 0),
        'contents I3',
      );
    }
    kassert(this.#pages.size <= this.#store.pagesUsed, 'contents I4');
  }

  /** A cache of the old bytes must not answer for the new ones. */
  #changed(): void {
    if (!this.#keyGiven) return;
    this.#key = {};
    this.#keyGiven = false;
  }

  /** End (bytes, at most `end`) of the run of pages from `index` on that are not held here. */
  #absentRun(index: number, end: number): number {
    const last = Math.ceil(end / PAGE_SIZE);
    let next = index + 1;
    while (next < last && !this.#pages.has(next)) next++;
    return Math.min(next * PAGE_SIZE, end);
  }

  /** Fills `into[at, at + len)` with what lies below: the original up to lowerEnd, then zeros. @returns 0 or -errno */
  #readLower(offset: number, into: Uint8Array, at: number, len: number): number {
    let done = 0;
    if (this.#lower !== null && offset < this.#lowerEnd) {
      const wanted = Math.min(len, this.#lowerEnd - offset);
      const got = this.#lower.read(offset, into.subarray(at, at + wanted));
      if (got < 0) return got;
      done = got; // fewer than wanted: the original has shrunk meanwhile, and the rest reads as zeros
    }
    into.fill(0, at + done, at + len);
    return 0;
  }

  #pageForWriting(index: number, whole: boolean): Uint8Array | number {
    const present = this.#pages.get(index);
    if (present !== undefined) return present;
    if (this.#store.pagesUsed >= this.#store.pagesMax) return -ENOSPC;
    const page = new Uint8Array(PAGE_SIZE);
    if (!whole) {
      const error = this.#readLower(index * PAGE_SIZE, page, 0, PAGE_SIZE);
      if (error < 0) return error;
    }
    this.#pages.set(index, page);
    this.#store.pagesUsed++;
    return page;
  }
}
