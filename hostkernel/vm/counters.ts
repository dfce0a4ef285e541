/** What the VM counts, and why it refused last. Plain numbers: reading them costs nothing and changes nothing. */

/** Results of a fault. */
export const FAULT_OK = 0; // the access can be repeated
export const FAULT_INVALID = 1; // SIGSEGV
export const FAULT_PROTECTION = 2; // SIGBUS
export const FAULT_NO_MEMORY = 3; // no frame; nothing is wrong with the access
export const FAULT_WAIT = 4; // I/O is under way, or memory is being freed: again when Vm.waitChannel is woken

/** The names of the results, as traces show them. */
export const FAULT_NAMES: readonly string[] = ['ok', 'invalid', 'protection', 'no-memory', 'wait'];

/**
 * Why a fault was refused.
 *
 *   none              it was not
 *   no-entry          nothing is mapped at the address
 *   entry-protection  the map entry forbids the access
 *   excess-index      the virtual page table cannot express the page
 *   not-valid         an entry of it is not valid
 *   reserved          an entry of it is malformed
 *   no-read, no-write, no-exec    an entry of it forbids the access
 *   no-user           an entry of it is the supervisor's, in a format that tells user from supervisor
 *   beyond-object     a frame, of a table or of data, is not a page of the object
 *   no-frames         the machine has no free frame
 *   pager-error       the page is on the swap device, which could not deliver it
 *   wait              it was not: the page, or memory for it, is on the way
 */
export type RefusalReason =
  | 'none'
  | 'no-entry'
  | 'entry-protection'
  | 'excess-index'
  | 'not-valid'
  | 'reserved'
  | 'no-read'
  | 'no-write'
  | 'no-exec'
  | 'no-user'
  | 'beyond-object'
  | 'no-frames'
  | 'pager-error'
  | 'wait';

/** The last refusal of a space. */
export interface Refusal {
  readonly reason: RefusalReason;
  /** Whose entry refused: 0 = leaf table ... levels - 1 = root table, levels = the root itself; -1 where no walk was made. */
  readonly level: number;
}

/** Counts since the machine was made. `faults` = ok + invalid + protection + noMemory + waits. */
export class VmCounters {
  faults = 0;
  ok = 0;
  invalid = 0;
  protection = 0;
  noMemory = 0;
  /** Faults that will be made again. */
  waits = 0;
  /** Frames given to objects, each filled with zeros. */
  zeroFills = 0;
  /** Pages copied because they were to be written, and the rest of what keeps copies apart: see object.ts. */
  copies = 0;
  shadows = 0;
  collapses = 0;
  bypasses = 0;
  /** Walks of virtual page tables, and the entries they loaded. */
  walks = 0;
  walkReferences = 0;
  /** Entries of virtual page tables that a walk marked accessed or modified. */
  walkUpdates = 0;
  /** Walks that refused the access. */
  walkRefusals = 0;
}

/** What the spaces of one kind count together: those of processes, or those that vkernels have made for their guests. */
export class SpaceCounters {
  /** As VmCounters: `faults` = ok + refused + those that will be made again or had no frame. */
  faults = 0;
  ok = 0;
  refused = 0;
  walks = 0;
  walkReferences = 0;
  walkUpdates = 0;
  walkRefusals = 0;
  /** MADV_INVAL: calls, pages they named, real PTEs they dropped. */
  invalidations = 0;
  invalidatedPages = 0;
  dropped = 0;
}
