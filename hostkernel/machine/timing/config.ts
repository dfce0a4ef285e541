/**
 * What a machine is for the timing model, all keys there: read from a person's file or a preset by parse-machine.ts. Numbers
 * are plain here; where each comes from is beside them in `sources`, by the path of its key.
 */
import type { CacheConfig } from './data-cache.ts';
import type { NestedTlbConfig } from './nested-tlb.ts';
import type { TlbConfig } from './tlb.ts';
import type { WalkCacheConfig } from './walk-cache.ts';

/** Cycles of one event of each kind, beside the references and faults that the model counts itself. */
export interface EventCosts {
  readonly exit: number; //             from the guest to its hypervisor and back
  readonly inject: number; //           a fault handed on to the guest
  readonly shadowFill: number; //       an entry written into a shadow table
  readonly ptWriteEmulate: number; //   a guest's write to a protected table carried out for it
  readonly fault: number; //            a fault taken by the kernel that resolves it
  readonly syscall: number;
  readonly softWalkPerLevel: number; // one level of a walk in software
  readonly pmapEnter: number; //        an entry written into a real page table
  readonly ipi: number; //              one other processor interrupted, as for a shoot-down
}

/** Where a number is from. What is not verified is an assumption, and reports mark it. */
export interface Source {
  readonly source: string;
  readonly verified: boolean;
}

export interface MachineConfig {
  readonly name: string;
  readonly description: string;
  /** What a change of the current space drops where there are no ids: everything but global entries. */
  readonly hasSpaceIds: boolean;
  /** Which rules say what an invalidation drops: see invalidation.ts. */
  readonly architecture: 'x86' | 'riscv' | 'arm';
  readonly tlb: TlbConfig;
  readonly pwc: WalkCacheConfig | null; // of dimension 0
  readonly host: { readonly pwc: WalkCacheConfig | null; readonly ntlb: NestedTlbConfig | null }; // of each further dimension
  readonly cache: CacheConfig | null; // null: a reference costs `referenceCycles`, data costs nothing
  readonly referenceCycles: number;
  /** Walks that the hardware can do at once. The model blocks: one access is over before the next begins, so more than one changes nothing. */
  readonly walkers: number;
  readonly events: EventCosts;
  /** By path of a number: tlb.l1d.0.entries, cache.l2.latency, events.exit ... */
  readonly sources: Readonly<Record<string, Source>>;
  /** What a reader of results must know of this machine as it is modelled. */
  readonly notes: readonly string[];
  readonly seed: number; // of random replacement
}
