/**
 * vm_page: the state of every frame of the machine, as a struct of arrays indexed by frame number, and the allocator.
 * Which virtual addresses a frame is seen at is not here (pmap/reverse-map.ts), nor which page of an object is resident
 * (radix.ts has that direction; owner and index here are the way back).
 *
 *   free --allocate--> resident (owner, index) --free--> free
 *     +--allocateTable--> table --freeTable--> free          wired: frame 0, which is never given out and stands for none
 *
 * Invariants (assertInvariants):
 *   P1  free + resident + table + wired frames are all frames
 *   P2  the free list holds each free frame once and nothing else
 *   P3  a frame has an owner exactly if it is resident
 */

import { kassert } from '../base/assert.ts';
import { type HostFrame, type ObjectPage, PAGE_SIZE } from '../base/units.ts';
import type { Machine } from '../machine/index.ts';
import type { PageSource } from '../pmap/index.ts';

/** What a frame is used for: VmPages.state. */
export const PAGE_FREE = 0;
export const PAGE_RESIDENT = 1; // holds a page of a vm_object
export const PAGE_TABLE = 2; // a page table of a pmap
export const PAGE_WIRED = 3; // the kernel's

/** Bits of VmPages.flags. They collect what was harvested from real PTEs, and the kernel's own accesses. */
export const PG_REFERENCED = 1;
export const PG_DIRTY = 2; // differs from what the object would have without this page

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
  readonly #next: Int32Array; // by frame: next of the free list, 0 ends it
  readonly #machine: Machine;
  #firstFree = NO_FRAME;
  #free = 0;

  constructor(machine: Machine) {
    const frames = machine.ram.frames;
    this.#machine = machine;
    this.state = new Uint8Array(frames);
    this.flags = new Uint8Array(frames);
    this.owner = new Int32Array(frames);
    this.index = new Int32Array(frames);
    this.#next = new Int32Array(frames);
    this.state[0] = PAGE_WIRED;
    for (let frame = 1; frame < frames - 1; frame++) this.#next[frame] = frame + 1; // all are free, frame 1 is the first to go
    this.#firstFree = (frames > 1 ? 1 : 0) as HostFrame;
    this.#free = frames - 1;
  }

  get freeFrames(): number {
    return this.#free;
  }

  /** Frames of the machine, free or not. */
  get totalFrames(): number {
    return this.state.length;
  }

  /** A zeroed frame that becomes page `index` of object `owner`, or 0. Hot: allocates no objects. */
  allocate(owner: number, index: ObjectPage): HostFrame {
    const frame = this.#take(PAGE_RESIDENT);
    if (frame === NO_FRAME) return NO_FRAME;
    this.owner[frame] = owner;
    this.index[frame] = index;
    this.zero(frame);
    return frame;
  }

  /** Takes a resident frame back from its object. No real PTE may map it any more. */
  release(frame: HostFrame): void {
    kassert(this.state[frame] === PAGE_RESIDENT, 'vm_page: released but not resident');
    this.owner[frame] = 0;
    this.index[frame] = 0;
    this.flags[frame] = 0;
    this.#link(frame);
  }

  allocateTable(): HostFrame {
    const frame = this.#take(PAGE_TABLE);
    if (frame !== NO_FRAME) this.zero(frame);
    return frame;
  }

  freeTable(frame: HostFrame): void {
    kassert(this.state[frame] === PAGE_TABLE, 'vm_page: not a table');
    this.#link(frame);
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
    return this.#machine.ram.base / 4 + frame * (PAGE_SIZE / 4);
  }

  /** Frames in `state`. O(frames). */
  count(state: number): number {
    let count = 0;
    for (const one of this.state) if (one === state) count++;
    return count;
  }

  assertInvariants(): void {
    const used = this.count(PAGE_RESIDENT) + this.count(PAGE_TABLE) + this.count(PAGE_WIRED);
    kassert(this.#free + used === this.totalFrames, 'vm_page P1');
    let listed = 0;
    for (let frame = this.#firstFree; frame !== NO_FRAME; frame = this.#next[frame] as HostFrame) {
      kassert(this.state[frame] === PAGE_FREE && listed < this.#free, 'vm_page P2');
      listed++;
    }
    kassert(listed === this.#free && this.count(PAGE_FREE) === this.#free, 'vm_page P2');
    for (let frame = 0; frame < this.totalFrames; frame++) {
      kassert((this.owner[frame] !== 0) === (this.state[frame] === PAGE_RESIDENT), 'vm_page P3');
    }
  }

  #take(state: number): HostFrame {
    const frame = this.#firstFree;
    if (frame === NO_FRAME) return NO_FRAME;
    this.#firstFree = this.#next[frame] as HostFrame;
    this.#free--;
    this.state[frame] = state;
    return frame;
  }

  #link(frame: HostFrame): void {
    this.state[frame] = PAGE_FREE;
    this.#next[frame] = this.#firstFree;
    this.#firstFree = frame;
    this.#free++;
  }
}
