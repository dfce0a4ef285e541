/**
 * Time-outs of waiting threads: a binary heap by deadline, first come first among equals.
 *
 * Invariants:
 *   I1  heap[i].timerIndex === i; a thread that is not in the heap has -1
 *   I2  no thread is due before its parent in the heap
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import type { Thread } from './thread.ts';

export class TimerQueue {
  readonly #heap: Thread[] = [];
  #age = 0; // counts entries: the older one is first among equal deadlines

  get size(): number {
    return this.#heap.length;
  }

  /** Virtual ns of the earliest deadline; Infinity if there is none. */
  get nextDeadline(): number {
    return this.#heap.length === 0 ? Number.POSITIVE_INFINITY : (this.#heap[0] as Thread).deadline;
  }

  add(thread: Thread, deadline: number): void {
    kassert(thread.timerIndex < 0, 'timer-queue I1');
    thread.deadline = deadline;
    thread.timerIndex = this.#heap.length;
    thread.timerAge = this.#age++;
    this.#heap.push(thread);
    this.#up(thread.timerIndex);
  }

  /** Forgets a thread's time-out, if it has one. */
  remove(thread: Thread): void {
    const i = thread.timerIndex;
    if (i < 0) return;
    const last = this.#heap.pop() as Thread;
    thread.timerIndex = -1;
    if (last === thread) return;
    this.#heap[i] = last;
    last.timerIndex = i;
    this.#up(i);
    this.#down(last.timerIndex);
  }

  /** Takes the thread that is due at `now`, or null. */
  takeDue(now: number): Thread | null {
    const first = this.#heap[0];
    if (first === undefined || first.deadline > now) return null;
    this.remove(first);
    return first;
  }

  #before(a: Thread, b: Thread): boolean {
    if (a.deadline !== b.deadline) return a.deadline < b.deadline;
    return a.timerAge < b.timerAge;
  }

  #swap(i: number, j: number): void {
    const a = this.#heap[i] as Thread;
    const b = this.#heap[j] as Thread;
    this.#heap[i] = b;
    this.#heap[j] = a;
    b.timerIndex = i;
    a.timerIndex = j;
  }

  #up(start: number): void {
    for (let i = start; i > 0; ) {
      const parent = (i - 1) >>> 1;
      if (!this.#before(this.#heap[i] as Thread, this.#heap[parent] as Thread)) return;
      this.#swap(i, parent);
      i = parent;
    }
  }

  #down(start: number): void {
    for (let i = start; ; ) {
      let least = i;
      for (let child = 2 * i + 1; child <= 2 * i + 2 && child < this.#heap.length; child++) {
        if (this.#before(this.#heap[child] as Thread, this.#heap[least] as Thread)) least = child;
      }
      if (least === i) return;
      this.#swap(i, least);
      i = least;
    }
  }

  assertInvariants(): void {
    for (let i = 0; i < this.#heap.length; i++) {
      const thread = this.#heap[i] as Thread;
      kassert(thread.timerIndex === i, 'timer-queue I1');
      if (i > 0) kassert(!this.#before(thread, this.#heap[(i - 1) >>> 1] as Thread), 'timer-queue I2');
    }
  }
}
