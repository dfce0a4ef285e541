/**
 * Simulated annealing of a chip's placement: two random elements, the places of the elements each is wired to, and
 * sometimes a swap of the two.
 * Source: the access pattern of canneal, Bienia et al., The PARSEC benchmark suite, PACT 2008.
 */
import { READ, WRITE } from '../../../hostkernel/base/units.ts';
import type { Batch } from '../stream.ts';
import { numberOf, type Pattern, type PatternSetup, touch } from './pattern.ts';
import { mix } from './permutation.ts';

const ELEMENT = 64; // bytes: name, place, and the list of wires beginning in it

export function canneal(setup: PatternSetup): Pattern {
  const { space, memory, random } = setup;
  const work = numberOf(setup, 'work');
  const wires = numberOf(setup, 'wires');
  const accepted = numberOf(setup, 'accepted');
  const near = numberOf(setup, 'near'); // share of wires that lead nearby
  const reach = Math.max(1, Math.floor(numberOf(setup, 'reach') / ELEMENT));
  const elements = Math.max(2, Math.floor(numberOf(setup, 'footprint') / ELEMENT));
  const table = memory.array(elements * ELEMENT);

  function look(batch: Batch, element: number): void {
    touch(batch, space, table + element * ELEMENT, READ, 8, work);
    for (let wire = 0; wire < wires; wire++) {
      const hash = mix(Math.imul(element, 0x9e3779b9) + wire) >>> 0;
      const far = (hash / 2 ** 32) * elements;
      const isNear = (mix(hash) >>> 0) / 2 ** 32 < near;
      const other = isNear ? (element + (hash % reach)) % elements : Math.floor(far);
      touch(batch, space, table + other * ELEMENT + 8, READ, 8, work);
    }
  }

  return {
    records: 2 * (wires + 1) + 2,
    step(batch: Batch): void {
      const one = random.below(elements);
      const other = random.below(elements);
      look(batch, one);
      look(batch, other);
      if (random.unit() >= accepted) return;
      touch(batch, space, table + one * ELEMENT + 8, WRITE, 8, work);
      touch(batch, space, table + other * ELEMENT + 8, WRITE, 8, work);
    },
  };
}
