import { expect, test } from 'vitest';
import { fuzzPhysmem } from '../../fuzz/physmem.ts';
import { exploreStates } from './every-state.ts';

test('random lives of containers, copies and controls agree with the cell model at every step', () => {
  const { failures, coverage } = fuzzPhysmem({ seed: 7, from: 0, cases: 44 });
  expect(failures.map(({ error }) => error.message)).toEqual([]);
  expect(coverage.of('copy cow', 'ok')).toBeGreaterThan(500);
  expect(coverage.of('copy shared', 'ok')).toBeGreaterThan(500);
  expect(coverage.of('write', 'ok')).toBeGreaterThan(1000);
});

test('every life of up to three steps with two containers and three pages of memory', () => {
  expect(exploreStates(3).reduce((sum, { states }) => sum + states, 0)).toBeGreaterThan(300);
});
