/**
 * The TLBs of one hart: first level for data and for instructions, second level, each made of arrays that take some page
 * sizes each. What a nested TLB is: nested-tlb.ts. Who walks on a miss: translation.ts.
 *
 *   l1d  [4K 64 x 4]  [2M 32 x 4]  [1G 4]        looked at together; a hit in any is a hit of the level
 *   l1i  [4K 2M ...]                             null: instructions use l1d
 *   l2   [4K and 2M 1536 x 12]                   looked at after a miss in the first; a hit is copied there
 *   l2i                                          null: instructions use l2
 *
 * A page goes into the array of its level that takes the largest size not above its own, as an entry of that size for the
 * part that was asked for: a 1G page in a level of 4K and 2M is split into 2M entries, unless the array is said not to hold
 * larger pages at all (`splits` false). Translations of two dimensions come with the smaller of their two sizes.
 *
 * An array for a size below the base pages of the tables in use takes base pages: a "4K" array holds 16K entries under
 * tables of 16K pages. Runs of adjacent pages in one entry (Arm's contiguous ranges, RISC-V's 64 KiB NAPOT) are sizes like
 * any other: an array that takes "64K" holds them whole, all others split them.
 *
 * A hit must permit the access: an entry without the right, or without ATTR_DIRTY for a write, is a miss, and counted in
 * `denied` too. What such a walk finds is filled over it.
 */
import { kassert } from '../../base/assert.ts';
import { type Access, EXEC, PAGE_SHIFT, READ, WRITE } from '../../base/units.ts';
import { ATTR_DIRTY, ATTR_GLOBAL } from '../paging/index.ts';
import type { Shape, StructureCounters, TagStore } from './tag-store.ts';
import { TlbArray, VM_SHIFT } from './tlb-array.ts';

/** One array of a level. */
export interface TlbArrayConfig extends Shape {
  readonly sizes: readonly number[]; // log2 of the bytes of the pages it takes: 12, 21, 30 ...
  readonly splits: boolean; //          whether pages larger than `sizes` are held in parts, or not at all
  readonly latency: number; //          cycles that a look at it adds
  readonly directories: boolean; //     whether a walk cache of kind 'l2-tlb' keeps its entries here
}

export interface TlbConfig {
  readonly l1d: readonly TlbArrayConfig[];
  readonly l1i: readonly TlbArrayConfig[] | null;
  readonly l2: readonly TlbArrayConfig[]; // empty: there is none
  readonly l2i: readonly TlbArrayConfig[] | null;
}

/** Pages that are dropped one by one: more are looked for in one pass over all entries. */
const FEW_PAGES = 16;

/** Of a level: accesses, hits, and misses that met an entry which did not permit the access. */
export interface TlbLevelCounters {
  readonly accesses: number;
  readonly hits: number;
  readonly denied: number;
}

/** Slots of a level's counts. Hits are those of its arrays. */
const MISSES = 0;
const DENIED = 1;

/** Sizes are below 2^this, in bytes. */
const MOST_SHIFT = 64;

/** Hints for data, and as many for instructions. */
const HINTS = 64;

/**
 * What a lookup found, kept for the next one of the page: `lookup` of a page that has a hint looks nowhere else. It holds
 * until its slot is filled again, anything is dropped, or an entry comes that would be found first.
 */
class Hint {
  page = -1; // -1: holds nothing to find
  space = 0;
  grants = 0; // kinds of access that the entry serves
  store: TagStore;
  slot = 0;
  frame = 0;
  shift = PAGE_SHIFT;
  attributes = 0;
  latency = 0;

  constructor(store: TagStore) {
    this.store = store;
  }
}

class TlbLevel {
  readonly name: string;
  readonly arrays: readonly TlbArray[];
  readonly missLatency: number; // cycles: the slowest array
  readonly hintOf: (Hint | null)[][]; // per array and slot: the last hint that was for it
  readonly #latencies: Float64Array; // per array
  readonly #routes = new Int8Array(64).fill(-1); // by log2 of a page's size: the array it goes to, or -1
  readonly #stored = new Uint8Array(64); //         and the size it has there
  readonly #counts = new Float64Array(2);
  // Of the last find that found something.
  slot = -1;
  nth = 0; // which array it was
  isFirst = true; // no entry of the page came before it and lacked a right: other kinds of access find that one
  latency = 0; // cycles

  constructor(name: string, configs: readonly TlbArrayConfig[], baseShift: number, seed: number) {
    this.name = name;
    this.arrays = configs.map(
      (config, i) => new TlbArray(configs.length === 1 ? name : `${name}.${sizesName(config.sizes)}`, config, seed + i),
    );
    this.hintOf = this.arrays.map((array) => Array.from({ length: array.store.slots }, () => null));
    this.#latencies = Float64Array.from(configs, (config) => config.latency);
    this.missLatency = Math.max(0, ...this.#latencies);
    for (let shift = PAGE_SHIFT; shift < 64; shift++) {
      configs.forEach((config, i) => {
        const taken = config.sizes.map((size) => Math.max(size, baseShift));
        if (!config.splits && shift > Math.max(...taken)) return;
        for (const size of taken) {
          if (size > shift || size <= this.#stored[shift]) continue;
          this.#routes[shift] = i;
          this.#stored[shift] = size;
        }
      });
    }
  }

  /** The array that has the page, or null; its slot is `slot`, what the look costs `latency`. Counts. Hot. */
  find(space: number, page: number, needed: number): TlbArray | null {
    const arrays = this.arrays;
    let denied = false;
    for (let i = 0; i < arrays.length; i++) {
      const array = arrays[i];
      const slot = array.find(space, page, needed);
      if (slot >= 0) {
        array.store.hit(slot);
        this.isFirst = !denied && !array.denied;
        array.denied = false;
        this.slot = slot;
        this.nth = i;
        this.latency = this.#latencies[i];
        return array;
      }
      if (array.denied) {
        array.denied = false;
        denied = true;
      }
    }
    this.#counts[MISSES]++;
    if (denied) this.#counts[DENIED]++;
    return null;
  }

  get counters(): TlbLevelCounters {
    const hits = this.arrays.reduce((sum, array) => sum + array.store.counters.hits, 0);
    return { accesses: hits + this.#counts[MISSES], hits, denied: this.#counts[DENIED] };
  }

  /** Cycles of all looks. */
  get cycles(): number {
    const misses = this.#counts[MISSES] * this.missLatency;
    return this.arrays.reduce((sum, array, i) => sum + array.store.counters.hits * this.#latencies[i], misses);
  }

  /** @returns the place of the entry among those that a find asks, -1 if there is none: see rankOf */
  fill(space: number, page: number, frame: number, shift: number, attributes: number): number {
    const route = this.#routes[shift];
    if (route < 0) return -1;
    const stored = this.#stored[shift];
    const slot = this.arrays[route].fill(space, page, frame, stored, attributes);
    const hint = this.hintOf[route][slot];
    if (hint !== null) hint.page = -1;
    return rankOf(route, stored);
  }
}

export class Tlb {
  latency = 0; // cycles of the last lookup
  readonly #l1d: TlbLevel;
  readonly #l1i: TlbLevel;
  readonly #l2: TlbLevel | null;
  readonly #l2i: TlbLevel | null;
  readonly #hints: readonly Hint[]; //  by the low bits of a page
  #lastRank = -1; // the last place, among those that a find asks, of any entry that has a hint
  readonly #ofSecond: Hint; // what was found in a second level
  #found: Hint; //             what the last lookup found
  readonly #levels: readonly TlbLevel[]; // each once
  readonly #arrays: readonly TlbArray[];

  /**
   * @param options.baseShift log2 of the smallest page that the tables in use can map
   * @param options.seed      of random replacement
   */
  constructor(config: TlbConfig, options: { readonly baseShift: number; readonly seed: number }) {
    const level = (name: string, arrays: readonly TlbArrayConfig[], nth: number): TlbLevel =>
      new TlbLevel(name, arrays, options.baseShift, options.seed + 16 * nth);
    this.#l1d = level(config.l1i === null ? 'l1' : 'l1d', config.l1d, 0);
    this.#l1i = config.l1i === null ? this.#l1d : level('l1i', config.l1i, 1);
    this.#l2 = config.l2.length === 0 ? null : level(config.l2i === null ? 'l2' : 'l2d', config.l2, 2);
    this.#l2i = config.l2i === null ? this.#l2 : level('l2i', config.l2i, 3);
    this.#levels = [...new Set([this.#l1d, this.#l1i, this.#l2, this.#l2i])].filter((one) => one !== null);
    this.#arrays = this.#levels.flatMap((one) => one.arrays);
    kassert(config.l1d.length > 0, 'tlb: no first level');
    const { store } = this.#l1d.arrays[0];
    this.#hints = Array.from({ length: 2 * HINTS }, () => new Hint(store));
    this.#ofSecond = new Hint(store);
    this.#found = this.#ofSecond;
  }

  // What the last lookup found.
  get frame(): number {
    return this.#found.frame; // of the page that was asked for
  }

  get shift(): number {
    return this.#found.shift; // log2 of the bytes of the entry
  }

  get attributes(): number {
    return this.#found.attributes;
  }

  /**
   * Looks for the translation of an access. Hot.
   * @param space 0 .. SPACES - 1: (vm << VM_SHIFT) | asid
   * @param kind  READ, WRITE, EXEC, or READ | WRITE; EXEC looks into the instruction side
   * @returns whether it was found and permits the access: then frame, shift and attributes are its
   */
  lookup(space: number, page: number, kind: Access): boolean {
    const hint = this.#hints[(page & (HINTS - 1)) | ((kind & EXEC) === 0 ? 0 : HINTS)];
    if (hint.page !== page || hint.space !== space || (kind & ~hint.grants) !== 0) return this.#lookupFirst(hint, space, page, kind);
    this.latency = hint.latency;
    if (hint === this.#found) {
      hint.store.hitAgain();
      return true;
    }
    hint.store.hit(hint.slot);
    this.#found = hint;
    return true;
  }

  /** A lookup without a hint: what the first level has becomes one. */
  #lookupFirst(hint: Hint, space: number, page: number, kind: Access): boolean {
    const needed = (kind & WRITE) !== 0 ? kind | ATTR_DIRTY : kind;
    const isFetch = (kind & EXEC) !== 0;
    const first = isFetch ? this.#l1i : this.#l1d;
    const array = first.find(space, page, needed);
    if (array !== null) {
      this.#keep(hint, first, array, space, page, isFetch);
      return true;
    }
    this.latency = first.missLatency;
    const second = isFetch ? this.#l2i : this.#l2;
    return second !== null && this.#lookupSecond(first, second, space, page, needed);
  }

  #keep(hint: Hint, level: TlbLevel, array: TlbArray, space: number, page: number, isFetch: boolean): void {
    const { slot } = level;
    const hints = level.hintOf[level.nth];
    const before = hints[slot];
    if (before !== null && before !== hint && before.slot === slot) before.page = -1;
    hints[slot] = hint;
    this.#take(hint, array, slot, page);
    const { attributes } = hint;
    const dataKinds = (attributes & ATTR_DIRTY) !== 0 ? READ | WRITE : READ;
    // An entry of the space's own would be found before a global one.
    hint.page = (attributes & ATTR_GLOBAL) === 0 && level.isFirst ? page : -1;
    hint.space = space;
    hint.grants = attributes & (isFetch ? EXEC : dataKinds);
    hint.store = array.store;
    hint.slot = slot;
    hint.latency = level.latency;
    this.latency = level.latency;
    const rank = rankOf(level.nth, hint.shift);
    if (rank > this.#lastRank) this.#lastRank = rank;
  }

  #lookupSecond(first: TlbLevel, second: TlbLevel, space: number, page: number, needed: number): boolean {
    const array = second.find(space, page, needed);
    if (array === null) {
      this.latency += second.missLatency;
      return false;
    }
    this.latency += second.latency;
    const found = this.#ofSecond;
    this.#take(found, array, second.slot, page);
    this.#fillFirst(first, space, page, found.frame, found.shift, found.attributes);
    return true;
  }

  #take(hint: Hint, array: TlbArray, slot: number, page: number): void {
    hint.frame = array.frameOf(slot, page);
    hint.shift = array.shiftOf(slot);
    hint.attributes = array.attributesOf(slot);
    this.#found = hint;
  }

  /**
   * Enters what a walk for an access of `kind` has found, into the second level, then the first. Hot.
   * @param frame of `page` itself
   * @param shift log2 of the bytes mapped alike around `page`: by a leaf, by the smaller of two leaves, or by a run of leaves
   */
  fill(space: number, page: number, kind: Access, frame: number, shift: number, attributes: number): void {
    const isFetch = (kind & EXEC) !== 0;
    const second = isFetch ? this.#l2i : this.#l2;
    if (second !== null) second.fill(space, page, frame, shift, attributes);
    this.#fillFirst(isFetch ? this.#l1i : this.#l1d, space, page, frame, shift, attributes);
    this.#found = this.#ofSecond;
  }

  /** Fills the first level, and drops the hints of pages that have an entry now that would be found before theirs. */
  #fillFirst(first: TlbLevel, space: number, page: number, frame: number, shift: number, attributes: number): void {
    const rank = first.fill(space, page, frame, shift, attributes);
    if (rank < 0) return;
    const data = this.#hints[page & (HINTS - 1)];
    if (data.page === page) data.page = -1;
    const fetched = this.#hints[(page & (HINTS - 1)) | HINTS];
    if (fetched.page === page) fetched.page = -1;
    if ((rank & (MOST_SHIFT - 1)) > PAGE_SHIFT && rank < this.#lastRank) this.#dropHints();
  }

  #dropHints(): void {
    for (const hint of this.#hints) hint.page = -1;
    this.#lastRank = -1;
  }

  /** Drops what translates `page` in `space`, of all sizes, and global entries too. @returns entries dropped, here and below */
  invalidatePage(space: number, page: number): number {
    this.#dropHints();
    let dropped = 0;
    for (const array of this.#arrays) dropped += array.removePage(space, page);
    return dropped;
  }

  /** As invalidatePage, but global entries stay. */
  invalidateOwnPage(space: number, page: number): number {
    this.#dropHints();
    let dropped = 0;
    for (const array of this.#arrays) dropped += array.removeOwnPage(space, page);
    return dropped;
  }

  /** Drops what translates `page` in any space of the VM. */
  invalidatePageOfVm(vm: number, page: number): number {
    return this.#removeIf((owner, start, pages) => vmOf(owner) === vm && start <= page && page < start + pages);
  }

  /** Drops what translates any page of [page, page + pages) in `space`, of all sizes, and global entries too. */
  invalidateRange(space: number, page: number, pages: number): number {
    if (pages <= FEW_PAGES) {
      let dropped = 0;
      for (let at = page; at < page + pages; at++) dropped += this.invalidatePage(space, at);
      return dropped;
    }
    const ofAll = -1 - (space >>> VM_SHIFT);
    return this.#removeIf((owner, start, size) => (owner === space || owner === ofAll) && start < page + pages && page < start + size);
  }

  /** Drops what belongs to `space`. Global entries stay. */
  invalidateSpace(space: number): number {
    return this.#removeIf((owner) => owner === space);
  }

  /** Drops what belongs to the VM, global entries too. */
  invalidateVm(vm: number): number {
    return this.#removeIf((owner) => vmOf(owner) === vm);
  }

  /** Drops everything but global entries. */
  invalidateAllButGlobal(): number {
    return this.#removeIf((owner) => owner >= 0);
  }

  invalidateAll(): number {
    return this.#removeIf(() => true);
  }

  /** Drops what leads to any frame of [frame, frame + frames). */
  invalidateFrames(frame: number, frames: number): number {
    return this.#removeIf((_owner, _start, pages, first) => first < frame + frames && frame < first + pages);
  }

  #removeIf(visit: (owner: number, page: number, pages: number, frame: number) => boolean): number {
    this.#dropHints();
    let dropped = 0;
    for (const array of this.#arrays) dropped += array.removeIf(visit);
    return dropped;
  }

  /** The store in which a walk cache of kind 'l2-tlb' keeps its entries: that of the first array with `directories`, or null. */
  directoryStore(config: TlbConfig): TagStore | null {
    const at = config.l2.findIndex((array) => array.directories);
    return at < 0 || this.#l2 === null ? null : this.#l2.arrays[at].store;
  }

  /** By level: l1d, l1i (or l1), l2d, l2i (or l2). */
  get levelCounters(): Readonly<Record<string, TlbLevelCounters>> {
    return Object.fromEntries(this.#levels.map(({ name, counters }) => [name, counters]));
  }

  /** Cycles of all lookups. */
  get cycles(): number {
    return this.#levels.reduce((sum, level) => sum + level.cycles, 0);
  }

  /** By array: l2, or l1d.4K, l1d.2M where a level has several. Each is looked at whenever its level is. */
  get counters(): Readonly<Record<string, StructureCounters>> {
    const all: Record<string, StructureCounters> = {};
    for (const level of this.#levels) {
      const { accesses } = level.counters;
      for (const array of level.arrays) all[array.store.name] = { ...array.store.counters, accesses };
    }
    return all;
  }

  /** Beside those of the arrays: H1, a hint says what its first level would be found to have. */
  assertInvariants(): void {
    for (const array of this.#arrays) array.assertInvariants();
    this.#hints.forEach((hint, i) => {
      if (hint.page < 0) return;
      for (const kind of [READ, WRITE, EXEC]) {
        if ((hint.grants & kind) !== 0) assertHint(hint, i < HINTS ? this.#l1d : this.#l1i, kind);
      }
    });
  }
}

function assertHint({ store, slot, space, page, frame, shift, attributes }: Hint, level: TlbLevel, kind: Access): void {
  const needed = kind === WRITE ? kind | ATTR_DIRTY : kind;
  const array = level.arrays.find((one) => one.find(space, page, needed) >= 0);
  for (const one of level.arrays) one.denied = false;
  kassert(array !== undefined && array.store === store && array.find(space, page, needed) === slot, 'tlb H1: entry');
  const isSame = array.frameOf(slot, page) === frame && array.shiftOf(slot) === shift && array.attributesOf(slot) === attributes;
  array.denied = false;
  kassert(isSame, 'tlb H1: what it translates');
}

/** Orders entries as a find asks for them: arrays one after the other, and smaller sizes first. */
function rankOf(array: number, shift: number): number {
  return array * MOST_SHIFT + shift;
}

function vmOf(owner: number): number {
  return owner < 0 ? -1 - owner : owner >>> VM_SHIFT;
}

/** "4K" for 12, "2M" for 21. */
export function sizeName(shift: number): string {
  const unit = Math.min(6, Math.floor(shift / 10));
  return `${2 ** (shift - 10 * unit)}${['B', 'K', 'M', 'G', 'T', 'P', 'E'][unit]}`;
}

function sizesName(sizes: readonly number[]): string {
  return sizes.map(sizeName).join('+');
}
