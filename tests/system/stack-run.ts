/** Boots the stack for one committed program (userland/programs/elf) and tells what came of it. */
import { readFileSync } from 'node:fs';
import { Tracer } from '../../hostkernel/base/trace.ts';
import { Machine } from '../../hostkernel/machine/index.ts';
import { chooseFormats } from '../../vkernel/cli/layouts.ts';
import { bootNested } from '../../vkernel/cli/nested.ts';
import { type StackOptions, type StackResult } from '../../vkernel/index.ts';

export interface RunOptions {
  readonly xlen: 32 | 64;
  readonly mmu?: string;
  readonly vpte?: string;
  readonly ramBytes?: number;
  readonly tracer?: Tracer;
  /** The programs, one after the other: a name of userland/programs and its arguments. */
  readonly programs: readonly (readonly [name: string, ...args: string[]])[];
  readonly timeLimit?: number;
  /** Host kernels between the machine's own and the stack. */
  readonly nest?: number;
  readonly stack?: Partial<StackOptions>;
  /** Looks at the machine before anything runs. @returns more options */
  readonly watch?: (machine: Machine) => Partial<StackOptions>;
}

export interface RunResult extends StackResult {
  readonly output: string;
  readonly ends: readonly string[]; // of each program
}

export function program(name: string, xlen: 32 | 64): Uint8Array {
  return readFileSync(new URL(`../../userland/programs/elf/${name}-rv${xlen}`, import.meta.url));
}

export function run(options: RunOptions): RunResult {
  const { xlen } = options;
  const formats = chooseFormats(xlen, options.mmu, options.vpte, 'guest');
  if (typeof formats === 'string') throw new Error(formats);
  let output = '';
  const decoder = new TextDecoder();
  const machine = Machine.create({
    ramBytes: options.ramBytes ?? 64 * 2 ** 20,
    console: { write: (_fd, bytes) => void (output += decoder.decode(bytes, { stream: true })), read: () => new Uint8Array(0) },
  });
  if (machine === null) throw new Error('no memory for the machine');
  const processes = options.programs.map(([name, ...args]): StackOptions['process'] => ({
    program: `/bin/${name}`,
    argv: [name, ...args],
    env: [],
    provider: null,
    files: [{ path: `/bin/${name}`, mode: 0o755, bytes: program(name, xlen) }],
    report: () => undefined,
    ...(options.timeLimit === undefined ? {} : { timeLimit: options.timeLimit }),
  }));
  const ends: string[] = [];
  let next = 1;
  const result = bootNested(options.nest ?? 0, {
    machine,
    xlen,
    ...formats,
    tracer: options.tracer ?? new Tracer(),
    log: () => undefined,
    process: processes[0] as StackOptions['process'],
    next: ({ exit }) => {
      ends.push(exit.kind === 'exit' ? `exit ${exit.code}` : exit.kind === 'signal' ? exit.text : exit.refusal.text);
      return processes[next++] ?? null;
    },
    ...options.stack,
    ...options.watch?.(machine),
  });
  return { ...result, output, ends };
}
