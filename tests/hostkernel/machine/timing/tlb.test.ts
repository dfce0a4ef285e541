import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EXEC, READ, WRITE } from '../../../../hostkernel/base/units.ts';
import { ATTR_DIRTY, ATTR_GLOBAL } from '../../../../hostkernel/machine/index.ts';
import { NestedTlb, sizeName, Tlb, type TlbArrayConfig, type TlbConfig, VM_SHIFT } from '../../../../hostkernel/machine/timing/index.ts';
import { SlowTlb } from './slow-tlb.ts';

const ALL = READ | WRITE | EXEC | ATTR_DIRTY;
const SPACES = [1, 2, (1 << VM_SHIFT) | 1] as const;

function array(sizes: readonly number[], over: Partial<TlbArrayConfig> = {}): TlbArrayConfig {
  return { sizes, entries: 8, ways: 2, replacement: 'lru', splits: true, latency: 1, directories: false, ...over };
}

const unified = array([12, 21, 30], { entries: 4, ways: 'full' });

/** Organisations that differ in everything an operation could get wrong. */
const CONFIGS: Readonly<Record<string, TlbConfig>> = {
  'one array for all': { l1d: [unified], l1i: null, l2: [], l2i: null },
  'two levels, unified': { l1d: [unified], l1i: null, l2: [array([12, 21], { entries: 16, ways: 4, latency: 7 })], l2i: null },
  'per size, with an instruction side': {
    l1d: [array([12]), array([21], { entries: 4 }), array([30], { entries: 2, ways: 'full', latency: 2 })],
    l1i: [array([12, 21], { entries: 4, replacement: 'fifo' })],
    l2: [array([12, 21], { entries: 16, ways: 4, latency: 7, splits: false })],
    l2i: null,
  },
  'second level split by size and side': {
    l1d: [unified],
    l1i: [array([12], { replacement: 'plru' })],
    l2: [array([12], { entries: 12, ways: 4 }), array([21], { entries: 4, latency: 9 })],
    l2i: [array([12, 21], { replacement: 'random' })],
  },
  'runs of 64K': { l1d: [array([12, 16, 21], { entries: 6, ways: 'full' })], l1i: null, l2: [array([12, 21])], l2i: null },
};

const anyPage = fc.oneof(
  fc.integer({ min: 0, max: 24 }),
  fc.integer({ min: 0, max: 3 }).map((i) => 512 * i),
  fc.constantFrom(2 ** 18 + 5, 2 ** 52 - 1),
);
const anySpace = fc.constantFrom(...SPACES);
const anyKind = fc.constantFrom(READ, READ, WRITE, READ | WRITE, EXEC);
const anyAttributes = fc.constantFrom(ALL, ALL, READ | EXEC, READ | WRITE | ATTR_DIRTY, READ | WRITE, ALL | ATTR_GLOBAL);
const anyShift = fc.constantFrom(12, 12, 12, 16, 21, 21, 30);

const anyOperation = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      op: fc.constant('access' as const),
      space: anySpace,
      page: anyPage,
      kind: anyKind,
      shift: anyShift,
      attributes: anyAttributes,
    }),
  },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('lookup' as const), space: anySpace, page: anyPage, kind: anyKind }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constantFrom('page', 'ownPage', 'pageOfVm', 'range', 'space', 'vm', 'allButGlobal', 'all'),
      space: anySpace,
      page: anyPage,
      pages: fc.constantFrom(1, 2, 600),
    }),
  },
);

/** The frame of a page: any rule will do that keeps pages of a large page together. */
const frameOf = (page: number): number => (page + 2 ** 20) % 2 ** 52;

for (const [name, config] of Object.entries(CONFIGS)) {
  for (const baseShift of name === 'two levels, unified' ? [12, 14] : [12]) {
    test(`${name}, base pages of ${sizeName(baseShift)}: results, victims and counters are those of the slow TLB`, () => {
      fc.assert(
        fc.property(fc.array(anyOperation, { maxLength: 60 }), (operations) => {
          const fast = new Tlb(config, { baseShift, seed: 1 });
          // Seeds of random arrays: 1 + 16 * level + array. Only l2i, level 3, has one.
          const slow = new SlowTlb(config, baseShift, 49);
          for (const operation of operations) {
            if (operation.op === 'access' || operation.op === 'lookup') {
              const { space, page, kind } = operation;
              const expected = slow.lookup(space, page, kind);
              expect(fast.lookup(space, page, kind)).toBe(expected.found !== null);
              if (expected.found !== null)
                expect({ frame: fast.frame, shift: fast.shift, attributes: fast.attributes }).toEqual(expected.found);
              expect(fast.latency).toBe(expected.latency);
              if (expected.found === null && operation.op === 'access') {
                const shift = Math.max(operation.shift, baseShift);
                slow.fill(space, page, kind, frameOf(page), shift, operation.attributes);
                fast.fill(space, page, kind, frameOf(page), shift, operation.attributes);
              }
            } else expect(invalidate(fast, operation)).toBe(invalidateSlow(slow, operation));
            fast.assertInvariants();
          }
          expect(Object.values(fast.levelCounters)).toEqual(slow.counts);
          expect(Object.values(fast.counters)).toEqual(slow.arrayCounters);
        }),
        { numRuns: 60 },
      );
    });
  }
}

interface Invalidation {
  readonly op: 'page' | 'ownPage' | 'pageOfVm' | 'range' | 'space' | 'vm' | 'allButGlobal' | 'all' | 'frames';
  readonly space: number;
  readonly page: number;
  readonly pages: number;
}

function invalidate(tlb: Tlb, { op, space, page, pages }: Invalidation): number {
  switch (op) {
    case 'page':
      return tlb.invalidatePage(space, page);
    case 'ownPage':
      return tlb.invalidateOwnPage(space, page);
    case 'pageOfVm':
      return tlb.invalidatePageOfVm(space >>> VM_SHIFT, page);
    case 'range':
      return tlb.invalidateRange(space, page, pages);
    case 'space':
      return tlb.invalidateSpace(space);
    case 'vm':
      return tlb.invalidateVm(space >>> VM_SHIFT);
    case 'allButGlobal':
      return tlb.invalidateAllButGlobal();
    default:
      return tlb.invalidateAll();
  }
}

function invalidateSlow(tlb: SlowTlb, { op, space, page, pages }: Invalidation): number {
  const vm = space >>> VM_SHIFT;
  return tlb.drop((e) => {
    const holds = (start: number, count: number): boolean => e.page < start + count && start < e.page + e.pages;
    switch (op) {
      case 'page':
        return e.vm === vm && (e.space === space || e.space === 'global') && holds(page, 1);
      case 'ownPage':
        return e.space === space && holds(page, 1);
      case 'pageOfVm':
        return e.vm === vm && holds(page, 1);
      case 'range':
        return e.vm === vm && (e.space === space || e.space === 'global') && holds(page, pages);
      case 'space':
        return e.space === space;
      case 'vm':
        return e.vm === vm;
      case 'allButGlobal':
        return e.space !== 'global';
      default:
        return true;
    }
  });
}

test('a write that meets a clean entry is a miss, counted apart, and the refilled entry takes it', () => {
  const tlb = new Tlb(CONFIGS['one array for all'], { baseShift: 12, seed: 1 });
  tlb.fill(1, 5, READ, 77, 12, READ | WRITE);
  expect(tlb.lookup(1, 5, READ)).toBe(true);
  expect(tlb.lookup(1, 5, WRITE)).toBe(false);
  tlb.fill(1, 5, WRITE, 77, 12, READ | WRITE | ATTR_DIRTY);
  expect(tlb.lookup(1, 5, WRITE)).toBe(true);
  expect(tlb.levelCounters['l1']).toEqual({ accesses: 3, hits: 2, denied: 1 });
  expect(tlb.counters['l1'].fills).toBe(1);
});

test('splintering: a 2M page given as 4K entries is exact in every one of them', () => {
  const tlb = new Tlb(CONFIGS['two levels, unified'], { baseShift: 12, seed: 1 });
  tlb.fill(1, 512 + 3, READ, 9000, 12, ALL);
  expect(tlb.lookup(1, 512 + 3, READ) && tlb.frame).toBe(9000);
  expect(tlb.lookup(1, 512 + 4, READ)).toBe(false);
  tlb.fill(1, 1024 + 3, READ, 9003, 21, ALL);
  expect(tlb.lookup(1, 1024 + 511, READ) && tlb.frame).toBe(9511);
});

test('a second level that does not split never holds 1G; one that splits holds the 2M around the page', () => {
  const first = [array([30], { entries: 1, ways: 'full' }), array([12], { entries: 1, ways: 'full' })];
  for (const splits of [true, false]) {
    const tlb = new Tlb({ l1d: first, l1i: null, l2: [array([12, 21], { splits })], l2i: null }, { baseShift: 12, seed: 1 });
    tlb.fill(1, 2 ** 18 + 512 + 1, READ, 1, 30, ALL);
    tlb.fill(1, 0, READ, 0, 30, ALL); // evicts it from the first level
    expect(tlb.lookup(1, 2 ** 18 + 512 + 2, READ)).toBe(splits);
    if (splits) expect([tlb.shift, tlb.frame]).toEqual([21, 2]);
  }
});

test('a run of 64K is one entry where an array takes 64K, and sixteen where none does', () => {
  const entriesFor = (sizes: readonly number[]): number => {
    const tlb = new Tlb({ l1d: [array(sizes, { entries: 32, ways: 'full' })], l1i: null, l2: [], l2i: null }, { baseShift: 12, seed: 1 });
    for (let page = 16; page < 32; page++) if (!tlb.lookup(1, page, READ)) tlb.fill(1, page, READ, page + 100, 16, ALL);
    return tlb.counters['l1'].fills;
  };
  expect([entriesFor([12, 16, 21]), entriesFor([12, 21])]).toEqual([1, 16]);
});

test('a global entry serves every space of its VM and no other VM', () => {
  const tlb = new Tlb(CONFIGS['one array for all'], { baseShift: 12, seed: 1 });
  tlb.fill(1, 5, READ, 77, 12, ALL | ATTR_GLOBAL);
  expect([tlb.lookup(2, 5, READ), tlb.lookup((1 << VM_SHIFT) | 1, 5, READ)]).toEqual([true, false]);
  tlb.invalidateSpace(1);
  expect(tlb.lookup(1, 5, READ)).toBe(true);
});

test('a nested TLB keeps VMs apart, has entries of the host leaf, and counts', () => {
  const ntlb = new NestedTlb('ntlb', { entries: 4, ways: 'full', replacement: 'lru', holds: 'all', latency: 1 }, 1);
  ntlb.fill(0, 512 + 5, 4096 + 5, 21, ALL);
  expect(ntlb.lookup(0, 512 + 9, READ) && ntlb.frame).toBe(4096 + 9);
  expect(ntlb.lookup(1, 512 + 9, READ)).toBe(false);
  ntlb.fill(1, 7, 70, 12, READ);
  expect(ntlb.lookup(1, 7, WRITE)).toBe(false);
  expect(ntlb.denied).toBe(1);
  expect(ntlb.counters).toEqual({ accesses: 3, hits: 1, fills: 2, evictions: 0, invalidations: 0 });
  expect(ntlb.invalidateRange(0, 600, 2)).toBe(1);
  expect(ntlb.invalidateVm(1)).toBe(1);
  ntlb.assertInvariants();
});

test('a write that a small entry denies and a large one serves does not make reads find the large one', () => {
  const tlb = new Tlb({ l1d: [unified], l1i: null, l2: [], l2i: null }, { baseShift: 12, seed: 1 });
  tlb.fill(1, 5, READ, 1024 + 5, 21, ALL);
  tlb.fill(1, 5, READ, 77, 12, READ | EXEC);
  expect(tlb.lookup(1, 5, WRITE) && tlb.shift).toBe(21);
  expect(tlb.lookup(1, 5, READ) && tlb.frame).toBe(77);
  tlb.assertInvariants();
});

test('sizes have the names that people use', () => {
  expect([12, 13, 14, 16, 18, 21, 22, 25, 29, 30, 39].map(sizeName)).toEqual('4K 8K 16K 64K 256K 2M 4M 32M 512M 1G 512G'.split(' '));
});
