/**
 * Lives that are different and must look the same to the clients: errno, amount and value of every operation.
 *
 *   base pages      every frame is split to single pages before each step
 *   copy, give up   a move of pages nobody shares is a logical copy and a deallocation of the source
 *   out and in      pages nobody shares are put away and taken back where they were
 *   moved           memory is moved about between the steps
 *   commuted        steps that have nothing to do with each other change places
 *   narrow          words have 32 bits instead of 64
 */

import type { FrameId } from '../../../vkernel/physmem/core/frame-table.ts';
import { split } from '../../../vkernel/physmem/core/frames.ts';
import { compact } from '../../../vkernel/physmem/core/move.ts';
import type { Physmem } from '../../../vkernel/physmem/core/physmem.ts';
import { COPY_MOVE, EXTRA } from '../../../vkernel/physmem/interface.ts';
import { shake } from '../../fuzz/physmem-memory.ts';
import type { Random } from '../../fuzz/random.ts';
import {
  type Kind,
  type Moment,
  place,
  populate,
  randomSetting,
  randomSteps,
  type Setting,
  type Step,
  take,
  WEIGHTS,
} from './random-run.ts';
import { SWAP_QUOTA } from './swap-twins.ts';
import type { Twins } from './twins.ts';

export const RELATIONS = ['base pages', 'copy, give up', 'out and in', 'moved', 'commuted', 'narrow'] as const;
export type Relation = (typeof RELATIONS)[number];

/** What depends on how memory is packed, or on when it gets short, is left out: pins, and what is dropped under pressure. */
const PACKED: readonly Kind[] = ['pin', 'unpin', 'device', 'soften', 'recover', 'pressure', 'compact', 'time', 'end control'];
const LIFE = WEIGHTS.filter(([, kind]) => !PACKED.includes(kind));

/** What depends on which ids follow each other. */
const NUMBERED: readonly Kind[] = ['swap in', 'swap drop'];

/** Steps that may change places if they touch different containers of different principals. */
const COMMUTING: readonly Kind[] = [
  'allocate',
  'cow',
  'share',
  'move',
  'in place',
  'write',
  'read',
  'map',
  'deallocate',
  'release',
  'unmap',
];

const STEPS = 120;

/** Lives one life twice. @returns how often the second went another way; throws where a client could tell */
export function compareLives(relation: Relation, random: Random): number {
  const setting = roomy(randomSetting(random));
  const weights = relation === 'out and in' ? LIFE.filter(([, kind]) => !NUMBERED.includes(kind)) : LIFE;
  const steps = randomSteps(random, STEPS, weights).map((step) => ({ ...step, flags: step.flags & ~EXTRA }));
  const first = observe(setting, steps, () => 0);
  let turns = 0;
  const second =
    relation === 'commuted'
      ? observePermuted(setting, steps, () => (turns += 1))
      : observe(other(setting, relation), steps, (twins, step, index) => {
          const turned = turn(relation, twins, step, index, random);
          turns += turned > 0 ? 1 : 0;
          return turned;
        });
  const at = first.findIndex((value, i) => !Object.is(value, second[i]));
  if (at >= 0 || first.length !== second.length) {
    throw new Error(`${relation}: ${String(second[at])} in place of ${String(first[at])}, at observation ${at} of ${first.length}`);
  }
  return turns;
}

/** Swap space does not run out: when it does depends on what was written. */
function roomy(setting: Setting): Setting {
  return { ...setting, policy: false, machine: { ...setting.machine, slots: 1024 } };
}

function other(setting: Setting, relation: Relation): Setting {
  if (relation !== 'narrow') return setting;
  return { ...setting, machine: { ...setting.machine, wordBits: setting.machine.wordBits === 32 ? 64 : 32 } };
}

/** What a life looks like. @param turn does something before a step; 2: the step is done */
function observe(setting: Setting, steps: readonly Step[], turn: (twins: Twins, step: Step, index: number) => number): number[] {
  const twins = populate(setting);
  steps.forEach((step, i) => {
    if (turn(twins, step, i) < 2) take(twins, step, 100 + i);
  });
  twins.check();
  twins.tearDown();
  return twins.observed;
}

/** @returns 0: nothing; 1: something nobody can see; 2: the step itself, in another way */
function turn(relation: Relation, twins: Twins, step: Step, index: number, random: Random): number {
  const { physmem } = twins.machine;
  if (relation === 'base pages') return splitAll(physmem) > 0 ? 1 : 0;
  if (relation === 'moved') return shake(physmem, random) || compact(physmem, 8) > 0 ? 1 : 0;
  if (relation === 'narrow') return index === 0 ? 1 : 0;
  const moment = place(twins, step);
  return relation === 'out and in' ? outAndIn(twins, moment) : copyAndGiveUp(twins, step, moment);
}

function splitAll(physmem: Physmem): number {
  const { table } = physmem;
  let splits = 0;
  for (let id = 1; id < table.frameEnd; id += 1) {
    while (table.isFrame(id) && table.size[id] > 0) {
      split(physmem, id as FrameId);
      splits += 1;
    }
  }
  return splits;
}

function outAndIn(twins: Twins, { a, source, count }: Moment): number {
  const { real, control } = twins.containers[a];
  if (!isAlone(twins, a, source, count) || control.principal.swapped.size + count > SWAP_QUOTA) return 0;
  const { machine } = twins;
  if (machine.swapOut(real, source, count) !== 0) throw new Error('pages of nobody else cannot be put away');
  if (machine.swapIn(real, machine.physmem.swapId, source, count) !== 0) throw new Error('what was put away does not come back');
  return 1;
}

function copyAndGiveUp(twins: Twins, step: Step, { a, b, source, toPage, both }: Moment): number {
  if (step.kind !== 'move' || a === b || !isAlone(twins, a, source, both)) return 0;
  if (twins.run(b, toPage, both, false) < both || twins.containers[a].control !== twins.containers[b].control) return 0;
  if (twins.allowance(twins.containers[b].control, false) < both) return 0;
  const { machine } = twins;
  const [from, to] = [twins.containers[a].real, twins.containers[b].real];
  if (machine.copy(from, source, to, toPage, both) !== 0) throw new Error('a copy that must succeed does not');
  if (machine.deallocate(from, source, both) !== 0) throw new Error('a deallocation that must succeed does not');
  twins.copy(a, source, b, toPage, both, COPY_MOVE, () => 0); // on the reference only
  return 2;
}

/** Whether the pages are there, and nobody shares or holds them. */
function isAlone(twins: Twins, index: number, page: number, count: number): boolean {
  if (twins.run(index, page, count, true) < count || twins.holds.isHeld(index)) return false;
  const seen = new Map<object, number>();
  for (const cells of twins.cells.containers) for (const cell of cells) if (cell !== null) seen.set(cell, (seen.get(cell) ?? 0) + 1);
  for (let i = page; i < page + count; i += 1) if (seen.get(twins.cells.containers[index][i] as object) !== 1) return false;
  return true;
}

/** A life in which neighbours change places wherever they have nothing to do with each other. */
function observePermuted(setting: Setting, steps: readonly Step[], turned: () => void): number[] {
  const twins = populate(setting);
  const { observed } = twins;
  for (let i = 0; i < steps.length; i += 1) {
    const next = steps[i + 1];
    if (next === undefined || !commute(twins, steps[i], next)) {
      take(twins, steps[i], 100 + i);
      continue;
    }
    const start = observed.length;
    take(twins, next, 101 + i);
    const middle = observed.length;
    take(twins, steps[i], 100 + i);
    observed.push(...observed.splice(start, middle - start)); // as if in order
    turned();
    i += 1;
  }
  twins.check();
  twins.tearDown();
  return observed;
}

function commute(twins: Twins, first: Step, second: Step): boolean {
  if (!COMMUTING.includes(first.kind) || !COMMUTING.includes(second.kind)) return false;
  if (!isDirect(twins, first) || !isDirect(twins, second)) return false;
  const mine = touched(twins, first);
  const theirs = touched(twins, second);
  if (mine.some((a) => theirs.some((b) => a === b || twins.containers[a].control.principal === twins.containers[b].control.principal))) {
    return false;
  }
  const cells = new Set(mine.flatMap((a) => twins.cells.containers[a].filter((cell) => cell !== null)));
  return !theirs.some((b) => twins.cells.containers[b].some((cell) => cell !== null && cells.has(cell)));
}

/** Whether a step works on the container it names, whatever the others have. */
function isDirect(twins: Twins, step: Step): boolean {
  const { a } = place(twins, step);
  return a === step.a % twins.containers.length && (step.kind === 'allocate' || twins.containers[a].real.pages > 0);
}

function touched(twins: Twins, step: Step): number[] {
  const { a, b } = place(twins, step);
  return [a, b];
}
