/**
 * The real page tables of guest spaces as a host kernel keeps them for virtual page tables: one pmap a space, a cache
 * of what software walks found, in base pages of the host's format. Its rules are those of hostkernel/pmap/hardware-pmap.ts.
 *
 *   enter()    one base page at a time, accessed; dirty only for a write; what the old entry collected for the same frame stays
 *   remove()   entries of a range, whole large pages or their parts; tables that become empty go
 *   promotion  a full leaf table of frames in a row that all mean the same becomes one large page, and so on up. No
 *              translation changes by it, so no fault does either; the walk becomes shorter and the TLB reaches farther
 *
 * Invariants (assertInvariants):
 *   V1  `mapped` is the number of pages that leaves map; counts of a table are those of its entries in use
 *   V2  no table but the root is empty
 */
import { kassert } from '../../../hostkernel/base/assert.ts';
import { type Access, EXEC, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { ATTR_ACCESSED, ATTR_DIRTY, ATTR_USER } from '../../../hostkernel/machine/paging/index.ts';
import type { PageTables } from '../../../hostkernel/machine/timing/index.ts';

const RIGHTS = READ | WRITE | EXEC;

export class VpagetablePmap {
  readonly root: number;
  mapped = 0;
  promotions = 0;
  readonly #tables: PageTables;
  readonly #superpages: boolean;
  /** By level of a table, then by its first page: entries in use; a large page counts as the table it replaced. */
  readonly #used: readonly Map<number, number>[];
  /** By first page of a leaf table: a slot that is not like the others. */
  readonly #odd = new Map<number, number>();

  constructor(tables: PageTables, superpages: boolean) {
    this.#tables = tables;
    this.#superpages = superpages;
    this.root = tables.createRoot();
    this.#used = Array.from({ length: tables.format.levels }, () => new Map<number, number>());
  }

  /**
   * Makes `page` translate to `frame` with `rights`, in place of whatever it translated to.
   * @returns whether an entry was there, which the TLB must forget
   */
  enter(page: number, frame: number, access: Access, rights: Access): boolean {
    const tables = this.#tables;
    const isWritable = (rights & WRITE) !== 0;
    let attributes = rights | ATTR_ACCESSED | (isWritable ? READ : 0) | (isWritable && (access & WRITE) !== 0 ? ATTR_DIRTY : 0);
    const isThere = tables.find(this.root, page);
    if (isThere) {
      const was = this.#formed(tables.attributes);
      if (tables.frame === frame) {
        if (isWritable) attributes |= was & ATTR_DIRTY;
        if (tables.level > 0 && was === attributes) return false; // part of a large page, and stays so
      }
    } else {
      this.mapped++;
      this.#count(0, page);
    }
    tables.map(this.root, page, frame, 12, this.#unformed(attributes));
    const first = page - (page % tables.format.span(1));
    if (this.#superpages && this.#used[0].get(first) === tables.format.span(1)) this.#promote(page, frame);
    return isThere;
  }

  /** Drops the translations of pages [page, page + pages). @returns how many there were */
  remove(page: number, pages: number): number {
    const { format } = this.#tables;
    const end = Math.min(page + pages, format.span(format.levels));
    const before = this.mapped;
    const span = format.span(1);
    if ((end - page) / span > this.#used[0].size) {
      for (const first of this.#used[0].keys()) if (first + span > page && first < end) this.#removeIn(first, page, end);
    } else {
      for (let first = page - (page % span); first < end; first += span) this.#removeIn(first, page, end);
    }
    return before - this.mapped;
  }

  destroy(): void {
    this.#tables.destroyRoot(this.root);
  }

  /** Drops those translations of [start, end) that the leaf table of `first` holds. */
  #removeIn(first: number, start: number, end: number): void {
    const tables = this.#tables;
    const span = tables.format.span(1);
    const used = this.#used[0].get(first);
    if (used === undefined) return;
    const from = Math.max(start, first);
    const to = Math.min(end, first + span);
    let removed = 0;
    if (from === first && to === first + span) removed = used;
    else for (let page = from; page < to; page++) if (tables.find(this.root, page)) removed++;
    if (removed === 0) return;
    this.mapped -= removed;
    this.#odd.delete(first);
    if (removed < used) {
      this.#used[0].set(first, used - removed);
      tables.unmap(this.root, from, to - from);
      return;
    }
    // The table is empty, and perhaps those above it.
    let level = 0;
    let at = first;
    this.#used[0].delete(at);
    while (level + 1 < tables.format.levels) {
      const reach = tables.format.span(level + 2);
      const above = at - (at % reach);
      const left = (this.#used[level + 1].get(above) ?? 0) - 1;
      if (left > 0 || level + 2 === tables.format.levels) {
        this.#used[level + 1].set(above, left);
        break;
      }
      this.#used[level + 1].delete(above);
      at = above;
      level++;
    }
    tables.unmap(this.root, at, tables.format.span(level + 1));
  }

  /** Counts a new entry in the table of `level`, and the table if that is new. */
  #count(level: number, page: number): void {
    const { format } = this.#tables;
    const first = page - (page % format.span(level + 1));
    const used = this.#used[level].get(first) ?? 0;
    this.#used[level].set(first, used + 1);
    if (used === 0 && level + 1 < format.levels) this.#count(level + 1, page);
  }

  /** Makes large pages of the full leaf table of `page` and of the tables above it, as far up as they are uniform. */
  #promote(page: number, frame: number): void {
    const tables = this.#tables;
    const { format } = tables;
    for (let level = 1; level < format.levels; level++) {
      const span = format.span(level);
      const step = format.span(level - 1);
      const first = page - (page % span);
      const entries = span / step;
      if (!format.hasLeaf(level) || this.#used[level - 1].get(first) !== entries) return;
      if ((frame - (page - first)) % span !== 0) return;
      if (!tables.find(this.root, first) || tables.level < level - 1 || tables.level >= level) return;
      const { frame: start, attributes } = tables;
      if (start % span !== 0 || !isComplete(this.#formed(attributes))) return;
      const odd = level === 1 ? (this.#odd.get(first) ?? 0) : 0;
      if (odd !== 0 && !this.#isLike(first, odd, step, start, attributes, level - 1)) return;
      for (let slot = 1; slot < entries; slot++) {
        if (this.#isLike(first, slot, step, start, attributes, level - 1)) continue;
        if (level === 1) this.#odd.set(first, slot);
        return;
      }
      tables.map(this.root, first, start, 12 + Math.log2(span), attributes);
      this.promotions++;
    }
  }

  /** Whether entry `slot` of the table of `first` goes on where entry 0 begins, with the same meaning. */
  #isLike(first: number, slot: number, step: number, start: number, attributes: number, level: number): boolean {
    const tables = this.#tables;
    const isThere = tables.find(this.root, first + slot * step);
    return isThere && tables.level === level && tables.frame === start + slot * step && tables.attributes === attributes;
  }

  /** Rights and marks of a leaf, whatever the format has: without a dirty bit, what may be written is dirty. */
  #formed(attributes: number): number {
    const dirty = this.#tables.format.hasDirty ? attributes & ATTR_DIRTY : ATTR_DIRTY;
    return (attributes & (RIGHTS | ATTR_ACCESSED)) | ((attributes & WRITE) !== 0 ? dirty : 0);
  }

  /** The way back: without a dirty bit, WRITE comes with the first write. */
  #unformed(attributes: number): number {
    const isClean = !this.#tables.format.hasDirty && (attributes & ATTR_DIRTY) === 0;
    return (isClean ? attributes & ~WRITE : attributes) | ATTR_USER;
  }

  assertInvariants(): void {
    const tables = this.#tables;
    const { format } = tables;
    const used = this.#used.map(() => new Map<number, number>());
    let mapped = 0;
    const count = (level: number, page: number): void => {
      const first = page - (page % format.span(level + 1));
      const before = used[level].get(first) ?? 0;
      used[level].set(first, before + 1);
      if (before === 0 && level + 1 < format.levels) count(level + 1, page);
    };
    tables.forEachLeaf(this.root, (page, _frame, level) => {
      const pages = format.span(level);
      mapped += pages;
      for (let at = page; at < page + pages; at++) count(0, at);
    });
    kassert(mapped === this.mapped, 'vpagetable V1: pages');
    const wanted = this.#used.map((map) => [...map].filter(([, uses]) => uses > 0).sort(([a], [b]) => a - b));
    const found = used.map((map) => [...map].sort(([a], [b]) => a - b));
    kassert(JSON.stringify(wanted) === JSON.stringify(found), 'vpagetable V1: tables');
  }
}

/** Whether nothing more can happen to a leaf: it is accessed, and dirty if it may be. */
function isComplete(attributes: number): boolean {
  return (attributes & ATTR_ACCESSED) !== 0 && ((attributes & WRITE) === 0 || (attributes & ATTR_DIRTY) !== 0);
}
