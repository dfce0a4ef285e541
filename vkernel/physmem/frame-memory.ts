/** The memory of the machine as the core sees it, over the kernel: contents through our own mapping, blocks as fpages. */

import { kassert } from '../../hostkernel/base/assert.ts';
import { type GuestFrame, PAGE_SHIFT, PAGE_SIZE } from '../../hostkernel/base/units.ts';
import { fpage, type L4 } from '../l4/user.ts';
import { log2 } from './core/dyadic.ts';
import type { FrameMemory } from './core/physmem.ts';

/** Contents of guest memory through physmem's own mapping, which wortel entered with every block: it cannot fault. */
export function frameMemory(l4: L4): FrameMemory {
  return {
    zero(frame, pages) {
      const len = pages * PAGE_SIZE;
      kassert(l4.tryFill(frame * PAGE_SIZE, len, 0) === len, 'physmem: memory is not mapped');
    },
    copy(to, from, pages) {
      const len = pages * PAGE_SIZE;
      kassert(l4.tryCopy(to * PAGE_SIZE, from * PAGE_SIZE, len) === len, 'physmem: memory is not mapped');
    },
  };
}

/** The fpage of a dyadic block of guest memory at its place in physmem's space. */
export function blockFpage(frame: GuestFrame, pages: number, rights: number): number {
  return fpage(frame * PAGE_SIZE, log2(pages) + PAGE_SHIFT, rights);
}
