/** `vkernel lab run` and `vkernel lab compare`: methods over the same accesses, in one process. */
import { LabError } from '../../bench/lab/guest/lab-error.ts';
import type { Job } from '../../bench/lab/job.ts';
import { readChosenTrace } from '../../bench/lab/node/trace-run.ts';
import { type LabResult, resultSetText, resultText } from '../../bench/lab/result.ts';
import { refusalOf, runTogether } from '../../bench/lab/run.ts';
import { WorkloadError } from '../../bench/lab/workloads/index.ts';
import { jobsOf, planOf, type RawLabOptions } from './lab-jobs.ts';
import { Progress } from './lab-progress.ts';
import { writeWhole } from './lab-results.ts';
import { assumptionsText, comparisonText, conditionsText, designsText, partialText, publishedText } from './lab-table.ts';
import { complain, EXIT_FAILURE, EXIT_USAGE, print } from './report.ts';

export interface RawCompareOptions extends RawLabOptions {
  readonly out?: string;
  readonly json?: boolean;
}

/** One job: its result as JSON. */
export async function runCommand(raw: RawCompareOptions): Promise<number> {
  const results = await resultsOf(raw);
  if (typeof results === 'number') return results;
  const text = resultText(results[0]);
  const status = raw.out === undefined ? 0 : writeWhole(raw.out, `${text}\n`);
  if (raw.out === undefined || raw.json === true) print(text);
  return status === 0 ? statusOf(results) : status;
}

/** Where results go that are printed as a table only. */
const RESULTS = 'lab.json';

/** All methods over all workloads: a table, and the results as JSON. */
export async function compareCommand(raw: RawCompareOptions): Promise<number> {
  const results = await resultsOf(raw);
  if (typeof results === 'number') return results;
  const set = resultSetText(results);
  const out = raw.out ?? (raw.json === true ? undefined : RESULTS);
  const status = out === undefined ? 0 : writeWhole(out, set);
  if (raw.json === true) print(set.trimEnd());
  else {
    const parts = [
      conditionsText(results),
      comparisonText(results),
      designsText(results),
      publishedText(results),
      assumptionsText(results),
    ];
    print(parts.filter((part) => part !== '').join('\n\n'));
  }
  return status === 0 ? statusOf(results) : status;
}

/** Says which results are partial. @returns exit status */
function statusOf(results: readonly LabResult[]): number {
  const lines = partialText(results);
  for (const line of lines) complain(line, 0);
  return lines.length > 0 ? EXIT_FAILURE : 0;
}

async function resultsOf(raw: RawCompareOptions): Promise<readonly LabResult[] | number> {
  const plan = await planOf(raw);
  if (typeof plan === 'string') return complain(plan, EXIT_USAGE);
  const jobs: Job[] = [];
  for (const job of jobsOf(plan)) {
    if (typeof job === 'string') return complain(job, EXIT_USAGE);
    jobs.push(job);
  }
  const able: Job[] = [];
  for (const job of jobs) {
    const refusal = refusalOf(job);
    if (refusal === null) able.push(job);
    else if (jobs.length === 1) return complain(refusal, EXIT_USAGE);
    else complain(`left out: ${job.method}, ${job.workload?.name ?? raw.trace}: ${refusal}`, 0);
  }
  if (able.length === 0) return EXIT_USAGE;
  try {
    return await runAlike(able);
  } catch (error) {
    if (error instanceof LabError || error instanceof WorkloadError) return complain(error.message, EXIT_USAGE);
    if (error instanceof RangeError && /allocation|array length/i.test(error.message)) return complain('not enough memory', EXIT_FAILURE);
    throw error;
  }
}

/** Runs the jobs of one workload together: its accesses are made once. */
async function runAlike(jobs: readonly Job[]): Promise<readonly LabResult[]> {
  const sources = [...new Set(jobs.map((job) => job.workload?.name))];
  const each = jobs[0].accesses === null ? null : jobs[0].warmUp + jobs[0].accesses;
  const total = each === null ? null : each * sources.length;
  const progress = total === null ? null : new Progress('accesses', total);
  const results: LabResult[] = [];
  let before = 0;
  try {
    for (const source of sources) {
      const alike = jobs.filter((job) => job.workload?.name === source);
      results.push(
        ...(await runTogether(alike, { readTrace: readChosenTrace, onProgress: (accesses) => progress?.at(before + accesses) })),
      );
      before += each ?? 0;
    }
  } finally {
    progress?.end();
  }
  return results;
}
