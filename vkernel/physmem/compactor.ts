/**
 * When physmem compacts memory: a little at a time, as long as free memory is scattered and that helps.
 *
 *   free memory changed --scattered?--> next = now + PAUSE --idle until then--> move PAGES pages --moved?--> again
 *
 * Not here: what is moved (core/move.ts).
 */

import { compact, isScattered } from './core/move.ts';
import type { Physmem } from './core/physmem.ts';

const PAUSE = 10_000; // microseconds between two steps
const PAGES = 64; // moved in a step, at most

export class Compactor {
  readonly #physmem: Physmem;
  #next = Number.POSITIVE_INFINITY;
  #freePages = -1; // when it was last looked whether they are scattered

  constructor(physmem: Physmem) {
    this.#physmem = physmem;
  }

  /** When the next step is due; Infinity for none. Moves nothing. Hot. */
  get next(): number {
    const { freePages } = this.#physmem.zones;
    if (this.#next === Number.POSITIVE_INFINITY && freePages !== this.#freePages) {
      this.#freePages = freePages;
      if (isScattered(this.#physmem)) this.#next = this.#physmem.now() + PAUSE;
    }
    return this.#next;
  }

  /** Makes a step if it is due. No reply that names memory may be on its way. */
  poll(): void {
    const { next } = this;
    if (next === Number.POSITIVE_INFINITY || this.#physmem.now() < next) return; // the clock is read only where it matters
    const moved = compact(this.#physmem, PAGES);
    this.#next = moved > 0 ? this.#physmem.now() + PAUSE : Number.POSITIVE_INFINITY;
  }
}
