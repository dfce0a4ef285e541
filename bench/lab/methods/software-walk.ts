/**
 * The walk of a guest's tables that a hypervisor or host kernel makes by software, once for each entry of the tables that
 * cache them: a hidden fault of shadow paging, a fault in a virtual page table. It reads the guest's real entries, judges
 * them as the guest's processor would, and leaves A and D behind.
 *
 *   root --> entry --> entry --> leaf        tables[level], entries[level]: where it went
 *             |         |         |
 *             +---- A (D for a write), as the format's hardware marks them on that level
 *
 * Two manners, which differ only for accesses that are refused:
 *
 *   like hardware            a refused walk has written nothing, but in formats of virtual page tables
 *   like a virtual kernel    every entry is marked as it is read, before it is judged: hostkernel/vm/vpagetable.ts
 *
 * Rights are intersected over all levels. Source of the manners: reference.ts of machine/paging, and vm_fault_vpagetable().
 */
import { type Access, EXEC, READ, WRITE } from '../../../hostkernel/base/units.ts';
import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  ATTR_USER,
  ENTRY_LEAF,
  ENTRY_RESERVED,
  type PageTableFormat,
} from '../../../hostkernel/machine/paging/index.ts';
import { entryShapeOf, type TableMemory } from '../../../hostkernel/machine/timing/index.ts';

const RIGHTS = READ | WRITE | EXEC;
const MAX_LEVELS = 8;
const ALL_PAGES = 2 ** 52;

/** The walker of one guest, with what the last walk found. */
export class SoftwareWalk {
  /** After success: the guest's frame of the page, exact inside large pages. */
  frame = 0;
  /** After success: pages that the entry of the leaf maps. A run of entries counts as its entries. */
  pages = 1;
  /** After success: READ, WRITE, EXEC that all levels grant. */
  rights: Access = 0;
  /** After success: whether the leaf was marked accessed before this walk. True where the format cannot tell. */
  accessed = false;
  /** After success: whether the leaf is marked modified, by this walk or before. True where the format cannot tell. */
  dirty = false;
  /** Level of the entry looked at last. */
  level = 0;
  /** Entries read. */
  references = 0;
  /** By level: byte address of the table, and of the entry in it, that the walk read. */
  readonly tables = new Float64Array(MAX_LEVELS);
  readonly entries = new Float64Array(MAX_LEVELS);
  readonly format: PageTableFormat;
  readonly #memory: TableMemory;
  readonly #shape: number;
  readonly #early: boolean;
  readonly #top: number; // pages from here on are sign extensions, or nothing
  readonly #extended: number;
  readonly #needsAccessed: boolean; // a walk refuses an entry without A instead of setting it
  readonly #needsDirty: boolean;
  readonly #los = new Int32Array(MAX_LEVELS);
  readonly #his = new Int32Array(MAX_LEVELS);

  /** @param manner `hardware` or `vkernel`: see the head of this file */
  constructor(format: PageTableFormat, memory: TableMemory, manner: 'hardware' | 'vkernel') {
    this.format = format;
    this.#memory = memory;
    this.#shape = entryShapeOf(format);
    this.#early = manner === 'vkernel' || format.descriptor.arch === 'vpte';
    const isSigned = format.descriptor.va.rule === 'sign' && manner === 'hardware';
    this.#top = format.span(format.levels) / (isSigned ? 2 : 1);
    this.#extended = isSigned ? ALL_PAGES - this.#top : Infinity;
    this.#needsAccessed = manner === 'hardware' && format.hasAccessed && !format.hardwareAccessed;
    this.#needsDirty = manner === 'hardware' && format.hasDirty && !format.hardwareDirty;
  }

  /**
   * Walks for `page` from the top table at byte `top`. Allocates nothing.
   * @returns whether the guest's tables permit the access; then the results are set and A and D are
   */
  walk(top: number, page: number, access: Access): boolean {
    return this.#walk(top, page, access, true);
  }

  /** The same without any access: changes nothing, and is refused only where nothing is mapped. `dirty` is the leaf's. */
  look(top: number, page: number): boolean {
    return this.#walk(top, page, 0, false);
  }

  #walk(top: number, page: number, access: Access, marks: boolean): boolean {
    const { format } = this;
    const memory = this.#memory;
    const shape = this.#shape;
    const early = marks && this.#early;
    let level = format.levels - 1;
    let table = top;
    let rights = RIGHTS;
    this.references = 0;
    this.level = level;
    if (page >= this.#top && page < this.#extended) return false;
    for (; ; level--) {
      const address = table + (format.index(level, page) << format.entryShift);
      this.level = level;
      this.tables[level] = table;
      this.entries[level] = address;
      this.references++;
      if (!memory.holds(address)) return false;
      memory.read(address, shape);
      let { lo } = memory;
      const { hi } = memory;
      if (early) {
        const marked = format.marked(level, lo, hi, access);
        if (marked !== lo) memory.write(address, shape, marked, hi);
        lo = marked;
      }
      this.#los[level] = lo;
      this.#his[level] = hi;
      const kind = format.kind(level, lo, hi);
      if (kind <= ENTRY_RESERVED) return false;
      const attributes = format.attributes(level, lo, hi);
      rights &= attributes;
      if ((access & ~rights) !== 0 || (attributes & ATTR_USER) === 0) return false;
      if (kind !== ENTRY_LEAF) {
        table = format.tableAddress(level, lo, hi);
        continue;
      }
      if (marks && this.#needsAccessed && (attributes & ATTR_ACCESSED) === 0) return false;
      if (this.#needsDirty && (access & WRITE) !== 0 && (attributes & ATTR_DIRTY) === 0) return false;
      this.frame = format.frame(level, lo, hi) + (page % format.leafPages(level, lo, hi));
      this.pages = format.span(level);
      this.rights = rights;
      this.accessed = (attributes & ATTR_ACCESSED) !== 0;
      this.dirty = (access & WRITE) !== 0 || (attributes & ATTR_DIRTY) !== 0;
      break;
    }
    if (marks && !early) this.#mark(level, access);
    return true;
  }

  /** Marks the entries of the walk that ended at `leaf`. */
  #mark(leaf: number, access: Access): void {
    const { format } = this;
    for (let level = format.levels - 1; level >= leaf; level--) {
      const lo = this.#los[level];
      const marked = format.marked(level, lo, this.#his[level], access);
      if (marked !== lo) this.#memory.write(this.entries[level], this.#shape, marked, this.#his[level]);
    }
  }
}
