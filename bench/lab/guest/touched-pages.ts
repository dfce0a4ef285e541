/**
 * Which pages have been touched, by space: bits of 4 KiB pages, in chunks of 128 MiB of addresses. It is asked on every TLB
 * miss, so the chunks used last are found without a hash.
 */
const CHUNK_PAGES = 32768;
const NEAR = 1024; // slots

export class TouchedPages {
  readonly #spaces = new Map<number, Map<number, Int32Array>>(); // by number of the chunk
  readonly #nearSpace = new Int32Array(NEAR).fill(-1);
  readonly #nearChunk = new Float64Array(NEAR);
  readonly #near: Int32Array[] = Array.from({ length: NEAR }, () => NOTHING);

  /** Whether `page` has been touched. Hot. */
  has(space: number, page: number): boolean {
    const number = Math.floor(page / CHUNK_PAGES);
    const at = page & (CHUNK_PAGES - 1);
    return (this.#chunk(space, number)[at >>> 5] & (1 << (at & 31))) !== 0;
  }

  /** Pages [page, page + pages) have been touched. */
  add(space: number, page: number, pages: number): void {
    for (let i = page; i < page + pages; i++) {
      const at = i & (CHUNK_PAGES - 1);
      this.#made(space, Math.floor(i / CHUNK_PAGES))[at >>> 5] |= 1 << (at & 31);
    }
  }

  /** `space` is gone: the next of its number is another. */
  forget(space: number): void {
    this.#spaces.delete(space);
    this.#nearSpace.fill(-1);
  }

  /** The chunk of that number, or one of zeros. Hot. */
  #chunk(space: number, number: number): Int32Array {
    const slot = (number ^ Math.imul(space, 0x9e3779b1)) & (NEAR - 1);
    if (this.#nearSpace[slot] === space && this.#nearChunk[slot] === number) return this.#near[slot];
    const chunk = this.#spaces.get(space)?.get(number);
    if (chunk === undefined) return NOTHING;
    this.#nearSpace[slot] = space;
    this.#nearChunk[slot] = number;
    this.#near[slot] = chunk;
    return chunk;
  }

  #made(space: number, number: number): Int32Array {
    const there = this.#chunk(space, number);
    if (there !== NOTHING) return there;
    const chunks = this.#spaces.get(space) ?? new Map<number, Int32Array>();
    const chunk = new Int32Array(CHUNK_PAGES / 32);
    this.#spaces.set(space, chunks.set(number, chunk));
    return chunk;
  }
}

const NOTHING = new Int32Array(CHUNK_PAGES / 32);
