/**
 * The slow, obviously right TLB: entries are records that say which pages of whom they translate; what an operation does to
 * them is written as sentences over all entries. Which slot a new entry takes comes from the slow tag store.
 */
import { EXEC, WRITE } from '../../../../hostkernel/base/units.ts';
import { ATTR_DIRTY, ATTR_GLOBAL } from '../../../../hostkernel/machine/index.ts';
import { type TlbArrayConfig, type TlbConfig, VM_SHIFT } from '../../../../hostkernel/machine/timing/index.ts';
import { SlowStore } from './slow-store.ts';

interface Entry {
  readonly slot: number;
  readonly vm: number;
  readonly space: number | 'global';
  readonly page: number; // first
  readonly pages: number;
  readonly frame: number; // of the first page
  readonly attributes: number;
  readonly shift: number;
}

interface Found extends Translation {
  readonly latency: number;
}

interface SlowArray {
  readonly config: TlbArrayConfig;
  readonly sizes: readonly number[]; // taken, with base pages in mind
  readonly store: SlowStore;
  entries: Entry[];
}

interface SlowLevel {
  readonly arrays: readonly SlowArray[];
  readonly counts: { accesses: number; hits: number; denied: number };
}

export interface Translation {
  readonly frame: number;
  readonly shift: number;
  readonly attributes: number;
}

export class SlowTlb {
  readonly #l1d: SlowLevel;
  readonly #l1i: SlowLevel;
  readonly #l2: SlowLevel | null;
  readonly #l2i: SlowLevel | null;

  constructor(config: TlbConfig, baseShift: number, seed: number) {
    const level = (arrays: readonly TlbArrayConfig[]): SlowLevel => ({
      arrays: arrays.map((array) => ({
        config: array,
        sizes: array.sizes.map((size) => Math.max(size, baseShift)),
        store: new SlowStore(array, seed),
        entries: [],
      })),
      counts: { accesses: 0, hits: 0, denied: 0 },
    });
    this.#l1d = level(config.l1d);
    this.#l1i = config.l1i === null ? this.#l1d : level(config.l1i);
    this.#l2 = config.l2.length === 0 ? null : level(config.l2);
    this.#l2i = config.l2i === null ? this.#l2 : level(config.l2i);
  }

  get #levels(): SlowLevel[] {
    return [...new Set([this.#l1d, this.#l1i, this.#l2, this.#l2i])].filter((one) => one !== null);
  }

  get counts(): { accesses: number; hits: number; denied: number }[] {
    return this.#levels.map((level) => level.counts);
  }

  get arrayCounters(): object[] {
    return this.#levels.flatMap((level) =>
      level.arrays.map((array) => ({ ...array.store.counters, accesses: level.counts.accesses, hits: array.store.counters.hits })),
    );
  }

  /** What a store calls an entry. */
  #key(entry: { vm: number; space: number | 'global'; page: number; shift: number }): [number, number] {
    const owner = entry.space === 'global' ? -1 - entry.vm : entry.space;
    return [entry.page / 2 ** (entry.shift - 12), owner * 64 + entry.shift];
  }

  #find(level: SlowLevel, space: number, page: number, kind: number): Found | null {
    level.counts.accesses++;
    let denied = false;
    for (const array of level.arrays) {
      const covering = array.entries
        .filter((e) => e.vm === space >>> VM_SHIFT && (e.space === 'global' || e.space === space))
        .filter((e) => e.page <= page && page < e.page + e.pages)
        .sort((a, b) => a.shift - b.shift || (a.space === 'global' ? 1 : 0) - (b.space === 'global' ? 1 : 0));
      for (const entry of covering) {
        const permits = (entry.attributes & kind) === kind && ((kind & WRITE) === 0 || (entry.attributes & ATTR_DIRTY) !== 0);
        if (!permits) {
          denied = true;
          continue;
        }
        array.store.lookup(...this.#key(entry));
        level.counts.hits++;
        return {
          frame: entry.frame + (page - entry.page),
          shift: entry.shift,
          attributes: entry.attributes,
          latency: array.config.latency,
        };
      }
    }
    if (denied) level.counts.denied++;
    return null;
  }

  #fill(level: SlowLevel, space: number, page: number, frame: number, shift: number, attributes: number): void {
    const takers = level.arrays
      .filter((array) => array.config.splits || shift <= Math.max(...array.sizes))
      .flatMap((array) => array.sizes.filter((size) => size <= shift).map((size) => ({ array, size })));
    if (takers.length === 0) return;
    const best = Math.max(...takers.map((taker) => taker.size));
    const { array } = takers.find((taker) => taker.size === best) as { array: SlowArray };
    const pages = 2 ** (best - 12);
    const first = page - (page % pages);
    const isGlobal = (attributes & ATTR_GLOBAL) !== 0;
    const vm = space >>> VM_SHIFT;
    const made = {
      vm,
      space: isGlobal ? ('global' as const) : space,
      page: first,
      pages,
      frame: frame - (page - first),
      attributes,
      shift: best,
    };
    const slot = array.store.insert(...this.#key(made));
    array.entries = [...array.entries.filter((e) => e.slot !== slot), { ...made, slot }];
  }

  /** @returns what it found, or null, and the cycles */
  lookup(space: number, page: number, kind: number): { found: Translation | null; latency: number } {
    const slowest = (level: SlowLevel): number => Math.max(...level.arrays.map((array) => array.config.latency));
    const first = (kind & EXEC) !== 0 ? this.#l1i : this.#l1d;
    const second = (kind & EXEC) !== 0 ? this.#l2i : this.#l2;
    const inFirst = this.#find(first, space, page, kind);
    if (inFirst !== null) return answer(inFirst, 0);
    if (second === null) return { found: null, latency: slowest(first) };
    const inSecond = this.#find(second, space, page, kind);
    if (inSecond === null) return { found: null, latency: slowest(first) + slowest(second) };
    this.#fill(first, space, page, inSecond.frame, inSecond.shift, inSecond.attributes);
    return answer(inSecond, slowest(first));
  }

  fill(space: number, page: number, kind: number, frame: number, shift: number, attributes: number): void {
    const second = (kind & EXEC) !== 0 ? this.#l2i : this.#l2;
    if (second !== null) this.#fill(second, space, page, frame, shift, attributes);
    this.#fill((kind & EXEC) !== 0 ? this.#l1i : this.#l1d, space, page, frame, shift, attributes);
  }

  /** Drops the entries that `doomed` says so of. @returns how many */
  drop(doomed: (entry: Entry) => boolean): number {
    let dropped = 0;
    for (const array of this.#levels.flatMap((level) => level.arrays)) {
      for (const entry of array.entries.filter(doomed).sort((a, b) => a.slot - b.slot)) {
        array.store.remove(...this.#key(entry));
        dropped++;
      }
      array.entries = array.entries.filter((entry) => !doomed(entry));
    }
    return dropped;
  }
}

function answer({ frame, shift, attributes, latency }: Found, before: number): { found: Translation; latency: number } {
  return { found: { frame, shift, attributes }, latency: before + latency };
}
