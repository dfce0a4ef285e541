/**
 * A job, run: records go to the job's method, and what it counted becomes a result. Several jobs may be fed from one
 * stream, which is then made or read once.
 */
import { GUEST_METHODS } from './methods/index.ts';
import type { Method, MethodCounts } from './methods/method.ts';
import { LabError } from './guest/lab-error.ts';
import { formatOf, type Job, type TraceChoice } from './job.ts';
import { type LabDerived, type LabResult, RESULT_SCHEMA } from './result.ts';
import { Batch, type RecordSource, REGION } from './stream.ts';
import { workload } from './workloads/index.ts';

/** Records in batches. The batch is the caller's until the next is asked for. */
export type Batches = Iterable<Batch> | AsyncIterable<Batch>;

export interface RunSetup {
  /** Opens a trace: files are not for everybody. */
  openTrace?(trace: TraceChoice): AsyncIterable<Batch>;
  /** Told after every batch how many accesses there were. */
  onProgress?(accesses: number): void;
}

/** Runs one job. @throws LabError, WorkloadError if it cannot be run */
export async function runJob(job: Job, setup: RunSetup = {}): Promise<LabResult> {
  return (await runTogether([job], setup))[0];
}

/**
 * Runs jobs over the same records.
 * @param jobs alike in workload or trace, seed and accesses
 * @param records instead of those that the jobs name
 */
export async function runTogether(jobs: readonly Job[], setup: RunSetup = {}, records?: Batches): Promise<readonly LabResult[]> {
  const runs = jobs.map((job) => new Run(job));
  let accesses = 0;
  let reason: string | null = null;
  const left = (): number => (jobs[0].accesses ?? Infinity) - accesses;
  try {
    for await (const batch of records ?? recordsOf(jobs[0], setup)) {
      accesses += cut(batch, left());
      for (const run of runs) run.consume(batch);
      setup.onProgress?.(accesses);
      if (left() <= 0) break;
    }
  } catch (error) {
    // What a trace, or a program that is traced, has done before it went wrong counts.
    if (!(error instanceof LabError) || jobs[0].workload !== null) throw error;
    reason = error.message;
  }
  return runs.map((run) => run.result(reason));
}

/** Drops what follows the access number `most` of a batch. @returns accesses in it */
function cut(batch: Batch, most: number): number {
  let accesses = 0;
  for (let i = 0; i < batch.count; i++) {
    if (batch.kind[i] >= REGION || ++accesses < most) continue;
    batch.count = i + 1;
    break;
  }
  return accesses;
}

function recordsOf(job: Job, setup: RunSetup): Batches {
  if (job.workload !== null) {
    const { name, params } = job.workload;
    return batchesOf(workload({ name, params, seed: job.seed, accesses: job.accesses as number }, { end: formatOf(job.guest).userEnd }));
  }
  if (setup.openTrace === undefined) throw new LabError('traces cannot be opened here');
  return setup.openTrace(job.trace as TraceChoice);
}

function* batchesOf(source: RecordSource): Generator<Batch> {
  const batch = new Batch();
  for (let more = true; more; ) {
    batch.count = 0;
    more = source.append(batch);
    yield batch;
  }
}

/** One method at work on a job. */
class Run {
  readonly #job: Job;
  readonly #method: Method;

  constructor(job: Job) {
    const { guest, hosts, machine, seed } = job;
    this.#job = job;
    const make = GUEST_METHODS[job.method];
    if (make === undefined) throw new LabError(`no method ${job.method} here`);
    this.#method = make({
      machine: machine as never,
      guest: formatOf(guest),
      hosts: hosts.map(formatOf),
      guestPolicy: { ...guest, implicitRegions: job.trace !== null },
      hostPolicies: hosts,
      seed,
    });
  }

  consume(batch: Batch): void {
    this.#method.consume(batch);
  }

  result(reason: string | null): LabResult {
    const { cycles, ...counts } = this.#method.finish();
    return {
      schema: RESULT_SCHEMA,
      partial: reason === null ? null : { reason },
      job: this.#job,
      counts: { ...counts, walks: { ...counts.walks, perWalk: withoutEmptyEnd(counts.walks.perWalk) }, events: { ...counts.events } },
      cycles,
      derived: derivedOf(cycles, counts.walks),
    };
  }
}

function withoutEmptyEnd(counts: readonly number[]): readonly number[] {
  return counts.slice(0, counts.findLastIndex((count) => count !== 0) + 1);
}

/** Schemes that make walks so many times faster. */
const FASTER_WALKS = ['1.25', '1.5', '2', '4', '8'] as const;

function derivedOf(cycles: MethodCounts['cycles'], walks: MethodCounts['walks']): LabDerived {
  const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);
  const walkFraction = share(cycles.walk, cycles.total);
  return {
    referencesPerWalk: share(walks.references, walks.count),
    walkFraction,
    trapFraction: share(cycles.traps, cycles.total),
    projected: Object.fromEntries(FASTER_WALKS.map((times) => [times, 1 / (1 - walkFraction + walkFraction / Number(times))])),
  };
}
