/** Defects of the first virtual kernel's history that were a pmap's: each test fails when the fault is put back. */

import { describe, expect, test } from 'vitest';
import { PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { created, formatOf, frameAt, pmapRig, RW, tinyFormat, vpage } from './rig.ts';

describe('iterating over the places of a page while they go (January 2017: the iteration was not started again)', () => {
  test('harvest reaches every place, also where it drops them', () => {
    const format = formatOf('armv7-short'); // no accessed bit: harvest drops
    const { source, pmaps, data } = pmapRig(format, 16);
    const all = [created(pmaps, format), created(pmaps, format)];
    for (const pmap of all) for (const page of [3, 4, 700]) pmap.enter(vpage(page), frameAt(data), WRITE, RW);
    expect(pmaps.harvest(frameAt(data))).toBe(true);
    expect(pmaps.isMapped(frameAt(data))).toBe(false);
    expect(all.map((pmap) => pmap.mapped)).toEqual([0, 0]);
    expect([...source.modified]).toEqual([data]);
    pmaps.assertInvariants();
  });

  test('removeAll reaches every place, also where tables go with them', () => {
    const format = tinyFormat();
    const { pmaps, data } = pmapRig(format, 16);
    const all = [created(pmaps, format), created(pmaps, format)];
    for (const pmap of all) for (const page of [0, 1, 8, 64, 512]) pmap.enter(vpage(page), frameAt(data), READ, READ);
    pmaps.removeAll(frameAt(data));
    expect(pmaps.isMapped(frameAt(data))).toBe(false);
    expect(all.map((pmap) => pmap.mapped)).toEqual([0, 0]);
    pmaps.assertInvariants();
  });

  test('writeProtect reaches every place', () => {
    const format = tinyFormat();
    const { pmaps, data } = pmapRig(format, 16);
    const all = [created(pmaps, format), created(pmaps, format)];
    for (const pmap of all) for (const page of [0, 1, 8, 64]) pmap.enter(vpage(page), frameAt(data), WRITE, RW);
    pmaps.writeProtect(frameAt(data));
    for (const pmap of all) {
      for (const page of [0, 1, 8, 64]) {
        expect(pmap.rights(vpage(page))).toBe(READ);
        expect(pmap.context.lookup(page * PAGE_SIZE, WRITE)).toBe(-1);
      }
    }
  });
});

describe('a page that is freed while it is mapped (January 2007: one way of entering it left no reverse record)', () => {
  const format = tinyFormat();

  test('is found where it took the place of another page', () => {
    const { pmaps, data } = pmapRig(format, 16);
    const pmap = created(pmaps, format);
    pmap.enter(vpage(1), frameAt(data), WRITE, RW);
    pmap.enter(vpage(1), frameAt(data + 1), WRITE, RW);
    expect(pmaps.isMapped(frameAt(data))).toBe(false);
    pmaps.removeAll(frameAt(data + 1));
    expect(pmap.context.lookup(PAGE_SIZE, READ)).toBe(-1);
  });

  test('is found inside a large page, and where one was', () => {
    const { pmaps, data } = pmapRig(format, 512);
    const pmap = created(pmaps, format);
    for (let i = 0; i < 512; i++) pmap.enter(vpage(i), frameAt(data + i), WRITE, RW);
    expect(pmaps.largePages).toBe(1);
    for (const page of [200, 201, 7, 511]) {
      expect(pmaps.isMapped(frameAt(data + page))).toBe(true);
      pmaps.removeAll(frameAt(data + page));
      expect(pmap.context.lookup(page * PAGE_SIZE, READ)).toBe(-1);
      pmaps.assertInvariants();
    }
    expect(pmap.mapped).toBe(508);
  });

  test('is found at every alias, in large pages of several spaces', () => {
    const { pmaps, data } = pmapRig(format, 64);
    const all = [created(pmaps, format), created(pmaps, format)];
    for (const pmap of all) {
      for (const base of [0, 64, 1024]) for (let i = 0; i < 64; i++) pmap.enter(vpage(base + i), frameAt(data + i), WRITE, RW);
    }
    expect(pmaps.largePages).toBe(6);
    pmaps.removeAll(frameAt(data + 33));
    for (const pmap of all) for (const base of [0, 64, 1024]) expect(pmap.context.lookup((base + 33) * PAGE_SIZE, READ)).toBe(-1);
    expect(all.map((pmap) => pmap.mapped)).toEqual([3 * 63, 3 * 63]);
    pmaps.assertInvariants();
  });
});

test('page counts above 32 bits: a range of 2^40 pages is removed to its end (January 2017)', () => {
  const format = formatOf('sv57');
  const { pmaps, data } = pmapRig(format, 16);
  const pmap = created(pmaps, format);
  const last = format.userEnd / PAGE_SIZE - 1;
  const pages = [0, 2 ** 20, 2 ** 31, 2 ** 32 + 5, 2 ** 33, last];
  for (const page of pages) pmap.enter(vpage(page), frameAt(data), WRITE, RW);
  for (const page of pages) expect(pmap.context.lookup(page * PAGE_SIZE, WRITE)).toBeGreaterThan(0);
  pmap.remove(vpage(1), vpage(last + 1));
  expect(pmap.mapped).toBe(1);
  for (const page of pages.slice(1)) expect(pmap.context.lookup(page * PAGE_SIZE, READ)).toBe(-1);
  pmaps.assertInvariants();
});
