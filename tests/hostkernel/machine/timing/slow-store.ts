/**
 * The slow, obviously right tag store: sets are arrays of entries in the order of their last use or fill, empty ways are a
 * list, PLRU bits a Map by path. Says for every operation what the fast one must answer, slot for slot.
 */
import type { Shape, StructureCounters } from '../../../../hostkernel/machine/timing/tag-store.ts';

interface Entry {
  readonly tag: number;
  readonly id: number;
  readonly way: number;
}

interface SlowSet {
  entries: Entry[]; // oldest first: by use for LRU, by fill otherwise
  order: number[]; //  fully associative: ways as the list has them, front first
  readonly bits: Map<string, 'left' | 'right'>; // PLRU: by path from the root, '' 'L' 'LR' ...
}

export class SlowStore {
  readonly counters = { accesses: 0, hits: 0, fills: 0, evictions: 0, invalidations: 0 };
  readonly #shape: Shape;
  readonly #ways: number;
  readonly #sets: SlowSet[];
  #random: number;

  constructor(shape: Shape, seed = 1) {
    this.#shape = shape;
    this.#ways = shape.ways === 'full' ? shape.entries : shape.ways;
    this.#random = seed;
    this.#sets = Array.from({ length: shape.entries / this.#ways }, () => ({
      entries: [],
      order: Array.from({ length: this.#ways }, (_, i) => this.#ways - 1 - i),
      bits: new Map<string, 'left' | 'right'>(),
    }));
  }

  get #full(): boolean {
    return this.#sets.length === 1;
  }

  #setOf(tag: number): number {
    return Number(BigInt(tag) % BigInt(this.#sets.length));
  }

  #slot(set: number, way: number): number {
    return set * this.#ways + way;
  }

  /** Turns the bits on the way to `way` away from it. */
  #turnAway(set: SlowSet, way: number): void {
    let path = '';
    for (let low = 0, size = this.#ways; size > 1; size /= 2) {
      const isLeft = way < low + size / 2;
      set.bits.set(path, isLeft ? 'right' : 'left');
      path += isLeft ? 'L' : 'R';
      if (!isLeft) low += size / 2;
    }
  }

  #pointedTo(set: SlowSet): number {
    let path = '';
    let low = 0;
    for (let size = this.#ways; size > 1; size /= 2) {
      const right = (set.bits.get(path) ?? 'left') === 'right';
      path += right ? 'R' : 'L';
      if (right) low += size / 2;
    }
    return low;
  }

  #use(set: SlowSet, entry: Entry): void {
    if (this.#shape.replacement === 'lru') {
      set.entries = [...set.entries.filter((e) => e !== entry), entry];
      set.order = [entry.way, ...set.order.filter((way) => way !== entry.way)];
    }
    if (this.#shape.replacement === 'plru') this.#turnAway(set, entry.way);
  }

  probe(tag: number, id: number): number {
    const set = this.#setOf(tag);
    const entry = this.#sets[set].entries.find((e) => e.tag === tag && e.id === id);
    return entry === undefined ? -1 : this.#slot(set, entry.way);
  }

  lookup(tag: number, id: number): number {
    this.counters.accesses++;
    const set = this.#sets[this.#setOf(tag)];
    const entry = set.entries.find((e) => e.tag === tag && e.id === id);
    if (entry === undefined) return -1;
    this.counters.hits++;
    this.#use(set, entry);
    return this.probe(tag, id);
  }

  #nextRandom(): number {
    let x = this.#random;
    x = (x ^ (x << 13)) | 0;
    x = (x ^ (x >>> 17)) | 0;
    x = (x ^ (x << 5)) | 0;
    this.#random = x;
    return Number((BigInt.asUintN(32, BigInt(x)) * BigInt(this.#ways)) >> 32n);
  }

  #victim(set: SlowSet): number {
    switch (this.#shape.replacement) {
      case 'lru':
      case 'fifo':
        return set.entries[0].way;
      case 'plru':
        return this.#pointedTo(set);
      default:
        return this.#nextRandom();
    }
  }

  insert(tag: number, id: number): number {
    const number = this.#setOf(tag);
    const set = this.#sets[number];
    const present = set.entries.find((e) => e.tag === tag && e.id === id);
    if (present !== undefined) {
      this.#use(set, present);
      return this.probe(tag, id);
    }
    this.counters.fills++;
    const taken = new Set(set.entries.map((e) => e.way));
    let way: number;
    if (taken.size === this.#ways) {
      way = this.#victim(set);
      this.counters.evictions++;
      set.entries = set.entries.filter((e) => e.way !== way);
    } else if (this.#full) way = set.order[this.#ways - 1];
    else way = Array.from({ length: this.#ways }, (_, i) => i).findIndex((i) => !taken.has(i));
    set.entries.push({ tag, id, way });
    set.order = [way, ...set.order.filter((w) => w !== way)];
    if (this.#shape.replacement === 'plru') this.#turnAway(set, way);
    return this.#slot(number, way);
  }

  remove(tag: number, id: number): boolean {
    const set = this.#sets[this.#setOf(tag)];
    const entry = set.entries.find((e) => e.tag === tag && e.id === id);
    if (entry === undefined) return false;
    this.counters.invalidations++;
    set.entries = set.entries.filter((e) => e !== entry);
    set.order = [...set.order.filter((way) => way !== entry.way), entry.way];
    return true;
  }

  /** Drops what `visit` says so of, in the order of slots. */
  removeIf(visit: (tag: number, id: number) => boolean): number {
    const doomed = this.#sets.flatMap((set) => [...set.entries].sort((a, b) => a.way - b.way).filter((e) => visit(e.tag, e.id)));
    for (const entry of doomed) this.remove(entry.tag, entry.id);
    return doomed.length;
  }

  clear(): number {
    let removed = 0;
    for (const set of this.#sets) {
      removed += set.entries.length;
      set.entries = [];
    }
    this.counters.invalidations += removed;
    return removed;
  }

  /** Slot, tag and id of everything held, in the order of slots. */
  get contents(): string[] {
    const all = this.#sets.flatMap((set, i) => set.entries.map((e) => ({ slot: this.#slot(i, e.way), tag: e.tag, id: e.id })));
    return all.sort((a, b) => a.slot - b.slot).map((e) => `${e.slot}: ${e.tag} ${e.id}`);
  }
}

export function countersOf(store: { readonly counters: StructureCounters }): StructureCounters {
  return { ...store.counters };
}
