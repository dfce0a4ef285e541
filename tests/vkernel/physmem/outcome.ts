/** What the parts of Twins have in common: how operations end, and what is compared. */

import type { Principal } from '../../../vkernel/physmem/core/principals.ts';

/** How an operation ends: its errno and the pages it did. */
export interface Outcome {
  readonly error: number;
  readonly done: number;
}

export const done = (pages: number, error = 0): Outcome => ({ error, done: pages });

export interface PrincipalTwin {
  readonly real: Principal;
  readonly swapped: Map<number, number>; // values by id
}

/** As an expectation, and a thousand times cheaper: it is made for every page after every step. */
export function agree(actual: unknown, expected: unknown, what: string): void {
  if (!Object.is(actual, expected)) throw new Error(`${what}: ${String(actual)}, should be ${String(expected)}`);
}
