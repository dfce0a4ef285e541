/**
 * Frames that remember which memory they want: what DMA, CONSTRAINED and CONTIGUOUS asked for.
 *
 * A placement belongs to the group of entries that was there when it was made, on the frame that has it now. It lasts as
 * long as a member of the group is on the frame: a copy-on-write copy does not inherit it, and a frame that only copies
 * still use may lie anywhere. When the group is separated from others, it keeps the memory and they get the copy
 * (access.ts).
 *
 *   split       each half takes over the bits from its parent's size up; halves of a run stay exactly where they are
 *   run         CONTIGUOUS: the frame is a part of consecutive memory, so it is neither cut to be bound nor moved
 *   shared      a frame has one placement: a page that is taken in from swap onto a frame that another group has placed
 *               loses its own
 *   displaced   only an exact address drives out a frame that can be nowhere else. It comes back when it is pinned:
 *               an address is of use only as long as it is pinned (settle in move.ts)
 *
 * Not here: the words (constraint.ts), and moving (move.ts).
 *
 * Invariants:
 *   I1  a frame has a placement exactly if its state says CONSTRAINED
 *   I2  a frame that is bound, and not displaced, meets its placement
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { CONSTRAINED as CONSTRAINED_FLAG, CONTIGUOUS, DMA } from '../interface.ts';
import { accepts, ANYWHERE, at, type Constraint, constraintOf, DMA16, highPart } from './constraint.ts';
import { floorPowerOfTwo, log2, spanPiece } from './dyadic.ts';
import { BOUND, CONSTRAINED, type EntryId, type FrameId, type FrameTable, NO_ENTRY, PLACE } from './frame-table.ts';
import type { Physmem } from './physmem.ts';

export interface Placement {
  readonly constraint: Constraint;
  readonly group: number;
  readonly isRun: boolean;
  isDisplaced: boolean;
}

/**
 * What the flags of an allocation of `pages` and its two words ask for.
 * @returns null where no memory that was received can ever be that
 */
export function placementAsked(pm: Physmem, flags: number, pages: number, mustSet: number, mustClear: number): Constraint | null {
  const most = Math.min(pages, pm.received.end); // a message may name more pages than can be counted below
  const isConstrained = (flags & CONSTRAINED_FLAG) !== 0;
  const asked = constraintOf(isConstrained ? mustSet : 0, isConstrained ? mustClear : 0, floorPowerOfTwo(most));
  const dma = (flags & DMA) === 0 ? null : constraintOf(DMA16.set, DMA16.clear, 1);
  if (asked === null) return null;
  const constraint = dma === null ? asked : { set: asked.set, clear: asked.clear | dma.clear };
  if ((constraint.set & constraint.clear) !== 0) return null;
  if ((flags & CONTIGUOUS) !== 0) {
    const start = pages > most ? -1 : pm.received.nextRun(pages, constraint, 0);
    return start === -1 || (dma !== null && !accepts(dma, start + pages - 1)) ? null : constraint;
  }
  for (let done = 0; done < most; ) {
    const piece = spanPiece(done, most);
    if (pm.received.nextRun(1, highPart(constraint, log2(piece)), 0) === -1) return null; // page by page, if need be
    done += piece;
  }
  return constraint;
}

/** Makes `frame` remember a constraint, for its one group. */
export function constrain(pm: Physmem, frame: FrameId, constraint: Constraint, isRun: boolean): void {
  const { table } = pm;
  kassert(table.first[frame] !== NO_ENTRY, 'placement: of a frame nobody uses');
  table.state[frame] |= CONSTRAINED;
  table.placements.set(frame, { constraint, group: table.group[table.first[frame]], isRun, isDisplaced: false });
}

/** The same for a part of a run that is bound: here and nowhere else. */
export function constrainHere(pm: Physmem, frame: FrameId): void {
  const exact = at(pm.table.address[frame] * PAGE_SIZE);
  const constraint = constraintOf(exact.set, exact.clear, 1);
  kassert(constraint !== null, 'placement: an address');
  constrain(pm, frame, constraint, true);
}

/** What `frame` wants, or undefined: nobody is left who asked for it. */
export function placementOf(table: FrameTable, frame: FrameId): Placement | undefined {
  if ((table.state[frame] & CONSTRAINED) === 0) return undefined;
  const placement = table.placements.get(frame);
  kassert(placement !== undefined, 'placement I1');
  return hasGroup(table, frame, placement.group) ? placement : undefined;
}

/** The constraint memory for `frame` has to meet. Hot where there is none. */
export function constraintFor(table: FrameTable, frame: FrameId): Constraint {
  const placement = placementOf(table, frame);
  return placement === undefined ? ANYWHERE : placement.constraint;
}

/** Whether the memory of `frame` is the one that `group` asked for. Hot where nobody did. */
export function isPlacedFor(table: FrameTable, frame: FrameId, group: number): boolean {
  const placement = placementOf(table, frame);
  return placement !== undefined && placement.group === group;
}

/** Whether `frame` must not be cut in order to find memory for it. */
export function isRun(table: FrameTable, frame: FrameId): boolean {
  const placement = placementOf(table, frame);
  return placement !== undefined && placement.isRun;
}

/** After `frame` was cut into itself and `upper`, of 2^size pages each. */
export function splitPlacement(pm: Physmem, frame: FrameId, upper: FrameId): void {
  const { table } = pm;
  const placement = table.placements.get(frame);
  kassert(placement !== undefined, 'placement I1');
  const stays = placement.isRun && (table.state[frame] & PLACE) === BOUND && !placement.isDisplaced;
  for (const half of [frame, upper]) {
    const exact = at(table.address[half] * PAGE_SIZE);
    const constraint = stays ? constraintOf(exact.set, exact.clear, 1) : highPart(placement.constraint, table.size[frame] + 1);
    kassert(constraint !== null, 'placement: an address');
    table.placements.set(half, { ...placement, constraint });
  }
}

/**
 * `group` has moved from `from` to `to`, a frame of its own: if it asked for certain memory it still wants it. That
 * happens only where all others on `from` are pinned.
 */
export function followPlacement(table: FrameTable, from: FrameId, to: FrameId, group: number): void {
  if ((table.state[from] & CONSTRAINED) === 0) return;
  const placement = table.placements.get(from);
  if (placement === undefined || placement.group !== group) return;
  const isDisplaced = (table.state[to] & PLACE) === BOUND;
  table.placements.set(to, { ...placement, constraint: highPart(placement.constraint, table.size[from]), isDisplaced });
  table.state[to] |= CONSTRAINED;
}

/** What a page that is about to be replaced wants, for the pages that take its place. */
export interface Wanted {
  readonly placement: Placement;
  /** Of the frame it is on: first page, or -1 where it is not in memory; log2 of its pages. */
  readonly address: number;
  readonly size: number;
}

/** What the pages of `entry` want, or null: nothing, or it was another who asked. */
export function placementFor(pm: Physmem, entry: EntryId): Wanted | null {
  const { table } = pm;
  const frame = table.frame[entry] as FrameId;
  const placement = placementOf(table, frame);
  if (placement === undefined || placement.group !== table.group[entry]) return null;
  const isThere = (table.state[frame] & PLACE) === BOUND && !placement.isDisplaced;
  return { placement, address: isThere ? table.address[frame] : -1, size: table.size[frame] };
}

/** A fresh frame, in place of what was at page `offset` of another, wants what that did. */
export function inheritPlacement(pm: Physmem, frame: FrameId, wanted: Wanted, offset: number): void {
  constrain(pm, frame, constraintOfPart(pm, frame, wanted, offset), wanted.placement.isRun);
}

/**
 * `entry`, that comes from swap and covers a frame of one page, takes the place of what was at page `offset` of another,
 * and wants what that did: at its next read from disk, or when it is pinned. What somebody else on the frame wants comes
 * first.
 */
export function adoptPlacement(pm: Physmem, entry: EntryId, wanted: Wanted, offset: number): void {
  const { table } = pm;
  const frame = table.frame[entry] as FrameId;
  if (placementOf(table, frame) !== undefined) return;
  const constraint = constraintOfPart(pm, frame, wanted, offset);
  const isDisplaced = (table.state[frame] & PLACE) === BOUND && !accepts(constraint, table.address[frame]);
  table.state[frame] |= CONSTRAINED;
  table.placements.set(frame, { constraint, group: table.group[entry], isRun: wanted.placement.isRun, isDisplaced });
}

/** What a frame wants that takes the place of page `offset` of another and those behind it. */
function constraintOfPart(pm: Physmem, frame: FrameId, { placement, address, size }: Wanted, offset: number): Constraint {
  const isPart = pm.table.size[frame] < size;
  const exact = at((address + offset) * PAGE_SIZE);
  const staysThere = isPart && placement.isRun && address >= 0;
  const constraint = staysThere
    ? constraintOf(exact.set, exact.clear, 1)
    : isPart
      ? highPart(placement.constraint, size)
      : placement.constraint;
  kassert(constraint !== null, 'placement: an address');
  return constraint;
}

/** Checks the invariants for one frame. */
export function assertPlacement(table: FrameTable, frame: FrameId): void {
  const isConstrained = (table.state[frame] & CONSTRAINED) !== 0;
  kassert(table.placements.has(frame) === isConstrained, 'placement I1');
  const placement = placementOf(table, frame);
  if (placement === undefined || placement.isDisplaced || (table.state[frame] & PLACE) !== BOUND) return;
  kassert(accepts(placement.constraint, table.address[frame]), 'placement I2');
}

function hasGroup(table: FrameTable, frame: FrameId, group: number): boolean {
  for (let entry = table.first[frame]; entry !== NO_ENTRY; entry = table.next[entry]) if (table.group[entry] === group) return true;
  return false;
}
