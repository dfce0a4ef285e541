/**
 * The slow VM: what the calls mean, page by page, with Maps and bigints and no page tables. It keeps, like the real one,
 * the translations it has made ("cached"), since they may be used until they are invalidated, however stale.
 */

import { EXEC, PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { FAULT_INVALID, FAULT_PROTECTION } from '../../../hostkernel/vm/index.ts';

const WORDS = PAGE_SIZE / 4;

/** A memory object: its pages, as words, once touched. */
export class ModelObject {
  readonly pages = new Map<number, Uint32Array>();
  readonly sizePages: number;

  constructor(sizePages: number) {
    this.sizePages = sizePages;
  }

  page(index: number): Uint32Array {
    let page = this.pages.get(index);
    if (page === undefined) {
      page = new Uint32Array(WORDS);
      this.pages.set(index, page);
    }
    return page;
  }
}

/** What is mapped at one page. Private anonymous memory is an object of its own for each page. */
interface Mapping {
  readonly object: ModelObject;
  readonly index: number;
  readonly isVpagetable: boolean;
  readonly isPrivate: boolean;
  prot: number;
  root: bigint;
}

interface Translation {
  readonly object: ModelObject;
  readonly index: number;
  rights: number;
}

/** The generations of VPTEs the model knows. */
export type Generation = 'vpte-2006' | 'vpte-32-nx' | 'vpte-64-nx';

export class ModelSpace {
  readonly mapped = new Map<number, Mapping>();
  readonly cached = new Map<number, Translation>();
  readonly generation: Generation;

  constructor(generation: Generation) {
    this.generation = generation;
  }

  map(start: number, pages: number, prot: number, object: ModelObject | null, offset: number, isVpagetable: boolean): void {
    this.unmap(start, pages);
    for (let i = 0; i < pages; i++) {
      const isPrivate = object === null;
      this.mapped.set(start + i, {
        object: object ?? new ModelObject(1),
        index: isPrivate ? 0 : offset + i,
        isVpagetable,
        isPrivate,
        prot,
        root: 0n,
      });
    }
  }

  unmap(start: number, pages: number): void {
    this.invalidate(start, pages);
    for (let page = start; page < start + pages; page++) this.mapped.delete(page);
  }

  isCovered(start: number, pages: number): boolean {
    for (let page = start; page < start + pages; page++) if (!this.mapped.has(page)) return false;
    return true;
  }

  protect(start: number, pages: number, prot: number): void {
    for (let page = start; page < start + pages; page++) {
      const mapping = this.mapped.get(page);
      if (mapping !== undefined) mapping.prot = prot;
      const translation = this.cached.get(page);
      if (translation === undefined) continue;
      translation.rights &= closed(prot);
      if (translation.rights === 0) this.cached.delete(page);
    }
  }

  invalidate(start: number, pages: number): void {
    for (let page = start; page < start + pages; page++) this.cached.delete(page);
  }

  /** Returns whether it was done: not if something in the range is no virtual page table. */
  setMap(start: number, pages: number, root: bigint): boolean {
    for (let page = start; page < start + pages; page++) if (this.mapped.get(page)?.isVpagetable === false) return false;
    for (let page = start; page < start + pages; page++) {
      const mapping = this.mapped.get(page);
      if (mapping !== undefined) mapping.root = root;
    }
    this.invalidate(start, pages);
    return true;
  }

  /** MADV_FREE. */
  forget(start: number, pages: number): void {
    for (let page = start; page < start + pages; page++) {
      const mapping = this.mapped.get(page);
      if (mapping === undefined || !mapping.isPrivate) continue;
      mapping.object.pages.clear();
      this.cached.delete(page);
    }
  }

  /** An access: the words of the page, or the FAULT_* that refuses it. */
  access(page: number, access: number): Uint32Array | number {
    const cached = this.cached.get(page);
    if (cached !== undefined && (cached.rights & access) !== 0) return cached.object.page(cached.index);
    const result = this.#fault(page, access);
    if (typeof result === 'number') return result;
    this.cached.set(page, result);
    return result.object.page(result.index);
  }

  #fault(page: number, access: number): Translation | number {
    const mapping = this.mapped.get(page);
    if (mapping === undefined) return FAULT_INVALID;
    if ((mapping.prot & access) === 0) return FAULT_PROTECTION;
    let { index } = mapping;
    let rights = mapping.prot;
    if (mapping.isVpagetable) {
      const walked = this.#walk(mapping, access);
      if (typeof walked === 'number') return walked;
      index = walked.frame;
      rights &= walked.rights;
    }
    if (index >= mapping.object.sizePages) return FAULT_PROTECTION;
    return { object: mapping.object, index, rights: closed(rights) };
  }

  /** The walk, step by step as it is described. */
  #walk(mapping: Mapping, access: number): { frame: number; rights: number } | number {
    const { object, index } = mapping;
    const is64 = this.generation === 'vpte-64-nx';
    const is2006 = this.generation === 'vpte-2006';
    const bits = is64 ? 9 : 10;
    const entryWords = is64 ? 2 : 1;
    const frameMask = is64 ? 0x000f_ffff_ffff_f000n : 0xffff_f000n;
    let left = is64 ? 36 : 20;
    let entry = mapping.root;
    let isRoot = true;
    let rights = READ | WRITE | EXEC;
    let modified = true;
    if (index >= 2 ** left) return FAULT_INVALID;
    for (;;) {
      let frame = Number((entry & frameMask) >> 12n);
      let isLeaf = left === 0;
      if (is2006) {
        if (isRoot) frame = Number(entry);
        else {
          if ((entry & 1n) !== 0n) return FAULT_INVALID;
          if ((entry & 2n) !== 0n) isLeaf = true;
        }
      } else {
        if ((entry & 1n) === 0n) return FAULT_INVALID;
        if (access === WRITE && (entry & 2n) === 0n) return FAULT_INVALID;
        if (access === EXEC && (entry & 0x800n) !== 0n) return FAULT_INVALID;
        if ((entry & 2n) === 0n) rights &= ~WRITE;
        if ((entry & 0x800n) !== 0n) rights &= ~EXEC;
        if ((entry & 0x80n) !== 0n) isLeaf = true;
        modified = (entry & 0x40n) !== 0n;
      }
      if (isLeaf) {
        if (access !== WRITE && !modified) rights &= ~WRITE;
        return { frame: frame + (index % 2 ** left), rights };
      }
      if (frame >= object.sizePages) return FAULT_PROTECTION;
      const table = object.page(frame);
      left -= bits;
      const slot = Math.floor(index / 2 ** left) % 2 ** bits;
      const at = slot * entryWords;
      entry = BigInt(table[at]) + (is64 ? BigInt(table[at + 1]) << 32n : 0n);
      if (!is2006 && (entry & 1n) !== 0n) {
        if (access !== WRITE) table[at] |= 0x20;
        else if ((entry & 2n) !== 0n) table[at] |= 0x60;
        if ((entry & 0x40n) === 0n && access === WRITE) modified = true; // a write fault maps writable in any case
      }
      isRoot = false;
    }
  }
}

/** Rights as hardware can give them: no write without read. */
function closed(rights: number): number {
  return (rights & WRITE) !== 0 ? rights | READ : rights;
}
