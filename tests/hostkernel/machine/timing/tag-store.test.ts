import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Replacement, type Shape, shapeProblem, TagStore } from '../../../../hostkernel/machine/timing/tag-store.ts';
import { countersOf, SlowStore } from './slow-store.ts';

const POLICIES: readonly Replacement[] = ['lru', 'plru', 'random', 'fifo'];

type Operation =
  | { readonly op: 'lookup' | 'insert' | 'probe' | 'remove' | 'reference'; readonly tag: number; readonly id: number }
  | { readonly op: 'removeIf'; readonly id: number }
  | { readonly op: 'clear' };

const SHAPES: readonly Omit<Shape, 'replacement'>[] = [
  { entries: 1, ways: 'full' },
  { entries: 4, ways: 'full' },
  { entries: 16, ways: 16 },
  { entries: 8, ways: 1 },
  { entries: 8, ways: 2 },
  { entries: 16, ways: 4 },
  { entries: 12, ways: 4 }, // three sets
  { entries: 10, ways: 2 }, // five
];

const anyTag = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 23 }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 5 }).map((i) => 2 ** 53 - 1 - i) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 5 }).map((i) => i * 2 ** 32 + 3) },
);
const anyId = fc.constantFrom(0, 1, -64, 2 ** 31 - 1);
const anyOperation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({ op: fc.constantFrom('lookup', 'insert', 'insert', 'probe', 'remove', 'reference'), tag: anyTag, id: anyId }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('removeIf' as const), id: anyId }) },
  { weight: 1, arbitrary: fc.constant({ op: 'clear' as const }) },
);

function perform(fast: TagStore, slow: SlowStore, operation: Operation): void {
  switch (operation.op) {
    case 'lookup':
    case 'insert':
    case 'probe':
    case 'remove':
      expect(fast[operation.op](operation.tag, operation.id)).toBe(slow[operation.op](operation.tag, operation.id));
      return;
    case 'reference': {
      // What a cache does: a lookup, and a fill when it fails.
      const found = slow.lookup(operation.tag, operation.id);
      expect(fast.lookup(operation.tag, operation.id)).toBe(found);
      if (found < 0) expect(fast.fill(operation.tag, operation.id)).toBe(slow.insert(operation.tag, operation.id));
      return;
    }
    case 'removeIf': {
      const visit = (tag: number, id: number) => id === operation.id || tag % 3 === 0;
      expect(fast.removeIf((slot) => visit(fast.tagOf(slot), fast.idOf(slot)))).toBe(slow.removeIf(visit));
      return;
    }
    case 'clear':
      expect(fast.clear()).toBe(slow.clear());
  }
}

function contentsOf(store: TagStore): string[] {
  const all = Array.from({ length: store.slots }, (_, slot) => slot);
  return all.filter((slot) => store.tagOf(slot) >= 0).map((slot) => `${slot}: ${store.tagOf(slot)} ${store.idOf(slot)}`);
}

for (const replacement of POLICIES) {
  test(`${replacement}: any sequence of operations gives the slots, victims and counters of the slow store`, () => {
    const shapes = SHAPES.map((shape): Shape => ({ ...shape, replacement })).filter((shape) => shapeProblem(shape) === null);
    fc.assert(
      fc.property(
        fc.constantFrom(...shapes),
        fc.integer({ min: 1, max: 2 ** 31 - 1 }),
        fc.array(anyOperation, { maxLength: 120 }),
        (shape, seed, operations) => {
          const fast = new TagStore('under test', shape, seed);
          const slow = new SlowStore(shape, seed);
          for (const operation of operations) {
            perform(fast, slow, operation);
            fast.assertInvariants();
          }
          expect(contentsOf(fast)).toEqual(slow.contents);
          expect(countersOf(fast)).toEqual(slow.counters);
        },
      ),
      { numRuns: 150 },
    );
  });
}

test('a fully associative store of thousands of entries evicts in the order of use', () => {
  const store = new TagStore('large', { entries: 4096, ways: 'full', replacement: 'lru' });
  for (let tag = 0; tag < 4096; tag++) store.insert(tag, 7);
  for (let tag = 4095; tag >= 0; tag--) store.lookup(tag, 7);
  for (let tag = 4096; tag < 6144; tag++) store.insert(tag, 7);
  const left = [0, 2047, 2048, 4095, 4096].map((tag) => store.probe(tag, 7) >= 0);
  expect(left).toEqual([true, true, false, false, true]);
  store.assertInvariants();
});

test('an uncounted probe is no use: it saves nothing from eviction', () => {
  const store = new TagStore('pair', { entries: 2, ways: 2, replacement: 'lru' });
  store.insert(1, 0);
  store.insert(2, 0);
  store.probe(1, 0);
  store.insert(3, 0);
  expect([store.probe(1, 0) >= 0, store.probe(2, 0) >= 0]).toEqual([false, true]);
});

test('fifo does not mind use', () => {
  const store = new TagStore('pair', { entries: 2, ways: 2, replacement: 'fifo' });
  store.insert(1, 0);
  store.insert(2, 0);
  store.lookup(1, 0);
  store.insert(3, 0);
  expect(store.probe(1, 0)).toBe(-1);
});

test('a hit rate over random pages is entries / pages, whatever the policy', () => {
  for (const replacement of POLICIES) {
    const store = new TagStore('random pages', { entries: 256, ways: 'full', replacement }, 5);
    let x = 1;
    for (let i = 0; i < 60_000; i++) {
      x = (Math.imul(x, 1664525) + 1013904223) | 0;
      const tag = x >>> 22; // 1024 pages
      if (store.lookup(tag, 0) < 0) store.fill(tag, 0);
    }
    const { accesses, hits } = store.counters;
    expect(hits / accesses).toBeGreaterThan(0.24);
    expect(hits / accesses).toBeLessThan(0.26);
  }
});

test('victims come in the order of their last use also after more uses than the clock has ticks', () => {
  const [sets, ways] = [2, 512];
  const store = new TagStore('long lived', { entries: sets * ways, ways, replacement: 'lru' });
  for (let tag = 0; tag < sets * ways; tag++) store.insert(tag, 0);
  const dropped = store.probe(7, 0); // in the set of odd tags
  const last = new Int32Array(sets * ways); // per slot: its last use
  let x = 1;
  for (let use = 1; use <= 9_000_000; use++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    const slot = x >>> 22;
    if (use === 5_000_000) store.remove(7, 0);
    if (slot === dropped) continue;
    store.touch(slot);
    last[slot] = use;
  }
  const slots = Array.from(last.keys());
  for (const set of [0, 1]) {
    const expected = slots.filter((slot) => Math.floor(slot / ways) === set).sort((a, b) => last[a] - last[b]);
    expect(expected.map((_, i) => store.fill(sets * ways + 2 * i + set, 0))).toEqual(expected);
  }
  store.assertInvariants();
  expect(store.counters).toMatchObject({ evictions: sets * ways - 1, invalidations: 1 });
});

test('shapes that cannot be are named', () => {
  const shape: Shape = { entries: 12, ways: 4, replacement: 'lru' };
  expect(shapeProblem(shape)).toBeNull();
  expect(shapeProblem({ ...shape, entries: 0 })).toContain('entries');
  expect(shapeProblem({ ...shape, entries: 1.5 })).toContain('entries');
  expect(shapeProblem({ ...shape, entries: 2 ** 25 })).toContain('entries');
  expect(shapeProblem({ ...shape, ways: 0 })).toContain('ways');
  expect(shapeProblem({ ...shape, ways: 5 })).toContain('do not divide');
  expect(shapeProblem({ ...shape, entries: 2 ** 16, ways: 2 ** 15 })).toContain('at most 16384 ways');
  expect(shapeProblem({ entries: 12, ways: 'full', replacement: 'plru' })).toContain('power of two');
  expect(() => new TagStore('bad', { ...shape, ways: 5 })).toThrow('tag store bad');
});
