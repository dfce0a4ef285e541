/** Pages of the anonymous store that were put away at physmem: store page -> swap id. Such a page is not resident. */

export class SwappedPages {
  readonly #ids = new Map<number, number>();

  get size(): number {
    return this.#ids.size;
  }

  /** The swap id of a page, or 0: it was not put away. Hot. */
  find(page: number): number {
    return this.#ids.size === 0 ? 0 : (this.#ids.get(page) ?? 0);
  }

  insert(page: number, id: number): void {
    this.#ids.set(page, id);
  }

  remove(page: number): void {
    this.#ids.delete(page);
  }

  /** The pages of [from, to), in no order. */
  pagesIn(from: number, to: number): number[] {
    return [...this.#ids.keys()].filter((page) => page >= from && page < to);
  }
}
