/**
 * What pins forbid: a page that is pinned keeps its physical memory, whatever happens around it.
 *
 *   container   pins: ranges of pages        the truth
 *   frame       PINNED                       an entry of it meets a pin: a look at the pins is worth while
 *
 * A group is pinned with each of its members. If it has to be separated from other groups, the others get the copy. A
 * group pinned for writing is never copied on write: a device writes past every page table.
 * Not here: making and ending pins, their limits and their time (pins.ts).
 */

import type { Container, PinnedRange } from './container.ts';
import { type EntryId, type FrameId, NO_ENTRY, PINNED } from './frame-table.ts';
import type { Physmem } from './physmem.ts';

/** The first pinned page of [from, to), or `to`. */
export function firstPinned(container: Container, from: number, to: number): number {
  let first = to;
  for (const pin of container.pins) {
    if (pin.from < first && pin.to > from) first = Math.max(from, pin.from);
  }
  return first;
}

/** Whether a pin, with `writes` one for writing, meets the range of an entry. */
function isPinned(pm: Physmem, entry: EntryId, writes: boolean): boolean {
  const start = pm.table.start[entry];
  const end = start + (1 << pm.table.log2[entry]);
  return pm.containerOf(entry).pins.some((pin) => pin.from < end && pin.to > start && (!writes || pin.writes));
}

/** Whether a member of `base`'s group inside the interval of `base` is pinned. */
export function isGroupPinned(pm: Physmem, base: EntryId, writes: boolean): boolean {
  const { table } = pm;
  const frame = table.frame[base];
  if ((table.state[frame] & PINNED) === 0) return false;
  const size = table.log2[base];
  for (let entry = table.first[frame]; entry !== NO_ENTRY; entry = table.next[entry]) {
    if (table.group[entry] !== table.group[base]) continue;
    const common = Math.max(size, table.log2[entry]);
    if (table.offset[entry] >>> common === table.offset[base] >>> common && isPinned(pm, entry as EntryId, writes)) return true;
  }
  return false;
}

/** Sets the mark of a frame by the pins there are. To be called when pins of a container it is in have changed. */
function refreshPinned(pm: Physmem, frame: FrameId): void {
  const { table } = pm;
  table.state[frame] &= ~PINNED;
  for (let entry = table.first[frame]; entry !== NO_ENTRY; entry = table.next[entry]) {
    if (isPinned(pm, entry as EntryId, false)) table.state[frame] |= PINNED;
  }
}

/** Replaces the pins of a container by a new list, and sets the marks of the frames in [from, to), where they differ. */
export function setPins(pm: Physmem, container: Container, pins: readonly PinnedRange[], from: number, to: number): void {
  const { table } = pm;
  pm.pinnedRanges += pins.length - container.pins.length;
  container.pins = pins;
  for (let page = from; page < to; ) {
    const entry = container.entries.from(page);
    if (entry === NO_ENTRY || table.start[entry] >= to) return;
    refreshPinned(pm, table.frame[entry] as FrameId);
    page = table.start[entry] + (1 << table.log2[entry]);
  }
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
