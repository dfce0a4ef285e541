/**
 * The memory of the policy buffer: pages of physmem's own, which it reads and writes through its 1:1 mapping, and maps
 * to whoever holds the policy capability.
 *
 *   growth   take larger pages -> unmap the old ones from everybody -> the contents are copied (core/policy-buffer.ts)
 *            -> the policy server faults, asks for the buffer and is given the new ones -> the old ones are free
 *
 * Unmapped first, so that no word is written to the old pages behind the copy.
 */

import { kassert } from '../../hostkernel/base/assert.ts';
import { type GuestFrame, PAGE_SHIFT, PAGE_SIZE } from '../../hostkernel/base/units.ts';
import { fpage, type Fpage, type L4, RIGHT_READ, RIGHT_WRITE } from '../l4/user.ts';
import { ANYWHERE } from './core/constraint.ts';
import { log2 } from './core/dyadic.ts';
import type { Physmem } from './core/physmem.ts';
import type { Words } from './core/policy-buffer.ts';
import { obtain } from './core/reclaim.ts';
import { ROW_BYTES, WORD_BYTES } from './policy-layout.ts';

/** A run of pages in use as words. */
interface Block {
  readonly frame: GuestFrame;
  readonly pages: number; // power of two
}

export class PolicyPages {
  readonly #l4: L4;
  readonly #physmem: Physmem;
  #block: Block | null = null;
  #old: Block | null = null; // in the policy server's place until it has been given the new one

  constructor(l4: L4, physmem: Physmem) {
    this.#l4 = l4;
    this.#physmem = physmem;
  }

  /** Bytes of the buffer; 0 while there is none. */
  get bytes(): number {
    return (this.#block?.pages ?? 0) * PAGE_SIZE;
  }

  /** Takes zeroed pages for 2^capacityLog2 rows; what was there is unmapped. @returns them as words; null where they cannot be had */
  take(capacityLog2: number): Words | null {
    const pages = Math.max(1, (ROW_BYTES * 2 ** capacityLog2) / PAGE_SIZE);
    this.#giveBack();
    const physmem = this.#physmem;
    if (physmem.root.unused < pages) return null;
    const frame = obtain(physmem, log2(pages), ANYWHERE, physmem.root);
    if (frame < 0) return null;
    this.#account(-pages);
    physmem.memory.zero(frame, pages);
    this.#old = this.#block;
    this.#block = { frame, pages };
    if (this.#old !== null) this.#l4.unmap(fpageOf(this.#old), false);
    return wordsAt(this.#l4, frame * PAGE_SIZE);
  }

  /** What maps the buffer: the old pages have no reader any more, and are free. */
  mapped(): Fpage {
    this.#giveBack();
    const block = this.#block;
    kassert(block !== null, 'policy pages: no buffer');
    return fpageOf(block);
  }

  #giveBack(): void {
    if (this.#old === null) return;
    this.#physmem.zones.free(this.#old.frame, this.#old.pages);
    this.#account(this.#old.pages);
    this.#old = null;
  }

  /** The root may give away `pages` more, or less: physmem does not use them itself. */
  #account(pages: number): void {
    const { accounts, root } = this.#physmem;
    this.#physmem.fixedPages -= pages;
    accounts.receive(root, pages);
  }
}

function fpageOf({ frame, pages }: Block): Fpage {
  return fpage(frame * PAGE_SIZE, log2(pages) + PAGE_SHIFT, RIGHT_READ | RIGHT_WRITE);
}

/** physmem's own memory from `base` on, as words: mapped since the boot, so that no access can fault. */
function wordsAt(l4: L4, base: number): Words {
  return {
    load(index) {
      const word = l4.tryLoad32(base + index * WORD_BYTES);
      kassert(word >= 0, 'policy pages: memory is not mapped');
      return word;
    },
    store(index, value) {
      kassert(l4.tryStore32(base + index * WORD_BYTES, value), 'policy pages: memory is not mapped');
    },
  };
}
