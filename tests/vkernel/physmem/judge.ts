/** The two-word constraint judged by enumeration: what one free block may give, for K8 in tests and at length. */

import type { GuestFrame } from '../../../hostkernel/base/units.ts';
import { floorPowerOfTwo } from '../../../vkernel/physmem/core/dyadic.ts';
import { NO_BLOCK, Zones } from '../../../vkernel/physmem/core/zone.ts';

/** xorshift: the same cases for a seed, everywhere. */
export function* randomWords(seed: number): Generator<number, never> {
  let state = seed | 1;
  for (;;) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield state >>> 0;
  }
}

/**
 * Judges `cases` random free blocks below 2^10 pages, with runs of any length and any S and C, both ways.
 * @returns a sentence for the first case they disagree on, or null
 */
export function judgeBlocks(seed: number, cases: number): string | null {
  const random = randomWords(seed);
  const draw = (below: number): number => random.next().value % below;
  for (let i = 0; i < cases; i += 1) {
    const order = draw(7);
    const start = draw(2 ** (10 - order)) * 2 ** order;
    const pages = 1 + draw(draw(2) === 0 ? 8 : 2 ** order + 1);
    const set = draw(1024) & draw(1024) & draw(1024);
    const clear = draw(1024) & draw(1024) & (draw(8) === 0 ? -1 : ~set);
    const zones = new Zones();
    zones.free(start as GuestFrame, 2 ** order);
    const given = zones.allocate(pages, { set, clear });
    const right = enumerate(start, 2 ** order, pages, set, clear);
    if (given !== right)
      return `seed ${seed} case ${i}: ${pages} pages of ${2 ** order}@${start}, S ${set} C ${clear}: ${given}, not ${right}`;
    if (zones.freePages !== 2 ** order - (given === NO_BLOCK ? 0 : pages)) return `seed ${seed} case ${i}: ${zones.freePages} pages left`;
  }
  return null;
}

/** The lowest acceptable start in a block, tried page by page. */
function enumerate(start: number, size: number, pages: number, set: number, clear: number): number {
  const alignment = floorPowerOfTwo(pages);
  if (set % alignment !== 0) return NO_BLOCK; // no aligned start has that bit
  for (let x = start; x + pages <= start + size; x += 1) {
    if (x % alignment === 0 && (x & set) === set && (x & clear) === 0) return x;
  }
  return NO_BLOCK;
}
