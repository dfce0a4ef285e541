/** A fixed sample of hostile virtual page tables, all generations. */
import { expect, test } from 'vitest';
import { fuzzVpte, VPTE_LAYOUTS } from './vpte.ts';

test('40,000 hostile virtual page tables reach what they name in their object, and nothing else', () => {
  const { failures, coverage } = fuzzVpte({ seed: 7, from: 0, cases: 40_000 });
  expect(failures.map(({ error }) => error.message)).toEqual([]);
  expect(coverage.of('setmap', 'ok')).toBe(40_000);
  for (const layout of VPTE_LAYOUTS) {
    for (const outcome of [
      'ok, leaf on level 0',
      'ok, leaf on level 1',
      'cached',
      'protection (hit)',
      'protection (bus)',
      'invalid (not-present)',
    ]) {
      expect(coverage.of(layout, outcome), `${layout}: ${outcome}`).toBeGreaterThan(10);
    }
  }
}, 600_000);
