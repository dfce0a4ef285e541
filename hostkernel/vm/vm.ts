/**
 * Vm: the virtual memory of one machine. It owns every frame, and knows every object and every space.
 *
 * Invariants over all of it (assertInvariants, with those of the parts):
 *   V1  every page-table frame is in the tables of some pmap, and no other frame is
 *   V2  a real PTE maps a resident page, of the object of the map entry at its address; of a linear entry, the very page
 *   V3  a real PTE grants no right its map entry does not have, but READ with WRITE
 *   V4  an object has at least as many references as map entries
 */

import { kassert } from '../base/assert.ts';
import type { Tracer } from '../base/trace.ts';
import { type HostFrame, PAGE_SHIFT, READ, type VirtualPage, WRITE } from '../base/units.ts';
import { compileLayout, type Hardware, type PageTableFormat, VPTE_32_NX, VPTE_64_NX } from '../machine/index.ts';
import { HardwarePmaps } from '../pmap/index.ts';
import { VmCounters, type RefusalReason } from './counters.ts';
import { VmFault } from './fault.ts';
import type { VmMapEntry } from './map.ts';
import { type VmObject, VmObjects } from './object.ts';
import { PAGE_RESIDENT, PAGE_TABLE, VmPages } from './page.ts';
import type { Pager, PagerCounters, VmIo } from './pager.ts';
import { VmSpace } from './space.ts';

export class Vm {
  readonly machine: Hardware;
  readonly tracer: Tracer;
  readonly counters = new VmCounters();
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
   * @returns null: no frame for the root table
   */
  createSpace(format: PageTableFormat, xlen: 32 | 64): VmSpace | null {
    const pmap = this.pmaps.create(format);
    if (pmap === null) return null;
    const end = Math.min(format.userEnd, this.machine.userLimit);
    const space = new VmSpace(this, {
      id: this.#nextSpace++,
      xlen,
      pmap,
      userEnd: xlen === 32 ? Math.min(2 ** 32, end) : end,
      vpteFormat: compileLayout(xlen === 32 ? VPTE_32_NX : VPTE_64_NX),
    });
    this.#spaces.add(space);
    return space;
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
    for (const space of this.#spaces) {
      space.assertInvariants();
      let leaves = 0;
      for (const entry of space.map.entries) {
        leaves += this.#checkEntry(space, entry);
        if (entry.object !== null) references.set(entry.object, (references.get(entry.object) ?? 0) + 1);
      }
      kassert(leaves === space.pmap.mapped, 'vm V2: a real PTE outside all entries');
    }
    const live = new Set(this.objects.live());
    for (const [object, count] of references) kassert(live.has(object) && object.references >= count, 'vm V4');
  }

  /** Checks the real PTEs of one entry; returns how many there are. */
  #checkEntry(space: VmSpace, entry: VmMapEntry): number {
    let leaves = 0;
    for (const page of space.pmap.mappedPages(entry.start as VirtualPage, entry.end as VirtualPage)) {
      const frame = space.pmap.extract(page);
      leaves++;
      kassert(this.pages.state[frame] === PAGE_RESIDENT && this.pages.owner[frame] === entry.object?.id, 'vm V2');
      if (entry.format === null) kassert(this.pages.index[frame] === page - entry.start + entry.offset, 'vm V2: linear');
      const allowed = entry.protection | ((entry.protection & WRITE) !== 0 ? READ : 0);
      kassert((space.pmap.rights(page) & ~allowed) === 0, 'vm V3');
    }
    return leaves;
  }
}
