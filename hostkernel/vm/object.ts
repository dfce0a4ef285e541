/**
 * vm_object: what can be mapped. Memory that nobody has written yet reads as zero and has no frame; a frame is given
 * when a page is first touched, and taken back when the object loses its last reference. Who sees a page at which
 * address is not known here (map.ts has the one way, pmap/ the other), nor how pages come from and go to a device
 * (pager.ts).
 *
 *   map entry -> shadow (private copies) -> ... -> image, or nothing       the first object that has the page wins
 *                  page i        is         page i + backingOffset
 *
 *   VmObject -> Radix -> frame -> VmPages.owner, index -> back to the object and the page
 *
 * A page is written in the first object of a chain only: if it is found further down, it is copied first. Where nobody has
 * it, it is zero; an image has all pages below its size, and what lies beyond them is nothing, not zero.
 *
 * Two shortcuts keep chains short, when a reference goes and when a process forks: an object that only its shadow refers
 * to is merged into it (collapse), and one whose pages the shadow all hides is passed over (bypass). Not where a virtual
 * page table is involved, as in the model.
 *
 * Invariants (VmObjects.assertInvariants):
 *   O1  a resident frame is owned by this object, under the index it is stored at
 *   O2  0 <= index < sizePages
 *   O3  every resident frame of the machine is a page of exactly one live object
 *   O4  a live object has references, and its id leads to it
 *   O5  an object is in the list of shadows of the object behind it, and in no other; each shadow holds a reference
 *   O6  chains end; an image has nothing behind it
 *   O7  an object of one mapping has at most one reference for each map entry, and no shadow
 *
 * Source: DragonFly BSD vm_object.c: vm_object_shadow(), vm_object_collapse().
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

/** What takes the place of a frame, beside PAGE_NONE, PAGE_WAIT and PAGE_ERROR: no object of the chain has such a page. */
export const PAGE_BEYOND = -3;
/** The same, from peek and bringIn: the page is zero and has no frame. */
export const PAGE_ZERO = -4;

/** What an object is: memory of processes, or an image that something outside the maps holds and reads. */
export type VmObjectKind = 'anonymous' | 'image';

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
  /** After a frame from VmObject.readable: whether it is a page of the object asked, and not of one behind it. */
  own = true;
  /** After #holderOf: which page of the object found it is; or, where none was, PAGE_ZERO or PAGE_BEYOND. */
  at = 0;
  outcome = PAGE_ZERO;
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

  /** For whoever met a busy page. @returns PAGE_WAIT */
  await(frame: HostFrame): number {
    kassert(this.pager !== null, 'vm_object: busy without a pager');
    return this.pager.await(frame);
  }

  /** After PAGE_NONE or PAGE_WAIT: waits on the spot until it may be tried again. @returns false: that would be for ever */
  waitAfter(outcome: number): boolean {
    const { io } = this;
    return io !== null && io.waitFor(outcome === PAGE_WAIT ? io.waitChannel : VM_WAIT_MEMORY);
  }

  /** Notes that somebody uses the page in `frame`. Hot. */
  use(frame: HostFrame): void {
    const { flags } = this.pages;
    flags[frame] = (flags[frame] & ~PG_FRESH) | PG_REFERENCED;
  }

  /** Frees a frame that is in no object and no pmap any more; one whose I/O is under way, when that ends. */
  free(frame: HostFrame): void {
    if ((this.pages.flags[frame] & PG_BUSY) === 0) {
      this.pages.release(frame);
      return;
    }
    kassert(this.pager !== null, 'vm_object: busy without a pager');
    this.pager.abandon(frame);
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
    kassert(object !== null && object !== undefined, 'vm_object O4: no such object');
    return object;
  }
}

/** Anonymous memory or a memory image. Made by VmObjects.create or shadow(); lives while it has references. */
export class VmObject {
  /** Owner of its frames in VmPages; given out again after the last release. */
  readonly id: number;
  readonly kind: VmObjectKind;
  /** Each page is behind at most one page of one map entry: what is unmapped is forgotten. */
  oneMapping = false;
  /** Several spaces write it, or may come to: a copy is made at once, not when somebody writes. */
  shared = false;
  /** It is or was behind a virtual page table: its pages are named by tables, and it is never merged or passed over. */
  vpagetable = false;
  /** Pages whose I/O is under way. */
  paging = 0;
  readonly #all: VmObjects;
  readonly #resident: Radix;
  #sizePages: number;
  #references = 1;
  #backing: VmObject | null = null;
  #backingOffset = 0;
  // The list of shadows: ours, and our place in that of `backing`.
  #firstShadow: VmObject | null = null;
  #nextShadow: VmObject | null = null;
  #previousShadow: VmObject | null = null;

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

  /** Map entries, shadows and other holders. */
  get references(): number {
    return this.#references;
  }

  /** What is seen where this object has no page itself: page i is page i + backingOffset of `backing`. */
  get backing(): VmObject | null {
    return this.#backing;
  }

  get backingOffset(): number {
    return this.#backingOffset;
  }

  get hasShadows(): boolean {
    return this.#firstShadow !== null;
  }

  /** The objects we are the backing of. */
  *shadows(): Generator<VmObject> {
    for (let shadow = this.#firstShadow; shadow !== null; shadow = shadow.#nextShadow) yield shadow;
  }

  reference(): void {
    kassert(this.#references > 0, 'vm_object: referenced after its end');
    this.#references++;
  }

  /**
   * Gives one reference back. With the last one the object ends, its frames are free, and the object behind it loses one;
   * an object left to one shadow is merged into it.
   */
  release(): void {
    VmObject.#release(this);
  }

  static #release(last: VmObject): void {
    let object = last;
    for (;;) {
      kassert(object.#references > 0, 'vm_object: released too often');
      object.#references--;
      if (object.#references > 0) break;
      object.discard(0, object.#sizePages);
      object.#all.forget(object.id);
      const behind = object.#backing;
      if (behind === null) return;
      object.#unlink();
      object = behind;
    }
    if (object.#references > 1 || object.kind === 'image') return;
    if (object.#firstShadow !== null) object.#firstShadow.collapse();
    else if (!object.vpagetable) object.becomePrivate();
  }

  /** Notes that one map entry is all that refers to this anonymous memory. */
  becomePrivate(): void {
    kassert(this.#references === 1 && this.#firstShadow === null, 'vm_object O7');
    this.shared = false;
    this.oneMapping = !this.vpagetable;
  }

  /** Whether the one reference is that of a map entry: no copy is needed before a write. */
  get isExclusive(): boolean {
    return this.#references === 1 && this.kind === 'anonymous';
  }

  /** Puts an empty object of `sizePages` in front, whose page 0 is our page `offset`. It takes over one reference. */
  shadow(sizePages: number, offset: number): VmObject {
    const shadow = this.#all.create(sizePages);
    shadow.#link(this, offset);
    this.oneMapping = false;
    this.#all.counters.shadows++;
    return shadow;
  }

  /** Shortens the chain behind this object: merges what only we refer to, passes over what our pages hide. */
  collapse(): void {
    for (let behind = this.#backing; behind !== null && this.#mayCollapse(behind); behind = this.#backing) {
      if (behind.#references === 1) this.#merge(behind);
      else if (this.#hides(behind)) this.#passOver(behind);
      else return;
    }
  }

  // ------------------------------------------------------------------------------------------------------- pages

  /** The frame of page `index`, or 0: not resident here. Hot. */
  lookup(index: ObjectPage): HostFrame {
    return this.#resident.get(index);
  }

  /**
   * The frame to read page `index` < sizePages from: ours, that of an object behind us, or one filled with zeros now.
   * VmObjects.own says whether it is ours. Hot: allocates no objects.
   * @returns a frame; PAGE_NONE, PAGE_WAIT, PAGE_ERROR; PAGE_BEYOND: it is beyond the image behind us
   */
  readable(index: ObjectPage): number {
    const all = this.#all;
    all.own = true;
    const found = this.#resident.get(index);
    if (found !== NO_FRAME) return (all.pages.flags[found] & PG_BUSY) === 0 ? found : all.await(found);
    if (all.pager !== null && all.pager.has(this.id, index)) return this.#pageIn(index);
    return this.#backing === null ? this.#fillZero(index) : this.#readBehind(index);
  }

  /**
   * The frame to write page `index` < sizePages to: ours, after a copy if an object behind us had the page. Hot: allocates
   * no objects.
   * @returns as readable
   */
  writable(index: ObjectPage): number {
    const all = this.#all;
    const found = this.#resident.get(index);
    if (found !== NO_FRAME) return (all.pages.flags[found] & PG_BUSY) === 0 ? found : all.await(found);
    if (all.pager !== null && all.pager.has(this.id, index)) return this.#pageIn(index);
    return this.#backing === null ? this.#fillZero(index) : this.#copyUp(index);
  }

  /**
   * The frame that page `index` has now, ours or behind us. Changes nothing.
   * @returns a frame; PAGE_ZERO, PAGE_BEYOND; PAGE_WAIT: it is on the device, or busy
   */
  peek(index: number): number {
    const holder = VmObject.#holderOf(this, index);
    if (holder === null) return this.#all.outcome;
    const found = holder.#resident.get(this.#all.at as ObjectPage);
    return found === NO_FRAME || (this.#all.pages.flags[found] & PG_BUSY) !== 0 ? PAGE_WAIT : found;
  }

  /**
   * The frame of page `index`, ours or behind us, brought in from the device if it is there. Does not make zero pages.
   * @returns a frame; PAGE_ZERO, PAGE_BEYOND; PAGE_NONE, PAGE_WAIT, PAGE_ERROR
   */
  bringIn(index: number): number {
    const holder = VmObject.#holderOf(this, index);
    if (holder === null) return this.#all.outcome;
    const at = this.#all.at as ObjectPage;
    const found = holder.#resident.get(at);
    if (found === NO_FRAME) return holder.#pageIn(at);
    return (this.#all.pages.flags[found] & PG_BUSY) === 0 ? found : this.#all.await(found);
  }

  /** Takes in `frame`, which says of itself that it is page `index` of this object. The page must not be resident. */
  attach(index: ObjectPage, frame: HostFrame): void {
    this.#resident.insert(index, frame);
  }

  /** Lets go of the frame of page `index`, whose owner is the caller now. */
  detach(index: ObjectPage): void {
    this.#resident.remove(index);
  }

  /** The smallest index >= `from` of a page that is resident or swapped, here or behind us; or -1: what is left is zero. */
  nextPage(from: number): number {
    let least = this.#nextOwn(from);
    let shift = this.#backingOffset;
    for (let object = this.#backing; object !== null; object = object.#backing) {
      least = Math.min(least, object.#nextOwn(from + shift) - shift);
      shift += object.#backingOffset;
    }
    return least === Infinity ? -1 : least;
  }

  /** The last object of the chain, and which of its pages our page 0 is. */
  get bottom(): { readonly object: VmObject; readonly offset: number } {
    if (this.#backing === null) return { object: this, offset: 0 };
    const { object, offset } = this.#backing.bottom;
    return { object, offset: offset + this.#backingOffset };
  }

  /**
   * Makes the pages [first, first + count) of `from` ours, from page 0 on, as they are now; waits on the spot. What is
   * behind both of us stays there.
   * @returns false: memory ran out, or the device does not deliver; some pages are here then
   */
  copyFrom(from: VmObject, first: number, count: number): boolean {
    const { pages } = this.#all;
    const isBehindBoth = this.#backing !== null && this.#backing === from.#backing;
    const next = (at: number): number => (isBehindBoth ? from.#nextOwn(at) : from.nextPage(at));
    for (let at = next(first); at >= 0 && at < first + count; at = next(at + 1)) {
      const index = at - first;
      for (let isDone = false; !isDone; ) {
        const to = this.settle(index, true);
        const source = to <= 0 ? to : from.settle(at, false);
        if (source <= 0 && source !== PAGE_ZERO && source !== PAGE_BEYOND) return false;
        isDone = this.lookup(index as ObjectPage) === to; // it may have had to go while we waited for the other
        if (!isDone || source <= 0) continue;
        pages.copy(source as HostFrame, to as HostFrame);
        pages.flags[to] |= PG_DIRTY;
      }
    }
    return true;
  }

  /** Forgets our content of the pages [start, end): their real PTEs go, their frames are free. What is behind them shows. */
  discard(start: number, end: number): void {
    const { pmaps, pager } = this.#all;
    for (let index = this.#resident.next(start); index >= 0 && index < end; index = this.#resident.next(index)) {
      const frame = this.#resident.get(index as ObjectPage);
      pmaps.removeAll(frame);
      this.#resident.remove(index as ObjectPage);
      this.#all.free(frame);
    }
    if (pager !== null && end > start) pager.drop(this.id, start, end);
  }

  /** Drops the real PTEs of the resident pages of [start, end), wherever they are; returns the number of these pages. */
  unmapEverywhere(start: number, end: number): number {
    let count = 0;
    for (let index = this.#resident.next(start); index >= 0 && index < end; index = this.#resident.next(index + 1)) {
      this.#all.pmaps.removeAll(this.#resident.get(index as ObjectPage));
      count++;
    }
    return count;
  }

  /** Makes the object `sizePages` long. What is cut off is lost, and an access to it is an access beyond the object. */
  resize(sizePages: number): void {
    kassert(Number.isInteger(sizePages) && sizePages >= 0 && sizePages <= MAX_OBJECT_PAGES, 'vm_object: size');
    this.discard(sizePages, this.#sizePages);
    this.#sizePages = sizePages;
  }

  // ------------------------------------------------------------------------------------------------------- bytes

  /**
   * Copies content out, as a file is read. Pages without a frame read as zero and get none.
   * @param offset bytes
   * @returns bytes copied: less than asked for at the end of the object, or at a page the device does not deliver
   */
  read(offset: number, into: Uint8Array): number {
    const total = this.#clamp(offset, into.length);
    let done = 0;
    while (done < total) {
      const at = (offset + done) % PAGE_SIZE;
      const count = Math.min(total - done, PAGE_SIZE - at);
      const frame = this.settle(Math.floor((offset + done) / PAGE_SIZE), false);
      if (frame === PAGE_ZERO) into.fill(0, done, done + count);
      else if (frame <= 0) break;
      else into.set(this.#bytes(frame as HostFrame, at, count), done);
      done += count;
    }
    return done;
  }

  /**
   * Copies content in, as a file is written. The size does not change.
   * @param offset bytes
   * @returns bytes copied: less than given at the end of the object, where no frame is free, or the device does not deliver
   */
  write(offset: number, from: Uint8Array): number {
    const total = this.#clamp(offset, from.length);
    let done = 0;
    while (done < total) {
      const at = (offset + done) % PAGE_SIZE;
      const count = Math.min(total - done, PAGE_SIZE - at);
      const frame = this.settle(Math.floor((offset + done) / PAGE_SIZE), true);
      if (frame <= 0) break;
      this.#bytes(frame as HostFrame, at, count).set(from.subarray(done, done + count));
      this.#all.pages.flags[frame] |= PG_REFERENCED | PG_DIRTY;
      this.#all.machine.hart.invalidateCode(frame as HostFrame);
      done += count;
    }
    return done;
  }

  /**
   * bringIn or writable, waiting on the spot for what is under way and making room.
   * @returns a frame; PAGE_ZERO, PAGE_BEYOND; PAGE_NONE, PAGE_ERROR
   */
  settle(index: number, isWrite: boolean): number {
    for (;;) {
      const frame = isWrite ? this.writable(index as ObjectPage) : this.bringIn(index);
      if (frame > 0) this.#all.use(frame as HostFrame);
      if (frame !== PAGE_NONE && frame !== PAGE_WAIT) return frame;
      if (!this.#all.waitAfter(frame)) return PAGE_NONE;
    }
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
    this.#assertChain();
    return this.#resident.assertInvariants();
  }

  // ------------------------------------------------------------------------------------------------------ chains

  /** Puts us in front of `backing`, whose reference we take over. */
  #link(backing: VmObject, offset: number): void {
    this.#backing = backing;
    this.#backingOffset = offset;
    this.#previousShadow = null;
    this.#nextShadow = backing.#firstShadow;
    if (backing.#firstShadow !== null) backing.#firstShadow.#previousShadow = this;
    backing.#firstShadow = this;
  }

  /** Leaves the list of shadows of our backing. The reference on it passes to the caller. */
  #unlink(): void {
    const next = this.#nextShadow;
    if (this.#previousShadow !== null) this.#previousShadow.#nextShadow = next;
    else if (this.#backing !== null) this.#backing.#firstShadow = next;
    if (next !== null) next.#previousShadow = this.#previousShadow;
    this.#nextShadow = null;
    this.#previousShadow = null;
    this.#backing = null;
    this.#backingOffset = 0;
  }

  #mayCollapse(behind: VmObject): boolean {
    return behind.kind === 'anonymous' && !this.vpagetable && !behind.vpagetable && this.paging === 0 && behind.paging === 0;
  }

  /** Takes over the pages of `behind`, which has no other reference, and what is behind it. */
  #merge(behind: VmObject): void {
    const { pages, pmaps, pager, counters } = this.#all;
    const offset = this.#backingOffset;
    const isOurs = (at: number) => at >= offset && at - offset < this.#sizePages && !this.#hasPage(at - offset);
    if (pager !== null) {
      for (let at = pager.next(behind.id, 0); at >= 0; at = pager.next(behind.id, at + 1)) {
        if (!isOurs(at)) {
          pager.drop(behind.id, at, at + 1);
          continue;
        }
        if (behind.#resident.get(at as ObjectPage) !== NO_FRAME) this.#adopt(behind, at, offset);
        pager.move(behind.id, at as ObjectPage, this.id, (at - offset) as ObjectPage);
      }
    }
    for (let at = behind.#resident.next(0); at >= 0; at = behind.#resident.next(at + 1)) {
      const frame = behind.#resident.get(at as ObjectPage);
      if (isOurs(at)) {
        this.#adopt(behind, at, offset);
        continue;
      }
      behind.#resident.remove(at as ObjectPage);
      pmaps.removeAll(frame);
      pages.release(frame);
    }
    const beyond = behind.#backing;
    const beyondOffset = behind.#backingOffset;
    this.#unlink();
    if (beyond !== null) {
      behind.#unlink();
      this.#link(beyond, offset + beyondOffset);
    }
    behind.#references = 0;
    this.#all.forget(behind.id);
    counters.collapses++;
  }

  /** Whether each page of `behind` that we would see is hidden by one of ours. */
  #hides(behind: VmObject): boolean {
    const offset = this.#backingOffset;
    const end = offset + this.#sizePages;
    const { pager } = this.#all;
    for (let at = behind.#resident.next(offset); at >= 0 && at < end; at = behind.#resident.next(at + 1)) {
      if (!this.#hasPage(at - offset)) return false;
    }
    if (pager === null) return true;
    for (let at = pager.next(behind.id, offset); at >= 0 && at < end; at = pager.next(behind.id, at + 1)) {
      if (!this.#hasPage(at - offset)) return false;
    }
    return true;
  }

  /** Puts us in front of what is behind `behind`, which others still refer to. */
  #passOver(behind: VmObject): void {
    const offset = this.#backingOffset;
    const beyond = behind.#backing;
    this.#unlink();
    if (beyond !== null) {
      beyond.reference();
      this.#link(beyond, offset + behind.#backingOffset);
    }
    this.#all.counters.bypasses++;
    behind.release();
  }

  /** Makes page `at` of `behind` ours. */
  #adopt(behind: VmObject, at: number, offset: number): void {
    const frame = behind.#resident.get(at as ObjectPage);
    const index = (at - offset) as ObjectPage;
    behind.#resident.remove(at as ObjectPage);
    this.#resident.insert(index, frame);
    this.#all.pages.rename(frame, this.id, index);
  }

  /** The smallest index >= `from` of a page of ours, resident or swapped; or Infinity. */
  #nextOwn(from: number): number {
    const resident = this.#resident.next(from);
    const { pager } = this.#all;
    const swapped = pager === null ? -1 : pager.next(this.id, from);
    if (swapped < 0) return resident < 0 ? Infinity : resident;
    return resident < 0 ? swapped : Math.min(resident, swapped);
  }

  #isSwapped(index: number): boolean {
    const { pager } = this.#all;
    return pager !== null && pager.has(this.id, index as ObjectPage);
  }

  #hasPage(index: number): boolean {
    return this.#resident.get(index as ObjectPage) !== NO_FRAME || this.#isSwapped(index);
  }

  /** O5 to O7. */
  #assertChain(): void {
    let shadows = 0;
    for (const shadow of this.shadows()) {
      kassert(shadow.#backing === this, 'vm_object O5');
      shadows++;
    }
    kassert(this.#references >= shadows, 'vm_object O5: references');
    kassert(!this.oneMapping || shadows === 0, 'vm_object O7');
    kassert(this.kind === 'anonymous' || this.#backing === null, 'vm_object O6');
    const seen = new Set<VmObject>();
    for (let object = this.#backing; object !== null; object = object.#backing) {
      kassert(object !== this && !seen.has(object) && object.#references > 0, 'vm_object O6');
      seen.add(object);
    }
  }

  // -------------------------------------------------------------------------------------------------- finding

  /** The object of the chain that has page `index`, resident or swapped; VmObjects.at is its index there. null: see outcome. */
  static #holderOf(first: VmObject, index: number): VmObject | null {
    const all = first.#all;
    let object = first;
    for (let at = index; ; ) {
      if (at >= object.#sizePages) {
        all.outcome = object.kind === 'image' ? PAGE_BEYOND : PAGE_ZERO;
        return null;
      }
      if (object.#hasPage(at)) {
        all.at = at;
        return object;
      }
      if (object.#backing === null) {
        all.outcome = PAGE_ZERO;
        return null;
      }
      at += object.#backingOffset;
      object = object.#backing;
    }
  }

  /** readable, where we have not got the page. A page nobody has is made here; that of an image, in the image. */
  #readBehind(index: ObjectPage): number {
    let object: VmObject | null = this.#backing;
    let at = index + this.#backingOffset;
    const all = this.#all;
    while (object !== null) {
      if (object.kind === 'image') {
        all.own = false;
        return at < object.#sizePages ? object.#here(at as ObjectPage) : PAGE_BEYOND;
      }
      if (at >= object.#sizePages) break;
      if (object.#hasPage(at)) {
        all.own = false;
        return object.#here(at as ObjectPage);
      }
      at += object.#backingOffset;
      object = object.#backing;
    }
    return this.#fillZero(index);
  }

  /** readable, without looking behind. */
  #here(index: ObjectPage): number {
    const found = this.#resident.get(index);
    if (found !== NO_FRAME) return (this.#all.pages.flags[found] & PG_BUSY) === 0 ? found : this.#all.await(found);
    return this.#isSwapped(index) ? this.#pageIn(index) : this.#fillZero(index);
  }

  /** writable, where we have not got the page. */
  #copyUp(index: ObjectPage): number {
    const all = this.#all;
    const source = this.bringIn(index);
    if (source === PAGE_ZERO) {
      const zeros = this.#fillZero(index);
      if (zeros > 0) all.pages.flags[zeros] |= PG_DIRTY; // an image behind us may come to have the page
      return zeros;
    }
    if (source <= 0) return source;
    const frame = all.pages.allocate(this.id, index, this.#sizePages);
    if (frame === NO_FRAME) return PAGE_NONE;
    all.pages.copy(source as HostFrame, frame);
    all.pages.flags[frame] |= PG_DIRTY;
    // Whoever else maps this object, and the other addresses of a page behind a virtual page table, saw the original.
    if (this.#references > 1 || this.vpagetable) all.pmaps.removeAll(source as HostFrame);
    this.#resident.insert(index, frame);
    all.counters.copies++;
    return frame;
  }

  #fillZero(index: ObjectPage): number {
    kassert(index >= 0 && index < this.#sizePages, 'vm_object O2');
    const all = this.#all;
    const frame = all.pages.allocate(this.id, index, this.#sizePages);
    if (frame === NO_FRAME) return PAGE_NONE;
    this.#resident.insert(index, frame);
    all.counters.zeroFills++;
    return frame;
  }

  #pageIn(index: ObjectPage): number {
    const { pager } = this.#all;
    kassert(pager !== null, 'vm_object: swapped without a pager');
    return pager.pageIn(this.id, index, this.#sizePages);
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
