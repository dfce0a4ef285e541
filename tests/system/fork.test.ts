/**
 * Many processes on the whole stack: what userland/programs/fork.c says of them, how many pages they copy, what hostile
 * ones do to the system, and shell scripts of unmodified busybox against what they write on a Linux machine.
 *
 * golden/programs/fork.txt is what `qemu-riscv64 fork-rv64` prints (programs.test.ts asks again); fork-exec.txt what
 * `fork exec` prints on Linux, linked with musl: the emulator does not find the file it would execute.
 * golden/shell/NAME.txt is what `busybox sh NAME.sh` writes in an empty directory on Linux, and its status. Those cases
 * need the packages (npm run guests).
 */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Tracer } from '../../hostkernel/base/trace.ts';
import { Machine } from '../../hostkernel/machine/index.ts';
import { chooseFormats } from '../../vkernel/cli/layouts.ts';
import { bootStack, exitStatus, type StackProbe } from '../../vkernel/index.ts';
import { directoryProvider } from '../../vkernel/posix/node/provider.ts';
import { GUESTS } from './guest-run.ts';
import { run, type RunResult } from './stack-run.ts';

const golden = (path: string): string => readFileSync(new URL(`golden/${path}`, import.meta.url), 'utf8');

/** Nothing of the processes is left, at any layer. */
function expectAllBack({ stats, failure }: Pick<RunResult, 'stats' | 'failure'>): void {
  expect([failure, stats.hostFramesLost, stats.framesHeld - stats.framesReturned]).toEqual([null, 0, 0]);
}

describe.each([32, 64] as const)('on rv%i', (xlen) => {
  const fork = (...args: string[]): RunResult => run({ xlen, programs: [['fork', ...args]], timeLimit: 60e6, stack: { verify: true } });

  test('execve in children of fork, vfork and posix_spawn', () => {
    const result = fork('exec');
    expect([result.output, result.ends]).toEqual([golden('programs/fork-exec.txt'), ['exit 0']]);
    expectAllBack(result);
  });
  test('a fork bomb ends in EAGAIN, and the system goes on', () => {
    const result = fork('bomb');
    expect([result.output, result.ends]).toEqual(['a bomb: 1\nafterwards: exit 8\n', ['exit 0']]);
    expectAllBack(result);
  });
  test('signals from everybody to everybody', () => {
    const result = fork('storm');
    expect([result.output, result.ends]).toEqual(['a storm: 8 1\nkilled 0 8\n', ['exit 0']]);
    expectAllBack(result);
  });
  test('processes that all wait for each other end with a reason', () => {
    const result = fork('hang');
    expect([result.output, result.ends]).toEqual(['', ['SIGKILL: every process waits for an event that cannot come']]);
    expectAllBack(result);
  });
});

test.each(['sv57x4', 'power-radix-4k'])('and where %s makes tables that take more frames', (vpte) => {
  const result = run({ xlen: 64, vpte, programs: [['fork', 'bomb']], timeLimit: 60e6 });
  expect([result.output, result.ends]).toEqual(['a bomb: 1\nafterwards: exit 8\n', ['exit 0']]);
  expectAllBack(result);
});

test.each([300, 600, 900])('killed for their time after %i microseconds, processes leave nothing behind', (timeLimit) => {
  const result = run({ xlen: 64, programs: [['fork', 'bomb']], timeLimit, stack: { verify: true } });
  expect(result.ends).toEqual(['SIGXCPU: its time is up']);
  expectAllBack(result);
});

test('zombies that nobody waits for are bounded, and go when somebody does', () => {
  const result = run({ xlen: 64, programs: [['fork', 'zombies']], timeLimit: 60e6 });
  expect(result.output).toBe('zombies: 1, Resource temporarily unavailable\n0 left, afterwards: exit 8\n');
  expectAllBack(result);
});

test('after a fork as many pages are copied as are written: by the child, and by its parent', () => {
  const copied = (pages: number): number => {
    const probe: StackProbe = { physmem: null };
    const result = run({ xlen: 64, programs: [['fork', 'pages', `${pages}`]], stack: { probe } });
    expect(result.ends).toEqual(['exit 0']);
    expectAllBack(result);
    return probe.physmem?.().counters.copiedPages ?? -1;
  };
  const few = copied(3);
  expect(few).toBeGreaterThan(6);
  expect(few).toBeLessThan(30); // stacks and data of both
  expect(copied(103) - few).toBe(2 * 100);
});

test('a fork that the memory control has not enough for is ENOMEM, and the process goes on', () => {
  const result = run({ xlen: 64, ramBytes: 16 * 2 ** 20, programs: [['fork', 'pages', '900']] });
  expect([result.output, result.ends]).toEqual(['fork: Out of memory\n', ['exit 0']]);
  expectAllBack(result);
});

test('the same run twice takes the same steps', () => {
  const [one, other] = [0, 1].map(() => run({ xlen: 64, programs: [['fork', 'bomb']] }).stats);
  expect(one).toEqual(other);
});

const APPLETS = 'sh cat sort wc head tail tr xargs find seq sleep sed grep mkdir mkfifo printf yes ls env timeout true false'.split(' ');

/** Runs a script of shell/ in an empty directory. @returns what it wrote, both streams as they came, and its status */
function runScript(name: string): { readonly output: string; readonly result: ReturnType<typeof bootStack> } {
  const directory = mkdtempSync(join(tmpdir(), 'vkernel-shell-'));
  try {
    for (const path of ['usr/bin', 'tmp', 'empty', 'desk']) mkdirSync(join(directory, path), { recursive: true });
    copyFileSync(join(GUESTS as string, 'usr/bin/busybox'), join(directory, 'usr/bin/busybox'));
    for (const applet of APPLETS) symlinkSync('busybox', join(directory, 'usr/bin', applet));
    copyFileSync(new URL(`shell/${name}.sh`, import.meta.url), join(directory, 'desk/script.sh'));
    let output = '';
    const machine = Machine.create({
      ramBytes: 512 * 2 ** 20, // room for the tables of 200 processes at a time
      console: { write: (_fd, bytes) => void (output += Buffer.from(bytes).toString('latin1')), read: () => new Uint8Array(0) },
    });
    const formats = chooseFormats(64, undefined, undefined, 'guest');
    const provider = directoryProvider(directory);
    if (machine === null || typeof formats === 'string' || typeof provider === 'number') throw new Error('the machine cannot be built');
    const result = bootStack({
      machine,
      xlen: 64,
      ...formats,
      tracer: new Tracer(),
      log: () => undefined,
      process: {
        program: '/usr/bin/busybox',
        argv: ['busybox', 'sh', '/desk/script.sh'],
        env: ['PATH=/usr/bin', 'HOME=/'],
        provider,
        workingDirectory: '/empty',
        report: () => undefined,
      },
    });
    const status = result.report === null ? -1 : exitStatus(result.report.exit);
    return { output: `${output}status ${status}\n`, result };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe.runIf(GUESTS !== null)('scripts of the shell', () => {
  test.each(['tools', 'jobs'])('%s', (name) => {
    const { output, result } = runScript(name);
    expect(output).toBe(golden(`shell/${name}.txt`));
    expectAllBack(result);
  });
  test('a thousand forks in chains, trees and pipelines', () => {
    const { output, result } = runScript('story');
    expect(output).toBe(golden('shell/story.txt'));
    expectAllBack(result);
    const { before, after } = result.report ?? { before: null, after: null };
    expect(after).toEqual(before);
  });
});
