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
import { ENOMEM } from '../../../hostkernel/base/errno.ts';
import type { GuestFrame } from '../../../hostkernel/base/units.ts';
import { ANYWHERE } from './constraint.ts';
import type { Container } from './container.ts';
import { normalise } from './deallocate.ts';
import { attach, baseOf, BOUND, detach, type EntryId, type FrameId, isCopyOnWrite, NO_ENTRY, PLACE, UNBOUND } from './frame-table.ts';
import { flush, split, takeMemory } from './frames.ts';
import type { Physmem } from './physmem.ts';
import { obtain, WAIT } from './reclaim.ts';

/**
 * Gives the frame of the entry that holds `page` memory, if it has none: all of it, or else smaller and smaller parts
 * around `page`. Cleared.
 * @returns the entry that holds `page` now; NO_ENTRY where not even one page is to be had: `pm.refusal` says why
 */
export function bind(pm: Physmem, found: EntryId, page: number): EntryId {
  const { table } = pm;
  const container = pm.containerOf(found);
  for (let entry = found; ; entry = entryAt(container, page)) {
    const frame = table.frame[entry] as FrameId;
    if ((table.state[frame] & PLACE) === BOUND) return entry;
    const address = blockFor(pm, table.size[frame], container);
    if (address >= 0) {
      pm.memory.zero(address, 1 << table.size[frame]);
      takeMemory(pm, frame, address);
      pm.counters.binds += 1;
      pm.counters.zeroedPages += 1 << table.size[frame];
      return entry;
    }
    if (address === DISTURBED) {
      if (isGone(container, page, pm)) return NO_ENTRY;
      continue;
    }
    if (table.size[frame] === 0) return refuse(pm, address);
    split(pm, frame);
  }
}

/**
 * Separates the group of the entry that holds `page` from the other groups of its frame, so that it may be written.
 * What moves to the new frame is the group's largest entry around `page`, with every member inside it: sharers stay
 * sharers, in whatever container. Members elsewhere on the frame stay: they never overlapped.
 * @returns the entry that holds `page` now; NO_ENTRY where there is no memory for the copy (then nothing observable has
 *   changed, and `pm.refusal` says why). For a single page that cannot happen to a principal within its guarantee.
 */
export function breakCopyOnWrite(pm: Physmem, found: EntryId, page: number): EntryId {
  const { table } = pm;
  const container = pm.containerOf(found);
  for (let entry = found; ; entry = entryAt(container, page)) {
    const frame = table.frame[entry] as FrameId;
    if (!isCopyOnWrite(table, frame)) return entry;
    const base = baseOf(table, entry);
    const size = table.log2[base];
    const hasContents = (table.state[frame] & PLACE) !== UNBOUND;
    if (hasContents && 1 << size > pm.copyPages) {
      split(pm, frame);
      continue;
    }
    if (!hasContents) {
      moveGroup(pm, base, table.newFrame(size, UNBOUND, 0));
      normalise(pm, frame);
      return entry;
    }
    const address = blockFor(pm, size, container);
    if (address >= 0) {
      const target = table.newFrame(size, UNBOUND, 0);
      takeMemory(pm, target, address);
      moveGroup(pm, base, target);
      normalise(pm, frame);
      return entry;
    }
    if (address === DISTURBED) {
      if (isGone(container, page, pm)) return NO_ENTRY;
      continue;
    }
    if (size === 0) return refuse(pm, address);
    split(pm, frame);
  }
}

/** What `blockFor` returns where frames have changed meanwhile. */
const DISTURBED = -3 as GuestFrame;

/**
 * A block of 2^size pages. Where asking for it has changed which entry is on which frame, it goes back to the pool, and
 * the caller looks again: then the pool has it.
 */
function blockFor(pm: Physmem, size: number, container: Container): GuestFrame {
  const { changes } = pm.table;
  const address = obtain(pm, size, ANYWHERE, container.control);
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

function refuse(pm: Physmem, address: number): EntryId {
  pm.refusal = address === WAIT ? WAIT : ENOMEM;
  return NO_ENTRY;
}

/** Moves `base` and the members of its group inside it to `target`, with the contents. */
function moveGroup(pm: Physmem, base: EntryId, target: FrameId): void {
  const { table } = pm;
  const frame = table.frame[base] as FrameId;
  const offset = table.offset[base];
  const size = table.log2[base];
  const group = table.group[base];
  flush(pm, frame, offset, size, table.granted[frame]);
  if ((table.state[target] & PLACE) === BOUND) {
    pm.memory.copy(table.address[target] as GuestFrame, (table.address[frame] + offset) as GuestFrame, 1 << size);
    pm.counters.copies += 1;
    pm.counters.copiedPages += 1 << size;
  }
  let next: number;
  for (let entry = table.first[frame]; entry !== NO_ENTRY; entry = next) {
    next = table.next[entry];
    if (table.group[entry] !== group || table.offset[entry] >>> size !== offset >>> size) continue;
    if (table.log2[entry] > size) continue;
    detach(table, entry as EntryId);
    table.offset[entry] -= offset;
    attach(table, entry as EntryId, target);
  }
}

/** The entry that holds `page`, after a split: the page is present. */
function entryAt(container: Container, page: number): EntryId {
  const entry = container.entries.at(page);
  kassert(entry !== NO_ENTRY, 'frames: a page was lost in a split');
  return entry;
}
