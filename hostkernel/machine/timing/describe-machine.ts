/** The description of a machine with nothing left out: what machine-reader.ts reads the same machine from. */
import type { MachineConfig } from './config.ts';
import type { CacheConfig, CacheLevelConfig } from './data-cache.ts';
import type { Shape } from './tag-store.ts';
import { sizeName, type TlbArrayConfig } from './tlb.ts';
import { MOST_LEVEL, type WalkCacheConfig } from './walk-cache.ts';

type Description = Readonly<Record<string, unknown>>;

const NONE = 'none';

/** Plain data that goes through JSON as it is. It extends nothing but what every machine does. */
export function describeMachine(machine: MachineConfig): Description {
  const { tlb, host, cache } = machine;
  return {
    extends: 'assumed',
    name: machine.name,
    description: machine.description,
    architecture: machine.architecture,
    spaceIds: machine.hasSpaceIds,
    tlb: {
      l1d: tlb.l1d.map(describeArray),
      l1i: tlb.l1i === null ? 'l1d' : tlb.l1i.map(describeArray),
      l2: tlb.l2.length === 0 ? NONE : tlb.l2.map(describeArray),
      l2i: tlb.l2i === null ? 'l2' : tlb.l2i.map(describeArray),
    },
    pwc: machine.pwc === null ? NONE : describeWalkCache(machine.pwc),
    host: {
      pwc: host.pwc === null ? NONE : describeWalkCache(host.pwc),
      ntlb: host.ntlb === null ? NONE : { ...describeShape(host.ntlb), lat: host.ntlb.latency, holds: host.ntlb.holds },
    },
    cache: cache === null ? NONE : describeCache(cache),
    referenceCycles: machine.referenceCycles,
    walkers: machine.walkers,
    events: { ...machine.events },
    seed: machine.seed,
    sources: machine.sources,
    notes: machine.notes,
  };
}

function describeShape({ entries, ways, replacement }: Shape): Description {
  return { entries, ways, replacement };
}

function describeArray(array: TlbArrayConfig): Description {
  const { splits, latency, directories } = array;
  return { sizes: array.sizes.map(sizeName), ...describeShape(array), splits, lat: latency, directories };
}

function describeWalkCache(cache: WalkCacheConfig): Description {
  const { kind, every, only } = cache;
  return {
    kind,
    every: every === null ? NONE : describeShape(every),
    ...(kind.startsWith('split-') ? { levels: describeLevels(cache) } : {}),
    only: only ?? 'all',
    lat: cache.latency,
    guestHolds: cache.guestHolds,
    leaves: cache.holdsLeaves,
  };
}

function describeLevels({ levels }: WalkCacheConfig): Description {
  const all = Array.from({ length: MOST_LEVEL }, (_, i) => i + 1);
  return Object.fromEntries(all.map((level) => [level, level in levels ? describeShape(levels[level]) : NONE]));
}

function describeCache(cache: CacheConfig): Description {
  const level = (one: CacheLevelConfig | null): unknown => {
    if (one === null) return NONE;
    return { size: one.entries * cache.lineBytes, ways: one.ways, replacement: one.replacement, lat: one.latency };
  };
  return {
    line: cache.lineBytes,
    l1: level(cache.l1),
    l2: level(cache.l2),
    llc: level(cache.llc),
    mem: { lat: cache.memoryLatency },
    walkerEnters: cache.walkerEnters,
    mlp: cache.mlp,
  };
}
