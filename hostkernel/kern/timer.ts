/**
 * TimerQueue: what happens at which time. A binary heap, by time and then by order of setting, so that the same program
 * sees the same order every time.
 *
 * Invariants (assertInvariants):
 *   Q1  heap[i].index = i, and a timer outside has index -1
 *   Q2  no timer is due before its parent in the heap
 */

import { kassert } from '../base/assert.ts';

/** Something with a time. Set and cleared by TimerQueue only. */
export interface Timer {
  at: number; // clock time, ns
  index: number; // in the heap; -1: not set
  order: number;
  /** @param now clock time, not before `at` */
  readonly fire: (now: number) => void;
}

export class TimerQueue {
  readonly #heap: Timer[] = [];
  #orders = 0;

  /** The earliest time, Infinity: none. */
  get next(): number {
    return this.#heap.length === 0 ? Infinity : (this.#heap[0] as Timer).at;
  }

  /** Sets `timer` to fire at `at`, in place of when it was to. Infinity clears it. */
  set(timer: Timer, at: number): void {
    this.clear(timer);
    if (at === Infinity) return;
    timer.at = at;
    timer.order = this.#orders++;
    timer.index = this.#heap.length;
    this.#heap.push(timer);
    this.#up(timer.index);
  }

  clear(timer: Timer): void {
    const { index } = timer;
    if (index < 0) return;
    timer.index = -1;
    timer.at = Infinity;
    const last = this.#heap.pop() as Timer;
    if (last === timer) return;
    last.index = index;
    this.#heap[index] = last;
    this.#up(index);
    this.#down(last.index);
  }

  /** Fires all that are due at `now`, the earliest first. What a firing sets anew fires too if it is due. */
  fire(now: number): void {
    while (this.#heap.length > 0) {
      const first = this.#heap[0] as Timer;
      if (first.at > now) return;
      this.clear(first);
      first.fire(now);
    }
  }

  assertInvariants(): void {
    for (const [i, timer] of this.#heap.entries()) {
      kassert(timer.index === i, 'timer Q1');
      kassert(i === 0 || !before(timer, this.#heap[(i - 1) >>> 1] as Timer), 'timer Q2');
    }
  }

  #up(from: number): void {
    const heap = this.#heap;
    const timer = heap[from] as Timer;
    let i = from;
    while (i > 0) {
      const parent = heap[(i - 1) >>> 1] as Timer;
      if (!before(timer, parent)) break;
      heap[i] = parent;
      parent.index = i;
      i = (i - 1) >>> 1;
    }
    heap[i] = timer;
    timer.index = i;
  }

  #down(from: number): void {
    const heap = this.#heap;
    const timer = heap[from] as Timer;
    let i = from;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Timer, heap[child] as Timer)) child++;
      const lower = heap[child] as Timer;
      if (!before(lower, timer)) break;
      heap[i] = lower;
      lower.index = i;
      i = child;
    }
    heap[i] = timer;
    timer.index = i;
  }
}

function before(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
