import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import {
  accepts,
  ANY,
  ANYWHERE,
  at,
  type Constraint,
  colour,
  constraintOf,
  DMA16,
  highPart,
  nextAcceptable,
} from '../../../vkernel/physmem/core/constraint.ts';
import { Received } from '../../../vkernel/physmem/core/received.ts';
import { judgeBlocks } from './judge.ts';

function typeOf({ set, clear }: { set: number; clear: number }, pages = 1): Constraint {
  const constraint = constraintOf(set, clear, pages);
  if (constraint === null) throw new Error('malformed');
  return constraint;
}

const anyConstraint = fc
  .tuple(fc.nat(255), fc.nat(255), fc.nat(255))
  .map(([set, thin, clear]) => ({ set: set & thin, clear: clear & ~(set & thin) }));

test('K7 a bit that must be both, or a bit of S below the frame: no constraint', () => {
  expect(constraintOf(0x5000, 0x1000, 1)).toBeNull();
  expect(constraintOf(0x1000, 0, 2)).toBeNull(); // bit 12 for an 8K frame
  expect(constraintOf(0x2000, 0, 2)).toEqual({ set: 2, clear: 0 });
  expect(constraintOf(0x800, 0, 1)).toBeNull();
  expect(constraintOf(2 ** 60, 0, 1)).toBeNull();
  expect(constraintOf(Number.NaN, 0, 1)).toBeNull();
  expect(constraintOf(0, Number.POSITIVE_INFINITY, 1)).toBeNull();
});

test('K8 what a free block can give agrees with trying every start', () => {
  expect(judgeBlocks(1, 4000)).toBeNull();
});

test('memory types are words of address bits', () => {
  expect(typeOf(ANY)).toEqual(ANYWHERE);
  expect(colour(5, 8)).toEqual({ set: 0x5000, clear: 0x2000 });
  const dma = typeOf(DMA16);
  expect([4095, 4096, 2 ** 20 - 1].map((page) => accepts(dma, page))).toEqual([true, false, false]);
  const exact = typeOf(at(0xfedc_b000));
  expect(accepts(exact, 0xf_edcb)).toBe(true);
  expect(nextAcceptable(exact, 1, 0)).toBe(0xf_edcb);
  expect(nextAcceptable(exact, 1, 0xf_edcc)).toBe(-1);
});

test('C is the same from the sign down, in 32 bits and in 64 as far as they are exact', () => {
  for (const clear of [-(2 ** 24), 2 ** 32 - 2 ** 24, 2 ** 64 - 2 ** 24]) {
    const { clear: bits } = typeOf({ set: 0, clear });
    expect(bits & 0xf_ffff).toBe(0xf_f000);
  }
});

test('the next acceptable page is the one that trying finds', () => {
  fc.assert(
    fc.property(anyConstraint, fc.nat(3), fc.nat(300), (constraint, log2, from) => {
      const alignment = 2 ** log2;
      fc.pre(constraint.set % alignment === 0);
      const next = nextAcceptable(constraint, alignment, from);
      let right = from;
      while (right < 4096 && (right % alignment !== 0 || !accepts(constraint, right))) right += 1;
      expect(next).toBe(right);
    }),
  );
});

test('halves of an acceptable block are acceptable by the high part of the constraint', () => {
  fc.assert(
    fc.property(anyConstraint, fc.integer({ min: 1, max: 4 }), fc.nat(63), (constraint, log2, n) => {
      const size = 2 ** log2;
      fc.pre(constraint.set % size === 0);
      const start = nextAcceptable(constraint, size, n * size);
      const high = highPart(constraint, log2);
      expect([accepts(high, start), accepts(high, start + size / 2)]).toEqual([true, true]);
    }),
  );
});

test('a run is possible exactly where received memory holds it whole', () => {
  const ranges = fc.uniqueArray(fc.nat(40), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(ranges, fc.integer({ min: 1, max: 20 }), anyConstraint, fc.nat(200), (blocks, pages, constraint, from) => {
      const received = new Received();
      for (const block of blocks) received.add(block * 5 + 1, 5 - (block % 2)); // some touch
      received.assertInvariants();
      const alignment = 2 ** Math.floor(Math.log2(pages));
      fc.pre(constraint.set % alignment === 0);
      const present = (page: number): boolean => blocks.some((block) => page >= block * 5 + 1 && page < block * 5 + 6 - (block % 2));
      let right = -1;
      for (let x = from; x < 256 && right === -1; x += 1) {
        const whole = Array.from({ length: pages }, (_, i) => x + i).every(present);
        if (whole && x % alignment === 0 && accepts(constraint, x)) right = x;
      }
      expect(received.nextRun(pages, constraint, from)).toBe(right);
    }),
  );
});

test('a run that follows another is one range with it', () => {
  const received = new Received();
  received.add(8, 8);
  received.add(32, 1);
  received.add(1, 7);
  received.add(16, 16);
  expect([received.starts, received.ends, received.end * PAGE_SIZE]).toEqual([[1], [33], 33 * PAGE_SIZE]);
});
