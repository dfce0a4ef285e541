/**
 * Power ISA 3.0 radix trees, as descriptors: 52 bits of address in four levels, most significant byte first.
 *
 *            63   62    59..8                                           4..0
 *   pointer  V    L=0   address of the next table                       NLS: its index bits
 *   leaf     V    L=1   56..12 frame     8 R   7 C   5..4 attribute   3 privileged   2 read   1 read, write   0 execute
 *
 * The tree describes its own shape: a pointer says how wide the next table is. Two shapes are supported, 13-9-9-9 with
 * 4 KiB pages and 13-9-9-5 with 64 KiB pages; any other width, a leaf in the root and a pointer on the last level are bad
 * configurations. Attribute 2 (non-idempotent I/O) forbids fetches. R is set on any access, C on a write.
 * Address bits 63..62 choose among roots, bits 61..52 must be zero.
 * Source: Power ISA 3.0 B, book III, section 5.7.10.
 */
import type { ClassPattern, GrantPattern, Hex, LayoutDescriptor } from '../descriptor.ts';

const INVALID: ClassPattern = { mask: '0x8000000000000000', value: '0x0', as: 'invalid' };
const LEAF: ClassPattern = { mask: '0x4000000000000000', value: '0x4000000000000000', as: 'leaf' };
const BAD: ClassPattern = { mask: '0x0', value: '0x0', as: 'reserved' };

const pointer = (nextBits: number): ClassPattern => ({ mask: '0x1f', value: `0x${nextBits.toString(16)}`, as: 'table' });
const directory = (nextBits: number): readonly ClassPattern[] => [INVALID, LEAF, pointer(nextBits), BAD];
const frame = (lo: number) => [{ mask: `0x${(2n ** 57n - 2n ** BigInt(lo)).toString(16)}` as Hex, shl: 0 }];

/** Bit 0 with attribute 0, 1 or 3. */
const FETCHABLE = [0x01, 0x11, 0x31];
const GRANTS: readonly GrantPattern[] = [
  { mask: '0xc', value: '0x4', grant: 'ur' },
  { mask: '0xa', value: '0x2', grant: 'ur' },
  { mask: '0xa', value: '0x2', grant: 'uw' },
  ...FETCHABLE.map((bits): GrantPattern => ({ mask: '0x39', value: `0x${bits.toString(16)}`, grant: 'ux' })),
  { mask: '0x4', value: '0x4', grant: 'sr' },
  { mask: '0x2', value: '0x2', grant: 'sr' },
  { mask: '0x2', value: '0x2', grant: 'sw' },
  ...FETCHABLE.map((bits): GrantPattern => ({ mask: '0x31', value: `0x${bits.toString(16)}`, grant: 'sx' })),
];

function power(id: string, lastBits: 9 | 5): LayoutDescriptor {
  const pageBits = 21 - lastBits;
  return {
    id,
    title: `POWER ISA 3.0 radix, 13/9/9/${lastBits}`,
    arch: 'power',
    kind: 'radix',
    endian: 'be',
    entryBytes: 8,
    va: { bits: 52, rule: 'maskzero', mask: '0x3ff0000000000000', fault: 'noncanonical' },
    paBits: 57,
    options: {},
    root: { kind: 'pointer', mask: '0xfffffffffff0000' },
    offset: 'or',
    levels: [
      { name: 'PGD', lo: 39, bits: 13 },
      { name: 'PUD', lo: 30, bits: 9 },
      { name: 'PMD', lo: 21, bits: 9 },
      { name: 'PTE', lo: pageBits, bits: lastBits },
    ],
    classify: {
      PGD: [INVALID, { mask: LEAF.mask, value: LEAF.value, as: 'reserved' }, pointer(9), BAD],
      PUD: directory(9),
      PMD: directory(lastBits),
      PTE: [INVALID, LEAF, BAD],
    },
    table: { '*': [{ mask: '0xfffffffffffff00', shl: 0 }] },
    nextBits: { mask: '0x1f' },
    frame: { PGD: frame(39), PUD: frame(30), PMD: frame(21), PTE: frame(pageBits) },
    perm: { check: 'leaf', combine: 'leaf', entry: GRANTS, post: [] },
    ad: {
      fault: [],
      set: [
        { at: 'leaf', on: 'rwx', set: '0x100' },
        { at: 'leaf', on: 'w', set: '0x80' },
      ],
    },
  };
}

export const POWER_RADIX_4K = power('power-radix-4k', 9);
export const POWER_RADIX_64K = power('power-radix-64k', 5);
