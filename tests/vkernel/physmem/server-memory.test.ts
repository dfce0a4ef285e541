/** Kinds of memory as requests, and compaction while there are none. */

import { expect, test } from 'vitest';
import { EINVAL } from '../../../hostkernel/base/errno.ts';
import { fpage, fpageBase } from '../../../vkernel/l4/user.ts';
import { CONSTRAINED, CONTIGUOUS, DMA, MAP_READ, MAP_WRITE, PHYSMEM } from '../../../vkernel/physmem/interface.ts';
import { boot, P, ROOT_FS } from './server-rig.ts';

/** A server with 64 pages from 1 MiB on, and a container of ROOT_FS. */
function setup() {
  const booted = boot({ memory: [fpage(0x100000, 18, 7)], requests: [{ task: 5, pages: 'control', frames: 60 }, { task: 5 }] });
  const { ask, handles, kernel } = booted;
  const container = ask(ROOT_FS, PHYSMEM.create, handles[0]).words[0];
  const addressOf = (page: number, rights = MAP_READ): number =>
    fpageBase(ask(ROOT_FS, PHYSMEM.map, container, rights, page * P, page * P, P).items[0].fpage);
  const put = (page: number, value: number) => kernel.memory.set(addressOf(page, MAP_READ | MAP_WRITE) / P, value);
  return { ...booted, container, addressOf, put };
}

test('the two words of a constraint arrive whole: a complement of 64 bits names one address', () => {
  const { ask, container, addressOf } = setup();
  const x = 0x115000;
  const allocate = (flags: number, page: number, pages: number, ...words: number[]) =>
    ask(ROOT_FS, PHYSMEM.allocate, container, flags, page * P, pages * P, ...words).label;
  expect(allocate(CONSTRAINED, 0, 1, x, -x - 1)).toBe(0); // ~x, down to the lowest bit
  expect(addressOf(0)).toBe(x);
  expect(allocate(CONSTRAINED, 1, 1, x, x)).toBe(EINVAL);
  expect(allocate(CONSTRAINED, 1, 1, 0x80_0000)).toBe(EINVAL); // there is none above 8 MiB
  expect(allocate(DMA | CONTIGUOUS, 1, 3)).toBe(0);
  expect([addressOf(2) - addressOf(1), addressOf(3) - addressOf(2)]).toEqual([P, P]);
});

test('scattered memory is put together while nobody asks for anything, and then it is quiet', () => {
  const { ask, container, kernel, server, physmem, addressOf, put } = setup();
  for (let page = 0; page < 60; page += 1) {
    ask(ROOT_FS, PHYSMEM.allocate, container, 0, page * P, P);
    put(page, 100 + page);
  }
  for (let page = 0; page < 60; page += 2) ask(ROOT_FS, PHYSMEM.deallocate, container, page * P, P);
  const { zones, counters } = physmem.physmem;
  expect([zones.largestOrder, counters.moves, kernel.limit]).toEqual([2, 0, 10_000]);
  kernel.timeOut(server, 10_000);
  expect(zones.largestOrder).toBe(4);
  while (kernel.limit !== Number.POSITIVE_INFINITY) kernel.timeOut(server, kernel.limit);
  expect(counters.movedPages).toBe(6); // of the last 16 pages, the last 4 were free and of the others every second
  for (let page = 1; page < 60; page += 2) expect(kernel.memory.get(addressOf(page) / P)).toBe(100 + page);
});
