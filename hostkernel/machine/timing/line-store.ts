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
const MOST_INT32 = 2 ** 31 - 1;

const HITS = 0;
const FILLS = 1;
const EVICTIONS = 2;

class OrderedLines implements LineStore {
  readonly name: string;
  readonly #ways: number;
  readonly #sets: number;
  readonly #setMask: number; // sets - 1, or -1 where sets is no power of two
  #lines: Int32Array | Float64Array; // the latter from the first line on that needs it
  #isWide = false;
  readonly #counts = new Float64Array(3);

  constructor(name: string, entries: number, ways: number) {
    this.name = name;
    this.#ways = ways;
    this.#sets = entries / ways;
    this.#setMask = (this.#sets & (this.#sets - 1)) === 0 ? this.#sets - 1 : -1;
    this.#lines = new Int32Array(entries).fill(EMPTY);
  }

  fetch(line: number): boolean {
    if (line > MOST_INT32 && !this.#isWide) this.#widen();
    const lines = this.#lines;
    const set = this.#setMask >= 0 ? line & this.#setMask : line - Math.floor(line / this.#sets) * this.#sets;
    const first = set * this.#ways;
    const newest = lines[first];
    if (newest !== line) return this.#passOn(lines, line, first, newest);
    this.#counts[HITS]++;
    return true;
  }

  /** Puts the line in front of the set at `first`, where it was not, and moves on those it passes. @returns whether it was behind them */
  #passOn(lines: Int32Array | Float64Array, line: number, first: number, newest: number): boolean {
    let passed = newest;
    lines[first] = line;
    const end = first + this.#ways;
    for (let way = first + 1; way < end; way++) {
      const here = lines[way];
      lines[way] = passed;
      if (here === line) {
        this.#counts[HITS]++;
        return true;
      }
      passed = here;
    }
    this.#counts[FILLS]++;
    if (passed !== EMPTY) this.#counts[EVICTIONS]++;
    return false;
  }

  #widen(): void {
    this.#lines = Float64Array.from(this.#lines);
    this.#isWide = true;
  }

  get counters(): StructureCounters {
    const [hits, fills, evictions] = this.#counts;
    return { accesses: hits + fills, hits, fills, evictions, invalidations: 0 };
  }

  assertInvariants(): void {
    const held = [...this.#lines].filter((line) => line !== EMPTY);
    kassert(new Set(held).size === held.length, `${this.name}: a line is there twice`);
    kassert(this.#counts[FILLS] === this.#counts[EVICTIONS] + held.length, `${this.name}: fills`);
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
