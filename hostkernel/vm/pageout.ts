/**
 * Pageout: which pages leave RAM, and when. How they leave is pager.ts.
 *
 *   active --not used since it was looked at last--> inactive --still not used--> clean: evicted at once
 *     ^                                                 |                         dirty: written, evicted when that is done
 *     +-----------------------used----------------------+
 *
 * A page counts as used when a real PTE of it, in whatever space and through whatever alias, was accessed since the
 * last look (PmapSystem.harvest). Before it goes, every one of these PTEs goes (removeAll), and what they say of it is
 * in its flags. Virtual page tables are not touched: the frame number in them stays valid, and the next access through
 * them brings the page in. Their own pages leave like any others.
 *
 * Not evicted: wired and busy pages, which are in no queue; page tables of pmaps, which are no pages of objects; pages
 * that a TypeScript program took an offset into in this step; pages brought in but not used, for two seconds, and the
 * last few of them as long as there is anything else.
 *
 *   frames free   0 ... tableReserve ... reserved ................ target
 *   given to      tables  + page-in          + everybody               poll() begins to evict below it
 *
 * Source: the queues and the targets are those of BSD's vm_pageout.c; the second chance is Corbato's clock.
 */

import { kassert } from '../base/assert.ts';
import type { HostFrame, ObjectPage } from '../base/units.ts';
import type { Clock } from '../machine/index.ts';
import type { PmapSystem } from '../pmap/index.ts';
import { NO_FRAME, PAGE_FREE, PG_BUSY, PG_DIRTY, PG_REFERENCED, type VmPages } from './page.ts';
import { CLUSTER_PAGES, type PageOwners, ROOM_LATER, ROOM_NEVER, ROOM_NOW, type SwapPager, VM_WAIT_MEMORY, type VmIo } from './pager.ts';
import { QUEUE_ACTIVE, QUEUE_INACTIVE } from './queues.ts';

/** Pages looked at in one poll. */
const POLL_SCAN = 256;
/** Failed requests to write in a row after which nobody waits for a write to make room. */
const MAX_FAILURES = 8;
/** Frames for page tables, and for these and page-in: enough for a walk of five levels, table by table. */
const TABLE_RESERVE = 4;
const MIN_RESERVE = 8;
const MAX_RESERVE = 64;

export interface PageoutParts {
  readonly clock: Clock;
  readonly pages: VmPages;
  readonly pmaps: PmapSystem;
  readonly owners: PageOwners;
  readonly pager: SwapPager;
}

export class Pageout implements VmIo {
  /** Below so many free frames poll() evicts. */
  readonly target: number;
  readonly #clock: Clock;
  readonly #pages: VmPages;
  readonly #pmaps: PmapSystem;
  readonly #owners: PageOwners;
  readonly #pager: SwapPager;
  readonly #cluster: HostFrame[] = []; // the pages of one write
  #sparesNobody = false; // fresh pages may go too

  /** Sets the reserves of `pages`. */
  constructor(parts: PageoutParts) {
    this.#clock = parts.clock;
    this.#pages = parts.pages;
    this.#pmaps = parts.pmaps;
    this.#owners = parts.owners;
    this.#pager = parts.pager;
    const total = parts.pages.totalFrames;
    parts.pages.tableReserve = Math.min(TABLE_RESERVE, total >> 3);
    parts.pages.reserved = Math.min(Math.max(MIN_RESERVE, total >> 7), MAX_RESERVE, total >> 2);
    this.target = parts.pages.reserved + Math.max(parts.pages.reserved, total >> 6);
  }

  get waitChannel(): number {
    return this.#pager.waitChannel;
  }

  get wakeup(): (channel: number) => void {
    return this.#pager.wakeup;
  }

  set wakeup(wakeup: (channel: number) => void) {
    this.#pager.wakeup = wakeup;
  }

  poll(): void {
    const pages = this.#pages;
    pages.nextStep();
    if (this.#pager.queued > 0) this.#pager.complete();
    if (pages.freeFrames < this.target) this.#scan(POLL_SCAN, this.target);
  }

  nextEvent(): number {
    return this.#pager.nextCompletion();
  }

  makeRoom(): number {
    const pages = this.#pages;
    const before = pages.freeFrames;
    const all = pages.queues.length(QUEUE_ACTIVE) + pages.queues.length(QUEUE_INACTIVE);
    if (pages.freeFrames <= pages.reserved) this.#scan(3 * all, this.target); // a look at all as used, one as not, and their turn
    if (pages.freeFrames <= pages.reserved && this.#pager.queued === 0) this.#scanSparingNobody(3 * all, this.target);
    if (pages.freeFrames > pages.reserved || pages.freeFrames > before) return ROOM_NOW; // some is enough for a page-in
    if (this.#pager.queued === 0 || this.#pager.failures >= MAX_FAILURES) return ROOM_NEVER;
    this.#pager.waitChannel = VM_WAIT_MEMORY;
    return ROOM_LATER;
  }

  waitFor(channel: number): boolean {
    for (;;) {
      if (channel === VM_WAIT_MEMORY) {
        const room = this.makeRoom();
        if (room !== ROOM_LATER) return room === ROOM_NOW;
      } else if (!this.#isBusy(channel)) {
        return true;
      }
      const next = this.#pager.nextCompletion();
      if (next === Infinity) return false;
      this.#clock.charge(Math.max(0, next - this.#clock.now()));
      this.#pager.complete();
    }
  }

  #isBusy(frame: number): boolean {
    return this.#pages.state[frame] !== PAGE_FREE && (this.#pages.flags[frame] & PG_BUSY) !== 0;
  }

  #scanSparingNobody(budget: number, target: number): void {
    this.#sparesNobody = true;
    this.#scan(budget, target);
    this.#sparesNobody = false;
  }

  /** Looks at no more than `budget` pages, until `target` frames are free, or will be when what is being written is. */
  #scan(budget: number, target: number): void {
    const { queues } = this.#pages;
    for (let left = budget; left > 0 && this.#pages.freeFrames + this.#pager.writing < target; left--) {
      this.#pager.counters.scanned++;
      const active = queues.length(QUEUE_ACTIVE);
      const inactive = queues.length(QUEUE_INACTIVE);
      if (active + inactive === 0) return;
      if (inactive === 0 || inactive < active >> 1) this.#lookAtActive(queues.first(QUEUE_ACTIVE));
      else this.#lookAtInactive(queues.first(QUEUE_INACTIVE));
    }
  }

  #lookAtActive(frame: HostFrame): void {
    this.#pages.queues.move(this.#isUsed(frame) ? QUEUE_ACTIVE : QUEUE_INACTIVE, frame);
  }

  #lookAtInactive(frame: HostFrame): void {
    if (this.#isUsed(frame)) {
      this.#pages.queues.move(QUEUE_ACTIVE, frame);
      return;
    }
    this.#pmaps.removeAll(frame);
    if ((this.#pages.flags[frame] & PG_DIRTY) === 0) this.#evict(frame);
    else if (!this.#launder(frame)) this.#pages.queues.move(QUEUE_ACTIVE, frame); // stays
  }

  /** Whether the page has been used since the last look, or must be kept for now. What its PTEs say is in its flags then. */
  #isUsed(frame: HostFrame): boolean {
    const pages = this.#pages;
    if (pages.isHeld(frame)) return true;
    this.#pmaps.harvest(frame);
    const isUsed = (pages.flags[frame] & PG_REFERENCED) !== 0;
    pages.flags[frame] &= ~PG_REFERENCED;
    return isUsed || (pages.isFresh(frame, this.#clock.now()) && (!this.#sparesNobody || this.#pager.isRecent(frame)));
  }

  /** Frees the frame of a clean page that no real PTE maps: its copy, or the zeros it was filled with, stand for it. */
  #evict(frame: HostFrame): void {
    kassert(!this.#pmaps.isMapped(frame), 'pageout: a page leaves while it is mapped');
    this.#owners.detach(this.#pages.owner[frame], this.#pages.index[frame] as ObjectPage);
    this.#pages.release(frame);
    this.#pager.counters.evicted++;
  }

  /** Starts to write a dirty page, with its neighbours that are due as well. @returns false: the device has no room */
  #launder(frame: HostFrame): boolean {
    const pages = this.#pages;
    const owner = pages.owner[frame];
    const cluster = this.#cluster;
    let first = pages.index[frame];
    cluster.length = 0;
    cluster.push(frame);
    for (let next = this.#neighbour(owner, first - 1); next !== NO_FRAME && cluster.length < CLUSTER_PAGES / 2; ) {
      cluster.unshift(next);
      first--;
      next = this.#neighbour(owner, first - 1);
    }
    for (let next = this.#neighbour(owner, first + cluster.length); next !== NO_FRAME && cluster.length < CLUSTER_PAGES; ) {
      cluster.push(next);
      next = this.#neighbour(owner, first + cluster.length);
    }
    for (const one of cluster) this.#pmaps.removeAll(one);
    kassert(!this.#pmaps.isMapped(cluster[0]), 'pageout: a page leaves while it is mapped');
    return this.#pager.pageOut(owner, first as ObjectPage, cluster) > 0;
  }

  /** The frame of page `index` if that could be laundered now, or 0. */
  #neighbour(owner: number, index: number): HostFrame {
    if (index < 0) return NO_FRAME;
    const pages = this.#pages;
    const frame = this.#owners.lookup(owner, index as ObjectPage);
    if (frame === NO_FRAME || pages.queues.of[frame] !== QUEUE_INACTIVE || this.#isUsed(frame)) return NO_FRAME;
    return (pages.flags[frame] & PG_DIRTY) === 0 ? NO_FRAME : frame;
  }
}
