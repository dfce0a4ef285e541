/**
 * The walk of plain formats, which nearly every machine uses: tables are single pages, an address is one run of bits, and
 * the hardware updates either the leaf or every entry on its way down. It says what `walk.ts` says about these
 * formats, in half the time: bench/hostkernel/machine/paging.bench.ts has the ratio.
 *
 * RISC-V's first stage, EPT without accessed bits and the virtual page tables are plain. x86 is not (a hit updates the entries above the leaf too), nor are
 * formats with another byte order or table size, with domains or with indirect entries.
 */
import { type Access, WRITE } from '../../base/units.ts';
import {
  ALL_GRANTS,
  classificationFor,
  fillKeys,
  geometryOf,
  grantPatternsOf,
  grantsOf,
  grantsOfEntry,
  PERMISSIONS,
  postOf,
  signed,
  type Update,
} from './entries.ts';
import { ATTR_ACCESSED, ATTR_DIRTY, ATTR_GLOBAL, ATTR_USER, ENTRY_LEAF, ENTRY_RESERVED, type PageTableFormat } from './format.ts';
import { classifySlowly } from './rules.ts';
import type { HardwareWalk, WalkMemory, WalkResult } from './walk.ts';
import {
  faultsOf,
  flagsOf,
  leafFieldsOf,
  PATTERN_SHIFT,
  statusOf,
  tableFieldsOf,
  updateSlotsOf,
  upperBitsOf,
  WALK_BUS,
  WALK_HIT,
  WALK_NONCANONICAL,
  WALK_PROTECTION,
} from './walk-tables.ts';

const KEY_BITS = 12;
const KEYS = 1 << KEY_BITS; // flags are among the lowest bits of an entry
const RIGHTS = PERMISSIONS | ATTR_USER;
const NO_TABLE = -1; // a frame that no RAM has

/** The walk of `format`, or null: it is not plain. */
export function compilePlainWalk(format: PageTableFormat, ram: WalkMemory, mode: 'user' | 'super'): HardwareWalk | null {
  const { descriptor, options, levels, entryShift } = format;
  const { perm } = descriptor;
  const geometry = geometryOf(descriptor);
  const classification = classificationFor(descriptor, options, geometry);
  const patterns = classification.patterns.slice(0, levels);

  // Tables, and how entries name them.
  if (format.bigEndian || descriptor.domain !== undefined) return null;
  if (patterns.some((list) => list.some((pattern) => pattern.as === 'indirect'))) return null;
  if (geometry.bits.some((bits) => bits + entryShift > 12)) return null;
  const tables = tableFieldsOf(descriptor, geometry, classification);
  const leaves = leafFieldsOf(descriptor, geometry, classification);
  const [, { shl, loMask: tableLo, hiMask: tableHi }] = tables.parts.map((parts) => parts[0] ?? { shl: -1, loMask: 0, hiMask: 0 });
  const frameShift = 12 - shl;
  if (shl < 0 || shl > 12 || tableLo !== -(2 ** frameShift)) return null;
  for (let level = 1; level < levels; level++) {
    const [part, ...more] = tables.parts[level];
    if (more.length > 0 || part.shl !== shl || part.loMask !== tableLo || part.hiMask !== tableHi) return null;
  }
  const leafLevels = patterns.flatMap((list, level) => list.map((pattern, i) => ({ pattern, at: (level << PATTERN_SHIFT) | i })));
  const frames = leafLevels.filter(({ pattern }) => pattern.as === 'leaf');
  if (frames.some(({ at }) => leaves.parts[at] !== null || leaves.loScales[at] !== 2 ** -frameShift)) return null;

  // What entries grant, and what the walk changes in them.
  const post = postOf(descriptor, options);
  const differs = Array.from({ length: levels }, (_, level) => level).some(
    (level) => grantPatternsOf(descriptor, geometry, level, true) !== grantPatternsOf(descriptor, geometry, 0, true),
  );
  if (post.some((set, i) => set !== i) || differs || perm.tableEntry !== undefined) return null;
  const grants = grantsOf(descriptor, options, geometry);
  const status = statusOf(descriptor, options);
  const statusLo = status.accessedLo | status.dirtyLo | status.globalLo;
  const statusHi = status.accessedHi | status.dirtyHi | status.globalHi;
  if (grants.loBits.some((bits) => bits > KEY_BITS) || grants.hiMasks.some((mask) => mask !== 0)) return null;
  if ((statusLo & -KEYS) !== 0 || statusHi !== 0 || flagsOf(descriptor, options, true).length > 0) return null;
  const pre = updateSlotsOf(descriptor, options, geometry, true);
  const late = updateSlotsOf(descriptor, options, geometry, false);
  const early = pre.some((list) => list.length > 0);
  const inTables = late.some((list, slot) => list.length > 0 && (Math.floor(slot / 3) & 1) === 0);
  if (inTables || (early && late.some((list) => list.length > 0))) return null;
  const used = early ? pre : late;
  const leafUpdates = used.slice(3, 6);
  for (let slot = 0; slot < levels * 6; slot++) {
    const isLeafs = (Math.floor(slot / 3) & 1) === 1;
    if ((early || isLeafs) && !isSame(used[slot], leafUpdates[slot % 3])) return null;
  }
  const lower = leafUpdates.map((list) => (list.length === 0 ? NOTHING : list.length === 1 ? lowerOf(list[0]) : null));
  const [onRead, onWrite, onFetch] = lower.filter((update) => update !== null);
  if (lower.includes(null) || onFetch.set !== onRead.set || onFetch.mask !== onRead.mask || onFetch.value !== onRead.value) return null;
  const { required, requiredToWrite, refusals, known } = requiredOf(format);
  if (!known) return null;

  const { i32, frames: frameCount } = ram;
  const baseWord = ram.base / 4;
  const top = levels - 1;
  const wide = format.entryBytes === 8;
  const entryWords = entryShift - 2; // log2
  const lows = Int32Array.from(geometry.lows);
  const masks = Int32Array.from(geometry.bits, (bits) => 2 ** bits - 1);
  const faults = faultsOf(descriptor, classification);
  const { outcomes, doubtLo, doubtHi } = classification;
  const { loMasks: frameLo, hiMasks: frameHi, offsetLo, offsetHi, pageShifts } = leaves;
  const hiScale = 2 ** (32 - frameShift);
  const { upperLo, upperHi, onesAllowed, isSplit } = upperBitsOf(descriptor, options);
  const checksEach = perm.check === 'each';
  const combines = perm.combine === 'and';
  const attributes = attributesByKey();
  const result: WalkResult = { frame: 0, pageShift: 0, attributes: 0, level: 0, references: 0 };

  /** Attributes of leaves, by the lowest bits of an entry. */
  function attributesByKey(): Uint8Array {
    const modeShift = mode === 'user' ? 0 : 3;
    const consulted = (grantPatternsOf(descriptor, geometry, 0, true) ?? []).reduce(
      (bits, { mask, any }) => bits | signed(mask).lo | signed(any).lo,
      statusLo,
    );
    const byKey = new Uint8Array(KEYS);
    fillKeys(byKey, consulted & (KEYS - 1), (key) => {
      const set = grantsOfEntry(grants, 1, key, 0) & ALL_GRANTS;
      let bits = ((set >> modeShift) & PERMISSIONS) | ((set & PERMISSIONS) === 0 ? 0 : ATTR_USER);
      if ((key & status.accessedLo) === status.accessedValueLo) bits |= ATTR_ACCESSED;
      if ((key & status.dirtyLo) === status.dirtyValueLo) bits |= ATTR_DIRTY;
      return (key & status.globalLo) === 0 ? bits : bits | ATTR_GLOBAL;
    });
    return byKey;
  }

  function refuse(fault: number, level: number, references: number): number {
    result.level = level;
    result.references = references;
    return fault;
  }

  function walk(root: number, vaLo: number, vaHi: number, access: Access): number {
    const beyondLo = vaLo & upperLo;
    const beyondHi = vaHi & upperHi;
    if ((beyondLo | beyondHi) !== 0 && (isSplit || !onesAllowed || beyondLo !== upperLo || beyondHi !== upperHi)) {
      return refuse(WALK_NONCANONICAL, top, 0);
    }
    const isWrite = (access & WRITE) !== 0;
    const updateMask = isWrite ? onWrite.mask : onRead.mask;
    const updateValue = isWrite ? onWrite.value : onRead.value;
    const updateSet = isWrite ? onWrite.set : onRead.set;
    let table = root < frameCount ? root | 0 : NO_TABLE;
    let granted = ~0;
    for (let level = top; ; level--) {
      const references = top - level;
      if (table >>> 0 >= frameCount) return refuse(WALK_BUS, level, references);
      const low = lows[level];
      const index = (low < 32 ? (vaLo >>> low) | (vaHi << (32 - low)) : vaHi >>> (low - 32)) & masks[level];
      const word = (baseWord + (table << 10) + (index << entryWords)) | 0;
      let lo = i32[word];
      const hi = wide ? i32[word + 1] : 0;

      // What is it?
      const row = (level << 8) | (lo & 0xff);
      let outcome = outcomes[row];
      if (((lo & doubtLo[row]) | (hi & doubtHi[row])) !== 0) outcome = classifySlowly(classification, level, lo, hi);
      const kind = outcome & 7;
      if (kind <= ENTRY_RESERVED) return refuse(faults[(level << PATTERN_SHIFT) | (outcome >> 3)], level, references + 1);
      const isLeaf = kind === ENTRY_LEAF;

      // May the access go through it?
      if (early && (lo & updateMask) === updateValue && (lo & updateSet) !== updateSet) {
        lo |= updateSet;
        i32[word] = lo;
      }
      if (isLeaf || combines) {
        granted &= attributes[lo & (KEYS - 1)] | ~RIGHTS;
        if ((isLeaf || checksEach) && (granted & access) !== access) return refuse(WALK_PROTECTION, level, references + 1);
      }
      if (!isLeaf) {
        // An address with bits in the upper half lies beyond 4 GiB, hence beyond RAM.
        table = (hi & tableHi) === 0 ? ((lo & tableLo) >>> frameShift) | 0 : NO_TABLE;
        continue;
      }

      // It may. Accessed and dirty bits, then the result.
      if (!early) {
        const missing = (isWrite ? requiredToWrite : required) & ~lo;
        if (missing !== 0) return refuse(refusals[31 - Math.clz32(missing & -missing)], level, references + 1);
        if ((lo & updateMask) === updateValue && (lo & updateSet) !== updateSet) {
          lo |= updateSet;
          i32[word] = lo;
        }
      }
      const field = (level << PATTERN_SHIFT) | (outcome >> 3);
      result.frame = ((lo & frameLo[field]) >>> frameShift) + ((hi & frameHi[field]) >>> 0) * hiScale;
      result.pageShift = pageShifts[field];
      result.attributes = granted & attributes[lo & (KEYS - 1)];
      result.level = level;
      result.references = references + 1;
      if (offsetLo[field] !== 0) result.frame += (((vaLo >>> 12) | (vaHi << 20)) & offsetLo[field]) >>> 0;
      if (offsetHi[field] !== 0) result.frame += ((vaHi >>> 12) & offsetHi[field]) * 4294967296;
      return WALK_HIT;
    }
  }

  return { walk, result };
}

/** An update of the lower half: `set` is set where (entry & mask) === value. */
interface LowUpdate {
  readonly mask: number;
  readonly value: number;
  readonly set: number;
}
const NOTHING: LowUpdate = { mask: 0, value: 0, set: 0 };

function lowerOf(update: Update): LowUpdate | null {
  if ((update.maskHi | update.setHi | update.clearHi | update.clearLo) !== 0) return null;
  return { mask: update.maskLo, value: update.valueLo, set: update.setLo };
}

function isSame(a: readonly Update[], b: readonly Update[]): boolean {
  return a.length === b.length && a.every((update, i) => sameUpdate(update, b[i]));
}

function sameUpdate(a: Update, b: Update): boolean {
  const halves = ['maskLo', 'maskHi', 'valueLo', 'valueHi', 'setLo', 'setHi', 'clearLo', 'clearHi'] as const;
  return halves.every((half) => a[half] === b[half]);
}

interface Required {
  readonly known: boolean; // false: the demands are more than bits that must be set
  readonly required: number; // bits of the lower half that every access needs set
  readonly requiredToWrite: number;
  readonly refusals: Uint8Array; // by bit number: the refusal where the bit is missing
}

/** Bits that software must have set. A missing lower bit is reported before a missing higher one. */
function requiredOf({ descriptor, options }: PageTableFormat): Required {
  const refusals = new Uint8Array(32);
  let required = 0;
  let requiredToWrite = 0;
  let known = true;
  for (const { rule, on, code } of flagsOf(descriptor, options, false)) {
    const bit = rule.maskLo;
    known &&= rule.maskHi === 0 && rule.valueLo === 0 && !rule.hasAny && bit > requiredToWrite && (bit & (bit - 1)) === 0;
    known &&= on === WRITE || on === PERMISSIONS;
    refusals[31 - Math.clz32(bit)] = code;
    if (on === PERMISSIONS) required |= bit;
    requiredToWrite |= bit;
  }
  return { known, required, requiredToWrite, refusals };
}
