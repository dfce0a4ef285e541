/**
 * The fuzz target `physmem-memory`: which physical memory there is, and moving it. Each case judges a thousand random free
 * blocks by enumeration, lives with every kind of memory, and lives a life against the cell model in which memory is
 * compacted between the steps and pages are claimed by exact address from whoever has them.
 */
import { allocate } from '../../vkernel/physmem/core/allocate.ts';
import { at, constraintOf } from '../../vkernel/physmem/core/constraint.ts';
import { assertInvariants } from '../../vkernel/physmem/core/invariants.ts';
import { map } from '../../vkernel/physmem/core/map.ts';
import { compact, openBlock } from '../../vkernel/physmem/core/move.ts';
import type { Physmem } from '../../vkernel/physmem/core/physmem.ts';
import { CONSTRAINED, CONTIGUOUS, MAP_READ } from '../../vkernel/physmem/interface.ts';
import { judgeBlocks } from '../vkernel/physmem/judge.ts';
import { KINDS, KindsLife } from '../vkernel/physmem/kinds-run.ts';
import { Items, P } from '../vkernel/physmem/machine.ts';
import { type BeforeStep, live, randomSetting, randomSteps, type Step, showStep } from '../vkernel/physmem/random-run.ts';
import { type Campaign, Coverage, type Failure, runSequences, type Sequences, type Target } from './campaign.ts';
import { Random } from './random.ts';

const STEPS = 200;
const BLOCKS = 1000; // judged a case
const KIND_STEPS = 100;

/** Moves what is in a random block elsewhere, as who wants just that block makes it do. @returns whether it could be opened */
export function shake(physmem: Physmem, random: Random): boolean {
  const size = random.below(4);
  const start = random.below(physmem.received.end >>> size) << size;
  const { set, clear } = at(start * P);
  const constraint = constraintOf(set, clear, 1 << size);
  if (constraint === null) throw new Error('an address is no constraint');
  const block = openBlock(physmem, size, constraint);
  if (block >= 0) physmem.zones.free(block, 1 << size);
  return block >= 0;
}

/** What happens to memory between the steps of a life: it is moved, compacted, and pages are claimed for a moment. */
function disturb(random: Random, coverage: Coverage): BeforeStep {
  return ({ machine }) => {
    const { physmem } = machine;
    if (random.oneIn(2)) coverage.count('shake', shake(physmem, random) ? 'moved' : 'impossible');
    if (random.oneIn(3)) coverage.count('compact', compact(physmem, 1 + random.below(8)) > 0 ? 'moved' : 'nothing to do');
    if (random.oneIn(4) && physmem.root.unused > 4) coverage.count('claim', claim(physmem, random) === 0 ? 'ok' : 'refused');
  };
}

/** Claims a page at an exact address, or a few together, and lets them go. @returns 0 or an errno */
function claim(physmem: Physmem, random: Random): number {
  const claims = physmem.create(physmem.root);
  const { set, clear } = at(random.below(physmem.received.end) * P);
  const pages = random.oneIn(4) ? 1 + random.below(4) : 1;
  const flags = CONSTRAINED | (random.oneIn(3) ? CONTIGUOUS : 0);
  const error = allocate(physmem, claims, flags, 0, pages * P, set, clear);
  const bound = error === 0 ? map(physmem, claims, MAP_READ, 0, 0, P, new Items()) : error;
  assertInvariants(physmem);
  physmem.destroy(claims);
  return bound;
}

/** A life with every kind of memory. It is not cut down when it fails: the case tells which it was. */
function liveWithKinds(random: Random, coverage: Coverage): void {
  const life = new KindsLife();
  for (let i = 0; i < KIND_STEPS; i += 1) {
    const kind = random.oneIn(5) ? random.pick([2, 3, 14, 14]) : random.below(KINDS);
    const page = random.pick([0, 0, 1, 2, 4, 8, 12]);
    life.take({ kind, which: random.below(3), page, length: random.below(8), x: random.below(16) }, i + 1);
    life.check();
  }
  coverage.count('pinned page', 'where it is to be', life.met);
}

function sequences(coverage: Coverage): Sequences<Step> {
  return {
    steps: (random) => randomSteps(random, STEPS),
    run: (steps, index) => {
      const wrong = judgeBlocks(index + 1, BLOCKS);
      if (wrong !== null) throw new Error(wrong);
      coverage.count('judge', 'agrees', BLOCKS);
      liveWithKinds(new Random(index, 2), coverage);
      live(randomSetting(new Random(index, 0)), steps, disturb(new Random(index, 1), coverage));
    },
    show: showStep,
  };
}

export function fuzzPhysmemMemory(campaign: Campaign): { failures: Failure[]; coverage: Coverage } {
  const coverage = new Coverage();
  return { failures: runSequences(campaign, sequences(coverage), coverage), coverage };
}

export const PHYSMEM_MEMORY: Target = {
  what: `free blocks judged by enumeration, ${BLOCKS} a case, and lives in which memory is moved between the steps`,
  batch: 1,
  run: (campaign) => {
    const { failures, coverage } = fuzzPhysmemMemory(campaign);
    return { failures, coverage: coverage.text() };
  },
};
