/**
 * Memory set aside for what an operation will copy at once: got before anything changes, so that the operation cannot
 * fail half way. Single pages, neither free nor in a frame; whatever is left goes back at the end of the operation.
 */

import { ENOMEM } from '../../../hostkernel/base/errno.ts';
import type { GuestFrame } from '../../../hostkernel/base/units.ts';
import { ANYWHERE } from './constraint.ts';
import type { MemoryControl } from './control.ts';
import { type FrameId, UNBOUND } from './frame-table.ts';
import { takeMemory } from './frames.ts';
import type { Physmem } from './physmem.ts';
import { obtain, WAIT } from './reclaim.ts';

/**
 * Sees to it that `pages` pages are set aside. Frames may have changed when it returns.
 * @returns 0, or why there are fewer: ENOMEM or WAIT
 */
export function reserve(pm: Physmem, pages: number, control: MemoryControl): number {
  while (pm.reserved.length < pages) {
    const address = obtain(pm, 0, ANYWHERE, control);
    if (address < 0) return address === WAIT ? WAIT : ENOMEM;
    pm.reserved.push(address);
  }
  return 0;
}

/** Gives back what was set aside and not used. */
export function unreserve(pm: Physmem): void {
  for (let address = pm.reserved.pop(); address !== undefined; address = pm.reserved.pop()) pm.zones.free(address, 1);
}

/**
 * A frame of one page with a copy of page `offset` of `frame`, which is in memory, made at once from what was set aside.
 */
export function physicalCopy(pm: Physmem, frame: FrameId, offset: number): FrameId {
  const { table } = pm;
  const address = pm.reserved.pop() as GuestFrame; // as many were reserved as are copied
  const target = table.newFrame(0, UNBOUND, 0);
  takeMemory(pm, target, address);
  pm.memory.copy(address, (table.address[frame] + offset) as GuestFrame, 1);
  pm.counters.copies += 1;
  pm.counters.copiedPages += 1;
  return target;
}
