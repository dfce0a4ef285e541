/**
 * The address-space database of a task: which region of virtual memory is bound to which store.
 *
 *   |--reserved--|   |---map---|---map---|        |---map---|      ordered by start, never overlapping
 *                     store, storeOffset: byte `start` of the map is byte storeOffset of the store
 *
 * Not here: what is resident (page-cache.ts) and what a fault does (memory-manager.ts). Nothing here talks to a server.
 * Source: libhurd-mm map.c of hurd-l4.
 *
 * Invariants (assertInvariants):
 *   V1  maps are ordered by start and never overlap
 *   V2  start and size are whole pages, size > 0, the end is inside the user area
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { type Access, isPageAligned } from '../../hostkernel/base/units.ts';
import type { Store } from './store.ts';

/** No dynamic mapping lies below: null pointers keep faulting. */
export const LOWEST_ADDRESS = 0x4000;

/** A program that asks for more is refused, as on Linux (vm.max_map_count): each costs memory that nobody is charged for. */
const REGIONS_MAX = 65530;

export interface Region {
  readonly start: number; // bytes
  readonly size: number;
  /** null: known but not managed (kernel areas, scratch window); it cannot be released. */
  readonly store: Store | null;
  readonly storeOffset: number; // bytes
  readonly access: Access;
  /** What the access may be raised to: a file that cannot be written stays so. */
  readonly limit: Access;
}

export class Regions {
  readonly userEnd: number; // first byte address beyond what a task may map
  #maps: Region[] = [];

  constructor(userEnd: number) {
    this.userEnd = userEnd;
  }

  get count(): number {
    return this.#maps.length;
  }

  /** Whether there may be `more` maps than now. */
  hasRoomFor(more: number): boolean {
    return this.#maps.length + more <= REGIONS_MAX;
  }

  /** How many more maps there are once the edges of [start, start + size) are cut: 0, 1 or 2. */
  cuts(start: number, size: number): number {
    return (this.#isInside(start) ? 1 : 0) + (this.#isInside(start + size) ? 1 : 0);
  }

  #isInside(address: number): boolean {
    const map = this.find(address);
    return map !== null && map.start < address;
  }

  /** All maps, by address. Not to be changed. */
  all(): readonly Region[] {
    return this.#maps;
  }

  /** Index of the first map that ends behind `address`. Hot: a search, no allocation. */
  #indexAt(address: number): number {
    let low = 0;
    let high = this.#maps.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const map = this.#maps[middle] as Region;
      if (map.start + map.size > address) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** The map that holds `address`, or null. Hot. */
  find(address: number): Region | null {
    const map = this.#maps[this.#indexAt(address)];
    return map !== undefined && map.start <= address ? map : null;
  }

  /** Maps that overlap [start, start + size), by address. */
  overlapping(start: number, size: number): Region[] {
    const found: Region[] = [];
    for (let i = this.#indexAt(start); i < this.#maps.length; i += 1) {
      const map = this.#maps[i] as Region;
      if (map.start >= start + size) break;
      found.push(map);
    }
    return found;
  }

  isFree(start: number, size: number): boolean {
    const map = this.#maps[this.#indexAt(start)];
    return map === undefined || map.start >= start + size;
  }

  /** Whether [start, start + size) lies in user space without wrapping. Size 0 does not. */
  inUserSpace(start: number, size: number): boolean {
    return size > 0 && start >= 0 && start < this.userEnd && size <= this.userEnd - start;
  }

  /** The lowest free range of `size` bytes at or above `hint`, else the lowest at all. @returns its address, or -1 */
  findFree(size: number, hint: number): number {
    const above = this.#lowestFit(size, Math.max(hint, LOWEST_ADDRESS));
    return above >= 0 || hint <= LOWEST_ADDRESS ? above : this.#lowestFit(size, LOWEST_ADDRESS);
  }

  #lowestFit(size: number, from: number): number {
    let candidate = from;
    for (let i = this.#indexAt(from); i < this.#maps.length; i += 1) {
      const map = this.#maps[i] as Region;
      if (map.start - candidate >= size) break;
      candidate = Math.max(candidate, map.start + map.size);
    }
    return this.userEnd - candidate >= size ? candidate : -1;
  }

  /** Enters a map into free space; joins it with the maps before and behind it where they continue each other. */
  enter(map: Region): void {
    kassert(this.isFree(map.start, map.size), 'regions: overlap');
    const at = this.#indexAt(map.start);
    const before = this.#maps[at - 1];
    const behind = this.#maps[at];
    const joinsBefore = before !== undefined && continues(before, map);
    const joinsBehind = behind !== undefined && continues(map, behind);
    const first = joinsBefore ? before : map;
    const size = map.size + (joinsBefore ? before.size : 0) + (joinsBehind ? behind.size : 0);
    this.#maps.splice(joinsBefore ? at - 1 : at, (joinsBefore ? 1 : 0) + (joinsBehind ? 1 : 0), { ...first, size });
  }

  /** Takes [start, start + size) out, cutting maps at its edges. Holes are skipped. @returns the pieces taken out */
  remove(start: number, size: number): Region[] {
    const end = start + size;
    const first = this.#indexAt(start);
    const taken: Region[] = [];
    const kept: Region[] = [];
    let last = first;
    for (; last < this.#maps.length; last += 1) {
      const map = this.#maps[last] as Region;
      if (map.start >= end) break;
      const mapEnd = map.start + map.size;
      if (map.start < start) kept.push(part(map, map.start, start));
      taken.push(part(map, Math.max(map.start, start), Math.min(mapEnd, end)));
      if (mapEnd > end) kept.push(part(map, end, mapEnd));
    }
    this.#maps.splice(first, last - first, ...kept);
    return taken;
  }

  assertInvariants(): void {
    let end = 0;
    for (const map of this.#maps) {
      kassert(map.start >= end, 'regions V1');
      kassert(isPageAligned(map.start) && isPageAligned(map.size) && map.size > 0, 'regions V2');
      end = map.start + map.size;
      kassert(end <= this.userEnd || map.store === null, 'regions V2');
    }
  }
}

/** The part of a map between addresses `from` and `to`. */
export function part(map: Region, from: number, to: number): Region {
  return { ...map, start: from, size: to - from, storeOffset: map.storeOffset + (from - map.start) };
}

function continues(before: Region, map: Region): boolean {
  return (
    before.store !== null &&
    before.start + before.size === map.start &&
    before.store === map.store &&
    before.access === map.access &&
    before.limit === map.limit &&
    before.storeOffset + before.size === map.storeOffset
  );
}
