/**
 * The workloads by name, each with its parameters. A stand-in (`redis-like`) is one of the patterns with the parameters
 * that give it the character of the program it is named after. It is not that program. The instructions for each access of
 * those that papers on virtualised walks measure (gups, canneal, xsbench, redis, btree, graph500, memcached) were chosen so
 * that on the machine skylake-sp-sim, with mlp 8 and pages of 4 KiB, nested walks take about the part of time that was
 * published: that number of theirs is an input here, what follows from it is not.
 */
import { btree } from './btree.ts';
import { canneal } from './canneal.ts';
import { chase } from './chase.ts';
import { churn } from './churn.ts';
import { bfs, pagerank } from './graph.ts';
import { gups, phases, uniform } from './gups.ts';
import { hashJoin } from './hash-join.ts';
import { keyValue } from './key-value.ts';
import type { Pattern, PatternSetup } from './pattern.ts';
import { stream, stride } from './sequential.ts';
import { xsbench } from './xsbench.ts';

/** A parameter: a number within bounds, or one of several words. */
export type Parameter =
  | { readonly value: number; readonly least: number; readonly most: number; readonly says: string; readonly isWhole?: boolean }
  | { readonly value: string; readonly words: readonly string[]; readonly says: string };

export interface WorkloadKind {
  readonly title: string;
  readonly params: Readonly<Record<string, Parameter>>;
  readonly make: (setup: PatternSetup) => Pattern;
}

const KIBI = 2 ** 10;
const MEBI = 2 ** 20;
const GIBI = 2 ** 30;

const whole = (value: number, least: number, most: number, says: string): Parameter => ({ value, least, most, says, isWhole: true });
const share = (value: number, says: string): Parameter => ({ value, least: 0, most: 1, says });
const footprint = (value: number): Parameter => whole(value, 4096, 2 ** 46, 'bytes of its data');
const work = (value: number): Parameter => whole(value, 1, 1e6, 'instructions for each access');
const skew: Parameter = { value: 0.99, least: 0.01, most: 8, says: 'exponent of the popularity of keys (Zipf)' };

const KINDS = {
  uniform: {
    title: 'reads of the first word of random pages',
    params: { footprint: footprint(GIBI), work: work(1), writes: share(0, 'share of writes') },
    make: uniform,
  },
  gups: {
    title: 'random updates of a table of words',
    params: { footprint: footprint(GIBI), work: work(4) },
    make: gups,
  },
  chase: {
    title: 'pointers followed round a random cycle through all nodes',
    params: { footprint: footprint(GIBI), work: work(2), node: whole(64, 8, GIBI, 'bytes of a node') },
    make: chase,
  },
  stream: { title: 'copy, scale, add, triad over three arrays', params: { footprint: footprint(GIBI), work: work(2) }, make: stream },
  stride: {
    title: 'reads at a constant distance',
    params: { footprint: footprint(GIBI), work: work(2), stride: whole(4096, 64, 2 * MEBI, 'bytes from one to the next') },
    make: stride,
  },
  phases: {
    title: 'random updates in a window that moves on',
    params: {
      footprint: footprint(4 * GIBI),
      work: work(4),
      window: whole(16 * MEBI, 4096, 2 ** 46, 'bytes of the window'),
      phase: whole(100_000, 1, 1e12, 'accesses until it moves'),
    },
    make: phases,
  },
  bfs: {
    title: 'breadth-first search of a power-law graph',
    params: {
      scale: whole(20, 4, 26, 'log2 of the vertices'),
      factor: whole(16, 1, 64, 'edges a vertex, on average'),
      work: work(3),
    },
    make: bfs,
  },
  pagerank: {
    title: 'PageRank on a power-law graph',
    params: {
      scale: whole(20, 4, 28, 'log2 of the vertices'),
      factor: whole(16, 1, 64, 'edges a vertex, on average'),
      work: work(4),
    },
    make: pagerank,
  },
  btree: {
    title: 'look-ups in a B-tree',
    params: {
      footprint: footprint(GIBI),
      work: work(6),
      fan: whole(64, 4, 512, 'entries of a node'),
      keys: { value: 'uniform', words: ['uniform', 'zipf'], says: 'which keys are looked up' },
      skew,
    },
    make: btree,
  },
  hashjoin: { title: 'hash join of two relations', params: { footprint: footprint(GIBI), work: work(6) }, make: hashJoin },
  'kv-zipf': {
    title: 'key-value store, popular keys come often',
    params: {
      footprint: footprint(GIBI),
      work: work(20),
      value: whole(1024, 100, 4096, 'bytes of a value'),
      sets: share(0.1, 'share of requests that write'),
      skew,
    },
    make: keyValue,
  },
  canneal: {
    title: 'random pairs of wired elements, some swapped',
    params: {
      footprint: footprint(GIBI),
      work: work(8),
      wires: whole(5, 0, 64, 'elements each is wired to'),
      accepted: share(0.3, 'share of swaps that are made'),
      near: share(0, 'share of wires that lead nearby'),
      reach: whole(2 * MEBI, 64, 2 ** 46, 'bytes that are nearby'),
    },
    make: canneal,
  },
  xsbench: {
    title: 'binary search in one table, gather from many',
    params: {
      footprint: footprint(GIBI),
      work: work(8),
      nuclides: whole(68, 1, 512, 'tables'),
      gathered: whole(12, 0, 512, 'tables a look-up reads'),
    },
    make: xsbench,
  },
  'pt-churn': {
    title: 'random reads while system calls change the mapping',
    params: {
      footprint: footprint(64 * MEBI),
      work: work(4),
      churned: whole(8 * MEBI, 4096, 2 ** 40, 'bytes whose mapping changes'),
      rate: { value: 1, least: 0, most: 1000, says: 'changes for each thousand accesses' },
      batch: whole(1, 1, 1024, 'pages in one change'),
      kind: { value: 'protect', words: ['remap', 'protect', 'fork', 'exec', 'all'], says: 'what changes' },
    },
    make: churn,
  },
} as const satisfies Record<string, WorkloadKind>;

type Kind = keyof typeof KINDS;

/** A pattern under another name, with other defaults. */
function standIn(kind: Kind, title: string, values: Readonly<Record<string, number | string>>): WorkloadKind {
  const { params, make }: WorkloadKind = KINDS[kind];
  const changed = Object.entries(params).map(([name, param]) => [name, name in values ? { ...param, value: values[name] } : param]);
  return { title: `${title}: ${kind} with its parameters`, params: Object.fromEntries(changed) as WorkloadKind['params'], make };
}

/** All workloads but `mix`, which is made of others. */
export const WORKLOADS: Readonly<Record<string, WorkloadKind>> = {
  ...KINDS,
  'gups-like': standIn('gups', 'HPC Challenge RandomAccess', { footprint: 64 * GIBI, work: 4 }),
  'graph500-like': standIn('bfs', 'Graph500', { scale: 22, work: 25 }),
  'pagerank-like': standIn('pagerank', 'PageRank of a graph suite', { scale: 22, work: 6 }),
  'btree-like': standIn('btree', 'B-tree index', { footprint: 32 * GIBI, work: 30, fan: 128 }),
  'hashjoin-like': standIn('hashjoin', 'hash join of a database', { footprint: 16 * GIBI, work: 6 }),
  'canneal-like': standIn('canneal', 'PARSEC canneal', { footprint: 4 * GIBI, work: 78 }),
  'xsbench-like': standIn('xsbench', 'XSBench', { footprint: 8 * GIBI, work: 56 }),
  'redis-like': standIn('kv-zipf', 'Redis', { footprint: 32 * GIBI, work: 120, value: 256 }),
  'memcached-like': standIn('kv-zipf', 'Memcached', { footprint: 16 * GIBI, work: 245, value: 1024, sets: 0.05 }),
  'liblinear-like': standIn('stride', 'LibLinear', { footprint: 8 * GIBI, stride: 64, work: 4 }),
  'mcf-like': standIn('chase', 'SPEC mcf', { footprint: 2 * GIBI, node: 64, work: 12 }),
  'astar-like': standIn('canneal', 'SPEC astar', { footprint: 256 * MEBI, work: 10, near: 0.8, reach: 64 * KIBI }),
  'omnetpp-like': standIn('canneal', 'SPEC omnetpp', { footprint: 128 * MEBI, work: 14, near: 0.5, reach: 4 * KIBI }),
  'cactusadm-like': standIn('stride', 'SPEC cactusADM', { footprint: GIBI, stride: 4160, work: 12 }),
};

export const WORKLOAD_NAMES: readonly string[] = [...Object.keys(WORKLOADS), 'mix'];
