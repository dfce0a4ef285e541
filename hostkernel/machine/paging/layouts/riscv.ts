/**
 * RISC-V paging, as descriptors: Sv32, Sv39, Sv48 and Sv57, and the second-stage formats Sv32x4 to Sv57x4 of the
 * hypervisor extension. Their tables differ in depth and width, not in rules.
 *
 *   63   62..61   60..59    58..54     53..10 (Sv32: 31..10)   9..8   7 6 5 4 3 2 1 0
 *   N    PBMT     software  reserved   frame                   RSW    D A G U X W R V
 *
 * A valid entry with R = W = X = 0 points to the next table. W without R is reserved. Permissions count in leaves
 * only. A and D are set by hardware (option `adue`), or ask for software by a fault. The second stage's root table is
 * four times as large, its addresses have no sign, and every access counts as the user's.
 * Source: RISC-V privileged specification 1.12, sections 4.3 to 4.5 and 8.5; Svadu, Svnapot, Svpbmt.
 */
import type { ClassPattern, GrantPattern, Hex, LayoutDescriptor, Level } from '../descriptor.ts';

const FRAME_32: Hex = '0xfffffc00';
const FRAME_64: Hex = '0x3ffffffffffc00';

/** Not in Sv32: the upper ten bits are reserved unless an extension says otherwise. */
const UPPER_BITS: readonly ClassPattern[] = [
  { mask: '0x0', value: '0x0', any: '0x7c0000000000000', as: 'reserved' },
  { mask: '0x0', value: '0x0', any: '0x1800000000000000', nopt: ['svrsw60t59b'], as: 'reserved' },
  { mask: '0x0', value: '0x0', any: '0x6000000000000000', nopt: ['svpbmt'], as: 'reserved' },
  { mask: '0x6000000000000000', value: '0x6000000000000000', as: 'reserved' },
  { mask: '0x0', value: '0x0', any: '0x8000000000000000', nopt: ['svnapot'], as: 'reserved' },
];

/** Svnapot: a 64 KiB range of level 0, whose frame bits 3..0 are 1000. Every other use of N is reserved. */
const RANGE_64K: ClassPattern = {
  mask: '0x8000000000003c00',
  value: '0x8000000000002000',
  as: 'leaf',
  pageShift: 16,
  frame: [{ mask: '0x3fffffffffc000', shl: 2 }],
};
const N_RESERVED: ClassPattern = { mask: '0x8000000000000000', value: '0x8000000000000000', as: 'reserved' };

function classify(level: Level, wide: boolean): readonly ClassPattern[] {
  const last = level.lo === 12;
  const frameLowBits: Hex = `0x${((2 ** (level.lo - 12) - 1) * 2 ** 10).toString(16)}`;
  return [
    { mask: '0x1', value: '0x0', as: 'invalid' },
    ...(wide ? UPPER_BITS : []),
    { mask: '0x6', value: '0x4', as: 'reserved' },
    { mask: '0xe', value: '0x0', any: wide ? '0xe0000000000000d0' : '0xd0', as: 'reserved' },
    { mask: '0xe', value: '0x0', ...(last ? ({ as: 'reserved', fault: 'not-leaf' } as const) : ({ as: 'table' } as const)) },
    ...(wide && last ? [RANGE_64K] : []),
    ...(wide ? [N_RESERVED] : []),
    ...(last ? [] : [{ mask: '0x0', value: '0x0', any: frameLowBits, as: 'reserved', fault: 'misaligned' } as const]),
    { mask: '0x0', value: '0x0', as: 'leaf' },
  ];
}

/** What U = 1 grants users. A second stage grants it to everyone. */
function grantsIfUser(mode: 'u' | 's'): readonly GrantPattern[] {
  return [
    { mask: '0x12', value: '0x12', grant: `${mode}r` },
    { mask: '0x14', value: '0x14', grant: `${mode}w` },
    { mask: '0x18', value: '0x18', grant: `${mode}x` },
    { mask: '0x18', value: '0x18', opt: ['mxr'], grant: `${mode}r` },
  ];
}

/** A supervisor uses pages of its own, those of users with `sum` and never to fetch. */
const SUPERVISOR: readonly GrantPattern[] = [
  { mask: '0x12', value: '0x2', grant: 'sr' },
  { mask: '0x14', value: '0x4', grant: 'sw' },
  { mask: '0x18', value: '0x8', grant: 'sx' },
  { mask: '0x18', value: '0x8', opt: ['mxr'], grant: 'sr' },
  { mask: '0x12', value: '0x12', opt: ['sum'], grant: 'sr' },
  { mask: '0x14', value: '0x14', opt: ['sum'], grant: 'sw' },
  { mask: '0x18', value: '0x18', opt: ['sum', 'mxr'], grant: 'sr' },
];

/** @param indexBits width of an index, the same on every level but a second stage's root */
function riscv(id: string, depth: number, indexBits: 9 | 10, stage: 1 | 2 = 1): LayoutDescriptor {
  const wide = indexBits === 9;
  const isSecond = stage === 2;
  const extra = isSecond ? 2 : 0;
  const vaBits = 12 + depth * indexBits + extra;
  const levels = Array.from({ length: depth }, (_, i): Level => {
    const level = depth - 1 - i;
    return { name: `L${level}`, lo: 12 + level * indexBits, bits: indexBits + (i === 0 ? extra : 0) };
  });
  const firstStageRule = wide ? ({ rule: 'sign', fault: 'noncanonical' } as const) : ({ rule: 'trunc' } as const);
  return {
    id,
    title: `RISC-V ${id}`,
    arch: 'riscv',
    kind: 'radix',
    ...(isSecond ? { stage: 2 } : {}),
    endian: 'le',
    entryBytes: wide ? 8 : 4,
    va: { bits: vaBits, ...(isSecond ? { rule: 'zero', fault: 'noncanonical' } : firstStageRule) },
    paBits: wide ? 56 : 34,
    options: { sum: 0, mxr: 0, adue: 1, ...(wide ? { svnapot: 0, svpbmt: 0, svrsw60t59b: 0 } : {}) },
    root: { kind: 'pointer', mask: isSecond ? '0xffffffffffc000' : '0xfffffffffff000' },
    offset: 'or',
    levels,
    classify: Object.fromEntries(levels.map((level) => [level.name, classify(level, wide)])),
    table: { '*': [{ mask: wide ? FRAME_64 : FRAME_32, shl: 2 }] },
    frame: { '*': [{ mask: wide ? FRAME_64 : FRAME_32, shl: 2 }] },
    perm: {
      check: 'leaf',
      combine: 'leaf',
      entry: [...grantsIfUser('u'), ...(isSecond ? grantsIfUser('s') : SUPERVISOR)],
      post: [],
    },
    ad: {
      fault: [
        { on: 'rwx', mask: '0x40', value: '0x0', nopt: ['adue'], kind: 'access-flag' },
        { on: 'w', mask: '0x80', value: '0x0', nopt: ['adue'], kind: 'dirty-flag' },
      ],
      set: [
        { at: 'leaf', on: 'rwx', opt: ['adue'], set: '0x40' },
        { at: 'leaf', on: 'w', opt: ['adue'], set: '0x80' },
      ],
    },
    carried: { global: '0x20' },
  };
}

export const SV32 = riscv('sv32', 2, 10);
export const SV39 = riscv('sv39', 3, 9);
export const SV48 = riscv('sv48', 4, 9);
export const SV57 = riscv('sv57', 5, 9);
export const SV32X4 = riscv('sv32x4', 2, 10, 2);
export const SV39X4 = riscv('sv39x4', 3, 9, 2);
export const SV48X4 = riscv('sv48x4', 4, 9, 2);
export const SV57X4 = riscv('sv57x4', 5, 9, 2);
