/** System calls that ask what has become of children. */

import { ECHILD, EFAULT, EINVAL } from '../base/errno.ts';
import {
  CLD_CONTINUED,
  CLD_EXITED,
  CLD_KILLED,
  CLD_STOPPED,
  P_ALL,
  P_PGID,
  P_PID,
  SIGCHLD,
  SIGCONT,
  WCONTINUED,
  WEXITED,
  WNOHANG,
  WNOWAIT,
  WUNTRACED,
} from './abi.ts';
import { copyOut } from './copy.ts';
import { INTERRUPT_RESTARTS, type Lwp } from './lwp.ts';
import type { Process } from './process.ts';
import { writeInfo } from './signal-frame.ts';
import { ASLEEP } from './syscall-result.ts';
import type { SyscallArgs } from './syscall-args.ts';

const RUSAGE_WORDS = 18; // of a struct rusage: two times of two words, and 14 counts
const INFO_BYTES = 128;

/** What has become of a child. */
interface News {
  readonly child: Process;
  readonly code: number; // CLD_*
  readonly value: number; // exit code or signal
}

/**
 * wait4(pid, status, options, usage): the next child that has ended, or stopped, or gone on.
 * @param args pid: > 0 that child; -1 any; 0 one of the caller's group; < -1 of the group -pid; status: address of an int or 0;
 *   options: WNOHANG, WUNTRACED, WCONTINUED; usage: address of a struct rusage or 0, filled with zeros
 * @returns the child's number; 0 with WNOHANG: not yet; or -ECHILD no such child; -EINVAL; -EFAULT (the child is gone); -EINTR
 * Waits: for a child. Source: POSIX waitpid.
 */
export function sysWait4(p: Process, args: SyscallArgs, lwp: Lwp): number {
  const pid = args.int(0);
  const options = args.int(2);
  if ((options & ~(WNOHANG | WUNTRACED | WCONTINUED)) !== 0) return -EINVAL;
  const group = pid === 0 ? p.pgid : -pid;
  const news = waitFor(p, lwp, {
    matches: (child) => (pid > 0 ? child.pid === pid : pid === -1 || child.pgid === group),
    options: options | WEXITED,
  });
  if (typeof news === 'number') return news;
  const status = args.unsigned(1);
  const usage = args.unsigned(3);
  const { pid: number } = news.child;
  if (status !== 0 && !copyOut(p, status, new Uint8Array(Int32Array.of(statusOf(news)).buffer))) return -EFAULT;
  if (usage !== 0 && !copyOut(p, usage, new Uint8Array((RUSAGE_WORDS * p.xlen) / 8))) return -EFAULT;
  return number;
}

/**
 * waitid(kind, id, info, options, usage): wait4 with a siginfo_t; WNOWAIT leaves the child as it is.
 * @param args kind: P_ALL, P_PID, P_PGID; id: which; info: address of a siginfo_t or 0; options: at least one of WEXITED,
 *   WUNTRACED, WCONTINUED; usage: address or 0
 * @returns 0, with si_pid 0 if WNOHANG found nothing; or -ECHILD; -EINVAL; -EFAULT; -EINTR
 * Waits: for a child. Source: POSIX waitid. What 32-bit programs make waitpid from.
 */
export function sysWaitid(p: Process, args: SyscallArgs, lwp: Lwp): number {
  const kind = args.int(0);
  const id = args.int(1);
  const options = args.int(3);
  const kinds = WEXITED | WUNTRACED | WCONTINUED;
  if (kind < P_ALL || kind > P_PGID || (options & ~(kinds | WNOHANG | WNOWAIT)) !== 0 || (options & kinds) === 0) return -EINVAL;
  if (kind !== P_ALL && id < (kind === P_PID ? 1 : 0)) return -EINVAL;
  const group = id === 0 ? p.pgid : id;
  const news = waitFor(p, lwp, {
    matches: (child) => kind === P_ALL || (kind === P_PID ? child.pid === id : child.pgid === group),
    options,
  });
  if (typeof news === 'number' && news !== 0) return news;
  const info = args.unsigned(2);
  const bytes = new Uint8Array(INFO_BYTES);
  if (typeof news !== 'number') {
    const record = { signal: SIGCHLD, code: news.code, pid: news.child.pid, lo: news.value, hi: 0 };
    writeInfo(new DataView(bytes.buffer), record, p.xlen / 8);
  }
  if (info !== 0 && !copyOut(p, info, bytes)) return -EFAULT;
  const usage = args.unsigned(4);
  return usage === 0 || copyOut(p, usage, new Uint8Array((RUSAGE_WORDS * p.xlen) / 8)) ? 0 : -EFAULT;
}

/** News of a child, taken note of unless WNOWAIT; 0: none yet, and WNOHANG; -ECHILD; or ASLEEP. */
function waitFor(
  p: Process,
  lwp: Lwp,
  request: { readonly matches: (child: Process) => boolean; readonly options: number },
): News | number {
  const { options } = request;
  let some = false;
  for (const child of p.children) {
    if (!request.matches(child)) continue;
    some = true;
    const news = newsOf(child, options);
    if (news === null) continue;
    if ((options & WNOWAIT) !== 0) return news;
    if (child.isTakenApart) p.kernel.life.forget(child);
    else child.news = null;
    return news;
  }
  if (!some) return -ECHILD;
  if ((options & WNOHANG) !== 0) return 0;
  p.kernel.sleepInCall(lwp, { channel: p.children, deadline: Infinity, interrupt: INTERRUPT_RESTARTS, why: 'a child' });
  return ASLEEP;
}

function newsOf(child: Process, options: number): News | null {
  const { exitStatus: status } = child;
  if (child.isTakenApart && status !== null && (options & WEXITED) !== 0) {
    return 'code' in status ? { child, code: CLD_EXITED, value: status.code } : { child, code: CLD_KILLED, value: status.signal };
  }
  if (child.news === 'stopped' && (options & WUNTRACED) !== 0) return { child, code: CLD_STOPPED, value: child.stopSignal };
  return child.news === 'continued' && (options & WCONTINUED) !== 0 ? { child, code: CLD_CONTINUED, value: SIGCONT } : null;
}

/** The status word of wait4. */
function statusOf(news: News): number {
  switch (news.code) {
    case CLD_EXITED:
      return news.value << 8;
    case CLD_STOPPED:
      return (news.value << 8) | 0x7f;
    case CLD_CONTINUED:
      return 0xffff;
    default:
      return news.value;
  }
}
