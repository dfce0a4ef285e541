/** Section B: mapping, and pages that are allocated and mapped at once. */

import { describe, expect, test } from 'vitest';
import { EEXIST, EINVAL, ENOENT, ENOMEM } from '../../../../hostkernel/base/errno.ts';
import { assertInvariants } from '../../../../vkernel/physmem/core/invariants.ts';
import { map, provide } from '../../../../vkernel/physmem/core/map.ts';
import { ALL_OR_NONE, COPY_SHARED, EXTRA, MAP_EXECUTE, MAP_READ, MAP_WRITE, SQUASH } from '../../../../vkernel/physmem/interface.ts';
import { Items, Machine, P } from '../machine.ts';
import { filled, finish, RW, setup } from './setup.ts';

test('B1 a whole frame at an aligned place is one item', () => {
  const { machine } = setup();
  const a = machine.create();
  machine.allocate(a, 0, 16);
  const { error, items } = machine.map(a, MAP_READ, 0, 16);
  expect([error, items.length, items[0].pages, machine.use]).toEqual([0, 1, 16, 16]);
  finish(machine);
});
test('B2 badly aligned it takes many items, 31 a reply, and each reply gets on', () => {
  const { machine } = setup();
  const a = machine.create();
  machine.allocate(a, 0, 64);
  let page = 0;
  let replies = 0;
  while (page < 64) {
    const sink = new Items();
    expect(map(machine.physmem, a, MAP_READ, (page + 1) * P, page * P, (64 - page) * P, sink)).toBe(0);
    expect(sink.items.length).toBeLessThanOrEqual(31);
    expect(sink.pages).toBeGreaterThan(0);
    for (const item of sink.items) expect([item.frame % item.pages, item.page % item.pages]).toEqual([0, 0]);
    page += sink.pages;
    replies += 1;
  }
  expect([page, replies]).toEqual([64, 3]);
  finish(machine);
});
test('B3 one page of a frame binds all of it', () => {
  const { machine } = setup();
  const a = machine.create();
  machine.allocate(a, 0, 4);
  const { items } = machine.map(a, MAP_READ, 3);
  expect([machine.use, items.length, items[0].frame % 4, items[0].pages]).toEqual([4, 1, 3, 1]);
  finish(machine);
});
test('B4 misaligned, empty, without rights: EINVAL; a hole: ENOENT', () => {
  const { machine } = setup();
  const a = machine.create();
  machine.allocate(a, 0, 4);
  const sink = new Items();
  expect(map(machine.physmem, a, MAP_READ, 0x1001, 0, P, sink)).toBe(EINVAL);
  expect(map(machine.physmem, a, MAP_READ, 0, 0, 5000, sink)).toBe(EINVAL);
  expect(map(machine.physmem, a, MAP_READ, 0, 12, P, sink)).toBe(EINVAL);
  expect(map(machine.physmem, a, MAP_READ, 0, 0, 0, sink)).toBe(EINVAL);
  expect(map(machine.physmem, a, 0, 0, 0, P, sink)).toBe(EINVAL);
  expect(map(machine.physmem, a, MAP_READ | SQUASH, 0, 0, P, sink)).toBe(EINVAL);
  expect(map(machine.physmem, a, MAP_READ, 0, 8 * P, P, sink)).toBe(ENOENT);
  expect([sink.items.length, machine.use]).toEqual([0, 0]);
  finish(machine);
});
test('B5 a gap later: what came before is mapped, and the label says ENOENT', () => {
  const { machine } = setup();
  const a = machine.create();
  machine.allocate(a, 0, 2);
  machine.allocate(a, 4, 2);
  const { error, items } = machine.map(a, MAP_READ, 0, 6);
  expect([error, items.reduce((sum, item) => sum + item.pages, 0)]).toEqual([ENOENT, 2]);
  finish(machine);
});
test('B6 over three entries the items come in order, without gaps', () => {
  const { machine } = setup();
  const a = machine.create();
  for (const page of [0, 2, 4]) machine.allocate(a, page, 2);
  const { items } = machine.map(a, MAP_READ, 0, 6);
  expect(items.map((item) => [item.page, item.pages])).toEqual([
    [0, 2],
    [2, 2],
    [4, 2],
  ]);
  finish(machine);
});
test('B7 rights of the items are the rights asked', () => {
  const { machine } = setup();
  const a = machine.create();
  machine.allocate(a, 0, 1);
  for (const rights of [MAP_EXECUTE, MAP_READ, MAP_READ | MAP_EXECUTE, MAP_READ | MAP_WRITE]) {
    expect(machine.map(a, rights, 0).items[0].rights).toBe(rights);
  }
  finish(machine);
});
test('B8 WRITE without FORCE_WRITE on a copy: no WRITE, and no copy made', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  const b = machine.create();
  machine.copy(a, 0, b, 0, 4);
  expect(machine.map(b, MAP_READ | MAP_WRITE, 0, 4).items.map((item) => item.rights)).toEqual([MAP_READ]);
  expect([machine.use, machine.physmem.counters.copies]).toEqual([4, 0]);
  finish(machine);
});
test('B9 a task that unmapped its own page faults it in again: the same page', () => {
  const { machine } = setup();
  const a = filled(machine, 1);
  const before = machine.map(a, RW, 0).items[0].frame;
  machine.translations.get(a)?.delete(0);
  expect([machine.read(a, 0), machine.map(a, RW, 0).items[0].frame]).toEqual([10, before]);
  finish(machine);
});
test('without a large block a frame is bound in parts, only where it is used', () => {
  const machine = new Machine({
    memory: [
      [1, 1],
      [3, 1],
      [5, 1],
      [7, 1],
    ],
  });
  const a = machine.create();
  machine.allocate(a, 0, 4);
  expect(machine.read(a, 2)).toBe(0);
  expect([machine.shape(a), machine.use]).toEqual(['2@0 1@2 1@3', 1]);
  for (const page of [0, 1, 3]) expect(machine.write(a, page, page)).toBe(0);
  expect(machine.use).toBe(4);
  finish(machine);
});

describe('provide', () => {
  test('allocates and maps in one request, with the rights that were asked for', () => {
    const { machine, amount } = setup();
    const container = machine.create();
    const { error, items } = machine.provide(container, RW | ALL_OR_NONE, 0, 4);
    expect([error, amount(), machine.values(container, 0, 4)]).toEqual([0, 4, [0, 0, 0, 0]]);
    expect(items).toEqual([{ frame: 1024, pages: 4, page: 0, rights: MAP_READ | MAP_WRITE }]);
  });

  test('without ALL_OR_NONE it gives what the limit allows, and says how much; with it, all or nothing', () => {
    const { machine, amount } = setup();
    const { physmem } = machine;
    const control = physmem.splitControl(physmem.root, 3);
    if (control === null) expect.fail('no control');
    const container = machine.create(control);
    expect([machine.provide(container, RW | ALL_OR_NONE, 0, 4).error, amount(), container.pages]).toEqual([ENOMEM, 0, 0]);
    expect([machine.provide(container, RW, 0, 4).error, amount(), container.pages]).toEqual([0, 3, 3]);
    expect([machine.provide(container, RW, 3, 1).error, amount()]).toEqual([ENOMEM, 0]);
    machine.deallocate(container, 0, 1);
    expect([machine.provide(container, RW, 2, 1).error, amount()]).toEqual([EEXIST, 0]);
  });

  test('pages that cannot be mapped for want of memory are not left behind, nor is an item', () => {
    const machine = new Machine({ memory: [[8, 4]] });
    const hog = machine.create();
    machine.provide(hog, RW, 0, 2);
    expect(machine.allocate(hog, 2, 2)).toBe(0); // promises
    machine.physmem.root.limit += 4; // more than there is
    const container = machine.create();
    const result = machine.provide(container, RW, 0, 4);
    expect(result).toEqual({ error: ENOMEM, items: [] });
    expect([machine.physmem.amount, container.pages, container.entries.size, machine.use]).toEqual([0, 0, 0, 2]);
    machine.physmem.root.limit -= 4;
    assertInvariants(machine.physmem);
  });

  test('exceeds the guarantee with EXTRA, as allocate does', () => {
    const { machine } = setup();
    const control = machine.physmem.splitControl(machine.physmem.root, 2);
    if (control === null) throw new Error('no control');
    const container = machine.create(control);
    expect(machine.provide(container, RW | ALL_OR_NONE, 0, 4).error).toBe(ENOMEM);
    expect(machine.provide(container, RW | ALL_OR_NONE | EXTRA, 0, 4).error).toBe(0);
    expect(container.pages).toBe(4);
  });

  test('refuses what allocate or map refuses, and nothing has changed', () => {
    const { machine } = setup();
    const { physmem } = machine;
    const container = machine.create();
    const sink = new Items();
    const wrong: readonly [flags: number, vaddr: number, index: number, size: number][] = [
      [RW | SQUASH, 0, 0, P],
      [RW | COPY_SHARED, 0, 0, P],
      [ALL_OR_NONE, 0, 0, P], // no rights
      [RW, 1, 0, P],
      [RW, 0, 1, P],
      [RW, 0, 0, 0],
      [RW, 0, 0, P + 1],
      [RW, 2 ** 53 - P, 0, 2 * P],
      [RW, 0, 2 ** 53 - P, 2 * P],
    ];
    for (const [flags, vaddr, index, size] of wrong) {
      expect(provide(physmem, container, flags, vaddr, index, size, sink)).toBe(EINVAL);
      expect([physmem.amount, sink.items.length, container.pages]).toEqual([0, 0, 0]);
    }
  });
});
