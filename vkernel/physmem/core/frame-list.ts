/** A list of frames in the order in which they came, oldest first; each frame is on it once at most. */

import { type FrameId, NO_FRAME } from './frame-table.ts';

export class FrameList {
  /** The oldest; NO_FRAME: the list is empty. */
  head: FrameId = NO_FRAME;
  frames = 0;
  pages = 0; // of all of them
  #tail: FrameId = NO_FRAME;
  #next = new Int32Array(0); // by frame
  #prev = new Int32Array(0);

  next(frame: FrameId): FrameId {
    return this.#next[frame] as FrameId;
  }

  append(frame: FrameId, pages: number): void {
    this.#link(frame, this.#tail, NO_FRAME);
    this.frames += 1;
    this.pages += pages;
  }

  /** `upper` is half of what `frame`, on the list, has been: it is as old. */
  insertHalf(frame: FrameId, upper: FrameId): void {
    this.#link(upper, frame, this.next(frame));
    this.frames += 1;
  }

  remove(frame: FrameId, pages: number): void {
    const next = this.#next[frame] as FrameId;
    const prev = this.#prev[frame] as FrameId;
    if (prev === NO_FRAME) this.head = next;
    else this.#next[prev] = next;
    if (next === NO_FRAME) this.#tail = prev;
    else this.#prev[next] = prev;
    this.frames -= 1;
    this.pages -= pages;
  }

  /** The frames, oldest first. For checks and accounts: it builds an array. */
  toArray(): FrameId[] {
    const found: FrameId[] = [];
    for (let frame = this.head; frame !== NO_FRAME; frame = this.next(frame)) found.push(frame);
    return found;
  }

  #link(frame: FrameId, prev: FrameId, next: FrameId): void {
    if (frame >= this.#next.length) this.#grow(frame + 1);
    this.#next[frame] = next;
    this.#prev[frame] = prev;
    if (prev === NO_FRAME) this.head = frame;
    else this.#next[prev] = frame;
    if (next === NO_FRAME) this.#tail = frame;
    else this.#prev[next] = frame;
  }

  #grow(least: number): void {
    const capacity = Math.max(64, least + (least >>> 1));
    const next = new Int32Array(capacity);
    const prev = new Int32Array(capacity);
    next.set(this.#next);
    prev.set(this.#prev);
    this.#next = next;
    this.#prev = prev;
  }
}
