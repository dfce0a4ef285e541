/** What `vkernel info physmem` shows adds up, and says who holds what. */
import { expect, test } from 'vitest';
import { censusText } from '../../../vkernel/cli/info-text.ts';
import type { ControlCensus, PhysmemCensus, StackProbe } from '../../../vkernel/index.ts';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { allocate } from '../../../vkernel/physmem/core/allocate.ts';
import { takeCensus } from '../../../vkernel/physmem/core/census.ts';
import { copy } from '../../../vkernel/physmem/core/copy.ts';
import { FORCE_WRITE, MAP_READ, MAP_WRITE } from '../../../vkernel/physmem/interface.ts';
import { run } from '../../system/stack-run.ts';
import { Machine } from '../physmem/machine.ts';

function containersOf(control: ControlCensus): ControlCensus['containers'] {
  return [...control.containers, ...control.children.flatMap(containersOf)];
}

function limitsOf(control: ControlCensus): number {
  return control.limit + control.children.reduce((sum, child) => sum + limitsOf(child), 0);
}

/** What must be true of every census. */
function expectConsistent({ memory, controls, frames, sharing, fragmentation }: PhysmemCensus): void {
  const containers = containersOf(controls);
  expect(memory.fixed + memory.free + memory.bound).toBe(memory.received);
  expect(limitsOf(controls)).toBe(memory.received - memory.fixed);
  expect(containers.reduce((sum, { kind, pages }) => sum + (kind === 'user' ? pages : 0), 0)).toBe(memory.charged);
  expect(frames.reduce((sum, { pages, bound }) => sum + pages * bound, 0)).toBe(memory.bound);
  expect(sharing.reduce((sum, { entries }) => sum + entries, 0)).toBe(containers.reduce((sum, { entries }) => sum + entries, 0));
  expect(fragmentation.blocks.reduce((sum, { pages, free }) => sum + pages * free, 0)).toBe(memory.free);
}

test('frames, sharing and free memory of containers that share', () => {
  const machine = new Machine({ memory: [[1024, 64]] });
  const { physmem } = machine;
  const a = machine.create();
  const b = machine.create();
  allocate(physmem, a, 0, 0, 12 * PAGE_SIZE);
  machine.map(a, MAP_READ, 0, 1);
  copy(physmem, a, 0, b, 0, 8 * PAGE_SIZE, 0);
  const census = takeCensus(physmem);
  expectConsistent(census);
  expect(census.memory).toMatchObject({ received: 64, fixed: 0, free: 56, bound: 8, charged: 20 });
  expect(census.frames).toMatchObject([
    { pages: 4, unbound: 1, bound: 0, copyOnWrite: 0 },
    { pages: 8, unbound: 0, bound: 1, copyOnWrite: 1 },
  ]);
  expect(census.sharing).toEqual([
    { groups: 1, frames: 1, entries: 1 },
    { groups: 2, frames: 1, entries: 2 },
  ]);
  expect(containersOf(census.controls)).toMatchObject([
    { pages: 12, entries: 2, boundPages: 8, sharedPages: 8 },
    { pages: 8, entries: 1, boundPages: 8, sharedPages: 8 },
  ]);
  machine.map(b, MAP_READ | MAP_WRITE | FORCE_WRITE, 0, 1);
  const after = takeCensus(physmem);
  expectConsistent(after);
  expect(after.counters.copiedPages).toBe(8);
  expect(after.frames.map(({ copyOnWrite }) => copyOnWrite)).toEqual([0, 0]);
});

test('a running system, in the middle and at its end, the same every time', () => {
  const at = (instructions: number | null): PhysmemCensus => {
    const probe: StackProbe = { physmem: null };
    const seen: PhysmemCensus[] = [];
    const look = (): void => void seen.push((probe.physmem as NonNullable<typeof probe.physmem>)());
    const { failure } = run({ xlen: 64, programs: [['sorter', '500']], stack: { probe, inspect: { at: instructions, look } } });
    expect([failure, seen.length]).toEqual([null, 1]);
    return seen[0] as PhysmemCensus;
  };
  const middle = at(200_000);
  const end = at(null);
  expectConsistent(middle);
  expectConsistent(end);
  expect(middle.memory.bound).toBeLessThan(end.memory.bound);
  expect(at(200_000)).toEqual(middle);
  const text = censusText(end);
  expect(text).toMatch(/^Memory, in pages of 4 KiB\n {2}received +[\d,]+ +=/);
  for (const title of ['Memory controls and their containers', 'Frames, by size', 'Sharing', 'Free memory', 'Since the start']) {
    expect(text).toContain(`\n\n${title}\n`);
  }
});
