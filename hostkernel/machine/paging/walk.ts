/**
 * The hardware walk: follows the page tables of an address space in RAM, and maintains accessed and dirty bits.
 *
 *   root -> [entry] -> table frame -> [entry] -> ... -> leaf -> frame of the address
 *              |                        |
 *              +---- classify, then: refuse, follow, or judge the access
 *
 * It is derived from a format's descriptor and gives the results of `reference.ts`, which says the same more slowly.
 * Tables instead of patterns, halves instead of bigints: bench/hostkernel/machine/paging.bench.ts has the ratios.
 * What it does not do: caching (the TLB's business) and policy (the fault path's).
 */
import { kassert } from '../../base/assert.ts';
import { type Access, WRITE } from '../../base/units.ts';
import { attributesByKey, classificationFor, frameFieldOf, geometryOf, keyOf, PERMISSIONS } from './derive.ts';
import { type FaultKind, type Hex, halves, inForce, type LayoutDescriptor, type Options } from './descriptor.ts';
import { ATTR_USER, ENTRY_LEAF, ENTRY_RESERVED, type PageTableFormat } from './format.ts';
import { type Classification, classifySlowly } from './rules.ts';

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
];

/** The memory a walk reads and writes. Frame f begins at byte base + f * 4096 of `i32`. */
export interface WalkMemory {
  readonly base: number;
  readonly frames: number;
  readonly i32: Int32Array;
}

/** What the last walk found. One record for all walks: it is overwritten. */
export interface WalkResult {
  /** The 4 KiB frame of the address, also inside a large page. It may lie outside RAM. Only after a hit. */
  frame: number;
  /** log2 of the page's size in bytes. Only after a hit. */
  pageShift: number;
  /** What is permitted, and the accessed and dirty bits, after this access has set them. Only after a hit. */
  attributes: number;
  /** Level of the leaf, or of the entry that refused. */
  level: number;
  /** Entries read. */
  references: number;
}

/**
 * Translates one address. Hot: allocates nothing.
 *
 * A refused walk has written nothing, except in virtual-page-table formats, which set A and M while descending.
 * @param root frame of the root table; the value of the root entry where the format's root is one
 * @param vaLo lower half of the byte address, signed or not; vaHi the upper
 * @param access READ, WRITE, EXEC or several: all must be permitted
 * @returns WALK_HIT or the refusal
 */
export type Walk = (root: number, vaLo: number, vaHi: number, access: Access) => number;

export interface HardwareWalk {
  readonly walk: Walk;
  readonly result: WalkResult;
}

/**
 * The walk of `format` in `ram`, for user or supervisor mode.
 * @throws KernelPanic if the format's rules are beyond what a hardware walk does
 */
export function compileWalk(format: PageTableFormat, ram: WalkMemory, mode: 'user' | 'super' = 'user'): HardwareWalk {
  const { descriptor, options, levels } = format;
  const { perm, va } = descriptor;
  kassert(ram.base % 4 === 0 && ram.frames <= 2 ** 20, 'paging: RAM is at most 4 GiB, in words');

  const { i32, frames } = ram;
  const baseWord = ram.base / 4;
  const wide = format.entryBytes === 8;
  const entryWords = wide ? 1 : 0; // log2
  const top = descriptor.root.kind === 'value' ? levels : levels - 1;

  const geometry = geometryOf(descriptor);
  const lows = Int32Array.from(geometry.shifts, (shift) => shift + 12);
  const masks = Int32Array.from(geometry.masks);
  const classification = classificationFor(descriptor, options, geometry);
  const faults = faultsOf(classification);
  const { outcomes, doubtLo, doubtHi } = classification;
  const attributes = flatten(attributesByKey(descriptor, options, mode, classification));
  const { shift: frameShift, loMask: frameLo, hiMask: frameHi, hiScale } = frameFieldOf(descriptor);
  const { offsetLo, offsetHi, pageShifts } = offsetsOf(geometry.spans);
  const ranges = rangesOf(classification);

  const checksAddress = va.rule !== 'wrap' || (va.strictOpt !== undefined && options[va.strictOpt] === 1);
  const isSigned = va.rule === 'sign';
  const highShift = isSigned ? va.bits - 33 : va.bits - 32;
  const checksEach = perm.check === 'each';
  const combines = perm.combine === 'and';
  const { pre, onRead, onWrite } = updatesOf(descriptor, options);
  const { required, requiredToWrite, refusals } = adFaultsOf(descriptor, options);
  kassert(pre || top < levels, 'paging: a root entry cannot be written back');

  const result: WalkResult = { frame: 0, pageShift: 0, attributes: 0, level: 0, references: 0 };

  /** Whether the upper address bits are what the format wants: zero, or all equal. */
  function isCanonical(vaHi: number): boolean {
    if (isSigned) return ((vaHi >> highShift) + 1) >>> 0 <= 1;
    return vaHi >>> highShift === 0;
  }

  function refuse(fault: number, level: number, references: number): number {
    result.level = level;
    result.references = references;
    return fault;
  }

  function walk(root: number, vaLo: number, vaHi: number, access: Access): number {
    if (checksAddress && !isCanonical(vaHi)) return refuse(WALK_NONCANONICAL, top, 0);
    const isWrite = (access & WRITE) !== 0;
    const updateMask = isWrite ? onWrite.mask : onRead.mask;
    const updateValue = isWrite ? onWrite.value : onRead.value;
    const updateSet = isWrite ? onWrite.set : onRead.set;
    let table = top < levels && root < frames ? root | 0 : NO_TABLE;
    let granted = ~0;
    let references = 0;
    for (let level = top; ; level--) {
      // Read the entry. A root entry is in no table.
      let word = -1;
      let lo: number;
      let hi = 0;
      if (level < levels) {
        if (table >>> 0 >= frames) return refuse(WALK_BUS, level, references);
        const low = lows[level];
        const index = (low < 32 ? (vaLo >>> low) | (vaHi << (32 - low)) : vaHi >>> (low - 32)) & masks[level];
        word = (baseWord + (table << 10) + (index << entryWords)) | 0;
        lo = i32[word];
        if (wide) hi = i32[word + 1];
        references++;
      } else {
        lo = root | 0;
        hi = (root / 2 ** 32) | 0;
      }

      // What is it?
      const row = (level << 8) | (lo & 0xff);
      let outcome = outcomes[row];
      if (((lo & doubtLo[row]) | (hi & doubtHi[row])) !== 0) outcome = classifySlowly(classification, level, lo, hi);
      const kind = outcome & 7;
      if (kind <= ENTRY_RESERVED) return refuse(faults[(level << 6) | (outcome >> 3)], level, references);
      const isLeaf = kind === ENTRY_LEAF;

      // May the access go through it?
      if (pre && word >= 0 && (lo & updateMask) === updateValue && (lo & updateSet) !== updateSet) {
        lo |= updateSet;
        i32[word] = lo;
      }
      if (isLeaf || combines) {
        granted &= attributes[(level << 13) | keyOf(lo, hi)] | ~RIGHTS;
        if ((isLeaf || checksEach) && (granted & access) !== access) return refuse(WALK_PROTECTION, level, references);
      }
      if (!isLeaf) {
        // A frame with bits in the upper half lies beyond 4 GiB in every format, hence beyond RAM.
        table = (hi & frameHi) === 0 ? ((lo & frameLo) >>> frameShift) | 0 : NO_TABLE;
        continue;
      }

      // It may. Accessed and dirty bits, then the result.
      if (!pre) {
        const missing = (isWrite ? requiredToWrite : required) & ~lo;
        if (missing !== 0) return refuse(refusals[31 - Math.clz32(missing & -missing)], level, references);
        if ((lo & updateMask) === updateValue && (lo & updateSet) !== updateSet) {
          lo |= updateSet;
          i32[word] = lo;
        }
      }
      result.frame = ((lo & frameLo) >>> frameShift) + (hi & frameHi) * hiScale;
      result.pageShift = pageShifts[level];
      result.attributes = granted & attributes[(level << 13) | keyOf(lo, hi)];
      result.level = level;
      result.references = references;
      if (level > 0) result.frame += (((vaLo >>> 12) | (vaHi << 20)) & offsetLo[level]) >>> 0;
      if (level === levels) result.frame += ((vaHi >>> 12) & offsetHi) * 2 ** 32;
      const range = ranges[(level << 6) | (outcome >> 3)];
      if (range !== 0) enterRange(range, vaLo);
      return WALK_HIT;
    }
  }

  /** Corrects the result for a leaf of level 0 that stands for 2^range bytes: the lower frame bits are the address's. */
  function enterRange(range: number, vaLo: number): void {
    const pages = 2 ** (range - 12);
    result.frame += ((vaLo >>> 12) % pages) - (result.frame % pages);
    result.pageShift = range;
  }

  return { walk, result };
}

/** The tables one after the other: an index into one array is cheaper than one into an array of arrays. */
function flatten(tables: readonly Uint8Array[]): Uint8Array {
  const flat = new Uint8Array(tables.length * tables[0].length);
  tables.forEach((table, i) => flat.set(table, i * table.length));
  return flat;
}

const NO_TABLE = -1; // a frame that no RAM has
const RIGHTS = PERMISSIONS | ATTR_USER;

/** The refusal of each outcome, by level << 6 | pattern. */
function faultsOf(c: Classification): Uint8Array {
  const faults = new Uint8Array(c.patterns.length << 6).fill(WALK_RESERVED); // also where no pattern matches
  c.patterns.forEach((patterns, level) => {
    patterns.forEach((pattern, i) => {
      if (pattern.as === 'invalid') faults[(level << 6) | i] = WALK_NOT_PRESENT;
      if (pattern.as === 'reserved') faults[(level << 6) | i] = codeOf(pattern.fault ?? 'reserved');
    });
  });
  return faults;
}

function codeOf(kind: FaultKind): number {
  const code = WALK_FAULTS.indexOf(kind);
  kassert(code > 0, `paging: fault ${kind}`);
  return code;
}

/** Page size in bytes (log2) of leaves that are not as large as their level, by level << 6 | pattern; else 0. */
function rangesOf(c: Classification): Uint8Array {
  const ranges = new Uint8Array(c.patterns.length << 6);
  c.patterns.forEach((patterns, level) => {
    patterns.forEach((pattern, i) => {
      if (pattern.as !== 'leaf' || pattern.pageShift === undefined) return;
      kassert(level === 0, 'paging: ranges are of base pages');
      ranges[i] = pattern.pageShift;
    });
  });
  return ranges;
}

/** By level: which page bits of an address are offset within a leaf, in two parts, and log2 of its size in bytes. */
function offsetsOf(spans: readonly number[]): { offsetLo: Int32Array; offsetHi: number; pageShifts: Uint8Array } {
  const whole = spans[spans.length - 1];
  kassert(
    spans.every((span) => span === whole || span <= 2 ** 32),
    'paging: only a root entry maps more than 2^32 pages',
  );
  return {
    offsetLo: Int32Array.from(spans, (span) => (Math.min(span, 2 ** 32) - 1) | 0),
    offsetHi: Math.max(whole / 2 ** 32, 1) - 1,
    pageShifts: Uint8Array.from(spans, (span) => 12 + Math.log2(span)),
  };
}

/** An update of the lower half: `set` is set where (entry & mask) === value. */
interface Update {
  readonly mask: number;
  readonly value: number;
  readonly set: number;
}

/** What hardware sets in an entry. pre: in every entry while descending; otherwise in the leaf, when the access is permitted. */
function updatesOf(descriptor: LayoutDescriptor, options: Options): { pre: boolean; onRead: Update; onWrite: Update } {
  const updates = descriptor.ad.set.filter((update) => inForce(update, options));
  const pre = descriptor.ad.set.some((update) => update.pre === 1);
  kassert(
    updates.every((update) => (update.at === 'all') === pre),
    `paging: updates of ${descriptor.id}`,
  );
  const on = (letter: string): Update => {
    const own = updates.filter((update) => update.on.includes(letter));
    const same = own.every((update) => update.mask === own[0].mask && update.value === own[0].value);
    kassert(same, `paging: updates of ${descriptor.id}`);
    return { mask: lower(own[0]?.mask), value: lower(own[0]?.value), set: own.reduce((bits, update) => bits | lower(update.set), 0) };
  };
  const onRead = on('r');
  const onFetch = on('x');
  kassert(onFetch.set === onRead.set && onFetch.mask === onRead.mask, `paging: updates of ${descriptor.id}`);
  return { pre: pre || descriptor.root.kind === 'value', onRead, onWrite: on('w') };
}

interface AdFaults {
  readonly required: number; // bits of the lower half that every access needs set
  readonly requiredToWrite: number;
  readonly refusals: Uint8Array; // by bit number: the refusal where the bit is missing
}

/** Bits that software must have set. A missing lower bit is reported before a missing higher one. */
function adFaultsOf(descriptor: LayoutDescriptor, options: Options): AdFaults {
  const refusals = new Uint8Array(32);
  let required = 0;
  let requiredToWrite = 0;
  for (const fault of descriptor.ad.fault.filter((f) => inForce(f, options))) {
    const bit = lower(fault.mask);
    kassert(bit > requiredToWrite && lower(fault.value) === 0 && fault.on.includes('w'), `paging: faults of ${descriptor.id}`);
    refusals[31 - Math.clz32(bit)] = codeOf(fault.kind);
    if (fault.on === 'rwx') required |= bit;
    requiredToWrite |= bit;
  }
  return { required, requiredToWrite, refusals };
}

/** A mask that must lie in the lower half. */
function lower(hex: Hex | undefined): number {
  const { lo, hi } = halves(hex ?? '0x0');
  kassert(hi === 0, 'paging: accessed and dirty bits are in the lower half');
  return lo | 0;
}
