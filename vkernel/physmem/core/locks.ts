/**
 * Locks: a weak holder keeps the owner's hands off a range, so that a server can let a device write into memory of its
 * client without fear that the client takes it away.
 *
 * While it lasts the owner may not map the range writable, deallocate, release, move or swap out its pages, copy into
 * them, destroy the container, or revoke. What he has mapped writable is taken away when the lock begins. Others who
 * share the pages are not kept from anything, and neither is the holder.
 * Not here: where that is looked at (firstHeld and firstLocked of holds.ts), and how a lock ends (holds.ts).
 */

import { EBUSY, EDQUOT, EINVAL, ENOENT, EPERM } from '../../../hostkernel/base/errno.ts';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { WEAK_LOCK } from '../interface.ts';
import { type FrameId, NO_ENTRY } from './frame-table.ts';
import { revokeWrite } from './frames.ts';
import { addHold, endHold, findHold, firstLocked } from './holds.ts';
import type { Physmem } from './physmem.ts';
import { cappedDuration } from './pins.ts';
import { isRange } from './range.ts';
import type { WeakContainer } from './share.ts';

/** Locks one container may carry at a time: records are ours, and bounded. */
export const MAX_LOCKS = 64;

/**
 * Locks [start, start + size) for `duration` microseconds, at most MAX_HOLD_US. Pages may be absent.
 * @returns 0, or an errno, and then nothing has changed:
 *   EPERM   no LOCK right          EINVAL  not page aligned, size 0, wraps, no duration
 *   EBUSY   part of it is locked   EDQUOT  the container carries MAX_LOCKS already
 */
export function lock(pm: Physmem, weak: WeakContainer, start: number, size: number, duration: number): number {
  if ((weak.rights & WEAK_LOCK) === 0) return EPERM;
  const lasts = cappedDuration(duration);
  if (size === 0 || lasts === 0 || !isRange(pm, start, size)) return EINVAL;
  const { container, task } = weak;
  const from = start / PAGE_SIZE;
  const to = from + size / PAGE_SIZE;
  if (firstLocked(pm, container, from, to) < to) return EBUSY;
  if (container.locks.length >= MAX_LOCKS) return EDQUOT;
  const expires = Math.min(pm.now() + lasts, weak.expires);
  addHold(pm, { isLock: true, container, from, to, writes: false, expires, task, weak });
  takeWrite(pm, weak, from, to);
  return 0;
}

/** Ends a lock of the holder's of exactly this range. @returns 0; EINVAL not page aligned; ENOENT there is none */
export function unlock(pm: Physmem, weak: WeakContainer, start: number, size: number): number {
  if (!isRange(pm, start, size)) return EINVAL;
  const from = start / PAGE_SIZE;
  const hold = findHold(pm, weak.container, true, from, from + size / PAGE_SIZE, weak.asker);
  if (hold === null) return ENOENT;
  endHold(pm, hold);
  return 0;
}

/** Takes WRITE away from everybody who has it on a page of [from, to): whose mapping is whose cannot be told. */
function takeWrite(pm: Physmem, { container }: WeakContainer, from: number, to: number): void {
  const { table } = pm;
  for (let page = from; page < to; ) {
    const entry = container.entries.from(page);
    if (entry === NO_ENTRY || table.start[entry] >= to) return;
    revokeWrite(pm, table.frame[entry] as FrameId);
    page = table.start[entry] + (1 << table.log2[entry]);
  }
}
