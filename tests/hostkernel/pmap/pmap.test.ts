/** What a pmap promises beside translations: tables that come and go, shortage that changes nothing, bits that go to pages. */

import { describe, expect, test } from 'vitest';
import { EXEC, PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { refusalOf } from '../../../hostkernel/pmap/index.ts';
import { created, formatOf, frameAt, MMU_FORMATS, pmapRig, RW, vpage } from './rig.ts';

const RIGHTS = READ | WRITE | EXEC;

describe.each(MMU_FORMATS.map((format) => [format.id, format] as const))('%s', (_, format) => {
  const { levels } = format;
  const tableFrames = (level: number) => Math.ceil(format.tableBytes(level) / PAGE_SIZE);
  const belowRoot = Array.from({ length: levels - 1 }, (__, level) => tableFrames(level)).reduce((sum, one) => sum + one, 0);

  test('table pages come with the first translation below them and go with the last', () => {
    const { source, pmaps, data } = pmapRig(format, 16);
    const pmap = created(pmaps, format);
    const before = source.freeFrames;
    pmap.enter(vpage(5), frameAt(data), READ, READ);
    pmap.enter(vpage(6), frameAt(data + 1), READ, READ);
    expect(source.freeFrames).toBe(before - belowRoot);
    pmap.remove(vpage(5), vpage(6));
    expect(source.freeFrames).toBe(before - belowRoot);
    pmap.protect(vpage(0), vpage(100), 0);
    expect(source.freeFrames).toBe(before);
  });

  test('without a frame for the root there is no pmap', () => {
    const { source, pmaps } = pmapRig(format, 16);
    const before = source.freeFrames;
    source.budget = 0;
    expect(pmaps.create(format)).toBeNull();
    expect(source.freeFrames).toBe(before);
    pmaps.assertInvariants();
  });

  test('out of frames at any table, nothing is entered and no table is made', () => {
    const { source, pmaps, data } = pmapRig(format, 16);
    const pmap = created(pmaps, format);
    const far = format.userEnd / PAGE_SIZE - 1;
    for (const page of [0, format.span(1), far]) {
      const before = source.freeFrames;
      const { mapped } = pmap;
      for (let allocations = 0; ; allocations++) {
        source.budget = allocations;
        if (pmap.enter(vpage(page), frameAt(data), WRITE, RW)) break;
        expect(allocations).toBeLessThan(levels - 1);
        expect(source.freeFrames).toBe(before);
        expect(pmap.mapped).toBe(mapped);
        expect(pmap.extract(vpage(page))).toBe(0);
        pmaps.assertInvariants();
      }
      expect(source.budget).toBe(0);
      expect(pmap.context.lookup(page * PAGE_SIZE, WRITE)).toBeGreaterThan(0);
    }
  });

  test('a page that was written is reported as modified, however it was mapped', () => {
    for (const first of [READ, WRITE, EXEC]) {
      const { source, pmaps, data } = pmapRig(format, 16);
      const pmap = created(pmaps, format);
      pmap.enter(vpage(1), frameAt(data), first, RIGHTS);
      if (pmap.context.lookup(PAGE_SIZE, WRITE) < 0) pmap.enter(vpage(1), frameAt(data), WRITE, RIGHTS); // as vm_fault would
      expect(pmap.context.lookup(PAGE_SIZE, WRITE)).toBeGreaterThan(0);
      pmaps.harvest(frameAt(data));
      expect([...source.modified]).toEqual([data]);
      source.modified.clear();
      if (pmap.context.lookup(PAGE_SIZE, WRITE) < 0) pmap.enter(vpage(1), frameAt(data), WRITE, RIGHTS);
      pmap.remove(vpage(1), vpage(2));
      expect([...source.modified]).toEqual([data]);
    }
  });

  test('a page that was only read is not', () => {
    const { source, pmaps, data } = pmapRig(format, 16);
    const pmap = created(pmaps, format);
    pmap.enter(vpage(1), frameAt(data), READ, RW);
    expect(pmap.context.lookup(PAGE_SIZE, READ)).toBeGreaterThan(0);
    pmaps.harvest(frameAt(data));
    pmap.remove(vpage(1), vpage(2));
    expect([...source.referenced]).toEqual([data]);
    expect(source.modified.size).toBe(0);
  });

  test('rights are the least that contain what is asked', () => {
    const { pmaps, data } = pmapRig(format, 16);
    const pmap = created(pmaps, format);
    for (let rights = 1; rights <= RIGHTS; rights++) {
      const granted = pmap.granted(rights);
      const wanted = rights | ((rights & WRITE) !== 0 ? READ : 0);
      expect(granted & wanted).toBe(wanted);
      expect(granted & WRITE).toBe(rights & WRITE); // write protection is what everything above stands on
      expect(pmap.granted(granted)).toBe(granted);
      pmap.enter(vpage(rights), frameAt(data), (rights & WRITE) !== 0 ? WRITE : rights & READ ? READ : EXEC, rights);
      expect(pmap.rights(vpage(rights))).toBe(granted);
      for (const access of [READ, WRITE, EXEC]) {
        expect(pmap.context.lookup(rights * PAGE_SIZE, access) >= 0).toBe((granted & access) !== 0);
      }
    }
  });
});

test('rights that formats cannot tell apart', () => {
  const { pmaps } = pmapRig(formatOf('sv39'), 16);
  const granted = (name: string) => [READ, RW, EXEC, READ | EXEC].map((rights) => created(pmaps, formatOf(name)).granted(rights));
  expect(granted('sv39')).toEqual([READ, RW, EXEC, READ | EXEC]);
  expect(granted('i386-2l')).toEqual([READ | EXEC, RIGHTS, READ | EXEC, READ | EXEC]); // no execute bit
  expect(granted('i386-pae')).toEqual([READ, RW, READ | EXEC, READ | EXEC]);
});

test('formats that cannot be real page tables are refused with the reason', () => {
  expect(refusalOf(formatOf('ept-4l'))).toMatch(/second-stage/);
  expect(refusalOf(formatOf('armv8-16k-47'))).toMatch(/4 KiB/);
  expect(refusalOf(formatOf('vpte-2006v'))).toMatch(/forbids writing/);
  expect(refusalOf(formatOf('sv57'))).toBeNull();
});

describe('accessed and modified bits', () => {
  const format = formatOf('sv39');

  test('go to the page when the translation goes', () => {
    const { source, pmaps, data } = pmapRig(format, 16);
    const pmap = created(pmaps, format);
    pmap.enter(vpage(1), frameAt(data + 1), READ, RIGHTS);
    pmap.enter(vpage(2), frameAt(data + 2), WRITE, RIGHTS);
    pmap.enter(vpage(3), frameAt(data + 3), READ, RIGHTS);
    pmap.context.lookup(3 * PAGE_SIZE, WRITE); // the hardware sets it
    pmap.remove(vpage(0), vpage(10));
    expect([...source.referenced]).toEqual([data + 1, data + 2, data + 3]);
    expect([...source.modified]).toEqual([data + 2, data + 3]);
  });

  test('go to the old page when another is entered in its place', () => {
    const { source, pmaps, data } = pmapRig(format, 16);
    const pmap = created(pmaps, format);
    pmap.enter(vpage(1), frameAt(data + 1), WRITE, RIGHTS);
    pmap.enter(vpage(1), frameAt(data + 2), READ, RIGHTS);
    expect([...source.modified]).toEqual([data + 1]);
    pmap.remove(vpage(1), vpage(2));
    expect([...source.modified]).toEqual([data + 1]);
  });

  test('are not lost when the same page is entered again without the right to write', () => {
    const { source, pmaps, data } = pmapRig(format, 16);
    const pmap = created(pmaps, format);
    pmap.enter(vpage(1), frameAt(data + 1), WRITE, RIGHTS);
    pmap.enter(vpage(1), frameAt(data + 1), READ, READ);
    pmap.remove(vpage(1), vpage(2));
    expect([...source.modified]).toEqual([data + 1]);
  });

  test('are harvested from all spaces, and set again by the next write', () => {
    const { source, pmaps, data } = pmapRig(format, 16);
    const one = created(pmaps, format);
    const two = created(pmaps, formatOf('sv32'));
    one.enter(vpage(1), frameAt(data), READ, RIGHTS);
    two.enter(vpage(9), frameAt(data), WRITE, RIGHTS);
    expect(pmaps.harvest(frameAt(data))).toBe(true);
    expect([...source.modified]).toEqual([data]);
    source.modified.clear();
    source.referenced.clear();
    expect(pmaps.harvest(frameAt(data))).toBe(false);
    expect(source.referenced.size).toBe(0);
    one.context.lookup(PAGE_SIZE, WRITE);
    expect(pmaps.harvest(frameAt(data))).toBe(true);
    expect([...source.modified]).toEqual([data]);
  });
});
