/** The invariants of physmem.ts over all containers and frames, and the census of frames. For tests and accounts. */

import { kassert } from '../../../hostkernel/base/assert.ts';
import type { Container } from './container.ts';
import { type MemoryControl, subtreeOf, sumOf } from './control.ts';
import { isPowerOfTwo, log2 } from './dyadic.ts';
import { entriesOf, type Frame, type FrameEntry, isCopyOnWrite, isCovered, UNBOUND } from './frame.ts';
import { MAP_WRITE } from '../interface.ts';
import type { Physmem } from './physmem.ts';

/** How many frames there are, by log2 of their pages. */
export interface Census {
  readonly bound: readonly number[];
  readonly unbound: readonly number[];
}

/** All frames in use. O(entries). */
export function framesOf(physmem: Physmem): Set<Frame> {
  const frames = new Set<Frame>();
  for (const container of containersOf(physmem.root)) {
    for (const entry of container.entries.toArray()) frames.add(entry.frame);
  }
  return frames;
}

export function censusOf(physmem: Physmem): Census {
  const bound: number[] = [];
  const unbound: number[] = [];
  for (const frame of framesOf(physmem)) {
    const counts = frame.address === UNBOUND ? unbound : bound;
    const size = log2(frame.pages);
    while (counts.length <= size) counts.push(0);
    counts[size] += 1;
  }
  return { bound, unbound };
}

/** The containers of a control and its descendants. */
export function containersOf(control: MemoryControl): Container[] {
  return subtreeOf(control).flatMap((each) => [...each.containers]);
}

export function assertInvariants(physmem: Physmem): void {
  const { zones, boundPages } = physmem.frames;
  zones.assertInvariants();
  const owner = new Map<number, Frame>();
  let bound = 0;
  for (const frame of framesOf(physmem)) {
    assertFrame(frame);
    if (frame.address === UNBOUND) continue;
    bound += frame.pages;
    kassert(frame.address % frame.pages === 0, 'physmem I8');
    for (let page: number = frame.address; page < frame.address + frame.pages; page += 1) {
      kassert(!owner.has(page), 'physmem I8');
      owner.set(page, frame);
    }
  }
  for (let order = 0; order < 31; order += 1) {
    for (const block of zones.blocks(order)) {
      for (let page: number = block; page < block + 2 ** order; page += 1) kassert(!owner.has(page), 'physmem I8');
    }
  }
  kassert(bound === boundPages, 'physmem I8');
  kassert(zones.freePages + bound + physmem.fixedPages === physmem.receivedPages, 'physmem I8');
  for (const control of subtreeOf(physmem.root)) assertControl(control);
  const shared = physmem.receivedPages - physmem.fixedPages;
  kassert(sumOf(physmem.root, (control) => control.limit) === shared, 'physmem I12');
  kassert(bound <= sumOf(physmem.root, (control) => control.used), 'physmem I13');
}

function assertFrame(frame: Frame): void {
  const entries = entriesOf(frame);
  kassert(isPowerOfTwo(frame.pages) && entries.length > 0, 'physmem I5');
  for (const entry of entries) {
    kassert(entry.frame === frame && entry.container.alive, 'physmem I5');
    kassert(entry.container.entries.at(entry.start) === entry, 'physmem I5');
    kassert(isPowerOfTwo(entry.pages) && entry.offset % entry.pages === 0 && entry.offset + entry.pages <= frame.pages, 'physmem I1');
    kassert(
      entries.every((other) => isLaminar(entry, other)),
      'physmem I3',
    );
  }
  kassert(isCovered(frame), 'physmem I4');
  kassert(!isCopyOnWrite(frame) || (frame.granted & MAP_WRITE) === 0, 'physmem I7');
  kassert(frame.address !== UNBOUND || frame.granted === 0, 'physmem I7');
}

function isLaminar(a: FrameEntry, b: FrameEntry): boolean {
  if (a.offset + a.pages <= b.offset || b.offset + b.pages <= a.offset) return true;
  const [outer, inner] = a.pages >= b.pages ? [a, b] : [b, a];
  return outer.offset <= inner.offset && inner.offset + inner.pages <= outer.offset + outer.pages;
}

function assertControl(control: MemoryControl): void {
  let used = 0;
  for (const container of control.containers) {
    kassert(container.control === control && container.alive, 'physmem I12');
    container.entries.assertInvariants();
    const pages = container.entries.toArray().reduce((sum, entry) => sum + entry.pages, 0);
    kassert(pages === container.pages, 'physmem I12');
    used += pages;
  }
  kassert(used === control.used && used <= control.limit, 'physmem I12');
  for (const child of control.children) kassert(child.parent === control && child.alive, 'physmem I12');
}
