/**
 * C programs on the host kernel. `signals`, `processes` and `threads` against what they print under qemu: the same system
 * calls mean the same. One difference is DragonFly's way: an access that a mapping forbids is SIGBUS here, and SIGSEGV on
 * Linux. `spaces` is a vkernel, which qemu cannot run: its golden output, and that of execve, is what the manuals say.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { golden, runProgram } from './guest-program.ts';

const SYSTEM = new URL('../../system/golden/programs/', import.meta.url);
const SLICES = [1_000_000, 1_511];

/** What a page that may not be accessed so does here. */
const asDragonFly = (text: string): string => text.replaceAll(/^(.* (?:readable|closed) page: )signal 11 code 2/gm, '$1signal 7 code 2');

describe.each([32, 64] as const)('on rv%i', (xlen) => {
  describe.each(SLICES)('in slices of %i', (timeSlice) => {
    test('signals: faults, handlers, masks, stacks, timers, waiting', () => {
      const { output, status } = runProgram('signals', xlen, { timeSlice });
      expect(output).toBe(asDragonFly(golden('signals', SYSTEM)));
      expect(status).toMatchObject({ signal: 6 });
    });

    test('processes: fork, wait, stop, orphans, pipes, groups', () => {
      const { output, status } = runProgram('processes', xlen, { timeSlice });
      expect(output).toBe(golden('processes'));
      expect(status).toEqual({ code: 0 });
    });

    test('processes: execve, vfork, posix_spawn', () => {
      const { output, status } = runProgram('processes', xlen, { timeSlice, args: ['exec'] });
      expect(output).toBe(golden('exec'));
      expect(status).toEqual({ code: 0 });
    });

    test.each([1, 3])('threads: locks, conditions, TLS, cancellation, shared between processes; %i harts', (harts) => {
      const { output, status } = runProgram('threads', xlen, { timeSlice, harts });
      expect(output).toBe(golden('threads'));
      expect(status).toEqual({ code: 6 });
    });

    test.each([1, 2, 4])('spaces: a vkernel of several threads and processes; %i harts', (harts) => {
      const { output, status } = runProgram('spaces', xlen, { timeSlice, harts });
      expect(output).toBe(golden('spaces'));
      expect(status).toEqual({ code: 0 });
    });
  });

  const qemu = `qemu-riscv${xlen}`;
  const judged = [
    ['processes', 0],
    ['threads', 6],
  ] as const;
  test.runIf(spawnSync(qemu, ['--version']).status === 0).each(judged)('%s still says it under qemu', (name, code) => {
    const file = fileURLToPath(new URL(`../../../userland/programs/elf/${name}-rv${xlen}`, import.meta.url));
    const { stdout, status } = spawnSync(qemu, [file], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    expect(stdout).toBe(golden(name));
    expect(status).toBe(code);
  });
});
