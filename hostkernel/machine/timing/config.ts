/**
 * What a machine is for the timing model, all keys there: read from a person's file or a preset by machine-reader.ts. Numbers
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

export const EVENT_NAMES = [
  'exit',
  'inject',
  'shadowFill',
  'ptWriteEmulate',
  'fault',
  'syscall',
  'softWalkPerLevel',
  'pmapEnter',
  'ipi',
] as const satisfies readonly (keyof EventCosts)[];

/** Where a number is from. What is not verified is an assumption, and reports mark it. */
export interface Source {
  readonly source: string;
  readonly verified: boolean;
}

export interface MachineConfig {
  readonly name: string;
  readonly description: string;
  /** Which rules say what an invalidation drops: see invalidation.ts. */
  readonly architecture: Architecture;
  /** Whether entries carry address-space ids. Without them a change of the current space drops all but global entries. */
  readonly hasSpaceIds: boolean;
  readonly tlb: TlbConfig;
  readonly pwc: WalkCacheConfig | null; // of dimension 0
  readonly host: { readonly pwc: WalkCacheConfig | null; readonly ntlb: NestedTlbConfig | null }; // of each further dimension
  readonly cache: CacheConfig | null; // null: every reference costs referenceCycles, and data nothing
  readonly referenceCycles: number;
  /**
   * Walks that the hardware can do at once. This model blocks: an access is over before the next one begins, so there is
   * never more than one walk, and the number changes nothing. It is kept for what it says of the machine; see notes.
   */
  readonly walkers: number;
  readonly events: EventCosts;
  /** Where each value is from, by the path of its key: tlb.l1d.4K.entries, cache.l2.lat, events.exit ... */
  readonly sources: Readonly<Record<string, Source>>;
  /** What a reader of results must know of the machine as it is modelled. */
  readonly notes: readonly string[];
  readonly seed: number; // of random replacement
}

export const ARCHITECTURES = ['x86', 'riscv', 'arm'] as const;
export type Architecture = (typeof ARCHITECTURES)[number];
