/**
 * The crash dump: what is shown when one of our kernels finds itself broken. A KernelPanic, or any other exception out
 * of a kernel, is our mistake, whatever the guest did; the machine stops where it was.
 *
 * A person gets lines on standard error; with `--crash-dump FILE` the same goes to a file as JSON, with the state of
 * physmem, for `vkernel info`. A run repeats exactly, so a dump can be had of a crash that was seen without one.
 */
import { writeFileSync } from 'node:fs';
import { KernelPanic } from '../../hostkernel/base/assert.ts';
import type { Machine } from '../../hostkernel/machine/index.ts';
import type { PhysmemCensus, StackProbe } from '../index.ts';
import { EXIT_CRASH } from './report.ts';
import { OutputFailure, TERMINAL } from './terminal.ts';

export const DUMP_FORMAT = 'vkernel crash dump 1';

/** What a crash dump file holds. */
export interface CrashDump {
  readonly format: typeof DUMP_FORMAT;
  readonly panic: string;
  readonly where: readonly string[]; // in our code, innermost first
  readonly pc: string;
  readonly registers: readonly string[]; // x0 .. x31, hexadecimal
  readonly instructions: number; // retired
  readonly nanoseconds: number; // virtual time
  readonly frames: number; // of RAM
  /** null: it was not up. A text: why it cannot be read. */
  readonly physmem: PhysmemCensus | string | null;
}

const hex = (value: number): string => (value >>> 0).toString(16).padStart(8, '0');

/** What broke, where in our code, and the state of the hart. */
export function crashDump(machine: Machine, error: unknown, probe: StackProbe): CrashDump {
  const { hart, clock, ram } = machine;
  const stack = error instanceof Error ? (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line)) : [];
  return {
    format: DUMP_FORMAT,
    panic: error instanceof KernelPanic ? error.message : String(error),
    where: stack.map((line) => line.trim()),
    pc: `${hex(hart.pcHi)}${hex(hart.pcLo)}`,
    registers: Array.from({ length: 32 }, (_, i) => `${hex(hart.x[2 * i + 1] as number)}${hex(hart.x[2 * i] as number)}`),
    instructions: hart.retired,
    nanoseconds: clock.now(),
    frames: ram.frames,
    physmem: censusOf(probe),
  };
}

/** A kernel that is broken may not even bear to be looked at. */
function censusOf(probe: StackProbe): CrashDump['physmem'] {
  try {
    return probe.physmem?.() ?? null;
  } catch (error) {
    return `cannot be read: ${String(error)}`;
  }
}

/** The dump as lines for a person. */
export function crashText(dump: CrashDump): string {
  const registers = dump.registers.map((value, i) => `${`x${i}`.padStart(3)} ${value}`);
  const rows = Array.from({ length: 8 }, (_, row) => `  ${registers.slice(4 * row, 4 * row + 4).join('  ')}`);
  return [
    `vkernel: kernel panic: ${dump.panic}`,
    'This is a defect of vkernel, not of the program. A report needs the command line and what follows.',
    `  pc ${dump.pc}, ${dump.instructions} instructions retired, virtual time ${dump.nanoseconds} ns, RAM ${dump.frames} frames`,
    ...rows,
    ...dump.where.slice(0, 12).map((line) => `  ${line}`),
  ].join('\n');
}

/** What is watched: the machine, what can be looked at in it, and where a dump goes (null: nowhere). */
export interface Watched {
  readonly machine: Machine;
  readonly probe: StackProbe;
  readonly file: string | null;
}

/** Runs `body`. @returns its result, or EXIT_CRASH after a crash dump */
export function guarded<T extends object>(watched: Watched, body: () => T): T | typeof EXIT_CRASH {
  try {
    return body();
  } catch (error) {
    if (error instanceof OutputFailure) throw error; // a fault of the streams, not of a kernel
    const dump = crashDump(watched.machine, error, watched.probe);
    const advice = watched.file === null ? '\nRun it again with --crash-dump FILE to have the state of the system in a file.' : '';
    TERMINAL.write(2, new TextEncoder().encode(`${crashText(dump)}${advice}\n`));
    if (watched.file !== null) keep(dump, watched.file);
    return EXIT_CRASH;
  }
}

function keep(dump: CrashDump, file: string): void {
  let said = `crash dump in ${file}`;
  try {
    writeFileSync(file, `${JSON.stringify(dump, null, 2)}\n`);
  } catch (error) {
    said = `--crash-dump: ${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`;
  }
  TERMINAL.write(2, new TextEncoder().encode(`vkernel: ${said}\n`));
}
