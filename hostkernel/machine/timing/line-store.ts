/**
 * One level of a data cache: which lines it holds. A fetch looks for a line and leaves it there, in one step.
 *
 * Set-associative LRU, which nearly every cache is, keeps the ways of a set in the order of their use, and nothing else:
 *
 *   set   | newest | ... | oldest |       a fetch moves the lines it passes one way on, and puts its own in front:
 *                                         the line that falls out at the end was the oldest, or an empty way
 *
 * Three accesses of a two-dimensional walk go to sets nobody has touched for long; what they cost on the machine that runs
 * the model is the host's own cache misses. A set of eleven ways is 44 bytes here and 176 in a TagStore, which all other
 * shapes use: bench/hostkernel/machine/timing.bench.ts has the times.
 *
 * Invariants (assertInvariants): no line is twice in the store; fills = evictions + lines held.
 */
import { kassert } from '../../base/assert.ts';
import { type Shape, type StructureCounters, TagStore } from './tag-store.ts';

export interface LineStore {
  readonly name: string;
  readonly counters: StructureCounters;
  /** Whether the line is there; now it is. Hot. @param line 0 <= line < 2^53 */
  fetch(line: number): boolean;
  assertInvariants(): void;
}

/** @param shape must have no shapeProblem */
export function lineStoreOf(name: string, shape: Shape, seed: number): LineStore {
  const isOrdered = shape.replacement === 'lru' && shape.ways !== 'full' && shape.ways <= MOST_WAYS;
  return isOrdered ? new OrderedLines(name, shape.entries, shape.ways) : new TaggedLines(name, shape, seed);
}

const MOST_WAYS = 32;
const EMPTY = -1;

/** Of a line it keeps what its set does not say: line / sets, which is an int32 for the lines of any memory there is. */
class OrderedLines implements LineStore {
  readonly name: string;
  readonly #ways: number;
  readonly #sets: number;
  readonly #setMask: number; // sets - 1, or -1 where sets is no power of two
  readonly #inverse: number; // 1 / sets
  #firstWide: number; // the first line whose tag is no int32; 0 when there has been one
  readonly #tags: Int32Array;
  #wide: TagStore | null = null; // holds all lines from then on
  #hits = 0;
  #fills = 0;

  constructor(name: string, entries: number, ways: number) {
    this.name = name;
    this.#ways = ways | 0;
    this.#sets = (entries / ways) | 0;
    this.#setMask = (this.#sets & (this.#sets - 1)) === 0 ? this.#sets - 1 : -1;
    this.#inverse = 1 / this.#sets;
    this.#firstWide = 2 ** 31 * this.#sets;
    this.#tags = new Int32Array(entries).fill(EMPTY);
  }

  fetch(line: number): boolean {
    if (line >= this.#firstWide) return this.#fetchWide(line);
    let set = 0;
    let tag = 0;
    if (this.#setMask >= 0) {
      set = line & this.#setMask;
      tag = (line * this.#inverse) | 0;
    } else {
      tag = (line / this.#sets) | 0;
      set = (line - tag * this.#sets) | 0;
    }
    const tags = this.#tags;
    const first = Math.imul(set, this.#ways);
    let passed = tags[first];
    if (passed === tag) {
      this.#hits++;
      return true;
    }
    // In front of the set; those before its place move on.
    tags[first] = tag;
    const end = first + this.#ways;
    for (let way = first + 1; way < end; way++) {
      const here = tags[way];
      tags[way] = passed;
      if (here === tag) {
        this.#hits++;
        return true;
      }
      passed = here;
    }
    this.#fills++;
    return false;
  }

  #fetchWide(line: number): boolean {
    this.#firstWide = 0;
    this.#wide ??= this.#widened();
    const isThere = this.#wide.lookup(line, 0) >= 0;
    if (isThere) this.#hits++;
    else {
      this.#fills++;
      this.#wide.fill(line, 0);
    }
    return isThere;
  }

  /** The same lines, in the same order of use. */
  #widened(): TagStore {
    const store = new TagStore(this.name, { entries: this.#tags.length, ways: this.#ways, replacement: 'lru' });
    for (let slot = this.#tags.length - 1; slot >= 0; slot--) {
      if (this.#tags[slot] !== EMPTY) store.fill(this.#tags[slot] * this.#sets + Math.floor(slot / this.#ways), 0);
    }
    return store;
  }

  get #held(): number {
    return this.#wide?.held ?? this.#tags.reduce((held, tag) => (tag === EMPTY ? held : held + 1), 0);
  }

  get counters(): StructureCounters {
    const [hits, fills] = [this.#hits, this.#fills];
    return { accesses: hits + fills, hits, fills, evictions: fills - this.#held, invalidations: 0 };
  }

  assertInvariants(): void {
    this.#wide?.assertInvariants();
    for (let first = 0; first < this.#tags.length; first += this.#ways) {
      const tags = [...this.#tags.subarray(first, first + this.#ways)].filter((tag) => tag !== EMPTY);
      kassert(new Set(tags).size === tags.length, `${this.name}: a line is there twice`);
    }
    kassert(this.#held <= Math.min(this.#fills, this.#tags.length), `${this.name}: fills`);
  }
}

class TaggedLines implements LineStore {
  readonly name: string;
  readonly #store: TagStore;

  constructor(name: string, shape: Shape, seed: number) {
    this.name = name;
    this.#store = new TagStore(name, shape, seed);
  }

  fetch(line: number): boolean {
    if (this.#store.lookup(line, 0) >= 0) return true;
    this.#store.fill(line, 0);
    return false;
  }

  get counters(): StructureCounters {
    return this.#store.counters;
  }

  assertInvariants(): void {
    this.#store.assertInvariants();
  }
}
