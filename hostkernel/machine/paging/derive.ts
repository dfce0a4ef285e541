/**
 * What both the codec (`compile.ts`) and the hardware walk (`walk.ts`) derive from a descriptor: the address split, the
 * frame field, what entries are, and what they permit.
 *
 * Attributes depend on flags in the lowest twelve bits of an entry and in its topmost one. Those 13 bits are a key:
 *
 *   key = | entry bit 63 | entry bits 11..0 |
 */
import { kassert } from '../../base/assert.ts';
import { EXEC, READ, WRITE } from '../../base/units.ts';
import { type AddressPart, type Grant, halves, inForce, type LayoutDescriptor, type Options } from './descriptor.ts';
import { ATTR_ACCESSED, ATTR_DIRTY, ATTR_GLOBAL, ATTR_USER, ENTRY_TABLE } from './format.ts';
import { type Classification, classificationOf, classify, ruleMatches, ruleOf } from './rules.ts';

export const PERMISSIONS = READ | WRITE | EXEC;

/** Number of keys. */
export const KEYS = 1 << 13;

/** The key of an entry. Hot. */
export function keyOf(lo: number, hi: number): number {
  return (lo & 0xfff) | ((hi >>> 31) << 12);
}

export interface Geometry {
  readonly levels: number;
  readonly pageBits: number;
  readonly names: readonly string[]; // by level, the leaf first; a root entry's last, where the descriptor has one
  readonly shifts: readonly number[]; // of the index in the page number
  readonly masks: readonly number[];
  readonly spans: readonly number[]; // pages; [levels] is the whole space
}

export function geometryOf(descriptor: LayoutDescriptor): Geometry {
  const fromLeaf = descriptor.levels.toReversed();
  const tables = fromLeaf.filter((level) => level.bits > 0);
  let shift = 0;
  for (const level of tables) {
    kassert(level.lo === 12 + shift, `paging: levels of ${descriptor.id}`);
    shift += level.bits;
  }
  kassert(shift === descriptor.va.bits - 12, `paging: index bits of ${descriptor.id}`);
  return {
    levels: tables.length,
    pageBits: shift,
    names: fromLeaf.map((level) => level.name),
    shifts: tables.map((level) => level.lo - 12),
    masks: tables.map((level) => 2 ** level.bits - 1),
    spans: [...tables.map((level) => 2 ** (level.lo - 12)), 2 ** shift],
  };
}

export interface FrameField {
  readonly shift: number; // of its lowest bit in the entry
  readonly width: number;
  readonly loMask: number; // signed
  readonly hiMask: number; // signed
  readonly hiScale: number; // what bit 0 of the upper half is worth, in frames
}

/** The frame field: one run of bits, the same for pointers and leaves of every level. */
export function frameFieldOf(descriptor: LayoutDescriptor): FrameField {
  const parts = [...Object.values(descriptor.table), ...Object.values(descriptor.frame)];
  const [part] = parts[0];
  const same = (p: readonly AddressPart[]) => p.length === 1 && p[0].mask === part.mask && p[0].shl === part.shl;
  kassert(parts.every(same), `paging: ${descriptor.id} has more than one frame field`);
  const { lo, hi } = halves(part.mask);
  const shift = 12 - part.shl;
  kassert(lo === 2 ** 32 - 2 ** shift && shift >= 0 && (hi & (hi + 1)) === 0, `paging: frame field of ${descriptor.id}`);
  const hiBits = 32 - Math.clz32(hi);
  return { shift, width: 32 - shift + hiBits, loMask: lo | 0, hiMask: hi | 0, hiScale: 2 ** (32 - shift) };
}

/** What entries are, by level; [levels] is a root entry. */
export function classificationFor(descriptor: LayoutDescriptor, options: Options, geometry: Geometry): Classification {
  const { levels, names, pageBits } = geometry;
  const lists = names.map((name) => descriptor.classify[name]);
  if (lists.length > levels) return classificationOf(lists, options);
  // A format whose root is a pointer still has root entries, as a virtual page table. They are those of its top level;
  // only alignment is stricter, since a leaf then maps the whole space.
  const lowFrameBits = (2 ** pageBits - 1) * 2 ** frameFieldOf(descriptor).shift;
  const root = lists[levels - 1].map((pattern) =>
    pattern.fault === 'misaligned' ? { ...pattern, any: `0x${lowFrameBits.toString(16)}` as const } : pattern,
  );
  return classificationOf([...lists, root], options);
}

/** The accessed and dirty bits: what a read sets, and what a write sets beyond it. */
export function adBitsOf(descriptor: LayoutDescriptor): { accessedLo: number; dirtyLo: number } {
  const setOn = (letter: string) =>
    descriptor.ad.set.reduce((bits, update) => (update.on.includes(letter) ? bits | halves(update.set ?? '0x0').lo : bits), 0);
  const accessedLo = setOn('r');
  return { accessedLo, dirtyLo: setOn('w') & ~accessedLo };
}

/** Whose permissions count: a mode's, or what either may do. */
export type Mode = 'user' | 'super' | 'any';

/** What a grant contributes to the attributes. That user mode may use an entry is reported in every mode. */
function grantedBy(grant: Grant, mode: Mode): number {
  const user = grant[0] === 'u';
  const counts = mode === 'any' || (mode === 'user') === user;
  return (counts ? PERMISSION_OF[grant[1]] : 0) | (user ? ATTR_USER : 0);
}
const PERMISSION_OF: Readonly<Record<string, number>> = { r: READ, w: WRITE, x: EXEC };

/** attributes[level][key] of table and leaf entries, as PageTableFormat.attributes describes them. */
export function attributesByKey(
  descriptor: LayoutDescriptor,
  options: Options,
  mode: Mode,
  classification: Classification,
): readonly Uint8Array[] {
  const grants = (descriptor.perm.entry ?? [])
    .filter((pattern) => inForce(pattern, options))
    .map((pattern) => ({ rule: ruleOf(pattern), bits: grantedBy(pattern.grant, mode) }));
  const { accessedLo, dirtyLo } = adBitsOf(descriptor);
  for (const { rule } of grants) kassert(isKeyed(rule.maskLo, rule.maskHi), `paging: permission bits of ${descriptor.id}`);
  kassert(isKeyed(accessedLo | dirtyLo, 0), `paging: accessed and dirty bits of ${descriptor.id}`);
  const globalLo = halves(descriptor.carried?.global ?? '0x0').lo;
  const all = PERMISSIONS | ATTR_USER | ATTR_ACCESSED | ATTR_DIRTY;

  // Only the flags that a rule looks at matter: a key with others means what it means without them.
  const looked = grants.reduce((bits, { rule }) => bits | keyOf(rule.maskLo | rule.anyLo, rule.maskHi | rule.anyHi), 0);
  const consulted = looked | globalLo | accessedLo | dirtyLo;
  const own = new Uint8Array(KEYS);
  for (const key of combinations(consulted)) {
    const lo = key & 0xfff;
    const hi = (key >>> 12) << 31;
    let bits = (lo & globalLo) === 0 ? 0 : ATTR_GLOBAL;
    for (const grant of grants) if (ruleMatches(grant.rule, lo, hi)) bits |= grant.bits;
    if ((lo & accessedLo) === accessedLo) bits |= ATTR_ACCESSED;
    if ((lo & dirtyLo) === dirtyLo) bits |= ATTR_DIRTY;
    own[key] = bits;
  }
  for (let other = 1; other < KEYS; other *= 2) {
    if ((consulted & other) !== 0) continue;
    for (let at = 0; at < KEYS; at += 2 * other) own.copyWithin(at + other, at, at + other);
  }
  return classification.rules.map((_, level) => {
    if (descriptor.perm.combine === 'and' || level === 0) return own;
    const pointers = own.slice();
    for (let byte = 0; byte < 256; byte++) {
      if ((classify(classification, level, byte, 0) & 7) !== ENTRY_TABLE) continue;
      for (let key = byte; key < KEYS; key += 256) pointers[key] |= all;
    }
    return pointers;
  });
}

/** All numbers that have no bit outside `bits`, the smallest first. */
export function combinations(bits: number): readonly number[] {
  const numbers = [0];
  for (let n = bits & -bits; n !== 0; n = (n - bits) & bits) numbers.push(n);
  return numbers;
}

/** Whether a key holds all these bits. */
function isKeyed(lo: number, hi: number): boolean {
  return (lo & ~0xfff) === 0 && (hi & 0x7fff_ffff) === 0;
}
