import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EntrySet } from '../../../vkernel/physmem/core/entry-set.ts';
import { type EntryId, FrameTable, NO_ENTRY, UNBOUND } from '../../../vkernel/physmem/core/frame-table.ts';

test('agrees with a sorted array over thousands of insertions and removals', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1500), { minLength: 800, maxLength: 1500 }), (pages) => {
      const table = new FrameTable();
      const set = new EntrySet(table);
      const present = new Map<number, EntryId>();
      for (const page of pages) {
        const start = page * 2; // entries of two pages, with holes where none was put
        const known = present.get(start);
        if (known === undefined) {
          const entry = table.newEntry(1, start, 1, table.newFrame(1, UNBOUND, 0), 0, 1);
          present.set(start, entry);
          set.insert(entry);
        } else {
          present.delete(start);
          set.remove(known);
        }
      }
      set.assertInvariants();
      const sorted = [...present.values()].toSorted((x, y) => table.start[x] - table.start[y]);
      expect(set.toArray()).toEqual(sorted);
      for (const page of [0, 1, 2, 777, 1500, 2999, 3001]) {
        const next = sorted.find((entry) => table.start[entry] + 2 > page) ?? NO_ENTRY;
        expect(set.from(page)).toBe(next);
        expect(set.at(page)).toBe(next !== NO_ENTRY && table.start[next] <= page ? next : NO_ENTRY);
        expect(set.overlaps(page, page + 3)).toBe(next !== NO_ENTRY && table.start[next] < page + 3);
      }
    }),
    { numRuns: 15 },
  );
});
