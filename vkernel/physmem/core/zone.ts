/**
 * The zone allocator: free guest memory as binary buddies.
 *
 *   zone 0   4 KiB blocks    { 3, 9, 12 }          zone k: numbers of free blocks of 2^k pages, size-aligned; block n
 *   zone 1   8 KiB           { 5 }                         of zone k begins at page n * 2^k
 *   ...
 *
 * Freeing any run of pages cuts it by alignment and size and merges upward: the buddy of block n is n ^ 1, one look at
 * a bitmap. Adjacent blocks that are no buddies are never combined.
 *
 * Allocating takes the smallest feasible block, among those the lowest address, and gives back what is left of it. A
 * block [a, a + 2^k) holds an acceptable start for a run of n pages exactly if
 *
 *   bits k and up of a have what S asks for there, and lack what C forbids there      -> a set of block numbers
 *   (S mod 2^k) + n <= 2^k: the lowest acceptable start a | (S mod 2^k) leaves room   -> the same for a whole zone
 *
 * The second is a test of the zone, the first is judged for 32 blocks at once (free-set.ts).
 * State is two bits a page in bitmaps, 17/64 of a byte with all levels.
 *
 * Invariants:
 *   I1  no page is in two free blocks
 *   I3  freePages is the sum of all blocks
 *   I4  no two free buddies: they would be one block
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import type { GuestFrame } from '../../../hostkernel/base/units.ts';
import { ANYWHERE, type Constraint } from './constraint.ts';
import { floorPowerOfTwo, log2, spanPiece } from './dyadic.ts';
import { FreeSet } from './free-set.ts';

const ZONES = 31; // of sizes 1 .. 2^30 pages

/** No block could be had. */
export const NO_BLOCK = -1 as GuestFrame;

export class Zones {
  readonly #zones = Array.from({ length: ZONES }, () => new FreeSet());
  #capacity = 0; // pages
  #freePages = 0;

  get freePages(): number {
    return this.#freePages;
  }

  /** Words of bitmaps looked at to find blocks, since the start; each judges up to 32 blocks. */
  get looks(): number {
    return this.#zones.reduce((sum, zone) => sum + zone.looks, 0);
  }

  /** log2 of the largest free block, or -1. */
  get largestOrder(): number {
    for (let order = ZONES - 1; order >= 0; order -= 1) {
      if (this.#zones[order].size > 0) return order;
    }
    return -1;
  }

  /** Free blocks of 2^order pages, by address. For tests and accounts. */
  blocks(order: number): GuestFrame[] {
    return this.#zones[order].toArray().map((block) => (block * 2 ** order) as GuestFrame);
  }

  /** How many free blocks of 2^order pages there are. */
  count(order: number): number {
    return this.#zones[order].size;
  }

  /** Whether one page is free. O(zones). */
  isFree(page: number): boolean {
    return this.orderAt(page) !== -1;
  }

  /** log2 of the free block that holds `page`, or -1. O(zones). */
  orderAt(page: number): number {
    for (let order = 0; order < ZONES; order += 1) {
      if (this.#zones[order].has(page >>> order)) return order;
    }
    return -1;
  }

  /** Gives [frame, frame + pages) to the allocator: freed memory, or memory received for the first time. */
  free(frame: GuestFrame, pages: number): void {
    kassert(frame >= 0 && pages >= 0, 'zone: freed range');
    const end = frame + pages;
    if (end > this.#capacity) this.#grow(end);
    for (let start: number = frame; start < end; ) {
      const piece = spanPiece(start, end);
      this.#freeBlock(start, log2(piece));
      start += piece;
    }
    this.#freePages += pages;
  }

  /**
   * Takes `pages` consecutive pages, any number, aligned to the largest power of two in it. Contents are not cleared.
   * @param constraint of the first page; none of its bits in `set` is below that power of two
   * @returns the first page, or NO_BLOCK where no block will do
   * Cost: zones * a path through a bitmap (free-set.ts). Hot.
   */
  allocate(pages: number, constraint: Constraint = ANYWHERE): GuestFrame {
    const { set, clear } = constraint;
    if ((set & clear) !== 0 || (set & (floorPowerOfTwo(pages) - 1)) !== 0) return NO_BLOCK;
    for (let order = log2(pages); order < ZONES; order += 1) {
      const zone = this.#zones[order];
      const size = 2 ** order;
      const inBlock = set & (size - 1); // where in a block the run begins
      if (zone.size === 0 || inBlock + pages > size) continue;
      const block = zone.lowest(set >>> order, clear >>> order);
      if (block !== -1) return this.#carve(block, order, inBlock, pages);
    }
    return NO_BLOCK;
  }

  /**
   * Takes whatever is free of [start, end) out, so that it is nobody's: memory that is being emptied.
   * @returns how many pages that were
   */
  take(start: number, end: number): number {
    let taken = 0;
    for (let page = start; page < end; ) {
      const order = this.orderAt(page);
      if (order === -1) {
        page += 1;
        continue;
      }
      const block = page >>> order;
      const blockEnd = (block + 1) * 2 ** order;
      const pages = Math.min(end, blockEnd) - page;
      this.#carve(block, order, page - block * 2 ** order, pages);
      taken += pages;
      page += pages;
    }
    return taken;
  }

  assertInvariants(): void {
    let sum = 0;
    const seen = new Uint8Array(this.#capacity);
    for (let order = 0; order < ZONES; order += 1) {
      const zone = this.#zones[order];
      zone.assertInvariants();
      const size = 2 ** order;
      for (const block of zone.toArray()) {
        kassert((block + 1) * size <= seen.length, 'zone I1');
        for (let page = block * size; page < (block + 1) * size; page += 1) {
          kassert(seen[page] === 0, 'zone I1');
          seen[page] = 1;
        }
        kassert(!zone.has(block ^ 1), 'zone I4');
        sum += size;
      }
    }
    kassert(sum === this.#freePages, 'zone I3');
  }

  /** Takes pages [from, from + pages) of a free block out; the rest of it stays free. */
  #carve(block: number, order: number, from: number, pages: number): GuestFrame {
    const start = block * 2 ** order;
    const frame = start + from;
    this.#zones[order].remove(block);
    this.#freePages -= pages;
    this.#keep(start, frame);
    this.#keep(frame + pages, start + 2 ** order);
    return frame as GuestFrame;
  }

  /** Makes free blocks of [start, end), the side of a block that was not taken: none of them has its buddy free. */
  #keep(start: number, end: number): void {
    for (let at = start; at < end; ) {
      const piece = spanPiece(at, end);
      const order = log2(piece);
      this.#zones[order].add(at >>> order);
      at += piece;
    }
  }

  /** Adds one aligned block, merged with its buddy as often as that is free too. */
  #freeBlock(start: number, startOrder: number): void {
    let order = startOrder;
    let block = start >>> order;
    kassert(!this.#zones[order].has(block), 'zone I1');
    while (order < ZONES - 1 && this.#zones[order].has(block ^ 1)) {
      this.#zones[order].remove(block ^ 1);
      block >>>= 1;
      order += 1;
    }
    this.#zones[order].add(block);
  }

  /** Makes room for pages below `pages`. Only while memory is received for the first time. */
  #grow(pages: number): void {
    let capacity = Math.max(64, this.#capacity);
    while (capacity < pages) capacity *= 2;
    this.#capacity = capacity;
    for (let order = 0; order < ZONES; order += 1) this.#zones[order].grow(Math.ceil(capacity / 2 ** order));
  }
}
