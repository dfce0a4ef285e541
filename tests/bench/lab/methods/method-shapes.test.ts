/** What makes each method win: crossovers on one guest, whose table writes, invalidations and misses are swept. */
import { expect, test } from 'vitest';
import { guestPolicy, memoryPolicy } from '../../../../bench/lab/guest/policy.ts';
import { agile } from '../../../../bench/lab/methods/agile.ts';
import type { MethodFactory } from '../../../../bench/lab/methods/method.ts';
import { nested } from '../../../../bench/lab/methods/nested.ts';
import { shadow } from '../../../../bench/lab/methods/shadow.ts';
import { vpagetable } from '../../../../bench/lab/methods/vpagetable.ts';
import { Batch } from '../../../../bench/lab/stream.ts';
import { workload } from '../../../../bench/lab/workloads/index.ts';
import { bareMachine } from '../../../hostkernel/machine/timing/bare-machine.ts';
import { formatOf } from './hypervisor-rig.ts';

const COSTS = {
  exit: 1500,
  inject: 500,
  shadowFill: 310,
  ptWriteEmulate: 2000,
  fault: 1000,
  syscall: 300,
  softWalkPerLevel: 30,
  pmapEnter: 310,
  ipi: 2000,
};

/** A machine on which misses are many and dear. */
const MACHINE = { ...bareMachine({ l1: 16, l2: 64, pwc: 2, hostPwc: 2, ntlb: 4 }), referenceCycles: 30, events: COSTS };

/** Cycles of a program that reads a stable array, and `rate` times per thousand accesses protects `batch` pages of another. */
function cyclesOf(make: MethodFactory, rate: number, batch: number, accesses: number): number {
  const format = formatOf('sv48');
  const method = make({
    machine: MACHINE,
    guest: format,
    hosts: [format],
    guestPolicy: guestPolicy(format, [format], { memoryBytes: 2 ** 28 }),
    hostPolicies: [memoryPolicy(format, null, { memoryBytes: 2 ** 29 })],
    seed: 1,
  });
  const params = { footprint: 2 ** 20, churned: 2 ** 18, kind: 'protect', rate, batch };
  const source = workload({ name: 'pt-churn', params, seed: 7, accesses }, { end: 2 ** 46 });
  const records = new Batch();
  for (let more = true; more; ) {
    records.count = 0;
    more = source.append(records);
    method.consume(records);
  }
  return method.finish().cycles.total;
}

test('shadow beats nested when misses dominate, nested beats shadow when table writes do, and agile is never slower than both', () => {
  for (const [rate, wins] of [
    [0, 'shadow'],
    [50, 'nested'],
  ] as const) {
    const cycles = { nested: cyclesOf(nested, rate, 1, 40_000), shadow: cyclesOf(shadow, rate, 1, 40_000) };
    expect(cycles.shadow < cycles.nested, `${rate} writes per thousand`).toBe(wins === 'shadow');
    // The warm-up is what the shadow of its tables costs: five of them, with 320 pages in use.
    const warmUp = 5 * COSTS.exit + 330 * (COSTS.shadowFill + COSTS.softWalkPerLevel);
    expect(cyclesOf(agile, rate, 1, 40_000)).toBeLessThan(Math.min(cycles.nested, cycles.shadow) + warmUp);
  }
});

test('vpagetable loses to shadow when every write is followed by an invalidation of its page, and wins when they come in batches', () => {
  expect(cyclesOf(vpagetable, 32, 1, 10_000)).toBeGreaterThan(cyclesOf(shadow, 32, 1, 10_000));
  expect(cyclesOf(vpagetable, 2, 16, 10_000)).toBeLessThan(cyclesOf(shadow, 2, 16, 10_000));
});

test('vpagetable and shadow are alike on tables that rest', () => {
  const [one, other] = [cyclesOf(vpagetable, 0, 1, 40_000), cyclesOf(shadow, 0, 1, 40_000)];
  expect(Math.abs(one - other) / other).toBeLessThan(0.08);
});
