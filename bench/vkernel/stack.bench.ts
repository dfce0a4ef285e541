/**
 * What does an event cost a guest program, through all layers? A system call: RUN ends, message to the personality,
 * answer, RUN. A page: fault in the host, RUN ends, message to the pager, a request to physmem, map, RUN, fault in
 * the host, virtual page-table walk, and a clear frame in two kernels.
 *
 * The program makes N events or none; the difference is divided by N. Counters come first: they repeat exactly.
 * There is one machine, switched on again for each run: the first touch of its memory is the operating system's work
 * (about 2 µs a page on Linux), not ours.
 */
import { readFileSync } from 'node:fs';
import { Tracer } from '../../hostkernel/base/trace.ts';
import { compileLayout, Machine, SV32, SV39, VPTE_32_NX, VPTE_64_NX } from '../../hostkernel/machine/index.ts';
import { bootStack, type StackStats } from '../../vkernel/index.ts';
import { cpuTimes } from '../cpu-time.ts';
import { type Files, Suite } from '../suite.ts';

const CALLS = 500_000;
const PAGES = 40_000;
const ROUNDS = 7;
const MEGABYTE = 2 ** 20;
const image = readFileSync(new URL('../../userland/programs/elf/events-rv64', import.meta.url));

/** A machine whose memory the operating system has handed out. */
function warmMachine(): Machine {
  const made = Machine.create({ ramBytes: 256 * MEGABYTE });
  if (made === null) throw new Error('no memory');
  made.ram.u8.fill(0);
  return made;
}

/** Boots `machine`, runs the program with these arguments, shuts down. */
function events(machine: Machine, ...args: string[]): StackStats {
  const { report, failure, stats } = bootStack({
    machine,
    xlen: 64,
    mmu64: compileLayout(SV39),
    mmu32: compileLayout(SV32),
    vpte64: compileLayout(VPTE_64_NX),
    vpte32: compileLayout(VPTE_32_NX),
    tracer: new Tracer(),
    log: () => undefined,
    process: {
      program: '/bin/events',
      argv: ['events', ...args],
      env: [],
      provider: null,
      files: [{ path: '/bin/events', mode: 0o755, bytes: image }],
      report: (line) => console.log(line),
    },
  });
  if (report?.exit.kind !== 'exit' || report.exit.code !== 0) throw new Error(failure ?? 'the program failed');
  return stats;
}

const SHOWN = ['instructions', 'guestSyscalls', 'guestFaults', 'ipcs', 'hostFaults', 'vpteWalks', 'hostSyscalls', 'maps'] as const;

/** Counters of N events, less those of none, an event; the sums go to the suite. */
function perEvent(suite: Suite, name: string, n: number, some: StackStats, none: StackStats): void {
  suite.counts(name, { events: n, ...Object.fromEntries(SHOWN.map((counter) => [counter, some[counter] - none[counter]])) });
  const each = SHOWN.map((counter) => `${((some[counter] - none[counter]) / n).toFixed(2)} ${counter}`);
  console.log(`${name}: ${each.join(', ')}`);
}

export function run(): Files {
  const suite = new Suite('stack');
  const machine = warmMachine();
  const none = events(machine, 'syscall', '0');
  suite.counts('boot', Object.fromEntries(SHOWN.map((counter) => [counter, none[counter]])));
  perEvent(suite, 'a system call', CALLS, events(machine, 'syscall', String(CALLS)), none);
  perEvent(suite, 'a page', PAGES, events(machine, 'touch', String(PAGES)), none);
  const [boot, calls, pages] = cpuTimes(ROUNDS, [
    () => events(machine, 'syscall', '0'),
    () => events(machine, 'syscall', String(CALLS)),
    () => events(machine, 'touch', String(PAGES)),
  ]);
  suite.times('boot', boot.samples);
  suite.times('a system call', calls.samples);
  suite.times('a page', pages.samples);
  const each = (some: number, base: number, n: number): string => `${(((some - base) / n) * 1e6).toFixed(0)} ns`;
  console.log(`processor time, median of ${ROUNDS} (best):`);
  console.log(`  boot, a program that does nothing, shutdown: ${boot.median.toFixed(0)} ms (${boot.best.toFixed(0)})`);
  console.log(`  a system call: ${each(calls.median, boot.median, CALLS)} (${each(calls.best, boot.best, CALLS)})`);
  console.log(`  a page touched and released: ${each(pages.median, boot.median, PAGES)} (${each(pages.best, boot.best, PAGES)})`);
  return suite.files();
}
