/**
 * Which frame has a physical page: one Int32 a page, written at the first page of each bound frame.
 *
 *   page     8    9    10   11   12   13   14   15
 *   owner    7    0    0    0    9    4    0    0         frame 7 has four pages, 9 and 4 have one; 14 and 15 are free
 *
 * Frames are aligned to their size, so the frame of a page starts at the page with some of its low bits cleared. Pages
 * inside a frame hold 0: the first start on the way down that holds a frame decides, whether that reaches the page or
 * not, for a larger frame below it would contain it.
 * Used to move memory, where only the address is known. A page is free (zone.ts) or has an owner, or is fixed.
 *
 * Invariants:
 *   I1  owner[address of f] = f for every bound frame f, and every other word is 0
 *   I2  no two frames overlap
 */

import { kassert } from '../../../hostkernel/base/assert.ts';

/** What is known of frames here: FrameTable has it. Arrays may be replaced as it grows. */
export interface FramePlaces {
  readonly address: Int32Array; // first page of a bound frame
  readonly size: Uint8Array; // log2 of pages
}

export class OwnerMap {
  #owner = new Int32Array(0);
  readonly #frames: FramePlaces;

  constructor(frames: FramePlaces) {
    this.#frames = frames;
  }

  /** Makes room for pages below `pages`. Done by `bound` too; early, it saves the copies. */
  grow(pages: number): void {
    if (pages <= this.#owner.length) return;
    const owner = new Int32Array(Math.max(this.#owner.length + (this.#owner.length >>> 3), pages));
    owner.set(this.#owner);
    this.#owner = owner;
  }

  /** `frame` has got memory at its address, or has it under a new number or in a new size. Hot. */
  bound(frame: number): void {
    const page = this.#frames.address[frame];
    const end = page + (1 << this.#frames.size[frame]);
    if (end > this.#owner.length) this.grow(end);
    this.#owner[page] = frame;
  }

  /** `frame` is about to lose the memory at its address. Hot. */
  unbound(frame: number): void {
    this.#owner[this.#frames.address[frame]] = 0;
  }

  /** The frame that has `page`, or 0. Cost: O(log of the frame's size), for a free page O(log of the memory). */
  ownerOf(page: number): number {
    const owner = this.#owner;
    if (page >= owner.length) return 0; // every frame ends before
    const size = this.#frames.size;
    for (let start = page; ; start &= start - 1) {
      const frame = owner[start];
      if (frame !== 0) return page < start + (1 << size[frame]) ? frame : 0;
      if (start === 0) return 0;
    }
  }

  /** @param bound all bound frames */
  assertInvariants(bound: Iterable<number>): void {
    const { address, size } = this.#frames;
    const words = this.#owner.slice();
    const seen = new Uint8Array(words.length);
    for (const frame of bound) {
      const start = address[frame];
      kassert(words[start] === frame, 'owner-map I1');
      words[start] = 0;
      for (let page = start; page < Math.min(seen.length, start + 2 ** size[frame]); page += 1) {
        kassert(seen[page] === 0, 'owner-map I2');
        seen[page] = 1;
      }
    }
    kassert(
      words.every((word) => word === 0),
      'owner-map I1',
    );
  }
}
