/** What one client cannot make physmem spend: requests end, and records are bounded. */

import { expect, test } from 'vitest';
import { EDQUOT, EINVAL, ENOMEM } from '../../../hostkernel/base/errno.ts';
import { assertInvariants } from '../../../vkernel/physmem/core/invariants.ts';
import { MAX_PINS, pin } from '../../../vkernel/physmem/core/pins.ts';
import { softPages } from '../../../vkernel/physmem/core/soft.ts';
import { CONSTRAINED, CONTIGUOUS, DMA, EXTRA, MAP_WRITE, SOFT } from '../../../vkernel/physmem/interface.ts';
import { Machine, P } from './machine.ts';
import { PolicyRig } from './policy-rig.ts';

const OWNER = { task: 1, weak: null, expires: Number.POSITIVE_INFINITY };

test('a request for certain memory that is larger than any machine ends', () => {
  const machine = new Machine({ memory: [[16, 32]] });
  const container = machine.create();
  for (const pages of [32, 33, 2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 40]) {
    for (const flags of [DMA, CONSTRAINED, DMA | CONTIGUOUS]) {
      const error = machine.allocate(container, 0, pages, flags);
      expect([pages, flags, error]).toEqual([pages, flags, pages === 32 && flags !== (DMA | CONTIGUOUS) ? 0 : expect.any(Number)]);
      if (pages > 32) expect([EINVAL, ENOMEM]).toContain(error);
      machine.deallocate(container, 0, 64);
    }
  }
  assertInvariants(machine.physmem);
});

test('swap ids that leave no run as long as asked for end the search', () => {
  const machine = new Machine({ memory: [[16, 1024]], wordBits: 32, slots: 4096 });
  const container = machine.create();
  machine.allocate(container, 0, 512);
  const { principal } = container.control;
  for (let id = 256; id < 2 ** 20; id += 512) {
    principal.nextSwapId = id;
    machine.swapOut(container, 0, 1);
  }
  expect(machine.swapOut(container, 0, 512)).toBe(ENOMEM);
  expect(machine.physmem.amount).toBeGreaterThan(0);
  expect(machine.physmem.amount).toBeLessThan(512 * P);
  assertInvariants(machine.physmem);
});

test('a copy for which memory is asked back looks at each page a few times', () => {
  const pages = 1000;
  const rig = new PolicyRig(3 * pages);
  const { machine } = rig;
  const source = rig.principal(1, pages);
  const other = rig.principal(2, 0);
  rig.introduce();
  rig.guarantee(1, 2 * pages + 8);
  rig.guarantee(2, 0);
  rig.commit();
  for (let page = 0; page < pages; page += 1) machine.allocate(source, page, 1);
  machine.allocate(other, 0, 2 * pages, EXTRA);
  rig.fill(source, pages);
  rig.fill(other, 2 * pages);
  const sink = { room: 24, run: () => undefined };
  expect(pin(machine.physmem, source, OWNER, (pages - 2) * P, 2 * P, 1000, MAP_WRITE, sink)).toBe(0);
  let looks = 0;
  const from = source.entries.from.bind(source.entries);
  source.entries.from = (page) => {
    looks += 1;
    return from(page);
  };
  const destination = machine.create(source.control);
  expect(machine.copy(source, 0, destination, 0, pages)).toBe(0);
  expect(machine.physmem.amount).toBe((pages - 2) * P);
  expect(looks).toBeLessThan(10 * pages);
  rig.check();
});

test('soft references of a principal to promises are no more than there are pages', () => {
  const machine = new Machine({ memory: [[16, 32]] });
  let remembered = 0;
  for (let i = 0; i < 4; i += 1) {
    const container = machine.create();
    for (let page = 0; page < 32; page += 1) {
      machine.allocate(container, page, 1);
      machine.deallocate(container, page, 1, SOFT);
      remembered += softPages(machine.physmem, container, page, 1);
    }
  }
  expect(remembered).toBe(machine.physmem.receivedPages);
  assertInvariants(machine.physmem);
});

test('a container carries a bounded number of pins', () => {
  const machine = new Machine({ memory: [[1, 4096]] });
  const container = machine.create();
  machine.allocate(container, 0, 1);
  const sink = { room: 24, run: () => undefined };
  const results = Array.from({ length: MAX_PINS + 1 }, () => pin(machine.physmem, container, OWNER, 0, P, 1000, 0, sink));
  expect(results.filter((error) => error === 0).length).toBe(MAX_PINS);
  expect(results.at(-1)).toBe(EDQUOT);
});
