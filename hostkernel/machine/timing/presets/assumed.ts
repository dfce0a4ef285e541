/**
 * What is assumed of a machine where its source says nothing: every preset, and every description that extends nothing,
 * begins here. All of it is our own choice, of the order that published machines have, and none of it is verified.
 */
import type { MachineConfig, Source } from '../config.ts';

function assumed(what: string): Source {
  return { source: `assumption: ${what}`, verified: false };
}

const ORDINARY = assumed('of the order of published machines');
const EVENT = assumed('of the order of measurements, which differ tenfold between generations of processors');

/** Costs of page-table operations of a kernel without virtualisation, cycles: by call of one 4K page, and by page over 2048. */
export const OPERATION_ANCHORS = {
  source: 'Mitosis, ASPLOS 2020, artefact, table 5, without replication: Haswell-class server',
  map: { one: 2500, perPage: 1540 },
  protect: { one: 940, perPage: 60 },
  unmap: { one: 2130, perPage: 310 },
} as const;

/** What a call costs beside its pages: protecting touches nothing but entries. */
const CALL = OPERATION_ANCHORS.protect.one - OPERATION_ANCHORS.protect.perPage;
const CALL_SOURCE = assumed(`protecting one page (940) less protecting a page among many (60); ${OPERATION_ANCHORS.source}`);
/** Finding an entry, writing it and accounting for it, without the memory behind it. */
const ENTER_SOURCE = assumed(`as unmapping a page among many (310); ${OPERATION_ANCHORS.source}`);

const LRU = 'lru';

export const ASSUMED: MachineConfig = {
  name: 'assumed',
  description: 'no machine: what is assumed where a source says nothing',
  architecture: 'x86',
  hasSpaceIds: true,
  tlb: {
    l1d: [
      { sizes: [12], entries: 64, ways: 4, replacement: LRU, splits: true, latency: 0, directories: false },
      { sizes: [21], entries: 32, ways: 4, replacement: LRU, splits: true, latency: 0, directories: false },
      { sizes: [30], entries: 4, ways: 'full', replacement: LRU, splits: true, latency: 0, directories: false },
    ],
    l1i: [
      { sizes: [12], entries: 64, ways: 8, replacement: LRU, splits: true, latency: 0, directories: false },
      { sizes: [21], entries: 8, ways: 'full', replacement: LRU, splits: true, latency: 0, directories: false },
    ],
    l2: [{ sizes: [12, 21], entries: 1536, ways: 12, replacement: LRU, splits: false, latency: 7, directories: false }],
    l2i: null,
  },
  pwc: {
    kind: 'split-translation',
    every: null,
    levels: {
      1: { entries: 32, ways: 4, replacement: LRU },
      2: { entries: 4, ways: 'full', replacement: LRU },
      3: { entries: 2, ways: 'full', replacement: LRU },
      4: { entries: 1, ways: 'full', replacement: LRU },
    },
    only: null,
    latency: 1,
    guestHolds: 'gpa',
    holdsLeaves: false,
  },
  host: {
    pwc: {
      kind: 'split-translation',
      every: null,
      levels: {
        1: { entries: 32, ways: 4, replacement: LRU },
        2: { entries: 4, ways: 'full', replacement: LRU },
        3: { entries: 2, ways: 'full', replacement: LRU },
        4: { entries: 1, ways: 'full', replacement: LRU },
      },
      only: null,
      latency: 1,
      guestHolds: 'gpa',
      holdsLeaves: false,
    },
    ntlb: { entries: 64, ways: 4, replacement: LRU, holds: 'all', latency: 1 },
  },
  cache: {
    lineBytes: 64,
    l1: { entries: 512, ways: 8, replacement: LRU, latency: 4 }, //     32 KiB
    l2: { entries: 8192, ways: 8, replacement: LRU, latency: 14 }, //  512 KiB
    llc: { entries: 131072, ways: 16, replacement: LRU, latency: 45 }, // 8 MiB
    memoryLatency: 200,
    walkerEnters: 'l1',
    mlp: 1,
  },
  referenceCycles: 0,
  walkers: 1,
  events: {
    exit: 1500,
    inject: 500,
    shadowFill: 310,
    ptWriteEmulate: 2000,
    fault: 1000,
    syscall: CALL,
    softWalkPerLevel: 30,
    pmapEnter: 310,
    ipi: 2000,
  },
  sources: {
    spaceIds: assumed('kernels use the ids that processors have'),
    referenceCycles: assumed('only counts matter without caches'),
    walkers: assumed('one'),
    seed: assumed('any will do'),
    ...sourcesOf('tlb.l1d.4K', ['sizes', 'entries', 'ways']),
    ...sourcesOf('tlb.l1d.2M', ['sizes', 'entries', 'ways']),
    ...sourcesOf('tlb.l1d.1G', ['sizes', 'entries', 'ways']),
    ...sourcesOf('tlb.l1i.4K', ['sizes', 'entries', 'ways']),
    ...sourcesOf('tlb.l1i.2M', ['sizes', 'entries', 'ways']),
    ...sourcesOf('tlb.l2.4K+2M', ['sizes', 'entries', 'ways', 'lat']),
    'tlb.l2.4K+2M.splits': assumed('a second level does not hold 1G pages in parts'),
    ...sourcesOf('pwc', ['kind', 'lat']),
    ...sourcesOf('host.pwc', ['kind', 'lat']),
    ...sourcesOfLevels('pwc'),
    ...sourcesOfLevels('host.pwc'),
    'pwc.guestHolds': assumed('pointers as the guest wrote them'),
    'pwc.leaves': assumed('leaves go into the TLB only'),
    'host.pwc.leaves': assumed('leaves go into the TLB only'),
    ...sourcesOf('host.ntlb', ['entries', 'ways', 'lat', 'holds']),
    ...sourcesOf('cache', ['line', 'mem.lat']),
    ...sourcesOf('cache.l1', ['size', 'ways', 'lat']),
    ...sourcesOf('cache.l2', ['size', 'ways', 'lat']),
    ...sourcesOf('cache.llc', ['size', 'ways', 'lat']),
    'cache.walkerEnters': assumed('entries are fetched as data is'),
    'cache.mlp': assumed('data misses do not overlap'),
    'events.exit': EVENT,
    'events.inject': EVENT,
    'events.shadowFill': ENTER_SOURCE,
    'events.ptWriteEmulate': EVENT,
    'events.fault': EVENT,
    'events.syscall': CALL_SOURCE,
    'events.softWalkPerLevel': EVENT,
    'events.pmapEnter': ENTER_SOURCE,
    'events.ipi': EVENT,
  },
  notes: [],
  seed: 1,
};

function sourcesOf(key: string, names: readonly string[]): Readonly<Record<string, Source>> {
  return Object.fromEntries(names.map((name) => [`${key}.${name}`, ORDINARY]));
}

function sourcesOfLevels(key: string): Readonly<Record<string, Source>> {
  return Object.assign({}, ...[1, 2, 3, 4].map((level) => sourcesOf(`${key}.levels.${level}`, ['entries', 'ways']))) as Readonly<
    Record<string, Source>
  >;
}
