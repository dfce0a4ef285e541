/**
 * What of a store is resident: store page -> page of the task's container, and whether it is dirty.
 *
 *   store page >>> 9 -> leaf: Int32Array[512]      word = (container page + 1) << 1 | dirty, 0 = not resident
 *
 * A dirty page holds bytes that cannot be produced again; a clean one is never mapped writable.
 * A leaf without resident pages does not exist: what is released costs nothing.
 */

const LEAF_SHIFT = 9;
const LEAF_PAGES = 1 << LEAF_SHIFT;
const LEAF_MASK = LEAF_PAGES - 1; // on pages below 2^53

/** Calls for a run of pages: `count` store pages from `page`, in container pages from `containerPage`. */
export type RunVisitor = (page: number, containerPage: number, count: number, dirty: boolean) => void;

interface Leaf {
  readonly words: Int32Array;
  resident: number; // words that are not 0
}

export class PageCache {
  readonly #leaves = new Map<number, Leaf>(); // by store page >>> LEAF_SHIFT
  resident = 0; // pages
  dirty = 0; // of those

  /** The same pages, in a container that is a copy. */
  clone(): PageCache {
    const copy = new PageCache();
    for (const [key, { words, resident }] of this.#leaves) copy.#leaves.set(key, { words: words.slice(), resident });
    copy.resident = this.resident;
    copy.dirty = this.dirty;
    return copy;
  }

  #word(page: number): number {
    const leaf = this.#leaves.get(Math.floor(page / LEAF_PAGES));
    return leaf === undefined ? 0 : (leaf.words[page & LEAF_MASK] as number);
  }

  #set(page: number, word: number): void {
    const key = Math.floor(page / LEAF_PAGES);
    let leaf = this.#leaves.get(key);
    if (leaf === undefined) {
      if (word === 0) return;
      leaf = { words: new Int32Array(LEAF_PAGES), resident: 0 };
      this.#leaves.set(key, leaf);
    }
    const before = leaf.words[page & LEAF_MASK] as number;
    leaf.words[page & LEAF_MASK] = word;
    const more = (word === 0 ? 0 : 1) - (before === 0 ? 0 : 1);
    leaf.resident += more;
    this.resident += more;
    this.dirty += (word & 1) - (before & 1);
    if (leaf.resident === 0) this.#leaves.delete(key);
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
    for (const key of this.#keysIn(from, to)) {
      const { words } = this.#leaves.get(key) as Leaf;
      const base = key * LEAF_PAGES;
      for (let page = Math.max(base, from); page < Math.min(base + LEAF_PAGES, to); page += 1) {
        const word = words[page - base] as number;
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

  /** Keys of the leaves that meet [from, to), ascending: by looking each up, or by looking through all, whichever is less. */
  #keysIn(from: number, to: number): number[] {
    const low = Math.floor(from / LEAF_PAGES);
    const high = Math.ceil(to / LEAF_PAGES);
    if (high - low > this.#leaves.size) {
      return [...this.#leaves.keys()].filter((key) => key >= low && key < high).sort((a, b) => a - b);
    }
    const keys: number[] = [];
    for (let key = low; key < high; key += 1) if (this.#leaves.has(key)) keys.push(key);
    return keys;
  }
}
