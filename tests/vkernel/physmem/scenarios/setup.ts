/** What every scenario begins and ends with. */

import { expect } from 'vitest';
import type { Container } from '../../../../vkernel/physmem/core/container.ts';
import { assertInvariants } from '../../../../vkernel/physmem/core/invariants.ts';
import { FORCE_WRITE, MAP_READ, MAP_WRITE } from '../../../../vkernel/physmem/interface.ts';
import { Machine, type MachineOptions, P } from '../machine.ts';

export const RW = MAP_READ | MAP_WRITE | FORCE_WRITE;

/** A machine with plenty of memory that begins at an aligned block, and `names` containers. */
export function setup({ pages = 1024, ...options }: Omit<Partial<MachineOptions>, 'memory'> & { pages?: number } = {}) {
  const machine = new Machine({ memory: [[1024, pages]], copyPages: 1024, ...options });
  return { machine, amount: () => machine.physmem.amount / P };
}

/** A container with one frame of `pages` pages at page 0, holding 10, 11, ... */
export function filled(machine: Machine, pages: number): Container {
  const container = machine.create();
  expect(machine.allocate(container, 0, pages)).toBe(0);
  for (let page = 0; page < pages; page += 1) machine.write(container, page, 10 + page);
  return container;
}

/** Ends a scenario: everything sound, and nothing left once it is torn down. */
export function finish(machine: Machine): void {
  assertInvariants(machine.physmem);
  for (const child of machine.physmem.root.children) machine.physmem.destroyControl(child);
  for (const container of machine.physmem.root.containers) machine.physmem.destroy(container);
  const { swap } = machine.physmem.root.principal;
  if (swap !== null) machine.physmem.destroy(swap);
  assertInvariants(machine.physmem);
  expect(machine.use).toBe(0);
}
