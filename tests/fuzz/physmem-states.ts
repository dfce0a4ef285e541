/** The fuzz target `physmem-states`: every life of a small physmem, of up to six steps. `--cases` is the number of steps. */
import { exploreStates } from '../vkernel/physmem/every-state.ts';
import type { Target } from './campaign.ts';

const LONGEST = 6; // steps

export const PHYSMEM_STATES: Target = {
  what: `every life of two containers on three pages, up to ${LONGEST} steps (--cases N: up to N)`,
  batch: 1,
  run: ({ cases, progress, failed }) => {
    try {
      const explored = exploreStates(Math.min(cases, LONGEST), progress);
      const lines = explored.map(({ states, sequences }, steps) => `${steps} steps: ${states} new states, of ${sequences} sequences`);
      return { failures: [], coverage: lines.join('\n') };
    } catch (error) {
      const failure = { index: 0, what: 'a short life', error: error instanceof Error ? error : new Error(String(error)) };
      failed?.(failure);
      return { failures: [failure], coverage: '' };
    }
  },
};
