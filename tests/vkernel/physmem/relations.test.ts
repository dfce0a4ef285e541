import { expect, test } from 'vitest';
import { fuzzRelations } from '../../fuzz/physmem-relations.ts';

test('lives that differ in what clients cannot see look the same to them', () => {
  const { failures, coverage } = fuzzRelations({ seed: 2, from: 0, cases: 60 });
  expect(failures.map(({ what, error }) => `${what}: ${error.message}`)).toEqual([]);
  for (const relation of ['base pages', 'copy, give up', 'out and in', 'moved', 'commuted', 'narrow']) {
    expect(coverage.of(relation), relation).toBeGreaterThan(0);
  }
});
