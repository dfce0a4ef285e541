/**
 * A machine with its VM and the slow memory side by side. Every operation is made on both, and compared: results of
 * calls and faults, the content that is seen, and that no access gets through that the model does not know.
 *
 * A step is a word for the operation and a few random numbers, which mean something in whatever state it meets: which
 * of the live spaces, where in the window, how many pages. So steps can be left out, and the rest still makes sense.
 */
import { EINVAL, ENOMEM } from '../../hostkernel/base/errno.ts';
import { Tracer } from '../../hostkernel/base/trace.ts';
import { EXEC, type HostFrame, type ObjectPage, PAGE_SIZE, READ, type VirtualPage, WRITE } from '../../hostkernel/base/units.ts';
import {
  compileLayout,
  type BlockStore,
  DelayedDisk,
  type LayoutDescriptor,
  layoutByName,
  Machine,
  type PageTableFormat,
} from '../../hostkernel/machine/index.ts';
import {
  FAULT_NAMES,
  FAULT_OK,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_INVAL,
  MADV_SETMAP,
  MADV_WILLNEED,
  MAP_ANON,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_VPAGETABLE,
  MINCORE_INCORE,
  Vm,
  VM_INHERIT_COPY,
  VM_INHERIT_NONE,
  VM_INHERIT_SHARE,
  type VmSpace,
} from '../../hostkernel/vm/index.ts';
import { PAGE_RESIDENT, PAGE_TABLE } from '../../hostkernel/vm/page.ts';
import type { Coverage } from './campaign.ts';
import { type Calls, directCalls, directImage, expect, type Image, Told } from './calls.ts';
import { EntryMaker, LEAF, TABLE } from './entries.ts';
import { large, scattered, type System } from './harts.ts';
import { indexOf, Judge, type Layout } from './judge.ts';
import { Memory, ModelSpace, type Translation } from './memory-model.ts';
import { Random } from './random.ts';

export const WINDOW = 32; // pages in which all mappings lie
const FIRST = 2 ** 18 - 8; // first of them: on both sides of a gigabyte, so on two tables at least
const SCRATCH = 2 ** 17; // where a space makes pressure
const IMAGE_PAGES = 24;
const IMAGES = 2;
const MAX_SPACES = 4;
const FAVOURITES = [2, 3, 7, 8, 9, 15, 16, 24]; // pages that most operations are about
const SIGNATURE = 0xabc0_0000 | 0; // 12 bits, then 12 of a memory's number, then 8 that count
const SIGNATURE_MASK = 0xfff0_0000 | 0;
const KINDS = ['read', 'write', 'fetch'];
const ACCESSES = [READ, WRITE, EXEC] as const;
const MAPPINGS = [
  'private',
  'private',
  'anonymous',
  'image',
  'image private',
  'vpagetable image',
  'vpagetable image',
  'vpagetable anonymous',
  'vpagetable image private',
];
const PROTECTIONS = [0, 1, 3, 3, 3, 5, 7, 7];

export interface TwinOptions {
  readonly frames: number;
  readonly harts: number;
  readonly mmu: string;
  readonly vpte: string;
  readonly swapPages: number; // 0: no disk
  /** Through system calls of a process instead of straight to the VM. */
  readonly isTold?: true;
}

export interface Step {
  readonly op: string;
  readonly n: readonly number[]; // random words
}

export type Weights = readonly (readonly [weight: number, op: string])[];

export function randomSteps(random: Random, count: number, weights: Weights): Step[] {
  return Array.from({ length: count }, () => ({ op: random.weighted(weights), n: Array.from({ length: 6 }, () => random.word()) }));
}

export function showStep({ op, n }: Step): string {
  const { at, pages } = rangeOf(n);
  return `${op}, page ${at}, ${pages} pages; ${n.map((word) => word.toString(16)).join(' ')}`;
}

/** Where in the window an operation acts, and on how much. */
function rangeOf(n: readonly number[]): { at: number; pages: number } {
  const at = n[1] % 4 === 0 ? n[1] % WINDOW : FAVOURITES[(n[1] >>> 3) % FAVOURITES.length];
  return { at, pages: Math.min(1 + (n[2] % 10), WINDOW - at) };
}

interface Pair {
  readonly real: VmSpace;
  readonly calls: Calls;
  readonly model: ModelSpace;
}

const formats = new Map<string, PageTableFormat>(); // compiled once for all machines

function formatOf(name: string): PageTableFormat {
  let format = formats.get(name);
  if (format === undefined) {
    const layout = layoutByName(name);
    if (layout === null) throw new Error(`no layout ${name}`);
    format = compileLayout(layout);
    formats.set(name, format);
  }
  return format;
}

/** What the swap device holds, where it can be looked at. */
class Blocks implements BlockStore {
  readonly held = new Map<number, Uint8Array>();

  read(block: number, into: Uint8Array): boolean {
    into.set(this.held.get(block) ?? new Uint8Array(PAGE_SIZE));
    return true;
  }

  write(block: number, from: Uint8Array): boolean {
    this.held.set(block, from.slice());
    return true;
  }
}

export class Twin {
  readonly machine: Machine;
  readonly vm: Vm;
  readonly spaces: Pair[] = [];
  readonly images: { readonly real: Image; readonly model: Memory }[] = [];
  readonly #options: TwinOptions;
  readonly #coverage: Coverage;
  readonly #judge: Judge;
  readonly #maker: EntryMaker;
  readonly #scratch: VmSpace;
  readonly #told: Told | null = null;
  readonly #system: System;
  readonly #freeAtStart: number;
  readonly #blocks = new Blocks();
  readonly #lineages = new Map<number, ReadonlySet<number>>(); // by memory
  #nextValue = 1;

  constructor(options: TwinOptions, coverage: Coverage) {
    this.#options = options;
    this.#coverage = coverage;
    const disk = options.swapPages > 0 ? { disk: new DelayedDisk(this.#blocks, options.swapPages) } : {};
    const machine = Machine.create({ ramBytes: options.frames * PAGE_SIZE, harts: options.harts, ...disk });
    if (machine === null) throw new Error('no machine');
    this.machine = machine;
    if (options.isTold === true) {
      this.#told = new Told(machine, formatOf(options.mmu), formatOf(options.vpte), options.mmu === 'sv32' ? 32 : 64);
      this.vm = this.#told.kernel.vm;
    } else this.vm = new Vm(machine, new Tracer());
    const { harts, frames } = options;
    this.#system = { machine, vm: this.vm, harts, frames, pressure: (pages) => void this.#pressure(pages), value: () => this.#value() };
    this.#freeAtStart = machine.ram.frames - 1;
    this.#judge = new Judge(layoutByName(options.vpte) as LayoutDescriptor as unknown as Layout, { strictva: 1 });
    this.#maker = new EntryMaker(this.#judge);
    this.#scratch = this.#newSpace();
    for (let i = 0; i < IMAGES; i += 1) {
      const real = this.#told === null ? directImage(this.vm, IMAGE_PAGES) : this.#told.image(IMAGE_PAGES);
      this.images.push({ real, model: new Memory(IMAGE_PAGES) });
    }
    for (let i = 0; i < IMAGES; i += 1) {
      for (let k = 0; k < 24; k += 1) this.#poke([0, i, k % 3 === 0 ? k : 0, k, i, k]);
    }
    for (let i = 0; i < 2; i += 1) this.#add(new Random(i, options.frames));
  }

  #newPair(): Pair {
    const model = new ModelSpace(this.#judge);
    if (this.#told === null) {
      const real = this.#newSpace();
      return { real, calls: directCalls(real), model };
    }
    if (this.spaces.length === 0) return { real: this.#told.process.space, calls: this.#told.own, model };
    const { space, calls } = this.#told.guest();
    return { real: space, calls, model };
  }

  /** A space in which everything is mapped, in pieces of all kinds. */
  #add(random: Random): void {
    const pair = this.#newPair();
    this.spaces.push(pair);
    for (let at = 0; at < WINDOW; ) {
      const pages = Math.min(random.between(3, 9), WINDOW - at);
      this.#map(pair, FIRST + at, pages, [0, 0, 0, random.word(), 2, random.word()]);
      const n = [0, 0, 0, 0, random.word(), random.word()];
      if (pair.model.mapped.get(FIRST + at)?.isVpagetable === true) this.#setMap(pair, FIRST + at, pages, n);
      at += pages;
    }
  }

  #newSpace(): VmSpace {
    const { mmu, vpte } = this.#options;
    const space = this.vm.createSpace(formatOf(mmu), mmu === 'sv32' ? 32 : 64);
    if (space === null) throw new Error('no frame for a space');
    space.vpteFormat = formatOf(vpte);
    return space;
  }

  run({ op, n }: Step): void {
    const outcome = this.#run(op, n);
    this.#coverage.count(op, outcome);
  }

  /** All the invariants, and that every real PTE is one the model knows. */
  check(): void {
    if (this.#told === null) this.vm.assertInvariants();
    else this.#told.kernel.assertInvariants();
    for (const { real, model } of this.spaces) {
      for (let page = FIRST; page < FIRST + WINDOW; page += 1) {
        const rights = real.pmap.rights(page as VirtualPage);
        if (rights === 0) continue;
        const cached = model.cached.get(page);
        if (cached === undefined) throw new Error(`page ${page - FIRST} has a real PTE that was invalidated`);
        const more = rights & ~cached.rights;
        if (more !== 0) throw new Error(`the real PTE of page ${page - FIRST} grants ${more} too much`);
        this.#sameFrame(cached, real.pmap.extract(page as VirtualPage), page);
      }
    }
  }

  /** Every access that the hardware permits on any hart without a fault is one the model knows. */
  sweep(): void {
    for (let hart = 0; hart < this.#options.harts; hart += 1) {
      this.machine.select(hart);
      for (const { real, model } of this.spaces) {
        for (let page = FIRST; page < FIRST + WINDOW; page += 1) {
          for (const access of ACCESSES) {
            const offset = real.context.lookup(page * PAGE_SIZE, access);
            if (offset < 0) continue;
            const cached = model.cached.get(page);
            if (cached === undefined || (cached.rights & access) === 0) {
              throw new Error(`hart ${hart} still has access ${access} to page ${page - FIRST}`);
            }
            this.#sameWords(cached, offset, page);
          }
        }
      }
    }
    this.#coverage.count('sweep', 'ok');
  }

  /** Nobody's bytes are where they must not be: see owners.ts. */
  searchOwners(): void {
    const allowed = new Map<number, ReadonlySet<number>>(); // by frame that is mapped
    for (const { real, model } of this.spaces) {
      for (const mapping of model.mapped.values()) this.#lineages.set(mapping.memory.id & 0xfff, mapping.memory.lineage);
      for (const [page, { memory }] of model.cached) {
        const frame = real.pmap.extract(page as VirtualPage);
        if (frame !== 0) allowed.set(frame, memory.lineage);
      }
    }
    for (const { model } of this.images) this.#lineages.set(model.id & 0xfff, model.lineage);
    const { state } = this.vm.pages;
    const { ram } = this.machine;
    for (let frame = 1; frame < state.length; frame += 1) {
      if (state[frame] !== PAGE_RESIDENT && state[frame] !== PAGE_TABLE) continue;
      const from = ram.offsetOf(frame as HostFrame) / 4;
      const names = namesIn(ram.i32, from);
      if (names.size === 0) continue;
      if (state[frame] === PAGE_TABLE) throw new Error(`frame ${frame}, a page table, has bytes of memory ${[...names].join(', ')}`);
      const own = allowed.get(frame);
      if (own !== undefined) {
        for (const name of names)
          if (![...own].some((id) => (id & 0xfff) === name)) throw new Error(`frame ${frame} has bytes of memory ${name}`);
      } else this.#checkLine(names, `frame ${frame}`);
    }
    for (const [block, bytes] of this.#blocks.held) {
      this.#checkLine(namesIn(new Int32Array(bytes.buffer, bytes.byteOffset, PAGE_SIZE / 4), 0), `block ${block}`);
    }
  }

  /** The memories named are one and those it was copied from. */
  #checkLine(names: ReadonlySet<number>, where: string): void {
    if (names.size < 2) return;
    for (const name of names) {
      const line = this.#lineages.get(name);
      if (line !== undefined && [...names].every((other) => [...line].some((id) => (id & 0xfff) === other))) return;
    }
    throw new Error(`${where} has bytes of memories ${[...names].join(' and ')}`);
  }

  /** Compares all that can be seen, takes everything down, and counts the frames. */
  end(): void {
    for (const [which, { real, model }] of this.spaces.entries()) {
      for (const [page, mapping] of model.mapped) {
        if (mapping.isVpagetable || (mapping.prot & READ) === 0 || mapping.index >= mapping.memory.sizePages) continue;
        const offset = real.translate(page * PAGE_SIZE, READ);
        if (offset < 0) throw new Error(`at the end: page ${page - FIRST} of space ${which} cannot be read (${real.lastRefusal.reason})`);
        this.#sameWords({ memory: mapping.memory, index: mapping.index, rights: READ }, offset, page);
      }
    }
    for (const { real, model } of this.images) this.#sameImage(real, model);
    for (const { calls } of this.spaces) calls.destroy();
    for (const { real } of this.images) real.release();
    this.#scratch.destroy();
    this.#told?.end();
    while (this.vm.nextEvent() !== Infinity) {
      this.machine.clock.charge(Math.max(0, this.vm.nextEvent() - this.machine.clock.now()));
      this.vm.poll();
    }
    this.vm.assertInvariants();
    this.machine.mmu.assertInvariants();
    const lost = this.#freeAtStart - this.vm.freeFrames;
    if (lost !== 0) throw new Error(`at the end: ${lost} frames are lost`);
  }

  #run(op: string, n: readonly number[]): string {
    const pair = this.spaces[n[0] % this.spaces.length];
    const { at, pages } = rangeOf(n);
    const start = FIRST + at;
    switch (op) {
      case 'access':
        return this.#access(pair, start, n[3] % 3, n);
      case 'fill':
        return this.#fill(pair, start, n);
      case 'copyin':
        return this.#copyIn(pair, start, pages, n);
      case 'map':
        return this.#map(pair, start, pages, n);
      case 'unmap':
        return this.#unmap(pair, start, pages);
      case 'protect':
        return this.#protect(pair, start, pages, PROTECTIONS[n[3] % PROTECTIONS.length]);
      case 'forget':
        return this.#forget(pair, start, pages, n[3] % 2 === 0 ? MADV_FREE : MADV_DONTNEED);
      case 'inval':
        expect(pair.calls.mcontrol(start * PAGE_SIZE, pages * PAGE_SIZE, MADV_INVAL, 0), 0, op);
        pair.model.invalidate(start, pages);
        return 'ok';
      case 'inval-many':
        return this.#invalidateMany(pair, n);
      case 'fork':
        return this.#fork(pair);
      case 'inherit':
        return this.#inherit(pair, start, pages, [VM_INHERIT_SHARE, VM_INHERIT_COPY, VM_INHERIT_COPY, VM_INHERIT_NONE][n[3] % 4]);
      case 'lock':
        return this.#lock(pair, start, pages);
      case 'unlock':
        return this.#unlock(pair, start, pages);
      case 'mincore':
        return this.#mincore(pair, start, pages);
      case 'willneed':
        expect(pair.calls.madvise(start * PAGE_SIZE, pages * PAGE_SIZE, MADV_WILLNEED), 0, op);
        return 'ok';
      case 'setmap':
        return this.#setMap(pair, start, pages, n);
      case 'poke':
        return this.#poke(n);
      case 'image-write':
        return this.#imageWrite(n);
      case 'image-cut':
        return this.#imageCut(n);
      case 'image-read': {
        const image = this.images[n[1] % IMAGES];
        this.#sameImage(image.real, image.model);
        return 'ok';
      }
      case 'create':
        if (this.spaces.length >= MAX_SPACES) return 'enough';
        this.#add(new Random(n[1], n[2]));
        return 'ok';
      case 'destroy':
        if (this.spaces.length < 2) return 'last';
        if (this.#told !== null && pair === this.spaces[0]) return 'its own';
        pair.calls.destroy();
        this.spaces.splice(n[0] % this.spaces.length, 1);
        return 'ok';
      case 'pressure':
        return this.#pressure(60 + (n[1] % 200));
      case 'scattered':
        return scattered(this.#system, pair, n);
      case 'large':
        return large(this.#system, pair, n);
      case 'time':
        this.machine.clock.charge(n[1] % 3_000_000_000);
        this.vm.poll();
        return 'ok';
      case 'hart':
        this.machine.select(n[1] % this.#options.harts);
        return 'ok';
      default:
        throw new Error(`no operation ${op}`);
    }
  }

  // ------------------------------------------------------------------------------------------------ accesses

  #access(pair: Pair, page: number, kind: number, n: readonly number[]): string {
    const { real, model } = pair;
    const access = ACCESSES[kind];
    const va = page * PAGE_SIZE;
    const held = real.pmap.rights(page as VirtualPage);
    let offset = real.context.lookup(va, access);
    let seen: Translation;
    let outcome = `${KINDS[kind]} ok`;
    if (offset >= 0) {
      if ((held & access) === 0) throw new Error(`page ${page - FIRST}: the TLB permits what no real PTE does`);
      const cached = model.cached.get(page);
      if (cached === undefined) throw new Error(`page ${page - FIRST} is reached through a translation that was invalidated`);
      if ((cached.rights & access) === 0) throw new Error(`page ${page - FIRST} permits access ${access}, which it must not`);
      seen = cached;
      outcome = `${KINDS[kind]} cached`;
    } else {
      const result = real.faultNow(va, access);
      const wanted = model.fault(page, kind);
      if (result !== (typeof wanted === 'number' ? wanted : FAULT_OK)) {
        const name = FAULT_NAMES[typeof wanted === 'number' ? wanted : FAULT_OK];
        throw new Error(`page ${page - FIRST}, ${KINDS[kind]}: ${FAULT_NAMES[result]} (${real.lastRefusal.reason}), wanted ${name}`);
      }
      if (typeof wanted === 'number') return FAULT_NAMES[wanted];
      offset = real.context.lookup(va, access);
      if (offset < 0) throw new Error('a resolved fault does not help');
      seen = wanted;
      model.cached.set(page, wanted);
    }
    this.#sameFrame(seen, real.pmap.extract(page as VirtualPage), page);
    this.#sameWords(seen, offset, page);
    if (kind !== 1) return outcome;
    const word = [0, 1, 511, 1023, n[4] % 1024][n[5] % 5];
    const value = this.#value();
    seen.memory.own(seen.index)[word] = value;
    this.machine.ram.i32[offset / 4 + word] = value;
    return outcome;
  }

  /** A page written in full, as a copy out of the kernel does. */
  #fill(pair: Pair, page: number, n: readonly number[]): string {
    const outcome = this.#access(pair, page, 1, n);
    if (!outcome.startsWith('write')) return outcome;
    const seen = pair.model.cached.get(page) as Translation;
    const words = this.#signed(PAGE_SIZE / 8, seen.memory);
    expect(pair.real.copyOut(page * PAGE_SIZE, new Uint8Array(words.buffer)), PAGE_SIZE, 'copyOut');
    seen.memory.own(seen.index).set(words);
    return outcome;
  }

  /** A copy into the kernel over several pages: as far as they can be read. */
  #copyIn(pair: Pair, start: number, pages: number, n: readonly number[]): string {
    // What is readable, page by page, is found by accesses. The walk for one page may copy a table that is another's data,
    // and so drop what that one was read through: then its tables count as they are now, and all are looked at again.
    let readable = 0;
    const dropped = (): boolean => {
      for (let i = 0; i < readable; i += 1) if (pair.real.pmap.rights((start + i) as VirtualPage) === 0) return true;
      return false;
    };
    do {
      readable = 0;
      while (readable < pages && this.#access(pair, start + readable, 0, n).startsWith('read')) readable += 1;
    } while (dropped());
    const bytes = new Uint8Array(pages * PAGE_SIZE);
    expect(pair.real.copyIn(start * PAGE_SIZE, bytes), readable * PAGE_SIZE, 'copyIn');
    const words = new Int32Array(bytes.buffer);
    for (let i = 0; i < readable; i += 1) {
      const seen = pair.model.cached.get(start + i) as Translation;
      const wanted = seen.memory.read(seen.index);
      if (!equal(words.subarray(i * 1024, i * 1024 + 1024), wanted)) throw new Error(`copyIn: page ${start + i - FIRST} differs`);
    }
    return readable === pages ? 'whole' : readable === 0 ? 'nothing' : 'part';
  }

  // ------------------------------------------------------------------------------------------------ mappings

  #map({ calls, model }: Pair, start: number, pages: number, n: readonly number[]): string {
    const kind = MAPPINGS[n[3] % MAPPINGS.length];
    const isVpagetable = kind.startsWith('vpagetable');
    const isPrivate = kind.endsWith('private');
    const image = kind.includes('image') ? this.images[n[4] % IMAGES] : null;
    let offset = 0;
    if (image !== null) offset = isVpagetable ? [0, 0, 0, 3, 510, 1020, 2 ** 18 - 2, 2 ** 20 - 3][n[5] % 8] : n[5] % (IMAGE_PAGES + 2);
    const prot = isVpagetable ? 7 : PROTECTIONS[n[4] % PROTECTIONS.length];
    const sharing = isPrivate ? MAP_PRIVATE : MAP_SHARED;
    const flags = MAP_FIXED | sharing | (isVpagetable ? MAP_VPAGETABLE : 0) | (image === null ? MAP_ANON : 0);
    const result = calls.mmap(start * PAGE_SIZE, pages * PAGE_SIZE, prot, flags, image?.real ?? null, offset * PAGE_SIZE);
    expect(result, start * PAGE_SIZE, 'mmap');
    let memory = image?.model ?? new Memory(isVpagetable ? 2 ** 31 - 1 : pages);
    if (image !== null && isPrivate) memory = new Memory(IMAGE_PAGES, image.model);
    const inherit = isPrivate ? VM_INHERIT_COPY : VM_INHERIT_SHARE;
    model.map(start, pages, { memory, index: offset, isPrivate, inherit, isVpagetable, prot });
    return kind;
  }

  #unmap({ calls, model }: Pair, start: number, pages: number): string {
    const isCovered = model.isCovered(start, pages);
    expect(calls.munmap(start * PAGE_SIZE, pages * PAGE_SIZE), isCovered ? 0 : -EINVAL, 'munmap');
    if (!isCovered) return 'hole';
    model.unmap(start, pages);
    return 'ok';
  }

  #protect({ calls, model }: Pair, start: number, pages: number, prot: number): string {
    const isCovered = model.isCovered(start, pages);
    expect(calls.mprotect(start * PAGE_SIZE, pages * PAGE_SIZE, prot), isCovered ? 0 : -ENOMEM, 'mprotect');
    if (!isCovered) return 'hole';
    model.protect(start, pages, prot);
    return 'ok';
  }

  /** Private memory of the range is zero again, or what the image has; nothing else changes. */
  #forget({ calls, model }: Pair, start: number, pages: number, advice: number): string {
    let isWired = false;
    for (let page = start; page < start + pages; page += 1) {
      const mapping = model.mapped.get(page);
      if (mapping === undefined || mapping.isVpagetable) continue;
      isWired ||= mapping.isWired;
      if (!mapping.isPrivate && mapping.memory.base === null) return 'not private';
      if (mapping.memory.isShared) return 'shared since a fork';
    }
    const result = calls.madvise(start * PAGE_SIZE, pages * PAGE_SIZE, advice);
    expect(result, isWired ? -EINVAL : 0, 'madvise');
    if (isWired) return 'wired';
    for (let page = start; page < start + pages; page += 1) {
      const mapping = model.mapped.get(page);
      if (mapping === undefined || !mapping.isPrivate || mapping.isVpagetable) continue;
      mapping.memory.pages.delete(mapping.index);
      model.cached.delete(page);
    }
    return 'ok';
  }

  #inherit({ calls, model }: Pair, start: number, pages: number, inherit: number): string {
    const isCovered = model.isCovered(start, pages);
    expect(calls.minherit(start * PAGE_SIZE, pages * PAGE_SIZE, inherit), isCovered ? 0 : -ENOMEM, 'minherit');
    if (!isCovered) return 'hole';
    for (let page = start; page < start + pages; page += 1) {
      const mapping = model.mapped.get(page);
      if (mapping !== undefined) mapping.inherit = inherit;
    }
    return ['share', 'copy', 'none'][inherit];
  }

  #fork(pair: Pair): string {
    if (this.spaces.length >= MAX_SPACES) return 'enough';
    const child = pair.real.fork();
    if (child === null) throw new Error('fork finds no memory');
    this.spaces.push({ real: child, calls: directCalls(child), model: pair.model.fork() });
    return 'ok';
  }

  /** mlock of linear memory; what it does to virtual page tables is tested by hand. */
  #lock({ calls, model }: Pair, start: number, pages: number): string {
    let last = model.isCovered(start, pages) ? start + pages : start; // how far it gets
    for (let page = start; page < start + pages; page += 1) {
      const mapping = model.mapped.get(page);
      if (mapping?.isVpagetable === true) return 'virtual page table';
      if (mapping === undefined || mapping.isWired) continue; // wired pages are there, whatever the protection is now
      if ((mapping.prot & 7) === 0 || mapping.index >= mapping.memory.sizePages) last = Math.min(last, page);
    }
    const isPossible = last === start + pages;
    expect(calls.mlock(start * PAGE_SIZE, pages * PAGE_SIZE), isPossible ? 0 : -ENOMEM, 'mlock');
    for (let page = start; page < start + pages; page += 1) {
      const mapping = model.mapped.get(page);
      if (mapping === undefined || mapping.isWired) continue;
      if (isPossible) mapping.isWired = true;
      if (page < last && (mapping.prot & WRITE) !== 0) mapping.memory.own(mapping.index); // no later write meets a copy
      // It may have been faulted in, whatever came of the call.
      const rights = (mapping.prot & WRITE) !== 0 ? mapping.prot | READ : mapping.prot;
      model.cached.set(page, { memory: mapping.memory, index: mapping.index, rights });
    }
    return isPossible ? 'ok' : 'refused';
  }

  #unlock({ calls, model }: Pair, start: number, pages: number): string {
    const isCovered = model.isCovered(start, pages);
    expect(calls.munlock(start * PAGE_SIZE, pages * PAGE_SIZE), isCovered ? 0 : -ENOMEM, 'munlock');
    if (!isCovered) return 'hole';
    for (let page = start; page < start + pages; page += 1) {
      const mapping = model.mapped.get(page);
      if (mapping !== undefined) mapping.isWired = false;
    }
    return 'ok';
  }

  /** What has a real PTE is in memory; a hole is an error. */
  #mincore({ real, model }: Pair, start: number, pages: number): string {
    const found = real.mincore(start * PAGE_SIZE, pages * PAGE_SIZE);
    if (typeof found === 'number') {
      expect(found, model.isCovered(start, pages) ? 0 : -ENOMEM, 'mincore');
      return 'hole';
    }
    if (!model.isCovered(start, pages)) throw new Error('mincore of a hole succeeds');
    for (let i = 0; i < pages; i += 1) {
      const isMapped = real.pmap.rights((start + i) as VirtualPage) !== 0;
      if (isMapped && !this.#isStale(model, start + i) && found[i] !== MINCORE_INCORE)
        throw new Error(`mincore: page ${start + i - FIRST} is mapped`);
    }
    return 'ok';
  }

  /** Whether the translation in use may not be what the tables say now. */
  #isStale(model: ModelSpace, page: number): boolean {
    return model.mapped.get(page)?.isVpagetable === true;
  }

  /** INVAL of several ranges, or of some pages of an image in all spaces. */
  #invalidateMany({ real, model }: Pair, n: readonly number[]): string {
    if (n[3] % 2 === 0) {
      const image = this.images[n[1] % IMAGES];
      const first = n[2] % IMAGE_PAGES;
      const end = Math.min(IMAGE_PAGES, first + 1 + (n[4] % 6));
      this.vm.invalidateFrames(image.real.object, first, end);
      for (const space of this.spaces) space.model.invalidateMemory(image.model, first, end);
      return 'frames';
    }
    const ranges = [n[1], n[2], n[4]].map((word) => rangeOf([0, word, word >>> 8]));
    const bytes = ranges.map(({ at, pages }) => ({ addr: (FIRST + at) * PAGE_SIZE, len: pages * PAGE_SIZE }));
    const isWrong = n[5] % 8 === 0;
    if (isWrong) bytes.push({ addr: 2 ** 60, len: 1 });
    expect(real.invalidate(bytes), isWrong ? -EINVAL : 0, 'invalidate');
    if (isWrong) return 'refused';
    for (const { at, pages } of ranges) model.invalidate(FIRST + at, pages);
    return 'ranges';
  }

  #setMap({ calls, model }: Pair, from: number, most: number, n: readonly number[]): string {
    let [start, pages] = [from, most];
    const random = new Random(n[4], n[5]);
    if (n[3] % 8 !== 0) {
      // Mostly only as far as there are virtual page tables.
      while (start < FIRST + WINDOW && model.mapped.get(start)?.isVpagetable !== true) start += 1;
      const last = FIRST + WINDOW - start;
      for (pages = Math.min(pages, last); pages > 1 && model.mapped.get(start + pages - 1)?.isVpagetable !== true; ) pages -= 1;
      if (start === FIRST + WINDOW || !model.isCovered(start, pages)) return 'none';
    }
    const { layout } = this.#judge;
    let [lo, hi] = [0, 0];
    if (layout.root.kind === 'value') {
      this.#maker.make(0, random.oneIn(8) ? LEAF : TABLE, 1, random.oneIn(4) ? random.below(3) * PAGE_SIZE : 0, random);
      [lo, hi] = [this.#maker.entry.lo, this.#maker.entry.hi & 0x1f_ffff];
    } else lo = random.oneIn(4) ? random.below(4) : 0;
    const result = calls.mcontrol(start * PAGE_SIZE, pages * PAGE_SIZE, MADV_SETMAP, (hi >>> 0) * 2 ** 32 + (lo >>> 0));
    const isDone = model.setMap(start, pages, lo, hi);
    expect(result, isDone ? 0 : -EINVAL, 'SETMAP');
    return isDone ? 'ok' : 'mixed';
  }

  /** Entries of a virtual page table in an image, written through a linear view: the way to one page, or the leaf alone. */
  #poke(n: readonly number[]): string {
    const random = new Random(n[4], n[5]);
    const image = this.images[n[1] % IMAGES];
    const { layout } = this.#judge;
    const isValue = layout.root.kind === 'value';
    const index = [0, 3, 510, 1020, 2 ** 18 - 2, 2 ** 20 - 3, 0, 0][n[2] % 8] + (n[3] % WINDOW);
    const depth = layout.levels.length;
    const grant = random.pick([1, 1, 1, 0, 2]);
    let table = isValue ? -1 : 0;
    for (let at = 0; at < depth; at += 1) {
      const { lo: shift, bits } = layout.levels[at];
      const next = at + 1 < depth ? (random.oneIn(30) ? random.below(IMAGE_PAGES) : at + (isValue ? 0 : 1)) : random.below(IMAGE_PAGES);
      const kind = at === depth - 1 || random.oneIn(30) ? LEAF : TABLE;
      if (!isValue || at > 0) {
        this.#maker.make(at, this.#maker.has(at, kind) ? kind : TABLE, grant, next * PAGE_SIZE, random);
        const vaHi = Math.floor(index / 2 ** 20);
        this.#setEntry(image, table + indexOf((index * PAGE_SIZE) | 0, vaHi, shift, bits) * layout.entryBytes);
      }
      if (kind === LEAF) break;
      table = next * PAGE_SIZE;
    }
    return 'ok';
  }

  #setEntry(image: { real: Image; model: Memory }, address: number): void {
    const { lo, hi } = this.#maker.entry;
    const bytes = new Uint8Array(this.#judge.layout.entryBytes);
    const view = new DataView(bytes.buffer);
    const isLittle = this.#judge.layout.endian !== 'be';
    view.setInt32(isLittle ? 0 : bytes.length - 4, lo, isLittle);
    if (bytes.length === 8) view.setInt32(isLittle ? 4 : 0, hi, isLittle);
    expect(image.real.write(address, bytes), bytes.length, 'write');
    const words = new Int32Array(bytes.buffer);
    image.model.own(Math.floor(address / PAGE_SIZE)).set(words, (address % PAGE_SIZE) / 4);
  }

  #imageWrite(n: readonly number[]): string {
    const image = this.images[n[1] % IMAGES];
    const words = this.#signed(1 + (n[2] % 750), image.model);
    const at = 8 * (n[3] % (IMAGE_PAGES * 512 - 750));
    expect(image.real.write(at, new Uint8Array(words.buffer)), words.byteLength, 'write');
    for (let i = 0; i < words.length; i += 1) {
      const address = at + 4 * i;
      image.model.own(Math.floor(address / PAGE_SIZE))[(address % PAGE_SIZE) / 4] = words[i];
    }
    return 'ok';
  }

  /** An image loses its end, and has zeros there when it is as long as before. Only without private views of it. */
  #imageCut(n: readonly number[]): string {
    const image = this.images[n[1] % IMAGES];
    for (const { model } of this.spaces) {
      for (const { memory } of model.mapped.values()) if (memory.base === image.model) return 'has views';
    }
    const bytes = this.#told === null ? PAGE_SIZE * (n[2] % IMAGE_PAGES) : n[2] % (IMAGE_PAGES * PAGE_SIZE);
    image.real.cut(bytes, IMAGE_PAGES * PAGE_SIZE);
    const first = Math.floor(bytes / PAGE_SIZE);
    for (const { model } of this.spaces) model.invalidateMemory(image.model, Math.ceil(bytes / PAGE_SIZE), IMAGE_PAGES);
    for (let index = first; index < IMAGE_PAGES; index += 1) {
      if (index > first || bytes % PAGE_SIZE === 0) image.model.pages.delete(index);
      else new Uint8Array(image.model.own(index).buffer).fill(0, bytes % PAGE_SIZE);
    }
    return 'ok';
  }

  // ------------------------------------------------------------------------------------------------ memory

  /** Other memory is used for a while, so that what is not used leaves RAM. */
  #pressure(pages: number): string {
    const count = this.#options.swapPages === 0 ? Math.min(pages, Math.floor(this.vm.freeFrames / 2)) : pages;
    if (count === 0) return 'no room';
    const space = this.#scratch;
    const flags = MAP_FIXED | MAP_PRIVATE | MAP_ANON;
    const addr = SCRATCH * PAGE_SIZE;
    expect(space.mmap({ addr, len: count * PAGE_SIZE, prot: 3, flags, object: null, offset: 0 }), addr, 'mmap');
    for (let i = 0; i < count; i += 1) {
      const offset = space.translate(addr + i * PAGE_SIZE, WRITE);
      if (offset < 0) throw new Error(`pressure: ${space.lastRefusal.reason} at page ${i} of ${count}`);
      if (this.machine.ram.i32[offset / 4] !== 0) throw new Error('new memory is not zero');
      this.machine.ram.i32[offset / 4] = -1;
      if (i % 16 === 0) this.vm.poll();
    }
    expect(space.munmap(addr, count * PAGE_SIZE), 0, 'munmap');
    return count > 120 ? 'much' : 'little';
  }

  /** A number no other word of the machine has, and no entry looks like. */
  #value(): number {
    this.#nextValue += 1;
    return Math.imul(this.#nextValue, 0x0100_0193) | 0x8000_0000;
  }

  /** Pairs of words that name the memory they are written to: a word and its complement. */
  #signed(pairs: number, { id }: Memory): Int32Array {
    const words = new Int32Array(2 * pairs);
    this.#nextValue += 1;
    const signature = SIGNATURE | ((id & 0xfff) << 8) | (this.#nextValue & 0xff);
    for (let i = 0; i < words.length; i += 2) [words[i], words[i + 1]] = [signature, ~signature];
    return words;
  }

  // ------------------------------------------------------------------------------------------------ comparisons

  /** A page of an image is in the frame the image has for it. */
  #sameFrame(seen: Translation, frame: number, page: number): void {
    const image = this.images.find(({ model }) => model === seen.memory);
    if (image === undefined || image.real.object.lookup(seen.index as ObjectPage) === frame) return;
    throw new Error(`page ${page - FIRST} is not page ${seen.index} of its image`);
  }

  #sameWords(seen: Translation, offset: number, page: number): void {
    const real = this.machine.ram.i32.subarray(Math.floor(offset / PAGE_SIZE) * 1024, Math.floor(offset / PAGE_SIZE) * 1024 + 1024);
    const wanted = seen.memory.read(seen.index);
    if (equal(real, wanted)) return;
    const at = real.findIndex((word, i) => word !== wanted[i]);
    throw new Error(`page ${page - FIRST}: word ${at} is ${hex(real[at])}, not ${hex(wanted[at])}`);
  }

  #sameImage(real: Image, model: Memory): void {
    const bytes = new Uint8Array(IMAGE_PAGES * PAGE_SIZE);
    expect(real.read(0, bytes), bytes.length, 'read');
    const words = new Int32Array(bytes.buffer);
    for (let index = 0; index < IMAGE_PAGES; index += 1) {
      if (!equal(words.subarray(index * 1024, index * 1024 + 1024), model.read(index)))
        throw new Error(`page ${index} of an image differs`);
    }
  }
}

/** The memories that a page's words name, by every fourth pair of them. */
function namesIn(words: Int32Array, from: number): Set<number> {
  const names = new Set<number>();
  for (let at = from; at < from + PAGE_SIZE / 4; at += 8) {
    const word = words[at];
    if ((word & SIGNATURE_MASK) === SIGNATURE && words[at + 1] === ~word) names.add((word >>> 8) & 0xfff);
  }
  return names;
}

function equal(a: Int32Array, b: Int32Array): boolean {
  return Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}

function bytesOf(words: Int32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

function hex(word: number): string {
  return `0x${(word >>> 0).toString(16)}`;
}
