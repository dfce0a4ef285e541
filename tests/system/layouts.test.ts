/** The same programs under every pair of page-table layouts: what they print is equal, what a walk costs is not. */
import { describe, expect, test } from 'vitest';
import { TRACE_KINDS, Tracer } from '../../hostkernel/base/trace.ts';
import { compileLayout, layoutByName, type PageTableFormat } from '../../hostkernel/machine/index.ts';
import { run, type RunResult } from './stack-run.ts';

const PROGRAMS = [['sorter', '500'], ['matrix']] as const;

const PAIRS_64 = ['sv39', 'sv48'].flatMap((mmu) => ['vpte-64-nx', 'sv39', 'sv48'].map((vpte) => [mmu, vpte] as const));
const PAIRS_32 = ['vpte-32-nx', 'sv32', 'vpte-2006v', 'vpte-2006'].map((vpte) => ['sv32', vpte] as const);

const format = (name: string): PageTableFormat => compileLayout(layoutByName(name) as NonNullable<ReturnType<typeof layoutByName>>);

function runPair(xlen: 32 | 64, mmu: string, vpte: string, tracer = new Tracer()): RunResult {
  return run({ xlen, mmu, vpte, programs: PROGRAMS, tracer });
}

function expectAccounted({ stats, failure, ends }: RunResult): void {
  expect(failure).toBeNull();
  expect(ends).toEqual(['exit 0', 'exit 0']);
  expect(stats.framesReturned).toBe(stats.framesHeld);
  expect(stats.hostFramesLost).toBe(0);
}

describe.each([
  [64, PAIRS_64],
  [32, PAIRS_32],
] as const)('a %i-bit guest', (xlen, pairs) => {
  const [mmu, vpte] = pairs[0] as readonly [string, string];
  const first = runPair(xlen, mmu, vpte);

  test('runs under the default pair and gives every frame back', () => {
    expectAccounted(first);
    expect(first.output).toMatch(/^sorted 500 nodes, .*\n.*\ndeterminant of Hilbert\(8\): 2\.737050e-33/);
  });

  test.each(pairs)('prints the same under %s and %s, and walks as many levels as they have', (mmuName, vpteName) => {
    const result = runPair(xlen, mmuName, vpteName);
    expectAccounted(result);
    expect(result.output).toBe(first.output);
    const { vpteWalks, vpteReferences, tlbWalkReferences, tlbMisses } = result.stats;
    expect(vpteWalks).toBeGreaterThan(50);
    expect(vpteReferences).toBe(vpteWalks * format(vpteName).levels);
    const { levels } = format(mmuName); // a walk that finds a table missing is shorter
    expect(tlbWalkReferences).toBeLessThanOrEqual(tlbMisses * levels);
    expect(tlbWalkReferences).toBeGreaterThan(tlbMisses * (levels - 0.2));
    // Without permission bits a store needs no second fault, and an interrupted store-conditional is not tried again.
    if (format(vpteName).hasPermissions) expect(result.stats.instructions).toBe(first.stats.instructions);
  });

  test('repeats its counters exactly, with and without listeners', () => {
    let events = 0;
    const tracer = new Tracer();
    for (const kind of TRACE_KINDS) Object.assign(tracer, { [kind]: () => void (events += 1) });
    expect(runPair(xlen, mmu, vpte).stats).toEqual(first.stats);
    expect(runPair(xlen, mmu, vpte, tracer).stats).toEqual(first.stats);
    expect(events).toBeGreaterThan(1000);
  });
});

test('programs run one after the other as if each were alone', () => {
  const alone = run({ xlen: 64, programs: [['hello']] });
  const many = run({ xlen: 64, ramBytes: 16 * 2 ** 20, programs: Array.from({ length: 100 }, () => ['hello'] as const) });
  expect(many.ends).toEqual(Array.from({ length: 100 }, () => 'exit 0'));
  expect(many.output).toBe(alone.output.repeat(100));
  expect(many.stats.hostFramesLost).toBe(0);
});

test('a program that takes too long is killed, and the next one runs', () => {
  const { ends, output, stats } = run({ xlen: 64, timeLimit: 20_000, programs: [['events', 'fpu', '1000000000'], ['hello']] });
  expect(ends).toEqual(['SIGXCPU: its time is up', 'exit 0']);
  expect(output).toMatch(/^hello/);
  expect(stats.hostFramesLost).toBe(0);
});

test('the kernels are sound under virtual page tables that cannot deny to execute', () => {
  const { failure, ends, stats } = run({ xlen: 32, mmu: 'sv32', vpte: 'm68040-4k', programs: [['hello']], stack: { verify: true } });
  expect([failure, ends, stats.hostFramesLost]).toEqual([null, ['exit 0'], 0]);
});
