/** Memory for runs, where what nobody needs in memory has it. */

import { expect, test } from 'vitest';
import { assertInvariants } from '../../../vkernel/physmem/core/invariants.ts';
import { CONTIGUOUS, SOFT } from '../../../vkernel/physmem/interface.ts';
import { Machine } from './machine.ts';

test('a contiguous run takes pages that only soft references use', () => {
  const machine = new Machine({ memory: [[16, 16]] });
  const container = machine.create();
  for (let page = 0; page < 16; page += 1) {
    machine.allocate(container, page, 1);
    machine.write(container, page, page);
  }
  machine.deallocate(container, 0, 16, SOFT);
  expect(machine.allocate(container, 32, 8, CONTIGUOUS)).toBe(0);
  assertInvariants(machine.physmem);
});

test('a contiguous run has inactive pages written out', () => {
  const machine = new Machine({ memory: [[16, 16]], slots: 32 });
  const container = machine.create();
  for (let page = 0; page < 16; page += 1) {
    machine.allocate(container, page, 1);
    machine.write(container, page, page);
  }
  expect(machine.swapOut(container, 0, 16)).toBe(0);
  machine.deallocate(container, 0, 16);
  expect(machine.allocate(container, 32, 8, CONTIGUOUS)).toBe(0);
  expect(machine.swapIn(container, 1, 32, 8)).toBe(0);
  expect(Array.from({ length: 8 }, (_, i) => machine.read(container, 32 + i))).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  assertInvariants(machine.physmem);
});
