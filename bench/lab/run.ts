/**
 * A job, run: records go to the job's method, and what it counted becomes a result. Several jobs may be fed from one
 * stream, which is then made or read once.
 */
import { GUEST_METHODS } from './methods/index.ts';
import type { Method, MethodCounts } from './methods/method.ts';
import { LabError } from './guest/lab-error.ts';
import { formatOf, type Job, machineOf, type TraceChoice, type WorkloadChoice } from './job.ts';
import { type DesignResult, type LabDerived, type LabResult, RESULT_SCHEMA } from './result.ts';
import { Batch, REGION } from './stream.ts';
import { workload } from './workloads/index.ts';

export interface RunSetup {
  /**
   * Reads a trace into `take`, until that returns false. Files are not for everybody, so this is given from outside.
   * @returns why the trace could not be read to its end; null: it was, or there was enough of it
   */
  readTrace?(trace: TraceChoice, take: (batch: Batch) => boolean): Promise<string | null>;
  /** Told after every batch how many accesses there were. */
  onProgress?(accesses: number): void;
  /** Told now and then while the memory of a job's guest is filled at once: pages done, of how many. */
  onFilling?(job: Job, done: number, pages: number): void;
  /** Asked after every batch of a workload. What it returns is waited for: time for whoever else there is. */
  pause?(): Promise<void> | null;
}

/** Runs one job. @throws LabError, WorkloadError if it cannot be run */
export async function runJob(job: Job, setup: RunSetup = {}): Promise<LabResult> {
  return (await runTogether([job], setup))[0];
}

/** Runs jobs over the same records. They are alike in workload or trace, seed and accesses. @throws as runJob */
export async function runTogether(jobs: readonly Job[], setup: RunSetup = {}): Promise<readonly LabResult[]> {
  const runs = new Runs(jobs, setup);
  const take = (batch: Batch): boolean => {
    const more = runs.take(batch);
    setup.onProgress?.(runs.accesses);
    return more;
  };
  const { workload: choice, trace } = jobs[0];
  if (choice !== null) await runWorkload(jobs[0], choice, take, setup);
  else if (setup.readTrace === undefined) throw new LabError('traces cannot be read here');
  else return runs.results(await setup.readTrace(trace as TraceChoice, take));
  return runs.results(null);
}

async function runWorkload(job: Job, { name, params }: WorkloadChoice, take: (batch: Batch) => boolean, setup: RunSetup): Promise<void> {
  const accesses = job.warmUp + (job.accesses as number); // readJob gives every workload an end
  const source = workload({ name, params, seed: job.seed, accesses }, { end: formatOf(job.guest).userEnd });
  const batch = new Batch();
  for (let more = true; more; ) {
    batch.count = 0;
    more = source.append(batch);
    if (!take(batch)) return;
    const waited = setup.pause?.() ?? null;
    if (waited !== null) await waited;
  }
}

/** Why a job's method cannot run its guest at all, or null: it can. */
export function refusalOf(job: Job): string | null {
  try {
    methodOf(job);
    return null;
  } catch (error) {
    if (!(error instanceof LabError)) throw error;
    return error.message;
  }
}

/** Jobs that are fed from one stream, whoever makes it. */
export class Runs {
  /** Accesses so far, those before the counting among them. */
  accesses = 0;
  readonly #runs: readonly Run[];
  readonly #warmUp: number;
  readonly #most: number;
  readonly #rest = new Batch(); // what follows the last access of the warm-up in its batch
  #refused: string | null = null;

  /** @param jobs alike in the numbers of accesses. @throws LabError if one of them cannot be run */
  constructor(jobs: readonly Job[], setup: Pick<RunSetup, 'onFilling'> = {}) {
    this.#runs = jobs.map((job) => new Run(job, setup));
    this.#warmUp = jobs[0].warmUp;
    this.#most = this.#warmUp + (jobs[0].accesses ?? Infinity);
  }

  /**
   * Runs the records of a batch; what goes beyond the number of accesses is cut off it.
   * @returns whether there may be more: false at the last access, or where a record of a trace makes no sense
   * @throws LabError where one of a workload makes none
   */
  take(batch: Batch): boolean {
    const left = this.#warmUp - this.accesses;
    if (left <= 0 || !part(batch, left, this.#rest)) return this.#feed(batch);
    if (!this.#feed(batch)) return false;
    for (const run of this.#runs) run.beginCounting();
    return this.#feed(this.#rest);
  }

  #feed(batch: Batch): boolean {
    this.accesses += cut(batch, this.#most - this.accesses);
    for (const run of this.#runs) {
      try {
        run.consume(batch);
      } catch (error) {
        if (!(error instanceof LabError) || !run.isOfTrace) throw error;
        this.#refused = `record ${error.record}: ${error.message}`; // the other methods refuse it too
      }
    }
    return this.#refused === null && this.accesses < this.#most;
  }

  /** @param reason why the stream ended early, or null */
  results(reason: string | null): readonly LabResult[] {
    return this.#runs.map((run) => run.result(this.#refused ?? reason));
  }
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

/** Moves what follows access number `last` of a batch into `rest`. @returns whether the batch has so many */
function part(batch: Batch, last: number, rest: Batch): boolean {
  let accesses = 0;
  let i = 0;
  while (i < batch.count && accesses < last) if (batch.kind[i++] < REGION) accesses++;
  if (accesses < last) return false;
  rest.count = batch.count - i;
  for (const field of ['kind', 'flags', 'bytes', 'space', 'offset', 'page', 'value', 'work'] as const)
    rest[field].set(batch[field].subarray(i, batch.count));
  batch.count = i;
  return true;
}

/** @throws LabError if the method cannot run such a guest */
function methodOf(job: Job, { onFilling }: Pick<RunSetup, 'onFilling'> = {}): Method {
  const { guest, hosts, seed, shadow, vpagetable, agile } = job;
  return GUEST_METHODS[job.method]({
    machine: machineOf(job),
    guest: formatOf(guest),
    hosts: hosts.map(formatOf),
    guestPolicy: { ...guest, implicitRegions: job.trace !== null },
    hostPolicies: hosts,
    seed,
    withDesigns: true,
    shadow,
    vpagetable,
    agile,
    ...(onFilling === undefined ? {} : { filling: (done: number, pages: number) => onFilling(job, done, pages) }),
  });
}

/** One method at work on a job. */
class Run {
  readonly #job: Job;
  readonly #method: Method;
  #before: MethodCounts | null = null; // counts of the warm-up

  constructor(job: Job, setup: Pick<RunSetup, 'onFilling'>) {
    this.#job = job;
    this.#method = methodOf(job, setup);
  }

  get isOfTrace(): boolean {
    return this.#job.workload === null;
  }

  consume(batch: Batch): void {
    this.#method.consume(batch);
  }

  /** What was counted so far is not to count. */
  beginCounting(): void {
    this.#before = structuredClone(this.#method.finish());
  }

  result(reason: string | null): LabResult {
    const all = this.#method.finish();
    const { cycles, designs, ...counts } = this.#before === null ? all : countsSince(this.#before, all);
    return {
      schema: RESULT_SCHEMA,
      partial: reason === null ? null : { reason },
      job: this.#job,
      counts: { ...counts, walks: { ...counts.walks, perWalk: withoutEmptyEnd(counts.walks.perWalk) }, events: { ...counts.events } },
      cycles,
      derived: derivedOf(cycles, counts.walks),
      ...(designs === undefined ? {} : { designs: designsOf(designs) }),
    };
  }
}

type Designs = NonNullable<MethodCounts['designs']>;

/** How much faster walks would have been. */
function designsOf(designs: Designs): Readonly<Record<string, DesignResult>> {
  const entries = Object.entries(designs).map(([name, { walkCycles, nestedCycles }]): [string, DesignResult] => [
    name,
    { walkCycles, speedup: walkCycles === 0 ? 1 : nestedCycles / walkCycles },
  ]);
  return Object.fromEntries(entries);
}

/** What was counted after `before`. */
function countsSince(before: MethodCounts, now: MethodCounts): MethodCounts {
  const { structures, walks, events, cycles, designs, ...totals } = now;
  return {
    ...since(before, totals),
    structures: Object.fromEntries(Object.entries(structures).map(([name, counts]) => [name, since(before.structures[name], counts)])),
    walks: {
      ...since(before.walks, { count: walks.count, references: walks.references }),
      perWalk: walks.perWalk.map((count, i) => count - (before.walks.perWalk[i] ?? 0)),
      byStage: walks.byStage.map((one) => {
        const same = before.walks.byStage.find(({ stage, level }) => stage === one.stage && level === one.level);
        return same === undefined ? one : { ...one, servedBy: since(same.servedBy, one.servedBy) };
      }),
    },
    events: since(before.events, events),
    cycles: since(before.cycles, cycles),
    ...(designs === undefined ? {} : { designs: designsSince(before.designs ?? {}, designs) }),
  };
}

function designsSince(before: Designs, now: Designs): Designs {
  return Object.fromEntries(Object.entries(now).map(([name, counts]) => [name, since(before[name], { ...counts })]));
}

/** The numbers of `now` less those that had the same name before. */
function since<K extends string>(before: Readonly<Record<NoInfer<K>, number>>, now: Readonly<Record<K, number>>): Record<K, number> {
  return Object.fromEntries(Object.entries<number>(now).map(([name, count]) => [name, count - before[name as K]])) as Record<K, number>;
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
