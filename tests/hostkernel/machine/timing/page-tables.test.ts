/** Page tables against a Map of base pages: every format, random operations, invariants after each. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EXEC, READ, WRITE } from '../../../../hostkernel/base/units.ts';
import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  ATTR_GLOBAL,
  ATTR_USER,
  compileLayout,
  LAYOUT_NAMES,
  layoutByName,
  type PageTableFormat,
  WALK_NOT_PRESENT,
} from '../../../../hostkernel/machine/paging/index.ts';
import { PageTables, pageSizesOf, REFUSED, TableMemory, Translation } from '../../../../hostkernel/machine/timing/index.ts';
import { bareMachine } from './bare-machine.ts';

const PAGES = 0x2000; // 32 MiB: several of the large pages of every format but the very large
const RIGHTS = [READ, READ | WRITE, READ | WRITE | EXEC, READ | EXEC];

function formatOf(name: string): PageTableFormat {
  const layout = layoutByName(name);
  if (layout === null) throw new Error(`no layout ${name}`);
  return compileLayout(layout);
}

function tablesOf(name: string): PageTables {
  return new PageTables(formatOf(name), new TableMemory({ firstFrame: 0x8000, frames: 0x4000 }));
}

/** What a base page is mapped to. */
interface Mapped {
  readonly frame: number;
  readonly rights: number;
}

const operation = fc.record({
  what: fc.constantFrom('map', 'map', 'map', 'unmap', 'protect', 'mark'),
  at: fc.nat(PAGES - 1),
  frame: fc.nat(PAGES - 1),
  size: fc.nat(7),
  pages: fc.integer({ min: 1, max: 600 }),
  rights: fc.constantFrom(...RIGHTS),
});
const ALL = READ | WRITE | EXEC;

/** What the codec makes of rights: some formats cannot express all. */
function expressed(format: PageTableFormat, level: number, rights: number): number {
  const attributes = rights | ATTR_USER;
  return format.attributes(level, format.leafLo(level, 0, attributes), format.leafHi(level, 0, attributes)) & ALL;
}

describe.each(LAYOUT_NAMES)('%s', (name) => {
  const format = formatOf(name);

  test('says the same as a map of base pages', () => {
    const sizes = pageSizesOf(format).filter(({ shift }) => shift <= 25);
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 12 }), (operations) => {
        const tables = tablesOf(name);
        const root = tables.createRoot();
        const other = tables.createRoot();
        const model = new Map<number, Mapped>();
        const unit = format.basePages;
        for (const { what, at, frame, size, pages, rights } of operations) {
          const { shift, level } = sizes[size % sizes.length];
          const span = 2 ** (shift - 12);
          const first = what === 'map' ? at - (at % span) : at - (at % unit);
          const count = what === 'map' ? span : Math.ceil(pages / unit) * unit;
          if (what === 'map') {
            const target = frame - (frame % span);
            tables.map(root, first, target, shift, rights | ATTR_USER);
            const given = expressed(format, level, rights);
            for (let i = 0; i < count; i++) model.set(first + i, { frame: target + i, rights: given });
          } else if (what === 'unmap') {
            tables.unmap(root, first, count);
            for (let i = 0; i < count; i++) model.delete(first + i);
          } else if (what === 'protect') {
            tables.protect(root, first, count, rights | ATTR_USER);
            for (let i = 0; i < count; i++) {
              const mapped = model.get(first + i);
              if (mapped !== undefined) model.set(first + i, { ...mapped, rights: expressed(format, 0, rights) });
            }
          } else expect(tables.mark(root, at, WRITE)).toBe(model.has(at));
          tables.assertInvariants();
        }
        for (const page of [
          ...new Set([...model.keys()].filter((_, i) => i % 7 === 0)),
          ...operations.flatMap(({ at, frame }) => [at, frame]),
        ]) {
          const mapped = model.get(page);
          expect(tables.find(root, page)).toBe(mapped !== undefined);
          if (mapped !== undefined) expect([page, tables.frame, tables.attributes & ALL]).toEqual([page, mapped.frame, mapped.rights]);
          expect(tables.find(other, page)).toBe(false);
        }
        let leaves = 0;
        tables.forEachLeaf(root, (_page, _frame, level) => {
          leaves += format.span(level);
        });
        expect(leaves).toBe(model.size);
        tables.destroyRoot(root);
        tables.destroyRoot(other);
        expect(tables.memory.used).toBe(0);
      }),
      { numRuns: 10 },
    );
  });
});

test('a run of contiguous pages is one size until one of its pages changes', () => {
  const tables = tablesOf('armv8-4k-48');
  const root = tables.createRoot();
  tables.map(root, 32, 64, 16, READ | ATTR_USER | ATTR_ACCESSED);
  expect([tables.find(root, 40), tables.shift, tables.frame]).toEqual([true, 16, 72]);
  expect(tables.unmap(root, 33, 1)).toBe(17); // the mark goes from sixteen entries, then one is cleared
  expect([tables.find(root, 40), tables.shift, tables.frame]).toEqual([true, 12, 72]);
  expect(tables.find(root, 33)).toBe(false);
});

test('a large page that is unmapped in part is split', () => {
  const tables = tablesOf('x86-64-4l');
  const root = tables.createRoot();
  tables.map(root, 512, 1024, 21, READ | WRITE | ATTR_USER | ATTR_GLOBAL | ATTR_DIRTY);
  tables.unmap(root, 600, 1);
  expect(tables.find(root, 600)).toBe(false);
  expect([tables.find(root, 601), tables.frame, tables.shift]).toEqual([true, 1113, 12]);
  expect(tables.attributes & (ATTR_GLOBAL | ATTR_DIRTY)).toBe(ATTR_GLOBAL | ATTR_DIRTY);
});

test('whoever watches is told of every store, and of tables that come and go', () => {
  const seen: string[] = [];
  const tables = new PageTables(formatOf('sv39'), new TableMemory({ firstFrame: 256 }), {
    entryWritten: (_root, level, _address, page) => seen.push(`entry ${level} ${page}`),
    tableMade: (_root, level) => seen.push(`made ${level}`),
    tableFreed: (_root, level) => seen.push(`freed ${level}`),
  });
  const root = tables.createRoot();
  tables.map(root, 5, 7, 12, READ);
  tables.unmap(root, 0, 512);
  expect(seen).toEqual(['made 2', 'made 1', 'entry 2 0', 'made 0', 'entry 1 0', 'entry 0 5', 'entry 0 5', 'entry 1 0', 'freed 0']);
  expect(tables.written).toBe(5);
});

test('tables beyond what a pointer can say are refused, with the reason', () => {
  const tables = new PageTables(formatOf('sv32'), new TableMemory({ firstFrame: 2 ** 23 }));
  const root = tables.createRoot();
  expect(() => tables.map(root, 0, 0, 12, READ)).toThrow(/sv32 cannot lie at byte .*too narrow/u);
});

test.each(['sv32', 'i386-2l', 'sv39', 'x86-64-4l', 'armv8-4k-48', 'm68040-8k'])(
  '%s: a frame that no leaf can name is refused, not truncated',
  (name) => {
    const tables = tablesOf(name);
    const root = tables.createRoot();
    const { format } = tables;
    const page = format.span(1);
    const beyond = 2 ** 48;
    expect(() => tables.map(root, page, beyond, tables.sizes[0].shift, READ)).toThrow(new RegExp(`frame ${beyond}: pages of ${name} `));
    expect(tables.find(root, page)).toBe(false);
    tables.assertInvariants();
  },
);

test('no room for tables is refused, with the reason', () => {
  const tables = new PageTables(formatOf('sv48'), new TableMemory({ firstFrame: 256, frames: 2 }));
  const root = tables.createRoot();
  expect(() => tables.map(root, 0, 0, 12, READ)).toThrow(/no room for more page tables of sv48/u);
});

describe('tables as nobody should make them', () => {
  /** A walk over whatever is in the tables of sv48 over sv48x4. */
  function modelOf(spoil: (guest: PageTables, host: PageTables, root: number, hostRoot: number) => void): Translation {
    const guest = tablesOf('sv48');
    const host = tablesOf('sv48x4');
    const [root, hostRoot] = [guest.createRoot(), host.createRoot()];
    for (let page = 0x8000; page < 0x8100; page++) host.map(hostRoot, page, page, 12, ALL | ATTR_USER);
    guest.map(root, 1, 2, 12, ALL | ATTR_USER);
    spoil(guest, host, root, hostRoot);
    const model = new Translation({
      machine: bareMachine({ pwc: 4, hostPwc: 4, ntlb: 4 }),
      dimensions: [guest, host],
    });
    model.setSpace(0, { root });
    model.setRoot(1, hostRoot);
    return model;
  }
  const put = (tables: PageTables, root: number, level: number, address: number) => {
    const { format } = tables;
    const at = tables.entryAt(root, level, 0);
    tables.writeEntry(root, level, at, 0, format.tableLo(level, address), format.tableHi(level, address));
  };

  test('a guest table that points to itself ends on the last level', () => {
    const model = modelOf((guest, _host, root) => put(guest, root, 3, root));
    expect(model.access(0, 0, READ)).toBe(REFUSED);
    expect([model.refusedDimension, model.refusedKind !== WALK_NOT_PRESENT, model.counters.references > 0]).toEqual([0, true, true]);
  });

  test('a guest table outside what the host maps is the host’s refusal, implicit', () => {
    const model = modelOf((guest, _host, root) => put(guest, root, 3, 2 ** 36));
    expect(model.access(0, 0, READ)).toBe(REFUSED);
    expect([model.refusedDimension, model.refusedImplicit, model.refusedPage]).toEqual([1, true, 2 ** 24]);
  });

  test('a host table outside the memory of tables is refused, every time', () => {
    const model = modelOf((_guest, host, _root, hostRoot) => put(host, hostRoot, 3, 2 ** 40));
    for (let i = 0; i < 3; i++) expect(model.access(1, 0, READ)).toBe(REFUSED);
    expect([model.refusedDimension, model.refusedKind]).toEqual([1, 9]);
  });

  test('garbage everywhere is refused or translated, and ends', () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 64, maxLength: 64 }), fc.nat(2 ** 31), (words, seed) => {
        const model = modelOf((guest, host) => {
          for (const tables of [guest, host]) {
            const { base, end } = tables.memory;
            for (let at = base, i = seed; at < end; at += 8, i++)
              tables.memory.write(at, 1, words[i % 64], words[(i * 7) % 64] >> (i % 32));
          }
        });
        for (let page = 0; page < 40; page++) {
          model.access(page * 37, page, [READ, WRITE, EXEC][page % 3]);
          model.access(2 ** 52 - 1 - page, 0, READ);
        }
        expect(model.perWalk.reduce((sum, count, references) => sum + count * references, 0)).toBe(model.counters.references);
      }),
      { numRuns: 20 },
    );
  });
});
