/** System calls that make processes and threads, and ask who one is. */

import { EAGAIN, EFAULT, EINVAL, ENOMEM, EOPNOTSUPP } from '../base/errno.ts';
import {
  CLONE_CHILD_CLEARTID,
  CLONE_CHILD_SETTID,
  CLONE_DETACHED,
  CLONE_FILES,
  CLONE_FS,
  CLONE_PARENT_SETTID,
  CLONE_SETTLS,
  CLONE_SIGHAND,
  CLONE_SYSVSEM,
  CLONE_THREAD,
  CLONE_VFORK,
  CLONE_VM,
  CSIGNAL,
  SIGNALS,
} from './abi.ts';
import { copyOut } from './copy.ts';
import { fork } from './fork.ts';
import type { Lwp } from './lwp.ts';
import type { Process } from './process.ts';
import type { SyscallArgs } from './syscall-args.ts';

const MAX_LWPS = 1024; // of a process
const MAX_PROCESSES = 4096; // of the kernel, zombies included
const SP = 2;
const TP = 4;
const A0 = 10;
/** What makes a thread. All of them, and nothing else that changes what is shared. */
const THREAD = CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
const TIDS = CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
const THREAD_FLAGS = THREAD | TIDS | CLONE_FS | CLONE_SYSVSEM | CLONE_DETACHED;
const FORK_FLAGS = TIDS | CLONE_VFORK | CLONE_VM;

/**
 * clone(flags, stack, parentTid, tls, childTid): another process, or another thread of this one.
 *
 *   no CLONE_VM, or CLONE_VM with CLONE_VFORK   fork: memory as the map entries' inheritance says, the same open files, the
 *        vmspaces of the group, one lwp. vfork is fork: the parent does not wait, and the child writes its own copy
 *   CLONE_VM, _FILES, _SIGHAND and _THREAD      a thread
 * @param args flags: CLONE_*, the exit signal in the low byte; stack: its top, 0: the parent's; parentTid, childTid: addresses
 *   of ints, looked at where the flags say so; tls: the thread pointer, likewise
 * @returns to the parent the new number, to the child 0; or
 *   -EINVAL      other flags, among them shared memory without a shared process; no such exit signal
 *   -EAGAIN      4096 processes, or 1024 threads of one
 *   -ENOMEM      no frame, too many entries
 *   -EFAULT      parentTid is not writable (then there is no child)
 *   -EOPNOTSUPP  a TypeScript program: a generator cannot be doubled. Host.createLwp makes threads
 * Source: Linux clone(2), Linux/riscv argument order.
 */
export function sysClone(p: Process, args: SyscallArgs, lwp: Lwp): number {
  const flags = args.int(0);
  if (lwp.program !== null) return -EOPNOTSUPP;
  const isThread = (flags & CLONE_THREAD) !== 0;
  if (!mayClone(flags & ~CSIGNAL, flags & CSIGNAL)) return -EINVAL;
  const parentTid = args.unsigned(2);
  const childTid = args.unsigned(4);
  const { kernel } = p;
  if (isThread ? p.lwps.length >= MAX_LWPS : kernel.life.processes.size >= MAX_PROCESSES) return -EAGAIN;
  if ((flags & CLONE_PARENT_SETTID) !== 0 && !copyOut(p, parentTid, new Uint8Array(4))) return -EFAULT;

  const stack = args.unsigned(1);
  const tls = args.unsigned(3);
  const child = isThread ? kernel.life.addLwp(p, null) : fork(kernel, lwp, flags & CSIGNAL);
  if (child === null) return -ENOMEM;
  const number = new Uint8Array(Int32Array.of(child.tid).buffer);
  child.registers.save(kernel.machine.hart);
  child.registers.setX(A0, 0);
  if (stack !== 0) child.registers.setX(SP, stack);
  if ((flags & CLONE_SETTLS) !== 0) child.registers.setX(TP, tls);
  child.blocked.copy(lwp.blocked);
  if (!isThread) {
    child.alternate.base = lwp.alternate.base;
    child.alternate.size = lwp.alternate.size;
  }
  if ((flags & CLONE_CHILD_CLEARTID) !== 0) child.clearTid = childTid;
  if ((flags & CLONE_PARENT_SETTID) !== 0) copyOut(p, parentTid, number);
  if ((flags & CLONE_CHILD_SETTID) !== 0) copyOut(child.process, childTid, number); // Linux does not mind either
  kernel.scheduler.enqueue(child);
  return child.tid;
}

/** gettid(): the calling lwp's number; of the first lwp of a process, the process's. */
export function sysGettid(_p: Process, _args: SyscallArgs, lwp: Lwp): number {
  return lwp.tid;
}

/** set_tid_address(address): where 0 is stored, and a futex woken, when the lwp ends. @returns its number */
export function sysSetTidAddress(_p: Process, args: SyscallArgs, lwp: Lwp): number {
  lwp.clearTid = args.unsigned(0);
  return lwp.tid;
}

function mayClone(flags: number, signal: number): boolean {
  if (signal > SIGNALS) return false;
  if ((flags & CLONE_THREAD) !== 0) return (flags & THREAD) === THREAD && (flags & ~THREAD_FLAGS) === 0;
  if ((flags & ~(FORK_FLAGS | CLONE_FS | CLONE_SYSVSEM)) !== 0) return false;
  return (flags & CLONE_VM) === 0 || (flags & CLONE_VFORK) !== 0;
}
