/**
 * The fuzz target `guest`: hostile programs under the whole stack. Cases are told by seed and index; BATCH cases share a
 * boot, and the machine of a batch follows from its number, so `--from` at the start of a batch repeats all that matters.
 */
import { readFileSync } from 'node:fs';
import { Tracer } from '../../hostkernel/base/trace.ts';
import type { GuestProcess, RootReport } from '../../vkernel/posix/root.ts';
import { TABLE_32, TABLE_64 } from '../../vkernel/posix/syscalls/table.ts';
import type { Campaign, Failure, Target } from './campaign.ts';
import { type HostileProgram, hostileProgram } from './program.ts';
import { Random } from './random.ts';
import { runCampaign, type StackConfig } from './stack.ts';

export const BATCH = 250;

const MIB = 2 ** 20;
const MACHINES: readonly StackConfig[] = [
  { xlen: 64, mmu: 'sv39', vpte: 'vpte-64-nx', faultAround: 16, cluster: 1, ramBytes: 16 * MIB },
  { xlen: 32, mmu: 'sv32', vpte: 'vpte-32-nx', faultAround: 16, cluster: 1, ramBytes: 16 * MIB },
  { xlen: 64, mmu: 'sv48', vpte: 'sv39', faultAround: 1, cluster: 1, ramBytes: 16 * MIB },
  { xlen: 32, mmu: 'sv32', vpte: 'sv32', faultAround: 4, cluster: 4, ramBytes: 16 * MIB },
  { xlen: 64, mmu: 'sv39', vpte: 'sv48', faultAround: 8, cluster: 16, ramBytes: 24 * MIB },
  { xlen: 32, mmu: 'sv32', vpte: 'vpte-2006v', faultAround: 16, cluster: 2, ramBytes: 16 * MIB },
];

const SAMPLES = new Map(
  [32, 64].map((xlen) => [xlen, readFileSync(new URL(`../../userland/programs/elf/hello-rv${xlen}`, import.meta.url))]),
);

const IMPLEMENTED_NAMES = new Set(
  [TABLE_32, TABLE_64].flatMap((table) =>
    table.names.filter((name, number) => name !== undefined && (table.calls[number] !== undefined || table.waits[number] !== undefined)),
  ),
);

/** What has been seen: how programs ended, and which system calls they made with which kind of result. */
export class Coverage {
  readonly kinds = new Map<string, number>();
  readonly exits = new Map<string, number>();
  readonly calls = new Map<string, { made: number; succeeded: number }>();
  faults = 0;

  count(map: Map<string, number>, key: string): void {
    map.set(key, (map.get(key) ?? 0) + 1);
  }

  text(): string {
    const table = (map: Map<string, number>): string =>
      [...map]
        .sort((a, b) => b[1] - a[1])
        .map(([key, n]) => `${key} ${n}`)
        .join(', ');
    const calls = [...this.calls.values()];
    const made = calls.reduce((sum, call) => sum + call.made, 0);
    const worked = [...this.calls].filter(([, call]) => call.succeeded > 0);
    const never = [...this.calls].filter(([name, call]) => call.succeeded === 0 && IMPLEMENTED_NAMES.has(name)).map(([name]) => name);
    return [
      `programs: ${table(this.kinds)}`,
      `ends: ${table(this.exits)}`,
      `system calls: ${made} of ${calls.length} kinds, ${worked.length} kinds succeeded at least once; never: ${never.join(' ') || 'none'}`,
      `page faults of programs: ${this.faults}`,
    ].join('\n');
  }
}

/** Cases to run, and where to count what they meet. Of a batch in which one fails the other cases are not run. */
export interface GuestOptions extends Campaign {
  readonly coverage: Coverage;
}

export const GUEST: Target = {
  what: 'hostile programs under the whole stack: noise, instruction soup, system calls, damaged ELF files',
  batch: BATCH,
  run: (campaign) => {
    const coverage = new Coverage();
    const failures = fuzzGuest({ ...campaign, coverage });
    return { failures, coverage: coverage.text() };
  },
};

/** Runs cases. @returns the first failure of each batch */
export function fuzzGuest(options: GuestOptions): Failure[] {
  const failures: Failure[] = [];
  const end = options.from + options.cases;
  for (let index = options.from; index < end; ) {
    const next = Math.min(end, (Math.floor(index / BATCH) + 1) * BATCH);
    const failure = runBatch(options, index, next);
    if (failure !== null) {
      failures.push(failure);
      options.failed?.(failure);
    }
    index = next;
  }
  return failures;
}

export function machineOf(index: number): StackConfig {
  return MACHINES[Math.floor(index / BATCH) % MACHINES.length] as StackConfig;
}

/** The program of a case. */
export function programOf(seed: number, index: number): HostileProgram {
  const { xlen } = machineOf(index);
  return hostileProgram(new Random(seed, index), xlen, SAMPLES.get(xlen) as Uint8Array);
}

function runBatch(options: GuestOptions, start: number, end: number): Failure | null {
  const config = machineOf(start);
  const { coverage, seed } = options;
  const tracer = new Tracer();
  tracer.syscall = ({ name, result }) => {
    const call = coverage.calls.get(name) ?? { made: 0, succeeded: 0 };
    call.made += 1;
    if (result >= 0) call.succeeded += 1;
    coverage.calls.set(name, call);
  };
  let index = start - 1;
  let kind = '';
  const next = (): GuestProcess | null => {
    index += 1;
    if (index >= end) return null;
    options.progress?.(index);
    const program = programOf(seed, index);
    kind = program.kind;
    return {
      program: '/bin/hostile',
      argv: program.argv,
      env: program.env,
      provider: null,
      files: [
        { path: '/bin/hostile', mode: 0o755, bytes: program.file },
        { path: '/tmp/x', mode: 0o644, bytes: new Uint8Array(5000).fill(120) },
      ],
      tracer,
      timeLimit: program.timeLimit,
      seed: index,
      report: () => undefined,
    };
  };
  const done = (report: RootReport): void => {
    coverage.count(coverage.kinds, kind);
    const { exit } = report;
    coverage.count(
      coverage.exits,
      exit.kind === 'exit' ? 'exit' : exit.kind === 'signal' ? (exit.text.split(':')[0] as string) : `refused ${exit.refusal.status}`,
    );
    coverage.faults += report.memory.faults;
  };
  try {
    runCampaign(config, { tracer, next, done });
    return null;
  } catch (error) {
    const what = `${kind}, rv${config.xlen} ${config.mmu} ${config.vpte}`;
    return { index, what, error: error instanceof Error ? error : new Error(String(error)) };
  }
}
