/** Descriptions that make sense are left alone; each way to get one wrong is told with its field. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  checkLayout,
  findEntries,
  LAYOUT_NAMES,
  type LayoutDescriptor,
  layoutByName,
  patternMatches,
  tableCost,
} from '../../../../hostkernel/machine/paging/index.ts';

const layoutOf = (name: string): LayoutDescriptor => {
  const layout = layoutByName(name);
  if (layout === null) throw new Error(`no layout ${name}`);
  return layout;
};

/** Any value of a description, to be changed. */
interface Json {
  [key: string]: Json;
  [index: number]: Json;
}

/** A description with one thing changed. */
function changed(name: string, change: (layout: Json) => void): LayoutDescriptor {
  const copy = structuredClone(layoutOf(name)) as unknown as Json;
  change(copy);
  return copy as unknown as LayoutDescriptor;
}

const asJson = (value: unknown): Json => value as Json;
const listOf = (value: Json): Json[] => value as unknown as Json[];

describe('the layouts of the project', () => {
  test.each(LAYOUT_NAMES)('%s has no errors', (name) => {
    expect(checkLayout(layoutOf(name)).filter(({ severity }) => severity === 'error')).toEqual([]);
  });

  test('superfluous fields are the manuals’ own: frames of levels without leaves', () => {
    const warnings = LAYOUT_NAMES.flatMap((name) => checkLayout(layoutOf(name)).map(({ path }) => `${name} ${path}`));
    expect(warnings.filter((text) => !/ frame\.(L0|L1|PGD)$/.test(text))).toEqual([]);
  });
});

/** What is changed, and the field and the words of the answer. */
const MISTAKES: readonly (readonly [string, string, (layout: Json) => void, string, RegExp])[] = [
  [
    'index widths that do not add up',
    'sv39',
    (l) => (asJson(l['va'])['bits'] = asJson(40)),
    'va.bits',
    /9 \+ 9 \+ 9 and page shift 12 make 39/,
  ],
  ['levels that leave a gap', 'sv39', (l) => (l['levels'][1]['lo'] = asJson(22)), 'levels[0].lo', /level L1 below it ends at bit 31/],
  ['two levels of one name', 'sv39', (l) => (l['levels'][1]['name'] = asJson('L0')), 'levels[2].name', /name of another level/],
  [
    'a mask wider than the entry',
    'sv32',
    (l) => (l['classify']['L0'][0]['mask'] = asJson('0x100000001')),
    'classify.L0[0].mask',
    /32 bits/,
  ],
  [
    'a value outside its mask',
    'sv39',
    (l) => (l['classify']['L0'][0]['value'] = asJson('0x2')),
    'classify.L0[0].value',
    /outside the mask/,
  ],
  [
    'an option that does not exist',
    'sv39',
    (l) => (l['perm']['entry'][3]['opt'][0] = asJson('mrx')),
    'perm.entry[3].opt[0]',
    /no option 'mrx'/,
  ],
  ['a level that does not exist', 'i386-pae', (l) => (l['perm']['skip'][0] = asJson('PDP')), 'perm.skip[0]', /no level 'PDP'/],
  ['a level without classes', 'sv39', (l) => delete l['classify']['L1'], 'classify.L1', /missing/],
  [
    'a pattern behind one that matches everything',
    'x86-64-4l',
    (l) => listOf(l['classify']['PT']).push(asJson({ mask: '0x4', value: '0x4', as: 'reserved' })),
    'classify.PT[4]',
    /classify\.PT\[3\] alone does/,
  ],
  [
    'a pattern that two others cover together',
    'sparc-srmmu',
    (l) => listOf(l['classify']['L3']).splice(3, 0, asJson({ mask: '0x1', value: '0x1', as: 'leaf' })),
    'classify.L3[3]',
    /together, classify\.L3\[0\] to \[2\] do/,
  ],
  [
    'a pointer on the last level',
    'sv39',
    (l) => (l['classify']['L0'][8] = asJson({ mask: '0xe', value: '0x0', as: 'table' })),
    'classify.L0[8].as',
    /points to no level/,
  ],
  [
    'no leaf on the last level',
    'i386-2l',
    (l) => (l['classify']['PT'][1]['as'] = asJson('reserved')),
    'classify.PT',
    /nothing can be mapped/,
  ],
  [
    'a large page whose frame reaches into its offset',
    'x86-64-4l',
    (l) => (l['frame']['PD'][0]['mask'] = asJson('0xffffffffff000')),
    'frame.PD[0].mask',
    /bits 0x1000 lie within the offset of a page of 2\^21/,
  ],
  ['frames wider than the physical address', 'sv39', (l) => (l['paBits'] = asJson(50)), 'frame.*[0].mask', /more than 50 bits/],
  [
    'a permission bit inside the frame',
    'x86-64-4l',
    (l) => (l['perm']['entry'][1]['mask'] = l['perm']['entry'][1]['value'] = asJson('0x1000')),
    'perm.entry[1].mask',
    /0x1000 are address bits/,
  ],
  [
    'an accessed bit inside the frame',
    'sv39',
    (l) => (l['ad']['set'][0]['set'] = asJson('0x400')),
    'ad.set[0]',
    /changes bits 0x400, address bits/,
  ],
  [
    'an update that makes an entry another kind',
    'x86-64-4l',
    (l) => (l['ad']['set'][0]['set'] = asJson('0x80')),
    'ad.set[0]',
    /of level PML4 \(table\) into .* which is reserved/,
  ],
  ['an update that does nothing', 'sv39', (l) => (l['ad']['set'][0]['set'] = asJson('0x0')), 'ad.set[0]', /neither sets nor clears/],
  [
    'a grant that applies to nothing',
    'sv39',
    (l) => (l['perm']['entry'][0] = asJson({ mask: '0x6', value: '0x4', grant: 'ur' })),
    'perm.entry[0]',
    /applies to no entry/,
  ],
  [
    'a rule for a grant that nobody has',
    'i386-2l',
    (l) => (l['perm']['entry'] = asJson([{ mask: '0x0', value: '0x0', grant: 'sr' }])),
    'perm.post[1].has',
    /'ur' is never granted/,
  ],
  ['a pointer without address', 'm68040-4k', (l) => delete l['table']['PTR'], 'table.PTR', /missing/],
  [
    'two frame pieces for one address bit',
    'i386-pse',
    (l) => (l['frame']['PD'][1]['shl'] = asJson(14)),
    'frame.PD[1].shl',
    /come from part 0, too/,
  ],
  ['an address shifted out of 64 bits', 'sv39', (l) => (l['table']['*'][0]['shl'] = asJson(20)), 'table.*[0].shl', /out of 64/],
  [
    'a strict option for a rule that has none',
    'sv39',
    (l) => (l['va']['strictOpt'] = asJson('sum')),
    'va.strictOpt',
    /nothing to be strict about/,
  ],
  ['a root value without a level for it', 'sv39', (l) => (l['root'] = asJson({ kind: 'value' })), 'root.kind', /must have 0 bits/],
  [
    'a next-table size that is another',
    'power-radix-4k',
    (l) => (l['classify']['PUD'][2]['value'] = asJson('0x8')),
    'classify.PUD[2].value',
    /level PMD has 9/,
  ],
  ['a domain register that is a switch', 'armv7-short', (l) => (l['options']['dacr'] = asJson(1)), 'domain.reg', /register's value/],
];

describe('mistakes', () => {
  test.each(MISTAKES)('%s (%s)', (_what, name, change, path, words) => {
    const errors = checkLayout(changed(name, change)).filter(({ severity }) => severity === 'error');
    expect(errors.map((problem) => problem.path)).toContain(path);
    expect(errors.find((problem) => problem.path === path)?.text).toMatch(words);
  });

  test('errors come before warnings', () => {
    const found = checkLayout(changed('armv8-4k-48', (l) => (l['perm']['skip'] = asJson(['L9']))));
    expect(found.map(({ severity }) => severity)).toEqual(['error']);
    const late = checkLayout(changed('armv8-4k-48', (l) => (l['paBits'] = asJson(40))));
    expect(late.map(({ severity }) => severity)).toEqual(late.map(({ severity }) => severity).toSorted());
  });
});

/** Bytes as the table of layouts writes them: 12 K, 2.01 M; `exact` where it gives all digits. */
const KIB = 1024;
const MIB = 1024 * 1024;
const COSTS: Readonly<Record<string, readonly [onePage: number, gibibyte: number]>> = {
  'i386-2l': [8 * KIB, 1.0 * MIB],
  'i386-pse': [8 * KIB, 1.0 * MIB],
  'i386-pae': [8.03 * KIB, 2.0 * MIB],
  'x86-64-4l': [16 * KIB, 2.01 * MIB],
  'x86-64-5l': [20 * KIB, 2.02 * MIB],
  'ept-4l': [16 * KIB, 2.01 * MIB],
  'ept-5l': [20 * KIB, 2.02 * MIB],
  sv32: [8 * KIB, 1.0 * MIB],
  sv39: [12 * KIB, 2.01 * MIB],
  sv48: [16 * KIB, 2.01 * MIB],
  sv57: [20 * KIB, 2.02 * MIB],
  sv32x4: [20 * KIB, 1.02 * MIB],
  sv39x4: [24 * KIB, 2.02 * MIB],
  sv48x4: [28 * KIB, 2.02 * MIB],
  sv57x4: [32 * KIB, 2.03 * MIB],
  'armv8-4k-48': [16 * KIB, 2.01 * MIB],
  'armv8-4k-39': [12 * KIB, 2.01 * MIB],
  'armv8-16k-48': [48 * KIB, 544 * KIB],
  'armv8-16k-47': [48 * KIB, 544 * KIB],
  'armv8-64k-48': [128.5 * KIB, 192.5 * KIB],
  'armv7-short': [17 * KIB, 1.02 * MIB],
  'm68040-4k': [1.25 * KIB, 1.02 * MIB],
  'm68040-8k': [1.13 * KIB, 528.5 * KIB],
  'sparc-srmmu': [1.5 * KIB, 1.02 * MIB],
  'power-radix-4k': [76 * KIB, 2.07 * MIB],
  'power-radix-64k': [72.25 * KIB, 200.25 * KIB],
  'vpte-2006': [8 * KIB, 1.0 * MIB],
  'vpte-2006v': [8 * KIB, 1.0 * MIB],
  'vpte-32': [8 * KIB, 1.0 * MIB],
  'vpte-64': [16 * KIB, 2.01 * MIB],
  'vpte-32-x86': [8 * KIB, 1.0 * MIB],
  'vpte-64-x86': [16 * KIB, 2.01 * MIB],
  'vpte-64-nx': [16 * KIB, 2.01 * MIB],
  'vpte-32-nx': [8 * KIB, 1.0 * MIB],
};

describe('what tables cost', () => {
  test('every layout has a line', () => expect(Object.keys(COSTS).toSorted()).toEqual([...LAYOUT_NAMES].toSorted()));

  test.each(Object.entries(COSTS))('%s', (name, [onePage, gibibyte]) => {
    const cost = tableCost(layoutOf(name));
    expect(Math.abs(cost.onePage / onePage - 1)).toBeLessThan(0.005);
    expect(Math.abs(cost.gibibyte / gibibyte - 1)).toBeLessThan(0.005);
    expect(cost.everything).toBeGreaterThanOrEqual(cost.gibibyte);
  });
});

describe('entries that meet conditions', () => {
  const anyPattern = fc.record(
    {
      mask: fc.integer({ min: 0, max: 255 }),
      bits: fc.integer({ min: 0, max: 255 }),
      any: fc.integer({ min: 1, max: 255 }),
      hasAny: fc.boolean(),
    },
    { noNullPrototype: true },
  );
  const hex = (n: number): `0x${string}` => `0x${n.toString(16)}`;

  test('one is found exactly if there is one among all entries of a byte', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anyPattern, fc.boolean()), { maxLength: 6 }), (drawn) => {
        const conditions = drawn.map(([p, matches]) => ({
          pattern: { mask: hex(p.mask), value: hex(p.bits & p.mask), ...(p.hasAny ? { any: hex(p.any) } : {}) },
          matches,
        }));
        const meets = (entry: bigint): boolean => conditions.every(({ pattern, matches }) => patternMatches(pattern, entry) === matches);
        const all = Array.from({ length: 256 }, (_, n) => BigInt(n)).filter(meets);
        const cube = findEntries(conditions, { mask: 0xffff_ffff_ffff_ff00n, value: 0n });
        expect(cube !== null).toBe(all.length > 0);
        if (cube === null) return;
        // Every entry of the cube is an answer, whatever its free bits are.
        for (let n = 0n; n < 256n; n++) expect(meets(cube.value | (n & ~cube.mask))).toBe(true);
      }),
    );
  });
});
