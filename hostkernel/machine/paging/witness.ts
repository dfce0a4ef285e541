/**
 * Entries that meet conditions: which bits must an entry have so that one pattern matches it and others do not?
 *
 * A layout's rules are lists of patterns, first match wins. Whether a rule can ever apply, and an entry to which it
 * does, are questions of this one kind. The search answers with a cube, a set of entries that differ only in bits
 * nobody asked about:
 *
 *   cube   mask = bits that are settled, value = what they are; every entry of the cube is an answer
 *
 * Conditions become clauses, each a list of alternative cubes of which one must hold; the search takes the clause with
 * the fewest alternatives left, tries them in turn, and goes on. Formats have a dozen patterns a level, so this ends
 * after a few steps; hostile descriptions are cut off. Not for hot paths: 64-bit numbers are bigints here.
 */
import type { Hex } from './descriptor.ts';

/** What a pattern asks of an entry, options already decided. */
export interface EntryPattern {
  readonly mask?: Hex;
  readonly value?: Hex;
  readonly any?: Hex;
}

export interface Condition {
  readonly pattern: EntryPattern;
  readonly matches: boolean; // or must not match
}

export interface Cube {
  readonly mask: bigint;
  readonly value: bigint;
}

const ANYTHING: Cube = { mask: 0n, value: 0n };
const MAX_STEPS = 5000;

/**
 * Entries that meet all conditions, as a cube.
 * @param within bits settled beforehand
 * @returns null if there are none, or none was found in 5000 steps
 */
export function findEntries(conditions: readonly Condition[], within: Cube = ANYTHING): Cube | null {
  let cube: Cube | null = within;
  const clauses: (readonly Cube[])[] = [];
  for (const { pattern, matches } of conditions) {
    const mask = BigInt(pattern.mask ?? '0x0');
    const value = BigInt(pattern.value ?? '0x0');
    const any = pattern.any === undefined ? null : BigInt(pattern.any);
    if ((value & ~mask) !== 0n) {
      if (matches) return null; // a value outside its mask equals nothing
      continue;
    }
    if (matches) {
      cube = join(cube, { mask, value });
      if (cube === null) return null;
      if (any !== null) clauses.push(bitsOf(any).map((bit) => ({ mask: bit, value: bit })));
    } else {
      const differs = bitsOf(mask).map((bit) => ({ mask: bit, value: ~value & bit }));
      clauses.push(any === null ? differs : [...differs, { mask: any, value: 0n }]);
    }
  }
  return solve(cube, clauses, { steps: MAX_STEPS });
}

/** Whether the two have an entry in common: that part of them. */
function join(a: Cube, b: Cube): Cube | null {
  if ((a.mask & b.mask & (a.value ^ b.value)) !== 0n) return null;
  return { mask: a.mask | b.mask, value: a.value | b.value };
}

/** Whether every entry of `inner` is in `outer`. */
function contains(outer: Cube, inner: Cube): boolean {
  return (outer.mask & ~inner.mask) === 0n && (inner.value & outer.mask) === outer.value;
}

function solve(cube: Cube, clauses: readonly (readonly Cube[])[], budget: { steps: number }): Cube | null {
  if (budget.steps-- <= 0) return null;
  const open = clauses.filter((clause) => !clause.some((alternative) => contains(alternative, cube)));
  if (open.length === 0) return cube;
  let fewest: readonly Cube[] | null = null;
  for (const clause of open) {
    const possible = clause.filter((alternative) => join(cube, alternative) !== null);
    if (fewest === null || possible.length < fewest.length) fewest = possible;
  }
  for (const alternative of fewest as readonly Cube[]) {
    const found = solve(join(cube, alternative) as Cube, open, budget);
    if (found !== null) return found;
  }
  return null;
}

/** The set bits of a number, each as a number. */
export function bitsOf(bits: bigint): readonly bigint[] {
  const found: bigint[] = [];
  for (let bit = 1n; bit <= bits; bit <<= 1n) if ((bits & bit) !== 0n) found.push(bit);
  return found;
}

/** Whether a pattern matches an entry. */
export function patternMatches(pattern: EntryPattern, entry: bigint): boolean {
  if ((entry & BigInt(pattern.mask ?? '0x0')) !== BigInt(pattern.value ?? '0x0')) return false;
  return pattern.any === undefined || (entry & BigInt(pattern.any)) !== 0n;
}

/** The conditions under which `patterns[at]` is the first that matches. */
export function firstMatch(patterns: readonly EntryPattern[], at: number): readonly Condition[] {
  return [
    ...patterns.slice(0, at).map((pattern) => ({ pattern, matches: false })),
    { pattern: patterns[at] as EntryPattern, matches: true },
  ];
}

/** The conditions under which none of `patterns` matches. */
export function noMatch(patterns: readonly EntryPattern[]): readonly Condition[] {
  return patterns.map((pattern) => ({ pattern, matches: false }));
}
