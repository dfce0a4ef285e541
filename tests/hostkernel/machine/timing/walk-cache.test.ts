import fc from 'fast-check';
import { expect, test } from 'vitest';
import { VM_SHIFT, WalkCache, type WalkCacheConfig } from '../../../../hostkernel/machine/timing/index.ts';
import { TagStore } from '../../../../hostkernel/machine/timing/tag-store.ts';
import { SlowWalkCache } from './slow-walk-cache.ts';

/** Four levels of four entries: small enough that walks meet. */
const FORMAT = { levels: 4, entryBytes: 8, span: (level: number) => 4 ** level };

function config(over: Partial<WalkCacheConfig>): WalkCacheConfig {
  return {
    kind: 'split-translation',
    every: { entries: 4, ways: 'full', replacement: 'lru' },
    levels: {},
    only: null,
    latency: 1,
    guestHolds: 'gpa',
    holdsLeaves: false,
    ...over,
  };
}

const CONFIGS: Readonly<Record<string, WalkCacheConfig>> = {
  'page-table': config({ kind: 'page-table', every: { entries: 6, ways: 2, replacement: 'lru' } }),
  'split-page-table with leaves': config({ kind: 'split-page-table', holdsLeaves: true }),
  translation: config({ kind: 'translation', every: { entries: 8, ways: 4, replacement: 'plru' } }),
  'translation with leaves, of some levels': config({ kind: 'translation', holdsLeaves: true, only: [1, 2] }),
  'split-translation, translated pointers': config({ guestHolds: 'hpa', levels: { 1: { entries: 8, ways: 2, replacement: 'fifo' } } }),
  'split-translation, one level': config({
    every: null,
    levels: { 2: { entries: 2, ways: 'full', replacement: 'lru' } },
    holdsLeaves: true,
  }),
  'translation-path': config({ kind: 'translation-path' }),
  'translation-path, translated pointers': config({
    kind: 'translation-path',
    guestHolds: 'hpa',
    every: { entries: 6, ways: 'full', replacement: 'fifo' },
  }),
};

const anySpace = fc.constantFrom(1, 2, (1 << VM_SHIFT) | 1);
const anyPage = fc.oneof({ weight: 8, arbitrary: fc.integer({ min: 0, max: 80 }) }, { weight: 1, arbitrary: fc.constant(2 ** 52 - 1) });
const anyOperation = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      op: fc.constant('walk' as const),
      space: anySpace,
      page: anyPage,
      leafLevel: fc.constantFrom(0, 0, 0, 1, 2),
      stopsAt: fc.constantFrom(-1, -1, -1, 0, 1, 2),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constantFrom('range', 'space', 'vm', 'all'),
      space: anySpace,
      page: anyPage,
      pages: fc.constantFrom(1, 3, 40),
    }),
  },
);

/** Where the entry for a page lies, and what it points to: the same for both caches. */
const addressOf = (space: number, page: number, level: number): number =>
  8 * (1000 * level + (space % 7) * 100_000 + (Math.floor(page / 4 ** level) % 997));
const tableOf = (space: number, page: number, level: number): number =>
  4096 * (level + 10 * (Math.floor(page / 4 ** level) % 499) + 5000 * (space % 7));

for (const [name, described] of Object.entries(CONFIGS)) {
  test(`${name}: walks begin where the slow cache says, and read what it says`, () => {
    fc.assert(
      fc.property(fc.array(anyOperation, { maxLength: 60 }), (operations) => {
        const fast = new WalkCache('pwc', described, { format: FORMAT, directories: null, seed: 1 });
        const slow = new SlowWalkCache(described, FORMAT);
        for (const operation of operations) {
          if (operation.op === 'walk') walk(fast, slow, operation);
          else expect(invalidate(fast, operation)).toBe(invalidate(slow, operation));
          fast.assertInvariants();
        }
        const counters = Object.values(fast.counters);
        expect(counters.map(({ fills, evictions, invalidations }) => ({ fills, evictions, invalidations }))).toEqual(slow.counters);
        const looks = fast.levelCounters.reduce((sum, level) => sum + level.accesses, 0);
        expect(counters.reduce((sum, { accesses }) => sum + accesses, 0)).toBe(looks);
      }),
      { numRuns: 60 },
    );
  });
}

interface Walk {
  readonly space: number;
  readonly page: number;
  readonly leafLevel: number;
  readonly stopsAt: number; // the walk is refused at this level, -1: it is not
}

function walk(fast: WalkCache, slow: SlowWalkCache, { space, page, leafLevel, stopsAt }: Walk): void {
  const expected = slow.begin(space, page);
  const level = fast.begin(space, page);
  const carried = fast.tableAddress < 0 ? 0 : fast.carried;
  expect({ level, table: fast.tableAddress, hostTable: fast.hostTableAddress, carried }).toEqual(expected);
  for (let level = expected.level; level >= 0; level--) {
    const address = addressOf(space, page, level);
    expect(fast.holdsEntry(level, address)).toBe(slow.holdsEntry(level, address));
    if (level === stopsAt) break;
    const table = tableOf(space, page, level);
    if (level <= leafLevel) {
      fast.insertLeaf(space, page, level, address, table, level);
      slow.insertLeaf(space, page, level, address, { table, hostTable: -1, carried: level });
      break;
    }
    fast.insert(space, page, level, address, table, table + 2 ** 30, level);
    slow.insert(space, page, level, address, { table, hostTable: table + 2 ** 30, carried: level });
  }
  fast.end(space);
  slow.end(space);
}

interface Invalidation {
  readonly op: 'range' | 'space' | 'vm' | 'all';
  readonly space: number;
  readonly page: number;
  readonly pages: number;
}

function invalidate(
  cache: Pick<WalkCache, 'invalidateRange' | 'invalidateSpace' | 'invalidateVm' | 'invalidateAll'>,
  { op, space, page, pages }: Invalidation,
): number {
  switch (op) {
    case 'range':
      return cache.invalidateRange(space, page, pages);
    case 'space':
      return cache.invalidateSpace(space);
    case 'vm':
      return cache.invalidateVm(space >>> VM_SHIFT);
    default:
      return cache.invalidateAll();
  }
}

test('a path that shares its beginning is found at the deepest level that it shares', () => {
  const cache = new WalkCache('pwc', CONFIGS['translation-path'], { format: FORMAT, directories: null, seed: 1 });
  for (const level of [3, 2, 1]) {
    if (level === 3) cache.begin(1, 0);
    cache.insert(1, 0, level, 0, 100 * level, -1, 0);
  }
  cache.end(1);
  expect([cache.begin(1, 1), cache.tableAddress]).toEqual([0, 100]);
  expect([cache.begin(1, 4), cache.tableAddress]).toEqual([1, 200]);
  expect([cache.begin(1, 16), cache.tableAddress]).toEqual([2, 300]);
  expect([cache.begin(1, 64), cache.tableAddress]).toEqual([3, -1]);
});

test('directory entries share the second-level TLB: pages evict them, they evict pages, and neither is taken for the other', () => {
  const store = new TagStore('l2', { entries: 4, ways: 'full', replacement: 'lru' });
  const cache = new WalkCache('pwc', config({ kind: 'l2-tlb', every: null }), { format: FORMAT, directories: store, seed: 1 });
  cache.begin(1, 4);
  for (const level of [3, 2, 1]) cache.insert(1, 4, level, 0, 100 * level, -1, 0);
  store.insert(4, (1 << 6) | 12); // the page with the same number
  expect([cache.begin(1, 4), cache.tableAddress]).toEqual([0, 100]);
  for (let page = 5; page < 8; page++) store.insert(page, (1 << 6) | 12);
  expect([cache.begin(1, 4), cache.tableAddress]).toEqual([0, 100]);
  expect(cache.invalidateAll()).toBe(1);
  expect(store.held).toBe(3);
  expect(store.counters.evictions).toBe(3);
});

test('tables of one level have nothing to cache', () => {
  for (const described of Object.values(CONFIGS)) {
    const cache = new WalkCache('pwc', described, { format: { levels: 1, entryBytes: 4, span: () => 1 }, directories: null, seed: 1 });
    expect([cache.begin(1, 5), cache.tableAddress, cache.holdsEntry(0, 20)]).toEqual([0, -1, false]);
    cache.end(1);
  }
});
