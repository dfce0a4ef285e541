/**
 * A hash join of two relations: the first is read in order and put into a hash table, then the second is read in order and
 * each tuple looked up; then again from the start.
 */
import { READ, WRITE } from '../../../hostkernel/base/units.ts';
import type { Batch } from '../stream.ts';
import { numberOf, type Pattern, type PatternSetup, touch } from './pattern.ts';
import { Permutation } from './permutation.ts';

const TUPLE = 16; // bytes: key, payload
const BUCKET = 16; //       key, place of the tuple

export function hashJoin(setup: PatternSetup): Pattern {
  const { space, memory, seed } = setup;
  const work = numberOf(setup, 'work');
  const tuples = Math.max(1, Math.floor(numberOf(setup, 'footprint') / (2 * TUPLE + BUCKET)));
  const inner = memory.array(tuples * TUPLE);
  const table = memory.array(tuples * BUCKET);
  const outer = memory.array(tuples * TUPLE);
  const bucketOf = new Permutation(tuples, seed); // by key, which is a tuple's number in `inner`
  const keyOf = new Permutation(tuples, seed + 1); // of a tuple of `outer`
  let i = 0;
  let isProbing = false;
  return {
    records: 3,
    step(batch: Batch): void {
      touch(batch, space, (isProbing ? outer : inner) + i * TUPLE, READ, 8, work);
      if (isProbing) {
        const key = keyOf.at(i);
        touch(batch, space, table + bucketOf.at(key) * BUCKET, READ, 8, work);
        touch(batch, space, inner + key * TUPLE + 8, READ, 8, work);
      } else {
        touch(batch, space, table + bucketOf.at(i) * BUCKET, WRITE, 8, work);
      }
      if (++i < tuples) return;
      i = 0;
      isProbing = !isProbing;
    },
  };
}
