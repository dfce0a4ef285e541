/** Jobs and results to send through a queue. What they say of paging is nothing; what they are is checked on the way. */
import { type Job, jobKey, readJob } from '../../../../bench/lab/job.ts';
import type { KeyedJob } from '../../../../bench/lab/node/pool.ts';
import { RESULT_SCHEMA, resultText } from '../../../../bench/lab/result.ts';

/** Different jobs with the seeds 1, 2, ... */
export async function* jobsOf(count: number): AsyncGenerator<KeyedJob> {
  for (let seed = 1; seed <= count; seed++) {
    const job = readJob({ method: 'native', guest: 'sv39', workload: 'gups', accesses: 100, seed });
    if (!('schema' in job)) throw new Error(job[0].text);
    yield { key: await jobKey(job), job };
  }
}

/** What stands for the result of a job. */
export function resultOf(job: Job): string {
  const events = { seed: job.seed };
  const walks = { count: 0, references: 0, perWalk: [], byStage: [] };
  return resultText({
    schema: RESULT_SCHEMA,
    partial: null,
    job,
    counts: { records: 0, accesses: 0, reads: 0, writes: 0, fetches: 0, instructions: 0, structures: {}, walks, events },
    cycles: { work: 0, tlb: 0, walk: 0, data: 0, traps: 0, total: 0 },
    derived: { referencesPerWalk: 0, walkFraction: 0, trapFraction: 0, projected: {} },
  });
}
