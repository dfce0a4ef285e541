/**
 * The fuzz target `physmem-attack`: three runs in four a task that was promised memory wants it from tasks that hold it
 * all and do not play fair; in the fourth the policy server writes garbage into its buffer.
 */
import { attack } from '../vkernel/physmem/attack.ts';
import { livesUnderGarbage } from '../vkernel/physmem/hostile-policy.ts';
import { type Campaign, Coverage, type Failure, type Target } from './campaign.ts';
import { Random } from './random.ts';

const ENOUGH = 10; // failures

export interface Attacks {
  readonly failures: Failure[];
  readonly coverage: Coverage;
  readonly longest: number; // microseconds one operation waited
  readonly total: number; // microseconds until a task had everything
}

export function fuzzAttacks(campaign: Campaign): Attacks {
  const failures: Failure[] = [];
  const coverage = new Coverage();
  let [longest, total] = [0, 0];
  for (let index = campaign.from; index < campaign.from + campaign.cases && failures.length < ENOUGH; index += 1) {
    campaign.progress?.(index);
    const random = new Random(campaign.seed, index);
    const what = index % 4 === 3 ? 'garbage' : 'attack';
    try {
      if (what === 'garbage') livesUnderGarbage(random);
      else {
        const result = attack(random);
        longest = Math.max(longest, result.longest);
        total = Math.max(total, result.total);
        coverage.count('wait', 'tries', result.waits);
        coverage.count('punishment', 'for not returning pages', result.punishments);
      }
      coverage.count(what, 'withstood');
    } catch (error) {
      const failure = { index, what, error: error instanceof Error ? error : new Error(String(error)) };
      failures.push(failure);
      campaign.failed?.(failure);
    }
  }
  return { failures, coverage, longest, total };
}

export const PHYSMEM_ATTACK: Target = {
  what: 'greedy, silent and lying tasks that hold the memory another was promised; a policy server that writes garbage',
  batch: 1,
  run: (campaign) => {
    const { failures, coverage, longest, total } = fuzzAttacks(campaign);
    const times = `longest wait ${longest} us of virtual time for a page, ${total} us for all`;
    return { failures, coverage: `${coverage.text()}\n${times}` };
  },
};
