/** Jobs on all processors: worker threads that run one job at a time, each in memory of its own. */
import { Piscina } from 'piscina';
import type { Job } from '../job.ts';

/** A job and the name of its result. */
export interface KeyedJob {
  readonly key: string;
  readonly job: Job;
}

/** Who is told how jobs ended, as they do. */
export interface Outcomes {
  /** @param text the result's, as resultText() spells it */
  done(key: string, text: string): void;
  failed(key: string, reason: string): void;
}

/**
 * Runs all of `jobs`, in any order. One that fails is told of, and the others go on.
 * @param signal stops as soon as possible; what was told of before counts
 */
export type RunAll = (jobs: AsyncIterable<KeyedJob>, outcomes: Outcomes, signal: AbortSignal) => Promise<void>;

export interface PoolSetup {
  readonly workers: number;
  /** Where `runInWorker` is, which runs one job: lab-worker.ts of the command line. */
  readonly file: URL;
}

/** A heap that has grown so large holds no model any more: the tables of a model lie outside of it. */
const HEAP_MEGABYTES = 512;

/** How long a thread waits for its next job; ms. */
const IDLE = 10_000;

export function poolOf({ workers, file }: PoolSetup): RunAll {
  return async (jobs, outcomes, signal) => {
    const pool = new Piscina({
      filename: file.href,
      name: 'runInWorker',
      minThreads: 0, // or a thread would begin in the place of one that is stopped
      idleTimeout: IDLE,
      maxThreads: workers,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MEGABYTES },
      execArgv: file.pathname.endsWith('.ts') ? ['--import', 'tsx'] : [], // the sources themselves, in tests and benches
    });
    const next = jobs[Symbol.asyncIterator]();
    const failure = new AbortController(); // of the receiver: its disk is full, say
    const stop = AbortSignal.any([signal, failure.signal]);
    const runSome = async (): Promise<void> => {
      for (let one = await next.next(); one.done !== true && !stop.aborted; one = await next.next()) {
        const { key, job } = one.value;
        const outcome = await pool.run(job, { signal: stop }).then(
          (text: string) => ({ text }),
          (error: unknown) => ({ reason: reasonOf(error) }),
        );
        if (stop.aborted) return;
        if ('text' in outcome) outcomes.done(key, outcome.text);
        else outcomes.failed(key, outcome.reason);
      }
    };
    const ends = await Promise.allSettled(
      Array.from({ length: workers }, async () =>
        runSome().catch((error: unknown) => {
          failure.abort();
          throw error;
        }),
      ),
    );
    await pool.destroy();
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  };
}

/** One line. */
export function reasonOf(error: unknown): string {
  const { message = String(error), code = '' } = error as { readonly message?: string; readonly code?: string };
  if (code === 'ERR_WORKER_OUT_OF_MEMORY' || /allocation failed|out of memory/i.test(message)) return 'not enough memory';
  return message.split('\n')[0].slice(0, 300);
}
