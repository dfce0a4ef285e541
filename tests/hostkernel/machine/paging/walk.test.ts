/** The compiled walk: it agrees with the reference on anything, and does what a person expects of tables a kernel makes. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EXEC, PAGE_SIZE, READ, WRITE } from '../../../../hostkernel/base/units.ts';
import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  ATTR_USER,
  compileLayout,
  compileWalk,
  compileWalker,
  LAYOUT_NAMES,
  LayoutError,
  type LayoutDescriptor,
  layoutByName,
  type Options,
  type PageTableFormat,
  WALK_ACCESS_FLAG,
  WALK_BUS,
  WALK_DIRTY_FLAG,
  WALK_FAULTS,
  WALK_HIT,
  WALK_NONCANONICAL,
  WALK_NOT_PRESENT,
  WALK_PROTECTION,
  walkReference,
} from '../../../../hostkernel/machine/paging/index.ts';
import { ramOf, readEntry, TableTree, writeEntry } from './builder.ts';
import { compareWalks, fillTables, GUEST_BYTES, randomAddress, randomOf, randomRoot } from './compare.ts';

const RWX = READ | WRITE | EXEC;
const PRESET = ATTR_USER | ATTR_ACCESSED | ATTR_DIRTY; // nothing left for software to do
const ROOM = 2 ** 20; // bytes: for the tables of a test

function layoutOf(name: string): LayoutDescriptor {
  const layout = layoutByName(name);
  if (layout === null) throw new Error(`no layout ${name}`);
  return layout;
}

/** A tree of tables with one leaf, and the walk through it. */
function one(
  format: PageTableFormat,
  leaf: { readonly page: number; readonly frame: number; readonly attributes: number; readonly level?: number },
) {
  const ram = ramOf(ROOM);
  const tree = new TableTree(format, ram, PAGE_SIZE);
  const entry = tree.map(leaf.page, leaf.frame, leaf.attributes, leaf.level ?? 0);
  const { walk, result } = compileWalk(format, ram);
  const go = (page: number, access: number) => walk(tree.root / PAGE_SIZE, (page * PAGE_SIZE) | 0, Math.floor(page / 2 ** 20), access);
  return { ram, tree, entry, result, go };
}

/** Random values of a layout's options. */
function options(layout: LayoutDescriptor): fc.Arbitrary<Options> {
  const value = (preset: unknown) =>
    typeof preset === 'string' ? fc.constantFrom('0x55555555', '0xffffffff', '0x0', '0xd1e4d1e4') : fc.constantFrom(0, 1);
  const random = fc.record(Object.fromEntries(Object.entries(layout.options).map(([name, preset]) => [name, value(preset)])));
  return fc.oneof(fc.constant(layout.options), random as fc.Arbitrary<Options>);
}

/** Frames that are there in every format's leaves of this level. */
function someFrame(format: PageTableFormat, level: number, n: number): number {
  const span = format.span(level);
  return format.offsetAdds ? n % 1000 : (n % Math.max(1, Math.floor(2 ** 20 / span))) * span;
}

describe.each(LAYOUT_NAMES)('%s', (name) => {
  const layout = layoutOf(name);
  const format = compileLayout(layout);
  const leafLevels = Array.from({ length: format.levels }, (_, level) => level).filter((level) => format.hasLeaf(level));
  const lastPage = Math.min(format.userEnd / PAGE_SIZE, format.span(format.levels)) - format.basePages;

  test('agrees with the reference on random and hostile tables', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1 }), options(layout), (seed, chosen) => {
        compareWalks(layout, chosen, seed, 300);
      }),
      { numRuns: 1 },
    );
  });

  test('grants users what a leaf was asked for, in both walks, and no more than the leaf says', () => {
    for (const level of leafLevels) {
      for (let asked = 1; asked < 8; asked++) {
        const frame = someFrame(format, level, 7);
        const { ram, tree, entry, go, result } = one(format, { page: 0, frame, attributes: asked | PRESET, level });
        const { lo, hi } = readEntry(format, ram, entry);
        const says = format.attributes(level, lo, hi);
        expect(says & asked).toBe(asked);
        const register = tree.register();
        const memory = {
          read: (at: { readonly lo: number }) => {
            const found = readEntry(format, ram, at.lo);
            return { lo: found.lo >>> 0, hi: found.hi >>> 0 };
          },
          write: () => undefined,
        };
        for (const [letter, access] of [['r', READ] as const, ['w', WRITE] as const, ['x', EXEC] as const]) {
          const permitted = (says & access) !== 0;
          expect(go(0, access)).toBe(permitted ? WALK_HIT : WALK_PROTECTION);
          if (permitted) expect([result.frame, result.attributes & (7 | ATTR_USER)]).toEqual([frame, says & (7 | ATTR_USER)]);
          const root = { lo: register >>> 0, hi: Math.floor(register / 2 ** 32) };
          const wanted = walkReference(layout, memory, { root, va: { lo: 0, hi: 0 }, access: letter, mode: 'user' });
          expect(wanted.result === 'hit' ? 'hit' : wanted.kind).toBe(permitted ? 'hit' : 'protection');
        }
      }
    }
  });

  test('a large page of any level maps its whole span', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...leafLevels),
        fc.nat(),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (level, n, where, inside) => {
          const span = format.span(level);
          const page = Math.floor((where * lastPage) / span) * span;
          const frame = someFrame(format, level, n);
          const { go, result } = one(format, { page, frame, attributes: READ | WRITE | PRESET, level });
          const offset = Math.floor(inside * span);
          expect(go(page + offset, READ)).toBe(WALK_HIT);
          expect(result.frame).toBe(frame + offset);
          expect(2 ** (result.pageShift - 12)).toBe(span);
          expect(result.level).toBe(level);
          expect(result.references).toBe(format.levels - level);
        },
      ),
      { numRuns: 10 },
    );
  });

  test('a large leaf and as many equal base leaves are the same', () => {
    if (!format.hasLeaf(1)) return;
    const ram = ramOf(4 * ROOM);
    const large = new TableTree(format, ram, PAGE_SIZE);
    large.map(0, format.span(1), RWX | PRESET, 1);
    const small = new TableTree(format, ram, large.next);
    for (let page = 0; page < format.span(1); page += format.basePages) small.map(page, format.span(1) + page, RWX | PRESET);
    const { walk, result } = compileWalk(format, ram);
    const step = Math.max(1, Math.floor(format.span(1) / 512));
    for (let page = 0; page < format.span(1); page += step) {
      const va = page * PAGE_SIZE + 5;
      expect(walk(large.root / PAGE_SIZE, va, 0, WRITE)).toBe(WALK_HIT);
      const found = [result.frame, result.attributes];
      expect(walk(small.root / PAGE_SIZE, va, 0, WRITE)).toBe(WALK_HIT);
      expect([result.frame, result.attributes]).toEqual(found);
    }
  });

  test('a table outside RAM is a bus fault, and nothing is read', () => {
    const top = format.levels - 1;
    for (const address of [ROOM, 2 ** 31]) {
      const ram = ramOf(ROOM);
      const tree = new TableTree(format, ram, PAGE_SIZE);
      writeEntry(format, ram, tree.entryAt(top, 0), format.tableLo(top, address), format.tableHi(top, address));
      const { walk, result } = compileWalk(format, ram);
      expect(walk(tree.root / PAGE_SIZE, 0, 0, READ)).toBe(WALK_BUS);
      expect([result.level, result.references]).toEqual([top - 1, 1]);
      expect(walk(address / PAGE_SIZE, 0, 0, READ)).toBe(WALK_BUS);
      expect([result.level, result.references]).toEqual([top, 0]);
    }
  });

  test('a table of zeros refuses, unless a zero entry is valid', () => {
    const ram = ramOf(ROOM);
    const root = Math.max(format.tableAlign(format.levels - 1), PAGE_SIZE);
    const walked = compileWalk(format, ram).walk(root / PAGE_SIZE, 0, 0, READ);
    expect(walked).toBe(name === 'vpte-2006' ? WALK_HIT : WALK_NOT_PRESENT);
  });

  test('accessed and dirty are set by the walk or demanded of software, as the format says', () => {
    const clean = ATTR_USER | (format.hardwareAccessed ? 0 : ATTR_ACCESSED) | READ | WRITE;
    const { ram, entry, go, result } = one(format, { page: 0, frame: 0, attributes: clean });
    const before = readEntry(format, ram, entry);
    const status = () => {
      const { lo, hi } = readEntry(format, ram, entry);
      return format.attributes(0, lo, hi) & (ATTR_ACCESSED | ATTR_DIRTY);
    };
    const dirty = format.hasDirty ? 0 : ATTR_DIRTY; // what does not exist counts as set
    expect(go(0, READ)).toBe(WALK_HIT);
    expect(status()).toBe(ATTR_ACCESSED | dirty);
    expect(result.attributes & (ATTR_ACCESSED | ATTR_DIRTY)).toBe(status());
    expect(readEntry(format, ram, entry).lo).toBe(format.marked(0, before.lo, before.hi, READ));
    if (format.hasDirty && !format.hardwareDirty) {
      expect(go(0, WRITE)).toBe(WALK_DIRTY_FLAG);
      return;
    }
    expect(go(0, WRITE)).toBe(WALK_HIT);
    expect(status()).toBe(ATTR_ACCESSED | ATTR_DIRTY);
    expect(result.attributes & (ATTR_ACCESSED | ATTR_DIRTY)).toBe(status());
    expect(readEntry(format, ram, entry).lo).toBe(format.marked(0, before.lo, before.hi, WRITE));
  });
});

describe('two stages', () => {
  const SECONDS = ['sv39x4', 'sv48x4', 'ept-4l', 'x86-64-4l', 'power-radix-4k', 'vpte-64-nx'];
  const FIRSTS = ['sv39', 'sv32', 'x86-64-4l', 'i386-pae', 'm68040-4k', 'armv7-short', 'armv8-4k-39', 'sparc-srmmu', 'vpte-32-nx'];

  test.each(SECONDS)('over %s agree with the reference', (second) => {
    const inner = layoutOf(second);
    const setup = fc
      .constantFrom(...FIRSTS)
      .chain((first) => fc.tuple(fc.constant(layoutOf(first)), options(layoutOf(first)), options(inner)));
    fc.assert(
      fc.property(fc.integer({ min: 1 }), setup, (seed, [first, firstOptions, secondOptions]) => {
        compareWalks(first, firstOptions, seed, 500, { layout: inner, options: secondOptions });
      }),
      { numRuns: 4 },
    );
  });

  /** A second stage that maps the first 2 MiB of guest memory to themselves. */
  test.each(FIRSTS)('%s over an identity is as good as alone', (first) => {
    const layout = layoutOf(first);
    const format = compileLayout(layout);
    const inner = compileLayout(layoutOf('sv39x4'));
    const random = randomOf(11);
    const alone = ramOf(GUEST_BYTES);
    fillTables(format, alone, random);
    const nested = ramOf(GUEST_BYTES + 2 ** 18);
    nested.i32.set(alone.i32);
    const tree = new TableTree(inner, nested, GUEST_BYTES);
    tree.map(0, 0, RWX | PRESET, 1);
    const walker = compileWalker({ layout, memory: alone, mode: 'user' });
    const through = compileWalker({ layout, memory: nested, mode: 'user', second: { layout: inner.descriptor } });
    through.registers.secondRootLo = tree.register();
    let compared = 0;
    for (let i = 0; i < 3000; i++) {
      const va = randomAddress(format, random);
      const root = randomRoot(format, random);
      for (const { registers } of [walker, through]) {
        registers.rootLo = root.lo;
        registers.rootHi = root.hi;
      }
      const access = [READ, WRITE, EXEC][random() % 3];
      const code = walker.walk(va.lo, va.hi, access);
      const isInside = code !== WALK_BUS && (code !== WALK_HIT || walker.result.frame < 512);
      if (!isInside) {
        // The identity ends: what the single stage did there, the two did not.
        nested.i32.set(alone.i32);
        continue;
      }
      compared++;
      expect(WALK_FAULTS[through.walk(va.lo, va.hi, access)]).toBe(WALK_FAULTS[code]);
      expect(through.result.level).toBe(walker.result.level);
      if (code !== WALK_HIT) continue;
      expect(through.result.frame).toBe(walker.result.frame);
      expect(through.result.attributes).toBe(walker.result.attributes);
    }
    expect(compared).toBeGreaterThan(1000);
    expect(alone.i32.every((word, i) => word === nested.i32[i])).toBe(true);
  });
});

describe.each(['sv32', 'sv39', 'sv48', 'sv57'])('%s as hardware', (name) => {
  const format = compileLayout(layoutOf(name));

  test('a refused write leaves the entry alone', () => {
    const { ram, entry, go } = one(format, { page: 5, frame: 7, attributes: READ | ATTR_USER });
    const before = readEntry(format, ram, entry);
    expect(go(5, WRITE)).toBe(WALK_PROTECTION);
    expect(readEntry(format, ram, entry)).toEqual(before);
  });

  test('an atomic access needs both permissions', () => {
    const { go } = one(format, { page: 5, frame: 7, attributes: READ | ATTR_USER });
    expect(go(5, READ | WRITE)).toBe(WALK_PROTECTION);
  });

  test('user mode has no access to a supervisor page, nor the other way round', () => {
    const ram = ramOf(ROOM);
    const tree = new TableTree(format, ram, PAGE_SIZE);
    tree.map(0, 7, READ);
    tree.map(1, 7, READ | ATTR_USER);
    const user = compileWalk(format, ram).walk;
    const supervisor = compileWalk(format, ram, 'super').walk;
    const root = tree.root / PAGE_SIZE;
    expect([user(root, 0, 0, READ), supervisor(root, 0, 0, READ)]).toEqual([WALK_PROTECTION, WALK_HIT]);
    expect([user(root, PAGE_SIZE, 0, READ), supervisor(root, PAGE_SIZE, 0, READ)]).toEqual([WALK_HIT, WALK_PROTECTION]);
  });

  test('without hardware updates software is asked for each bit', () => {
    const plain = compileLayout(format.descriptor, { adue: 0 });
    expect([plain.hardwareAccessed, plain.hardwareDirty, plain.hasAccessed, plain.hasDirty]).toEqual([false, false, true, true]);
    const fresh = one(plain, { page: 5, frame: 7, attributes: READ | WRITE | ATTR_USER });
    expect(fresh.go(5, READ)).toBe(WALK_ACCESS_FLAG);
    const used = one(plain, { page: 5, frame: 7, attributes: READ | WRITE | ATTR_USER | ATTR_ACCESSED });
    const before = readEntry(plain, used.ram, used.entry);
    expect(used.go(5, READ)).toBe(WALK_HIT);
    expect(used.go(5, WRITE)).toBe(WALK_DIRTY_FLAG);
    expect(readEntry(plain, used.ram, used.entry)).toEqual(before);
  });
});

test('ARM without HA asks software for the access flag, with HD a write makes a clean page dirty', () => {
  const layout = layoutOf('armv8-4k-48');
  const plain = compileLayout(layout);
  expect([plain.hasAccessed, plain.hardwareAccessed, plain.hasDirty]).toEqual([true, false, false]);
  expect(one(plain, { page: 5, frame: 7, attributes: READ | ATTR_USER }).go(5, READ)).toBe(WALK_ACCESS_FLAG);
  const marking = compileLayout(layout, { ha: 1, hd: 1 });
  expect([marking.hardwareAccessed, marking.hardwareDirty]).toEqual([true, true]);
  const { ram, entry, go, result } = one(marking, { page: 5, frame: 7, attributes: READ | WRITE | ATTR_USER });
  expect(readEntry(marking, ram, entry).lo & 0x80).toBe(0x80); // AP[2]: clean
  expect(go(5, READ)).toBe(WALK_HIT);
  expect(result.attributes & (WRITE | ATTR_DIRTY)).toBe(WRITE);
  expect(go(5, WRITE)).toBe(WALK_HIT);
  expect(result.attributes & (WRITE | ATTR_DIRTY)).toBe(WRITE | ATTR_DIRTY);
  expect(readEntry(marking, ram, entry).lo & 0x80).toBe(0);
});

test('sv39 refuses the first address beyond user space, and takes a sign-extended one', () => {
  const format = compileLayout(layoutOf('sv39'));
  const ram = ramOf(ROOM);
  const { walk } = compileWalk(format, ram);
  expect(walk(1, 0, 0x40, READ)).toBe(WALK_NONCANONICAL);
  expect(walk(1, 0, 0xffff_ffc0, READ)).toBe(WALK_NOT_PRESENT);
  expect(walk(1, 0, 0xffff_ffc0 | 0, READ)).toBe(WALK_NOT_PRESENT);
  expect(walk(1, 0, 0xffff_ff80, READ)).toBe(WALK_NONCANONICAL);
});

test('the machine has no upper root: ARM addresses with ones on top are refused', () => {
  const { walk } = compileWalk(compileLayout(layoutOf('armv8-4k-48')), ramOf(ROOM));
  expect(walk(1, -1, -1, READ)).toBe(WALK_NONCANONICAL);
  expect(walk(1, 0, 0x1_0000, READ)).toBe(WALK_NONCANONICAL);
  expect(walk(1, 0, 0xffff, READ)).toBe(WALK_NOT_PRESENT);
});

describe('a descriptor that cannot be compiled is refused by the name of its field', () => {
  const sv39 = layoutOf('sv39');
  const [top, middle, last] = sv39.levels;
  const cases: readonly (readonly [string, Partial<LayoutDescriptor>])[] = [
    ['va.bits', { va: { bits: 40, rule: 'sign' } }],
    ['levels[1].lo', { levels: [top, { ...middle, lo: 20 }, last] }],
    ['levels[2].lo', { levels: [top, { ...middle, bits: 11, lo: 19 }, { ...last, lo: 10 }] }],
    ['levels[1].bits', { levels: [top, { ...middle, bits: 0 }, last] }],
    ['classify.L1', { classify: { L2: sv39.classify.L2, L0: sv39.classify.L0 } }],
    ['classify.L0', { classify: { ...sv39.classify, L0: [{ mask: '0x0', value: '0x0', as: 'table' }] } }],
    ['classify.L0', { classify: { ...sv39.classify, L0: [{ mask: '0x0', value: '0x0', as: 'leaf' }] } }],
    ['classify.L2', { classify: { ...sv39.classify, L2: [{ mask: '0x1', value: '0x0', as: 'invalid' }] } }],
    ['table.L1', { table: {} }],
    ['frame.L0', { frame: {} }],
    [
      'frame.L0',
      {
        frame: {
          '*': [
            { mask: '0xff000', shl: 0 },
            { mask: '0xff000', shl: 4 },
          ],
        },
      },
    ],
    ['ad.set[0].set', { ad: { fault: [], set: [{ at: 'leaf', on: 'rwx', set: '0x100000000000000' }] } }],
  ];
  test.each(cases)('%s', (field, change) => {
    const attempt = () => compileLayout({ ...sv39, ...change });
    expect(attempt).toThrow(LayoutError);
    expect(attempt).toThrow(`layout sv39: ${field}: `);
  });
});
