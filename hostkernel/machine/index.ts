/** The simulated machine: what a kernel builds on. */

export {
  BLOCK_SIZE,
  type BlockDevice,
  type BlockMemory,
  type BlockRequest,
  type BlockStore,
  DelayedDisk,
  type DiskTiming,
  type FaultPlan,
  FaultyDevice,
  memoryDisk,
  type PolledDisk,
  polledDisk,
  SparseStore,
} from './block-device.ts';
export { Clock } from './clock.ts';
export { Console, type ConsoleIo } from './console.ts';
export type { Hardware, Processor, RamView, TranslationContext, WalkCounters } from './hardware.ts';
export { Machine, type MachineOptions } from './machine.ts';
export { type AccessWatcher, Mmu, MmuContext, TRANSLATE_ACCESS_FAULT, TRANSLATE_PAGE_FAULT } from './mmu.ts';
export * from './paging/index.ts';
export { Ram } from './ram.ts';
export { Hart } from './riscv/hart.ts';
export * from './riscv/causes.ts';
