/** Swap space: no slot is given twice, runs where there are any, all of it can be used. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KernelPanic } from '../../../hostkernel/base/assert.ts';
import { MAX_RUN, NO_SLOT, SwapSpace, type SwapSlot } from '../../../hostkernel/vm/swap.ts';

test('agrees with a set of slots', () => {
  const step = fc.record({ count: fc.integer({ min: 0, max: MAX_RUN }), pick: fc.nat() }); // 0: frees one
  const both = fc.property(fc.integer({ min: 2, max: 400 }), fc.array(step, { maxLength: 200, size: 'max' }), (blocks, steps) => {
    const swap = new SwapSpace(blocks);
    const used = new Set<number>();
    for (const { count, pick } of steps) {
      if (count === 0) {
        const slot = [...used][pick % Math.max(1, used.size)];
        if (used.delete(slot)) swap.free(slot as SwapSlot);
      } else {
        const slot = swap.allocate(count);
        expect(slot === NO_SLOT).toBe(used.size === blocks - 1); // refused only when full
        expect(swap.run).toBeLessThanOrEqual(count);
        for (let i = 0; i < swap.run; i++) {
          expect(used.has(slot + i) || slot + i >= blocks).toBe(false);
          used.add(slot + i);
        }
      }
      expect(swap.used).toBe(used.size);
      swap.assertInvariants();
    }
  });
  fc.assert(both);
});

test('pages that go together get slots in a row, past what is in use here and there', () => {
  const swap = new SwapSpace(1000);
  for (let i = 0; i < 96; i++) swap.allocate(1);
  for (let slot = 2; slot < 60; slot += 2) swap.free(slot as SwapSlot);
  expect(swap.allocate(16)).toBe(97);
  expect(swap.run).toBe(16);
  expect(swap.allocate(1)).toBe(2); // a single page fills a gap
});

test('a slot is freed once', () => {
  const swap = new SwapSpace(10);
  const slot = swap.allocate(1);
  swap.free(slot);
  expect(() => swap.free(slot)).toThrow(KernelPanic);
  expect(() => swap.free(NO_SLOT)).toThrow(KernelPanic);
});

test('a device of 2^38 blocks costs only what is used of it', () => {
  const swap = new SwapSpace(2 ** 38);
  for (let i = 0; i < 10_000; i++) swap.allocate(16);
  expect(swap.used).toBeGreaterThan(159_900); // a run may be cut short at the end of a word
  expect(swap.byteLength).toBeLessThan(65_536);
  swap.assertInvariants();
});
