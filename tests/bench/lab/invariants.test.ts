/** What every result keeps to, whatever the job: random methods, layouts, machines, page sizes and workloads. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LabError } from '../../../bench/lab/guest/lab-error.ts';
import { METHOD_NAMES, readJob } from '../../../bench/lab/job.ts';
import type { LabResult } from '../../../bench/lab/result.ts';
import { runJob } from '../../../bench/lab/run.ts';
import { LAYOUT_NAMES } from '../../../hostkernel/machine/paging/index.ts';
import { MACHINE_NAMES } from '../../../hostkernel/machine/timing/index.ts';

const ACCESSES = 800;

const layout = fc.constantFrom(...LAYOUT_NAMES);
const side = fc.record(
  {
    layout,
    pageSizes: fc.constantFrom('base', 'base', 'thp', '2M', '64K'),
    placement: fc.constantFrom('linear', 'first-touch', 'scattered'),
    populate: fc.boolean(),
  },
  { requiredKeys: ['layout'] },
);
const workload = fc.oneof(
  fc.record({
    name: fc.constant('pt-churn'),
    params: fc.record({
      footprint: fc.constant(2 ** 20),
      churned: fc.constant(2 ** 18),
      rate: fc.constant(20),
      batch: fc.constantFrom(1, 8),
      kind: fc.constantFrom('remap', 'protect', 'fork', 'exec'),
    }),
  }),
  fc.record({
    name: fc.constant('uniform'),
    params: fc.record({ footprint: fc.constantFrom(2 ** 16, 2 ** 20, 2 ** 24), writes: fc.constant(0.3) }),
  }),
);
const job = fc.record({
  method: fc.constantFrom(...METHOD_NAMES),
  guest: side,
  hosts: fc.array(side, { minLength: 1, maxLength: 2 }),
  machine: fc.record({ extends: fc.constantFrom(...MACHINE_NAMES) }),
  workload,
  seed: fc.nat(1000),
  warmUp: fc.constantFrom(0, 300),
  accesses: fc.constant(ACCESSES),
});

const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);

function check({ job: { method }, counts, cycles }: LabResult): void {
  const { walks, structures, events } = counts;
  expect(sum(walks.byStage.flatMap(({ servedBy }) => Object.values(servedBy)))).toBe(walks.references);
  expect(sum(walks.perWalk)).toBe(walks.count);
  expect(sum(walks.perWalk.map((count, references) => count * references))).toBe(walks.references);
  expect(events['misses']).toBe(walks.count);
  expect(cycles.work + cycles.tlb + cycles.walk + cycles.data + cycles.traps).toBe(cycles.total);
  expect(counts.accesses).toBe(ACCESSES);
  expect(counts.reads + counts.writes + counts.fetches).toBe(ACCESSES);
  for (const [name, counters] of Object.entries(structures)) {
    expect(counters['hits'], name).toBeLessThanOrEqual(counters['accesses']);
    expect(
      Object.values(counters).every((value) => Number.isInteger(value) && value >= 0),
      name,
    ).toBe(true);
  }
  expect(Object.values(events).every((value) => Number.isInteger(value) && value >= 0)).toBe(true);
  expect(events['programErrors']).toBe(0);
  if (method === 'native') expect(events['exits'] + events['hostFaults'] + events['injections'] + events['calls']).toBe(0);
}

test('references, walks, cycles and accesses add up in every run', async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(job, async (wanted) => {
      const read = readJob(wanted);
      if (!('schema' in read)) return; // this layout has no such pages, or the method no such depth
      try {
        check(await runJob(read));
        run++;
      } catch (error) {
        if (!(error instanceof LabError)) throw error; // a pair of layouts that the method cannot run
      }
    }),
    { numRuns: 120, seed: 20261120 },
  );
  expect(run).toBeGreaterThan(25);
});
