/**
 * A third walker, to judge the other two by: it reads descriptors in their published form, plain JSON, and shares no
 * line with the project's own. Every list of patterns is a row of words that is gone through from the start, so it is
 * slow enough to be plain and fast enough for a hundred million walks. One stage.
 *
 *   pattern = | mask lo, hi | value lo, hi | any lo, hi | payload lo, hi |
 */

interface Pattern {
  readonly mask?: string;
  readonly value?: string;
  readonly any?: string;
  readonly opt?: readonly string[];
  readonly nopt?: readonly string[];
}

export interface Part {
  readonly mask: string;
  readonly shl: number;
}

interface ClassRule extends Pattern {
  readonly as: 'invalid' | 'reserved' | 'table' | 'leaf' | 'indirect';
  readonly fault?: string;
  readonly pageShift?: number;
  readonly frame?: readonly Part[];
  readonly ptr?: readonly Part[];
}

interface GrantRule extends Pattern {
  readonly grant: string;
}

/** A descriptor as JSON: what it means is in the project's documentation of layouts. */
export interface Layout {
  readonly id: string;
  readonly endian: string;
  readonly entryBytes: number;
  readonly stage?: number;
  readonly va: {
    readonly bits: number;
    readonly rule: string;
    readonly mask?: string;
    readonly strictOpt?: string;
    readonly fault?: string;
  };
  readonly options: Readonly<Record<string, number | string>>;
  readonly root: { readonly kind: string; readonly mask?: string };
  readonly offset: string;
  readonly levels: readonly { readonly name: string; readonly lo: number; readonly bits: number }[];
  readonly classify: Readonly<Record<string, readonly ClassRule[]>>;
  readonly table: Readonly<Record<string, readonly Part[]>>;
  readonly frame: Readonly<Record<string, readonly Part[]>>;
  readonly perm: {
    readonly check: string;
    readonly combine: string;
    readonly entry?: readonly GrantRule[];
    readonly entryAt?: Readonly<Record<string, readonly GrantRule[]>>;
    readonly tableEntry?: readonly GrantRule[];
    readonly skip?: readonly string[];
    readonly post: readonly {
      readonly opt?: readonly string[];
      readonly nopt?: readonly string[];
      readonly has: string;
      readonly add?: string;
      readonly del?: string;
    }[];
  };
  readonly ad: {
    readonly fault: readonly (Pattern & { readonly on: string; readonly kind: string; readonly before?: string })[];
    readonly set: readonly (Pattern & {
      readonly at: string;
      readonly on: string;
      readonly set?: string;
      readonly clear?: string;
      readonly skip?: readonly string[];
      readonly pre?: number;
    })[];
  };
  readonly domain?: {
    readonly at: string;
    readonly mask: string;
    readonly shr: number;
    readonly skipIf: { readonly mask: string; readonly value: string; readonly domain: number };
    readonly reg: string;
  };
}

export type OptionValues = Readonly<Record<string, number | string>>;

/** Entries, by byte address in halves; an address outside gives false. */
export interface EntryMemory {
  lo: number;
  hi: number;
  /** Puts the entry into lo and hi, as values: big-endian entries are swapped. */
  read(addressLo: number, addressHi: number): boolean;
  write(addressLo: number, addressHi: number, lo: number, hi: number): void;
}

export const GRANTS = ['ur', 'uw', 'ux', 'sr', 'sw', 'sx'];
const WORDS = 8;

export function lowOf(hex: string | undefined): number {
  return Number(BigInt(hex ?? '0x0') & 0xffff_ffffn) | 0;
}

export function highOf(hex: string | undefined): number {
  return Number((BigInt(hex ?? '0x0') >> 32n) & 0xffff_ffffn) | 0;
}

function isOn(rule: { readonly opt?: readonly string[]; readonly nopt?: readonly string[] }, options: OptionValues): boolean {
  for (const name of rule.opt ?? []) if (options[name] !== 1) return false;
  for (const name of rule.nopt ?? []) if (options[name] === 1) return false;
  return true;
}

/** Patterns in words. */
export class Row<T extends Pattern> {
  readonly rules: readonly T[];
  readonly words: Int32Array;

  constructor(rules: readonly T[], options: OptionValues) {
    this.rules = rules.filter((rule) => isOn(rule, options));
    this.words = new Int32Array(this.rules.length * WORDS);
    this.rules.forEach((rule, i) => {
      const { mask, value, any } = rule;
      this.words.set([lowOf(mask), highOf(mask), lowOf(value), highOf(value), lowOf(any), highOf(any)], i * WORDS);
      if (any !== undefined && lowOf(any) === 0 && highOf(any) === 0) throw new Error('a pattern that matches nothing');
    });
  }

  /** Whether pattern `i` matches. */
  matches(i: number, lo: number, hi: number): boolean {
    const { words } = this;
    const at = i * WORDS;
    if ((lo & words[at]) !== words[at + 2] || (hi & words[at + 1]) !== words[at + 3]) return false;
    const anyLo = words[at + 4];
    const anyHi = words[at + 5];
    return (anyLo | anyHi) === 0 || ((lo & anyLo) | (hi & anyHi)) !== 0;
  }

  /** The first that matches, or -1. */
  first(lo: number, hi: number): number {
    for (let i = 0; i < this.rules.length; i += 1) if (this.matches(i, lo, hi)) return i;
    return -1;
  }
}

/** Grants in words: the payload is a set over GRANTS. */
class Grants {
  readonly #row: Row<GrantRule>;
  readonly #bits: Int32Array;

  constructor(rules: readonly GrantRule[], options: OptionValues) {
    this.#row = new Row(rules, options);
    this.#bits = Int32Array.from(this.#row.rules, (rule) => 1 << GRANTS.indexOf(rule.grant));
  }

  of(lo: number, hi: number): number {
    let set = 0;
    for (let i = 0; i < this.#bits.length; i += 1) if (this.#row.matches(i, lo, hi)) set |= this.#bits[i];
    return set;
  }
}

type SetRule = Layout['ad']['set'][number];
type FaultRule = Layout['ad']['fault'][number];

interface Parts {
  readonly maskLo: Int32Array;
  readonly maskHi: Int32Array;
  readonly shift: Int32Array;
}

function partsOf(parts: readonly Part[] | undefined): Parts {
  const list = parts ?? [];
  return {
    maskLo: Int32Array.from(list, (part) => lowOf(part.mask)),
    maskHi: Int32Array.from(list, (part) => highOf(part.mask)),
    shift: Int32Array.from(list, (part) => part.shl),
  };
}

/** What the judge found last. */
export class Verdict {
  /** 'hit', a fault kind, or 'bus': an entry outside memory. */
  outcome = '';
  level = 0;
  references = 0;
  paLo = 0;
  paHi = 0;
  pageShift = 0;
  /** Of a hit: read 1, write 2, fetch 4, for the mode of the walk. */
  rights = 0;
  /** Of a hit: whether a write would leave the leaf as it is. */
  dirty = false;
  /** Addresses of the entries read. */
  readonly addressLo = new Int32Array(16);
  readonly addressHi = new Int32Array(16);
}

export class Judge {
  readonly layout: Layout;
  readonly verdict = new Verdict();
  readonly depth: number;
  readonly options: OptionValues;
  readonly classes: readonly Row<ClassRule>[]; // by position, root first
  readonly #leafGrants: readonly (Grants | null)[];
  readonly #tableGrants: readonly (Grants | null)[];
  readonly #tables: readonly Parts[];
  readonly #frames: readonly Parts[];
  readonly #ownFrames: readonly (readonly (Parts | null)[])[];
  readonly #pointers: readonly (readonly (Parts | null)[])[];
  readonly #sets: readonly (readonly Row<SetRule>[])[]; // by position, by r w x
  readonly #setWords: readonly (readonly Int32Array[])[];
  readonly #faults: readonly Row<FaultRule>[]; // by r w x
  readonly #marks: Row<SetRule>; // of a write, on whatever level
  readonly #markWords: Int32Array; // set lo, hi, clear lo, hi; without what a read sets too
  readonly #rootMaskLo: number;
  readonly #rootMaskHi: number;
  #outLo = 0;
  #outHi = 0;
  readonly #entryLo = new Int32Array(8);
  readonly #entryHi = new Int32Array(8);

  constructor(layout: Layout, options: OptionValues) {
    this.layout = layout;
    this.options = { ...layout.options, ...options };
    this.depth = layout.levels.length;
    this.#rootMaskLo = lowOf(layout.root.mask);
    this.#rootMaskHi = highOf(layout.root.mask);
    const all = this.options;
    const { perm, ad, levels } = layout;
    this.classes = levels.map(({ name }) => new Row(layout.classify[name] ?? [], all));
    const entry = (name: string): readonly GrantRule[] => perm.entryAt?.[name] ?? perm.entry ?? [];
    const counted = (name: string): boolean => perm.skip?.includes(name) !== true;
    this.#leafGrants = levels.map(({ name }) => (counted(name) ? new Grants(entry(name), all) : null));
    this.#tableGrants = levels.map(({ name }) => (counted(name) ? new Grants(perm.tableEntry ?? entry(name), all) : null));
    this.#tables = levels.map(({ name }) => partsOf(layout.table[name] ?? layout.table['*']));
    this.#frames = levels.map(({ name }) => partsOf(layout.frame[name] ?? layout.frame['*']));
    this.#ownFrames = this.classes.map((row) => row.rules.map((rule) => (rule.frame === undefined ? null : partsOf(rule.frame))));
    this.#pointers = this.classes.map((row) => row.rules.map((rule) => (rule.ptr === undefined ? null : partsOf(rule.ptr))));
    const setRow = (name: string, access: string): Row<SetRule> =>
      new Row(
        ad.set.filter((rule) => rule.on.includes(access) && rule.skip?.includes(name) !== true),
        all,
      );
    this.#sets = levels.map(({ name }) => ['r', 'w', 'x'].map((access) => setRow(name, access)));
    this.#setWords = this.#sets.map((rows) =>
      rows.map((row) => Int32Array.from(row.rules.flatMap((r) => [lowOf(r.set), highOf(r.set), lowOf(r.clear), highOf(r.clear)]))),
    );
    this.#marks = new Row(
      ad.set.filter((rule) => rule.on.includes('w')),
      all,
    );
    const onRead = ad.set.filter((rule) => rule.on.includes('r') && isOn(rule, all));
    const readLo = onRead.reduce((bits, rule) => bits | lowOf(rule.set), 0);
    const readHi = onRead.reduce((bits, rule) => bits | highOf(rule.set), 0);
    this.#markWords = Int32Array.from(
      this.#marks.rules.flatMap((r) => [lowOf(r.set) & ~readLo, highOf(r.set) & ~readHi, lowOf(r.clear), highOf(r.clear)]),
    );
    this.#faults = ['r', 'w', 'x'].map(
      (access) =>
        new Row(
          ad.fault.filter((rule) => rule.on.includes(access)),
          all,
        ),
    );
  }

  /**
   * Walks once; `memory` is changed as the hardware would.
   * @param access 0 read, 1 write, 2 fetch; `supervisor` 0 or 1
   */
  walk(memory: EntryMemory, rootLo: number, rootHi: number, vaLo: number, vaHi: number, access: number, supervisor: number): Verdict {
    const { layout, depth, verdict } = this;
    verdict.references = 0;
    const wanted = 1 << (supervisor * 3 + access);
    if (!this.#expressible(vaLo, vaHi)) return this.#end('noncanonical', depth - 1);

    const isValue = layout.root.kind === 'value';
    let tableLo = rootLo & this.#rootMaskLo;
    let tableHi = rootHi & this.#rootMaskHi;
    let granted = 63;
    let domain = 0;
    for (let at = 0; at < depth; at += 1) {
      const { lo: shift, bits, name } = layout.levels[at];
      const level = depth - 1 - at;
      let lo = rootLo;
      let hi = layout.entryBytes === 8 ? rootHi : 0;
      let from = -1; // in the list of addresses
      if (!isValue || at > 0) {
        if (!this.#load(memory, tableLo, tableHi, indexOf(vaLo, vaHi, shift, bits) * layout.entryBytes)) return this.#end('bus', level);
        from = verdict.references - 1;
        lo = memory.lo;
        hi = memory.hi;
      }
      let match = this.classes[at].first(lo, hi);
      if (match >= 0 && this.classes[at].rules[match].as === 'indirect') {
        this.#gather(this.#pointers[at][match] as Parts, lo, hi);
        if (!this.#load(memory, this.#outLo, this.#outHi, 0)) return this.#end('bus', level);
        from = verdict.references - 1;
        lo = memory.lo;
        hi = memory.hi;
        match = this.classes[at].first(lo, hi);
        if (match >= 0 && this.classes[at].rules[match].as === 'indirect') return this.#end('not-present', level);
      }
      if (match < 0) return this.#end('reserved', level);
      const rule = this.classes[at].rules[match];
      if (rule.as === 'invalid') return this.#end('not-present', level);
      if (rule.as === 'reserved') return this.#end(rule.fault ?? 'reserved', level);
      const isLeaf = rule.as === 'leaf';

      if (layout.domain !== undefined && layout.domain.at === name) domain = this.#domainOf(lo, hi);
      if (isLeaf || layout.perm.combine === 'and') {
        const grants = isLeaf ? this.#leafGrants[at] : this.#tableGrants[at];
        if (grants !== null) granted &= grants.of(lo, hi);
      }
      if (from >= 0) {
        this.#update(memory, at, from, lo, hi, access, isLeaf, 1);
        lo = memory.lo;
        hi = memory.hi;
      }
      this.#entryLo[at] = lo;
      this.#entryHi[at] = hi;
      if (!isLeaf) {
        if (layout.perm.check === 'each' && (granted & wanted) === 0) return this.#end('protection', level);
        this.#gather(this.#tables[at], lo, hi);
        tableLo = this.#outLo;
        tableHi = this.#outHi;
        continue;
      }

      const early = this.#refusal(access, lo, hi, true);
      if (early !== null) return this.#end(early, level);
      let manager = false;
      if (layout.domain !== undefined) {
        const field = (Number(this.options[layout.domain.reg]) >>> (2 * domain)) & 3;
        if (field === 0 || field === 2) return this.#end('domain', level);
        manager = field === 3;
      }
      if (!manager && (this.#settled(granted) & wanted) === 0) return this.#end('protection', level);
      const late = this.#refusal(access, lo, hi, false);
      if (late !== null) return this.#end(late, level);
      this.#updateAll(memory, at, from, access);
      verdict.dirty = this.#isDirty(lo, hi);
      verdict.rights = manager ? 7 : (this.#settled(granted) >>> (supervisor * 3)) & 7;
      return this.#hit(at, match, vaLo, vaHi);
    }
    return this.#end('not-leaf', 0);
  }

  #end(outcome: string, level: number): Verdict {
    this.verdict.outcome = outcome;
    this.verdict.level = level;
    return this.verdict;
  }

  #expressible(vaLo: number, vaHi: number): boolean {
    const { bits, rule, mask, strictOpt } = this.layout.va;
    if (rule === 'maskzero') return (vaLo & lowOf(mask)) === 0 && (vaHi & highOf(mask)) === 0;
    if (rule === 'wrap' && (strictOpt === undefined || this.options[strictOpt] !== 1)) return true;
    // The bits from `first` on must all be equal; for `sign` the top implemented bit is among them.
    const first = rule === 'sign' ? bits - 1 : bits;
    if (first >= 64) return true;
    const upper = first >= 32 ? vaHi >>> (first - 32) : (vaHi | (vaLo >>> first)) >>> 0;
    if (upper === 0) return true;
    if (rule !== 'sign' && rule !== 'split') return false;
    return first >= 32 && upper === 0xffff_ffff >>> (first - 32);
  }

  /** Reads the entry at table + offset, and notes its address. */
  #load(memory: EntryMemory, tableLo: number, tableHi: number, offset: number): boolean {
    const sum = (tableLo >>> 0) + offset;
    const lo = sum | 0;
    const hi = (tableHi + (sum >= 4294967296 ? 1 : 0)) | 0;
    if (!memory.read(lo, hi)) return false;
    this.verdict.addressLo[this.verdict.references] = lo;
    this.verdict.addressHi[this.verdict.references] = hi;
    this.verdict.references += 1;
    return true;
  }

  /** The OR of the parts of an entry, shifted: into #outLo and #outHi. */
  #gather(parts: Parts, lo: number, hi: number): void {
    let outLo = 0;
    let outHi = 0;
    for (let i = 0; i < parts.shift.length; i += 1) {
      const low = lo & parts.maskLo[i];
      const high = hi & parts.maskHi[i];
      const shift = parts.shift[i];
      if (shift === 0) {
        outLo |= low;
        outHi |= high;
      } else if (shift < 32) {
        outLo |= low << shift;
        outHi |= (high << shift) | (low >>> (32 - shift));
      } else outHi |= low << (shift - 32);
    }
    this.#outLo = outLo;
    this.#outHi = outHi;
  }

  /** Changes the entry as the access demands: what comes before the judgement, or after. The entry is then in memory.lo, hi. */
  #update(memory: EntryMemory, at: number, from: number, lo: number, hi: number, access: number, isLeaf: boolean, pre: number): void {
    const row = this.#sets[at][access];
    const words = this.#setWords[at][access];
    let newLo = lo;
    let newHi = hi;
    for (let i = 0; i < row.rules.length; i += 1) {
      const rule = row.rules[i];
      if ((rule.pre ?? 0) !== pre || (rule.at === 'leaf' && !isLeaf) || !row.matches(i, lo, hi)) continue;
      newLo = (newLo | words[4 * i]) & ~words[4 * i + 2];
      newHi = (newHi | words[4 * i + 1]) & ~words[4 * i + 3];
    }
    if (newLo !== lo || newHi !== hi) memory.write(this.verdict.addressLo[from], this.verdict.addressHi[from], newLo, newHi);
    memory.lo = newLo;
    memory.hi = newHi;
  }

  /** The updates of a walk that succeeds, from the root down. Entries are read again: one may serve on two levels. */
  #updateAll(memory: EntryMemory, last: number, lastFrom: number, access: number): void {
    const isValue = this.layout.root.kind === 'value';
    for (let at = 0; at <= last; at += 1) {
      const from = at === last ? lastFrom : isValue ? at - 1 : at;
      if (from < 0 || this.#sets[at][access].rules.length === 0) continue;
      memory.read(this.verdict.addressLo[from], this.verdict.addressHi[from]);
      this.#update(memory, at, from, memory.lo, memory.hi, access, at === last, 0);
    }
  }

  /** Whether the leaf bears the marks of a write, even where nobody could make them: in a root. */
  #isDirty(lo: number, hi: number): boolean {
    const words = this.#markWords;
    for (let i = 0; i < this.#marks.rules.length; i += 1) {
      if (!this.#marks.matches(i, lo, hi)) continue;
      const at = 4 * i;
      if (((words[at] & ~lo) | (words[at + 1] & ~hi) | (words[at + 2] & lo) | (words[at + 3] & hi)) !== 0) return false;
    }
    return true;
  }

  #refusal(access: number, lo: number, hi: number, before: boolean): string | null {
    const row = this.#faults[access];
    for (let i = 0; i < row.rules.length; i += 1) {
      if ((row.rules[i].before === 'perm') === before && row.matches(i, lo, hi)) return row.rules[i].kind;
    }
    return null;
  }

  /** The rules that apply to the final set. */
  #settled(granted: number): number {
    let set = granted;
    for (const rule of this.layout.perm.post) {
      if (!isOn(rule, this.options) || (set & (1 << GRANTS.indexOf(rule.has))) === 0) continue;
      if (rule.add !== undefined) set |= 1 << GRANTS.indexOf(rule.add);
      if (rule.del !== undefined) set &= ~(1 << GRANTS.indexOf(rule.del));
    }
    return set;
  }

  #domainOf(lo: number, hi: number): number {
    const { mask, shr, skipIf } = this.layout.domain as NonNullable<Layout['domain']>;
    if ((lo & lowOf(skipIf.mask)) === lowOf(skipIf.value) && (hi & highOf(skipIf.mask)) === highOf(skipIf.value)) return skipIf.domain;
    return (lo & lowOf(mask)) >>> shr;
  }

  #hit(at: number, match: number, vaLo: number, vaHi: number): Verdict {
    const { verdict, layout } = this;
    const rule = this.classes[at].rules[match];
    const shift = rule.pageShift ?? layout.levels[at].lo;
    this.#gather(this.#ownFrames[at][match] ?? this.#frames[at], this.#entryLo[at], this.#entryHi[at]);
    const offsetMaskLo = shift >= 32 ? -1 : (1 << shift) - 1;
    const offsetMaskHi = shift >= 64 ? -1 : shift > 32 ? 2 ** (shift - 32) - 1 : 0;
    const offsetLo = vaLo & offsetMaskLo;
    const offsetHi = vaHi & offsetMaskHi;
    if (layout.offset === 'add') {
      const sum = (this.#outLo >>> 0) + (offsetLo >>> 0);
      verdict.paLo = sum | 0;
      verdict.paHi = (this.#outHi + offsetHi + (sum >= 4294967296 ? 1 : 0)) | 0;
    } else {
      verdict.paLo = (this.#outLo & ~offsetMaskLo) | offsetLo;
      verdict.paHi = (this.#outHi & ~offsetMaskHi) | offsetHi;
    }
    verdict.pageShift = shift;
    return this.#end('hit', this.depth - 1 - at);
  }
}

/** Bits [shift, shift + bits) of an address. */
export function indexOf(vaLo: number, vaHi: number, shift: number, bits: number): number {
  if (bits === 0) return 0;
  const mask = 2 ** bits - 1;
  if (shift >= 32) return (vaHi >>> (shift - 32)) & mask;
  return ((vaLo >>> shift) | (shift === 0 ? 0 : vaHi << (32 - shift))) & mask;
}
