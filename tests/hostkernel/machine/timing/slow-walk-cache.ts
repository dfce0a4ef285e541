/**
 * The slow, obviously right walk cache: pointers are records that say of which space, level and part of the address they
 * are. Which slot an entry takes comes from the slow tag store.
 */
import { VM_SHIFT, type WalkCacheConfig, type WalkedFormat } from '../../../../hostkernel/machine/timing/index.ts';
import { SlowStore } from './slow-store.ts';

interface Pointer {
  readonly table: number;
  readonly hostTable: number;
  readonly carried: number;
}

interface Entry extends Pointer {
  readonly array: SlowStore;
  readonly tag: number;
  readonly id: number;
  readonly space: number;
  readonly level: number;
  readonly prefix: number;
  readonly isLeaf: boolean;
  readonly path: ReadonlyMap<number, Pointer>; // of the translation-path kind: by level
}

/** Where a walk begins. */
export interface Beginning {
  readonly level: number;
  readonly table: number;
  readonly hostTable: number;
  readonly carried: number; // 0 where nothing is known
}

export class SlowWalkCache {
  readonly #config: WalkCacheConfig;
  readonly #format: WalkedFormat;
  readonly #arrays = new Map<number, SlowStore>(); // by level
  #entries: Entry[] = [];
  #leafKnown = false;
  #path = new Map<number, Pointer>();
  #page = 0;
  #isNew = false;

  constructor(config: WalkCacheConfig, format: WalkedFormat) {
    this.#config = config;
    this.#format = format;
    const one =
      config.kind.startsWith('split-') || config.every === null
        ? null
        : new SlowStore(this.#isPath ? { ...config.every, ways: 'full' } : config.every);
    for (let level = 1; level < format.levels; level++) {
      const shape = config.levels[level] ?? config.every;
      if (config.only !== null && !config.only.includes(level)) continue;
      const array = one ?? (shape === null ? null : new SlowStore(shape));
      if (array !== null) this.#arrays.set(level, array);
    }
  }

  get #isPath(): boolean {
    return this.#config.kind === 'translation-path';
  }

  get #isPageTable(): boolean {
    return this.#config.kind.endsWith('page-table');
  }

  #prefix(page: number, level: number): number {
    return Math.floor(page / this.#format.span(level));
  }

  /** What happened to the arrays, fills on. */
  get counters(): object[] {
    return [...new Set(this.#arrays.values())].map(({ counters: { fills, evictions, invalidations } }) => ({
      fills,
      evictions,
      invalidations,
    }));
  }

  begin(space: number, page: number): Beginning {
    const nothing = { level: this.#format.levels - 1, table: -1, hostTable: -1, carried: 0 };
    this.#leafKnown = false;
    this.#path = new Map();
    this.#page = page;
    this.#isNew = false;
    if (this.#isPageTable) return nothing;
    for (let level = 1; level < this.#format.levels; level++) {
      const prefix = this.#prefix(page, level);
      const found = this.#isPath
        ? this.#entries
            .filter((e) => e.space === space && e.path.has(level) && this.#prefix(e.prefix * this.#format.span(e.level), level) === prefix)
            .sort((a, b) => a.array.probe(a.tag, a.id) - b.array.probe(b.tag, b.id))[0]
        : this.#entries.find((e) => e.space === space && e.level === level && e.prefix === prefix);
      if (found === undefined) continue;
      found.array.lookup(found.tag, found.id);
      if (found.isLeaf) {
        this.#leafKnown = true;
        return { level, table: found.table, hostTable: -1, carried: found.carried };
      }
      for (const [above, pointer] of found.path) if (above >= level) this.#path.set(above, pointer);
      const pointer = this.#isPath ? (found.path.get(level) as Pointer) : found;
      return {
        level: level - 1,
        table: pointer.table,
        hostTable: this.#config.guestHolds === 'hpa' ? pointer.hostTable : -1,
        carried: pointer.carried,
      };
    }
    return nothing;
  }

  holdsEntry(level: number, address: number): boolean {
    if (!this.#isPageTable) {
      const known = this.#leafKnown;
      this.#leafKnown = false;
      return known;
    }
    const array = this.#arrays.get(level);
    return array !== undefined && array.lookup(address / this.#format.entryBytes, 0) >= 0;
  }

  insert(space: number, page: number, level: number, address: number, pointer: Pointer): void {
    if (this.#isPath) {
      const lowest = this.#path.size === 0 ? this.#format.levels : Math.min(...this.#path.keys());
      if (level < 1 || level !== lowest - 1) return;
      this.#path.set(level, pointer);
      this.#page = page;
      this.#isNew = true;
    } else this.#enter(space, page, level, address, pointer, false);
  }

  insertLeaf(space: number, page: number, level: number, address: number, pointer: Pointer): void {
    if (this.#config.holdsLeaves && !this.#isPath) this.#enter(space, page, level, address, { ...pointer, hostTable: -1 }, true);
  }

  #enter(space: number, page: number, level: number, address: number, pointer: Pointer, isLeaf: boolean): void {
    const array = this.#arrays.get(level);
    if (array === undefined) return;
    const prefix = this.#prefix(page, level);
    const [tag, id] = this.#isPageTable ? [address / this.#format.entryBytes, 0] : [prefix, space * 64 + level];
    this.#store({ ...pointer, array, tag, id, space, level, prefix, isLeaf, path: new Map() });
  }

  #store(entry: Entry): void {
    const slot = entry.array.insert(entry.tag, entry.id);
    const isGone = (e: Entry): boolean =>
      e.array === entry.array && (e.array.probe(e.tag, e.id) < 0 || e.array.probe(e.tag, e.id) === slot);
    this.#entries = [...this.#entries.filter((e) => !isGone(e)), entry];
  }

  end(space: number): void {
    const array = this.#arrays.get(1);
    if (!this.#isPath || !this.#isNew || array === undefined) return;
    this.#isNew = false;
    const level = Math.min(...this.#path.keys());
    const prefix = this.#prefix(this.#page, level);
    const { table, hostTable, carried } = this.#path.get(level) as Pointer;
    this.#store({
      table,
      hostTable,
      carried,
      array,
      tag: prefix,
      id: space * 64 + level,
      space,
      level,
      prefix,
      isLeaf: false,
      path: new Map(this.#path),
    });
  }

  invalidateRange(space: number, page: number, pages: number): number {
    const touches = (e: Entry, level: number): boolean => {
      const span = this.#format.span(level);
      const first = this.#prefix(e.prefix * this.#format.span(e.level), level) * span;
      return first < page + pages && page < first + span;
    };
    return this.#drop((e) => e.space === space && touches(e, this.#isPath ? this.#format.levels - 1 : e.level));
  }

  invalidateSpace(space: number): number {
    return this.#drop((e) => e.space === space);
  }

  invalidateVm(vm: number): number {
    return this.#drop((e) => e.space >>> VM_SHIFT === vm);
  }

  invalidateAll(): number {
    return this.#drop(() => true);
  }

  #drop(doomed: (entry: Entry) => boolean): number {
    if (this.#isPageTable) {
      this.#entries = [];
      return [...new Set(this.#arrays.values())].reduce((sum, array) => sum + array.clear(), 0);
    }
    const gone = this.#entries.filter(doomed).sort((a, b) => a.array.probe(a.tag, a.id) - b.array.probe(b.tag, b.id));
    for (const { array, tag, id } of gone) array.remove(tag, id);
    this.#entries = this.#entries.filter((entry) => !gone.includes(entry));
    return gone.length;
  }
}
