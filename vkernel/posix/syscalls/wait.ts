/**
 * Waiting for children: wait4(2) and waitid(2).
 *
 * A child is told of once for each change: its end, a stop (WUNTRACED), that it goes on again (WCONTINUED). One that has
 * ended stays in the table, as a zombie, until it has been told of.
 */
import { ECHILD, EINVAL } from '../../../hostkernel/base/errno.ts';
import type { L4Wait } from '../../l4/user.ts';
import {
  CLD_CONTINUED,
  CLD_EXITED,
  CLD_KILLED,
  CLD_STOPPED,
  ERESTARTSYS,
  P_ALL,
  P_PGID,
  P_PID,
  SIGCHLD,
  SIGCONT,
  SIGKILL,
  WALL,
  WCLONE,
  WCONTINUED,
  WEXITED,
  WNOHANG,
  WNOTHREAD,
  WNOWAIT,
  WUNTRACED,
} from '../abi.ts';
import { putRusage, putSiginfo, SIGINFO_BYTES } from '../layouts.ts';
import { INTERRUPTED, type Process } from '../process.ts';
import type { Waiting } from './files.ts';

/** A change of a child: what waitid tells of it. */
interface Change {
  readonly child: Process;
  readonly code: number; // CLD_*
  readonly status: number; // exit code or signal
}

type Choice = (child: Process) => boolean;

/** The change to tell first, if there is one. */
function changeOf(child: Process, options: number): Change | null {
  if (child.isZombie) {
    if ((options & WEXITED) === 0) return null;
    const { ended } = child;
    if (ended?.kind === 'exit') return { child, code: CLD_EXITED, status: ended.code };
    return { child, code: CLD_KILLED, status: ended?.kind === 'signal' ? ended.signal : SIGKILL };
  }
  if (child.report === 'stopped' && (options & WUNTRACED) !== 0) return { child, code: CLD_STOPPED, status: child.stopSignal };
  if (child.report === 'continued' && (options & WCONTINUED) !== 0) return { child, code: CLD_CONTINUED, status: SIGCONT };
  return null;
}

/** Waits until a chosen child has changed. @returns it; 0 with WNOHANG where none has; -ECHILD there is none; -ERESTARTSYS */
function* awaitChange(p: Process, chosen: Choice, options: number): Generator<L4Wait, Change | number, void> {
  for (;;) {
    let some = false;
    for (const child of p.children) {
      if (!chosen(child)) continue;
      some = true;
      const change = changeOf(child, options);
      if (change !== null) return change;
    }
    if (!some) return -ECHILD;
    if ((options & WNOHANG) !== 0) return 0;
    if ((yield* p.wait([p.childChanged], Number.POSITIVE_INFINITY)) === INTERRUPTED) return -ERESTARTSYS;
  }
}

/** The change has been told: a zombie goes, and its times are its parent's. */
function told(p: Process, { child }: Change): void {
  child.report = null;
  if (!child.isZombie) return;
  p.childTime += child.cpuTime + child.childTime;
  p.system.forget(child);
}

/** Which children wait4's first argument means. */
function choiceOf(p: Process, pid: number): Choice {
  if (pid > 0) return (child) => child.pid === pid;
  if (pid === -1) return () => true;
  const group = pid === 0 ? p.processGroup : -pid;
  return (child) => child.processGroup === group;
}

/** Whether WCLONE and WALL let a child be waited for: those whose end is told by SIGCHLD are the usual kind. */
function ofKind(chosen: Choice, options: number): Choice {
  if ((options & WALL) !== 0) return chosen;
  const wantsClone = (options & WCLONE) !== 0;
  return (child) => chosen(child) && (child.exitSignal !== SIGCHLD) === wantsClone;
}

/** The status word of wait(2). */
function statusWord({ code, status }: Change): number {
  switch (code) {
    case CLD_EXITED:
      return status << 8;
    case CLD_STOPPED:
      return (status << 8) | 0x7f;
    case CLD_CONTINUED:
      return 0xffff;
    default:
      return status;
  }
}

/** wait4(pid, status, options, rusage). @returns the child's pid, 0 with WNOHANG, -ECHILD, -EINVAL, -EFAULT */
export function* sysWait4(p: Process): Waiting {
  const pid = p.args.int(0);
  const options = p.args.uint(2);
  if ((options & ~(WNOHANG | WUNTRACED | WCONTINUED | WNOTHREAD | WALL | WCLONE)) !== 0) return -EINVAL;
  if (pid === -0x8000_0000) return -ECHILD;
  const change = yield* awaitChange(p, ofKind(choiceOf(p, pid), options), options | WEXITED);
  if (typeof change === 'number') return change;
  told(p, change);
  if (p.args.word(1) !== 0) {
    p.memory.view.setInt32(0, statusWord(change), true);
    const error = yield* p.memory.store(p.args.word(1), 4);
    if (error < 0) return error;
  }
  const error = yield* storeRusage(p, p.args.word(3), change.child);
  return error < 0 ? error : change.child.pid;
}

function* storeRusage(p: Process, va: number, child: Process): Waiting {
  if (va === 0) return 0;
  return yield* p.memory.store(va, putRusage(p.memory.view, p.wide, { time: child.cpuTime + child.childTime, maxrss: 0 }));
}

/** waitid(kind, id, siginfo, options, rusage). @returns 0, -ECHILD, -EINVAL, -EFAULT */
export function* sysWaitid(p: Process): Waiting {
  const [kind, id, va, options] = [p.args.int(0), p.args.int(1), p.args.word(2), p.args.uint(3)];
  if ((options & ~(WNOHANG | WNOWAIT | WEXITED | WUNTRACED | WCONTINUED | WNOTHREAD | WALL | WCLONE)) !== 0) return -EINVAL;
  if ((options & (WEXITED | WUNTRACED | WCONTINUED)) === 0) return -EINVAL;
  let chosen: Choice;
  if (kind === P_ALL) chosen = choiceOf(p, -1);
  else if (kind === P_PID && id > 0) chosen = choiceOf(p, id);
  else if (kind === P_PGID && id >= 0) chosen = id === 0 ? choiceOf(p, 0) : (child) => child.processGroup === id;
  else return -EINVAL;
  const change = yield* awaitChange(p, ofKind(chosen, options), options);
  if (typeof change === 'number' && change < 0) return change;
  const { view } = p.memory;
  if (typeof change !== 'number') {
    if ((options & WNOWAIT) === 0) told(p, change);
    const error = yield* storeRusage(p, p.args.word(4), change.child);
    if (error < 0) return error;
  }
  if (va === 0) return 0;
  if (typeof change === 'number') p.memory.scratch.fill(0, 0, SIGINFO_BYTES);
  else {
    const { child, code, status } = change;
    putSiginfo(view, 0, p.wide, { signal: SIGCHLD, code, address: null, pid: child.pid, value: { lo: status, hi: 0 } });
  }
  return yield* p.memory.store(va, SIGINFO_BYTES);
}
