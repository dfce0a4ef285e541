/** The kern room: processes of the host kernel. kernel.ts is where to start reading; programs import host.ts instead. */

export type { ExecRefusal } from './exec.ts';
export { describeExit, type Exited, type ExitStatus, type Killed, signalName } from './exit-status.ts';
export * from './host.ts';
export { HostKernel, type HostKernelOptions, type KernelCounters } from './kernel.ts';
export type { Process } from './process.ts';
