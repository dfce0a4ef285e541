/** Nesting: a host kernel as a process of a host kernel. virtual-machine.ts is where to start reading. */
export { KERNEL_DONE, KERNEL_NO_MACHINE, kernelBody, type NestedKernel, type NestOptions, nest } from './kernel-body.ts';
export { VirtualMachine } from './virtual-machine.ts';
