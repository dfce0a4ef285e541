/**
 * The shapes of published results that a model of nested paging has to reproduce: exact reference counts, orders, crossing
 * points. Each is a set of jobs and a judgement of what they gave; numbers of others stand beside ours with where they are
 * from, and a shape that does not hold is reported like one that does.
 *
 * Shapes are of steady states: address spaces are filled before, and what fills caches is not counted.
 */
import { panic } from '../../../hostkernel/base/assert.ts';
import { machineByName, type MachineConfig } from '../../../hostkernel/machine/timing/index.ts';
import { type Job, type MethodName, readJob } from '../job.ts';
import type { LabResult } from '../result.ts';
import { DESIGN_SPEEDUPS, type Program, PROGRAMS, VIRTUAL_FRACTIONS, workName } from './published.ts';

/** One line of evidence. */
export interface ShapeRow {
  readonly what: string;
  readonly published: string; // '' where nothing is published of it
  readonly source: string; //    and whom by
  readonly ours: string;
  readonly holds: boolean;
}

export interface Shape {
  readonly name: string;
  readonly title: string;
  /** Runs its jobs by `run`, in any order. */
  readonly rows: (run: (job: Job) => Promise<LabResult>) => Promise<readonly ShapeRow[]>;
}

/** How much is run. Stand-ins have footprints of their own; `footprint` replaces them where time matters more. */
export interface ShapeScale {
  readonly accesses: number;
  readonly warmUp: number;
  /** Bytes; null: each workload's own. */
  readonly footprint: number | null;
}

/** The machine published fractions are from. Data misses overlap as those of an out-of-order processor do. */
const MACHINE = 'skylake-sp-sim';
const OVERLAP = { extends: MACHINE, cache: { mlp: 8 } };
const BARE = { extends: MACHINE, pwc: 'none', host: { pwc: 'none', ntlb: 'none' }, cache: 'none' };
const LAYOUT = 'x86-64-4l';

/**
 * Part of a program's memory that transparent large pages reach. It is published of none of these runs; these parts are
 * assumed, as what explains how little large pages help some of them.
 */
const LARGE_SHARES: Readonly<Record<Program, number>> = {
  gups: 0.1,
  canneal: 0.8,
  xsbench: 0.8,
  redis: 0.1,
  btree: 0.2,
  graph500: 0.7,
  memcached: 0.1,
};
/** Those of the programs above that large pages help much, and little. */
const HELPED: readonly Program[] = ['canneal', 'xsbench', 'graph500'];
const UNHELPED: readonly Program[] = ['gups', 'redis', 'btree', 'memcached'];

interface WantedSide {
  readonly layout?: string;
  readonly pageSizes?: string;
  readonly largeShare?: number; // of memory that can be had in large pages
}

interface Wanted {
  readonly method: MethodName;
  readonly workload: string;
  readonly params?: Readonly<Record<string, number | string>> | undefined;
  readonly guest?: WantedSide;
  readonly host?: WantedSide;
  readonly machine?: object;
}

/** All shapes, at a scale. */
export function shapesAt(scale: ShapeScale): readonly Shape[] {
  const job = (wanted: Wanted): Job => jobOf(wanted, scale);
  return [
    { name: '1', title: 'References of a walk without caches', rows: async (run) => references(job, run) },
    {
      name: '2',
      title: 'With walk caches, native walks take 1 to 2 references and nested ones 2 to 6',
      rows: async (run) => cached(job, run),
    },
    { name: '3', title: 'Order of programs by walk fraction; what large pages help', rows: async (run) => order(job, run) },
    { name: '4', title: 'The last host walk is 40 % of nested walks and more, less for graph500', rows: async (run) => lastHost(job, run) },
    {
      name: '5',
      title: 'Agile paging is never slower than the better of nested and shadow, which cross',
      rows: async (run) => agile(job, run),
    },
    {
      name: '6',
      title: 'Flattened tables help little where there are caches, and by factors where there are none',
      rows: async (run) => flattened(job, run),
    },
    { name: '7', title: 'With large pages on both sides virtualisation costs little', rows: async (run) => largePages(job, run, scale) },
    {
      name: '8',
      title: 'Virtual page tables equal shadows on stable tables, win with batches, lose with single pages',
      rows: async (run) => batches(job, run),
    },
  ];
}

function jobOf({ method, workload, params = {}, guest = {}, host = {}, machine = OVERLAP }: Wanted, scale: ShapeScale): Job {
  const hasFootprint = !/^(bfs|pagerank|graph500|pagerank-like)/.test(workload);
  const size = scale.footprint === null || !hasFootprint || 'footprint' in params ? {} : { footprint: scale.footprint };
  const job = readJob({
    method,
    guest: { layout: LAYOUT, pageSizes: '4K', populate: true, ...guest },
    hosts: method === 'native' ? [] : [{ layout: LAYOUT, pageSizes: '4K', populate: true, ...host }],
    workload: { name: workload, params: { ...size, ...params } },
    accesses: scale.accesses,
    warmUp: workload === 'pt-churn' ? Math.max(scale.warmUp, LEARNING) : scale.warmUp,
    machine,
  });
  return 'schema' in job ? job : panic(`shape: ${job[0].path}: ${job[0].text}`);
}

type Jobs = (wanted: Wanted) => Job;
type Run = (job: Job) => Promise<LabResult>;

const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
const perAccess = ({ cycles, counts }: LabResult): number => cycles.total / counts.accesses;

// 1

async function references(job: Jobs, run: Run): Promise<ShapeRow[]> {
  const cases: readonly (readonly [guest: string, guestPages: string, host: string, hostPages: string, expected: number])[] = [
    [LAYOUT, '4K', LAYOUT, '4K', 24],
    [LAYOUT, '4K', LAYOUT, '2M', 19],
    [LAYOUT, '2M', LAYOUT, '4K', 19],
    [LAYOUT, '2M', LAYOUT, '2M', 15],
    ['sv39', '4K', 'sv39x4', '4K', 15],
    ['x86-64-5l', '4K', 'ept-5l', '4K', 35],
  ];
  const rows: ShapeRow[] = [];
  for (const [guest, guestPages, host, hostPages, expected] of cases) {
    const result = await run(
      job({
        method: 'nested',
        workload: 'uniform',
        params: { footprint: guestPages === '2M' ? 2 ** 33 : 2 ** 26 },
        guest: { layout: guest, pageSizes: guestPages },
        host: { layout: host, pageSizes: hostPages },
        machine: BARE,
      }),
    );
    const ours = result.derived.referencesPerWalk;
    const isPublished = expected === 24;
    rows.push({
      what: `${guest} ${guestPages} over ${host} ${hostPages}`,
      published: isPublished ? 'up to 24' : String(expected),
      source: isPublished ? workName('bhargava') : 'levels: (g + 1)(h + 1) - 1',
      ours: String(ours),
      holds: ours === expected,
    });
  }
  return rows;
}

// 2

const STANDINS = PROGRAMS.map((program) => `${program}-like`);

async function cached(job: Jobs, run: Run): Promise<ShapeRow[]> {
  const rows: ShapeRow[] = [];
  for (const workload of [...STANDINS, 'hashjoin-like', 'pagerank-like', 'liblinear-like']) {
    const native = (await run(job({ method: 'native', workload }))).derived.referencesPerWalk;
    const nested = (await run(job({ method: 'nested', workload }))).derived.referencesPerWalk;
    const isLarge = workload === 'gups-like' || workload === 'redis-like' || workload === 'btree-like';
    rows.push({
      what: `${workload}: native, nested, nested / native`,
      published: isLarge ? '1.5, 4.4 on average' : '',
      source: isLarge ? workName('park') : '',
      ours: `${native.toFixed(2)}, ${nested.toFixed(2)}, ${(nested / native).toFixed(2)}`,
      holds: native >= 1 && native <= 2 && nested >= 2 && nested <= 6 && nested / native <= 24 / 4 / 2,
    });
  }
  return rows;
}

// 3

async function order(job: Jobs, run: Run): Promise<ShapeRow[]> {
  const walk = async (program: Program, pages: WantedSide): Promise<number> =>
    (await run(job({ method: 'nested', workload: `${program}-like`, guest: { ...pages }, host: { ...pages } }))).derived.walkFraction;
  const small = new Map<Program, number>();
  const large = new Map<Program, number>();
  for (const program of PROGRAMS) {
    small.set(program, await walk(program, {}));
    large.set(program, await walk(program, { pageSizes: '2M', largeShare: LARGE_SHARES[program] }));
  }
  const at = (program: Program): number => small.get(program) as number;
  const isOrdered =
    at('gups') > at('canneal') &&
    at('canneal') > at('xsbench') &&
    at('xsbench') > Math.max(at('redis'), at('btree')) &&
    Math.min(at('redis'), at('btree')) > at('graph500') &&
    at('graph500') > at('memcached');
  const rows: ShapeRow[] = PROGRAMS.map((program) => ({
    what: `${program}: walk fraction, 4K`,
    published: percent(VIRTUAL_FRACTIONS[program].walk4k),
    source: workName('dmt'),
    ours: percent(at(program)),
    holds: isOrdered,
  }));
  for (const program of [...HELPED, ...UNHELPED]) {
    const { walk4k, walkHuge } = VIRTUAL_FRACTIONS[program];
    const left = (large.get(program) as number) / at(program);
    rows.push({
      what: `${program}: walk fraction, large pages by 4K; ${percent(LARGE_SHARES[program])} of memory large (assumed)`,
      published: (walkHuge / walk4k).toFixed(2),
      source: workName('dmt'),
      ours: left.toFixed(2),
      holds: HELPED.includes(program) ? left < 0.75 : left > 0.75,
    });
  }
  return rows;
}

// 4

async function lastHost(job: Jobs, run: Run): Promise<ShapeRow[]> {
  const rows: ShapeRow[] = [];
  const machine = machineByName(MACHINE) as MachineConfig;
  for (const program of PROGRAMS) {
    const cycles = cyclesByStage(await run(job({ method: 'nested', workload: `${program}-like` })), machine);
    const all = [...cycles.values()].reduce((sum, one) => sum + one, 0);
    const last = cycles.get('host.data') ?? 0;
    rows.push({
      what: `${program}: part of walk latency in the last host walk`,
      published: percent(VIRTUAL_FRACTIONS[program].lastHost4k),
      source: `${workName('dmt')}, derived`,
      ours: percent(last / all),
      holds: program === 'graph500' ? last / all < 0.4 : last / all >= 0.4,
    });
  }
  return rows;
}

/** Cycles of references by stage: counts by who served them, with the latencies of the machine's caches. */
function cyclesByStage({ counts }: LabResult, machine: MachineConfig): ReadonlyMap<string, number> {
  const { l1, l2, llc, memory } = latencies(machine);
  const cycles = new Map<string, number>();
  for (const { stage, servedBy } of counts.walks.byStage) {
    const own = (servedBy['l1'] ?? 0) * l1 + (servedBy['l2'] ?? 0) * l2 + (servedBy['llc'] ?? 0) * llc + (servedBy['memory'] ?? 0) * memory;
    cycles.set(stage, (cycles.get(stage) ?? 0) + own);
  }
  return cycles;
}

function latencies({ cache }: MachineConfig): Readonly<Record<'l1' | 'l2' | 'llc' | 'memory', number>> {
  if (cache === null) return panic('shape: a machine without caches has no latencies');
  return { l1: cache.l1?.latency ?? 0, l2: cache.l2?.latency ?? 0, llc: cache.llc?.latency ?? 0, memory: cache.memoryLatency };
}

// 5

/** Accesses after which agile paging has decided how to map the churning workload: its policy learns from samples of walks. */
const LEARNING = 200_000;

/** Stable array of the churning workload: large enough for misses, small enough to be warm. */
const CHURN = { footprint: 12 * 2 ** 20, kind: 'protect' };

async function agile(job: Jobs, run: Run): Promise<ShapeRow[]> {
  const rows: ShapeRow[] = [];
  const winners: string[] = [];
  for (const rate of [0, 1, 10, 100]) {
    const total: Record<string, number> = {};
    for (const method of ['nested', 'shadow', 'agile'] as const) {
      total[method] = perAccess(await run(job({ method, workload: 'pt-churn', params: { ...CHURN, rate } })));
    }
    const { nested, shadow, agile: both } = total;
    winners.push(nested < shadow ? 'nested' : 'shadow');
    rows.push({
      what: `${rate} changes per thousand accesses: cycles per access, nested, shadow, agile`,
      published: '',
      source: '',
      ours: `${nested.toFixed(1)}, ${shadow.toFixed(1)}, ${both.toFixed(1)}`,
      holds: both <= SAME * Math.min(nested, shadow),
    });
  }
  rows.push({
    what: 'shadow wins with few changes, nested with many',
    published: 'agile 12 % better than the best of both',
    source: workName('gandhi'),
    ours: winners.join(', '),
    holds: winners[0] === 'shadow' && winners.at(-1) === 'nested',
  });
  return rows;
}

/** What counts as equal: policies learn by a few traps. */
const SAME = 1.02;

// 6

async function flattened(job: Jobs, run: Run): Promise<ShapeRow[]> {
  const rows: ShapeRow[] = [];
  for (const program of PROGRAMS) {
    const { derived, designs } = await run(job({ method: 'nested', workload: `${program}-like` }));
    const speedup = designs?.['flattened']?.speedup ?? Number.NaN;
    const gain = 1 / (1 - derived.walkFraction + derived.walkFraction / speedup) - 1;
    rows.push({
      what: `${program}: walks by a flattened design, with caches: how many times faster; the whole run`,
      published: `${DESIGN_SPEEDUPS[program].flattened.toFixed(2)} (walks); 7.1 % on average (${workName('park')})`,
      source: workName('dmt'),
      ours: `${speedup.toFixed(2)}; ${percent(gain)}`,
      holds: speedup >= 1 && speedup < 2,
    });
  }
  const bare = { method: 'nested', workload: 'uniform', params: { footprint: 2 ** 26 }, machine: BARE } as const;
  const deep = (await run(job(bare))).derived.referencesPerWalk;
  const flat = (await run(job({ ...bare, guest: { layout: 'sv32' }, host: { layout: 'sv32x4' } }))).derived.referencesPerWalk;
  rows.push({
    what: 'without caches: references of 4 + 4 levels, and of 2 + 2',
    published: '24, 8',
    source: 'levels: (g + 1)(h + 1) - 1',
    ours: `${deep}, ${flat}`,
    holds: deep === 24 && flat === 8,
  });
  return rows;
}

// 7

async function largePages(job: Jobs, run: Run, scale: ShapeScale): Promise<ShapeRow[]> {
  const rows: ShapeRow[] = [];
  for (const workload of STANDINS.filter((name) => name !== 'gups-like')) {
    const loss = async (pages: WantedSide, params: Wanted['params'] = {}): Promise<number> => {
      const native = perAccess(await run(job({ method: 'native', workload, params, guest: pages })));
      return perAccess(await run(job({ method: 'nested', workload, params, guest: pages, host: pages }))) / native - 1;
    };
    const small = await loss({});
    const both = await loss({ pageSizes: '2M' }, footprintOfLarge(workload, scale));
    rows.push({
      what: `${workload}: loss by virtualisation, 4K on both sides, 2M on both sides`,
      published: 'TPC-C: 4.2 %; with large pages minimal',
      source: workName('merrifield'),
      ours: `${percent(small)}, ${percent(both)}`,
      holds: both < 0.1 && both < small,
    });
  }
  return rows;
}

/** Large pages cover a small footprint with a few TLB entries, which would show nothing. */
function footprintOfLarge(workload: string, { footprint }: ShapeScale): Wanted['params'] {
  return footprint === null || workload === 'graph500-like' ? {} : { footprint: Math.max(footprint, 2 ** 32) };
}

// 8

async function batches(job: Jobs, run: Run): Promise<ShapeRow[]> {
  const cost = async (method: MethodName, params: Readonly<Record<string, number | string>>): Promise<number> =>
    perAccess(await run(job({ method, workload: 'pt-churn', params: { ...CHURN, ...params } })));
  const rows: ShapeRow[] = [];
  const expected = [
    {
      what: 'stable tables',
      params: { rate: 0 },
      holds: (virtual: number, shadow: number) => virtual <= SAME * shadow && shadow <= SAME * virtual,
    },
    {
      what: 'changes of 64 pages at a time',
      params: { rate: 10, batch: 64 },
      holds: (virtual: number, shadow: number) => virtual < shadow,
    },
    {
      what: 'changes of one page at a time',
      params: { rate: 100, batch: 1 },
      holds: (virtual: number, shadow: number) => virtual > shadow,
    },
  ];
  for (const { what, params, holds } of expected) {
    const [virtual, shadow] = [await cost('vpagetable', params), await cost('shadow', params)];
    rows.push({
      what: `${what}: cycles per access, vpagetable, shadow`,
      published: '',
      source: '',
      ours: `${virtual.toFixed(1)}, ${shadow.toFixed(1)}`,
      holds: holds(virtual, shadow),
    });
  }
  return rows;
}
