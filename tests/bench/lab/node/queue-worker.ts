/**
 * A worker process for the tests of the queue: queue-worker.ts URL SILENCE POISON HANG
 *
 * It begins when something is written to it. It throws at the job with the seed POISON; at the one with the seed HANG it
 * prints a line and does nothing more.
 */
import { once } from 'node:events';
import type { RunAll } from '../../../../bench/lab/node/pool.ts';
import { work } from '../../../../bench/lab/node/queue.ts';
import { resultOf } from './queue-jobs.ts';

const [url, silence, poison, hang] = process.argv.slice(2);

const runAll: RunAll = async (jobs, outcomes) => {
  for await (const { key, job } of jobs) {
    if (job.seed === Number(hang)) {
      process.stdout.write('hangs\n');
      await new Promise(() => {});
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (job.seed === Number(poison)) outcomes.failed(key, 'this one is poisoned');
    else outcomes.done(key, resultOf(job));
  }
};
const outcomes = { done: (): void => {}, failed: (): void => {} };
await once(process.stdin, 'data');
await work({ url, workers: 1, runAll, outcomes, silence: Number(silence) }, new AbortController().signal);
