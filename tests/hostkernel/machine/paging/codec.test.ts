/** Entries in, meaning out, and back; judged by plain bigint arithmetic where there is any. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EXEC, READ, WRITE } from '../../../../hostkernel/base/units.ts';
import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  ATTR_GLOBAL,
  ATTR_USER,
  compileLayout,
  ENTRY_INVALID,
  ENTRY_LEAF,
  ENTRY_RESERVED,
  ENTRY_TABLE,
  LAYOUT_NAMES,
  layoutByName,
  type PageTableFormat,
} from '../../../../hostkernel/machine/paging/index.ts';
import { u64 } from './memory.ts';

const PERMISSIONS = READ | WRITE | EXEC;

function formatOf(name: string): PageTableFormat {
  const layout = layoutByName(name);
  if (layout === null) throw new Error(`no layout ${name}`);
  return compileLayout(layout);
}

/** Where the manuals leave no doubt: what an entry made for `asked` says. */
function meant(name: string, asked: number): number | null {
  if (/^sv(32|39|48|57)$/.test(name)) return (asked & WRITE) === 0 ? asked : asked | READ; // write without read is reserved
  if (/^vpte-..-nx$/.test(name)) return asked | READ | ATTR_USER; // no bit forbids reading, and U is not consulted
  if (/^vpte-2006v?$/.test(name)) return PERMISSIONS | ATTR_USER | ATTR_ACCESSED | ATTR_DIRTY; // no flags at all
  if (/^x86-64-.l$/.test(name)) return asked | READ; // present is readable; A, D, G and XD are bits of their own
  return null;
}

/** The frames that a leaf of `level` may have: what the descriptor's field holds, by plain arithmetic. */
function frames(format: PageTableFormat, level: number): fc.Arbitrary<number> {
  const { descriptor } = format;
  const { name, lo } = descriptor.levels.toReversed()[level] ?? { name: '*', lo: format.vaBits };
  const parts = descriptor.frame[name] ?? descriptor.frame['*'] ?? [];
  const below = descriptor.offset === 'add' ? 12n : BigInt(lo);
  return fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((bits) => {
    const address = parts.reduce((sum, part) => sum | ((bits & BigInt(part.mask)) << BigInt(part.shl)), 0n);
    return Number(((address >> below) << below) >> 12n);
  });
}

/** The addresses that pointers of `level` may have. */
function tables(format: PageTableFormat, level: number): fc.Arbitrary<number> {
  const { descriptor } = format;
  const { name } = descriptor.levels.toReversed()[level];
  const parts = descriptor.table[name] ?? descriptor.table['*'] ?? [];
  return fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((bits) => {
    const address = parts.reduce((sum, part) => sum | ((bits & BigInt(part.mask)) << BigInt(part.shl)), 0n);
    return Number(BigInt.asUintN(52, address));
  });
}

describe.each(LAYOUT_NAMES)('%s', (name) => {
  const format = formatOf(name);
  const leafLevels = Array.from({ length: format.levels + (format.rootIsEntry ? 1 : 0) }, (_, level) => level).filter((level) =>
    format.hasLeaf(level),
  );

  test('a leaf keeps its frame and attributes, on every level', () => {
    for (const level of leafLevels) {
      for (let asked = 0; asked < 128; asked++) {
        if ((asked & PERMISSIONS) === 0) continue;
        fc.assert(
          fc.property(frames(format, level), (frame) => {
            const lo = format.leafLo(level, frame, asked);
            const hi = format.leafHi(level, frame, asked);
            expect([lo | 0, hi | 0]).toEqual([lo, hi]); // signed halves
            expect(format.kind(level, lo, hi)).toBe(ENTRY_LEAF);
            expect(format.frame(level, lo, hi)).toBe(frame);
            const wanted = meant(name, asked);
            const says = format.attributes(level, lo, hi);
            if (wanted !== null) expect(says).toBe(wanted);
            expect(says & asked & (PERMISSIONS | ATTR_USER)).toBe(asked & (PERMISSIONS | ATTR_USER));
            if (format.entryBytes === 4) expect(hi).toBe(0);
            // The same from unsigned halves, as a Uint32Array holds them.
            expect(format.kind(level, lo >>> 0, hi >>> 0)).toBe(ENTRY_LEAF);
            expect(format.frame(level, lo >>> 0, hi >>> 0)).toBe(frame);
            expect(format.attributes(level, lo >>> 0, hi >>> 0)).toBe(says);
          }),
          { numRuns: 2 },
        );
      }
    }
  });

  test('a leaf that permits nothing is an invalid entry', () => {
    for (const level of leafLevels) {
      for (let asked = 0; asked < 128; asked += 8) {
        expect(format.kind(level, format.leafLo(level, 0, asked), format.leafHi(level, 0, asked))).toBe(ENTRY_INVALID);
      }
    }
  });

  test('a pointer keeps its address and takes no permission away', () => {
    const levels = Array.from({ length: format.levels - 1 }, (_, i) => i + 1);
    const where = fc.constantFrom(...levels).chain((level) => tables(format, level).map((address) => [level, address] as const));
    fc.assert(
      fc.property(where, ([level, address]) => {
        const lo = format.tableLo(level, address);
        const hi = format.tableHi(level, address);
        expect([lo | 0, hi | 0]).toEqual([lo, hi]); // signed halves
        expect(format.kind(level, lo, hi)).toBe(ENTRY_TABLE);
        expect(format.tableAddress(level, lo, hi)).toBe(address);
        expect(format.tableAddress(level, lo >>> 0, hi >>> 0)).toBe(address);
        expect(format.attributes(level, lo, hi) & (PERMISSIONS | ATTR_USER)).toBe(PERMISSIONS | ATTR_USER);
      }),
    );
  });

  test('a root points to its table', () => {
    const align = format.tableAlign(format.levels - 1);
    const kind = format.rootIsEntry ? ENTRY_TABLE : null;
    for (const address of [align, 5 * align, 2 ** 20 * align]) {
      const page = Math.ceil(address / 4096) * 4096;
      const lo = format.rootLo(page);
      const hi = format.rootHi(page);
      if (kind === null) expect(lo).toBe(page / 4096);
      else if (page % align === 0 && page < 2 ** 32) {
        expect(format.kind(format.levels, lo, hi)).toBe(kind);
        expect(format.tableAddress(format.levels, lo, hi)).toBe(page);
      }
    }
  });

  test('the fields of leaves agree with the descriptor for every entry, sign bits included', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** BigInt(8 * format.entryBytes) - 1n }), fc.constantFrom(...leafLevels), (entry, level) => {
        const { lo, hi } = u64(entry);
        if (level === format.levels || format.kind(level, lo, hi) !== ENTRY_LEAF) return;
        const { name: levelName, lo: shift } = format.descriptor.levels.toReversed()[level];
        const { descriptor } = format;
        const pattern = descriptor.classify[levelName].find(
          (p) => (entry & BigInt(p.mask)) === BigInt(p.value) && (p.opt ?? []).length === 0 && p.as !== 'reserved',
        );
        const below = descriptor.offset === 'add' ? 12n : BigInt(pattern?.pageShift ?? shift);
        const parts = pattern?.frame ?? descriptor.frame[levelName] ?? descriptor.frame['*'] ?? [];
        const address = parts.reduce((sum, part) => sum | ((entry & BigInt(part.mask)) << BigInt(part.shl)), 0n);
        const byDescriptor = Number(((address >> below) << below) >> 12n);
        expect(format.frame(level, lo, hi)).toBe(byDescriptor);
        expect(format.frame(level, lo | 0, hi | 0)).toBe(byDescriptor);
      }),
      { numRuns: 300 },
    );
  });

  test('the kind of an entry is that of the first pattern that matches', () => {
    const kinds = { invalid: ENTRY_INVALID, reserved: ENTRY_RESERVED, table: ENTRY_TABLE, leaf: ENTRY_LEAF, indirect: ENTRY_RESERVED };
    const { descriptor, options } = format;
    const noise = fc.bigInt({ min: 0n, max: 2n ** BigInt(8 * format.entryBytes) - 1n });
    const sparse = fc
      .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 63 }))
      .map(([byte, bit]) => BigInt(byte) | (1n << BigInt(bit)));
    const bare = fc.integer({ min: 0, max: 4095 }).map(BigInt);
    fc.assert(
      fc.property(fc.oneof(noise, sparse, bare), (any) => {
        const entry = BigInt.asUintN(8 * format.entryBytes, any);
        const { lo, hi } = u64(entry);
        descriptor.levels.toReversed().forEach((level, i) => {
          const first = descriptor.classify[level.name].find(
            (pattern) =>
              (entry & BigInt(pattern.mask)) === BigInt(pattern.value) &&
              (pattern.any === undefined || (entry & BigInt(pattern.any)) !== 0n) &&
              (pattern.opt ?? []).every((o) => options[o] === 1) &&
              (pattern.nopt ?? []).every((o) => options[o] !== 1),
          );
          expect(format.kind(i, lo, hi)).toBe(first === undefined ? ENTRY_RESERVED : kinds[first.as]);
        });
      }),
      { numRuns: 1000 },
    );
  });

  test('indexes split the page number, also beyond 32 bits', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (page) => {
        let rebuilt = 0n;
        for (let level = 0; level < format.levels; level++) rebuilt += BigInt(format.index(level, page)) * BigInt(format.span(level));
        expect(rebuilt).toBe(BigInt.asUintN(format.pageBits, BigInt(page - (page % format.basePages))));
      }),
    );
    expect(format.span(0)).toBe(format.basePages);
    expect(format.span(format.levels)).toBe(2 ** format.pageBits);
  });

  test('the accessed and dirty masks are the bits that attributes report', () => {
    const lo = format.leafLo(0, 1, READ | WRITE);
    const flags = ATTR_ACCESSED | ATTR_DIRTY;
    const hi = format.leafHi(0, 1, READ | WRITE);
    expect(format.attributes(0, format.setAccessed(lo), hi) & flags).toBe(format.hasDirty ? ATTR_ACCESSED : flags);
    expect(format.attributes(0, format.setDirty(lo), hi) & flags).toBe(flags);
    expect(format.setDirty(lo)).toBe(lo | format.accessedLo | format.dirtyLo);
    expect(format.clearStatus(format.setDirty(lo))).toBe(lo);
    expect(format.hasAccessed).toBe(format.accessedLo !== 0);
    expect(format.hasDirty).toBe(format.dirtyLo !== 0);
  });
});

describe('root entries', () => {
  const rooted = LAYOUT_NAMES.filter((name) => formatOf(name).rootIsEntry);

  test('two formats have none: zero is valid, or a pointer is no number', () => {
    expect(LAYOUT_NAMES.filter((name) => !rooted.includes(name))).toEqual(['power-radix-4k', 'power-radix-64k', 'vpte-2006']);
  });

  test.each(rooted)('%s: zero is invalid, a pointer a table, a leaf the whole space', (name) => {
    const format = formatOf(name);
    const { levels } = format;
    expect(format.kind(levels, 0, 0)).toBe(ENTRY_INVALID);
    const address = 77 * 2 ** 16; // a multiple of every format's alignment
    expect(format.kind(levels, format.rootLo(address), format.rootHi(address))).toBe(ENTRY_TABLE);
    expect(format.tableAddress(levels, format.rootLo(address), format.rootHi(address))).toBe(address);
    if (!format.hasLeaf(levels)) return;
    const lo = format.leafLo(levels, 0, READ | WRITE | EXEC | ATTR_USER);
    expect(format.kind(levels, lo, 0)).toBe(ENTRY_LEAF);
    expect(format.frame(levels, lo, 0)).toBe(0);
  });

  test.each(['sv32', 'sv39', 'sv48'])('%s: a linear root must be aligned to the whole space', (name) => {
    const format = formatOf(name);
    const { levels } = format;
    for (const frame of [1, 2 ** (format.pageBits - 1), 2 ** format.pageBits]) {
      const lo = format.leafLo(levels, frame, READ);
      const hi = format.leafHi(levels, frame, READ);
      expect(format.kind(levels, lo, hi)).toBe(frame === 2 ** format.pageBits ? ENTRY_LEAF : ENTRY_RESERVED);
    }
  });

  test.each(['vpte-2006v', 'vpte-32-nx', 'vpte-64-nx'])('%s: a linear root may begin at any frame', (name) => {
    const format = formatOf(name);
    const lo = format.leafLo(format.levels, 12345, READ);
    expect(format.kind(format.levels, lo, 0)).toBe(ENTRY_LEAF);
    expect(format.frame(format.levels, lo, 0)).toBe(12345);
  });
});

test('published entries encode to themselves', () => {
  const all = READ | WRITE | EXEC | ATTR_USER | ATTR_ACCESSED | ATTR_DIRTY;
  expect(formatOf('sv39').leafLo(0, 0x80400, all)).toBe(0x2010_00df);
  expect(formatOf('sv39').tableLo(2, 0x8020_1000)).toBe(0x2008_0401);
  expect(formatOf('vpte-64-nx').leafLo(0, 0x400, READ | WRITE)).toBe(0x40_0803); // V, RW, NX
  expect(formatOf('vpte-64-nx').leafLo(1, 0x400, READ | EXEC | ATTR_GLOBAL)).toBe(0x40_0181); // V, PS, G
  expect(formatOf('vpte-64-nx').tableLo(3, 0x10_3000)).toBe(0x10_3003); // V, RW
  expect(formatOf('vpte-2006').tableLo(1, 0x1000)).toBe(0x1000);
});
