/**
 * What keeps pages as they are for a while: pins and locks. Both are ranges of a container, end by themselves, and belong
 * to the task that asked for them.
 *
 *   container   0    4    8    12   16
 *   pin         .    [====)    .    .     the memory stays: not moved, written out, released, given up       (pins.ts)
 *   lock        .    .    .    [=========) the owner keeps his hands off: also no writable mapping, no revoke (locks.ts)
 *
 * What is done by force (a task dies, a control is destroyed, a principal loses its memory) breaks holds; what is asked
 * for (deallocate, release, move, swap out) is refused with EBUSY at the first held page.
 * Not here: what pins mean for frames and copies (pinned.ts, access.ts).
 *
 * Invariants (assertHolds):
 *   I1  a hold is in its container's list and in the list of all; its container is alive
 *   I2  the frame of a pinned page is PINNED, has memory, and lies inside the pin; no other group on it is pinned
 *   I3  a frame that a device may write has entries of one group only
 *   I4  a principal's `pinned` is the sum of the pins in its containers
 *   I5  `next` is not later than the first hold that expires
 *   I6  locks of one container are disjoint
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import type { Container } from './container.ts';
import { BOUND, entriesOf, type FrameId, isCopyOnWrite, NO_ENTRY, PINNED, PLACE } from './frame-table.ts';
import type { Physmem } from './physmem.ts';
import { isGroupPinned, setPins } from './pinned.ts';

/** Who asks: a task, and the weak capability it uses. */
export interface Asker {
  readonly task: number;
  readonly weak: object | null; // null: a capability of the owner's
  readonly expires: number; // when the capability does; nothing it has asked for lasts longer
}

export interface Hold {
  readonly task: number; // who asked for it
  readonly weak: object | null; // by which weak capability
  readonly isLock: boolean;
  readonly container: Container;
  readonly from: number; // container page
  readonly to: number;
  readonly writes: boolean; // a pin: a device writes there
  readonly expires: number; // microseconds
}

/** All holds of a physmem. */
export class Holds {
  readonly all = new Set<Hold>();
  /** When to look for holds that have expired. */
  next = Number.POSITIVE_INFINITY;
}

export function addHold(pm: Physmem, hold: Hold): void {
  const { container, from, to } = hold;
  pm.holds.all.add(hold);
  pm.holds.next = Math.min(pm.holds.next, hold.expires);
  if (hold.isLock) container.locks = [...container.locks, hold];
  else {
    setPins(pm, container, [...container.pins, hold], from, to);
    container.control.principal.pinned += to - from;
  }
}

/** Ends a hold, in whatever way. */
export function endHold(pm: Physmem, hold: Hold): void {
  const { container, from, to } = hold;
  pm.holds.all.delete(hold);
  const isOther = (other: object) => other !== hold;
  if (hold.isLock) container.locks = container.locks.filter(isOther);
  else {
    setPins(pm, container, container.pins.filter(isOther), from, to);
    container.control.principal.pinned -= to - from;
  }
}

/** Ends the holds whose time is over. Cheap while there are none. */
export function expireHolds(pm: Physmem): void {
  if (pm.holds.next === Number.POSITIVE_INFINITY) return;
  const now = pm.now();
  if (now < pm.holds.next) return;
  let next = Number.POSITIVE_INFINITY;
  for (const hold of pm.holds.all) {
    if (hold.expires <= now) endHold(pm, hold);
    else next = Math.min(next, hold.expires);
  }
  pm.holds.next = next;
}

/** Ends all holds that `task` asked for: it has died. */
export function endHoldsOfTask(pm: Physmem, task: number): void {
  for (const hold of pm.holds.all) if (hold.task === task) endHold(pm, hold);
}

/** Ends all holds that were asked for by one weak capability. */
export function endHoldsOfWeak(pm: Physmem, weak: object): void {
  for (const hold of pm.holds.all) if (hold.weak === weak) endHold(pm, hold);
}

/** Ends the holds that meet [from, to): their pages are taken by force. */
export function breakHolds(pm: Physmem, container: Container, from: number, to: number): void {
  if (container.pins.length === 0 && container.locks.length === 0) return;
  for (const hold of pm.holds.all) if (hold.container === container && hold.from < to && from < hold.to) endHold(pm, hold);
}

/** The first page of [from, to) that is pinned or locked, or `to`. Cheap without holds. */
export function firstHeld(pm: Physmem, container: Container, from: number, to: number): number {
  if (container.pins.length === 0 && container.locks.length === 0) return to;
  expireHolds(pm);
  return firstIn(container.locks, from, firstIn(container.pins, from, to));
}

/** The same for locks only. */
export function firstLocked(pm: Physmem, container: Container, from: number, to: number): number {
  if (container.locks.length === 0) return to;
  expireHolds(pm);
  return firstIn(container.locks, from, to);
}

function firstIn(ranges: readonly { readonly from: number; readonly to: number }[], from: number, to: number): number {
  let first = to;
  for (const range of ranges) if (range.from < first && from < range.to) first = Math.max(from, range.from);
  return first;
}

/** The pin, or the lock, that `asker` asked for, of exactly [from, to); null where there is none. */
export function findHold(pm: Physmem, container: Container, isLock: boolean, from: number, to: number, asker: Asker): Hold | null {
  expireHolds(pm);
  for (const hold of pm.holds.all) {
    if (hold.container !== container || hold.isLock !== isLock || hold.from !== from || hold.to !== to) continue;
    if (hold.task === asker.task && hold.weak === asker.weak) return hold;
  }
  return null;
}

/** Checks I1 to I6. O(frames + holds). */
export function assertHolds(pm: Physmem): void {
  const { table } = pm;
  const pinned = new Map<object, number>();
  for (const hold of pm.holds.all) {
    const { container } = hold;
    kassert(container.alive && (hold.isLock ? container.locks : container.pins).includes(hold), 'holds I1');
    kassert(hold.expires >= pm.holds.next, 'holds I5');
    const { principal } = container.control;
    if (!hold.isLock) pinned.set(principal, (pinned.get(principal) ?? 0) + hold.to - hold.from);
  }
  let listed = 0;
  for (const container of pm.containers) {
    if (container === undefined) continue;
    const { locks, pins } = container;
    listed += locks.length + pins.length;
    kassert(container.control.principal.pinned === (pinned.get(container.control.principal) ?? 0), 'holds I4');
    kassert(
      locks.every((a) => locks.every((b) => a === b || a.to <= b.from || b.to <= a.from)),
      'holds I6',
    );
    for (const { from, to, writes } of pins) {
      for (let page = from; page < to; page += 1) {
        const entry = container.entries.at(page);
        kassert(entry !== NO_ENTRY, 'holds I2');
        const frame = table.frame[entry] as FrameId;
        const state = table.state[frame];
        kassert((state & PINNED) !== 0 && (state & PLACE) === BOUND, 'holds I2');
        kassert(table.log2[entry] === table.size[frame], 'holds I2');
        kassert(table.start[entry] >= from && table.start[entry] + (1 << table.log2[entry]) <= to, 'holds I2');
        kassert(!writes || !isCopyOnWrite(table, frame), 'holds I3');
        kassert(
          entriesOf(table, frame).every((other) => table.group[other] === table.group[entry] || !isGroupPinned(pm, other, false)),
          'holds I2',
        );
      }
    }
  }
  kassert(listed === pm.holds.all.size, 'holds I1');
}
