/**
 * DragonFly's virtual page tables: the formats of MAP_VPAGETABLE, from the first day to the last, as descriptors.
 *
 *   31..12 (64 bit: 51..12)   11   10        9         8         7    6   5   4   3   2   1    0
 *   frame                     -    -         -         -         -    -   -   -   -   -   PS   IV     vpte-2006: set means *invalid*
 *   frame                     -    -         -         -         -    -   -   -   -   -   PS   V      vpte-2006v
 *   frame                     -    WIRED     G         MANAGED   U    M   A   X   W   R   PS   V      vpte-32, vpte-64
 *   frame                     -    MANAGED   WIRED     G         PS   M   A   -   -   U   RW   V      vpte-32-x86, vpte-64-x86
 *   frame                     NX   MANAGED   WIRED     G         PS   M   A   -   -   U   RW   V      vpte-32-nx, vpte-64-nx
 *
 * The tables lie in the backing store of the mapping they describe, and a frame is a page number in that store. PS
 * ends the walk on its level: the rest of the address is added to the frame, which needs no alignment. From
 * vpte-2006v on the root is itself an entry. Permissions are checked on every level. U, G, WIRED and MANAGED are carried
 * only; so was X, and a fetch is a read, unless the option `strictx` asks for more.
 * Source: DragonFly BSD sys/vm/vm_fault.c, sys/cpu/x86_64/include/vframe.h and the vpagetable announcement of 2006.
 * vpte-32-nx never existed there: it is the 64-bit format's flags on 32-bit entries.
 */
import type { ClassPattern, GrantPattern, Hex, LayoutDescriptor, Level } from '../descriptor.ts';

const ALWAYS = { mask: '0x0', value: '0x0' } as const;
const NOT_VALID: ClassPattern = { mask: '0x1', value: '0x0', as: 'invalid' };
const INVERTED: ClassPattern = { mask: '0x1', value: '0x1', as: 'invalid' };

/** No permission bits: every entry grants everything. */
const GRANTS_ALL: readonly GrantPattern[] = (['ur', 'uw', 'ux', 'sr', 'sw', 'sx'] as const).map((grant) => ({ ...ALWAYS, grant }));

/** RW in bit 1 permits writes, NX in bit 11 forbids fetches. */
const GRANTS_NX: readonly GrantPattern[] = [
  { ...ALWAYS, grant: 'ur' },
  { ...ALWAYS, grant: 'sr' },
  { mask: '0x2', value: '0x2', grant: 'uw' },
  { mask: '0x2', value: '0x2', grant: 'sw' },
  { mask: '0x800', value: '0x0', grant: 'ux' },
  { mask: '0x800', value: '0x0', grant: 'sx' },
];

/** RW in bit 1 permits writes; nothing forbids the rest. */
const GRANTS_RW: readonly GrantPattern[] = [
  { ...ALWAYS, grant: 'ur' },
  { ...ALWAYS, grant: 'sr' },
  { mask: '0x2', value: '0x2', grant: 'uw' },
  { mask: '0x2', value: '0x2', grant: 'sw' },
  { ...ALWAYS, grant: 'ux' },
  { ...ALWAYS, grant: 'sx' },
];

/** R, W and X in bits 2 to 4: X is consulted with `strictx` only, and then with R. */
const GRANTS_RWX: readonly GrantPattern[] = [
  { mask: '0x4', value: '0x4', grant: 'ur' },
  { mask: '0x4', value: '0x4', grant: 'sr' },
  { mask: '0x8', value: '0x8', grant: 'uw' },
  { mask: '0x8', value: '0x8', grant: 'sw' },
  { mask: '0x4', value: '0x4', nopt: ['strictx'], grant: 'ux' },
  { mask: '0x4', value: '0x4', nopt: ['strictx'], grant: 'sx' },
  { mask: '0x14', value: '0x14', opt: ['strictx'], grant: 'ux' },
  { mask: '0x14', value: '0x14', opt: ['strictx'], grant: 'sx' },
];

/** A on every level but the root; M too on a write, if the entry permits it. */
const SETS_AM: LayoutDescriptor['ad'] = {
  fault: [],
  set: [
    { at: 'all', pre: 1, skip: ['ROOT'], on: 'rx', set: '0x20' },
    { at: 'all', pre: 1, skip: ['ROOT'], on: 'w', mask: '0x2', value: '0x2', set: '0x60' },
  ],
};
/** The same where reading takes a permission too. */
const SETS_AM_IF_PERMITTED: LayoutDescriptor['ad'] = {
  fault: [],
  set: [
    { at: 'all', pre: 1, skip: ['ROOT'], on: 'rx', mask: '0x4', value: '0x4', set: '0x20' },
    { at: 'all', pre: 1, skip: ['ROOT'], on: 'w', mask: '0x8', value: '0x8', set: '0x60' },
  ],
};
const SETS_NOTHING: LayoutDescriptor['ad'] = { fault: [], set: [] };

interface Family {
  readonly id: string;
  readonly title: string;
  readonly entryBytes: 4 | 8;
  readonly rootIsValue: boolean;
  readonly invalid: ClassPattern;
  readonly ps: Hex;
  readonly grants: readonly GrantPattern[];
  readonly ad: LayoutDescriptor['ad'];
  readonly global?: Hex;
  readonly strictx?: boolean; // has the option
}

function vpte(family: Family): LayoutDescriptor {
  const { id, title, entryBytes, rootIsValue, invalid, ps } = family;
  const wide = entryBytes === 8;
  const depth = wide ? 4 : 2;
  const indexBits = wide ? 9 : 10;
  const vaBits = 12 + depth * indexBits;
  const tables = Array.from({ length: depth }, (_, i): Level => {
    const level = depth - 1 - i;
    return { name: `L${level}`, lo: 12 + level * indexBits, bits: indexBits };
  });
  const levels = rootIsValue ? [{ name: 'ROOT', lo: vaBits, bits: 0 }, ...tables] : tables;
  const directory: readonly ClassPattern[] = [invalid, { mask: ps, value: ps, as: 'leaf' }, { ...ALWAYS, as: 'table' }];
  const last: readonly ClassPattern[] = [invalid, { ...ALWAYS, as: 'leaf' }];
  const frame = [{ mask: wide ? '0xffffffffff000' : '0xfffff000', shl: 0 }] as const;
  return {
    id,
    title,
    arch: 'vpte',
    kind: 'radix',
    endian: 'le',
    entryBytes,
    va: { bits: vaBits, rule: 'wrap', strictOpt: 'strictva', fault: 'noncanonical' },
    paBits: wide ? 52 : 32,
    options: { strictva: 0, ...(family.strictx === true ? { strictx: 0 } : {}) },
    root: rootIsValue ? { kind: 'value' } : { kind: 'pointer', mask: '0xfffff000' },
    offset: 'add',
    levels,
    classify: Object.fromEntries(levels.map((level) => [level.name, level.name === 'L0' ? last : directory])),
    table: { '*': frame },
    frame: { '*': frame },
    perm: { check: 'each', combine: 'and', entry: family.grants, post: [] },
    ad: family.ad,
    ...(family.global === undefined ? {} : { carried: { global: family.global } }),
  };
}

/** 12 September 2006, the first day: a zero entry is valid and names frame 0. */
export const VPTE_2006 = vpte({
  id: 'vpte-2006',
  title: 'DragonFly first vpte, 12 September 2006 (G0): bit 0 set means invalid',
  entryBytes: 4,
  rootIsValue: false,
  invalid: INVERTED,
  ps: '0x2',
  grants: GRANTS_ALL,
  ad: SETS_NOTHING,
});

/** The second day. */
export const VPTE_2006V = vpte({
  id: 'vpte-2006v',
  title: 'DragonFly vpte, 13 September 2006 (G1): bit 0 set means valid',
  entryBytes: 4,
  rootIsValue: true,
  invalid: NOT_VALID,
  ps: '0x2',
  grants: GRANTS_ALL,
  ad: SETS_NOTHING,
});

/** The first with permissions, accessed and modified. */
const EARLY = {
  rootIsValue: true,
  invalid: NOT_VALID,
  ps: '0x2',
  grants: GRANTS_RWX,
  ad: SETS_AM_IF_PERMITTED,
  global: '0x200',
  strictx: true,
} as const;
export const VPTE_32 = vpte({ ...EARLY, id: 'vpte-32', title: 'DragonFly 32-bit vpte, early flags (G2)', entryBytes: 4 });
export const VPTE_64 = vpte({ ...EARLY, id: 'vpte-64', title: 'DragonFly 64-bit vpte, early flags (G3)', entryBytes: 8 });

/** Flags where the hardware of the time had them. */
const LIKE_X86 = { rootIsValue: true, invalid: NOT_VALID, ps: '0x80', grants: GRANTS_RW, ad: SETS_AM, global: '0x100' } as const;
export const VPTE_32_X86 = vpte({
  ...LIKE_X86,
  id: 'vpte-32-x86',
  title: 'DragonFly 32-bit vpte, x86-like flags (G4)',
  entryBytes: 4,
});
export const VPTE_64_X86 = vpte({
  ...LIKE_X86,
  id: 'vpte-64-x86',
  title: 'DragonFly 64-bit vpte, x86-like flags (G4)',
  entryBytes: 8,
});

/** And NX. */
const WITH_NX = { ...LIKE_X86, grants: GRANTS_NX } as const;
export const VPTE_32_NX = vpte({
  ...WITH_NX,
  id: 'vpte-32-nx',
  title: 'Project-defined 32-bit vpte: x86-like flags with NX in bit 11',
  entryBytes: 4,
});
export const VPTE_64_NX = vpte({
  ...WITH_NX,
  id: 'vpte-64-nx',
  title: 'DragonFly 64-bit vpte, x86-like flags with NX in bit 11 (G5)',
  entryBytes: 8,
});
