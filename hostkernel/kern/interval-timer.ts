/**
 * Interval timers: the three of setitimer. ITIMER_REAL runs with the clock, and is a timer like a sleeper's. The other two
 * run with the process: ITIMER_VIRTUAL counts the instructions its lwps execute, in their own program or as a guest in a
 * RUN; ITIMER_PROF also what the kernel does for them.
 */

import { ITIMER_PROF, ITIMER_REAL, ITIMER_VIRTUAL } from './abi.ts';
import type { Timer, TimerQueue } from './timer.ts';

/** Time left and interval, ns; 0: not running, or once. */
export interface TimerValue {
  readonly left: number;
  readonly interval: number;
}

/** The timers of one process. */
export class IntervalTimers {
  /** ns its lwps have executed, and ns the kernel has worked for them. */
  user = 0;
  system = 0;
  readonly #queue: TimerQueue;
  readonly #now: () => number;
  readonly #real: Timer;
  readonly #expired: (which: number) => void;
  /** By ITIMER_*: when it is due on its own clock, Infinity if it is not running; and its interval. */
  readonly #due = [Infinity, Infinity, Infinity];
  readonly #interval = [0, 0, 0];
  #charged = false; // one of the two that run with the process has been set

  /** @param expired called with ITIMER_* when a timer has run out */
  constructor(queue: TimerQueue, now: () => number, expired: (which: number) => void) {
    this.#queue = queue;
    this.#now = now;
    this.#expired = expired;
    this.#real = { at: Infinity, index: -1, order: 0, fire: () => this.#fire(ITIMER_REAL) };
  }

  get(which: number): TimerValue {
    const due = this.#due[which] as number;
    return { left: due === Infinity ? 0 : Math.max(1, due - this.#time(which)), interval: this.#interval[which] as number };
  }

  set(which: number, left: number, interval: number): void {
    this.#interval[which] = interval;
    this.#due[which] = left === 0 ? Infinity : this.#time(which) + left;
    if (which === ITIMER_REAL) this.#queue.set(this.#real, this.#due[which] as number);
    else this.#charged = this.#due[ITIMER_VIRTUAL] !== Infinity || this.#due[ITIMER_PROF] !== Infinity;
  }

  /** For exit: nothing fires any more. */
  clear(): void {
    for (const which of [ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF]) this.set(which, 0, 0);
  }

  /** The least time, ns, in which one of the two that run with the process can run out; Infinity: never. Hot. */
  get left(): number {
    if (!this.#charged) return Infinity;
    const virtual = (this.#due[ITIMER_VIRTUAL] as number) - this.user;
    const profile = (this.#due[ITIMER_PROF] as number) - this.user - this.system;
    return Math.max(1, Math.min(virtual, profile));
  }

  /** Adds what a step of one of the lwps took. Hot. */
  charge(user: number, system: number): void {
    this.user += user;
    this.system += system;
    if (!this.#charged) return;
    if (this.user >= (this.#due[ITIMER_VIRTUAL] as number)) this.#fire(ITIMER_VIRTUAL);
    if (this.user + this.system >= (this.#due[ITIMER_PROF] as number)) this.#fire(ITIMER_PROF);
  }

  #time(which: number): number {
    if (which === ITIMER_REAL) return this.#now();
    return which === ITIMER_VIRTUAL ? this.user : this.user + this.system;
  }

  /** Sets the timer again, for the first of its times that has not passed, and tells of it. */
  #fire(which: number): void {
    const interval = this.#interval[which] as number;
    const due = this.#due[which] as number;
    const late = this.#time(which) - due;
    const next = due + interval * (1 + Math.floor(late / interval));
    // Beyond 2^53 ns an interval can be too short for the clock: then the timer ends, lest it fire for ever at one time.
    this.#due[which] = interval === 0 || next <= this.#time(which) ? Infinity : next;
    if (which === ITIMER_REAL) this.#queue.set(this.#real, this.#due[which] as number);
    this.#expired(which);
  }
}
