/** Swap space: slots against a set of numbers, and the store in memory. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { GuestFrame } from '../../../hostkernel/base/units.ts';
import { CountedStore, MemoryStore, NO_SLOT, SwapSlots } from '../../../vkernel/physmem/core/swap-store.ts';

const PAGE = 4096;

test('slots are taken as aligned blocks, given back in any parts, and never given twice', () => {
  const step = fc.record({
    order: fc.nat(4),
    frees: fc.boolean(),
    pick: fc.nat(),
    from: fc.nat(15),
    length: fc.integer({ min: 1, max: 16 }),
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 700 }), fc.array(step, { maxLength: 80 }), (size, steps) => {
      const slots = new SwapSlots(size);
      const taken = new Set<number>();
      for (const { order, frees, pick, from, length } of steps) {
        if (frees) {
          const all = [...taken].sort((a, b) => a - b);
          if (all.length === 0) continue;
          const first = all[pick % all.length] - (from % 2);
          let run = 0;
          while (run < length && taken.has(first + run)) run += 1;
          for (let i = 0; i < run; i += 1) taken.delete(first + i);
          if (run > 0) slots.free(first, run);
        } else {
          const pages = 2 ** order;
          const slot = slots.allocate(pages);
          if (slot === NO_SLOT) {
            for (let at = 0; at + pages <= size; at += pages) {
              expect(Array.from({ length: pages }, (_, i) => taken.has(at + i))).toContain(true); // no block was free
            }
            continue;
          }
          expect(slot % pages).toBe(0);
          for (let i = 0; i < pages; i += 1) {
            expect(taken.has(slot + i)).toBe(false);
            taken.add(slot + i);
          }
          expect(slot + pages).toBeLessThanOrEqual(size);
        }
        expect(slots.used).toBe(taken.size);
        slots.assertInvariants();
      }
    }),
    { numRuns: 60 },
  );
});

test('every slot can be taken, whatever the size', () => {
  for (const size of [1, 2, 255, 256, 257, 1000]) {
    const slots = new SwapSlots(size);
    const found = new Set<number>();
    for (let slot = slots.allocate(1); slot !== NO_SLOT; slot = slots.allocate(1)) found.add(slot);
    expect([found.size, slots.used]).toEqual([size, size]);
    for (const slot of found) slots.free(slot, 1);
    slots.assertInvariants();
  }
});

test('a store of a terabyte costs nothing before it is used', () => {
  const slots = new SwapSlots(2 ** 28);
  expect(slots.allocate(64)).toBeGreaterThanOrEqual(0);
  expect(slots.used).toBe(64);
});

test('the store in memory keeps pages by slot; a slot that was never written reads as zero', () => {
  const memory = Array.from({ length: 8 }, (_, i) => new Uint8Array(PAGE).fill(i));
  const store = new CountedStore(
    new MemoryStore(16, { load: (frame, into) => into.set(memory[frame]), store: (frame, from) => memory[frame].set(from) }),
  );
  expect(store.write(4, 2 as GuestFrame, 3)).toBe(0);
  memory[2].fill(99); // a copy was taken
  expect(store.read(3, 5 as GuestFrame, 3)).toBe(0);
  expect([5, 6, 7].map((frame) => [memory[frame][0], memory[frame][PAGE - 1]])).toEqual([
    [0, 0],
    [2, 2],
    [3, 3],
  ]);
  expect(store.counters).toEqual({ reads: 1, pagesRead: 3, writes: 1, pagesWritten: 3 });
});
