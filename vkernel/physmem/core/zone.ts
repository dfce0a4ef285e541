/**
 * The zone allocator: free guest memory as binary buddies.
 *
 *   zone 0   4 KiB blocks    head -> frame -> frame -> -1
 *   zone 1   8 KiB           head -> frame -> -1              zone k: blocks of 2^k pages, size-aligned
 *   ...
 *   order[f]  k where a free block of zone k starts at frame f, else -1: so the buddy of a block is judged by one look
 *
 * Freeing any run of pages cuts it by alignment and size and merges upward; allocating takes the first block of the
 * smallest zone that has one, and gives back the tail. Adjacent blocks that are no buddies are never combined.
 * State is three typed arrays over frames: 9 bytes a page.
 *
 * Invariants:
 *   I1  a block of zone k starts at a multiple of 2^k, ends inside the arrays, and overlaps no other
 *   I2  order[f] = k exactly for the blocks on the list of zone k
 *   I3  freePages is the sum of all blocks
 *   I4  no two free buddies: they would be one block
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import type { GuestFrame } from '../../../hostkernel/base/units.ts';
import { isPowerOfTwo, log2, spanPiece } from './dyadic.ts';

const ZONES = 31; // of sizes 1 .. 2^30 pages
const NONE = -1;

/** No block could be had. */
export const NO_BLOCK = -1 as GuestFrame;

export class Zones {
  #order = new Int8Array(0);
  #next = new Int32Array(0);
  #prev = new Int32Array(0);
  readonly #heads = new Int32Array(ZONES).fill(NONE);
  #freePages = 0;

  get freePages(): number {
    return this.#freePages;
  }

  /** Free blocks of 2^order pages, most recently freed first. For tests and accounts. */
  blocks(order: number): GuestFrame[] {
    const found: GuestFrame[] = [];
    for (let frame = this.#heads[order]; frame !== NONE; frame = this.#next[frame]) found.push(frame as GuestFrame);
    return found;
  }

  /** Gives [frame, frame + pages) to the allocator: freed memory, or memory received for the first time. */
  free(frame: GuestFrame, pages: number): void {
    kassert(frame >= 0 && pages >= 0, 'zone: freed range');
    const end = frame + pages;
    if (end > this.#order.length) this.#grow(end);
    for (let at: number = frame; at < end; ) {
      const piece = spanPiece(at, end);
      this.#freeBlock(at, log2(piece));
      at += piece;
    }
    this.#freePages += pages;
  }

  /**
   * Takes `pages` consecutive pages, any number, aligned to the next power of two. Contents are not cleared.
   * @returns the first frame, or NO_BLOCK where no block is large enough
   */
  allocate(pages: number): GuestFrame {
    const wanted = isPowerOfTwo(pages) ? log2(pages) : log2(pages) + 1;
    let order = wanted;
    while (order < ZONES && this.#heads[order] === NONE) order += 1;
    if (order >= ZONES) return NO_BLOCK;
    const frame = this.#heads[order] as GuestFrame;
    this.#unlink(frame, order);
    while (order > wanted) {
      order -= 1;
      this.#link(frame + (1 << order), order); // its buddy is the part we keep
    }
    this.#freePages -= 1 << wanted;
    if (1 << wanted > pages) this.free((frame + pages) as GuestFrame, (1 << wanted) - pages);
    return frame;
  }

  assertInvariants(): void {
    let sum = 0;
    let blocks = 0;
    const seen = new Uint8Array(this.#order.length);
    for (let order = 0; order < ZONES; order += 1) {
      for (let frame = this.#heads[order]; frame !== NONE; frame = this.#next[frame]) {
        const size = 2 ** order;
        kassert(frame % size === 0 && frame + size <= seen.length, 'zone I1');
        for (let page = frame; page < frame + size; page += 1) {
          kassert(seen[page] === 0, 'zone I1');
          seen[page] = 1;
        }
        kassert(this.#order[frame] === order, 'zone I2');
        const buddy = (frame ^ size) >>> 0;
        kassert(buddy >= seen.length || this.#order[buddy] !== order, 'zone I4');
        sum += size;
        blocks += 1;
      }
    }
    kassert(sum === this.#freePages, 'zone I3');
    const marked = this.#order.reduce((count, order) => count + (order === NONE ? 0 : 1), 0);
    kassert(marked === blocks, 'zone I2');
  }

  /** Puts one aligned block on its list, merged with its buddy as often as that is free too. */
  #freeBlock(start: number, startOrder: number): void {
    let frame = start;
    let order = startOrder;
    for (; order < ZONES - 1; order += 1) {
      const buddy = frame ^ (1 << order);
      if (buddy >= this.#order.length || this.#order[buddy] !== order) break;
      this.#unlink(buddy, order);
      frame &= ~(1 << order);
    }
    this.#link(frame, order);
  }

  #link(frame: number, order: number): void {
    const head = this.#heads[order];
    this.#order[frame] = order;
    this.#next[frame] = head;
    this.#prev[frame] = NONE;
    if (head !== NONE) this.#prev[head] = frame;
    this.#heads[order] = frame;
  }

  #unlink(frame: number, order: number): void {
    const next = this.#next[frame];
    const prev = this.#prev[frame];
    if (prev === NONE) this.#heads[order] = next;
    else this.#next[prev] = next;
    if (next !== NONE) this.#prev[next] = prev;
    this.#order[frame] = NONE;
  }

  /** Makes room for frames below `frames`. Only while memory is received for the first time. */
  #grow(frames: number): void {
    let capacity = Math.max(64, this.#order.length);
    while (capacity < frames) capacity *= 2;
    const order = new Int8Array(capacity).fill(NONE);
    const next = new Int32Array(capacity);
    const prev = new Int32Array(capacity);
    order.set(this.#order);
    next.set(this.#next);
    prev.set(this.#prev);
    this.#order = order;
    this.#next = next;
    this.#prev = prev;
  }
}
