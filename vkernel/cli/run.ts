/** `vkernel run PROGRAM`: a Linux program as a guest process of a virtual kernel. */
import { readFileSync } from 'node:fs';
import { exitStatus, type StackResult } from '../index.ts';
import { bootProgram } from './boot-program.ts';
import type { MachineOptions } from './options.ts';
import { complain, EXIT_FAILURE, printStats } from './report.ts';

/** Runs the program to its end. @returns the exit status for the shell */
export function runCommand(path: string, args: readonly string[], options: MachineOptions): number {
  const result = bootProgram(path, args, options);
  if (typeof result === 'number') return result;
  if (options.stats) printStats(result.stats, options.json);
  return shellStatus(path, result);
}

/** The exit status a shell would give; a death or a refusal is explained in one line. */
export function shellStatus(path: string, result: StackResult): number {
  if (result.report === null) return complain(result.failure ?? 'the system stopped early', EXIT_FAILURE);
  const { exit } = result.report;
  if (exit.kind === 'signal')
    return complain(`${path}: killed by ${exit.text}${result.refusal === null ? '' : ` (${result.refusal})`}`, exitStatus(exit));
  if (exit.kind === 'refused') return complain(exit.refusal.text, exitStatus(exit));
  return exitStatus(exit);
}

/** The built program `name` of this package. */
export function packagedProgram(name: string): Uint8Array {
  try {
    return readFileSync(new URL(`../../userland/programs/elf/${name}`, import.meta.url));
  } catch {
    return readFileSync(new URL(`../../../userland/programs/elf/${name}`, import.meta.url)); // from dist/
  }
}
