/** The whole system in a host kernel that is a guest of a host kernel: nothing inside can tell, and nothing is lost. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { machineOptions } from '../../vkernel/cli/options.ts';
import {
  MAP_ANON,
  MAP_FIXED,
  MAP_SHARED,
  SYS_vmspace_create,
  SYS_vmspace_ctl,
  SYS_vmspace_mmap,
  SYS_vmspace_pwrite,
} from '../../hostkernel/kern/index.ts';
import { buildElf, code } from '../hostkernel/base/elf-builder.ts';
import { A0, addi, bne, ECALL, exitA0, j, li, lw, S0, sw, syscall, T0, T1, ZERO } from '../hostkernel/kern/assembler.ts';
import { type Spoken, vkernel } from '../vkernel/cli/in-process.ts';
import { run, type RunResult } from './stack-run.ts';

/** A vkernel in RISC-V code whose guest makes that many system calls and counts them; it exits with the count. */
function loopingVkernel(times: number): Uint8Array {
  const [text, data, guest, id] = [0x10000, 0x20000, 0x40_0000, 7];
  const store = (at: number, word: number): number[] => [...li(T0, word), ...li(T1, at), sw(T0, 0, T1)];
  const program = [addi(A0, A0, 1), ECALL, j(-8)];
  const loop = [...syscall(SYS_vmspace_ctl, id, 1, data, data + 0x200), addi(S0, S0, -1)];
  const words = [
    ...program.flatMap((word, i) => store(data + 0x400 + 4 * i, word | 0)),
    ...syscall(SYS_vmspace_create, id, 0, 0),
    ...syscall(SYS_vmspace_mmap, id, guest, 4096, 7, MAP_ANON | MAP_SHARED | MAP_FIXED, -1, 0),
    ...syscall(SYS_vmspace_pwrite, id, data + 0x400, 4 * program.length, 0, guest),
    ...store(data, guest),
    ...li(S0, times),
    ...loop,
    bne(S0, ZERO, -4 * loop.length),
    ...li(T1, data + 8 * A0),
    lw(A0, 0, T1),
    ...exitA0(),
  ];
  const segments = [
    { va: text, bytes: code(words) },
    { va: data, bytes: new Uint8Array(0), memBytes: 4096, flags: 6 },
  ];
  return buildElf({ xlen: 64, entry: text, segments });
}

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
  const host = (...args: string[]): Promise<Spoken> => vkernel('host', ...args);
  const seed = resolve('userland/programs/elf/seed-modern-rv64');

  test('a program prints and ends the same at every depth and with any number of harts', async () => {
    const direct = await host(seed);
    expect(direct.stdout).not.toBe('');
    expect(await host('--nest', '2', '--harts', '3', seed)).toEqual(direct);
  });

  test('a signal at depth 1 is told as one at depth 0', async () => {
    const inner = await host('--nest', '1', seed, 'hole');
    expect(inner.status).toBe(128 + 11);
    expect(inner.stderr).toContain('not-valid at level 0');
  });

  test('counts the entries into each kernel', async () => {
    const { stderr } = await host('--nest', '2', '--stats', '--json', seed);
    const { entriesByDepth } = JSON.parse(stderr) as { entriesByDepth: number[] };
    expect(entriesByDepth).toHaveLength(3);
    expect(entriesByDepth[0]).toBeGreaterThan(entriesByDepth[1]);
    expect(entriesByDepth[1]).toBeGreaterThan(entriesByDepth[2]);
  });

  test('--delegate changes nothing but the number of entries, which falls in every kernel below', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'delegate-'));
    const program = join(folder, 'vkernel');
    writeFileSync(program, loopingVkernel(200));
    const entries = async (...args: string[]): Promise<number[]> => {
      const { status, stderr } = await host('--nest', '2', ...args, '--stats', '--json', program);
      expect(status).toBe(200);
      return (JSON.parse(stderr) as { entriesByDepth: number[] }).entriesByDepth;
    };
    const [outermost, middle, own] = await entries();
    const [fewest, fewer, last] = await entries('--delegate');
    rmSync(folder, { recursive: true });
    expect(outermost - fewest).toBeGreaterThan(200 * 5); // 8 entries a call become 2
    expect(middle - fewer).toBeGreaterThan(200 * 3);
    expect(own - last).toBeGreaterThan(200);
  });

  test.each([
    [{ delegate: true }, '--delegate: there is no kernel to delegate; write --nest N too'],
    [{ nest: '4' }, "--nest: '4' is none of 0 to 3 kernels"],
    [{ nest: '-1' }, "--nest: '-1' is none of 0 to 3 kernels"],
    [{ nest: 'two' }, "--nest: 'two' is none of 0 to 3 kernels"],
    [{ harts: '0' }, "--harts: '0' is none of 1 to 4 processors"],
    [{ harts: '5' }, "--harts: '5' is none of 1 to 4 processors"],
  ])('refuses %j', async (raw, message) => {
    expect(await machineOptions(raw)).toBe(message);
  });
});
