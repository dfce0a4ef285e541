/** Section G: copies in place, moves, releases, lists of pages, and containers made with contents. */

import { describe, expect, test } from 'vitest';
import { EEXIST, EINVAL, ENOENT, ENOMEM, ESRCH } from '../../../../hostkernel/base/errno.ts';
import type { Container } from '../../../../vkernel/physmem/core/container.ts';
import { copyVector } from '../../../../vkernel/physmem/core/copy-vector.ts';
import { createFrom, createGather, createWith } from '../../../../vkernel/physmem/core/create.ts';
import { release } from '../../../../vkernel/physmem/core/release.ts';
import { ALL_OR_NONE, COPY_IN_PLACE, COPY_MOVE, COPY_SHARED, MAP_READ, SQUASH } from '../../../../vkernel/physmem/interface.ts';
import { type Machine, P } from '../machine.ts';
import { filled, finish, setup } from './setup.ts';

/** Two containers of `pages` pages: 10, 11, ... and 20, 21, ... */
function two(machine: Machine, pages: number): [a: Container, b: Container] {
  const [a, b] = [filled(machine, pages), machine.create()];
  machine.allocate(b, 0, pages);
  for (let page = 0; page < pages; page += 1) machine.write(b, page, 20 + page);
  return [a, b];
}

describe('in place', () => {
  test('G1 the pages take the values; charges stay, and later writes to the source are not seen', () => {
    const { machine, amount } = setup();
    const [a, b] = two(machine, 4);
    const used = machine.physmem.root.used;
    expect([machine.copy(a, 0, b, 0, 4, COPY_IN_PLACE), amount()]).toEqual([0, 4]);
    expect([machine.values(b, 0, 4), machine.physmem.root.used, machine.use]).toEqual([[10, 11, 12, 13], used, 4]);
    machine.write(a, 2, 99);
    expect([machine.read(b, 2), machine.read(a, 2)]).toEqual([12, 99]);
    finish(machine);
  });
  test('G2 who shares a page that is filled sees the new value too', () => {
    const { machine } = setup();
    const [a, b] = two(machine, 4);
    const c = machine.create();
    machine.copy(b, 1, c, 0, 1, COPY_SHARED);
    machine.read(c, 0);
    expect(machine.copy(a, 0, b, 0, 4, COPY_IN_PLACE)).toBe(0);
    expect([machine.values(b, 0, 4), machine.read(c, 0)]).toEqual([[10, 11, 12, 13], 11]);
    machine.write(c, 0, 77);
    expect([machine.read(b, 1), machine.read(a, 1)]).toEqual([77, 11]);
    finish(machine);
  });
  test('G2 a copy of a page that is filled keeps what it had', () => {
    const { machine } = setup();
    const [a, b] = two(machine, 4);
    const [c, d] = [machine.create(), machine.create()];
    machine.copy(b, 0, c, 0, 4, COPY_SHARED);
    machine.copy(b, 0, d, 0, 4);
    expect(machine.copy(a, 0, b, 0, 4, COPY_IN_PLACE)).toBe(0);
    expect([machine.values(c, 0, 4), machine.values(d, 0, 4)]).toEqual([
      [10, 11, 12, 13],
      [20, 21, 22, 23],
    ]);
    finish(machine);
  });
  test('G2 a promise in place of a shared page is zero for all sharers', () => {
    const { machine } = setup();
    const [, b] = two(machine, 2);
    const [c, empty] = [machine.create(), machine.create()];
    machine.copy(b, 0, c, 0, 2, COPY_SHARED);
    machine.allocate(empty, 0, 2);
    expect(machine.copy(empty, 0, c, 0, 2, COPY_IN_PLACE)).toBe(0);
    expect([machine.read(b, 0), machine.read(b, 1)]).toEqual([0, 0]);
    finish(machine);
  });
  test('G2 between sharers of one page nothing happens', () => {
    const { machine } = setup();
    const a = filled(machine, 2);
    const b = machine.create();
    machine.copy(a, 0, b, 0, 2, COPY_SHARED);
    expect([machine.copy(a, 0, b, 0, 2, COPY_IN_PLACE), machine.use, machine.physmem.counters.copies]).toEqual([0, 2, 0]);
    machine.write(a, 0, 5);
    expect(machine.read(b, 0)).toBe(5);
    finish(machine);
  });
  test('G3 an absent destination page: ENOMEM from there on, or nothing at all', () => {
    const { machine, amount } = setup();
    const [a, b] = two(machine, 4);
    machine.deallocate(b, 2, 1);
    expect([machine.copy(a, 0, b, 0, 4, COPY_IN_PLACE | ALL_OR_NONE), amount()]).toEqual([ENOMEM, 0]);
    expect(machine.values(b, 0, 4)).toEqual([20, 21, '-', 23]);
    expect([machine.copy(a, 0, b, 0, 4, COPY_IN_PLACE), amount()]).toEqual([ENOMEM, 2]);
    expect(machine.values(b, 0, 4)).toEqual([10, 11, '-', 23]);
    finish(machine);
  });
  test('G3 absent source pages are those of a copy; ranges that overlap are EINVAL', () => {
    const { machine, amount } = setup();
    const [a, b] = two(machine, 4);
    machine.deallocate(a, 2, 1);
    expect([machine.copy(a, 2, b, 0, 2, COPY_IN_PLACE), amount()]).toEqual([ENOENT, 0]);
    expect([machine.copy(a, 0, b, 0, 4, COPY_IN_PLACE), amount()]).toEqual([ESRCH, 2]);
    expect(machine.copy(b, 0, b, 1, 2, COPY_IN_PLACE)).toBe(EINVAL);
    finish(machine);
  });
  test('G3 where no memory is left for the bytes, ALL_OR_NONE leaves every page as it was', () => {
    const { machine, amount } = setup({ copyPages: 1 });
    const [a, b] = two(machine, 2);
    const [c, d] = [machine.create(), machine.create()];
    machine.copy(b, 0, c, 0, 2, COPY_SHARED);
    machine.copy(b, 0, d, 0, 2); // so that bytes for B need pages of their own
    let blocks = 1;
    machine.failsAllocation = () => {
      blocks -= 1;
      return blocks < 0;
    };
    expect([machine.copy(a, 0, b, 0, 2, COPY_IN_PLACE | ALL_OR_NONE), amount()]).toEqual([ENOMEM, 0]);
    expect([machine.values(b, 0, 2), machine.values(c, 0, 2)]).toEqual([
      [20, 21],
      [20, 21],
    ]);
    expect([machine.copy(a, 0, b, 0, 2, COPY_IN_PLACE), amount()]).toEqual([ENOMEM, 1]);
    expect([machine.values(b, 0, 2), machine.values(c, 0, 2)]).toEqual([
      [10, 21],
      [10, 21],
    ]);
    finish(machine);
  });
});

describe('move', () => {
  test('G4 the destination has the data, the source nothing; charge and sharers stay, mappings go', () => {
    const { machine, amount } = setup();
    const a = filled(machine, 4);
    const [b, c] = [machine.create(), machine.create()];
    machine.copy(a, 1, c, 0, 1, COPY_SHARED);
    const used = machine.physmem.root.used;
    expect([machine.copy(a, 0, b, 2, 4, COPY_MOVE), amount()]).toEqual([0, 4]);
    expect([machine.values(a, 0, 4), machine.values(b, 2, 4)]).toEqual([
      ['-', '-', '-', '-'],
      [10, 11, 12, 13],
    ]);
    expect([machine.physmem.root.used, machine.use, machine.translations.get(a)?.size]).toEqual([used, 4, 0]);
    machine.write(c, 0, 50);
    expect([machine.read(b, 3), machine.physmem.counters.copies]).toEqual([50, 0]);
    finish(machine);
  });
  test('G4 needs no guarantee inside one control, and that of the destination otherwise', () => {
    const { machine, amount } = setup({ pages: 8 });
    const a = filled(machine, 6);
    const poor = machine.physmem.splitControl(machine.physmem.root, 2);
    if (poor === null) expect.fail('no control');
    const [b, c] = [machine.create(), machine.create(poor)];
    expect(machine.copy(a, 0, b, 0, 6, COPY_MOVE | ALL_OR_NONE)).toBe(0);
    expect([machine.copy(b, 0, c, 0, 3, COPY_MOVE | ALL_OR_NONE), amount()]).toEqual([ENOMEM, 0]);
    expect([machine.copy(b, 0, c, 0, 3, COPY_MOVE), amount()]).toEqual([ENOMEM, 2]);
    expect([machine.values(b, 0, 3), machine.values(c, 0, 3), poor.used]).toEqual([['-', '-', 12], [10, 11, '-'], 2]);
    finish(machine);
  });
  test('G4 a part of a frame moves, into the place of what is squashed, and inside one container too', () => {
    const { machine } = setup();
    const [a, b] = two(machine, 8);
    expect(machine.copy(a, 1, b, 0, 3, COPY_MOVE)).toBe(EEXIST);
    expect(machine.copy(a, 1, b, 0, 3, COPY_MOVE | SQUASH)).toBe(0);
    expect(machine.copy(b, 0, b, 20, 3, COPY_MOVE)).toBe(0);
    expect([machine.values(a, 0, 5), machine.values(b, 0, 4), machine.values(b, 20, 3)]).toEqual([
      [10, '-', '-', '-', 14],
      ['-', '-', '-', 23],
      [11, 12, 13],
    ]);
    finish(machine);
  });
});

describe('release', () => {
  test('G5 pages that a copy shares read zero, the copy keeps them, and the next write copies nothing', () => {
    const { machine } = setup();
    const a = filled(machine, 4);
    const b = machine.create();
    machine.copy(a, 0, b, 0, 4);
    const used = machine.physmem.root.used;
    expect(release(machine.physmem, a, 0, 4 * P, 0)).toBe(0);
    expect([machine.read(a, 0), machine.values(b, 0, 4), machine.physmem.root.used]).toEqual([0, [10, 11, 12, 13], used]);
    machine.write(a, 1, 5);
    machine.write(b, 2, 6);
    expect(machine.physmem.counters.copies).toBe(0);
    finish(machine);
  });
  test('G6 a sharer keeps the data, and is on its own', () => {
    const { machine } = setup();
    const a = filled(machine, 4);
    const c = machine.create();
    machine.copy(a, 1, c, 0, 2, COPY_SHARED);
    expect(release(machine.physmem, a, P, 2 * P, 0)).toBe(0);
    machine.write(a, 1, 99);
    expect([machine.values(a, 0, 4), machine.values(c, 0, 2)]).toEqual([
      [10, 99, 0, 13],
      [11, 12],
    ]);
    expect(machine.use).toBe(2 + 1 + 2);
    finish(machine);
  });
  test('G5 a hole is ENOENT, and then nothing has changed; arguments', () => {
    const { machine } = setup();
    const a = filled(machine, 4);
    machine.deallocate(a, 2, 1);
    expect(release(machine.physmem, a, 0, 4 * P, 0)).toBe(ENOENT);
    expect(machine.values(a, 0, 4)).toEqual([10, 11, '-', 13]);
    for (const [start, size, flags] of [
      [1, P, 0],
      [0, 1, 0],
      [0, P, MAP_READ],
    ]) {
      expect(release(machine.physmem, a, start, size, flags)).toBe(EINVAL);
    }
    finish(machine);
  });
});

describe('G7 lists', () => {
  const bytes = (...pages: number[]) => pages.map((page) => page * P);

  test('scatter, gather and both', () => {
    const { machine, amount } = setup();
    const a = filled(machine, 3);
    const [b, c, d] = [machine.create(), machine.create(), machine.create()];
    expect(copyVector(machine.physmem, a, b, bytes(0, 5, 1, 2, 2, 9), 0)).toBe(0);
    expect([amount(), [5, 2, 9].map((page) => machine.peek(b, page)), b.pages]).toEqual([3, [10, 11, 12], 3]);
    expect(copyVector(machine.physmem, b, c, bytes(9, 0, 5, 1, 2, 2), 0)).toBe(0);
    expect(machine.values(c, 0, 3)).toEqual([12, 10, 11]);
    expect(copyVector(machine.physmem, c, d, bytes(0, 7, 2, 3), COPY_MOVE)).toBe(0);
    expect([machine.peek(d, 7), machine.peek(d, 3), machine.values(c, 0, 3)]).toEqual([12, 11, ['-', 10, '-']]);
    finish(machine);
  });
  test('a missing source is ENOENT with its position; what came before is done, or with ALL_OR_NONE nothing', () => {
    const { machine, amount } = setup();
    const a = filled(machine, 3);
    const b = machine.create();
    const list = bytes(0, 5, 1, 2, 7, 9, 2, 3);
    expect([copyVector(machine.physmem, a, b, list, ALL_OR_NONE), amount(), machine.physmem.position, b.pages]).toEqual([ENOENT, 0, 2, 0]);
    expect([copyVector(machine.physmem, a, b, list, 0), amount(), machine.physmem.position, b.pages]).toEqual([ENOENT, 2, 2, 2]);
    finish(machine);
  });
  test('with ALL_OR_NONE a position sees what those before it will have done', () => {
    const { machine, amount } = setup({ pages: 8 });
    const { physmem } = machine;
    const a = filled(machine, 4);
    const b = machine.create();
    expect([copyVector(physmem, a, b, bytes(0, 1, 1, 1), ALL_OR_NONE), physmem.position]).toEqual([EEXIST, 1]);
    expect([copyVector(physmem, a, b, bytes(0, 1, 0, 2), COPY_MOVE | ALL_OR_NONE), physmem.position]).toEqual([ENOENT, 1]);
    expect([copyVector(physmem, a, b, bytes(0, 0, 1, 1, 2, 2, 3, 3, 0, 4), ALL_OR_NONE), physmem.position]).toEqual([ENOMEM, 4]);
    expect([copyVector(physmem, a, a, bytes(0, 4, 4, 5, 3, 3), ALL_OR_NONE), physmem.position]).toEqual([EEXIST, 2]);
    expect([b.pages, machine.values(a, 0, 6)]).toEqual([0, [10, 11, 12, 13, '-', '-']]);
    expect([copyVector(physmem, a, a, bytes(0, 4, 4, 5), ALL_OR_NONE), amount(), machine.values(a, 4, 2)]).toEqual([0, 2, [10, 10]]);
    expect([copyVector(physmem, a, a, bytes(1, 5, 5, 6), SQUASH | ALL_OR_NONE), machine.values(a, 4, 3)]).toEqual([0, [10, 11, 11]]);
    finish(machine);
  });
  test('in place, as one: shared pages take bytes, others a copy, and an absent one stops all', () => {
    const { machine } = setup();
    const [a, b] = two(machine, 4);
    const c = machine.create();
    machine.copy(b, 1, c, 0, 1, COPY_SHARED);
    const list = bytes(3, 1, 2, 0);
    expect(copyVector(machine.physmem, a, b, [...list, ...bytes(0, 9)], COPY_IN_PLACE | ALL_OR_NONE)).toBe(ENOMEM);
    expect([machine.physmem.position, machine.values(b, 0, 4)]).toEqual([2, [20, 21, 22, 23]]);
    expect(copyVector(machine.physmem, a, b, list, COPY_IN_PLACE | ALL_OR_NONE)).toBe(0);
    expect([machine.values(b, 0, 4), machine.read(c, 0)]).toEqual([[12, 13, 22, 23], 13]);
    finish(machine);
  });
  test('every word of a list is looked at before anything is done', () => {
    const { machine } = setup();
    const a = filled(machine, 3);
    const b = machine.create();
    for (const wrong of [1, -P, 2 ** 60, Number.NaN]) {
      expect(copyVector(machine.physmem, a, b, [0, 0, P, wrong], 0)).toBe(EINVAL);
      expect(copyVector(machine.physmem, a, b, [0, 0, wrong, P], 0)).toBe(EINVAL);
    }
    expect([b.pages, machine.physmem.position, copyVector(machine.physmem, a, b, [], 0)]).toEqual([0, 1, 0]);
    finish(machine);
  });
});

describe('G8 made with contents', () => {
  test('fresh pages, a copy, a gathered one', () => {
    const { machine } = setup();
    const { physmem } = machine;
    const a = filled(machine, 4);
    expect(createWith(physmem, physmem.root, 4 * P, 0)).toBe(0);
    expect([physmem.created?.pages, machine.use]).toEqual([4, 4]);
    expect(createFrom(physmem, physmem.root, a, P, 2 * P, 0)).toBe(0);
    if (physmem.created === null) expect.fail('no container');
    expect(machine.values(physmem.created, 0, 3)).toEqual([11, 12, '-']);
    expect(createGather(physmem, physmem.root, a, [3 * P, 0], COPY_MOVE)).toBe(0);
    expect([machine.values(physmem.created, 0, 2), machine.values(a, 0, 4)]).toEqual([
      [13, 10],
      ['-', 11, 12, '-'],
    ]);
    finish(machine);
  });
  test('beyond the guarantee, or without a source, there is no container', () => {
    const { machine } = setup({ pages: 6 });
    const { physmem } = machine;
    const a = filled(machine, 4);
    const before = physmem.root.containers.size;
    expect(createWith(physmem, physmem.root, 3 * P, 0)).toBe(ENOMEM);
    expect(createFrom(physmem, physmem.root, a, 0, 3 * P, 0)).toBe(ENOMEM);
    expect(createFrom(physmem, physmem.root, a, 3 * P, 2 * P, 0)).toBe(ESRCH);
    expect([createGather(physmem, physmem.root, a, [0, 9 * P], 0), physmem.position]).toEqual([ENOENT, 1]);
    expect([physmem.created, physmem.root.containers.size, physmem.root.used]).toEqual([null, before, 4]);
    finish(machine);
  });
});
