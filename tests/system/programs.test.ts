/**
 * Programs that use the system as others do, against what they print under qemu (golden/programs, written by
 * `qemu-riscv64 userland/programs/elf/NAME-rv64`). Where qemu is installed it is asked again, for both word sizes.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { run } from './stack-run.ts';

const PROGRAMS = [
  { name: 'signals', end: 'SIGABRT' },
  { name: 'memory', end: 'exit 0' },
  { name: 'files', end: 'exit 0' },
  { name: 'numbers', end: 'exit 0' },
  { name: 'fork', end: 'exit 0' },
] as const;

const golden = (name: string): string => readFileSync(new URL(`golden/programs/${name}.txt`, import.meta.url), 'utf8');

describe.each([32, 64] as const)('on rv%i', (xlen) => {
  test.each(PROGRAMS)('$name says what it says under qemu', ({ name, end }) => {
    const { output, ends, stats, failure } = run({ xlen, ramBytes: 128 * 2 ** 20, programs: [[name]] });
    expect(output).toBe(golden(name));
    expect([failure, ends]).toEqual([null, [end]]);
    expect([stats.hostFramesLost, stats.framesHeld - stats.framesReturned]).toEqual([0, 0]);
  });

  const qemu = `qemu-riscv${xlen}`;
  test.runIf(spawnSync(qemu, ['--version']).status === 0).each(PROGRAMS)('$name still says it under qemu', ({ name, end }) => {
    const directory = mkdtempSync(join(tmpdir(), 'vkernel-programs-'));
    try {
      const file = fileURLToPath(new URL(`../../userland/programs/elf/${name}-rv${xlen}`, import.meta.url));
      const { stdout, status, signal } = spawnSync(qemu, [file], { cwd: directory, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
      expect(stdout).toBe(golden(name));
      expect(signal ?? `exit ${status}`).toBe(end);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
