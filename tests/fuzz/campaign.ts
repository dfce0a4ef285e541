/**
 * What all fuzz targets have in common: cases told by seed and index, a table of what was covered, and sequences of
 * operations that are cut down to the few that matter when one fails. The command around it is main.ts.
 */
import { Random } from './random.ts';

/** A case that failed. */
export interface Failure {
  readonly index: number;
  /** What kind of case, on which machine. */
  readonly what: string;
  /** With the case as it was, or as short as it could be made. */
  readonly error: Error;
}

/** Which cases to run, and whom to tell. */
export interface Campaign {
  readonly seed: number;
  /** Index of the first case. */
  readonly from: number;
  readonly cases: number;
  /** Called before each case, or before each batch of very short ones. */
  readonly progress?: (index: number) => void;
  readonly failed?: (failure: Failure) => void;
  /** Time to spend on making a failing sequence shorter; 20 by default. */
  readonly shrinkSeconds?: number;
}

/** A part of the system under fire. */
export interface Target {
  readonly what: string;
  /** Cases that share a machine: a failure that does not show alone shows with those before it. 1: every case is alone. */
  readonly batch: number;
  /** Runs the cases. `coverage` is what they met, as text. */
  run(campaign: Campaign): { readonly failures: readonly Failure[]; readonly coverage: string };
}

/** How often each operation had each outcome. */
export class Coverage {
  readonly #counts = new Map<string, Map<string, number>>();

  count(operation: string, outcome: string, times = 1): void {
    let outcomes = this.#counts.get(operation);
    if (outcomes === undefined) {
      outcomes = new Map();
      this.#counts.set(operation, outcomes);
    }
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + times);
  }

  /** Times of an operation, or of one outcome of it. */
  of(operation: string, outcome?: string): number {
    const outcomes = this.#counts.get(operation);
    if (outcomes === undefined) return 0;
    if (outcome !== undefined) return outcomes.get(outcome) ?? 0;
    return [...outcomes.values()].reduce((sum, times) => sum + times, 0);
  }

  get operations(): string[] {
    return [...this.#counts.keys()];
  }

  /** Times of all operations. */
  get total(): number {
    return this.operations.reduce((sum, operation) => sum + this.of(operation), 0);
  }

  /** One line an operation: how often, and its outcomes, the most frequent first. */
  text(): string {
    const width = Math.max(0, ...this.operations.map((operation) => operation.length));
    return this.operations
      .sort()
      .map((operation) => {
        const outcomes = [...(this.#counts.get(operation) ?? [])].sort((a, b) => b[1] - a[1]);
        const shown = outcomes.map(([outcome, times]) => `${outcome} ${times}`).join(', ');
        return `${operation.padEnd(width)} ${String(this.of(operation)).padStart(9)}  ${shown}`;
      })
      .join('\n');
  }
}

/** Very short cases that share a machine; what is costly to look at is looked at once a batch. */
export interface Batches {
  readonly size: number;
  /** Begins as if nothing had been before. */
  renew(): void;
  /** Runs a case, alone or after any others, and throws when something is not as it must be. */
  run(index: number): void;
  /** Throws when a case since the last check has left something it should not. */
  check(): void;
}

const ENOUGH = 20; // failures

/** Runs short cases. When a batch fails its check, the cases are run again one by one, to find whose fault it was. */
export function runBatches(campaign: Campaign, kind: Batches): Failure[] {
  const failures: Failure[] = [];
  const attempt = (index: number, act: () => void): boolean => {
    try {
      act();
      return true;
    } catch (error) {
      const failure = { index, what: 'a case of a batch', error: error instanceof Error ? error : new Error(String(error)) };
      failures.push(failure);
      campaign.failed?.(failure);
      kind.renew();
      return false;
    }
  };
  const end = campaign.from + campaign.cases;
  for (let start = campaign.from; start < end && failures.length < ENOUGH; ) {
    const next = Math.min(end, (Math.floor(start / kind.size) + 1) * kind.size);
    campaign.progress?.(start);
    for (let index = start; index < next && failures.length < ENOUGH; index += 1) attempt(index, () => kind.run(index));
    let wrong: unknown = null;
    try {
      kind.check();
    } catch (error) {
      wrong = error;
    }
    if (wrong !== null) {
      kind.renew();
      let found = false;
      for (let index = start; index < next && !found; index += 1) {
        found = !attempt(index, () => {
          kind.run(index);
          kind.check();
        });
      }
      if (!found)
        attempt(next - 1, () => {
          throw wrong;
        });
    }
    start = next;
  }
  return failures;
}

/** A kind of case that is a sequence of operations on one machine, made from data that means something in any state. */
export interface Sequences<Step> {
  /** The operations of a case. */
  steps(random: Random, index: number): Step[];
  /** Carries them out on a new machine and throws when something is not as it must be. */
  run(steps: readonly Step[], index: number, coverage: Coverage): void;
  show(step: Step): string;
}

const SHRINK_SECONDS = 20;
const ENOUGH_SEQUENCES = 3; // failures: each takes time to shrink
const WORTH_SHOWING = 60; // steps

/** Runs cases that are sequences; one that fails is shrunk. */
export function runSequences<Step>(campaign: Campaign, kind: Sequences<Step>, coverage: Coverage): Failure[] {
  const failures: Failure[] = [];
  for (let index = campaign.from; index < campaign.from + campaign.cases && failures.length < ENOUGH_SEQUENCES; index += 1) {
    campaign.progress?.(index);
    const steps = kind.steps(new Random(campaign.seed, index), index);
    const error = failureOf(kind, steps, index, coverage);
    if (error === null) continue;
    const failure = {
      index,
      what: `${steps.length} steps`,
      error: shrunk(kind, steps, index, error, campaign.shrinkSeconds ?? SHRINK_SECONDS),
    };
    failures.push(failure);
    campaign.failed?.(failure);
  }
  return failures;
}

function failureOf<Step>(kind: Sequences<Step>, steps: readonly Step[], index: number, coverage: Coverage): Error | null {
  try {
    kind.run(steps, index, coverage);
    return null;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Leaves out ever smaller pieces as long as the rest still fails, in whatever way. */
function shrunk<Step>(kind: Sequences<Step>, steps: readonly Step[], index: number, first: Error, seconds: number): Error {
  const until = performance.now() + seconds * 1000;
  let [best, error] = [steps, first];
  for (let size = Math.ceil(best.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = best.length - size; at > -size && performance.now() < until; at -= size) {
      const less = best.filter((_, i) => i < at || i >= at + size);
      const still = less.length < best.length ? failureOf(kind, less, index, new Coverage()) : null;
      if (still !== null) [best, error] = [less, still];
    }
  }
  const shown = best.length > WORTH_SHOWING ? [] : best.map((step, i) => `  ${i + 1}. ${kind.show(step)}`);
  const short = new Error(`${error.message}\n${best.length} of ${steps.length} steps suffice\n${shown.join('\n')}`);
  short.stack = `${short.message}\n${error.stack ?? ''}`;
  return short;
}
