/**
 * How long does it take to find physical memory? One block is taken and given back, in memory of 2^10 to 2^20 pages of
 * which every second is free, so that every block is one page and nothing merges: by no constraint, below 16 MiB, of a
 * colour of which there is one page left at the end, at an exact address. Rival: going through the free blocks in
 * ascending order until one will do, as one must with lists.
 *
 * Reported first: words looked at (of the bitmaps, 32 blocks each) and blocks looked at (of the list), which repeat
 * exactly. Times matter as ratios only.
 */
import b from 'benny';
import { type GuestFrame, PAGE_SIZE } from '../../hostkernel/base/units.ts';
import { accepts, ANY, at, type Constraint, colour, constraintOf, DMA16, type MemoryType } from '../../vkernel/physmem/core/constraint.ts';
import { Zones } from '../../vkernel/physmem/core/zone.ts';
import { type Files, Suite } from '../suite.ts';

const ORDERS = [10, 12, 14, 16, 18, 20]; // log2 of pages of memory
const ROUNDS = 256; // a measured call makes

/** What is asked for, in memory of so many pages. */
const KINDS: readonly (readonly [string, (pages: number) => MemoryType])[] = [
  ['any', () => ANY],
  ['below 16 MiB', () => DMA16],
  ['colour 5 of 8, one left', () => colour(5, 8)],
  ['exact address, the last', (pages) => at((pages - 3) * PAGE_SIZE)],
];

/** Every second page is free; of the last kind of colour only the last one. */
function isFree(page: number, pages: number): boolean {
  return page % 2 === 1 && (page % 8 !== 5 || page === pages - 3);
}

function fragmented(pages: number): Zones {
  const zones = new Zones();
  zones.free(0 as GuestFrame, pages);
  for (let page = 0; page < pages; page += 1) if (!isFree(page, pages)) zones.take(page, page + 1);
  return zones;
}

function constraintFor(type: MemoryType): Constraint {
  const constraint = constraintOf(type.set, type.clear, 1);
  if (constraint === null) throw new Error('malformed');
  return constraint;
}

/** The free blocks in ascending order, and the search through them. */
class List {
  looks = 0;
  readonly #blocks: Int32Array;

  constructor(pages: number) {
    this.#blocks = Int32Array.from(Array.from({ length: pages }, (_, page) => page).filter((page) => isFree(page, pages)));
  }

  find(constraint: Constraint): number {
    const blocks = this.#blocks;
    for (let i = 0; i < blocks.length; i += 1) {
      if (!accepts(constraint, blocks[i])) continue;
      this.looks += i + 1;
      return blocks[i];
    }
    return -1;
  }
}

function once(zones: Zones, constraint: Constraint): number {
  const frame = zones.allocate(1, constraint);
  zones.free(frame, 1);
  return frame;
}

export async function run(): Promise<Files> {
  const suite = new Suite('zone');
  for (const [title, typeFor] of KINDS) {
    const counts = ORDERS.map((order) => {
      const pages = 2 ** order;
      const constraint = constraintFor(typeFor(pages));
      const zones = fragmented(pages);
      const before = zones.looks;
      const list = new List(pages);
      if (once(zones, constraint) !== list.find(constraint)) throw new Error(`${title}: not the same block`);
      suite.counts(`${title}: 2^${order} pages`, { 'words looked at': zones.looks - before });
      suite.counts(`${title}: list of 2^${order} pages`, { 'blocks looked at': list.looks });
      return `2^${order} ${zones.looks - before} / ${list.looks}`;
    });
    console.log(`  ${title}: words / blocks looked at in ${counts.join(', ')}`);
  }
  for (const [title, typeFor] of KINDS) {
    const summary = await b.suite(
      `zones: ${ROUNDS} blocks taken and given back, ${title}`,
      ...[10, 16, 20].map((order) =>
        b.add(`2^${order} pages`, () => {
          const zones = fragmented(2 ** order);
          const constraint = constraintFor(typeFor(2 ** order));
          return () => {
            let sum = 0;
            for (let i = 0; i < ROUNDS; i += 1) sum += once(zones, constraint);
            return sum;
          };
        }),
      ),
      b.add('list of 2^16 pages', () => {
        const list = new List(2 ** 16);
        const constraint = constraintFor(typeFor(2 ** 16));
        return () => {
          let sum = 0;
          for (let i = 0; i < ROUNDS; i += 1) sum += list.find(constraint);
          return sum;
        };
      }),
      b.cycle(),
      b.complete(),
    );
    suite.timesOf(summary, `${title}: `);
  }
  return suite.files();
}
