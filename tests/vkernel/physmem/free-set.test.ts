import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FreeSet } from '../../../vkernel/physmem/core/free-set.ts';

test('a free set agrees with a sorted list, whatever bits are asked for', () => {
  const number = fc.nat(70_000);
  const step = fc.oneof(
    fc.tuple(fc.constantFrom('add', 'remove'), number),
    fc.tuple(fc.constant('remove some'), fc.nat(100)),
    fc.tuple(fc.constant('lowest'), fc.nat(2 ** 17), fc.nat(2 ** 17), fc.nat(2 ** 17)),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const set = new FreeSet();
      set.grow(65_536);
      set.grow(70_001); // one more level
      const model = new Set<number>();
      const toggle = (n: number, wanted: boolean): void => {
        if (model.has(n) === wanted) return;
        if (wanted) set.add(n);
        else set.remove(n);
        if (wanted) model.add(n);
        else model.delete(n);
      };
      for (const [kind, n, mask, clear] of steps) {
        if (kind === 'add') for (const near of [n, n ^ 1, n ^ 32, n ^ 1024]) toggle(near % 70_001, true);
        else if (kind === 'remove') toggle(n, false);
        else if (kind === 'remove some') [...model].filter((_, i) => i % 3 === n % 3).forEach((each) => toggle(each, false));
        else {
          const wanted = n & (mask ?? 0);
          const forbidden = (clear ?? 0) & ~wanted;
          const right = [...model].filter((each) => (each & wanted) === wanted && (each & forbidden) === 0);
          expect(set.lowest(wanted, forbidden)).toBe(right.length === 0 ? -1 : Math.min(...right));
        }
      }
      expect(set.toArray()).toEqual([...model].sort((x, y) => x - y));
      set.assertInvariants();
    }),
    { numRuns: 60 },
  );
});

test('members survive growth by levels', () => {
  const set = new FreeSet();
  set.add(0);
  set.add(31);
  set.grow(40_000);
  set.add(39_999);
  expect(set.toArray()).toEqual([0, 31, 39_999]);
  expect(set.lowest(32, 0)).toBe(39_999);
  expect(set.lowest(2 ** 20, 0)).toBe(-1);
  set.assertInvariants();
});

test('one colour of 32 among a million others is found on one path', () => {
  const set = new FreeSet();
  const numbers = 2 ** 20;
  set.grow(numbers);
  for (let n = 0; n < numbers; n += 1) if (n % 32 !== 21) set.add(n);
  const rare = numbers - 32 + 21;
  set.add(rare);
  expect(set.lowest(21, 31 ^ 21)).toBe(rare);
  expect(set.looks).toBeLessThanOrEqual(4 * 32); // a list would be gone through to its end: 1,015,809 blocks
  const before = set.looks;
  expect(set.lowest(0, numbers - 2 ** 12)).toBe(0); // bits fixed from above: no step in vain
  expect(set.looks - before).toBe(4);
});
