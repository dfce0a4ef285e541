/**
 * What does a hardware walk cost, and what does it cost to do it any other way? One Sv39 address space with base pages
 * all over 256 MiB, walked in a fixed order: compiled from the descriptor, with bigints, and by interpreting the descriptor.
 *
 * Then every layout, over as many base pages as there are in 16 MiB: the walk the machine uses, the walk for any format,
 * the reference; and a load of the MMU that misses its TLB, for the layouts a machine can have.
 *
 * Reported first: page-table entries read per walk, which repeat exactly. Times matter as ratios only.
 */
import b from 'benny';
import { EXEC, type HostFrame, PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  ATTR_USER,
  compileAnyWalk,
  compileLayout,
  compileWalk,
  ENTRY_INVALID,
  LAYOUT_NAMES,
  Machine,
  type PageTableFormat,
  layoutByName,
  SV39,
  swap32,
  WALK_HIT,
  type WalkMemory,
  walkReference,
} from '../../../hostkernel/machine/index.ts';
import { type Files, Suite } from '../../suite.ts';

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

/** Entries in RAM, by byte address, as the format's byte order has them. */
function entries(format: PageTableFormat, ram: WalkMemory) {
  const { bigEndian, entryBytes } = format;
  const read = (address: number) => {
    const word = (ram.base + address) / 4;
    if (entryBytes === 4) return { lo: (bigEndian ? swap32(ram.i32[word]) : ram.i32[word]) >>> 0, hi: 0 };
    const halves = [ram.i32[word], ram.i32[word + 1]];
    const [lo, hi] = bigEndian ? [swap32(halves[1]), swap32(halves[0])] : halves;
    return { lo: lo >>> 0, hi: hi >>> 0 };
  };
  const write = (address: number, lo: number, hi: number) => {
    const word = (ram.base + address) / 4;
    if (entryBytes === 4) ram.i32[word] = bigEndian ? swap32(lo) : lo;
    else {
      ram.i32[word] = bigEndian ? swap32(hi) : lo;
      ram.i32[word + 1] = bigEndian ? swap32(lo) : hi;
    }
  };
  return { read, write };
}

const SMALL_PAGES = 4096; // 16 MiB of 4 KiB pages

/** Maps pages [0, SMALL_PAGES) to frames of the same number with tables from byte `start` on. Returns the root table's address. */
function mapPages(format: PageTableFormat, ram: WalkMemory, start: number): number {
  const { read, write } = entries(format, ram);
  let next = start;
  const take = (level: number) => {
    const align = Math.max(PAGE_SIZE, format.tableAlign(level));
    const table = Math.ceil(next / align) * align;
    next = table + format.tableBytes(level);
    if (format.kind(0, 0, 0) !== ENTRY_INVALID) for (let at = table; at < next; at += format.entryBytes) write(at, 1, 0);
    return table;
  };
  const attributes = READ | WRITE | EXEC | ATTR_USER | ATTR_ACCESSED | ATTR_DIRTY;
  const root = take(format.levels - 1);
  for (let page = 0; page < SMALL_PAGES; page += format.basePages) {
    let table = root;
    for (let level = format.levels - 1; level > 0; level--) {
      const at = table + format.index(level, page) * format.entryBytes;
      const { lo, hi } = read(at);
      if (format.kind(level, lo, hi) === ENTRY_INVALID) {
        table = take(level - 1);
        write(at, format.tableLo(level, table), format.tableHi(level, table));
      } else table = format.tableAddress(level, lo, hi);
    }
    write(table + format.index(0, page) * format.entryBytes, format.leafLo(0, page, attributes), format.leafHi(0, page, attributes));
  }
  return root;
}

const ROUNDS = 60;
const ROUND = 2048; // operations

/** Nanoseconds of one `operation`, in each of ROUNDS rounds, after as many to warm up. */
function nanoseconds(operation: (page: number) => void, count = ROUND): readonly number[] {
  const times: number[] = [];
  let page = 0;
  for (let round = 0; round < 2 * ROUNDS; round++) {
    const start = performance.now();
    for (let i = 0; i < count; i++) {
      page = (page + 1657) % SMALL_PAGES;
      operation(page);
    }
    if (round >= ROUNDS) times.push(((performance.now() - start) * 1e6) / count);
  }
  return times;
}

/** A line for each layout. */
function everyLayout(suite: Suite): void {
  console.log('\n  layout            entries  walk ns  any-format ns  reference ns  TLB refill ns');
  let sum = 0;
  for (const name of LAYOUT_NAMES) {
    const layout = layoutByName(name);
    const machine = Machine.create({ ramBytes: 32 * 2 ** 20 });
    if (layout === null || machine === null) throw new Error(`no layout or no memory for ${name}`);
    const own = compileLayout(layout);
    const root = mapPages(own, machine.ram, 16 * 2 ** 20);
    const { read } = entries(own, machine.ram);
    const walker = compileWalk(own, machine.ram);
    const any = compileAnyWalk(own, machine.ram, 'user');
    const median = (title: string, times: readonly number[]): number => {
      suite.times(
        `${name}: ${title}`,
        times.map((ns) => ns / 1e6),
      );
      return times.toSorted((a, b) => a - b)[ROUNDS / 2];
    };
    const time = ({ walk, result }: typeof walker) =>
      nanoseconds((page) => {
        if (walk(root / PAGE_SIZE, page * PAGE_SIZE, 0, READ) !== WALK_HIT) throw new Error(`${name}: page ${page} is not mapped`);
        sum += result.frame;
      });
    const walk = median('walk', time(walker));
    const { references } = walker.result;
    suite.counts(`${name}: walk`, { entries: references });
    const anyWalk = median('walk for any format', time(any));
    // The reference begins with a register; where that is no root table, it is not timed.
    const isPointer = layout.root.kind === 'pointer' && layout.levels[0].bits > 0;
    const memory = { read: ({ lo }: { readonly lo: number }) => read(lo), write: () => undefined };
    const reference = isPointer
      ? median(
          'reference',
          nanoseconds((page) => {
            const request = { root: { lo: root, hi: 0 }, va: { lo: page * PAGE_SIZE, hi: 0 }, access: 'r', mode: 'user' } as const;
            sum += walkReference(layout, memory, request).refs.length;
          }, 64),
        )
      : NaN;
    const isHardware = layout.stage !== 2 && own.basePages === 1;
    const context = isHardware ? machine.createContext(own, (root / PAGE_SIZE) as HostFrame) : null;
    const refill =
      context === null
        ? NaN
        : median(
            'TLB refill',
            nanoseconds((page) => {
              sum += context.lookup(page * PAGE_SIZE, READ); // four times as many pages as the TLB has entries
            }),
          );
    const column = (value: number, width: number) => (Number.isNaN(value) ? '-' : value.toFixed(1)).padStart(width);
    console.log(
      `  ${name.padEnd(18)}${String(references).padStart(7)}${column(walk, 9)}${column(anyWalk, 15)}${column(reference, 14)}${column(refill, 15)}`,
    );
  }
  if (sum === 0) throw new Error('nothing was walked');
}

export async function run(): Promise<Files> {
  const suite = new Suite('paging');
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
  );
  for (const { name } of summary.results) suite.counts(name, { 'entries a walk': references });
  suite.timesOf(summary);
  const [compiled, bigint, reference] = summary.results.map((r, i) => (r.details.median * 1e9) / (i === 2 ? REFERENCE_BATCH : BATCH));
  console.log(`  entries read per walk: ${references}`);
  console.log(`  bigint / compiled:     ${(bigint / compiled).toFixed(0)}`);
  console.log(`  reference / compiled:  ${(reference / compiled).toFixed(0)}`);
  console.log(`  compiled:              ${compiled.toFixed(1)} ns a walk (median)`);
  if (sum === 0) throw new Error('nothing was walked');
  everyLayout(suite);
  return suite.files();
}
