import { expect, test } from 'vitest';
import { fuzzAttacks } from '../../fuzz/physmem-attack.ts';

test('a task within its guarantee gets its pages in time from those who do not want to return them', () => {
  const { failures, coverage } = fuzzAttacks({ seed: 4, from: 0, cases: 200 });
  expect(failures.map(({ index, error }) => `${index}: ${error.message}`)).toEqual([]);
  expect(coverage.of('attack', 'withstood')).toBe(150);
  expect(coverage.of('garbage', 'withstood')).toBe(50);
  expect(coverage.of('punishment')).toBeGreaterThan(20);
});
