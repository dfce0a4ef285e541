/** The compiled walk: it agrees with the reference on anything, and does what a person expects of large pages and RAM's end. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PAGE_SIZE, READ, WRITE } from '../../../../hostkernel/base/units.ts';
import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  ATTR_USER,
  compileLayout,
  compileWalk,
  LAYOUT_NAMES,
  layoutByName,
  type PageTableFormat,
  WALK_BUS,
  WALK_DIRTY_FLAG,
  WALK_HIT,
  WALK_NONCANONICAL,
  WALK_NOT_PRESENT,
  WALK_PROTECTION,
} from '../../../../hostkernel/machine/paging/index.ts';
import { compareWalks } from './compare.ts';

const WALKED = LAYOUT_NAMES.filter((name) => /^sv(32|39|48)$|^vpte-(2006v?|..-nx)$/.test(name));

function layoutOf(name: string) {
  const layout = layoutByName(name);
  if (layout === null) throw new Error(`no layout ${name}`);
  return layout;
}

/** Tables in `frames` frames of RAM; frame 1 is the root table, frame l + 1 the only table `levels - 1 - l` levels below it. */
function chainTo(format: PageTableFormat, level: number, page: number, lo: number, hi: number, frames = 8) {
  const ram = { base: 0, frames, i32: new Int32Array((frames * PAGE_SIZE) / 4) };
  const put = (frame: number, at: number, entryLo: number, entryHi: number) => {
    const word = frame * 1024 + (format.index(at, page) << (format.entryShift - 2));
    ram.i32[word] = entryLo;
    if (format.entryBytes === 8) ram.i32[word + 1] = entryHi;
    return word;
  };
  let frame = 1;
  for (let at = format.levels - 1; at > level; at--) {
    put(frame, at, format.tableLo(at, (frame + 1) * PAGE_SIZE), format.tableHi(at, (frame + 1) * PAGE_SIZE));
    frame++;
  }
  const word = put(frame, level, lo, hi);
  const valueRoot = (format.rootLo(PAGE_SIZE) >>> 0) + format.rootHi(PAGE_SIZE) * 2 ** 32;
  return { ram, word, root: format.descriptor.root.kind === 'value' ? valueRoot : 1 };
}

describe.each(WALKED)('%s', (name) => {
  const layout = layoutOf(name);
  const format = compileLayout(layout);

  test('agrees with the reference on random and hostile tables, 10000 walks', () => {
    const options = fc.record(
      Object.fromEntries(Object.keys(layout.options).map((option) => [option, fc.constantFrom(0 as const, 1 as const)])),
    );
    fc.assert(
      fc.property(fc.integer({ min: 1 }), fc.oneof(fc.constant(layout.options), options), (seed, chosen) => {
        compareWalks(layout, chosen, seed, 500);
      }),
      { numRuns: 20 },
    );
  });

  test('a large page of any level maps its whole span', () => {
    const levels = Array.from({ length: format.levels }, (_, level) => level);
    fc.assert(
      fc.property(
        fc.constantFrom(...levels),
        fc.nat(),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (level, n, where) => {
          const span = format.span(level);
          const frames = 2 ** format.frameBits;
          const base = format.offsetAdds ? n % (frames - span) : (n % (frames / span)) * span;
          const page = Math.floor(where * (format.userEnd / PAGE_SIZE));
          const attributes = READ | WRITE | ATTR_USER;
          const { ram, root } = chainTo(
            format,
            level,
            page,
            format.leafLo(level, base, attributes),
            format.leafHi(level, base, attributes),
          );
          const { walk, result } = compileWalk(format, ram);
          expect(walk(root, (page * PAGE_SIZE) >>> 0, Math.floor(page / 2 ** 20), READ)).toBe(WALK_HIT);
          expect(result.frame).toBe(base + (page % span));
          expect(2 ** (result.pageShift - 12)).toBe(span);
          expect(result.level).toBe(level);
          expect(result.references).toBe(format.levels - level);
        },
      ),
    );
  });

  test('a table outside RAM is a bus fault, and nothing is read', () => {
    const outside = [8, 2 ** 20 - 1, 2 ** format.frameBits - 1];
    for (const frame of outside) {
      const { ram, root } = chainTo(format, 1, 0, format.tableLo(1, frame * PAGE_SIZE), format.tableHi(1, frame * PAGE_SIZE));
      const { walk, result } = compileWalk(format, ram);
      expect(walk(root, 0, 0, READ)).toBe(WALK_BUS);
      expect(result.level).toBe(0);
    }
  });

  test('an empty table refuses, unless a zero entry is valid', () => {
    const { ram, root } = chainTo(format, 0, 0, 0, 0);
    expect(compileWalk(format, ram).walk(root, 0, 0, READ)).toBe(name === 'vpte-2006' ? WALK_HIT : WALK_NOT_PRESENT);
  });
});

describe.each(['sv32', 'sv39', 'sv48'])('%s as hardware', (name) => {
  const format = compileLayout(layoutOf(name));

  test('a read sets accessed, a write sets dirty, and the result says so', () => {
    const { ram, root, word } = chainTo(format, 0, 5, format.leafLo(0, 7, READ | WRITE | ATTR_USER), 0);
    const { walk, result } = compileWalk(format, ram);
    const before = ram.i32[word];
    walk(root, 5 * PAGE_SIZE, 0, READ);
    expect(ram.i32[word]).toBe(before | format.accessedLo);
    expect(result.attributes & (ATTR_ACCESSED | ATTR_DIRTY)).toBe(ATTR_ACCESSED);
    walk(root, 5 * PAGE_SIZE, 0, WRITE);
    expect(ram.i32[word]).toBe(before | format.accessedLo | format.dirtyLo);
    expect(result.attributes).toBe(READ | WRITE | ATTR_USER | ATTR_ACCESSED | ATTR_DIRTY);
  });

  test('a refused write leaves the entry alone', () => {
    const { ram, root, word } = chainTo(format, 0, 5, format.leafLo(0, 7, READ | ATTR_USER), 0);
    const before = ram.i32[word];
    expect(compileWalk(format, ram).walk(root, 5 * PAGE_SIZE, 0, WRITE)).toBe(WALK_PROTECTION);
    expect(ram.i32[word]).toBe(before);
  });

  test('an atomic access needs both permissions', () => {
    const { ram, root } = chainTo(format, 0, 5, format.leafLo(0, 7, READ | ATTR_USER), 0);
    expect(compileWalk(format, ram).walk(root, 5 * PAGE_SIZE, 0, READ | WRITE)).toBe(WALK_PROTECTION);
  });

  test('user mode has no access to a supervisor page, nor the other way round', () => {
    const supervisor = chainTo(format, 0, 5, format.leafLo(0, 7, READ), 0);
    expect(compileWalk(format, supervisor.ram).walk(supervisor.root, 5 * PAGE_SIZE, 0, READ)).toBe(WALK_PROTECTION);
    expect(compileWalk(format, supervisor.ram, 'super').walk(supervisor.root, 5 * PAGE_SIZE, 0, READ)).toBe(WALK_HIT);
    const user = chainTo(format, 0, 5, format.leafLo(0, 7, READ | ATTR_USER), 0);
    expect(compileWalk(format, user.ram, 'super').walk(user.root, 5 * PAGE_SIZE, 0, READ)).toBe(WALK_PROTECTION);
  });

  test('without hardware updates a clean page refuses the first write', () => {
    const { ram, root, word } = chainTo(format, 0, 5, format.leafLo(0, 7, READ | WRITE | ATTR_USER | ATTR_ACCESSED), 0);
    const before = ram.i32[word];
    const { walk } = compileWalk(compileLayout(format.descriptor, { adue: 0 }), ram);
    expect(walk(root, 5 * PAGE_SIZE, 0, READ)).toBe(WALK_HIT);
    expect(walk(root, 5 * PAGE_SIZE, 0, WRITE)).toBe(WALK_DIRTY_FLAG);
    expect(ram.i32[word]).toBe(before);
  });
});

test('sv39 refuses the first address beyond user space, and takes a sign-extended one', () => {
  const format = compileLayout(layoutOf('sv39'));
  const { ram } = chainTo(format, 0, 0, 0, 0);
  const { walk } = compileWalk(format, ram);
  expect(walk(1, 0, 0x40, READ)).toBe(WALK_NONCANONICAL);
  expect(walk(1, 0, 0xffff_ffc0, READ)).toBe(WALK_NOT_PRESENT);
  expect(walk(1, 0, 0xffff_ffc0 | 0, READ)).toBe(WALK_NOT_PRESENT);
  expect(walk(1, 0, 0xffff_ff80, READ)).toBe(WALK_NONCANONICAL);
});
