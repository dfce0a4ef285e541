/**
 * Swap space: which blocks of a device are in use. Whose pages are in them is known to pager.ts.
 *
 *   slot = block; block 0 is not used, since slot 0 stands for none. One bit a slot, set = in use
 *
 * Slots are given first fit, in runs where there are any, so that pages that go together come back together. The bits
 * grow with what has been used: a device may be far larger than what is ever on it.
 *
 * Invariants (assertInvariants):
 *   S1  `used` is the number of bits set, without that of slot 0
 *   S2  no slot at or beyond the end of the device is in use
 *   S3  no word before the hint has a free slot
 */

import { kassert } from '../base/assert.ts';

declare const slotBrand: unique symbol;

/** A block of the device that holds a page. */
export type SwapSlot = number & { readonly [slotBrand]: 'SwapSlot' };

export const NO_SLOT = 0 as SwapSlot;

/** Most slots given at once: a run lies within a word. */
export const MAX_RUN = 32;

const FIRST_WORDS = 64;
const MAX_SLOTS = 2 ** 31 - 32; // a slot is an element of an Int32Array
/** How far a run is looked for before single slots will do: 32,768 slots. */
const RUN_WORDS = 1024;

export class SwapSpace {
  /** Slots there are, used or not. */
  readonly slots: number;
  /** Slots the last allocate() gave: the first and those that follow it. */
  run = 0;
  #bits = new Uint32Array(FIRST_WORDS); // by slot >> 5
  #hint = 0; // first word that may have a free slot
  #used = 0;

  /** @param blocks of the device */
  constructor(blocks: number) {
    this.slots = Math.min(blocks, MAX_SLOTS) - 1;
    this.#bits[0] = 1;
  }

  /** Slots in use. */
  get used(): number {
    return this.#used;
  }

  /** Bytes of the bitmap. */
  get byteLength(): number {
    return this.#bits.byteLength;
  }

  isUsed(slot: SwapSlot): boolean {
    const word = slot >>> 5;
    return word < this.#bits.length && (this.#bits[word] & (1 << (slot & 31))) !== 0;
  }

  /**
   * Takes up to `count` slots that follow each other.
   * @param count 1..MAX_RUN
   * @returns the first, and `run` says how many; NO_SLOT: all are in use
   */
  allocate(count: number): SwapSlot {
    kassert(count > 0 && count <= MAX_RUN, 'swap: length of a run');
    this.run = 0;
    if (this.#used === this.slots) return NO_SLOT;
    while (this.#word(this.#hint) === 0xffff_ffff) this.#hint++;
    const first = count > 1 ? this.#findRun(count) : 0;
    let slot = first > 0 ? first : this.#findFree();
    while (this.run < count && slot + this.run <= this.slots && !this.isUsed((slot + this.run) as SwapSlot)) {
      const taken = slot + this.run;
      this.#bits[taken >>> 5] |= 1 << (taken & 31);
      this.run++;
    }
    this.#used += this.run;
    return slot as SwapSlot;
  }

  free(slot: SwapSlot): void {
    kassert(slot > 0 && this.isUsed(slot), 'swap: slot freed twice');
    const word = slot >>> 5;
    this.#bits[word] &= ~(1 << (slot & 31));
    if (word < this.#hint) this.#hint = word;
    this.#used--;
  }

  assertInvariants(): void {
    let used = 0;
    for (let word = 0; word < this.#bits.length; word++) {
      let rest = word === 0 ? this.#bits[0] & ~1 : this.#bits[word]; // slot 0 is none
      for (; rest !== 0; rest &= rest - 1) {
        used++;
        kassert(word * 32 + 31 - Math.clz32(rest & -rest) <= this.slots, 'swap S2');
      }
    }
    kassert(used === this.#used, 'swap S1');
    for (let word = 0; word < this.#hint; word++) kassert(this.#bits[word] === 0xffff_ffff, 'swap S3');
  }

  /** The bits of a word; the array is made long enough to have it. */
  #word(word: number): number {
    while (word >= this.#bits.length) {
      const bits = new Uint32Array(this.#bits.length * 2);
      bits.set(this.#bits);
      this.#bits = bits;
    }
    return this.#bits[word];
  }

  /** The first slot of `count` free ones in one word, not too far away; 0: none. */
  #findRun(count: number): number {
    const end = Math.min(this.#hint + RUN_WORDS, Math.floor((this.slots + 1) / 32));
    for (let word = this.#hint; word < end; word++) {
      let starts = ~this.#word(word); // bit i: the slots i .. i + length - 1 are free
      for (let length = 1; length < count && starts !== 0; ) {
        const step = Math.min(length, count - length);
        starts &= starts >>> step;
        length += step;
      }
      if (starts !== 0) return word * 32 + 31 - Math.clz32(starts & -starts);
    }
    return 0;
  }

  /** The first free slot; there is one. */
  #findFree(): number {
    let word = this.#hint;
    while (this.#word(word) === 0xffff_ffff) word++;
    const free = ~this.#bits[word];
    return word * 32 + 31 - Math.clz32(free & -free);
  }
}
