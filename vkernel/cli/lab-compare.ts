/** `vkernel lab run` and `vkernel lab compare`: methods over the same accesses, in one process. */
import { LabError } from '../../bench/lab/guest/lab-error.ts';
import { type Job, sourceName } from '../../bench/lab/job.ts';
import { readChosenTrace } from '../../bench/lab/node/trace-run.ts';
import { type LabResult, resultSetText, resultText } from '../../bench/lab/result.ts';
import { refusalOf, type RunSetup, runTogether } from '../../bench/lab/run.ts';
import { WorkloadError } from '../../bench/lab/workloads/index.ts';
import { Interrupt } from './lab-interrupt.ts';
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
  const interrupt = new Interrupt();
  interrupt.listen();
  try {
    const jobs = await jobsFor(raw);
    return typeof jobs === 'number' ? jobs : await runAlike(jobs, interrupt);
  } catch (error) {
    if (error instanceof LabError || error instanceof WorkloadError) return complain(error.message, EXIT_USAGE);
    if (error instanceof RangeError && /allocation|array length/i.test(error.message)) return complain('not enough memory', EXIT_FAILURE);
    throw error;
  } finally {
    interrupt.deafen();
  }
}

/** The jobs that can be run; those that cannot are named. @returns exit status if that are all */
async function jobsFor(raw: RawCompareOptions): Promise<readonly Job[] | number> {
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
    else complain(`left out: ${job.method}, ${sourceName(job)}: ${refusal}`, 0);
  }
  return able.length === 0 ? EXIT_USAGE : able;
}

/** Runs the jobs of one workload together: its accesses are made once. */
async function runAlike(jobs: readonly Job[], interrupt: Interrupt): Promise<readonly LabResult[]> {
  const sources = [...new Set(jobs.map((job) => job.workload?.name))];
  const each = jobs[0].accesses === null ? null : jobs[0].warmUp + jobs[0].accesses;
  const total = each === null ? null : each * sources.length;
  const progress = total === null ? null : new Progress('accesses', total);
  const filling = new Filling();
  let before = 0;
  let accesses = 0;
  interrupt.howFar = () => {
    progress?.end();
    return ` after ${accesses}${total === null ? '' : ` of ${total}`} accesses`;
  };
  const setup: RunSetup = {
    readTrace: readChosenTrace,
    onProgress: (count) => {
      filling.end();
      accesses = before + count;
      progress?.at(accesses);
    },
    onFilling: (job, done, pages) => filling.at(job, done, pages),
    pause: () => interrupt.turn(),
  };
  const results: LabResult[] = [];
  try {
    for (const source of sources) {
      const alike = jobs.filter((job) => job.workload?.name === source);
      if (source !== undefined) interrupt.deafen(); // the first batch of a workload may fill much memory
      results.push(...(await runTogether(alike, setup)));
      before += each ?? 0;
    }
  } finally {
    filling.end();
    progress?.end();
  }
  return results;
}

/** ms; most memory is filled in less. */
const FILLING_SHOWN_AFTER = 1000;

/** How far the memory of guests is filled before they run, one guest after the other. */
class Filling {
  #job: Job | null = null;
  #done = 0;
  #progress: Progress | null = null;

  at(job: Job, done: number, pages: number): void {
    if (job !== this.#job || done <= this.#done) {
      this.end();
      this.#progress = new Progress(`pages filled for ${job.method}`, pages, { after: FILLING_SHOWN_AFTER });
      this.#job = job;
    }
    this.#done = done;
    this.#progress?.at(done);
  }

  end(): void {
    this.#progress?.end();
    this.#progress = null;
    this.#job = null;
  }
}
