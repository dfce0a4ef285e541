/** What is run over a core with a defect: random lives, short failing ones, attacks, then the scenarios. */

import type { fuzzAttacks } from '../../../fuzz/physmem-attack.ts';
import type { fuzzPhysmem } from '../../../fuzz/physmem.ts';
import type { tryAllFailures } from '../failures.ts';
import { type CollectedTest, type PatchedSuite, withPatience } from './patched.ts';

export const LIVES = 'tests/fuzz/physmem.ts';
export const ATTACKS = 'tests/fuzz/physmem-attack.ts';
export const FAILURES = 'tests/vkernel/physmem/failures.ts';

interface Exports {
  readonly fuzzPhysmem: typeof fuzzPhysmem;
  readonly fuzzAttacks: typeof fuzzAttacks;
  readonly tryAllFailures: typeof tryAllFailures;
}

/**
 * What the suite says of the core it was bundled with: the first failure, or null.
 * @param by what is tried first
 * @param patience ms that one piece of it may take
 */
export async function failureIn({ tests, exports }: PatchedSuite, by: string, patience: number): Promise<string | null> {
  const suite = exports as unknown as Exports;
  const isFirst = ({ name }: CollectedTest): boolean => name.includes(by);
  const lives = (cases: number) => () => suite.fuzzPhysmem({ seed: 3, from: 0, cases, shrinkSeconds: 0 }).failures[0]?.error.message;
  const attacks = () => suite.fuzzAttacks({ seed: 3, from: 0, cases: 60 }).failures[0]?.error.message;
  const named = tests.filter((each) => by !== '' && isFirst(each));
  return (
    (by === 'attack' ? attempt('attack', attacks, patience) : null) ??
    (await firstFailure(named, patience)) ??
    attempt('random life', lives(4), patience) ??
    (await firstFailure(tests, patience)) ??
    attempt('failure', () => suite.tryAllFailures().failures[0], patience) ??
    attempt('attack', attacks, patience)
  );
}

async function firstFailure(tests: readonly CollectedTest[], patience: number): Promise<string | null> {
  for (const { name, run } of tests) {
    try {
      await withPatience(run, patience);
    } catch (error) {
      return `${name}: ${firstLine(error)}`;
    }
  }
  return null;
}

function attempt(what: string, run: () => string | undefined, patience: number): string | null {
  try {
    const failure = withPatience(run, patience);
    return failure === undefined ? null : `${what}: ${firstLine(failure)}`;
  } catch (error) {
    return `${what}: ${firstLine(error)}`;
  }
}

function firstLine(error: unknown): string {
  return String(error).split('\n')[0];
}
