/**
 * Random lives of physmem: settings, steps, and what a step means in whatever state it finds. Steps are data, and a life
 * with some of them left out is a life too: that is how a failing one is made short.
 */

import type { Random } from '../../fuzz/random.ts';
import { ALL_OR_NONE, COPY_IN_PLACE, COPY_MOVE, COPY_SHARED, EXTRA, LAZY, SOFT, SQUASH } from '../../../vkernel/physmem/interface.ts';
import type { MachineOptions, MemoryRun } from './machine.ts';
import { SWAP_QUOTA } from './swap-twins.ts';
import { Twins } from './twins.ts';

export type Kind =
  | 'allocate'
  | 'provide'
  | 'cow'
  | 'share'
  | 'move'
  | 'in place'
  | 'release'
  | 'soften'
  | 'recover'
  | 'swap out'
  | 'swap in'
  | 'swap drop'
  | 'pressure'
  | 'compact'
  | 'pin'
  | 'unpin'
  | 'device'
  | 'weak'
  | 'weak use'
  | 'revoke'
  | 'lock'
  | 'unlock'
  | 'time'
  | 'policy'
  | 'write'
  | 'read'
  | 'map'
  | 'deallocate'
  | 'destroy'
  | 'unmap'
  | 'split'
  | 'absorb'
  | 'end control';

export type Weights = readonly (readonly [weight: number, kind: Kind])[];

export const WEIGHTS: Weights = [
  [8, 'allocate'],
  [4, 'provide'],
  [12, 'cow'],
  [10, 'share'],
  [4, 'move'],
  [5, 'in place'],
  [3, 'release'],
  [3, 'soften'],
  [2, 'recover'],
  [4, 'swap out'],
  [4, 'swap in'],
  [1, 'swap drop'],
  [1, 'pressure'],
  [1, 'compact'],
  [2, 'pin'],
  [1, 'unpin'],
  [3, 'device'],
  [2, 'weak'],
  [4, 'weak use'],
  [1, 'revoke'],
  [2, 'lock'],
  [1, 'unlock'],
  [1, 'time'],
  [8, 'policy'],
  [18, 'write'],
  [18, 'read'],
  [6, 'map'],
  [12, 'deallocate'],
  [5, 'in place'],
  [4, 'move'],
  [1, 'destroy'],
  [1, 'unmap'],
  [1, 'split'],
  [1, 'absorb'],
  [1, 'end control'], // three in four do nothing
];

export interface Step {
  readonly kind: Kind;
  readonly a: number; // container
  readonly b: number; // container or control
  readonly page: number;
  readonly toPage: number;
  readonly count: number;
  readonly flags: number;
  readonly x: number; // 32 random bits
}

/** Where a life is lived. */
export interface Setting {
  readonly machine: MachineOptions;
  readonly containers: number;
  readonly pages: number; // of each container
  readonly principals: number;
  readonly limit: number; // pages all principals may hold together
  readonly policy: boolean; // in force
}

/** Lengths are skewed to powers of two and their neighbours. */
const COUNTS: readonly (readonly [number, number])[] = [
  [5, 1],
  [4, 2],
  [3, 3],
  [4, 4],
  [2, 5],
  [1, 6],
  [2, 7],
  [3, 8],
  [2, 9],
  [1, 10],
  [1, 16],
];

export function randomSteps(random: Random, count: number, weights: Weights = WEIGHTS): Step[] {
  return Array.from({ length: count }, () => ({
    kind: random.weighted(weights),
    a: random.word(),
    b: random.word(),
    page: randomPage(random),
    toPage: randomPage(random),
    count: random.weighted(COUNTS),
    flags: random.oneIn(3)
      ? 0
      : random.pick([SQUASH, SQUASH, SQUASH, SQUASH, SQUASH | EXTRA, LAZY, LAZY, ALL_OR_NONE, SQUASH | ALL_OR_NONE, LAZY | ALL_OR_NONE]),
    x: random.word(),
  }));
}

/** Pages often coincide, so that copies of parts of copies are common. */
function randomPage(random: Random): number {
  return random.oneIn(3) ? random.below(64) : random.pick([0, 0, 0, 2, 4, 8, 8, 16, 24]);
}

export function showStep({ kind, a, b, page, toPage, count, flags, x }: Step): string {
  return `${kind} a ${a} b ${b} page ${page} to ${toPage} count ${count} flags ${flags} x ${x}`;
}

/** The setting of a case: memory in odd pieces, and as much as may be held, one page more, or two or four times that. */
export function randomSetting(random: Random): Setting {
  const containers = random.between(4, 7);
  const pages = random.pick([32, 32, 48, 64]);
  const limit = random.between(24, Math.floor((containers * pages) / 2));
  const policy = random.oneIn(3);
  const received = policy ? limit + 1 : random.pick([limit, limit, limit + 1, limit * 2, limit * 4]);
  return {
    machine: {
      memory: randomRuns(random, received),
      copyPages: random.pick([1, 4, 1024]),
      wordBits: random.pick([32, 64]),
      slots: random.pick([8, 64, 256]),
      swapQuota: SWAP_QUOTA,
    },
    containers,
    pages,
    principals: random.between(1, 4),
    limit,
    policy,
  };
}

function randomRuns(random: Random, pages: number): MemoryRun[] {
  const runs: MemoryRun[] = [];
  let at = random.pick([1, 3, 16, 64]);
  for (let left = pages; left > 0; ) {
    const length = random.oneIn(3) ? left : random.between(1, left + 1);
    runs.push([at, length]);
    at += length + random.pick([1, 1, 2, 7, 16]);
    left -= length;
  }
  return runs;
}

/** Whoever wants to see or do something before each step. */
export type BeforeStep = (twins: Twins, step: Step, index: number) => void;

const NOTHING: BeforeStep = () => undefined;

/** Lives one life, checking everything after every step. @param faults makes allocations and transfers fail */
export function live(setting: Setting, steps: readonly Step[], before = NOTHING, faults: Random | null = null): Twins {
  const twins = populate(setting);
  const { machine } = twins;
  if (faults !== null) {
    twins.failing = true;
    machine.failsAllocation = () => faults.oneIn(8);
    machine.transferred = (_, pages) => (faults.oneIn(4) ? faults.below(pages) : pages);
  }
  for (let i = 0; i < steps.length; i += 1) {
    before(twins, steps[i], i);
    twins.policy.look();
    take(twins, steps[i], 100 + i);
    twins.check();
  }
  machine.failsAllocation = () => false;
  machine.transferred = (_, pages) => pages;
  twins.tearDown();
  return twins;
}

export function populate(setting: Setting): Twins {
  const twins = new Twins(setting.machine, setting.pages);
  for (let i = 0; i < setting.principals; i += 1) twins.addControl(0, Math.floor(setting.limit / setting.principals), 1 + i);
  for (let i = 0; i < setting.containers; i += 1) twins.addContainer(1 + (i % setting.principals));
  if (setting.policy) twins.policy.introduce();
  return twins;
}

/** What a step means in the state it finds. */
export interface Moment {
  readonly a: number; // container
  readonly b: number; // container
  readonly control: number;
  readonly aimed: boolean; // it has looked for pages that are there
  readonly source: number; // page of a
  readonly count: number;
  readonly toPage: number; // page of b
  readonly both: number; // count that fits from both
}

/** Most steps look for pages to work on, so that most of them do something. */
export function place(twins: Twins, step: Step): Moment {
  const { pages } = twins;
  const isNew = step.kind === 'allocate' || step.kind === 'provide';
  const a = someContainer(twins, step.a % twins.containers.length, !isNew);
  const aimed = step.x % 5 !== 0;
  const source = aimed ? nextPage(twins, a, step.page % pages, true) : step.page % pages;
  const fits = Math.min(step.count, pages - source);
  const count = aimed ? Math.max(1, twins.run(a, source, fits, true)) : fits;
  const toPage = step.toPage % pages;
  return {
    a,
    b: step.b % twins.containers.length,
    control: step.b % twins.controls.length,
    aimed,
    source,
    count,
    toPage,
    both: Math.min(count, pages - toPage),
  };
}

/** Carries out one step. */
export function take(twins: Twins, step: Step, value: number): void {
  const { pages } = twins;
  const { a, b, control, aimed, source, count, toPage, both } = place(twins, step);
  const flags = step.flags | (twins.policy.inForce && (step.x & 64) !== 0 ? EXTRA : 0);
  switch (step.kind) {
    case 'allocate':
    case 'provide': {
      const page = aimed ? nextPage(twins, a, step.page % pages, false) : step.page % pages;
      const length = Math.min(step.count, pages - page);
      if (step.kind === 'allocate') return twins.allocate(a, page, length, flags & (ALL_OR_NONE | SQUASH | EXTRA));
      return twins.provide(a, page, length, step.flags & ALL_OR_NONE, step.x % 16 < 8);
    }
    case 'cow':
      return twins.copy(a, source, b, toPage, both, flags & (ALL_OR_NONE | SQUASH | EXTRA));
    case 'share':
      return twins.copy(a, source, b, toPage, both, (flags & (ALL_OR_NONE | SQUASH | EXTRA)) | COPY_SHARED);
    case 'move':
      return twins.copy(a, source, b, toPage, both, (flags & (ALL_OR_NONE | SQUASH | EXTRA)) | COPY_MOVE);
    case 'in place': {
      const target = aimed ? nextPage(twins, b, (toPage + (a === b ? 8 : 0)) % pages, true) : toPage;
      return twins.copy(a, source, b, target, Math.min(count, pages - target), (step.flags & ALL_OR_NONE) | COPY_IN_PLACE);
    }
    case 'release':
      return twins.release(a, source, count, step.flags & LAZY);
    case 'soften':
      return twins.deallocate(a, source, count, (step.flags & ALL_OR_NONE) | SOFT);
    case 'recover': {
      const page = softPage(twins, a, step.page % pages);
      return twins.swap.recover(a, page, Math.min(step.count, pages - page), step.flags & (ALL_OR_NONE | EXTRA));
    }
    case 'swap out':
      return twins.swap.swapOut(a, source, count);
    case 'swap in':
      return twins.swap.swapIn(a, source, step.x % 3 === 0 ? count : 1, step.b, (step.x & 64) !== 0);
    case 'swap drop':
      return twins.swap.swapDrop(control, step.x % 3 === 0 ? step.count : 1, step.x);
    case 'pressure':
      return twins.press(step.count);
    case 'compact':
      return twins.compact(step.count);
    case 'pin':
      return twins.holds.pin(a, source, count, (step.x & 64) !== 0, 1 + (step.b % 1000));
    case 'unpin':
      return twins.holds.unpin(step.b);
    case 'device':
      return twins.holds.deviceWrite(step.b, value);
    case 'weak':
      return twins.holds.share(a, step.b % 3 === 0 ? 1 + (step.x % 63) : 63, step.b % 5 === 0 ? 1 + (step.x % 3000) : 0);
    case 'weak use':
      return useWeakly(twins, step, value);
    case 'revoke':
      return twins.holds.revoke(a);
    case 'lock':
      return twins.holds.lock(twins.holds.shared(step.a) ?? a, step.page % pages, both, 1 + (step.b % 1000));
    case 'unlock':
      return twins.holds.unlock(step.b);
    case 'policy':
      if (!twins.policy.inForce) return;
      return twins.policy.set(1 + (step.a % 3), step.x % 8 === 0 ? step.x : twins.policy.share(step.b), (step.x & 48) !== 0);
    case 'time':
      return twins.holds.pass(step.b % 500);
    case 'write':
      return twins.write(a, source, value);
    case 'read':
      return twins.read(a, source);
    case 'map':
      return twins.map(a, source, count, (step.x & 16) === 0, (step.x & 32) === 0);
    case 'deallocate':
      return twins.deallocate(a, source, count, step.flags & (ALL_OR_NONE | LAZY));
    case 'destroy':
      return twins.holds.isHeld(a) ? undefined : twins.destroy(a, control); // refused by the server
    case 'unmap':
      return twins.unmapLocally(a, source);
    case 'split':
      if (twins.controls.length < 6) twins.addControl(control, step.count);
      return;
    case 'absorb':
      return twins.absorb(control, step.count);
    case 'end control':
      if (step.x % 4 === 0) twins.destroyControl(control);
      return;
  }
}

/** What the holder of a weak capability does with it. */
function useWeakly(twins: Twins, step: Step, value: number): void {
  const { pages } = twins;
  const a = twins.holds.shared(step.a) ?? 0;
  const b = step.b % twins.containers.length;
  const page = nextPage(twins, a, step.page % pages, true);
  const other = nextPage(twins, b, step.toPage % pages, true);
  const count = Math.min(step.count, pages - page, pages - other);
  switch (step.x % 6) {
    case 0:
      return twins.holds.weakWrite(a, page, value);
    case 1:
    case 2:
      return twins.holds.weakRead(a, page);
    case 3:
      return twins.holds.weakFill(b, other, a, page, count);
    case 4:
      return twins.holds.weakTake(a, page, b, other, count);
    default:
      return twins.holds.weakMap(a, page, count, (step.x & 64) !== 0);
  }
}

/** A page that may be recovered, or `page` where there is none. */
function softPage(twins: Twins, container: number, page: number): number {
  const found = [...twins.cells.soft[container].keys()];
  return found.length === 0 ? page : found[page % found.length];
}

/** The first container from `index` on, around the end, that is not empty, if that matters. */
function someContainer(twins: Twins, index: number, filled: boolean): number {
  for (let i = 0; i < twins.containers.length; i += 1) {
    const at = (index + i) % twins.containers.length;
    if (!filled || twins.containers[at].real.pages > 0) return at;
  }
  return index;
}

/** The first page from `page` on, around the end, that is present (or absent); `page` where there is none. */
function nextPage(twins: Twins, container: number, page: number, present: boolean): number {
  const cells = twins.cells.containers[container];
  for (let i = 0; i < twins.pages; i += 1) {
    const at = (page + i) % twins.pages;
    if ((cells[at] !== null) === present) return at;
  }
  return page;
}
