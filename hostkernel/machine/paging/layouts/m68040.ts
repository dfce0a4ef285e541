/**
 * Motorola 68040 paging, as descriptors: three levels, pages of 4 or 8 KiB, most significant byte first.
 *
 *   root, pointer   table address 31..9 (31..8, 8K: 31..7)            U=3   W=2   UDT=1..0: bit 1 = resident
 *   page            frame 31..12 (31..13)   G=10   S=7   CM=6..5   M=4   U=3   W=2   PDT=1..0
 *                                                         PDT: 00 invalid, 10 indirect, 01 and 11 resident
 *
 * W *forbids* writes, at any level, and is noticed at that level. S, supervisor only, is in page descriptors. U is set
 * in every descriptor used, M in the page descriptor. An indirect descriptor names the address of the page descriptor,
 * which is the one that is judged and updated; it may not be indirect itself.
 * Source: M68040 User's Manual, section 3.
 */
import type { Hex, LayoutDescriptor } from '../descriptor.ts';

const ALWAYS = { mask: '0x0', value: '0x0' } as const;
const DIRECTORY = [
  { mask: '0x2', value: '0x0', as: 'invalid' },
  { ...ALWAYS, as: 'table' },
] as const;

function m68040(kilobytes: 4 | 8, pageTableMask: Hex, frameMask: Hex): LayoutDescriptor {
  const pageBits = kilobytes === 4 ? 12 : 13;
  return {
    id: `m68040-${kilobytes}k`,
    title: `Motorola 68040 three-level, ${kilobytes} KiB pages`,
    arch: 'm68k',
    kind: 'radix',
    endian: 'be',
    entryBytes: 4,
    va: { bits: 32, rule: 'trunc' },
    paBits: 32,
    options: {},
    root: { kind: 'pointer', mask: '0xfffffe00' },
    offset: 'or',
    levels: [
      { name: 'ROOT', lo: 25, bits: 7 },
      { name: 'PTR', lo: 18, bits: 7 },
      { name: 'PAGE', lo: pageBits, bits: 18 - pageBits },
    ],
    classify: {
      ROOT: DIRECTORY,
      PTR: DIRECTORY,
      PAGE: [
        { mask: '0x3', value: '0x0', as: 'invalid' },
        { mask: '0x3', value: '0x2', as: 'indirect', ptr: [{ mask: '0xfffffffc', shl: 0 }] },
        { ...ALWAYS, as: 'leaf' },
      ],
    },
    table: { ROOT: [{ mask: '0xfffffe00', shl: 0 }], PTR: [{ mask: pageTableMask, shl: 0 }] },
    frame: { PAGE: [{ mask: frameMask, shl: 0 }] },
    perm: {
      check: 'each',
      combine: 'and',
      entry: [
        { mask: '0x80', value: '0x0', grant: 'ur' },
        { mask: '0x80', value: '0x0', grant: 'ux' },
        { ...ALWAYS, grant: 'sr' },
        { ...ALWAYS, grant: 'sx' },
        { mask: '0x84', value: '0x0', grant: 'uw' },
        { mask: '0x4', value: '0x0', grant: 'sw' },
      ],
      tableEntry: [
        { ...ALWAYS, grant: 'ur' },
        { ...ALWAYS, grant: 'ux' },
        { ...ALWAYS, grant: 'sr' },
        { ...ALWAYS, grant: 'sx' },
        { mask: '0x4', value: '0x0', grant: 'uw' },
        { mask: '0x4', value: '0x0', grant: 'sw' },
      ],
      post: [],
    },
    ad: {
      fault: [],
      set: [
        { at: 'all', on: 'rwx', set: '0x8' },
        { at: 'leaf', on: 'w', set: '0x10' },
      ],
    },
    carried: { global: '0x400' },
  };
}

export const M68040_4K = m68040(4, '0xffffff00', '0xfffff000');
export const M68040_8K = m68040(8, '0xffffff80', '0xffffe000');
