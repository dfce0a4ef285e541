/**
 * Map and grant items: what a message carries besides words.
 *
 *   send fpage    |-------- 2^s --------|            window     |------------ 2^w ------------|
 *
 *   s <= w: all of the fpage goes to   window base + (send base mod 2^w, cut to a multiple of 2^s)
 *   s >  w: the part of the fpage at   send base mod 2^s, cut to a multiple of 2^w,   fills the window
 *
 * Source: L4 X.2, "MapItem", "Acceptor".
 */
import { PAGE_SIZE } from '../../hostkernel/base/units.ts';
import { FPAGE_MIN_SHIFT, fpageBase, fpageRights, fpageShift, remainder, SIZES } from './fpage.ts';
import { NOT_ENTERED, OUT_OF_FRAMES } from './mapping.ts';
import { ITEM_GRANT, ITEM_MAP, type Message } from './message.ts';
import type { Space } from './space.ts';
import { CHARGE_PAGE, type KernelState } from './state.ts';
import { TraceRuns } from './trace-runs.ts';
import { ACCEPT_UNTYPED } from './user.ts';

/** log2 of the complete address space, larger than any that exists. */
const COMPLETE_SHIFT = 52;

/** Pages from which on it pays to look for a run of them. */
const SHORTEST_RUN = 4;

/** log2 of an fpage's size; the complete space is larger than everything, a malformed size is 0. */
function shiftOf(page: number): number {
  const shift = fpageShift(page);
  if (shift === 1) return COMPLETE_SHIFT;
  return shift < 10 || shift > COMPLETE_SHIFT ? 0 : shift;
}

/** Where an item's pages come from and go to. Written by placeItem; bytes. */
export const placement = { source: 0, target: 0, size: 0 };

/**
 * Window arithmetic. Result in `placement`; size 0 where nothing is to be mapped.
 * @param sendBase bytes; @param send fpage of the sender; @param window acceptor of the receiver
 */
export function placeItem(sendBase: number, send: number, window: number): void {
  const s = shiftOf(send);
  const w = shiftOf(window);
  placement.size = 0;
  if (Math.min(s, w) < FPAGE_MIN_SHIFT) return;
  const sendSize = SIZES[s] as number;
  const windowSize = SIZES[w] as number;
  const windowBase = w === COMPLETE_SHIFT ? 0 : fpageBase(window);
  const source = s === COMPLETE_SHIFT ? 0 : fpageBase(send);
  if (s <= w) {
    const offset = remainder(sendBase, windowSize);
    placement.source = source;
    placement.target = windowBase + offset - remainder(offset, sendSize);
    placement.size = sendSize;
  } else {
    const offset = remainder(sendBase, sendSize);
    placement.source = source + offset - remainder(offset, windowSize);
    placement.target = windowBase;
    placement.size = windowSize;
  }
}

/**
 * Whether all typed words are items we know and the receiver has a window for them. Hot.
 * @returns 0, or the first register of the item that is refused
 */
export function refusedItem(message: Message, window: number): number {
  const { typed } = message;
  if (typed === 0) return 0;
  const first = message.untyped + 1;
  if (window === ACCEPT_UNTYPED || (typed & 1) !== 0) return first;
  for (let i = first; i < first + typed; i += 2) {
    const type = message.itemType(i);
    if (type !== ITEM_MAP && type !== ITEM_GRANT) return i;
  }
  return 0;
}

/**
 * Carries out all items of a message. They have been checked by refusedItem. Pages the sender does not have, and pages
 * the kernel keeps, are passed over. Hot.
 */
export function transferItems(kernel: KernelState, message: Message, from: Space, to: Space, window: number): void {
  const end = message.untyped + message.typed;
  for (let i = message.untyped + 1; i < end; i += 2) {
    placeItem(message.itemBase(i), message.word(i + 1), window);
    if (placement.size === 0) continue;
    transferPages(kernel, from, to, fpageRights(message.lo[i + 1] as number), message.itemType(i) === ITEM_GRANT);
  }
  kernel.maps.flush();
}

const traceRuns = new TraceRuns();

function transferPages(kernel: KernelState, from: Space, to: Space, rights: number, grant: boolean): void {
  const { maps, tracer } = kernel;
  const source = placement.source / PAGE_SIZE;
  const target = placement.target / PAGE_SIZE;
  const end = source + placement.size / PAGE_SIZE;
  let entered = 0;
  for (let page = source; page < end; page++) {
    let node = maps.nodeAt(from, page);
    if (node === 0) {
      page = maps.nextMapped(from, page, end);
      if (page < 0) break;
      node = maps.nodeAt(from, page);
    }
    const goal = target + page - source;
    const run = grant || end - page < SHORTEST_RUN ? 0 : maps.mapRun(from, page, to, goal, end - page, rights);
    if (run > 0) {
      entered += run;
      if (tracer.map !== null)
        for (let i = 0; i < run; i++) traceRuns.add(tracer.map, to.id, goal + i, maps.frameOf(maps.nodeAt(to, goal + i)), rights);
      page += run - 1;
      continue;
    }
    const result = grant ? maps.grant(node, to, goal, rights) : maps.map(node, to, goal, rights);
    if (result === OUT_OF_FRAMES) break;
    if (result === NOT_ENTERED) continue;
    entered++;
    if (tracer.map !== null) traceRuns.add(tracer.map, to.id, goal, maps.frameOf(node), rights);
  }
  if (tracer.map !== null) traceRuns.end(tracer.map);
  kernel.now += entered * CHARGE_PAGE;
}
