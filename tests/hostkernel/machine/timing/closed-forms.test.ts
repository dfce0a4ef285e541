/** References per walk as formulas say: without caches for all pairs of formats and page sizes, and the floors with caches. */
import { describe, expect, test } from 'vitest';
import { EXEC, READ, WRITE } from '../../../../hostkernel/base/units.ts';
import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  ATTR_USER,
  compileLayout,
  LAYOUT_NAMES,
  layoutByName,
  type PageTableFormat,
} from '../../../../hostkernel/machine/paging/index.ts';
import { type PageSize, PageTables, TableMemory, TRANSLATED, Translation } from '../../../../hostkernel/machine/timing/index.ts';
import { type BareMachine, bareMachine } from './bare-machine.ts';

const EVERYTHING = READ | WRITE | EXEC | ATTR_USER | ATTR_ACCESSED | ATTR_DIRTY;
const GUEST_TABLES = 0x800; // frames: tables from 8 MiB of each space on
const DATA = 0x300; //         the page that is read, in its space and in all below: within the first large page of every format

function formatOf(name: string): PageTableFormat {
  const layout = layoutByName(name);
  if (layout === null) throw new Error(`no layout ${name}`);
  return compileLayout(layout);
}
const FORMATS = LAYOUT_NAMES.map(formatOf);

/** Entries that a walk to a leaf of `size` reads: its levels, and the entry of a context table. */
function levelsRead({ levels, descriptor }: PageTableFormat, { level }: PageSize): number {
  return levels - level + (descriptor.root.kind === 'pointer' && descriptor.levels[0].bits === 0 ? 1 : 0);
}

/** Tables of one format, with an address space for each page size in which `pages` are mapped to themselves. */
class Identity {
  readonly format: PageTableFormat;
  readonly memory: TableMemory;
  readonly roots: readonly (readonly [PageSize, number])[];

  constructor(format: PageTableFormat, pages: readonly number[]) {
    this.format = format;
    this.memory = new TableMemory({ firstFrame: GUEST_TABLES, frames: 0x800 });
    const tables = new PageTables(format, this.memory);
    this.roots = tables.sizes.map((size) => {
      const root = tables.createRoot();
      const unit = 2 ** (size.shift - 12);
      for (const page of pages) {
        const first = page - (page % unit);
        if (!tables.find(root, first)) tables.map(root, first, first, size.shift, EVERYTHING);
      }
      return [size, root] as const;
    });
    tables.assertInvariants();
  }

  /** The pages that its tables lie in. */
  get tablePages(): readonly number[] {
    return Array.from({ length: this.memory.end / 4096 - GUEST_TABLES + 1 }, (_, i) => GUEST_TABLES + i);
  }
}

/** References of one walk to DATA without any cache. */
function references(model: Translation): number {
  const before = model.counters.references;
  expect(model.walk(DATA, 8, READ)).toBe(TRANSLATED);
  expect(model.frame).toBe(DATA);
  return model.counters.references - before;
}

describe('without caches', () => {
  const guests = FORMATS.map((format) => new Identity(format, [DATA]));
  const hosts = FORMATS.map((format) => new Identity(format, [DATA, ...new Set(guests.flatMap(({ tablePages }) => tablePages))]));

  test.each(guests)('$format.id alone reads its levels', ({ format, memory, roots }) => {
    const model = new Translation({ machine: bareMachine(), dimensions: [{ format, memory }] });
    for (const [size, root] of roots) {
      model.setSpace(0, { root });
      expect([size, references(model)]).toEqual([size, levelsRead(format, size)]);
    }
  });

  test.each(guests)('$format.id over every format: (G + 1) * (H + 1) - 1', (guest) => {
    let pairs = 0;
    for (const host of hosts) {
      const model = new Translation({ machine: bareMachine(), dimensions: [guest, host] });
      for (const [guestSize, root] of guest.roots) {
        for (const [hostSize, hostRoot] of host.roots) {
          model.setSpace(0, { root });
          model.setRoot(1, hostRoot);
          const wanted = (levelsRead(guest.format, guestSize) + 1) * (levelsRead(host.format, hostSize) + 1) - 1;
          const got = references(model);
          if (got !== wanted) expect([host.format.id, guestSize, hostSize, got]).toEqual([host.format.id, guestSize, hostSize, wanted]);
          pairs++;
        }
      }
    }
    expect(pairs).toBe(guest.roots.length * hosts.reduce((sum, { roots }) => sum + roots.length, 0));
  });

  const THREE_DEEP = [
    ['sv48', 'sv48x4', 'ept-4l', 124],
    ['sv39', 'sv48x4', 'x86-64-4l', 99],
    ['vpte-64-nx', 'sv39', 'sv39x4', 79],
    ['i386-2l', 'vpte-32', 'sparc-srmmu', 44],
    ['m68040-4k', 'armv8-16k-47', 'sv57x4', 95],
  ] as const;

  test.each(THREE_DEEP)('%s over %s over %s: %i', (first, second, third, wanted) => {
    const guest = new Identity(formatOf(first), [DATA]);
    const middle = new Identity(formatOf(second), [DATA, ...guest.tablePages]);
    const host = new Identity(formatOf(third), [DATA, ...guest.tablePages, ...middle.tablePages]);
    const model = new Translation({ machine: bareMachine(), dimensions: [guest, middle, host] });
    model.setSpace(0, { root: guest.roots[0][1] });
    model.setRoot(1, middle.roots[0][1]);
    model.setRoot(2, host.roots[0][1]);
    expect(references(model)).toBe(wanted);
  });
});

describe('with caches, at their best', () => {
  /** k guest entries are fetched, each after c host references, and d for the data: k * (1 + c) + d. */
  const FLOORS: readonly (readonly [string, BareMachine, number])[] = [
    ['everything is cached: k = 1, c = 0, d = 0', { pwc: 8, hostPwc: 8, ntlb: 8 }, 1],
    ['the nested TLB holds no data: k = 1, c = 0, d = 1', { pwc: 8, hostPwc: 8, ntlb: 8, ntlbHolds: 'tables' }, 2],
    ['walk caches only: k = 1, c = 1, d = 1', { pwc: 8, hostPwc: 8 }, 3],
    ['guest walk cache only: k = 1, c = d = h', { pwc: 8 }, 9],
    ['nested TLB for tables only: k = g, c = 0, d = h', { ntlb: 8, ntlbHolds: 'tables' }, 8],
    ['host walk cache only: k = g, c = 1, d = 1', { hostPwc: 8 }, 9],
    ['guest walk cache of host pointers: the first entry needs no host walk', { pwc: 8, walkCaches: { guestHolds: 'hpa' } }, 5],
  ];

  test.each(FLOORS)('%s', (_, machine, wanted) => {
    const guest = new Identity(formatOf('sv48'), [DATA]);
    const host = new Identity(formatOf('sv48x4'), [DATA, ...guest.tablePages]);
    const model = new Translation({ machine: bareMachine(machine), dimensions: [guest, host] });
    model.setSpace(0, { root: guest.roots[0][1] });
    model.setRoot(1, host.roots[0][1]);
    expect(references(model)).toBeGreaterThan(wanted);
    references(model);
    expect(references(model)).toBe(wanted);
  });

  test.each(['page-table', 'split-page-table', 'translation', 'split-translation', 'translation-path'] as const)(
    'the entry of a context table is above what a walk cache of kind %s holds, in either dimension',
    (kind) => {
      const format = formatOf('sparc-srmmu');
      const guest = new Identity(format, [DATA]);
      const host = new Identity(format, [DATA, ...guest.tablePages]);
      const model = new Translation({ machine: bareMachine({ pwc: 8, hostPwc: 8, walkCaches: { kind } }), dimensions: [guest, host] });
      model.setSpace(0, { root: guest.roots[0][1] });
      model.setRoot(1, host.roots[0][1]);
      references(model);
      references(model);
      // Leaves are fetched, and by a cache that knows entries, not where to go on, those of the context tables.
      const isOfEntries = kind.endsWith('page-table');
      const walk = isOfEntries ? 2 : 1;
      expect(references(model)).toBe(isOfEntries ? (4 + 1) * walk + 2 : walk + 1 + walk);
    },
  );
});

test('E entries over N random tags hit E / N', () => {
  const format = formatOf('sv48');
  const memory = new TableMemory({ firstFrame: 2 ** 20 });
  const tables = new PageTables(format, memory);
  const root = tables.createRoot();
  const [pages, l1, pwc] = [2 ** 16, 2 ** 14, 32]; // 256 MiB: 128 leaf tables
  for (let page = 0; page < pages; page++) tables.map(root, page, page, 12, EVERYTHING);
  const model = new Translation({ machine: bareMachine({ l1, pwc }), dimensions: [{ format, memory }] });
  model.setSpace(0, { root });
  let x = 1;
  const run = (accesses: number) => {
    for (let i = 0; i < accesses; i++) {
      x = (Math.imul(x, 1664525) + 1013904223) | 0;
      model.access(x >>> 16, 0, READ);
    }
  };
  run(40_000); // fills the structures
  const before = { ...model.structures };
  run(60_000);
  const rate = (name: string) => {
    const [then, now] = [before[name], model.structures[name]];
    return (now.hits - then.hits) / (now.accesses - then.accesses);
  };
  expect(rate('l1')).toBeCloseTo(l1 / pages, 2);
  expect(rate('pwc.1')).toBeCloseTo(pwc / (pages / 512), 2);
});

test('three dimensions: a recorder gets the references of the first two, each at its own level, and none of the third', () => {
  const [format] = FORMATS.filter(({ id }) => id === 'sv39');
  const guest = new Identity(format, [DATA]);
  const host = new Identity(format, [DATA, ...guest.tablePages]);
  const last = new Identity(format, [DATA, ...guest.tablePages, ...host.tablePages]);
  const rootOf = ({ roots }: Identity): number => roots[0][1];
  const model = new Translation({ machine: bareMachine(), dimensions: [guest, host, last] });
  model.setSpace(0, { root: rootOf(guest) });
  model.setRoot(1, rootOf(host));
  model.setRoot(2, rootOf(last));
  let recorded: readonly number[] = [];
  model.recorder = { walked: (_space, _page, _access, latencies) => void (recorded = [...latencies]) };
  expect(references(model)).toBe(4 * 4 * 4 - 1);
  const row = [1, 1, 1];
  expect(recorded).toEqual([...row, 1, ...row, 1, ...row, 1, ...row, 0]);
});
