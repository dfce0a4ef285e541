/** Runs the committed C programs directly on a host kernel, for tests. */

import { readFileSync } from 'node:fs';
import type { ExitStatus } from '../../../hostkernel/kern/index.ts';
import { type Boot, boot, type BootOptions } from './boot.ts';

export interface ProgramRun {
  readonly machine: Boot;
  readonly output: string;
  readonly status: ExitStatus;
}

/** The ELF file of `name` for a width. */
export function programFile(name: string, xlen: 32 | 64): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`../../../userland/programs/elf/${name}-rv${xlen}`, import.meta.url)));
}

/** What `name` prints under qemu: written by `qemu-riscv64 userland/programs/elf/NAME-rv64`. */
export function golden(name: string, folder: URL = new URL('golden/', import.meta.url)): string {
  return readFileSync(new URL(`${name}.txt`, folder), 'utf8');
}

/** Runs a program to its end, itself in the file tree as /NAME. All frames must come back. */
export function runProgram(name: string, xlen: 32 | 64, options: BootOptions & { readonly args?: readonly string[] } = {}): ProgramRun {
  const { args = [], ...rest } = options;
  const file = programFile(name, xlen);
  const machine = boot({ ramBytes: 32 * 2 ** 20, files: new Map([[`/${name}`, file]]), ...rest });
  const process = machine.kernel.spawnElf(file, [`/${name}`, ...args], []);
  if ('reason' in process) throw new Error(process.reason);
  const status = machine.finish(process);
  return { machine, output: machine.output(), status };
}
