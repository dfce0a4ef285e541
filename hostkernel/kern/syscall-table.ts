/**
 * The system-call table: which function serves which number. One function a call; numbers that are not here are ENOSYS,
 * among them clone, fork and execve: a process has one thread and runs one program.
 */

import {
  SYS_brk,
  SYS_clock_gettime,
  SYS_clock_gettime64,
  SYS_close,
  SYS_exit,
  SYS_exit_group,
  SYS_ftruncate,
  SYS_getpid,
  SYS_gettid,
  SYS_ioctl,
  SYS_madvise,
  SYS_mcontrol,
  SYS_memfd_create,
  SYS_mmap,
  SYS_mprotect,
  SYS_munmap,
  SYS_pread64,
  SYS_pwrite64,
  SYS_read,
  SYS_readv,
  SYS_rt_sigaction,
  SYS_rt_sigprocmask,
  SYS_sched_yield,
  SYS_set_robust_list,
  SYS_set_tid_address,
  SYS_uname,
  SYS_vmspace_create,
  SYS_vmspace_ctl,
  SYS_vmspace_destroy,
  SYS_vmspace_mcontrol,
  SYS_vmspace_mmap,
  SYS_vmspace_munmap,
  SYS_vmspace_pread,
  SYS_vmspace_pwrite,
  SYS_write,
  SYS_writev,
} from './abi.ts';
import type { Process } from './process.ts';
import {
  sysClose,
  sysFtruncate,
  sysIoctl,
  sysMemfdCreate,
  sysPread,
  sysPwrite,
  sysRead,
  sysReadv,
  sysWrite,
  sysWritev,
} from './sys-file.ts';
import { sysBrk, sysMadvise, sysMcontrol, sysMmap, sysMprotect, sysMunmap } from './sys-mman.ts';
import {
  sysClockGettime,
  sysExit,
  sysGetpid,
  sysRtSigaction,
  sysRtSigprocmask,
  sysSchedYield,
  sysSetRobustList,
  sysUname,
} from './sys-process.ts';
import {
  sysVmspaceCreate,
  sysVmspaceCtl,
  sysVmspaceDestroy,
  sysVmspaceMcontrol,
  sysVmspaceMmap,
  sysVmspaceMunmap,
  sysVmspacePread,
  sysVmspacePwrite,
} from './sys-vmspace.ts';
import type { SyscallArgs } from './syscall-args.ts';

/** A system call: a value >= 0, -errno, RUN_PREEMPTED or NO_RESULT. */
export type SyscallHandler = (p: Process, args: SyscallArgs) => number;

export interface Syscall {
  readonly name: string;
  readonly handler: SyscallHandler;
  /**
   * How 32-bit registers hold what is one argument in the signature: `pair`: argument i is a 64-bit value in registers i
   * (low) and i + 1; `pages`: argument i counts pages of 4096 bytes. -1: neither. As Linux/riscv32 has them.
   */
  readonly pair32: number;
  readonly pages32: number;
}

/** Numbers are below this. */
export const SYSCALL_END = 512;

function call(handler: SyscallHandler, name: string, rv32: { readonly pair?: number; readonly pages?: number } = {}): Syscall {
  return { name, handler, pair32: rv32.pair ?? -1, pages32: rv32.pages ?? -1 };
}

const SYSCALLS: readonly (readonly [nr: number, syscall: Syscall])[] = [
  [SYS_ioctl, call(sysIoctl, 'ioctl')],
  [SYS_ftruncate, call(sysFtruncate, 'ftruncate', { pair: 1 })],
  [SYS_close, call(sysClose, 'close')],
  [SYS_read, call(sysRead, 'read')],
  [SYS_write, call(sysWrite, 'write')],
  [SYS_readv, call(sysReadv, 'readv')],
  [SYS_writev, call(sysWritev, 'writev')],
  [SYS_pread64, call(sysPread, 'pread64', { pair: 3 })],
  [SYS_pwrite64, call(sysPwrite, 'pwrite64', { pair: 3 })],
  [SYS_exit, call(sysExit, 'exit')],
  [SYS_exit_group, call(sysExit, 'exit_group')],
  [SYS_set_tid_address, call(sysGetpid, 'set_tid_address')],
  [SYS_set_robust_list, call(sysSetRobustList, 'set_robust_list')],
  [SYS_clock_gettime, call(sysClockGettime, 'clock_gettime')],
  [SYS_clock_gettime64, call(sysClockGettime, 'clock_gettime64')],
  [SYS_sched_yield, call(sysSchedYield, 'sched_yield')],
  [SYS_rt_sigaction, call(sysRtSigaction, 'rt_sigaction')],
  [SYS_rt_sigprocmask, call(sysRtSigprocmask, 'rt_sigprocmask')],
  [SYS_uname, call(sysUname, 'uname')],
  [SYS_getpid, call(sysGetpid, 'getpid')],
  [SYS_gettid, call(sysGetpid, 'gettid')],
  [SYS_brk, call(sysBrk, 'brk')],
  [SYS_munmap, call(sysMunmap, 'munmap')],
  [SYS_mmap, call(sysMmap, 'mmap', { pages: 5 })],
  [SYS_mprotect, call(sysMprotect, 'mprotect')],
  [SYS_madvise, call(sysMadvise, 'madvise')],
  [SYS_memfd_create, call(sysMemfdCreate, 'memfd_create')],
  [SYS_mcontrol, call(sysMcontrol, 'mcontrol')],
  [SYS_vmspace_create, call(sysVmspaceCreate, 'vmspace_create')],
  [SYS_vmspace_destroy, call(sysVmspaceDestroy, 'vmspace_destroy')],
  [SYS_vmspace_ctl, call(sysVmspaceCtl, 'vmspace_ctl')],
  [SYS_vmspace_mmap, call(sysVmspaceMmap, 'vmspace_mmap')],
  [SYS_vmspace_munmap, call(sysVmspaceMunmap, 'vmspace_munmap')],
  [SYS_vmspace_mcontrol, call(sysVmspaceMcontrol, 'vmspace_mcontrol')],
  [SYS_vmspace_pread, call(sysVmspacePread, 'vmspace_pread')],
  [SYS_vmspace_pwrite, call(sysVmspacePwrite, 'vmspace_pwrite')],
];

/** By number; null: nobody serves it. */
export const SYSCALL_TABLE: readonly (Syscall | null)[] = Array.from(
  { length: SYSCALL_END },
  (_, nr) => SYSCALLS.find(([number]) => number === nr)?.[1] ?? null,
);
