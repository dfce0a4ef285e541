/**
 * What does a look into a structure of the timing model cost? Hits and misses of stores of both organisations, of the TLBs of
 * a preset, of its walk caches and its data caches.
 *
 * Reported first: what repeats exactly, hits and evictions of each. A step of a suite is BATCH looks at random pages.
 */
import b from 'benny';
import { READ } from '../../../hostkernel/base/units.ts';
import { CacheHierarchy, machineByName, type Shape, Tlb, WalkCache } from '../../../hostkernel/machine/timing/index.ts';
import { TagStore } from '../../../hostkernel/machine/timing/tag-store.ts';
import { type Files, Suite } from '../../suite.ts';

const BATCH = 4096;
const SPACE = 1;

/** BATCH pages among `pages`, the same on every run. */
function randomPages(pages: number): Float64Array {
  let x = 1;
  return Float64Array.from({ length: BATCH }, () => {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    return 2 ** 28 + Math.floor(((x >>> 0) / 2 ** 32) * pages);
  });
}

/** One look at each page; what is not there is filled. @returns something that depends on every look */
function lookAll(store: TagStore, pages: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < pages.length; i++) {
    const slot = store.lookup(pages[i], SPACE);
    sum += slot < 0 ? store.fill(pages[i], SPACE) : slot;
  }
  return sum;
}

function translateAll(tlb: Tlb, pages: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < pages.length; i++) {
    if (!tlb.lookup(SPACE, pages[i], READ)) tlb.fill(SPACE, pages[i], READ, pages[i] + 1, 12, READ);
    sum += tlb.latency;
  }
  return sum;
}

function readAll(caches: CacheHierarchy, pages: Float64Array, scale: number): number {
  let sum = 0;
  for (let i = 0; i < pages.length; i++) sum += caches.read(pages[i] * scale, true);
  return sum;
}

const STORES: readonly (readonly [string, Shape, number])[] = [
  ['64 entries, 4 ways: hits', { entries: 64, ways: 4, replacement: 'lru' }, 64],
  ['64 entries, full: hits', { entries: 64, ways: 'full', replacement: 'lru' }, 64],
  ['1536 entries, 12 ways: hits', { entries: 1536, ways: 12, replacement: 'lru' }, 1200],
  ['1536 entries, full: hits', { entries: 1536, ways: 'full', replacement: 'lru' }, 1200],
  ['1536 entries, 12 ways: misses', { entries: 1536, ways: 12, replacement: 'lru' }, 2 ** 20],
  ['1536 entries, 12 ways, random: misses', { entries: 1536, ways: 12, replacement: 'random' }, 2 ** 20],
  ['1024 entries, 16 ways, plru: misses', { entries: 1024, ways: 16, replacement: 'plru' }, 2 ** 20],
  ['1536 entries, full: misses', { entries: 1536, ways: 'full', replacement: 'lru' }, 2 ** 20],
];

export async function run(): Promise<Files> {
  const suite = new Suite('tag-store');
  const machine = machineByName('skylake');
  if (machine === null || machine.pwc === null || machine.cache === null) throw new Error('no such machine');
  const { pwc, cache } = machine;
  console.log(`a step is ${BATCH} looks at random pages`);
  for (const [name, shape, pages] of STORES) {
    const store = new TagStore(name, shape);
    for (let pass = 0; pass < 2; pass++) lookAll(store, randomPages(pages));
    const { accesses, hits, evictions } = store.counters;
    suite.counts(name, { accesses, hits, evictions });
    console.log(`${name}: of ${accesses} looks ${hits} hits, ${evictions} evictions`);
  }

  const stores = await b.suite(
    'tag store: 4096 looks',
    ...STORES.map(([name, shape, pages]) =>
      b.add(name, () => {
        const store = new TagStore(name, shape);
        const looked = randomPages(pages);
        return () => lookAll(store, looked);
      }),
    ),
    b.cycle(),
    b.complete(),
  );
  suite.timesOf(stores);

  const skylake = await b.suite(
    'skylake: 4096 looks',
    b.add('TLBs, hits in the first level', () => {
      const tlb = new Tlb(machine.tlb, { baseShift: 12, seed: 1 });
      const pages = randomPages(64);
      return () => translateAll(tlb, pages);
    }),
    b.add('TLBs, hits in the second level', () => {
      const tlb = new Tlb(machine.tlb, { baseShift: 12, seed: 1 });
      const pages = randomPages(1200);
      return () => translateAll(tlb, pages);
    }),
    b.add('TLBs, misses', () => {
      const tlb = new Tlb(machine.tlb, { baseShift: 12, seed: 1 });
      const pages = randomPages(2 ** 20);
      return () => translateAll(tlb, pages);
    }),
    b.add('walk cache', () => {
      const walkCache = new WalkCache('pwc', pwc, {
        format: { levels: 4, entryBytes: 8, span: (level) => 512 ** level },
        directories: null,
        seed: 1,
      });
      const pages = randomPages(2 ** 20);
      return () => {
        let sum = 0;
        for (let i = 0; i < pages.length; i++) {
          const first = walkCache.begin(SPACE, pages[i]);
          for (let level = first; level > 0; level--) walkCache.insert(SPACE, pages[i], level, 0, 4096, -1, 0);
          walkCache.end(SPACE);
          sum += first;
        }
        return sum;
      };
    }),
    b.add('data caches, hits in L1', () => {
      const caches = new CacheHierarchy(cache, 1);
      const pages = randomPages(256);
      return () => readAll(caches, pages, 64);
    }),
    b.add('data caches, hits in L2 and beyond', () => {
      const caches = new CacheHierarchy(cache, 1);
      const pages = randomPages(16384);
      return () => readAll(caches, pages, 64);
    }),
    b.add('data caches, misses', () => {
      const caches = new CacheHierarchy(cache, 1);
      const pages = randomPages(2 ** 20);
      return () => readAll(caches, pages, 4096 + 64);
    }),
    b.cycle(),
    b.complete(),
  );
  suite.timesOf(skylake);
  return suite.files();
}
