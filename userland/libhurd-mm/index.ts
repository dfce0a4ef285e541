/** libhurd-mm: the self-paging library of a task. */
export { type Heir, WINDOW_PAGES } from './container.ts';
export * from './interface.ts';
export { type MemoryCounters, MemoryManager, type MemoryOptions } from './memory-manager.ts';
export { taskMemory } from './mmap.ts';
export { pager } from './pager.ts';
