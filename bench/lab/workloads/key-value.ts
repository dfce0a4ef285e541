/**
 * A key-value store in memory: a hash table of pointers, items with a header and a value. Popular keys come often (Zipf);
 * a request reads the bucket, the item's header, then reads or writes the value line by line.
 * Source: the request mix is that of Cooper et al., Benchmarking cloud serving systems with YCSB, SoCC 2010.
 */
import { READ, WRITE } from '../../../hostkernel/base/units.ts';
import type { Batch } from '../stream.ts';
import { numberOf, type Pattern, type PatternSetup, touch } from './pattern.ts';
import { Permutation } from './permutation.ts';
import { Zipf } from './zipf.ts';

const HEADER = 48; // bytes: key, length, links
const LINE = 64;

export function keyValue(setup: PatternSetup): Pattern {
  const { space, memory, random, seed } = setup;
  const work = numberOf(setup, 'work');
  const sets = numberOf(setup, 'sets');
  const value = numberOf(setup, 'value');
  const item = Math.ceil((HEADER + value) / 16) * 16;
  const items = Math.max(1, Math.floor(numberOf(setup, 'footprint') / (item + 8)));
  const buckets = memory.array(items * 8);
  const store = memory.array(items * item);
  const popularity = new Zipf(random, items, numberOf(setup, 'skew'));
  const placeOf = new Permutation(items, seed); // by popularity
  const bucketOf = new Permutation(items, seed + 1);
  return {
    records: 2 + Math.ceil(value / LINE),
    step(batch: Batch): void {
      const place = placeOf.at(popularity.next() - 1);
      const address = store + place * item;
      touch(batch, space, buckets + bucketOf.at(place) * 8, READ, 8, work);
      touch(batch, space, address, READ, 8, work);
      const kind = random.unit() < sets ? WRITE : READ;
      for (let at = 0; at < value; at += LINE) touch(batch, space, address + HEADER + at, kind, 8, work);
    },
  };
}
