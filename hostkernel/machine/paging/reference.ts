/**
 * The reference walk: an interpreter of descriptors. It does what `descriptor.ts` says, one rule after the other, and
 * notes every entry it read and changed and why it went on or stopped. Tests, the layout laboratory and the command
 * `walk` use it; nothing that runs often does.
 *
 *   one stage     va --tables--> pa
 *   two stages    va --tables of stage 1, whose addresses are guest-physical--> gpa --tables of stage 2--> pa
 *                       each entry's address, too, goes through stage 2 first
 *
 * Addresses and entries are 64-bit numbers in two u32 halves (U64), and memory is a function, so that a walk can be
 * judged without a machine. It shares nothing with the compiled walk but the descriptors.
 */
import {
  type AccessLetters,
  type AddressPart,
  type AdUpdate,
  type ClassPattern,
  type FaultKind,
  type Grant,
  type GrantPattern,
  halves,
  type Hex,
  inForce,
  type LayoutDescriptor,
  type Options,
  type Pattern,
  type U64,
} from './descriptor.ts';
import { faultCode } from './fault-code.ts';

/** The memory that tables lie in. Addresses are bytes; entries are values of the format's size, zero-extended. */
export interface ReferenceMemory {
  read(address: U64): U64;
  write(address: U64, entry: U64): void;
}

export interface WalkRequest {
  readonly root: U64; // register: the root table's address, or the value of the root entry
  readonly root2?: U64; // the root of addresses with ones on top, where the format has two; absent: disabled
  readonly va: U64;
  readonly access: 'r' | 'w' | 'x';
  readonly mode: 'user' | 'super';
  readonly options?: Options; // those that differ from the descriptor's defaults
  /** The second stage, if the "physical" addresses of the first are those of a guest. Every access in it is a user's. */
  readonly second?: { readonly layout: LayoutDescriptor; readonly root: U64; readonly options?: Options };
}

/** An entry that was read: its address (physical, after both stages) and whose it is. */
export interface EntryReference extends U64 {
  readonly stage: 1 | 2;
}

export interface EntryWrite {
  readonly address: U64;
  readonly entry: U64;
}

/** What a walk does next. */
export type Decision = 'follow' | 'leaf' | 'indirect' | 'refuse';

/** One entry on the way, decoded. */
export interface WalkStep {
  readonly stage: 1 | 2;
  /** Of stage 2, what it translates: the address of an entry of stage 1 or that of the data. */
  readonly purpose: 'data' | 'entry';
  readonly layout: string;
  readonly level: number;
  readonly name: string; // of the level
  readonly index: number;
  readonly address: U64 | null; // null: the value of a root register
  readonly guestAddress: U64 | null; // in stage 1 of two: the address before stage 2
  readonly entry: U64;
  readonly grants: readonly Grant[]; // the entry's own
  readonly granted: readonly Grant[]; // of the walk so far
  readonly decision: Decision;
  readonly kind: FaultKind | null; // of 'refuse'
  readonly next: U64 | null; // address of the next table, the entry to use instead, or the frame
  readonly pageShift: number; // of 'leaf', else 0
  readonly written: U64 | null; // the entry after the walk, where it changes it
}

interface Common {
  readonly level: number; // of the leaf or of the refusing entry; the root has the highest number. Of stage 1, after a hit
  readonly refs: readonly EntryReference[]; // entries read, in order
  readonly writes: readonly EntryWrite[]; // entries changed
  readonly steps: readonly WalkStep[];
}

export interface ReferenceHit extends Common {
  readonly result: 'hit';
  readonly pa: U64;
  readonly pageShift: number; // of the smaller page, if there are two stages
  readonly gpa: U64; // the address after the first stage: pa, if there is no second
  readonly level2: number; // of the second stage's leaf; -1 if there is none
}

export interface ReferenceFault extends Common {
  readonly result: 'fault';
  readonly kind: FaultKind;
  readonly code: number | 'gp' | null;
  readonly stage: 1 | 2; // whose entry refused
  readonly implicit: boolean; // stage 2 refused while an entry of stage 1 was being read or updated
  readonly gpa: U64 | null; // what stage 2 refused to translate
}

export type ReferenceResult = ReferenceHit | ReferenceFault;

/** Walks once. `memory` is changed as the hardware would: by a hit, and by formats that mark entries as they descend. */
export function walkReference(layout: LayoutDescriptor, memory: ReferenceMemory, request: WalkRequest): ReferenceResult {
  return new ReferenceWalk(layout, memory, request).run();
}

/** An update that is made when the walk has succeeded. */
interface Pending {
  readonly address: U64;
  readonly rules: readonly AdUpdate[];
}

/** One table walk, of either stage. */
interface Tables {
  readonly stage: 1 | 2;
  readonly purpose: 'data' | 'entry';
  readonly layout: LayoutDescriptor;
  readonly options: Options;
  readonly root: U64;
  readonly root2: U64 | null;
  readonly mode: 'user' | 'super';
}

type Translation =
  | { readonly ok: true; readonly address: U64; readonly pageShift: number; readonly level: number }
  | { readonly ok: false; readonly fault: ReferenceFault };

class ReferenceWalk {
  readonly #layout: LayoutDescriptor;
  readonly #memory: ReferenceMemory;
  readonly #request: WalkRequest;
  readonly #refs: EntryReference[] = [];
  readonly #steps: WalkStep[] = [];
  readonly #writes: EntryWrite[] = [];
  readonly #pending: Pending[] = [];
  #isRecorded = true; // whether entries read now are references of the walk

  constructor(layout: LayoutDescriptor, memory: ReferenceMemory, request: WalkRequest) {
    this.#layout = layout;
    this.#memory = memory;
    this.#request = request;
  }

  run(): ReferenceResult {
    const { root, root2, va, access, mode, options, second } = this.#request;
    const first = this.#walk(
      {
        stage: 1,
        purpose: 'data',
        layout: this.#layout,
        options: { ...this.#layout.options, ...options },
        root,
        root2: root2 ?? null,
        mode,
      },
      va,
      access,
    );
    if (!first.ok) return first.fault;
    const data = second === undefined ? null : this.#second(first.address, access, 'data');
    if (data !== null && !data.ok) return data.fault;
    for (const { address, rules } of this.#pending) this.#write(address, rules);
    return {
      result: 'hit',
      pa: data?.address ?? first.address,
      gpa: first.address,
      pageShift: Math.min(first.pageShift, data?.pageShift ?? 64),
      level: first.level,
      level2: data?.level ?? -1,
      refs: this.#refs,
      writes: this.#writes,
      steps: this.#steps,
    };
  }

  /** Translates `gpa` by the second stage. */
  #second(gpa: U64, access: 'r' | 'w', purpose: 'entry'): Translation;
  #second(gpa: U64, access: 'r' | 'w' | 'x', purpose: 'data'): Translation;
  #second(gpa: U64, access: 'r' | 'w' | 'x', purpose: 'data' | 'entry'): Translation {
    const { second } = this.#request;
    if (second === undefined) return { ok: true, address: gpa, pageShift: 64, level: -1 };
    const { layout, root } = second;
    const options = { ...layout.options, ...second.options };
    const counted = purpose === 'entry' && layout.tableReadsWriteOpt !== undefined && options[layout.tableReadsWriteOpt] === 1;
    const tables: Tables = { stage: 2, purpose, layout, options, root, root2: null, mode: 'user' };
    return this.#walk(tables, gpa, counted ? 'w' : access);
  }

  #walk(tables: Tables, va: U64, access: 'r' | 'w' | 'x'): Translation {
    const { stage, layout, options, mode } = tables;
    const { perm } = layout;
    const depth = layout.levels.length;
    const wanted = `${mode[0]}${access}` as Grant;

    const root = chooseRoot(tables, va);
    if (root === null) return this.#fault(tables, va, { kind: 'noncanonical', level: depth - 1, access, entry: null });

    let table = layout.root.kind === 'pointer' ? and(root, halves(layout.root.mask)) : ZERO;
    let granted: ReadonlySet<Grant> = ALL_GRANTS;
    let domain = 0;
    const updates: { readonly where: EntryAddress; readonly rules: readonly AdUpdate[] }[] = [];
    for (let i = 0; i < depth; i++) {
      const { name, lo, bits } = layout.levels[i];
      const level = depth - 1 - i;
      const index = bits === 0 ? 0 : shiftRight(va, lo).lo % 2 ** bits;
      const refuse = (kind: FaultKind, at: { readonly where: EntryAddress | null; readonly entry: U64 }): Translation => {
        const { where, entry } = at;
        const step = { level, name, index, entry, grants: [], granted: [...granted], next: null, pageShift: 0, written: null } as const;
        this.#note(tables, where, { ...step, decision: 'refuse', kind });
        return this.#fault(tables, va, { kind, level, access, entry });
      };

      // The entry. The value of a root register has no address.
      let where: EntryAddress | null = null;
      let entry = root;
      if (layout.root.kind === 'pointer' || i > 0) {
        const read = this.#read(tables, add(table, { lo: index * layout.entryBytes, hi: 0 }));
        if (!read.ok) return read;
        ({ where, entry } = read);
      }
      const classOf = (e: U64): ClassPattern | undefined => layout.classify[name].find((pattern) => matches(pattern, e, options));
      let found = classOf(entry);
      if (found?.as === 'indirect') {
        const instead = addressFrom(found.ptr ?? [], entry);
        const step = { level, name, index, entry, grants: [], granted: [...granted], kind: null, pageShift: 0, written: null } as const;
        this.#note(tables, where, { ...step, decision: 'indirect', next: instead });
        const read = this.#read(tables, instead);
        if (!read.ok) return read;
        ({ where, entry } = read);
        found = classOf(entry);
        if (found?.as === 'indirect') return refuse('not-present', { where, entry });
      }

      // What it is.
      if (found === undefined || found.as === 'reserved') return refuse(found?.fault ?? 'reserved', { where, entry });
      if (found.as === 'invalid') return refuse('not-present', { where, entry });
      const isLeaf = found.as === 'leaf';

      // What hardware changes while it descends, and what is granted so far.
      const before = entry;
      const applicable = layout.ad.set.filter((rule) => applies(rule, { access, isLeaf, name }) && matches(rule, before, options));
      const early = applicable.filter((rule) => rule.pre === 1);
      if (where !== null && changes(early, entry)) {
        const allowed = stage === 1 ? this.#writable(where) : null;
        if (allowed !== null && !allowed.ok) return allowed;
        entry = this.#write(where.physical, early);
      }
      const own = grantsOf(layout, { name, isLeaf, entry, options });
      if (isLeaf || perm.combine === 'and') granted = new Set([...granted].filter((grant) => own.has(grant)));
      if (layout.domain?.at === name) domain = domainOf(layout.domain, entry);
      if (perm.check === 'each' && !isLeaf && !granted.has(wanted)) return refuse('protection', { where, entry });

      const late = applicable.filter((rule) => rule.pre !== 1);
      if (where !== null && changes(late, entry)) updates.push({ where, rules: late });
      const step = { level, name, index, entry: before, grants: [...own], granted: [...granted], kind: null };
      const written = where === null || !changes(applicable, before) ? null : applied(applicable, before);
      if (!isLeaf) {
        table = addressFrom(layout.table[name] ?? layout.table['*'], entry);
        this.#note(tables, where, { ...step, decision: 'follow', next: table, pageShift: 0, written });
        continue;
      }

      // May the access use the leaf?
      const flag = (early: boolean) =>
        layout.ad.fault.find((rule) => (rule.before === 'perm') === early && rule.on.includes(access) && matches(rule, entry, options));
      const unset = flag(true);
      if (unset !== undefined) return refuse(unset.kind, { where, entry });
      const says = layout.domain === undefined ? 1 : domainAccess(layout.domain.reg, options, domain);
      if (says === 0 || says === 2) return refuse('domain', { where, entry });
      if (says === 1 && !afterPost(layout, options, granted).has(wanted)) return refuse('protection', { where, entry });
      const unsetToo = flag(false);
      if (unsetToo !== undefined) return refuse(unsetToo.kind, { where, entry });

      // It may. Entries of stage 1 are updated through stage 2; then everything is done, or nothing.
      const pageShift = found.pageShift ?? lo;
      const base = addressFrom(found.frame ?? layout.frame[name] ?? layout.frame['*'], entry);
      const offset = and(va, lowBits(pageShift));
      const address = layout.offset === 'add' ? add(base, offset) : or(and(base, not(lowBits(pageShift))), offset);
      this.#note(tables, where, { ...step, decision: 'leaf', next: base, pageShift, written });
      for (const update of updates) {
        const allowed = stage === 1 ? this.#writable(update.where) : null;
        if (allowed !== null && !allowed.ok) return allowed;
        this.#pending.push({ address: update.where.physical, rules: update.rules });
      }
      return { ok: true, address, pageShift, level };
    }
    return this.#fault(tables, va, { kind: 'not-leaf', level: 0, access, entry: null }); // the descriptor has no rule against it
  }

  /** Reads the entry at `address`, which stage 2 translates first if it is one of stage 1. */
  #read(tables: Tables, address: U64): { ok: true; where: EntryAddress; entry: U64 } | Extract<Translation, { ok: false }> {
    let physical = address;
    if (tables.stage === 1 && this.#request.second !== undefined) {
      const host = this.#second(address, 'r', 'entry');
      if (!host.ok) return host;
      physical = host.address;
    }
    if (this.#isRecorded) this.#refs.push({ ...physical, stage: tables.stage });
    return { ok: true, where: { given: address, physical }, entry: this.#memory.read(physical) };
  }

  /** Whether stage 2 lets the hardware write the entry of stage 1 at `where`. It was read before, so nothing is counted. */
  #writable(where: EntryAddress): Translation {
    this.#isRecorded = false;
    const result = this.#second(where.given, 'w', 'entry');
    this.#isRecorded = true;
    return result;
  }

  #write(address: U64, rules: readonly AdUpdate[]): U64 {
    const before = this.#memory.read(address);
    const entry = applied(rules, before);
    if (equal(before, entry)) return entry;
    this.#memory.write(address, entry);
    const earlier = this.#writes.findIndex((write) => equal(write.address, address));
    if (earlier >= 0) this.#writes.splice(earlier, 1, { address, entry });
    else this.#writes.push({ address, entry });
    return entry;
  }

  #note(
    tables: Tables,
    where: EntryAddress | null,
    step: Omit<WalkStep, 'stage' | 'purpose' | 'layout' | 'address' | 'guestAddress'>,
  ): void {
    if (!this.#isRecorded) return;
    const { stage, purpose, layout } = tables;
    const isGuests = stage === 1 && this.#request.second !== undefined;
    this.#steps.push({
      ...step,
      stage,
      purpose,
      layout: layout.id,
      address: where?.physical ?? null,
      guestAddress: isGuests ? (where?.given ?? null) : null,
    });
  }

  #fault(
    tables: Tables,
    va: U64,
    why: { readonly kind: FaultKind; readonly level: number; readonly access: 'r' | 'w' | 'x'; readonly entry: U64 | null },
  ): Extract<Translation, { ok: false }> {
    const { stage, purpose, layout, options, mode } = tables;
    // What the program did is reported, not what the walk had to do for it.
    const { access } = this.#request;
    const fault: ReferenceFault = {
      result: 'fault',
      kind: why.kind,
      level: why.level,
      code: faultCode(layout, options, { kind: why.kind, level: why.level, access, mode, entry: why.entry }),
      stage,
      implicit: purpose === 'entry',
      gpa: stage === 2 ? va : null,
      refs: this.#refs,
      writes: this.#writes,
      steps: this.#steps,
    };
    return { ok: false, fault };
  }
}

/** Where an entry is: as its table says, and in memory. They differ in stage 1 of two. */
interface EntryAddress {
  readonly given: U64;
  readonly physical: U64;
}

const ZERO: U64 = { lo: 0, hi: 0 };
const ONES: U64 = { lo: 0xffff_ffff, hi: 0xffff_ffff };
const ALL_GRANTS: ReadonlySet<Grant> = new Set(['ur', 'uw', 'ux', 'sr', 'sw', 'sx']);

/** The root for an address, or null: the bits above the format's width are not as its rule wants them. */
function chooseRoot({ layout, options, root, root2 }: Tables, va: U64): U64 | null {
  const { bits, rule, strictOpt, mask } = layout.va;
  const upper = shiftRight(va, bits);
  switch (rule) {
    case 'wrap':
      return strictOpt === undefined || options[strictOpt] !== 1 || equal(upper, ZERO) ? root : null;
    case 'sign': {
      const withTop = shiftRight(va, bits - 1); // with the top implemented bit
      return equal(withTop, ZERO) || equal(withTop, shiftRight(ONES, bits - 1)) ? root : null;
    }
    case 'split':
      if (equal(upper, ZERO)) return root;
      return equal(upper, shiftRight(ONES, bits)) ? root2 : null;
    case 'maskzero':
      return equal(and(va, halves(mask ?? '0x0')), ZERO) ? root : null;
    default: // zero, trunc
      return equal(upper, ZERO) ? root : null;
  }
}

/** Whether `entry` matches; a rule without mask and value matches every entry. */
function matches(pattern: Partial<Pattern>, entry: U64, options: Options): boolean {
  if (!inForce(pattern, options)) return false;
  if (!equal(and(entry, halves(pattern.mask ?? '0x0')), halves(pattern.value ?? '0x0'))) return false;
  return pattern.any === undefined || !equal(and(entry, halves(pattern.any)), ZERO);
}

function applies(rule: AdUpdate, to: { readonly access: 'r' | 'w' | 'x'; readonly isLeaf: boolean; readonly name: string }): boolean {
  const letters: AccessLetters = rule.on;
  return letters.includes(to.access) && (rule.at === 'all' || to.isLeaf) && !(rule.skip ?? []).includes(to.name);
}

function applied(rules: readonly AdUpdate[], entry: U64): U64 {
  return rules.reduce((e, rule) => and(or(e, halves(rule.set ?? '0x0')), not(halves(rule.clear ?? '0x0'))), entry);
}

function changes(rules: readonly AdUpdate[], entry: U64): boolean {
  return !equal(applied(rules, entry), entry);
}

/** What an entry grants by itself. */
function grantsOf(
  { perm }: LayoutDescriptor,
  at: { readonly name: string; readonly isLeaf: boolean; readonly entry: U64; readonly options: Options },
): ReadonlySet<Grant> {
  if ((perm.skip ?? []).includes(at.name)) return ALL_GRANTS;
  const leafPatterns: readonly GrantPattern[] = perm.entryAt?.[at.name] ?? perm.entry ?? [];
  const patterns = at.isLeaf ? leafPatterns : (perm.tableEntry ?? leafPatterns);
  return new Set(patterns.filter((pattern) => matches(pattern, at.entry, at.options)).map((pattern) => pattern.grant));
}

function afterPost({ perm }: LayoutDescriptor, options: Options, granted: ReadonlySet<Grant>): ReadonlySet<Grant> {
  const set = new Set(granted);
  for (const rule of perm.post) {
    if (!inForce(rule, options) || !set.has(rule.has)) continue;
    if (rule.add !== undefined) set.add(rule.add);
    if (rule.del !== undefined) set.delete(rule.del);
  }
  return set;
}

function domainOf({ mask, shr, skipIf }: NonNullable<LayoutDescriptor['domain']>, entry: U64): number {
  if (equal(and(entry, halves(skipIf.mask)), halves(skipIf.value))) return skipIf.domain;
  return shiftRight(and(entry, halves(mask)), shr).lo;
}

/** The two bits of `domain` in the register that is an option. */
function domainAccess(register: string, options: Options, domain: number): number {
  const value = options[register] as Hex;
  return shiftRight(halves(value), 2 * domain).lo & 3;
}

function addressFrom(parts: readonly AddressPart[], entry: U64): U64 {
  return parts.reduce((address, part) => or(address, shiftLeft(and(entry, halves(part.mask)), part.shl)), ZERO);
}

// Arithmetic on 64 bits, modulo 2^64.

function and(a: U64, b: U64): U64 {
  return { lo: (a.lo & b.lo) >>> 0, hi: (a.hi & b.hi) >>> 0 };
}

function or(a: U64, b: U64): U64 {
  return { lo: (a.lo | b.lo) >>> 0, hi: (a.hi | b.hi) >>> 0 };
}

function not(a: U64): U64 {
  return { lo: ~a.lo >>> 0, hi: ~a.hi >>> 0 };
}

function equal(a: U64, b: U64): boolean {
  return a.lo === b.lo && a.hi === b.hi;
}

function add(a: U64, b: U64): U64 {
  const lo = a.lo + b.lo;
  return { lo: lo >>> 0, hi: (a.hi + b.hi + (lo > 0xffff_ffff ? 1 : 0)) >>> 0 };
}

/** The lowest n bits set, 0 <= n <= 64. */
function lowBits(n: number): U64 {
  return shiftRight(ONES, 64 - n);
}

/** 0 <= n <= 64. */
function shiftRight(a: U64, n: number): U64 {
  if (n === 0) return a;
  if (n >= 32) return { lo: n === 64 ? 0 : a.hi >>> (n - 32), hi: 0 };
  return { lo: ((a.lo >>> n) | (a.hi << (32 - n))) >>> 0, hi: a.hi >>> n };
}

/** 0 <= n <= 64. */
function shiftLeft(a: U64, n: number): U64 {
  if (n === 0) return a;
  if (n >= 32) return { lo: 0, hi: n === 64 ? 0 : (a.lo << (n - 32)) >>> 0 };
  return { lo: (a.lo << n) >>> 0, hi: ((a.hi << n) | (a.lo >>> (32 - n))) >>> 0 };
}
