/** Follows pointers round a random cycle through all nodes: each access depends on the one before. */
import { READ } from '../../../hostkernel/base/units.ts';
import type { Batch } from '../stream.ts';
import { numberOf, type Pattern, type PatternSetup, touch } from './pattern.ts';
import { Permutation } from './permutation.ts';

export function chase(setup: PatternSetup): Pattern {
  const { space, memory, seed } = setup;
  const node = numberOf(setup, 'node');
  const nodes = Math.max(1, Math.floor(numberOf(setup, 'footprint') / node));
  const work = numberOf(setup, 'work');
  const table = memory.array(nodes * node);
  const order = new Permutation(nodes, seed); // the cycle visits them in this order
  let i = 0;
  return {
    records: 1,
    step(batch: Batch): void {
      touch(batch, space, table + order.at(i) * node, READ, 8, work);
      i = i + 1 === nodes ? 0 : i + 1;
    },
  };
}
