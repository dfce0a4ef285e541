/**
 * Look-ups in a B-tree. Each node on the way is searched by halving, so a look-up touches a few lines of one node a level;
 * nodes of a level lie in shuffled order, as they do after random insertions.
 *
 *   level 0 (leaves)   keys 0 .. f-1 | f .. 2f-1 | ...        node = f keys of 8 bytes, then f values or children of 8 bytes
 */
import { READ } from '../../../hostkernel/base/units.ts';
import type { Batch } from '../stream.ts';
import { halvings, numberOf, type Pattern, type PatternSetup, touch } from './pattern.ts';
import { Permutation } from './permutation.ts';
import { Zipf } from './zipf.ts';

const ENTRY = 16; // bytes: key, and value or child

export function btree(setup: PatternSetup): Pattern {
  const { space, memory, random, seed } = setup;
  const fan = numberOf(setup, 'fan');
  const work = numberOf(setup, 'work');
  const keys = Math.max(1, Math.floor(numberOf(setup, 'footprint') / ENTRY));
  const levels: { readonly base: number; readonly order: Permutation }[] = []; // leaves first
  for (let nodes = Math.ceil(keys / fan); ; nodes = Math.ceil(nodes / fan)) {
    levels.push({ base: memory.array(nodes * fan * ENTRY), order: new Permutation(nodes, seed + levels.length) });
    if (nodes === 1) break;
  }
  const popularity = setup.params['keys'] === 'zipf' ? new Zipf(random, keys, numberOf(setup, 'skew')) : null;
  const byRank = new Permutation(keys, seed - 1);
  const spans = levels.map((_, level) => fan ** level); // keys below one entry of a level
  const probes = halvings(fan);
  return {
    records: levels.length * (probes + 1),
    step(batch: Batch): void {
      const key = popularity === null ? random.below(keys) : byRank.at(popularity.next() - 1);
      for (let level = levels.length - 1; level >= 0; level--) {
        const { base, order } = levels[level];
        const index = Math.floor(key / spans[level]); // of the entry, among all of the level
        const node = Math.floor(index / fan);
        const entry = index - node * fan;
        const address = base + order.at(node) * fan * ENTRY;
        let low = 0;
        let high = fan;
        while (high - low > 1) {
          const middle = (low + high) >>> 1;
          touch(batch, space, address + middle * 8, READ, 8, work);
          if (middle <= entry) low = middle;
          else high = middle;
        }
        touch(batch, space, address + (fan + entry) * 8, READ, 8, work);
      }
    },
  };
}
