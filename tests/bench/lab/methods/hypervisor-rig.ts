/**
 * What the methods that cache a guest's tables are tested on: a guest kernel that does anything a program or kernel may do,
 * at random; a processor whose TLB forgets only what it is told to forget; host memory behind the guest's.
 *
 *   Machine.access --> TLB (unlimited) --> the method's tables --> refused: the method's fault, then once more
 *                              |
 *                              +-- every answer is compared with what guest and host together say, unless the guest has
 *                                  changed the page and not yet invalidated it
 */
import fc from 'fast-check';
import { expect } from 'vitest';
import { newEvents } from '../../../../bench/lab/events.ts';
import type { GuestWatcher } from '../../../../bench/lab/guest/watcher.ts';
import type { Backing } from '../../../../bench/lab/methods/shadow-hypervisor.ts';
import { EXEC, READ, WRITE } from '../../../../hostkernel/base/units.ts';
import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  ATTR_USER,
  compileLayout,
  layoutByName,
  type PageTableFormat,
} from '../../../../hostkernel/machine/paging/index.ts';
import { PageTables, TableMemory } from '../../../../hostkernel/machine/timing/index.ts';

export function formatOf(name: string): PageTableFormat {
  const layout = layoutByName(name);
  if (layout === null) throw new Error(`no layout ${name}`);
  return compileLayout(layout);
}

/** Host memory: blocks of so many pages lie together, the blocks in reverse order. */
export class ReversedBacking implements Backing {
  frame = 0;
  readonly pages: number;
  /** By block of the guest: whether it is backed. */
  readonly backed = new Set<number>();
  faults = 0;
  #moved = new Map<number, number>();
  #next = 2 ** 19;

  constructor(pages: number) {
    this.pages = pages;
  }

  back(frame: number): void {
    const block = Math.floor(frame / this.pages);
    if (!this.backed.has(block)) {
      this.backed.add(block);
      this.#moved.set(block, --this.#next);
      this.faults++;
    }
    this.frame = this.peek(frame);
  }

  peek(frame: number): number {
    const block = Math.floor(frame / this.pages);
    return this.backed.has(block) ? (this.#moved.get(block) ?? 0) * this.pages + (frame % this.pages) : -1;
  }

  /** The host takes the block of `frame` away; it comes back elsewhere. */
  take(frame: number): void {
    this.backed.delete(Math.floor(frame / this.pages));
  }
}

/** What the methods have in common, as the machine drives them. */
export interface Hypervisor extends GuestWatcher {
  fault(page: number, access: number): boolean;
  hostUnmapping(frame: number, frames: number): void;
}

export interface TlbEntry {
  readonly first: number;
  readonly pages: number;
  readonly frame: number; // of `first`
  readonly rights: number;
}

/** The translation part that hypervisors drive: an unlimited TLB. */
export class ForgetfulTlb {
  space = -1;
  root = -1;
  entries = new Map<number, TlbEntry[]>(); // by space

  setSpace(space: number, roots: { readonly root: number }): void {
    this.space = space;
    this.root = roots.root;
  }

  invalidatePage(space: number, page: number): void {
    this.invalidateRange(space, page, 1);
  }

  invalidateRange(space: number, page: number, pages: number): void {
    const kept = this.of(space).filter(({ first, pages: count }) => first + count <= page || first >= page + pages);
    this.entries.set(space, kept);
  }

  invalidateSpace(space: number): void {
    this.entries.delete(space);
  }

  of(space: number): TlbEntry[] {
    let list = this.entries.get(space);
    if (list === undefined) {
      list = [];
      this.entries.set(space, list);
    }
    return list;
  }
}

/** A walk of the processor. @returns what the TLB keeps; REFUSED_BY_METHOD or REFUSED_BY_GUEST */
export type Walk = (page: number, kind: number) => TlbEntry | number;
export const REFUSED_BY_METHOD = -1;
export const REFUSED_BY_GUEST = -2;

export const SPACES = 3;
/** Pages that are used: see Rig.page. */
const PAGES = 10;

/** What a guest may do next. Numbers are cut to what there is. */
export type Step =
  | { readonly do: 'access'; readonly at: number; readonly kind: number }
  | {
      readonly do: 'map';
      readonly at: number;
      readonly frame: number;
      readonly size: number;
      readonly rights: number;
      readonly marks: number;
    }
  | { readonly do: 'unmap' | 'protect'; readonly at: number; readonly pages: number; readonly rights: number }
  | { readonly do: 'clean'; readonly at: number }
  | { readonly do: 'invalidate'; readonly at: number; readonly pages: number }
  | { readonly do: 'flush' }
  | { readonly do: 'switch'; readonly to: number }
  | { readonly do: 'end'; readonly space: number }
  | { readonly do: 'take'; readonly frame: number };

const small = (max: number): fc.Arbitrary<number> => fc.integer({ min: 0, max });

/** Steps, most of them accesses. */
export const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 16,
    arbitrary: fc.record({
      do: fc.constant('access' as const),
      at: small(PAGES - 1),
      kind: fc.constantFrom(READ, READ, WRITE, WRITE, EXEC),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('map' as const),
      at: small(PAGES - 1),
      frame: small(7),
      size: fc.constantFrom(0, 0, 0, 0, 1),
      rights: fc.constantFrom(READ, READ | WRITE, READ | WRITE, READ | WRITE | EXEC),
      marks: fc.constantFrom(0, 0, ATTR_ACCESSED, ATTR_ACCESSED | ATTR_DIRTY),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('unmap' as const, 'protect' as const),
      at: small(PAGES - 1),
      pages: fc.constantFrom(1, 1, 2, 40, 600),
      rights: fc.constantFrom(READ, READ | WRITE, READ | EXEC),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('clean' as const), at: small(PAGES - 1) }) },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('invalidate' as const), at: small(PAGES - 1), pages: fc.constantFrom(1, 1, 1, 3, 600) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('flush' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('switch' as const), to: small(SPACES - 1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('end' as const), space: small(SPACES - 1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('take' as const), frame: small(7) }) },
);

const MAX_SINGLES = 33;
const FIRST_FRAME = 2 ** 16; // of the guest's data

export interface RigSetup {
  readonly guest: string;
  readonly table: string; // format of the method's tables
  readonly blockPages: number;
}

/** A guest and its machine; the method is put in by `attach`. */
export class Rig {
  readonly format: PageTableFormat;
  readonly guest: PageTables;
  readonly backing: ReversedBacking;
  readonly tlb = new ForgetfulTlb();
  readonly events = newEvents();
  readonly hostMemory = new TableMemory({ firstFrame: 16, frames: 8192 });
  readonly tables: PageTables;
  readonly roots = new Map<number, number>();
  current = -1;
  /** How the processor walks; the method's tables, where it does nothing else. */
  walk: Walk = (page, kind) => this.#walkTables(page, kind);
  /** By space: pages that the guest has changed and not invalidated. */
  readonly stale = new Map<number, Set<number>>();
  readonly #watchers: Hypervisor[] = [];
  /** What the processor forgets when the host has taken memory: nothing, where it walks the method's tables only. */
  taken: () => void = () => undefined;

  constructor({ guest, table, blockPages }: RigSetup) {
    this.format = formatOf(guest);
    const memory = new TableMemory({ firstFrame: 1024, frames: 8192 });
    this.guest = new PageTables(this.format, memory, {
      entryWritten: (root, level, entryAddress, page) => {
        const space = this.#spaceOf(root);
        if (space < 0) return;
        for (const watcher of this.#watchers) watcher.entryWritten(space, level, entryAddress, page);
      },
    });
    this.backing = new ReversedBacking(blockPages);
    this.tables = new PageTables(formatOf(table), this.hostMemory);
  }

  attach(hypervisor: Hypervisor): void {
    this.#watchers.push(hypervisor);
  }

  /** Pages a test uses: some in each of three leaf tables, in two directories, and one in the upper half if there is one. */
  page(at: number): number {
    const span = this.format.span(1);
    const base = this.format.basePages;
    const group = at & 3;
    const inTable = (at >> 2) * base;
    if (group === 0) return inTable;
    if (group === 1) return span + inTable;
    if (group === 2) return this.format.levels > 2 ? this.format.span(2) + inTable : 3 * span + inTable;
    return this.format.descriptor.va.rule === 'sign' ? 2 ** 52 - 4 * base + inTable : 5 * span + inTable;
  }

  #spaceOf(root: number): number {
    for (const [space, known] of this.roots) if (known === root) return space;
    return -1;
  }

  #inTables(page: number): number {
    return page % this.format.span(this.format.levels);
  }

  #staleOf(space: number): Set<number> {
    let set = this.stale.get(space);
    if (set === undefined) {
      set = new Set();
      this.stale.set(space, set);
    }
    return set;
  }

  /** Notes that pages from `page` on, of those the tests use, have changed. */
  #change(page: number, pages: number): void {
    const set = this.#staleOf(this.current);
    for (let at = 0; at < PAGES; at++) {
      const used = this.page(at);
      const isIn = used + this.format.basePages > page && used < page + pages;
      if (isIn) for (let i = 0; i < this.format.basePages; i++) set.add(used + i);
    }
  }

  goTo(space: number): void {
    if (!this.roots.has(space)) {
      const root = this.guest.createRoot();
      this.roots.set(space, root);
      for (const watcher of this.#watchers) watcher.created(space, root);
    }
    this.current = space;
    for (const watcher of this.#watchers) watcher.switched(space);
  }

  /** Does one step. */
  step(step: Step): void {
    if (this.current < 0) this.goTo(0);
    const root = this.roots.get(this.current) ?? -1;
    switch (step.do) {
      case 'access':
        this.access(this.page(step.at), step.kind);
        return;
      case 'map': {
        const size = this.guest.sizes.filter(({ entries }) => entries === 1)[step.size] ?? this.guest.sizes[0];
        const pages = 2 ** (size.shift - 12);
        const used = this.page(step.at);
        const page = used - (used % pages);
        const frame = FIRST_FRAME + (size.level === 0 ? step.frame * pages : (step.frame & 3) * pages + 4 * pages);
        const wasThere = this.#isMapped(root, page, pages);
        if (wasThere) this.#change(page, pages);
        this.guest.map(root, this.#inTables(page), frame, size.shift, step.rights | step.marks | ATTR_USER);
        return;
      }
      case 'unmap': {
        const page = this.page(step.at);
        this.#change(page, step.pages);
        this.guest.unmap(root, this.#inTables(page), this.#pagesFrom(page, step.pages));
        return;
      }
      case 'protect': {
        const page = this.page(step.at);
        this.#change(page, step.pages);
        this.guest.protect(root, this.#inTables(page), this.#pagesFrom(page, step.pages), step.rights | ATTR_USER);
        return;
      }
      case 'clean': {
        const page = this.page(step.at);
        if (!this.guest.find(root, this.#inTables(page))) return;
        const pages = 2 ** (this.guest.shift - 12);
        this.#change(page - (page % pages), pages);
        this.guest.clearMarks(root, this.#inTables(page));
        return;
      }
      case 'invalidate':
        this.invalidate(this.page(step.at), step.pages * this.format.basePages);
        return;
      case 'flush':
        this.invalidate(0, Infinity);
        return;
      case 'switch':
        this.goTo(step.to);
        return;
      case 'end':
        this.end(step.space);
        return;
      case 'take': {
        const frame = FIRST_FRAME + step.frame;
        const first = frame - (frame % this.backing.pages);
        for (const watcher of this.#watchers) watcher.hostUnmapping(first, this.backing.pages);
        this.backing.take(frame);
        this.taken();
      }
    }
  }

  /** As many of `pages` as lie in the same half. */
  #pagesFrom(page: number, pages: number): number {
    return Math.min(Math.ceil(pages / this.format.basePages) * this.format.basePages, 2 ** 52 - page);
  }

  #isMapped(root: number, page: number, pages: number): boolean {
    for (let at = 0; at < PAGES; at++) {
      const used = this.page(at);
      if (used < page + pages && used + this.format.basePages > page && this.guest.find(root, this.#inTables(used))) return true;
    }
    return this.guest.find(root, this.#inTables(page));
  }

  invalidate(page: number, pages: number): void {
    const set = this.#staleOf(this.current);
    for (const stale of set) if (pages === Infinity || (stale >= page && stale < page + pages)) set.delete(stale);
    const singles = pages / this.format.basePages <= MAX_SINGLES ? pages / this.format.basePages : 0;
    for (const watcher of this.#watchers) watcher.invalidated(this.current, page, pages, singles, true);
    // The processor does it too, as nobody prevents it from doing.
    if (pages === Infinity) this.tlb.invalidateSpace(this.current);
    else this.tlb.invalidateRange(this.current, page, pages);
  }

  end(space: number): void {
    const root = this.roots.get(space);
    if (root === undefined) return;
    for (const watcher of this.#watchers) watcher.destroyed(space);
    this.roots.delete(space);
    this.guest.destroyRoot(root);
    this.stale.delete(space);
    this.tlb.entries.delete(space);
    if (this.current === space) this.current = -1;
  }

  /** What the guest's tables and the host say about a page: its host frame and rights, or null. */
  truth(
    space: number,
    page: number,
  ): { readonly frame: number; readonly guestFrame: number; readonly rights: number; readonly marks: number } | null {
    const root = this.roots.get(space) ?? -1;
    if (!this.guest.find(root, this.#inTables(page))) return null;
    const { attributes, frame } = this.guest;
    return { frame: this.backing.peek(frame), guestFrame: frame, rights: attributes & 7, marks: attributes & (ATTR_ACCESSED | ATTR_DIRTY) };
  }

  /**
   * One access of the current space, checked. The true fault of the guest ends it.
   * @returns the host's frame, or -1: the guest's tables refuse it
   */
  access(page: number, kind: number): number {
    const space = this.current;
    let frame = this.lookup(page, kind);
    for (let tries = 0; frame === REFUSED_BY_METHOD; tries++) {
      expect(tries, 'the method resolves a fault').toBeLessThan(3);
      const results = this.#watchers.map((watcher) => watcher.fault(page, kind));
      expect(new Set(results).size).toBe(1);
      if (!results[0]) break;
      frame = this.lookup(page, kind);
    }
    if (this.#staleOf(space).has(page)) return frame;
    const truth = this.truth(space, page);
    const permitted = truth !== null && (truth.rights & kind) === kind;
    expect(frame >= 0, `page ${page} kind ${kind}`).toBe(permitted);
    if (!permitted || truth === null) return frame;
    expect(frame).toBe(truth.frame);
    if (this.format.hasAccessed) expect(truth.marks & ATTR_ACCESSED).not.toBe(0);
    if (this.format.hasDirty && kind === WRITE) expect(truth.marks & ATTR_DIRTY).not.toBe(0);
    return frame;
  }

  /** The processor: its TLB, then the method's tables. */
  lookup(page: number, kind: number): number {
    const list = this.tlb.of(this.tlb.space);
    const hit = list.find(({ first, pages, rights }) => page >= first && page < first + pages && (rights & kind) === kind);
    if (hit !== undefined) return hit.frame + (page - hit.first);
    const found = this.walk(page, kind);
    if (typeof found === 'number') return found;
    this.tlb.invalidateRange(this.tlb.space, page, 1);
    this.tlb.of(this.tlb.space).push(found);
    return found.frame + (page - found.first);
  }

  #walkTables(page: number, kind: number): TlbEntry | number {
    const { tables } = this;
    const { format } = tables;
    if (!tables.find(this.tlb.root, page % format.span(format.levels))) return REFUSED_BY_METHOD;
    const { frame, shift, attributes } = tables;
    const needsDirty = format.hasDirty && !format.hardwareDirty && (kind & WRITE) !== 0;
    if ((attributes & kind) !== kind || (needsDirty && (attributes & ATTR_DIRTY) === 0)) return REFUSED_BY_METHOD;
    const pages = 2 ** (shift - 12);
    const first = page - (page % pages);
    return { first, pages, frame: frame - (page % pages), rights: attributes & 7 };
  }
}
