/**
 * vm_page: the state of every frame of the machine, as a struct of arrays indexed by frame number. Which free frame goes
 * to whom is decided in frames.ts.
 * Which virtual addresses a frame is seen at is not here (pmap/reverse-map.ts), nor which page of an object is resident
 * (radix.ts has that direction; owner and index here are the way back).
 *
 *   free --allocate--> resident (owner, index) --free--> free
 *     |                   +--abandon--> transfer --free--> free     its object is gone, a device still moves its bytes
 *     +--allocateTable--> table --freeTable--> free          wired: frame 0, which is never given out and stands for none,
 *                                                               and pages released while wired
 *
 * The last `reserved` frames are for page tables, and all but `tableReserve` of them for pages that are brought in: so
 * whoever waits for memory finds what the waiting itself needs.
 *
 * Invariants (assertInvariants):
 *   P1  free + resident + table + wired + transfer frames are all frames
 *   P2  a frame is free here exactly if it is free for the allocator
 *   P3  a frame has an owner exactly if it is resident
 *   P4  a page is in a queue (queues.ts) exactly if it is resident, not busy and not wired
 *   P5  a free frame or table has no wires, and only a resident or transfer frame is busy
 */

import { kassert } from '../base/assert.ts';
import { type HostFrame, type ObjectPage, PAGE_SIZE } from '../base/units.ts';
import type { Hardware } from '../machine/index.ts';
import type { PageSource } from '../pmap/index.ts';
import { FrameAllocator } from './frames.ts';
import { PageQueues, QUEUE_ACTIVE, QUEUE_NONE } from './queues.ts';

/** What a frame is used for: VmPages.state. */
export const PAGE_FREE = 0;
export const PAGE_RESIDENT = 1; // holds a page of a vm_object
export const PAGE_TABLE = 2; // a page table of a pmap
export const PAGE_WIRED = 3; // the kernel's, or a page that was released while it was wired
export const PAGE_TRANSFER = 4; // of no object any more, but a device still reads or writes it

/** Bits of VmPages.flags. They collect what was harvested from real PTEs, and the kernel's own accesses. */
export const PG_REFERENCED = 1;
export const PG_DIRTY = 2; // differs from what the object would have without this page
export const PG_BUSY = 4; // its I/O is under way: not to be mapped, read or written
export const PG_FRESH = 8; // brought in, and whoever asked for it has not used it yet
export const PG_WANTED = 16; // somebody waits for the transfer of this busy page

const MAX_WIRES = 65535;
const MAX_STEP = 32_767;
const TICK_NS = 2 ** 26; // 67 ms
const TICK_MASK = 32_767;
/** How long an unused page is kept that somebody waited for: two seconds. */
const FRESH_TICKS = 30;

export const NO_FRAME = 0 as HostFrame;

export class VmPages implements PageSource {
  /** By frame: PAGE_*. */
  readonly state: Uint8Array;
  /** By frame: PG_*. */
  readonly flags: Uint8Array;
  /** By frame: id of the object a resident page belongs to, 0 = none. */
  readonly owner: Int32Array;
  /** By frame: which page of that object it is. */
  readonly index: Int32Array;
  readonly frames: FrameAllocator;
  /** By frame: how often the page is wired. A wired page is never evicted; released, it is free when the last wiring ends. */
  readonly wires: Uint16Array;
  /** By frame: minus the step in which a TypeScript program last took an offset into it; or of a fresh page, since which tick. */
  readonly stamp: Int16Array;
  readonly queues: PageQueues;
  /** Frames that user data may not take, and those of them that only page tables may. */
  reserved = 0;
  tableReserve = 0;
  /** The step of the scheduler, for `stamp`: 1 .. MAX_STEP. One come round again keeps a page a little longer, no more. */
  step = 1;
  readonly #machine: Hardware;

  constructor(machine: Hardware) {
    const frames = machine.ram.frames;
    this.#machine = machine;
    this.state = new Uint8Array(frames);
    this.flags = new Uint8Array(frames);
    this.owner = new Int32Array(frames);
    this.index = new Int32Array(frames);
    this.frames = new FrameAllocator(frames);
    this.wires = new Uint16Array(frames);
    this.stamp = new Int16Array(frames);
    this.queues = new PageQueues(frames);
    this.state[0] = PAGE_WIRED;
  }

  get freeFrames(): number {
    return this.frames.free;
  }

  /** Frames of the machine, free or not. */
  get totalFrames(): number {
    return this.state.length;
  }

  /**
   * A zeroed frame that becomes page `index` of object `owner`, which has `objectPages`; or 0: only the reserve is left.
   * Hot: allocates no objects.
   */
  allocate(owner: number, index: ObjectPage, objectPages: number): HostFrame {
    if (this.frames.free <= this.reserved) return NO_FRAME;
    const frame = this.#take(owner, index, objectPages);
    if (frame === NO_FRAME) return NO_FRAME;
    this.queues.append(QUEUE_ACTIVE, frame);
    this.zero(frame);
    return frame;
  }

  /** A busy frame of any content, for a page that is about to be read from a device; or 0. It may be of the reserve. */
  allocateBusy(owner: number, index: ObjectPage, objectPages: number): HostFrame {
    if (this.frames.free <= this.tableReserve) return NO_FRAME;
    const frame = this.#take(owner, index, objectPages);
    if (frame === NO_FRAME) return NO_FRAME;
    this.flags[frame] = PG_BUSY;
    this.#machine.hart.invalidateCode(frame);
    return frame;
  }

  /** Takes a resident frame back from its object. No real PTE may map it any more. */
  release(frame: HostFrame): void {
    kassert(this.state[frame] === PAGE_RESIDENT, 'vm_page: released but not resident');
    this.#disown(frame);
    if (this.wires[frame] > 0) this.state[frame] = PAGE_WIRED;
    else this.#free(frame);
  }

  /** A device begins to move the bytes of a resident frame, which no real PTE maps: nobody may use it until `finish`. */
  begin(frame: HostFrame): void {
    kassert(this.state[frame] === PAGE_RESIDENT && (this.flags[frame] & PG_BUSY) === 0, 'vm_page: cannot become busy');
    this.queues.remove(frame);
    this.flags[frame] |= PG_BUSY;
  }

  /** The end of a transfer of a frame that is still resident. */
  finish(frame: HostFrame): void {
    kassert(this.state[frame] === PAGE_RESIDENT && (this.flags[frame] & PG_BUSY) !== 0, 'vm_page: not busy');
    this.flags[frame] &= ~(PG_BUSY | PG_WANTED);
    if (this.wires[frame] === 0) this.queues.append(QUEUE_ACTIVE, frame);
  }

  /** Takes a busy frame from its object: it is free when `finishAbandoned` says that the transfer has ended. */
  abandon(frame: HostFrame): void {
    kassert(this.state[frame] === PAGE_RESIDENT && (this.flags[frame] & PG_BUSY) !== 0, 'vm_page: abandoned but not busy');
    this.#disown(frame);
    this.flags[frame] = PG_BUSY;
    this.state[frame] = PAGE_TRANSFER;
  }

  /** The end of a transfer of an abandoned frame. */
  finishAbandoned(frame: HostFrame): void {
    kassert(this.state[frame] === PAGE_TRANSFER, 'vm_page: not abandoned');
    this.flags[frame] = 0;
    if (this.wires[frame] > 0) this.state[frame] = PAGE_WIRED;
    else this.#free(frame);
  }

  /** A TypeScript program has taken an offset into `frame`: it is not evicted before nextStep(). Hot. */
  hold(frame: HostFrame): void {
    this.flags[frame] &= ~PG_FRESH;
    this.stamp[frame] = -this.step;
  }

  /** Notes that `frame` was brought in at time `now`, in ns, for somebody who has not used it yet. */
  freshen(frame: HostFrame, now: number): void {
    this.flags[frame] |= PG_REFERENCED | PG_FRESH;
    this.stamp[frame] = Math.floor(now / TICK_NS) & TICK_MASK;
  }

  /** Whether `frame` was brought in less than two seconds before `now`, and has not been used since. */
  isFresh(frame: HostFrame, now: number): boolean {
    return (this.flags[frame] & PG_FRESH) !== 0 && ((Math.floor(now / TICK_NS) - this.stamp[frame]) & TICK_MASK) < FRESH_TICKS;
  }

  /** Ends what `hold` does. */
  nextStep(): void {
    this.step = (this.step % MAX_STEP) + 1;
  }

  /** Whether `hold` was called for `frame` in this step. */
  isHeld(frame: HostFrame): boolean {
    return this.stamp[frame] === -this.step;
  }

  /** Makes a resident frame page `index` of object `owner`. */
  rename(frame: HostFrame, owner: number, index: ObjectPage): void {
    kassert(this.state[frame] === PAGE_RESIDENT, 'vm_page: renamed but not resident');
    this.owner[frame] = owner;
    this.index[frame] = index;
  }

  /** Keeps a resident frame in RAM. @returns false: it is wired as often as can be counted */
  wire(frame: HostFrame): boolean {
    kassert(this.state[frame] === PAGE_RESIDENT, 'vm_page: wired but not resident');
    if (this.wires[frame] === MAX_WIRES) return false;
    this.wires[frame]++;
    this.queues.remove(frame);
    return true;
  }

  /** Takes one wiring back; the last one of a page that was released frees its frame. */
  unwire(frame: HostFrame): void {
    kassert(this.wires[frame] > 0, 'vm_page: not wired');
    this.wires[frame]--;
    if (this.wires[frame] > 0) return;
    if (this.state[frame] === PAGE_WIRED) this.#free(frame);
    else if (this.state[frame] === PAGE_RESIDENT && (this.flags[frame] & PG_BUSY) === 0) this.queues.append(QUEUE_ACTIVE, frame);
  }

  /** Copies the content of frame `from` to frame `to`. */
  copy(from: HostFrame, to: HostFrame): void {
    const { ram, hart } = this.#machine;
    const source = ram.offsetOf(from);
    ram.u8.copyWithin(ram.offsetOf(to), source, source + PAGE_SIZE);
    hart.invalidateCode(to);
  }

  allocateTable(frames = 1): HostFrame {
    const first = frames === 1 ? this.frames.allocate() : this.frames.allocateRun(frames, frames);
    if (first === NO_FRAME) return NO_FRAME;
    for (let frame = first; frame < first + frames; frame++) {
      this.state[frame] = PAGE_TABLE;
      this.zero(frame);
    }
    return first;
  }

  freeTable(first: HostFrame, frames = 1): void {
    for (let frame = first; frame < first + frames; frame++) {
      kassert(this.state[frame] === PAGE_TABLE, 'vm_page: not a table');
      this.#free(frame as HostFrame);
    }
  }

  foldReferenced(frame: HostFrame, modified: boolean): void {
    this.flags[frame] |= modified ? PG_REFERENCED | PG_DIRTY : PG_REFERENCED;
  }

  /** Fills `frame` with zeros; whatever a hart decoded from it is forgotten. */
  zero(frame: HostFrame): void {
    const first = this.word(frame);
    this.#machine.ram.i32.fill(0, first, first + PAGE_SIZE / 4);
    this.#machine.hart.invalidateCode(frame);
  }

  /** Index into ram.i32 of the first word of `frame`. */
  word(frame: HostFrame): number {
    return this.#machine.ram.offsetOf(frame) / 4;
  }

  /** Frames in `state`. O(frames). */
  count(state: number): number {
    let count = 0;
    for (const one of this.state) if (one === state) count++;
    return count;
  }

  assertInvariants(): void {
    this.frames.assertInvariants();
    this.queues.assertInvariants();
    let used = 0;
    for (let frame = 0; frame < this.totalFrames; frame++) {
      const state = this.state[frame];
      const isBusy = (this.flags[frame] & PG_BUSY) !== 0;
      if (state === PAGE_RESIDENT || state === PAGE_TABLE || state === PAGE_WIRED || state === PAGE_TRANSFER) used++;
      kassert(this.frames.isFree(frame as HostFrame) === (state === PAGE_FREE), 'vm_page P2');
      kassert((this.owner[frame] !== 0) === (state === PAGE_RESIDENT), 'vm_page P3');
      const isQueued = state === PAGE_RESIDENT && !isBusy && this.wires[frame] === 0;
      kassert((this.queues.of[frame] !== QUEUE_NONE) === isQueued, 'vm_page P4');
      kassert(this.wires[frame] === 0 || state === PAGE_RESIDENT || state === PAGE_WIRED || state === PAGE_TRANSFER, 'vm_page P5');
      kassert(!isBusy || state === PAGE_RESIDENT || state === PAGE_TRANSFER, 'vm_page P5');
    }
    kassert(this.freeFrames + used === this.totalFrames, 'vm_page P1');
  }

  /** A frame of any content that becomes a page of an object and is in no queue, or 0. */
  #take(owner: number, index: ObjectPage, objectPages: number): HostFrame {
    const frame = this.frames.allocateIn(owner, index, objectPages);
    if (frame === NO_FRAME) return NO_FRAME;
    this.state[frame] = PAGE_RESIDENT;
    this.owner[frame] = owner;
    this.index[frame] = index;
    return frame;
  }

  /** Forgets whose page a frame was, and what was collected about it. */
  #disown(frame: HostFrame): void {
    this.queues.remove(frame);
    this.owner[frame] = 0;
    this.index[frame] = 0;
    this.flags[frame] = 0;
    this.stamp[frame] = 0;
  }

  #free(frame: HostFrame): void {
    this.state[frame] = PAGE_FREE;
    this.frames.release(frame);
  }
}
