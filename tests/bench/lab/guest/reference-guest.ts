/**
 * The memory of a guest by plain rules: a Map of pages per space, an object for each frame. Slow, and with nothing of the
 * kernel's in it but one thing it observes: how large a page the kernel made, which no rule says exactly.
 */
import { READ, WRITE } from '../../../../hostkernel/base/units.ts';

/** The contents of one base page, shared by all pages that have it. */
export interface Cell {
  owners: number;
}

export interface ReferencePage {
  flags: number;
  shared: Map<number, Cell> | null; // by page: shared memory
  cell: Cell | null;
  /** It may be there without the right to write, although the program has it: it has been copied by a fork. */
  mayBeDenied: boolean;
}

export class ReferenceGuest {
  readonly spaces = new Map<number, Map<number, ReferencePage>>();
  readonly #base: number; // pages
  readonly #copiesAtFork: boolean;

  constructor(base: number, copiesAtFork: boolean) {
    this.#base = base;
    this.#copiesAtFork = copiesAtFork;
  }

  /** Base pages of [page, page + pages). */
  *range(page: number, pages: number): Iterable<number> {
    for (let at = page - (page % this.#base); at < page + pages; at += this.#base) yield at;
  }

  region(space: number, page: number, pages: number, flags: number, isShared: boolean): boolean {
    const own = this.spaces.get(space) ?? new Map<number, ReferencePage>();
    for (const at of this.range(page, pages)) if (own.has(at)) return false;
    this.spaces.set(space, own);
    const shared = isShared ? new Map<number, Cell>() : null;
    for (const at of this.range(page, pages)) own.set(at, { flags: readable(flags), shared, cell: null, mayBeDenied: false });
    return true;
  }

  unregion(space: number, page: number, pages: number): boolean {
    const own = this.spaces.get(space);
    if (own === undefined) return false;
    for (const at of this.range(page, pages)) {
      const there = own.get(at);
      if (there?.cell) there.cell.owners--;
      own.delete(at);
    }
    return true;
  }

  repermit(space: number, page: number, pages: number, flags: number): boolean {
    const own = this.spaces.get(space);
    if (own === undefined) return false;
    for (const at of this.range(page, pages)) if (!own.has(at)) return false;
    for (const at of this.range(page, pages)) (own.get(at) as ReferencePage).flags = readable(flags);
    return true;
  }

  fork(space: number, child: number): boolean {
    const own = this.spaces.get(space);
    if (own === undefined || this.spaces.has(child)) return false;
    const copy = new Map<number, ReferencePage>();
    for (const [at, page] of own) {
      const isOwn = this.#copiesAtFork && page.shared === null && page.cell !== null;
      const cell = isOwn ? { owners: 0 } : page.cell;
      if (cell !== null) cell.owners++;
      if (page.shared === null) page.mayBeDenied = true;
      copy.set(at, { ...page, cell });
    }
    this.spaces.set(child, copy);
    return true;
  }

  end(space: number): boolean {
    const own = this.spaces.get(space);
    for (const { cell } of own?.values() ?? []) if (cell !== null) cell.owners--;
    return this.spaces.delete(space);
  }

  /** Whether the program may do that. */
  allows(space: number, page: number, access: number): boolean {
    const there = this.spaces.get(space)?.get(page - (page % this.#base));
    return there !== undefined && (there.flags & access) === access;
  }

  /** The program touches `page`; pages [first, first + pages) are what the kernel maps, or copies, at once. */
  touch(space: number, page: number, access: number, first: number, pages: number): void {
    const own = this.spaces.get(space) as Map<number, ReferencePage>;
    const there = own.get(page - (page % this.#base)) as ReferencePage;
    const isNew = there.cell === null;
    const isCopied = !isNew && (access & WRITE) !== 0 && there.shared === null;
    if (!isNew && !isCopied) return;
    for (const at of this.range(first, pages)) {
      const part = own.get(at) as ReferencePage;
      if (isNew && part.cell === null) this.#give(part, at);
      if ((access & WRITE) === 0) continue;
      if (part.shared === null && part.cell !== null && part.cell.owners > 1 && isCopied) {
        part.cell.owners--;
        part.cell = { owners: 1 };
      }
      if (isCopied) part.mayBeDenied = false;
    }
  }

  #give(page: ReferencePage, at: number): void {
    page.cell = page.shared?.get(at) ?? { owners: page.shared === null ? 0 : 1 };
    page.shared?.set(at, page.cell);
    page.cell.owners++;
  }
}

function readable(flags: number): number {
  return (flags & WRITE) === 0 ? flags & 7 : (flags & 7) | READ;
}
