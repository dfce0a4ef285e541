/**
 * The frame allocator: which frames of RAM are free, and which of them should go to whom. What a frame is used for is
 * not here (page.ts), nor what is done when none is left (pageout.ts).
 *
 *   RAM = | run 0 | run 1 | run 2 | ...      a run is 1024 aligned frames: one large page, two or more; the last may be short
 *
 *   run:  MIXED --last frame freed--> EMPTY --allocateIn--> RESERVED for (owner, index >> 10)
 *           ^                           |                       |  page i of the owner gets frame i & 1023 of the run
 *           +-------- allocate ---------+      broken ----------+  under pressure the oldest is broken: MIXED
 *
 * A reservation costs nothing: its free frames count as free and are given to anybody when there are no others. It only
 * makes pages that are neighbours in an object neighbours in RAM, so that the pmap can map them with one entry.
 *
 * Single frames come from mixed runs, then from an empty one, then from a broken reservation. Every choice is made by
 * list order and lowest number: the same requests get the same frames.
 *
 * Cost: one bit a frame, 40 bytes a run. All operations are O(1), but allocateRun: O(runs), for large tables only.
 *
 * Invariants (assertInvariants):
 *   F1  a run's count is the number of its free bits, its summary says which words have any; `free` is the sum
 *   F2  a run with a free frame is in the list of its state exactly once, any other in none; a full mixed run in none
 *   F3  an empty run has only free frames; a reserved or mixed one has at least one that is not
 *   F4  the hash table leads from (owner, block) to each reserved run, and to no other
 *
 * Source: the idea is FreeBSD's sys/vm/vm_reserv.c.
 */

import { kassert } from '../base/assert.ts';
import type { HostFrame, ObjectPage } from '../base/units.ts';

const NO_FRAME = 0 as HostFrame;
const NO_RUN = -1;

/** What a run is used for. */
const MIXED = 0; //    frames of anybody
const EMPTY = 1; //    all free
const RESERVED = 2; // frames of one block of one object

/** log2 of the frames of a run: at least one word of bits, and at most 32 words, which have one summary word. */
const MIN_RUN_SHIFT = 5;
const MAX_RUN_SHIFT = 10;

/** The largest block number that an element of #block holds. */
const MAX_BLOCK = 2 ** 31 - 1;

/** One in so many runs is kept for others: a reservation is made only while more are empty. */
const KEPT_EMPTY_SHIFT = 4;

/** The frames of one machine. Frame 0 is never given out: it stands for none. */
export class FrameAllocator {
  /** Frames of a run: pages that one reservation covers. */
  readonly runFrames: number;
  readonly #frames: number;
  readonly #runs: number;
  readonly #runShift: number;
  readonly #wordShift: number; // log2 of the words of a run
  readonly #bits: Uint32Array; //     by frame >> 5: bit set = free
  readonly #summary: Uint32Array; //  by run: bit w = word w of the run has a free frame
  readonly #count: Uint16Array; //    by run: free frames
  readonly #state: Uint8Array; //     by run: MIXED, EMPTY or RESERVED
  readonly #next: Int32Array; //      by run: next of its list; NO_RUN ends it
  readonly #previous: Int32Array; //  by run
  readonly #first = new Int32Array(3).fill(NO_RUN); // by state: the list of runs with free frames
  readonly #last = new Int32Array(3).fill(NO_RUN);
  readonly #owner: Int32Array; //     by run, if reserved: for which object
  readonly #block: Int32Array; //     by run, if reserved: for which of its blocks
  readonly #chain: Int32Array; //     by run: next of its hash bucket
  readonly #buckets: Int32Array;
  #empty = 0;
  #reserved = 0;
  #free = 0;

  /**
   * @param frames   of the machine, 1 or more; all free but frame 0
   * @param runShift log2 of the frames of a run, 5..10: the pages that the largest leaf of level 1 maps, in any format
   */
  constructor(frames: number, runShift = 10) {
    kassert(frames > 0 && runShift >= MIN_RUN_SHIFT && runShift <= MAX_RUN_SHIFT, 'frames: size of a run');
    const runs = Math.ceil(frames / 2 ** runShift);
    this.#frames = frames;
    this.#runs = runs;
    this.#runShift = runShift;
    this.runFrames = 2 ** runShift;
    this.#wordShift = runShift - 5;
    this.#bits = new Uint32Array(runs << this.#wordShift);
    this.#summary = new Uint32Array(runs);
    this.#count = new Uint16Array(runs);
    this.#state = new Uint8Array(runs);
    this.#next = new Int32Array(runs).fill(NO_RUN);
    this.#previous = new Int32Array(runs).fill(NO_RUN);
    this.#owner = new Int32Array(runs);
    this.#block = new Int32Array(runs);
    this.#chain = new Int32Array(runs).fill(NO_RUN);
    this.#buckets = new Int32Array(2 ** Math.ceil(Math.log2(runs + 1))).fill(NO_RUN);
    this.#bits.fill(0xffffffff, 0, frames >>> 5);
    if ((frames & 31) !== 0) this.#bits[frames >>> 5] = 2 ** (frames & 31) - 1;
    this.#bits[0] &= ~1; // frame 0
    for (let run = runs - 1; run >= 0; run--) {
      for (let word = 0; word < 1 << this.#wordShift; word++) {
        if (this.#bits[(run << this.#wordShift) + word] !== 0) this.#summary[run] |= 1 << word;
      }
      const count = Math.min(frames - run * this.runFrames, this.runFrames) - (run === 0 ? 1 : 0);
      this.#count[run] = count;
      this.#free += count;
      if (count === this.runFrames) this.#becomeEmpty(run);
      else if (count > 0) this.#prepend(run);
    }
  }

  /** Free frames, reserved or not. */
  get free(): number {
    return this.#free;
  }

  /** Frames of the machine. */
  get total(): number {
    return this.#frames;
  }

  /** Runs reserved now. */
  get reservations(): number {
    return this.#reserved;
  }

  /** Runs that are free as a whole. */
  get emptyRuns(): number {
    return this.#empty;
  }

  isFree(frame: HostFrame): boolean {
    return (this.#bits[frame >>> 5] & (1 << (frame & 31))) !== 0;
  }

  /** A free frame, or 0. Hot: allocates nothing. */
  allocate(): HostFrame {
    let run = this.#first[MIXED];
    if (run === NO_RUN) {
      run = this.#first[EMPTY];
      if (run !== NO_RUN) {
        this.#leaveEmpty(run, MIXED);
      } else {
        run = this.#first[RESERVED];
        if (run === NO_RUN) return NO_FRAME;
        this.#breakReservation(run);
      }
    }
    const word = 31 - Math.clz32(this.#summary[run] & -this.#summary[run]);
    const bits = this.#bits[(run << this.#wordShift) + word];
    const frame = (run << this.#runShift) + (word << 5) + 31 - Math.clz32(bits & -bits);
    this.#take(frame);
    return frame as HostFrame;
  }

  /**
   * A free frame for page `index` of object `owner`, or 0. Pages of one block of the object lie in RAM as they lie in the
   * object, while memory is plentiful and the object holds at least half of the block. Hot: allocates nothing.
   * @param owner       positive
   * @param objectPages size of the object
   */
  allocateIn(owner: number, index: ObjectPage, objectPages: number): HostFrame {
    const block = Math.floor(index / this.runFrames);
    if ((block + 0.5) * this.runFrames > objectPages || block > MAX_BLOCK) return this.allocate();
    let run = this.#reservationOf(owner, block);
    if (run === NO_RUN) {
      run = this.#first[EMPTY];
      if (run === NO_RUN || this.#empty <= this.#runs >>> KEPT_EMPTY_SHIFT) return this.allocate();
      this.#leaveEmpty(run, RESERVED);
      this.#enterReservation(run, owner, block);
    }
    const frame = ((run << this.#runShift) + (index & (this.runFrames - 1))) as HostFrame;
    if (!this.isFree(frame)) return this.allocate();
    this.#take(frame);
    return frame;
  }

  /**
   * `count` frames that follow each other, for a table larger than a frame.
   * @param align power of two; the first frame is a multiple
   * @returns the first of them, or 0: there are no such frames, reserved ones included
   */
  allocateRun(count: number, align: number): HostFrame {
    kassert(count > 0 && align > 0 && (align & (align - 1)) === 0, 'frames: shape of a run');
    if (count === 1 && align === 1) return this.allocate();
    if (count > this.#free) return NO_FRAME;
    const first = this.#findRun(count, align);
    if (first === NO_FRAME) return NO_FRAME;
    for (let frame: number = first; frame < first + count; frame++) {
      const run = frame >>> this.#runShift;
      if (this.#state[run] === EMPTY) this.#leaveEmpty(run, MIXED);
      else if (this.#state[run] === RESERVED) this.#breakReservation(run);
      this.#take(frame);
    }
    return first;
  }

  /** Takes a frame back. Hot: allocates nothing. */
  release(frame: HostFrame): void {
    kassert(frame > 0 && frame < this.#frames && !this.isFree(frame), 'frames: released but free');
    const run = frame >>> this.#runShift;
    this.#bits[frame >>> 5] |= 1 << (frame & 31);
    this.#summary[run] |= 1 << ((frame >>> 5) & ((1 << this.#wordShift) - 1));
    this.#free++;
    const count = ++this.#count[run];
    if (count === this.runFrames) {
      this.#unlink(run);
      if (this.#state[run] === RESERVED) this.#leaveReservation(run);
      this.#becomeEmpty(run);
    } else if (count === 1) {
      this.#append(run);
    }
  }

  /** Gives the free frames of all reservations to whoever asks. */
  breakReservations(): void {
    for (let run = 0; run < this.#runs; run++) if (this.#state[run] === RESERVED) this.#breakReservation(run);
  }

  /** Panics on the first invariant that does not hold. O(frames). */
  assertInvariants(): void {
    const listed = new Uint8Array(this.#runs);
    for (let state = MIXED; state <= RESERVED; state++) {
      let previous = NO_RUN;
      for (let run = this.#first[state]; run !== NO_RUN; run = this.#next[run]) {
        kassert(listed[run] === 0 && this.#state[run] === state && this.#previous[run] === previous, 'frames F2');
        listed[run] = 1;
        previous = run;
      }
      kassert(this.#last[state] === previous, 'frames F2: end of a list');
    }
    let free = 0;
    let empty = 0;
    let reserved = 0;
    for (let run = 0; run < this.#runs; run++) {
      const count = this.#countBits(run);
      free += count;
      kassert(count === this.#count[run], 'frames F1');
      kassert((listed[run] === 1) === count > 0, 'frames F2: listed');
      kassert((count === this.runFrames) === (this.#state[run] === EMPTY), 'frames F3');
      if (this.#state[run] === EMPTY) empty++;
      if (this.#state[run] !== RESERVED) continue;
      reserved++;
      kassert(this.#reservationOf(this.#owner[run], this.#block[run]) === run, 'frames F4');
    }
    kassert(free === this.#free && empty === this.#empty && reserved === this.#reserved, 'frames F1: sums');
    let chained = 0;
    for (let run of this.#buckets) for (; run !== NO_RUN; run = this.#chain[run]) chained++;
    kassert(chained === reserved, 'frames F4: chains');
  }

  // ---------------------------------------------------------------------------------------------------- bits

  /** Makes a free frame a used one, of a run that is not EMPTY any more. */
  #take(frame: number): void {
    const run = frame >>> this.#runShift;
    const word = frame >>> 5;
    this.#bits[word] &= ~(1 << (frame & 31));
    if (this.#bits[word] === 0) this.#summary[run] &= ~(1 << (word & ((1 << this.#wordShift) - 1)));
    this.#free--;
    if (--this.#count[run] === 0) this.#unlink(run);
  }

  #findRun(count: number, align: number): HostFrame {
    // In mixed runs first, the order in which their reservations would be broken last: they are needed whole.
    for (let state = MIXED; state <= RESERVED; state++) {
      for (let run = this.#first[state]; run !== NO_RUN; run = this.#next[run]) {
        const first = this.#findIn(run << this.#runShift, count, align);
        if (first !== NO_FRAME) return first;
      }
    }
    return NO_FRAME;
  }

  /** The first frame of such a run that begins in the 2^runShift frames at `start`, or 0. */
  #findIn(start: number, count: number, align: number): HostFrame {
    const end = Math.min(start + this.runFrames, this.#frames - count + 1);
    for (let first = Math.ceil(start / align) * align; first < end; ) {
      let frame = first;
      while (frame < first + count && this.isFree(frame as HostFrame)) frame++;
      if (frame === first + count) return first as HostFrame;
      first = Math.ceil((frame + 1) / align) * align;
    }
    return NO_FRAME;
  }

  /** Free frames of a run, by its bits; checks the summary on the way. */
  #countBits(run: number): number {
    let count = 0;
    for (let word = 0; word < 1 << this.#wordShift; word++) {
      const bits = this.#bits[(run << this.#wordShift) + word];
      for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
      kassert((bits !== 0) === ((this.#summary[run] & (1 << word)) !== 0), 'frames F1: summary');
    }
    return count;
  }

  // ---------------------------------------------------------------------------------------------------- runs

  /** Appends a run to the list of its state. */
  #append(run: number): void {
    const state = this.#state[run];
    const last = this.#last[state];
    this.#next[run] = NO_RUN;
    this.#previous[run] = last;
    if (last === NO_RUN) this.#first[state] = run;
    else this.#next[last] = run;
    this.#last[state] = run;
  }

  /** Takes a run out of the list of its state. */
  #unlink(run: number): void {
    const state = this.#state[run];
    const next = this.#next[run];
    const previous = this.#previous[run];
    if (previous === NO_RUN) this.#first[state] = next;
    else this.#next[previous] = next;
    if (next === NO_RUN) this.#last[state] = previous;
    else this.#previous[next] = previous;
  }

  #becomeEmpty(run: number): void {
    this.#state[run] = EMPTY;
    this.#empty++;
    this.#prepend(run); // the next to go: caches still have it
  }

  /** Puts a run first in the list of its state. */
  #prepend(run: number): void {
    const state = this.#state[run];
    const first = this.#first[state];
    this.#next[run] = first;
    this.#previous[run] = NO_RUN;
    if (first === NO_RUN) this.#last[state] = run;
    else this.#previous[first] = run;
    this.#first[state] = run;
  }

  #leaveEmpty(run: number, state: number): void {
    this.#unlink(run);
    this.#state[run] = state;
    this.#empty--;
    this.#append(run);
  }

  // -------------------------------------------------------------------------------------------- reservations

  #bucketOf(owner: number, block: number): number {
    const mixed = Math.imul(Math.imul(owner, 0x9e3779b1) ^ block, 0x85ebca6b);
    return (mixed ^ (mixed >>> 15)) & (this.#buckets.length - 1);
  }

  /** The run reserved for a block, or NO_RUN. */
  #reservationOf(owner: number, block: number): number {
    let run = this.#buckets[this.#bucketOf(owner, block)];
    while (run !== NO_RUN && (this.#owner[run] !== owner || this.#block[run] !== block)) run = this.#chain[run];
    return run;
  }

  #enterReservation(run: number, owner: number, block: number): void {
    const bucket = this.#bucketOf(owner, block);
    this.#owner[run] = owner;
    this.#block[run] = block;
    this.#chain[run] = this.#buckets[bucket];
    this.#buckets[bucket] = run;
    this.#reserved++;
  }

  /** Takes a run out of the hash table. */
  #leaveReservation(run: number): void {
    const bucket = this.#bucketOf(this.#owner[run], this.#block[run]);
    if (this.#buckets[bucket] === run) {
      this.#buckets[bucket] = this.#chain[run];
    } else {
      let before = this.#buckets[bucket];
      while (this.#chain[before] !== run) before = this.#chain[before];
      this.#chain[before] = this.#chain[run];
    }
    this.#chain[run] = NO_RUN;
    this.#reserved--;
  }

  /** Makes a reserved run a mixed one. */
  #breakReservation(run: number): void {
    this.#leaveReservation(run);
    if (this.#count[run] > 0) this.#unlink(run);
    this.#state[run] = MIXED;
    if (this.#count[run] > 0) this.#append(run);
  }
}
