/**
 * What methods of translation have in common: how they are made, and what they count. A method is one way to run one
 * guest: native, nested, shadow, vpagetable, agile. What happens to a record is told in access-loop.ts.
 */
import type { PageTableFormat } from '../../../hostkernel/machine/paging/index.ts';
import type { MachineConfig } from '../../../hostkernel/machine/timing/index.ts';
import type { EventCounts } from '../events.ts';
import type { GuestPolicy, MemoryPolicy } from '../guest/policy.ts';
import type { Batch } from '../stream.ts';
import type { DesignCounts } from './post-processed.ts';
import type { AgilePolicy } from './agile-hypervisor.ts';
import type { ShadowPolicy } from './shadow-hypervisor.ts';
import type { VpagetablePolicy } from './vpagetable-host.ts';

export interface Method {
  readonly name: string;
  /**
   * Takes the records of `batch`. Hot.
   * @throws LabError if a record makes no sense; those before it have been taken, it and those after it have not
   */
  consume(batch: Batch): void;
  /** What was counted so far. */
  finish(): MethodCounts;
}

export type MethodFactory = (setup: MethodSetup) => Method;

export interface MethodSetup {
  readonly machine: MachineConfig;
  readonly guest: PageTableFormat;
  /** Formats of the tables below the guest's, the guest's own host first: none, one, or two where a host is a guest itself. */
  readonly hosts: readonly PageTableFormat[];
  readonly guestPolicy: GuestPolicy;
  readonly hostPolicies: readonly MemoryPolicy[]; // one for each of `hosts`
  readonly seed: number;
  /** Compute from each walk what other designs would make of it: of nested paging with one host. */
  readonly withDesigns?: boolean;
  /** Choices of methods that have some; absent or null: their usual ones. */
  readonly shadow?: ShadowPolicy | null;
  readonly vpagetable?: VpagetablePolicy | null;
  readonly agile?: AgilePolicy | null;
  /** As GuestKernel's. */
  readonly filling?: (done: number, pages: number) => void;
}

// -------------------------------------------------------------------------------------------------------------- counts

/** What a method counted. Numbers only, the same for the same records. */
export interface MethodCounts {
  readonly records: number;
  readonly accesses: number; // those to two pages count once
  readonly reads: number;
  readonly writes: number; // read-modify-writes among them
  readonly fetches: number;
  readonly instructions: number;
  /** Counters of TLBs, walk caches and data caches, by the structure's name. */
  readonly structures: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly walks: WalkCounts;
  readonly events: EventCounts;
  readonly cycles: CycleCounts;
  /** Other designs, computed from the same walks, by name. */
  readonly designs?: Readonly<Record<string, DesignCounts>>;
}

export interface WalkCounts {
  readonly count: number;
  readonly references: number;
  readonly perWalk: readonly number[]; // [r]: walks of r references
  readonly byStage: readonly StageCounts[];
}

/** References to the entries of one level of one table. */
export interface StageCounts {
  readonly stage: string; // as the translation calls it: table, host.tables for entries of the guest's, host.data ...
  readonly level: number;
  readonly servedBy: Readonly<Record<'l1' | 'l2' | 'llc' | 'memory', number>>;
}

export interface CycleCounts {
  readonly work: number; // a cycle for an instruction
  readonly tlb: number;
  readonly walk: number;
  readonly data: number;
  readonly traps: number;
  readonly total: number;
}
