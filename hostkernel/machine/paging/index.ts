/** Page-table formats: descriptors, the codec and the walks derived from them. The entry file of this room. */
export {
  checkLayout,
  classesOf,
  entriesOfClass,
  frameParts,
  grantLists,
  type LayoutProblem,
  optionSettings,
  pageShiftOf,
  tableParts,
} from './check.ts';
export { compileLayout } from './compile.ts';
export {
  type AddressPart,
  type ClassPattern,
  type FaultKind,
  type Grant,
  type Hex,
  inForce,
  type LayoutDescriptor,
  type Options,
  type U64,
} from './descriptor.ts';
export { geometryOf } from './entries.ts';
export { faultCode } from './fault-code.ts';
export * from './format.ts';
export { EntryJudge, MAX_LEVELS, STEP_INDIRECT, STEP_LEAF, STEP_TABLE } from './judge.ts';
export { SV32, SV39, SV48 } from './layouts/riscv.ts';
export { VPTE_2006, VPTE_2006V, VPTE_32_NX, VPTE_64_NX } from './layouts/vpte.ts';
export { LayoutError } from './layout-error.ts';
export { LAYOUT_ALIASES, LAYOUT_NAMES, layoutByName } from './registry.ts';
export {
  compileAnyWalk,
  compileWalk,
  compileWalker,
  type HardwareWalk,
  type Walk,
  type Walker,
  type WalkerResult,
  type WalkerSetup,
  type WalkMemory,
  type WalkRegisters,
  type WalkResult,
} from './walk.ts';
export {
  rootMaskOf,
  upperBitsOf,
  WALK_ACCESS_FLAG,
  WALK_ADDRESS_SIZE,
  WALK_BUS,
  WALK_DIRTY_FLAG,
  WALK_DOMAIN,
  WALK_FAULTS,
  WALK_HIT,
  WALK_MISALIGNED,
  WALK_MISCONFIG,
  WALK_NONCANONICAL,
  WALK_NOT_LEAF,
  WALK_NOT_PRESENT,
  WALK_PROTECTION,
  WALK_RESERVED,
} from './walk-tables.ts';
export { pageSizes, type TableCost, tableCost } from './tables.ts';
export { type Condition, type Cube, findEntries, patternMatches } from './witness.ts';
export { readDescriptor } from './schema.ts';
export {
  type EntryReference,
  type ReferenceFault,
  type ReferenceHit,
  type ReferenceMemory,
  type ReferenceResult,
  type WalkRequest,
  type WalkStep,
  walkReference,
} from './reference.ts';
