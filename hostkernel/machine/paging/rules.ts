/**
 * Pattern lists, prepared for a hot path. Not the meaning of patterns: that is in `descriptor.ts`.
 *
 * Nearly every pattern of a real format asks for bits of the entry's lowest byte, or refuses if any of some upper bits
 * is set. So a list of patterns becomes, for each value of the lowest byte,
 *
 *   outcome    the pattern that matches if all the upper bits in question are zero
 *   doubtLo/Hi the upper bits in question
 *
 * An entry with a doubtful bit set is classified by going through the patterns, which is rare: most such bits are
 * reserved. The two ways agree by construction, whatever the patterns are.
 */
import { type ClassPattern, halves, inForce, type Options, type Pattern } from './descriptor.ts';

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

/** A level's classification: which of `patterns` an entry matches. */
export interface Classifier {
  readonly patterns: readonly ClassPattern[]; // those in force
  readonly rules: readonly Rule[];
  readonly outcome: Uint8Array; // by lowest byte: index of a pattern, or patterns.length where none matches
  readonly doubtLo: Int32Array; // by lowest byte
  readonly doubtHi: Int32Array;
}

/** Index of the first pattern that matches, patterns.length where none does. Goes through the list. */
export function firstMatch(rules: readonly Rule[], lo: number, hi: number): number {
  for (let i = 0; i < rules.length; i++) if (ruleMatches(rules[i], lo, hi)) return i;
  return rules.length;
}

const BYTE = 0xff;

export function classifierOf(all: readonly ClassPattern[], options: Options): Classifier {
  const patterns = all.filter((pattern) => inForce(pattern, options));
  const rules = patterns.map(ruleOf);
  const outcome = new Uint8Array(256);
  const doubtLo = new Int32Array(256);
  const doubtHi = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    // Until a pattern is certain to match, each one that might match adds the bits that would make it.
    let lo = 0;
    let hi = 0;
    let found = rules.length;
    for (let i = 0; i < rules.length && found === rules.length; i++) {
      const rule = rules[i];
      if ((byte & rule.maskLo & BYTE) !== (rule.valueLo & BYTE)) continue; // cannot match
      const wantsLo = rule.valueLo & ~BYTE;
      if (wantsLo !== 0 || rule.valueHi !== 0) {
        // It needs a set upper bit: one such bit known to be zero is enough to rule it out.
        if ((wantsLo & lo) !== 0 || (rule.valueHi & hi) !== 0) continue;
        if (rule.valueHi !== 0) hi |= highestBit(rule.valueHi);
        else lo |= highestBit(wantsLo);
        continue;
      }
      if (rule.hasAny && (byte & rule.anyLo) === 0) {
        lo |= rule.anyLo & ~BYTE;
        hi |= rule.anyHi;
        continue;
      }
      lo |= rule.maskLo & ~BYTE; // upper bits that must be zero
      hi |= rule.maskHi;
      found = i;
    }
    outcome[byte] = found;
    doubtLo[byte] = lo;
    doubtHi[byte] = hi;
  }
  return { patterns, rules, outcome, doubtLo, doubtHi };
}

function highestBit(bits: number): number {
  return 1 << (31 - Math.clz32(bits));
}

/** Index of the pattern that the entry matches, patterns.length where none does. Hot. */
export function classify(c: Classifier, lo: number, hi: number): number {
  const byte = lo & BYTE;
  if (((lo & c.doubtLo[byte]) | (hi & c.doubtHi[byte])) === 0) return c.outcome[byte];
  return firstMatch(c.rules, lo, hi);
}
