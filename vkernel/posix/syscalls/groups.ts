/**
 * Process groups and sessions. Source: setpgid(2), getpgid(2), setsid(2), getsid(2).
 */
import { EACCES, EINVAL, EPERM, ESRCH } from '../../../hostkernel/base/errno.ts';
import type { Process } from '../process.ts';

function named(p: Process, pid: number): Process | null {
  return pid === 0 ? p : p.system.find(pid);
}

/** getpgid(pid), getsid(pid) */
export function sysGetpgid(p: Process): number {
  return named(p, p.args.int(0))?.processGroup ?? -ESRCH;
}
export function sysGetsid(p: Process): number {
  return named(p, p.args.int(0))?.session ?? -ESRCH;
}

/**
 * setpgid(pid, group): itself or a child, within its session.
 * @returns 0; -EINVAL; -ESRCH neither; -EACCES a child that has called execve; -EPERM a session leader, another session, or
 *   no such group in this one
 */
export function sysSetpgid(p: Process): number {
  const [pid, wanted] = [p.args.int(0), p.args.int(1)];
  if (wanted < 0) return -EINVAL;
  const one = named(p, pid);
  if (one === null || (one !== p && one.parent !== p)) return -ESRCH;
  if (one !== p && one.session !== p.session) return -EPERM;
  if (one !== p && one.hasExeced) return -EACCES;
  const group = wanted === 0 ? one.pid : wanted;
  if (one.session === one.pid) return group === one.processGroup ? 0 : -EPERM;
  const exists = group === one.pid || p.system.group(group).some(({ session }) => session === p.session);
  if (!exists) return -EPERM;
  one.processGroup = group;
  return 0;
}

/** setsid(). @returns the new session; -EPERM it leads a group */
export function sysSetsid(p: Process): number {
  for (const other of p.system.processes.values()) if (other.processGroup === p.pid) return -EPERM;
  p.session = p.pid;
  p.processGroup = p.pid;
  return p.pid;
}
