/** The swap store that keeps pages in our own memory, reached through physmem's 1:1 mapping: swap space without a disk. */

import { kassert } from '../../hostkernel/base/assert.ts';
import { PAGE_SIZE } from '../../hostkernel/base/units.ts';
import type { L4 } from '../l4/user.ts';
import { MemoryStore } from './core/swap-store.ts';

/** A store of `slots` pages for the physmem thread whose view of the kernel is `l4`. */
export function memoryStore(l4: L4, slots: number): MemoryStore {
  return new MemoryStore(slots, {
    load: (frame, into) => kassert(l4.tryRead(frame * PAGE_SIZE, into, 0, PAGE_SIZE) === PAGE_SIZE, 'physmem: memory is not mapped'),
    store: (frame, from) => kassert(l4.tryWrite(frame * PAGE_SIZE, from, 0, PAGE_SIZE) === PAGE_SIZE, 'physmem: memory is not mapped'),
  });
}
