import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { GuestFrame } from '../../../hostkernel/base/units.ts';
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
