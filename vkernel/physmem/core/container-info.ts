/** What is where in a container, one entry at a time: for its owner, and for those he lets in. */

import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { STATE_BOUND, STATE_COPY_ON_WRITE, STATE_LOCKED, STATE_ON_DISK, STATE_PINNED } from '../interface.ts';
import type { Container } from './container.ts';
import { BOUND, type EntryId, type FrameId, isCopyOnWrite, NO_ENTRY, ON_DISK, PLACE } from './frame-table.ts';
import { firstLocked } from './holds.ts';
import type { Physmem } from './physmem.ts';
import { firstPinned } from './pinned.ts';
import { isRange } from './range.ts';

/** In bytes; `state` is STATE_* bits. */
export interface ContainerInfo {
  readonly charged: number;
  readonly first: number; // of the entry at or behind the start asked for
  readonly length: number; // 0: there is none
  readonly state: number;
}

/** @returns null where `start` is no whole page of the address range */
export function containerInfo(pm: Physmem, container: Container, start: number): ContainerInfo | null {
  if (!isRange(pm, start, 0)) return null;
  const charged = container.pages * PAGE_SIZE;
  const entry = container.entries.from(start / PAGE_SIZE);
  if (entry === NO_ENTRY) return { charged, first: start, length: 0, state: 0 };
  const first = pm.table.start[entry] * PAGE_SIZE;
  return { charged, first, length: 2 ** pm.table.log2[entry] * PAGE_SIZE, state: stateOf(pm, container, entry) };
}

function stateOf(pm: Physmem, container: Container, entry: EntryId): number {
  const { table } = pm;
  const frame = table.frame[entry] as FrameId;
  const place = table.state[frame] & PLACE;
  const from = table.start[entry];
  const to = from + 2 ** table.log2[entry];
  let state = place === BOUND ? STATE_BOUND : place === ON_DISK ? STATE_ON_DISK : 0;
  if (isCopyOnWrite(table, frame)) state |= STATE_COPY_ON_WRITE;
  if (firstLocked(pm, container, from, to) < to) state |= STATE_LOCKED;
  if (firstPinned(container, from, to) < to) state |= STATE_PINNED;
  return state;
}
