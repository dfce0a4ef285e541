/**
 * The fuzz target `host`: random operations on the memory of a machine of 256 frames with a swap device, each compared
 * with the slow memory, all invariants after each. A case is a sequence of STEPS operations on a new machine.
 */
import { type Campaign, Coverage, type Failure, runSequences, type Sequences, type Target } from './campaign.ts';
import { randomSteps, showStep, type Step, Twin, type TwinOptions, type Weights } from './twin.ts';

export const STEPS = 250;

const WEIGHTS: Weights = [
  [36, 'access'],
  [8, 'fill'],
  [4, 'copyin'],
  [10, 'map'],
  [3, 'unmap'],
  [5, 'protect'],
  [2, 'forget'],
  [5, 'inval'],
  [5, 'setmap'],
  [10, 'poke'],
  [3, 'image-write'],
  [1, 'image-read'],
  [1, 'image-cut'],
  [1, 'create'],
  [3, 'destroy'],
  [4, 'pressure'],
  [2, 'time'],
  [5, 'fork'],
  [2, 'inherit'],
  [2, 'lock'],
  [2, 'unlock'],
  [1, 'mincore'],
  [1, 'willneed'],
  [2, 'inval-many'],
];

const MACHINES: readonly TwinOptions[] = [
  { frames: 256, harts: 1, mmu: 'sv39', vpte: 'vpte-64-nx', swapPages: 2048 },
  { frames: 256, harts: 1, mmu: 'sv32', vpte: 'vpte-32-nx', swapPages: 2048 },
  { frames: 256, harts: 2, mmu: 'sv48', vpte: 'vpte-2006v', swapPages: 2048 },
  { frames: 256, harts: 1, mmu: 'sv39', vpte: 'vpte-64-nx', swapPages: 2048, isTold: true },
  { frames: 256, harts: 1, mmu: 'sv39', vpte: 'vpte-2006', swapPages: 0 },
  { frames: 256, harts: 1, mmu: 'sv32', vpte: 'vpte-32-nx', swapPages: 2048, isTold: true },
];

const HOST_SEQUENCES: Sequences<Step> = {
  steps: (random) => randomSteps(random, STEPS, WEIGHTS),
  run: (steps, index, coverage) => {
    const twin = new Twin(MACHINES[index % MACHINES.length], coverage);
    for (const step of steps) {
      twin.run(step);
      twin.check();
    }
    twin.end();
  },
  show: showStep,
};

export function fuzzHost(campaign: Campaign): { failures: Failure[]; coverage: Coverage } {
  const coverage = new Coverage();
  return { failures: runSequences(campaign, HOST_SEQUENCES, coverage), coverage };
}

export const HOST: Target = {
  what: `random operations on memory against a slow model of it, ${STEPS} a case, on 256 frames with swap`,
  batch: 1,
  run: (campaign) => {
    const { failures, coverage } = fuzzHost(campaign);
    return { failures, coverage: coverage.text() };
  },
};
