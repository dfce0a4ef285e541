import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type CacheConfig, CacheHierarchy, type CacheLevelConfig } from '../../../../hostkernel/machine/timing/index.ts';
import { SlowStore } from './slow-store.ts';

const NAMES = ['l1', 'l2', 'llc'] as const;

function level(entries: number, ways: number | 'full', latency: number): CacheLevelConfig {
  return { entries, ways, replacement: 'lru', latency };
}

const THREE: CacheConfig = {
  lineBytes: 64,
  l1: level(4, 2, 4),
  l2: level(8, 4, 14),
  llc: level(12, 4, 54),
  memoryLatency: 200,
  walkerEnters: 'l1',
  mlp: 1,
};

const CONFIGS: Readonly<Record<string, CacheConfig>> = {
  'three levels': THREE,
  'three levels, the walker enters at L2, misses overlap': { ...THREE, walkerEnters: 'l2', mlp: 3 },
  'the walker enters at the last level': { ...THREE, walkerEnters: 'llc', mlp: 64 },
  'no L2, long lines': { ...THREE, lineBytes: 256, l2: null, walkerEnters: 'l2' },
  'nothing but memory': { ...THREE, l1: null, l2: null, llc: null },
};

/** The slow, obviously right hierarchy: levels are asked in order, and all that were asked get the line. */
class SlowHierarchy {
  readonly stores: readonly (SlowStore | null)[];
  readonly served = { walker: [0, 0, 0, 0], data: [0, 0, 0, 0] };
  readonly #config: CacheConfig;

  constructor(config: CacheConfig) {
    this.#config = config;
    this.stores = NAMES.map((name) => (config[name] === null ? null : new SlowStore(config[name])));
  }

  read(address: number, fromWalker: boolean): { servedBy: number; latency: number } {
    const line = Number(BigInt(address) / BigInt(this.#config.lineBytes));
    const first = fromWalker ? NAMES.indexOf(this.#config.walkerEnters) : 0;
    const asked: SlowStore[] = [];
    let servedBy = 3;
    for (let at = first; at < 3 && servedBy === 3; at++) {
      const store = this.stores[at];
      if (store === null) continue;
      if (store.lookup(line, 0) >= 0) servedBy = at;
      else asked.push(store);
    }
    for (const store of asked) store.insert(line, 0);
    this.served[fromWalker ? 'walker' : 'data'][servedBy]++;
    const whole = servedBy === 3 ? this.#config.memoryLatency : (this.#config[NAMES[servedBy]] as CacheLevelConfig).latency;
    if (fromWalker || servedBy === 0) return { servedBy, latency: whole };
    return { servedBy, latency: Math.max(this.#config.l1?.latency ?? 0, Math.ceil(whole / this.#config.mlp)) };
  }
}

for (const [name, config] of Object.entries(CONFIGS)) {
  test(`${name}: who serves, for how many cycles, and all counters are those of the slow hierarchy`, () => {
    const anyRead = fc.record({
      address: fc.oneof(
        { weight: 9, arbitrary: fc.integer({ min: 0, max: 2047 }) },
        { weight: 1, arbitrary: fc.integer({ min: 2 ** 53 - 512, max: 2 ** 53 - 1 }) },
      ),
      fromWalker: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(anyRead, { maxLength: 100 }), (reads) => {
        const fast = new CacheHierarchy(config, 1);
        const slow = new SlowHierarchy(config);
        for (const { address, fromWalker } of reads) {
          const expected = slow.read(address, fromWalker);
          expect({ latency: fast.read(address, fromWalker), servedBy: fast.servedBy }).toEqual(expected);
          fast.assertInvariants();
        }
        expect({ walker: fast.servedWalker, data: fast.servedData }).toEqual(slow.served);
        expect(Object.values(fast.counters)).toEqual(slow.stores.flatMap((store) => (store === null ? [] : [store.counters])));
      }),
      { numRuns: 80 },
    );
  });
}

test('eight entries of eight bytes share a line: the second of them is an L1 hit', () => {
  const caches = new CacheHierarchy(THREE, 1);
  expect([caches.read(4096, true), caches.read(4096 + 56, true), caches.read(4096 + 64, true)]).toEqual([200, 4, 200]);
});

test('overlap divides what data waits for, and never a reference of a walk', () => {
  const caches = new CacheHierarchy({ ...THREE, mlp: 8 }, 1);
  expect([caches.read(0, false), caches.read(64, true), caches.read(0, false)]).toEqual([25, 200, 4]);
});
