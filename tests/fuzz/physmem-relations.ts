/** The fuzz target `physmem-relations`: lives that are different and must look the same. */
import { compareLives, RELATIONS } from '../vkernel/physmem/relations.ts';
import { type Campaign, Coverage, type Failure, type Target } from './campaign.ts';
import { Random } from './random.ts';

const ENOUGH = 10; // failures

export function fuzzRelations(campaign: Campaign): { failures: Failure[]; coverage: Coverage } {
  const failures: Failure[] = [];
  const coverage = new Coverage();
  for (let index = campaign.from; index < campaign.from + campaign.cases && failures.length < ENOUGH; index += 1) {
    campaign.progress?.(index);
    const relation = RELATIONS[index % RELATIONS.length];
    try {
      coverage.count(relation, 'turns', compareLives(relation, new Random(campaign.seed, index)));
    } catch (error) {
      const failure = { index, what: relation, error: error instanceof Error ? error : new Error(String(error)) };
      failures.push(failure);
      campaign.failed?.(failure);
    }
  }
  return { failures, coverage };
}

export const PHYSMEM_RELATIONS: Target = {
  what: 'lives of physmem that are different and must look the same: base pages, moved memory, steps in another order',
  batch: 1,
  run: (campaign) => {
    const { failures, coverage } = fuzzRelations(campaign);
    return { failures, coverage: coverage.text() };
  },
};
