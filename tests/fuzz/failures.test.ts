/** Every scenario with every allocation missing; of the transfers of the swap device every sixty-first. */
import { expect, test } from 'vitest';
import { FAILURE_CASES, fuzzFailures, SCENARIOS } from './failures.ts';

test('whatever is missing, a call succeeds, or changes nothing', () => {
  const { failures, coverage } = fuzzFailures({ seed: 1, from: 0, cases: FAILURE_CASES }, 61);
  expect(failures.map(({ what, error }) => `${what}: ${error.message}`)).toEqual([]);
  expect(SCENARIOS.length).toBeGreaterThanOrEqual(30);
  expect(coverage.of('vmspace_create: frame', 'error 12')).toBeGreaterThan(0);
  expect(coverage.of('mprotect of the middle: map entry', 'error 12')).toBeGreaterThan(0);
  expect(coverage.of('store through a virtual page table: frame', 'killed')).toBeGreaterThan(1);
  expect(coverage.of('swapping private memory: error', 'an access is refused once')).toBeGreaterThan(0);
  expect(coverage.of('slots run out', 'an access is refused')).toBeGreaterThan(0);
}, 600_000);
