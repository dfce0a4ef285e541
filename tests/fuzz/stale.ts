/**
 * The fuzz target `stale`: translations change and are invalidated while 1 to 4 harts use them. After every operation
 * every access of every hart to every page of every space is tried without a fault: what still works must be a
 * translation that nobody has invalidated.
 */
import { type Campaign, Coverage, type Failure, runSequences, type Sequences, type Target } from './campaign.ts';
import { randomSteps, showStep, type Step, Twin, type TwinOptions, type Weights } from './twin.ts';

export const STALE_STEPS = 60;

const WEIGHTS: Weights = [
  [30, 'access'],
  [12, 'hart'],
  [7, 'map'],
  [4, 'unmap'],
  [7, 'protect'],
  [3, 'forget'],
  [8, 'inval'],
  [6, 'setmap'],
  [10, 'poke'],
  [2, 'create'],
  [4, 'destroy'],
  [3, 'pressure'],
  [2, 'time'],
  [6, 'fork'],
  [1, 'inherit'],
  [2, 'lock'],
  [1, 'unlock'],
  [4, 'inval-many'],
  [3, 'scattered'],
];

const LARGE_EVERY = 12;
const LARGE_STEPS = 8;
const LARGE_WEIGHTS: Weights = [
  [4, 'large'],
  [1, 'hart'],
  [1, 'fork'],
];

function machineOf(index: number): TwinOptions {
  if (index % LARGE_EVERY === 0) return { frames: 2048, harts: 4, mmu: 'sv39', vpte: 'vpte-64-nx', swapPages: 4096 };
  const [mmu, vpte] = [
    ['sv39', 'vpte-64-nx'],
    ['sv32', 'vpte-32-nx'],
    ['sv48', 'vpte-2006v'],
  ][index % 3];
  return { frames: 256, harts: 1 + (Math.floor(index / 3) % 4), mmu, vpte, swapPages: 2048 };
}

const STALE_SEQUENCES: Sequences<Step> = {
  steps: (random, index) =>
    index % LARGE_EVERY === 0 ? randomSteps(random, LARGE_STEPS, LARGE_WEIGHTS) : randomSteps(random, STALE_STEPS, WEIGHTS),
  run: (steps, index, coverage) => {
    const options = machineOf(index);
    const twin = new Twin(options, coverage);
    for (const step of steps) {
      twin.run(step);
      twin.sweep();
      twin.check();
    }
    twin.end();
    coverage.count('machines', `${options.harts} harts`);
  },
  show: showStep,
};

export function fuzzStale(campaign: Campaign): { failures: Failure[]; coverage: Coverage } {
  const coverage = new Coverage();
  return { failures: runSequences(campaign, STALE_SEQUENCES, coverage), coverage };
}

export const STALE: Target = {
  what: `translations that change under 1 to 4 harts, ${STALE_STEPS} operations a case, every access tried after each`,
  batch: 1,
  run: (campaign) => {
    const { failures, coverage } = fuzzStale(campaign);
    return { failures, coverage: coverage.text() };
  },
};
