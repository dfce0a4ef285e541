/** Large pages from the top: memory that a program touches in any order is mapped by few entries, and nothing else changes. */

import { describe, expect, test } from 'vitest';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { MAP_ANON, MAP_FIXED } from '../../../hostkernel/vm/index.ts';
import { MIB, Rig, RW } from './rig.ts';

describe.each([
  ['sv39', 64, 2],
  ['sv48', 64, 2],
  ['sv32', 32, 4],
] as const)('%s', (mmu, xlen, mebibytes) => {
  const pages = (mebibytes * MIB) / PAGE_SIZE;
  const at = 64 * MIB;

  function touched(order: (page: number) => number): Rig {
    const rig = new Rig({ frames: 8192, mmu, xlen });
    rig.space.mmap({ addr: at, len: 2 * mebibytes * MIB, prot: RW, flags: MAP_ANON | MAP_FIXED, object: null, offset: 0 });
    for (let i = 0; i < 2 * pages; i++) expect(rig.store32(at + order(i) * PAGE_SIZE, order(i))).toBe(0);
    return rig;
  }

  test('memory written once is mapped by large pages, whatever the order', () => {
    for (const order of [(i: number) => i, (i: number) => 2 * pages - 1 - i, (i: number) => (i * 5) % (2 * pages)]) {
      const rig = touched(order);
      expect(rig.vm.pmaps.largePages).toBe(2);
      expect(rig.space.pmap.mapped).toBe(2 * pages);
      for (let page = 0; page < 2 * pages; page += 97) expect(rig.load32(at + page * PAGE_SIZE)).toBe(page);
      rig.vm.assertInvariants();
    }
  });

  test('what is unmapped from the middle of one leaves the rest as it was', () => {
    const rig = touched((i) => i);
    const free = rig.vm.freeFrames;
    expect(rig.space.munmap(at + 100 * PAGE_SIZE, 10 * PAGE_SIZE)).toBe(0);
    expect(rig.vm.pmaps.largePages).toBe(1);
    expect(rig.vm.pmaps.demotions).toBe(1);
    expect(rig.load32(at + 99 * PAGE_SIZE)).toBe(99);
    expect(rig.load32(at + 110 * PAGE_SIZE)).toBe(110);
    expect(rig.load32(at + 100 * PAGE_SIZE)).toBeLessThan(0);
    expect(rig.vm.freeFrames).toBeGreaterThanOrEqual(free);
    rig.vm.assertInvariants();
  });

  test('write protection holds in all of one, and the first write takes it apart', () => {
    const rig = touched((i) => i);
    rig.space.mprotect(at, 2 * mebibytes * MIB, 1);
    expect(rig.vm.pmaps.largePages).toBe(2);
    expect(rig.store32(at, 7)).toBeLessThan(0);
    rig.space.mprotect(at, 2 * mebibytes * MIB, RW);
    expect(rig.store32(at, 7)).toBe(0);
    expect(rig.vm.pmaps.largePages).toBe(1);
    rig.vm.assertInvariants();
  });

  test('walks of a large page are one reference shorter', () => {
    const references = (superpages: boolean) => {
      const rig = new Rig({ frames: 8192, mmu, xlen });
      rig.vm.pmaps.superpages = superpages;
      rig.space.mmap({ addr: at, len: mebibytes * MIB, prot: RW, flags: MAP_ANON | MAP_FIXED, object: null, offset: 0 });
      for (let i = 0; i < pages; i++) rig.store32(at + i * PAGE_SIZE, i);
      rig.space.context.invalidateAll();
      const before = rig.machine.mmu.walkReferences;
      for (let i = 0; i < pages; i++) rig.load32(at + i * PAGE_SIZE);
      return rig.machine.mmu.walkReferences - before;
    };
    expect(references(false) - references(true)).toBe(pages);
  });
});
