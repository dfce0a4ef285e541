/** A worker of tests: what becomes of a job is said by its seed. */
import type { Job } from '../../../../bench/lab/job.ts';

export function runInWorker({ seed }: Job): Promise<string> {
  if (seed === 3) return Promise.reject(new Error('poisoned\nwith a second line'));
  if (seed === 4) throw new RangeError('Array buffer allocation failed');
  if (seed === 5) return new Promise(() => {}); // never ends
  return Promise.resolve(`seed ${seed}`);
}
