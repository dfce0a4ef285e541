/** One random life of physmem against the cell model: the body of the property test, and of longer runs by hand. */

import fc from 'fast-check';
import { ALL_OR_NONE, COPY_SHARED, SQUASH } from '../../../vkernel/physmem/interface.ts';
import { Twins } from './cells.ts';
import type { MemoryRun } from './machine.ts';

const PAGES = 24; // of each container
const CONTAINERS = 5;

const KINDS = [
  'allocate',
  'provide',
  'cow',
  'share',
  'write',
  'read',
  'map',
  'deallocate',
  'destroy',
  'unmap',
  'split',
  'absorb',
  'endControl',
] as const;
const WEIGHTS = [8, 5, 12, 10, 18, 12, 8, 14, 1, 2, 1, 1, 1];

export interface Step {
  readonly kind: (typeof KINDS)[number];
  readonly a: number;
  readonly b: number;
  readonly page: number;
  readonly toPage: number;
  readonly count: number;
  readonly flags: number;
}

/** Pages often coincide, so that copies of parts of copies are common. */
const anyPage = fc.oneof({ arbitrary: fc.nat(PAGES - 1), weight: 1 }, { arbitrary: fc.constantFrom(0, 0, 4, 8, 16), weight: 1 });

const anyStep: fc.Arbitrary<Step> = fc.record({
  kind: fc.oneof(...KINDS.map((kind, i) => ({ arbitrary: fc.constant(kind), weight: WEIGHTS[i] }))),
  a: fc.nat(CONTAINERS - 1),
  b: fc.nat(CONTAINERS - 1),
  page: anyPage,
  toPage: anyPage,
  count: fc.oneof(
    { arbitrary: fc.constantFrom(1, 2, 4, 8, 3, 7, 16), weight: 3 },
    { arbitrary: fc.integer({ min: 1, max: 12 }), weight: 2 },
  ),
  flags: fc.oneof(
    { arbitrary: fc.constant(0), weight: 4 },
    { arbitrary: fc.constant(SQUASH), weight: 4 }, // most copies succeed
    { arbitrary: fc.constantFrom(ALL_OR_NONE, SQUASH | ALL_OR_NONE), weight: 2 },
  ),
});

export interface Life {
  readonly memory: readonly MemoryRun[];
  readonly copyPages: number;
  readonly principals: number;
  readonly steps: readonly Step[];
}

/** Lives of up to `length` steps, with little memory in odd pieces. */
export function anyLife(length: number): fc.Arbitrary<Life> {
  return fc.record({
    memory: fc.constantFrom<readonly MemoryRun[]>(
      [[1, 60]],
      [
        [3, 13],
        [17, 30],
        [64, 128],
      ],
      [[0, 33]],
      [
        [5, 1],
        [7, 1],
        [9, 1],
        [32, 21],
      ],
      [[256, 256]],
    ),
    copyPages: fc.constantFrom(1, 4, 1024),
    principals: fc.integer({ min: 1, max: 3 }),
    steps: fc.array(anyStep, { minLength: Math.floor(length / 2), maxLength: length, size: 'max' }),
  });
}

/** Lives one life, checking everything after every step. */
export function live(life: Life): void {
  const twins = new Twins({ memory: life.memory, copyPages: life.copyPages }, PAGES);
  const share = Math.floor((twins.machine.physmem.root.limit / (life.principals + 1)) * 0.9);
  for (let i = 0; i < life.principals; i += 1) twins.addControl(0, share);
  for (let i = 0; i < CONTAINERS; i += 1) twins.addContainer(i % twins.controls.length);
  let value = 100;
  for (const step of life.steps) {
    value += 1;
    take(twins, step, value);
    twins.check();
  }
  twins.tearDown();
}

function take(twins: Twins, step: Step, value: number): void {
  const { a, b, page, toPage, flags } = step;
  const count = Math.min(step.count, PAGES - page);
  const both = Math.min(count, PAGES - toPage);
  const control = b % twins.controls.length;
  switch (step.kind) {
    case 'allocate':
      return twins.allocate(a, page, count, flags);
    case 'provide':
      return twins.provide(a, page, count, flags & ALL_OR_NONE, b % 2 === 0);
    case 'cow':
      return twins.copy(a, page, b, toPage, both, flags);
    case 'share':
      return twins.copy(a, page, b, toPage, both, flags | COPY_SHARED);
    case 'write':
      return twins.write(a, page, value);
    case 'read':
      return twins.read(a, page);
    case 'map':
      return twins.map(a, page, count, b % 2 === 0, toPage % 2 === 0);
    case 'deallocate':
      return twins.deallocate(a, page, count, flags & ALL_OR_NONE);
    case 'destroy':
      return twins.destroy(a, control);
    case 'unmap':
      return twins.unmapLocally(a, page);
    case 'split':
      if (twins.controls.length < 6) twins.addControl(control, count);
      return;
    case 'absorb':
      return twins.absorb(control, count);
    case 'endControl':
      return twins.destroyControl(control);
  }
}
