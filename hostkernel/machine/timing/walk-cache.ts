/**
 * Page-walk caches: what lets a walk skip the upper levels, or have their entries for nothing. One per dimension. Five
 * organisations after Barr, Cox and Rixner (ISCA 2010), and one that lives in the second-level TLB:
 *
 *   page-table               one array, tagged by the physical address of the entry: every level is still visited, but an
 *                            entry that is held costs no reference (AMD)
 *   split-page-table         the same with one array per level
 *   translation              one array, tagged by the part of the address that has been used up: the entry nearest to the
 *                            leaf wins, and all above it is skipped
 *   split-translation        the same with one array per level (Intel's paging-structure caches)
 *   translation-path         one entry holds a whole path, the pointers of all levels: see walk-path.ts
 *   l2-tlb                   as translation, in the array of the second-level TLB that has `directories` (zen)
 *
 *   sv48 page   | level 3 | level 2 | level 1 | level 0 |
 *               |<- prefix of a pointer of level 1 ->|        prefix on level n = page / span(n)
 *
 * Levels are those of page-table formats: an entry of level 1 points to a leaf table. A walk goes like this:
 *
 *   level = cache.begin(space, page)      the level to read first; its table is cache.tableAddress, or the root if that is -1
 *   on each level from there on           cache.holdsEntry(level, address): the entry costs no reference
 *     it is a pointer                     cache.insert(space, page, level, address, table, hostTable, carried)
 *     it is a leaf                        cache.insertLeaf(space, page, level, address, table it lies in, carried)
 *   cache.end(space)                      the walk is over, however it ended
 *
 * The translation kinds are asked deepest level first; the levels above a hit are not asked, nor used. A guest's cache holds
 * pointers as the guest wrote them ('gpa'), or translated too ('hpa'): then a hit also skips the host's walk for the
 * first entry. The page-table kinds are given physical addresses of the machine, so a guest's entry is translated before
 * it is looked for, and `guestHolds` says nothing.
 *
 * Invariants (assertInvariants): those of the stores; a leaf is held only where leaves may be.
 */
import { kassert } from '../../base/assert.ts';
import { type Shape, type StructureCounters, TagStore } from './tag-store.ts';
import { ID_LEVEL_BITS, ID_LEVEL_MASK, PAGE_IDS, VM_SHIFT } from './tlb-array.ts';
import { WalkPath } from './walk-path.ts';

export const WALK_CACHE_KINDS = [
  'page-table',
  'split-page-table',
  'translation',
  'split-translation',
  'translation-path',
  'l2-tlb',
] as const;
export type WalkCacheKind = (typeof WALK_CACHE_KINDS)[number];

export interface WalkCacheConfig {
  readonly kind: WalkCacheKind;
  /** The array of the kinds of one array; of a split kind, that of each level without one of its own, or null. */
  readonly every: Shape | null;
  /** Split kinds: the array for entries of this level, from level 1 on. */
  readonly levels: Readonly<Record<number, Shape>>;
  readonly only: readonly number[] | null; // levels whose entries may enter, where not all may
  readonly latency: number; //          cycles of a look: one a walk, or one an entry for the page-table kinds
  readonly guestHolds: 'gpa' | 'hpa'; // what the pointers of a guest's cache are
  readonly holdsLeaves: boolean; //      whether leaves above level 0 may enter; not for translation-path
}

/** What a walk cache must know of a page-table format. */
export interface WalkedFormat {
  readonly levels: number;
  readonly entryBytes: number;
  /** Pages that one entry of `level` maps: a power of two. */
  span(level: number): number;
}

export interface WalkCacheSetup {
  readonly format: WalkedFormat;
  /** Of kind 'l2-tlb': the store that Tlb.directoryStore names. */
  readonly directories: TagStore | null;
  readonly seed: number; // of random replacement
}

/** Of a level: looks, and those that found their entry. */
export interface WalkCacheLevelCounters {
  readonly accesses: number;
  readonly hits: number;
}

/** No address. */
export const UNKNOWN = -1;

/** The highest level that can have an array: tables of up to eight levels. */
export const MOST_LEVEL = 7;
const MAX_LEVELS = MOST_LEVEL + 1;

/** Where an entry points, per slot of its store. */
interface Payload {
  readonly table: Float64Array; //     byte address of the table it points to, or of the one it lies in if it is a leaf
  readonly hostTable: Float64Array; // the same translated, or UNKNOWN
  readonly isLeaf: Uint8Array;
  readonly carried: Uint8Array;
}

export class WalkCache {
  // What the last begin() has found.
  tableAddress = UNKNOWN; //     byte address of the table to go on in, in the physical space of this dimension
  hostTableAddress = UNKNOWN; // the same translated; UNKNOWN unless guestHolds is 'hpa'
  carried = 0; //                what insert() was given with it: the rights that the pointers above granted
  readonly latency: number;
  readonly isPageTableKind: boolean;
  readonly #name: string;
  readonly #levels: number;
  readonly #entryInverse: number; // 1 / bytes of an entry
  readonly #inverse = new Float64Array(MAX_LEVELS); // by level: 1 / span
  readonly #holdsTranslated: boolean;
  readonly #holdsLeaves: boolean;
  readonly #stores: readonly (TagStore | null)[]; // by level; the same one several times in kinds of one array
  readonly #payloads: readonly Payload[]; //         alike
  readonly #arrays: readonly TagStore[]; //          each once
  readonly #path: WalkPath | null;
  readonly #isShared: boolean; // the store is the TLB's
  readonly #accesses = new Float64Array(MAX_LEVELS); // by level
  readonly #hits = new Float64Array(MAX_LEVELS);
  #leafKnown = false; // the entry that is read next is a leaf that is held

  /** @param name for reports: pwc, host.pwc */
  constructor(name: string, config: WalkCacheConfig, setup: WalkCacheSetup) {
    const { format, directories, seed } = setup;
    const { kind, every, levels } = config;
    kassert(format.levels <= MAX_LEVELS, `walk cache ${name}: ${format.levels} levels`);
    kassert((kind === 'l2-tlb') === (directories !== null), `walk cache ${name}: directory entries of the TLB`);
    this.#name = name;
    this.latency = config.latency;
    this.isPageTableKind = kind === 'page-table' || kind === 'split-page-table';
    this.#levels = format.levels;
    this.#entryInverse = 1 / format.entryBytes;
    this.#holdsTranslated = config.guestHolds === 'hpa';
    this.#holdsLeaves = config.holdsLeaves && kind !== 'translation-path';
    for (let level = 0; level < format.levels; level++) this.#inverse[level] = 1 / format.span(level);

    const isSplit = kind === 'split-page-table' || kind === 'split-translation';
    const arrayOf = (label: string, shape: Shape | null, nth: number) => (shape === null ? null : new TagStore(label, shape, seed + nth));
    const single = isSplit || kind === 'translation-path' ? null : (directories ?? arrayOf(name, every, 0));
    const ofLevel = (level: number) => (isSplit ? arrayOf(`${name}.${level}`, levels[level] ?? every, level) : single);
    this.#stores = Array.from({ length: format.levels }, (_, level) =>
      level === 0 || config.only?.includes(level) === false ? null : ofLevel(level),
    );
    this.#arrays = [...new Set(this.#stores)].filter((store) => store !== null);
    const payloads = new Map(this.#arrays.map((store) => [store, payloadOf(store.slots)]));
    this.#payloads = this.#stores.map((store) => (store === null ? undefined : payloads.get(store)) ?? payloadOf(0));
    this.#isShared = directories !== null;
    this.#path = kind === 'translation-path' && every !== null ? new WalkPath(name, every, format, seed) : null;
  }

  /**
   * Where a walk for `page` begins. Hot.
   * @returns the level to read first: levels - 1, in the root table, if nothing is known
   */
  begin(space: number, page: number): number {
    this.tableAddress = UNKNOWN;
    this.hostTableAddress = UNKNOWN;
    this.#leafKnown = false;
    if (this.isPageTableKind) return this.#levels - 1;
    if (this.#path !== null) return this.#beginPath(this.#path, space, page);
    for (let level = 1; level < this.#levels; level++) {
      const store = this.#stores[level];
      if (store === null) continue;
      this.#accesses[level]++;
      const slot = store.probe(Math.floor(page * this.#inverse[level]), (space << ID_LEVEL_BITS) | level);
      if (slot < 0) continue;
      this.#found(store, slot, level);
      const { table, hostTable, isLeaf, carried } = this.#payloads[level];
      this.tableAddress = table[slot];
      this.hostTableAddress = hostTable[slot];
      this.carried = carried[slot];
      this.#leafKnown = isLeaf[slot] === 1;
      return this.#leafKnown ? level : level - 1;
    }
    return this.#levels - 1;
  }

  #beginPath(path: WalkPath, space: number, page: number): number {
    const found = path.find(space, page);
    for (let level = 1; level < (found < 0 ? this.#levels : found + 1); level++) this.#accesses[level]++;
    if (found < 0) return this.#levels - 1;
    this.#hits[found]++;
    this.tableAddress = path.tableAddress;
    if (this.#holdsTranslated) this.hostTableAddress = path.hostTableAddress;
    this.carried = path.carried;
    return found - 1;
  }

  #found(store: TagStore, slot: number, level: number): void {
    this.#hits[level]++;
    store.touch(slot);
  }

  /**
   * Whether the entry that the walk reads next is held, so that it costs no reference. To be asked before every entry. Hot.
   * @param address of the entry in bytes; of a guest's entry the machine's, translated
   */
  holdsEntry(level: number, address: number): boolean {
    if (!this.isPageTableKind) {
      const known = this.#leafKnown;
      this.#leafKnown = false;
      return known;
    }
    const store = level < this.#levels ? this.#stores[level] : null; // above the tables is a context's entry, which is not held
    if (store === null) return false;
    this.#accesses[level]++;
    const slot = store.probe(address * this.#entryInverse, 0);
    if (slot < 0) return false;
    this.#found(store, slot, level);
    return true;
  }

  /**
   * A pointer was read. Hot.
   * @param level     of the entry; pointers of the level above the root table, and of levels without an array, are not held
   * @param address   of the entry in bytes, as for holdsEntry
   * @param table     byte address of the table it points to, in the physical space of this dimension
   * @param hostTable the same translated, or UNKNOWN
   * @param carried   what a walk that begins in that table must know of the pointers above: 0 .. 255
   */
  insert(space: number, page: number, level: number, address: number, table: number, hostTable: number, carried: number): void {
    if (this.#path !== null) this.#path.add(page, level, table, hostTable, carried);
    else this.#enter(space, page, level, address, table, this.#holdsTranslated ? hostTable : UNKNOWN, 0, carried);
  }

  /**
   * A leaf was read: held if leaves may be, and it is above level 0. Hot.
   * @param table   byte address of the table it lies in
   * @param carried as for insert: of the pointers above that table
   */
  insertLeaf(space: number, page: number, level: number, address: number, table: number, carried: number): void {
    if (this.#holdsLeaves) this.#enter(space, page, level, address, table, UNKNOWN, 1, carried);
  }

  #enter(
    space: number,
    page: number,
    level: number,
    address: number,
    table: number,
    hostTable: number,
    isLeaf: number,
    carried: number,
  ): void {
    const store = level < this.#levels ? this.#stores[level] : null;
    if (store === null) return;
    const slot = this.isPageTableKind
      ? store.insert(address * this.#entryInverse, 0)
      : store.insert(Math.floor(page * this.#inverse[level]), (space << ID_LEVEL_BITS) | level);
    const payload = this.#payloads[level];
    payload.table[slot] = table;
    payload.hostTable[slot] = hostTable;
    payload.isLeaf[slot] = isLeaf;
    payload.carried[slot] = carried;
  }

  /** The walk that began last is over, however it ended. Hot. */
  end(space: number): void {
    if (this.#path !== null) this.#path.commit(space);
  }

  /**
   * Drops what is known of the ways to [page, page + pages) in `space`. The page-table kinds cannot tell and drop everything.
   * @returns entries dropped, here and below
   */
  invalidateRange(space: number, page: number, pages: number): number {
    if (this.#path !== null) return this.#path.removeRange(space, page, pages);
    return this.#removeIf((owner, level, prefix) => {
      const inverse = this.#inverse[level];
      return owner === space && prefix < (page + pages) * inverse && prefix + 1 > page * inverse;
    });
  }

  /** Drops what belongs to `space`. The page-table kinds cannot tell and drop everything. */
  invalidateSpace(space: number): number {
    return this.#path !== null ? this.#path.removeIf((owner) => owner === space) : this.#removeIf((owner) => owner === space);
  }

  /** Drops what belongs to the spaces of a VM. The page-table kinds cannot tell and drop everything. */
  invalidateVm(vm: number): number {
    const isOfVm = (owner: number): boolean => owner >>> VM_SHIFT === vm;
    return this.#path !== null ? this.#path.removeIf(isOfVm) : this.#removeIf(isOfVm);
  }

  invalidateAll(): number {
    return this.#path !== null ? this.#path.removeIf(() => true) : this.#removeIf(() => true);
  }

  #removeIf(visit: (owner: number, level: number, prefix: number) => boolean): number {
    let dropped = 0;
    for (const store of this.#arrays) {
      if (this.isPageTableKind) {
        dropped += store.clear();
        continue;
      }
      dropped += store.removeIf((slot) => {
        const id = store.idOf(slot);
        const level = id & ID_LEVEL_MASK;
        return level < PAGE_IDS && visit(id >>> ID_LEVEL_BITS, level, store.tagOf(slot));
      });
    }
    return dropped;
  }

  /** Looks and hits by level; [0] is unused. */
  get levelCounters(): readonly WalkCacheLevelCounters[] {
    return Array.from({ length: this.#levels }, (_, level) => ({ accesses: this.#accesses[level], hits: this.#hits[level] }));
  }

  /** By array. Of kind 'l2-tlb' the looks and hits only: its fills, evictions and invalidations are in the TLB's counters. */
  get counters(): Readonly<Record<string, StructureCounters>> {
    if (this.#path !== null)
      return { [this.#name]: { ...this.#path.counters, accesses: this.#sum(this.#accesses), hits: this.#sum(this.#hits) } };
    if (this.#isShared) {
      return {
        [this.#name]: { accesses: this.#sum(this.#accesses), hits: this.#sum(this.#hits), fills: 0, evictions: 0, invalidations: 0 },
      };
    }
    const all: Record<string, StructureCounters> = {};
    for (const store of this.#arrays) {
      const levels = this.#stores.flatMap((one, level) => (one === store ? [level] : []));
      const accesses = levels.reduce((sum, level) => sum + this.#accesses[level], 0);
      const hits = levels.reduce((sum, level) => sum + this.#hits[level], 0);
      all[store.name] = { ...store.counters, accesses, hits };
    }
    return all;
  }

  #sum(counts: Float64Array): number {
    return counts.reduce((sum, count) => sum + count, 0);
  }

  assertInvariants(): void {
    for (const store of this.#arrays) store.assertInvariants();
    this.#path?.assertInvariants();
    for (const { isLeaf } of this.#payloads) kassert(this.#holdsLeaves || isLeaf.every((is) => is === 0), 'walk cache: a leaf is held');
  }
}

function payloadOf(slots: number): Payload {
  return {
    table: new Float64Array(slots),
    hostTable: new Float64Array(slots),
    isLeaf: new Uint8Array(slots),
    carried: new Uint8Array(slots),
  };
}
