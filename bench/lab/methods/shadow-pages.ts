/**
 * The pages of guest memory that hold page tables of which a shadow exists: which are write-protected, which are left
 * writable because their tables are out of sync, and which the guest keeps writing to.
 *
 *   hidden fault walks a table -> protected --- write, all its tables are leaf tables ---> out of sync
 *                                     ^  |                                                     |
 *                                     |  | write, else: emulated                               | the guest flushes, or
 *                                     |  v                                                     | goes to the space
 *                                     |  `threshold` of them without use -> forgotten          |
 *                                     +--------------------------------------------------------+
 *
 * Tables smaller than a page share one with others, of other spaces too: protection is by page. A table larger than a
 * page is protected whole. What the shadow holds is not known here (shadow.ts).
 *
 * Invariants (assertInvariants):
 *   P1  a page has at least one table, and every table is in the list of its space
 *   P2  a page out of sync has leaf tables only, and is in the lists of exactly the spaces of its tables
 *   P3  the table above a shadowed table is shadowed
 */
import { kassert } from '../../../hostkernel/base/assert.ts';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import type { PageTableFormat } from '../../../hostkernel/machine/paging/index.ts';

/** A guest table of which a shadow exists. */
export interface ShadowedTable {
  readonly space: number;
  readonly address: number; // byte, in guest-physical memory
  readonly level: number;
  readonly first: number; //   page of its first entry
  readonly pages: number; //   pages that it maps
  readonly home: ShadowedPage;
}

export interface ShadowedPage {
  readonly frame: number;
  readonly tables: ShadowedTable[];
  outOfSync: boolean;
  /** Writes emulated since a hidden fault last used one of the tables. */
  writes: number;
}

const NOTHING: ReadonlySet<never> = new Set<never>();

export class ShadowedPages {
  readonly #format: PageTableFormat;
  readonly #pages = new Map<number, ShadowedPage>(); //                    by frame
  readonly #tables = new Map<number, ShadowedTable>(); //                  by address
  readonly #ofSpace = new Map<number, Map<number, ShadowedTable>[]>(); //  by space, level and first page
  readonly #outOfSync = new Map<number, Set<ShadowedPage>>(); //           by space

  /** @param format of the guest */
  constructor(format: PageTableFormat) {
    this.#format = format;
  }

  /** The page of guest memory that holds the table at byte `tableAddress`, if it holds shadowed ones. */
  pageOf(tableAddress: number): ShadowedPage | undefined {
    return this.#pages.get(Math.floor(tableAddress / PAGE_SIZE));
  }

  /**
   * Notes that a hidden fault for `page` uses the table at `address`; from its first use on it is shadowed and protected.
   * Tables are used from the root down, and a directory never in a page that is out of sync.
   */
  use(space: number, address: number, level: number, page: number): void {
    const known = this.#tables.get(address);
    if (known !== undefined) {
      known.home.writes = 0;
      return;
    }
    const frame = Math.floor(address / PAGE_SIZE);
    let home = this.#pages.get(frame);
    if (home === undefined) {
      home = { frame, tables: [], outOfSync: false, writes: 0 };
      this.#pages.set(frame, home);
    }
    home.writes = 0;
    const pages = this.#format.span(level + 1);
    const table: ShadowedTable = { space, address, level, first: page - (page % pages), pages, home };
    home.tables.push(table);
    this.#tables.set(address, table);
    let levels = this.#ofSpace.get(space);
    if (levels === undefined) {
      levels = Array.from({ length: this.#format.levels }, () => new Map<number, ShadowedTable>());
      this.#ofSpace.set(space, levels);
    }
    levels[level].set(table.first, table);
    if (home.outOfSync) this.#outOfSyncOf(space).add(home);
  }

  /** Whether a page may go out of sync: a directory may not, since what hangs below it must be found. */
  hasLeavesOnly(page: ShadowedPage): boolean {
    for (const { level } of page.tables) if (level > 0) return false;
    return true;
  }

  leaveSync(page: ShadowedPage): void {
    page.outOfSync = true;
    for (const { space } of page.tables) this.#outOfSyncOf(space).add(page);
  }

  enterSync(page: ShadowedPage): void {
    page.outOfSync = false;
    for (const { space } of page.tables) this.#outOfSync.get(space)?.delete(page);
  }

  /** Pages out of sync with tables of `space`, the one that left first in front. */
  outOfSyncIn(space: number): ReadonlySet<ShadowedPage> {
    return this.#outOfSync.get(space) ?? NOTHING;
  }

  /** The shadowed table of `space` on `level` whose first entry maps `first`. */
  tableAt(space: number, level: number, first: number): ShadowedTable | undefined {
    return this.#ofSpace.get(space)?.[level].get(first);
  }

  /** Forgets the table and all below it: they may be written again. */
  forget(table: ShadowedTable): void {
    const { home, space, level } = table;
    if (level > 0) {
      const span = this.#format.span(level);
      for (let first = table.first; first < table.first + table.pages; first += span) this.forgetBelow(space, level, first);
    }
    this.#tables.delete(table.address);
    this.#ofSpace.get(space)?.[level].delete(table.first);
    home.tables.splice(home.tables.indexOf(table), 1);
    if (!home.tables.some((other) => other.space === space)) this.#outOfSync.get(space)?.delete(home);
    if (home.tables.length === 0) this.#pages.delete(home.frame);
  }

  /** Forgets what hangs below the entry of `level` that maps from `page` on. */
  forgetBelow(space: number, level: number, page: number): void {
    if (level === 0) return;
    const table = this.tableAt(space, level - 1, page);
    if (table !== undefined) this.forget(table);
  }

  /** Forgets all tables of `space`. */
  forgetSpace(space: number): void {
    const root = this.tableAt(space, this.#format.levels - 1, 0);
    if (root !== undefined) this.forget(root);
    this.#ofSpace.delete(space);
    this.#outOfSync.delete(space);
  }

  get tables(): IterableIterator<ShadowedTable> {
    return this.#tables.values();
  }

  assertInvariants(): void {
    let count = 0;
    for (const page of this.#pages.values()) {
      kassert(page.tables.length > 0, 'shadowed pages P1: empty');
      for (const table of page.tables) {
        const { space, level, first } = table;
        count++;
        kassert(table.home === page && this.#tables.get(table.address) === table, 'shadowed pages P1: table');
        kassert(this.tableAt(space, level, first) === table, 'shadowed pages P1: space');
        kassert(this.outOfSyncIn(space).has(page) === page.outOfSync, 'shadowed pages P2: list');
        const isTop = level === this.#format.levels - 1;
        kassert(isTop || this.tableAt(space, level + 1, first - (first % this.#format.span(level + 2))) !== undefined, 'shadowed pages P3');
      }
      kassert(!page.outOfSync || this.hasLeavesOnly(page), 'shadowed pages P2: directory');
    }
    kassert(count === this.#tables.size, 'shadowed pages P1: count');
  }

  #outOfSyncOf(space: number): Set<ShadowedPage> {
    let pages = this.#outOfSync.get(space);
    if (pages === undefined) {
      pages = new Set<ShadowedPage>();
      this.#outOfSync.set(space, pages);
    }
    return pages;
  }
}
