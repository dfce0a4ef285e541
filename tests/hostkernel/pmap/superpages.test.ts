/** Large pages: when a full table becomes one, what takes it apart again, and that nobody above can tell. */

import { describe, expect, test } from 'vitest';
import { EXEC, PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import type { PageTableFormat } from '../../../hostkernel/machine/index.ts';
import { created, formatOf, frameAt, type PmapRig, pmapRig, RW, tinyFormat, vpage } from './rig.ts';

const tiny = tinyFormat();

/** Enters the pages [first, first + count), frames from the first data frame on, as writes. */
function fill(rig: PmapRig, pmap: ReturnType<typeof created>, first: number, count: number, access = WRITE, rights = RW): void {
  for (let i = 0; i < count; i++) pmap.enter(vpage(first + i), frameAt(rig.data + i), access, rights);
}

function filled(format: PageTableFormat, count: number, harts = 1) {
  const rig = pmapRig(format, Math.max(count, 16) + format.span(1), harts);
  const pmap = created(rig.pmaps, format);
  fill(rig, pmap, 0, count);
  return { ...rig, rig, pmap };
}

describe('promotion', () => {
  test('goes as far up as the format has leaves', () => {
    const { pmaps, pmap, machine, data } = filled(tiny, 512);
    expect(pmaps.largePages).toBe(1);
    expect(pmaps.promotions).toBe(64 + 8 + 1);
    expect(pmap.mapped).toBe(512);
    expect(pmap.extract(vpage(333))).toBe(data + 333);
    expect(pmap.rights(vpage(333))).toBe(RW);
    expect([...pmap.mappedPages(vpage(300), vpage(303))]).toEqual([300, 301, 302]);
    machine.mmu.walkReferences = 0;
    expect(pmap.context.lookup(333 * PAGE_SIZE, READ)).toBe(machine.ram.offsetOf(frameAt(data + 333)));
    expect(machine.mmu.walkReferences).toBe(1);
    pmaps.assertInvariants();
  });

  test.each([
    ['sv32', 1024],
    ['i386-pse', 1024],
    ['i386-pae', 512],
    ['x86-64-4l', 512],
    ['x86-64-5l', 512],
    ['sv39', 512],
    ['sv57', 512],
    ['armv8-4k-48', 512],
    ['armv8-4k-39', 512],
    ['armv7-short', 256],
    ['sparc-srmmu', 64],
    ['power-radix-4k', 512],
    ['vpte-64-nx', 512],
    ['vpte-32-nx', 1024],
  ])('%s has large pages of %d pages', (name, pages) => {
    const { pmaps, pmap, machine, data } = filled(formatOf(name), pages);
    expect(pmaps.largePages).toBe(1);
    for (const page of [0, 1, pages - 1]) {
      expect(pmap.context.lookup(page * PAGE_SIZE, WRITE)).toBe(machine.ram.offsetOf(frameAt(data + page)));
    }
  });

  test('sparc-srmmu has them on two levels', () => {
    const { pmaps, pmap, machine, data } = filled(formatOf('sparc-srmmu'), 4096);
    expect(pmaps.largePages).toBe(1);
    expect(pmaps.promotions).toBe(65);
    expect(pmap.context.lookup(4095 * PAGE_SIZE, WRITE)).toBe(machine.ram.offsetOf(frameAt(data + 4095)));
    pmap.remove(vpage(100), vpage(101));
    expect(pmaps.largePages).toBe(63);
    expect(pmap.mapped).toBe(4095);
    pmaps.assertInvariants();
  });

  test.each(['i386-2l', 'm68040-4k'])('%s has none', (name) => {
    const format = formatOf(name);
    const { pmaps } = filled(format, format.span(1));
    expect(pmaps.promotions).toBe(0);
  });

  test('needs pages that mean the same, in a row, aligned, accessed, and dirty if they may be', () => {
    const { pmaps, pmap, rig, data } = filled(tiny, 0);
    const largeAfter = (change: () => void) => {
      pmap.remove(vpage(0), vpage(512));
      fill(rig, pmap, 0, 7);
      change();
      pmap.enter(vpage(7), frameAt(data + 7), WRITE, RW);
      pmaps.assertInvariants();
      return pmaps.largePages;
    };
    expect(largeAfter(() => undefined)).toBe(1);
    expect(largeAfter(() => pmap.enter(vpage(3), frameAt(data + 3), READ, READ))).toBe(0);
    expect(largeAfter(() => pmap.enter(vpage(3), frameAt(data + 30), WRITE, RW))).toBe(0);
    expect(largeAfter(() => pmap.enter(vpage(3), frameAt(data + 3), WRITE, RW | EXEC))).toBe(0);
    expect(largeAfter(() => pmaps.harvest(frameAt(data + 3)))).toBe(0);
    expect(largeAfter(() => pmap.remove(vpage(3), vpage(4)))).toBe(0);
    pmap.remove(vpage(0), vpage(512));
    fill(rig, pmap, 0, 8, READ, RW); // clean: the first write would make all of it dirty
    expect(pmaps.largePages).toBe(0);
    pmap.remove(vpage(0), vpage(512));
    for (let i = 0; i < 8; i++) pmap.enter(vpage(i), frameAt(data + 1 + i), WRITE, RW);
    expect(pmaps.largePages).toBe(0);
    pmaps.superpages = false;
    expect(largeAfter(() => undefined)).toBe(0);
  });

  test('comes when the page that was odd is no longer, whatever the order', () => {
    const { pmaps, pmap, rig, data } = filled(tiny, 0);
    fill(rig, pmap, 0, 8, READ, RW);
    for (const page of [5, 0, 7, 2, 1, 6, 3]) pmap.enter(vpage(page), frameAt(data + page), WRITE, RW);
    expect(pmaps.largePages).toBe(0);
    pmap.enter(vpage(4), frameAt(data + 4), WRITE, RW);
    expect(pmaps.largePages).toBe(1);
  });

  test('read-only pages become a large page too', () => {
    const { pmaps, pmap, rig, source } = filled(tiny, 0);
    fill(rig, pmap, 0, 8, READ, READ);
    expect(pmaps.largePages).toBe(1);
    pmap.remove(vpage(0), vpage(8));
    expect(source.modified.size).toBe(0);
    expect(source.referenced.size).toBe(8);
  });
});

describe('a large page', () => {
  test('removed in part loses that part only', () => {
    const { pmaps, pmap, source, data } = filled(tiny, 512);
    pmap.remove(vpage(100), vpage(101));
    expect(pmaps.largePages).toBe(7 + 7);
    expect(pmaps.demotions).toBe(3);
    expect(pmap.mapped).toBe(511);
    expect(pmap.extract(vpage(100))).toBe(0);
    expect(pmap.extract(vpage(101))).toBe(data + 101);
    expect([...source.modified]).toEqual([data + 100]);
    pmaps.assertInvariants();
  });

  test('removed whole needs no demotion, and reports every page of it', () => {
    const { pmaps, pmap, source } = filled(tiny, 512);
    const before = source.freeFrames;
    pmap.remove(vpage(0), vpage(512));
    expect(pmaps.demotions).toBe(0);
    expect(pmaps.largePages).toBe(0);
    expect(pmap.mapped).toBe(0);
    expect(source.modified.size).toBe(512);
    expect(source.freeFrames).toBe(before + 64 + 8 + 1);
    pmaps.assertInvariants();
  });

  test.each([1, 2, 4])('leaves no translation in the TLB of any of %d harts', (harts) => {
    const { pmap, machine } = filled(formatOf('sv39'), 512, harts);
    for (const remove of [() => pmap.protect(vpage(0), vpage(512), READ), () => pmap.remove(vpage(0), vpage(512))]) {
      for (let hart = 0; hart < harts; hart++) {
        machine.select(hart);
        for (let page = 0; page < 512; page++) expect(pmap.context.lookup(page * PAGE_SIZE, READ)).toBeGreaterThan(0);
      }
      remove();
      for (let hart = 0; hart < harts; hart++) {
        machine.select(hart);
        for (let page = 0; page < 512; page++) expect(pmap.context.lookup(page * PAGE_SIZE, WRITE)).toBe(-1);
      }
    }
    expect(pmap.context.lookup(0, READ)).toBe(-1);
  });

  test('protected whole stays one, and its dirty state goes to the pages', () => {
    const { pmaps, pmap, source } = filled(tiny, 512);
    pmap.protect(vpage(0), vpage(512), READ);
    expect(pmaps.largePages).toBe(1);
    expect(source.modified.size).toBe(512);
    expect(pmap.rights(vpage(9))).toBe(READ);
    source.modified.clear();
    pmap.remove(vpage(0), vpage(512));
    expect(source.modified.size).toBe(0);
  });

  test('is taken apart for the page that is entered, protected, cleaned or write-protected alone', () => {
    const changes: ((all: ReturnType<typeof filled>) => void)[] = [
      ({ pmap, data }) => pmap.enter(vpage(9), frameAt(data), READ, READ),
      ({ pmap }) => pmap.protect(vpage(9), vpage(10), READ),
      ({ pmaps, data }) => pmaps.harvest(frameAt(data + 9)),
      ({ pmaps, data }) => pmaps.writeProtect(frameAt(data + 9)),
      ({ pmaps, data }) => pmaps.removeAll(frameAt(data + 9)),
    ];
    for (const change of changes) {
      const all = filled(tiny, 64);
      expect(all.pmaps.largePages).toBe(1);
      change(all);
      expect(all.pmaps.largePages).toBe(7);
      expect(all.pmap.rights(vpage(8))).toBe(RW);
      expect(all.source.modified.has(all.data + 9)).toBe(true);
      expect(all.source.modified.size).toBe(1);
      all.pmaps.assertInvariants();
    }
  });

  test('is left alone by an enter that changes nothing', () => {
    const { pmaps, pmap, data } = filled(tiny, 64);
    expect(pmap.enter(vpage(9), frameAt(data + 9), WRITE, RW)).toBe(true);
    expect(pmap.enter(vpage(9), frameAt(data + 9), READ, RW)).toBe(true);
    expect(pmaps.demotions).toBe(0);
    expect(pmaps.largePages).toBe(1);
  });

  test('can be taken apart when no frame is free', () => {
    const { pmaps, pmap, source } = filled(tiny, 512);
    source.budget = 0;
    pmap.remove(vpage(77), vpage(78));
    pmap.protect(vpage(300), vpage(301), READ);
    expect(pmap.mapped).toBe(511);
    pmaps.assertInvariants();
  });

  test('is made again when its pages are alike again', () => {
    const { pmaps, pmap, data } = filled(tiny, 512);
    pmap.remove(vpage(100), vpage(101));
    pmap.enter(vpage(100), frameAt(data + 100), WRITE, RW);
    expect(pmaps.largePages).toBe(1);
    pmaps.assertInvariants();
  });
});
