/**
 * The ready queue: one list of threads for each of 256 priorities, and a bitmap of the lists that are not empty.
 *
 *   bitmap  word 7 [255..224] ... word 0 [31..0]     the highest bit set names the list to take from
 *
 * Invariants:
 *   I1  a thread is in the list of its priority exactly when `queued`; then it is READY and not halted
 *   I2  bit p of the bitmap is set exactly when list p is not empty
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { READY, type Thread } from './thread.ts';

export const PRIORITIES = 256;

export class ReadyQueue {
  readonly #first: (Thread | null)[] = Array.from<Thread | null>({ length: PRIORITIES }).fill(null);
  readonly #last: (Thread | null)[] = Array.from<Thread | null>({ length: PRIORITIES }).fill(null);
  readonly #bitmap = new Int32Array(PRIORITIES / 32);

  /** Adds a ready thread at the end of its priority's list. Nothing if it is halted or there already. Hot. */
  add(thread: Thread): void {
    if (thread.queued || thread.halted) return;
    const p = thread.priority;
    const last = this.#last[p] as Thread | null;
    thread.queued = true;
    thread.prevReady = last;
    thread.nextReady = null;
    if (last === null) {
      this.#first[p] = thread;
      this.#bitmap[p >>> 5] = (this.#bitmap[p >>> 5] as number) | (1 << (p & 31));
    } else last.nextReady = thread;
    this.#last[p] = thread;
  }

  /** Adds a ready thread at the front of its priority's list. */
  addFirst(thread: Thread): void {
    if (thread.queued || thread.halted) return;
    const p = thread.priority;
    const first = this.#first[p] as Thread | null;
    thread.queued = true;
    thread.nextReady = first;
    thread.prevReady = null;
    if (first === null) {
      this.#last[p] = thread;
      this.#bitmap[p >>> 5] = (this.#bitmap[p >>> 5] as number) | (1 << (p & 31));
    } else first.prevReady = thread;
    this.#first[p] = thread;
  }

  remove(thread: Thread): void {
    if (!thread.queued) return;
    const p = thread.priority;
    const { nextReady, prevReady } = thread;
    if (prevReady === null) this.#first[p] = nextReady;
    else prevReady.nextReady = nextReady;
    if (nextReady === null) this.#last[p] = prevReady;
    else nextReady.prevReady = prevReady;
    if (this.#first[p] === null) this.#bitmap[p >>> 5] = (this.#bitmap[p >>> 5] as number) & ~(1 << (p & 31));
    thread.queued = false;
    thread.nextReady = null;
    thread.prevReady = null;
  }

  /** Highest priority with a ready thread, or -1. Hot. */
  get highest(): number {
    for (let word = 7; word >= 0; word--) {
      const bits = this.#bitmap[word] as number;
      if (bits !== 0) return word * 32 + 31 - Math.clz32(bits);
    }
    return -1;
  }

  /** Takes the first thread of the highest priority; null if there is none. Hot. */
  take(): Thread | null {
    const p = this.highest;
    if (p < 0) return null;
    const thread = this.#first[p] as Thread;
    const next = thread.nextReady;
    this.#first[p] = next;
    if (next === null) {
      this.#last[p] = null;
      this.#bitmap[p >>> 5] = (this.#bitmap[p >>> 5] as number) & ~(1 << (p & 31));
    } else next.prevReady = null;
    thread.queued = false;
    thread.nextReady = null;
    return thread;
  }

  /** @returns threads queued */
  assertInvariants(): number {
    let count = 0;
    for (let p = 0; p < PRIORITIES; p++) {
      const bit = ((this.#bitmap[p >>> 5] as number) >>> (p & 31)) & 1;
      kassert((bit === 1) === (this.#first[p] !== null), 'ready-queue I2');
      let previous: Thread | null = null;
      for (let thread = this.#first[p] as Thread | null; thread !== null; thread = thread.nextReady) {
        kassert(thread.queued && thread.priority === p && thread.state === READY && !thread.halted, 'ready-queue I1');
        kassert(thread.prevReady === previous, 'ready-queue I1');
        previous = thread;
        count++;
      }
      kassert(this.#last[p] === previous, 'ready-queue I1');
    }
    return count;
  }
}
