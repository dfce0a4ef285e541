/** The VM room: pages, objects, maps, spaces and the fault path. fault.ts is where to start reading. */

export {
  FAULT_INVALID,
  FAULT_NAMES,
  FAULT_NO_MEMORY,
  FAULT_OK,
  FAULT_PROTECTION,
  FAULT_WAIT,
  type Refusal,
  type RefusalReason,
  type SpaceCounters,
  VmCounters,
} from './counters.ts';
export * from './mman.ts';
export { MAX_OBJECT_PAGES, type VmObject } from './object.ts';
export { type Pager, type PagerCounters, VM_WAIT_MEMORY, type VmIo } from './pager.ts';
export { type MmapRequest, VmSpace } from './space.ts';
export { Vm } from './vm.ts';
