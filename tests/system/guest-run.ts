/** Runs a case of guest-cases.ts: under qemu, and under the whole stack. Both give the same record. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Tracer } from '../../hostkernel/base/trace.ts';
import { Machine } from '../../hostkernel/machine/index.ts';
import { chooseFormats } from '../../vkernel/cli/layouts.ts';
import { bootStack, exitStatus, type StackStats } from '../../vkernel/index.ts';
import { directoryProvider } from '../../vkernel/posix/node/provider.ts';
import { GUEST_CASES, type GuestCase } from './guest-cases.ts';
import { describeFiles, describeTree, makeTree } from './guest-tree.ts';

/** What a program did. Text is Latin-1; long output is its length and digest. */
export interface Outcome {
  readonly status: number; // 128 + n for signal n
  readonly stdout: string;
  readonly stderr: string;
  /** What it changed in the tree: lines that are new, and lines that are gone. */
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

const root = resolve(process.env['VKERNEL_GUESTS'] ?? 'guests', 'root');
const present = existsSync(join(root, 'usr/bin/busybox')) && existsSync(join(root, 'usr/bin/bash-static'));

/** The unpacked packages, or null. */
export const GUESTS: string | null = present ? root : null;
export const QEMU: boolean = spawnSync('qemu-riscv64', ['--version']).status === 0;

const FILES = { busybox: 'busybox', bash: 'bash-static' } as const;
const ENVIRONMENT = { PATH: '/usr/bin', HOME: '/desk', USER: 'root', LOGNAME: 'root', TERM: 'dumb', TZ: 'UTC', LC_ALL: 'C' };
const LONG = 2000; // characters
const SIGNALS: Readonly<Record<string, number>> = { SIGABRT: 6, SIGSEGV: 11, SIGKILL: 9, SIGTERM: 15, SIGILL: 4, SIGBUS: 7 };

/** The lines of `text`, in order where the order means nothing. */
function ordered(guestCase: GuestCase, text: string): string {
  return guestCase.unordered === true ? text.split('\n').sort().join('\n') : text;
}

/** Standard input of a case, which may be what another one writes. */
function inputOf(guestCase: GuestCase, run: (other: GuestCase) => string): Buffer {
  const { stdinOf } = guestCase;
  if (stdinOf === undefined) return Buffer.from(guestCase.stdin ?? '', 'latin1');
  const other = GUEST_CASES.find(({ name }) => name === stdinOf);
  if (other === undefined) throw new Error(`no case ${stdinOf}`);
  return Buffer.from(run(other), 'latin1');
}

function shorten(text: string): string {
  if (text.length <= LONG) return text;
  return `${text.slice(0, 200)}... ${text.length} bytes, md5 ${createHash('md5').update(Buffer.from(text, 'latin1')).digest('hex')}`;
}

function changes(before: readonly string[], after: readonly string[]): { added: string[]; removed: string[] } {
  const [old, now] = [new Set(before), new Set(after)];
  return { added: after.filter((one) => !old.has(one)), removed: before.filter((one) => !now.has(one)) };
}

/** Calls `body` with a fresh tree: /usr/bin with the program, /desk with the files, and an empty /tmp. */
function withTree<T>(guestCase: GuestCase, body: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'vkernel-guest-'));
  try {
    mkdirSync(join(directory, 'usr/bin'), { recursive: true });
    mkdirSync(join(directory, 'tmp'));
    const name = FILES[guestCase.program];
    copyFileSync(join(GUESTS as string, 'usr/bin', name), join(directory, 'usr/bin', name));
    chmodSync(join(directory, 'usr/bin', name), 0o755);
    utimesSync(join(directory, 'usr/bin', name), 0, 0);
    makeTree(directory, { big: guestCase.big ?? false });
    return body(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

export function runUnderQemu(guestCase: GuestCase): Outcome {
  const { stdout, stderr, ...rest } = rawUnderQemu(guestCase);
  return { ...rest, stdout: shorten(ordered(guestCase, stdout)), stderr: shorten(stderr) };
}

/** The outcome with all of the output. */
function rawUnderQemu(guestCase: GuestCase): Outcome {
  const input = inputOf(guestCase, (other) => rawUnderQemu(other).stdout);
  return withTree(guestCase, (directory) => {
    const before = describeTree(directory);
    const name = FILES[guestCase.program];
    const run = spawnSync('qemu-riscv64', ['-0', name, join(directory, 'usr/bin', name), ...guestCase.args], {
      cwd: join(directory, 'desk'),
      env: ENVIRONMENT,
      input,
      maxBuffer: 2 ** 26,
    });
    const status = run.signal === null ? (run.status as number) : 128 + (SIGNALS[run.signal] ?? 0);
    // What depends on where the tree is becomes what it is inside the root; qemu's own line about a signal is not the program's.
    const text = (bytes: Buffer): string =>
      bytes
        .toString('latin1')
        .replaceAll(directory, '')
        .replace(/^qemu: uncaught target signal.*\n/m, '');
    return { status, stdout: text(run.stdout), stderr: text(run.stderr), ...changes(before, describeTree(directory)) };
  });
}

/** What the stack made of a case; `host` is what changed in the directory beneath, which must be nothing. */
export interface StackRun {
  readonly outcome: Outcome;
  readonly host: { readonly added: readonly string[]; readonly removed: readonly string[] };
  readonly stats: StackStats;
}

export function runUnderStack(guestCase: GuestCase): StackRun {
  const { outcome, ...rest } = rawUnderStack(guestCase);
  const { stdout, stderr } = outcome;
  return { ...rest, outcome: { ...outcome, stdout: shorten(ordered(guestCase, stdout)), stderr: shorten(stderr) } };
}

function rawUnderStack(guestCase: GuestCase): StackRun {
  const input = inputOf(guestCase, (other) => rawUnderStack(other).outcome.stdout);
  return withTree(guestCase, (directory) => {
    const before = describeTree(directory);
    const output: [string, string] = ['', ''];
    let read = 0;
    const machine = Machine.create({
      ramBytes: 64 * 2 ** 20,
      console: {
        write: (fd, bytes) => {
          output[fd - 1] += Buffer.from(bytes).toString('latin1');
        },
        read: (max) => input.subarray(read, (read = Math.min(input.length, read + max))),
      },
    });
    const formats = chooseFormats(64, undefined, undefined, 'guest');
    const provider = directoryProvider(directory);
    if (machine === null || typeof formats === 'string' || typeof provider === 'number') throw new Error('the machine cannot be built');
    const name = FILES[guestCase.program];
    const result = bootStack({
      machine,
      xlen: 64,
      ...formats,
      tracer: new Tracer(),
      log: () => undefined,
      process: {
        program: `/usr/bin/${name}`,
        argv: [name, ...guestCase.args],
        env: Object.entries(ENVIRONMENT).map(([key, value]) => `${key}=${value}`),
        provider,
        workingDirectory: '/desk',
        report: () => undefined,
      },
    });
    if (result.report === null || result.report.files === null) throw new Error(result.failure ?? 'no report');
    const { exit, files } = result.report;
    const outcome = { status: exitStatus(exit), stdout: output[0], stderr: output[1], ...changes(before, describeFiles(files)) };
    return { outcome, host: changes(before, describeTree(directory)), stats: result.stats };
  });
}

/** The golden outcomes, by name of the case. */
export function golden(): Readonly<Record<string, Outcome>> {
  return JSON.parse(readFileSync(new URL('golden/guests.json', import.meta.url), 'utf8')) as Record<string, Outcome>;
}
