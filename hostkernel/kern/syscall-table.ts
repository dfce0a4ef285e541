/** The system-call table: which function serves which number. One function a call; numbers that are not here are ENOSYS. */

import * as abi from './abi.ts';
import { sysFutex } from './futex.ts';
import { sysClose, sysDup, sysDup3, sysFcntl, sysFstat, sysIoctl, sysLseek, sysOpenat, sysPipe2, sysUnlinkat } from './sys-descriptor.ts';
import { sysExecve } from './sys-exec.ts';
import { sysFtruncate, sysMemfdCreate, sysPread, sysPwrite, sysRead, sysReadv, sysWrite, sysWritev } from './sys-file.ts';
import {
  sysBrk,
  sysMcontrolFrames,
  sysMincore,
  sysMinherit,
  sysMlock,
  sysMlockall,
  sysMsync,
  sysMunlock,
  sysMunlockall,
  sysMadvise,
  sysMcontrol,
  sysMmap,
  sysMprotect,
  sysMunmap,
} from './sys-mman.ts';
import {
  sysExit,
  sysExitGroup,
  sysGetpgid,
  sysGetpid,
  sysGetppid,
  sysGetsid,
  sysGetuid,
  sysSchedYield,
  sysSetRobustList,
  sysSetpgid,
  sysSetsid,
  sysUname,
} from './sys-process.ts';
import {
  sysKill,
  sysRtSigaction,
  sysRtSigpending,
  sysRtSigprocmask,
  sysRtSigqueueinfo,
  sysRtSigreturn,
  sysRtSigsuspend,
  sysRtSigtimedwait,
  sysSigaltstack,
  sysTgkill,
  sysTkill,
} from './sys-signal.ts';
import { sysSysctlbyname } from './sys-sysctl.ts';
import { sysClone, sysGettid, sysSetTidAddress } from './sys-thread.ts';
import { sysClockGettime, sysClockNanosleep, sysGetitimer, sysNanosleep, sysPpoll, sysSetitimer } from './sys-time.ts';
import {
  sysVmspaceCreate,
  sysVmspaceCtl,
  sysVmspaceDelegate,
  sysVmspaceDestroy,
  sysVmspaceMcontrol,
  sysVmspaceMcontrolv,
  sysVmspaceMmap,
  sysVmspaceMunmap,
  sysVmspacePread,
  sysVmspacePwrite,
} from './sys-vmspace.ts';
import { sysWait4, sysWaitid } from './sys-wait.ts';
import type { Lwp } from './lwp.ts';
import type { Process } from './process.ts';
import type { SyscallArgs } from './syscall-args.ts';

/** A system call of `lwp`, which is of `p`: a value >= 0, -errno, RUN_PREEMPTED, NO_RESULT or ASLEEP. */
export type SyscallHandler = (p: Process, args: SyscallArgs, lwp: Lwp) => number;

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
  [abi.SYS_dup, call(sysDup, 'dup')],
  [abi.SYS_dup3, call(sysDup3, 'dup3')],
  [abi.SYS_fcntl, call(sysFcntl, 'fcntl')],
  [abi.SYS_ioctl, call(sysIoctl, 'ioctl')],
  [abi.SYS_unlinkat, call(sysUnlinkat, 'unlinkat')],
  [abi.SYS_ftruncate, call(sysFtruncate, 'ftruncate', { pair: 1 })],
  [abi.SYS_openat, call(sysOpenat, 'openat')],
  [abi.SYS_close, call(sysClose, 'close')],
  [abi.SYS_pipe2, call(sysPipe2, 'pipe2')],
  [abi.SYS_lseek, call(sysLseek, 'lseek')],
  [abi.SYS_read, call(sysRead, 'read')],
  [abi.SYS_write, call(sysWrite, 'write')],
  [abi.SYS_readv, call(sysReadv, 'readv')],
  [abi.SYS_writev, call(sysWritev, 'writev')],
  [abi.SYS_pread64, call(sysPread, 'pread64', { pair: 3 })],
  [abi.SYS_pwrite64, call(sysPwrite, 'pwrite64', { pair: 3 })],
  [abi.SYS_ppoll, call(sysPpoll, 'ppoll')],
  [abi.SYS_ppoll_time64, call(sysPpoll, 'ppoll_time64')],
  [abi.SYS_fstat, call(sysFstat, 'fstat')],
  [abi.SYS_exit, call(sysExit, 'exit')],
  [abi.SYS_exit_group, call(sysExitGroup, 'exit_group')],
  [abi.SYS_waitid, call(sysWaitid, 'waitid')],
  [abi.SYS_set_tid_address, call(sysSetTidAddress, 'set_tid_address')],
  [abi.SYS_futex, call(sysFutex, 'futex')],
  [abi.SYS_futex_time64, call(sysFutex, 'futex_time64')],
  [abi.SYS_set_robust_list, call(sysSetRobustList, 'set_robust_list')],
  [abi.SYS_nanosleep, call(sysNanosleep, 'nanosleep')],
  [abi.SYS_getitimer, call(sysGetitimer, 'getitimer')],
  [abi.SYS_setitimer, call(sysSetitimer, 'setitimer')],
  [abi.SYS_clock_gettime, call(sysClockGettime, 'clock_gettime')],
  [abi.SYS_clock_gettime64, call(sysClockGettime, 'clock_gettime64')],
  [abi.SYS_clock_nanosleep, call(sysClockNanosleep, 'clock_nanosleep')],
  [abi.SYS_clock_nanosleep_time64, call(sysClockNanosleep, 'clock_nanosleep_time64')],
  [abi.SYS_sched_yield, call(sysSchedYield, 'sched_yield')],
  [abi.SYS_kill, call(sysKill, 'kill')],
  [abi.SYS_tkill, call(sysTkill, 'tkill')],
  [abi.SYS_tgkill, call(sysTgkill, 'tgkill')],
  [abi.SYS_sigaltstack, call(sysSigaltstack, 'sigaltstack')],
  [abi.SYS_rt_sigsuspend, call(sysRtSigsuspend, 'rt_sigsuspend')],
  [abi.SYS_rt_sigaction, call(sysRtSigaction, 'rt_sigaction')],
  [abi.SYS_rt_sigprocmask, call(sysRtSigprocmask, 'rt_sigprocmask')],
  [abi.SYS_rt_sigpending, call(sysRtSigpending, 'rt_sigpending')],
  [abi.SYS_rt_sigtimedwait, call(sysRtSigtimedwait, 'rt_sigtimedwait')],
  [abi.SYS_rt_sigtimedwait_time64, call(sysRtSigtimedwait, 'rt_sigtimedwait_time64')],
  [abi.SYS_rt_sigqueueinfo, call(sysRtSigqueueinfo, 'rt_sigqueueinfo')],
  [abi.SYS_rt_sigreturn, call(sysRtSigreturn, 'rt_sigreturn')],
  [abi.SYS_setpgid, call(sysSetpgid, 'setpgid')],
  [abi.SYS_getpgid, call(sysGetpgid, 'getpgid')],
  [abi.SYS_getsid, call(sysGetsid, 'getsid')],
  [abi.SYS_setsid, call(sysSetsid, 'setsid')],
  [abi.SYS_uname, call(sysUname, 'uname')],
  [abi.SYS_getpid, call(sysGetpid, 'getpid')],
  [abi.SYS_getppid, call(sysGetppid, 'getppid')],
  [abi.SYS_getuid, call(sysGetuid, 'getuid')],
  [abi.SYS_geteuid, call(sysGetuid, 'geteuid')],
  [abi.SYS_getgid, call(sysGetuid, 'getgid')],
  [abi.SYS_getegid, call(sysGetuid, 'getegid')],
  [abi.SYS_gettid, call(sysGettid, 'gettid')],
  [abi.SYS_brk, call(sysBrk, 'brk')],
  [abi.SYS_munmap, call(sysMunmap, 'munmap')],
  [abi.SYS_clone, call(sysClone, 'clone')],
  [abi.SYS_execve, call(sysExecve, 'execve')],
  [abi.SYS_mmap, call(sysMmap, 'mmap', { pages: 5 })],
  [abi.SYS_mprotect, call(sysMprotect, 'mprotect')],
  [abi.SYS_msync, call(sysMsync, 'msync')],
  [abi.SYS_mlock, call(sysMlock, 'mlock')],
  [abi.SYS_munlock, call(sysMunlock, 'munlock')],
  [abi.SYS_mlockall, call(sysMlockall, 'mlockall')],
  [abi.SYS_munlockall, call(sysMunlockall, 'munlockall')],
  [abi.SYS_mincore, call(sysMincore, 'mincore')],
  [abi.SYS_madvise, call(sysMadvise, 'madvise')],
  [abi.SYS_wait4, call(sysWait4, 'wait4')],
  [abi.SYS_memfd_create, call(sysMemfdCreate, 'memfd_create')],
  [abi.SYS_mcontrol, call(sysMcontrol, 'mcontrol')],
  [abi.SYS_vmspace_create, call(sysVmspaceCreate, 'vmspace_create')],
  [abi.SYS_vmspace_destroy, call(sysVmspaceDestroy, 'vmspace_destroy')],
  [abi.SYS_vmspace_ctl, call(sysVmspaceCtl, 'vmspace_ctl')],
  [abi.SYS_vmspace_mmap, call(sysVmspaceMmap, 'vmspace_mmap')],
  [abi.SYS_vmspace_munmap, call(sysVmspaceMunmap, 'vmspace_munmap')],
  [abi.SYS_vmspace_mcontrol, call(sysVmspaceMcontrol, 'vmspace_mcontrol')],
  [abi.SYS_vmspace_pread, call(sysVmspacePread, 'vmspace_pread')],
  [abi.SYS_vmspace_pwrite, call(sysVmspacePwrite, 'vmspace_pwrite')],
  [abi.SYS_vmspace_mcontrolv, call(sysVmspaceMcontrolv, 'vmspace_mcontrolv')],
  [abi.SYS_mcontrol_frames, call(sysMcontrolFrames, 'mcontrol_frames', { pair: 1 })],
  [abi.SYS_minherit, call(sysMinherit, 'minherit')],
  [abi.SYS_vmspace_delegate, call(sysVmspaceDelegate, 'vmspace_delegate')],
  [abi.SYS_sysctlbyname, call(sysSysctlbyname, 'sysctlbyname')],
];

/** By number; null: nobody serves it. */
export const SYSCALL_TABLE: readonly (Syscall | null)[] = Array.from(
  { length: SYSCALL_END },
  (_, nr) => SYSCALLS.find(([number]) => number === nr)?.[1] ?? null,
);
