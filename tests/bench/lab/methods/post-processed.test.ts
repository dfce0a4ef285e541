/** Designs computed from recorded latencies: the published formulas, term by term. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DESIGN_NAMES, type DesignName, DesignRecorder, whyNot } from '../../../../bench/lab/methods/post-processed.ts';
import { READ } from '../../../../hostkernel/base/units.ts';

const LEVELS = 4;
const COLUMNS = LEVELS + 1;

function costsOf(latencies: Float64Array): Readonly<Record<DesignName | 'nested', number>> {
  const recorder = new DesignRecorder(LEVELS, LEVELS);
  recorder.walked(0, 0, READ, latencies, COLUMNS);
  const { designs } = recorder;
  const costs = Object.fromEntries(DESIGN_NAMES.map((name) => [name, designs[name].walkCycles]));
  return { ...costs, nested: designs['agile'].nestedCycles } as Record<DesignName | 'nested', number>;
}

test('four and four levels give the published sums', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 254 }), { minLength: 24, maxLength: 24 }), (all) => {
      // As they are published: levels count from the top, H is a host's reference for a guest's level, D one for the data.
      const H = (i: number, j: number): number => all[(i - 1) * 5 + j - 1];
      const G = (i: number): number => all[(i - 1) * 5 + 4];
      const D = (j: number): number => all[19 + j];
      const latencies = new Float64Array(5 * COLUMNS);
      for (let i = 1; i <= 4; i++) {
        for (let j = 1; j <= 4; j++) latencies[(4 - i) * COLUMNS + 4 - j] = H(i, j);
        latencies[(4 - i) * COLUMNS + 4] = G(i);
      }
      for (let j = 1; j <= 4; j++) latencies[4 * COLUMNS + 4 - j] = D(j);
      const ahead = (a: number, b: number, c: number, d: number): number => Math.max(a + b, c, d);
      const walks = [1, 2, 3, 4].map((i) => ahead(H(i, 1), H(i, 2), H(i, 3), H(i, 4)) + G(i));
      expect(costsOf(latencies)).toEqual({
        nested: all.reduce((sum, one) => sum + one, 0),
        agile: G(1) + G(2) + G(3) + G(4) + D(1) + D(2) + D(3) + D(4),
        flattened: H(2, 2) + H(2, 4) + G(2) + H(4, 2) + H(4, 4) + G(4) + D(2) + D(4),
        cuckoo: H(4, 4) + G(4) + D(4) + 12,
        dmt: H(4, 4) + G(4) + D(4),
        'dmt-pv': G(4) + D(4),
        prefetched: walks[0] + walks[1] + walks[2] + walks[3] + ahead(D(1), D(2), D(3), D(4)),
      });
    }),
  );
});

test('a large page counts as the lower of its pair, and as the leaf', () => {
  const latencies = new Float64Array(5 * COLUMNS);
  latencies.fill(1, 1 * COLUMNS); // no guest's entry of level 0
  for (let g = 0; g <= 4; g++) latencies[g * COLUMNS] = 0; // nor a host's
  latencies[4 * COLUMNS + 4] = 0; // the data is no entry
  expect(costsOf(latencies)).toMatchObject({ nested: 3 * 4 + 3, flattened: 2 * 3 + 2, dmt: 3, 'dmt-pv': 2 });
});

test('what caches have answered costs a design nothing either', () => {
  const latencies = new Float64Array(5 * COLUMNS);
  latencies[4] = 54; // the guest's leaf entry, alone
  expect(costsOf(latencies)).toEqual({ nested: 54, agile: 54, flattened: 54, cuckoo: 66, dmt: 54, 'dmt-pv': 54, prefetched: 54 });
});

test.each([
  [3, 3, []],
  [5, 4, []],
  [2, 2, ['prefetched']],
  [4, 1, ['flattened', 'prefetched']],
] as const)('%i levels under %i: designs that mean nothing are not there', (guestLevels, hostLevels, refused) => {
  const recorder = new DesignRecorder(guestLevels, hostLevels);
  recorder.walked(0, 0, READ, new Float64Array((guestLevels + 1) * (hostLevels + 1)).fill(1), hostLevels + 1);
  expect(DESIGN_NAMES.filter((name) => whyNot(name, guestLevels, hostLevels) !== null)).toEqual(refused);
  expect(Object.keys(recorder.designs)).toEqual(DESIGN_NAMES.filter((name) => !(refused as readonly string[]).includes(name)));
});
