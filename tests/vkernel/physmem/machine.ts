/**
 * A stub of the machine under physmem's core: one number per page of guest memory, and clients whose translations are
 * kept exactly as a TLB would: what a flush does not reach stays usable.
 */

import { EIO } from '../../../hostkernel/base/errno.ts';
import { PAGE_SIZE, type GuestFrame } from '../../../hostkernel/base/units.ts';
import type { Container } from '../../../vkernel/physmem/core/container.ts';
import type { MemoryControl } from '../../../vkernel/physmem/core/control.ts';
import { allocate } from '../../../vkernel/physmem/core/allocate.ts';
import { deallocate } from '../../../vkernel/physmem/core/deallocate.ts';
import { BOUND, type FrameId, NO_ENTRY, NO_FRAME, PLACE, UNBOUND } from '../../../vkernel/physmem/core/frame-table.ts';
import { type MapSink, provide } from '../../../vkernel/physmem/core/map.ts';
import { Physmem } from '../../../vkernel/physmem/core/physmem.ts';
import { release } from '../../../vkernel/physmem/core/release.ts';
import { containerOf, copyBy, mapBy, type Party } from '../../../vkernel/physmem/core/share.ts';
import { recover } from '../../../vkernel/physmem/core/soft.ts';
import { swapDrop, swapIn, swapOut } from '../../../vkernel/physmem/core/swap.ts';
import type { SwapStore } from '../../../vkernel/physmem/core/swap-store.ts';
import { ABSENT, type ReturnsOptions } from '../../../vkernel/physmem/core/returns.ts';
import { NO_BLOCK } from '../../../vkernel/physmem/core/zone.ts';
import { FORCE_WRITE, MAP_READ, MAP_WRITE } from '../../../vkernel/physmem/interface.ts';
import { Audit } from './audit.ts';

export const P = PAGE_SIZE;

/** Pages as free memory arrives: [first frame, pages]. */
export type MemoryRun = readonly [frame: number, pages: number];

export interface MachineOptions {
  readonly memory: readonly MemoryRun[];
  readonly copyPages?: number;
  readonly wordBits?: 32 | 64;
  /** Slots of swap space; none by default. */
  readonly slots?: number;
  readonly swapQuota?: number;
  readonly descriptorsPerPage?: number;
  readonly returns?: ReturnsOptions;
  readonly moving?: boolean;
}

export interface Item {
  readonly frame: number;
  readonly pages: number;
  readonly page: number;
  readonly rights: number;
}

/** A reply with room for 31 items. */
export class Items implements MapSink {
  readonly items: Item[] = [];
  readonly capacity: number;

  constructor(capacity = 31) {
    this.capacity = capacity;
  }

  get room(): number {
    return this.capacity - this.items.length;
  }

  item(frame: GuestFrame, pages: number, page: number, rights: number): void {
    this.items.push({ frame, pages, page, rights });
  }

  clear(): void {
    this.items.length = 0;
  }

  get pages(): number {
    return this.items.reduce((sum, item) => sum + item.pages, 0);
  }
}

interface Translation {
  readonly frame: number;
  rights: number;
}

/** A translation of a page that its client has given up lazily: it may be used until it is flushed. */
export interface Leftover {
  readonly frame: number;
  rights: number;
  readonly value: number; // what could be read there when the page was given up
}

interface Readable {
  readonly table: Map<number, Translation>;
  readonly at: number; // page
  readonly frame: number;
  readonly value: number;
}

const LEFTOVERS = 64; // older ones the clients forget by themselves

export class Machine {
  readonly physmem: Physmem;
  readonly contents = new Map<number, number>(); // page value by frame; garbage until zeroed
  readonly retired: object[] = [];
  flushes: { frame: number; pages: number; rights: number }[] = [];
  /** Microseconds; tests set it. */
  time = 0;
  /** What the owner of a container, or a weak holder, may still use, by container page (clients map 1:1). */
  readonly translations = new Map<Party, Map<number, Translation>>();
  leftovers: Leftover[] = [];
  readonly endFrame: number; // physical pages are below it
  readonly audit: Audit;
  /** Page value by slot of swap space. */
  readonly disk = new Map<number, number>();
  /** How the next transfer of so many pages ends, asked before each: pages moved. Fewer than asked for are an error. */
  transferred: (isWrite: boolean, pages: number) => number = (_, pages) => pages;
  /** Whether the next allocation of a block shall fail: asked before each. */
  failsAllocation: () => boolean = () => false;

  constructor(options: MachineOptions) {
    this.physmem = new Physmem({
      wordBits: options.wordBits ?? 64,
      copyPages: options.copyPages ?? 1024,
      memory: {
        zero: (frame, pages) => {
          for (let i = 0; i < pages; i += 1) this.contents.set(frame + i, 0);
        },
        copy: (to, from, pages) => {
          for (let i = 0; i < pages; i += 1) this.contents.set(to + i, this.contents.get(from + i) ?? Number.NaN);
        },
      },
      now: () => this.time,
      moving: options.moving ?? true,
      flush: (frame, pages, rights) => this.#flush(frame, pages, rights),
      retired: (object) => this.retired.push(object),
      ...(options.slots === undefined ? {} : { swap: this.#store(options.slots) }),
      ...(options.swapQuota === undefined ? {} : { swapQuota: options.swapQuota }),
      descriptorsPerPage: options.descriptorsPerPage ?? Number.POSITIVE_INFINITY,
      returns: options.returns ?? { send: () => ABSENT },
    });
    for (const [frame, pages] of options.memory) this.physmem.receive(frame as GuestFrame, pages);
    this.endFrame = Math.max(...options.memory.map(([frame, pages]) => frame + pages));
    this.audit = new Audit(this);
    const { zones } = this.physmem;
    const allocateBlock = zones.allocate.bind(zones);
    zones.allocate = (pages, constraint) => (this.failsAllocation() ? NO_BLOCK : allocateBlock(pages, constraint));
    for (const [frame, pages] of options.memory) {
      for (let i = 0; i < pages; i += 1) this.contents.set(frame + i, -777); // what the previous owner left
    }
  }

  /** Swap space whose transfers may fail. A short one moves what it says, and garbage for the rest. */
  #store(slots: number): SwapStore {
    const move = (isWrite: boolean, slot: number, frame: number, pages: number): number => {
      const moved = this.transferred(isWrite, pages);
      for (let i = 0; i < pages; i += 1) {
        const [to, from, at, source] = isWrite
          ? [this.disk, this.contents, slot + i, frame + i]
          : [this.contents, this.disk, frame + i, slot + i];
        to.set(at, i < moved ? (from.get(source) ?? Number.NaN) : -999);
      }
      return moved === pages ? 0 : EIO;
    };
    return {
      slots,
      read: (slot, into, pages) => move(false, slot, into, pages),
      write: (slot, from, pages) => move(true, slot, from, pages),
    };
  }

  get use(): number {
    return this.physmem.boundPages;
  }

  create(control: MemoryControl = this.physmem.root): Container {
    return this.physmem.create(control);
  }

  /** Maps for the client of `container` at the same page, and enters the items into its translations. */
  map(party: Party, flags: number, page: number, pages = 1): { error: number; items: Item[] } {
    const sink = new Items();
    const error = mapBy(this.physmem, party, flags, page * P, page * P, pages * P, sink);
    this.#enter(party, sink);
    return { error, items: sink.items };
  }

  /** The same for pages that are allocated with it. */
  provide(container: Container, flags: number, page: number, pages: number): { error: number; items: Item[] } {
    const sink = new Items();
    const error = provide(this.physmem, container, flags, page * P, page * P, pages * P, sink);
    this.#enter(container, sink);
    return { error, items: sink.items };
  }

  #enter(party: Party, sink: Items): void {
    const table = this.translations.get(party) ?? new Map<number, Translation>();
    this.translations.set(party, table);
    for (const item of sink.items) {
      for (let i = 0; i < item.pages; i += 1) table.set(item.page + i, { frame: item.frame + i, rights: item.rights });
    }
  }

  /** A client writes one page: with the translation it has, or a fault first. @returns 0, or the errno of the fault */
  write(party: Party, page: number, value: number): number {
    const hit = this.translations.get(party)?.get(page);
    if (hit === undefined || (hit.rights & MAP_WRITE) === 0) {
      const { error } = this.map(party, MAP_READ | MAP_WRITE | FORCE_WRITE, page);
      if (error !== 0) return error;
    }
    const now = this.translations.get(party)?.get(page);
    if (now === undefined || (now.rights & MAP_WRITE) === 0) throw new Error('a forced mapping is not writable');
    this.contents.set(now.frame, value);
    return 0;
  }

  /** A client reads one page, faulting if it must. @returns the value, or -errno */
  read(party: Party, page: number): number {
    const hit = this.translations.get(party)?.get(page);
    if (hit === undefined || (hit.rights & MAP_READ) === 0) {
      const { error } = this.map(party, MAP_READ, page);
      if (error !== 0) return -error;
    }
    const now = this.translations.get(party)?.get(page);
    return now === undefined ? Number.NaN : (this.contents.get(now.frame) ?? Number.NaN);
  }

  /** The frame under a page; NO_FRAME where it is absent. */
  frameAt(container: Container, page: number): FrameId {
    const entry = container.entries.at(page);
    return entry === NO_ENTRY ? NO_FRAME : (this.physmem.table.frame[entry] as FrameId);
  }

  /** The page of guest memory under a page; -1 where it is absent, or has no memory. */
  guestFrameAt(container: Container, page: number): number {
    const { table } = this.physmem;
    const entry = container.entries.at(page);
    const frame = table.frame[entry];
    if (entry === NO_ENTRY || (table.state[frame] & PLACE) !== BOUND) return -1;
    return table.address[frame] + table.offset[entry] + page - table.start[entry];
  }

  /** What physmem holds under a page, without mapping it: null where it is absent. */
  peek(container: Container, page: number): number | null {
    if (container.entries.at(page) === NO_ENTRY) return null;
    const { table } = this.physmem;
    const entry = container.entries.at(page);
    const frame = table.frame[entry];
    const place = table.state[frame] & PLACE;
    if (place === UNBOUND) return 0;
    const at = table.address[frame] + table.offset[entry] + page - table.start[entry];
    return (place === BOUND ? this.contents : this.disk).get(at) ?? Number.NaN;
  }

  /** Values of pages [from, from + pages), '-' where absent. */
  values(container: Container, from: number, pages: number): (number | '-')[] {
    return Array.from({ length: pages }, (_, i) => this.peek(container, from + i) ?? '-');
  }

  allocate(container: Container, page: number, pages: number, flags = 0, mustSet = 0, mustClear = 0): number {
    return allocate(this.physmem, container, flags, page * P, pages * P, mustSet, mustClear);
  }

  deallocate(container: Container, page: number, pages: number, flags = 0): number {
    return this.#lazily(container, page, pages, () => deallocate(this.physmem, container, page * P, pages * P, flags));
  }

  release(container: Container, page: number, pages: number, flags = 0): number {
    return this.#lazily(container, page, pages, () => release(this.physmem, container, page * P, pages * P, flags));
  }

  /** What clients can still use of pages that were given up is left to them, at addresses they do not use again. */
  #lazily(container: Container, page: number, pages: number, act: () => number): number {
    const before = this.#readable(container, page, pages);
    const error = act();
    for (const { table, at, frame, value } of before) {
      const translation = table.get(at);
      if (translation === undefined || this.guestFrameAt(container, at) === frame) continue;
      table.delete(at);
      this.leftovers.push({ frame, rights: translation.rights, value });
      if (this.leftovers.length > LEFTOVERS) this.leftovers.shift();
    }
    return error;
  }

  /** What clients can read of a container without a fault. */
  #readable(container: Container, page: number, pages: number): Readable[] {
    const found: Readable[] = [];
    for (const [party, table] of this.translations) {
      if (containerOf(party) !== container) continue;
      for (const [at, { frame }] of table) {
        if (at >= page && at < page + pages) found.push({ table, at, frame, value: this.contents.get(frame) ?? Number.NaN });
      }
    }
    return found;
  }

  destroy(container: Container): void {
    this.physmem.destroy(container);
  }

  /** Copies pages. The argument order is the one of the request. */
  copy(from: Container, page: number, to: Container, toPage: number, pages: number, flags = 0): number {
    return copyBy(this.physmem, from, page * P, to, toPage * P, pages * P, flags);
  }

  swapOut(container: Container, page: number, pages: number): number {
    return swapOut(this.physmem, container, page * P, pages * P);
  }

  swapIn(container: Container, id: number, page: number, pages: number, flags = 0): number {
    return swapIn(this.physmem, container, id, page * P, pages * P, flags);
  }

  swapDrop(control: MemoryControl, id: number, pages: number): number {
    return swapDrop(this.physmem, control.principal, id, pages);
  }

  recover(container: Container, page: number, pages: number, flags = 0): number {
    return recover(this.physmem, container, page * P, pages * P, flags);
  }

  /** Entries of a container, `pages@page`, in order. */
  shape(container: Container): string {
    return container.entries
      .toArray()
      .map((entry) => `${2 ** this.physmem.table.log2[entry]}@${this.physmem.table.start[entry]}`)
      .join(' ');
  }

  #flush(frame: number, pages: number, rights: number): void {
    this.flushes.push({ frame, pages, rights });
    if (this.leftovers.length > 0) {
      for (const leftover of this.leftovers) {
        if (leftover.frame >= frame && leftover.frame < frame + pages) leftover.rights &= ~rights;
      }
      this.leftovers = this.leftovers.filter((leftover) => leftover.rights !== 0);
    }
    for (const table of this.translations.values()) {
      for (const [page, translation] of table) {
        if (translation.frame < frame || translation.frame >= frame + pages) continue;
        translation.rights &= ~rights;
        if (translation.rights === 0) table.delete(page);
      }
    }
  }
}
