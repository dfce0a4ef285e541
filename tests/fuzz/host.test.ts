/** Fixed samples of random operations on memory: with the slow model, and with every access tried after each. */
import { expect, test } from 'vitest';
import { fuzzHost, STEPS } from './host.ts';
import { fuzzStale } from './stale.ts';

const HOST_CASES = 50;
const STALE_CASES = 12;

test('twelve thousand random operations on memory do what the slow model does', () => {
  const { failures, coverage } = fuzzHost({ seed: 3, from: 0, cases: HOST_CASES });
  expect(failures.map(({ error }) => error.message)).toEqual([]);
  expect(coverage.total).toBe(HOST_CASES * STEPS);
  for (const outcome of ['read ok', 'read cached', 'write ok', 'write cached', 'fetch ok', 'invalid', 'protection']) {
    expect(coverage.of('access', outcome), outcome).toBeGreaterThan(HOST_CASES);
  }
  expect(coverage.of('pressure', 'much')).toBeGreaterThan(HOST_CASES);
}, 600_000);

test('no hart keeps a translation that was invalidated', () => {
  const { failures, coverage } = fuzzStale({ seed: 3, from: 0, cases: STALE_CASES });
  expect(failures.map(({ error }) => error.message)).toEqual([]);
  for (const action of ['protect', 'unmap', 'inval', 'forget']) expect(coverage.of('scattered', action), action).toBeGreaterThan(0);
  // The first case, and one in so many, is a large machine of four harts instead.
  for (const harts of [1, 2, 3, 4]) expect(coverage.of('machines', `${harts} harts`)).toBeGreaterThanOrEqual(STALE_CASES / 4 - 1);
}, 600_000);
