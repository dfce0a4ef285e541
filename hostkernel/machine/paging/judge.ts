/**
 * What one entry does to an access that goes through it: the rules of a format, entry by entry. Not the reading of entries
 * and not the order of steps: those are the walks' (`walk.ts`, and the timing model's), which all judge by this.
 *
 *   entry -> known? -------------------------------+-> grants of the path -> pointer: address of the next table
 *             | no                                 |                         leaf: domain, permissions, frame, attributes
 *             classify, updates, grants, flags ----+
 *
 * Most entries have been seen before: what they are, grant and remember depends on a few of their bits, the access and the
 * level, and nothing in them is to be updated. Those are looked up by these bits:
 *
 *   known entry   | 1 | dirty, accessed, global: 3 | grants: 6 | pattern: 6 | what it is: 3 |      0: not known
 *   key           | a few bits of the upper half | the lowest 12 bits |   and no other bit that a rule consults is set
 */
import { type Access, EXEC, WRITE } from '../../base/units.ts';
import type { LayoutDescriptor, Options } from './descriptor.ts';
import {
  addressIn,
  ALL_GRANTS,
  classificationFor,
  geometryOf,
  type Grants,
  grantPatternsOf,
  grantsOf,
  grantsOfEntry,
  type Part,
  PERMISSIONS,
  postOf,
  signed,
  type Update,
} from './entries.ts';
import { ATTR_ACCESSED, ATTR_DIRTY, ATTR_GLOBAL, ATTR_USER, ENTRY_LEAF, ENTRY_RESERVED } from './format.ts';
import { LayoutError } from './layout-error.ts';
import { type Classification, classifySlowly, ENTRY_INDIRECT, ruleMatches } from './rules.ts';
import {
  type DomainField,
  domainOf,
  faultsOf,
  type Flag,
  flagsOf,
  type LeafFields,
  leafFieldsOf,
  PATTERN_SHIFT,
  pointersOf,
  type StatusBits,
  statusOf,
  type TableFields,
  tableFieldsOf,
  updateSlotsOf,
  WALK_DOMAIN,
  WALK_PROTECTION,
} from './walk-tables.ts';

/** What step() returns beside refusals, which are WALK_* and positive. */
export const STEP_TABLE = -1; //    the entry points to a table: tableLo, tableHi
export const STEP_LEAF = -2; //     it maps the page: frame, pageShift, attributes
export const STEP_INDIRECT = -3; // the entry to use is at tableLo, tableHi

export const MAX_LEVELS = 16;

const KEY_LOW_BITS = 12;
const KEY_LOW_MASK = 2 ** KEY_LOW_BITS - 1;
const MOST_HIGH_BITS = 4;
const ACCESSES = 8; // sets of READ, WRITE, EXEC

const PATTERNS = 2 ** PATTERN_SHIFT - 1;
const GRANTS_AT = 3 + PATTERN_SHIFT;
const STATUS_AT = GRANTS_AT + 6;
const KNOWN = 1 << (STATUS_AT + 3);
const STATUS_SHIFT = 4; // ATTR_ACCESSED, ATTR_DIRTY, ATTR_GLOBAL are bits 4 to 6

const NOTHING_KNOWN = new Int32Array(2 ** (KEY_LOW_BITS + MOST_HIGH_BITS));

/** The judge of one format for one mode. It remembers what the pointers of the present walk granted: begin() forgets it. */
export class EntryJudge {
  /** After STEP_TABLE and STEP_INDIRECT: a byte address, in signed halves. */
  tableLo = 0;
  tableHi = 0;
  /** After STEP_LEAF. */
  frame = 0; //      of the address, also inside a large page
  pageShift = 0;
  attributes = 0; // of the whole path, after this access
  /** The entry as the hardware leaves it on its way down, whatever becomes of the walk; and after a walk that succeeds. */
  onWayLo = 0;
  onWayHi = 0;
  newLo = 0;
  newHi = 0;

  readonly #fixedValue: number; // the level of a root entry that is in no table, or -1
  readonly #modeShift: number;
  readonly #combines: boolean;
  readonly #checksEach: boolean;
  readonly #hasUpdates: boolean;
  readonly #classification: Classification;
  readonly #outcomes: Uint16Array;
  readonly #doubtLo: Int32Array;
  readonly #doubtHi: Int32Array;
  readonly #faults: Uint8Array;
  readonly #tables: TableFields;
  readonly #shls: Int8Array;
  readonly #tableLoMasks: Int32Array;
  readonly #tableHiMasks: Int32Array;
  readonly #leaves: LeafFields;
  readonly #pointers: readonly (readonly Part[])[];
  readonly #grants: Grants;
  readonly #post: Uint8Array;
  readonly #domain: DomainField | null;
  readonly #domainLevel: number;
  readonly #pre: readonly (readonly Update[])[];
  readonly #late: readonly (readonly Update[])[];
  readonly #flagsBefore: readonly Flag[];
  readonly #flagsAfter: readonly Flag[];
  readonly #status: StatusBits;
  // Known entries: by level << 3 | access. Bits that rules consult but that are not in the key, by level.
  readonly #known: Int32Array[];
  readonly #otherLo: Int32Array;
  readonly #otherHi: Int32Array;
  readonly #highShift: number;
  readonly #highMask: number;

  #granted = ALL_GRANTS;
  #everything = false; // a domain needs no permissions
  #noDomain = false;

  constructor(layout: LayoutDescriptor, options: Options, mode: 'user' | 'super') {
    const geometry = geometryOf(layout);
    const { levels } = geometry;
    if (levels > MAX_LEVELS) throw new LayoutError(layout.id, 'levels', `more than ${MAX_LEVELS}`);
    const classification = classificationFor(layout, options, geometry);
    this.#fixedValue = layout.root.kind === 'value' ? levels : -1;
    this.#modeShift = mode === 'user' ? 0 : 3;
    this.#combines = layout.perm.combine === 'and';
    this.#checksEach = layout.perm.check === 'each';
    this.#classification = classification;
    this.#outcomes = classification.outcomes;
    this.#doubtLo = classification.doubtLo;
    this.#doubtHi = classification.doubtHi;
    this.#faults = faultsOf(layout, classification);
    this.#tables = tableFieldsOf(layout, geometry, classification);
    this.#shls = this.#tables.shls;
    this.#tableLoMasks = this.#tables.loMasks;
    this.#tableHiMasks = this.#tables.hiMasks;
    this.#leaves = leafFieldsOf(layout, geometry, classification);
    this.#pointers = pointersOf(layout, classification);
    this.#grants = grantsOf(layout, options, geometry);
    this.#post = postOf(layout, options);
    this.#domain = domainOf(layout, options, geometry);
    this.#domainLevel = this.#domain?.level ?? -1;
    this.#pre = updateSlotsOf(layout, options, geometry, true);
    this.#late = updateSlotsOf(layout, options, geometry, false);
    this.#hasUpdates = [...this.#pre, ...this.#late].some((list) => list.length > 0);
    this.#flagsBefore = flagsOf(layout, options, true);
    this.#flagsAfter = flagsOf(layout, options, false);
    this.#status = statusOf(layout, options);

    // Bits that decide beyond the kind of an entry: in the key if they fit.
    const consulted = Array.from({ length: levels + 1 }, (_, level) => {
      const bits = { lo: 0, hi: 0 };
      const add = (lo: number, hi: number) => {
        bits.lo |= lo;
        bits.hi |= hi;
      };
      for (const isLeaf of [false, true]) {
        for (const pattern of grantPatternsOf(layout, geometry, level, isLeaf) ?? []) {
          const [mask, any] = [signed(pattern.mask), signed(pattern.any)];
          add(mask.lo | any.lo, mask.hi | any.hi);
        }
        for (const letter of [0, 1, 2]) {
          const slot = ((level << 1) | (isLeaf ? 1 : 0)) * 3 + letter;
          for (const u of [...this.#pre[slot], ...this.#late[slot]]) {
            add(u.maskLo | u.setLo | u.clearLo, u.maskHi | u.setHi | u.clearHi);
          }
        }
      }
      for (const { rule } of [...this.#flagsBefore, ...this.#flagsAfter]) add(rule.maskLo | rule.anyLo, rule.maskHi | rule.anyHi);
      const { accessedLo, accessedHi, dirtyLo, dirtyHi, globalLo, globalHi } = this.#status;
      add(accessedLo | dirtyLo | globalLo, accessedHi | dirtyHi | globalHi);
      return bits;
    });
    const lowest = consulted[0].hi;
    this.#highShift = lowest === 0 ? 0 : 31 - Math.clz32(lowest & -lowest);
    const width = 32 - Math.clz32(lowest >>> this.#highShift);
    this.#highMask = width <= MOST_HIGH_BITS ? (1 << width) - 1 : 0;
    this.#otherLo = Int32Array.from(consulted, ({ lo }) => lo & ~KEY_LOW_MASK);
    this.#otherHi = Int32Array.from(consulted, ({ hi }) => hi & ~(this.#highMask << this.#highShift));
    this.#known = Array.from({ length: (levels + 1) * ACCESSES }, () => NOTHING_KNOWN);
  }

  /** Forgets the path: a walk begins at the root. Hot. */
  begin(): void {
    this.#granted = ALL_GRANTS;
    this.#everything = false;
    this.#noDomain = false;
  }

  /** What the path so far has granted, in one small integer: a walk cache keeps it. Hot. */
  get carried(): number {
    return this.#granted | (this.#everything ? 64 : 0) | (this.#noDomain ? 128 : 0);
  }

  /** A walk begins below a path that granted this. Hot. */
  resume(carried: number): void {
    this.#granted = carried & ALL_GRANTS;
    this.#everything = (carried & 64) !== 0;
    this.#noDomain = (carried & 128) !== 0;
  }

  /**
   * Judges the entry (lo, hi) of `level` for an access to (vaLo, vaHi). Hot.
   * @param access READ, WRITE, EXEC or several: all must be permitted
   * @param isStored false: the entry is the value of a root register, which is not updated
   * @returns STEP_* or the refusal
   */
  step(level: number, lo: number, hi: number, vaLo: number, vaHi: number, access: Access, isStored: boolean): number {
    const row = (level << 8) | (lo & 0xff);
    const key = (lo & KEY_LOW_MASK) | (((hi >>> this.#highShift) & this.#highMask) << KEY_LOW_BITS);
    const doubt = (lo & this.#doubtLo[row]) | (hi & this.#doubtHi[row]);
    const isCertain = (doubt | (lo & this.#otherLo[level]) | (hi & this.#otherHi[level])) === 0;
    let known = isCertain ? this.#known[(level << 3) | access][key] : 0;
    if (known === 0 || !isStored) {
      known = this.#look(
        level,
        lo,
        hi,
        access,
        isStored,
        doubt === 0 ? this.#outcomes[row] : classifySlowly(this.#classification, level, lo, hi),
      );
      if (known > 0 && isCertain && isStored && this.newLo === lo && this.newHi === hi) this.#remember(level, lo, hi, access, key, known);
      if (known <= 0) return known === 0 ? STEP_INDIRECT : -known;
    } else {
      this.onWayLo = lo;
      this.onWayHi = hi;
      this.newLo = lo;
      this.newHi = hi;
    }

    // May the access go through it?
    const isLeaf = (known & 7) === ENTRY_LEAF;
    if (isLeaf || this.#combines) this.#granted &= known >> GRANTS_AT;
    if (!isLeaf) {
      if (level === this.#domainLevel) this.#enterDomain(this.onWayLo);
      if (this.#checksEach && ((this.#granted >> this.#modeShift) & access) !== access) return WALK_PROTECTION;
      const shl = this.#shls[level];
      if (shl >= 0) {
        const field = lo & this.#tableLoMasks[level];
        this.tableLo = field << shl;
        this.tableHi = ((hi & this.#tableHiMasks[level]) << shl) | ((field >>> 1) >>> (31 - shl));
      } else this.#address(this.#tables.parts[level], lo, hi, 12);
      return STEP_TABLE;
    }

    // It is the leaf: software's flags, domain, permissions, and more flags.
    if (level === this.#domainLevel) this.#enterDomain(this.onWayLo);
    const isDoubtful = (known & KNOWN) === 0;
    if (isDoubtful && this.#flagsBefore.length > 0) {
      const fault = this.#flagged(this.#flagsBefore, access);
      if (fault !== 0) return fault;
    }
    if (this.#noDomain) return WALK_DOMAIN;
    const set = this.#everything ? ALL_GRANTS : this.#post[this.#granted & ALL_GRANTS];
    if (((set >> this.#modeShift) & access) !== access) return WALK_PROTECTION;
    if (isDoubtful && this.#flagsAfter.length > 0) {
      const fault = this.#flagged(this.#flagsAfter, access);
      if (fault !== 0) return fault;
    }

    // Its address.
    const leaves = this.#leaves;
    const field = (level << PATTERN_SHIFT) | ((known >> 3) & PATTERNS);
    const parts = leaves.parts[field];
    let frame =
      parts === null
        ? ((lo & leaves.loMasks[field]) >>> 0) * leaves.loScales[field] + ((hi & leaves.hiMasks[field]) >>> 0) * leaves.hiScales[field]
        : addressIn(parts, lo, hi, 12);
    if (leaves.offsetLo[field] !== 0) frame += (((vaLo >>> 12) | (vaHi << 20)) & leaves.offsetLo[field]) >>> 0;
    if (leaves.offsetHi[field] !== 0) frame += ((vaHi >>> 12) & leaves.offsetHi[field]) * 4294967296;
    this.frame = frame;
    this.pageShift = leaves.pageShifts[field];
    const marks = isDoubtful ? this.#statusOf(this.newLo, this.newHi) : (known >> (STATUS_AT - STATUS_SHIFT)) & STATUS;
    this.attributes = ((set >> this.#modeShift) & PERMISSIONS) | ((set & PERMISSIONS) === 0 ? 0 : ATTR_USER) | marks;
    return STEP_LEAF;
  }

  /**
   * Classifies an entry, updates it, and finds what it grants. @returns these as a known entry has them, without KNOWN; or
   * minus the refusal; 0: it is indirect
   */
  #look(level: number, entryLo: number, entryHi: number, access: Access, isStored: boolean, outcome: number): number {
    this.onWayLo = entryLo;
    this.onWayHi = entryHi;
    this.newLo = entryLo;
    this.newHi = entryHi;
    const kind = outcome & 7;
    const pattern = outcome >> 3;
    if (kind <= ENTRY_RESERVED) return -this.#faults[(level << PATTERN_SHIFT) | pattern];
    if (kind === ENTRY_INDIRECT) {
      this.#address(this.#pointers[(level << PATTERN_SHIFT) | pattern], entryLo, entryHi, 0);
      return 0;
    }
    const slot = kind === ENTRY_LEAF ? (level << 1) | 1 : level << 1;
    if (this.#hasUpdates && isStored) {
      const letter = (access & WRITE) !== 0 ? 1 : (access & EXEC) !== 0 ? 2 : 0;
      this.#update(this.#pre[slot * 3 + letter]);
      this.onWayLo = this.newLo;
      this.onWayHi = this.newHi;
      this.#update(this.#late[slot * 3 + letter], entryLo, entryHi);
    }
    const granted = grantsOfEntry(this.#grants, slot, this.onWayLo, this.onWayHi) & ALL_GRANTS;
    return (granted << GRANTS_AT) | (pattern << 3) | kind;
  }

  /** Makes updates in (newLo, newHi) whose conditions the entry, as it was read, meets. */
  #update(list: readonly Update[], entryLo = this.newLo, entryHi = this.newHi): void {
    for (let i = 0; i < list.length; i++) {
      const update = list[i];
      if ((entryLo & update.maskLo) !== update.valueLo || (entryHi & update.maskHi) !== update.valueHi) continue;
      this.newLo = (this.newLo | update.setLo) & ~update.clearLo;
      this.newHi = (this.newHi | update.setHi) & ~update.clearHi;
    }
  }

  /** Keeps what was found out about an entry that needs no update, unless flags may refuse it. */
  #remember(level: number, lo: number, hi: number, access: Access, key: number, known: number): void {
    const isLeaf = (known & 7) === ENTRY_LEAF;
    if (level === this.#domainLevel || level === this.#fixedValue) return;
    if (isLeaf && (this.#flagged(this.#flagsBefore, access) | this.#flagged(this.#flagsAfter, access)) !== 0) return;
    const at = (level << 3) | access;
    if (this.#known[at] === NOTHING_KNOWN) this.#known[at] = new Int32Array((KEY_LOW_MASK + 1) * (this.#highMask + 1));
    this.#known[at][key] = KNOWN | (this.#statusOf(lo, hi) << (STATUS_AT - STATUS_SHIFT)) | known;
  }

  #statusOf(lo: number, hi: number): number {
    const status = this.#status;
    let attributes = 0;
    if ((lo & status.accessedLo) === status.accessedValueLo && (hi & status.accessedHi) === status.accessedValueHi) {
      attributes = ATTR_ACCESSED;
    }
    if ((lo & status.dirtyLo) === status.dirtyValueLo && (hi & status.dirtyHi) === status.dirtyValueHi) attributes |= ATTR_DIRTY;
    if (((lo & status.globalLo) | (hi & status.globalHi)) !== 0) attributes |= ATTR_GLOBAL;
    return attributes;
  }

  #enterDomain(lo: number): void {
    const domain = this.#domain as DomainField;
    const number = (lo & domain.skipMask) === domain.skipValue ? domain.skipDomain : (lo & domain.mask) >>> domain.shift;
    const says = (domain.register >>> (2 * number)) & 3;
    this.#everything = says === 3;
    this.#noDomain = (says & 1) === 0;
  }

  /** Whether the leaf matches one of the flags that `access` is refused for: its code, or 0. */
  #flagged(flags: readonly Flag[], access: Access): number {
    for (let i = 0; i < flags.length; i++) {
      if ((flags[i].on & access) !== 0 && ruleMatches(flags[i].rule, this.onWayLo, this.onWayHi)) return flags[i].code;
    }
    return 0;
  }

  /** Puts an address of several pieces, given in units of 2^unit bytes, into the halves. */
  #address(parts: readonly Part[], lo: number, hi: number, unit: 0 | 12): void {
    const address = addressIn(parts, lo, hi, unit);
    this.tableLo = unit === 0 ? address | 0 : (address * 4096) | 0;
    this.tableHi = unit === 0 ? Math.floor(address / 4294967296) | 0 : (address / 1048576) | 0;
  }
}

const STATUS = ATTR_ACCESSED | ATTR_DIRTY | ATTR_GLOBAL;
