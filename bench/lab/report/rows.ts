/**
 * Results as rows of a table: what was varied among them, and what came out. Charts, CSV and Markdown are made of rows.
 *
 * A row's parameters are the fields of its job by path (`guest.pageSizes`, `machine.tlb.l2.0.entries`); those that are
 * the same in every job of a method say nothing and are left out, and so are parameters that are the same in every job of
 * a workload. A method that knows no such field - no host below a
 * native guest, no choices of shadow paging in a nested one - has an empty cell there.
 */
import { isTable } from '../../../hostkernel/base/shape.ts';
import { METHOD_NAMES, parseBytes, sourceName } from '../job.ts';
import type { LabResult } from '../result.ts';
import { type Published, publishedWalkFraction } from './published.ts';

export type Cell = string | number;

export interface Row {
  readonly method: string;
  readonly workload: string;
  /** What else differs among the jobs; NO_VALUE where the job has no such field. */
  readonly varied: Readonly<Record<string, Cell>>;
  readonly metrics: Readonly<Record<MetricName, number>>;
  /** A published walk fraction of its like. */
  readonly published: Published | null;
  readonly result: LabResult;
}

/** What charts and tables show, and how it is called there. */
export const METRICS = {
  referencesPerWalk: 'references per walk',
  walkFraction: 'walk fraction',
  trapFraction: 'trap fraction',
  cyclesPerAccess: 'cycles per access',
  walkCyclesPerAccess: 'walk cycles per access',
  trapCyclesPerAccess: 'trap cycles per access',
  walksPerAccess: 'walks per access',
} as const;
export type MetricName = keyof typeof METRICS;

/** In the place of a value that a job does not have. No field of a job is an empty text. */
export const NO_VALUE = '';

/** Rows of results, with what is varied among all of them: by workload, then by what is varied, then by method. */
export function rowsOf(results: readonly LabResult[]): readonly Row[] {
  const jobs = results.map((result) => flat(result.job));
  const varied = variedAmong(jobs);
  const rows = results.map((result, i): Row => {
    const { method, guest, hosts } = result.job;
    const workload = sourceName(result.job);
    const isHuge = [guest, ...hosts].every(({ pageSizes }) => pageSizes !== '4K');
    return {
      method,
      workload,
      varied: Object.fromEntries(varied.map((path) => [path, jobs[i][path] ?? NO_VALUE])),
      metrics: metricsOf(result),
      published: publishedWalkFraction(workload, method, isHuge),
      result,
    };
  });
  return rows.sort(inOrder);
}

/** Paths in which two jobs of one method differ, parameters of workloads in two of one workload; in alphabetical order. */
function variedAmong(jobs: readonly Readonly<Record<string, Cell>>[]): readonly string[] {
  const paths = distinct(jobs.flatMap((job) => Object.keys(job))).filter((path) => !HEADINGS.has(path));
  return paths
    .filter((path) => {
      const like = path.startsWith('workload.params.') ? ['method', 'workload.name'] : ['method'];
      const first = new Map<string, Cell | undefined>();
      return jobs.some((job) => {
        const group = like.map((field) => job[field]).join(' ');
        if (first.has(group)) return first.get(group) !== job[path];
        first.set(group, job[path]);
        return false;
      });
    })
    .sort();
}

function inOrder(a: Row, b: Row): number {
  const paths = Object.keys(a.varied);
  const cells = ({ workload, varied, method }: Row): readonly Cell[] => [
    workload,
    ...paths.map((path) => varied[path]),
    METHOD_NAMES.findIndex((name) => name === method),
  ];
  const ours = cells(a);
  const theirs = cells(b);
  const at = ours.findIndex((cell, i) => cell !== theirs[i]);
  if (at < 0) return 0;
  const [one, other] = [amount(ours[at]), amount(theirs[at])];
  return one < other || (one === other && ours[at] < theirs[at]) ? -1 : 1;
}

/** What a cell is sorted by before its text: a number, or bytes as in `2M`. */
function amount(cell: Cell): number {
  return typeof cell === 'number' ? cell : (parseBytes(cell) ?? Infinity);
}

/** Fields that have a column of their own, or follow from the others. */
const HEADINGS = new Set(['method', 'workload', 'workload.name', 'trace', 'trace.file', 'trace.format', 'trace.sha256']);

function metricsOf({ counts, cycles, derived }: LabResult): Record<MetricName, number> {
  const each = (value: number): number => (counts.accesses === 0 ? 0 : value / counts.accesses);
  return {
    referencesPerWalk: derived.referencesPerWalk,
    walkFraction: derived.walkFraction,
    trapFraction: derived.trapFraction,
    cyclesPerAccess: each(cycles.total),
    walkCyclesPerAccess: each(cycles.walk),
    trapCyclesPerAccess: each(cycles.traps),
    walksPerAccess: each(counts.walks.count),
  };
}

/** The leaves of a value by path. Lists of plain values are one leaf; a description of a layout is named by its id. */
function flat(value: unknown, path = '', into: Record<string, Cell> = {}): Record<string, Cell> {
  if (Array.isArray(value)) value.forEach((element: unknown, i) => flat(element, `${path}.${i}`, into));
  else if (isTable(value) && typeof value['id'] === 'string' && 'levels' in value) into[path] = value['id'];
  else if (isTable(value)) {
    for (const [key, field] of Object.entries(value)) {
      if (key === 'sources' || key === 'notes') continue; // words about the numbers
      flat(field, path === '' ? key : `${path}.${key}`, into);
    }
  } else if (typeof value === 'number' || typeof value === 'string') into[path] = value;
  else if (typeof value === 'boolean' || value === null) into[path] = String(value);
  return into;
}

/** Paths that are varied, in alphabetical order. */
export function variedPaths(rows: readonly Row[]): readonly string[] {
  return Object.keys(rows[0]?.varied ?? {});
}

/** In the order they first come. */
export function distinct<T>(values: readonly T[]): readonly T[] {
  return [...new Set(values)];
}
