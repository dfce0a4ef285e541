/** The whole system in a host kernel that is a guest of a host kernel: nothing inside can tell, and nothing is lost. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { machineOptions } from '../../vkernel/cli/options.ts';
import { run, type RunResult } from './stack-run.ts';

describe.each([
  [64, [1, 3]],
  [32, [2]],
] as const)('the stack, %i bits', (xlen, depths) => {
  const at = (nest: number): RunResult =>
    run({ xlen, nest, ramBytes: 128 * 2 ** 20, programs: [['sorter', '300'], ['hello']], stack: { verify: true } });
  const direct = at(0);
  /** What a guest kernel sees of its own work: the same wherever its host runs. */
  const seen = ({ output, ends, failure, stats }: RunResult): unknown => ({
    output,
    ends,
    failure,
    instructions: stats.instructions,
    guestFaults: stats.guestFaults,
    guestSyscalls: stats.guestSyscalls,
    lost: stats.hostFramesLost,
    held: stats.framesHeld - stats.framesReturned,
  });

  test.each(depths)('depth %i', (depth) => {
    expect(direct.failure).toBeNull();
    expect(seen(at(depth))).toEqual(seen(direct));
  });
});

describe('--nest and --harts', () => {
  const main = resolve('vkernel/cli/main.ts');
  const host = (...args: string[]): { status: number | null; stdout: string; stderr: string } => {
    const tsx = resolve('node_modules/tsx/dist/cli.mjs');
    const { status, stdout, stderr } = spawnSync(process.execPath, [tsx, main, 'host', ...args], { encoding: 'utf8' });
    return { status, stdout, stderr };
  };
  const seed = resolve('userland/programs/elf/seed-modern-rv64');

  test('a program prints and ends the same at every depth and with any number of harts', () => {
    const direct = host(seed);
    expect(direct.stdout).not.toBe('');
    expect(host('--nest', '2', '--harts', '3', seed)).toEqual(direct);
  });

  test('a signal at depth 1 is told as one at depth 0', () => {
    const inner = host('--nest', '1', seed, 'hole');
    expect(inner.status).toBe(128 + 11);
    expect(inner.stderr).toContain('not-valid at level 0');
  });

  test('counts the entries into each kernel', () => {
    const { stderr } = host('--nest', '2', '--stats', '--json', seed);
    const { entriesByDepth } = JSON.parse(stderr) as { entriesByDepth: number[] };
    expect(entriesByDepth).toHaveLength(3);
    expect(entriesByDepth[0]).toBeGreaterThan(entriesByDepth[1]);
    expect(entriesByDepth[1]).toBeGreaterThan(entriesByDepth[2]);
  });

  test.each([
    [{ nest: '4' }, "--nest: '4' is none of 0 to 3 kernels"],
    [{ nest: '-1' }, "--nest: '-1' is none of 0 to 3 kernels"],
    [{ nest: 'two' }, "--nest: 'two' is none of 0 to 3 kernels"],
    [{ harts: '0' }, "--harts: '0' is none of 1 to 4 processors"],
    [{ harts: '5' }, "--harts: '5' is none of 1 to 4 processors"],
  ])('refuses %j', async (raw, message) => {
    expect(await machineOptions(raw)).toBe(message);
  });
});
