/**
 * IA-32 and x86-64 paging, as descriptors: two levels without and with 4 MiB pages, PAE, four and five levels.
 *
 *   63   62..59  58..52   51..12   11..9   8   7   6   5   4     3     2     1     0
 *   XD   key     ignored  frame    AVL     G   PS  D   A   PCD   PWT   U/S   R/W   P         (4-byte entries: 31..0)
 *
 *   level        IA-32        PAE          64-bit
 *   index        10-10        2-9-9        9-9-9-9 (-9)
 *   PS is leaf   4 MiB (PSE)  2 MiB        2 MiB, 1 GiB
 *
 * PS counts in directories only; in the last table bit 7 is PAT. A large leaf has its PAT in bit 12 and reserves the
 * bits between it and its frame. PSE-36 puts address bits 39..32 of a 4 MiB page into bits 20..13. User, write and fetch
 * permissions are the AND over all levels. A is set in every entry used, D in the leaf. The four entries of PAE's first
 * table have no permissions and no A.
 * Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3, chapter 4.
 */
import type { AddressPart, ClassPattern, GrantPattern, Hex, LayoutDescriptor, Level, OptionValues, PostRule } from '../descriptor.ts';

const ALWAYS = { mask: '0x0', value: '0x0' } as const;
const NOT_PRESENT: ClassPattern = { mask: '0x1', value: '0x0', as: 'invalid' };
const TABLE: ClassPattern = { ...ALWAYS, as: 'table' };
const PAGE: ClassPattern = { ...ALWAYS, as: 'leaf' };
const LARGE_PAGE: ClassPattern = { mask: '0x80', value: '0x80', as: 'leaf' };
const XD_WITHOUT_NXE: ClassPattern = { ...ALWAYS, any: '0x8000000000000000', nopt: ['nxe'], as: 'reserved' };

const reserved = (any: Hex): ClassPattern => ({ ...ALWAYS, any, as: 'reserved' });
const reservedIfLarge = (any: Hex): ClassPattern => ({ mask: '0x80', value: '0x80', any, as: 'reserved' });

const FRAME_64: readonly AddressPart[] = [{ mask: '0xffffffffff000', shl: 0 }];
const FRAME_2M: readonly AddressPart[] = [{ mask: '0xfffffffe00000', shl: 0 }];
const FRAME_1G: readonly AddressPart[] = [{ mask: '0xfffffc0000000', shl: 0 }];

/** Without XD everything present may be fetched. */
const GRANTS: readonly GrantPattern[] = [
  { ...ALWAYS, grant: 'sr' },
  { mask: '0x4', value: '0x4', grant: 'ur' },
  { mask: '0x2', value: '0x2', grant: 'sw' },
  { mask: '0x6', value: '0x6', grant: 'uw' },
];
const FETCH: readonly GrantPattern[] = [
  { ...ALWAYS, grant: 'sx' },
  { mask: '0x4', value: '0x4', grant: 'ux' },
];
const FETCH_NX: readonly GrantPattern[] = [
  ...FETCH.map((pattern): GrantPattern => ({ ...pattern, nopt: ['nxe'] })),
  { mask: '0x8000000000000000', value: '0x0', opt: ['nxe'], grant: 'sx' },
  { mask: '0x8000000000000004', value: '0x4', opt: ['nxe'], grant: 'ux' },
];

/** CR0.WP, CR4.SMEP and CR4.SMAP: what a supervisor may do beyond, or not even, what the entries say. */
const SUPERVISOR: readonly PostRule[] = [
  { nopt: ['wp'], has: 'sr', add: 'sw' },
  { opt: ['smep'], has: 'ur', del: 'sx' },
  { opt: ['smap'], has: 'ur', del: 'sr' },
  { opt: ['smap'], has: 'ur', del: 'sw' },
];

interface Family {
  readonly id: string;
  readonly title: string;
  readonly rootMask: Hex;
  readonly entryBytes: 4 | 8;
  readonly va: LayoutDescriptor['va'];
  readonly paBits: number;
  readonly options?: OptionValues; // beside wp, smep, smap
  readonly levels: readonly Level[];
  readonly classify: LayoutDescriptor['classify'];
  readonly table: readonly AddressPart[];
  readonly frame: LayoutDescriptor['frame'];
  readonly bare?: readonly string[]; // levels without permissions and A
}

function x86(family: Family): LayoutDescriptor {
  const { id, title, rootMask, entryBytes, va, paBits, options, levels, classify, table, frame, bare } = family;
  const skip = bare === undefined ? {} : { skip: bare };
  return {
    id,
    title,
    arch: 'x86',
    kind: 'radix',
    endian: 'le',
    entryBytes,
    va,
    paBits,
    options: { wp: 1, smep: 0, smap: 0, ...options },
    root: { kind: 'pointer', mask: rootMask },
    offset: 'or',
    levels,
    classify,
    table: { '*': table },
    frame,
    perm: { check: 'leaf', combine: 'and', entry: [...GRANTS, ...(entryBytes === 8 ? FETCH_NX : FETCH)], post: SUPERVISOR, ...skip },
    ad: {
      fault: [],
      set: [
        { at: 'all', ...skip, on: 'rwx', set: '0x20' },
        { at: 'leaf', on: 'w', set: '0x40' },
      ],
    },
    carried: { global: '0x100' },
  };
}

const LEVELS_32: readonly Level[] = [
  { name: 'PD', lo: 22, bits: 10 },
  { name: 'PT', lo: 12, bits: 10 },
];
const FRAME_32: readonly AddressPart[] = [{ mask: '0xfffff000', shl: 0 }];

export const I386_2L = x86({
  id: 'i386-2l',
  title: 'IA-32 two-level, 4 KiB pages only (CR4.PSE=0)',
  rootMask: '0xfffff000',
  entryBytes: 4,
  va: { bits: 32, rule: 'trunc' },
  paBits: 32,
  levels: LEVELS_32,
  classify: { PD: [NOT_PRESENT, TABLE], PT: [NOT_PRESENT, PAGE] },
  table: FRAME_32,
  frame: { PT: FRAME_32 },
});

export const I386_PSE = x86({
  id: 'i386-pse',
  title: 'IA-32 two-level with 4 MiB pages, PSE-36 40-bit (CR4.PSE=1, MAXPHYADDR 40)',
  rootMask: '0xfffff000',
  entryBytes: 4,
  va: { bits: 32, rule: 'trunc' },
  paBits: 40,
  levels: LEVELS_32,
  classify: { PD: [NOT_PRESENT, reservedIfLarge('0x200000'), LARGE_PAGE, TABLE], PT: [NOT_PRESENT, PAGE] },
  table: FRAME_32,
  frame: {
    PT: FRAME_32,
    PD: [
      { mask: '0xffc00000', shl: 0 },
      { mask: '0x1fe000', shl: 19 }, // PSE-36
    ],
  },
});

const PAE_UPPER = reserved('0x7ff0000000000000'); // bits 62..52

export const I386_PAE = x86({
  id: 'i386-pae',
  title: 'IA-32 PAE three-level, MAXPHYADDR 52',
  rootMask: '0xffffffe0', // four entries, aligned to their size
  entryBytes: 8,
  va: { bits: 32, rule: 'trunc' },
  paBits: 52,
  options: { nxe: 1 },
  levels: [
    { name: 'PDPT', lo: 30, bits: 2 },
    { name: 'PD', lo: 21, bits: 9 },
    { name: 'PT', lo: 12, bits: 9 },
  ],
  classify: {
    PDPT: [NOT_PRESENT, reserved('0xfff00000000001e6'), TABLE],
    PD: [NOT_PRESENT, PAE_UPPER, XD_WITHOUT_NXE, reservedIfLarge('0x1fe000'), LARGE_PAGE, TABLE],
    PT: [NOT_PRESENT, PAE_UPPER, XD_WITHOUT_NXE, PAGE],
  },
  table: FRAME_64,
  frame: { PT: FRAME_64, PD: FRAME_2M },
  bare: ['PDPT'],
});

const WIDE: readonly ClassPattern[] = [
  NOT_PRESENT,
  { ...ALWAYS, any: '0xfc00000000000', opt: ['maxphys46'], as: 'reserved' },
  XD_WITHOUT_NXE,
];

/** 64-bit paging. Upper directories have no leaves: PS is reserved in them. */
function x8664(id: string, depth: 4 | 5): LayoutDescriptor {
  const names = ['PML5', 'PML4', 'PDPT', 'PD', 'PT'].slice(-depth);
  const upper = [...WIDE, reserved('0x80'), TABLE];
  return x86({
    id,
    title: `x86-64 ${depth}-level, 4K/2M/1G pages`,
    rootMask: '0xffffffffff000',
    entryBytes: 8,
    va: { bits: 12 + 9 * depth, rule: 'sign', fault: 'noncanonical' },
    paBits: 52,
    options: { nxe: 1, page1g: 1, maxphys46: 0 },
    levels: names.map((name, i): Level => ({ name, lo: 12 + 9 * (depth - 1 - i), bits: 9 })),
    classify: {
      ...(depth === 5 ? { PML5: upper } : {}),
      PML4: upper,
      PDPT: [...WIDE, reservedIfLarge('0x3fffe000'), { mask: '0x80', value: '0x80', nopt: ['page1g'], as: 'reserved' }, LARGE_PAGE, TABLE],
      PD: [...WIDE, reservedIfLarge('0x1fe000'), LARGE_PAGE, TABLE],
      PT: [...WIDE, PAGE],
    },
    table: FRAME_64,
    frame: { PT: FRAME_64, PD: FRAME_2M, PDPT: FRAME_1G },
  });
}

export const X86_64_4L = x8664('x86-64-4l', 4);
export const X86_64_5L = x8664('x86-64-5l', 5);
