/**
 * vm_object: what can be mapped. Memory that nobody has written yet reads as zero and has no frame; a frame is given
 * when a page is first touched, and taken back when the object loses its last reference. Who sees a page at which
 * address is not known here (map.ts has the one way, pmap/ the other).
 *
 *   map entry -> VmObject -> Radix -> frame -> VmPages.owner, index -> back to the object and the page
 *
 * Invariants (VmObjects.assertInvariants):
 *   O1  a resident frame is owned by this object, under the index it is stored at
 *   O2  0 <= index < sizePages
 *   O3  every resident frame of the machine is a page of exactly one live object
 *   O4  a live object has references, and its id leads to it
 */

import { kassert } from '../base/assert.ts';
import { type HostFrame, type ObjectPage, PAGE_SIZE } from '../base/units.ts';
import type { Hardware } from '../machine/index.ts';
import type { PmapSystem } from '../pmap/index.ts';
import type { VmCounters } from './counters.ts';
import { NO_FRAME, PAGE_RESIDENT, PG_BUSY, PG_DIRTY, PG_FRESH, PG_REFERENCED, type VmPages } from './page.ts';
import { Pageout } from './pageout.ts';
import { PAGE_NONE, PAGE_WAIT, type PageOwners, SwapPager, VM_WAIT_MEMORY } from './pager.ts';
import { Radix, RadixPool } from './radix.ts';

/** The largest object, in pages: what a virtual page table over anonymous memory can name. */
export const MAX_OBJECT_PAGES = 2 ** 31 - 1;

/** All objects of the machine, and what they have in common. */
export class VmObjects implements PageOwners {
  readonly machine: Hardware;
  readonly pages: VmPages;
  readonly pmaps: PmapSystem;
  readonly counters: VmCounters;
  readonly radixPool = new RadixPool();
  /** What is outside RAM, and who works in the background; null: the machine has no disk, and everything is in RAM. */
  readonly pager: SwapPager | null = null;
  readonly io: Pageout | null = null;
  readonly #objects: (VmObject | null)[] = [null]; // by id; id 0 means none
  readonly #freeIds: number[] = [];

  constructor(machine: Hardware, pages: VmPages, pmaps: PmapSystem, counters: VmCounters) {
    this.machine = machine;
    this.pages = pages;
    this.pmaps = pmaps;
    this.counters = counters;
    if (machine.disk === null) return;
    this.pager = new SwapPager({ machine, device: machine.disk, pages, owners: this });
    this.io = new Pageout({ clock: machine.clock, pages, pmaps, owners: this, pager: this.pager });
  }

  attach(owner: number, index: ObjectPage, frame: HostFrame): void {
    this.#byId(owner).attach(index, frame);
  }

  detach(owner: number, index: ObjectPage): void {
    this.#byId(owner).detach(index);
  }

  lookup(owner: number, index: ObjectPage): HostFrame {
    return this.#byId(owner).lookup(index);
  }

  notePaging(owner: number, pages: number): void {
    this.#byId(owner).paging += pages;
  }

  /** An object of `sizePages` pages without content, with one reference: the caller's. */
  create(sizePages: number, kind: VmObjectKind = 'anonymous'): VmObject {
    const id = this.#freeIds.pop() ?? this.#objects.length;
    const object = new VmObject(this, id, kind, sizePages);
    this.#objects[id] = object;
    return object;
  }

  /** For VmObject.release: the id may be given out again. */
  forget(id: number): void {
    this.#objects[id] = null;
    this.#freeIds.push(id);
  }

  /** The live objects with their references; for invariants that span objects and maps. */
  *live(): Generator<VmObject> {
    for (const object of this.#objects) if (object !== null) yield object;
  }

  assertInvariants(): void {
    this.pager?.assertInvariants();
    let resident = 0;
    let nodes = 0;
    for (const object of this.live()) {
      kassert(object.references > 0 && this.#objects[object.id] === object, 'vm_object O4');
      resident += object.residentPages;
      nodes += object.assertInvariants();
    }
    kassert(resident === this.pages.count(PAGE_RESIDENT), 'vm_object O3');
    kassert(nodes === this.radixPool.live, 'radix X2');
  }

  #byId(id: number): VmObject {
    const object = this.#objects[id];
    kassert(object !== null, 'vm_object: page of an object that has ended');
    return object;
  }
}

/** What an object is: memory of processes, or an image that something outside the maps holds and reads. */
export type VmObjectKind = 'anonymous' | 'image';

/** Anonymous memory or a memory image. Made by VmObjects.create; lives while it has references. */
export class VmObject {
  /** Owner of its frames in VmPages; given out again after the last release. */
  readonly id: number;
  readonly kind: VmObjectKind;
  /** What is seen where this object has no page itself: page i is page i + backingOffset of `backing`. We hold a reference on it. */
  backing: VmObject | null = null;
  backingOffset = 0;
  /** Pages whose I/O is under way; the pager's. Such an object is not collapsed. */
  paging = 0;
  readonly #all: VmObjects;
  readonly #resident: Radix;
  #sizePages: number;
  #references = 1;

  constructor(all: VmObjects, id: number, kind: VmObjectKind, sizePages: number) {
    kassert(Number.isInteger(sizePages) && sizePages >= 0 && sizePages <= MAX_OBJECT_PAGES, 'vm_object: size');
    this.#all = all;
    this.id = id;
    this.kind = kind;
    this.#sizePages = sizePages;
    this.#resident = new Radix(all.radixPool);
  }

  /** Pages the object has, resident or not. */
  get sizePages(): number {
    return this.#sizePages;
  }

  /** Pages that have a frame. */
  get residentPages(): number {
    return this.#resident.size;
  }

  /** Map entries and other holders. */
  get references(): number {
    return this.#references;
  }

  reference(): void {
    kassert(this.#references > 0, 'vm_object: referenced after its end');
    this.#references++;
  }

  /** Gives one reference back. With the last one the object ends and its frames are free. */
  release(): void {
    kassert(this.#references > 0, 'vm_object: released too often');
    this.#references--;
    if (this.#references > 0) return;
    this.discard(0, this.#sizePages);
    this.#all.forget(this.id);
  }

  /** The frame of page `index`, or 0: not resident. It may be busy. Hot. */
  lookup(index: ObjectPage): HostFrame {
    return this.#resident.get(index);
  }

  /**
   * The frame of page `index` < sizePages: resident, or zero-filled if the page has no content. Hot: allocates no objects.
   * @returns the frame; or PAGE_NONE: no frame is free; PAGE_WAIT: the page is on its way from or to the device; PAGE_ERROR:
   * the device cannot deliver it
   */
  fill(index: ObjectPage): number {
    const { pages, pager } = this.#all;
    const found = this.#resident.get(index);
    if (found !== NO_FRAME) return pager !== null && (pages.flags[found] & PG_BUSY) !== 0 ? pager.await(found) : found;
    kassert(index >= 0 && index < this.#sizePages, 'vm_object O2');
    if (pager !== null && pager.has(this.id, index)) return pager.pageIn(this.id, index, this.#sizePages);
    const frame = pages.allocate(this.id, index, this.#sizePages);
    if (frame === NO_FRAME) return PAGE_NONE;
    this.#resident.insert(index, frame);
    this.#all.counters.zeroFills++;
    return frame;
  }

  /** As fill(), but waits for a page or for memory by advancing the clock. @returns a frame, PAGE_NONE or PAGE_ERROR */
  obtain(index: ObjectPage): number {
    const { io, pages } = this.#all;
    for (;;) {
      const frame = this.fill(index);
      if (frame > 0) pages.flags[frame] = (pages.flags[frame] & ~PG_FRESH) | PG_REFERENCED;
      if (io === null || (frame !== PAGE_NONE && frame !== PAGE_WAIT)) return frame;
      if (!io.waitFor(frame === PAGE_WAIT ? io.waitChannel : VM_WAIT_MEMORY)) return PAGE_NONE;
    }
  }

  /** For VmObjects.attach. */
  attach(index: ObjectPage, frame: HostFrame): void {
    this.#resident.insert(index, frame);
  }

  /** For VmObjects.detach. */
  detach(index: ObjectPage): void {
    this.#resident.remove(index);
  }

  /** Forgets the content of the pages [start, end): their real PTEs go, their frames are free, they read as zero. */
  discard(start: number, end: number): void {
    const { pager, pages, pmaps } = this.#all;
    for (let index = this.#resident.next(start); index >= 0 && index < end; index = this.#resident.next(index)) {
      const frame = this.#resident.get(index as ObjectPage);
      pmaps.removeAll(frame);
      this.#resident.remove(index as ObjectPage);
      if (pager !== null && (pages.flags[frame] & PG_BUSY) !== 0) pager.abandon(frame);
      else pages.release(frame);
    }
    pager?.drop(this.id, start, end);
  }

  /** Makes the object `sizePages` long. What is cut off is lost, and an access to it is an access beyond the object. */
  resize(sizePages: number): void {
    kassert(Number.isInteger(sizePages) && sizePages >= 0 && sizePages <= MAX_OBJECT_PAGES, 'vm_object: size');
    this.discard(sizePages, this.#sizePages);
    this.#sizePages = sizePages;
  }

  /**
   * Copies content out, as a file is read. Pages without content read as zero and get no frame.
   * @param offset bytes
   * @returns bytes copied: less than asked for at the end of the object, or where a page cannot be brought in
   */
  read(offset: number, into: Uint8Array): number {
    const total = this.#clamp(offset, into.length);
    for (let done = 0; done < total; ) {
      const at = (offset + done) % PAGE_SIZE;
      const count = Math.min(total - done, PAGE_SIZE - at);
      const index = Math.floor((offset + done) / PAGE_SIZE) as ObjectPage;
      if (this.#hasContent(index)) {
        const frame = this.obtain(index);
        if (frame <= 0) return done;
        into.set(this.#bytes(frame as HostFrame, at, count), done);
      } else {
        into.fill(0, done, done + count);
      }
      done += count;
    }
    return total;
  }

  /**
   * Copies content in, as a file is written. The size does not change.
   * @param offset bytes
   * @returns bytes copied: less than given at the end of the object, or where no frame is free or a page cannot be brought in
   */
  write(offset: number, from: Uint8Array): number {
    const total = this.#clamp(offset, from.length);
    let done = 0;
    while (done < total) {
      const at = (offset + done) % PAGE_SIZE;
      const count = Math.min(total - done, PAGE_SIZE - at);
      const frame = this.obtain(Math.floor((offset + done) / PAGE_SIZE) as ObjectPage);
      if (frame <= 0) break;
      this.#bytes(frame as HostFrame, at, count).set(from.subarray(done, done + count));
      this.#all.pages.flags[frame] |= PG_REFERENCED | PG_DIRTY;
      this.#all.machine.hart.invalidateCode(frame as HostFrame);
      done += count;
    }
    return done;
  }

  /** Panics if a resident page is not what the page says of itself; returns the radix nodes in use. */
  assertInvariants(): number {
    const { pages } = this.#all;
    let resident = 0;
    for (let index = this.#resident.next(0); index >= 0; index = this.#resident.next(index + 1)) {
      const frame = this.#resident.get(index as ObjectPage);
      kassert(pages.state[frame] === PAGE_RESIDENT, 'vm_object O1');
      kassert(pages.owner[frame] === this.id && pages.index[frame] === index, 'vm_object O1');
      kassert(index < this.#sizePages, 'vm_object O2');
      resident++;
    }
    kassert(resident === this.#resident.size, 'vm_object O1: count');
    return this.#resident.assertInvariants();
  }

  /** Whether page `index` may be other than zero. */
  #hasContent(index: ObjectPage): boolean {
    const { pager } = this.#all;
    return this.#resident.get(index) !== NO_FRAME || (pager !== null && pager.has(this.id, index));
  }

  /** How many of `length` bytes at `offset` are inside the object. */
  #clamp(offset: number, length: number): number {
    return Math.max(0, Math.min(length, this.#sizePages * PAGE_SIZE - offset));
  }

  #bytes(frame: HostFrame, at: number, count: number): Uint8Array {
    const { ram } = this.#all.machine;
    const first = ram.offsetOf(frame) + at;
    return ram.u8.subarray(first, first + count);
  }
}
