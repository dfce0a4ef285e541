/**
 * ARMv7-A short descriptors, as a descriptor (SCTLR.AFE = 0).
 *
 *   first level    31..20   19..18   17..15    14..12  11..10     9   8..5      4    3..2   1..0
 *   table          table address 31..10                               domain         PXN=2  01
 *   section 1M     frame      0      AP[2]=15          AP[1:0]        domain    XN          1 PXN
 *   supersection   31..24; 23..20 = address 35..32; bit 18 = 1; 8..5 = address 39..36, the domain is 0
 *
 *   second level   31..16   15   14..12   11   10   9      8..6   5..4      3..2   1..0
 *   large 64K      frame    XN                      AP[2]         AP[1:0]          01
 *   small 4K       frame 31..12                     AP[2]         AP[1:0]          1 XN
 *
 * The root table has 4096 entries (16 KiB), a second-level table 256: 1 KiB, four to a page. A large page's entry is
 * repeated 16 times, a supersection's too. Fetching takes the right to read. There is no accessed or dirty bit.
 *
 * Each first-level entry but a supersection's belongs to one of 16 domains, and two bits of the register `dacr` say what
 * that means: 0 no access, 1 the permissions decide, 3 everything is permitted.
 * Source: Arm Architecture Reference Manual ARMv7-A and ARMv7-R edition (DDI 0406), section B3.5.
 */
import type { GrantPattern, Hex, LayoutDescriptor } from '../descriptor.ts';

/** AP[2:0], what each value grants without the fetch; 000 and 100 grant nothing. */
const ACCESS = {
  1: ['sr', 'sw'],
  2: ['sr', 'sw', 'ur'],
  3: ['sr', 'sw', 'ur', 'uw'],
  5: ['sr'],
  6: ['sr', 'ur'],
  7: ['sr', 'ur'],
} as const;

interface Fields {
  readonly type: { readonly mask: number; readonly value: number }; // of the entries meant
  readonly ap: (value: number) => number; // AP[2:0] in place
  readonly xn: number; //  forbids fetches
  readonly pxn: number; // forbids privileged ones
}

/** The grants of one kind of leaf: reads and writes as AP says, fetches where reading is granted and XN, PXN are clear. */
function grantsOf({ type, ap, xn, pxn }: Fields): readonly GrantPattern[] {
  const pattern = (value: number, clear: number, grant: GrantPattern['grant']): GrantPattern => ({
    mask: hex(type.mask | ap(7) | clear),
    value: hex(type.value | ap(value)),
    grant,
  });
  return Object.entries(ACCESS).flatMap(([key, grants]) => {
    const value = Number(key);
    return [
      ...grants.map((grant) => pattern(value, 0, grant)),
      pattern(value, xn | pxn, 'sx'),
      ...(grants.some((grant) => grant === 'ur') ? [pattern(value, xn, 'ux')] : []),
    ];
  });
}

function hex(bits: number): Hex {
  return `0x${bits.toString(16)}`;
}

const SECTION = grantsOf({ type: { mask: 0, value: 0 }, ap: (n) => ((n & 4) << 13) | ((n & 3) << 10), xn: 0x10, pxn: 0x1 });
const SMALL_PAGE = grantsOf({ type: { mask: 0x2, value: 0x2 }, ap: (n) => ((n & 4) << 7) | ((n & 3) << 4), xn: 0x1, pxn: 0 });
const LARGE_PAGE = grantsOf({ type: { mask: 0x3, value: 0x1 }, ap: (n) => ((n & 4) << 7) | ((n & 3) << 4), xn: 0x8000, pxn: 0 });

export const ARMV7_SHORT: LayoutDescriptor = {
  id: 'armv7-short',
  title: 'ARMv7-A short descriptors (AFE=0, PXN supported)',
  arch: 'armv7',
  kind: 'radix',
  endian: 'le',
  entryBytes: 4,
  va: { bits: 32, rule: 'trunc' },
  paBits: 40,
  options: { dacr: '0x55555555' },
  root: { kind: 'pointer', mask: '0xffffc000' },
  offset: 'or',
  levels: [
    { name: 'L1', lo: 20, bits: 12 },
    { name: 'L2', lo: 12, bits: 8 },
  ],
  classify: {
    L1: [
      { mask: '0x3', value: '0x0', as: 'invalid' },
      { mask: '0x3', value: '0x1', as: 'table' },
      {
        mask: '0x40000',
        value: '0x40000',
        as: 'leaf',
        pageShift: 24,
        frame: [
          { mask: '0xff000000', shl: 0 },
          { mask: '0xf00000', shl: 12 },
          { mask: '0x1e0', shl: 31 },
        ],
      },
      { mask: '0x0', value: '0x0', as: 'leaf' },
    ],
    L2: [
      { mask: '0x3', value: '0x0', as: 'invalid' },
      { mask: '0x3', value: '0x1', as: 'leaf', pageShift: 16, frame: [{ mask: '0xffff0000', shl: 0 }] },
      { mask: '0x0', value: '0x0', as: 'leaf' },
    ],
  },
  table: { '*': [{ mask: '0xfffffc00', shl: 0 }] },
  frame: { L1: [{ mask: '0xfff00000', shl: 0 }], L2: [{ mask: '0xfffff000', shl: 0 }] },
  domain: { at: 'L1', mask: '0x1e0', shr: 5, skipIf: { mask: '0x40002', value: '0x40002', domain: 0 }, reg: 'dacr' },
  perm: {
    check: 'leaf',
    combine: 'and',
    entryAt: { L1: SECTION, L2: [...SMALL_PAGE, ...LARGE_PAGE] },
    tableEntry: [
      { mask: '0x0', value: '0x0', grant: 'ur' },
      { mask: '0x0', value: '0x0', grant: 'uw' },
      { mask: '0x0', value: '0x0', grant: 'ux' },
      { mask: '0x0', value: '0x0', grant: 'sr' },
      { mask: '0x0', value: '0x0', grant: 'sw' },
      { mask: '0x4', value: '0x0', grant: 'sx' },
    ],
    post: [],
  },
  ad: { fault: [], set: [] },
};
