/**
 * Intel's extended page tables, as descriptors: the second stage of a virtual machine, from guest-physical addresses to
 * physical ones. (AMD's nested page tables are the ordinary x86-64 format, see `x86.ts`.)
 *
 *   51..12   11   10   9   8   7    6      5..3          2   1   0
 *   frame    -    XU   D   A   leaf iPAT   memory type   X   W   R
 *
 * R = W = X = 0 is not present. There is no user bit. Contradictions are misconfigurations, which the processor reports
 * apart from violations: W without R, X alone where execute-only is not supported, a reserved memory type (2, 3, 7) in
 * a leaf, bits 6..3 in a pointer, low frame bits in a large leaf. A and D only with `eptad`.
 * Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3, section 28.3.
 */
import type { ClassPattern, GrantPattern, Hex, LayoutDescriptor, Level } from '../descriptor.ts';

const ALWAYS = { mask: '0x0', value: '0x0' } as const;
const misconfig = (mask: Hex, value: Hex, any?: Hex): ClassPattern => ({
  mask,
  value,
  ...(any === undefined ? {} : { any }),
  fault: 'misconfig',
  as: 'reserved',
});

const COMMON: readonly ClassPattern[] = [
  { mask: '0x7', value: '0x0', as: 'invalid' },
  misconfig('0x3', '0x2'),
  { mask: '0x7', value: '0x4', nopt: ['xonly'], fault: 'misconfig', as: 'reserved' },
  { ...ALWAYS, any: '0xfc00000000000', opt: ['maxphys46'], fault: 'misconfig', as: 'reserved' },
];
const TABLE: ClassPattern = { ...ALWAYS, as: 'table' };

/** Levels that only have pointers. */
const UPPER: readonly ClassPattern[] = [...COMMON, misconfig('0x0', '0x0', '0xf8'), TABLE];

/** Levels with large leaves: bit 7 is set in one, with memory type 2, 3 or 7 or with `lowFrame` bits it contradicts itself. */
const directory = (lowFrame: Hex): readonly ClassPattern[] => [
  ...COMMON,
  misconfig('0x80', '0x80', lowFrame),
  misconfig('0xb8', '0x90'),
  misconfig('0xb8', '0x98'),
  misconfig('0xb8', '0xb8'),
  misconfig('0x80', '0x0', '0x78'),
  { mask: '0x80', value: '0x80', as: 'leaf' },
  TABLE,
];

const LAST: readonly ClassPattern[] = [
  ...COMMON,
  misconfig('0x38', '0x10'),
  misconfig('0x38', '0x18'),
  misconfig('0x38', '0x38'),
  { ...ALWAYS, as: 'leaf' },
];

const GRANTS = (['r', 'w', 'x'] as const).flatMap((letter, i): readonly GrantPattern[] => {
  const bit: Hex = `0x${(1 << i).toString(16)}`;
  return [
    { mask: bit, value: bit, grant: `u${letter}` },
    { mask: bit, value: bit, grant: `s${letter}` },
  ];
});

function ept(id: string, depth: 4 | 5): LayoutDescriptor {
  const names = ['EPML5', 'EPML4', 'EPDPT', 'EPD', 'EPT'].slice(-depth);
  return {
    id,
    title: `Intel EPT ${depth}-level (second stage)`,
    arch: 'x86',
    kind: 'radix',
    stage: 2,
    endian: 'le',
    entryBytes: 8,
    va: { bits: 12 + 9 * depth, rule: 'zero', fault: 'noncanonical' },
    paBits: 52,
    options: { xonly: 1, eptad: 0, maxphys46: 0 },
    root: { kind: 'pointer', mask: '0xffffffffff000' },
    offset: 'or',
    levels: names.map((name, i): Level => ({ name, lo: 12 + 9 * (depth - 1 - i), bits: 9 })),
    classify: {
      ...(depth === 5 ? { EPML5: UPPER } : {}),
      EPML4: UPPER,
      EPDPT: directory('0x3ffff000'),
      EPD: directory('0x1ff000'),
      EPT: LAST,
    },
    table: { '*': [{ mask: '0xffffffffff000', shl: 0 }] },
    frame: {
      EPT: [{ mask: '0xffffffffff000', shl: 0 }],
      EPD: [{ mask: '0xfffffffe00000', shl: 0 }],
      EPDPT: [{ mask: '0xfffffc0000000', shl: 0 }],
    },
    perm: { check: 'leaf', combine: 'and', entry: GRANTS, post: [] },
    ad: {
      fault: [],
      set: [
        { at: 'all', on: 'rwx', opt: ['eptad'], set: '0x100' },
        { at: 'leaf', on: 'w', opt: ['eptad'], set: '0x200' },
      ],
    },
    tableReadsWriteOpt: 'eptad',
  };
}

export const EPT_4L = ept('ept-4l', 4);
export const EPT_5L = ept('ept-5l', 5);
