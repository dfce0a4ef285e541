/**
 * Boots the stack with a program, for every command that runs one: finds the program, makes the machine, listens to
 * events, and catches a panic.
 */
import { basename } from 'node:path';
import { isatty } from 'node:tty';
import { errnoText } from '../../hostkernel/base/errno.ts';
import { Tracer } from '../../hostkernel/base/trace.ts';
import type { Machine } from '../../hostkernel/machine/index.ts';
import type { SpaceWatcher, StackOptions, StackProbe, StackResult } from '../index.ts';
import { directoryProvider } from '../posix/node/provider.ts';
import { FileSystem } from '../posix/vfs/filesystem.ts';
import { byteString, type FileProvider } from '../posix/vfs/provider.ts';
import { guarded } from './crash.ts';
import { chooseFormats, type Formats } from './layouts.ts';
import { bootNested } from './nested.ts';
import { createMachine, type MachineOptions } from './options.ts';
import { readProgram, type Refusal } from './program-file.ts';
import { complain, EXIT_USAGE } from './report.ts';
import { ASIDE, TERMINAL } from './terminal.ts';
import { listen } from './trace.ts';

/** What a program finds in its environment. Fixed: the same command gives the same run. */
const ENVIRONMENT = [
  'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  'HOME=/root',
  'USER=root',
  'SHELL=/bin/sh',
  'TERM=xterm',
];

/** The program, where the guest finds it. */
interface Found {
  readonly path: string; // inside the guest's file system
  readonly xlen: 32 | 64;
  readonly provider: FileProvider | null;
  readonly files: readonly { readonly path: string; readonly mode: number; readonly bytes: Uint8Array }[];
}

/** What a command wants that looks at the system while the program has its memory. The program's output is not its own. */
export interface Look {
  readonly probe: StackProbe; // filled in
  readonly inspect?: (machine: Machine) => NonNullable<StackOptions['inspect']>;
  /** Called before the boot, when everything about the program is known. */
  readonly watch?: (machine: Machine, xlen: 32 | 64, formats: Formats) => SpaceWatcher;
}

/**
 * Runs the program to its end.
 * @param look of a command that shows the system, not the program
 * @returns what happened; or the exit status of a refusal or a crash, which has been explained
 */
export function bootProgram(path: string, args: readonly string[], options: MachineOptions, look?: Look): StackResult | number {
  const probe: StackProbe = look?.probe ?? { physmem: null };
  const found = options.root === undefined ? outside(path) : inside(options.root, path);
  if ('text' in found) return complain(found.text, found.status);
  const formats = chooseFormats(found.xlen, options.mmu, options.vpte, 'guest');
  if (typeof formats === 'string') return complain(formats, EXIT_USAGE);
  const machine = createMachine(options, look === undefined ? TERMINAL : ASIDE);
  if (typeof machine === 'string') return complain(machine, EXIT_USAGE);
  const tracer = new Tracer();
  listen(tracer, options);
  const watcher = look?.watch?.(machine, found.xlen, formats);
  return guarded({ machine, probe, file: options.crashDump }, () =>
    bootNested(options.nest, {
      machine,
      xlen: found.xlen,
      ...formats,
      tracer,
      faultAround: options.faultAround,
      cluster: options.cluster,
      ...(options.image === null ? {} : { imageBytes: options.image }),
      ...(options.swap === null ? {} : { swap: options.swap }),
      policy: options.policy,
      log: () => undefined,
      probe,
      terminals: [isatty(0), isatty(1), isatty(2)],
      process: {
        program: found.path,
        argv: [path, ...args],
        env: ENVIRONMENT,
        provider: found.provider,
        files: found.files,
        report: (line) => void complain(line, 0),
      },
      ...(look?.inspect === undefined ? {} : { inspect: look.inspect(machine) }),
      ...(watcher === undefined ? {} : { watcher }),
    }),
  );
}

/** A program of this machine, put into an otherwise empty file system. */
function outside(path: string): Found | Refusal {
  const program = readProgram(path);
  if ('text' in program) return program;
  const inner = `/bin/${basename(path)}`;
  return { path: inner, xlen: program.image.xlen, provider: null, files: [{ path: inner, mode: 0o755, bytes: program.bytes }] };
}

/** A program inside `--root`. What is wrong with it the guest's own loader says; only its width is needed here. */
function inside(root: string, path: string): Found | (Omit<Refusal, 'status'> & { readonly status: number }) {
  const provider = directoryProvider(root);
  if (typeof provider === 'number') return { text: `--root: ${root}: ${errnoText(-provider)}`, status: EXIT_USAGE };
  const fs = new FileSystem({ provider, now: () => ({ seconds: 0, nanoseconds: 0 }) });
  const inode = fs.lookup(fs.root, byteString(path), true);
  const head = new Uint8Array(5);
  const readable = typeof inode !== 'number' && inode.kind === 'file' && inode.contents.read(0, head, 0, 5) === 5;
  return { path, xlen: readable && head[0] === 0x7f && head[4] === 1 ? 32 : 64, provider, files: [] };
}
