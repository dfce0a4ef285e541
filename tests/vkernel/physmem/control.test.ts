/** Splitting the master control while the policy buffer grows for it. */

import { expect, test } from 'vitest';
import { splitControl } from '../../../vkernel/physmem/core/control.ts';
import { ArrayWords, PolicyRig } from './policy-rig.ts';

test('a split that makes the policy buffer larger does not give away the pages it takes', () => {
  const rig = new PolicyRig(64);
  const { physmem } = rig.machine;
  rig.introduce((capacityLog2) => {
    physmem.accounts.receive(physmem.root, -2); // as policy-pages.ts does
    physmem.fixedPages += 2;
    physmem.zones.allocate(2);
    return new ArrayWords(capacityLog2);
  });
  expect(splitControl(physmem, physmem.root, 64, 300)).toBe(null);
  expect(physmem.root.unused).toBe(62);
  expect(splitControl(physmem, physmem.root, 62, 300)?.limit).toBe(62);
  rig.check();
});
