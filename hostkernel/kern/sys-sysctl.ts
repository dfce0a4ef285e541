/** sysctlbyname: a few numbers of the kernel by name. */

import { EFAULT, EINVAL, ENOENT, ENOMEM, EPERM } from '../base/errno.ts';
import { copyIn, copyOut, readString } from './copy.ts';
import type { HostKernel } from './kernel.ts';
import type { Process } from './process.ts';
import type { SyscallArgs } from './syscall-args.ts';

const MAX_NAME = 256;
const INT_BYTES = 4;

/** A number that can be read, and perhaps written. */
interface Sysctl {
  readonly get: (kernel: HostKernel) => number;
  readonly set?: (kernel: HostKernel, value: number) => boolean;
}

const SYSCTLS: ReadonlyMap<string, Sysctl> = new Map<string, Sysctl>([
  ['vm.vkernel_enable', { get: (kernel) => (kernel.vm.vkernelEnable ? 1 : 0), set: setVkernelEnable }],
  ['vm.stats.vm.v_page_count', { get: (kernel) => kernel.vm.totalFrames }],
  ['vm.stats.vm.v_free_count', { get: (kernel) => kernel.vm.freeFrames }],
  ['vm.stats.vm.v_vm_faults', { get: (kernel) => kernel.vm.counters.faults }],
  ['vm.stats.vm.v_zfod', { get: (kernel) => kernel.vm.counters.zeroFills }],
  ['vm.stats.vm.v_walks', { get: (kernel) => kernel.vm.counters.walks }],
  ['hw.ncpu', { get: (kernel) => kernel.machine.harts }],
]);

/**
 * sysctlbyname(name, old, oldSize, new): reads a number into `old`, then sets it from `new`.
 * @param args name: address of a string; old, new: addresses of ints, or 0; oldSize: bytes of room at `old`, at least 4
 * @returns 4, the bytes of a value; or
 *   -ENOENT  no such name
 *   -EPERM   `new`, and the number cannot be set
 *   -EINVAL  `new` is not a value it can have; the name is longer than 256 bytes
 *   -ENOMEM  no room
 *   -EFAULT
 * Clearing vm.vkernel_enable does not disturb vkernels that run: mappings, spaces and RUN go on.
 * Source: DragonFly BSD sysctl(3). A pointer to the size would be in and out there; here the size is the result.
 */
export function sysSysctlbyname(p: Process, args: SyscallArgs): number {
  const name = readString(p, args.unsigned(0), MAX_NAME);
  if (typeof name === 'number') return name;
  const sysctl = SYSCTLS.get(name);
  if (sysctl === undefined) return -ENOENT;
  const old = args.unsigned(1);
  const from = args.unsigned(3);
  if (from !== 0 && sysctl.set === undefined) return -EPERM;
  if (old !== 0 && args.unsigned(2) < INT_BYTES) return -ENOMEM;
  const bytes = from === 0 ? null : copyIn(p, from, INT_BYTES);
  if (from !== 0 && bytes === null) return -EFAULT;
  if (old !== 0 && !copyOut(p, old, new Uint8Array(Int32Array.of(sysctl.get(p.kernel)).buffer))) return -EFAULT;
  if (bytes === null || sysctl.set === undefined) return INT_BYTES;
  return sysctl.set(p.kernel, new DataView(bytes.buffer).getInt32(0, true)) ? INT_BYTES : -EINVAL;
}

function setVkernelEnable(kernel: HostKernel, value: number): boolean {
  if (value !== 0 && value !== 1) return false;
  kernel.vm.vkernelEnable = value === 1;
  return true;
}
