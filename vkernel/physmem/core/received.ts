/**
 * What memory there is: every page that was received at boot, free or not, as ascending ranges. Tells a request that
 * has to wait for memory from one that no memory can ever satisfy.
 *
 * Invariant I1: ranges are not empty, ascending, and neither overlap nor touch.
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import { type Constraint, nextAcceptable } from './constraint.ts';
import { floorPowerOfTwo } from './dyadic.ts';

export class Received {
  readonly starts: number[] = [];
  readonly ends: number[] = [];

  /** Pages below which all memory lies. */
  get end(): number {
    return this.ends.at(-1) ?? 0;
  }

  /** Adds [start, start + pages), which was not received before. */
  add(start: number, pages: number): void {
    if (pages === 0) return;
    const { starts, ends } = this;
    let i = starts.findIndex((other) => other >= start);
    if (i === -1) i = starts.length;
    const end = start + pages;
    kassert((i === 0 || ends[i - 1] <= start) && (i === starts.length || end <= starts[i]), 'received: memory twice');
    starts.splice(i, 0, start);
    ends.splice(i, 0, end);
    this.#joinNext(i);
    this.#joinNext(i - 1);
  }

  /**
   * The lowest acceptable start, at or above `from`, of a run of `pages` pages that was received whole; or -1. The run
   * is aligned to its first frame, the largest power of two in it.
   * Cost: O(ranges).
   */
  nextRun(pages: number, constraint: Constraint, from: number): number {
    const alignment = floorPowerOfTwo(pages);
    for (let i = 0; i < this.starts.length; i += 1) {
      if (this.ends[i] <= from) continue;
      const start = nextAcceptable(constraint, alignment, Math.max(from, this.starts[i]));
      if (start === -1) return -1; // none in any later range either
      if (start + pages <= this.ends[i]) return start;
    }
    return -1;
  }

  assertInvariants(): void {
    for (let i = 0; i < this.starts.length; i += 1) {
      kassert(this.starts[i] < this.ends[i] && (i === 0 || this.ends[i - 1] < this.starts[i]), 'received I1');
    }
  }

  #joinNext(i: number): void {
    if (i < 0 || i + 1 >= this.starts.length || this.ends[i] !== this.starts[i + 1]) return;
    this.ends.splice(i, 1);
    this.starts.splice(i + 1, 1);
  }
}
