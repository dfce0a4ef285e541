/**
 * Moving memory: a bound frame to other pages, and blocks opened by moving what is in them away.
 *
 *   before   [ a ][   ][ b ][   ]   [   ][ c ][   ]        four pages are wanted in one block
 *   take     [ a ][xxx][ b ][xxx]   [   ][ c ][   ]        what is free there is nobody's: nothing moves to it
 *   move     [xxx][xxx][xxx][xxx]   [ a ][ c ][ b ]        flush, copy, tell the frame; entries and groups stay
 *
 * A frame that is pinned does not move, nor does a part of a run; one with a constraint moves only to where it is met.
 * Clients fault again and notice nothing. Memory is opened on demand (openRun), and a little at a time while nobody
 * asks for anything (compact).
 *
 * Not here: where else memory may come from (reclaim.ts), who wants which memory (placement.ts).
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import type { GuestFrame } from '../../../hostkernel/base/units.ts';
import { accepts, ANYWHERE, type Constraint } from './constraint.ts';
import { floorPowerOfTwo, isPowerOfTwo, log2 } from './dyadic.ts';
import { BOUND, type FrameId, NO_FRAME, PINNED, PLACE } from './frame-table.ts';
import { flushFrame, split } from './frames.ts';
import type { Physmem } from './physmem.ts';
import { isRun, placementOf } from './placement.ts';
import { NO_BLOCK } from './zone.ts';

/** Memory that would do is there, but pinned. No errno: what an operation makes of it is EBUSY. */
export const BUSY = -5 as GuestFrame;

/** Frames and free blocks looked at for the best place, at most, where any place will do. */
const LOOKS = 4096;
const IMPOSSIBLE = Number.POSITIVE_INFINITY;
/** A frame that is pinned is in the way. */
const HELD = -1;

/** Who wants a run of memory, as far as it matters to what is in the way. */
interface Wants {
  readonly constraint: Constraint;
  /** Frames that can be nowhere else give way too. */
  readonly mayDisplace: boolean;
  /** Pages of the largest frame that is moved. */
  readonly largestFrame: number;
}

/** Gives a bound frame the block at `to` in place of the one it has, with the contents. The old block is the caller's. */
export function moveFrame(pm: Physmem, frame: FrameId, to: GuestFrame): void {
  const { table } = pm;
  const pages = 2 ** table.size[frame];
  kassert((table.state[frame] & (PLACE | PINNED)) === BOUND, 'move: pinned, or no memory to move');
  flushFrame(pm, frame);
  pm.memory.copy(to, table.address[frame] as GuestFrame, pages);
  pm.relocations += 1;
  pm.owners.unbound(frame);
  table.address[frame] = to;
  pm.owners.bound(frame);
  pm.counters.moves += 1;
  pm.counters.movedPages += pages;
}

/**
 * Opens a block of 2^size pages by moving frames away. Frames may have been split.
 * @returns the block, which is nobody's; NO_BLOCK, or BUSY where pinned memory is in the way
 */
export function openBlock(pm: Physmem, size: number, constraint: Constraint): GuestFrame {
  return openRun(pm, 2 ** size, constraint);
}

/** The same for a run of any number of pages, aligned to the largest power of two in it. */
export function openRun(pm: Physmem, pages: number, constraint: Constraint): GuestFrame {
  if (!pm.moving || pm.zones.freePages < pages) return NO_BLOCK;
  if (constraint.set === 0 && constraint.clear === 0) {
    if (pages === 1) return NO_BLOCK; // one that is free would have been found
    const start = cheapestOf(pm, pages, IMPOSSIBLE);
    return start === -1 ? NO_BLOCK : evacuate(pm, start, pages, false);
  }
  const { openFrom } = pm;
  const block = openBetween(pm, pages, constraint, openFrom, pm.received.end);
  if (block >= 0 || openFrom === 0) return block;
  const lower = openBetween(pm, pages, constraint, 0, openFrom);
  return lower === NO_BLOCK ? block : lower;
}

/** Opens the first run that starts in [from, to), meets the constraint, and can be emptied. */
function openBetween(pm: Physmem, pages: number, constraint: Constraint, from: number, to: number): GuestFrame {
  const { received } = pm;
  const wants: Wants = { constraint, mayDisplace: isExact(pm, pages, constraint), largestFrame: IMPOSSIBLE };
  const isBlock = isPowerOfTwo(pages);
  let isHeld = false;
  let start = received.nextRun(pages, constraint, from);
  for (; start !== -1 && start < to; start = received.nextRun(pages, constraint, start + 1)) {
    const cost = costOf(pm, start, pages, IMPOSSIBLE, wants);
    if (cost === HELD) isHeld = true;
    if (cost === HELD || cost === IMPOSSIBLE || (cost === 0 && isBlock)) continue; // a free block is for the zones to give
    const block = evacuate(pm, start, pages, wants.mayDisplace);
    if (block === NO_BLOCK) continue;
    pm.openFrom = block;
    return block;
  }
  return isHeld ? BUSY : NO_BLOCK;
}

/**
 * Brings a displaced frame back to where it wants to be: before it is pinned.
 * @returns 0, or NO_BLOCK, or BUSY
 */
export function settle(pm: Physmem, frame: FrameId): number {
  const { table } = pm;
  const placement = placementOf(table, frame);
  if (placement === undefined || !placement.isDisplaced) return 0;
  if (accepts(placement.constraint, table.address[frame])) {
    placement.isDisplaced = false; // it has been to disk meanwhile, or the place was free
    return 0;
  }
  const found = pm.zones.allocate(2 ** table.size[frame], placement.constraint);
  const block = found === NO_BLOCK ? openRun(pm, 2 ** table.size[frame], placement.constraint) : found;
  if (block < 0) return block;
  const old = table.address[frame] as GuestFrame;
  moveFrame(pm, frame, block);
  placement.isDisplaced = false;
  pm.zones.free(old, 2 ** table.size[frame]);
  return 0;
}

/** Whether free memory is to be compacted: no block has half of it, counted in powers of two. */
export function isScattered(pm: Physmem): boolean {
  const { zones } = pm;
  return pm.moving && zones.freePages > 1 && zones.largestOrder < targetOrder(zones.freePages);
}

function targetOrder(freePages: number): number {
  return log2(floorPowerOfTwo(freePages)) - 1;
}

/** What compact works on: a region it is emptying. */
export interface Compaction {
  /** First page, or -1. */
  start: number;
  order: number;
}

/**
 * Moves at most `most` pages so that free memory comes together, while the largest free block is less than half of what
 * is free. Nobody is waiting: regions that hold pinned memory, or frames larger than `most`, are left alone.
 * @returns pages moved; 0: there is nothing to do, or nothing that can be done
 */
export function compact(pm: Physmem, most: number): number {
  const { zones, compaction } = pm;
  if (!isScattered(pm)) {
    compaction.start = -1;
    return 0;
  }
  const target = targetOrder(zones.freePages);
  const largest = zones.largestOrder;
  if (compaction.start === -1) {
    for (let order = target; order > largest && compaction.start === -1; order -= 1) {
      compaction.start = cheapestOf(pm, 2 ** order, most);
      compaction.order = order;
    }
    if (compaction.start === -1) return 0;
  }
  const { start, order } = compaction;
  const end = start + 2 ** order;
  const cost = costOf(pm, start, 2 ** order, IMPOSSIBLE, { constraint: ANYWHERE, mayDisplace: false, largestFrame: most });
  if (cost === HELD || cost >= IMPOSSIBLE) {
    compaction.start = -1; // something was pinned there since the last time
    return 0;
  }
  const before = pm.counters.movedPages;
  takeFree(pm, start, end);
  const isDone = moveOut(pm, start, end, most, false);
  giveBack(pm, start, end);
  const moved = pm.counters.movedPages - before;
  if (isDone || moved === 0) compaction.start = -1;
  return moved;
}

/**
 * The run of `pages` pages with the fewest pages to move; -1 where none can be emptied, among those looked at. From the
 * top: memory is handed out from the bottom.
 */
function cheapestOf(pm: Physmem, pages: number, largestFrame: number): number {
  const { received } = pm;
  const wants: Wants = { constraint: ANYWHERE, mayDisplace: false, largestFrame };
  const step = floorPowerOfTwo(pages);
  let best = -1;
  let least = IMPOSSIBLE;
  const limit = pm.moveLooks + LOOKS;
  for (let start = Math.floor(received.end / step) * step; start >= 0 && pm.moveLooks < limit; start -= step) {
    if (received.nextRun(pages, ANYWHERE, start) !== start) continue;
    const cost = costOf(pm, start, pages, least, wants);
    if (cost === HELD || cost >= least || (cost === 0 && step === pages)) continue; // a free block is for the zones to give
    best = start;
    least = cost;
  }
  return best;
}

/**
 * Pages that have to be moved to empty a run: IMPOSSIBLE where one of them cannot, or as soon as it is `enough`; HELD
 * where one of them is pinned.
 */
function costOf(pm: Physmem, start: number, pages: number, enough: number, wants: Wants): number {
  const { table } = pm;
  const end = start + pages;
  let cost = 0;
  for (let page = start; page < end; ) {
    pm.moveLooks += 1;
    const frame = pm.owners.ownerOf(page) as FrameId;
    if (frame === NO_FRAME) {
      const order = pm.zones.orderAt(page);
      if (order === -1) return IMPOSSIBLE; // kept out of use
      page = blockEnd(page, order);
      continue;
    }
    if ((table.state[frame] & PINNED) !== 0) return HELD;
    if (2 ** table.size[frame] > wants.largestFrame || !mayMove(pm, frame, start, end, wants)) return IMPOSSIBLE;
    const next = Math.min(end, table.address[frame] + 2 ** table.size[frame]);
    cost += next - page;
    if (cost >= enough) return IMPOSSIBLE;
    page = next;
  }
  return cost;
}

/** Whether a constraint fixes every bit of an address in this machine. */
function isExact(pm: Physmem, pages: number, { set, clear }: Constraint): boolean {
  const bits = 2 * floorPowerOfTwo(pm.received.end) - 1;
  return ((set | clear | (floorPowerOfTwo(pages) - 1)) & bits) === bits;
}

/** Whether there seems to be a place for an unpinned frame that is in the way of [start, end). */
function mayMove(pm: Physmem, frame: FrameId, start: number, end: number, wants: Wants): boolean {
  const placement = placementOf(pm.table, frame);
  if (placement === undefined || placement.isDisplaced || wants.mayDisplace) return true;
  const address = pm.table.address[frame];
  const pages = 1 << pm.table.size[frame];
  if (placement.isRun && (address < start || address + pages > end)) return false; // it would have to be cut
  const { set, clear } = placement.constraint;
  if (pages >= end - start && set === wants.constraint.set && clear === wants.constraint.clear) return false; // none was found
  const place = pm.zones.allocate(pages, placement.constraint);
  if (place === NO_BLOCK) return false;
  pm.zones.free(place, pages);
  return true;
}

/** Empties a run and keeps it. @returns its first page, or NO_BLOCK: then it is as free as before */
function evacuate(pm: Physmem, start: number, pages: number, mayDisplace: boolean): GuestFrame {
  const end = start + pages;
  takeFree(pm, start, end);
  if (moveOut(pm, start, end, IMPOSSIBLE, mayDisplace)) return start as GuestFrame;
  giveBack(pm, start, end);
  return NO_BLOCK;
}

/** Takes what is free of [start, end) out of the zones. */
function takeFree(pm: Physmem, start: number, end: number): void {
  const { table, zones } = pm;
  for (let page = start; page < end; ) {
    const frame = pm.owners.ownerOf(page);
    const order = frame === NO_FRAME ? zones.orderAt(page) : -1;
    const next = frame === NO_FRAME ? blockEnd(page, order) : table.address[frame] + 2 ** table.size[frame];
    if (frame === NO_FRAME) zones.take(page, Math.min(end, next));
    page = next;
  }
}

/** The page behind the block of 2^order pages that holds `page`. */
function blockEnd(page: number, order: number): number {
  return (Math.floor(page / 2 ** order) + 1) * 2 ** order;
}

/** The opposite, for every page of the range that no frame has. */
function giveBack(pm: Physmem, start: number, end: number): void {
  const { table, zones } = pm;
  let free = start;
  for (let page = start; page < end; ) {
    const frame = pm.owners.ownerOf(page);
    if (frame === NO_FRAME) {
      page += 1;
      continue;
    }
    zones.free(free as GuestFrame, page - free);
    page = table.address[frame] + 2 ** table.size[frame];
    free = page;
  }
  if (free < end) zones.free(free as GuestFrame, end - free);
}

/**
 * Moves frames out of [start, end), of which nothing is free, until `most` pages have gone. Frames that reach beyond it
 * are cut, and so are those for which there is no block as large.
 * @returns whether it is empty
 */
function moveOut(pm: Physmem, start: number, end: number, most: number, mayDisplace: boolean): boolean {
  const { table, zones } = pm;
  let moved = 0;
  for (let page = start; page < end; ) {
    const frame = pm.owners.ownerOf(page) as FrameId;
    if (frame === NO_FRAME) {
      page += 1;
      continue;
    }
    if ((table.state[frame] & PINNED) !== 0) return false; // since the region was chosen
    const address = table.address[frame];
    const pages = 2 ** table.size[frame];
    if (address < start || address + pages > end) {
      split(pm, frame);
      continue;
    }
    if (moved + pages > most) return false;
    const to = elsewhere(pm, frame, mayDisplace);
    if (to === NO_BLOCK) {
      if (pages === 1 || isRun(table, frame) || zones.freePages < pages) return false;
      split(pm, frame);
      continue;
    }
    moveFrame(pm, frame, to);
    moved += pages;
    page = address + pages;
  }
  return true;
}

/** A block for a frame that has to leave, as it wants it; anywhere, where only the page it is on is what it wants. */
function elsewhere(pm: Physmem, frame: FrameId, mayDisplace: boolean): GuestFrame {
  const { table, zones } = pm;
  const pages = 2 ** table.size[frame];
  const placement = placementOf(table, frame);
  if (placement === undefined) return zones.allocate(pages);
  const place = zones.allocate(pages, placement.constraint);
  if (place !== NO_BLOCK) {
    placement.isDisplaced = false;
    return place;
  }
  if (!placement.isDisplaced && !(mayDisplace && isExact(pm, pages, placement.constraint))) return NO_BLOCK;
  const anywhere = zones.allocate(pages);
  if (anywhere !== NO_BLOCK) placement.isDisplaced = true;
  return anywhere;
}
