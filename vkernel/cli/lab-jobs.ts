/**
 * What the options of `vkernel lab` mean: jobs. Options become a draft and settings of it; names of files among them are
 * read once; then each combination is a job, or one line that says why it is none.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type Job, METHOD_NAMES, readJob } from '../../bench/lab/job.ts';
import { DESIGN_NAMES } from '../../bench/lab/methods/post-processed.ts';
import {
  combinations,
  type Draft,
  type DraftValue,
  parseSetting,
  parseVariation,
  type Setting,
  type Variation,
  withSettings,
} from '../../bench/lab/settings.ts';
import { WORKLOAD_NAMES } from '../../bench/lab/workloads/index.ts';
import { isTable } from '../../hostkernel/base/shape.ts';
import { layoutByName } from '../../hostkernel/machine/paging/index.ts';
import { fileValue, isFileName, namedLayout, problemLine } from './layout-file.ts';

/** What commander hands over. */
export interface RawLabOptions {
  readonly guest: string;
  readonly host: string;
  readonly workload?: string;
  readonly methods?: string;
  readonly method?: string;
  readonly machine?: string;
  readonly accesses?: string;
  readonly warmUp?: string;
  readonly seed?: string;
  readonly guestPages?: string;
  readonly hostPages?: string;
  readonly footprint?: string;
  readonly set: readonly string[];
  readonly trace?: string;
  readonly traceFormat?: string;
  readonly vary?: readonly string[];
}

/** Jobs that were asked for, as a product. */
export interface Plan {
  readonly draft: Draft;
  readonly variations: readonly Variation[];
  readonly files: Files;
}

/** Layouts and machines out of files, by the names they were given by. */
type Files = ReadonlyMap<string, Draft>;

/** Designs that are no methods by themselves. */
const DESIGNS: readonly string[] = DESIGN_NAMES.filter((name) => name !== 'agile');

const MOST_JOBS = 100_000;
const DEFAULT_WORKLOAD = 'gups';

/** Reads the options. @returns the plan, or one line that says which is wrong */
export async function planOf(raw: RawLabOptions): Promise<Plan | string> {
  const written = draftOf(raw);
  if (typeof written === 'string') return written;
  const variations = variationsOf(raw);
  if (typeof variations === 'string') return variations;
  const trace = raw.trace === undefined ? null : await traceOf(raw.trace, raw.traceFormat);
  if (typeof trace === 'string') return `--trace: ${trace}`;
  const draft = trace === null ? written : { ...written, trace };
  if (trace !== null && raw.workload !== undefined) return '--trace: the accesses come from the trace; leave --workload out';
  const files = await filesOf(draft, variations);
  if (typeof files === 'string') return files;
  const count = variations.reduce((product, { values }) => product * values.length, 1);
  if (count > MOST_JOBS) return `--vary: ${count} combinations are too many; at most ${MOST_JOBS}`;
  return { draft, variations, files };
}

/** All jobs of a plan, in the order of its variations; a combination that makes no sense is a line instead. */
export function* jobsOf(plan: Plan): Generator<Job | string> {
  for (const settings of combinations(plan.variations)) yield jobOf(plan, settings);
}

/** The job of one combination. @returns it, or one line that says why there is none */
function jobOf({ draft, files }: Plan, settings: readonly Setting[]): Job | string {
  const changed = withSettings(withFilesOf(draft, files), settings);
  const read = readJob(withFilesOf(changed, files));
  if ('schema' in read) return read;
  const where = settings.length === 0 ? '' : ` (${settings.map(({ key, value }) => `${key}=${String(value)}`).join(' ')})`;
  return `${problemLine(read[0])}${where}${read.length > 1 ? `, and ${read.length - 1} more` : ''}`;
}

// Options.

/** A list's elements as a dimension of the product: `gups,btree`. */
function listOf(option: string, text: string, known: readonly string[]): readonly string[] | string {
  const names = text.split(',');
  const strange = names.find((name) => !known.includes(name));
  return strange === undefined ? names : `${option}: no '${strange}'; there are ${known.join(', ')}`;
}

function draftOf(raw: RawLabOptions): Draft | string {
  const hostPages = raw.hostPages?.split(',') ?? [];
  const hosts = raw.host.split(',');
  if (hostPages.length > 1 && hostPages.length !== hosts.length)
    return `--host-pages: ${hostPages.length} sizes for ${hosts.length} host${hosts.length === 1 ? '' : 's'}`;
  const draft: Draft = {
    guest: { layout: raw.guest, ...(raw.guestPages === undefined ? {} : { pageSizes: raw.guestPages }) },
    hosts: hosts.map((layout, i): Draft => ({ layout, ...(hostPages.length === 0 ? {} : { pageSizes: hostPages[i] ?? hostPages[0] }) })),
  };
  const settings: Setting[] = [];
  const shorts = { machine: raw.machine, accesses: raw.accesses, warmUp: raw.warmUp, seed: raw.seed, footprint: raw.footprint };
  for (const [key, value] of Object.entries(shorts)) {
    if (value === undefined) continue;
    const setting = parseSetting(`${key}=${value}`);
    if (typeof setting === 'string') return `--${setting.replace('warmUp', 'warm-up')}`;
    settings.push(setting);
  }
  for (const text of raw.set) {
    const setting = parseSetting(text);
    if (typeof setting === 'string') return `--set: ${setting}`;
    settings.push(setting);
  }
  return withSettings(draft, settings);
}

function variationsOf(raw: RawLabOptions): readonly Variation[] | string {
  const variations: Variation[] = [];
  if (raw.trace === undefined) {
    const workloads = listOf('--workload', raw.workload ?? DEFAULT_WORKLOAD, WORKLOAD_NAMES);
    if (typeof workloads === 'string') return workloads;
    variations.push({ key: 'workload', values: workloads });
  }
  const [option, text] = raw.methods === undefined ? ['--method', raw.method ?? METHOD_NAMES[0]] : ['--methods', raw.methods];
  const methods = listOf(option, text, [...METHOD_NAMES, ...DESIGNS]);
  if (typeof methods === 'string') return methods;
  // A design is computed from the walks of a nested run.
  const isMethod = (name: string): boolean => (METHOD_NAMES as readonly string[]).includes(name);
  variations.push({ key: 'method', values: [...new Set(methods.map((name) => (isMethod(name) ? name : 'nested')))] });
  for (const vary of raw.vary ?? []) {
    const variation = parseVariation(vary);
    if (typeof variation === 'string') return `--vary: ${variation}`;
    variations.push(variation);
  }
  const keys = variations.map(({ key }) => key);
  const twice = keys.find((key, i) => keys.indexOf(key) !== i && key !== 'workload' && key !== 'method');
  if (twice !== undefined) return `--vary: ${twice} is varied twice`;
  return variations.filter(({ key }, i) => keys.lastIndexOf(key) === i); // --vary workload=... instead of the default
}

// Files.

/** The layouts and machines that are files, read. @returns them, or one line that says what is wrong with one */
async function filesOf(draft: Draft, variations: readonly Variation[]): Promise<Files | string> {
  const files = new Map<string, Draft>();
  const varied = (name: string): readonly DraftValue[] => variations.filter(({ key }) => key === name).flatMap(({ values }) => values);
  const sides = [draft['guest'], ...hostsOf(draft)] as readonly Draft[];
  for (const name of [...sides.map((side) => side['layout']), ...varied('guest'), ...varied('host')]) {
    if (typeof name !== 'string' || layoutByName(name) !== null) continue;
    const layout = await namedLayout(name);
    if (typeof layout === 'string') return layout;
    files.set(name, layout as unknown as Draft); // a description is plain JSON
  }
  for (const name of [(draft['machine'] as Draft | undefined)?.['extends'], ...varied('machine')]) {
    if (typeof name !== 'string' || !isFileName(name)) continue;
    const machine = await fileValue(name);
    if ('problem' in machine) return `--machine: ${name}: ${machine.problem}`;
    if (!isTable(machine.value)) return `--machine: ${name}: no table of a machine`;
    files.set(name, machine.value as Draft);
  }
  return files;
}

/** The hosts, if there is a list of them: settings may have put anything there, and readJob() says what is wrong with it. */
function hostsOf(draft: Draft): readonly DraftValue[] {
  const hosts = draft['hosts'];
  return Array.isArray(hosts) ? hosts : [];
}

/** The draft with what files say in the place of their names; what is written beside a name comes after. */
function withFilesOf(draft: Draft, files: Files): Draft {
  const side = (value: DraftValue): DraftValue => {
    const layout = (value as Draft)['layout'];
    return typeof layout === 'string' && files.has(layout) ? { ...(value as Draft), layout: files.get(layout) as Draft } : value;
  };
  const machine = draft['machine'] as Draft | undefined;
  const { extends: base, ...over } = machine ?? {};
  return {
    ...draft,
    guest: side(draft['guest']),
    ...(Array.isArray(draft['hosts']) ? { hosts: hostsOf(draft).map(side) } : {}),
    ...(typeof base === 'string' && files.has(base) ? { machine: merged(files.get(base) as Draft, over) } : {}),
  };
}

/** Tables joined field by field; where both have a value, that of `over`. */
function merged(under: Draft, over: Draft): Draft {
  const joined = { ...under };
  for (const [field, value] of Object.entries(over)) {
    const before = joined[field];
    joined[field] = isTable(value) && isTable(before) ? merged(before as Draft, value as Draft) : value;
  }
  return joined;
}

// Traces.

/** The choice of a trace: a file with what identifies its bytes, or `-`, standard input. */
async function traceOf(file: string, format: string | undefined): Promise<Draft | string> {
  if (file === '-') return { file, format: format ?? null, sha256: null };
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(file)) hash.update(chunk as Uint8Array);
  } catch (error) {
    return `${file}: ${(error as NodeJS.ErrnoException).code ?? 'cannot be read'}`;
  }
  return { file, format: format ?? null, sha256: hash.digest('hex') };
}
