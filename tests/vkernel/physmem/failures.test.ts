import { expect, test } from 'vitest';
import { SCENARIOS, tryAllFailures } from './failures.ts';

test('whatever allocation or transfer fails, an operation says how far it came, and nothing is lost', () => {
  const { failures, faults } = tryAllFailures();
  expect(failures).toEqual([]);
  expect(Object.keys(SCENARIOS).length).toBeGreaterThanOrEqual(30);
  expect(faults).toBeGreaterThan(150);
});
