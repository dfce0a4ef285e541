/**
 * One associative structure, tags only: what a TLB, a walk cache and a data cache have in common. Whoever owns it keeps what
 * an entry stores in arrays of its own, indexed by slot.
 *
 *   slots      | set 0: way 0 .. ways - 1 | set 1 ... |        set of a tag = tag mod sets
 *
 * A set-associative store scans the ways of a set. A fully associative one (a single set, of any size) finds its entries by
 * a hash, and keeps them on one list, in O(1) whatever its size:
 *
 *   newest <-> ... <-> oldest <-> empty <-> ... <-> empty      a use (LRU) or a fill (all) moves a slot to the front,
 *   front                                           back       a removal to the back, and `back` is filled next
 *
 * An empty way is filled before anything is evicted: the lowest of the set, or `back`. Otherwise the victim is
 *
 *   lru     the way used longest ago: found or filled
 *   fifo    the way filled longest ago
 *   plru    what the tree of ways - 1 bits points to, each bit having been turned away from the last use below it
 *   random  way floor(r * ways / 2^32), r from a 32-bit xorshift generator with the store's own seed
 *
 * Invariants (assertInvariants; the model tests call it after every operation):
 *   I1  no (tag, id) is twice in the store, and each lies in the set of its tag
 *   I2  fills = evictions + invalidations + entries held
 *   I3  fully associative: the list has every slot once, both ways; empty slots are together at its back
 *   I4  fully associative: the hash finds exactly the entries held
 */
import { kassert } from '../../base/assert.ts';

export const REPLACEMENTS = ['lru', 'plru', 'random', 'fifo'] as const;
export type Replacement = (typeof REPLACEMENTS)[number];

/** Size and organisation. `ways` divides `entries`; there may be any number of sets, a power of two is the fast way. */
export interface Shape {
  readonly entries: number;
  readonly ways: number | 'full';
  readonly replacement: Replacement;
}

/** What happened to a structure: hits + misses = accesses, fills = evictions + invalidations + entries held. */
export interface StructureCounters {
  readonly accesses: number;
  readonly hits: number;
  readonly fills: number;
  readonly evictions: number;
  readonly invalidations: number;
}

/** What is wrong with `shape`, or null. */
export function shapeProblem(shape: Shape): string | null {
  const { entries, ways, replacement } = shape;
  if (!Number.isInteger(entries) || entries < 1 || entries > MAX_ENTRIES) return `entries must be a whole number from 1 to ${MAX_ENTRIES}`;
  if (ways !== 'full') {
    if (!Number.isInteger(ways) || ways < 1) return `ways must be 'full' or a whole number from 1 on`;
    if (entries % ways !== 0) return `${ways} ways do not divide ${entries} entries`;
    if (ways > MOST_WAYS && ways < entries) return `a set has at most ${MOST_WAYS} ways, unless it is the only one`;
  }
  const perSet = ways === 'full' ? entries : ways;
  if (replacement === 'plru' && (perSet & (perSet - 1)) !== 0) return `plru needs a power of two of ways, not ${perSet}`;
  return null;
}

const MAX_ENTRIES = 2 ** 24;
const MOST_WAYS = 2 ** 14; // so that stamps of a whole set are few of the int32s there are

/** How victims are found: numbers, since every fill compares one. */
const LRU = 0;
const FIFO = 1;
const PLRU = 2;
const RANDOM = 3;
const POLICY: Readonly<Record<Replacement, number>> = { lru: LRU, fifo: FIFO, plru: PLRU, random: RANDOM };

/** No tag: tags are not negative. */
const EMPTY = -1;

const MOST_INT32 = 2 ** 31 - 1;

/** End of a chain of the hash, and of the list. */
const NONE = -1;

export class TagStore {
  readonly name: string;
  readonly slots: number;
  readonly #ways: number;
  readonly #sets: number;
  readonly #setMask: number; // sets - 1, or -1 where sets is no power of two
  readonly #full: boolean;
  readonly #policy: number;
  readonly #tags: Float64Array; // per slot: the tag, or EMPTY
  readonly #ids: Int32Array; //    per slot: the id
  // Per slot, set-associative LRU and FIFO: the clock at the last use or fill above the way's number; of an empty way the
  // latter alone. The least of a set is that of the lowest empty way, or of the victim.
  readonly #stamps: Int32Array;
  readonly #stampsUses: boolean; // set-associative LRU
  readonly #wayMask: number; // the bits of a stamp that are the way
  readonly #clockStep: number; // one more than that
  readonly #lastClock: number; // there are no more int32s then
  #clock = 0; //            the last stamp without its way
  readonly #tree: Uint8Array; //   per set `ways` bytes, PLRU: node n has children 2n and 2n + 1, the ways are nodes ways .. 2 ways - 1
  #hits = 0;
  #misses = 0;
  #fills = 0;
  #evictions = 0;
  #invalidations = 0;
  #random: number;
  // What the last probe has not found, if nothing has been filled since: an insert need not look for it again.
  #absentTag = EMPTY;
  #absentId = 0;

  // fully associative only
  readonly #hashShift: number;
  readonly #heads: Int32Array; // per bucket: first slot
  readonly #chain: Int32Array; // per slot: next slot of its bucket
  readonly #newer: Int32Array; // per slot: towards the front of the list
  readonly #older: Int32Array; // per slot: towards its back
  #front = NONE;
  #back = NONE;

  /**
   * @param name  for reports
   * @param shape must have no shapeProblem
   * @param seed  of random replacement
   */
  constructor(name: string, shape: Shape, seed = 1) {
    const problem = shapeProblem(shape);
    kassert(problem === null, `tag store ${name}: ${problem}`);
    // As int32s throughout, `| 0`: a number that was computed as a double is kept as one, and hot code would convert it.
    const entries = shape.entries | 0;
    this.name = name;
    this.slots = entries;
    this.#full = shape.ways === 'full' || shape.ways === entries;
    this.#ways = (shape.ways === 'full' ? entries : shape.ways) | 0;
    this.#sets = (entries / this.#ways) | 0;
    this.#setMask = (this.#sets & (this.#sets - 1)) === 0 ? this.#sets - 1 : -1;
    this.#policy = POLICY[shape.replacement];
    this.#tags = new Float64Array(entries).fill(EMPTY);
    this.#ids = new Int32Array(entries);
    this.#stampsUses = !this.#full && this.#policy === LRU;
    this.#stamps = new Int32Array(!this.#full && (this.#policy === LRU || this.#policy === FIFO) ? entries : 0);
    this.#wayMask = this.#ways === 1 ? 0 : (2 << (31 - Math.clz32(this.#ways - 1))) - 1;
    this.#clockStep = this.#wayMask + 1;
    this.#lastClock = (MOST_INT32 - 2 * this.#clockStep) | 0;
    this.#clearStamps();
    this.#tree = new Uint8Array(this.#policy === PLRU ? entries : 0);
    this.#random = (seed | 0) === 0 ? 0x9e3779b9 | 0 : seed | 0;

    let bits = 1;
    while (2 ** bits < 2 * entries) bits++;
    this.#hashShift = 32 - bits;
    this.#heads = new Int32Array(this.#full ? 2 ** bits : 0).fill(NONE);
    this.#chain = new Int32Array(this.#full ? entries : 0).fill(NONE);
    this.#newer = new Int32Array(this.#full ? entries : 0);
    this.#older = new Int32Array(this.#full ? entries : 0);
    if (this.#full) this.#linkAll();
  }

  #clearStamps(): void {
    for (let slot = 0; slot < this.#stamps.length; slot++) this.#stamps[slot] = slot % this.#ways;
  }

  /** The next stamp, without a way. Hot. */
  #tick(): number {
    if (this.#clock >= this.#lastClock) this.#restamp();
    return (this.#clock += this.#clockStep);
  }

  /** The clock has run out: it begins again, and the ways of every set keep their order. */
  #restamp(): void {
    const mask = this.#wayMask;
    let most = 0;
    for (let first = 0; first < this.slots; first += this.#ways) {
      let clock = 0;
      for (const stamp of this.#stamps.slice(first, first + this.#ways).sort()) {
        if (stamp <= mask) continue; // an empty way
        clock += mask + 1;
        this.#stamps[first + (stamp & mask)] = clock | (stamp & mask);
      }
      most = Math.max(most, clock);
    }
    this.#clock = most;
  }

  /** All slots on the list, slot 0 at the back. */
  #linkAll(): void {
    const last = this.slots - 1;
    for (let slot = 0; slot <= last; slot++) {
      this.#newer[slot] = slot === last ? NONE : slot + 1;
      this.#older[slot] = slot - 1;
    }
    this.#front = last;
    this.#back = 0;
  }

  get counters(): StructureCounters {
    return {
      accesses: this.#hits + this.#misses,
      hits: this.#hits,
      fills: this.#fills,
      evictions: this.#evictions,
      invalidations: this.#invalidations,
    };
  }

  /**
   * Looks for an entry, counts, and lets the replacement know of the use. Hot.
   * @param tag an integer, 0 <= tag < 2^53: a page number, or an address divided by a power of two
   * @param id  int32: whatever else must match - space, size, level
   * @returns its slot, or -1
   */
  lookup(tag: number, id: number): number {
    const slot = this.probe(tag, id);
    if (slot < 0) {
      this.#misses++;
      return -1;
    }
    this.hit(slot);
    return slot;
  }

  /** The slot of an entry or -1, without counting and without a use. For owners who look under several tags. Hot. */
  probe(tag: number, id: number): number {
    if (this.#full) return this.#probeHash(tag, id);
    const tags = this.#tags;
    const ids = this.#ids;
    const first = this.#firstOf(tag);
    const end = first + this.#ways;
    for (let slot = first; slot < end; slot++) {
      if (tags[slot] === tag && ids[slot] === id) return slot;
    }
    this.#absentTag = tag;
    this.#absentId = id;
    return -1;
  }

  #probeHash(tag: number, id: number): number {
    const tags = this.#tags;
    const ids = this.#ids;
    const front = this.#front;
    if (tags[front] === tag && ids[front] === id) return front;
    const chain = this.#chain;
    let slot = this.#heads[this.#bucket(tag, id)];
    while (slot !== NONE && (tags[slot] !== tag || ids[slot] !== id)) slot = chain[slot];
    if (slot === NONE) {
      this.#absentTag = tag;
      this.#absentId = id;
    }
    return slot;
  }

  /** Counts a hit on `slot`, which a probe has found, and lets the replacement know of the use. Hot. */
  hit(slot: number): void {
    this.#hits++;
    this.#use(slot);
  }

  /** Lets the replacement know of a use, without counting: for owners that count for themselves. Hot. */
  touch(slot: number): void {
    this.#use(slot);
  }

  #use(slot: number): void {
    if (this.#stampsUses) {
      const stamps = this.#stamps;
      stamps[slot] = this.#tick() | (stamps[slot] & this.#wayMask);
    } else if (this.#policy === LRU) {
      if (slot !== this.#front) this.#toFront(slot);
    } else if (this.#policy === PLRU) this.#turnAway(slot);
  }

  /**
   * The slot for an entry: the one it has, which is used again, or an empty one, or that of a victim. Hot.
   * What the owner's arrays hold there is then the owner's to write.
   */
  insert(tag: number, id: number): number {
    const slot = tag === this.#absentTag && id === this.#absentId ? NONE : this.probe(tag, id);
    if (slot < 0) return this.fill(tag, id);
    this.#use(slot);
    return slot;
  }

  /** As insert, for an entry that is known not to be there: after a lookup that failed. Hot. */
  fill(tag: number, id: number): number {
    const slot = this.#full ? this.#placeInList() : this.#placeInSet(this.#firstOf(tag));
    this.#tags[slot] = tag;
    this.#ids[slot] = id;
    this.#fills++;
    this.#absentTag = EMPTY;
    if (this.#full) {
      const bucket = this.#bucket(tag, id);
      this.#chain[slot] = this.#heads[bucket];
      this.#heads[bucket] = slot;
    }
    if (this.#policy === PLRU) this.#turnAway(slot);
    return slot;
  }

  /** Drops an entry. @returns whether it was there */
  remove(tag: number, id: number): boolean {
    const slot = this.probe(tag, id);
    if (slot < 0) return false;
    this.#drop(slot);
    return true;
  }

  /** Drops every entry that `visit` says so of, slot by slot. @returns how many */
  removeIf(visit: (slot: number) => boolean): number {
    let removed = 0;
    if (this.held === 0) return removed;
    for (let slot = 0; slot < this.slots; slot++) {
      if (this.#tags[slot] === EMPTY || !visit(slot)) continue;
      this.#drop(slot);
      removed++;
    }
    return removed;
  }

  /** Drops everything. @returns how many entries there were */
  clear(): number {
    const removed = this.held;
    if (removed === 0) return 0;
    this.#tags.fill(EMPTY);
    this.#heads.fill(NONE);
    this.#clearStamps();
    this.#invalidations += removed;
    return removed;
  }

  /** Entries held. */
  get held(): number {
    return this.#fills - this.#evictions - this.#invalidations;
  }

  /** Tag of a slot, or -1 if it is empty. */
  tagOf(slot: number): number {
    return this.#tags[slot];
  }

  idOf(slot: number): number {
    return this.#ids[slot];
  }

  /** First slot of the set of `tag`. Exact for every tag below 2^53: the quotient's rounding error is below 1 / sets. */
  #firstOf(tag: number): number {
    const set = this.#setMask >= 0 ? tag & this.#setMask : (tag - Math.floor(tag / this.#sets) * this.#sets) | 0;
    return Math.imul(set, this.#ways);
  }

  #bucket(tag: number, id: number): number {
    const hi = (tag * 2 ** -32) | 0;
    const mixed = Math.imul((tag | 0) ^ Math.imul(hi, 0x85ebca6b) ^ Math.imul(id, 0xc2b2ae35), 0x9e3779b1);
    return Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b) >>> this.#hashShift;
  }

  /** A slot for a new entry, emptied and at the front of the list. */
  #placeInList(): number {
    let slot = this.#back;
    if (this.#tags[slot] !== EMPTY) {
      if (this.#policy === PLRU) slot = this.#pointedTo(0);
      else if (this.#policy === RANDOM) slot = this.#anyWay();
      this.#unhash(slot);
      this.#evictions++;
    }
    if (slot !== this.#front) this.#toFront(slot);
    return slot;
  }

  /** A slot for a new entry of the set that begins at `first`: the lowest that is empty, or the victim's. */
  #placeInSet(first: number): number {
    const tags = this.#tags;
    const end = first + this.#ways;
    const policy = this.#policy;
    let slot = first;
    if (policy === LRU || policy === FIFO) {
      const stamps = this.#stamps;
      let least = stamps[first];
      // Without a branch: where the least is cannot be foretold.
      for (let way = first + 1; way < end; way++) {
        const below = stamps[way] - least;
        least += below & (below >> 31);
      }
      slot = first + (least & this.#wayMask);
      stamps[slot] = this.#tick() | (least & this.#wayMask);
      if (tags[slot] === EMPTY) return slot;
    } else {
      while (slot < end && tags[slot] !== EMPTY) slot++;
      if (slot < end) return slot;
      slot = policy === PLRU ? this.#pointedTo(first) : first + this.#anyWay();
    }
    this.#evictions++;
    return slot;
  }

  /** The way that the tree of the set at `first` points to, as a slot. */
  #pointedTo(first: number): number {
    let node = 1;
    while (node < this.#ways) node = 2 * node + this.#tree[first + node];
    return first + node - this.#ways;
  }

  /** Turns every bit on the way to `slot` away from it. */
  #turnAway(slot: number): void {
    const way = this.#full ? slot : slot % this.#ways;
    const first = slot - way;
    for (let node = way + this.#ways; node > 1; node >>>= 1) this.#tree[first + (node >>> 1)] = (node & 1) ^ 1;
  }

  /** A way, by the next random number. */
  #anyWay(): number {
    let x = this.#random;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x;
    return Math.floor(((x >>> 0) * this.#ways) / 2 ** 32);
  }

  #drop(slot: number): void {
    if (this.#full) {
      this.#unhash(slot);
      if (slot !== this.#back) this.#toBack(slot);
    } else if (this.#stamps.length > 0) this.#stamps[slot] &= this.#wayMask;
    this.#tags[slot] = EMPTY;
    this.#invalidations++;
  }

  #unhash(slot: number): void {
    const bucket = this.#bucket(this.#tags[slot], this.#ids[slot]);
    const chain = this.#chain;
    if (this.#heads[bucket] === slot) {
      this.#heads[bucket] = chain[slot];
      return;
    }
    let before = this.#heads[bucket];
    while (chain[before] !== slot) before = chain[before];
    chain[before] = chain[slot];
  }

  /** `slot` is not the front. */
  #toFront(slot: number): void {
    const newer = this.#newer[slot];
    const older = this.#older[slot];
    this.#older[newer] = older;
    if (older === NONE) this.#back = newer;
    else this.#newer[older] = newer;
    this.#newer[slot] = NONE;
    this.#older[slot] = this.#front;
    this.#newer[this.#front] = slot;
    this.#front = slot;
  }

  /** `slot` is not the back. */
  #toBack(slot: number): void {
    const newer = this.#newer[slot];
    const older = this.#older[slot];
    this.#newer[older] = newer;
    if (newer === NONE) this.#front = older;
    else this.#older[newer] = older;
    this.#older[slot] = NONE;
    this.#newer[slot] = this.#back;
    this.#older[this.#back] = slot;
    this.#back = slot;
  }

  assertInvariants(): void {
    const seen = new Set<string>();
    let held = 0;
    for (let slot = 0; slot < this.slots; slot++) {
      if (this.#tags[slot] === EMPTY) continue;
      held++;
      const key = `${this.#tags[slot]} ${this.#ids[slot]}`;
      const first = this.#firstOf(this.#tags[slot]);
      kassert(!seen.has(key) && slot >= first && slot < first + this.#ways, 'tag store I1');
      seen.add(key);
    }
    kassert(held === this.held, 'tag store I2');
    if (this.#full) this.#assertList(held);
  }

  #assertList(held: number): void {
    let length = 0;
    let before = NONE;
    for (let slot = this.#front; slot !== NONE; slot = this.#older[slot]) {
      kassert(this.#newer[slot] === before && length < this.slots, 'tag store I3');
      kassert((this.#tags[slot] !== EMPTY) === length < held, 'tag store I3');
      before = slot;
      length++;
    }
    kassert(length === this.slots && this.#back === before, 'tag store I3');
    let hashed = 0;
    for (let bucket = 0; bucket < this.#heads.length; bucket++) {
      for (let slot = this.#heads[bucket]; slot !== NONE; slot = this.#chain[slot]) {
        kassert(this.#tags[slot] !== EMPTY && this.#bucket(this.#tags[slot], this.#ids[slot]) === bucket, 'tag store I4');
        hashed++;
      }
    }
    kassert(hashed === held, 'tag store I4');
  }
}
