/**
 * Which pages of the task's container are in use: a range allocator over container page numbers.
 *
 * Free ranges are kept by start and joined with their neighbours, so a long-lived task does not run out of names.
 * Source: libhurd-mm memory.c kept a counter that only grew; a task leaked its name space there.
 *
 * Invariant: free ranges are disjoint, not adjacent, ordered by start; the last one reaches CONTAINER_PAGES.
 */
import { kassert } from '../../hostkernel/base/assert.ts';

/** A run of container pages. */
export interface PageRun {
  readonly start: number;
  readonly pages: number;
}

/** Pages of a container we use: 2^29, so that a page number and a flag fit a word. */
const CONTAINER_PAGES = 2 ** 29;

interface FreeRange {
  start: number; // container page
  pages: number;
}

export class ContainerSpace {
  readonly #free: FreeRange[] = [{ start: 0, pages: CONTAINER_PAGES }];
  used = 0; // pages

  /** The same pages in use: those of a container that is a copy. */
  clone(): ContainerSpace {
    const copy = new ContainerSpace();
    copy.#free.splice(0, 1, ...this.#free.map((range) => ({ ...range })));
    copy.used = this.used;
    return copy;
  }

  /** The pages in use, as runs in order. */
  usedRuns(): PageRun[] {
    const runs: PageRun[] = [];
    let start = 0;
    for (const range of this.#free) {
      if (range.start > start) runs.push({ start, pages: range.start - start });
      start = range.start + range.pages;
    }
    if (start < CONTAINER_PAGES) runs.push({ start, pages: CONTAINER_PAGES - start });
    return runs;
  }

  /**
   * Takes `pages` pages whose start is congruent to `near` modulo `alignment` (a power of two), lowest first.
   * @returns the first container page, or -1
   */
  take(pages: number, alignment: number, near: number): number {
    for (let i = 0; i < this.#free.length; i += 1) {
      const range = this.#free[i] as FreeRange;
      const skip = (near - range.start) & (alignment - 1); // exact below 2^53, and % is a slow call beyond 2^31
      if (range.pages < skip + pages) continue;
      this.used += pages;
      if (skip === 0 && range.pages > pages) {
        range.start += pages; // the usual case, without a new record
        range.pages -= pages;
        return range.start - pages;
      }
      const start = range.start + skip;
      const rest = range.start + range.pages - (start + pages);
      const pieces: FreeRange[] = [];
      if (skip > 0) pieces.push({ start: range.start, pages: skip });
      if (rest > 0) pieces.push({ start: start + pages, pages: rest });
      this.#free.splice(i, 1, ...pieces);
      return start;
    }
    return -1;
  }

  /** Gives back pages that were taken. */
  giveBack(start: number, pages: number): void {
    let low = 0;
    let high = this.#free.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#free[middle] as FreeRange).start < start) low = middle + 1;
      else high = middle;
    }
    const before = this.#free[low - 1];
    const after = this.#free[low];
    kassert(before === undefined || before.start + before.pages <= start, 'container-space: given back twice');
    kassert(after === undefined || start + pages <= after.start, 'container-space: given back twice');
    this.used -= pages;
    const joinsBefore = before !== undefined && before.start + before.pages === start;
    const joinsAfter = after !== undefined && start + pages === after.start;
    if (joinsBefore && joinsAfter) {
      before.pages += pages + after.pages;
      this.#free.splice(low, 1);
    } else if (joinsBefore) {
      before.pages += pages;
    } else if (joinsAfter) {
      after.start = start;
      after.pages += pages;
    } else {
      this.#free.splice(low, 0, { start, pages });
    }
  }
}
