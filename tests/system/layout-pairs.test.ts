/**
 * Page-table layouts change counts, never output: the same program under every layout that can be the machine's, under
 * every one that can be the vkernel's, and under some pairs of unlike ones.
 */
import { describe, expect, test } from 'vitest';
import { Tracer } from '../../hostkernel/base/trace.ts';
import { LAYOUT_NAMES, type LayoutDescriptor, layoutByName } from '../../hostkernel/machine/paging/index.ts';
import { rolesOf } from '../../vkernel/cli/layouts.ts';
import { run } from './stack-run.ts';

const layouts = LAYOUT_NAMES.map((name) => layoutByName(name) as LayoutDescriptor);
const hardware = layouts.filter((layout) => rolesOf(layout).mmu === null);
const virtual = layouts.filter((layout) => rolesOf(layout).vpte === null);
const widthOf = (...used: readonly LayoutDescriptor[]): 32 | 64 => (used.some(({ va }) => va.bits <= 32) ? 32 : 64);

interface Counts {
  readonly tlbMisses: number;
  readonly tlbWalkReferences: number;
  readonly vpteWalks: number;
  readonly vpteReferences: number;
}

/** Runs a program that sorts a list in memory of its own. */
function sort(
  xlen: 32 | 64,
  mmu: string | undefined,
  vpte: string | undefined,
): { output: string; counts: Counts; resolved: ReadonlySet<number> } {
  const resolved = new Set<number>(); // entries read by walks of virtual page tables that found a page
  const tracer = new Tracer();
  tracer.walk = ({ result, references }) => {
    if (result === 'none') resolved.add(references);
  };
  const { output, ends, stats, report } = run({
    xlen,
    ...(mmu === undefined ? {} : { mmu }),
    ...(vpte === undefined ? {} : { vpte }),
    tracer,
    ramBytes: 32 * 2 ** 20,
    programs: [['sorter', '50']],
    stack: { verify: true },
  });
  expect(ends).toEqual(['exit 0']);
  expect(stats.hostFramesLost).toBe(0);
  expect(report?.held.bound).toBeGreaterThan(0);
  expect(stats.framesHeld).toBe(stats.framesReturned);
  const { tlbMisses, tlbWalkReferences, vpteWalks, vpteReferences } = stats;
  return { output, counts: { tlbMisses, tlbWalkReferences, vpteWalks, vpteReferences }, resolved };
}

const EXPECTED = { 32: sort(32, undefined, undefined), 64: sort(64, undefined, undefined) };

/** Tables on a full walk: a fixed first entry is no table. */
const levelsOf = (layout: LayoutDescriptor): number => layout.levels.filter(({ bits }) => bits > 0).length;

function expectSame(mmu: LayoutDescriptor | null, vpte: LayoutDescriptor | null): void {
  const xlen = widthOf(...[mmu, vpte].filter((layout) => layout !== null));
  const got = sort(xlen, mmu?.id, vpte?.id);
  expect(got.output).toBe(EXPECTED[xlen].output);
  // The vkernel maps base pages: a walk that finds one has read one entry on each level.
  if (vpte !== null) expect([...got.resolved]).toEqual([levelsOf(vpte)]);
  // The host may use large pages, so a walk of the hardware reads at most that many.
  if (mmu !== null) expect(got.counts.tlbWalkReferences).toBeLessThanOrEqual(levelsOf(mmu) * got.counts.tlbMisses);
}

test('the program says something', () => {
  expect(EXPECTED[64].output).toMatch(/^sorted 50 nodes/);
  expect(EXPECTED[32].output).toBe(EXPECTED[64].output);
});

describe('the machine’s page tables', () => {
  test('there are some of every family', () => expect(hardware.length).toBeGreaterThanOrEqual(19));
  test.each(hardware.map((layout) => [layout.id, layout] as const))('%s', (_id, layout) => expectSame(layout, null));
});

describe('virtual page tables', () => {
  test('there are some of every family', () => expect(virtual.length).toBeGreaterThanOrEqual(27));
  test.each(virtual.map((layout) => [layout.id, layout] as const))('%s', (_id, layout) => expectSame(null, layout));
});

describe('pairs', () => {
  test.each([
    ['x86-64-5l', 'vpte-64'],
    ['power-radix-4k', 'x86-64-4l'],
    ['armv8-4k-39', 'power-radix-4k'],
    ['sv57', 'sv57x4'],
    ['vpte-64-nx', 'vpte-64-x86'],
    ['m68040-4k', 'sparc-srmmu'],
    ['armv7-short', 'i386-pae'],
    ['i386-pse', 'vpte-2006'],
    ['sv48', 'vpte-2006v'],
    ['sparc-srmmu', 'm68040-4k'],
  ])('%s under %s', (mmu, vpte) => expectSame(layoutByName(mmu), layoutByName(vpte)));

  test('counts repeat exactly', () => {
    expect(sort(64, 'x86-64-5l', 'power-radix-4k').counts).toEqual(sort(64, 'x86-64-5l', 'power-radix-4k').counts);
  });
});

test('tables too large for the memory there is end the boot with a reason', () => {
  const { failure } = run({ xlen: 64, vpte: 'power-radix-4k', ramBytes: 20 * 2 ** 20, programs: [['hello']] });
  expect(failure).toMatch(/^boot failure: .* no memory for the page tables of its startup page$/);
});
