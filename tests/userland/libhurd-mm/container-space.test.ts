/** The allocator of container pages, and the cache of store pages, against sets. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ContainerSpace } from '../../../userland/libhurd-mm/container-space.ts';
import { PageCache } from '../../../userland/libhurd-mm/page-cache.ts';

test('pages are handed out once, congruent as asked, and joined again when given back', () => {
  const step = fc.record({ take: fc.boolean(), pages: fc.integer({ min: 1, max: 20 }), near: fc.nat(1000), pick: fc.nat() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const space = new ContainerSpace();
      const held: { start: number; pages: number }[] = [];
      const used = new Set<number>();
      for (const { take, pages, near, pick } of steps) {
        if (take || held.length === 0) {
          const start = space.take(pages, 16, near);
          expect(Math.abs(start - near) % 16).toBe(0);
          for (let page = start; page < start + pages; page += 1) {
            expect(used.has(page)).toBe(false);
            used.add(page);
          }
          held.push({ start, pages });
        } else {
          const [gone] = held.splice(pick % held.length, 1);
          if (gone === undefined) continue;
          space.giveBack(gone.start, gone.pages);
          for (let page = gone.start; page < gone.start + gone.pages; page += 1) used.delete(page);
        }
        expect(space.used).toBe(used.size);
      }
      for (const { start, pages } of held) space.giveBack(start, pages);
      expect(space.take(2 ** 29, 1, 0)).toBe(0); // one free range again
    }),
    { numRuns: 200 },
  );
});

test('giving back what is free panics', () => {
  const space = new ContainerSpace();
  const start = space.take(4, 1, 0);
  space.giveBack(start, 4);
  expect(() => space.giveBack(start, 1)).toThrow('given back twice');
});

test('runs of a page cache are those of a map from page to page', () => {
  const entry = fc.record({ page: fc.nat(1200), at: fc.nat(40), dirty: fc.boolean(), remove: fc.boolean() });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 120 }), fc.nat(1200), fc.nat(1200), (entries, a, b) => {
      const cache = new PageCache();
      const model = new Map<number, { at: number; dirty: boolean }>();
      for (const { page, at, dirty, remove } of entries) {
        if (remove) {
          cache.remove(page);
          model.delete(page);
        } else {
          cache.insert(page, page + at, dirty);
          model.set(page, { at: page + at, dirty });
        }
      }
      expect(cache.resident).toBe(model.size);
      const [from, to] = a < b ? [a, b] : [b, a];
      const seen: number[] = [];
      cache.forEachRun(from, to, (page, at, count, dirty) => {
        for (let i = 0; i < count; i += 1) {
          seen.push(page + i);
          expect(model.get(page + i)).toEqual({ at: at + i, dirty });
          expect(cache.find(page + i)).toBe(at + i);
          expect(cache.isDirty(page + i)).toBe(dirty);
        }
      });
      expect(seen).toEqual([...model.keys()].filter((page) => page >= from && page < to).sort((x, y) => x - y));
    }),
    { numRuns: 200 },
  );
});

test('a clone knows the same pages, and goes its own way', () => {
  const step = fc.record({ take: fc.boolean(), pages: fc.integer({ min: 1, max: 20 }), pick: fc.nat() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const space = new ContainerSpace();
      const held: { start: number; pages: number }[] = [];
      for (const { take, pages, pick } of steps) {
        if (take || held.length === 0) held.push({ start: space.take(pages, 1, 0), pages });
        else for (const { start, pages: count } of held.splice(pick % held.length, 1)) space.giveBack(start, count);
      }
      const pagesOf = (runs: readonly { start: number; pages: number }[]): Set<number> =>
        new Set(runs.flatMap(({ start, pages }) => Array.from({ length: pages }, (_, i) => start + i)));
      const copy = space.clone();
      expect(pagesOf(copy.usedRuns())).toEqual(pagesOf(held));
      expect(copy.used).toBe(space.used);
      for (const { start, pages } of held) copy.giveBack(start, pages);
      expect([copy.usedRuns(), pagesOf(space.usedRuns())]).toEqual([[], pagesOf(held)]);
    }),
    { numRuns: 50 },
  );
});

test('a cache and its clone change apart', () => {
  const cache = new PageCache();
  for (let page = 500; page < 530; page += 1) cache.insert(page, page + 7, page % 2 === 0);
  const copy = cache.clone();
  expect([copy.resident, copy.dirty, copy.find(501), copy.isDirty(502)]).toEqual([30, 15, 508, true]);
  copy.remove(501);
  cache.setDirty(502, false);
  expect([cache.find(501), copy.find(501), copy.isDirty(502), copy.dirty, cache.dirty]).toEqual([508, -1, true, 15, 14]);
});
