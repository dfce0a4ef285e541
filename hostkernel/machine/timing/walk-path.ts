/**
 * The translation-path cache: each entry holds one whole path through the upper levels, from the root table down to where
 * the walk that made it met its leaf. A lookup takes the entry that shares the longest beginning with the address.
 *
 *   entry     | space | level 3: prefix, table | level 2: prefix, table | level 1: prefix, table |
 *             |<------------ what a page of another leaf table shares ->|
 *
 * A walk that goes on from a shared beginning makes an entry of its own, which repeats that beginning. Fully associative.
 * Source: the translation-path cache of Barr, Cox and Rixner, ISCA 2010.
 */
import { type Shape, type StructureCounters, TagStore } from './tag-store.ts';
import { ID_LEVEL_BITS, ID_LEVEL_MASK } from './tlb-array.ts';

/** Levels of a path, and what a page number is multiplied by to be a prefix. */
interface PathFormat {
  readonly levels: number;
  span(level: number): number;
}

export class WalkPath {
  // What the last find has found.
  tableAddress = -1;
  hostTableAddress = -1;
  carried = 0;
  readonly #store: TagStore; // tag: prefix on the deepest level of the path; id: space and that level
  readonly #levels: number;
  readonly #inverse: Float64Array; //             by level: 1 / span
  readonly #prefixes: readonly Float64Array[]; // by level, per slot
  readonly #tables: readonly Float64Array[];
  readonly #hostTables: readonly Float64Array[];
  readonly #carried: readonly Float64Array[];
  // The path of the walk under way, by level.
  readonly #walkTable: Float64Array;
  readonly #walkHostTable: Float64Array;
  readonly #walkCarried: Float64Array;
  #walkPage = 0;
  #walkDeepest = 0; // the lowest level whose pointer is known
  #hasNew = false; //  a pointer was read

  constructor(name: string, shape: Shape, format: PathFormat, seed: number) {
    const perLevel = (): Float64Array[] => Array.from({ length: format.levels }, () => new Float64Array(shape.entries));
    this.#store = new TagStore(name, { ...shape, ways: 'full' }, seed);
    this.#levels = format.levels;
    this.#inverse = Float64Array.from({ length: format.levels }, (_, level) => 1 / format.span(level));
    this.#prefixes = perLevel();
    this.#tables = perLevel();
    this.#hostTables = perLevel();
    this.#carried = perLevel();
    this.#walkTable = new Float64Array(format.levels);
    this.#walkHostTable = new Float64Array(format.levels);
    this.#walkCarried = new Float64Array(format.levels);
  }

  /**
   * The deepest level whose pointer for `page` is known, or -1; a walk for it begins. Of several entries the one in the
   * lowest slot is used. Hot.
   */
  find(space: number, page: number): number {
    this.#walkPage = page;
    this.#walkDeepest = this.#levels;
    this.#hasNew = false;
    for (let level = 1; level < this.#levels; level++) {
      const slot = this.#slotWith(space, page, level);
      if (slot < 0) continue;
      this.#store.touch(slot);
      for (let shared = level; shared < this.#levels; shared++) {
        this.#walkTable[shared] = this.#tables[shared][slot];
        this.#walkHostTable[shared] = this.#hostTables[shared][slot];
        this.#walkCarried[shared] = this.#carried[shared][slot];
      }
      this.#walkDeepest = level;
      this.tableAddress = this.#walkTable[level];
      this.hostTableAddress = this.#walkHostTable[level];
      this.carried = this.#walkCarried[level];
      return level;
    }
    return -1;
  }

  #slotWith(space: number, page: number, level: number): number {
    const store = this.#store;
    const prefix = Math.floor(page * this.#inverse[level]);
    if (level === 1) return store.probe(prefix, (space << ID_LEVEL_BITS) | 1);
    const prefixes = this.#prefixes[level];
    for (let slot = 0; slot < store.slots; slot++) {
      if (prefixes[slot] === prefix && store.tagOf(slot) >= 0 && this.#reaches(slot, space, level)) return slot;
    }
    return -1;
  }

  /** Whether the path in `slot` is of `space` and has a pointer of `level`. */
  #reaches(slot: number, space: number, level: number): boolean {
    return this.#spaceOf(slot) === space && (this.#store.idOf(slot) & ID_LEVEL_MASK) <= level;
  }

  /** The walk has read a pointer. One that does not continue the path, as of a walk that began elsewhere, is not kept. Hot. */
  add(page: number, level: number, table: number, hostTable: number, carried: number): void {
    if (level < 1 || level !== this.#walkDeepest - 1) return;
    this.#walkPage = page;
    this.#walkTable[level] = table;
    this.#walkHostTable[level] = hostTable;
    this.#walkCarried[level] = carried;
    this.#walkDeepest = level;
    this.#hasNew = true;
  }

  /** The walk is over: its path gets an entry if it is longer than what was known. Hot. */
  commit(space: number): void {
    if (!this.#hasNew) return;
    this.#hasNew = false;
    const deepest = this.#walkDeepest;
    const page = this.#walkPage;
    const slot = this.#store.insert(Math.floor(page * this.#inverse[deepest]), (space << ID_LEVEL_BITS) | deepest);
    for (let level = deepest; level < this.#levels; level++) {
      this.#prefixes[level][slot] = Math.floor(page * this.#inverse[level]);
      this.#tables[level][slot] = this.#walkTable[level];
      this.#hostTables[level][slot] = this.#walkHostTable[level];
      this.#carried[level][slot] = this.#walkCarried[level];
    }
  }

  /** Drops paths that share any pointer with the ways to [page, page + pages) in `space`: the one of the root table says it. */
  removeRange(space: number, page: number, pages: number): number {
    const top = this.#levels - 1;
    const inverse = this.#inverse[top];
    return this.#store.removeIf((slot) => {
      const prefix = this.#prefixes[top][slot];
      return this.#spaceOf(slot) === space && prefix < (page + pages) * inverse && prefix + 1 > page * inverse;
    });
  }

  /** Drops the paths of spaces that `visit` says so of. */
  removeIf(visit: (space: number) => boolean): number {
    return this.#store.removeIf((slot) => visit(this.#spaceOf(slot)));
  }

  #spaceOf(slot: number): number {
    return this.#store.idOf(slot) >>> ID_LEVEL_BITS;
  }

  get counters(): StructureCounters {
    return this.#store.counters;
  }

  assertInvariants(): void {
    this.#store.assertInvariants();
  }
}
