/** `vkernel lab sweep`: every combination of parameters, on all processors; to be continued after any interruption. */
import { availableParallelism } from 'node:os';
import { jobKey } from '../../bench/lab/job.ts';
import { type KeyedJob, poolOf, reasonOf, type RunAll } from '../../bench/lab/node/pool.ts';
import { ResultStore } from '../../bench/lab/node/result-store.ts';
import { type LabResult, resultSetText } from '../../bench/lab/result.ts';
import { jobsOf, type Plan, planOf, type RawLabOptions } from './lab-jobs.ts';
import { Progress } from './lab-progress.ts';
import { resultsOfFile, writeWhole } from './lab-results.ts';
import { complain, EXIT_FAILURE, EXIT_USAGE, print } from './report.ts';

export interface RawSweepOptions extends RawLabOptions {
  readonly results: string;
  readonly workers?: string;
  readonly shard?: string;
  readonly queue?: string;
  readonly out?: string;
  readonly json?: boolean;
}

/** One of n parts of a sweep, counted from 0. */
interface Shard {
  readonly index: number;
  readonly of: number;
}

const EXIT_INTERRUPTED = 130; // 128 + SIGINT
export const MOST_WORKERS = 1024;

/** @returns exit status: 0, 1 if a job failed or results cannot be written, 2 for what makes no sense, 130 if interrupted */
export async function sweepCommand(raw: RawSweepOptions): Promise<number> {
  const workers = raw.workers === undefined ? availableParallelism() : countOf(raw.workers, MOST_WORKERS);
  if (workers === null) return complain(`--workers: '${raw.workers}' is no number from 1 to ${MOST_WORKERS}`, EXIT_USAGE);
  const shard = shardOf(raw.shard ?? '1/1');
  if (shard === null) return complain(`--shard: '${raw.shard}' is no part I/N of a sweep, I from 1 to N`, EXIT_USAGE);
  if (raw.trace === '-') return complain('--trace: standard input can be read once, and a sweep reads its trace for every job', EXIT_USAGE);
  const plan = await planOf(raw);
  if (typeof plan === 'string') return complain(plan, EXIT_USAGE);
  const keys = await keysOf(plan, shard);
  if (typeof keys === 'string') return complain(keys, EXIT_USAGE);
  const store = storeIn(raw.results);
  if (typeof store === 'string') return complain(`--results: ${store}`, EXIT_USAGE);
  if (raw.queue !== undefined && raw.workers !== undefined)
    return complain('--workers: with --queue the workers are elsewhere (vkernel lab work)', EXIT_USAGE);
  const runAll = raw.queue === undefined ? poolOf({ workers, file: workerFile() }) : await queueAt(raw.queue);
  return sweep({ plan, keys, store, runAll, out: raw.out, isJson: raw.json === true });
}

interface Sweep {
  readonly plan: Plan;
  readonly keys: ReadonlySet<string>;
  readonly store: ResultStore;
  readonly runAll: RunAll;
  readonly out: string | undefined;
  readonly isJson: boolean;
}

async function sweep({ plan, keys, store, runAll, out, isJson }: Sweep): Promise<number> {
  const before = [...keys].filter((key) => store.has(key)).length;
  const failures: { readonly key: string; readonly reason: string }[] = [];
  const interrupt = new AbortController();
  const onSignal = (): void => interrupt.abort();
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  const progress = new Progress('jobs', keys.size);
  let done = before;
  progress.at(done);
  try {
    const outcomes = {
      done(key: string, text: string): void {
        store.write(key, `${text}\n`);
        progress.at(++done);
      },
      failed(key: string, reason: string): void {
        failures.push({ key, reason });
        complain(`job ${key}: ${reason}`, 0);
      },
    };
    if (before < keys.size) await runAll(pending(plan, keys, store), outcomes, interrupt.signal);
  } catch (error) {
    return complain(reasonOf(error), EXIT_FAILURE);
  } finally {
    progress.end();
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
  const there = `${done} of ${keys.size} results are in ${store.folder}`;
  if (interrupt.signal.aborted) return complain(`interrupted: ${there}; the same command goes on from there`, EXIT_INTERRUPTED);
  if (isJson) print(JSON.stringify({ results: store.folder, jobs: keys.size, before, done, failures }));
  else
    print(
      `${there}${before > 0 ? `, ${before} of them from before` : ''}${failures.length > 0 ? `; ${failures.length} ${failures.length === 1 ? 'job' : 'jobs'} failed` : ''}`,
    );
  if (failures.length > 0) return EXIT_FAILURE;
  return out === undefined ? 0 : writeSet(out, keys, store);
}

/** What runs jobs over Redis. Its packages are large: who does not want it does not load it. */
async function queueAt(url: string): Promise<RunAll> {
  const { queueOf } = await import('../../bench/lab/node/queue.ts');
  return queueOf(url);
}

/** The jobs without a result, each once. */
async function* pending(plan: Plan, keys: ReadonlySet<string>, store: ResultStore): AsyncGenerator<KeyedJob> {
  const left = new Set([...keys].filter((key) => !store.has(key)));
  for (const job of jobsOf(plan)) {
    if (typeof job === 'string') continue; // keysOf has refused such plans
    const key = await jobKey(job);
    if (left.delete(key)) yield { key, job };
  }
}

/** Keys of the jobs of a part of the plan; or one line that says which combination is no job. */
async function keysOf(plan: Plan, shard: Shard): Promise<ReadonlySet<string> | string> {
  const keys = new Set<string>();
  for (const job of jobsOf(plan)) {
    if (typeof job === 'string') return job;
    keys.add(await jobKey(job));
  }
  return new Set([...keys].filter((_, i) => i % shard.of === shard.index));
}

/** The results of `keys` in one file, by temporary name. */
function writeSet(path: string, keys: ReadonlySet<string>, store: ResultStore): number {
  const results: LabResult[] = [];
  for (const key of keys) {
    const read = resultsOfFile(store.pathOf(key));
    if (typeof read === 'string') return complain(read, EXIT_FAILURE);
    results.push(...read);
  }
  return writeWhole(path, resultSetText(results));
}

// Options.

/** A number from 1 to `most`, or null. */
export function countOf(text: string, most: number): number | null {
  const count = Number(text);
  return /^\d{1,9}$/.test(text) && count >= 1 && count <= most ? count : null;
}

function shardOf(text: string): Shard | null {
  const match = /^(\d{1,9})\/(\d{1,9})$/.exec(text);
  if (match === null) return null;
  const [part, of] = [Number(match[1]), Number(match[2])];
  return part >= 1 && part <= of ? { index: part - 1, of } : null;
}

function storeIn(folder: string): ResultStore | string {
  try {
    return new ResultStore(folder);
  } catch (error) {
    return `${folder}: ${reasonOf(error)}`;
  }
}

/** What a worker thread runs: beside this file in the sources, beside the bundle in the package. */
export function workerFile(): URL {
  return new URL(`./lab-worker${/\.\w+$/.exec(import.meta.url)?.[0] ?? '.js'}`, import.meta.url);
}
