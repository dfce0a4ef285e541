/** Machines for tests: nothing costs anything, every structure is fully associative with true LRU, and only what is asked for exists. */
import type { MachineConfig } from '../../../../hostkernel/machine/timing/config.ts';
import type { CacheConfig, Shape, TlbArrayConfig, WalkCacheConfig } from '../../../../hostkernel/machine/timing/index.ts';

export interface BareMachine {
  readonly l1?: number; //      entries
  readonly l2?: number; //      0: there is none
  readonly pwc?: number; //     entries per level; 0: there is none
  readonly hostPwc?: number;
  readonly ntlb?: number;
  readonly cache?: CacheConfig;
  readonly architecture?: MachineConfig['architecture'];
  readonly hasSpaceIds?: boolean;
  readonly walkCaches?: Partial<WalkCacheConfig>; // of both, instead of a split translation cache of guest-physical pointers
  readonly ntlbHolds?: 'tables' | 'all';
}

const EVERY_SIZE = Array.from({ length: 48 }, (_, i) => 12 + i);

export function full(entries: number): Shape {
  return { entries, ways: 'full', replacement: 'lru' };
}

export function bareMachine(wanted: BareMachine = {}): MachineConfig {
  const { l1 = 1, l2 = 0, pwc = 0, hostPwc = 0, ntlb = 0, cache = null } = wanted;
  const array = (entries: number): TlbArrayConfig => ({
    ...full(entries),
    sizes: EVERY_SIZE,
    splits: true,
    latency: 0,
    directories: false,
  });
  const walkCache = (entries: number): WalkCacheConfig | null =>
    entries === 0
      ? null
      : {
          kind: 'split-translation',
          every: full(entries),
          levels: {},
          only: null,
          latency: 0,
          guestHolds: 'gpa',
          holdsLeaves: false,
          ...wanted.walkCaches,
        };
  return {
    name: 'bare',
    description: '',
    hasSpaceIds: wanted.hasSpaceIds ?? true,
    architecture: wanted.architecture ?? 'riscv',
    tlb: { l1d: [array(l1)], l1i: null, l2: l2 === 0 ? [] : [array(l2)], l2i: null },
    pwc: walkCache(pwc),
    host: {
      pwc: walkCache(hostPwc),
      ntlb: ntlb === 0 ? null : { ...full(ntlb), holds: wanted.ntlbHolds ?? 'all', latency: 0 },
    },
    cache,
    referenceCycles: 1,
    walkers: 1,
    events: { exit: 0, inject: 0, shadowFill: 0, ptWriteEmulate: 0, fault: 0, syscall: 0, softWalkPerLevel: 0, pmapEnter: 0, ipi: 0 },
    sources: {},
    notes: [],
    seed: 1,
  };
}
