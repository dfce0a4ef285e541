/**
 * Look-ups of neutron cross sections: a binary search in one large table of energies, then a gather from the tables of
 * all nuclides of a material.
 * Source: the access pattern of XSBench, Tramm et al., PHYSOR 2014.
 */
import { READ } from '../../../hostkernel/base/units.ts';
import type { Batch } from '../stream.ts';
import { halvings, numberOf, type Pattern, type PatternSetup, touch } from './pattern.ts';

const POINT = 48; // bytes of one energy point of a nuclide: energy, five cross sections
const INDEX = 4; // bytes of an index into a nuclide's table, a row of them for each energy

export function xsbench(setup: PatternSetup): Pattern {
  const { space, memory, random } = setup;
  const work = numberOf(setup, 'work');
  const nuclides = numberOf(setup, 'nuclides');
  const gathered = Math.min(nuclides, numberOf(setup, 'gathered'));
  // Each energy of the common table comes from one point of one nuclide.
  const points = Math.max(2, Math.floor(numberOf(setup, 'footprint') / (nuclides * (POINT + 8 + INDEX * nuclides))));
  const energies = points * nuclides;
  const common = memory.array(energies * 8);
  const rows = memory.array(energies * nuclides * INDEX);
  const tables = memory.array(energies * POINT);
  return {
    records: halvings(energies) + 3 * gathered,
    step(batch: Batch): void {
      const energy = random.below(energies);
      let low = 0;
      let high = energies;
      while (high - low > 1) {
        const middle = Math.floor((low + high) / 2);
        touch(batch, space, common + middle * 8, READ, 8, work);
        if (middle <= energy) low = middle;
        else high = middle;
      }
      const first = random.below(nuclides);
      for (let i = 0; i < gathered; i++) {
        const nuclide = (first + i) % nuclides;
        touch(batch, space, rows + (energy * nuclides + nuclide) * INDEX, READ, 4, work);
        const point = tables + (nuclide * points + Math.floor(energy / nuclides)) * POINT;
        touch(batch, space, point, READ, 8, work);
        touch(batch, space, point + 40, READ, 8, work);
      }
    },
  };
}
