/**
 * The ready queue: one list of threads for each of 256 priorities, and a bitmap of the lists that are not empty.
 *
 *   next    the thread to take first, if it is in no list
 *   bitmap  word 7 [255..224] ... word 0 [31..0]     `top` is the highest bit set: the list to take from then
 *
 * Most often a message makes one thread ready and its sender waits: that thread goes through `next`, and touches no
 * list. The order is that of the lists alone.
 *
 * Invariants:
 *   I1  a thread is `next` or in the list of its priority exactly when `queued`; then it is READY and not halted
 *   I2  bit p of the bitmap is set exactly when list p is not empty
 *   I3  top is the highest such p, or -1; `next` has at least that priority, and comes before all of that list
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { READY, type Thread } from './thread.ts';

export const PRIORITIES = 256;

export class ReadyQueue {
  #next: Thread | null = null;
  #top = -1;
  readonly #first: (Thread | null)[] = Array.from<Thread | null>({ length: PRIORITIES }).fill(null);
  readonly #last: (Thread | null)[] = Array.from<Thread | null>({ length: PRIORITIES }).fill(null);
  readonly #bitmap = new Int32Array(PRIORITIES / 32);

  /** Adds a ready thread behind those of its priority. Nothing if it is halted or there already. Hot. */
  add(thread: Thread): void {
    if (thread.queued || thread.halted) return;
    thread.queued = true;
    if (thread.priority <= this.highest) this.#append(thread);
    else this.#putNext(thread);
  }

  /** Adds a ready thread before those of its priority. Hot. */
  addFirst(thread: Thread): void {
    if (thread.queued || thread.halted) return;
    thread.queued = true;
    if (thread.priority < this.highest) this.#prepend(thread);
    else this.#putNext(thread);
  }

  remove(thread: Thread): void {
    if (!thread.queued) return;
    if (thread === this.#next) {
      this.#next = null;
      thread.queued = false;
    } else this.#unlink(thread);
  }

  /** Highest priority with a ready thread, or -1. Hot. */
  get highest(): number {
    return this.#next === null ? this.#top : this.#next.priority;
  }

  /** Takes the first thread of the highest priority; null if there is none. Hot. */
  take(): Thread | null {
    const thread = this.#next;
    if (thread !== null) {
      this.#next = null;
      thread.queued = false;
      return thread;
    }
    if (this.#top < 0) return null;
    const first = this.#first[this.#top] as Thread;
    this.#unlink(first);
    return first;
  }

  /** Nobody comes before `thread`: it is the next, and who was that is the first of a list. */
  #putNext(thread: Thread): void {
    if (this.#next !== null) this.#prepend(this.#next);
    this.#next = thread;
  }

  #append(thread: Thread): void {
    const p = thread.priority;
    const last = this.#last[p] as Thread | null;
    thread.prevReady = last;
    thread.nextReady = null;
    if (last === null) {
      this.#first[p] = thread;
      this.#mark(p);
    } else last.nextReady = thread;
    this.#last[p] = thread;
  }

  #prepend(thread: Thread): void {
    const p = thread.priority;
    const first = this.#first[p] as Thread | null;
    thread.nextReady = first;
    thread.prevReady = null;
    if (first === null) {
      this.#last[p] = thread;
      this.#mark(p);
    } else first.prevReady = thread;
    this.#first[p] = thread;
  }

  /** Takes a thread out of its list. */
  #unlink(thread: Thread): void {
    const p = thread.priority;
    const { nextReady, prevReady } = thread;
    if (prevReady === null) this.#first[p] = nextReady;
    else prevReady.nextReady = nextReady;
    if (nextReady === null) this.#last[p] = prevReady;
    else nextReady.prevReady = prevReady;
    if (this.#first[p] === null) {
      this.#bitmap[p >>> 5] = (this.#bitmap[p >>> 5] as number) & ~(1 << (p & 31));
      if (p === this.#top) this.#top = this.#highestList();
    }
    thread.queued = false;
    thread.nextReady = null;
    thread.prevReady = null;
  }

  /** List p is not empty any more. */
  #mark(p: number): void {
    this.#bitmap[p >>> 5] = (this.#bitmap[p >>> 5] as number) | (1 << (p & 31));
    if (p > this.#top) this.#top = p;
  }

  #highestList(): number {
    for (let word = 7; word >= 0; word--) {
      const bits = this.#bitmap[word] as number;
      if (bits !== 0) return word * 32 + 31 - Math.clz32(bits);
    }
    return -1;
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
        kassert(thread.prevReady === previous && thread !== this.#next, 'ready-queue I1');
        previous = thread;
        count++;
      }
      kassert(this.#last[p] === previous, 'ready-queue I1');
    }
    kassert(this.#top === this.#highestList(), 'ready-queue I3');
    const next = this.#next;
    if (next === null) return count;
    kassert(next.queued && next.state === READY && !next.halted, 'ready-queue I1');
    kassert(next.nextReady === null && next.prevReady === null, 'ready-queue I1');
    kassert(next.priority >= this.#top, 'ready-queue I3');
    return count + 1;
  }
}
