/**
 * Swap space: where pages go that only swap entries use, and which of its slots are taken.
 *
 *   SwapStore    moves whole pages between slots and guest memory. Implementations: MemoryStore here, the disk of the host
 *                (platform/host-disk.ts); a disk driver of the guest's own would be a third
 *   SwapSlots    runs of 2^k slots as binary buddies, so that a frame on disk is the block [slot, slot + 2^k), and splits
 *                as a frame in memory does
 *
 * Not here: which frames are written when (inactive.ts), and who may have how many pages in swap (swap.ts).
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import { type GuestFrame, PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { NO_BLOCK, Zones } from './zone.ts';

/** Storage in slots of a page. A transfer that does not move all it should is an error, and may have moved anything. */
export interface SwapStore {
  /** Slots there are: 0 .. slots - 1. */
  readonly slots: number;
  /** Fills guest memory from `into` on with `pages` slots from `slot` on. @returns 0, or a positive errno */
  read(slot: number, into: GuestFrame, pages: number): number;
  /** Keeps guest memory from `from` on in `pages` slots from `slot` on. @returns 0, or a positive errno */
  write(slot: number, from: GuestFrame, pages: number): number;
}

/** Access to the bytes of guest memory, a page at a time. */
export interface PageBytes {
  /** Copies the page into `into`. */
  load(frame: GuestFrame, into: Uint8Array): void;
  /** Makes the page what `from` holds. */
  store(frame: GuestFrame, from: Uint8Array): void;
}

/** A store in our own memory: room is taken for slots that have been written only; the others read as zero. */
export class MemoryStore implements SwapStore {
  readonly slots: number;
  readonly #memory: PageBytes;
  readonly #pages = new Map<number, Uint8Array>();
  readonly #zero = new Uint8Array(PAGE_SIZE);

  constructor(slots: number, memory: PageBytes) {
    this.slots = slots;
    this.#memory = memory;
  }

  read(slot: number, into: GuestFrame, pages: number): number {
    for (let i = 0; i < pages; i += 1) this.#memory.store((into + i) as GuestFrame, this.#pages.get(slot + i) ?? this.#zero);
    return 0;
  }

  write(slot: number, from: GuestFrame, pages: number): number {
    for (let i = 0; i < pages; i += 1) {
      let page = this.#pages.get(slot + i);
      if (page === undefined) {
        page = new Uint8Array(PAGE_SIZE);
        this.#pages.set(slot + i, page);
      }
      this.#memory.load((from + i) as GuestFrame, page);
    }
    return 0;
  }
}

/** A store that counts the pages that reached it and came back. */
export class CountedStore implements SwapStore {
  readonly slots: number;
  readonly counters = { reads: 0, pagesRead: 0, writes: 0, pagesWritten: 0 };
  readonly #store: SwapStore;

  constructor(store: SwapStore) {
    this.slots = store.slots;
    this.#store = store;
  }

  read(slot: number, into: GuestFrame, pages: number): number {
    const error = this.#store.read(slot, into, pages);
    if (error === 0) {
      this.counters.reads += 1;
      this.counters.pagesRead += pages;
    }
    return error;
  }

  write(slot: number, from: GuestFrame, pages: number): number {
    const error = this.#store.write(slot, from, pages);
    if (error === 0) {
      this.counters.writes += 1;
      this.counters.pagesWritten += pages;
    }
    return error;
  }
}

/** No run of slots could be had. */
export const NO_SLOT = -1;

/** Slots handed to the buddies at first; then as many again as there are, so that tables grow with what is used. */
const FIRST_SLOTS = 256;

/**
 * Invariants:
 *   S1  used + free = opened <= slots
 *   S2  those of the buddies (zone.ts)
 */
export class SwapSlots {
  /** Slots there are. */
  readonly slots: number;
  /** Slots in use. */
  used = 0;
  readonly #zones = new Zones();
  #opened = 0; // slots the buddies know of

  constructor(slots: number) {
    kassert(Number.isInteger(slots) && slots > 0 && slots < 2 ** 31, 'swap: slots of the store');
    this.slots = slots;
  }

  /** Takes `pages` consecutive slots, a power of two, aligned to their number. @returns the first, or NO_SLOT */
  allocate(pages: number): number {
    for (;;) {
      const slot = this.#zones.allocate(pages);
      if (slot !== NO_BLOCK) {
        this.used += pages;
        return slot;
      }
      if (this.#opened === this.slots) return NO_SLOT;
      const more = Math.min(this.slots - this.#opened, Math.max(FIRST_SLOTS, this.#opened));
      this.#zones.free(this.#opened as GuestFrame, more);
      this.#opened += more;
    }
  }

  /** Gives `pages` consecutive slots back: any part of what was taken. */
  free(slot: number, pages: number): void {
    kassert(pages <= this.used && slot >= 0 && slot + pages <= this.#opened, 'swap: freed slots');
    this.#zones.free(slot as GuestFrame, pages);
    this.used -= pages;
  }

  assertInvariants(): void {
    this.#zones.assertInvariants();
    kassert(this.used + this.#zones.freePages === this.#opened && this.#opened <= this.slots, 'swap S1');
  }
}
