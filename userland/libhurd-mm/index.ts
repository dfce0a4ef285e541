/** libhurd-mm: the self-paging library of a task. */
export * from './interface.ts';
export { type MemoryCounters, MemoryManager, type MemoryOptions, WINDOW_PAGES } from './memory-manager.ts';
export { taskMemory } from './mmap.ts';
export { pager } from './pager.ts';
