/** The invariants of physmem.ts over all containers and frames, and the census of frames. For tests and accounts. */

import { kassert } from '../../../hostkernel/base/assert.ts';
import { MAP_WRITE } from '../interface.ts';
import type { Container } from './container.ts';
import { type MemoryControl, subtreeOf, sumOf } from './control.ts';
import {
  BOUND,
  type EntryId,
  entriesOf,
  type FrameId,
  type FrameTable,
  isCopyOnWrite,
  isCovered,
  PINNED,
  PLACE,
  STALE,
  UNBOUND,
} from './frame-table.ts';
import { assertHidden } from './hidden.ts';
import { assertHolds } from './holds.ts';
import type { Physmem } from './physmem.ts';
import { firstPinned } from './pinned.ts';
import { assertPlacement } from './placement.ts';
import { assertShares } from './share.ts';

/** How many frames there are, by log2 of their pages. */
export interface Census {
  readonly bound: readonly number[];
  readonly unbound: readonly number[];
}

/** All frames, in order of their ids. O(frames). */
export function framesOf(physmem: Physmem): FrameId[] {
  const frames: FrameId[] = [];
  for (let id = 1; id < physmem.table.frameEnd; id += 1) if (physmem.table.isFrame(id)) frames.push(id as FrameId);
  return frames;
}

export function censusOf(physmem: Physmem): Census {
  const bound: number[] = [];
  const unbound: number[] = [];
  for (const frame of framesOf(physmem)) {
    const counts = (physmem.table.state[frame] & PLACE) === UNBOUND ? unbound : bound;
    const size = physmem.table.size[frame];
    while (counts.length <= size) counts.push(0);
    counts[size] += 1;
  }
  return { bound, unbound };
}

export function assertInvariants(physmem: Physmem): void {
  const { zones, boundPages, table } = physmem;
  zones.assertInvariants();
  physmem.received.assertInvariants();
  const owner = new Map<number, FrameId>();
  let bound = 0;
  let entries = 0;
  const frames = framesOf(physmem);
  kassert(frames.length === table.frames, 'physmem I5');
  for (const frame of frames) {
    entries += assertFrame(physmem, frame);
    if ((table.state[frame] & PLACE) !== BOUND) continue;
    const pages = 2 ** table.size[frame];
    const address = table.address[frame];
    bound += pages;
    kassert(address % pages === 0, 'physmem I8');
    for (let page = address; page < address + pages; page += 1) {
      kassert(!owner.has(page), 'physmem I8');
      owner.set(page, frame);
    }
  }
  physmem.owners.assertInvariants(frames.filter((frame) => (table.state[frame] & PLACE) === BOUND));
  for (let order = 0; order < 31; order += 1) {
    for (const block of zones.blocks(order)) {
      for (let page: number = block; page < block + 2 ** order; page += 1) kassert(!owner.has(page), 'physmem I8');
    }
  }
  kassert(bound === boundPages, 'physmem I8');
  kassert(zones.freePages + bound + physmem.fixedPages === physmem.receivedPages, 'physmem I8');
  const containers = physmem.containers.filter((container) => container !== undefined);
  kassert(containers.filter(({ kind }) => kind === 'user').length === physmem.userContainers, 'physmem I12');
  for (const container of containers) assertContainer(physmem, container);
  kassert(entries === table.entries, 'physmem I5');
  kassert(entries === containers.reduce((sum, container) => sum + container.entries.size, 0), 'physmem I5');
  for (const control of subtreeOf(physmem.root)) assertControl(control);
  physmem.accounts.assertInvariants();
  assertHolds(physmem);
  assertShares(physmem);
  const shared = physmem.receivedPages - physmem.fixedPages;
  kassert(sumOf(physmem.root, (control) => control.limit) === shared, 'physmem I12');
  const idle = assertHidden(physmem, frames);
  kassert(bound - idle <= sumOf(physmem.root, (control) => control.used), 'physmem I13');
}

/** @returns how many entries the frame has */
function assertFrame(physmem: Physmem, frame: FrameId): number {
  const { table } = physmem;
  const entries = entriesOf(table, frame);
  kassert(entries.length > 0, 'physmem I5');
  for (const entry of entries) {
    kassert(table.frame[entry] === frame, 'physmem I5');
    kassert(physmem.containerOf(entry).entries.at(table.start[entry]) === entry, 'physmem I5');
    const pages = 2 ** table.log2[entry];
    const end = table.start[entry] + pages;
    const isPinned = firstPinned(physmem.containerOf(entry), table.start[entry], end) < end;
    kassert(!isPinned || (table.state[frame] & (PINNED | PLACE)) === (PINNED | BOUND), 'physmem I14');
    kassert(table.offset[entry] % pages === 0 && table.offset[entry] + pages <= 2 ** table.size[frame], 'physmem I1');
    kassert(
      entries.every((other) => isLaminar(table, entry, other)),
      'physmem I3',
    );
  }
  assertPlacement(table, frame);
  kassert(isCovered(table, frame), 'physmem I4');
  kassert(!isCopyOnWrite(table, frame) || (table.granted[frame] & MAP_WRITE) === 0, 'physmem I7');
  kassert((table.state[frame] & PLACE) === BOUND || table.granted[frame] === 0, 'physmem I7');
  const isStale = (table.state[frame] & STALE) !== 0;
  kassert(!isStale || (table.granted[frame] !== 0 && (table.granted[frame] & MAP_WRITE) === 0), 'physmem I11');
  return entries.length;
}

function isLaminar(table: FrameTable, a: EntryId, b: EntryId): boolean {
  const [startA, endA] = [table.offset[a], table.offset[a] + 2 ** table.log2[a]];
  const [startB, endB] = [table.offset[b], table.offset[b] + 2 ** table.log2[b]];
  if (endA <= startB || endB <= startA) return true;
  return endA - startA >= endB - startB ? startA <= startB && endB <= endA : startB <= startA && endA <= endB;
}

function assertContainer(physmem: Physmem, container: Container): void {
  const { table } = physmem;
  kassert(container.alive && container.control.alive, 'physmem I12');
  kassert(container.kind !== 'user' || container.control.containers.has(container), 'physmem I12');
  container.entries.assertInvariants();
  let pages = 0;
  for (const entry of container.entries.toArray()) {
    kassert(table.container[entry] === container.id && table.frame[entry] !== 0, 'physmem I5');
    pages += 2 ** table.log2[entry];
  }
  kassert(pages === container.pages, 'physmem I12');
}

function assertControl(control: MemoryControl): void {
  let used = 0;
  for (const container of control.containers) {
    kassert(container.control === control && container.alive && container.kind === 'user', 'physmem I12');
    used += container.pages;
  }
  kassert(used === control.used, 'physmem I12');
  for (const child of control.children) kassert(child.parent === control && child.alive, 'physmem I12');
}
