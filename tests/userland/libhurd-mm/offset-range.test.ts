/** Offsets of anonymous memory: never two owners of one, however many have been handed out. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OffsetRange } from '../../../userland/libhurd-mm/offset-range.ts';

interface Used {
  readonly storeOffset: number;
  readonly size: number;
}

test('offsets in use are never handed out again, those given back are', () => {
  const sizes = fc.integer({ min: 40, max: 47 }).map((shift) => 2 ** shift); // a few hundred exhaust the range
  const step = fc.record({ size: sizes, drop: fc.nat(), keep: fc.integer({ min: 1, max: 8 }) });
  fc.assert(
    fc.property(fc.array(step, { minLength: 50, maxLength: 150, size: 'max' }), (steps) => {
      const range = new OffsetRange();
      const used: Used[] = [];
      for (const { size, drop, keep } of steps) {
        const storeOffset = range.take(size, () => used);
        expect(storeOffset).toBeGreaterThanOrEqual(0);
        expect(Number.isSafeInteger(storeOffset + size)).toBe(true);
        for (const other of used)
          expect(storeOffset >= other.storeOffset + other.size || other.storeOffset >= storeOffset + size).toBe(true);
        used.push({ storeOffset, size });
        while (used.length > keep) used.splice(drop % used.length, 1);
      }
    }),
    { numRuns: 50 },
  );
});

test('when all are in use there is none', () => {
  const range = new OffsetRange();
  const used: Used[] = [];
  for (let i = 0; i < 16; i += 1) used.push({ storeOffset: range.take(2 ** 47, () => used), size: 2 ** 47 });
  expect(range.take(4096, () => used)).toBe(-1);
  const [gone] = used.splice(5, 1);
  expect(range.take(4096, () => used)).toBe((gone as Used).storeOffset);
});
