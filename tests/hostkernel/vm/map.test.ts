/** vm_map against a plain array: the same entries, the same gaps, and as many steps for a hundred thousand entries as its height. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VmMap, VmMapEntry } from '../../../hostkernel/vm/map.ts';

const END = 400;

/** An entry without object. Every other one has another protection, so that neighbours are not joined. */
function entryOf(start: number, end: number, protection = 1): VmMapEntry {
  return new VmMapEntry({ start, end, object: null, offset: 0, protection, flags: 0, format: null });
}

/** Which protection each page has; 0: nothing is mapped. */
class PlainMap {
  readonly pages = Array.from({ length: END }, () => 0);

  findSpace(from: number, pages: number): number {
    for (let at = from; at + pages <= END; at++) if (this.pages.slice(at, at + pages).every((page) => page === 0)) return at;
    return -1;
  }
}

const anyStep = fc.record({
  op: fc.constantFrom('insert', 'insert', 'insert', 'remove', 'protect', 'find', 'find', 'lookup', 'covered'),
  start: fc.nat(END - 1),
  pages: fc.integer({ min: 1, max: 40 }),
  protection: fc.integer({ min: 1, max: 3 }),
});

describe('vm_map', () => {
  test('does what an array of pages does', () => {
    fc.assert(
      fc.property(fc.array(anyStep, { minLength: 50, maxLength: 200, size: 'max' }), (steps) => {
        const map = new VmMap(END);
        const plain = new PlainMap();
        for (const { op, start, pages, protection } of steps) {
          const end = Math.min(END, start + pages);
          const isFree = plain.pages.slice(start, end).every((page) => page === 0);
          const isCovered = plain.pages.slice(start, end).every((page) => page !== 0);
          if (op === 'insert') {
            expect(map.isFree(start, end)).toBe(isFree);
            if (!isFree) continue;
            map.insert(entryOf(start, end, protection));
            if (pages % 2 === 0) map.simplify(start, end);
            plain.pages.fill(protection, start, end);
          } else if (op === 'remove') {
            map.remove(start, end);
            plain.pages.fill(0, start, end);
          } else if (op === 'protect') {
            const before = map.size;
            const splits = map.splits(start, end);
            const clipped = map.clip(start, end);
            expect(map.size).toBe(before + splits);
            for (const entry of clipped) entry.protection = protection;
            map.simplify(start, end);
            for (let page = start; page < end; page++) if (plain.pages[page] !== 0) plain.pages[page] = protection;
          } else if (op === 'find') expect(map.findSpace(start, pages)).toBe(plain.findSpace(start, pages));
          else if (op === 'lookup') expect(map.lookup(start)?.protection ?? 0).toBe(plain.pages[start]);
          else expect(map.isCovered(start, end)).toBe(isCovered);
          map.assertInvariants();
          expect(map.pages).toBe(plain.pages.filter((page) => page !== 0).length);
        }
        for (let page = 0; page < END; page++) expect(map.lookup(page)?.protection ?? 0).toBe(plain.pages[page]);
      }),
      { numRuns: 60 },
    );
  });

  test('a hundred thousand entries make a tree of at most 24 levels, whatever the order', () => {
    const count = 100_000;
    for (const stride of [1, 38_327, count - 1]) {
      const map = new VmMap(4 * count);
      for (let i = 0; i < count; i++) {
        const at = 4 * ((i * stride) % count);
        map.insert(entryOf(at, at + 2));
      }
      expect(map.size).toBe(count);
      let root = map.first;
      for (let entry = map.first; entry !== null; entry = entry.next) if (root !== null && entry.height > root.height) root = entry;
      expect(root?.height).toBeLessThanOrEqual(24); // 1.44 log2(100,000)
      map.remove(4 * 70_000, 4 * 70_000 + 8);
      expect(map.findSpace(0, 3)).toBe(4 * 69_999 + 2);
      expect(map.findSpace(0, 10)).toBe(4 * 69_999 + 2);
      expect(map.findSpace(0, 11)).toBe(-1);
      map.assertInvariants();
    }
  });

  test('room is not found in the reserve of a stack, and a stack grows into it', () => {
    const map = new VmMap(1000);
    const stack = entryOf(500, 510);
    stack.grow = 300;
    stack.offset = 300;
    map.insert(entryOf(100, 110));
    map.insert(stack);
    expect(map.findSpace(110, 90)).toBe(110);
    expect(map.findSpace(110, 91)).toBe(510);
    expect(map.isFree(300, 310)).toBe(true);
    expect(map.isCovered(200, 510)).toBe(true);
    expect(map.isCovered(199, 510)).toBe(false);
    expect(map.growStack(199)).toBe(null);
    expect(map.growStack(499)).toBe(stack);
    expect([stack.start, stack.offset, stack.grow]).toEqual([468, 268, 268]);
    expect(map.growStack(200)?.start).toBe(200);
    expect(map.growStack(199)).toBe(null);
    map.assertInvariants();
  });
});
