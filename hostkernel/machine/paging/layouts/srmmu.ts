/**
 * The SPARC V8 reference MMU, as a descriptor: a table of contexts, then three levels; most significant byte first.
 *
 *   pointer (ET=1)   31..2  address bits 35..6 of the next table                    1..0 ET
 *   entry   (ET=2)   31..8  frame (address bits 35..12)   C=7   M=6   R=5   ACC=4..2   1..0 ET
 *
 *   ACC    0     1     2     3      4    5           6             7
 *   user   r     rw    rx    rwx    x    r           -             -
 *   super  r     rw    rx    rwx    x    rw          rx            rwx
 *
 * ET = 0 is invalid, 3 reserved. A context is one fixed entry: its index is in a register, not in the address. Entries
 * of the first two tables are leaves of 16 MiB and 256 KiB. R is set on any use, M on writes.
 * Source: The SPARC Architecture Manual, version 8, appendix H.
 */
import type { ClassPattern, Grant, GrantPattern, Hex, LayoutDescriptor } from '../descriptor.ts';

const ACC: readonly (readonly Grant[])[] = [
  ['ur', 'sr'],
  ['ur', 'sr', 'uw', 'sw'],
  ['ur', 'sr', 'ux', 'sx'],
  ['ur', 'uw', 'ux', 'sr', 'sw', 'sx'],
  ['ux', 'sx'],
  ['ur', 'sr', 'sw'],
  ['sr', 'sx'],
  ['sr', 'sw', 'sx'],
];
const GRANTS = ACC.flatMap((grants, acc) => {
  const value: Hex = `0x${(acc << 2).toString(16)}`;
  return grants.map((grant): GrantPattern => ({ mask: '0x1c', value, grant }));
});

const INVALID: ClassPattern = { mask: '0x3', value: '0x0', as: 'invalid' };
const ET_3: ClassPattern = { mask: '0x3', value: '0x3', as: 'reserved' };
const LEAF: ClassPattern = { mask: '0x0', value: '0x0', as: 'leaf' };
const DIRECTORY: readonly ClassPattern[] = [INVALID, ET_3, { mask: '0x3', value: '0x1', as: 'table' }, LEAF];

export const SPARC_SRMMU: LayoutDescriptor = {
  id: 'sparc-srmmu',
  title: 'SPARC V8 reference MMU (context table + 3 levels)',
  arch: 'sparc',
  kind: 'radix',
  endian: 'be',
  entryBytes: 4,
  va: { bits: 32, rule: 'trunc' },
  paBits: 36,
  options: {},
  root: { kind: 'pointer', mask: '0xffffffffc' },
  offset: 'or',
  levels: [
    { name: 'CTX', lo: 32, bits: 0 },
    { name: 'L1', lo: 24, bits: 8 },
    { name: 'L2', lo: 18, bits: 6 },
    { name: 'L3', lo: 12, bits: 6 },
  ],
  classify: {
    CTX: [INVALID, ET_3, { mask: '0x3', value: '0x2', as: 'reserved' }, { mask: '0x0', value: '0x0', as: 'table' }],
    L1: DIRECTORY,
    L2: DIRECTORY,
    L3: [INVALID, ET_3, { mask: '0x3', value: '0x1', as: 'reserved' }, LEAF],
  },
  table: { '*': [{ mask: '0xfffffffc', shl: 4 }] },
  frame: {
    L3: [{ mask: '0xffffff00', shl: 4 }],
    L2: [{ mask: '0xffffc000', shl: 4 }],
    L1: [{ mask: '0xfff00000', shl: 4 }],
  },
  perm: { check: 'leaf', combine: 'leaf', entry: GRANTS, post: [] },
  ad: {
    fault: [],
    set: [
      { at: 'leaf', on: 'rwx', set: '0x20' },
      { at: 'leaf', on: 'w', set: '0x40' },
    ],
  },
};
