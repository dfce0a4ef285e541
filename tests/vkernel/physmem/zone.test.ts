import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { GuestFrame } from '../../../hostkernel/base/units.ts';
import type { Constraint } from '../../../vkernel/physmem/core/constraint.ts';
import { NO_BLOCK, Zones } from '../../../vkernel/physmem/core/zone.ts';

/** Free blocks as `order@frame`, by order and frame. */
function shape(zones: Zones): string[] {
  const blocks: string[] = [];
  for (let order = 0; order < 20; order += 1) {
    for (const frame of zones.blocks(order).toSorted((x, y) => x - y)) blocks.push(`${2 ** order}@${frame}`);
  }
  return blocks;
}

function zonesOf(...runs: (readonly [frame: number, pages: number])[]): Zones {
  const zones = new Zones();
  for (const [frame, pages] of runs) zones.free(frame as GuestFrame, pages);
  return zones;
}

test('K1 a freed run is cut by alignment, and buddies merge', () => {
  const zones = zonesOf([1, 4]);
  expect(shape(zones)).toEqual(['1@1', '1@4', '2@2']);
  zones.free(5 as GuestFrame, 1);
  expect(shape(zones)).toEqual(['1@1', '2@2', '2@4']);
  zones.assertInvariants();
});

test('K2 neighbours that are no buddies do not make a block', () => {
  const zones = zonesOf([1, 2]);
  expect(zones.allocate(2)).toBe(NO_BLOCK);
  expect(new Set([zones.allocate(1), zones.allocate(1)])).toEqual(new Set([1, 2]));
  expect(zones.freePages).toBe(0);
});

test('K3 three pages of a block of eight: the low ones, the tail goes back', () => {
  const zones = zonesOf([8, 8]);
  expect(zones.allocate(3)).toBe(8);
  expect(shape(zones)).toEqual(['1@11', '4@12']);
  zones.assertInvariants();
});

test('everything given back is one block again, in whatever order', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 30 }), fc.infiniteStream(fc.nat(1000)), (sizes, order) => {
      const zones = zonesOf([64, 256]);
      zones.free(0 as GuestFrame, 64);
      zones.free(320 as GuestFrame, 192);
      const held: { frame: GuestFrame; pages: number }[] = [];
      const owner = new Map<number, number>();
      for (const pages of sizes) {
        const frame = zones.allocate(pages);
        zones.assertInvariants();
        if (frame === NO_BLOCK) continue;
        for (let page: number = frame; page < frame + pages; page += 1) {
          expect(owner.has(page)).toBe(false);
          owner.set(page, frame);
        }
        held.push({ frame, pages });
      }
      expect(zones.freePages).toBe(512 - owner.size);
      while (held.length > 0) {
        const [block] = held.splice((order.next().value ?? 0) % held.length, 1);
        zones.free(block.frame, block.pages);
        zones.assertInvariants();
      }
      expect(shape(zones)).toEqual(['512@0']);
    }),
    { numRuns: 40 },
  );
});

test('zones agree with a naive map of free pages, with runs of any length and any constraint', () => {
  const bits = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255));
  const step = fc.oneof(
    fc.tuple(fc.constant('allocate' as const), fc.oneof(fc.constantFrom(1, 2, 4, 8), fc.integer({ min: 1, max: 20 })), bits),
    fc.tuple(fc.constant('allocate any' as const), fc.integer({ min: 1, max: 9 }), bits),
    fc.tuple(fc.constant('free' as const), fc.nat(1000), bits),
    fc.tuple(fc.constant('take' as const), fc.integer({ min: 1, max: 24 }), bits),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
      const zones = zonesOf([3, 150], [160, 96]);
      const free = Array.from({ length: 256 }, (_, page) => (page >= 3 && page < 153) || page >= 160);
      const held: { frame: number; pages: number }[] = [];
      const keep = (frame: number, pages: number): void => {
        for (let page = frame; page < frame + pages; page += 1) {
          expect(free[page]).toBe(true);
          free[page] = false;
          held.push({ frame: page, pages: 1 });
        }
      };
      for (const [kind, n, [a, b, c]] of steps) {
        if (kind === 'free' && held.length > 0) {
          const [{ frame, pages }] = held.splice(n % held.length, 1);
          zones.free(frame as GuestFrame, pages);
          free[frame] = true;
        } else if (kind === 'take') {
          const taken = free.flatMap((isFree, page) => (isFree && page >= a && page < a + n ? [page] : []));
          expect(zones.take(a, Math.min(256, a + n))).toBe(taken.length);
          for (const page of taken) keep(page, 1);
        } else if (kind !== 'free') {
          const alignment = 2 ** Math.floor(Math.log2(n));
          const set = kind === 'allocate any' ? 0 : a & b & -alignment;
          const constraint = { set, clear: kind === 'allocate any' ? 0 : b & c & ~set };
          const right = best(zones, n, constraint);
          expect(zones.allocate(n, constraint)).toBe(right);
          if (right !== NO_BLOCK) keep(right, n);
        }
        expect(zones.freePages).toBe(free.filter(Boolean).length);
      }
      zones.assertInvariants();
      expect(free.every((isFree, page) => zones.isFree(page) === isFree)).toBe(true);
    }),
    { numRuns: 100 },
  );
});

/** The lowest acceptable start in the smallest block that has one, by trying all. */
function best(zones: Zones, pages: number, { set, clear }: Constraint): number {
  const alignment = 2 ** Math.floor(Math.log2(pages));
  for (let order = 0; order < 10; order += 1) {
    for (const block of zones.blocks(order)) {
      for (let x: number = block; x + pages <= block + 2 ** order; x += 1) {
        if (x % alignment === 0 && (x & set) === set && (x & clear) === 0) return x;
      }
    }
  }
  return NO_BLOCK;
}

test('the lowest block of the smallest zone is taken', () => {
  const zones = zonesOf([9, 1], [5, 1], [32, 32], [16, 2], [12, 2]);
  expect([zones.allocate(1), zones.allocate(2), zones.allocate(1), zones.allocate(1)]).toEqual([5, 12, 9, 16]);
});

test('a run behind a required bit needs room behind it, and memory is the machine up to the last page', () => {
  const zones = zonesOf([2 ** 20 - 8, 8]);
  expect(zones.allocate(3, { set: 2, clear: 0 })).toBe(2 ** 20 - 8 + 2); // not in a block of four: 2 + 3 > 4
  expect(zones.allocate(1, { set: 2 ** 20 - 1, clear: 0 })).toBe(2 ** 20 - 1);
  expect(zones.freePages).toBe(4);
  zones.assertInvariants();
});
