import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Container } from '../../../vkernel/physmem/core/container.ts';
import { MemoryControl } from '../../../vkernel/physmem/core/control.ts';
import { EntrySet } from '../../../vkernel/physmem/core/entry-set.ts';
import { Frame, FrameEntry, UNBOUND } from '../../../vkernel/physmem/core/frame.ts';

const container = new Container(new MemoryControl(null, 0));
const entryAt = (start: number, pages: number) => new FrameEntry(container, start, pages, new Frame(pages, UNBOUND), 0, 1);

test('agrees with a sorted array over thousands of insertions and removals', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1500), { minLength: 800, maxLength: 1500 }), (pages) => {
      const set = new EntrySet();
      const present = new Map<number, FrameEntry>();
      for (const page of pages) {
        const start = page * 2; // entries of two pages, with holes where none was put
        const known = present.get(start);
        if (known === undefined) {
          const entry = entryAt(start, 2);
          present.set(start, entry);
          set.insert(entry);
        } else {
          present.delete(start);
          set.remove(known);
        }
      }
      set.assertInvariants();
      const sorted = [...present.values()].toSorted((x, y) => x.start - y.start);
      expect(set.toArray()).toEqual(sorted);
      for (const page of [0, 1, 2, 777, 1500, 2999, 3001]) {
        const next = sorted.find((entry) => entry.start + entry.pages > page) ?? null;
        expect(set.from(page)).toBe(next);
        expect(set.at(page)).toBe(next !== null && next.start <= page ? next : null);
        expect(set.overlaps(page, page + 3)).toBe(next !== null && next.start < page + 3);
      }
    }),
    { numRuns: 15 },
  );
});
