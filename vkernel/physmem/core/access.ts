/**
 * What an access to a page needs: memory behind it, and for a write a frame that no copy shares.
 *
 *   bind        gives a promise its memory
 *   break       gives the group of an entry a frame of its own, with a copy of the contents
 *
 * Both fall back to smaller pieces where there is no block of the size; at a single page they cannot fail for a
 * principal within its guarantee.
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import { EBUSY, ENOMEM } from '../../../hostkernel/base/errno.ts';
import type { GuestFrame } from '../../../hostkernel/base/units.ts';
import { ANYWHERE, type Constraint } from './constraint.ts';
import type { Container } from './container.ts';
import { normalise } from './deallocate.ts';
import {
  attach,
  baseOf,
  BOUND,
  detach,
  type EntryId,
  type FrameId,
  isCopyOnWrite,
  NO_ENTRY,
  ON_DISK,
  PLACE,
  UNBOUND,
} from './frame-table.ts';
import { flush, readContents, split, takeMemory } from './frames.ts';
import { hasOtherUsers, settleSlots, yieldCopies } from './inactive.ts';
import { settleMoved } from './hidden.ts';
import { BUSY } from './move.ts';
import type { Physmem } from './physmem.ts';
import { isGroupPinned } from './pinned.ts';
import { constraintFor, followPlacement, isPlacedFor, isRun } from './placement.ts';
import { obtain, WAIT } from './reclaim.ts';

/**
 * Gives the frame of the entry that holds `page` memory, if it has none: all of it, or else smaller and smaller parts
 * around `page`. A promise is cleared; what is on disk is read, and its slots are free then if swap does not need them.
 * @returns the entry that holds `page` now; NO_ENTRY where not even one page is to be had: `pm.refusal` says why
 */
export function bind(pm: Physmem, found: EntryId, page: number): EntryId {
  const { table } = pm;
  const container = pm.containerOf(found);
  for (let entry = found; ; entry = entryAt(container, page)) {
    const frame = table.frame[entry] as FrameId;
    if ((table.state[frame] & PLACE) === BOUND) return entry;
    const size = table.size[frame];
    const address = blockFor(pm, size, constraintFor(table, frame), container);
    if (address >= 0) {
      if (fill(pm, frame, address)) return entry;
      if (size === 0 || isRun(table, frame)) return NO_ENTRY;
    }
    if (address === DISTURBED) {
      if (isGone(container, page, pm)) return NO_ENTRY;
      continue;
    }
    if (size === 0 || isRun(table, frame)) return refuse(pm, whyNot(address));
    split(pm, frame);
  }
}

/** Puts what a frame holds into the block at `address`, which is its memory then. @returns false: it cannot be read */
function fill(pm: Physmem, frame: FrameId, address: GuestFrame): boolean {
  const { table } = pm;
  const size = table.size[frame];
  if ((table.state[frame] & PLACE) === ON_DISK) {
    pm.refusal = readContents(pm, frame, 0, size, address);
    if (pm.refusal !== 0) {
      pm.zones.free(address, 1 << size);
      return false;
    }
    settleSlots(pm, frame);
  } else {
    pm.memory.zero(address, 1 << size);
    pm.counters.zeroedPages += 1 << size;
  }
  pm.counters.binds += 1;
  takeMemory(pm, frame, address);
  return true;
}

/**
 * Separates the group of the entry that holds `page` from the other groups of its frame, so that it may be written.
 * What moves to the new frame is the group's largest entry around `page`, with every member inside it: sharers stay
 * sharers, in whatever container. Members elsewhere on the frame stay: they never overlapped. Where the group is pinned,
 * or asked for the memory it has, the others move instead, one after the other.
 * @returns the entry that holds `page` now; NO_ENTRY where there is no memory for the copy (then nothing observable has
 *   changed, and `pm.refusal` says why). For a single page that cannot happen to a principal within its guarantee.
 */
export function breakCopyOnWrite(pm: Physmem, found: EntryId, page: number): EntryId {
  const { table } = pm;
  const container = pm.containerOf(found);
  for (let entry = found; ; entry = entryAt(container, page)) {
    const frame = table.frame[entry] as FrameId;
    if (!isCopyOnWrite(table, frame)) return entry;
    const base = movable(pm, baseOf(table, entry));
    const size = base === NO_ENTRY ? table.size[frame] : table.log2[base];
    const place = table.state[frame] & PLACE;
    if (place === ON_DISK && hasOtherUsers(pm, frame, entry)) {
      if (bind(pm, entry, page) === NO_ENTRY) return NO_ENTRY; // one read for all of them
      continue;
    }
    if (size === 0 && pm.hidden > 0 && pm.zones.freePages === 0 && yieldCopies(pm, entry)) continue;
    if (place !== UNBOUND && base !== NO_ENTRY && 1 << size <= pm.copyPages) {
      const address = blockFor(pm, size, ANYWHERE, container);
      if (address === DISTURBED) {
        if (isGone(container, page, pm)) return NO_ENTRY;
        continue;
      }
      if (address >= 0) {
        if (copyOut(pm, base, address)) continue;
        if (size === 0) return NO_ENTRY;
      }
      if (size === 0) return refuse(pm, whyNot(address));
    } else if (place === UNBOUND && base !== NO_ENTRY) {
      moveGroup(pm, base, table.newFrame(size, UNBOUND, 0));
      continue;
    }
    if (size === 0) return refuse(pm, EBUSY); // pinned on both sides
    split(pm, frame);
  }
}

/**
 * `base`, or where its group is pinned the base of a group that is not; NO_ENTRY where all are. A group that asked for
 * this memory counts as pinned as long as another can move.
 */
function movable(pm: Physmem, base: EntryId): EntryId {
  const { table } = pm;
  const isHeld = isGroupPinned(pm, base, false);
  if (!isHeld && !isPlacedFor(table, table.frame[base] as FrameId, table.group[base])) return base;
  for (let entry = table.first[table.frame[base]]; entry !== NO_ENTRY; entry = table.next[entry]) {
    if (table.group[entry] === table.group[base]) continue;
    const other = baseOf(table, entry as EntryId);
    if (!isGroupPinned(pm, other, false)) return other;
  }
  return isHeld ? NO_ENTRY : base;
}

/** Moves the group of `base` to a frame over the block at `address`, with a copy of the contents. @returns false: they cannot be read */
function copyOut(pm: Physmem, base: EntryId, address: GuestFrame): boolean {
  const { table } = pm;
  const frame = table.frame[base] as FrameId;
  const size = table.log2[base];
  if ((table.state[frame] & PLACE) === ON_DISK) {
    pm.refusal = readContents(pm, frame, table.offset[base], size, address);
    if (pm.refusal !== 0) {
      pm.zones.free(address, 1 << size);
      return false;
    }
  } else pm.memory.copy(address, (table.address[frame] + table.offset[base]) as GuestFrame, 1 << size);
  pm.counters.copies += 1;
  pm.counters.copiedPages += 1 << size;
  const target = table.newFrame(size, UNBOUND, 0);
  takeMemory(pm, target, address);
  moveGroup(pm, base, target);
  return true;
}

/** What `blockFor` returns where frames have changed meanwhile. */
const DISTURBED = -3 as GuestFrame;

/**
 * A block of 2^size pages. Where asking for it has changed which entry is on which frame, it goes back to the pool, and
 * the caller looks again: then the pool has it.
 */
function blockFor(pm: Physmem, size: number, constraint: Constraint, container: Container): GuestFrame {
  const { changes } = pm.table;
  const address = obtain(pm, size, constraint, container.control);
  if (pm.table.changes === changes) return address;
  if (address >= 0) pm.zones.free(address, 2 ** size);
  return DISTURBED;
}

/** Whether the page was taken away while memory was sought for it: its principal has lost everything. */
function isGone(container: Container, page: number, pm: Physmem): boolean {
  if (container.alive && container.entries.at(page) !== NO_ENTRY) return false;
  pm.refusal = ENOMEM;
  return true;
}

/** What the caller is told where `blockFor` had nothing. */
function whyNot(address: number): number {
  if (address === BUSY) return EBUSY;
  return address === WAIT ? WAIT : ENOMEM;
}

function refuse(pm: Physmem, why: number): EntryId {
  pm.refusal = why;
  return NO_ENTRY;
}

/** Moves `base` and the members of its group inside it to `target`, a frame of its size with its contents. */
function moveGroup(pm: Physmem, base: EntryId, target: FrameId): void {
  const { table } = pm;
  const frame = table.frame[base] as FrameId;
  const offset = table.offset[base];
  const size = table.log2[base];
  const group = table.group[base];
  flush(pm, frame, offset, size, table.granted[frame]);
  let next: number;
  for (let entry = table.first[frame]; entry !== NO_ENTRY; entry = next) {
    next = table.next[entry];
    if (table.group[entry] !== group || table.log2[entry] > size) continue;
    if (table.offset[entry] >>> size !== offset >>> size) continue;
    detach(table, entry as EntryId);
    table.offset[entry] -= offset;
    attach(table, entry as EntryId, target);
  }
  followPlacement(table, frame, target, group);
  if (pm.hidden > 0) settleMoved(pm, frame, target);
  normalise(pm, frame);
}

/** The entry that holds `page`, after a split: the page is present. */
function entryAt(container: Container, page: number): EntryId {
  const entry = container.entries.at(page);
  kassert(entry !== NO_ENTRY, 'frames: a page was lost in a split');
  return entry;
}
