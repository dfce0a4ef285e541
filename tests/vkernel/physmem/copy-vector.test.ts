/** Lists of copies that are all or nothing, where it is decided late that they cannot be all. */

import { expect, test } from 'vitest';
import { copyVector } from '../../../vkernel/physmem/core/copy-vector.ts';
import { assertInvariants } from '../../../vkernel/physmem/core/invariants.ts';
import { WAIT } from '../../../vkernel/physmem/core/physmem.ts';
import { ALL_OR_NONE, COPY_IN_PLACE, COPY_SHARED, EXTRA } from '../../../vkernel/physmem/interface.ts';
import { Machine, P } from './machine.ts';
import { PolicyRig } from './policy-rig.ts';

/** Positions of page i to page i, for i in [0, pages). */
function listOf(pages: number): number[] {
  return Array.from({ length: 2 * pages }, (_, i) => Math.floor(i / 2) * P);
}

test('a list that waits for memory at its second position has done nothing, and does not say it has', () => {
  const rig = new PolicyRig(16);
  const { machine } = rig;
  const source = rig.principal(1, 8);
  const destination = machine.create(source.control);
  const sharer = machine.create(source.control);
  const other = rig.principal(2, 0);
  rig.introduce();
  rig.guarantee(1, 12);
  rig.guarantee(2, 0);
  rig.commit();
  machine.allocate(source, 0, 2);
  rig.fill(source, 2);
  machine.allocate(other, 0, 14, EXTRA);
  rig.fill(other, 14);
  machine.allocate(destination, 0, 1); // its first page is replaced; the second has a sharer, so its bytes are copied
  machine.allocate(destination, 1, 1);
  machine.copy(destination, 1, sharer, 1, 1, COPY_SHARED);
  expect(machine.physmem.zones.freePages).toBe(0);
  const before = machine.values(destination, 0, 2);
  expect(copyVector(machine.physmem, source, destination, listOf(2), COPY_IN_PLACE | ALL_OR_NONE)).toBe(WAIT);
  expect(machine.physmem.amount).toBe(0);
  expect(machine.values(destination, 0, 2)).toEqual(before);
  rig.check();
});

test('a list whose descriptors start a page on the way is done whole once it has begun', () => {
  for (let limit = 9; limit < 20; limit += 1) {
    const machine = new Machine({ memory: [[16, 64]], descriptorsPerPage: 2 });
    const { root } = machine.physmem;
    const source = machine.create();
    for (let page = 0; page < 8; page += 1) machine.allocate(source, page, 1);
    const control = machine.physmem.splitControl(root, limit);
    if (control === null) throw new Error('no control');
    const destination = machine.create(control);
    const error = copyVector(machine.physmem, source, destination, listOf(8), ALL_OR_NONE);
    expect([limit, destination.pages]).toEqual([limit, error === 0 ? 8 : 0]);
    expect(machine.physmem.amount).toBe(destination.pages * P);
    assertInvariants(machine.physmem);
  }
});
