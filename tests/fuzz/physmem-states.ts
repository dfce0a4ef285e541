/**
 * The fuzz target `physmem-states`: every life of a small physmem. `--cases` is the number of steps, up to six; lives with
 * swap, soft references and pins too are one or two steps shorter.
 */
import { type Alphabet, type Explored, exploreStates } from '../vkernel/physmem/every-state.ts';
import type { Target } from './campaign.ts';

const LONGEST = 6; // steps of copies
const LONGEST_OF_EVERYTHING = 4;

function lines(alphabet: Alphabet, explored: readonly Explored[]): string[] {
  return explored.map(({ states, sequences }, steps) => `${alphabet}, ${steps} steps: ${states} new states, of ${sequences} sequences`);
}

export const PHYSMEM_STATES: Target = {
  what: `every life of two containers on three pages: up to ${LONGEST} steps, with swap and pins ${LONGEST_OF_EVERYTHING} (--cases N: N)`,
  batch: 1,
  run: ({ cases, progress, failed }) => {
    try {
      const copies = exploreStates('copies', Math.min(cases, LONGEST), progress);
      const everything = exploreStates('everything', Math.min(cases, LONGEST_OF_EVERYTHING), progress);
      return { failures: [], coverage: [...lines('copies', copies), ...lines('everything', everything)].join('\n') };
    } catch (error) {
      const failure = { index: 0, what: 'a short life', error: error instanceof Error ? error : new Error(String(error)) };
      failed?.(failure);
      return { failures: [failure], coverage: '' };
    }
  },
};
