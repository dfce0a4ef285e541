/**
 * Offsets of a store without a natural order: anonymous memory. Handed out upwards; at the end of the range, the gaps
 * between what is still in use come round again.
 */

/** Offsets are below: bytes. Far below 2^53, so that sums are exact, and far above any address space. */
const OFFSET_END = 2 ** 51;

interface Used {
  readonly storeOffset: number; // bytes
  readonly size: number;
}

export class OffsetRange {
  #next = 0; // bytes: free from here
  #end = OFFSET_END; // to here

  clone(): OffsetRange {
    const copy = new OffsetRange();
    copy.#next = this.#next;
    copy.#end = this.#end;
    return copy;
  }

  /**
   * Takes `size` bytes of offsets.
   * @param used tells what is in use; called only when the present range is used up
   * @returns the first, or -1
   */
  take(size: number, used: () => readonly Used[]): number {
    if (this.#next + size > this.#end && !this.#findGap(size, used())) return -1;
    const offset = this.#next;
    this.#next += size;
    return offset;
  }

  /** Goes on in the lowest gap of at least `size` bytes. @returns whether there is one */
  #findGap(size: number, used: readonly Used[]): boolean {
    let start = 0;
    for (const { storeOffset, size: length } of [...used].sort((a, b) => a.storeOffset - b.storeOffset)) {
      if (storeOffset - start >= size) {
        this.#next = start;
        this.#end = storeOffset;
        return true;
      }
      start = storeOffset + length;
    }
    if (OFFSET_END - start < size) return false;
    this.#next = start;
    this.#end = OFFSET_END;
    return true;
  }
}
