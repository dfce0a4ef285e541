/**
 * The fuzz target `physmem`: random lives of physmem's core against the cell model, with clients that keep translations
 * as a TLB does, on tight memory. Everything is checked after every operation.
 */
import { live, type Step, randomSetting, randomSteps, showStep } from '../vkernel/physmem/random-run.ts';
import { type Campaign, Coverage, type Failure, runSequences, type Sequences, type Target } from './campaign.ts';
import { Random } from './random.ts';

export const PHYSMEM_STEPS = 400;
const FAULTY = 4; // in one life of so many, allocations and transfers fail

function sequences(length: number): Sequences<Step> {
  return {
    steps: (random) => randomSteps(random, length),
    run: (steps, index, coverage) => {
      const random = new Random(index, 0);
      const setting = randomSetting(random);
      const twins = live(setting, steps, undefined, index % FAULTY === FAULTY - 1 ? random : null);
      for (const [operation, outcome, times] of twins.outcomes()) coverage.count(operation, outcome, times);
    },
    show: showStep,
  };
}

export function fuzzPhysmem(campaign: Campaign, length = PHYSMEM_STEPS): { failures: Failure[]; coverage: Coverage } {
  const coverage = new Coverage();
  return { failures: runSequences(campaign, sequences(length), coverage), coverage };
}

export const PHYSMEM: Target = {
  what: `containers, frames and copies against cells that know no frames: ${PHYSMEM_STEPS} operations a case`,
  batch: 1,
  run: (campaign) => {
    const { failures, coverage } = fuzzPhysmem(campaign);
    return { failures, coverage: coverage.text() };
  },
};
