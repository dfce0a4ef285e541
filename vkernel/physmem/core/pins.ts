/**
 * Pinning: memory that a device reads or writes by physical address stays where it is.
 *
 *   pin   bind -> separate, where that is needed -> split until the frame lies inside the range -> PINNED
 *
 * A device goes past every page table, so copy-on-write cannot see its writes. Hence two rules:
 *   - the pinned group keeps the memory. When it is written by a processor, the *other* groups get the copy (access.ts);
 *   - what a device may write has no copy-on-write partner. The pin makes the copy, and a logical copy taken while the pin
 *     lasts is made physically at once (copy.ts).
 * Not here: what a pin forbids (pinned.ts), and how it ends (holds.ts).
 */

import { EBUSY, EDQUOT, EINVAL, ENOENT, ENOMEM } from '../../../hostkernel/base/errno.ts';
import { type GuestFrame, PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { MAP_READ, MAP_WRITE, MAX_HOLD_US } from '../interface.ts';
import { bind, breakCopyOnWrite } from './access.ts';
import type { Container } from './container.ts';
import { CONSTRAINED, type EntryId, type FrameId, NO_ENTRY, PINNED, STALE } from './frame-table.ts';
import { flushFrame, split } from './frames.ts';
import { type Asker, addHold, endHold, expireHolds, findHold } from './holds.ts';
import { BUSY, settle } from './move.ts';
import type { Physmem } from './physmem.ts';
import { isGroupPinned } from './pinned.ts';
import type { Principal } from './principals.ts';
import { hasOnly, isRange, presentPages } from './range.ts';

/** Pins one container may carry at a time: each access to a pinned page looks at them. */
export const MAX_PINS = 256;

/** Where `pin` says what it has pinned: the reply being built. */
export interface PinSink {
  /** Runs it still takes. */
  readonly room: number;
  run(frame: GuestFrame, pages: number): void;
}

/** Pages a principal may have pinned at a time: a quarter of its guarantee; of the root's account, of what it keeps. */
export function pinQuota(principal: Principal): number {
  const { accounts, guaranteed, task } = principal;
  return Math.max(0, Math.floor((task === 0 ? accounts.pages - accounts.guaranteed : guaranteed) / 4));
}

/** How long a hold lasts that is asked for `duration` microseconds; 0: it is no duration. */
export function cappedDuration(duration: number): number {
  return duration > 0 ? Math.min(duration, MAX_HOLD_US) : 0;
}

/**
 * Pins [start, start + size) for `duration` microseconds, at most MAX_HOLD_US, and says where it lies: as far as `sink`
 * has room and memory is to be had; `amount` bytes. Flags: MAP_WRITE, a device will write there; MAP_READ changes nothing.
 * @returns 0, or an errno or WAIT, and then nothing is pinned:
 *   EINVAL  not page aligned, size 0, wraps, no duration, an unknown flag
 *   ENOENT  a page is absent
 *   EDQUOT  more than a quarter of the principal's guarantee would be pinned; a page pinned twice counts twice. The
 *           container carries MAX_PINS already
 *   ENOMEM  no memory for a promise, or for a copy, or where the page must lie
 *   EBUSY   the memory where it must lie is pinned
 */
export function pin(
  pm: Physmem,
  container: Container,
  asker: Asker,
  start: number,
  size: number,
  duration: number,
  flags: number,
  sink: PinSink,
): number {
  pm.amount = 0;
  const lasts = cappedDuration(duration);
  if (!hasOnly(flags, MAP_READ | MAP_WRITE) || size === 0 || lasts === 0 || !isRange(pm, start, size)) return EINVAL;
  const first = start / PAGE_SIZE;
  const pages = size / PAGE_SIZE;
  expireHolds(pm);
  if (presentPages(pm, container, first, pages) < pages) return ENOENT;
  const { principal } = container.control;
  if (principal.pinned + pages > pinQuota(principal) || container.pins.length >= MAX_PINS) return EDQUOT;
  const writes = (flags & MAP_WRITE) !== 0;
  const done = pinPages(pm, container, first, pages, writes, sink);
  if (done === 0) return pm.refusal;
  const { task, weak } = asker;
  const expires = Math.min(pm.now() + lasts, asker.expires);
  addHold(pm, { isLock: false, container, from: first, to: first + done, writes, expires, task, weak });
  pm.amount = done * PAGE_SIZE;
  return 0;
}

/** Ends a pin of the asker's of exactly this range. @returns 0; EINVAL not page aligned; ENOENT there is none */
export function unpin(pm: Physmem, container: Container, asker: Asker, start: number, size: number): number {
  if (!isRange(pm, start, size)) return EINVAL;
  const hold = findHold(pm, container, false, start / PAGE_SIZE, (start + size) / PAGE_SIZE, asker);
  if (hold === null) return ENOENT;
  endHold(pm, hold);
  return 0;
}

/**
 * Makes pages ready for a pin and marks their frames, which the hold has then to follow.
 * @returns how many; with 0 `pm.refusal` says why
 */
function pinPages(pm: Physmem, container: Container, first: number, pages: number, writes: boolean, sink: PinSink): number {
  const { table } = pm;
  const { pins } = container;
  const end = first + pages;
  let runStart = 0;
  let runPages = 0;
  let page = first;
  while (page < end) {
    const entry = readyToPin(pm, container, end, page, writes);
    if (entry === NO_ENTRY) break;
    const frame = table.frame[entry];
    const count = 1 << table.size[frame];
    if (runPages > 0 && table.address[frame] === runStart + runPages) runPages += count;
    else {
      if (runPages > 0) sink.run(runStart as GuestFrame, runPages);
      runPages = 0;
      if (sink.room === 0) break;
      runStart = table.address[frame];
      runPages = count;
    }
    table.state[frame] |= PINNED;
    page += count;
    container.pins = [...pins, { from: first, to: page, writes }]; // so that pages further on leave these where they are
  }
  container.pins = pins;
  if (runPages > 0) sink.run(runStart as GuestFrame, runPages);
  return page - first;
}

/** The entry that holds `page`, bound, separated, and with its frame inside [page, end); NO_ENTRY without memory. */
function readyToPin(pm: Physmem, container: Container, end: number, page: number, writes: boolean): EntryId {
  const { table } = pm;
  let entry = container.entries.at(page);
  if (entry === NO_ENTRY) return NO_ENTRY; // its principal has lost it while memory was sought for a page before it
  const state = table.state[table.frame[entry]];
  if (writes || ((state & PINNED) !== 0 && !isGroupPinned(pm, entry, false))) entry = breakCopyOnWrite(pm, entry, page);
  if (entry !== NO_ENTRY) entry = bind(pm, entry, page);
  if (entry === NO_ENTRY) return NO_ENTRY;
  for (;;) {
    entry = container.entries.at(page);
    const frame = table.frame[entry] as FrameId;
    const from = table.start[entry];
    const size = table.size[frame];
    if (table.log2[entry] === size && from === page && from + (1 << size) <= end) {
      if ((table.state[frame] & CONSTRAINED) !== 0) {
        const displaced = settle(pm, frame);
        if (displaced !== 0) {
          pm.refusal = displaced === BUSY ? EBUSY : ENOMEM;
          return NO_ENTRY;
        }
        if (container.entries.at(page) !== entry) continue;
      }
      if (writes && (table.state[frame] & STALE) !== 0) freshen(pm, frame);
      return entry;
    }
    split(pm, frame);
  }
}

/** Takes away what former users may still read, before the contents change. */
function freshen(pm: Physmem, frame: FrameId): void {
  flushFrame(pm, frame);
  pm.table.state[frame] &= ~STALE;
}
