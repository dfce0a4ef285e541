/**
 * The crash dump: what is shown when one of our kernels finds itself broken. A KernelPanic, or any other exception out
 * of a kernel, is our mistake, whatever the guest did; the machine stops where it was.
 */
import { KernelPanic } from '../../hostkernel/base/assert.ts';
import type { Machine } from '../../hostkernel/machine/index.ts';
import { EXIT_CRASH } from './report.ts';
import { OutputFailure, TERMINAL } from './terminal.ts';

const hex = (value: number): string => (value >>> 0).toString(16).padStart(8, '0');

/** What broke, where in our code, and the state of the hart, as lines. */
export function crashDump(machine: Machine, error: unknown): string {
  const { hart, clock, ram } = machine;
  const what = error instanceof KernelPanic ? error.message : String(error);
  const where = error instanceof Error ? (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line)) : [];
  const registers = Array.from(
    { length: 32 },
    (_, i) => `${`x${i}`.padStart(3)} ${hex(hart.x[2 * i + 1] as number)}${hex(hart.x[2 * i] as number)}`,
  );
  const rows = Array.from({ length: 8 }, (_, row) => `  ${registers.slice(4 * row, 4 * row + 4).join('  ')}`);
  return [
    `vkernel: kernel panic: ${what}`,
    'This is a defect of vkernel, not of the program. A report needs the command line and what follows.',
    `  pc ${hex(hart.pcHi)}${hex(hart.pcLo)}, ${hart.retired} instructions retired, virtual time ${clock.now()} ns, RAM ${ram.frames} frames`,
    ...rows,
    ...where.slice(0, 12).map((line) => `  ${line.trim()}`),
  ].join('\n');
}

/** Runs `body` on the machine. @returns its result, or EXIT_CRASH after a crash dump on standard error */
export function guarded<T extends object>(machine: Machine, body: () => T): T | typeof EXIT_CRASH {
  try {
    return body();
  } catch (error) {
    if (error instanceof OutputFailure) throw error; // a fault of the streams, not of a kernel
    TERMINAL.write(2, new TextEncoder().encode(`${crashDump(machine, error)}\n`));
    return EXIT_CRASH;
  }
}
