/** The human view of a comparison: for each measure a table, methods in rows, workloads in columns. */
import { hasBasePages, type Job, machineOf, sourceName } from '../../bench/lab/job.ts';
import { DESIGN_SPEEDUPS, type Program, type Published, publishedWalkFraction, workName } from '../../bench/lab/report/published.ts';
import type { DesignResult, LabResult } from '../../bench/lab/result.ts';
import { assumptionsOf } from './lab-lists.ts';
import { jobSides } from './lab-results.ts';
import { table } from './layout-drawing.ts';

interface Measure {
  readonly title: string;
  readonly text: (result: LabResult) => string;
}

const percent = (share: number): string => (100 * share).toFixed(1);
const whole = (count: number): string => Math.round(count).toLocaleString('en');

const MEASURES: readonly Measure[] = [
  { title: 'REFERENCES PER WALK', text: ({ derived }) => derived.referencesPerWalk.toFixed(3) },
  { title: 'WALK CYCLES, % OF ALL *', text: ({ derived }) => percent(derived.walkFraction) },
  { title: 'TRAP CYCLES *', text: ({ cycles }) => whole(cycles.traps) },
  { title: 'CYCLES *', text: ({ cycles }) => whole(cycles.total) },
];

/** Results as tables. They are alike in everything but method and workload. */
export function comparisonText(results: readonly LabResult[]): string {
  const methods = [...new Set(results.map(({ job }) => job.method))];
  const columns = [...new Set(results.map(({ job }) => sourceName(job)))];
  const at = (method: string, column: string): LabResult | undefined =>
    results.find((result) => result.job.method === method && sourceName(result.job) === column);
  const rows: string[][] = [];
  for (const { title, text } of MEASURES) {
    rows.push([title, ...columns]);
    for (const method of methods) {
      rows.push([
        `  ${method}`,
        ...columns.map((column) => {
          const result = at(method, column);
          return result === undefined ? '' : text(result);
        }),
      ]);
    }
  }
  return aligned(rows);
}

/** Below the tables: what was published of the like, with its difference to ours, and by whom. Empty: nothing was. */
export function publishedText(results: readonly LabResult[]): string {
  const known = results.flatMap((result) => {
    const published = publishedOf(result);
    return published === null ? [] : [{ result, published }];
  });
  if (known.length === 0) return '';
  const rows = known.map(({ result, published }) => [
    `  ${result.job.method}, ${sourceName(result.job)}`,
    percent(published.value),
    percent(result.derived.walkFraction),
    signed(100 * (result.derived.walkFraction - published.value)),
    `${workName(published.work)}, ${published.from}`,
  ]);
  const note = 'Published of other machines and of the programs themselves: compare the order and the size of effects.';
  return `${table([['PUBLISHED WALK CYCLES, %', 'THERE', 'HERE', 'DIFFERENCE', 'BY WHOM'], ...rows])}\n${note}`;
}

function publishedOf({ job }: LabResult): Published | null {
  const isLarge = ![job.guest, ...job.hosts].some(hasBasePages);
  return job.workload === null || job.hosts.length > 1 ? null : publishedWalkFraction(job.workload.name, job.method, isLarge);
}

const signed = (points: number): string => `${points > 0 ? '+' : ''}${points.toFixed(1)}`;

/** How many times faster the walks of nested runs would be in other designs, computed from the same walks. Empty: not computed. */
export function designsText(results: readonly LabResult[]): string {
  const nested = results.filter(({ designs }) => designs !== undefined);
  const names = [...new Set(nested.flatMap(({ designs }) => Object.keys(designs ?? {})))];
  if (names.length === 0) return '';
  const rows = names.map((name) => [
    name === 'agile' ? '  agile, by formula' : `  ${name}`,
    ...nested.map(({ job, designs }) => designText(job, name, designs?.[name])),
  ]);
  return aligned([['WALKS FASTER THAN NESTED, TIMES', ...nested.map(({ job }) => sourceName(job))], ...rows]);
}

/** Ours, and in brackets what was published for a program of that name. */
function designText(job: Job, name: string, design: DesignResult | undefined): string {
  if (design === undefined) return '';
  const program = job.workload?.name.replace(/-like$/, '') ?? '';
  const published: Readonly<Record<string, number>> = Object.hasOwn(DESIGN_SPEEDUPS, program) ? DESIGN_SPEEDUPS[program as Program] : {};
  const there = hasBasePages(job.guest) && Object.hasOwn(published, name) ? ` (${published[name].toFixed(2)})` : '';
  return `${design.speedup.toFixed(2)}${there}`;
}

/** Columns of equal width; the first to the left, numbers to the right. A line before each heading but the first. */
function aligned(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  const lines = rows.map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  '));
  return lines.map((line, i) => (i > 0 && !rows[i][0].startsWith(' ') ? `\n${line}` : line)).join('\n');
}

/** What the results have in common, in a line. */
export function conditionsText(results: readonly LabResult[]): string {
  const widest = results.reduce((most, result) => (result.job.hosts.length > most.job.hosts.length ? result : most));
  const { job, counts } = widest;
  const before = job.warmUp === 0 ? '' : ` after ${whole(job.warmUp)} of warm-up`;
  return `${jobSides(job)}; ${whole(counts.accesses)} accesses${before}, seed ${job.seed}`;
}

/** Which numbers of the machine no source was seen for. Empty: none. */
export function assumptionsText([{ job }]: readonly LabResult[]): string {
  const machine = machineOf(job);
  const keys = assumptionsOf(machine);
  if (keys.length === 0) return '';
  const shown = keys
    .filter((key) => key.startsWith('events.'))
    .map((key) => key.slice('events.'.length))
    .join(', ');
  return [
    `* The machine is ${machine.name}: ${keys.length} of its ${Object.keys(machine.sources).length} numbers are assumptions${shown === '' ? '' : `, costs of events among them: ${shown}`}.`,
    '  `vkernel lab machines NAME` has the source of each.',
  ].join('\n');
}

/** Runs that ended early, a line each. */
export function partialText(results: readonly LabResult[]): readonly string[] {
  return results.flatMap(({ job, partial }) => (partial === null ? [] : [`${job.method}: partial: ${partial.reason}`]));
}
