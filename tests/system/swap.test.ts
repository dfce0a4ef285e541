/** Programs that use more memory than there is for the guest: what physmem swaps out comes back as it was. */
import { describe, expect, test } from 'vitest';
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
  const result = run({ xlen: 64, programs: [program, program], timeLimit: 400_000, stack: { imageBytes: 2 ** 21, verify: true, swap } });
  expect(result.output).not.toContain('Out of memory');
  expect(result.ends).toEqual(['exit 0', 'exit 0']);
  expect(result.stats.swappedOut).toBeGreaterThan(500);
  expect(result.stats.swappedIn).toBeGreaterThan(500);
});

describe('instructions that need several pages of their program at the same time', () => {
  test.each([1312, 1368, 1376])('have them at last where there is swap space, in %i KiB', (kibibytes) => {
    const result = run({
      xlen: 64,
      programs: [['sorter', '400']],
      timeLimit: 400_000,
      stack: { imageBytes: kibibytes * 1024, swap: SLOTS },
    });
    expect(result.ends).toEqual(['exit 0']);
  });

  test('end their program where there is none: an instruction in two pages, a load from a page beside it', () => {
    const end = (kibibytes: number, ...program: [string, ...string[]]): string | undefined =>
      run({ xlen: 64, programs: [program], timeLimit: 400_000, stack: { imageBytes: kibibytes * 1024 } }).ends[0];
    expect(end(1664, 'memory')).toMatch(/^SIGKILL: fetch at .* out of memory$/);
    expect(end(2048, 'fork', 'pages', '100')).toMatch(/^SIGKILL: read at .* out of memory$/);
  });

  test('and their time is limited while they wait', () => {
    const result = run({ xlen: 64, programs: [['sorter', '400']], timeLimit: 5000, stack: { imageBytes: 1304 * 1024, swap: SLOTS } });
    expect(result.ends).toEqual(['SIGXCPU: its time is up']);
    expect(result.report?.memory.evictions).toBeGreaterThan(200);
    expect(result.stats.hostFramesLost).toBe(0);
  });
});
