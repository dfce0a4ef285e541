/** Section E: deallocation where one frame is seen through entries of many sizes. */

import { describe, expect, test } from 'vitest';
import { EINVAL, ENOENT } from '../../../../hostkernel/base/errno.ts';
import type { Container } from '../../../../vkernel/physmem/core/container.ts';
import { deallocate } from '../../../../vkernel/physmem/core/deallocate.ts';
import { isCopyOnWrite } from '../../../../vkernel/physmem/core/frame-table.ts';
import { assertInvariants, censusOf } from '../../../../vkernel/physmem/core/invariants.ts';
import { ALL_OR_NONE, COPY_SHARED } from '../../../../vkernel/physmem/interface.ts';
import { Machine, P } from '../machine.ts';

/** A container of one bound frame holding 10, 11, ..., and three empty ones. */
function setup(pages: number) {
  const machine = new Machine({ memory: [[64, 192]] });
  const [a, b, c, d] = [machine.create(), machine.create(), machine.create(), machine.create()];
  machine.allocate(a, 0, pages);
  for (let page = 0; page < pages; page += 1) machine.write(a, page, 10 + page);
  return { machine, a, b, c, d, share, copy };

  function share(page: number, count: number, to: Container): void {
    expect(machine.copy(a, page, to, 0, count, COPY_SHARED)).toBe(0);
  }
  function copy(page: number, count: number, to: Container): void {
    expect(machine.copy(a, page, to, 0, count)).toBe(0);
  }
}

/** Both ways to lose everything a container holds. */
const LOSSES: readonly (readonly [string, (machine: Machine, container: Container) => void])[] = [
  ['deallocate', (machine, container) => machine.deallocate(container, 0, 1024)],
  ['E16 destroyed instead', (machine, container) => machine.physmem.destroy(container)],
];

describe.each(LOSSES)('%s', (_name, lose) => {
  test('E1 sharers of the middle inherit their pages, and part', () => {
    const { machine, a, b, share } = setup(4);
    share(1, 2, b);
    lose(machine, a);
    assertInvariants(machine.physmem);
    expect([machine.use, machine.values(b, 0, 2)]).toEqual([2, [11, 12]]);
    expect(machine.frameAt(b, 0)).not.toBe(machine.frameAt(b, 1));
  });
  test('E4 false sharers stay one group: each write still makes a private copy', () => {
    const { machine, a, b, c, d, share, copy } = setup(4);
    share(1, 1, b);
    share(2, 1, c);
    copy(0, 4, d);
    lose(machine, a);
    expect(machine.use).toBe(4);
    machine.write(b, 0, 77);
    assertInvariants(machine.physmem);
    machine.write(c, 0, 88);
    assertInvariants(machine.physmem);
    expect([machine.values(d, 0, 4), machine.peek(b, 0), machine.peek(c, 0)]).toEqual([[10, 11, 12, 13], 77, 88]);
  });
  test('E9 a copy and a sharer of different parts each get their part, writable without copying', () => {
    const { machine, a, b, c, share, copy } = setup(16);
    copy(0, 4, b);
    share(8, 4, c);
    lose(machine, a);
    assertInvariants(machine.physmem);
    expect([machine.use, machine.values(b, 0, 4), machine.values(c, 0, 4)]).toEqual([8, [10, 11, 12, 13], [18, 19, 20, 21]]);
    machine.write(b, 0, 1);
    machine.write(c, 0, 2);
    expect(machine.physmem.counters.copies).toBe(0);
  });
});

test('E2 the part that stays keeps sharing', () => {
  const { machine, a, b, share } = setup(4);
  share(1, 2, b);
  machine.deallocate(a, 0, 2);
  expect([machine.use, machine.shape(a), machine.shape(b)]).toEqual([3, '2@2', '1@0 1@1']);
  machine.write(b, 1, 55);
  expect([machine.read(a, 2), machine.peek(b, 0)]).toEqual([55, 11]);
  assertInvariants(machine.physmem);
});

test('E3 a survivor may reach past the end of the hole', () => {
  const { machine, a, b, copy } = setup(8);
  copy(1, 6, b);
  machine.deallocate(a, 2, 3);
  expect([machine.use, machine.values(b, 0, 6), machine.values(a, 0, 8)]).toEqual([
    8,
    [11, 12, 13, 14, 15, 16],
    [10, 11, '-', '-', '-', 15, 16, 17],
  ]);
  assertInvariants(machine.physmem);
  const alone = machine.frameAt(b, 1); // frame pages 2 and 3
  expect(isCopyOnWrite(machine.physmem.table, alone)).toBe(false);
  machine.write(b, 3, 99);
  expect([machine.read(a, 5), machine.peek(b, 4)]).toEqual([15, 15]);
});

test('E5 the sole user frees page by page', () => {
  const { machine, a } = setup(4);
  machine.deallocate(a, 1, 1);
  expect([machine.shape(a), machine.use]).toEqual(['1@0 2@2', 3]);
  machine.deallocate(a, 0, 1);
  expect([machine.shape(a), machine.use, machine.values(a, 0, 4)]).toEqual(['2@2', 2, ['-', '-', 12, 13]]);
  assertInvariants(machine.physmem);
});

test('E6 a promise is cut without freeing memory nobody had', () => {
  const { machine, b } = setup(4);
  machine.allocate(b, 0, 8);
  const free = machine.physmem.zones.freePages;
  machine.deallocate(b, 2, 3);
  expect([machine.physmem.zones.freePages, machine.use, machine.shape(b)]).toEqual([free, 4, '2@0 1@5 2@6']);
  machine.deallocate(b, 0, 8);
  expect([machine.physmem.zones.freePages, machine.use]).toEqual([free, 4]);
  assertInvariants(machine.physmem);
});

test('E7 the rest of a promise is fresh memory that overlaps no other', () => {
  const { machine, a, b } = setup(4);
  machine.allocate(b, 0, 8);
  machine.deallocate(b, 2, 3);
  for (const page of [0, 1, 5, 6, 7]) expect(machine.read(b, page)).toBe(0);
  for (const page of [0, 1, 5, 6, 7]) machine.write(b, page, 50 + page);
  assertInvariants(machine.physmem);
  expect(machine.values(a, 0, 4)).toEqual([10, 11, 12, 13]);
});

test('E8 a copy of the whole inherits the block as one', () => {
  const { machine, a, b, copy } = setup(16);
  copy(0, 16, b);
  machine.deallocate(a, 3, 7);
  expect([machine.use, machine.shape(b), censusOf(machine.physmem).bound]).toEqual([16, '16@0', [0, 0, 0, 0, 1]]);
  assertInvariants(machine.physmem);
});

test('E10 a straddler of the edge keeps its interval, with what stays inside it', () => {
  const { machine, a, b, share } = setup(16);
  share(4, 4, b);
  machine.deallocate(a, 6, 4);
  expect([machine.use, machine.shape(b), machine.shape(a)]).toEqual([14, '4@0', '4@0 2@4 2@10 4@12']);
  expect(machine.frameAt(a, 4)).toBe(machine.frameAt(b, 0));
  machine.write(b, 1, 44);
  expect(machine.read(a, 5)).toBe(44);
  assertInvariants(machine.physmem);
});

test('E11 across frames of 8, 4, 2 and 1 pages', () => {
  const { machine, a } = setup(15);
  expect(machine.shape(a)).toBe('8@0 4@8 2@12 1@14');
  expect(machine.deallocate(a, 5, 5)).toBe(0);
  expect([machine.physmem.amount / P, machine.use, machine.values(a, 3, 8)]).toEqual([5, 10, [13, 14, '-', '-', '-', '-', '-', 20]]);
  assertInvariants(machine.physmem);
});

test('E12 holes are skipped and not counted; with ALL_OR_NONE they are ENOENT', () => {
  const { machine, a } = setup(4);
  machine.deallocate(a, 1, 1);
  expect([machine.deallocate(a, 0, 8, ALL_OR_NONE), machine.physmem.amount, machine.use]).toEqual([ENOENT, 0, 3]);
  expect([machine.deallocate(a, 0, 8), machine.physmem.amount]).toEqual([0, 3 * P]);
  expect([machine.deallocate(a, 0, 8), machine.physmem.amount]).toEqual([0, 0]);
});

test('arguments: alignment, wrap and unknown flags EINVAL', () => {
  const { machine, a } = setup(4);
  expect(deallocate(machine.physmem, a, 1, P, 0)).toBe(EINVAL);
  expect(deallocate(machine.physmem, a, 0, 1, 0)).toBe(EINVAL);
  expect(deallocate(machine.physmem, a, 2 ** 53 - P, 2 * P, 0)).toBe(EINVAL);
  expect(machine.deallocate(a, 0, 1, COPY_SHARED)).toBe(EINVAL);
  expect(machine.use).toBe(4);
});

test('E13 every second page of 64 removed under a copy of the whole, then the copy', () => {
  const { machine, a, b, copy } = setup(64);
  copy(0, 64, b);
  for (let page = 0; page < 64; page += 2) machine.deallocate(a, page, 1);
  expect(machine.use).toBe(64);
  machine.deallocate(b, 0, 64);
  expect([machine.use, censusOf(machine.physmem).bound]).toEqual([32, [32]]);
  assertInvariants(machine.physmem);
});

describe('E14 every subset of an 8P frame, in two orders', () => {
  const others: readonly (readonly [string, (built: ReturnType<typeof setup>) => void])[] = [
    ['alone', () => {}],
    ['with a sharer of the whole', ({ share, b }) => share(0, 8, b)],
    ['with a copy of the whole', ({ copy, b }) => copy(0, 8, b)],
    ['with a sharer of pages 2 and 3', ({ share, b }) => share(2, 2, b)],
    [
      'with copies of pages 1 and 6',
      ({ copy, b, c }) => {
        copy(1, 1, b);
        copy(6, 1, c);
      },
    ],
  ];
  test.each(others)('%s', (_name, arrange) => {
    for (let subset = 0; subset < 256; subset += 1) {
      for (const stride of [1, 3]) {
        const built = setup(8);
        const { machine, a, b, c } = built;
        arrange(built);
        const seen = [machine.values(b, 0, 8), machine.values(c, 0, 8)];
        for (let i = 0; i < 8; i += 1) {
          const page = (i * stride + 2) % 8;
          if ((subset & (1 << page)) !== 0) machine.deallocate(a, page, 1);
        }
        assertInvariants(machine.physmem);
        const expected = Array.from({ length: 8 }, (_, page) => ((subset & (1 << page)) === 0 ? 10 + page : '-'));
        expect(machine.values(a, 0, 8)).toEqual(expected);
        expect([machine.values(b, 0, 8), machine.values(c, 0, 8)]).toEqual(seen);
      }
    }
  });
});

test('E15 through the small entry nothing is freed, and the copy ends with it', () => {
  const { machine, a, b, copy } = setup(4);
  copy(1, 1, b);
  machine.deallocate(b, 0, 1);
  expect([machine.use, machine.shape(a)]).toEqual([4, '4@0']);
  assertInvariants(machine.physmem);
});

test('E17 when the covered copy goes, the cover writes without copying', () => {
  const { machine, a, b, copy } = setup(8);
  copy(2, 4, b);
  machine.deallocate(b, 0, 4);
  machine.write(a, 3, 1);
  expect([machine.physmem.counters.copies, machine.use]).toEqual([0, 8]);
});

test('entries more than 2 GiB apart keep their order', () => {
  const { machine, b } = setup(1);
  const far = 3 * 2 ** 20; // pages: 12 GiB
  machine.allocate(b, far, 1);
  machine.allocate(b, 0, 1);
  machine.allocate(b, 2 ** 40, 1);
  expect(machine.shape(b)).toBe(`1@0 1@${far} 1@${2 ** 40}`);
  expect(machine.deallocate(b, far, 1)).toBe(0);
  expect(machine.shape(b)).toBe(`1@0 1@${2 ** 40}`);
});
