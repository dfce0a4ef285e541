/**
 * What does an event cost a guest program, through all layers? A system call: RUN ends, message to the personality,
 * answer, RUN. A page: fault in the host, RUN ends, message to the pager, two requests to physmem, map, RUN, fault in
 * the host, virtual page-table walk, and a clear frame in two kernels.
 *
 * The program makes N events or none; the difference is divided by N. Counters come first: they repeat exactly.
 */
import { readFileSync } from 'node:fs';
import b from 'benny';
import { Tracer } from '../../hostkernel/base/trace.ts';
import { compileLayout, Machine, SV32, SV39, VPTE_32_NX, VPTE_64_NX } from '../../hostkernel/machine/index.ts';
import { bootStack, type StackStats } from '../../vkernel/index.ts';

const CALLS = 200_000;
const PAGES = 20_000;
const MEGABYTE = 2 ** 20;
const image = readFileSync(new URL('../../userland/programs/elf/events-rv64', import.meta.url));

/** Boots a machine of 256 MiB, runs `events` with these arguments, shuts down. */
function events(...args: string[]): StackStats {
  const machine = Machine.create({ ramBytes: 256 * MEGABYTE });
  if (machine === null) throw new Error('no memory');
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

/** Counters of N events, less those of none, an event. */
function perEvent(name: string, n: number, some: StackStats, none: StackStats): void {
  const each = SHOWN.map((counter) => `${((some[counter] - none[counter]) / n).toFixed(2)} ${counter}`);
  console.log(`${name}: ${each.join(', ')}`);
}

export async function run(): Promise<void> {
  const none = events('syscall', '0');
  perEvent('a system call', CALLS, events('syscall', String(CALLS)), none);
  perEvent('a page', PAGES, events('touch', String(PAGES)), none);
  const summary = await b.suite(
    'stack: events of a guest program',
    b.add('boot, a program that does nothing, shutdown', () => events('syscall', '0').instructions),
    b.add(`the same with ${CALLS} system calls`, () => events('syscall', String(CALLS)).guestSyscalls),
    b.add(`the same with ${PAGES} pages touched`, () => events('touch', String(PAGES)).guestFaults),
    b.cycle(),
    b.complete(),
    b.save({ folder: 'bench/results', file: 'stack', details: true }),
  );
  const [boot, calls, pages] = summary.results.map((result) => result.details.median * 1e9) as [number, number, number];
  console.log(
    `boot and shutdown ${(boot / 1e6).toFixed(0)} ms, system call ${((calls - boot) / CALLS).toFixed(0)} ns, page ${((pages - boot) / PAGES).toFixed(0)} ns`,
  );
}
