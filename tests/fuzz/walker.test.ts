/** A fixed sample of random walks: what the compiled walk does, the judge and the reference walk do too. */
import { expect, test } from 'vitest';
import { LAYOUT_NAMES } from '../../hostkernel/machine/paging/index.ts';
import { fuzzWalker } from './walker.ts';

const CASES = 150_000;

test('a hundred and fifty thousand walks through random tables of all layouts', () => {
  const { failures, coverage, referenced } = fuzzWalker({ seed: 4, from: 0, cases: CASES });
  expect(failures.map(({ error }) => error.message)).toEqual([]);
  expect(coverage.total).toBe(CASES);
  expect(referenced).toBeGreaterThan(CASES / 100);
  for (const layout of LAYOUT_NAMES) {
    expect(coverage.of(layout, 'hit'), layout).toBeGreaterThan(CASES / LAYOUT_NAMES.length / 5);
    expect(coverage.of(layout, 'not-present'), layout).toBeGreaterThan(100);
  }
}, 600_000);
