/**
 * `vkernel lab diff`: two runs of the laboratory, or of a benchmark suite, side by side. Counters come first: they repeat
 * exactly, so every difference means something. Times come last, as a ratio with the interval that their spread leaves.
 */
import { canonicalText, type Json, type JsonTable } from '../../bench/lab/canonical.ts';
import { jobText } from '../../bench/lab/job.ts';
import { type LabResult, readResults } from '../../bench/lab/result.ts';
import { isTable } from '../../hostkernel/base/shape.ts';
import { jobName, jsonOfFile } from './lab-results.ts';
import { table } from './layout-drawing.ts';
import { problemLine } from './layout-file.ts';
import { complain, EXIT_FAILURE, EXIT_USAGE, print } from './report.ts';

/** A value that is not the same in both runs. */
interface Difference {
  readonly path: string;
  readonly a: Json | undefined;
  readonly b: Json | undefined;
}

/** Two runs of one thing. */
interface Pair {
  readonly name: string;
  readonly counters: readonly Difference[];
  readonly derived: readonly Difference[];
  readonly times: readonly Ratio[];
}

/** How b's time relates to a's. */
interface Ratio {
  readonly name: string;
  readonly ratio: number; //    median of b by median of a
  readonly least: number; //    lower quartile of b by upper quartile of a
  readonly most: number; //     upper quartile of b by lower quartile of a
}

interface Comparison {
  readonly pairs: readonly Pair[];
  readonly onlyA: readonly string[];
  readonly onlyB: readonly string[];
}

/** @returns exit status: 0 if all counters are equal and both have the same runs, 1 if not */
export function diffCommand(a: string, b: string, options: { readonly json?: boolean }): number {
  const files = [jsonOfFile(a), jsonOfFile(b)] as const;
  for (const file of files) if (typeof file === 'string') return complain(file, EXIT_USAGE);
  const [left, right] = files.map((file) => (file as { readonly value: unknown }).value);
  const compared = isSuite(left) && isSuite(right) ? compareSuites(left, right) : compareResults([a, left], [b, right]);
  if (typeof compared === 'string') return complain(compared, EXIT_USAGE);
  if (options.json === true) print(JSON.stringify(compared, null, 2));
  else print(comparisonLines(compared).join('\n'));
  const isSame = compared.onlyA.length + compared.onlyB.length === 0 && compared.pairs.every(({ counters }) => counters.length === 0);
  return isSame ? 0 : EXIT_FAILURE;
}

// Results of the laboratory.

function compareResults(a: readonly [string, unknown], b: readonly [string, unknown]): Comparison | string {
  const sides: (readonly LabResult[])[] = [];
  for (const [path, value] of [a, b]) {
    const read = readResults(value);
    if ('problems' in read) return `${path}: ${problemLine(read.problems[0])}`;
    sides.push(read.results);
  }
  const [left, right] = sides;
  // Two single results are compared whatever they are of: their jobs differ on purpose.
  if (left.length === 1 && right.length === 1) return { pairs: [pairOf(left[0], right[0])], onlyA: [], onlyB: [] };
  const byJob = new Map(right.map((result) => [jobText(result.job), result]));
  const both = left.filter(({ job }) => byJob.has(jobText(job)));
  const common = new Set(both.map(({ job }) => jobText(job)));
  return {
    pairs: both.map((result) => pairOf(result, byJob.get(jobText(result.job)) as LabResult)),
    onlyA: left.filter((result) => !common.has(jobText(result.job))).map(jobName),
    onlyB: right.filter((result) => !common.has(jobText(result.job))).map(jobName),
  };
}

function pairOf(a: LabResult, b: LabResult): Pair {
  const counted = ({ job, partial, counts, cycles }: LabResult): object => ({ job, partial, counts, cycles });
  const derived = (result: LabResult): object => ({ derived: result.derived, designs: result.designs });
  const names = [jobName(a), jobName(b)];
  return {
    name: names[0] === names[1] ? names[0] : names.join(' against '),
    counters: differences(counted(a), counted(b)),
    derived: differences(derived(a), derived(b)),
    times: [],
  };
}

/** Values that differ, by path: what only one side has is a difference too. */
function differences(a: object, b: object): readonly Difference[] {
  const [left, right] = [leavesOf(a), leavesOf(b)];
  const paths = [...new Set([...left.keys(), ...right.keys()])];
  return paths.filter((path) => left.get(path) !== right.get(path)).map((path) => ({ path, a: left.get(path), b: right.get(path) }));
}

/** All values that are no tables or lists, by path. */
function leavesOf(value: object): ReadonlyMap<string, Json> {
  const leaves = new Map<string, Json>();
  const visit = (path: string, inner: Json): void => {
    if (typeof inner !== 'object' || inner === null) leaves.set(path, inner);
    else for (const [name, field] of Object.entries(inner)) visit(path === '' ? name : `${path}.${name}`, field as Json);
  };
  visit('', JSON.parse(canonicalText(value)) as JsonTable);
  return leaves;
}

// Suites of benny: times, and counters where a suite has them.

interface Suite {
  readonly name: string;
  readonly results: readonly SuiteCase[];
}

interface SuiteCase {
  readonly name: string;
  readonly counters?: JsonTable;
  readonly details?: { readonly sampleResults?: readonly number[] };
}

function isSuite(value: unknown): value is Suite {
  if (!isTable(value) || typeof value['name'] !== 'string' || !Array.isArray(value['results'])) return false;
  return value['results'].every((one: unknown) => isTable(one) && typeof one['name'] === 'string');
}

function compareSuites(a: Suite, b: Suite): Comparison {
  const byName = new Map(b.results.map((one) => [one.name, one]));
  const pairs: Pair[] = [];
  for (const one of a.results) {
    const other = byName.get(one.name);
    if (other === undefined) continue;
    const ratio = ratioOf(one, other);
    pairs.push({
      name: one.name,
      counters: differences({ ...one.counters }, { ...other.counters }),
      derived: [],
      times: ratio === null ? [] : [ratio],
    });
  }
  const names = new Set(pairs.map(({ name }) => name));
  const others = (suite: Suite): readonly string[] => suite.results.map(({ name }) => name).filter((name) => !names.has(name));
  return { pairs, onlyA: others(a), onlyB: others(b) };
}

/** null where one has no times. */
function ratioOf(a: SuiteCase, b: SuiteCase): Ratio | null {
  const [left, right] = [quartilesOf(a), quartilesOf(b)];
  if (left === null || right === null) return null;
  return { name: a.name, ratio: right[1] / left[1], least: right[0] / left[2], most: right[2] / left[0] };
}

/** Lower quartile, median, upper quartile of a case's samples: seconds for one call. */
function quartilesOf({ details }: SuiteCase): readonly [number, number, number] | null {
  const samples = details?.sampleResults;
  if (!Array.isArray(samples)) return null;
  const sorted = samples.filter((sample) => typeof sample === 'number' && sample > 0).sort((x, y) => x - y);
  if (sorted.length === 0) return null;
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))];
  return [at(0.25), at(0.5), at(0.75)];
}

// As text.

const MOST_SHOWN = 40;

function comparisonLines({ pairs, onlyA, onlyB }: Comparison): readonly string[] {
  const same = pairs.filter(({ counters, derived }) => counters.length + derived.length === 0);
  const lines: string[] = [];
  for (const { name, counters, derived } of pairs) {
    if (counters.length + derived.length === 0) continue;
    lines.push(name, ...differenceLines('counters', counters), ...differenceLines('derived', derived), '');
  }
  lines.push(`${same.length} of ${pairs.length} ${pairs.length === 1 ? 'run is' : 'runs are'} equal in every counter`);
  const times = pairs.flatMap((pair) => pair.times);
  if (times.length > 0) lines.push('', table([['TIME B / A', 'RATIO', 'INTERVAL', ''], ...times.map(ratioRow)]));
  for (const [which, names] of [['first', onlyA] as const, ['second', onlyB] as const])
    for (const name of names) lines.push(`only in the ${which}: ${name}`);
  return lines;
}

function differenceLines(title: string, all: readonly Difference[]): readonly string[] {
  if (all.length === 0) return [];
  const rows = all.slice(0, MOST_SHOWN).map(({ path, a, b }) => [path, textOf(a), '->', textOf(b), changeOf(a, b)]);
  const more = all.length > MOST_SHOWN ? [`    and ${all.length - MOST_SHOWN} more`] : [];
  return [
    `  ${title}`,
    ...table(rows)
      .split('\n')
      .map((line) => `    ${line}`),
    ...more,
  ];
}

function textOf(value: Json | undefined): string {
  return value === undefined
    ? 'none'
    : typeof value === 'number'
      ? value.toLocaleString('en', { maximumFractionDigits: 6 })
      : canonicalText(value);
}

function changeOf(a: Json | undefined, b: Json | undefined): string {
  if (typeof a !== 'number' || typeof b !== 'number' || a === 0) return '';
  const percent = (100 * (b - a)) / a;
  return `${percent > 0 ? '+' : ''}${percent.toFixed(2)} %`;
}

/** A ratio whose interval holds 1 says nothing. */
function ratioRow({ name, ratio, least, most }: Ratio): readonly string[] {
  const verdict = most < 1 ? 'faster' : least > 1 ? 'slower' : 'no difference to be seen';
  return [name, ratio.toFixed(3), `${least.toFixed(3)} .. ${most.toFixed(3)}`, verdict];
}
