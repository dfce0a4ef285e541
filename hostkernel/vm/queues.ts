/**
 * The page queues: which resident pages may be evicted, in the order in which that is considered. Who is moved from one
 * to the other, and why, is pageout.ts.
 *
 *   active:   first -> page -> page -> last      used lately; looked at from the first on
 *   inactive: first -> page -> last              not used when looked at last; the first goes next
 *
 * Invariants (assertInvariants):
 *   Q1  a list is linked well in both directions, and holds exactly the frames whose `of` names it
 */

import { kassert } from '../base/assert.ts';
import type { HostFrame } from '../base/units.ts';

/** PageQueues.of. */
export const QUEUE_NONE = 0; // free, busy, wired, or no page
export const QUEUE_ACTIVE = 1;
export const QUEUE_INACTIVE = 2;
const QUEUES = 3;
const NO_FRAME = 0 as HostFrame;

export class PageQueues {
  /** By frame: QUEUE_*. */
  readonly of: Uint8Array;
  readonly #next: Int32Array; // by frame; 0 ends the list
  readonly #previous: Int32Array; // by frame; 0 for the first
  readonly #first = new Int32Array(QUEUES); // by queue
  readonly #last = new Int32Array(QUEUES);
  readonly #length = new Int32Array(QUEUES);

  constructor(frames: number) {
    this.of = new Uint8Array(frames);
    this.#next = new Int32Array(frames);
    this.#previous = new Int32Array(frames);
  }

  /** Pages in `queue`. */
  length(queue: number): number {
    return this.#length[queue];
  }

  /** The first page of `queue`, or 0. */
  first(queue: number): HostFrame {
    return this.#first[queue] as HostFrame;
  }

  /** The page after `frame` in its queue, or 0. */
  next(frame: HostFrame): HostFrame {
    return this.#next[frame] as HostFrame;
  }

  /** Puts `frame`, which is in no queue, at the end of one. Hot. */
  append(queue: number, frame: HostFrame): void {
    const last = this.#last[queue];
    this.of[frame] = queue;
    this.#previous[frame] = last;
    this.#next[frame] = 0;
    if (last === 0) this.#first[queue] = frame;
    else this.#next[last] = frame;
    this.#last[queue] = frame;
    this.#length[queue]++;
  }

  /** Takes `frame` out of its queue, if it is in one. Hot. */
  remove(frame: HostFrame): void {
    const queue = this.of[frame];
    if (queue === QUEUE_NONE) return;
    const next = this.#next[frame];
    const previous = this.#previous[frame];
    if (previous === 0) this.#first[queue] = next;
    else this.#next[previous] = next;
    if (next === 0) this.#last[queue] = previous;
    else this.#previous[next] = previous;
    this.of[frame] = QUEUE_NONE;
    this.#length[queue]--;
  }

  /** Puts `frame` at the end of `queue`, wherever it was. */
  move(queue: number, frame: HostFrame): void {
    this.remove(frame);
    this.append(queue, frame);
  }

  assertInvariants(): void {
    for (let queue = QUEUE_NONE + 1; queue < QUEUES; queue++) {
      let listed = 0;
      let previous = NO_FRAME;
      for (let frame = this.first(queue); frame !== NO_FRAME; frame = this.next(frame)) {
        kassert(this.of[frame] === queue && this.#previous[frame] === previous, 'page queues Q1');
        kassert(listed++ < this.#length[queue], 'page queues Q1: too long');
        previous = frame;
      }
      kassert(listed === this.#length[queue] && this.#last[queue] === previous, 'page queues Q1: length');
    }
    let queued = 0;
    for (const queue of this.of) if (queue !== QUEUE_NONE) queued++;
    kassert(queued === this.#length[QUEUE_ACTIVE] + this.#length[QUEUE_INACTIVE], 'page queues Q1: of');
  }
}
