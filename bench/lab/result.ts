/**
 * What a run of the laboratory gives: counts, cycles, and what follows from them. The text of a result is a function of
 * its job alone: no clock, no name of a machine, no path but those the job has.
 *
 *   set file     { "schema": "vkernel-lab-set/1", "results": [            results in the order of their jobs' texts,
 *                  { "schema": "vkernel-lab/1", ... },                    one in a line
 *                  ... ] }
 */
import { integer, isTable, listOf, mapOf, oneOf, type Problem, type Reader, record, required, say } from '../../hostkernel/base/shape.ts';
import { canonicalText } from './canonical.ts';
import { type Job, jobText, readJob } from './job.ts';

export const RESULT_SCHEMA = 'vkernel-lab/1';
export const SET_SCHEMA = 'vkernel-lab-set/1';

/** Entries that walks read in one stage, on one level. */
export interface StageReferences {
  /** As the translation calls it: `table` for entries of the guest's tables, `host.tables` for where these lie, `host.data` for where its data lies. */
  readonly stage: string;
  /** 0: leaves of base pages. */
  readonly level: number;
  /** By what answered: `l1`, `l2`, `llc`, `memory`. */
  readonly servedBy: Readonly<Record<string, number>>;
}

export interface WalkCounts {
  readonly count: number;
  readonly references: number;
  /** Walks by the references they made: [walks without any, with one, ...], up to the last that is not 0. */
  readonly perWalk: readonly number[];
  readonly byStage: readonly StageReferences[];
}

export interface LabCounts {
  readonly records: number;
  readonly accesses: number;
  readonly reads: number;
  readonly writes: number;
  readonly fetches: number;
  readonly instructions: number;
  /** Accesses, hits, fills ... of TLBs, walk caches and data caches, by the structure's name. */
  readonly structures: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly walks: WalkCounts;
  /** Faults, traps, invalidations ... by name; the same names for every method. */
  readonly events: Readonly<Record<string, number>>;
}

export interface LabCycles {
  readonly work: number;
  readonly tlb: number;
  readonly walk: number;
  readonly data: number;
  readonly traps: number;
  readonly total: number;
}

export interface LabDerived {
  readonly referencesPerWalk: number;
  /** Walk cycles, and cycles of traps, of all cycles. */
  readonly walkFraction: number;
  readonly trapFraction: number;
  /** Speed-up of the whole run by a scheme that makes walks so many times faster: 1 / ((1 - f) + f / s). */
  readonly projected: Readonly<Record<string, number>>;
}

/** A design computed from the latencies of a two-dimensional walk. */
export interface DesignResult {
  readonly walkCycles: number;
  readonly speedup: number; // of walks
}

export interface LabResult {
  readonly schema: typeof RESULT_SCHEMA;
  /** Why the run ended before its workload or trace did; null: it did not. */
  readonly partial: { readonly reason: string } | null;
  readonly job: Job;
  readonly counts: LabCounts;
  readonly cycles: LabCycles;
  readonly derived: LabDerived;
  readonly designs?: Readonly<Record<string, DesignResult>>;
}

const RESULT_KEYS: readonly (keyof LabResult)[] = ['schema', 'partial', 'job', 'counts', 'cycles', 'derived', 'designs'];

/** A result as one line of text, without the end of the line. */
export function resultText(result: LabResult): string {
  const fields = RESULT_KEYS.filter((key) => result[key] !== undefined);
  return `{${fields.map((key) => `"${key}":${canonicalText(result[key])}`).join(',')}}`;
}

/** A file of results. Equal jobs have equal results; one of them is kept. */
export function resultSetText(results: readonly LabResult[]): string {
  const lines = new Map(results.map((result) => [jobText(result.job), resultText(result)]));
  const sorted = [...lines].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, line]) => line);
  return `{"schema":"${SET_SCHEMA}","results":[\n${sorted.join(',\n')}${sorted.length === 0 ? '' : '\n'}]}\n`;
}

const MOST_RESULTS = 1_000_000;
const count = integer(0, Number.MAX_SAFE_INTEGER);

const amount: Reader<number> = (value, path, problems) => {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  say(problems, path, 'no number of 0 or more');
  return 0;
};

const words: Reader<string> = (value, path, problems) => {
  if (typeof value === 'string') return value;
  say(problems, path, 'no text');
  return '';
};

const partial: Reader<LabResult['partial']> = (value, path, problems) =>
  value === null ? null : record<{ readonly reason: string }>({ reason: required(words) })(value, path, problems);

const jobReader: Reader<Job> = (value, path, problems) => {
  const read = readJob(value);
  if ('schema' in read) return read;
  for (const problem of read) problems.push({ ...problem, path: problem.path === '' ? path : `${path}.${problem.path}` });
  return {} as Job; // never returned: there are problems
};

const STAGE = record<StageReferences>({
  stage: required(words),
  level: required(integer(0, 16)),
  servedBy: required(mapOf(count)),
});

const WALKS = record<WalkCounts>({
  count: required(count),
  references: required(count),
  perWalk: required(listOf(count)),
  byStage: required(listOf(STAGE)),
});

const COUNTS = record<LabCounts>({
  records: required(count),
  accesses: required(count),
  reads: required(count),
  writes: required(count),
  fetches: required(count),
  instructions: required(count),
  structures: required(mapOf(mapOf(count))),
  walks: required(WALKS),
  events: required(mapOf(count)),
});

const CYCLES = record<LabCycles>({
  work: required(amount),
  tlb: required(amount),
  walk: required(amount),
  data: required(amount),
  traps: required(amount),
  total: required(amount),
});

const DERIVED = record<LabDerived>({
  referencesPerWalk: required(amount),
  walkFraction: required(amount),
  trapFraction: required(amount),
  projected: required(mapOf(amount)),
});

const RESULT = record<LabResult>({
  schema: required(oneOf(RESULT_SCHEMA)),
  partial: required(partial),
  job: required(jobReader),
  counts: required(COUNTS),
  cycles: required(CYCLES),
  derived: required(DERIVED),
  designs: { read: mapOf(record<DesignResult>({ walkCycles: required(amount), speedup: required(amount) })), otherwise: 'absent' },
});

const SET = record<{ readonly schema: string; readonly results: readonly LabResult[] }>({
  schema: required(oneOf(SET_SCHEMA)),
  results: required(listOf(RESULT, MOST_RESULTS)),
});

/** A result out of a file. @returns it, or what is wrong with it */
export function readResult(value: unknown): LabResult | readonly Problem[] {
  const problems: Problem[] = [];
  const read = RESULT(value, '', problems);
  return problems.length === 0 ? read : problems;
}

/** Results out of a file: a set, or a single one. @returns them, or what is wrong */
export function readResults(value: unknown): { readonly results: readonly LabResult[] } | { readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const isSet = isTable(value) && value['schema'] === SET_SCHEMA;
  const results = isSet ? SET(value, '', problems).results : [RESULT(value, '', problems)];
  return problems.length === 0 ? { results } : { problems };
}
