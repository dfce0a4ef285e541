/**
 * What does a hardware walk cost, and what does it cost to do it any other way? One Sv39 address space with base pages
 * all over 256 MiB, walked in a fixed order: compiled from the descriptor, with bigints, and by interpreting the descriptor.
 *
 * Reported first: page-table entries read per walk, which repeat exactly. Times matter as ratios only.
 */
import b from 'benny';
import { PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { ATTR_USER, compileLayout, compileWalk, SV39, WALK_HIT, walkReference } from '../../../hostkernel/machine/paging/index.ts';

const PAGES = 65536; // 256 MiB of base pages
const STRIDE = 40503; // odd: visits every page once, none near the one before
const BATCH = 4096; // walks a measured call makes
const REFERENCE_BATCH = 64;

const format = compileLayout(SV39);

/** Frame 0 unused, frame 1 the root, frame 2 the middle table, then the leaf tables. */
function addressSpace(): { base: number; frames: number; i32: Int32Array } {
  const tables = PAGES / 512;
  const frames = 3 + tables;
  const i32 = new Int32Array(frames * 1024);
  const put = (frame: number, slot: number, lo: number, hi: number) => {
    i32[frame * 1024 + slot * 2] = lo;
    i32[frame * 1024 + slot * 2 + 1] = hi;
  };
  put(1, 0, format.tableLo(2, 2 * PAGE_SIZE), format.tableHi(2, 2 * PAGE_SIZE));
  for (let t = 0; t < tables; t++) put(2, t, format.tableLo(1, (3 + t) * PAGE_SIZE), format.tableHi(1, (3 + t) * PAGE_SIZE));
  const attributes = READ | WRITE | ATTR_USER;
  for (let page = 0; page < PAGES; page++) {
    put(3 + (page >>> 9), page & 511, format.leafLo(0, page + 7, attributes), format.leafHi(0, page + 7, attributes));
  }
  return { base: 0, frames, i32 };
}

/** The same walk written by hand on 64-bit integers: user reads and writes with hardware A and D updates. */
function bigintWalk(entries: BigUint64Array, root: bigint, va: bigint, write: boolean): bigint {
  const upper = va >> 38n;
  if (upper !== 0n && upper !== (1n << 26n) - 1n) return -1n;
  let table = root;
  for (let level = 2n; level >= 0n; level--) {
    const slot = table * 512n + ((va >> (12n + 9n * level)) & 511n);
    const entry = entries[Number(slot)];
    if ((entry & 1n) === 0n || entry >> 54n !== 0n || (entry & 6n) === 4n) return -1n;
    const frame = (entry >> 10n) & 0xfff_ffff_ffffn;
    if ((entry & 14n) === 0n) {
      table = frame;
      continue;
    }
    const below = (1n << (9n * level)) - 1n;
    if ((frame & below) !== 0n || (entry & 16n) === 0n || (entry & (write ? 4n : 2n)) === 0n) return -1n;
    const flags = write ? 0xc0n : 0x40n;
    if ((entry & flags) !== flags) entries[Number(slot)] = entry | flags;
    return frame + ((va >> 12n) & below);
  }
  return -1n;
}

export async function run(): Promise<void> {
  const ram = addressSpace();
  const { walk, result } = compileWalk(format, ram);
  const entries = new BigUint64Array(ram.i32.buffer);
  const memory = {
    read: ({ lo }: { readonly lo: number }) => ({ lo: ram.i32[lo / 4] >>> 0, hi: ram.i32[lo / 4 + 1] >>> 0 }),
    write: ({ lo }: { readonly lo: number }, entry: { readonly lo: number; readonly hi: number }) => {
      ram.i32[lo / 4] = entry.lo;
      ram.i32[lo / 4 + 1] = entry.hi;
    },
  };

  // The three agree, and read the same number of entries.
  let references = 0;
  for (let page = 0; page < PAGES; page += 97) {
    const va = page * PAGE_SIZE;
    const reference = walkReference(SV39, memory, { root: { lo: PAGE_SIZE, hi: 0 }, va: { lo: va, hi: 0 }, access: 'r', mode: 'user' });
    const agrees =
      walk(1, va, 0, READ) === WALK_HIT && result.frame === page + 7 && bigintWalk(entries, 1n, BigInt(va), false) === BigInt(page + 7);
    if (!agrees || reference.refs.length !== result.references) throw new Error(`the walks differ at page ${page}`);
    references = result.references;
  }

  let page = 0;
  const next = () => {
    page = (page + STRIDE) % PAGES;
    return page * PAGE_SIZE;
  };
  let sum = 0;
  const summary = await b.suite(
    `walk: Sv39, base pages, ${references} entries a walk`,
    b.add('compiled from the descriptor', () => {
      for (let i = 0; i < BATCH; i++) {
        walk(1, next(), 0, READ);
        sum += result.frame;
      }
    }),
    b.add('by hand, bigint', () => {
      for (let i = 0; i < BATCH; i++) sum += Number(bigintWalk(entries, 1n, BigInt(next()), false));
    }),
    b.add(`reference interpreter (${REFERENCE_BATCH} walks)`, () => {
      for (let i = 0; i < REFERENCE_BATCH; i++) {
        const request = { root: { lo: PAGE_SIZE, hi: 0 }, va: { lo: next(), hi: 0 }, access: 'r', mode: 'user' } as const;
        sum += walkReference(SV39, memory, request).refs.length;
      }
    }),
    b.cycle(),
    b.save({ folder: 'bench/results', file: 'paging', details: true }),
  );
  const [compiled, bigint, reference] = summary.results.map((r, i) => (r.details.median * 1e9) / (i === 2 ? REFERENCE_BATCH : BATCH));
  console.log(`  entries read per walk: ${references}`);
  console.log(`  bigint / compiled:     ${(bigint / compiled).toFixed(0)}`);
  console.log(`  reference / compiled:  ${(reference / compiled).toFixed(0)}`);
  console.log(`  compiled:              ${compiled.toFixed(1)} ns a walk (median)`);
  if (sum === 0) throw new Error('nothing was walked');
}
