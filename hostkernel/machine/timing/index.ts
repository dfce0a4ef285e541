/** The timing model: translation structures, walks over real tables, caches, cycles. The entry file of this room. */
export { ENTRY_SWAPPED, ENTRY_WIDE, entryShapeOf, TableMemory, type TableMemorySetup } from './table-memory.ts';
export { type EntryWrites, type PageSize, pageSizesOf, PageTables } from './page-tables.ts';
export {
  type DimensionSetup,
  FRONT,
  MOST_REFERENCES,
  REFUSED,
  type ShadowFront,
  type SpaceRoots,
  STAGE_LEVELS,
  STAGE_SERVERS,
  TRANSLATED,
  Translation,
  type TranslationCounters,
  type TranslationSetup,
  type WalkRecorder,
} from './translation.ts';
export { type EventCosts, type MachineConfig, type Source } from './config.ts';
export {
  type CacheConfig,
  CacheHierarchy,
  type CacheLevelConfig,
  SERVED_L1,
  SERVED_L2,
  SERVED_LLC,
  SERVED_MEMORY,
  SERVED_NAMES,
} from './data-cache.ts';
export { Dimension, type RootRegisters } from './dimension.ts';
export { NestedTlb, type NestedTlbConfig } from './nested-tlb.ts';
export { type Replacement, type Shape, type StructureCounters } from './tag-store.ts';
export { sizeName, Tlb, type TlbArrayConfig, type TlbConfig, type TlbLevelCounters } from './tlb.ts';
export { SPACES, VM_SHIFT } from './tlb-array.ts';
export {
  WALK_CACHE_KINDS,
  WalkCache,
  type WalkCacheConfig,
  type WalkCacheKind,
  type WalkCacheLevelCounters,
  type WalkedFormat,
} from './walk-cache.ts';
export { ARCHITECTURES, type Architecture, EVENT_NAMES } from './config.ts';
export { describeMachine } from './describe-machine.ts';
export type { MachineProblem } from './machine-reader.ts';
export { DEFAULT_MACHINE, isMachine, MACHINE_NAMES, machineByName, parseMachine } from './machines.ts';
export {
  type Forgotten,
  forgetPages,
  type HostStructures,
  type InvalidationEvent,
  type InvalidationName,
  INVALIDATIONS,
  type TranslationStructures,
} from './invalidation.ts';
