/**
 * Designs that are computed from a nested run instead of being modelled: what each walk would have cost is a formula over the
 * latencies of its references, so that numbers compare with those published for the same formulas.
 *
 *               host's levels          guest's
 *               top ...  1    0        entry         rows: the guest's levels, top first, then the data (D)
 *   guest top   H  ....  H    H        G             nested: the sum of all cells
 *   ...                                              "leaf": of a row, a column: the lowest that was read
 *   data        H  ....  H    H        -
 *
 *   agile        shadow above, nested at the leaves     all G, and the data's row
 *   flattened    pairs of levels are one table          from the leaf up the lower of each pair that was read, in both dimensions
 *   cuckoo       nested elastic cuckoo tables           leaf H of the leaf row, leaf G, leaf of the data's row, 12 cycles of hashing
 *   dmt          direct memory translation              the same without hashing
 *   dmt-pv       its para-virtualised form              leaf G, leaf of the data's row
 *   prefetched   the last two levels are fetched ahead  of each host walk the largest of: the sum of its upper levels, level 1, level 0
 *
 * For 4 + 4 levels, with levels counted from the top, these are the published ones: G2H2 + G2H4 + G2 + G4H2 + G4H4 + G4 + D2 +
 * D4, G4H4 + G4 + D4 + 12 and so on. What a cache has answered costs nothing in them, as in the nested walk.
 * Source: the artefact of Zhang et al., Direct Memory Translation for Virtualized Clouds, ASPLOS 2024.
 */
import type { Access } from '../../../hostkernel/base/units.ts';
import type { WalkRecorder } from '../../../hostkernel/machine/timing/index.ts';

export const DESIGN_NAMES = ['agile', 'flattened', 'cuckoo', 'dmt', 'dmt-pv', 'prefetched'] as const;
export type DesignName = (typeof DESIGN_NAMES)[number];

const HASHING = 12; // cycles of a nested cuckoo walk: three steps

/** What a design's walks would have cost, and what the nested ones did, without the latency of walk caches. */
export interface DesignCounts {
  readonly walkCycles: number;
  readonly nestedCycles: number;
}

/** Why a design means nothing for tables of so many levels, or null: it does. */
export function whyNot(design: DesignName, guestLevels: number, hostLevels: number): string | null {
  if (design === 'flattened' && (guestLevels < 2 || hostLevels < 2)) return 'there are no two levels that one table could replace';
  if (design === 'prefetched' && hostLevels < 3) return 'there are no levels above the two that are fetched ahead';
  return null;
}

/** Adds up what every design would have cost. */
export class DesignRecorder implements WalkRecorder {
  readonly #guestLevels: number;
  readonly #hostLevels: number;
  readonly #sums = new Float64Array(DESIGN_NAMES.length);
  #nested = 0;

  constructor(guestLevels: number, hostLevels: number) {
    this.#guestLevels = guestLevels;
    this.#hostLevels = hostLevels;
  }

  /** Hot: allocates nothing. latencies[g * columns + h]: see WalkRecorder. */
  walked(_space: number, _page: number, _access: Access, latencies: Float64Array, columns: number): void {
    const guestLevels = this.#guestLevels;
    const top = this.#hostLevels - 1;
    const own = columns - 1; // column of the guest's entries
    const data = guestLevels * columns;
    let nested = 0;
    let guest = 0;
    let flattened = 0;
    let prefetched = 0;
    let leafRow = -1;
    let flatRow = -1; // of the present pair: whether its lower level was read
    for (let g = 0; g <= guestLevels; g++) {
      const row = g * columns;
      const entry = latencies[row + own];
      let walk = 0;
      let flat = 0;
      for (let h = 0; h <= top; h++) walk += latencies[row + h];
      for (let h = 0; h <= top; h += 2) flat += latencies[row + h] > 0 || h === top ? latencies[row + h] : latencies[row + h + 1];
      const low = latencies[row] > latencies[row + 1] ? latencies[row] : latencies[row + 1];
      const upper = walk - latencies[row] - latencies[row + 1]; // of three levels or more
      nested += walk + entry;
      guest += entry;
      prefetched += entry + (top < 2 ? walk : upper > low ? upper : low);
      if (entry > 0 && leafRow < 0) leafRow = row;
      if (g === guestLevels || flatRow !== g >> 1) flattened += entry + flat;
      if (g < guestLevels && entry > 0) flatRow = g >> 1;
    }
    let dataWalk = 0;
    for (let h = 0; h <= top; h++) dataWalk += latencies[data + h];
    const leaf = leafRow < 0 ? 0 : latencies[leafRow + own];
    const direct = leaf + lowestRead(latencies, data, top);
    const sums = this.#sums;
    this.#nested += nested;
    sums[0] += guest + dataWalk;
    sums[1] += flattened;
    const dmt = direct + (leafRow < 0 ? 0 : lowestRead(latencies, leafRow, top));
    sums[2] += dmt + HASHING;
    sums[3] += dmt;
    sums[4] += direct;
    sums[5] += prefetched;
  }

  /** Of the designs that mean something here. */
  get designs(): Readonly<Record<string, DesignCounts>> {
    const counts: Record<string, DesignCounts> = {};
    DESIGN_NAMES.forEach((name, i) => {
      if (whyNot(name, this.#guestLevels, this.#hostLevels) !== null) return;
      counts[name] = { walkCycles: this.#sums[i], nestedCycles: this.#nested };
    });
    return counts;
  }
}

/** The first of columns 0 .. top that is not 0, from the leaf up. Hot. */
function lowestRead(latencies: Float64Array, row: number, top: number): number {
  for (let h = 0; h <= top; h++) if (latencies[row + h] > 0) return latencies[row + h];
  return 0;
}
