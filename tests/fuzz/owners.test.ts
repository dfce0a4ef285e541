/** A fixed sample of memory that names its owner. */
import { expect, test } from 'vitest';
import { fuzzOwners } from './owners.ts';

const CASES = 32;

test('no byte of one owner is seen by another', () => {
  const { failures, coverage } = fuzzOwners({ seed: 5, from: 0, cases: CASES });
  expect(failures.map(({ error }) => error.message)).toEqual([]);
  expect(coverage.of('fill', 'write ok')).toBeGreaterThan(100);
  expect(coverage.of('fork', 'ok')).toBeGreaterThan(30);
  expect(coverage.of('pressure', 'much')).toBeGreaterThan(20);
  expect(coverage.of('large')).toBeGreaterThan(5);
}, 600_000);
