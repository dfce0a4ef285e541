/** Containers, mappings, copies and charges by example. Letters and numbers are the scenarios' names. */

import { describe, expect, test } from 'vitest';
import { EEXIST, EINVAL, ENOENT, ENOMEM, EOPNOTSUPP, EPERM, ESRCH } from '../../../hostkernel/base/errno.ts';
import type { GuestFrame } from '../../../hostkernel/base/units.ts';
import type { Container } from '../../../vkernel/physmem/core/container.ts';
import { principalAccount } from '../../../vkernel/physmem/core/control.ts';
import { isCopyOnWrite } from '../../../vkernel/physmem/core/frame.ts';
import { assertInvariants, censusOf } from '../../../vkernel/physmem/core/invariants.ts';
import {
  ALL_OR_NONE,
  CONSTRAINED,
  CONTIGUOUS,
  COPY_IN_PLACE,
  COPY_MOVE,
  COPY_SHARED,
  DMA,
  EXTRA,
  FORCE_WRITE,
  LAZY,
  MAP_EXECUTE,
  MAP_READ,
  MAP_WRITE,
  SOFT,
  SQUASH,
} from '../../../vkernel/physmem/interface.ts';
import { Items, Machine, P } from './machine.ts';

const RW = MAP_READ | MAP_WRITE | FORCE_WRITE;

/** A machine with plenty of memory that begins at an aligned block, and `names` containers. */
function setup(options: { pages?: number; copyPages?: number } = {}) {
  const machine = new Machine({ memory: [[1024, options.pages ?? 1024]], copyPages: options.copyPages ?? 1024 });
  return { machine, amount: () => machine.physmem.amount / P };
}

/** A container with one frame of `pages` pages at page 0, holding 10, 11, ... */
function filled(machine: Machine, pages: number): Container {
  const container = machine.create();
  expect(machine.allocate(container, 0, pages)).toBe(0);
  for (let page = 0; page < pages; page += 1) machine.write(container, page, 10 + page);
  return container;
}

/** Ends a scenario: everything sound, and nothing left once it is torn down. */
function finish(machine: Machine): void {
  assertInvariants(machine.physmem);
  for (const child of machine.physmem.root.children) machine.physmem.destroyControl(child);
  for (const container of machine.physmem.root.containers) machine.physmem.destroy(container);
  assertInvariants(machine.physmem);
  expect(machine.use).toBe(0);
}

describe('allocate', () => {
  test('A1 12K at 0 becomes 8K and 4K, and takes no memory', () => {
    const { machine, amount } = setup();
    const a = machine.create();
    expect(machine.allocate(a, 0, 3)).toBe(0);
    expect([machine.shape(a), amount(), machine.use]).toEqual(['2@0 1@2', 3, 0]);
    finish(machine);
  });
  test('A2 sizes ignore the start', () => {
    const { machine } = setup();
    const a = machine.create();
    machine.allocate(a, 5, 3);
    expect(machine.shape(a)).toBe('2@5 1@7');
    finish(machine);
  });
  test('A3 28K is three frames, 4 MiB one, 4 MiB + 4K two', () => {
    const { machine } = setup({ pages: 4096 });
    const a = machine.create();
    machine.allocate(a, 0, 7);
    expect(machine.shape(a)).toBe('4@0 2@4 1@6');
    const b = machine.create();
    machine.allocate(b, 0, 1024);
    expect(machine.shape(b)).toBe('1024@0');
    const c = machine.create();
    machine.allocate(c, 0, 1025);
    expect(machine.shape(c)).toBe('1024@0 1@1024');
    finish(machine);
  });
  test('A4 nothing, part of a page, or a start inside one: EINVAL', () => {
    const { machine, amount } = setup();
    const a = machine.create();
    for (const [start, size] of [
      [0, 0],
      [0, 100],
      [100, P],
      [0.5, P],
    ]) {
      expect(machine.physmem.allocate(a, 0, start, size)).toBe(EINVAL);
      expect(amount()).toBe(0);
    }
    expect(a.entries.size).toBe(0);
    finish(machine);
  });
  test('A5 a range that wraps past the address width: EINVAL', () => {
    const { machine } = setup();
    expect(machine.physmem.allocate(machine.create(), 0, 2 ** 53 - P, 2 * P)).toBe(EINVAL);
    expect(machine.physmem.allocate(machine.create(), 0, 2 ** 64, P)).toBe(EINVAL);
    const narrow = new Machine({ memory: [[1, 8]], wordBits: 32 });
    expect(narrow.physmem.allocate(narrow.create(), 0, 2 ** 32 - P, 2 * P)).toBe(EINVAL);
    expect(narrow.physmem.allocate(narrow.create(), 0, 2 ** 32 - P, P)).toBe(0);
    finish(machine);
  });
  test('A6 occupied: what came before stays, unless ALL_OR_NONE', () => {
    const { machine, amount } = setup();
    const a = machine.create();
    machine.allocate(a, 2, 2);
    expect([machine.allocate(a, 0, 4), amount()]).toEqual([EEXIST, 0]);
    const b = machine.create();
    machine.allocate(b, 2, 1);
    expect([machine.allocate(b, 0, 3, ALL_OR_NONE), amount(), machine.shape(b)]).toEqual([EEXIST, 0, '1@2']);
    expect([machine.allocate(b, 0, 3), amount(), machine.shape(b)]).toEqual([EEXIST, 2, '2@0 1@2']);
    finish(machine);
  });
  test('A7 SQUASH replaces: old contents read as zero', () => {
    const { machine, amount } = setup();
    const a = filled(machine, 4);
    expect([machine.allocate(a, 2, 4, SQUASH), amount()]).toEqual([0, 4]);
    expect(machine.values(a, 0, 6)).toEqual([10, 11, 0, 0, 0, 0]);
    finish(machine);
  });
  test('A8 fresh pages read zero where the memory held the data of another task', () => {
    const { machine } = setup({ pages: 4 });
    machine.physmem.destroy(filled(machine, 4));
    const b = machine.create();
    machine.allocate(b, 0, 4);
    expect([0, 1, 2, 3].map((page) => machine.read(b, page))).toEqual([0, 0, 0, 0]);
    finish(machine);
  });
  test('A9 64 single pages are 64 frames, 256K at once is one', () => {
    const { machine } = setup();
    const a = machine.create();
    for (let page = 0; page < 64; page += 1) machine.allocate(a, page, 1);
    expect(censusOf(machine.physmem).unbound).toEqual([64]);
    machine.physmem.destroy(a);
    machine.allocate(machine.create(), 0, 64);
    expect(censusOf(machine.physmem).unbound).toEqual([0, 0, 0, 0, 0, 0, 1]);
    finish(machine);
  });
  test('flags: unknown ones are EINVAL, kinds of memory nobody tells apart EOPNOTSUPP, EXTRA helps nobody yet', () => {
    const { machine } = setup({ pages: 4 });
    const a = machine.create();
    for (const flag of [LAZY, SOFT, 1 << 20, 2 ** 40, MAP_READ]) expect(machine.allocate(a, 0, 1, flag)).toBe(EINVAL);
    for (const flag of [DMA, CONSTRAINED, CONTIGUOUS]) expect(machine.allocate(a, 0, 1, flag)).toBe(EOPNOTSUPP);
    expect(machine.allocate(a, 0, 5, EXTRA | ALL_OR_NONE)).toBe(ENOMEM);
    expect(machine.allocate(a, 0, 4, EXTRA | ALL_OR_NONE)).toBe(0);
    finish(machine);
  });
  test('beyond the limit as many pages as fit are placed, or none', () => {
    const { machine, amount } = setup({ pages: 5 });
    const a = machine.create();
    expect([machine.allocate(a, 0, 8, ALL_OR_NONE), amount()]).toEqual([ENOMEM, 0]);
    expect([machine.allocate(a, 0, 8), amount(), machine.shape(a)]).toEqual([ENOMEM, 5, '4@0 1@4']);
    expect([machine.allocate(a, 0, 6, SQUASH), amount()]).toEqual([ENOMEM, 5]);
    finish(machine);
  });
});

describe('map', () => {
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
      expect(machine.physmem.map(a, MAP_READ, (page + 1) * P, page * P, (64 - page) * P, sink)).toBe(0);
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
    expect(machine.physmem.map(a, MAP_READ, 0x1001, 0, P, sink)).toBe(EINVAL);
    expect(machine.physmem.map(a, MAP_READ, 0, 0, 5000, sink)).toBe(EINVAL);
    expect(machine.physmem.map(a, MAP_READ, 0, 12, P, sink)).toBe(EINVAL);
    expect(machine.physmem.map(a, MAP_READ, 0, 0, 0, sink)).toBe(EINVAL);
    expect(machine.physmem.map(a, 0, 0, 0, P, sink)).toBe(EINVAL);
    expect(machine.physmem.map(a, MAP_READ | SQUASH, 0, 0, P, sink)).toBe(EINVAL);
    expect(machine.physmem.map(a, MAP_READ, 0, 8 * P, P, sink)).toBe(ENOENT);
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

  test('refuses what allocate or map refuses, and nothing has changed', () => {
    const { machine } = setup();
    const { physmem } = machine;
    const container = machine.create();
    const sink = new Items();
    const wrong: readonly [flags: number, vaddr: number, index: number, size: number][] = [
      [RW | SQUASH, 0, 0, P],
      [RW | EXTRA, 0, 0, P],
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
      expect(physmem.provide(container, flags, vaddr, index, size, sink)).toBe(EINVAL);
      expect([physmem.amount, sink.items.length, container.pages]).toEqual([0, 0, 0]);
    }
  });
});

describe('logical copy', () => {
  test('C1 C2 the writer gets the copy, the other keeps the page; what is left is freed', () => {
    const { machine } = setup();
    const a = filled(machine, 4);
    const b = machine.create();
    expect(machine.copy(a, 0, b, 0, 4)).toBe(0);
    expect(machine.use).toBe(4);
    machine.write(b, 1, 99);
    expect([machine.read(a, 1), machine.read(b, 1)]).toEqual([11, 99]);
    expect(machine.use).toBe(8);
    machine.deallocate(a, 0, 4);
    expect(machine.use).toBe(4);
    machine.deallocate(b, 0, 4);
    expect(machine.use).toBe(0);
    finish(machine);
  });
  test('C1 with small copies only the piece around the write is copied', () => {
    const { machine } = setup({ copyPages: 1 });
    const a = filled(machine, 4);
    const b = machine.create();
    machine.copy(a, 0, b, 0, 4);
    machine.write(b, 1, 99);
    expect([machine.values(a, 0, 4), machine.values(b, 0, 4), machine.use]).toEqual([[10, 11, 12, 13], [10, 99, 12, 13], 5]);
    finish(machine);
  });
  test('C3 copying promises binds nothing', () => {
    const { machine } = setup();
    const a = machine.create();
    const b = machine.create();
    machine.allocate(a, 0, 4);
    machine.copy(a, 0, b, 0, 4);
    expect(machine.use).toBe(0);
    machine.write(b, 0, 5);
    expect([machine.read(a, 0), machine.read(b, 0)]).toEqual([0, 5]);
    expect(machine.use).toBeLessThanOrEqual(8);
    finish(machine);
  });
  test('C4 a writable mapping loses WRITE and keeps READ when it is copied', () => {
    const { machine } = setup();
    const a = filled(machine, 2);
    const b = machine.create();
    machine.copy(a, 0, b, 0, 2);
    expect(machine.translations.get(a)?.get(0)?.rights).toBe(MAP_READ);
    machine.write(a, 0, 77);
    expect([machine.read(a, 0), machine.read(b, 0)]).toEqual([77, 10]);
    finish(machine);
  });
  test('C5 a chain of four copies is one frame; in every order of writes the last one copies nothing', () => {
    const orders = permutations([0, 1, 2, 3]);
    expect(orders.length).toBe(24);
    for (const order of orders) {
      const { machine } = setup();
      const chain = [filled(machine, 1), machine.create(), machine.create(), machine.create()];
      for (let i = 0; i < 3; i += 1) machine.copy(chain[i], 0, chain[i + 1], 0, 1);
      expect(machine.use).toBe(1);
      order.forEach((writer, turn) => {
        machine.write(chain[writer], 0, 100 + turn);
        for (const other of order.slice(turn + 1)) expect(machine.peek(chain[other], 0)).toBe(10);
      });
      expect(machine.physmem.counters.copies).toBe(3);
      finish(machine);
    }
  });
  test('C6 C7 whichever side goes, the other writes without copying', () => {
    for (const goes of [0, 1]) {
      const { machine } = setup();
      const sides = [filled(machine, 4), machine.create()];
      machine.copy(sides[0], 0, sides[1], 0, 4);
      machine.deallocate(sides[goes], 0, 4);
      machine.write(sides[1 - goes], 2, 5);
      expect([machine.physmem.counters.copies, machine.use]).toEqual([0, 4]);
      finish(machine);
    }
  });
  test('C8 pages 1 to 6 of an 8P frame become pieces 1, 2, 2, 1', () => {
    const { machine } = setup();
    const b = machine.create();
    machine.copy(filled(machine, 8), 1, b, 3, 6);
    expect([machine.shape(b), machine.values(b, 3, 6)]).toEqual(['1@3 2@4 2@6 1@8', [11, 12, 13, 14, 15, 16]]);
    finish(machine);
  });
  test('C9 C10 pieces follow source frames, whatever the destination', () => {
    const { machine } = setup();
    const a = machine.create();
    for (const page of [0, 4, 8]) machine.allocate(a, page, 4);
    const b = machine.create();
    machine.copy(a, 0, b, 3, 11);
    expect(machine.shape(b)).toBe('4@3 4@7 2@11 1@13');
    finish(machine);
  });
  test('C11 a hole in the source: ENOENT at the start, ESRCH later; ALL_OR_NONE leaves the destination', () => {
    const { machine, amount } = setup();
    const a = filled(machine, 2);
    const b = machine.create();
    expect([machine.copy(a, 2, b, 0, 2), amount()]).toEqual([ENOENT, 0]);
    expect([machine.copy(a, 0, b, 0, 4, ALL_OR_NONE), amount(), b.pages]).toEqual([ESRCH, 0, 0]);
    expect([machine.copy(a, 2, b, 0, 2, ALL_OR_NONE), amount(), b.pages]).toEqual([ENOENT, 0, 0]);
    expect([machine.copy(a, 0, b, 0, 4), amount(), b.pages]).toEqual([ESRCH, 2, 2]);
    finish(machine);
  });
  test('C12 an occupied destination: EEXIST from there on, SQUASH replaces', () => {
    const { machine, amount } = setup();
    const a = filled(machine, 4);
    const b = machine.create();
    machine.allocate(b, 2, 1);
    expect([machine.copy(a, 0, b, 0, 4, ALL_OR_NONE), amount()]).toEqual([EEXIST, 0]);
    expect([machine.copy(a, 0, b, 0, 4), amount()]).toEqual([EEXIST, 2]);
    expect([machine.copy(a, 0, b, 0, 4, SQUASH), amount()]).toEqual([0, 4]);
    expect(machine.values(b, 0, 4)).toEqual([10, 11, 12, 13]);
    finish(machine);
  });
  test('C13 inside one container: apart it works, overlapping is EEXIST', () => {
    const { machine } = setup();
    const a = filled(machine, 4);
    expect(machine.copy(a, 0, a, 4, 4)).toBe(0);
    expect(machine.copy(a, 0, a, 2, 4)).toBe(EEXIST);
    expect(machine.values(a, 4, 4)).toEqual([10, 11, 12, 13]);
    finish(machine);
  });
  test('C16 a copy of a shared page hears nothing of the sharers, and they of each other', () => {
    const { machine } = setup();
    const a = filled(machine, 1);
    const [b, c, d] = [machine.create(), machine.create(), machine.create()];
    machine.copy(a, 0, b, 0, 1, COPY_SHARED);
    machine.copy(b, 0, c, 0, 1);
    machine.copy(c, 0, d, 0, 1);
    machine.write(b, 0, 50);
    expect([a, b, c, d].map((each) => machine.read(each, 0))).toEqual([50, 50, 10, 10]);
    finish(machine);
  });
  test('arguments: alignment, wrap, unknown flags EINVAL; kinds of copy that are not offered EOPNOTSUPP; 0 bytes succeed', () => {
    const { machine, amount } = setup();
    const a = filled(machine, 2);
    const b = machine.create();
    expect(machine.physmem.copy(a, 1, b, 0, P, 0)).toBe(EINVAL);
    expect(machine.physmem.copy(a, 0, b, 1, P, 0)).toBe(EINVAL);
    expect(machine.physmem.copy(a, 0, b, 0, 1, 0)).toBe(EINVAL);
    expect(machine.physmem.copy(a, 0, b, 2 ** 53 - P, 2 * P, 0)).toBe(EINVAL);
    expect(machine.copy(a, 0, b, 0, 1, MAP_READ)).toBe(EINVAL);
    expect(machine.copy(a, 0, b, 0, 1, COPY_MOVE)).toBe(EOPNOTSUPP);
    expect(machine.copy(a, 0, b, 0, 1, COPY_IN_PLACE)).toBe(EOPNOTSUPP);
    expect([machine.copy(a, 0, b, 0, 0), amount()]).toEqual([0, 0]);
    finish(machine);
  });
});

describe('shared copy', () => {
  test('D1 D6 writes are seen both ways, use 4, charge 8; the last sharer frees', () => {
    const { machine } = setup();
    const a = filled(machine, 4);
    const b = machine.create();
    machine.copy(a, 0, b, 0, 4, COPY_SHARED);
    machine.write(b, 0, 20);
    machine.write(a, 1, 21);
    expect([machine.read(a, 0), machine.read(b, 1), machine.use, machine.physmem.root.used]).toEqual([20, 21, 4, 8]);
    machine.deallocate(a, 0, 4);
    expect([machine.values(b, 0, 4), machine.use]).toEqual([[20, 21, 12, 13], 4]);
    machine.deallocate(b, 0, 4);
    expect(machine.use).toBe(0);
    finish(machine);
  });
  test('D2 sharing pages 1 to 3 of an 8P frame', () => {
    const { machine } = setup();
    const a = filled(machine, 8);
    const b = machine.create();
    machine.copy(a, 1, b, 0, 3, COPY_SHARED);
    machine.write(b, 0, 70);
    machine.write(a, 3, 72);
    expect([machine.shape(b), machine.read(a, 1), machine.read(b, 2)]).toEqual(['1@0 2@1', 70, 72]);
    finish(machine);
  });
  test('D3 D4 sharers move together; a copy that writes first leaves them together', () => {
    for (const first of ['sharers', 'copy']) {
      const { machine } = setup();
      const a = filled(machine, 4);
      const [b, c] = [machine.create(), machine.create()];
      machine.copy(a, 0, b, 0, 4, COPY_SHARED);
      machine.copy(b, 0, c, 0, 4);
      if (first === 'copy') machine.write(c, 0, 90);
      machine.write(a, 0, 60);
      const own = first === 'copy' ? 90 : 10;
      expect([machine.read(a, 0), machine.read(b, 0), machine.read(c, 0)]).toEqual([60, 60, own]);
      machine.write(b, 1, 61);
      expect([machine.read(a, 1), machine.read(c, 1)]).toEqual([61, 11]);
      finish(machine);
    }
  });
  test('D5 sharing a copy', () => {
    const { machine } = setup();
    const a = filled(machine, 2);
    const [c, d] = [machine.create(), machine.create()];
    machine.copy(a, 0, c, 0, 2);
    machine.copy(c, 0, d, 0, 2, COPY_SHARED);
    machine.write(d, 0, 33);
    expect([machine.read(c, 0), machine.read(a, 0)]).toEqual([33, 10]);
    finish(machine);
  });
  test('D7 the smaller sharer takes the larger along', () => {
    const { machine } = setup();
    const a = filled(machine, 4);
    const [b, c] = [machine.create(), machine.create()];
    machine.copy(a, 1, b, 0, 2, COPY_SHARED);
    machine.copy(a, 0, c, 0, 4);
    machine.write(b, 0, 81);
    expect([machine.values(a, 0, 4), machine.values(b, 0, 2), machine.values(c, 0, 4)]).toEqual([
      [10, 81, 12, 13],
      [81, 12],
      [10, 11, 12, 13],
    ]);
    expect(a.entries.at(1)?.frame).toBe(b.entries.at(0)?.frame);
    finish(machine);
  });
});

describe('flushing', () => {
  test('F2 after deallocation nobody can read the page', () => {
    const { machine } = setup({ pages: 1 });
    const a = filled(machine, 1);
    machine.deallocate(a, 0, 1);
    expect(machine.translations.get(a)?.size).toBe(0);
    const b = machine.create();
    machine.allocate(b, 0, 1);
    machine.write(b, 0, 4711);
    expect(machine.read(a, 0)).toBe(-ENOENT);
    finish(machine);
  });
  test('F3 a sharer that could read the old page must fault onto the new one', () => {
    const { machine } = setup();
    const a = filled(machine, 1);
    const [b, c] = [machine.create(), machine.create()];
    machine.copy(a, 0, b, 0, 1, COPY_SHARED);
    machine.copy(a, 0, c, 0, 1);
    machine.read(b, 0);
    machine.write(a, 0, 5);
    expect([machine.read(b, 0), machine.read(c, 0)]).toEqual([5, 10]);
    finish(machine);
  });
  test('F5 shared copy flushes nothing, a copy of a never writable frame nothing, of a writable one WRITE once', () => {
    const { machine } = setup();
    const a = filled(machine, 4);
    const [b, c] = [machine.create(), machine.create()];
    machine.flushes = [];
    machine.copy(a, 0, b, 0, 4, COPY_SHARED);
    expect(machine.flushes).toEqual([]);
    machine.copy(a, 0, c, 0, 4);
    expect(machine.flushes.map((flush) => [flush.pages, flush.rights])).toEqual([[4, MAP_WRITE]]);
    const d = machine.create();
    machine.copy(c, 0, d, 0, 4);
    expect(machine.flushes.length).toBe(1);
    finish(machine);
  });
  test('F7 LAZY is a permission: the flush is immediate', () => {
    const { machine } = setup();
    const a = filled(machine, 1);
    expect(machine.deallocate(a, 0, 1, LAZY)).toBe(0);
    expect(machine.translations.get(a)?.size).toBe(0);
    finish(machine);
  });
});

describe('memory controls', () => {
  test('I-1 I-2 splitting 100, then 10; a used limit cannot be split', () => {
    const { machine } = setup({ pages: 1000 });
    const { physmem } = machine;
    const a = physmem.splitControl(physmem.root, 100);
    const b = a === null ? null : physmem.splitControl(a, 10);
    expect([a?.limit, b?.limit, physmem.root.limit]).toEqual([90, 10, 900]);
    if (a === null) return;
    expect(physmem.splitControl(a, 91)).toBe(null);
    for (const count of [-1, 0.5, 2 ** 60]) expect(physmem.splitControl(a, count)).toBe(null);
    machine.allocate(machine.create(a), 0, 85);
    expect(physmem.splitControl(a, 6)).toBe(null);
    expect(physmem.splitControl(a, 5)?.limit).toBe(5);
    expect(physmem.splitControl(a, 0)?.limit).toBe(0);
    finish(machine);
  });
  test('I-3 the eleventh page of ten is ENOMEM', () => {
    const { machine, amount } = setup();
    const b = machine.physmem.splitControl(machine.physmem.root, 10);
    if (b === null) throw new Error('split');
    const container = machine.create(b);
    expect(machine.allocate(container, 0, 10)).toBe(0);
    expect([machine.allocate(container, 10, 1), amount()]).toEqual([ENOMEM, 0]);
    finish(machine);
  });
  test('I-4 destroying a control destroys everything below; the limit returns', () => {
    const { machine } = setup({ pages: 1000 });
    const { physmem } = machine;
    let control = physmem.root;
    const containers = [];
    for (const pages of [100, 50, 20]) {
      const child = physmem.splitControl(control, pages);
      if (child === null) throw new Error('split');
      control = child;
      const container = machine.create(control);
      machine.allocate(container, 0, 8);
      machine.write(container, 0, 1);
      containers.push(container);
    }
    const top = [...physmem.root.children][0];
    expect(physmem.destroyControl(top)).toBe(0);
    expect([physmem.root.limit, machine.use, containers.some((each) => each.alive), machine.retired.length]).toEqual([1000, 0, false, 6]);
    expect(physmem.destroyControl(physmem.root)).toBe(EPERM);
    finish(machine);
  });
  test('a chain of a hundred thousand controls, split from each other for nothing, is counted and destroyed', () => {
    const { machine } = setup();
    const { physmem } = machine;
    const { limit } = physmem.root;
    let control = physmem.root;
    for (let depth = 0; depth < 100_000; depth += 1) control = physmem.splitControl(control, depth === 0 ? 10 : 0) ?? control;
    const top = [...physmem.root.children][0];
    expect(principalAccount(control).guaranteed).toBe(10);
    expect(physmem.destroyControl(top)).toBe(0);
    expect([physmem.root.limit, control.alive, machine.retired.length]).toEqual([limit, false, 100_000]);
    finish(machine);
  });
  test('I-5 absorbing what is unused', () => {
    const { machine } = setup();
    const { physmem } = machine;
    const child = physmem.splitControl(physmem.root, 10);
    if (child === null) throw new Error('split');
    machine.allocate(machine.create(child), 0, 6);
    expect(physmem.absorbControl(child, 5)).toBe(ENOMEM);
    expect([physmem.absorbControl(child, 4), child.limit]).toEqual([0, 6]);
    expect(physmem.absorbControl(physmem.root, 0)).toBe(EPERM);
    finish(machine);
  });
  test('I-6 I-7 a copy charges though use does not grow; two containers add up in one control', () => {
    const { machine } = setup();
    const a = filled(machine, 8);
    const b = machine.create();
    machine.copy(a, 0, b, 0, 8);
    expect([machine.physmem.root.used, machine.use]).toEqual([16, 8]);
    machine.deallocate(b, 0, 8);
    expect(machine.physmem.root.used).toBe(8);
    finish(machine);
  });
  test('a copy beyond the limit of the destination is ENOMEM, as far as it goes', () => {
    const { machine, amount } = setup();
    const a = filled(machine, 8);
    const poor = machine.physmem.splitControl(machine.physmem.root, 5);
    if (poor === null) throw new Error('split');
    const b = machine.create(poor);
    expect([machine.copy(a, 0, b, 0, 8, ALL_OR_NONE), amount()]).toEqual([ENOMEM, 0]);
    expect([machine.copy(a, 0, b, 0, 8), amount()]).toEqual([ENOMEM, 5]);
    expect([machine.copy(a, 3, b, 0, 5, SQUASH), amount()]).toEqual([0, 5]);
    expect(machine.values(b, 0, 5)).toEqual([13, 14, 15, 16, 17]);
    finish(machine);
  });
  test('the account of a principal covers its subtree', () => {
    const { machine } = setup({ pages: 1000 });
    const { physmem } = machine;
    const principal = physmem.splitControl(physmem.root, 100);
    const child = principal === null ? null : physmem.splitControl(principal, 30);
    if (principal === null || child === null) throw new Error('split');
    machine.allocate(machine.create(child), 0, 7);
    machine.allocate(machine.create(principal), 0, 5);
    expect(principalAccount(child)).toEqual({ guaranteed: 100, allocated: 12, extra: 0 });
    finish(machine);
  });
});

describe('memory received at boot', () => {
  test('O1 page 0 is kept, blocks of a module keep their contents and their distance, and all is accounted for', () => {
    const machine = new Machine({
      memory: [
        [0, 8],
        [40, 24],
      ],
    });
    const { physmem } = machine;
    machine.contents.set(16, 160).set(17, 170).set(20, 200);
    const block = (frame: number, pages: number) => ({ frame: frame as GuestFrame, pages });
    const module = physmem.createFromMemory(physmem.root, [block(16, 2), block(20, 1)]);
    if (module === null) throw new Error('module');
    expect(machine.values(module, 0, 5)).toEqual([160, 170, '-', '-', 200]);
    expect([physmem.receivedPages, physmem.fixedPages, machine.use, physmem.root.limit, physmem.root.used]).toEqual([35, 1, 3, 34, 3]);
    expect(physmem.createFromMemory(physmem.root, [block(24, 1), block(16, 1)])).toBe(null);
    expect(physmem.createFromMemory(physmem.root, [block(0, 1)])).toBe(null);
    expect(physmem.createFromMemory(physmem.root, [block(26, 4)])).toBe(null);
    finish(machine);
  });
  test('O3 ten copies of a thousand single pages, a tenth of each written', () => {
    const { machine } = setup({ pages: 12_000 });
    const parent = machine.create();
    for (let page = 0; page < 1000; page += 1) {
      machine.allocate(parent, page, 1);
      machine.physmem.map(parent, RW, page * P, page * P, P, new Items());
    }
    for (let i = 0; i < 10; i += 1) {
      const child = machine.create();
      expect(machine.copy(parent, 0, child, 0, 1000)).toBe(0);
      for (let page = i; page < 1000; page += 10) machine.physmem.map(child, RW, page * P, page * P, P, new Items());
    }
    expect([machine.use, machine.physmem.counters.copies]).toEqual([2000, 1000]);
    finish(machine);
  });
  test('J18 with as much memory as is charged, writes that break copies never fail', () => {
    const machine = new Machine({ memory: [[1, 64]], copyPages: 8 });
    const containers = [filled(machine, 16), machine.create(), machine.create(), machine.create()];
    for (let i = 1; i < 4; i += 1) machine.copy(containers[i - 1], 0, containers[i], 0, 16);
    expect(machine.physmem.root.unused).toBe(0);
    for (let i = 0; i < 500; i += 1) {
      const container = containers[(i * 7) % 4];
      const page = (i * 11) % 16;
      expect(machine.write(container, page, 1000 + i)).toBe(0);
      if (i % 25 !== 24) continue;
      machine.deallocate(containers[(i + 1) % 4], 0, 16); // give it up, and copy a neighbour anew
      expect(machine.copy(container, 0, containers[(i + 1) % 4], 0, 16, SQUASH)).toBe(container === containers[(i + 1) % 4] ? EEXIST : 0);
      if (container === containers[(i + 1) % 4]) machine.allocate(container, 0, 16);
    }
    assertInvariants(machine.physmem);
    finish(machine);
  });
  test('no frame that copies share is granted writable', () => {
    const { machine } = setup();
    const a = filled(machine, 4);
    const b = machine.create();
    machine.copy(a, 1, b, 0, 2);
    const frame = a.entries.at(0)?.frame;
    if (frame === undefined) throw new Error('entry');
    expect([isCopyOnWrite(frame), frame.granted & MAP_WRITE]).toEqual([true, 0]);
    finish(machine);
  });
});

function permutations(values: readonly number[]): number[][] {
  if (values.length <= 1) return [[...values]];
  return values.flatMap((value) => permutations(values.filter((other) => other !== value)).map((rest) => [value, ...rest]));
}
