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

/** Sizes are below 2^this, in bytes. */
const MOST_SHIFT = 64;

/** Memos for data, and as many for instructions. */
const MEMOS = 64;

/**
 * Where a page was found in a first level: the next access to it looks nowhere else. A memo holds until its entry makes room
 * for another or is dropped, or an entry comes that would be found before it.
 */
class Memo {
  page = -1; // -1: nothing is known
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

  dropIf(page: number): void {
    if (this.page === page) this.page = -1;
  }
}

/** Slots of a level's counts. Hits are those of its arrays. */
const MISSES = 0;
const DENIED = 1;

class TlbLevel {
  readonly name: string;
  readonly arrays: readonly TlbArray[];
  readonly missLatency: number; // cycles: the slowest array
  readonly #latencies: Float64Array; // per array
  readonly #routes = new Int8Array(64).fill(-1); // by log2 of a page's size: the array it goes to, or -1
  readonly #stored = new Uint8Array(64); //         and the size it has there
  readonly #counts = new Float64Array(2);
  // Of the last find that found something.
  nth = 0; //         which array has it
  isFirst = true; //  no entry of the page came before it and lacked a right: other kinds of access find that one
  latency = 0; //     cycles
  replaced = -1; // after fill: the memo of what was in the slot, or -1

  constructor(name: string, configs: readonly TlbArrayConfig[], baseShift: number, seed: number) {
    this.name = name;
    this.arrays = configs.map(
      (config, i) => new TlbArray(configs.length === 1 ? name : `${name}.${sizesName(config.sizes)}`, config, seed + i),
    );
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

  /** The array that has the page, or null: what it has is what it found; what the look costs is `latency`. Counts. Hot. */
  find(space: number, page: number, needed: number): TlbArray | null {
    const arrays = this.arrays;
    let denied = false;
    for (let i = 0; i < arrays.length; i++) {
      const array = arrays[i];
      if (array.find(space, page, needed)) {
        this.isFirst = !denied && !array.denied;
        array.denied = false;
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

  /** The array that has the page, or null, without counting and without a use. */
  peek(space: number, page: number, needed: number): TlbArray | null {
    const found = this.arrays.find((array) => array.peek(space, page, needed)) ?? null;
    for (const array of this.arrays) array.denied = false;
    return found;
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
    const array = this.arrays[route];
    const slot = array.fill(space, page, frame, stored, attributes);
    this.replaced = array.memoOf[slot];
    array.memoOf[slot] = -1;
    return rankOf(route, stored);
  }
}

export class Tlb {
  latency = 0; // cycles of the last lookup
  // What the last lookup found.
  frame = 0; //      of the page that was asked for
  shift = 12; //     log2 of the bytes of the entry
  attributes = 0;
  readonly #l1d: TlbLevel;
  readonly #l1i: TlbLevel;
  readonly #l2: TlbLevel | null;
  readonly #l2i: TlbLevel | null;
  readonly #memos: readonly Memo[]; // by memoOf
  #lastRank = -1; // the last place, among those that a find asks, of any entry that has a memo
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
    this.#memos = Array.from({ length: 2 * MEMOS }, () => new Memo(store));
  }

  /**
   * Looks for the translation of an access. Hot.
   * @param space 0 .. SPACES - 1: (vm << VM_SHIFT) | asid
   * @param kind  READ, WRITE, EXEC, or READ | WRITE; EXEC looks into the instruction side
   * @returns whether it was found and permits the access: then frame, shift and attributes are its
   */
  lookup(space: number, page: number, kind: Access): boolean {
    const isFetch = (kind & EXEC) !== 0;
    const nth = memoOf(page) | (isFetch ? MEMOS : 0);
    const memo = this.#memos[nth];
    if (memo.page !== page || memo.space !== space || (kind & ~memo.grants) !== 0)
      return this.#lookupFirst(nth, isFetch, space, page, kind);
    memo.store.hit(memo.slot);
    this.latency = memo.latency;
    this.frame = memo.frame;
    this.shift = memo.shift;
    this.attributes = memo.attributes;
    return true;
  }

  /** A lookup without a memo: what the first level has becomes one, number `nth`. */
  #lookupFirst(nth: number, isFetch: boolean, space: number, page: number, kind: Access): boolean {
    const needed = (kind & WRITE) !== 0 ? kind | ATTR_DIRTY : kind;
    const first = isFetch ? this.#l1i : this.#l1d;
    const array = first.find(space, page, needed);
    if (array === null) return this.#lookupSecond(first, isFetch ? this.#l2i : this.#l2, space, page, needed);
    this.latency = first.latency;
    this.#take(array);
    // An entry of the space's own would be found before a global one.
    if (first.isFirst && (this.attributes & ATTR_GLOBAL) === 0) this.#keep(nth, first, array, space, page);
    return true;
  }

  #keep(nth: number, first: TlbLevel, array: TlbArray, space: number, page: number): void {
    const { slot, frame, shift, attributes } = array;
    const before = array.memoOf[slot];
    if (before >= 0 && before !== nth) this.#memos[before].page = -1;
    array.memoOf[slot] = nth;
    const memo = this.#memos[nth];
    memo.page = page;
    memo.space = space;
    memo.grants = attributes & (nth >= MEMOS ? EXEC : (attributes & ATTR_DIRTY) !== 0 ? READ | WRITE : READ);
    memo.store = array.store;
    memo.slot = slot;
    memo.frame = frame;
    memo.shift = shift;
    memo.attributes = attributes;
    memo.latency = first.latency;
    const rank = rankOf(first.nth, shift);
    if (rank > this.#lastRank) this.#lastRank = rank;
  }

  #lookupSecond(first: TlbLevel, second: TlbLevel | null, space: number, page: number, needed: number): boolean {
    this.latency = first.missLatency;
    if (second === null) return false;
    const array = second.find(space, page, needed);
    if (array === null) {
      this.latency += second.missLatency;
      return false;
    }
    this.latency += second.latency;
    this.#take(array);
    this.#fillFirst(first, space, page, this.frame, this.shift, this.attributes);
    return true;
  }

  #take({ frame, shift, attributes }: TlbArray): void {
    this.frame = frame;
    this.shift = shift;
    this.attributes = attributes;
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
  }

  /** Fills the first level, and drops the memos of pages that have an entry now that would be found before theirs. */
  #fillFirst(first: TlbLevel, space: number, page: number, frame: number, shift: number, attributes: number): void {
    const rank = first.fill(space, page, frame, shift, attributes);
    if (rank < 0) return;
    const memos = this.#memos;
    if (first.replaced >= 0) memos[first.replaced].page = -1;
    const nth = memoOf(page);
    memos[nth].dropIf(page);
    memos[nth | MEMOS].dropIf(page);
    if ((rank & (MOST_SHIFT - 1)) > PAGE_SHIFT && rank < this.#lastRank) this.#forget();
  }

  #forget(): void {
    for (const memo of this.#memos) memo.page = -1;
    this.#lastRank = -1;
  }

  /** Drops what translates `page` in `space`, of all sizes, and global entries too. @returns entries dropped, here and below */
  invalidatePage(space: number, page: number): number {
    this.#forget();
    let dropped = 0;
    for (const array of this.#arrays) dropped += array.removePage(space, page);
    return dropped;
  }

  /** As invalidatePage, but global entries stay. */
  invalidateOwnPage(space: number, page: number): number {
    this.#forget();
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

  #removeIf(visit: (owner: number, page: number, pages: number, frame: number) => boolean): number {
    this.#forget();
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

  /** Beside those of the arrays: H1, a memo says what its first level would be found to have. */
  assertInvariants(): void {
    for (const array of this.#arrays) array.assertInvariants();
    this.#memos.forEach(({ page, space, grants, store, slot, frame, shift, attributes }, nth) => {
      const level = nth < MEMOS ? this.#l1d : this.#l1i;
      for (const kind of page < 0 ? [] : [READ, WRITE, EXEC].filter((one) => (grants & one) !== 0)) {
        const found = level.peek(space, page, kind === WRITE ? kind | ATTR_DIRTY : kind);
        kassert(found !== null && found.store === store && found.slot === slot, 'tlb H1: entry');
        kassert(found.frame === frame && found.shift === shift && found.attributes === attributes, 'tlb H1: what it translates');
      }
    });
  }
}

/** The number of a page's memo. Arrays of a program begin at multiples of large pages: they should not share one. */
function memoOf(page: number): number {
  const low = page | 0;
  return (low ^ (low >>> 9) ^ (low >>> 18)) & (MEMOS - 1);
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
