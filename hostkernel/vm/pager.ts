/**
 * The pager: which pages of which objects have a copy on the swap device, and the transfers between the two. What is
 * evicted, and when, is pageout.ts; which blocks are in use, swap.ts.
 *
 *   object.fill --> pageIn   --> busy page, read    --complete--> page, still with its copy     fault.ts: FAULT_WAIT
 *   pageout.ts  --> pageOut  --> busy page, write   --complete--> copy, no page                 pmaps.removeAll came first
 *                                                   --failed----> page as it was, no copy
 *
 * A page that is being transferred is *busy*: resident in its object (PG_BUSY in VmPages.flags), but in no pmap, and
 * whoever wants it waits for its frame. A page brought in is not evicted before it has been used, or two seconds are over.
 * A resident page may have a copy too: it equals the page as long as that is not dirty.
 *
 * Invariants (assertInvariants):
 *   W1  slots in use are the copies of live objects, each of one page
 *   W2  the busy frames are those of the requests under way, each in one
 */

import { kassert } from '../base/assert.ts';
import type { HostFrame, ObjectPage } from '../base/units.ts';
import type { BlockDevice, BlockRequest, Hardware } from '../machine/index.ts';
import { NO_FRAME, PAGE_TRANSFER, PG_BUSY, PG_DIRTY, PG_WANTED, type VmPages } from './page.ts';
import { Radix, RadixPool } from './radix.ts';
import { NO_SLOT, SwapSpace, type SwapSlot } from './swap.ts';

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

/** Most pages moved by one request. */
export const CLUSTER_PAGES = 16;

/** Transfers remembered as the latest: more than the tables on the way to a page, and the page. */
const RECENT = 8;

const OBJECT_PAGES = 2 ** 31; // page `index` of object `owner` is number owner * OBJECT_PAGES + index

/** The pager as objects see it. Pages are named by object id and index. */
export interface Pager {
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
}

/** The objects as the pager sees them. */
export interface PageOwners {
  /** `frame` holds page `index` of `owner`, which was not resident. */
  attach(owner: number, index: ObjectPage, frame: HostFrame): void;
  /** The page is not resident any more. The frame is the pager's. */
  detach(owner: number, index: ObjectPage): void;
  /** The frame of the page, busy or not; 0: not resident. */
  lookup(owner: number, index: ObjectPage): HostFrame;
  /** Adds `pages` to the number of the owner's pages whose transfer is under way. */
  notePaging(owner: number, pages: number): void;
}

/** Paging as the fault path and a kernel see it. */
export interface VmIo {
  /** What is waited for after PAGE_WAIT or ROOM_LATER: a frame, or VM_WAIT_MEMORY. */
  readonly waitChannel: number;
  /** Called with a channel whose waiters may try again. Set by the kernel. */
  wakeup: (channel: number) => void;
  /** No frame was free for user data: evicts what can be at once, or starts to. @returns ROOM_* */
  makeRoom(): number;
  /** A step of the scheduler begins: completes transfers that are due, and evicts ahead of need. Bounded work. */
  poll(): void;
  /** Time of the next completion, in ns: until then an idle machine has nothing to do. Infinity: none. */
  nextEvent(): number;
  /** Waits by advancing the clock. @returns whether `channel` was woken; false: nothing is under way that could wake it */
  waitFor(channel: number): boolean;
}

/** Counts since the machine was made. */
export class PagerCounters {
  /** Requests, and the pages they brought. */
  reads = 0;
  pagesRead = 0;
  writes = 0;
  pagesWritten = 0;
  /** Pages that a request failed to move. */
  readErrors = 0;
  writeErrors = 0;
  /** Pages that were to be written when no slot was free. */
  swapFull = 0;
  /** Pages looked at for eviction, and those evicted. */
  scanned = 0;
  evicted = 0;
}

export interface SwapPagerParts {
  readonly machine: Hardware;
  readonly device: BlockDevice;
  readonly pages: VmPages;
  readonly owners: PageOwners;
}

export class SwapPager implements Pager {
  readonly swap: SwapSpace;
  readonly counters = new PagerCounters();
  /** As VmIo.waitChannel. */
  waitChannel = 0;
  /** As VmIo.wakeup. */
  wakeup: (channel: number) => void = () => undefined;
  /** Requests to write that have failed since one succeeded. */
  failures = 0;
  /** Pages in requests to write under way. */
  writing = 0;
  readonly #machine: Hardware;
  readonly #device: BlockDevice;
  readonly #pages: VmPages;
  readonly #owners: PageOwners;
  readonly #pool = new RadixPool();
  readonly #copies: (Radix<SwapSlot> | undefined)[] = []; // by object id
  readonly #requests = new Set<BlockRequest>();
  readonly #errors = new Set<number>(); // pages whose last read failed, until somebody is told
  readonly #recent = new Int32Array(RECENT); // the frames brought in last
  #broughtIn = 0;

  constructor(parts: SwapPagerParts) {
    this.#machine = parts.machine;
    this.#device = parts.device;
    this.#pages = parts.pages;
    this.#owners = parts.owners;
    this.swap = new SwapSpace(parts.device.blocks);
  }

  /** Requests under way. */
  get queued(): number {
    return this.#requests.size;
  }

  // ------------------------------------------------------------------------------------------------ for objects

  has(owner: number, index: ObjectPage): boolean {
    const copies = this.#copies[owner];
    return copies !== undefined && copies.get(index) !== NO_SLOT;
  }

  pageIn(owner: number, index: ObjectPage, objectPages: number): number {
    if (this.#errors.size > 0 && this.#errors.delete(owner * OBJECT_PAGES + index)) return PAGE_ERROR;
    const pages = this.#pages;
    const slot = this.#slotOf(owner, index);
    kassert(slot !== NO_SLOT, 'pager: page has no copy');
    const first = pages.allocateBusy(owner, index, objectPages);
    if (first === NO_FRAME) return PAGE_NONE;
    pages.flags[first] |= PG_WANTED;
    this.#owners.attach(owner, index, first);
    const frames = [first];
    while (frames.length < CLUSTER_PAGES && this.#isWorthReading(owner, index + frames.length, slot + frames.length)) {
      const next = (index + frames.length) as ObjectPage;
      const frame = pages.allocateBusy(owner, next, objectPages);
      if (frame === NO_FRAME) break;
      this.#owners.attach(owner, next, frame);
      frames.push(frame);
    }
    this.#owners.notePaging(owner, frames.length);
    this.counters.reads++;
    this.#submit({ isWrite: false, block: slot, frames, transferred: 0, failed: false });
    this.waitChannel = first;
    return PAGE_WAIT;
  }

  await(frame: HostFrame): number {
    this.#pages.flags[frame] |= PG_WANTED;
    this.waitChannel = frame;
    return PAGE_WAIT;
  }

  abandon(frame: HostFrame): void {
    this.#owners.notePaging(this.#pages.owner[frame], -1);
    this.#pages.abandon(frame);
  }

  drop(owner: number, start: number, end: number): void {
    if (this.#errors.size > 0) this.#forgetErrors(owner, start, end);
    const copies = this.#copies[owner];
    if (copies === undefined) return;
    for (let index = copies.next(start); index >= 0 && index < end; index = copies.next(index)) this.#free(owner, index as ObjectPage);
  }

  move(owner: number, index: ObjectPage, to: number, toIndex: ObjectPage): void {
    const slot = this.#slotOf(owner, index);
    kassert(slot !== NO_SLOT, 'pager: page has no copy');
    this.#copies[owner]?.remove(index);
    this.#enter(to, toIndex, slot);
    if (this.#errors.delete(owner * OBJECT_PAGES + index)) this.#errors.add(to * OBJECT_PAGES + toIndex);
  }

  next(owner: number, from: number): number {
    return this.#copies[owner]?.next(from) ?? -1;
  }

  count(owner: number): number {
    return this.#copies[owner]?.size ?? 0;
  }

  // ------------------------------------------------------------------------------------------------ for pageout

  /**
   * Starts to write pages of one object that follow each other: as many of them as there are slots in a row. No real PTE
   * maps any of them. Those not written stay as they are.
   * @returns pages being written now; 0: no slot is free
   */
  pageOut(owner: number, index: ObjectPage, frames: readonly HostFrame[]): number {
    for (let i = 0; i < frames.length; i++) {
      const old = (index + i) as ObjectPage;
      if (this.has(owner, old)) this.#free(owner, old); // what it held is not the page any more
    }
    const slot = this.swap.allocate(frames.length);
    if (slot === NO_SLOT) {
      this.counters.swapFull++;
      return 0;
    }
    const count = this.swap.run;
    for (let i = 0; i < count; i++) {
      this.#pages.begin(frames[i]);
      this.#enter(owner, (index + i) as ObjectPage, (slot + i) as SwapSlot);
    }
    this.#owners.notePaging(owner, count);
    this.counters.writes++;
    this.writing += count;
    this.#submit({ isWrite: true, block: slot, frames: frames.slice(0, count), transferred: 0, failed: false });
    return count;
  }

  /** Whether `frame` was brought in so lately that whoever waited for it may not have run. */
  isRecent(frame: HostFrame): boolean {
    return this.#recent.includes(frame);
  }

  /** When the next request is due, in ns; Infinity: none is under way. */
  nextCompletion(): number {
    return this.#device.nextCompletion();
  }

  /** Finishes the requests that are due, and wakes who waits for their pages and for memory. @returns whether there were any */
  complete(): boolean {
    const now = this.#machine.clock.now();
    if (this.#device.nextCompletion() > now) return false;
    for (let request = this.#take(now); request !== null; request = this.#take(now)) this.#finish(request);
    this.wakeup(VM_WAIT_MEMORY);
    return true;
  }

  /** Bytes of the typed arrays of this file and swap.ts. */
  get byteLength(): number {
    return this.#pool.byteLength + this.swap.byteLength;
  }

  assertInvariants(): void {
    this.swap.assertInvariants();
    let copies = 0;
    let nodes = 0;
    const slots = new Set<number>();
    for (const radix of this.#copies) {
      if (radix === undefined) continue;
      nodes += radix.assertInvariants();
      for (let index = radix.next(0); index >= 0; index = radix.next(index + 1)) {
        const slot = radix.get(index as ObjectPage);
        kassert(this.swap.isUsed(slot) && !slots.has(slot), 'pager W1: slot');
        slots.add(slot);
        copies++;
      }
    }
    kassert(copies === this.swap.used, 'pager W1');
    kassert(nodes === this.#pool.live, 'radix X2');
    const busy = new Set<HostFrame>();
    let writing = 0;
    for (const request of this.#requests) {
      for (const frame of request.frames) {
        kassert((this.#pages.flags[frame] & PG_BUSY) !== 0 && !busy.has(frame), 'pager W2');
        busy.add(frame);
      }
      if (request.isWrite) writing += request.frames.length;
    }
    kassert(writing === this.writing && this.#device.queued === this.#requests.size, 'pager W2: requests');
    const { flags } = this.#pages;
    for (let frame = 0; frame < flags.length; frame++) {
      kassert((flags[frame] & PG_BUSY) === 0 || busy.has(frame as HostFrame), 'pager W2: busy without a request');
    }
  }

  // ------------------------------------------------------------------------------------------------ private

  #submit(request: BlockRequest): void {
    this.#requests.add(request);
    this.#device.submit(request, this.#machine.clock.now());
  }

  #take(now: number): BlockRequest | null {
    const request = this.#device.complete(now, this.#machine.ram);
    if (request !== null) this.#requests.delete(request);
    return request;
  }

  #finish(request: BlockRequest): void {
    const { frames, transferred, isWrite } = request;
    if (isWrite) {
      this.writing -= frames.length;
      this.failures = transferred === frames.length ? 0 : this.failures + 1;
    }
    for (let i = 0; i < frames.length; i++) {
      const frame = frames[i];
      const isDone = i < transferred;
      if (isWrite) this.counters[isDone ? 'pagesWritten' : 'writeErrors']++;
      else this.counters[isDone ? 'pagesRead' : 'readErrors']++;
      if (this.#pages.state[frame] === PAGE_TRANSFER) {
        this.#pages.finishAbandoned(frame);
      } else {
        this.#owners.notePaging(this.#pages.owner[frame], -1);
        if (isWrite) this.#finishWrite(frame, isDone);
        else this.#finishRead(frame, isDone);
      }
      this.wakeup(frame);
    }
  }

  /** A page has arrived, or not: then it stays on the device, and whoever waits for it is told. */
  #finishRead(frame: HostFrame, isDone: boolean): void {
    const pages = this.#pages;
    const isWanted = (pages.flags[frame] & PG_WANTED) !== 0;
    const owner = pages.owner[frame];
    const index = pages.index[frame] as ObjectPage;
    pages.finish(frame);
    if (!isDone) {
      if (isWanted) this.#errors.add(owner * OBJECT_PAGES + index);
      this.#owners.detach(owner, index);
      pages.release(frame);
    } else if (isWanted) {
      this.#keepFresh(frame);
    }
  }

  /** Somebody waited for the page in `frame`, and is to find it. */
  #keepFresh(frame: HostFrame): void {
    this.#pages.freshen(frame, this.#machine.clock.now());
    this.#recent[this.#broughtIn++ % RECENT] = frame;
  }

  /** A page is on the device, so its frame is free unless somebody wants it; or not: then it stays in RAM. */
  #finishWrite(frame: HostFrame, isDone: boolean): void {
    const pages = this.#pages;
    const isWanted = (pages.flags[frame] & PG_WANTED) !== 0;
    const owner = pages.owner[frame];
    const index = pages.index[frame] as ObjectPage;
    pages.finish(frame);
    if (!isDone) {
      if (this.has(owner, index)) this.#free(owner, index); // an incomplete copy
      return;
    }
    pages.flags[frame] &= ~PG_DIRTY;
    if (isWanted) {
      this.#keepFresh(frame);
      return;
    }
    this.#owners.detach(owner, index);
    pages.release(frame);
    this.counters.evicted++;
  }

  /** Whether the page after those being read should come with them: it is on the device where it would be, and there is room. */
  #isWorthReading(owner: number, index: number, slot: number): boolean {
    const pages = this.#pages;
    if (index >= OBJECT_PAGES - 1 || pages.freeFrames <= pages.reserved) return false;
    return this.#slotOf(owner, index as ObjectPage) === slot && this.#owners.lookup(owner, index as ObjectPage) === NO_FRAME;
  }

  #slotOf(owner: number, index: ObjectPage): SwapSlot {
    return this.#copies[owner]?.get(index) ?? NO_SLOT;
  }

  #enter(owner: number, index: ObjectPage, slot: SwapSlot): void {
    const copies = this.#copies[owner] ?? new Radix<SwapSlot>(this.#pool);
    this.#copies[owner] = copies;
    copies.insert(index, slot);
  }

  #free(owner: number, index: ObjectPage): void {
    this.swap.free(this.#slotOf(owner, index));
    this.#copies[owner]?.remove(index);
  }

  #forgetErrors(owner: number, start: number, end: number): void {
    for (const page of this.#errors) {
      const index = page - owner * OBJECT_PAGES;
      if (index >= start && index < end) this.#errors.delete(page);
    }
  }
}
