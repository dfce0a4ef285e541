/**
 * The page tables of one format in one physical address space: what an operating system or a hypervisor does to them.
 * No references are counted here; the walk that counts is in `translation.ts`.
 *
 *   root  ->  [context entry]  ->  table of level levels - 1  ->  ...  ->  table of level 0  ->  page
 *
 * A root is a byte address: what the root register holds. Where the register is itself an entry (the virtual page tables)
 * it is the address of the top table; where it names a context table (SPARC) it is that of the context's entry.
 *
 * Pages and frames are 4 KiB numbers in every format; sizes are `shift`s, log2 of bytes. A size is that of a level, or of
 * a contiguous run, which is written as so many leaves that carry the format's mark.
 */
import { kassert } from '../../base/assert.ts';
import { EXEC, modPowerOf2, PAGE_SIZE, READ, WRITE } from '../../base/units.ts';
import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  ATTR_GLOBAL,
  ATTR_USER,
  ENTRY_INVALID,
  ENTRY_LEAF,
  ENTRY_TABLE,
  type PageTableFormat,
} from '../paging/index.ts';
import { entryShapeOf, type TableMemory } from './table-memory.ts';

const PERMISSIONS = READ | WRITE | EXEC;

/** Instead of rights: the leaves are unmapped, and tables freed that hold no others. */
const GONE = 1 << 30;

/** Whoever must know what is written into tables: a hypervisor that shadows them, a counter. Called after the store. */
export interface EntryWrites {
  /** The entry of `level` at byte address `entryAddress` was stored. `page` is the first page that it covers. */
  entryWritten(root: number, level: number, entryAddress: number, page: number): void;
  /** A table of `level` came into being, or is about to go: its address may serve another table afterwards. */
  tableMade?(root: number, level: number, tableAddress: number, page: number): void;
  tableFreed?(root: number, level: number, tableAddress: number, page: number): void;
}

/** A size of pages that a format can map. */
export interface PageSize {
  readonly shift: number; //   log2 of its bytes
  readonly level: number; //   of its leaves
  readonly entries: number; // leaves of a contiguous run, else 1
}

/** The sizes that `format` can map, the smallest first. */
export function pageSizesOf(format: PageTableFormat): readonly PageSize[] {
  const { descriptor, levels } = format;
  const names = descriptor.levels.toReversed().map(({ name }) => name);
  const sizes: PageSize[] = [];
  for (let level = 0; level < levels; level++) {
    if (!format.hasLeaf(level)) continue;
    const shift = 12 + log2(format.span(level));
    sizes.push({ shift, level, entries: 1 });
    const run = descriptor.contiguous?.entries[names[level]];
    if (run !== undefined) sizes.push({ shift: shift + log2(run), level, entries: run });
  }
  return sizes.sort((a, b) => a.shift - b.shift);
}

/** Of a power of two. */
function log2(power: number): number {
  let bits = 0;
  for (let rest = power; rest > 1; rest /= 2) bits++;
  return bits;
}

/**
 * Invariants (assertInvariants, given all roots are this object's):
 *   T1  every table is named by exactly one entry or root
 *   T2  tables are aligned and in the table memory
 *   T3  every entry is invalid, or a pointer to one of our tables, or a leaf
 */
export class PageTables {
  readonly format: PageTableFormat;
  readonly memory: TableMemory;
  readonly sizes: readonly PageSize[];
  /** What find() has found. */
  level = 0;
  frame = 0; //      of the page asked for, also inside a large page
  shift = 0; //      of the leaf, or of its run
  attributes = 0;
  entryAddress = 0;
  /** Entries stored since the beginning. */
  written = 0;
  readonly #writes: EntryWrites | null;
  readonly #shape: number;
  readonly #emptyLo: number;
  readonly #emptyHi: number;
  readonly #runLo: number; // the mark of contiguous runs
  readonly #runHi: number;
  readonly #roots = new Map<number, number>(); // address of the top table, by root
  // The table of level 0 that was used last, by its first page: most changes are next to the one before.
  #nearRoot = -1;
  #nearFirst = -1;
  #nearTable = -1;
  readonly #nearPages: number;

  constructor(format: PageTableFormat, memory: TableMemory, writes: EntryWrites | null = null) {
    this.format = format;
    this.memory = memory;
    this.sizes = pageSizesOf(format);
    this.#writes = writes;
    this.#shape = entryShapeOf(format);
    this.#emptyLo = format.leafLo(0, 0, 0);
    this.#emptyHi = format.leafHi(0, 0, 0);
    const bit = format.descriptor.contiguous?.bit ?? -1;
    this.#runLo = bit >= 0 && bit < 32 ? 1 << bit : 0;
    this.#runHi = bit >= 32 ? 1 << (bit - 32) : 0;
    this.#nearPages = format.levels > 1 ? format.span(1) : Infinity;
    for (let level = 0; level < format.levels; level++) {
      kassert(format.kind(level, this.#emptyLo, this.#emptyHi) === ENTRY_INVALID, `page tables: no invalid entry in ${format.id}`);
    }
  }

  /** The roots there are. */
  get roots(): IterableIterator<number> {
    return this.#roots.keys();
  }

  /** Makes an empty address space. @returns its root. @throws RangeError if there is no room for its tables */
  createRoot(): number {
    const { format, memory } = this;
    const { descriptor, levels } = format;
    const table = this.#make(levels - 1);
    let root = table;
    if (descriptor.root.kind === 'pointer' && descriptor.levels[0].bits === 0) {
      root = this.#allocate(format.entryBytes, format.entryBytes);
      memory.write(root, this.#shape, format.tableLo(levels, table), format.tableHi(levels, table));
    }
    this.#roots.set(root, table);
    this.#writes?.tableMade?.(root, levels - 1, table, 0);
    return root;
  }

  /** Frees all tables of an address space. Its entries are not written. */
  destroyRoot(root: number): void {
    const table = this.topTable(root);
    this.#forget();
    this.#release(root, this.format.levels - 1, table, 0);
    if (root !== table) this.memory.free(root);
    this.#roots.delete(root);
  }

  /** Byte address of the table of the top level. */
  topTable(root: number): number {
    const table = this.#roots.get(root);
    kassert(table !== undefined, 'page tables: no such root');
    return table;
  }

  /**
   * Maps the page of 2^shift bytes at `page` to `frame`: makes the tables on the way, and replaces what was there; of a
   * larger page the rest stays mapped.
   * @param page, frame multiples of the size (the frame not where the format adds offsets)
   * @param shift one of `sizes`
   * @param attributes READ .. ATTR_GLOBAL; the permissions are not empty
   * @throws RangeError if there is no room for tables, or leaves of that size cannot name the frame; then nothing has changed but
   *   tables that were made
   */
  map(root: number, page: number, frame: number, shift: number, attributes: number): void {
    const { format } = this;
    const { level, entries } = this.#sizeOf(shift);
    const span = format.span(level);
    kassert(page % (span * entries) === 0, 'page tables: the page is not aligned to its size');
    kassert(format.offsetAdds || frame % (span * entries) === 0, 'page tables: the frame is not aligned to its size');
    kassert((attributes & PERMISSIONS) !== 0, 'page tables: a mapping without permissions');
    const last = frame + (entries - 1) * span;
    if (format.frame(level, format.leafLo(level, last, attributes), format.leafHi(level, last, attributes)) !== last)
      throw new RangeError(`frame ${last}: pages of ${format.id} of 2^${shift} bytes cannot lie there`);
    if (level > 0) this.#forget();
    const lo = entries > 1 ? this.#runLo : 0;
    const hi = entries > 1 ? this.#runHi : 0;
    for (let i = 0; i < entries; i++) {
      const at = this.#slot(root, level, page + i * span);
      this.#clearSlot(root, level, at, page + i * span);
      const leafLo = format.leafLo(level, frame + i * span, attributes) | lo;
      const leafHi = format.leafHi(level, frame + i * span, attributes) | hi;
      this.#store(root, level, at, page + i * span, leafLo, leafHi);
    }
  }

  /**
   * Unmaps pages [page, page + pages). Large pages partly inside are split. Tables whose whole reach is inside are freed.
   * @returns entries written
   */
  unmap(root: number, page: number, pages: number): number {
    return this.#change(root, page, pages, GONE);
  }

  /**
   * Gives the leaves of pages [page, page + pages) the READ, WRITE, EXEC and ATTR_USER of `attributes`; the rest of them
   * stays. Large pages partly inside are split. Without a permission they go, as those unmapped do, but tables stay.
   * @returns entries written; those that are as wanted already are not
   */
  protect(root: number, page: number, pages: number, attributes: number): number {
    return this.#change(root, page, pages, attributes & (PERMISSIONS | ATTR_USER));
  }

  /** Looks up `page` without counting anything: whether it is mapped. The fields say to what. Hot. */
  find(root: number, page: number): boolean {
    const { format, memory } = this;
    if (page >= format.span(format.levels)) return this.#findUpper(root, page);
    const shape = this.#shape;
    let level = format.levels - 1;
    let table = this.topTable(root);
    if (root === this.#nearRoot && page >= this.#nearFirst && page < this.#nearFirst + this.#nearPages) {
      level = 0;
      table = this.#nearTable;
    }
    for (; ; level--) {
      const at = table + format.index(level, page) * format.entryBytes;
      memory.read(at, shape);
      const { lo, hi } = memory;
      const kind = format.kind(level, lo, hi);
      if (kind === ENTRY_TABLE) {
        table = format.tableAddress(level, lo, hi);
        continue;
      }
      if (kind !== ENTRY_LEAF) return false;
      const span = format.span(level);
      this.level = level;
      this.frame = format.frame(level, lo, hi) + modPowerOf2(page, span);
      this.attributes = format.attributes(level, lo, hi);
      this.shift = this.#shiftOf(level, lo, hi);
      this.entryAddress = at;
      return true;
    }
  }

  /** Addresses with ones on top, in formats that extend a sign: the upper half of the same tables. */
  #findUpper(root: number, page: number): boolean {
    const reach = this.format.span(this.format.levels);
    return this.find(root, page % reach);
  }

  /** Byte address of the entry of `page` on `level`, or -1: a table above it is missing, or a large page is there. */
  entryAt(root: number, level: number, page: number): number {
    const { format, memory } = this;
    let table = this.topTable(root);
    for (let at = format.levels - 1; ; at--) {
      const address = table + format.index(at, page) * format.entryBytes;
      if (at === level) return address;
      memory.read(address, this.#shape);
      if (format.kind(at, memory.lo, memory.hi) !== ENTRY_TABLE) return -1;
      table = format.tableAddress(at, memory.lo, memory.hi);
    }
  }

  /** The same; tables on the way are made, large pages split. */
  makeEntryAt(root: number, level: number, page: number): number {
    return this.#slot(root, level, page);
  }

  /** Reads the entry at a byte address into memory.lo and memory.hi. */
  readEntry(entryAddress: number): void {
    this.memory.read(entryAddress, this.#shape);
  }

  /** Stores an entry as it is, whatever it means. What it pointed to stays the caller's business. */
  writeEntry(root: number, level: number, entryAddress: number, page: number, lo: number, hi: number): void {
    this.#forget();
    this.#store(root, level, entryAddress, page, lo, hi);
  }

  /**
   * Sets the marks of an access on the leaf of `page` as software does where the hardware does not: accessed, for a write
   * also dirty. @returns whether the page is mapped
   */
  mark(root: number, page: number, access: number): boolean {
    if (!this.find(root, page)) return false;
    const { memory, format, entryAddress, level } = this;
    memory.read(entryAddress, this.#shape);
    const { lo, hi } = memory;
    const marked = (access & WRITE) !== 0 ? format.setDirty(lo) : format.setAccessed(lo);
    if (marked !== lo) this.#store(root, level, entryAddress, page - (page % format.span(level)), marked, hi);
    return true;
  }

  /** Clears the accessed and dirty marks of the leaf of `page`. @returns ATTR_ACCESSED | ATTR_DIRTY as they were, or -1: not mapped */
  clearMarks(root: number, page: number): number {
    if (!this.find(root, page)) return -1;
    const { memory, format, entryAddress, level, attributes } = this;
    memory.read(entryAddress, this.#shape);
    const { lo, hi } = memory;
    const clean = format.clearStatus(lo);
    if (clean !== lo) this.#store(root, level, entryAddress, page - (page % format.span(level)), clean, hi);
    return attributes & (ATTR_ACCESSED | ATTR_DIRTY);
  }

  /** Calls `visit` for every leaf, in the order of pages. */
  forEachLeaf(root: number, visit: (page: number, frame: number, level: number, attributes: number, entryAddress: number) => void): void {
    this.#visitLeaves(this.format.levels - 1, this.topTable(root), 0, visit);
  }

  #visitLeaves(
    level: number,
    table: number,
    first: number,
    visit: (page: number, frame: number, level: number, attributes: number, entryAddress: number) => void,
  ): void {
    const { format, memory } = this;
    const entries = format.tableBytes(level) / format.entryBytes;
    for (let i = 0; i < entries; i++) {
      const at = table + i * format.entryBytes;
      memory.read(at, this.#shape);
      const { lo, hi } = memory;
      const kind = format.kind(level, lo, hi);
      const page = first + i * format.span(level);
      if (kind === ENTRY_TABLE) this.#visitLeaves(level - 1, format.tableAddress(level, lo, hi), page, visit);
      else if (kind === ENTRY_LEAF) visit(page, format.frame(level, lo, hi), level, format.attributes(level, lo, hi), at);
    }
  }

  // -------------------------------------------------------------------------------------------------------- inside

  #sizeOf(shift: number): PageSize {
    for (let i = 0; i < this.sizes.length; i++) if (this.sizes[i].shift === shift) return this.sizes[i];
    throw new RangeError(`${this.format.id} has no pages of 2^${shift} bytes`);
  }

  #shiftOf(level: number, lo: number, hi: number): number {
    for (let i = 0; i < this.sizes.length; i++) {
      const size = this.sizes[i];
      if (size.level === level && size.entries > 1 === (((lo & this.#runLo) | (hi & this.#runHi)) !== 0)) return size.shift;
    }
    return 12 + log2(this.format.leafPages(level, lo, hi));
  }

  #forget(): void {
    this.#nearRoot = -1;
  }

  #allocate(bytes: number, align: number): number {
    const address = this.memory.allocate(bytes, align);
    if (address < 0) throw new RangeError(`no room for more page tables of ${this.format.id}: ${this.memory.used} bytes are used`);
    return address;
  }

  /** An empty table of `level`. */
  #make(level: number): number {
    const { format, memory } = this;
    const bytes = format.tableBytes(level);
    const table = this.#allocate(bytes, Math.max(format.tableAlign(level), Math.min(bytes, PAGE_SIZE)));
    // Its address must fit into a pointer of the level above.
    const above = level + 1;
    if (above < format.levels && format.tableAddress(above, format.tableLo(above, table), format.tableHi(above, table)) !== table) {
      this.memory.free(table);
      throw new RangeError(`a table of ${format.id} cannot lie at byte ${table}: its pointers are too narrow`);
    }
    if ((this.#emptyLo | this.#emptyHi) !== 0) {
      for (let at = table; at < table + bytes; at += format.entryBytes) memory.write(at, this.#shape, this.#emptyLo, this.#emptyHi);
    }
    return table;
  }

  #store(root: number, level: number, at: number, page: number, lo: number, hi: number): void {
    this.memory.write(at, this.#shape, lo, hi);
    this.written++;
    this.#writes?.entryWritten(root, level, at, page);
  }

  /** Byte address of the entry of `page` on `level`; tables on the way are made, large pages split. */
  #slot(root: number, level: number, page: number): number {
    const { format, memory } = this;
    if (level === 0 && root === this.#nearRoot && page >= this.#nearFirst && page < this.#nearFirst + this.#nearPages) {
      return this.#nearTable + format.index(0, page) * format.entryBytes;
    }
    let table = this.topTable(root);
    for (let at = format.levels - 1; ; at--) {
      const address = table + format.index(at, page) * format.entryBytes;
      if (at === level) {
        if (level === 0) {
          this.#nearRoot = root;
          this.#nearFirst = format.levels > 1 ? page - (page % this.#nearPages) : 0;
          this.#nearTable = table;
        }
        return address;
      }
      memory.read(address, this.#shape);
      const { lo, hi } = memory;
      const kind = format.kind(at, lo, hi);
      if (kind === ENTRY_TABLE) table = format.tableAddress(at, lo, hi);
      else {
        const first = page - (page % format.span(at));
        table = kind === ENTRY_LEAF ? this.#split(root, at, address, first) : this.#hang(root, at, address, first);
      }
    }
  }

  /** Puts an empty table below the entry at `address`. */
  #hang(root: number, level: number, address: number, page: number): number {
    const { format } = this;
    const table = this.#make(level - 1);
    this.#writes?.tableMade?.(root, level - 1, table, page);
    this.#store(root, level, address, page, format.tableLo(level, table), format.tableHi(level, table));
    return table;
  }

  /** Replaces a large page by a table of pages of the next size that the format has. @returns the table */
  #split(root: number, level: number, address: number, page: number): number {
    const { format, memory } = this;
    this.#breakRun(root, level, address, page);
    memory.read(address, this.#shape);
    const { lo, hi } = memory;
    const frame = format.frame(level, lo, hi);
    const attributes = format.attributes(level, lo, hi);
    const table = this.#make(level - 1);
    this.#writes?.tableMade?.(root, level - 1, table, page);
    this.#fill(root, level - 1, table, page, frame, attributes);
    this.#store(root, level, address, page, format.tableLo(level, table), format.tableHi(level, table));
    return table;
  }

  /** Fills a table with leaves for as many frames from `frame` on. */
  #fill(root: number, level: number, table: number, page: number, frame: number, attributes: number): void {
    const { format } = this;
    const entries = format.tableBytes(level) / format.entryBytes;
    const span = format.span(level);
    for (let i = 0; i < entries; i++) {
      const at = table + i * format.entryBytes;
      const first = page + i * span;
      if (format.hasLeaf(level)) {
        const own = frame + i * span;
        this.#store(root, level, at, first, format.leafLo(level, own, attributes), format.leafHi(level, own, attributes));
      } else this.#fill(root, level - 1, this.#hang(root, level, at, first), first, frame + i * span, attributes);
    }
  }

  /** A run of which one entry changes is no run any more: the mark goes from all of it. */
  #breakRun(root: number, level: number, address: number, page: number): void {
    const { format, memory } = this;
    memory.read(address, this.#shape);
    if (((memory.lo & this.#runLo) | (memory.hi & this.#runHi)) === 0 || format.kind(level, memory.lo, memory.hi) !== ENTRY_LEAF) return;
    const size = this.sizes.find((one) => one.level === level && one.entries > 1);
    if (size === undefined) return;
    const bytes = size.entries * format.entryBytes;
    const span = format.span(level);
    const slot = format.index(level, page) % size.entries;
    const start = address - slot * format.entryBytes;
    for (let i = 0; i * format.entryBytes < bytes; i++) {
      const at = start + i * format.entryBytes;
      memory.read(at, this.#shape);
      const { lo, hi } = memory;
      if (((lo & this.#runLo) | (hi & this.#runHi)) === 0 || format.kind(level, lo, hi) !== ENTRY_LEAF) continue;
      this.#store(root, level, at, page + (i - slot) * span, lo & ~this.#runLo, hi & ~this.#runHi);
    }
  }

  /** Makes room in an entry for a leaf: a subtree below it is freed, a run it is part of broken. Stores nothing itself. */
  #clearSlot(root: number, level: number, at: number, page: number): void {
    const { format, memory } = this;
    memory.read(at, this.#shape);
    const { lo, hi } = memory;
    const kind = format.kind(level, lo, hi);
    if (kind === ENTRY_TABLE) {
      this.#forget();
      this.#release(root, level - 1, format.tableAddress(level, lo, hi), page);
    } else if (((lo & this.#runLo) | (hi & this.#runHi)) !== 0) this.#breakRun(root, level, at, page);
  }

  /** Frees a table and all below it. */
  #release(root: number, level: number, table: number, page: number): void {
    const { format, memory } = this;
    if (level > 0) {
      const entries = format.tableBytes(level) / format.entryBytes;
      for (let i = 0; i < entries; i++) {
        memory.read(table + i * format.entryBytes, this.#shape);
        const { lo, hi } = memory;
        if (format.kind(level, lo, hi) !== ENTRY_TABLE) continue;
        this.#release(root, level - 1, format.tableAddress(level, lo, hi), page + i * format.span(level));
      }
    }
    this.#writes?.tableFreed?.(root, level, table, page);
    memory.free(table);
  }

  /** Gives the leaves of pages [page, page + pages) other rights, or GONE. @returns entries written */
  #change(root: number, page: number, pages: number, rights: number): number {
    const before = this.written;
    this.#forget();
    this.#changeIn(root, this.format.levels - 1, this.topTable(root), 0, page, page + pages, rights, false);
    return this.written - before;
  }

  /**
   * The same for the leaves of [start, end) in a table whose first page is `first`, and below it.
   * @param isDying the table is freed afterwards, so that runs in it need not be kept in order
   */
  #changeIn(root: number, level: number, table: number, first: number, start: number, end: number, rights: number, isDying: boolean): void {
    const { format, memory } = this;
    const span = format.span(level);
    const entries = format.tableBytes(level) / format.entryBytes;
    const from = Math.max(0, Math.floor((start - first) / span));
    const to = Math.min(entries, Math.ceil((end - first) / span));
    for (let i = from; i < to; i++) {
      const at = table + i * format.entryBytes;
      memory.read(at, this.#shape);
      const { lo, hi } = memory;
      const kind = format.kind(level, lo, hi);
      if (kind !== ENTRY_TABLE && kind !== ENTRY_LEAF) continue;
      const page = first + i * span;
      if (kind === ENTRY_TABLE) {
        const below = format.tableAddress(level, lo, hi);
        const isFreed = rights === GONE && start <= page && page + span <= end;
        this.#changeIn(root, level - 1, below, page, start, end, rights, isFreed);
        if (!isFreed) continue;
        this.#store(root, level, at, page, this.#emptyLo, this.#emptyHi);
        this.#release(root, level - 1, below, page);
        continue;
      }
      let newLo = this.#emptyLo;
      let newHi = this.#emptyHi;
      if ((rights & PERMISSIONS) !== 0) {
        const attributes = rights | (format.attributes(level, lo, hi) & (ATTR_ACCESSED | ATTR_DIRTY | ATTR_GLOBAL));
        const frame = format.frame(level, lo, hi);
        newLo = format.leafLo(level, frame, attributes);
        newHi = format.leafHi(level, frame, attributes);
        if ((newLo | (lo & this.#runLo)) === lo && (newHi | (hi & this.#runHi)) === hi) continue;
      }
      if (start <= page && page + span <= end) {
        if (!isDying) this.#breakRun(root, level, at, page);
        this.#store(root, level, at, page, newLo, newHi);
      } else this.#changeIn(root, level - 1, this.#split(root, level, at, page), page, start, end, rights, false);
    }
  }

  assertInvariants(): void {
    const seen = new Set<number>();
    const visit = (level: number, table: number): void => {
      const { format, memory } = this;
      kassert(!seen.has(table), 'page tables T1');
      seen.add(table);
      kassert(memory.holds(table) && table % format.tableAlign(level) === 0, 'page tables T2');
      for (let i = 0; i < format.tableBytes(level) / format.entryBytes; i++) {
        memory.read(table + i * format.entryBytes, this.#shape);
        const { lo, hi } = memory;
        const kind = format.kind(level, lo, hi);
        kassert(kind === ENTRY_INVALID || kind === ENTRY_TABLE || kind === ENTRY_LEAF, 'page tables T3');
        if (kind === ENTRY_TABLE) visit(level - 1, format.tableAddress(level, lo, hi));
      }
    };
    this.#roots.forEach((table, root) => {
      if (root !== table) seen.add(root);
      visit(this.format.levels - 1, table);
    });
    const blocks = new Set([...this.memory.blocks()].map(([address]) => address));
    for (const table of seen) kassert(blocks.has(table), 'page tables T1: a table that was freed');
    this.memory.assertInvariants();
  }
}
