import { expect, test } from 'vitest';
import { fuzzPhysmem } from '../../fuzz/physmem.ts';
import { type Alphabet, exploreStates } from './every-state.ts';

test('random lives of containers, copies and controls agree with the cell model at every step', () => {
  const { failures, coverage } = fuzzPhysmem({ seed: 7, from: 0, cases: 24 });
  expect(failures.map(({ error }) => error.message)).toEqual([]);
  expect(coverage.of('copy cow', 'ok')).toBeGreaterThan(250);
  expect(coverage.of('copy shared', 'ok')).toBeGreaterThan(250);
  expect(coverage.of('write', 'ok')).toBeGreaterThan(500);
});

test('every life of up to two steps with two containers and three pages of memory', () => {
  const statesOf = (alphabet: Alphabet, depth: number): number =>
    exploreStates(alphabet, depth).reduce((sum, { states }) => sum + states, 0);
  expect(statesOf('copies', 2)).toBeGreaterThan(30);
  expect(statesOf('everything', 2)).toBeGreaterThan(40);
});
