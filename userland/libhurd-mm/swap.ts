/**
 * Swap as a task has it: anonymous pages that are put away at physmem when memory runs out, and taken back when they are
 * touched.
 *
 *   resident --putAway: swap_out, deallocate--> an id in SwappedPages --takeBack: a fresh page, swap_in--> resident
 *
 * When that happens is the manager's affair (memory-manager.ts); slots and disk are physmem's.
 */
import { EIO, ENOMEM } from '../../hostkernel/base/errno.ts';
import type { L4, L4Wait } from '../../vkernel/l4/user.ts';
import type { TaskContainer } from './container.ts';
import type { PageCache } from './page-cache.ts';
import { SwappedPages } from './swapped-pages.ts';

const ALL_PAGES = Number.MAX_SAFE_INTEGER;

/** Whether a page is not to go now. */
export type Stays = (cache: PageCache, page: number) => boolean;

export class Swap {
  /** What is away. */
  readonly pages: SwappedPages;
  /** Pages put away, and taken back, so far. */
  outs = 0;
  ins = 0;
  readonly #container: TaskContainer;
  readonly #cache: PageCache; // of the store whose pages these are
  #hand = 0; // store page where the search for pages to put away begins

  constructor(container: TaskContainer, cache: PageCache, pages: SwappedPages) {
    this.#container = container;
    this.#cache = cache;
    this.pages = pages;
  }

  /** Puts up to `wanted` resident pages away, round about by store page. @returns how many: 0 without swap space */
  *putAway(l4: L4, wanted: number, stays: Stays): Generator<L4Wait, number> {
    const runs: { page: number; at: number; count: number }[] = [];
    let chosen = 0;
    const choose = (page: number, at: number, count: number): void => {
      for (let i = 0; i < count && chosen < wanted; i += 1) {
        if (stays(this.#cache, page + i)) continue;
        const last = runs.at(-1);
        if (last !== undefined && last.page + last.count === page + i && last.at + last.count === at + i) last.count += 1;
        else runs.push({ page: page + i, at: at + i, count: 1 });
        chosen += 1;
      }
    };
    this.#cache.forEachRun(this.#hand, ALL_PAGES, choose);
    if (chosen < wanted) this.#cache.forEachRun(0, this.#hand, choose);
    let done = 0;
    for (const { page, at, count } of runs) {
      const away = yield* this.#container.swapOut(l4, at, count);
      const id = l4.message.word(2);
      for (let i = 0; i < away; i += 1) {
        this.#cache.remove(page + i);
        this.pages.insert(page + i, id + i);
      }
      if (away > 0) yield* this.#container.deallocate(l4, at, away);
      done += away;
      this.#hand = page + away;
      if (away < count) break;
    }
    this.outs += done;
    return done;
  }

  /** Brings a page back into the fresh page `at` of the container. @returns 0, or EIO: it still is away, and `at` is given back */
  *takeBack(l4: L4, page: number, at: number): Generator<L4Wait, number> {
    const errno = yield* this.#container.swapIn(l4, this.pages.find(page), at, false);
    if (errno !== 0) {
      yield* this.#container.deallocate(l4, at, 1);
      return EIO;
    }
    this.pages.remove(page);
    this.#cache.insert(page, at, true);
    this.ins += 1;
    return 0;
  }

  /** Forgets the pages of [from, to). */
  *drop(l4: L4, from: number, to: number): Generator<L4Wait, void> {
    if (this.pages.size === 0) return;
    for (const page of this.pages.pagesIn(from, to)) {
      yield* this.#container.swapDrop(l4, this.pages.find(page));
      this.pages.remove(page);
    }
  }

  /**
   * Puts logical copies of all pages away: no bytes move.
   * @param at a fresh page of the container on their way, which is given back
   * @returns them for a copy of the manager, or -ENOMEM
   */
  *copy(l4: L4, at: number): Generator<L4Wait, SwappedPages | number> {
    const copy = new SwappedPages();
    for (const page of this.pages.pagesIn(0, ALL_PAGES)) {
      const errno = yield* this.#container.swapIn(l4, this.pages.find(page), at, true);
      if (errno !== 0 || (yield* this.#container.swapOut(l4, at, 1)) === 0) {
        yield* this.forget(l4, copy);
        yield* this.#container.deallocate(l4, at, 1);
        return -ENOMEM;
      }
      copy.insert(page, l4.message.word(2));
    }
    yield* this.#container.deallocate(l4, at, 1);
    return copy;
  }

  /** Undoes copy(). */
  *forget(l4: L4, copy: SwappedPages): Generator<L4Wait, void> {
    for (const page of copy.pagesIn(0, ALL_PAGES)) yield* this.#container.swapDrop(l4, copy.find(page));
  }
}
