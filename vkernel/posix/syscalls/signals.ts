/**
 * System calls on signals: actions, masks, waiting for them, and sending them to processes and groups.
 *
 * Source: sigaction(2), sigprocmask(2), sigaltstack(2), kill(2), sigsuspend(2), sigtimedwait(2).
 */
import { EAGAIN, EINVAL, ENOMEM, EPERM, ESRCH } from '../../../hostkernel/base/errno.ts';
import {
  ERESTARTNOHAND,
  MINSIGSTKSZ,
  NSIG,
  SI_TKILL,
  SI_USER,
  SIGKILL,
  SIGSEGV,
  SIGSTOP,
  SS_AUTODISARM,
  SS_DISABLE,
  SS_ONSTACK,
} from '../abi.ts';
import { putSiginfo, SIGINFO_BYTES, type SignalInfo } from '../layouts.ts';
import { NO_RESULT, type Process } from '../process.ts';
import { leaveHandler, onAlternateStack } from '../signal-frame.ts';
import type { Waiting } from './files.ts';

const MASK_BYTES = 8;

/** rt_sigaction(signal, new, old, size). struct sigaction: handler, flags (words), mask; riscv has no restorer. */
export function* sysRtSigaction(p: Process): Waiting {
  const signal = p.args.int(0);
  if (p.args.word(3) !== MASK_BYTES || signal < 1 || signal > NSIG) return -EINVAL;
  const { memory, signals } = p;
  const { view, wordBytes, wide } = memory;
  const size = 2 * wordBytes + MASK_BYTES;
  const old = signals.action(signal);
  const change = p.args.word(1) !== 0;
  if (change && (signal === SIGKILL || signal === SIGSTOP)) return -EINVAL;
  let action = old;
  if (change) {
    const error = yield* memory.load(p.args.word(1), size);
    if (error < 0) return error;
    action = {
      handlerLo: view.getInt32(0, true),
      handlerHi: wide ? view.getInt32(4, true) : 0,
      flags: view.getUint32(wordBytes, true),
      maskLo: view.getInt32(2 * wordBytes, true),
      maskHi: view.getInt32(2 * wordBytes + 4, true),
    };
  }
  if (p.args.word(2) !== 0) {
    view.setInt32(0, old.handlerLo, true);
    if (wide) view.setInt32(4, old.handlerHi, true);
    memory.putWord(wordBytes, old.flags);
    view.setInt32(2 * wordBytes, old.maskLo, true);
    view.setInt32(2 * wordBytes + 4, old.maskHi, true);
    const error = yield* memory.store(p.args.word(2), size);
    if (error < 0) return error;
  }
  if (change) signals.setAction(signal, action);
  return 0;
}

/** rt_sigprocmask(how, new, old, size) */
export function* sysRtSigprocmask(p: Process): Waiting {
  if (p.args.word(3) !== MASK_BYTES) return -EINVAL;
  const { memory, signals } = p;
  const old = { lo: signals.blockedLo, hi: signals.blockedHi };
  let next = old;
  if (p.args.word(1) !== 0) {
    const error = yield* memory.load(p.args.word(1), MASK_BYTES);
    if (error < 0) return error;
    const [lo, hi] = [memory.view.getInt32(0, true), memory.view.getInt32(4, true)];
    const how = p.args.int(0);
    if (how < 0 || how > 2) return -EINVAL;
    next = [
      { lo: old.lo | lo, hi: old.hi | hi },
      { lo: old.lo & ~lo, hi: old.hi & ~hi },
      { lo, hi },
    ][how];
  }
  if (p.args.word(2) !== 0) {
    const error = yield* storeMask(p, p.args.word(2), old);
    if (error < 0) return error;
  }
  signals.setBlocked(next.lo, next.hi);
  return 0;
}

function storeMask(p: Process, va: number, mask: { lo: number; hi: number }): Waiting {
  p.memory.view.setInt32(0, mask.lo, true);
  p.memory.view.setInt32(4, mask.hi, true);
  return p.memory.store(va, MASK_BYTES);
}

/** rt_sigpending(set, size) */
export function* sysRtSigpending(p: Process): Waiting {
  if (p.args.word(1) > MASK_BYTES) return -EINVAL;
  const { lo, hi } = p.signals.pendingMask();
  return yield* storeMask(p, p.args.word(0), { lo: lo & p.signals.blockedLo, hi: hi & p.signals.blockedHi });
}

/** rt_sigsuspend(mask, size): waits for a signal under another mask. @returns -EINTR */
export function* sysRtSigsuspend(p: Process): Waiting {
  if (p.args.word(1) !== MASK_BYTES) return -EINVAL;
  const { memory, signals } = p;
  const error = yield* memory.load(p.args.word(0), MASK_BYTES);
  if (error < 0) return error;
  signals.saved = { lo: signals.blockedLo, hi: signals.blockedHi };
  signals.setBlocked(memory.view.getInt32(0, true), memory.view.getInt32(4, true));
  yield* p.sleepUntil(Number.POSITIVE_INFINITY);
  return -ERESTARTNOHAND;
}

/** rt_sigtimedwait(set, info, timeout, size). @returns the signal taken, -EAGAIN after the timeout, -EINTR another came */
export function* sysRtSigtimedwait(p: Process): Waiting {
  if (p.args.word(3) !== MASK_BYTES) return -EINVAL;
  const { memory, signals } = p;
  const error = yield* memory.load(p.args.word(0), MASK_BYTES);
  if (error < 0) return error;
  const [lo, hi] = [memory.view.getInt32(0, true), memory.view.getInt32(4, true)];
  let deadline = Number.POSITIVE_INFINITY;
  if (p.args.word(2) !== 0) {
    const missing = yield* memory.load(p.args.word(2), 16);
    if (missing < 0) return missing;
    const [seconds, nanoseconds] = [memory.int64At(0), memory.int64At(8)];
    if (seconds < 0 || nanoseconds < 0 || nanoseconds >= 1e9) return -EINVAL;
    deadline = p.keptDeadline >= 0 ? p.keptDeadline : p.micros() + seconds * 1e6 + Math.ceil(nanoseconds / 1000);
  }
  const reached = yield* p.sleepUntil(deadline, { lo, hi });
  const info = signals.takeFrom(lo, hi);
  if (info === null && !reached) p.keptDeadline = deadline;
  if (info === null) return reached ? -EAGAIN : -ERESTARTNOHAND;
  if (p.args.word(1) === 0) return info.signal;
  putSiginfo(memory.view, 0, p.wide, info);
  const stored = yield* memory.store(p.args.word(1), SIGINFO_BYTES);
  return stored < 0 ? stored : info.signal;
}

/** The process with this pid that still is one, or a zombie. */
function target(p: Process, pid: number): Process | null {
  return pid === p.pid ? p : p.system.find(pid);
}

/** Sends `signal` to a process; 0 only asks whether it is there. @returns 0, or -ESRCH it is not, -EINVAL no such signal */
function send(p: Process, to: Process | null, signal: number, code: number): number {
  if (signal < 0 || signal > NSIG) return -EINVAL;
  if (to === null) return -ESRCH;
  if (signal !== 0) p.system.signal(to, { signal, code, address: null, pid: p.pid, value: null });
  return 0;
}

/** Whom kill(2) means: a process, the own group (0), everybody but the caller and the first (-1), or a group. */
function targets(p: Process, pid: number): readonly Process[] {
  const { system } = p;
  if (pid > 0) {
    const one = system.find(pid);
    return one === null ? [] : [one];
  }
  if (pid === -1) return [...system.processes.values()].filter((other) => other !== p && other !== system.first && !other.isZombie);
  const group = pid === 0 ? p.processGroup : -pid;
  return [...system.processes.values()].filter((other) => other.processGroup === group);
}

/** kill(pid, signal). @returns 0, -ESRCH nobody is meant, -EINVAL */
export function sysKill(p: Process): number {
  const signal = p.args.int(1);
  if (signal < 0 || signal > NSIG) return -EINVAL;
  const found = targets(p, p.args.int(0));
  for (const one of found) send(p, one, signal, SI_USER);
  return found.length === 0 ? -ESRCH : 0;
}

/** tkill(tid, signal) */
export function sysTkill(p: Process): number {
  if (p.args.int(0) <= 0) return -EINVAL;
  return send(p, target(p, p.args.int(0)), p.args.int(1), SI_TKILL);
}

/** tgkill(pid, tid, signal) */
export function sysTgkill(p: Process): number {
  const [pid, tid] = [p.args.int(0), p.args.int(1)];
  if (pid <= 0 || tid <= 0) return -EINVAL;
  return pid === tid ? send(p, target(p, pid), p.args.int(2), SI_TKILL) : -ESRCH;
}

/** rt_sigqueueinfo(pid, signal, info) and rt_tgsigqueueinfo(pid, tid, signal, info). @returns -EAGAIN where too many are pending */
function* queue(p: Process, first: number): Waiting {
  const signal = p.args.int(first);
  const { memory } = p;
  const error = yield* memory.load(p.args.word(first + 1), SIGINFO_BYTES);
  if (error < 0) return error;
  const to = target(p, p.args.int(0));
  if (to === null || p.args.int(first - 1) !== to.pid) return -ESRCH;
  if (signal < 0 || signal > NSIG) return -EINVAL;
  const fields = p.wide ? 16 : 12;
  const info: SignalInfo = {
    signal,
    code: memory.view.getInt32(8, true),
    address: null,
    pid: memory.view.getInt32(fields, true),
    value: { lo: memory.view.getInt32(fields + 8, true), hi: p.wide ? memory.view.getInt32(fields + 12, true) : 0 },
  };
  if (to !== p && (info.code >= 0 || info.code === SI_TKILL)) return -EPERM; // nobody may pretend to be the kernel
  return signal === 0 || p.system.signal(to, info) === 0 ? 0 : -EAGAIN;
}

export function sysRtSigqueueinfo(p: Process): Waiting {
  return queue(p, 1);
}
export function sysRtTgsigqueueinfo(p: Process): Waiting {
  return queue(p, 2);
}

/** sigaltstack(new, old). stack_t: sp, flags (int), size. */
export function* sysSigaltstack(p: Process): Waiting {
  const { memory, signals } = p;
  const { view, wordBytes } = memory;
  const registers = p.registers();
  const sp = p.wide ? (registers[5] >>> 0) * 2 ** 32 + (registers[4] >>> 0) : registers[4] >>> 0;
  const inUse = onAlternateStack(p, sp);
  const old = signals.stack;
  let next = old;
  if (p.args.word(0) !== 0) {
    const error = yield* memory.load(p.args.word(0), 3 * wordBytes);
    if (error < 0) return error;
    if (inUse) return -EPERM;
    const flags = view.getUint32(wordBytes, true);
    const mode = flags & ~SS_AUTODISARM;
    if (mode !== 0 && mode !== SS_DISABLE && mode !== SS_ONSTACK) return -EINVAL;
    const size = memory.wordAt(2 * wordBytes);
    if (mode === SS_DISABLE) next = { sp: 0, size: 0, flags: SS_DISABLE };
    else if (size < MINSIGSTKSZ) return -ENOMEM;
    else next = { sp: memory.wordAt(0), size, flags: flags & SS_AUTODISARM };
    if (!memory.inRange(next.sp, next.size)) return -ENOMEM;
  }
  if (p.args.word(1) !== 0) {
    memory.putWord(0, old.sp);
    const state = (old.flags & SS_DISABLE) !== 0 ? SS_DISABLE : inUse ? SS_ONSTACK : 0;
    memory.putWord(wordBytes, state);
    memory.putWord(2 * wordBytes, old.size);
    const error = yield* memory.store(p.args.word(1), 3 * wordBytes);
    if (error < 0) return error;
  }
  signals.stack = next;
  return 0;
}

/** rt_sigreturn(). A frame that cannot be read is a SIGSEGV. */
export function* sysRtSigreturn(p: Process): Waiting {
  const error = yield* leaveHandler(p);
  if (error < 0) p.kill(SIGSEGV, null);
  return NO_RESULT;
}
