/**
 * The fuzz target `owners`: nobody sees a byte of anybody else. Pages are filled with words that name the memory they
 * belong to; after every operation all of RAM and all blocks of the swap device are searched.
 *
 *   a page table            names nobody
 *   a page, a block         names memories of one line only: a process and those it was forked from
 *   a page that is mapped   names its own memory and those that one was copied from; content is compared besides
 *
 * Large pages are made and broken too: on a machine of 1280 frames, by one operation that knows what must come of it.
 */
import { type Campaign, Coverage, type Failure, runSequences, type Sequences, type Target } from './campaign.ts';
import { randomSteps, showStep, type Step, Twin, type TwinOptions, type Weights } from './twin.ts';

export const OWNER_STEPS = 60;

const WEIGHTS: Weights = [
  [14, 'access'],
  [30, 'fill'],
  [8, 'map'],
  [5, 'unmap'],
  [2, 'protect'],
  [4, 'forget'],
  [3, 'inval'],
  [3, 'setmap'],
  [4, 'poke'],
  [6, 'image-write'],
  [3, 'create'],
  [5, 'destroy'],
  [8, 'fork'],
  [2, 'inherit'],
  [1, 'lock'],
  [1, 'unlock'],
  [6, 'pressure'],
  [2, 'time'],
];

const MACHINES: readonly TwinOptions[] = [
  { frames: 256, harts: 1, mmu: 'sv39', vpte: 'vpte-64-nx', swapPages: 2048 },
  { frames: 256, harts: 2, mmu: 'sv32', vpte: 'vpte-32-nx', swapPages: 2048 },
  { frames: 128, harts: 1, mmu: 'sv48', vpte: 'vpte-64-nx', swapPages: 2048 },
];
const LARGE: TwinOptions = { frames: 1280, harts: 2, mmu: 'sv39', vpte: 'vpte-64-nx', swapPages: 4096 };
const LARGE_EVERY = 16;
const LARGE_STEPS = 12;
const LARGE_WEIGHTS: Weights = [
  [6, 'large'],
  [3, 'fill'],
  [1, 'fork'],
  [1, 'destroy'],
];

const OWNER_SEQUENCES: Sequences<Step> = {
  steps: (random, index) =>
    index % LARGE_EVERY === LARGE_EVERY - 1 ? randomSteps(random, LARGE_STEPS, LARGE_WEIGHTS) : randomSteps(random, OWNER_STEPS, WEIGHTS),
  run: (steps, index, coverage) => {
    const options = index % LARGE_EVERY === LARGE_EVERY - 1 ? LARGE : MACHINES[index % MACHINES.length];
    const twin = new Twin(options, coverage);
    for (const step of steps) {
      twin.run(step);
      twin.searchOwners();
    }
    twin.check();
    twin.end();
  },
  show: showStep,
};

export function fuzzOwners(campaign: Campaign): { failures: Failure[]; coverage: Coverage } {
  const coverage = new Coverage();
  return { failures: runSequences(campaign, OWNER_SEQUENCES, coverage), coverage };
}

export const OWNERS: Target = {
  what: `pages that name their owner, through fork, copy on write, swap and large pages: ${OWNER_STEPS} operations a case`,
  batch: 1,
  run: (campaign) => {
    const { failures, coverage } = fuzzOwners(campaign);
    return { failures, coverage: coverage.text() };
  },
};
