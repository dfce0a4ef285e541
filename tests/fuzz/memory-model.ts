/**
 * The slow memory that random runs are compared with: pages are arrays of words in Maps, fork copies them at once, and
 * there is no frame, no page table and no swap. A walk of a virtual page table is the judge's.
 *
 *   ModelSpace: page -> Mapping -> (Memory, index) -> words            Memory: own pages, over those of a base
 *
 * It also keeps, for each page of a space, the translation made last (`cached`): that may still be in use until the page
 * is invalidated, but only that, and only if the real machine has not dropped it.
 */
import { EXEC, PAGE_SIZE, READ, WRITE } from '../../hostkernel/base/units.ts';
import { FAULT_INVALID, FAULT_PROTECTION, VM_INHERIT_NONE, VM_INHERIT_SHARE } from '../../hostkernel/vm/index.ts';
import type { EntryMemory, Judge } from './judge.ts';

const WORDS = PAGE_SIZE / 4;
const ZERO = new Int32Array(WORDS);

let nextId = 1;

/** An object, or a private view of one. */
export class Memory {
  /** A number of its own, and those of the memories it was copied from: whose bytes may be in it. */
  readonly id = nextId++;
  readonly lineage: Set<number>;
  /** Several spaces have it since a fork that shared it. */
  isShared = false;
  sizePages: number;
  /** What is seen where there is no page of our own; null: zeros. */
  readonly base: Memory | null;
  readonly pages = new Map<number, Int32Array>();

  constructor(sizePages: number, base: Memory | null = null) {
    this.sizePages = sizePages;
    this.base = base;
    this.lineage = new Set([...(base?.lineage ?? []), this.id]);
  }

  /** The words of a page, to look at. */
  read(index: number): Int32Array {
    return this.pages.get(index) ?? this.base?.read(index) ?? ZERO;
  }

  /** The words of a page of our own, to change. */
  own(index: number): Int32Array {
    let page = this.pages.get(index);
    if (page === undefined) {
      page = this.read(index).slice();
      this.pages.set(index, page);
    }
    return page;
  }

  /** As it is after fork in a process that shares nothing: what was our own is copied, and for a copy `now` all. */
  copy(now: boolean): Memory {
    // What was copied at once is memory of its own, which has no end where the image had one.
    const copy = new Memory(now ? 2 ** 31 - 1 : this.sizePages, now ? null : this.base);
    for (const id of this.lineage) copy.lineage.add(id);
    for (const [index, page] of this.pages) copy.pages.set(index, page.slice());
    for (let memory = now ? this.base : null; memory !== null; memory = memory.base) {
      for (const [index, page] of memory.pages) if (!copy.pages.has(index)) copy.pages.set(index, page.slice());
    }
    return copy;
  }
}

export interface Mapping {
  readonly memory: Memory;
  readonly index: number;
  /** Made with MAP_PRIVATE: advice may forget it. */
  readonly isPrivate: boolean;
  /** VM_INHERIT_*. */
  inherit: number;
  isWired: boolean;
  readonly isVpagetable: boolean;
  prot: number;
  rootLo: number;
  rootHi: number;
}

export interface Translation {
  readonly memory: Memory;
  readonly index: number;
  rights: number;
}

/** A judge's view of a memory; byte order and width are the layout's. */
class Tables implements EntryMemory {
  lo = 0;
  hi = 0;
  memory: Memory = new Memory(0);
  readonly #wide: boolean;
  readonly #swapped: boolean;

  constructor(judge: Judge) {
    this.#wide = judge.layout.entryBytes === 8;
    this.#swapped = judge.layout.endian === 'be';
  }

  read(addressLo: number, addressHi: number): boolean {
    const index = (addressHi >>> 0) * 2 ** 20 + (addressLo >>> 12);
    if (index >= this.memory.sizePages) return false;
    // A walk may write what it passes through, so a private view has its own copy from then on.
    const page = this.memory.base === null ? this.memory.read(index) : this.memory.own(index);
    const at = (addressLo & 4095) >>> 2;
    const [first, second] = [page[at], this.#wide ? page[at + 1] : 0];
    if (!this.#wide) this.lo = this.#swapped ? swapWord(first) : first;
    else this.lo = this.#swapped ? swapWord(second) : first;
    this.hi = this.#swapped && this.#wide ? swapWord(first) : second;
    return true;
  }

  write(addressLo: number, addressHi: number, lo: number, hi: number): void {
    const page = this.memory.own((addressHi >>> 0) * 2 ** 20 + (addressLo >>> 12));
    const at = (addressLo & 4095) >>> 2;
    if (!this.#wide) page[at] = this.#swapped ? swapWord(lo) : lo;
    else {
      page[at] = this.#swapped ? swapWord(hi) : lo;
      page[at + 1] = this.#swapped ? swapWord(lo) : hi;
    }
  }
}

export function swapWord(word: number): number {
  return (word << 24) | ((word << 8) & 0xff0000) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

export class ModelSpace {
  readonly mapped = new Map<number, Mapping>();
  readonly cached = new Map<number, Translation>();
  readonly judge: Judge;
  readonly #tables: Tables;

  constructor(judge: Judge) {
    this.judge = judge;
    this.#tables = new Tables(judge);
  }

  map(start: number, pages: number, mapping: Omit<Mapping, 'rootLo' | 'rootHi' | 'isWired'>): void {
    this.unmap(start, pages);
    for (let i = 0; i < pages; i += 1)
      this.mapped.set(start + i, { ...mapping, index: mapping.index + i, rootLo: 0, rootHi: 0, isWired: false });
  }

  unmap(start: number, pages: number): void {
    this.invalidate(start, pages);
    for (let page = start; page < start + pages; page += 1) this.mapped.delete(page);
  }

  isCovered(start: number, pages: number): boolean {
    for (let page = start; page < start + pages; page += 1) if (!this.mapped.has(page)) return false;
    return true;
  }

  protect(start: number, pages: number, prot: number): void {
    for (let page = start; page < start + pages; page += 1) {
      const mapping = this.mapped.get(page);
      if (mapping !== undefined) mapping.prot = prot;
      const translation = this.cached.get(page);
      if (translation !== undefined) translation.rights &= closed(prot);
    }
  }

  invalidate(start: number, pages: number): void {
    for (let page = start; page < start + pages; page += 1) this.cached.delete(page);
  }

  /** Pages of `memory` [first, end) are not to be reached by any translation made so far. */
  invalidateMemory(memory: Memory, first: number, end: number): void {
    for (const [page, translation] of this.cached) {
      if (translation.memory === memory && translation.index >= first && translation.index < end) this.cached.delete(page);
    }
  }

  /** Whether it was done: not if something in the range is no virtual page table. */
  setMap(start: number, pages: number, rootLo: number, rootHi: number): boolean {
    for (let page = start; page < start + pages; page += 1) if (this.mapped.get(page)?.isVpagetable === false) return false;
    for (let page = start; page < start + pages; page += 1) {
      const mapping = this.mapped.get(page);
      if (mapping !== undefined) [mapping.rootLo, mapping.rootHi] = [rootLo, rootHi];
    }
    this.invalidate(start, pages);
    return true;
  }

  /** The space of a process that forks: shared memory is shared, private memory copied, nothing is cached. */
  fork(): ModelSpace {
    const child = new ModelSpace(this.judge);
    const copies = new Map<Memory, Memory>();
    let before: { readonly index: number; readonly memory: Memory; readonly copy: Memory } | null = null;
    for (const [page, mapping] of this.mapped) {
      let { memory } = mapping;
      const { index, inherit, isPrivate, isVpagetable } = mapping;
      if (inherit === VM_INHERIT_NONE) continue;
      if (inherit === VM_INHERIT_SHARE) memory.isShared = true;
      else if (isPrivate || isVpagetable) {
        // All that a virtual page table can name is one, as is what was mapped at once; others write it: a copy of this moment.
        const copy = copies.get(memory) ?? memory.copy(!isPrivate);
        copies.set(memory, copy);
        memory = copy;
      } else {
        // Every other mapping of what others write too has a copy of its own.
        const isNext: boolean = before?.memory === memory && before.index + 1 === index;
        const copy: Memory = isNext && before !== null ? before.copy : memory.copy(true);
        before = { index, memory, copy };
        memory = copy;
      }
      child.mapped.set(page, { ...mapping, memory, isWired: false });
    }
    return child;
  }

  /** What a fault must do: the translation to be made, or the FAULT_* that refuses it. Marks entries as a walk does. */
  fault(page: number, kind: number): Translation | number {
    const access = [READ, WRITE, EXEC][kind];
    const mapping = this.mapped.get(page);
    if (mapping === undefined) return FAULT_INVALID;
    if ((mapping.prot & access) === 0) return FAULT_PROTECTION;
    const { memory } = mapping;
    let { index } = mapping;
    let rights = mapping.prot;
    if (mapping.isVpagetable) {
      const { judge } = this;
      const { verdict } = judge;
      if (index >= 2 ** 52) return FAULT_INVALID;
      this.#tables.memory = memory;
      const rootLo = judge.layout.root.kind === 'value' ? mapping.rootLo : mapping.rootLo << 12;
      judge.walk(this.#tables, rootLo, mapping.rootHi, ((index % 2 ** 20) * PAGE_SIZE) | 0, Math.floor(index / 2 ** 20), kind, 0);
      if (verdict.outcome === 'bus') return FAULT_PROTECTION;
      if (verdict.outcome !== 'hit') return FAULT_INVALID;
      index = (verdict.paHi >>> 0) * 2 ** 20 + (verdict.paLo >>> 12);
      rights &= verdict.rights;
      if (access !== WRITE && !verdict.dirty) rights &= ~WRITE;
    }
    if (index >= memory.sizePages) return FAULT_PROTECTION;
    return { memory, index, rights: closed(rights) };
  }
}

/** Rights as hardware can give them: no write without read. */
function closed(rights: number): number {
  return (rights & WRITE) !== 0 ? rights | READ : rights;
}
