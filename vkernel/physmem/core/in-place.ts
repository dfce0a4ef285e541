/**
 * Copying in place: pages that are there take the values of others, as if they were written.
 *
 *   nobody shares the page    its entry is replaced by a logical copy of the source: one page out, one page in
 *   somebody shares it        he must see the new contents: the bytes are copied, into a page of the group's own
 *   it is to lie somewhere    the same: what was asked for is the memory (placement.ts)
 *
 * First every page that needs its bytes copied is prepared, which nobody can observe; then all of it is done, which
 * needs no memory any more.
 */

import { EBUSY, ENOENT, ENOMEM, ESRCH } from '../../../hostkernel/base/errno.ts';
import { type GuestFrame, PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { bind, breakCopyOnWrite } from './access.ts';
import { type Container, charge } from './container.ts';
import { copyPages } from './copy-pages.ts';
import { carve } from './deallocate.ts';
import { BOUND, type EntryId, type FrameId, NO_ENTRY, ON_DISK, PLACE } from './frame-table.ts';
import { flushFrame } from './frames.ts';
import type { Physmem } from './physmem.ts';
import { firstPinned, isDeviceWritten } from './pinned.ts';
import { isPlacedFor } from './placement.ts';
import { presentPages } from './range.ts';
import { WAIT } from './reclaim.ts';

/**
 * Source pages from `from` on become the contents of destination pages from `to` on. The ranges do not overlap.
 * @returns 0, an errno or WAIT as `copy` does, with `amount`
 */
export function copyInPlace(
  pm: Physmem,
  source: Container,
  from: number,
  destination: Container,
  to: number,
  pages: number,
  all: boolean,
): number {
  const present = presentPages(pm, source, from, pages);
  const there = presentPages(pm, destination, to, pages);
  const loose = firstPinned(destination, to, to + pages) - to;
  const possible = Math.min(present, there, loose);
  let error = 0;
  if (possible < pages) {
    if (possible === present) error = present === 0 ? ENOENT : ESRCH;
    else error = possible === there ? ENOMEM : EBUSY;
  }
  if (error !== 0 && all) return error;
  const ready = prepareInPlace(pm, source, from, destination, to, possible);
  if (ready < possible) {
    if (all || ready === 0) return pm.refusal;
    error = pm.refusal === WAIT ? 0 : pm.refusal;
  }
  const done = fill(pm, source, from, destination, to, ready);
  pm.amount = done * PAGE_SIZE;
  return done < ready ? pm.refusal : error;
}

/**
 * Gives every destination page that will take bytes a page in memory that no copy shares, and gets the bytes into
 * memory.
 * @returns how many pages from the left are ready; where not all are, `pm.refusal` says why
 */
export function prepareInPlace(pm: Physmem, source: Container, from: number, destination: Container, to: number, pages: number): number {
  for (let done = 0; done < pages; ) {
    const whole = runLength(pm, source, from + done, destination, to + done, pages - done);
    if (whole === 0) return done; // memory was taken from its owner meanwhile
    const count = replaceable(pm, source, from + done, destination, to + done, whole);
    if (count === 0 && !prepare(pm, source, from + done, destination, to + done)) return done;
    done += Math.max(1, count);
  }
  return pages;
}

/** Does what was prepared. @returns how many pages from the left are done; not all only if they were taken away */
function fill(pm: Physmem, source: Container, from: number, destination: Container, to: number, pages: number): number {
  for (let done = 0; done < pages; ) {
    const whole = runLength(pm, source, from + done, destination, to + done, pages - done);
    if (whole === 0) return done;
    const count = replaceable(pm, source, from + done, destination, to + done, whole);
    if (count === 0) {
      if (!copyBytes(pm, source, from + done, destination, to + done)) return done;
    } else if (!isSameCell(pm, source, from + done, destination, to + done)) {
      carve(pm, destination, destination.entries.at(to + done), to + done, to + done + count, false);
      charge(destination, -count);
      copyPages(pm, source, from + done, destination, to + done, count, false);
    }
    done += Math.max(1, count);
  }
  return pages;
}

/** How many pages from both starts on lie in one entry each, at most `pages`; 0 where one of the two is absent. */
function runLength(pm: Physmem, source: Container, from: number, destination: Container, to: number, pages: number): number {
  const { table } = pm;
  const given = source.entries.at(from);
  const taking = destination.entries.at(to);
  pm.refusal = ENOMEM;
  if (given === NO_ENTRY || taking === NO_ENTRY) return 0;
  const inGiven = table.start[given] + (1 << table.log2[given]) - from;
  return Math.min(pages, inGiven, table.start[taking] + (1 << table.log2[taking]) - to);
}

/** How many of the first `pages` pages, of one entry each, need no bytes copied: all, one or none. */
function replaceable(pm: Physmem, source: Container, from: number, destination: Container, to: number, pages: number): number {
  if (isSameCell(pm, source, from, destination, to)) return pages;
  const given = source.entries.at(from);
  const taking = destination.entries.at(to);
  if (isDeviceWritten(pm, given) || isSharedInto(pm, given, destination)) return 0;
  if (isPlacedFor(pm.table, pm.table.frame[taking] as FrameId, pm.table.group[taking])) return 0;
  if (!hasSharers(pm, taking, to, pages)) return pages;
  return hasSharers(pm, taking, to, 1) ? 0 : 1;
}

/** Whether the two pages are one already: sharers of each other. */
function isSameCell(pm: Physmem, source: Container, from: number, destination: Container, to: number): boolean {
  const { table } = pm;
  const given = source.entries.at(from);
  const taking = destination.entries.at(to);
  if (table.frame[given] !== table.frame[taking] || table.group[given] !== table.group[taking]) return false;
  return table.offset[given] + from - table.start[given] === table.offset[taking] + to - table.start[taking];
}

/** Whether others of its group see container pages [page, page + pages) of an entry. */
function hasSharers(pm: Physmem, entry: EntryId, page: number, pages: number): boolean {
  const { table } = pm;
  const from = table.offset[entry] + page - table.start[entry];
  for (let other = table.first[table.frame[entry]]; other !== NO_ENTRY; other = table.next[other]) {
    if (other === entry || table.group[other] !== table.group[entry]) continue;
    if (table.offset[other] < from + pages && from < table.offset[other] + (1 << table.log2[other])) return true;
  }
  return false;
}

/** Whether another entry of the group is in `destination`: filling that one must not find a copy to be owed. */
function isSharedInto(pm: Physmem, entry: EntryId, destination: Container): boolean {
  const { table } = pm;
  for (let other = table.first[table.frame[entry]]; other !== NO_ENTRY; other = table.next[other]) {
    if (other !== entry && table.group[other] === table.group[entry] && table.container[other] === destination.id) return true;
  }
  return false;
}

/** One page of `prepareInPlace`. @returns false: `pm.refusal` says why */
function prepare(pm: Physmem, source: Container, from: number, destination: Container, to: number): boolean {
  const { table } = pm;
  const given = source.entries.at(from);
  if ((table.state[table.frame[given]] & PLACE) === ON_DISK && bind(pm, given, from) === NO_ENTRY) return false;
  const taking = breakCopyOnWrite(pm, destination.entries.at(to), to);
  return taking !== NO_ENTRY && bind(pm, taking, to) !== NO_ENTRY;
}

/** Copies the bytes of one page. @returns false: what was prepared has been taken away; `pm.refusal` says why */
function copyBytes(pm: Physmem, source: Container, from: number, destination: Container, to: number): boolean {
  const { table } = pm;
  if (!prepare(pm, source, from, destination, to)) return false; // looks only, as long as nothing has been taken away
  const given = source.entries.at(from);
  const taking = destination.entries.at(to);
  const target = table.frame[taking] as FrameId;
  const address = (table.address[target] + table.offset[taking] + to - table.start[taking]) as GuestFrame;
  const origin = table.frame[given] as FrameId;
  flushFrame(pm, target);
  if ((table.state[origin] & PLACE) === BOUND) {
    pm.memory.copy(address, (table.address[origin] + table.offset[given] + from - table.start[given]) as GuestFrame, 1);
    pm.counters.copiedPages += 1;
  } else pm.memory.zero(address, 1);
  return true;
}
