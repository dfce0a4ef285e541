/** A fixed sample of hostile programs, and every program that once got through. */
import { spawnSync } from 'node:child_process';
import { expect, test, vi } from 'vitest';
import { fuzz } from './command.ts';
import { BATCH, Coverage, fuzzGuest } from './guest.ts';

/** Seed and index of programs that broke something, with what it was. */
const ONCE_BROKEN: readonly (readonly [what: string, seed: number, index: number])[] = [
  ['a program killed for its time met its own half-deleted threads', 1, 42],
  ['the same in rt_sigreturn on rv32', 1, 341],
  ['the same in a system call of rv32', 1, 847],
];

function failures(options: { seed: number; from: number; cases: number; coverage?: Coverage }): string[] {
  const coverage = options.coverage ?? new Coverage();
  return fuzzGuest({ ...options, coverage }).map(({ index, what, error }) => `case ${index} (${what}): ${error.stack}`);
}

test('150 hostile programs on six machines break nothing', () => {
  const coverage = new Coverage();
  for (let machine = 0; machine < 6; machine += 1) expect(failures({ seed: 11, from: machine * BATCH, cases: 25, coverage })).toEqual([]);
  const sum = (counts: ReadonlyMap<string, number>): number => [...counts.values()].reduce((total, count) => total + count, 0);
  expect(sum(coverage.exits)).toBe(150);
  for (const end of ['exit', 'SIGSEGV', 'SIGILL', 'SIGXCPU', 'refused 126']) expect(coverage.exits.get(end), end).toBeGreaterThan(0);
  expect(coverage.calls.size).toBeGreaterThan(100);
});

test.each(ONCE_BROKEN)('%s: seed %i, case %i', (_, seed, index) => {
  expect(failures({ seed, from: index, cases: 1 })).toEqual([]);
});

/** What the command writes to its two streams, in this process. */
function said(...args: string[]): { status: number; stdout: string; stderr: string } {
  const streams = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, 'write').mockReturnValue(true));
  try {
    const status = fuzz(args);
    const [stdout, stderr] = streams.map(({ mock }) => mock.calls.map(([text]) => String(text)).join(''));
    return { status, stdout, stderr };
  } finally {
    for (const stream of streams) stream.mockRestore();
  }
}

test('the command names its targets, and what it does not know', () => {
  expect(said('frob')).toMatchObject({
    status: 2,
    stdout: '',
    stderr: expect.stringContaining("no target 'frob'; there are: guest") as string,
  });
  expect(said('--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('--seed S') as string, stderr: '' });
  const spawned = spawnSync(process.execPath, ['--import', 'tsx', 'tests/fuzz/main.ts', 'guest', '--cases', '3', '--seed', '5'], {
    encoding: 'utf8',
  });
  expect(spawned).toMatchObject({ status: 0, stdout: expect.stringContaining('3 cases in') as string });
});
