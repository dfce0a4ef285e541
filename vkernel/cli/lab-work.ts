/** `vkernel lab work`: takes jobs out of a queue, until it is interrupted. Sweeps put them there (lab-sweep.ts, --queue). */
import { availableParallelism } from 'node:os';
import { poolOf, reasonOf } from '../../bench/lab/node/pool.ts';
import { work } from '../../bench/lab/node/queue.ts';
import { countOf, MOST_WORKERS, workerFile } from './lab-sweep.ts';
import { complain, EXIT_FAILURE, EXIT_USAGE, print } from './report.ts';

export interface RawWorkOptions {
  readonly queue: string;
  readonly workers?: string;
  readonly patience?: string;
}

const MOST_PATIENCE = 1_000_000; // seconds

/** @returns exit status: 0, also when interrupted; 1 if the queue is out of reach; 2 for what makes no sense */
export async function workCommand(raw: RawWorkOptions): Promise<number> {
  const workers = raw.workers === undefined ? availableParallelism() : countOf(raw.workers, MOST_WORKERS);
  if (workers === null) return complain(`--workers: '${raw.workers}' is no number from 1 to ${MOST_WORKERS}`, EXIT_USAGE);
  const patience = raw.patience === undefined ? Infinity : countOf(raw.patience, MOST_PATIENCE);
  if (patience === null) return complain(`--patience: '${raw.patience}' is no number of seconds from 1 to ${MOST_PATIENCE}`, EXIT_USAGE);
  const stop = new AbortController();
  const onSignal = (): void => {
    complain('ends after what has been begun; once more ends at once', 0);
    stop.abort();
  };
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  let done = 0;
  const outcomes = {
    done: (): void => void done++,
    failed: (key: string, reason: string): void => void complain(`job ${key}: ${reason}`, 0),
  };
  try {
    const runAll = poolOf({ workers, file: workerFile() });
    await work({ url: raw.queue, workers, runAll, outcomes, patience: patience * 1000 }, stop.signal);
  } catch (error) {
    return complain(`--queue: ${reasonOf(error)}`, EXIT_FAILURE);
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
  print(`${done} job${done === 1 ? '' : 's'} done`);
  return 0;
}
