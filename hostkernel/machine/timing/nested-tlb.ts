/**
 * A nested TLB: where the pages of one physical address space lie in the one below, so that a two-dimensional walk need not
 * walk the second dimension for them. Entries have the size of the host's leaf.
 *
 *   holds 'tables'   asked for the pages that hold page tables only
 *   holds 'all'      and for data pages
 */
import { type Access, WRITE } from '../../base/units.ts';
import { ATTR_DIRTY } from '../paging/index.ts';
import type { Shape, StructureCounters } from './tag-store.ts';
import { TlbArray } from './tlb-array.ts';

export interface NestedTlbConfig extends Shape {
  readonly holds: 'tables' | 'all';
  readonly latency: number; // cycles that a look adds
}

export class NestedTlb {
  readonly name: string;
  // What the last lookup found.
  frame = 0;
  shift = 12;
  attributes = 0;
  readonly latency: number;
  readonly holdsData: boolean;
  readonly #array: TlbArray;
  #accesses = 0;
  #denied = 0;

  constructor(name: string, config: NestedTlbConfig, seed: number) {
    this.name = name;
    this.#array = new TlbArray(name, config, seed);
    this.latency = config.latency;
    this.holdsData = config.holds === 'all';
  }

  /**
   * Looks for the page of a physical address space. Hot.
   * @param vm whose: 0 .. SPACES - 1, one number per space of the upper dimension
   * @returns whether it was found and permits the access
   */
  lookup(vm: number, page: number, kind: Access): boolean {
    const array = this.#array;
    this.#accesses++;
    const isFound = array.find(vm, page, (kind & WRITE) !== 0 ? kind | ATTR_DIRTY : kind);
    if (array.denied) {
      array.denied = false;
      if (!isFound) this.#denied++;
    }
    if (!isFound) return false;
    this.frame = array.frame;
    this.shift = array.shift;
    this.attributes = array.attributes;
    return true;
  }

  /** @param shift log2 of the bytes that the host's leaf maps around `page`, whose own frame is `frame` */
  fill(vm: number, page: number, frame: number, shift: number, attributes: number): void {
    this.#array.fill(vm, page, frame, shift, attributes);
  }

  /** Drops what translates any page of [page, page + pages). @returns how many */
  invalidateRange(vm: number, page: number, pages: number): number {
    if (pages === 1) return this.#array.removePage(vm, page);
    return this.#array.removeIf((owner, start, size) => owner === vm && start < page + pages && page < start + size);
  }

  invalidateVm(vm: number): number {
    return this.#array.removeIf((owner) => owner === vm);
  }

  invalidateAll(): number {
    return this.#array.store.clear();
  }

  get counters(): StructureCounters {
    return { ...this.#array.store.counters, accesses: this.#accesses };
  }

  /** Misses that met an entry which did not permit the access. */
  get denied(): number {
    return this.#denied;
  }

  assertInvariants(): void {
    this.#array.assertInvariants();
  }
}
