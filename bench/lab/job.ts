/**
 * A job: everything that decides what a run of the laboratory counts, as plain JSON. Whoever writes one may leave out
 * what has a default; what is read here is complete, and two jobs that mean the same have the same text and key.
 *
 *   {"method": "nested", "guest": "sv39", "hosts": ["sv48"], "workload": {"name": "gups"}}       written
 *   {"schema": "vkernel-lab-job/1", "method": "nested", "guest": {"layout": "sv39", "pageSizes": "4K", ... }, ... }     read
 */
import {
  either,
  integer,
  listOf,
  mapOf,
  maybe,
  normally,
  oneOf,
  options,
  type Problem,
  type Reader,
  record,
  required,
  say,
  text,
} from '../../hostkernel/base/shape.ts';
import { PAGE_SIZE } from '../../hostkernel/base/units.ts';
import {
  checkLayout,
  classesOf,
  compileLayout,
  entriesOfClass,
  frameParts,
  LAYOUT_NAMES,
  type LayoutDescriptor,
  LayoutError,
  layoutByName,
  type Options,
  type PageTableFormat,
  readDescriptor,
} from '../../hostkernel/machine/paging/index.ts';
import { describeMachine, isMachine, type MachineConfig, parseMachine } from '../../hostkernel/machine/timing/index.ts';
import { canonicalText, type JsonTable } from './canonical.ts';
import { type MemoryPolicy, memoryPolicy } from './guest/policy.ts';
import { AGILE_POLICY, type AgilePolicy } from './methods/agile-hypervisor.ts';
import { SHADOW_POLICY, type ShadowPolicy } from './methods/shadow-hypervisor.ts';
import { VPAGETABLE_POLICY, type VpagetablePolicy } from './methods/vpagetable-host.ts';
import { TRACE_FORMATS } from './traces/index.ts';
import { WorkloadError, workloadParams } from './workloads/index.ts';

export const JOB_SCHEMA = 'vkernel-lab-job/1';

export const METHOD_NAMES = ['native', 'nested', 'shadow', 'vpagetable', 'agile'] as const;
export type MethodName = (typeof METHOD_NAMES)[number];

/** One dimension: who manages which memory with which tables, how. */
export interface Side extends MemoryPolicy {
  /** A registered layout by its id, or a description. */
  readonly layout: string | LayoutDescriptor;
  /** All options of the layout. */
  readonly options: Options;
}

export interface WorkloadChoice {
  readonly name: string;
  /** All of them. */
  readonly params: Readonly<Record<string, number | string>>;
}

export interface TraceChoice {
  readonly file: string; // `-`: standard input
  /** A name out of TRACE_FORMATS; null: the trace itself tells. */
  readonly format: string | null;
  /** Of the file's bytes; null: it was a pipe. */
  readonly sha256: string | null;
}

export interface Job {
  readonly schema: typeof JOB_SCHEMA;
  readonly method: MethodName;
  readonly guest: Side;
  /** What is below the guest, nearest first; the last one has the memory. Empty: the guest has it. */
  readonly hosts: readonly Side[];
  /** Where the accesses come from: one of the two is null. */
  readonly workload: WorkloadChoice | null;
  readonly trace: TraceChoice | null;
  /** Accesses to run; null: to the end of the trace. */
  readonly accesses: number | null;
  /** Accesses before those, of which nothing is counted: what they map and cache stays. */
  readonly warmUp: number;
  readonly seed: number;
  /** Choices of the method, null where the job is of another: what a sweep says of one method leaves the others alone. */
  readonly shadow: ShadowPolicy | null;
  readonly vpagetable: VpagetablePolicy | null;
  readonly agile: AgilePolicy | null;
  /** The description of the machine, with where each number is from. */
  readonly machine: JsonTable;
}

export const DEFAULT_ACCESSES = 1_000_000;
const MOST_ACCESSES = 2 ** 50;
const MOST_SEED = 2 ** 32 - 1;
const MOST_HOSTS = 2;
const MOST_CHOICE = 2 ** 20; // of numbers that a method is told
const MOST_MEMORY = 2 ** 52; // bytes
const PLACEMENTS = ['linear', 'first-touch', 'scattered'] as const;

/** Page sizes by their place in the layout. */
const BASE = 'base';
const LARGE = 'thp';

/** Reads a job. @returns it, with nothing left out, or what is wrong with it, by field */
export function readJob(value: unknown): Job | readonly Problem[] {
  const problems: Problem[] = [];
  const written = JOB(value, '', problems);
  if (problems.length > 0) return problems;
  const job = whole(written, problems);
  return problems.length === 0 ? job : problems;
}

/** The machine of a job. */
export function machineOf(job: Job): MachineConfig {
  return parseMachine(job.machine) as MachineConfig; // readJob has read it before
}

/** Where the accesses of a job come from, as a person is told. */
export function sourceName({ workload, trace }: Pick<Job, 'workload' | 'trace'>): string {
  if (workload !== null) return workload.name;
  const { file } = trace as TraceChoice; // every job has one or the other
  return file === '-' ? 'standard input' : file;
}

/** The text that stands for a job: equal for jobs that mean the same. */
export function jobText(job: Job): string {
  return canonicalText(job);
}

/** The name of a job's result: SHA-256 of its text, in hexadecimal. */
export async function jobKey(job: Job): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(jobText(job)));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A format with the sizes of its leaves. */
interface SizedFormat {
  readonly format: PageTableFormat;
  readonly sizes: readonly number[];
}

/** Formats that were asked for, by layout and options: a sweep has many jobs and few formats, and finding sizes takes 10 ms. */
const formats = new Map<string, SizedFormat>();
const MOST_FORMATS = 256;

/** @throws LayoutError if the layout cannot be a format */
function sizedFormatOf(side: Pick<Side, 'layout' | 'options'>): SizedFormat {
  const text = canonicalText([side.layout, side.options]);
  let sized = formats.get(text);
  if (sized === undefined) {
    const format = compileLayout(descriptorOf(side), side.options);
    sized = { format, sizes: leafSizes(format.descriptor, side.options) };
    if (formats.size === MOST_FORMATS) formats.clear();
    formats.set(text, sized);
  }
  return sized;
}

/** The format of a side's tables. */
export function formatOf(side: Pick<Side, 'layout' | 'options'>): PageTableFormat {
  return sizedFormatOf(side).format;
}

/** Whether a side uses no pages but base pages. */
export function hasBasePages(side: Side): boolean {
  return parseBytes(side.pageSizes) === sizedFormatOf(side).sizes[0];
}

function descriptorOf(side: Pick<Side, 'layout'>): LayoutDescriptor {
  // readJob has looked the name up.
  return typeof side.layout === 'string' ? (layoutByName(side.layout) as LayoutDescriptor) : side.layout;
}

// Sizes of memory and pages.

const SUFFIXES = 'KMGTPE';

/** Bytes meant by `64M`, `1G`, `4096`, or null. */
export function parseBytes(text: string): number | null {
  const match = /^(\d{1,16})([KMGTPE]?)$/i.exec(text);
  if (match === null) return null;
  const bytes = Number(match[1]) * 1024 ** (SUFFIXES.indexOf((match[2] as string).toUpperCase() || ' ') + 1);
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** `bytes` as parseBytes reads it, as short as it can be said exactly. */
export function bytesName(bytes: number): string {
  let unit = -1;
  let value = bytes;
  while (value >= 1024 && value % 1024 === 0 && unit < SUFFIXES.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value}${unit < 0 ? '' : SUFFIXES[unit]}`;
}

/** Sizes that the leaves of a layout map with these options, contiguous runs among them, the smallest first; bytes. */
export function leafSizes(layout: LayoutDescriptor, options: Options): readonly number[] {
  const sizes = new Set<number>();
  for (const level of layout.levels) {
    for (const [at, pattern] of classesOf(layout, level.name, options)) {
      const isLeaf = pattern.as === 'leaf' && entriesOfClass(layout, level.name, at, options) !== null;
      if (isLeaf && frameParts(layout, level.name, pattern).length > 0) sizes.add(2 ** (pattern.pageShift ?? level.lo));
    }
    const run = layout.contiguous?.entries[level.name];
    if (run !== undefined && sizes.has(2 ** level.lo)) sizes.add(run * 2 ** level.lo);
  }
  return [...sizes].sort((a, b) => a - b);
}

// The shape, from the inside out.

const layout: Reader<string | LayoutDescriptor> = (value, path, problems) => {
  if (typeof value === 'string') {
    const known = layoutByName(value);
    if (known === null) say(problems, path, `no layout '${value.slice(0, 40)}'; there are ${LAYOUT_NAMES.join(', ')}`);
    return known?.id ?? value;
  }
  const read = readDescriptor(value);
  const wrong = 'id' in read ? errorsOf(read) : read;
  for (const problem of wrong) say(problems, problem.path === '' ? path : `${path}.${problem.path}`, problem.text);
  return 'id' in read ? read : '';
};

/** Own layouts that were looked at and are sound, as text: each job of a sweep brings its own copy. */
const soundLayouts = new Set<string>();

function errorsOf(own: LayoutDescriptor): readonly Problem[] {
  const text = canonicalText(own);
  if (soundLayouts.has(text)) return [];
  const errors = checkLayout(own).filter((problem) => problem.severity === 'error');
  if (soundLayouts.size === MOST_FORMATS) soundLayouts.clear();
  if (errors.length === 0) soundLayouts.add(text);
  return errors;
}

const truth: Reader<boolean> = (value, path, problems) => {
  if (typeof value === 'boolean') return value;
  say(problems, path, 'neither true nor false');
  return false;
};

const share: Reader<number> = (value, path, problems) => {
  if (typeof value === 'number' && value >= 0 && value <= 1) return value;
  say(problems, path, 'no number from 0 to 1');
  return 1;
};

/** A size as bytes, or as `64M`. */
const bytes: Reader<number> = (value, path, problems) => {
  const found = typeof value === 'string' ? parseBytes(value) : value;
  return integer(0, MOST_MEMORY)(found ?? value, path, problems);
};

/** What is written of a side: its layout, and what differs from the defaults, which the layouts decide. */
type Written = Pick<Side, 'layout'> & Partial<Omit<Side, 'pageSizes'>> & { readonly pageSizes?: string | number };

const WRITTEN = record<Written>({
  layout: required(layout),
  options: maybe(options),
  pageSizes: maybe((value, path, problems) =>
    typeof value === 'number' ? value : text(/^[\w+]{1,64}$/, 'page size')(value, path, problems),
  ),
  largeShare: maybe(share),
  placement: maybe(oneOf(...PLACEMENTS)),
  populate: maybe(truth),
  tableBase: maybe(bytes),
  dataBase: maybe(bytes),
  memoryBytes: maybe(bytes),
});

/** A side is a table, or the name of its layout. */
const side: Reader<Written> = (value, path, problems) => WRITTEN(typeof value === 'string' ? { layout: value } : value, path, problems);

const name = text(/^[A-Za-z0-9][\w.-]{0,63}$/, 'name: a letter or digit, then letters, digits, . _ -');

/** A machine is a description, or the name of one. It may have gone through JSON, so it is looked at as a stranger's each time. */
const machine: Reader<JsonTable> = (value, path, problems) => {
  const read = parseMachine(typeof value === 'string' ? { extends: value } : value);
  if (isMachine(read)) return describeMachine(read) as JsonTable;
  for (const { key, message } of read) say(problems, key === '' ? path : `${path}.${key}`, message);
  return {};
};

const orNull = <T>(read: Reader<T>): Reader<T | null> =>
  either<null, T>(
    () => null,
    read,
    (value) => value === null,
  );

const parameter: Reader<number | string> = (value, path, problems) => {
  if ((typeof value === 'number' && Number.isFinite(value)) || (typeof value === 'string' && value.length <= 1000)) return value;
  say(problems, path, 'neither a number nor a short text');
  return 0;
};

const WORKLOAD = record<WorkloadChoice>({ name: required(name), params: normally(mapOf(parameter), {}) });

/** A workload is a table, or its name. */
const workload: Reader<WorkloadChoice> = (value, path, problems) => {
  const before = problems.length;
  const read = WORKLOAD(typeof value === 'string' ? { name: value } : value, path, problems);
  if (problems.length > before) return read;
  try {
    return { name: read.name, params: workloadParams(read.name, read.params) };
  } catch (error) {
    if (!(error instanceof WorkloadError)) throw error;
    say(problems, path, error.message);
    return read;
  }
};

const TRACE = record<TraceChoice>({
  file: required(text(/^[^\0]{1,4096}$/s, 'path')),
  format: normally(orNull(oneOf(...Object.keys(TRACE_FORMATS))), null),
  sha256: normally(orNull(text(/^[0-9a-f]{64}$/, 'SHA-256: 64 hexadecimal digits')), null),
});

type WrittenJob = Omit<Job, 'guest' | 'hosts' | 'machine'> & {
  readonly guest: Written;
  readonly hosts: readonly Written[];
  readonly machine?: JsonTable;
};

const SHADOW = record<ShadowPolicy>({
  outOfSync: normally(truth, SHADOW_POLICY.outOfSync),
  threshold: normally(integer(1, MOST_CHOICE), SHADOW_POLICY.threshold),
  roots: normally(integer(0, MOST_CHOICE), SHADOW_POLICY.roots),
  hostUnmap: normally(oneOf<ShadowPolicy['hostUnmap']>('reverse', 'flush'), SHADOW_POLICY.hostUnmap),
});

const VPAGETABLE = record<VpagetablePolicy>({ superpages: normally(truth, VPAGETABLE_POLICY.superpages) });

const AGILE = record<AgilePolicy>({
  levels: normally(
    either(oneOf<'auto'>('auto'), integer(0, 8), (value) => typeof value === 'string'),
    AGILE_POLICY.levels,
  ),
  period: normally(integer(1, MOST_CHOICE), AGILE_POLICY.period),
  roots: normally(integer(1, MOST_CHOICE), AGILE_POLICY.roots),
});

const JOB = record<WrittenJob>({
  schema: normally(oneOf(JOB_SCHEMA), JOB_SCHEMA),
  method: required(oneOf(...METHOD_NAMES)),
  guest: required(side),
  hosts: normally(listOf(side, MOST_HOSTS), []),
  workload: normally(orNull(workload), null),
  trace: normally(orNull(TRACE), null),
  accesses: normally(orNull(integer(1, MOST_ACCESSES)), null),
  warmUp: normally(integer(0, MOST_ACCESSES), 0),
  seed: normally(integer(0, MOST_SEED), 1),
  shadow: normally(orNull(SHADOW), null),
  vpagetable: normally(orNull(VPAGETABLE), null),
  agile: normally(orNull(AGILE), null),
  machine: maybe(machine),
});

/** What only the fields together can say. @returns the whole job; where there are problems, what there is of it */
function whole(written: WrittenJob, problems: Problem[]): Job {
  const { method, trace } = written;
  const hostsWritten = method === 'native' ? [] : written.hosts; // a native guest has no host: whatever is said of one is dropped
  if ((written.workload === null) === (trace === null)) say(problems, 'workload', 'a job has a workload or a trace: one of them');
  if (method !== 'native' && hostsWritten.length === 0) say(problems, 'hosts', `${method} needs a host's layout`);
  const own = [written.guest, ...hostsWritten].map((one, i) => formatOfWritten(one, pathOf(i), problems));
  const sides = [written.guest, ...hostsWritten].map((one, i) => wholeSide(one, own[i], own[i + 1]?.format ?? null, pathOf(i), problems));
  return {
    ...written,
    guest: sides[0],
    hosts: sides.slice(1),
    accesses: written.accesses ?? (trace === null ? DEFAULT_ACCESSES : null),
    shadow: method === 'shadow' ? (written.shadow ?? SHADOW_POLICY) : null,
    vpagetable: method === 'vpagetable' ? (written.vpagetable ?? VPAGETABLE_POLICY) : null,
    agile: method === 'agile' ? agileOf(written.agile ?? AGILE_POLICY, own[0]?.format ?? null, problems) : null,
    machine: written.machine ?? machine({}, 'machine', problems),
  };
}

function agileOf(policy: AgilePolicy, guest: PageTableFormat | null, problems: Problem[]): AgilePolicy {
  if (guest !== null && policy.levels !== 'auto' && policy.levels > guest.levels) {
    say(problems, 'agile.levels', `${guest.id} has ${guest.levels} levels, of which ${policy.levels} cannot be shadowed`);
  }
  return policy;
}

const pathOf = (i: number): string => (i === 0 ? 'guest' : `hosts[${i - 1}]`);

/** The format, with what hardware can maintain of accessed and dirty bits maintained where nothing else is said. */
function formatOfWritten(written: Written, path: string, problems: Problem[]): SizedFormat | null {
  const descriptor = descriptorOf(written);
  const strange = Object.keys(written.options ?? {}).find((option) => !Object.hasOwn(descriptor.options, option));
  if (strange !== undefined)
    say(
      problems,
      `${path}.options.${strange}`,
      `no such option; ${descriptor.id} has ${Object.keys(descriptor.options).join(', ') || 'none'}`,
    );
  const maintained = descriptor.ad.set.flatMap((update) => (update.opt ?? []).map((option) => [option, 1] as const));
  try {
    return sizedFormatOf({
      layout: written.layout,
      options: { ...descriptor.options, ...Object.fromEntries(maintained), ...written.options },
    });
  } catch (error) {
    if (!(error instanceof LayoutError)) throw error;
    say(problems, `${path}.layout`, error.message);
    return null;
  }
}

function wholeSide(written: Written, sized: SizedFormat | null, below: PageTableFormat | null, path: string, problems: Problem[]): Side {
  if (sized === null) return written as Side; // there are problems
  const { format: own, sizes } = sized;
  const { layout, options: _, pageSizes = BASE, ...policy } = written;
  const full = {
    layout,
    options: own.options,
    ...memoryPolicy(own, below, policy),
    pageSizes: sizesText(pageSizes, sizes, own, path, problems),
  };
  const { tableBase, dataBase } = full;
  const granule = own.basePages * PAGE_SIZE;
  if (tableBase >= dataBase)
    say(problems, `${path}.dataBase`, `${bytesName(dataBase)} is not above the tables, at ${bytesName(tableBase)}`);
  for (const field of ['tableBase', 'dataBase', 'memoryBytes'] as const)
    if (full[field] % granule !== 0)
      say(problems, `${path}.${field}`, `${full[field]} is no multiple of the page size ${bytesName(granule)}`);
  return full;
}

/** Page sizes by their names, the smallest first. Base pages serve where no other fits: beside larger ones they go unsaid. */
function sizesText(written: string | number, sizes: readonly number[], own: PageTableFormat, path: string, problems: Problem[]): string {
  const base = sizes[0];
  const larger = own.levels > 1 && own.hasLeaf(1) ? own.span(1) * PAGE_SIZE : null;
  const chosen = new Set<number>();
  for (const word of (typeof written === 'number' ? bytesName(written) : written).split('+')) {
    const size = word === BASE ? base : word === LARGE ? larger : parseBytes(word);
    if (size !== null && sizes.includes(size)) chosen.add(size);
    else say(problems, `${path}.pageSizes`, `${own.id} has no pages of ${word}; it has ${sizes.map(bytesName).join(', ')}`);
  }
  const large = [...chosen].filter((size) => size !== base).sort((a, b) => a - b);
  return (large.length === 0 ? [base] : large).map(bytesName).join('+');
}
