/**
 * Entries for hostile page tables of any layout, made from the patterns of its descriptor: of a wanted kind, mostly with
 * the rights that the next access needs, with stray bits now and then.
 */
import { GRANTS, highOf, type Judge, lowOf, type Part } from './judge.ts';
import type { Random } from './random.ts';

export interface Halves {
  lo: number;
  hi: number;
}

/** What the generator knows of one level. */
interface LevelPlan {
  /** Class rules as [lo mask, hi mask, lo value, hi value, any bit lo, any bit hi]. */
  readonly rules: readonly Int32Array[];
  /** Which of them are for tables, leaves and the rest. */
  readonly kinds: readonly (readonly number[])[];
  /** Parts of a table's address as [mask lo, mask hi, shift]. */
  readonly tables: readonly Int32Array[];
  readonly frames: readonly Int32Array[];
  /** The pointer of an indirect entry; empty where there is none. */
  readonly pointer: readonly Int32Array[];
  /** Bits that some rule looks at, and bits of the frame. */
  readonly flagsLo: number;
  readonly flagsHi: number;
  readonly frameLo: number;
  readonly frameHi: number;
}

/** Kinds of entries. */
export const TABLE = 0;
export const LEAF = 1;
export const OTHER = 2; // invalid, reserved or indirect

function rule(pattern: { readonly mask?: string; readonly value?: string; readonly any?: string }): Int32Array {
  const { mask, value, any } = pattern;
  return Int32Array.of(lowOf(mask), highOf(mask), lowOf(value), highOf(value), lowOf(any), highOf(any));
}

function partsOf(parts: readonly Part[]): Int32Array[] {
  return parts.map(({ mask, shl }) => Int32Array.of(lowOf(mask), highOf(mask), shl));
}

/** All the bits that rules mention. */
function mentioned(patterns: readonly { readonly mask?: string; readonly any?: string; readonly set?: string }[]): Halves {
  const all: Halves = { lo: 0, hi: 0 };
  for (const { mask, set } of patterns) {
    all.lo |= lowOf(mask) | lowOf(set);
    all.hi |= highOf(mask) | highOf(set);
  }
  return all;
}

/** Makes entries for one layout with certain options. */
export class EntryMaker {
  readonly judge: Judge;
  /** The entry made last. */
  readonly entry: Halves = { lo: 0, hi: 0 };
  readonly #levels: readonly LevelPlan[];
  /** Rules to obey: [mask lo, hi, value lo, hi], by wanted grant. */
  readonly #grants: readonly (readonly Int32Array[])[];
  readonly #tableGrants: readonly (readonly Int32Array[])[];
  /** Accessed and dirty bits to set, so that software has nothing to do. */
  readonly #settle: readonly Int32Array[];

  constructor(judge: Judge) {
    const { layout, options } = judge;
    const { perm, ad } = layout;
    this.judge = judge;
    this.#levels = layout.levels.map(({ name: level }, at): LevelPlan => {
      const rules = judge.classes[at].rules;
      const grants = [...(perm.entryAt?.[level] ?? perm.entry ?? []), ...(perm.tableEntry ?? [])];
      const flags = mentioned([...grants, ...ad.set, ...ad.fault]);
      const frame = mentioned([...(layout.frame[level] ?? layout.frame['*'] ?? []), ...rules.flatMap((r) => r.frame ?? [])]);
      return {
        kinds: ['table', 'leaf', ''].map((kind) =>
          rules.flatMap((r, i) => ((kind === '' ? r.as !== 'table' && r.as !== 'leaf' : r.as === kind) ? [i] : [])),
        ),
        rules: rules.map(rule),
        tables: partsOf(layout.table[level] ?? layout.table['*'] ?? []),
        frames: partsOf(layout.frame[level] ?? layout.frame['*'] ?? []),
        pointer: partsOf(rules.find((r) => r.as === 'indirect')?.ptr ?? []),
        flagsLo: flags.lo,
        flagsHi: flags.hi,
        frameLo: frame.lo,
        frameHi: frame.hi,
      };
    });
    const isOn = (one: { readonly opt?: readonly string[]; readonly nopt?: readonly string[] }): boolean =>
      (one.opt ?? []).every((o) => options[o] === 1) && (one.nopt ?? []).every((o) => options[o] !== 1);
    const rules = [...(perm.entry ?? []), ...Object.values(perm.entryAt ?? {}).flat()].filter(isOn);
    this.#grants = GRANTS.map((grant) => rules.filter((r) => r.grant === grant).map(rule));
    this.#tableGrants = GRANTS.map((grant) => (perm.tableEntry ?? []).filter((r) => r.grant === grant).map(rule));
    this.#settle = ad.fault.map(rule);
  }

  /** Whether position `at` (root first) has entries of this kind. */
  has(at: number, kind: number): boolean {
    return this.#levels[at].kinds[kind].length > 0;
  }

  /** What the address of a table below position `at` is a multiple of. */
  alignment(at: number): number {
    const parts = this.#levels[at].tables;
    return parts.length === 0 ? 1 : (parts[0][0] & -parts[0][0]) * 2 ** parts[0][2];
  }

  /**
   * Makes an entry for position `at`. Hot.
   * @param wantedGrant index into GRANTS: what the access at hand needs
   * @param target what it points to or maps: bytes, below 2^31; -1: anything
   * @returns whether it was made to point there
   */
  make(at: number, kind: number, wantedGrant: number, target: number, random: Random): boolean {
    const level = this.#levels[at];
    const entry = this.entry;
    const wanted = random.word();
    let lo = random.word() & level.flagsLo & (wanted & 1 ? -1 : random.word());
    let hi = random.word() & level.flagsHi & (wanted & 1 ? -1 : random.word());
    // The frame: mostly low memory, sometimes everything.
    if (kind !== TABLE) {
      const frame = random.word();
      lo |= frame & level.frameLo;
      if ((wanted & 0x70) === 0) hi |= random.word() & level.frameHi;
      else if ((wanted & 0x80) !== 0) hi |= random.word() & level.frameHi & 0xff;
    }
    // Rights, and what software must have set: mostly as the access needs it.
    const grants = kind === TABLE && this.#tableGrants[wantedGrant].length > 0 ? this.#tableGrants[wantedGrant] : this.#grants[wantedGrant];
    if ((wanted & 0x700) !== 0 && grants.length > 0) {
      const obeyed = grants[random.below(grants.length)];
      lo = (lo & ~obeyed[0]) | obeyed[2];
      hi = (hi & ~obeyed[1]) | obeyed[3];
    }
    if ((wanted & 0x1800) !== 0 && kind !== TABLE) {
      for (const bits of this.#settle) {
        lo |= bits[0] & ~bits[2];
        hi |= bits[1] & ~bits[3];
      }
    }
    // What it is comes last: it must not be undone.
    const { rules } = level;
    const choices = level.kinds[kind];
    if (choices.length > 0) {
      const number = choices[random.below(choices.length)];
      const chosen = rules[number];
      lo = (lo & ~chosen[0]) | chosen[2];
      hi = (hi & ~chosen[1]) | chosen[3];
      if ((chosen[4] | chosen[5]) !== 0) {
        lo |= chosen[4] & random.word();
        hi |= chosen[5] & random.word();
      }
      // Rules before it must not match: one that does is broken, perhaps into another one, and so again.
      for (let i = 0, tries = 0; i < number && tries < 8; i += 1) {
        const [maskLo, maskHi, valueLo, valueHi, anyLo, anyHi] = rules[i];
        if ((lo & maskLo) !== valueLo || (hi & maskHi) !== valueHi) continue;
        if ((anyLo | anyHi) !== 0) {
          lo &= ~anyLo | chosen[0];
          hi &= ~anyHi | chosen[1];
          continue;
        }
        const freeLo = maskLo & ~chosen[0];
        const freeHi = maskHi & ~chosen[1];
        if (freeLo !== 0) lo ^= random.oneIn(2) ? freeLo & -freeLo : 1 << (31 - Math.clz32(freeLo));
        else if (freeHi !== 0) hi ^= freeHi & -freeHi;
        tries += 1;
        i = -1;
      }
    }
    const parts = kind === TABLE ? level.tables : kind === LEAF ? level.frames : (lo & 3) === 2 ? level.pointer : [];
    const points = parts.length > 0 && target >= 0;
    if (points) {
      for (const [maskLo, maskHi, shl] of parts) {
        lo = (lo & ~maskLo) | ((target / 2 ** shl) & maskLo);
        hi &= ~maskHi;
      }
      if (kind !== LEAF && (wanted & 0x3e000) === 0) lo |= random.word() & parts[0][0]; // a table somewhere else
    }
    // A twist now and then.
    if ((wanted & 0x0f000000) === 0) {
      if (random.oneIn(2)) lo ^= 1 << random.below(32);
      else hi ^= 1 << random.below(32);
    }
    if ((wanted & 0x7f000000) === 0x7f000000) {
      lo = random.word();
      hi = random.word();
    }
    entry.lo = lo | 0;
    entry.hi = this.judge.layout.entryBytes === 8 ? hi | 0 : 0;
    return points;
  }
}
