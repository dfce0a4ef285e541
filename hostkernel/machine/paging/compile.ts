/**
 * From a descriptor to a PageTableFormat: the codec of its entries.
 *
 * Decoding is table-driven, see `derive.ts`. Encoding is its inverse, found once by search: all combinations of flags
 * are decoded, and for each set of attributes the best one is kept. So a descriptor says nothing about encoding, and
 * the two directions cannot drift apart.
 */
import { kassert } from '../../base/assert.ts';
import {
  adBitsOf,
  attributesByKey,
  classificationFor,
  combinations,
  type FrameField,
  frameFieldOf,
  geometryOf,
  keyOf,
  PERMISSIONS,
} from './derive.ts';
import { halves, inForce, type LayoutDescriptor, type Options, type Pattern } from './descriptor.ts';
import { ATTR_USER, ENTRY_INVALID, ENTRY_LEAF, ENTRY_TABLE, type PageTableFormat } from './format.ts';
import { classify } from './rules.ts';

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

  const byKey = attributesByKey(descriptor, options, 'any', classification);
  const attributes = (level: number, lo: number, hi: number): number => byKey[level][keyOf(lo, hi)];

  const { shift, loMask, hiMask, hiScale } = field;
  const frame = (_level: number, lo: number, hi: number): number => ((lo & loMask) >>> shift) + (hi & hiMask) * hiScale;

  const flags = searchFlags(descriptor, options, { kind, attributes, levels, field });
  const frameLo = (n: number): number => (n << shift) & loMask;
  const frameHi = (n: number): number => Math.floor(n / hiScale) & hiMask;

  // A division by a power of two is exact, and & takes the whole part modulo 2^32.
  const wideIndex = (level: number, page: number): number => (page / spans[level]) & masks[level];

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
    rootIsEntry: kind(levels, 0, 0) === ENTRY_INVALID, // a mapping without a root must refuse every access
    hasPermissions: permissionsVary(byKey),
    hasAccessed: accessedLo !== 0,
    hasDirty: dirtyLo !== 0,
    offsetAdds: descriptor.offset === 'add',
    checksEveryLevel: descriptor.perm.check === 'each',
    accessedLo,
    dirtyLo,
    index: pageBits <= 32 ? (level, page) => (page >>> shifts[level]) & masks[level] : wideIndex,
    span: (level) => spans[level],
    kind,
    frame,
    attributes,
    leafLo: (level, n, attrs) => {
      const found = flags.leaf[(level << 7) | (attrs & 127)];
      kassert(found !== NO_ENTRY, 'paging: the format has no such leaf');
      return frameLo(n) | (found & 0xfff);
    },
    leafHi: (level, n, attrs) => frameHi(n) | ((flags.leaf[(level << 7) | (attrs & 127)] >>> 12) << 31),
    tableLo: (n) => frameLo(n) | (flags.table & 0xfff),
    tableHi: (n) => frameHi(n) | ((flags.table >>> 12) << 31),
  };
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
    const firstWith = new Int16Array(128).fill(NO_ENTRY); // by attributes: the first leaf that has exactly these
    let always = 127; // attributes every leaf has
    let never = 127; //  attributes no leaf has
    for (const key of keys) {
      if (kind(level, loOf(key), hiOf(key)) !== ENTRY_LEAF) continue;
      const meaning = attributes(level, loOf(key), hiOf(key));
      if (firstWith[meaning] === NO_ENTRY) firstWith[meaning] = key;
      always &= meaning;
      never &= ~meaning;
    }
    if ((always & never) !== 0) continue; // no leaves
    // What differs between leaves must be as asked; permissions need only contain what is asked.
    const exact = ~(always | never | PERMISSIONS);
    for (let asked = 0; asked < 128; asked++) {
      const wanted = asked & PERMISSIONS;
      let best = wanted === 0 ? invalid : NO_ENTRY;
      let bestExcess = wanted === 0 ? -1 : 8;
      for (let excess = 0; excess <= PERMISSIONS; excess++) {
        if ((excess & wanted) !== 0) continue;
        const key = firstWith[(asked & exact) | (always & ~PERMISSIONS) | wanted | excess];
        const bits = bitCount(excess);
        if (key === NO_ENTRY || bits > bestExcess || (bits === bestExcess && key > best)) continue;
        best = key;
        bestExcess = bits;
      }
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
  return combinations(flags);
}

function bitCount(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}
