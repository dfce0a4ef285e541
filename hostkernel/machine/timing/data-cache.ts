/**
 * The data caches that table entries and data are fetched through: up to three levels and memory. Lines only; no
 * instruction cache, no prefetching, no write-back traffic: a write costs what a read costs.
 *
 *   data   ->  L1  ->  L2  ->  LLC  ->  memory        a line that is found nowhere is filled into every level
 *   walker ----^ or ---^ or ---^                      that was looked at on the way
 *
 * The latency of a level is that of an access which it serves, not what it adds. A data access that misses L1 is divided
 * by `mlp` (rounded up, never below L1's latency): a crude model of misses that overlap. Walks are serial: never divided.
 */
import { kassert } from '../../base/assert.ts';
import { type LineStore, lineStoreOf } from './line-store.ts';
import type { Shape, StructureCounters } from './tag-store.ts';

export interface CacheLevelConfig extends Shape {
  readonly latency: number; // cycles of an access that it serves
}

export interface CacheConfig {
  readonly lineBytes: number; // a power of two
  readonly l1: CacheLevelConfig | null;
  readonly l2: CacheLevelConfig | null;
  readonly llc: CacheLevelConfig | null;
  readonly memoryLatency: number; // cycles
  readonly walkerEnters: 'l1' | 'l2' | 'llc'; // or the next below that exists
  readonly mlp: number; // data misses that overlap, at least 1
}

/** Who served an access. */
export const SERVED_L1 = 0;
export const SERVED_L2 = 1;
export const SERVED_LLC = 2;
export const SERVED_MEMORY = 3;
export const SERVED_NAMES = ['l1', 'l2', 'llc', 'memory'] as const;

export class CacheHierarchy {
  /** SERVED_* of the last access. */
  servedBy = SERVED_MEMORY;
  readonly #lineInverse: number; // 1 / bytes of a line
  readonly #l1: LineStore | null;
  readonly #l2: LineStore | null;
  readonly #llc: LineStore | null;
  readonly #walkerEnters: number; // SERVED_*
  readonly #latency = new Float64Array(8); // by who served it: walker 0 .. 3, data 4 .. 7
  readonly #counts = new Float64Array(8); //  alike, but for data that L1 serves: the rest of its hits

  constructor(config: CacheConfig, seed: number) {
    kassert(config.lineBytes > 0 && Number.isInteger(Math.log2(config.lineBytes)), 'data cache: bytes of a line');
    this.#lineInverse = 1 / config.lineBytes;
    const store = (name: string, shape: Shape | null, nth: number) => (shape === null ? null : lineStoreOf(name, shape, seed + nth));
    this.#l1 = store('cache.l1', config.l1, 0);
    this.#l2 = store('cache.l2', config.l2, 1);
    this.#llc = store('cache.llc', config.llc, 2);
    this.#walkerEnters = ['l1', 'l2', 'llc'].indexOf(config.walkerEnters);
    const latencies = [config.l1, config.l2, config.llc].map((level) => level?.latency ?? 0);
    latencies.push(config.memoryLatency);
    latencies.forEach((latency, level) => {
      this.#latency[level] = latency;
      this.#latency[4 + level] = level === SERVED_L1 ? latency : Math.max(latencies[SERVED_L1], Math.ceil(latency / config.mlp));
    });
  }

  /**
   * Fetches the line of a byte address. Hot.
   * @param byteAddress 0 <= byteAddress < 2^53
   * @returns cycles
   */
  read(byteAddress: number, fromWalker: boolean): number {
    if (!fromWalker) return this.readData(0, byteAddress);
    const servedBy = this.#fetch(Math.floor(byteAddress * this.#lineInverse), this.#walkerEnters);
    this.servedBy = servedBy;
    this.#counts[servedBy]++;
    return this.#latency[servedBy];
  }

  /** Fetches the line of byte `offset` of page `frame` for the program. Hot: what L1 serves is counted there alone. @returns cycles */
  readData(frame: number, offset: number): number {
    const line = Math.floor((frame * 4096 + offset) * this.#lineInverse);
    const l1 = this.#l1;
    let servedBy = SERVED_L1;
    if (l1 === null || !l1.fetch(line)) {
      servedBy = this.#fetch(line, SERVED_L2);
      this.#counts[4 + servedBy]++;
    }
    this.servedBy = servedBy;
    return this.#latency[4 + servedBy];
  }

  #fetch(line: number, enters: number): number {
    if (enters === SERVED_L1 && this.#l1 !== null && this.#l1.fetch(line)) return SERVED_L1;
    if (enters <= SERVED_L2 && this.#l2 !== null && this.#l2.fetch(line)) return SERVED_L2;
    return this.#llc !== null && this.#llc.fetch(line) ? SERVED_LLC : SERVED_MEMORY;
  }

  /** Accesses by who served them: l1, l2, llc, memory. */
  get servedWalker(): readonly number[] {
    return [...this.#counts.subarray(0, 4)];
  }

  get servedData(): readonly number[] {
    const first = this.#l1 === null ? 0 : this.#l1.counters.hits - this.#counts[SERVED_L1];
    return [first, ...this.#counts.subarray(5)];
  }

  /** Cycles of all that was fetched for the program. */
  get dataCycles(): number {
    return this.servedData.reduce((sum, count, servedBy) => sum + count * this.#latency[4 + servedBy], 0);
  }

  /** By level: cache.l1, cache.l2, cache.llc, as far as they exist. */
  get counters(): Readonly<Record<string, StructureCounters>> {
    const all: Record<string, StructureCounters> = {};
    for (const store of [this.#l1, this.#l2, this.#llc]) {
      if (store !== null) all[store.name] = store.counters;
    }
    return all;
  }

  assertInvariants(): void {
    for (const store of [this.#l1, this.#l2, this.#llc]) store?.assertInvariants();
  }
}
