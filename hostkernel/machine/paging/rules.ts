/**
 * Pattern lists, prepared for a hot path. Not the meaning of patterns: that is in `descriptor.ts`.
 *
 * Nearly every pattern of a real format asks for bits of the entry's lowest byte, or refuses if any of some upper bits
 * is set. So the patterns of a level become, for each value of the lowest byte,
 *
 *   outcome    what the entry is if all the upper bits in question are zero
 *   doubtLo/Hi the upper bits in question
 *
 * An entry with a doubtful bit set is classified by going through the patterns, which is rare: most such bits are
 * reserved. The two ways agree by construction, whatever the patterns are.
 *
 *   outcome = | pattern that matches | what it is, 3 bits |      no match: one past the last pattern, ENTRY_RESERVED
 */
import { type ClassPattern, halves, inForce, type Options, type Pattern } from './descriptor.ts';
import { ENTRY_INVALID, ENTRY_LEAF, ENTRY_RESERVED, ENTRY_TABLE } from './format.ts';

/** What a walk may meet beside ENTRY_*: an entry that names the one to use. */
export const ENTRY_INDIRECT = 4;

/** A pattern in halves (signed), options already decided. */
export interface Rule {
  readonly maskLo: number;
  readonly maskHi: number;
  readonly valueLo: number;
  readonly valueHi: number;
  readonly hasAny: boolean;
  readonly anyLo: number;
  readonly anyHi: number;
}

export function ruleOf(pattern: Pattern): Rule {
  const mask = halves(pattern.mask);
  const value = halves(pattern.value);
  const any = halves(pattern.any ?? '0x0');
  return {
    maskLo: mask.lo | 0,
    maskHi: mask.hi | 0,
    valueLo: value.lo | 0,
    valueHi: value.hi | 0,
    hasAny: pattern.any !== undefined,
    anyLo: any.lo | 0,
    anyHi: any.hi | 0,
  };
}

/** Whether the entry matches. Hot. */
export function ruleMatches(rule: Rule, lo: number, hi: number): boolean {
  if ((lo & rule.maskLo) !== rule.valueLo || (hi & rule.maskHi) !== rule.valueHi) return false;
  return !rule.hasAny || ((lo & rule.anyLo) | (hi & rule.anyHi)) !== 0;
}

/** What entries are, on every level. The arrays are indexed by level << 8 | lowest byte of the entry. */
export interface Classification {
  readonly patterns: readonly (readonly ClassPattern[])[]; // by level, those in force
  readonly rules: readonly (readonly Rule[])[];
  readonly outcomes: Uint16Array;
  readonly doubtLo: Int32Array;
  readonly doubtHi: Int32Array;
}

/** @param lists the patterns of each level, level 0 first */
export function classificationOf(lists: readonly (readonly ClassPattern[])[], options: Options): Classification {
  const patterns = lists.map((list) => list.filter((pattern) => inForce(pattern, options)));
  const classification = {
    patterns,
    rules: patterns.map((list) => list.map(ruleOf)),
    outcomes: new Uint16Array(lists.length << 8),
    doubtLo: new Int32Array(lists.length << 8),
    doubtHi: new Int32Array(lists.length << 8),
  };
  for (let level = 0; level < lists.length; level++) {
    // Bits no pattern looks at change nothing: the slot without them is known already, since it is a smaller one.
    const consulted = classification.rules[level].reduce((bits, rule) => bits | rule.maskLo | rule.anyLo, 0);
    for (let byte = 0; byte < 256; byte++) {
      if ((byte & ~consulted) === 0) prepare(classification, level, byte);
      else copySlot(classification, (level << 8) | byte, (level << 8) | (byte & consulted));
    }
  }
  return classification;
}

/**
 * Fills in one slot. Until a pattern is certain to match, each one that might match adds to the doubtful bits what it
 * takes to rule it out.
 */
function prepare(c: Classification, level: number, byte: number): void {
  const rules = c.rules[level];
  let lo = 0;
  let hi = 0;
  let found = rules.length;
  for (let i = 0; i < rules.length && found === rules.length; i++) {
    const rule = rules[i];
    if ((byte & rule.maskLo) !== (rule.valueLo & BYTE)) continue; // cannot match
    const wantsLo = rule.valueLo & ~BYTE;
    const wantsHi = rule.valueHi;
    if (wantsLo !== 0 || wantsHi !== 0) {
      // It needs certain upper bits set: one of them known to be zero rules it out.
      if ((wantsLo & lo) !== 0 || (wantsHi & hi) !== 0) continue;
      if (wantsHi !== 0) hi |= highestBit(wantsHi);
      else lo |= highestBit(wantsLo);
    } else if (rule.hasAny && (byte & rule.anyLo) === 0) {
      lo |= rule.anyLo;
      hi |= rule.anyHi;
    } else {
      // It matches as soon as the upper bits it looks at are zero.
      lo |= rule.maskLo & ~BYTE;
      hi |= rule.maskHi;
      found = i;
    }
  }
  const slot = (level << 8) | byte;
  c.outcomes[slot] = outcomeOf(c, level, found);
  c.doubtLo[slot] = lo;
  c.doubtHi[slot] = hi;
}

function copySlot(c: Classification, to: number, from: number): void {
  c.outcomes[to] = c.outcomes[from];
  c.doubtLo[to] = c.doubtLo[from];
  c.doubtHi[to] = c.doubtHi[from];
}

const BYTE = 0xff;
const KIND = { invalid: ENTRY_INVALID, reserved: ENTRY_RESERVED, table: ENTRY_TABLE, leaf: ENTRY_LEAF, indirect: ENTRY_INDIRECT } as const;

function outcomeOf(c: Classification, level: number, pattern: number): number {
  const patterns = c.patterns[level];
  return (pattern << 3) | (pattern < patterns.length ? KIND[patterns[pattern].as] : ENTRY_RESERVED);
}

function highestBit(bits: number): number {
  return 1 << (31 - Math.clz32(bits));
}

/** The outcome for an entry of `level`. Hot. */
export function classify(c: Classification, level: number, lo: number, hi: number): number {
  const slot = (level << 8) | (lo & BYTE);
  if (((lo & c.doubtLo[slot]) | (hi & c.doubtHi[slot])) === 0) return c.outcomes[slot];
  return classifySlowly(c, level, lo, hi);
}

/** The same, by going through the patterns. */
export function classifySlowly(c: Classification, level: number, lo: number, hi: number): number {
  const rules = c.rules[level];
  let i = 0;
  while (i < rules.length && !ruleMatches(rules[i], lo, hi)) i++;
  return outcomeOf(c, level, i);
}
