/**
 * The frames of one physical memory that are not tables: which are taken, and by how many mappings each is shared.
 *
 *   block   512 frames: a count of those taken, a bit for each; counts of references only where a frame has more than one
 *
 *   linear        runs are reserved for whole regions (reserve); what has no reservation is taken as by first-touch
 *   first-touch   the lowest free frames
 *   scattered     random free frames, by a seed. With pages of several sizes the lower half of memory is for base pages
 *                 and the upper for larger ones, as long as there is room: kernels group what they cannot move
 *
 * Sizes are counted in frames and are powers of two; a block of a size begins at a multiple of it.
 */
import { kassert } from '../../../hostkernel/base/assert.ts';
import { LabError } from './lab-error.ts';
import type { Placement } from './policy.ts';

const BLOCK = 512; // frames
const WORDS = BLOCK / 32;
const TRIES = 32; //  of random places, before the next free one is taken
const LARGEST_POOL = 2 ** 28; // frames: 1 TiB

export interface FramePoolSetup {
  readonly first: number; //  frame
  readonly frames: number;
  readonly placement: Placement;
  readonly seed: number;
  /** The smallest page, in frames, and whether there are larger ones. */
  readonly basePages: number;
  readonly hasLarger: boolean;
}

/**
 * Invariants (assertInvariants):
 *   P1  used[b] is the number of bits of block b, and their sum is `taken`
 *   P2  a frame with more than one reference is taken
 */
export class FramePool {
  readonly first: number;
  readonly frames: number;
  /** Frames that are taken. */
  taken = 0;
  readonly #placement: Placement;
  readonly #basePages: number;
  readonly #split: number; // where blocks of larger pages begin, counted from `first`
  readonly #used: Uint16Array;
  readonly #bits: Int32Array;
  readonly #more: (Uint32Array | null)[] = []; // by block: references beyond the first
  readonly #hints = new Map<number, number>(); // by size: no free block of it begins below
  #random: number;

  constructor({ first, frames, placement, seed, basePages, hasLarger }: FramePoolSetup) {
    if (!(frames >= basePages && frames <= LARGEST_POOL))
      throw new LabError(`memory of ${frames} frames: from ${basePages} to ${LARGEST_POOL}`);
    this.first = first;
    this.frames = frames;
    this.#placement = placement;
    this.#basePages = basePages;
    this.#split = hasLarger ? Math.floor(frames / 2 / BLOCK) * BLOCK : frames;
    const blocks = Math.ceil(frames / BLOCK);
    this.#used = new Uint16Array(blocks);
    this.#bits = new Int32Array(blocks * WORDS);
    this.#random = seed | 0;
  }

  get free(): number {
    return this.frames - this.taken;
  }

  /** Takes `size` frames, with one reference each. @returns the first, or -1: there is no such block */
  take(size: number): number {
    const at = this.#placement === 'scattered' ? this.#somewhere(size) : this.#lowest(size, 0, this.frames);
    if (at < 0) return -1;
    this.#set(at, size);
    return this.first + at;
  }

  /** Takes `size` frames from `frame` on. @returns whether they are free, and in this memory */
  takeAt(frame: number, size: number): boolean {
    const at = frame - this.first;
    if (at < 0 || at + size > this.frames || this.#lastTaken(at, size) >= 0) return false;
    this.#set(at, size);
    return true;
  }

  /** Takes the lowest free run of `pages` frames that begins at `offset` modulo `align`. @returns its first frame, or -1 */
  reserve(pages: number, align: number, offset: number): number {
    const ahead = (offset - (this.first % align) + align) % align;
    let at = ahead;
    while (at + pages <= this.frames) {
      const stop = this.#lastTaken(at, pages);
      if (stop < 0) {
        this.#set(at, pages);
        return this.first + at;
      }
      at += Math.ceil((stop + 1 - at) / align) * align;
    }
    return -1;
  }

  /** One more reference to each of `pages` frames, which are taken. */
  share(frame: number, pages: number): void {
    for (let at = frame - this.first; at < frame - this.first + pages; at++) {
      kassert(this.#isTaken(at), 'frame pool: shared a frame that is free');
      const block = Math.floor(at / BLOCK);
      const more = this.#more[block] ?? new Uint32Array(BLOCK);
      this.#more[block] = more;
      more[at % BLOCK]++;
    }
  }

  /** One reference less to each of `pages` frames: without any they are free. */
  release(frame: number, pages: number): void {
    for (let at = frame - this.first; at < frame - this.first + pages; at++) {
      kassert(this.#isTaken(at), 'frame pool: released a frame that is free');
      const more = this.#more[Math.floor(at / BLOCK)] ?? null;
      if (more !== null && more[at % BLOCK] > 0) more[at % BLOCK]--;
      else this.#clear(at);
    }
  }

  /** References to `frame`: 0 where it is free. */
  references(frame: number): number {
    const at = frame - this.first;
    if (!this.#isTaken(at)) return 0;
    return 1 + (this.#more[Math.floor(at / BLOCK)]?.[at % BLOCK] ?? 0);
  }

  /** Whether one of `pages` frames has more than one reference. */
  isShared(frame: number, pages: number): boolean {
    for (let at = frame - this.first; at < frame - this.first + pages; at++) {
      const more = this.#more[Math.floor(at / BLOCK)] ?? null;
      if (more === null) at += BLOCK - 1 - (at % BLOCK);
      else if (more[at % BLOCK] > 0) return true;
    }
    return false;
  }

  assertInvariants(): void {
    let sum = 0;
    for (let block = 0; block < this.#used.length; block++) {
      let bits = 0;
      for (let i = 0; i < BLOCK; i++) if (this.#isTaken(block * BLOCK + i)) bits++;
      kassert(this.#used[block] === bits, 'frame pool P1');
      sum += bits;
      this.#more[block]?.forEach((more, i) => kassert(more === 0 || this.#isTaken(block * BLOCK + i), 'frame pool P2'));
    }
    kassert(sum === this.taken, 'frame pool P1');
  }

  // -------------------------------------------------------------------------------------------------------- inside

  #isTaken(at: number): boolean {
    return at >= 0 && at < this.frames && (this.#bits[at >>> 5] & (1 << (at & 31))) !== 0;
  }

  #set(at: number, pages: number): void {
    for (let i = at; i < at + pages; i++) {
      this.#bits[i >>> 5] |= 1 << (i & 31);
      this.#used[Math.floor(i / BLOCK)]++;
    }
    this.taken += pages;
  }

  #clear(at: number): void {
    this.#bits[at >>> 5] &= ~(1 << (at & 31));
    this.#used[Math.floor(at / BLOCK)]--;
    this.taken--;
    for (const [size, hint] of this.#hints) if (at < hint) this.#hints.set(size, this.#alignDown(at, size));
  }

  /** The lowest free block of `size` in [from, to), all counted from `first`, or -1. */
  #lowest(size: number, from: number, to: number): number {
    const hint = this.#hints.get(size) ?? 0;
    let at = this.#alignUp(Math.max(from, hint), size);
    while (at + size <= to) {
      const stop = this.#lastTaken(at, size);
      if (stop < 0) {
        if (from <= hint) this.#hints.set(size, at + size);
        return at;
      }
      at = this.#alignUp(stop + 1, size);
    }
    if (from <= hint && to === this.frames) this.#hints.set(size, Math.max(hint, at));
    return -1;
  }

  /** A free block of `size` at a random place, or the next after it. */
  #somewhere(size: number): number {
    const isLarge = size > this.#basePages;
    const from = isLarge ? this.#split % this.frames : 0;
    const to = isLarge ? this.frames : this.#split;
    const places = Math.floor((to - from) / size);
    let at = from;
    const tries = places > 0 ? TRIES : 0;
    for (let i = 0; i < tries; i++) {
      at = this.#alignUp(from + Math.floor(this.#next() * places) * size, size);
      if (at + size <= to && this.#lastTaken(at, size) < 0) return at;
    }
    const after = this.#lowest(size, at, to);
    return after >= 0 ? after : this.#lowest(size, 0, this.frames);
  }

  /** A number in [0, 1): xorshift over 32 bits, which never gives 0 again unless it is seeded so. */
  #next(): number {
    let x = this.#random === 0 ? 0x9e3779b9 : this.#random;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x | 0;
    return (x >>> 0) / 2 ** 32;
  }

  /** The last frame taken in [at, at + pages), or -1. */
  #lastTaken(at: number, pages: number): number {
    for (let i = at + pages - 1; i >= at; i--) {
      if (i % BLOCK === BLOCK - 1 && i - BLOCK + 1 >= at) {
        const used = this.#used[Math.floor(i / BLOCK)];
        if (used === BLOCK) return i;
        if (used === 0) {
          i -= BLOCK - 1;
          continue;
        }
      }
      if ((this.#bits[i >>> 5] & (1 << (i & 31))) !== 0) return i;
    }
    return -1;
  }

  // Frame numbers are what is aligned, not distances from `first`.
  #alignUp(at: number, size: number): number {
    return Math.ceil((this.first + at) / size) * size - this.first;
  }

  #alignDown(at: number, size: number): number {
    return Math.max(0, Math.floor((this.first + at) / size) * size - this.first);
  }
}
