/** Section M, X2: nothing of physmem depends on what an assertion computes. */

import { expect, test, vi } from 'vitest';
import { fuzzPhysmem } from '../../../fuzz/physmem.ts';

vi.mock('../../../../hostkernel/base/assert.ts', async (original) => ({ ...(await original<object>()), kassert: () => undefined }));

test('X2 lives without assertions agree with the cell model too', () => {
  const { failures, coverage } = fuzzPhysmem({ seed: 2, from: 0, cases: 5 });
  expect(failures.map(({ error }) => error.message)).toEqual([]);
  expect(coverage.of('write', 'ok')).toBeGreaterThan(100);
});
