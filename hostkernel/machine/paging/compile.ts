/**
 * From a descriptor to a PageTableFormat: the codec of its entries.
 *
 * Decoding goes through the tables of `entries.ts`. Encoding is its inverse, found once by search: all combinations of
 * flags are decoded, and for each set of attributes the best one is kept. So a descriptor says nothing about encoding,
 * and the two directions cannot drift apart.
 */
import { kassert } from '../../base/assert.ts';
import { type Access, powerOf2, WRITE } from '../../base/units.ts';
import type { ClassPattern, Conditional, Hex, LayoutDescriptor, Options } from './descriptor.ts';
import { inForce } from './descriptor.ts';
import {
  addressIn,
  ALL_GRANTS,
  classificationFor,
  combinations,
  type Geometry,
  geometryOf,
  type Grants,
  grantPatternsOf,
  grantsOf,
  grantsOfEntry,
  leafShapeOf,
  type LeafShape,
  type Part,
  PERMISSIONS,
  postOf,
  signed,
  tablePartsOf,
  type Update,
  updatesOf,
} from './entries.ts';
import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  ATTR_GLOBAL,
  ATTR_USER,
  ENTRY_INVALID,
  ENTRY_LEAF,
  ENTRY_RESERVED,
  ENTRY_TABLE,
  type PageTableFormat,
} from './format.ts';
import { LayoutError } from './layout-error.ts';
import { type Classification, classify, ENTRY_INDIRECT } from './rules.ts';

const compiled = new WeakMap<LayoutDescriptor, PageTableFormat>();

/**
 * The format of `descriptor`. Compiled once per descriptor; with `options` that differ from its defaults, every time.
 * @throws LayoutError naming the field, if the descriptor contradicts itself or uses what a PageTableFormat cannot
 *   express: pages below 4 KiB, accessed and dirty bits in the upper half of an entry
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

/** All that the functions of a format look at. */
interface Decoder {
  readonly descriptor: LayoutDescriptor;
  readonly options: Options;
  readonly geometry: Geometry;
  readonly classification: Classification;
  readonly shapes: readonly (readonly (LeafShape | null)[])[]; // by level and pattern
  readonly naturals: readonly (LeafShape | null)[]; //            by level: the leaf that is as large as the level
  readonly tables: readonly (readonly Part[])[]; //               by level of the pointer; [0] is empty
  readonly grants: Grants;
  readonly post: Uint8Array;
  readonly status: Status;
}

function compile(descriptor: LayoutDescriptor, options: Options): PageTableFormat {
  const decoder = decoderOf(descriptor, options);
  const { geometry, classification, status, naturals, tables } = decoder;
  const { levels, pageBits, bits, spans } = geometry;
  const { entryBytes, va } = descriptor;
  const entryShift = entryBytes === 8 ? 3 : 2;

  const shifts = Int32Array.from(geometry.lows, (low) => low - 12);
  const masks = Int32Array.from(bits, (width) => 2 ** width - 1);
  // A division by a power of two is exact, and & takes the whole part modulo 2^32.
  const wideIndex = (level: number, page: number): number => (page / spans[level]) & masks[level];

  const kind = (level: number, lo: number, hi: number): number => {
    const what = classify(classification, level, lo, hi) & 7;
    return what === ENTRY_INDIRECT ? ENTRY_RESERVED : what;
  };
  const attributes = attributesOf(decoder);

  const frames = fieldReader(naturals.map((shape) => shape?.parts ?? []));
  const ranges = decoder.shapes.some((list, level) => list.some((shape) => shape !== null && shape.pageShift !== geometry.lows[level]));
  const shapeOf = (level: number, lo: number, hi: number): LeafShape | null =>
    decoder.shapes[level][classify(classification, level, lo, hi) >> 3] ?? null;
  const rangeFrame = (level: number, lo: number, hi: number): number => {
    const shape = shapeOf(level, lo, hi);
    return shape === null ? 0 : addressIn(shape.parts, lo, hi, 12);
  };
  const rangePages = (level: number, lo: number, hi: number): number => {
    const shape = shapeOf(level, lo, hi);
    return shape === null ? spans[level] : powerOf2(shape.pageShift - 12);
  };

  const tableBytes = bits.map((width) => entryBytes * 2 ** width);
  const tableField = fieldReader(tables);
  const codes = searchCodes(decoder, kind, attributes);
  const leafFrame = fieldWriter(naturals.map((shape) => shape?.unaligned ?? []));
  const tableFrame = fieldWriter(tables);
  // A mapping without a root must refuse every access, and a root must be a number.
  const rootIsEntry = kind(levels, 0, 0) === ENTRY_INVALID && codes.tables[levels].hi >>> 0 < 2 ** 21;

  const aligns = alignmentsOf(decoder);
  const marks = marksOf(decoder);
  const { accessedLo, accessedClear, dirtyLo, dirtyClear } = status;

  return {
    id: descriptor.id,
    descriptor,
    options,
    bigEndian: descriptor.endian === 'be',
    entryBytes,
    entryShift,
    levels,
    basePages: spans[0],
    pageBits,
    vaBits: va.bits,
    userEnd: Math.min(2 ** (va.rule === 'sign' ? va.bits - 1 : va.bits), MAX_USER_END),
    frameBits: descriptor.paBits - 12,
    rootIsEntry,
    hasPermissions: permissionsVary(decoder),
    hasAccessed: status.hasAccessed,
    hasDirty: status.hasDirty,
    hardwareAccessed: status.hardwareAccessed,
    hardwareDirty: status.hardwareDirty,
    offsetAdds: descriptor.offset === 'add',
    checksEveryLevel: descriptor.perm.check === 'each',
    accessedLo,
    dirtyLo,
    index: pageBits <= 32 ? (level, page) => (page >>> shifts[level]) & masks[level] : wideIndex,
    span: (level) => spans[level],
    kind,
    frame: ranges ? rangeFrame : frames,
    leafPages: ranges ? rangePages : (level) => spans[level],
    attributes,
    hasLeaf: codes.hasLeaf,
    leafLo: (level, frame, attrs) => {
      const flags = codes.leaf(level, attrs);
      kassert(flags !== null, 'paging: the format has no such leaf');
      return leafFrame.lo(level, frame * 4096) | flags.lo;
    },
    leafHi: (level, frame, attrs) => {
      const flags = codes.leaf(level, attrs);
      return leafFrame.hi(level, frame * 4096) | (flags === null ? 0 : flags.hi);
    },
    tableAddress: (level, lo, hi) => tableField(level, lo, hi) * 4096,
    tableBytes: (level) => tableBytes[level],
    tableAlign: (level) => aligns[level],
    tableLo: (level, address) => tableFrame.lo(level, address) | codes.tables[level].lo,
    tableHi: (level, address) => tableFrame.hi(level, address) | codes.tables[level].hi,
    rootLo: rootIsEntry ? (address) => tableFrame.lo(levels, address) | codes.tables[levels].lo : (address) => (address / 4096) | 0,
    rootHi: rootIsEntry ? (address) => tableFrame.hi(levels, address) | codes.tables[levels].hi : () => 0,
    setAccessed: (lo) => (lo | accessedLo) & ~accessedClear,
    setDirty: (lo) => (lo | accessedLo | dirtyLo) & ~(accessedClear | dirtyClear),
    clearStatus: (lo) => (lo & ~(accessedLo | dirtyLo)) | accessedClear | dirtyClear,
    marked: marks,
  };
}

/** Addresses of programs are numbers, and so are sums of two. */
const MAX_USER_END = 2 ** 52;

function decoderOf(descriptor: LayoutDescriptor, options: Options): Decoder {
  const geometry = geometryOf(descriptor);
  const classification = classificationFor(descriptor, options, geometry);
  const shapes = classification.patterns.map((patterns, level) =>
    patterns.map((pattern) => (pattern.as === 'leaf' ? leafShapeOf(descriptor, geometry, level, pattern) : null)),
  );
  const naturals = shapes.map((list, level) => list.find((shape) => shape !== null && shape.pageShift === geometry.lows[level]) ?? null);
  const tables = classification.patterns.map((patterns, level) => {
    if (patterns.every((pattern) => pattern.as !== 'table')) return [];
    if (level === 0) throw new LayoutError(descriptor.id, `classify.${geometry.names[0]}`, 'a pointer on the last level');
    return tablePartsOf(descriptor, geometry, level);
  });
  return {
    descriptor,
    options,
    geometry,
    classification,
    shapes,
    naturals,
    tables,
    grants: grantsOf(descriptor, options, geometry),
    post: postOf(descriptor, options),
    status: statusOf(descriptor, options),
  };
}

// -------------------------------------------------------------------------------------------------- address fields

/** Reads the field of `level`: an address in pages. One piece a level is the rule, and taken without a loop. */
function fieldReader(fields: readonly (readonly Part[])[]): (level: number, lo: number, hi: number) => number {
  const scale = sharedShift(fields);
  if (scale === null) return (level, lo, hi) => addressIn(fields[level], lo, hi, 12);
  const loMasks = Int32Array.from(fields, (parts) => parts[0]?.loMask ?? 0);
  const hiMasks = Int32Array.from(fields, (parts) => parts[0]?.hiMask ?? 0);
  const loScale = 2 ** (scale - 12);
  const hiScale = 2 ** (scale + 20);
  return (level, lo, hi) => ((lo & loMasks[level]) >>> 0) * loScale + ((hi & hiMasks[level]) >>> 0) * hiScale;
}

/** The shift of all fields, if each has at most one piece and it is the same everywhere. */
function sharedShift(fields: readonly (readonly Part[])[]): number | null {
  const parts = fields.flat();
  const same = parts.length > 0 && parts.every((part) => part.shl === parts[0].shl) && fields.every((field) => field.length <= 1);
  return same ? parts[0].shl : null;
}

interface FieldWriter {
  readonly lo: (level: number, address: number) => number;
  readonly hi: (level: number, address: number) => number;
}

/** Puts an address, in bytes, into the field of `level`. One piece a level is the rule, as in fieldReader. */
function fieldWriter(fields: readonly (readonly Part[])[]): FieldWriter {
  const scale = sharedShift(fields);
  if (scale !== null) {
    const loMasks = Int32Array.from(fields, (parts) => parts[0]?.loMask ?? 0);
    const hiMasks = Int32Array.from(fields, (parts) => parts[0]?.hiMask ?? 0);
    const loScale = 2 ** -scale;
    const hiScale = 2 ** -(scale + 32);
    // Exact, since powers of two; & takes the whole part modulo 2^32.
    return { lo: (level, address) => (address * loScale) & loMasks[level], hi: (level, address) => (address * hiScale) & hiMasks[level] };
  }
  return {
    lo: (level, address) => {
      const parts = fields[level];
      let lo = 0;
      for (let i = 0; i < parts.length; i++) lo |= scaled(address, parts[i].shl) & parts[i].loMask;
      return lo;
    },
    hi: (level, address) => {
      const parts = fields[level];
      let hi = 0;
      for (let i = 0; i < parts.length; i++) hi |= scaled(address, parts[i].shl + 32) & parts[i].hiMask;
      return hi;
    },
  };
}

/** Bits shift .. shift + 31 of an address, which is a whole number below 2^64, page aligned where above 2^53. */
function scaled(address: number, shift: number): number {
  return Math.floor(address / 2 ** shift) | 0;
}

/** What tables of each level are aligned to, in bytes: the lowest bit that pointers to them have, and the root register. */
function alignmentsOf({ descriptor, geometry, tables }: Decoder): readonly number[] {
  const lowestBit = (parts: readonly Part[]): number =>
    parts.reduce((least, { loMask, hiMask, shl }) => {
      const bit = loMask === 0 ? 63 - Math.clz32(hiMask & -hiMask) : 31 - Math.clz32(loMask & -loMask);
      return Math.min(least, 2 ** (bit + shl));
    }, Infinity);
  return Array.from({ length: geometry.levels }, (_, level) => {
    const pointed = tables[level + 1].length === 0 ? 1 : lowestBit(tables[level + 1]);
    if (level < geometry.levels - 1 || descriptor.root.kind === 'value' || descriptor.levels[0].bits === 0) return pointed;
    const { lo, hi } = signed(descriptor.root.mask);
    return Math.max(pointed, lowestBit([{ loMask: lo, hiMask: hi, shl: 0 }]));
  });
}

// ------------------------------------------------------------------------------------------------------ attributes

/** The accessed and dirty bits of leaves, all in the lower half: those to set and those to clear. */
interface Status {
  readonly hasAccessed: boolean;
  readonly hasDirty: boolean;
  readonly hardwareAccessed: boolean;
  readonly hardwareDirty: boolean;
  readonly accessedLo: number;
  readonly accessedClear: number;
  readonly dirtyLo: number;
  readonly dirtyClear: number;
}

/** What a read sets is accessed, what a write sets beyond it dirty; so are the bits whose absence is a fault. */
function statusOf(descriptor: LayoutDescriptor, options: Options): Status {
  const { id, ad } = descriptor;
  const bits = (field: string, hex: Hex | undefined): number => {
    const { lo, hi } = signed(hex);
    if (hi !== 0) throw new LayoutError(id, field, 'accessed and dirty bits must be in the lower half of an entry');
    return lo;
  };
  const on = (letter: 'r' | 'w') => {
    let set = 0;
    let clear = 0;
    ad.set.forEach((update, i) => {
      if (!inForce(update, options) || !update.on.includes(letter)) return;
      set |= bits(`ad.set[${i}].set`, update.set);
      clear |= bits(`ad.set[${i}].clear`, update.clear);
    });
    return { set, clear };
  };
  const demanded = (letter: 'r' | 'w') => {
    let set = 0;
    let clear = 0;
    ad.fault.forEach((fault, i) => {
      if (!inForce(fault, options) || !fault.on.includes(letter)) return;
      const mask = bits(`ad.fault[${i}].mask`, fault.mask);
      const value = bits(`ad.fault[${i}].value`, fault.value);
      set |= mask & ~value;
      clear |= mask & value;
    });
    return { set, clear };
  };
  const [read, write] = [on('r'), on('w')];
  const [toRead, toWrite] = [demanded('r'), demanded('w')];
  const accessedLo = read.set | toRead.set;
  const accessedClear = read.clear | toRead.clear;
  const dirtyLo = (write.set | toWrite.set) & ~accessedLo;
  const dirtyClear = (write.clear | toWrite.clear) & ~accessedClear;
  return {
    hasAccessed: (accessedLo | accessedClear) !== 0,
    hasDirty: (dirtyLo | dirtyClear) !== 0,
    hardwareAccessed: (read.set | read.clear) !== 0,
    hardwareDirty: ((write.set & ~accessedLo) | (write.clear & ~accessedClear)) !== 0,
    accessedLo,
    accessedClear,
    dirtyLo,
    dirtyClear,
  };
}

/** PageTableFormat.attributes. */
function attributesOf(decoder: Decoder): PageTableFormat['attributes'] {
  const { descriptor, geometry, classification, grants, post, status } = decoder;
  const { accessedLo, accessedClear, dirtyLo, dirtyClear } = status;
  const global = signed(descriptor.carried?.global);
  // What grants mean, with the supervisor's rules for leaves applied.
  const meaning = Uint8Array.from({ length: ALL_GRANTS + 1 }, (_, set) => attributesOfGrants(post[set]));
  const tableMeaning = Uint8Array.from({ length: ALL_GRANTS + 1 }, (_, set) => attributesOfGrants(set));
  // Which levels have pointers, and what those always are: accessed and dirty, unless directories are marked too.
  const hasTables = Uint8Array.from(classification.patterns, (patterns) => (patterns.some((p) => p.as === 'table') ? 1 : 0));
  const always = Uint8Array.from({ length: (geometry.levels + 1) * 2 }, (_, slot) => {
    if ((slot & 1) === 1) return (status.hasAccessed ? 0 : ATTR_ACCESSED) | (status.hasDirty ? 0 : ATTR_DIRTY);
    // Whether the format has such bits here must not depend on what this level skips: root entries carry them too.
    const marks = descriptor.ad.set.filter((update) => inForce(update, decoder.options) && update.at === 'all');
    const accessed = marks.some((update) => update.on.includes('r'));
    const dirty = marks.some((update) => update.on.includes('w') && (signed(update.set).lo & dirtyLo) !== 0);
    const skipped = descriptor.perm.skip?.includes(geometry.names[slot >> 1]) === true;
    return (accessed && !skipped ? 0 : ATTR_ACCESSED) | (dirty ? 0 : ATTR_DIRTY);
  });
  return (level, lo, hi) => {
    const isTable = hasTables[level] === 1 && (classify(classification, level, lo, hi) & 7) === ENTRY_TABLE;
    const slot = (level << 1) | (isTable ? 0 : 1);
    const granted = grantsOfEntry(grants, slot, lo, hi);
    let bits = (isTable ? tableMeaning[granted] : meaning[granted]) | always[slot];
    if ((lo & accessedLo) === accessedLo && (lo & accessedClear) === 0) bits |= ATTR_ACCESSED;
    if ((lo & dirtyLo) === dirtyLo && (lo & dirtyClear) === 0) bits |= ATTR_DIRTY;
    if (((lo & global.lo) | (hi & global.hi)) !== 0) bits |= ATTR_GLOBAL;
    return bits;
  };
}

/** A set of grants as attributes: the user's permissions if there are any, else the supervisor's. */
function attributesOfGrants(set: number): number {
  const user = set & PERMISSIONS;
  return user === 0 ? set >> 3 : user | ATTR_USER;
}

function permissionsVary({ descriptor, options, geometry }: Decoder): boolean {
  const patterns = grantPatternsOf(descriptor, geometry, 0, true) ?? [];
  return patterns.some((pattern) => inForce(pattern, options) && (signed(pattern.mask).lo | signed(pattern.mask).hi) !== 0);
}

/** PageTableFormat.marked. */
function marksOf(decoder: Decoder): PageTableFormat['marked'] {
  const { descriptor, options, geometry, classification, grants } = decoder;
  const { levels, names } = geometry;
  const slots: (readonly Update[])[] = []; // (level << 1 | isLeaf) << 1 | isWrite
  for (let slot = 0; slot < (levels + 1) * 4; slot++) {
    const name = names[Math.min(slot >> 2, names.length - 1)];
    slots.push(updatesOf(descriptor, options, { name, isLeaf: (slot & 2) !== 0, letter: (slot & 1) !== 0 ? 'w' : 'r' }));
  }
  // All that updates can change, by level << 1 | isWrite: most entries are marked already.
  const sets = Int32Array.from({ length: (levels + 1) * 2 }, (_, i) => everyBit(slots, i, 'setLo'));
  const clears = Int32Array.from(sets, (_, i) => everyBit(slots, i, 'clearLo'));
  return (level, lo, hi, access: Access) => {
    const either = (level << 1) | ((access & WRITE) !== 0 ? 1 : 0);
    if (((~lo & sets[either]) | (lo & clears[either])) === 0) return lo;
    const kind = classify(classification, level, lo, hi) & 7;
    if (kind !== ENTRY_LEAF && kind !== ENTRY_TABLE) return lo;
    const slot = (level << 1) | (kind === ENTRY_LEAF ? 1 : 0);
    const updates = slots[(slot << 1) | ((access & WRITE) !== 0 ? 1 : 0)];
    let marked = lo;
    for (let i = 0; i < updates.length; i++) {
      const update = updates[i];
      if ((lo & update.maskLo) !== update.valueLo || (hi & update.maskHi) !== update.valueHi) continue;
      // A write marks what it may write through; with `pre` a fetch marks what it may then not use.
      if (!update.pre) {
        const granted = grantsOfEntry(grants, slot, lo, hi);
        if (((granted | (granted >> 3)) & access) !== access) continue;
      }
      marked = (marked | update.setLo) & ~update.clearLo;
    }
    return marked;
  };
}

/** The bits that updates of pointers or leaves have in `field`, for level << 1 | isWrite. */
function everyBit(slots: readonly (readonly Update[])[], either: number, field: 'setLo' | 'clearLo'): number {
  const table = ((either & ~1) << 1) | (either & 1);
  return [...slots[table], ...slots[table | 2]].reduce((bits, update) => bits | update[field], 0);
}

// -------------------------------------------------------------------------------------------------------- encoding

/** The flags of an entry: its value without a frame or a table. */
interface Flags {
  readonly lo: number;
  readonly hi: number;
}

interface Encoder {
  /** By level: the flags of the pointer that grants most. */
  readonly tables: readonly Flags[];
  readonly hasLeaf: (level: number) => boolean;
  /** The flags of the leaf that comes closest to what is asked, or null: there is none. Hot. */
  readonly leaf: (level: number, attributes: number) => Flags | null;
}

const UNKNOWN = Infinity;

/**
 * Inverts the decoder: all flags are tried once, the best of them for a set of attributes are chosen when it is first
 * asked for. A format has up to 128 of either, on every level, and a kernel asks for a dozen.
 */
function searchCodes(decoder: Decoder, kind: PageTableFormat['kind'], attributes: PageTableFormat['attributes']): Encoder {
  const { descriptor, geometry, classification, shapes, naturals } = decoder;
  const { levels } = geometry;
  const meanings: Map<number, Flags>[] = []; // by level: the first leaf that means exactly this
  const invalids: (Flags | null)[] = [];
  const tables: Flags[] = [];
  for (let level = 0; level <= levels; level++) {
    const fail = (reason: string): never => {
      throw new LayoutError(descriptor.id, `classify.${geometry.names[level]}`, reason);
    };
    const leaves = new Map<number, Flags>();
    let invalid: Flags | null = null;
    for (const flags of flagsOf(decoder, level, naturals[level]?.parts ?? [])) {
      const outcome = classify(classification, level, flags.lo, flags.hi);
      const what = outcome & 7;
      if (what === ENTRY_INVALID) invalid ??= flags;
      if (what !== ENTRY_LEAF || shapes[level][outcome >> 3]?.pageShift !== geometry.lows[level]) continue;
      const meaning = attributes(level, flags.lo, flags.hi);
      if (!leaves.has(meaning)) leaves.set(meaning, flags);
    }
    const pointer = bestPointer(decoder, level, kind, attributes);
    if (level > 0 && level < levels && pointer === null) fail('no entry is a pointer');
    if (level === 0 && leaves.size === 0) fail('no entry is a leaf');
    if (level === 0 && (invalid === null || kind(0, invalid.lo, invalid.hi) !== ENTRY_INVALID)) fail('no entry is invalid');
    meanings.push(leaves);
    invalids.push(invalid);
    tables.push(pointer ?? { lo: 0, hi: 0 });
  }
  const chosen: (Flags | null | undefined)[] = Array.from({ length: (levels + 1) << 7 }, () => undefined); // by level << 7 | attributes
  const choose = (level: number, asked: number): Flags | null => {
    let best = (asked & PERMISSIONS) === 0 && meanings[level].size > 0 ? invalids[level] : null;
    let bestCost = best === null ? UNKNOWN : 0;
    meanings[level].forEach((flags, meaning) => {
      const cost = costOf(asked, meaning);
      if (cost >= bestCost) return;
      best = flags;
      bestCost = cost;
    });
    chosen[(level << 7) | asked] = best;
    return best;
  };
  return {
    tables,
    hasLeaf: (level) => meanings[level].size > 0,
    leaf: (level, asked) => {
      const known = chosen[(level << 7) | (asked & 127)];
      return known === undefined ? choose(level, asked & 127) : known;
    },
  };
}

/** The flags of the pointer of `level` that grants most, or null: no entry is a pointer. */
function bestPointer(
  decoder: Decoder,
  level: number,
  kind: PageTableFormat['kind'],
  attributes: PageTableFormat['attributes'],
): Flags | null {
  let best: Flags | null = null;
  let mostGranted = -1;
  if (decoder.tables[level].length === 0) return null;
  for (const flags of flagsOf(decoder, level, decoder.tables[level])) {
    if (kind(level, flags.lo, flags.hi) !== ENTRY_TABLE) continue;
    const granted = bitCount(attributes(level, flags.lo, flags.hi) & (PERMISSIONS | ATTR_USER));
    if (granted <= mostGranted) continue;
    mostGranted = granted;
    best = flags;
  }
  return best;
}

/**
 * How far an entry is from what is asked. It must grant what is asked, and to users if so asked; it should not grant
 * more, should not be open to users otherwise, and agree in the rest.
 */
function costOf(asked: number, meaning: number): number {
  const must = asked & (PERMISSIONS | ATTR_USER);
  if ((meaning & must) !== must) return UNKNOWN;
  const excess = bitCount(meaning & ~asked & PERMISSIONS);
  const open = (meaning & ~asked & ATTR_USER) !== 0 ? 1 : 0;
  const differs = bitCount((meaning ^ asked) & (ATTR_ACCESSED | ATTR_DIRTY | ATTR_GLOBAL));
  return open * 64 + excess * 8 + differs;
}

const MAX_FLAG_BITS = 18;

/** All combinations of the bits of an entry of `level`, outside `field`, that rules consult or that it carries; the smallest first. */
function* flagsOf(decoder: Decoder, level: number, field: readonly Part[]): Generator<Flags> {
  const { descriptor, options, geometry, classification, status } = decoder;
  const global = signed(descriptor.carried?.global);
  let lo = global.lo | status.accessedLo | status.accessedClear | status.dirtyLo | status.dirtyClear;
  let { hi } = global;
  const consult = (rule: Conditional & { readonly mask?: Hex; readonly any?: Hex }, withAny: boolean) => {
    if (!inForce(rule, options)) return;
    for (const hex of withAny ? [rule.mask, rule.any] : [rule.mask]) {
      const bits = signed(hex);
      lo |= bits.lo;
      hi |= bits.hi;
    }
  };
  // A bit of which any one is refused need not be tried.
  const isRefusal = (pattern: ClassPattern) => pattern.as === 'reserved' || pattern.as === 'invalid';
  for (const pattern of classification.patterns[level]) consult(pattern, !isRefusal(pattern));
  for (const isLeaf of [true, false])
    for (const pattern of grantPatternsOf(descriptor, geometry, level, isLeaf) ?? []) consult(pattern, true);
  for (const update of descriptor.ad.set) consult(update, true);
  for (const part of field) {
    lo &= ~part.loMask;
    hi &= ~part.hiMask;
  }
  const refused = refusedBits(classification, level);
  lo &= ~refused.lo;
  hi &= ~refused.hi;
  if (bitCount(lo) + bitCount(hi) > MAX_FLAG_BITS)
    throw new LayoutError(descriptor.id, `classify.${geometry.names[Math.min(level, geometry.names.length - 1)]}`, 'too many flags');
  const los = combinations(lo);
  for (const high of combinations(hi)) for (const low of los) yield { lo: low, hi: high };
}

/**
 * Bits that no leaf or pointer of `level` has set, whatever else it has: those refused before anything is accepted. No
 * pattern before that looks at them, so that without them an invalid entry is as invalid.
 */
function refusedBits({ patterns, rules }: Classification, level: number): Flags {
  let [lo, hi, seenLo, seenHi] = [0, 0, 0, 0];
  for (let i = 0; i < rules[level].length; i++) {
    const { maskLo, maskHi, hasAny, anyLo, anyHi } = rules[level][i];
    const { as } = patterns[level][i];
    if (as !== 'reserved' && as !== 'invalid') break;
    if (as === 'reserved' && hasAny && (maskLo | maskHi) === 0) {
      lo |= anyLo & ~seenLo;
      hi |= anyHi & ~seenHi;
    }
    seenLo |= maskLo | anyLo;
    seenHi |= maskHi | anyHi;
  }
  return { lo, hi };
}

function bitCount(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}
