/**
 * What happens to frames, whoever uses them: placing, covering with entries, splitting, flushing, getting memory.
 *
 *   split       one frame of 2n pages -> two of n over the same memory. No data moves, nothing is flushed or charged
 *   cover       entries over a part of a frame
 *
 * Not here: what an access needs (access.ts), and how a frame loses its users (deallocate.ts).
 *
 * Source: hurd-l4 physmem/frame.c, frame-entry.c, in a formulation of our own: there, re-homing survivors is a case
 * analysis of seven hundred lines.
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import type { GuestFrame } from '../../../hostkernel/base/units.ts';
import { MAP_WRITE } from '../interface.ts';
import type { Container } from './container.ts';
import { log2, spanPiece } from './dyadic.ts';
import {
  attach,
  BOUND,
  CLEAN,
  CONSTRAINED,
  detach,
  type EntryId,
  type FrameId,
  INACTIVE,
  NO_ENTRY,
  PINNED,
  PLACE,
  SOFT_ONLY,
  STALE,
  UNBOUND,
} from './frame-table.ts';
import { splitHidden } from './hidden.ts';
import type { Physmem } from './physmem.ts';
import { splitPlacement } from './placement.ts';

/** Puts a new promise of 2^size pages under container pages from `start` on, a free range. @returns the frame */
export function place(pm: Physmem, container: Container, start: number, size: number): FrameId {
  const { table } = pm;
  const frame = table.newFrame(size, UNBOUND, 0);
  container.entries.insert(table.newEntry(container.id, start, size, frame, 0, table.newGroup()));
  return frame;
}

/**
 * Reads 2^size pages of a frame on disk, from `offset` on, into memory at `address`. The slots stay the frame's.
 * @returns 0, or the errno of the store
 */
export function readContents(pm: Physmem, frame: FrameId, offset: number, size: number, address: GuestFrame): number {
  kassert(pm.swap !== null, 'frames: on disk without a disk');
  return pm.swap.read(pm.table.address[frame] + offset, address, 1 << size);
}

/** A frame on disk is a promise again: its slots are free. */
export function loseSlots(pm: Physmem, frame: FrameId): void {
  const { table } = pm;
  kassert(pm.swap !== null, 'frames: on disk without a disk');
  pm.swap.slots.free(table.address[frame], 1 << table.size[frame]);
  table.state[frame] = (table.state[frame] & ~PLACE) | UNBOUND;
}

/** Adds entries over frame pages [from, to), at the container pages that begin at `start`, all of `group`. */
export function cover(pm: Physmem, container: Container, start: number, frame: FrameId, from: number, to: number, group: number): void {
  for (let offset = from; offset < to; ) {
    const pages = spanPiece(offset, to);
    container.entries.insert(pm.table.newEntry(container.id, start + offset - from, log2(pages), frame, offset, group));
    offset += pages;
  }
}

/** A promise becomes memory: `frame` owns the block at `address` from now on. Its contents are the caller's. */
export function takeMemory(pm: Physmem, frame: FrameId, address: GuestFrame): void {
  const { table } = pm;
  table.address[frame] = address;
  table.state[frame] = (table.state[frame] & ~PLACE) | BOUND;
  pm.boundPages += 1 << table.size[frame];
  pm.owners.bound(frame);
}

/** The opposite: `frame` is a promise again. Nobody may have it mapped; the block is the caller's. */
export function loseMemory(pm: Physmem, frame: FrameId): void {
  const { table } = pm;
  kassert(table.granted[frame] === 0, 'frames: memory lost while it is mapped');
  pm.relocations += 1;
  pm.owners.unbound(frame);
  table.state[frame] = (table.state[frame] & ~PLACE) | UNBOUND;
  pm.boundPages -= 1 << table.size[frame];
}

/**
 * Revokes what was granted on the range of `entry`, for everybody: there is no way to unmap from one task only. With
 * `lazy` what could only be read stays readable while the memory is in use by others: the frame is marked.
 */
export function flushEntry(pm: Physmem, entry: EntryId, lazy: boolean): void {
  const { table } = pm;
  const frame = table.frame[entry] as FrameId;
  const isWritten = (table.granted[frame] & MAP_WRITE) !== 0 || (table.state[frame] & PINNED) !== 0; // or may be by a device
  if (lazy && table.granted[frame] !== 0 && !isWritten) {
    table.state[frame] |= STALE;
    return;
  }
  flush(pm, frame, table.offset[entry], table.log2[entry], table.granted[frame]);
}

/** Before a copy-on-write copy of `frame` exists: nobody may keep a writable mapping of any part of it. */
export function revokeWrite(pm: Physmem, frame: FrameId): void {
  if ((pm.table.granted[frame] & MAP_WRITE) !== 0) flush(pm, frame, 0, pm.table.size[frame], MAP_WRITE);
}

/** Revokes everything granted on a frame. */
export function flushFrame(pm: Physmem, frame: FrameId): void {
  flush(pm, frame, 0, pm.table.size[frame], pm.table.granted[frame]);
}

/** Revokes `rights` on 2^size pages of a frame. Where that is the whole frame, they count as never granted again. */
export function flush(pm: Physmem, frame: FrameId, offset: number, size: number, rights: number): void {
  const { table } = pm;
  if (table.granted[frame] === 0) return;
  kassert((table.state[frame] & PLACE) === BOUND, 'frames: rights granted on no memory');
  pm.counters.flushes += 1;
  pm.flushBlock((table.address[frame] + offset) as GuestFrame, 2 ** size, rights);
  if (size !== table.size[frame]) return;
  table.granted[frame] &= ~rights;
  if (table.granted[frame] === 0) table.state[frame] &= ~STALE;
}

/**
 * Replaces a frame by two halves over the same memory: `frame` itself becomes the lower one.
 * @returns the upper half; it has no entries where nobody uses that half
 */
export function split(pm: Physmem, frame: FrameId): FrameId {
  const { table } = pm;
  const size = table.size[frame] - 1;
  kassert(size >= 0, 'frames: splitting a page');
  const half = 1 << size;
  const isSomewhere = (table.state[frame] & PLACE) !== UNBOUND;
  const upper = table.newFrame(size, table.state[frame], isSomewhere ? table.address[frame] + half : 0);
  table.granted[upper] = table.granted[frame];
  table.size[frame] = size;
  if ((table.state[frame] & PLACE) === BOUND) pm.owners.bound(upper);
  pm.counters.splits += 1;
  let next: number;
  for (let entry = table.first[frame]; entry !== NO_ENTRY; entry = next) {
    next = table.next[entry];
    if (table.log2[entry] > size) {
      table.log2[entry] = size;
      const { id, entries } = pm.containerOf(entry as EntryId);
      entries.insert(table.newEntry(id, table.start[entry] + half, size, upper, 0, table.group[entry]));
    } else if (table.offset[entry] >= half) {
      detach(table, entry as EntryId);
      table.offset[entry] -= half;
      attach(table, entry as EntryId, upper);
    }
  }
  if ((table.state[frame] & CONSTRAINED) !== 0) splitPlacement(pm, frame, upper);
  if ((table.state[upper] & (INACTIVE | SOFT_ONLY | CLEAN)) !== 0) splitHidden(pm, frame, upper);
  return upper;
}
