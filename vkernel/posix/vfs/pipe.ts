/**
 * A pipe: bytes written at one end, read at the other, at most CAPACITY in between.
 *
 * Nothing waits here: where Linux would put the caller to sleep, the answer is EAGAIN, and the caller waits in `changed`,
 * which is woken by every change: bytes, room, and ends that are opened or closed.
 *
 * Invariants: 0 <= length <= CAPACITY; readers and writers count the open descriptions of each end.
 */
import { EAGAIN, EPIPE } from '../../../hostkernel/base/errno.ts';
import { kassert } from '../../../hostkernel/base/assert.ts';
import { WaitQueue } from '../wait-queue.ts';

export const CAPACITY = 65536; // bytes
export const PIPE_BUF = 4096; // bytes: a write of up to this many is all or nothing

export class Pipe {
  readers = 0;
  writers = 0;
  length = 0; // bytes waiting
  readonly changed = new WaitQueue();
  /** Ends ever opened: who waits for one to come sees that it did, even if it has gone again. */
  readersEver = 0;
  writersEver = 0;
  #ring: Uint8Array | null = null; // made by the first write
  #head = 0; // offset in the ring of the oldest byte

  /** Both ends are closed: what was left is lost. */
  drain(): void {
    this.#ring = null;
    this.length = 0;
  }

  /** @returns bytes read into the whole of `into` or fewer; 0: empty and no writer; -EAGAIN: empty */
  read(into: Uint8Array): number {
    if (into.length === 0) return 0;
    if (this.length === 0 || this.#ring === null) return this.writers === 0 ? 0 : -EAGAIN;
    const n = Math.min(into.length, this.length);
    const first = Math.min(n, CAPACITY - this.#head);
    into.set(this.#ring.subarray(this.#head, this.#head + first), 0);
    into.set(this.#ring.subarray(0, n - first), first);
    this.#head = (this.#head + n) % CAPACITY;
    this.length -= n;
    this.changed.wake();
    return n;
  }

  /** Puts back the last `n` bytes of the read just made. */
  unread(n: number): void {
    this.#head = (this.#head + CAPACITY - n) % CAPACITY;
    this.length += n;
    kassert(this.length <= CAPACITY, 'pipe: length');
  }

  /** Whether a write of PIPE_BUF bytes finds room: what a poll promises. */
  get hasRoom(): boolean {
    return CAPACITY - this.length >= PIPE_BUF;
  }

  /** @returns bytes taken; -EPIPE: no reader, unless nothing is to be written; -EAGAIN: full, or a short write that does not fit whole */
  write(from: Uint8Array): number {
    if (from.length === 0) return 0;
    if (this.readers === 0) return -EPIPE;
    const room = CAPACITY - this.length;
    if (room === 0 || (from.length <= PIPE_BUF && from.length > room)) return -EAGAIN;
    this.#ring ??= new Uint8Array(CAPACITY);
    const n = Math.min(from.length, room);
    const tail = (this.#head + this.length) % CAPACITY;
    const first = Math.min(n, CAPACITY - tail);
    this.#ring.set(from.subarray(0, first), tail);
    this.#ring.set(from.subarray(first, n), 0);
    this.length += n;
    kassert(this.length <= CAPACITY, 'pipe: length');
    this.changed.wake();
    return n;
  }
}
