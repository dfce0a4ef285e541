/** The address-space database against a page-by-page model. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LOWEST_ADDRESS, type Region, Regions } from '../../../userland/libhurd-mm/regions.ts';
import { anonymousStore, type Store } from '../../../userland/libhurd-mm/store.ts';

const PAGE = 4096;
const PAGES = 64; // of the small address space
const STORES: readonly Store[] = [anonymousStore(false), anonymousStore(false)];

/** Per page of the address space: what it shows, or null. */
type Model = ({ store: Store; offset: number; access: number } | null)[];

function agrees(regions: Regions, model: Model): void {
  regions.assertInvariants();
  model.forEach((shown, page) => {
    const map = regions.find(page * PAGE + 5);
    if (shown === null) {
      expect(map, `page ${page}`).toBeNull();
      return;
    }
    expect(map?.store).toBe(shown.store);
    expect(map?.access).toBe(shown.access);
    expect((map as Region).storeOffset + page * PAGE - (map as Region).start).toBe(shown.offset);
  });
}

const operation = fc.record({
  kind: fc.constantFrom('enter', 'remove', 'find'),
  start: fc.integer({ min: 0, max: PAGES - 1 }),
  pages: fc.integer({ min: 1, max: 12 }),
  store: fc.integer({ min: 0, max: 1 }),
  offset: fc.integer({ min: 0, max: 100 }),
  access: fc.constantFrom(1, 3, 5),
});

test('random edits leave exactly what a page-by-page model says', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const regions = new Regions(PAGES * PAGE);
      const model: Model = Array.from({ length: PAGES }, () => null);
      for (const { kind, start, pages, store, offset, access } of operations) {
        const end = Math.min(start + pages, PAGES);
        const range = model.slice(start, end);
        const size = (end - start) * PAGE;
        if (kind === 'enter') {
          expect(regions.isFree(start * PAGE, size)).toBe(range.every((shown) => shown === null));
          if (!regions.isFree(start * PAGE, size)) continue;
          regions.enter({ start: start * PAGE, size, store: STORES[store] as Store, storeOffset: offset * PAGE, access, limit: 7 });
          for (let page = start; page < end; page += 1) {
            model[page] = { store: STORES[store] as Store, offset: (offset + page - start) * PAGE, access };
          }
        } else if (kind === 'remove') {
          const taken = regions.remove(start * PAGE, size).reduce((sum, piece) => sum + piece.size, 0);
          expect(taken).toBe(range.filter((shown) => shown !== null).length * PAGE);
          model.fill(null, start, end);
        } else {
          expect(regions.findFree(size, offset * PAGE)).toBe(modelFit(model, pages > end - start ? end - start : pages, offset));
        }
        agrees(regions, model);
      }
    }),
    { numRuns: 150 },
  );
});

/** The lowest run of `pages` free pages at or above the hint, else the lowest above the null guard, in bytes. */
function modelFit(model: Model, pages: number, hint: number): number {
  const guard = LOWEST_ADDRESS / PAGE;
  for (const from of [Math.max(hint, guard), guard]) {
    for (let page = from; page + pages <= PAGES; page += 1) {
      if (model.slice(page, page + pages).every((shown) => shown === null)) return page * PAGE;
    }
  }
  return -1;
}

test('maps that continue each other are joined, others are not', () => {
  const regions = new Regions(PAGES * PAGE);
  const store = STORES[0] as Store;
  regions.enter({ start: 10 * PAGE, size: PAGE, store, storeOffset: 0, access: 3, limit: 7 });
  regions.enter({ start: 11 * PAGE, size: PAGE, store, storeOffset: PAGE, access: 3, limit: 7 });
  expect(regions.count).toBe(1);
  regions.enter({ start: 12 * PAGE, size: PAGE, store, storeOffset: 5 * PAGE, access: 3, limit: 7 });
  regions.enter({ start: 13 * PAGE, size: PAGE, store, storeOffset: 6 * PAGE, access: 1, limit: 7 });
  expect(regions.count).toBe(3);
});

test('a range that wraps or leaves user space is refused', () => {
  const regions = new Regions(2 ** 38);
  expect(regions.inUserSpace(2 ** 38 - PAGE, PAGE)).toBe(true);
  expect(regions.inUserSpace(2 ** 38 - PAGE, 2 * PAGE)).toBe(false);
  expect(regions.inUserSpace(PAGE, 2 ** 60)).toBe(false);
  expect(regions.inUserSpace(PAGE, 0)).toBe(false);
  expect(regions.findFree(2 ** 40, 0)).toBe(-1);
});

test('a map that continues its neighbours on both sides becomes one with them', () => {
  const regions = new Regions(PAGES * PAGE);
  const map = { start: 0x8000, size: 3 * PAGE, store: STORES[0] as Store, storeOffset: 0, access: 3, limit: 7 };
  regions.enter(map);
  const [middle] = regions.remove(0x9000, PAGE) as [Region];
  regions.enter({ ...middle, access: 1 });
  expect(regions.count).toBe(3);
  regions.remove(0x9000, PAGE);
  regions.enter(middle);
  expect(regions.all()).toEqual([map]);
});
