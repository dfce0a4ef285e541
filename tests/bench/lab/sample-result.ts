/** A result for tests that need one without running anything. */
import { type Job, readJob } from '../../../bench/lab/job.ts';
import type { LabResult } from '../../../bench/lab/result.ts';

/** @param over fields of the job; walks of the result */
export function sampleResult(over: object = {}, walks = 10): LabResult {
  const job = readJob({ method: 'nested', guest: 'sv39', hosts: ['sv48'], workload: 'gups', ...over });
  if (!('schema' in job)) throw new Error(job.map(({ path, text }) => `${path}: ${text}`).join('\n'));
  return {
    schema: 'vkernel-lab/1',
    partial: null,
    job: job satisfies Job,
    counts: {
      records: 100,
      accesses: 90,
      reads: 60,
      writes: 30,
      fetches: 0,
      instructions: 400,
      structures: { 'tlb.l1d': { accesses: 90, hits: 80, fills: walks, evictions: 0, invalidations: 0 } },
      walks: {
        count: walks,
        references: 2 * walks,
        perWalk: [0, 0, walks],
        byStage: [{ stage: 'guest', level: 0, servedBy: { l1: walks, l2: 0, llc: 0, memory: walks } }],
      },
      events: { guestFaults: 1 },
    },
    cycles: { work: 400, tlb: 90, walk: 200, data: 300, traps: 10, total: 1000 },
    derived: { referencesPerWalk: 2, walkFraction: 0.2, trapFraction: 0.01, projected: { '2': 1 / 0.9 } },
  };
}
