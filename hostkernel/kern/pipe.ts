/**
 * Pipe: bytes from those who write to those who read, in order.
 *
 * Invariants (assertInvariants):
 *   P1  at most PIPE_BYTES are in it
 *   P2  it has as many readers and writers as open files refer to its ends
 */

import { kassert } from '../base/assert.ts';

/** Bytes a pipe holds. */
export const PIPE_BYTES = 65536;

/** What is atomic: a write of so many bytes or less goes in at once or not at all. */
export const PIPE_BUF = 4096;

export class Pipe {
  /** Channels to sleep on: until there is something to read, or room to write. */
  readonly filled = {};
  readonly drained = {};
  readers = 0;
  writers = 0;
  readonly #ring = new Uint8Array(PIPE_BYTES);
  #first = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  get room(): number {
    return PIPE_BYTES - this.#length;
  }

  /** Takes bytes out. @returns how many: as many as there are */
  read(into: Uint8Array): number {
    const n = Math.min(into.length, this.#length);
    const before = Math.min(n, PIPE_BYTES - this.#first);
    into.set(this.#ring.subarray(this.#first, this.#first + before));
    into.set(this.#ring.subarray(0, n - before), before);
    this.#first = (this.#first + n) % PIPE_BYTES;
    this.#length -= n;
    return n;
  }

  /** Puts bytes in. @returns how many: as many as there is room for */
  write(from: Uint8Array): number {
    const n = Math.min(from.length, this.room);
    const end = (this.#first + this.#length) % PIPE_BYTES;
    const before = Math.min(n, PIPE_BYTES - end);
    this.#ring.set(from.subarray(0, before), end);
    this.#ring.set(from.subarray(before, n), 0);
    this.#length += n;
    return n;
  }

  assertInvariants(): void {
    kassert(this.#length >= 0 && this.#length <= PIPE_BYTES && this.#first < PIPE_BYTES, 'pipe P1');
    kassert(this.readers >= 0 && this.writers >= 0, 'pipe P2');
  }
}
