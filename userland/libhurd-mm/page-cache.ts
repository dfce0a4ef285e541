/**
 * What of a store is resident: store page -> page of the task's container, and whether it is dirty.
 *
 *   store page >>> 9 -> leaf: Int32Array[512]      word = (container page + 1) << 1 | dirty, 0 = not resident
 *
 * A dirty page holds bytes that cannot be produced again; a clean one is never mapped writable.
 */

const LEAF_SHIFT = 9;
const LEAF_PAGES = 1 << LEAF_SHIFT;

/** Calls for a run of pages: `count` store pages from `page`, in container pages from `containerPage`. */
export type RunVisitor = (page: number, containerPage: number, count: number, dirty: boolean) => void;

export class PageCache {
  readonly #leaves = new Map<number, Int32Array>(); // by store page >>> LEAF_SHIFT
  resident = 0; // pages

  #word(page: number): number {
    const leaf = this.#leaves.get(Math.floor(page / LEAF_PAGES));
    return leaf === undefined ? 0 : (leaf[page % LEAF_PAGES] as number);
  }

  #set(page: number, word: number): void {
    const key = Math.floor(page / LEAF_PAGES);
    let leaf = this.#leaves.get(key);
    if (leaf === undefined) {
      leaf = new Int32Array(LEAF_PAGES);
      this.#leaves.set(key, leaf);
    }
    const before = leaf[page % LEAF_PAGES] as number;
    leaf[page % LEAF_PAGES] = word;
    this.resident += (word === 0 ? 0 : 1) - (before === 0 ? 0 : 1);
  }

  /** Container page that holds store page `page`, or -1. Hot. */
  find(page: number): number {
    return (this.#word(page) >>> 1) - 1;
  }

  isDirty(page: number): boolean {
    return (this.#word(page) & 1) !== 0;
  }

  insert(page: number, containerPage: number, dirty: boolean): void {
    this.#set(page, ((containerPage + 1) << 1) | (dirty ? 1 : 0));
  }

  /** Marks a resident page dirty or clean. */
  setDirty(page: number, dirty: boolean): void {
    this.#set(page, (this.#word(page) & ~1) | (dirty ? 1 : 0));
  }

  remove(page: number): void {
    this.#set(page, 0);
  }

  /** Visits the resident pages of [from, to) as runs that are contiguous in both and equally dirty, by ascending page. */
  forEachRun(from: number, to: number, visit: RunVisitor): void {
    let start = -1;
    let first = 0; // word of the run's first page
    let count = 0;
    const keys = [...this.#leaves.keys()].filter((key) => key >= Math.floor(from / LEAF_PAGES) && key * LEAF_PAGES < to);
    for (const key of keys.sort((a, b) => a - b)) {
      const leaf = this.#leaves.get(key) as Int32Array;
      const base = key * LEAF_PAGES;
      for (let page = Math.max(base, from); page < Math.min(base + LEAF_PAGES, to); page += 1) {
        const word = leaf[page - base] as number;
        if (word === 0) continue;
        if (count > 0 && page === start + count && word === first + 2 * count) {
          count += 1;
          continue;
        }
        if (count > 0) visit(start, (first >>> 1) - 1, count, (first & 1) !== 0);
        start = page;
        first = word;
        count = 1;
      }
    }
    if (count > 0) visit(start, (first >>> 1) - 1, count, (first & 1) !== 0);
  }
}
