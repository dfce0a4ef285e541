/**
 * ARMv8-A stage 1, as descriptors: granules of 4, 16 and 64 KiB.
 *
 *   63..59          58..55     54    53    52           51    47..12        11   10   9..8   7       6       4..2   1      0
 *   (pointers)      software   UXN   PXN   contiguous   DBM   frame, table  nG   AF   SH     AP[2]   AP[1]   Attr   type   valid
 *    |
 *    63 NSTable  62..61 APTable: 62 read-only below, 61 no EL0 access below  60 UXNTable  59 PXNTable
 *
 * Above the last level type 1 is a table and type 0 a block, which only some levels have; on the last level type must
 * be 1. AP[1] lets EL0 in, AP[2] *forbids* writes, UXN and PXN forbid fetches; a page that EL0 can write is never
 * executable at EL1. What pointers forbid holds for everything below. Two roots: addresses of zeros on top are TTBR0's,
 * of ones TTBR1's.
 *
 * AF is for software to set (a missing one is a fault) unless `ha`. There is no dirty bit, but with `hd` an entry with
 * DBM is writable and AP[2] means clean: the first write clears it.
 * Source: Arm Architecture Reference Manual for A-profile architecture (DDI 0487), chapter D8.
 */
import type { AddressPart, ClassPattern, GrantPattern, Hex, LayoutDescriptor, Level } from '../descriptor.ts';

const ALWAYS = { mask: '0x0', value: '0x0' } as const;
const NOT_VALID: ClassPattern = { mask: '0x1', value: '0x0', as: 'invalid' };
const TYPE_0: ClassPattern = { mask: '0x3', value: '0x1', as: 'invalid' };
const TOO_WIDE: ClassPattern = { ...ALWAYS, any: '0xff0000000000', opt: ['pa40'], as: 'reserved', fault: 'address-size' };

const ONLY_TABLES: readonly ClassPattern[] = [NOT_VALID, TYPE_0, TOO_WIDE, { ...ALWAYS, as: 'table' }];
const TABLES_AND_BLOCKS: readonly ClassPattern[] = [
  NOT_VALID,
  TOO_WIDE,
  { mask: '0x3', value: '0x3', as: 'table' },
  { ...ALWAYS, as: 'leaf' },
];
const PAGES: readonly ClassPattern[] = [NOT_VALID, TYPE_0, TOO_WIDE, { ...ALWAYS, as: 'leaf' }];

const GRANTS: readonly GrantPattern[] = [
  { ...ALWAYS, grant: 'sr' },
  { mask: '0x40', value: '0x40', grant: 'ur' },
  { mask: '0x80', value: '0x0', grant: 'sw' },
  { mask: '0xc0', value: '0x40', grant: 'uw' },
  { mask: '0x8000000000080', value: '0x8000000000080', opt: ['hd'], grant: 'sw' },
  { mask: '0x80000000000c0', value: '0x80000000000c0', opt: ['hd'], grant: 'uw' },
  { mask: '0x40000000000000', value: '0x0', grant: 'ux' },
  { mask: '0x20000000000000', value: '0x0', grant: 'sx' },
];

/** What a pointer leaves to the entries below it. */
const TABLE_GRANTS: readonly GrantPattern[] = [
  { ...ALWAYS, grant: 'sr' },
  { mask: '0x2000000000000000', value: '0x0', grant: 'ur' },
  { mask: '0x4000000000000000', value: '0x0', grant: 'sw' },
  { mask: '0x6000000000000000', value: '0x0', grant: 'uw' },
  { mask: '0x1000000000000000', value: '0x0', grant: 'ux' },
  { mask: '0x800000000000000', value: '0x0', grant: 'sx' },
];

interface Family {
  readonly id: string;
  readonly granule: 12 | 14 | 16; // log2 of its bytes
  readonly vaBits: 39 | 47 | 48;
  readonly rootMask: Hex; // a root table smaller than a granule is aligned to its size
  readonly blocks: readonly string[]; // levels that have them
  readonly contiguous: Readonly<Record<string, number>>;
}

function armv8({ id, granule, vaBits, rootMask, blocks, contiguous }: Family): LayoutDescriptor {
  const width = granule - 3; // index bits of a full table
  const depth = Math.ceil((vaBits - granule) / width);
  const levels = Array.from({ length: depth }, (_, i): Level => {
    const lo = granule + (depth - 1 - i) * width;
    return { name: `L${4 - depth + i}`, lo, bits: Math.min(width, vaBits - lo) };
  });
  const from = (lo: number): readonly AddressPart[] => [{ mask: `0x${(2 ** 48 - 2 ** lo).toString(16)}`, shl: 0 }];
  const rulesOf = ({ name }: Level) => {
    if (name === 'L3') return PAGES;
    return blocks.includes(name) ? TABLES_AND_BLOCKS : ONLY_TABLES;
  };
  return {
    id,
    title: `ARMv8-A stage 1, ${2 ** (granule - 10)} KiB granule, ${vaBits}-bit VA`,
    arch: 'armv8',
    kind: 'radix',
    endian: 'le',
    entryBytes: 8,
    va: { bits: vaBits, rule: 'split', fault: 'not-present' },
    paBits: 48,
    options: { ha: 0, hd: 0, pa40: 0 },
    root: { kind: 'pointer', mask: rootMask },
    offset: 'or',
    levels,
    classify: Object.fromEntries(levels.map((level) => [level.name, rulesOf(level)])),
    table: { '*': from(granule) },
    frame: Object.fromEntries(levels.map((level) => [level.name, from(level.lo)])),
    perm: { check: 'leaf', combine: 'and', entry: GRANTS, tableEntry: TABLE_GRANTS, post: [{ has: 'uw', del: 'sx' }] },
    ad: {
      fault: [{ on: 'rwx', mask: '0x400', value: '0x0', nopt: ['ha'], kind: 'access-flag', before: 'perm' }],
      set: [
        { at: 'leaf', on: 'rwx', opt: ['ha'], set: '0x400' },
        { at: 'leaf', on: 'w', opt: ['hd'], mask: '0x8000000000000', value: '0x8000000000000', clear: '0x80' },
      ],
    },
    contiguous: { bit: 52, entries: contiguous },
  };
}

export const ARMV8_4K_48 = armv8({
  id: 'armv8-4k-48',
  granule: 12,
  vaBits: 48,
  rootMask: '0xfffffffff000',
  blocks: ['L1', 'L2'],
  contiguous: { L3: 16, L2: 16, L1: 16 },
});
export const ARMV8_4K_39 = armv8({
  id: 'armv8-4k-39',
  granule: 12,
  vaBits: 39,
  rootMask: '0xfffffffff000',
  blocks: ['L1', 'L2'],
  contiguous: { L3: 16, L2: 16, L1: 16 },
});
export const ARMV8_16K_48 = armv8({
  id: 'armv8-16k-48',
  granule: 14,
  vaBits: 48,
  rootMask: '0xfffffffffff0', // two entries
  blocks: ['L2'],
  contiguous: { L3: 128, L2: 32 },
});
export const ARMV8_16K_47 = armv8({
  id: 'armv8-16k-47',
  granule: 14,
  vaBits: 47,
  rootMask: '0xffffffffc000',
  blocks: ['L2'],
  contiguous: { L3: 128, L2: 32 },
});
export const ARMV8_64K_48 = armv8({
  id: 'armv8-64k-48',
  granule: 16,
  vaBits: 48,
  rootMask: '0xfffffffffe00', // 64 entries
  blocks: ['L2'],
  contiguous: { L3: 32, L2: 32 },
});
