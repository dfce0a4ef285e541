/** Layout files, drawings, vectors and choices of the command line, in one process. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  checkLayout,
  LAYOUT_NAMES,
  type LayoutDescriptor,
  layoutByName,
  readDescriptor,
} from '../../../hostkernel/machine/paging/index.ts';
import { byReference, CompiledJudge } from '../../../vkernel/cli/judge.ts';
import { drawLayout } from '../../../vkernel/cli/layout-drawing.ts';
import { namedLayout } from '../../../vkernel/cli/layout-file.ts';
import { chooseFormats, rolesOf } from '../../../vkernel/cli/layouts.ts';
import { makeVectors } from '../../../vkernel/cli/vector-maker.ts';
import { differences, readVectors, type Vector, vectorFileText } from '../../../vkernel/cli/vectors.ts';

function layoutOf(name: string): LayoutDescriptor {
  const layout = layoutByName(name);
  if (layout === null) throw new Error(`no layout ${name}`);
  return layout;
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vkernel-layouts-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe('drawings', () => {
  test.each(['sv32', 'x86-64-4l', 'armv7-short', 'sparc-srmmu', 'vpte-64-nx'])('%s', async (name) => {
    await expect(`${drawLayout(layoutOf(name))}\n`).toMatchFileSnapshot(`golden/${name}.txt`);
  });

  test.each(LAYOUT_NAMES)('%s has a line for each bit of its entries', (name) => {
    const layout = layoutOf(name);
    const drawing = drawLayout(layout);
    expect(drawing).toContain(`bits, `);
    expect(drawing).not.toContain('undefined');
    // The boxes of every kind of entry begin with the topmost bit.
    const top = 8 * layout.entryBytes - 1;
    expect(drawing.match(new RegExp(`\\n {2}\\| ${top}(\\.\\.\\d+)? *\\|`, 'g'))?.length).toBeGreaterThanOrEqual(2);
  });
});

describe('the description as a file', () => {
  test.each(LAYOUT_NAMES)('%s survives JSON', async (name) => {
    const layout = layoutOf(name);
    expect(readDescriptor(JSON.parse(JSON.stringify(layout)))).toEqual(layout);
    expect(await namedLayout(file(`${name}.json`, JSON.stringify(layout)))).toEqual(layout);
  });

  const SMALL = `
id = "small"
entryBytes = 4
paBits = 32
va = { bits = 32, rule = "trunc" }
root = { kind = "pointer", mask = 0xfffff000 }
levels = [{ name = "L1", lo = 22, bits = 10 }, { name = "L0", lo = 12, bits = 10 }]
classify.L1 = [{ mask = 1, value = 0, as = "invalid" }, { as = "table" }]
classify.L0 = [{ mask = 1, value = 0, as = "invalid" }, { as = "leaf" }]
table."*" = [{ mask = 0xfffff000 }]
frame."*" = [{ mask = 0xfffff000 }]
perm.entry = [{ grant = "ur" }]
`;

  test('TOML: integers are numbers, what is left out has a default', async () => {
    const layout = await namedLayout(file('small.toml', SMALL));
    expect(layout).toMatchObject({
      id: 'small',
      title: 'small',
      endian: 'le',
      root: { mask: '0xfffff000' },
      perm: { check: 'leaf', post: [] },
    });
  });

  /** What a line of the file is turned into, and what is said of it. */
  const WRONG: readonly (readonly [string, (text: string) => string, RegExp])[] = [
    ['not TOML', () => 'id = = 3', /^line 1, column 6: /],
    ['empty', () => '', /^id: missing/],
    ['of a wrong type', (t) => t.replace('entryBytes = 4', 'entryBytes = "4"'), /^entryBytes: '4' is none of 4, 8/],
    ['with a number that is none', (t) => t.replace('paBits = 32', 'paBits = nan'), /^paBits: NaN is no whole number from 8 to 64/],
    ['with an infinite number', (t) => t.replace('bits = 10', 'bits = inf'), /^levels\[0\]\.bits: Infinity is no whole number/],
    ['with a fraction', (t) => t.replace('bits = 10', 'bits = 9.5'), /^levels\[0\]\.bits: 9\.5 is no whole number/],
    ['with a negative mask', (t) => t.replace('mask = 1', 'mask = -1'), /^classify\.L1\[0\]\.mask: -1: not a number of 0 to 64 bits/],
    [
      'with a bit pattern out of range',
      (t) => t.replace('mask = 1', 'mask = "0x10000000000000000"'),
      /^classify\.L1\[0\]\.mask: .*1 to 16 hexadecimal digits/,
    ],
    ['with a misspelt field', (t) => t.replace('as = "table"', 'is = "table"'), /^classify\.L1\[1\]\.is: no such field; there are /],
    [
      'with a table for a list',
      (t) => t.replace('perm.entry = [{ grant = "ur" }]', 'perm.entry = { grant = "ur" }'),
      /^perm\.entry: a table is no list/,
    ],
    ['with a level twice', (t) => t.replace('name = "L1"', 'name = "L0"'), /^levels\[1\]\.name: 'L0' is the name of another level/],
    ['with a key twice', (t) => `${t}\nid = "again"`, /^line \d+, column \d+: /],
    ['with __proto__', (t) => `${t}\n__proto__.x = 1`, /./],
    ['with a name that is none', (t) => t.replace('id = "small"', 'id = "a b\\u0000c"'), /^id: /],
    ['nested without end', (t) => `${t}\ntitle = ${'['.repeat(5000)}`, /^line \d+, column \d+: |^title: /],
    [
      'with 100,000 patterns',
      (t) => t.replace('perm.entry = [{ grant = "ur" }]', `perm.entry = [${'{ grant = "ur" },'.repeat(100_000)}]`),
      /./,
    ],
    [
      'with a level of a million bits',
      (t) => t.replace('bits = 10', 'bits = 1000000'),
      /^levels\[0\]\.bits: 1000000 is no whole number from 0 to 20/,
    ],
  ];

  test.each(WRONG)('%s: one line that names the field', async (_what, change, expected) => {
    const path = file('wrong.toml', change(SMALL));
    const said = await namedLayout(path);
    expect(typeof said).toBe('string');
    const line = (said as string).slice(path.length + 2);
    expect(line).not.toContain('\n');
    expect(line.length).toBeLessThan(500);
    expect(line).toMatch(expected);
  });

  test('a file too large to be one is not read', async () => {
    const path = file('huge.json', '');
    truncateSync(path, 2 ** 36);
    expect(await namedLayout(path)).toMatch(/68719476736 bytes are too many/);
  });

  test.each(['/nonexistent/x.toml', tmpdir(), '/dev/zero'])('%s is no file', async (path) => {
    expect(await namedLayout(path)).toMatch(/no such file|is a directory|permission denied|no layout/);
  });

  test('whatever a file says, the answer is a description or problems, soon', () => {
    fc.assert(
      fc.property(fc.anything({ withBigInt: true, withNullPrototype: true, maxDepth: 4 }), (value) => {
        const read = readDescriptor(value);
        expect('id' in read || read.length > 0).toBe(true);
      }),
    );
  });

  test('a good description with anything put anywhere is still judged, not crashed on', () => {
    const anyLayout = fc.constantFrom('sv32', 'vpte-64-nx', 'm68040-4k', 'armv7-short', 'sparc-srmmu');
    const anyValue = fc.oneof(
      fc.integer({ min: -1, max: 70 }),
      fc.constantFrom('0x0', '0x1', '0xffffffff', 'L0', 'L1', 'leaf', 'table', 'or', null),
      fc.constant([]),
      fc.constant({}),
    );
    fc.assert(
      fc.property(anyLayout, fc.nat(), anyValue, (name, place, value) => {
        const copy = structuredClone(layoutOf(name)) as object;
        const spots: { readonly holder: Record<string, unknown>; readonly key: string }[] = [];
        const collect = (holder: object): void => {
          for (const key of Object.keys(holder)) {
            spots.push({ holder: holder as Record<string, unknown>, key });
            const inner = (holder as Record<string, unknown>)[key];
            if (typeof inner === 'object' && inner !== null) collect(inner);
          }
        };
        collect(copy);
        const { holder, key } = spots[place % spots.length];
        holder[key] = value;
        const read = readDescriptor(copy);
        if (!('id' in read)) return;
        if (checkLayout(read).some(({ severity }) => severity === 'error')) return;
        drawLayout(read);
        rolesOf(read);
        for (const vector of makeVectors(read, 1, 5)) expect(vector.expect.result).toMatch(/hit|fault/);
      }),
      { numRuns: 60 },
    );
  });
});

describe('vectors', () => {
  const judge = new CompiledJudge();

  /** Vectors that either walker of `layout` disagrees with. */
  function failing(layout: LayoutDescriptor, vectors: readonly Vector[]): number {
    return vectors.filter((vector) => {
      const compiled = judge.judge(layout, vector);
      return (
        differences(vector.expect, byReference(layout, vector)).length > 0 ||
        typeof compiled === 'string' ||
        differences(vector.expect, compiled).length > 0
      );
    }).length;
  }

  test.each(LAYOUT_NAMES)('%s: what a seed makes, both walkers pass', (name) => {
    const layout = layoutOf(name);
    const vectors = makeVectors(layout, 7);
    const path = file('v.json', vectorFileText(layout, 'seed 7', vectors));
    const read = readVectors(path);
    if (typeof read === 'string') throw new Error(read);
    expect(read.vectors).toEqual(JSON.parse(JSON.stringify(vectors)));
    expect(failing(layout, read.vectors)).toBe(0);
    // Every class is hit, by every access and in both modes.
    const kinds = new Set(vectors.map(({ expect: { result, kind } }) => kind ?? result));
    expect([...kinds]).toEqual(expect.arrayContaining(['hit', 'not-present']));
    for (const access of ['r', 'w', 'x'])
      for (const mode of ['user', 'super']) expect(vectors.some((v) => v.access === access && v.mode === mode)).toBe(true);
    for (const option of Object.keys(layout.options).filter((key) => typeof layout.options[key] === 'number'))
      expect(vectors.some((v) => v.opts !== undefined && option in v.opts)).toBe(true);
  });

  test('the same seed makes the same bytes, another one others', () => {
    const text = (seed: number): string => vectorFileText(layoutOf('sv39'), '', makeVectors(layoutOf('sv39'), seed, 100));
    expect(text(5)).toBe(text(5));
    expect(text(5)).not.toBe(text(6));
  });

  test.each(['sv32', 'sv39', 'i386-2l', 'x86-64-4l', 'armv8-4k-39', 'm68040-4k', 'vpte-64', 'vpte-64-nx'])(
    '%s with one bit of a rule changed fails its vectors',
    (name) => {
      const layout = layoutOf(name);
      const vectors = makeVectors(layout, 1);
      const survivors: string[] = [];
      let mutants = 0;
      const tryMutant = (
        path: string,
        change: (copy: {
          perm: { entry: { value: string }[] };
          classify: Record<string, { value: string }[]>;
          ad: { set: { set?: string }[] };
        }) => void,
      ): void => {
        const copy = structuredClone(layout);
        change(copy as unknown as Parameters<typeof change>[0]);
        mutants++;
        if (!vectors.some((vector) => differences(vector.expect, byReference(copy, vector)).length > 0)) survivors.push(path);
      };
      const flipped = (hex: string, bit: bigint): string => `0x${(BigInt(hex) ^ bit).toString(16)}`;
      const bitsIn = (hex: string): bigint[] =>
        Array.from({ length: 64 }, (_, n) => 1n << BigInt(n)).filter((bit) => (BigInt(hex) & bit) !== 0n);
      // Rules that need an option are tried only as far as the vectors turn it over; here: those in force by default.
      (layout.perm.entry ?? []).forEach((rule, i) => {
        if (rule.opt !== undefined || rule.nopt !== undefined) return;
        for (const bit of bitsIn(rule.mask))
          tryMutant(`perm.entry[${i}].value ${bit}`, (copy) => (copy.perm.entry[i].value = flipped(rule.value, bit)));
      });
      for (const [level, list] of Object.entries(layout.classify)) {
        list.forEach((rule, i) => {
          if (rule.opt !== undefined || rule.nopt !== undefined) return;
          for (const bit of bitsIn(rule.mask))
            tryMutant(`classify.${level}[${i}].value ${bit}`, (copy) => (copy.classify[level][i].value = flipped(rule.value, bit)));
        });
      }
      layout.ad.set.forEach((rule, i) => {
        for (const bit of bitsIn(rule.set ?? '0x0'))
          tryMutant(`ad.set[${i}].set ${bit}`, (copy) => (copy.ad.set[i].set = flipped(rule.set ?? '0x0', bit)));
      });
      expect(mutants).toBeGreaterThan(3);
      expect(survivors).toEqual([]);
    },
  );
});

describe('what can be used for what', () => {
  const choose = (xlen: 32 | 64, mmu: string | undefined, vpte: string | undefined, use: 'host' | 'guest' = 'guest'): string => {
    const chosen = chooseFormats(xlen, mmu, vpte, use);
    if (typeof chosen === 'string') return chosen;
    return xlen === 64 ? `${chosen.mmu64.id} ${chosen.vpte64.id}` : `${chosen.mmu32.id} ${chosen.vpte32.id}`;
  };

  test.each([
    [64, undefined, undefined, 'sv39 vpte-64-nx'],
    [32, undefined, undefined, 'sv32 vpte-32-nx'],
    [64, 'la57', 'vpte-64', 'x86-64-5l vpte-64'],
    [64, 'sv48', 'ept', 'sv48 ept-4l'],
    [32, 'pae', 'srmmu', 'i386-pae sparc-srmmu'],
    [32, 'sv39', 'vpte-2006', 'sv39 vpte-2006'],
    [64, 'radix', 'aarch64', 'power-radix-4k armv8-4k-48'],
  ] as const)('%i bits, --mmu %s --vpte %s: %s', (xlen, mmu, vpte, expected) => expect(choose(xlen, mmu, vpte)).toBe(expected));

  test.each([
    [64, 'sv32', undefined, /^--mmu: sv32 resolves 32 address bits, too few for a 64-bit program$/],
    [64, undefined, 'sparc-srmmu', /^--vpte: sparc-srmmu resolves 32 address bits, too few for a 64-bit program$/],
    [64, 'ept', undefined, /^--mmu: ept-4l cannot be the page table of a hart: a second-stage format: no hart walks it alone$/],
    [64, 'armv8-16k-48', undefined, /its base page is 16 KiB; programs and kernels here have pages of 4 KiB$/],
    [64, undefined, 'armv8-64k-48', /^--vpte: armv8-64k-48 cannot be the virtual page table of a guest: its base page is 64 KiB/],
    [32, 'vpte-2006', undefined, /^--mmu: vpte-2006 cannot be the page table of a hart: /],
    [32, 'sv99', undefined, /^--mmu: no layout 'sv99'/],
  ] as const)('%i bits, --mmu %s --vpte %s is refused', (xlen, mmu, vpte, expected) => expect(choose(xlen, mmu, vpte)).toMatch(expected));

  test('a program of the host kernel writes its tables itself: any page size will do, and fewer address bits', () => {
    for (const vpte of ['armv8-16k-47', 'm68040-8k', 'power-radix-64k', 'vpte-2006'])
      expect(choose(64, undefined, vpte, 'host')).toBe(`sv39 ${vpte}`);
  });

  test('every layout is good for something', () => {
    for (const name of LAYOUT_NAMES) {
      const { mmu, vpte, hostVpte } = rolesOf(layoutOf(name));
      expect([mmu, vpte, hostVpte]).toContain(null);
    }
  });
});
