/**
 * What a host does for the memory of its one guest: maps guest-physical pages to frames of its own when they are touched
 * first, or ahead, and takes them back. Its tables lie in the memory below: of the machine, or of the next host.
 *
 *   guest-physical page --PageTables of the host--> frame
 *
 * Memory of the guest's tables and of its data is the same to it. All of it is readable, writable, executable.
 */
import { kassert } from '../../../hostkernel/base/assert.ts';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { ATTR_ACCESSED, ATTR_DIRTY, ATTR_USER, type PageTableFormat } from '../../../hostkernel/machine/paging/index.ts';
import { type PageSize, PageTables, type TableMemory } from '../../../hostkernel/machine/timing/index.ts';
import { FramePool } from './frame-pool.ts';
import { LabError } from './lab-error.ts';
import { isEmptyFor, leafPages, nextLeaf, pagesIn, PERMISSIONS, requireTables } from './leaves.ts';
import { checkPolicy, isLargeHere, type MemoryPolicy, sizesOf } from './policy.ts';

const EVERYTHING = PERMISSIONS | ATTR_USER;

export interface HostMemorySetup {
  readonly format: PageTableFormat;
  readonly memory: TableMemory;
  readonly policy: MemoryPolicy;
  readonly seed: number;
  /** As GuestKernel's: for the host below this one. */
  readonly taken?: (frame: number, pages: number) => void;
}

/**
 * Invariants (assertInvariants):
 *   H1  every leaf's frame is taken, by this leaf alone, and nothing else is
 */
export class HostMemory {
  readonly tables: PageTables;
  readonly root: number; // byte address, as PageTables has it
  readonly frames: FramePool;
  readonly #policy: MemoryPolicy;
  readonly #seed: number;
  readonly #taken: ((frame: number, pages: number) => void) | null;
  readonly #sizes: readonly PageSize[]; // the largest first
  readonly #pagesEnd: number;
  readonly #attributes: number;

  constructor({ format, memory, policy, seed, taken }: HostMemorySetup) {
    checkPolicy(policy, format);
    this.#policy = policy;
    this.#seed = seed;
    this.#taken = taken ?? null;
    this.tables = new PageTables(format, memory, {
      entryWritten: () => {},
      tableMade: (_root, level, address) => this.#tableMade(address, format.tableBytes(level)),
    });
    this.#sizes = sizesOf(this.tables.sizes, policy.pageSizes, format.id);
    this.frames = new FramePool({
      first: policy.dataBase / PAGE_SIZE,
      frames: Math.floor(policy.memoryBytes / PAGE_SIZE),
      placement: policy.placement,
      seed,
      basePages: pagesIn(this.#sizes[this.#sizes.length - 1]),
      hasLarger: this.#sizes.length > 1,
    });
    this.#pagesEnd = format.userEnd / PAGE_SIZE;
    const accessed = format.hasAccessed && !format.hardwareAccessed ? ATTR_ACCESSED : 0;
    const dirty = format.hasDirty && !format.hardwareDirty ? ATTR_DIRTY : 0; // software marks nothing later: all of it counts as written
    this.#attributes = EVERYTHING | accessed | dirty;
    this.root = this.tables.createRoot();
    this.#tableMade(this.root, format.entryBytes);
  }

  /** The frame of guest-physical page `page`, or -1: it has none. */
  frameOf(page: number): number {
    return this.tables.find(this.root, page) ? this.tables.frame : -1;
  }

  /**
   * Gives guest-physical page `page` a frame, unless it has one.
   * @returns the first page behind the one that was mapped
   * @throws LabError if memory is used up, or no table can translate such a page
   */
  fill(page: number): number {
    const { tables } = this;
    if (tables.find(this.root, page)) return page + 1;
    if (page >= this.#pagesEnd) throw new LabError(`guest-physical page ${page}: the host translates pages below ${this.#pagesEnd}`);
    for (let i = 0; i < this.#sizes.length; i++) {
      const pages = pagesIn(this.#sizes[i]);
      const first = page - (page % pages);
      const isLast = i === this.#sizes.length - 1;
      if (!isLast && !this.#fits(first, this.#sizes[i])) continue;
      requireTables(tables, tables.format.levels);
      const frame = this.#frameFor(first, pages);
      if (frame < 0) continue;
      this.#taken?.(frame, pages);
      tables.map(this.root, first, frame, this.#sizes[i].shift, this.#attributes);
      return first + pages;
    }
    throw new LabError(`guest-physical page ${page}: no frame of the host is free, of ${this.frames.frames}`);
  }

  /** The same for pages [page, page + pages). */
  fillAll(page: number, pages: number): void {
    for (let at = page; at < page + pages; ) at = this.fill(at);
  }

  /** Takes pages [page, page + pages) from the guest. @returns how many it had of them */
  unmap(page: number, pages: number): number {
    const { tables, frames } = this;
    const base = pagesIn(this.#sizes[this.#sizes.length - 1]);
    const start = page - (page % base);
    const end = Math.min(Math.ceil((page + pages) / base) * base, this.#pagesEnd);
    requireTables(tables, 2 * tables.format.levels);
    let count = 0;
    for (let at = nextLeaf(tables, this.root, start, end); at < end; ) {
      const here = leafPages(tables, at, end);
      frames.release(tables.frame, here);
      count += here;
      at = nextLeaf(tables, this.root, at + here, end);
    }
    if (count > 0) tables.unmap(this.root, start, end - start);
    return count;
  }

  assertInvariants(): void {
    let count = 0;
    const { tables, frames } = this;
    tables.forEachLeaf(this.root, (_page, frame, level) => {
      const pages = tables.format.span(level);
      count += pages;
      for (let i = 0; i < pages; i++) kassert(frames.references(frame + i) === 1, 'host memory H1');
    });
    kassert(count === frames.taken, 'host memory H1');
    frames.assertInvariants();
    tables.assertInvariants();
  }

  #frameFor(first: number, pages: number): number {
    if (this.#policy.placement !== 'linear') return this.frames.take(pages);
    return this.frames.takeAt(this.frames.first + first, pages) ? this.frames.first + first : -1;
  }

  #fits(first: number, size: PageSize): boolean {
    const pages = pagesIn(size);
    if (first + pages > this.#pagesEnd || !isLargeHere(this.#policy.largeShare, this.#seed, 0, first)) return false;
    return isEmptyFor(this.tables, this.root, first, size);
  }

  #tableMade(address: number, bytes: number): void {
    const frame = Math.floor(address / PAGE_SIZE);
    this.#taken?.(frame, Math.ceil((address + bytes) / PAGE_SIZE) - frame);
  }
}
