/**
 * Events: what happens beside accesses and walks, and what that costs. The same names for every method, 0 where a method
 * has nothing of the kind.
 */
import type { EventCosts } from '../../hostkernel/machine/timing/index.ts';

export interface EventCounts {
  guestFaults: number; //       F: faults that the guest's kernel gets to see
  programErrors: number; //     accesses that the guest's kernel refuses: they are skipped
  hostFaults: number; //        first touches of guest-physical memory
  hiddenFaults: number; //      refused by a table that only caches the guest's: the guest does not see them
  tableWrites: number; //       W: entries that the guest's kernel wrote
  tableWriteTraps: number;
  switches: number; //          S
  switchTraps: number;
  invalidations: number; //     I: invalidations that the guest executed, of a page or a whole space
  invalidatedPages: number; //  pages they covered, where they were not of a whole space
  invalidationTraps: number;
  hostUnmaps: number; //        U: pages of guest-physical memory that the host took away
  exits: number; //             traps to the hypervisor or host kernel, of any cause
  injections: number; //        faults that it handed to the guest
  shadowFills: number; //       entries made in a table that caches the guest's
  unsyncs: number;
  resyncs: number;
  calls: number; //             calls to the host that take the place of traps
  softWalks: number; //         walks of the guest's tables by software
  softWalkReferences: number;
  pmapEnters: number;
  shootDowns: number;
  touched: number; //           T: distinct pages, by space, as large as the guest maps them
  misses: number; //            M: of all TLBs
}

export function newEvents(): EventCounts {
  return {
    guestFaults: 0,
    programErrors: 0,
    hostFaults: 0,
    hiddenFaults: 0,
    tableWrites: 0,
    tableWriteTraps: 0,
    switches: 0,
    switchTraps: 0,
    invalidations: 0,
    invalidatedPages: 0,
    invalidationTraps: 0,
    hostUnmaps: 0,
    exits: 0,
    injections: 0,
    shadowFills: 0,
    unsyncs: 0,
    resyncs: 0,
    calls: 0,
    softWalks: 0,
    softWalkReferences: 0,
    pmapEnters: 0,
    shootDowns: 0,
    touched: 0,
    misses: 0,
  };
}

/** Cycles outside of programs and of the walker. Faults are worked on by the guest's kernel, or by the host's. */
export function trapCycles(events: EventCounts, costs: EventCosts): number {
  return (
    (events.guestFaults + events.hostFaults) * costs.fault +
    events.exits * costs.exit +
    events.injections * costs.inject +
    events.shadowFills * costs.shadowFill +
    events.tableWriteTraps * costs.ptWriteEmulate +
    events.calls * costs.syscall +
    events.softWalkReferences * costs.softWalkPerLevel +
    events.pmapEnters * costs.pmapEnter +
    events.shootDowns * costs.ipi
  );
}
