/**
 * From a descriptor to a PageTableFormat: index widths, classification, frame fields, attributes and encoders.
 *
 * Decoding is table-driven. The flags that attributes depend on sit in the lowest twelve bits of an entry and in its
 * topmost bit, so those 13 bits index a table:
 *
 *   key = | entry bit 63 | entry bits 11..0 |
 *
 * Encoding is the inverse, found once by search: all flag combinations are decoded, and for each set of attributes the
 * best one is kept. So a descriptor says nothing about encoding, and the two directions cannot drift apart.
 */
import { kassert } from '../../base/assert.ts';
import { EXEC, READ, WRITE } from '../../base/units.ts';
import { type AddressPart, type Grant, halves, inForce, type LayoutDescriptor, type Options, type Pattern } from './descriptor.ts';
import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  ATTR_GLOBAL,
  ATTR_USER,
  ENTRY_INVALID,
  ENTRY_LEAF,
  ENTRY_TABLE,
  type PageTableFormat,
} from './format.ts';
import { type Classification, classificationOf, classify, ruleMatches, ruleOf } from './rules.ts';

export const PERMISSIONS = READ | WRITE | EXEC;
const KEYS = 1 << 13;
const NO_ENTRY = -1;

const compiled = new WeakMap<LayoutDescriptor, PageTableFormat>();

/**
 * The format of `descriptor`. Compiled once per descriptor; with `options` that differ from its defaults, every time.
 * @throws KernelPanic if the descriptor uses what a PageTableFormat cannot express
 */
export function compileLayout(descriptor: LayoutDescriptor, options?: Options): PageTableFormat {
  if (options !== undefined) return compile(descriptor, { ...descriptor.options, ...options });
  let format = compiled.get(descriptor);
  if (format === undefined) {
    format = compile(descriptor, descriptor.options);
    compiled.set(descriptor, format);
  }
  return format;
}

function compile(descriptor: LayoutDescriptor, options: Options): PageTableFormat {
  const { id, entryBytes } = descriptor;
  const geometry = geometryOf(descriptor);
  const { levels, pageBits, shifts, masks, spans } = geometry;
  const field = frameFieldOf(descriptor);
  const classification = classificationFor(descriptor, options, geometry);
  const { accessedLo, dirtyLo } = adBitsOf(descriptor);

  const kind = (level: number, lo: number, hi: number): number => classify(classification, level, lo, hi) & 3;

  const byKey = attributesByKey(descriptor, options, 'any');
  const attributes = (level: number, lo: number, hi: number): number => byKey[level][(lo & 0xfff) | ((hi >>> 31) << 12)];

  const { shift, loMask, hiMask, hiScale } = field;
  const narrow = shifts.filter((low, level) => low + 32 - Math.clz32(masks[level]) <= 32).length; // levels indexed by bits below 32
  const frame = (_level: number, lo: number, hi: number): number => ((lo & loMask) >>> shift) + (hi & hiMask) * hiScale;

  const flags = searchFlags(descriptor, options, { kind, attributes, levels, field });
  const frameLo = (n: number): number => (n << shift) & loMask;
  const frameHi = (n: number): number => Math.floor(n / hiScale) & hiMask;

  return {
    id,
    descriptor,
    options,
    entryBytes,
    entryShift: entryBytes === 8 ? 3 : 2,
    levels,
    pageBits,
    vaBits: descriptor.va.bits,
    userEnd: 2 ** (descriptor.va.rule === 'sign' ? descriptor.va.bits - 1 : descriptor.va.bits),
    frameBits: field.width,
    rootIsEntry: descriptor.root.kind === 'value' || descriptor.arch !== 'vpte',
    hasPermissions: permissionsVary(byKey),
    hasAccessed: accessedLo !== 0,
    hasDirty: dirtyLo !== 0,
    offsetAdds: descriptor.offset === 'add',
    checksEveryLevel: descriptor.perm.check === 'each',
    accessedLo,
    dirtyLo,
    // Both are exact: >>> works modulo 2^32, a division by a power of two does not round.
    index:
      pageBits <= 32
        ? (level, page) => (page >>> shifts[level]) & masks[level]
        : (level, page) => (level < narrow ? page >>> shifts[level] : page / spans[level]) & masks[level],
    span: (level) => spans[level],
    kind,
    frame,
    attributes,
    leafLo: (level, n, attrs) => {
      const found = flags.leaf[(level << 7) | attrs];
      kassert(found !== NO_ENTRY, 'paging: the format has no such leaf');
      return frameLo(n) | (found & 0xfff);
    },
    leafHi: (level, n, attrs) => frameHi(n) | ((flags.leaf[(level << 7) | attrs] >>> 12) << 31),
    tableLo: (n) => frameLo(n) | (flags.table & 0xfff),
    tableHi: (n) => frameHi(n) | ((flags.table >>> 12) << 31),
  };
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
function adBitsOf(descriptor: LayoutDescriptor): { accessedLo: number; dirtyLo: number } {
  const setOn = (letter: string) =>
    descriptor.ad.set.reduce((bits, update) => (update.on.includes(letter) ? bits | halves(update.set).lo : bits), 0);
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
export function attributesByKey(descriptor: LayoutDescriptor, options: Options, mode: Mode): readonly Uint8Array[] {
  const geometry = geometryOf(descriptor);
  const classification = classificationFor(descriptor, options, geometry);
  const grants = descriptor.perm.entry
    .filter((pattern) => inForce(pattern, options))
    .map((pattern) => ({ rule: ruleOf(pattern), bits: grantedBy(pattern.grant, mode) }));
  const { accessedLo, dirtyLo } = adBitsOf(descriptor);
  for (const { rule } of grants) kassert(isKeyed(rule.maskLo, rule.maskHi), `paging: permission bits of ${descriptor.id}`);
  kassert(isKeyed(accessedLo | dirtyLo, 0), `paging: accessed and dirty bits of ${descriptor.id}`);
  const globalLo = halves(descriptor.carried?.global ?? '0x0').lo;
  const all = PERMISSIONS | ATTR_USER | ATTR_ACCESSED | ATTR_DIRTY;
  return Array.from({ length: geometry.levels + 1 }, (_, level) => {
    const table = new Uint8Array(KEYS);
    for (let key = 0; key < KEYS; key++) {
      const lo = key & 0xfff;
      const hi = (key >>> 12) << 31;
      let bits = 0;
      if (descriptor.perm.combine === 'leaf' && (classify(classification, level, lo & 0xff, 0) & 3) === ENTRY_TABLE) bits = all;
      else {
        for (const grant of grants) if (ruleMatches(grant.rule, lo, hi)) bits |= grant.bits;
        if ((lo & accessedLo) === accessedLo) bits |= ATTR_ACCESSED;
        if ((lo & dirtyLo) === dirtyLo) bits |= ATTR_DIRTY;
      }
      if ((lo & globalLo) !== 0) bits |= ATTR_GLOBAL;
      table[key] = bits;
    }
    return table;
  });
}

/** Whether a key holds all these bits. */
function isKeyed(lo: number, hi: number): boolean {
  return (lo & ~0xfff) === 0 && (hi & 0x7fff_ffff) === 0;
}

function permissionsVary(byKey: readonly Uint8Array[]): boolean {
  return byKey[0].some((bits) => (bits & PERMISSIONS) !== (byKey[0][0] & PERMISSIONS));
}

interface Flags {
  readonly leaf: Int16Array; // [level << 7 | attributes]: key of the entry's flags, or NO_ENTRY
  readonly table: number; //    key
}

interface Decoder {
  readonly kind: PageTableFormat['kind'];
  readonly attributes: PageTableFormat['attributes'];
  readonly levels: number;
  readonly field: FrameField;
}

/** Inverts the decoder: the best flags for every set of attributes. */
function searchFlags(descriptor: LayoutDescriptor, options: Options, decoder: Decoder): Flags {
  const { kind, attributes, levels } = decoder;
  const keys = flagKeys(descriptor, options, decoder.field);
  const loOf = (key: number) => key & 0xfff;
  const hiOf = (key: number) => (key >>> 12) << 31;
  const invalid = keys.find((key) => kind(0, loOf(key), hiOf(key)) === ENTRY_INVALID) ?? NO_ENTRY;
  const leaf = new Int16Array((levels + 1) << 7).fill(NO_ENTRY);

  for (let level = 0; level <= levels; level++) {
    const leaves = keys.filter((key) => kind(level, loOf(key), hiOf(key)) === ENTRY_LEAF);
    if (leaves.length === 0) continue;
    const meaning = leaves.map((key) => attributes(level, loOf(key), hiOf(key)));
    // What differs between leaves must be as asked; permissions need only contain what is asked.
    const exact = meaning.reduce((bits, m) => bits | (m ^ meaning[0]), 0) & ~PERMISSIONS;
    for (let asked = 0; asked < 128; asked++) {
      const wanted = asked & PERMISSIONS;
      let best = wanted === 0 ? invalid : NO_ENTRY;
      let bestExcess = wanted === 0 ? -1 : 8;
      leaves.forEach((key, i) => {
        if ((meaning[i] & wanted) !== wanted || ((meaning[i] ^ asked) & exact) !== 0) return;
        const excess = bitCount(meaning[i] & PERMISSIONS & ~wanted);
        if (excess < bestExcess) {
          best = key;
          bestExcess = excess;
        }
      });
      leaf[(level << 7) | asked] = best;
    }
  }

  const top = levels - 1;
  const pointers = keys.filter((key) => kind(top, loOf(key), hiOf(key)) === ENTRY_TABLE);
  const grants = (key: number) => bitCount(attributes(top, loOf(key), hiOf(key)) & (PERMISSIONS | ATTR_USER));
  kassert(pointers.length > 0, `paging: ${descriptor.id} has no pointers`);
  const table = pointers.reduce((best, key) => (grants(key) > grants(best) ? key : best));
  return { leaf, table };
}

/** All combinations of the flags that the format's rules consult or carry, the smallest first. */
function flagKeys(descriptor: LayoutDescriptor, options: Options, field: FrameField): readonly number[] {
  let lo = halves(descriptor.carried?.global ?? '0x0').lo;
  let hi = 0;
  const consult = (p: Partial<Pattern>) => {
    if (!inForce(p, options)) return;
    for (const hex of [p.mask, p.any]) {
      const bits = halves(hex ?? '0x0');
      lo |= bits.lo;
      hi |= bits.hi;
    }
  };
  Object.values(descriptor.classify).flat().forEach(consult);
  descriptor.perm.entry.forEach(consult);
  const { accessedLo, dirtyLo } = adBitsOf(descriptor);
  const flags = ((lo | accessedLo | dirtyLo) & 0xfff & ~field.loMask) | ((hi >>> 31) << 12);
  const keys: number[] = [];
  for (let key = 0; key < KEYS; key++) if ((key & ~flags) === 0) keys.push(key);
  return keys;
}

function bitCount(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}
