/**
 * Memory set aside for what an operation will copy at once: got before anything changes, so that the operation cannot
 * fail half way. Single pages, neither free nor in a frame; whatever is left goes back at the end of the operation.
 */

import { ENOMEM } from '../../../hostkernel/base/errno.ts';
import type { GuestFrame } from '../../../hostkernel/base/units.ts';
import { ANYWHERE } from './constraint.ts';
import type { Container } from './container.ts';
import type { MemoryControl } from './control.ts';
import { type EntryId, type FrameId, NO_ENTRY, UNBOUND } from './frame-table.ts';
import { takeMemory } from './frames.ts';
import type { Physmem } from './physmem.ts';
import { isGroupPinned } from './pinned.ts';
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

/** Whether a device may write where the group of an entry is: then its pages are copied at once, not on write. */
export function isDeviceWritten(pm: Physmem, entry: EntryId): boolean {
  return pm.pinnedRanges > 0 && isGroupPinned(pm, entry, true);
}

/** How many of the present pages in [from, to) devices may write. */
export function deviceWrittenPages(pm: Physmem, container: Container, from: number, to: number): number {
  const { table } = pm;
  if (pm.pinnedRanges === 0) return 0;
  let count = 0;
  for (let page = from; page < to; ) {
    const entry = container.entries.from(page);
    if (entry === NO_ENTRY || table.start[entry] >= to) break;
    const end = table.start[entry] + (1 << table.log2[entry]);
    if (isDeviceWritten(pm, entry)) count += Math.min(end, to) - Math.max(page, table.start[entry]);
    page = end;
  }
  return count;
}
