/** A program on the booted stack, measured as it runs: what the vpagetable method counts is what the host kernel counted. */
import { describe, expect, test } from 'vitest';
import { LiveRun, type LiveResult } from '../../../bench/lab/live-run.ts';
import { METHOD_NAMES, type MethodName } from '../../../bench/lab/job.ts';
import { readResults, resultSetText } from '../../../bench/lab/result.ts';
import { Runs } from '../../../bench/lab/run.ts';
import type { Batch } from '../../../bench/lab/stream.ts';
import { RecordOutput, TRACE_FORMATS } from '../../../bench/lab/traces/index.ts';
import { chooseFormats } from '../../../vkernel/cli/layouts.ts';
import { run, type RunOptions, type RunResult } from '../../system/stack-run.ts';

interface Measured extends LiveResult {
  readonly stack: RunResult;
}

function measured(options: RunOptions, methods: readonly MethodName[], record?: (batch: Batch) => void): Measured {
  const { xlen, mmu, vpte } = options;
  const formats = chooseFormats(xlen, mmu, vpte, 'guest');
  if (typeof formats === 'string') throw new Error(formats);
  const runs: LiveRun[] = [];
  const stack = run({
    ...options,
    watch: (machine) => {
      const live = new LiveRun({
        program: options.programs[0][0],
        methods,
        machine,
        modelled: {},
        mmu: formats[`mmu${xlen}`],
        vpte: formats[`vpte${xlen}`],
        ...(record === undefined ? {} : { record }),
      });
      runs.push(live);
      return { watcher: live.recorder };
    },
  });
  return { ...runs[0].finish(stack), stack };
}

/** Of hardware's tables and virtual ones: the defaults, and others of all kinds in both places. */
const LAYOUTS: readonly { readonly xlen: 32 | 64; readonly mmu?: string; readonly vpte?: string }[] = [
  { xlen: 64 },
  { xlen: 64, mmu: 'sv48', vpte: 'sv39' }, //               addresses that have no sign where the table is virtual
  { xlen: 64, mmu: 'armv8-4k-48', vpte: 'power-radix' }, // bits that software sets; entries most significant byte first
  { xlen: 32 },
  { xlen: 32, mmu: 'i386-2l', vpte: 'sv32' }, //            everything can be executed
  { xlen: 32, mmu: 'sparc-srmmu', vpte: 'vpte-64' },
];

/** One process that grows and shrinks; two that share pages until they write them, with signals beyond all tables. */
const PROGRAMS: readonly { readonly program: readonly [name: string, ...args: string[]] }[] = [
  { program: ['sorter', '60'] },
  { program: ['fork', 'pages', '8'] },
];

describe.each(LAYOUTS)('rv$xlen, mmu $mmu, vpte $vpte', (layouts) => {
  test.each(PROGRAMS)('$program: faults, walks, entries read and invalidations are those of the host kernel', ({ program }) => {
    const { agreements, results } = measured({ ...layouts, programs: [program] }, ['vpagetable']);
    expect(results.map(({ partial }) => partial)).toEqual([null]);
    expect(agreements.filter(({ isEqual }) => !isEqual)).toEqual([]);
    const counts = Object.fromEntries(agreements.map(({ what, stack }) => [what, stack]));
    expect(counts['faults']).toBeGreaterThan(20);
    expect(counts['entries they read']).toBeGreaterThan(counts['faults']);
  });
});

test('all methods see the same program', () => {
  const { results, stack, agreements } = measured({ xlen: 64, programs: [['fork', 'pages', '8']] }, METHOD_NAMES);
  expect(results.map(({ job }) => job.method)).toEqual(METHOD_NAMES);
  expect(agreements.every(({ isEqual }) => isEqual)).toBe(true);
  const [first] = results;
  for (const { counts, partial } of results) {
    expect(partial).toBe(null);
    expect(counts.instructions).toBe(stack.stats.instructions);
    expect(counts.accesses).toBe(first.counts.accesses);
    expect(counts.events['programErrors']).toBe(0);
    for (const event of ['guestFaults', 'tableWrites', 'switches', 'invalidations', 'touched'] as const) {
      expect(counts.events[event], event).toBe(first.counts.events[event]);
    }
  }
});

test('a trace of the run gives the same results when it is read again', () => {
  const bytes: Uint8Array[] = [];
  const format = TRACE_FORMATS['vktrace'];
  const writer = format.write((piece) => bytes.push(piece.slice()));
  const { results } = measured({ xlen: 32, programs: [['hello']] }, ['native', 'vpagetable'], (batch) => writer.write(batch));
  writer.end();
  const runs = new Runs(results.map(({ job }) => job));
  const reader = format.read(new RecordOutput((batch) => void runs.take(batch)));
  for (const piece of bytes) reader.feed(piece);
  reader.end();
  expect(resultSetText(runs.results(null))).toBe(resultSetText(results));
});

test('results are results like others: they can be written and read', () => {
  const { results } = measured({ xlen: 64, mmu: 'sv48', vpte: 'sv39', programs: [['hello']] }, ['nested']);
  const text = resultSetText(results);
  const read = readResults(JSON.parse(text));
  expect('results' in read && resultSetText(read.results)).toBe(text);
});
