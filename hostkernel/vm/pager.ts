/**
 * The seams of paging: what objects ask of the pager, what the pager asks of them, and what a kernel sees of it.
 *
 *   object.fill --> Pager.pageIn --> a busy page, and a read       fault.ts: FAULT_WAIT on the frame
 *               --> no frame     --> Pager.makeRoom                fault.ts: again at once, FAULT_WAIT, FAULT_NO_MEMORY
 *   pageout.ts  --> pmaps.removeAll --> a busy page, and a write --> PageOwners.detach
 *
 * A page that is being transferred is *busy*: resident in its object (PG_BUSY in VmPages.flags), but in no pmap, and
 * whoever wants it waits for its frame. A page brought in is not evicted before it has been used, or two seconds are over.
 */

import type { HostFrame, ObjectPage } from '../base/units.ts';

/** What takes the place of a frame where a page cannot be had now. Frames are greater than 0. */
export const PAGE_NONE = 0; //   no frame is free: makeRoom() says whether to wait
export const PAGE_WAIT = -1; //  a transfer of the page is under way: wait for waitChannel
export const PAGE_ERROR = -2; // the device could not deliver it; it stays where it is, and the next access tries again

/** What makeRoom() found. */
export const ROOM_NEVER = 0; // nothing can be evicted, and nothing is under way
export const ROOM_NOW = 1; //   frames are free: try again at once
export const ROOM_LATER = 2; // frames will be free: wait for waitChannel

/** The wait channel of whoever needs free frames. Positive channels are frames whose transfer is awaited. */
export const VM_WAIT_MEMORY = -1;

/** The pager as objects and the fault path see it. Pages are named by object id and index. */
export interface Pager {
  /** What the caller waits for after PAGE_WAIT or ROOM_LATER. */
  readonly waitChannel: number;
  /** Whether the device has a copy of the page. Hot: asked before a page is filled with zeros. */
  has(owner: number, index: ObjectPage): boolean;
  /** Starts to read the page, which has a copy and is not resident. @returns PAGE_WAIT, PAGE_NONE or PAGE_ERROR */
  pageIn(owner: number, index: ObjectPage, objectPages: number): number;
  /** For whoever met the busy page in `frame`: sets waitChannel. @returns PAGE_WAIT */
  await(frame: HostFrame): number;
  /** The object no longer has the busy page in `frame`: the frame is free when the transfer ends, whatever it brings. */
  abandon(frame: HostFrame): void;
  /** Forgets the copies of the pages [start, end). */
  drop(owner: number, start: number, end: number): void;
  /** The copy of page `index` of `owner` becomes that of page `toIndex` of `to`, which must have none. */
  move(owner: number, index: ObjectPage, to: number, toIndex: ObjectPage): void;
  /** The smallest index >= `from` of a page that has a copy, or -1. */
  next(owner: number, from: number): number;
  /** Copies on the device that belong to `owner`: pages. */
  count(owner: number): number;
  /** No frame was free for user data: evicts what can be at once, or starts to. @returns ROOM_* */
  makeRoom(): number;
}

/** The objects as the pager sees them. */
export interface PageOwners {
  /** `frame` holds page `index` of `owner`, which was not resident. */
  attach(owner: number, index: ObjectPage, frame: HostFrame): void;
  /** The page is not resident any more. The frame is the pager's. */
  detach(owner: number, index: ObjectPage): void;
}

/** Paging as a kernel sees it. */
export interface VmIo {
  /** What the lwp waits for whose fault was FAULT_WAIT: a frame, or VM_WAIT_MEMORY. */
  readonly waitChannel: number;
  /** Called with a channel whose waiters may try again. Set by the kernel. */
  wakeup: (channel: number) => void;
  /** A step of the scheduler begins: completes transfers that are due, and evicts ahead of need. Bounded work. */
  poll(): void;
  /** Time of the next completion, in ns: until then an idle machine has nothing to do. Infinity: none. */
  nextEvent(): number;
  /** Waits by advancing the clock. @returns whether `channel` was woken; false: nothing is under way that could wake it */
  waitFor(channel: number): boolean;
}
