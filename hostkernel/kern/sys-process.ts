/** System calls about the process itself: exit, identity, groups, yielding. */

import { EFAULT, EINVAL, EPERM, ESRCH } from '../base/errno.ts';
import { copyOut } from './copy.ts';
import type { Lwp } from './lwp.ts';
import type { Process } from './process.ts';
import { NO_RESULT } from './syscall-result.ts';
import type { SyscallArgs } from './syscall-args.ts';

const UTSNAME_FIELD = 65; // bytes of each of the six fields

/** exit(code): ends the calling lwp, and with the last one the process. Does not return. */
export function sysExit(p: Process, args: SyscallArgs, lwp: Lwp): number {
  p.kernel.life.exitLwp(lwp, args.int(0));
  p.kernel.endSlice();
  return NO_RESULT;
}

/** exit_group(code): ends the process with all its lwps. Does not return. */
export function sysExitGroup(p: Process, args: SyscallArgs): number {
  p.kernel.exit(p, args.int(0));
  return NO_RESULT;
}

/** getpid(): the process's number, > 0. */
export function sysGetpid(p: Process): number {
  return p.pid;
}

/** getppid(): the parent's number; 0: the kernel has started the process, or its parent has ended. */
export function sysGetppid(p: Process): number {
  return p.parent?.pid ?? 0;
}

/** getuid(), geteuid(), getgid(), getegid(): there is one user. @returns 0 */
export function sysGetuid(): number {
  return 0;
}

/** getpgid(pid), getsid(pid): the group or session of a process, 0: the caller. @returns its number, or -ESRCH */
export function sysGetpgid(p: Process, args: SyscallArgs): number {
  return find(p, args.int(0))?.pgid ?? -ESRCH;
}

export function sysGetsid(p: Process, args: SyscallArgs): number {
  return find(p, args.int(0))?.sid ?? -ESRCH;
}

/**
 * setpgid(pid, pgid): puts the caller or a child into a group of its session, or makes it the leader of a new one.
 * @param args pid: 0 the caller; pgid: 0 its own
 * @returns 0; or -EINVAL pgid < 0; -ESRCH neither the caller nor a child; -EPERM a session leader, or no such group here
 */
export function sysSetpgid(p: Process, args: SyscallArgs): number {
  const target = find(p, args.int(0));
  if (args.int(1) < 0) return -EINVAL;
  if (target === null || (target !== p && target.parent !== p)) return -ESRCH;
  const pgid = args.int(1) === 0 ? target.pid : args.int(1);
  if (target.sid === target.pid || target.sid !== p.sid) return -EPERM;
  if (pgid !== target.pid && ![...p.kernel.processes].some((q) => q.pgid === pgid && q.sid === p.sid)) return -EPERM;
  target.pgid = pgid;
  return 0;
}

/** setsid(): the caller leads a new session and group. @returns its number, or -EPERM it leads a group already */
export function sysSetsid(p: Process): number {
  for (const q of p.kernel.processes) if (q.pgid === p.pid) return -EPERM;
  p.sid = p.pid;
  p.pgid = p.pid;
  return p.pid;
}

/** set_robust_list(head, size): accepted; no lwp dies while it holds a lock that another waits for by this list. @returns 0, or -EINVAL wrong size */
export function sysSetRobustList(p: Process, args: SyscallArgs): number {
  return args.unsigned(1) === (p.xlen / 8) * 3 ? 0 : -EINVAL;
}

/** sched_yield(): the next process is due. A TypeScript program gives up the processor by `yield`. @returns 0 */
export function sysSchedYield(p: Process): number {
  p.kernel.endSlice();
  return 0;
}

/**
 * uname(name): six fields of 65 bytes. Linux by name, since its programs look for a Linux they know.
 * @returns 0, or -EFAULT
 */
export function sysUname(p: Process, args: SyscallArgs): number {
  const fields = ['Linux', 'hostkernel', '6.6.0', 'vkernel', `riscv${p.xlen}`, '(none)'];
  const bytes = new Uint8Array(fields.length * UTSNAME_FIELD);
  for (const [i, field] of fields.entries()) bytes.set(new TextEncoder().encode(field), i * UTSNAME_FIELD);
  return copyOut(p, args.unsigned(0), bytes) ? 0 : -EFAULT;
}

/** The process with number `pid`, 0: the caller; or null. */
function find(p: Process, pid: number): Process | null {
  return pid === 0 ? p : (p.kernel.life.processes.get(pid) ?? null);
}
