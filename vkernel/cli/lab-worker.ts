/** Runs one job in a thread of its own. Not a command: `vkernel lab sweep` starts it. */
import type { Job } from '../../bench/lab/job.ts';
import { readChosenTrace } from '../../bench/lab/node/trace-run.ts';
import { resultText } from '../../bench/lab/result.ts';
import { runJob } from '../../bench/lab/run.ts';

/** @returns the text of the result */
export async function runInWorker(job: Job): Promise<string> {
  return resultText(await runJob(job, { readTrace: readChosenTrace }));
}
