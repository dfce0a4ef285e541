/** The guest kernel for whoever boots it: the command line, tests, benches. Servers and tasks import user.ts. */
export { L4Kernel, type KernelOptions, type RunResult } from './kernel.ts';
export type { MappingCounters } from './mapping.ts';
export type { KernelCounters } from './state.ts';
export { Platform, type PlatformOptions } from '../platform/index.ts';
export * from './user.ts';
