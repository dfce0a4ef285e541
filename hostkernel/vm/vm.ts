/**
 * Vm: the virtual memory of one machine. It owns every frame, and knows every object and every space.
 *
 * Invariants over all of it (assertInvariants, with those of the parts):
 *   V1  every page-table frame is in the tables of some pmap, and no other frame is
 *   V2  a real PTE maps a resident page, not busy, that the object of the map entry at its address shows: its own, or one of an
 *       object behind it that none before it hides; of a linear entry, the very page
 *   V3  a real PTE grants no right its map entry does not have, but what hardware cannot tell apart; WRITE only to a page of the entry's own
 *       object, if the entry needs no copy
 *   V4  an object has a reference for each map entry and each shadow; an image also from whoever else holds it
 *   V5  a frame is wired at least as often as entries say
 */

import { kassert } from '../base/assert.ts';
import type { Tracer } from '../base/trace.ts';
import { type HostFrame, PAGE_SHIFT, type VirtualPage, WRITE } from '../base/units.ts';
import { compileLayout, type Hardware, type PageTableFormat, VPTE_32_NX, VPTE_64_NX } from '../machine/index.ts';
import { HardwarePmaps } from '../pmap/index.ts';
import { SpaceCounters, VmCounters, type RefusalReason } from './counters.ts';
import { VmFault } from './fault.ts';
import type { VmMapEntry } from './map.ts';
import { type VmObject, VmObjects } from './object.ts';
import type { Pager, PagerCounters, VmIo } from './pager.ts';
import { PAGE_RESIDENT, PAGE_TABLE, PG_BUSY, VmPages } from './page.ts';
import { VmSpace } from './space.ts';

export class Vm {
  readonly machine: Hardware;
  readonly tracer: Tracer;
  readonly counters = new VmCounters();
  /** The shares of spaces that processes run in, and of those they have others run in: see createSpace. */
  readonly processSpaces = new SpaceCounters();
  readonly guestSpaces = new SpaceCounters();
  readonly pages: VmPages;
  readonly pmaps: HardwarePmaps;
  readonly objects: VmObjects;
  readonly faultHandler: VmFault;
  /** What is outside RAM, and what brings it back and works in the background; null: everything is in RAM. */
  readonly pager: Pager | null;
  readonly io: VmIo | null;
  /** vm.vkernel_enable: whether MAP_VPAGETABLE may be used. Existing mappings do not depend on it. */
  vkernelEnable = true;
  /** The last fault of any space that was refused: for whoever explains a death that happened inside a guest. */
  readonly lastRefused: { va: number; reason: RefusalReason; level: number } = { va: 0, reason: 'none', level: -1 };
  /** Set by the kernel: makes the lwps that sleep on a channel ready. */
  wakeup: (channel: number) => void = () => undefined;
  readonly #spaces = new Set<VmSpace>();
  readonly #firstOffset: number; // of frame 0; where pages may leave RAM, frames follow each other in it
  #nextSpace = 1;

  constructor(machine: Hardware, tracer: Tracer) {
    this.machine = machine;
    this.#firstOffset = machine.ram.offsetOf(0 as HostFrame);
    this.tracer = tracer;
    this.pages = new VmPages(machine);
    this.pmaps = new HardwarePmaps(machine, this.pages);
    this.objects = new VmObjects(machine, this.pages, this.pmaps, this.counters);
    this.pager = this.objects.pager;
    this.io = this.objects.io;
    if (this.io !== null) this.io.wakeup = (channel) => this.wakeup(channel);
    this.faultHandler = new VmFault(machine, this.objects);
  }

  /** After FAULT_WAIT, what the access waits for: a frame whose I/O is under way, or VM_WAIT_MEMORY. */
  get waitChannel(): number {
    return this.io === null ? 0 : this.io.waitChannel;
  }

  /** What the pager has done; null: the machine has no disk. */
  get pagerCounters(): PagerCounters | null {
    return this.objects.pager?.counters ?? null;
  }

  /** Somebody keeps `offset` in memory: its page stays in RAM until releaseHolds() or the next poll(). Hot. */
  hold(offset: number): void {
    this.pages.hold(((offset - this.#firstOffset) >>> PAGE_SHIFT) as HostFrame);
  }

  /** Nobody relies on an offset any more. */
  releaseHolds(): void {
    this.pages.nextStep();
  }

  /** Frames nobody uses. */
  get freeFrames(): number {
    return this.pages.freeFrames;
  }

  /** Frames of the machine. */
  get totalFrames(): number {
    return this.pages.totalFrames;
  }

  /** Completes what is due by now, and wakes who waits for it. Called by the kernel in every step. */
  poll(): void {
    if (this.io !== null) this.io.poll();
  }

  /** Clock time, ns, of the next completion; Infinity: nothing is under way. An idle kernel advances the clock to it. */
  nextEvent(): number {
    return this.io === null ? Infinity : this.io.nextEvent();
  }

  /**
   * Waits for `channel` on the spot, by advancing the clock: for system calls and TypeScript programs, which cannot sleep.
   * @returns false: nothing is under way that could wake it
   */
  waitFor(channel: number): boolean {
    return this.io !== null && this.io.waitFor(channel);
  }

  /** An image of `pages` pages, all zero and without frames; the caller holds its only reference. */
  createObject(pages: number): VmObject {
    return this.objects.create(pages, 'image');
  }

  /**
   * An empty address space on hardware tables of `format`. Its ids are never used twice.
   * @param xlen 32: addresses end at 2^32, and virtual page tables have 32-bit entries unless vpteFormat is changed
   * @param counters what it counts in: those of processes by default
   * @returns null: no frame for the root table
   */
  createSpace(format: PageTableFormat, xlen: 32 | 64, counters: SpaceCounters = this.processSpaces): VmSpace | null {
    const pmap = this.pmaps.create(format);
    if (pmap === null) return null;
    const end = Math.min(format.userEnd, this.machine.userLimit);
    const space = new VmSpace(this, {
      id: this.#nextSpace++,
      xlen,
      pmap,
      userEnd: xlen === 32 ? Math.min(2 ** 32, end) : end,
      vpteFormat: compileLayout(xlen === 32 ? VPTE_32_NX : VPTE_64_NX),
      counters,
    });
    this.#spaces.add(space);
    return space;
  }

  /**
   * Drops every real PTE of the pages [start, end) of `object`, in whatever space and at whatever address: MADV_INVAL for
   * who knows the frame and not who sees it.
   * @returns pages that were resident
   */
  invalidateFrames(object: VmObject, start: number, end: number): number {
    return object.unmapEverywhere(start, end);
  }

  /** For VmSpace.destroy. */
  forget(space: VmSpace): void {
    this.#spaces.delete(space);
  }

  /** Panics if anything is not as it must be. O(frames + real PTEs + entries); for tests and crash dumps. */
  assertInvariants(): void {
    this.pages.assertInvariants();
    this.objects.assertInvariants();
    kassert(this.pmaps.assertInvariants() === this.pages.count(PAGE_TABLE), 'vm V1');
    const references = new Map<VmObject, number>();
    const count = (object: VmObject | null) => object !== null && references.set(object, (references.get(object) ?? 0) + 1);
    const wires = new Map<number, number>();
    for (const space of this.#spaces) {
      space.assertInvariants();
      let leaves = 0;
      for (const entry of space.map.entries) {
        leaves += this.#checkEntry(space, entry);
        count(entry.object);
        for (const frame of entry.wired ?? []) wires.set(frame, (wires.get(frame) ?? 0) + 1);
      }
      kassert(leaves === space.pmap.mapped, 'vm V2: a real PTE outside all entries');
    }
    for (const object of this.objects.live()) count(object.backing);
    for (const object of this.objects.live()) {
      const known = references.get(object) ?? 0;
      references.delete(object);
      kassert(object.kind === 'image' ? object.references >= known : object.references === known, 'vm V4');
    }
    kassert(references.size === 0, 'vm V4: an object that is not alive');
    for (const [frame, wired] of wires) kassert(this.pages.wires[frame] >= wired, 'vm V5');
  }

  /** Checks the real PTEs of one entry; returns how many there are. */
  #checkEntry(space: VmSpace, entry: VmMapEntry): number {
    let leaves = 0;
    for (const page of space.pmap.mappedPages(entry.start as VirtualPage, entry.end as VirtualPage)) {
      const frame = space.pmap.extract(page);
      leaves++;
      kassert(this.pages.state[frame] === PAGE_RESIDENT, 'vm V2');
      kassert((this.pages.flags[frame] & PG_BUSY) === 0, 'vm V2: busy');
      const isOwn = this.#checkOwner(entry, page, frame);
      const granted = isOwn && !entry.needsCopy ? entry.protection : entry.protection & ~WRITE;
      kassert((space.pmap.rights(page) & ~space.pmap.granted(granted)) === 0, 'vm V3');
    }
    return leaves;
  }

  /** Checks that `frame` is what the chain of the entry's object shows; returns whether it is a page of that object itself. */
  #checkOwner(entry: VmMapEntry, page: VirtualPage, frame: HostFrame): boolean {
    let shift = 0;
    let object = entry.object;
    while (object !== null && object.id !== this.pages.owner[frame]) {
      shift += object.backingOffset;
      object = object.backing;
    }
    kassert(object !== null && entry.object !== null, 'vm V2: a page of another object');
    const index = this.pages.index[frame] - shift;
    kassert(entry.format !== null || index === page - entry.start + entry.offset, 'vm V2: linear');
    kassert(entry.object.peek(index) === frame, 'vm V2: hidden by another');
    return object === entry.object;
  }
}
