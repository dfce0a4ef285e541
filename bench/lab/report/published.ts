/**
 * Published measurements of nested paging, to be set beside ours. Every number names the work it is from and how it was
 * taken over: `read` in it, or `derived` from numbers read in it. Numbers that are merely often quoted are not here.
 *
 * None of these systems is the model's machine, and no stand-in is the program it is named after: what must agree is the
 * order and the size of effects, not the digits.
 */

export interface Work {
  readonly authors: string;
  readonly title: string;
  readonly venue: string;
  readonly year: number;
}

export const WORKS = {
  bhargava: {
    authors: 'Bhargava, Serebrin, Spadini, Manne',
    title: 'Accelerating two-dimensional page walks for virtualized systems',
    venue: 'ASPLOS',
    year: 2008,
  },
  barr: { authors: 'Barr, Cox, Rixner', title: 'Translation caching: skip, don’t walk (the page table)', venue: 'ISCA', year: 2010 },
  ahn: { authors: 'Ahn, Jin, Huh', title: 'Revisiting hardware-assisted page walks for virtualized systems', venue: 'ISCA', year: 2012 },
  basu: {
    authors: 'Basu, Gandhi, Chang, Hill, Swift',
    title: 'Efficient virtual memory for big memory servers',
    venue: 'ISCA',
    year: 2013,
  },
  gandhi: { authors: 'Gandhi, Hill, Swift', title: 'Agile paging', venue: 'ISCA', year: 2016 },
  merrifield: {
    authors: 'Merrifield, Taheri',
    title: 'Performance implications of extended page tables on virtualized x86 processors',
    venue: 'VEE',
    year: 2016,
  },
  mitosis: {
    authors: 'Achermann and others',
    title: 'Mitosis: transparently self-replicating page-tables for large-memory machines (artefact)',
    venue: 'ASPLOS',
    year: 2020,
  },
  park: {
    authors: 'Park and others',
    title: 'Every walk’s a hit: making page walks single-access cache hits',
    venue: 'ASPLOS',
    year: 2022,
  },
  dmt: { authors: 'Zhang and others', title: 'Direct memory translation for virtualized clouds (artefact)', venue: 'ASPLOS', year: 2024 },
} as const satisfies Record<string, Work>;

export type WorkId = keyof typeof WORKS;

/** `Zhang and others, ASPLOS 2024`. */
export function workName(id: WorkId): string {
  const { authors, venue, year } = WORKS[id];
  return `${authors}, ${venue} ${year}`;
}

/** A number with where it is from. Fractions are of 1. */
export interface Published {
  readonly value: number;
  readonly work: WorkId;
  readonly from: 'read' | 'derived';
}

/** The programs both tables below measure, in the order of their walk fractions in a virtual machine. */
export const PROGRAMS = ['gups', 'canneal', 'xsbench', 'redis', 'btree', 'graph500', 'memcached'] as const;
export type Program = (typeof PROGRAMS)[number];

/** Of time inside a virtual machine, the part spent in two-dimensional walks; and of that, the part of the last host walk. */
export interface VirtualFractions {
  readonly walk4k: number;
  readonly walkHuge: number;
  readonly lastHost4k: number; //   derived: the sum over the host's levels
  readonly lastHostHuge: number; // derived
}

/** Source: dmt. Walk fractions are read, the shares of the last host walk derived. */
export const VIRTUAL_FRACTIONS: Readonly<Record<Program, VirtualFractions>> = {
  gups: { walk4k: 0.963, walkHuge: 0.945, lastHost4k: 0.442, lastHostHuge: 0.476 },
  canneal: { walk4k: 0.782, walkHuge: 0.415, lastHost4k: 0.47, lastHostHuge: 0.424 },
  xsbench: { walk4k: 0.614, walkHuge: 0.256, lastHost4k: 0.44, lastHostHuge: 0.352 },
  redis: { walk4k: 0.478, walkHuge: 0.447, lastHost4k: 0.427, lastHostHuge: 0.458 },
  btree: { walk4k: 0.445, walkHuge: 0.401, lastHost4k: 0.448, lastHostHuge: 0.41 },
  graph500: { walk4k: 0.204, walkHuge: 0.079, lastHost4k: 0.28, lastHostHuge: 0.211 },
  memcached: { walk4k: 0.139, walkHuge: 0.127, lastHost4k: 0.425, lastHostHuge: 0.412 },
};

/** How many times faster walks are than plain two-dimensional ones, 4 KiB pages. Source: dmt, read. */
export const DESIGN_SPEEDUPS: Readonly<Record<Program, Readonly<Record<'dmt' | 'cuckoo' | 'flattened' | 'prefetched' | 'agile', number>>>> =
  {
    gups: { dmt: 1.31, cuckoo: 1.3, flattened: 1.28, prefetched: 1.15, agile: 1.26 },
    canneal: { dmt: 1.2, cuckoo: 1.2, flattened: 1.14, prefetched: 1.11, agile: 1.16 },
    xsbench: { dmt: 1.3, cuckoo: 1.29, flattened: 1.22, prefetched: 1.17, agile: 1.22 },
    redis: { dmt: 1.36, cuckoo: 1.35, flattened: 1.31, prefetched: 1.2, agile: 1.3 },
    btree: { dmt: 1.3, cuckoo: 1.28, flattened: 1.24, prefetched: 1.18, agile: 1.23 },
    graph500: { dmt: 2.12, cuckoo: 1.77, flattened: 1.59, prefetched: 1.36, agile: 1.59 },
    memcached: { dmt: 1.4, cuckoo: 1.38, flattened: 1.32, prefetched: 1.21, agile: 1.33 },
  };

/** Of cycles on a Haswell server without virtualisation, the part spent in walks. Source: mitosis, derived. */
export const NATIVE_FRACTIONS: Readonly<Record<string, { readonly walk4k: number; readonly walkHuge: number }>> = {
  gups: { walk4k: 0.826, walkHuge: 0.471 },
  hashjoin: { walk4k: 0.597, walkHuge: 0.152 },
  canneal: { walk4k: 0.468, walkHuge: 0.23 },
  btree: { walk4k: 0.43, walkHuge: 0.344 },
  xsbench: { walk4k: 0.346, walkHuge: 0.052 },
  pagerank: { walk4k: 0.304, walkHuge: 0.052 },
  redis: { walk4k: 0.283, walkHuge: 0.257 },
  liblinear: { walk4k: 0.101, walkHuge: 0.005 },
};

/** What stands beside a walk fraction of ours, if anything was published of its like: by workload, method, and page size. */
export function publishedWalkFraction(workload: string, method: string, isHuge: boolean): Published | null {
  const program = workload.replace(/-like$/, '');
  const virtual = method === 'nested' && Object.hasOwn(VIRTUAL_FRACTIONS, program) ? VIRTUAL_FRACTIONS[program as Program] : null;
  if (virtual !== null) return { value: isHuge ? virtual.walkHuge : virtual.walk4k, work: 'dmt', from: 'read' };
  const native = method === 'native' && Object.hasOwn(NATIVE_FRACTIONS, program) ? NATIVE_FRACTIONS[program] : null;
  if (native !== null) return { value: isHuge ? native.walkHuge : native.walk4k, work: 'mitosis', from: 'derived' };
  return null;
}
