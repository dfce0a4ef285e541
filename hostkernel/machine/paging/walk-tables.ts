/**
 * The refusals of walks, and what both compiled walks (`walk.ts`, `plain-walk.ts`) prepare from a descriptor beyond
 * `entries.ts`: flat tables by level, or by level and pattern, and lists that are empty in most formats.
 */
import { type Access, EXEC, READ, WRITE } from '../../base/units.ts';
import { type FaultKind, halves, inForce, type LayoutDescriptor, type Options } from './descriptor.ts';
import { type Geometry, leafShapeOf, type LeafShape, type Part, partsOf, signed, tablePartsOf, type Update, updatesOf } from './entries.ts';
import { LayoutError } from './layout-error.ts';
import { type Classification, type Rule, ruleOf } from './rules.ts';

/** What a walk returns: the translation is in the result, or why there is none. */
export const WALK_HIT = 0;
export const WALK_NONCANONICAL = 1;
export const WALK_NOT_PRESENT = 2;
export const WALK_RESERVED = 3;
export const WALK_MISALIGNED = 4;
export const WALK_NOT_LEAF = 5;
export const WALK_PROTECTION = 6;
export const WALK_ACCESS_FLAG = 7;
export const WALK_DIRTY_FLAG = 8;
export const WALK_BUS = 9; // a table outside RAM: an access fault, not a page fault
export const WALK_MISCONFIG = 10;
export const WALK_ADDRESS_SIZE = 11;
export const WALK_DOMAIN = 12;

/** The name of each refusal; null for WALK_HIT. */
export const WALK_FAULTS: readonly (FaultKind | null)[] = [
  null,
  'noncanonical',
  'not-present',
  'reserved',
  'misaligned',
  'not-leaf',
  'protection',
  'access-flag',
  'dirty-flag',
  'bus',
  'misconfig',
  'address-size',
  'domain',
];

export const PATTERN_SHIFT = 6; // tables by level and pattern: level << PATTERN_SHIFT | pattern

/** The refusal of each outcome, by level and pattern. */
export function faultsOf(layout: LayoutDescriptor, c: Classification): Uint8Array {
  const faults = new Uint8Array(c.patterns.length << PATTERN_SHIFT).fill(WALK_RESERVED); // also where no pattern matches
  c.patterns.forEach((patterns, level) => {
    if (patterns.length >= 1 << PATTERN_SHIFT) throw new LayoutError(layout.id, 'classify', 'too many patterns');
    patterns.forEach((pattern, i) => {
      if (pattern.as === 'invalid') faults[(level << PATTERN_SHIFT) | i] = WALK_NOT_PRESENT;
      if (pattern.as === 'reserved') faults[(level << PATTERN_SHIFT) | i] = codeOf(layout, 'classify', pattern.fault ?? 'reserved');
    });
  });
  return faults;
}

function codeOf(layout: LayoutDescriptor, field: string, kind: FaultKind): number {
  const code = WALK_FAULTS.indexOf(kind);
  if (code <= 0) throw new LayoutError(layout.id, field, `no fault '${kind}'`);
  return code;
}

export interface TableFields {
  readonly shls: Int8Array; // by level: the shift, or -1: go through the pieces
  readonly loMasks: Int32Array;
  readonly hiMasks: Int32Array;
  readonly parts: readonly (readonly Part[])[];
}

export function tableFieldsOf(layout: LayoutDescriptor, geometry: Geometry, c: Classification): TableFields {
  const parts = c.patterns.map((patterns, level) => {
    if (patterns.every((pattern) => pattern.as !== 'table')) return [];
    const name = geometry.names[Math.min(level, geometry.names.length - 1)];
    if (level === 0) throw new LayoutError(layout.id, `classify.${name}`, 'a pointer on the last level');
    const field = tablePartsOf(layout, geometry, level);
    const unaligned = field.some(({ loMask, shl }) => (loMask & -loMask) * 2 ** shl < layout.entryBytes && loMask !== 0);
    if (unaligned) throw new LayoutError(layout.id, `table.${name}`, 'tables must be aligned to their entries');
    return field;
  });
  const isSimple = (field: readonly Part[]) => field.length <= 1 && (field[0]?.shl ?? 0) < 32;
  return {
    shls: Int8Array.from(parts, (field) => (isSimple(field) ? (field[0]?.shl ?? 0) : -1)),
    loMasks: Int32Array.from(parts, (field) => field[0]?.loMask ?? 0),
    hiMasks: Int32Array.from(parts, (field) => field[0]?.hiMask ?? 0),
    parts,
  };
}

/** By level and pattern. */
export interface LeafFields {
  readonly parts: readonly (readonly Part[] | null)[]; // null: one piece, in frames (lo & loMask) * loScale + (hi & hiMask) * hiScale
  readonly loMasks: Int32Array;
  readonly hiMasks: Int32Array;
  readonly loScales: Float64Array;
  readonly hiScales: Float64Array;
  readonly pageShifts: Uint8Array;
  readonly offsetLo: Int32Array; // bits of a page number that are offset
  readonly offsetHi: Int32Array;
}

export function leafFieldsOf(layout: LayoutDescriptor, geometry: Geometry, c: Classification): LeafFields {
  const count = c.patterns.length << PATTERN_SHIFT;
  const fields = {
    parts: Array.from({ length: count }, (): readonly Part[] | null => null),
    loMasks: new Int32Array(count),
    hiMasks: new Int32Array(count),
    loScales: new Float64Array(count),
    hiScales: new Float64Array(count),
    pageShifts: new Uint8Array(count),
    offsetLo: new Int32Array(count),
    offsetHi: new Int32Array(count),
  };
  c.patterns.forEach((patterns, level) => {
    patterns.forEach((pattern, i) => {
      if (pattern.as !== 'leaf') return;
      const at = (level << PATTERN_SHIFT) | i;
      const { parts, pageShift }: LeafShape = leafShapeOf(layout, geometry, level, pattern);
      if (parts.length > 1) fields.parts[at] = parts;
      else if (parts.length === 1) {
        const [{ loMask, hiMask, shl }] = parts;
        fields.loMasks[at] = loMask;
        fields.hiMasks[at] = hiMask;
        fields.loScales[at] = 2 ** (shl - 12);
        fields.hiScales[at] = 2 ** (shl + 20);
      }
      const pages = 2n ** BigInt(pageShift - 12) - 1n;
      fields.pageShifts[at] = pageShift;
      fields.offsetLo[at] = Number(BigInt.asIntN(32, pages));
      fields.offsetHi[at] = Number(BigInt.asIntN(32, pages >> 32n));
    });
  });
  return fields;
}

/** Where indirect entries point, by level and pattern. */
export function pointersOf(layout: LayoutDescriptor, c: Classification): readonly (readonly Part[])[] {
  const pointers: (readonly Part[])[] = Array.from({ length: c.patterns.length << PATTERN_SHIFT }, () => []);
  c.patterns.forEach((patterns, level) => {
    patterns.forEach((pattern, i) => {
      if (pattern.as !== 'indirect') return;
      if (pattern.ptr === undefined) throw new LayoutError(layout.id, 'classify', 'an indirect entry needs ptr');
      pointers[(level << PATTERN_SHIFT) | i] = partsOf(layout.id, 'classify.ptr', pattern.ptr, layout.entryBytes === 8 ? 3 : 2);
    });
  });
  return pointers;
}

/** The updates of entries by (level << 1 | isLeaf) * 3 + letter, for r, w, x. */
export function updateSlotsOf(
  layout: LayoutDescriptor,
  options: Options,
  geometry: Geometry,
  pre: boolean,
): readonly (readonly Update[])[] {
  const slots: (readonly Update[])[] = [];
  for (let level = 0; level <= geometry.levels; level++) {
    const name = geometry.names[Math.min(level, geometry.names.length - 1)];
    for (const isLeaf of [false, true]) {
      for (const letter of ['r', 'w', 'x'] as const) {
        const list = updatesOf(layout, options, { name, isLeaf, letter }).filter((update) => update.pre === pre);
        slots.push(merged(list));
      }
    }
  }
  return slots;
}

/** Neighbours with the same condition as one. */
function merged(list: readonly Update[]): readonly Update[] {
  const short: Update[] = [];
  for (const next of list) {
    const last = short.at(-1);
    const same =
      last !== undefined &&
      last.maskLo === next.maskLo &&
      last.maskHi === next.maskHi &&
      last.valueLo === next.valueLo &&
      last.valueHi === next.valueHi;
    if (!same) short.push(next);
    else {
      const both = {
        setLo: last.setLo | next.setLo,
        setHi: last.setHi | next.setHi,
        clearLo: (last.clearLo & ~next.setLo) | next.clearLo,
        clearHi: (last.clearHi & ~next.setHi) | next.clearHi,
      };
      short.splice(-1, 1, { ...last, ...both });
    }
  }
  return short;
}

/** A rule that a leaf must not match, for some accesses. */
export interface Flag {
  readonly rule: Rule;
  readonly on: Access;
  readonly code: number;
}

export function flagsOf(layout: LayoutDescriptor, options: Options, beforePermissions: boolean): readonly Flag[] {
  return layout.ad.fault
    .filter((fault) => inForce(fault, options) && (fault.before === 'perm') === beforePermissions)
    .map((fault) => ({
      rule: ruleOf(fault),
      on: (fault.on.includes('r') ? READ : 0) | (fault.on.includes('w') ? WRITE : 0) | (fault.on.includes('x') ? EXEC : 0),
      code: codeOf(layout, 'ad.fault', fault.kind),
    }));
}

/** Which bits say that a leaf is accessed and dirty: both halves, where (entry & mask) === value. */
export interface StatusBits {
  readonly accessedLo: number;
  readonly accessedHi: number;
  readonly accessedValueLo: number;
  readonly accessedValueHi: number;
  readonly dirtyLo: number;
  readonly dirtyHi: number;
  readonly dirtyValueLo: number;
  readonly dirtyValueHi: number;
  readonly globalLo: number;
  readonly globalHi: number;
}

export function statusOf(layout: LayoutDescriptor, options: Options): StatusBits {
  // As 64-bit sets: bits that a read, or a write, makes one or zero, or that must be so.
  const wanted = (letter: 'r' | 'w') => {
    let ones = 0n;
    let zeros = 0n;
    for (const update of layout.ad.set) {
      if (!inForce(update, options) || !update.on.includes(letter)) continue;
      ones |= BigInt(update.set ?? 0);
      zeros |= BigInt(update.clear ?? 0);
    }
    for (const fault of layout.ad.fault) {
      if (!inForce(fault, options) || !fault.on.includes(letter)) continue;
      ones |= BigInt(fault.mask) & ~BigInt(fault.value);
      zeros |= BigInt(fault.mask) & BigInt(fault.value);
    }
    return { ones, zeros };
  };
  const accessed = wanted('r');
  const written = wanted('w');
  const dirty = { ones: written.ones & ~accessed.ones, zeros: written.zeros & ~accessed.zeros };
  const lower = (bits: bigint) => Number(BigInt.asIntN(32, bits));
  const upper = (bits: bigint) => Number(BigInt.asIntN(32, bits >> 32n));
  const global = signed(layout.carried?.global);
  return {
    accessedLo: lower(accessed.ones | accessed.zeros),
    accessedHi: upper(accessed.ones | accessed.zeros),
    accessedValueLo: lower(accessed.ones),
    accessedValueHi: upper(accessed.ones),
    dirtyLo: lower(dirty.ones | dirty.zeros),
    dirtyHi: upper(dirty.ones | dirty.zeros),
    dirtyValueLo: lower(dirty.ones),
    dirtyValueHi: upper(dirty.ones),
    globalLo: global.lo,
    globalHi: global.hi,
  };
}

export interface DomainField {
  readonly level: number;
  readonly mask: number;
  readonly shift: number;
  readonly skipMask: number;
  readonly skipValue: number;
  readonly skipDomain: number;
  readonly register: number;
}

/** ARM's domains. Their field is in the lower half. */
export function domainOf(layout: LayoutDescriptor, options: Options, geometry: Geometry): DomainField | null {
  const { domain } = layout;
  if (domain === undefined) return null;
  const level = geometry.names.indexOf(domain.at);
  if (level < 0) throw new LayoutError(layout.id, 'domain.at', `no level '${domain.at}'`);
  if (halves(domain.mask).hi !== 0 || halves(domain.skipIf.mask).hi !== 0) {
    throw new LayoutError(layout.id, 'domain.mask', 'must be in the lower half of an entry');
  }
  const register = options[domain.reg];
  if (typeof register !== 'string') throw new LayoutError(layout.id, `options.${domain.reg}`, 'must be a hex string');
  return {
    level,
    mask: halves(domain.mask).lo | 0,
    shift: domain.shr,
    skipMask: halves(domain.skipIf.mask).lo | 0,
    skipValue: halves(domain.skipIf.value).lo | 0,
    skipDomain: domain.skipIf.domain,
    register: halves(register).lo | 0,
  };
}

/** The address bits that must all be zero, or, if `onesAllowed`, may all be one. */
export function upperBitsOf(
  { va, id }: LayoutDescriptor,
  options: Options,
): { readonly upperLo: number; readonly upperHi: number; readonly onesAllowed: boolean; readonly isSplit: boolean } {
  const from = (bit: number) => (bit >= 64 ? 0n : 2n ** 64n - 2n ** BigInt(bit));
  const mask = (): bigint => {
    switch (va.rule) {
      case 'wrap':
        return va.strictOpt !== undefined && options[va.strictOpt] === 1 ? from(va.bits) : 0n;
      case 'sign':
        return from(va.bits - 1);
      case 'maskzero':
        if (va.mask === undefined) throw new LayoutError(id, 'va.mask', 'missing');
        return BigInt(va.mask);
      default: // zero, trunc, split
        return from(va.bits);
    }
  };
  const bits = mask();
  const isSplit = va.rule === 'split';
  return {
    upperLo: Number(BigInt.asIntN(32, bits)),
    upperHi: Number(BigInt.asIntN(32, bits >> 32n)),
    onesAllowed: isSplit || va.rule === 'sign',
    isSplit,
  };
}

/** The bits of a root register that are the root. */
export function rootMaskOf(layout: LayoutDescriptor): { readonly maskLo: number; readonly maskHi: number } {
  if (layout.root.kind === 'value') return { maskLo: -1, maskHi: -1 };
  const { lo, hi } = signed(layout.root.mask);
  return { maskLo: lo, maskHi: hi };
}
