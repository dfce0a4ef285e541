/**
 * What both the codec (`compile.ts`) and the hardware walk (`walk.ts`) derive from a descriptor: the address split, the
 * address fields of entries, what entries are, what they grant, and which bits are accessed and dirty.
 *
 * Everything here is prepared once; the results are flat arrays and small records for hot paths.
 */
import { EXEC, powerOf2, READ, WRITE } from '../../base/units.ts';
import {
  type AdUpdate,
  type AddressPart,
  type ClassPattern,
  type Grant,
  type GrantPattern,
  type Hex,
  halves,
  inForce,
  type LayoutDescriptor,
  type Options,
} from './descriptor.ts';
import { LayoutError } from './layout-error.ts';
import { type Classification, classificationOf, type Rule, ruleMatches, ruleOf } from './rules.ts';

export const PERMISSIONS = READ | WRITE | EXEC;

// --------------------------------------------------------------------------------------------------- the address

export interface Geometry {
  readonly levels: number; // tables on a full walk
  readonly pageBits: number;
  readonly names: readonly string[]; // by level, the leaf first; a root entry's last, where the descriptor has one
  readonly lows: readonly number[]; //  by level: lowest address bit of the index; [levels] is va.bits
  readonly bits: readonly number[]; //  by level: width of the index
  readonly spans: readonly number[]; // by level: pages of an entry; [levels] is the whole space
}

export function geometryOf(descriptor: LayoutDescriptor): Geometry {
  const { id, levels, va } = descriptor;
  const fromLeaf = levels.toReversed();
  const tables = fromLeaf.filter((level) => level.bits > 0);
  const fail = (field: string, reason: string): never => {
    throw new LayoutError(id, field, reason);
  };
  if (tables.length === 0) fail('levels', 'no level has an index');
  levels.forEach((level, i) => {
    if (level.bits === 0 && i > 0) fail(`levels[${i}].bits`, 'only the first level may be one fixed entry');
    if (descriptor.classify[level.name] === undefined) fail(`classify.${level.name}`, 'missing');
  });
  if (tables[0].lo < 12) fail(`levels[${levels.length - 1}].lo`, 'pages are of 4 KiB at least');
  tables.forEach((level, i) => {
    const expected = i === 0 ? level.lo : tables[i - 1].lo + tables[i - 1].bits;
    if (level.lo !== expected) fail(`levels[${levels.indexOf(level)}].lo`, `is ${level.lo}, the level below ends at bit ${expected}`);
    if (level.bits > 16) fail(`levels[${levels.indexOf(level)}].bits`, 'an index of more than 16 bits');
  });
  const top = tables[tables.length - 1];
  if (top.lo + top.bits !== va.bits) fail('va.bits', `is ${va.bits}, the levels resolve ${top.lo + top.bits} bits`);
  if (levels.length > tables.length && levels[0].lo !== va.bits) fail('levels[0].lo', `is ${levels[0].lo}, not va.bits`);
  return {
    levels: tables.length,
    pageBits: va.bits - 12,
    names: fromLeaf.map((level) => level.name),
    lows: [...tables.map((level) => level.lo), va.bits],
    bits: tables.map((level) => level.bits),
    spans: [...tables.map((level) => 2 ** (level.lo - 12)), 2 ** (va.bits - 12)],
  };
}

// -------------------------------------------------------------------------------------------------- address fields

/** A piece of an address in an entry, in halves (signed): ((hi, lo) & mask) << shl. */
export interface Part {
  readonly loMask: number;
  readonly hiMask: number;
  readonly shl: number;
}

/**
 * The pieces of an address whose bits below `alignBits` are dropped.
 * @throws LayoutError if two pieces give the same address bit
 */
export function partsOf(id: string, field: string, parts: readonly AddressPart[], alignBits: number): readonly Part[] {
  let seen = 0n;
  const kept = parts.map((part): Part => {
    const address = (BigInt(part.mask) << BigInt(part.shl)) & (2n ** 64n - 1n);
    if ((seen & address) !== 0n) throw new LayoutError(id, field, 'two pieces give the same address bit');
    seen |= address;
    const aligned = (address >> BigInt(alignBits)) << BigInt(alignBits);
    const mask = aligned >> BigInt(part.shl);
    return { loMask: Number(BigInt.asIntN(32, mask)), hiMask: Number(BigInt.asIntN(32, mask >> 32n)), shl: part.shl };
  });
  return kept.filter((part) => part.loMask !== 0 || part.hiMask !== 0);
}

/** The address in units of 2^unit bytes, exact where it is below 2^53 units. Hot. */
export function addressIn(parts: readonly Part[], lo: number, hi: number, unit: number): number {
  let sum = 0;
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i];
    sum += (((lo & part.loMask) >>> 0) + ((hi & part.hiMask) >>> 0) * 4294967296) * powerOf2(part.shl);
  }
  return sum / powerOf2(unit);
}

/** The field of pointers of `level`, where `level` may be that of root entries. */
export function tablePartsOf(descriptor: LayoutDescriptor, geometry: Geometry, level: number): readonly Part[] {
  const name = geometry.names[Math.min(level, geometry.names.length - 1)];
  const parts = descriptor.table[name] ?? descriptor.table['*'];
  if (parts === undefined) throw new LayoutError(descriptor.id, `table.${name}`, 'missing');
  return partsOf(descriptor.id, `table.${name}`, parts, 0);
}

/** A leaf as one pattern makes it: its frame, and the log2 of its bytes. */
export interface LeafShape {
  readonly parts: readonly Part[]; //     aligned to the page
  readonly unaligned: readonly Part[]; // with the low bits that a reader drops or refuses
  readonly pageShift: number;
}

export function leafShapeOf(descriptor: LayoutDescriptor, geometry: Geometry, level: number, pattern: ClassPattern): LeafShape {
  const name = geometry.names[Math.min(level, geometry.names.length - 1)];
  const pageShift = pattern.pageShift ?? geometry.lows[level];
  const parts = pattern.frame ?? descriptor.frame[name] ?? descriptor.frame['*'];
  if (parts === undefined) throw new LayoutError(descriptor.id, `frame.${name}`, 'missing');
  const alignBits = descriptor.offset === 'add' ? 12 : pageShift;
  const field = `frame.${name}`;
  return { parts: partsOf(descriptor.id, field, parts, alignBits), unaligned: partsOf(descriptor.id, field, parts, 12), pageShift };
}

// ------------------------------------------------------------------------------------------------- kinds of entries

/** What entries are, by level; [levels] is a root entry. */
export function classificationFor(descriptor: LayoutDescriptor, options: Options, geometry: Geometry): Classification {
  const { levels, names, pageBits } = geometry;
  const lists = names.map((name) => descriptor.classify[name]);
  if (lists.length > levels) return classificationOf(lists, options);
  // A format whose root is a pointer still has root entries, as a virtual page table. They are those of its top level;
  // a leaf would map the whole space, which takes a frame field that does not depend on the level.
  const anyLevel = descriptor.frame['*'];
  const root = lists[levels - 1].map((pattern): ClassPattern => {
    if (pattern.as === 'leaf' && (anyLevel === undefined || pattern.pageShift !== undefined)) return { ...pattern, as: 'reserved' };
    if (pattern.fault !== 'misaligned' || anyLevel === undefined) return pattern;
    const below = (2n ** BigInt(pageBits) - 1n) << BigInt(12 - anyLevel[0].shl);
    return { ...pattern, any: `0x${below.toString(16)}` };
  });
  return classificationOf([...lists, root], options);
}

// ----------------------------------------------------------------------------------------------------- permissions

/** Grants as a set: user's READ, WRITE, EXEC in bits 0..2, the supervisor's in bits 3..5. */
export const ALL_GRANTS = 63;

export function grantBit(grant: Grant): number {
  return { r: READ, w: WRITE, x: EXEC }[grant[1] as 'r' | 'w' | 'x'] << (grant[0] === 'u' ? 0 : 3);
}

/** The grant patterns that count for entries of `level`, or null: all is granted. */
export function grantPatternsOf(
  descriptor: LayoutDescriptor,
  geometry: Geometry,
  level: number,
  isLeaf: boolean,
): readonly GrantPattern[] | null {
  const { perm } = descriptor;
  const name = geometry.names[Math.min(level, geometry.names.length - 1)];
  if (perm.skip?.includes(name) === true) return null;
  if (!isLeaf && perm.combine === 'leaf') return null;
  const own = perm.entryAt?.[name] ?? perm.entry ?? [];
  return isLeaf ? own : (perm.tableEntry ?? own);
}

/**
 * Grants by entry. Entries are cut down to a key of the bits that the patterns look at, if that is short enough:
 *
 *   key = | upper half: bits hiShift.. | lower half: the lowest loBits bits |
 *
 * Slots are level << 1 for pointers, + 1 for leaves.
 */
export interface Grants {
  readonly tables: readonly (Uint8Array | null)[]; // null: go through the rules
  readonly loMasks: Int32Array;
  readonly loBits: Uint8Array;
  readonly hiShifts: Uint8Array;
  readonly hiMasks: Int32Array;
  readonly rules: readonly (readonly Rule[])[];
  readonly bits: readonly Uint8Array[]; // the grant of each rule
}

const MAX_KEY_BITS = 17;

export function grantsOf(descriptor: LayoutDescriptor, options: Options, geometry: Geometry): Grants {
  const slots = (geometry.levels + 1) * 2;
  const grants = {
    tables: [] as (Uint8Array | null)[],
    loMasks: new Int32Array(slots),
    loBits: new Uint8Array(slots),
    hiShifts: new Uint8Array(slots),
    hiMasks: new Int32Array(slots),
    rules: [] as Rule[][],
    bits: [] as Uint8Array[],
  };
  const made = new Map<readonly GrantPattern[], Uint8Array>();
  for (let slot = 0; slot < slots; slot++) {
    const all = grantPatternsOf(descriptor, geometry, slot >> 1, (slot & 1) === 1);
    const patterns = (all ?? []).filter((pattern) => inForce(pattern, options));
    const rules = patterns.map(ruleOf);
    grants.rules.push(rules);
    grants.bits.push(Uint8Array.from(patterns, (pattern) => grantBit(pattern.grant)));
    const lo = rules.reduce((bits, rule) => bits | rule.maskLo | rule.anyLo, 0);
    const hi = rules.reduce((bits, rule) => bits | rule.maskHi | rule.anyHi, 0);
    const loBits = 32 - Math.clz32(lo);
    const hiShift = hi === 0 ? 0 : 31 - Math.clz32(hi & -hi);
    const hiBits = 32 - Math.clz32(hi >>> hiShift);
    if (loBits + hiBits > MAX_KEY_BITS) {
      grants.tables.push(null);
      continue;
    }
    grants.loMasks[slot] = 2 ** loBits - 1;
    grants.loBits[slot] = loBits;
    grants.hiShifts[slot] = hiShift;
    grants.hiMasks[slot] = 2 ** hiBits - 1;
    if (all === null) {
      grants.tables.push(Uint8Array.of(ALL_GRANTS));
      continue;
    }
    let table = made.get(all);
    if (table === undefined) {
      table = new Uint8Array(2 ** (loBits + hiBits));
      fillKeys(table, lo | ((hi >>> hiShift) << loBits), (key) =>
        byRules(rules, grants.bits[slot], key & (2 ** loBits - 1), (key >>> loBits) << hiShift),
      );
      made.set(all, table);
    }
    grants.tables.push(table);
  }
  return grants;
}

/** Fills `table`: the combinations of `consulted` bits by `valueOf`, all other keys by what they mean without the other bits. */
export function fillKeys(table: Uint8Array, consulted: number, valueOf: (key: number) => number): void {
  for (const key of combinations(consulted)) table[key] = valueOf(key);
  for (let other = 1; other < table.length; other *= 2) {
    if ((consulted & other) !== 0) continue;
    for (let at = 0; at < table.length; at += 2 * other) table.copyWithin(at + other, at, at + other);
  }
}

/** All numbers that have no bit outside `bits`, the smallest first. */
export function combinations(bits: number): readonly number[] {
  const numbers = [0];
  for (let n = bits & -bits; n !== 0; n = (n - bits) & bits) numbers.push(n);
  return numbers;
}

function byRules(rules: readonly Rule[], bits: Uint8Array, lo: number, hi: number): number {
  let granted = 0;
  for (let i = 0; i < rules.length; i++) if (ruleMatches(rules[i], lo, hi)) granted |= bits[i];
  return granted;
}

/** What an entry grants: a set of grant bits. Hot. */
export function grantsOfEntry(grants: Grants, slot: number, lo: number, hi: number): number {
  const table = grants.tables[slot];
  if (table === null) return byRules(grants.rules[slot], grants.bits[slot], lo, hi);
  return table[(lo & grants.loMasks[slot]) | (((hi >>> grants.hiShifts[slot]) & grants.hiMasks[slot]) << grants.loBits[slot])];
}

/** The grants of a whole walk after the format's `post` rules, for each set. */
export function postOf(descriptor: LayoutDescriptor, options: Options): Uint8Array {
  const rules = descriptor.perm.post.filter((rule) => inForce(rule, options));
  return Uint8Array.from({ length: ALL_GRANTS + 1 }, (_, set) =>
    rules.reduce((granted, { has, add, del }) => {
      if ((granted & grantBit(has)) === 0) return granted;
      return (granted | (add === undefined ? 0 : grantBit(add))) & ~(del === undefined ? 0 : grantBit(del));
    }, set),
  );
}

// ---------------------------------------------------------------------------------------------- accessed and dirty

/** An update in halves: where (entry & mask) === value, `clear` is cleared and `set` is set. */
export interface Update {
  readonly maskLo: number;
  readonly maskHi: number;
  readonly valueLo: number;
  readonly valueHi: number;
  readonly setLo: number;
  readonly setHi: number;
  readonly clearLo: number;
  readonly clearHi: number;
  readonly pre: boolean;
}

/** The updates that `letter` makes in entries of one level and kind. */
export function updatesOf(
  descriptor: LayoutDescriptor,
  options: Options,
  where: { readonly name: string; readonly isLeaf: boolean; readonly letter: 'r' | 'w' | 'x' },
): readonly Update[] {
  const applies = (update: AdUpdate): boolean =>
    inForce(update, options) &&
    update.on.includes(where.letter) &&
    (update.at === 'all' || where.isLeaf) &&
    update.skip?.includes(where.name) !== true;
  return descriptor.ad.set.filter(applies).map((update) => {
    const mask = signed(update.mask);
    const value = signed(update.value);
    const set = signed(update.set);
    const clear = signed(update.clear);
    return {
      maskLo: mask.lo,
      maskHi: mask.hi,
      valueLo: value.lo,
      valueHi: value.hi,
      setLo: set.lo,
      setHi: set.hi,
      clearLo: clear.lo,
      clearHi: clear.hi,
      pre: update.pre === 1,
    };
  });
}

export function signed(hex: Hex | undefined): { readonly lo: number; readonly hi: number } {
  const { lo, hi } = halves(hex ?? '0x0');
  return { lo: lo | 0, hi: hi | 0 };
}
