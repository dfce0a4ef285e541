/** Swap and soft references as requests: words, accounts, and memory that is short. */

import { expect, test } from 'vitest';
import { EINVAL, ENOENT, ENOEXIST, ENOMEM } from '../../../hostkernel/base/errno.ts';
import { KEEP, MAP_READ, MAP_WRITE, PHYSMEM, SOFT } from '../../../vkernel/physmem/interface.ts';
import { boot, OTHER, P, ROOT_FS, USUAL } from './server-rig.ts';

/** A server with swap space, and a container of ROOT_FS with pages that hold 1, 2, ... */
function setup(pages: number, slots = 64) {
  const booted = boot({ ...USUAL, slots });
  const { ask, handles, kernel } = booted;
  const container = ask(ROOT_FS, PHYSMEM.create, handles[0]).words[0];
  expect(ask(ROOT_FS, PHYSMEM.allocate, container, 0, 0, pages * P).label).toBe(0);
  const contents = (page: number): number | undefined => {
    const [item] = ask(ROOT_FS, PHYSMEM.map, container, MAP_READ, page * P, page * P, P).items;
    return kernel.memory.get(Math.floor((item?.fpage ?? -P) / P));
  };
  for (let page = 0; page < pages; page += 1) {
    const [item] = ask(ROOT_FS, PHYSMEM.map, container, MAP_READ | MAP_WRITE, page * P, page * P, P).items;
    kernel.memory.set(Math.floor(item.fpage / P), page + 1);
  }
  return { ...booted, container, contents };
}

test('pages are put away, taken in elsewhere, kept and dropped; the control says how many', () => {
  const { ask, handles, container, contents } = setup(4);
  const account = () => ask(ROOT_FS, PHYSMEM.controlInfo, handles[0]).words.slice(6, 8);
  const { label, words } = ask(ROOT_FS, PHYSMEM.swapOut, container, 0, 3 * P);
  expect([label, words[0]]).toEqual([0, 3 * P]);
  const id = words[1];
  expect([[0, 1, 2, 3].map(contents), account()]).toEqual([
    [0, 0, 0, 4],
    [3, 64],
  ]);
  expect(ask(ROOT_FS, PHYSMEM.swapIn, container, id + 1, 0, P).words).toEqual([P]);
  expect(ask(ROOT_FS, PHYSMEM.swapIn, container, id, P, P, KEEP).words).toEqual([P]);
  expect([[0, 1, 2, 3].map(contents), account()]).toEqual([
    [2, 1, 0, 4],
    [2, 64],
  ]);
  expect(ask(ROOT_FS, PHYSMEM.swapIn, container, id + 1, 0, P)).toEqual({ label: ENOENT, words: [0], items: [] });
  expect(ask(ROOT_FS, PHYSMEM.swapDrop, handles[0], id, 3)).toEqual({ label: ENOENT, words: [2], items: [] });
  expect(account()).toEqual([0, 64]);
});

test('ids are the principal’s: another task may not use them, and they die with it', () => {
  const { ask, handles, container, physmem } = setup(2);
  const id = ask(ROOT_FS, PHYSMEM.swapOut, container, 0, 2 * P).words[1];
  const other = ask(OTHER, PHYSMEM.create, handles[1]).words[0];
  ask(OTHER, PHYSMEM.allocate, other, 0, 0, P);
  expect(ask(OTHER, PHYSMEM.swapIn, other, id, 0, P).label).toBe(ENOENT);
  expect(ask(OTHER, PHYSMEM.swapDrop, handles[1], id, 1).label).toBe(ENOENT);
  expect(ask(ROOT_FS, PHYSMEM.swapIn, container, id, 1, P).label).toBe(EINVAL);
  expect(ask(ROOT_FS, PHYSMEM.controlDestroy, handles[0]).label).toBe(0);
  expect([physmem.physmem.hidden, physmem.physmem.swap?.inactive.pages]).toEqual([0, 0]);
});

test('with all memory charged and used, what was put away goes to disk and comes back from there', () => {
  const { ask, handles, container, contents, physmem } = setup(100);
  const id = ask(ROOT_FS, PHYSMEM.swapOut, container, 0, 40 * P).words[1];
  for (const [task, control, pages] of [
    [ROOT_FS, handles[3], 169],
    [OTHER, handles[1], 50],
  ] as const) {
    const full = ask(task, PHYSMEM.create, control).words[0];
    expect(ask(task, PHYSMEM.allocate, full, 0, 0, pages * P).label).toBe(0);
    for (let page = 0; page < pages; page += 1) expect(ask(task, PHYSMEM.map, full, MAP_READ, 0, page * P, P).label).toBe(0);
  }
  const { zones, swap } = physmem.physmem;
  expect(Array.from({ length: 100 }, (_, page) => contents(page))).toEqual(
    Array.from({ length: 100 }, (_, page) => (page < 40 ? 0 : page + 1)),
  );
  expect([zones.freePages, swap?.slots.used, swap?.inactive.pages]).toEqual([0, 40, 0]);
  expect(ask(ROOT_FS, PHYSMEM.swapIn, container, id, 0, 40 * P).words).toEqual([40 * P]);
  expect(Array.from({ length: 40 }, (_, page) => contents(page))).toEqual(Array.from({ length: 40 }, (_, page) => page + 1));
  expect([zones.freePages, swap?.slots.used, swap?.counters.pagesRead]).toEqual([0, 0, 40]);
});

test('without swap space there is none, and soft references work all the same', () => {
  const { ask, handles } = boot();
  const container = ask(ROOT_FS, PHYSMEM.create, handles[0]).words[0];
  ask(ROOT_FS, PHYSMEM.provide, container, MAP_READ, 0, 0, 2 * P);
  expect(ask(ROOT_FS, PHYSMEM.swapOut, container, 0, P)).toEqual({ label: ENOMEM, words: [0, 0], items: [] });
  expect(ask(ROOT_FS, PHYSMEM.controlInfo, handles[0]).words.slice(6, 8)).toEqual([0, 0]);
  expect(ask(ROOT_FS, PHYSMEM.deallocate, container, 0, 2 * P, SOFT).words).toEqual([2 * P]);
  expect(ask(ROOT_FS, PHYSMEM.recover, container, P, P).words).toEqual([P]);
  expect(ask(ROOT_FS, PHYSMEM.recover, container, 4 * P, P)).toEqual({ label: ENOEXIST, words: [0], items: [] });
});
