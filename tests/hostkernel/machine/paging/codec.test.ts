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

/** What an entry made for `asked` says, by the manuals. */
function meant(name: string, asked: number): number {
  if (name.startsWith('sv')) return (asked & WRITE) === 0 ? asked : asked | READ; // write without read is reserved
  if (name.endsWith('-nx')) return asked | READ | ATTR_USER; // no bit forbids reading, and U is not consulted
  return PERMISSIONS | ATTR_USER | ATTR_ACCESSED | ATTR_DIRTY; // no flags at all
}

/** Any frame that a leaf of `level` may have, the extremes often. */
function frames(format: PageTableFormat, level: number): fc.Arbitrary<number> {
  const all = 2 ** format.frameBits;
  if (format.offsetAdds) return fc.maxSafeNat().map((n) => n % all);
  const span = format.span(level);
  return fc.maxSafeNat().map((n) => (n % (all / span)) * span);
}

describe.each(LAYOUT_NAMES)('%s', (name) => {
  const format = formatOf(name);
  const leafLevels = Array.from({ length: format.levels + (format.rootIsEntry ? 1 : 0) }, (_, level) => level);

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
            expect(format.attributes(level, lo, hi)).toBe(meant(name, asked));
            if (format.entryBytes === 4) expect(hi).toBe(0);
            // The same from unsigned halves, as a Uint32Array holds them.
            expect(format.kind(level, lo >>> 0, hi >>> 0)).toBe(ENTRY_LEAF);
            expect(format.frame(level, lo >>> 0, hi >>> 0)).toBe(frame);
            expect(format.attributes(level, lo >>> 0, hi >>> 0)).toBe(meant(name, asked));
          }),
          { numRuns: 5 },
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

  test('a pointer keeps its frame and takes no permission away', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.integer({ min: 1, max: format.levels - 1 }), (n, level) => {
        const frame = n % 2 ** format.frameBits;
        const lo = format.tableLo(frame);
        const hi = format.tableHi(frame);
        expect(format.kind(level, lo, hi)).toBe(ENTRY_TABLE);
        expect(format.frame(level, lo, hi)).toBe(frame);
        expect(format.attributes(level, lo, hi) & (PERMISSIONS | ATTR_USER)).toBe(PERMISSIONS | ATTR_USER);
      }),
    );
  });

  test('the frame field agrees with the descriptor for every entry, sign bits included', () => {
    const [part] = format.descriptor.frame['*'];
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** BigInt(8 * format.entryBytes) - 1n }), (entry) => {
        const { lo, hi } = u64(entry);
        const byDescriptor = Number(((entry & BigInt(part.mask)) << BigInt(part.shl)) >> 12n);
        expect(format.frame(0, lo, hi)).toBe(byDescriptor);
        expect(format.frame(0, lo | 0, hi | 0)).toBe(byDescriptor);
      }),
    );
  });

  test('the kind of an entry is that of the first pattern that matches', () => {
    const kinds = { invalid: ENTRY_INVALID, reserved: ENTRY_RESERVED, table: ENTRY_TABLE, leaf: ENTRY_LEAF };
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
        expect(rebuilt).toBe(BigInt.asUintN(format.pageBits, BigInt(page)));
      }),
    );
    expect(format.span(0)).toBe(1);
    expect(format.span(format.levels)).toBe(2 ** format.pageBits);
  });

  test('the accessed and dirty masks are the bits that attributes report', () => {
    const lo = format.leafLo(0, 1, READ | WRITE);
    const flags = ATTR_ACCESSED | ATTR_DIRTY;
    expect(format.attributes(0, lo | format.accessedLo, 0) & flags).toBe(format.hasDirty ? ATTR_ACCESSED : flags);
    expect(format.attributes(0, lo | format.accessedLo | format.dirtyLo, 0) & flags).toBe(flags);
    expect(format.hasAccessed).toBe(format.accessedLo !== 0);
    expect(format.hasDirty).toBe(format.dirtyLo !== 0);
  });
});

describe('root entries', () => {
  const rooted = LAYOUT_NAMES.filter((name) => formatOf(name).rootIsEntry);

  test('only the first format has none', () => {
    expect(LAYOUT_NAMES.filter((name) => !rooted.includes(name))).toEqual(['vpte-2006']);
  });

  test.each(rooted)('%s: zero is invalid, a pointer a table, a leaf the whole space', (name) => {
    const format = formatOf(name);
    const { levels } = format;
    expect(format.kind(levels, 0, 0)).toBe(ENTRY_INVALID);
    expect(format.kind(levels, format.tableLo(77), format.tableHi(77))).toBe(ENTRY_TABLE);
    expect(format.frame(levels, format.tableLo(77), format.tableHi(77))).toBe(77);
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
  expect(formatOf('sv39').tableLo(0x80201)).toBe(0x2008_0401);
  expect(formatOf('vpte-64-nx').leafLo(0, 0x400, READ | WRITE)).toBe(0x40_0803); // V, RW, NX
  expect(formatOf('vpte-64-nx').leafLo(1, 0x400, READ | EXEC | ATTR_GLOBAL)).toBe(0x40_0181); // V, PS, G
  expect(formatOf('vpte-64-nx').tableLo(0x103)).toBe(0x10_3003); // V, RW
  expect(formatOf('vpte-2006').tableLo(1)).toBe(0x1000);
});
