/** Programs that use more memory than there is for the guest: what physmem swaps out comes back as it was. */
import { expect, test } from 'vitest';
import { polledDisk, SparseStore } from '../../hostkernel/machine/index.ts';
import { type RunResult, run } from './stack-run.ts';

const SLOTS = 4096;

test('a sorter with too little memory prints what it prints with plenty', () => {
  const sort = (kibibytes: number): RunResult =>
    run({ xlen: 64, programs: [['sorter', '1800']], stack: { imageBytes: kibibytes * 1024, verify: true, swap: SLOTS } });
  const [plenty, short] = [sort(4096), sort(1792)];
  expect([short.output, short.ends]).toEqual([plenty.output, ['exit 0']]);
  expect(short.stats.framesHeld).toBeLessThan(0.6 * plenty.stats.framesHeld);
  expect([short.stats.swapPages, short.stats.hostFramesLost]).toEqual([SLOTS, 0]);
});

test('a child inherits what its parent has put away, and each keeps its own, by way of the disk', () => {
  // 500 pages of data and some others twice, in a guest of 446 frames; and once more, for which there is no room if anything is left of the first.
  const program = ['fork', 'pages', '250'] as const;
  const swap = polledDisk(new SparseStore(), 1060);
  const result = run({ xlen: 64, programs: [program, program], timeLimit: 60e6, stack: { imageBytes: 2 ** 21, verify: true, swap } });
  expect(result.output).not.toContain('Out of memory');
  expect(result.ends).toEqual(['exit 0', 'exit 0']);
  expect(result.stats.swappedOut).toBeGreaterThan(500);
  expect(result.stats.swappedIn).toBeGreaterThan(500);
});
