/** Section M, X2: nothing of physmem depends on what an assertion computes. */

import { expect, test } from 'vitest';
import type { fuzzPhysmem } from '../../../fuzz/physmem.ts';
import { loadPatched } from '../defects/patched.ts';
import { LIVES } from '../defects/suite.ts';

test('X2 lives without assertions agree with the cell model too', async () => {
  const { exports } = await loadPatched([LIVES], [], true);
  const { failures, coverage } = (exports as { fuzzPhysmem: typeof fuzzPhysmem }).fuzzPhysmem({ seed: 2, from: 0, cases: 5 });
  expect(failures.map(({ error }) => error.message)).toEqual([]);
  expect(coverage.of('write', 'ok')).toBeGreaterThan(100);
});
