/** System calls on signals: actions, masks, sending, waiting for them, the alternate stack. */

import { EAGAIN, EFAULT, EINTR, EINVAL, ENOMEM, EOPNOTSUPP, EPERM, ESRCH } from '../base/errno.ts';
import {
  MINSIGSTKSZ,
  SI_TKILL,
  SI_USER,
  SIG_BLOCK,
  SIG_IGN,
  SIG_SETMASK,
  SIG_UNBLOCK,
  SIGKILL,
  SIGNALS,
  SIGSEGV,
  SIGSTOP,
  SS_DISABLE,
  SS_ONSTACK,
} from './abi.ts';
import { copyIn, copyOut } from './copy.ts';
import { INTERRUPT_ENDS, type Lwp } from './lwp.ts';
import type { Process } from './process.ts';
import { cannotBeCaught } from './signal.ts';
import { isOn, isUsable, leaveHandler, mapTrampoline, writeInfo } from './signal-frame.ts';
import { lowestSignal, SignalSet } from './signal-set.ts';
import { NO_RESULT } from './syscall-result.ts';
import type { SyscallArgs } from './syscall-args.ts';
import { readTimespec } from './sys-time.ts';

const SIGSET_BYTES = 8;
const INFO_BYTES = 128;

/**
 * rt_sigaction(signal, action, old, size): what a signal does from now on.
 * @param args signal: 1..64; action, old: addresses of { handler, flags: words; mask: u64 } or 0; size: bytes of a signal set
 * @returns 0; or
 *   -EINVAL  no such signal; a new action for SIGKILL or SIGSTOP; wrong size
 *   -EFAULT  action is not readable, or old not writable (then the action has been set, as on Linux)
 *   -ENOMEM  no room for the page that handlers return through
 * A signal that is pending and now ignored is forgotten. A TypeScript program catches by any handler above SIG_IGN.
 * Source: POSIX sigaction; Linux/riscv layout.
 */
export function sysRtSigaction(p: Process, args: SyscallArgs): number {
  const signal = args.int(0);
  const action = args.unsigned(1);
  const old = args.unsigned(2);
  if (args.unsigned(3) !== SIGSET_BYTES || signal < 1 || signal > SIGNALS) return -EINVAL;
  if (action !== 0 && cannotBeCaught(signal)) return -EINVAL;
  const word = p.xlen / 8;
  const before = actionBytes(p, signal);
  if (action !== 0) {
    const bytes = copyIn(p, action, 2 * word + SIGSET_BYTES);
    if (bytes === null) return -EFAULT;
    const view = new DataView(bytes.buffer);
    const handler = readWord(view, 0, word);
    if (handler > SIG_IGN && p.memory === null && mapTrampoline(p) < 0) return -ENOMEM;
    const entry = p.actions.get(signal);
    entry.handler = handler;
    entry.flags = view.getInt32(word, true);
    entry.mask.set(view.getInt32(2 * word, true), view.getInt32(2 * word + 4, true));
    if (p.actions.ignores(signal)) {
      p.pending.delete(signal);
      for (const lwp of p.lwps) lwp.pending.delete(signal);
    }
  }
  return old === 0 || copyOut(p, old, before) ? 0 : -EFAULT;
}

/**
 * rt_sigprocmask(how, set, old, size): changes the mask of the calling lwp. SIGKILL and SIGSTOP are never in it.
 * @param args how: SIG_BLOCK, SIG_UNBLOCK or SIG_SETMASK, looked at if there is a set; set, old: address or 0; size: bytes of a set
 * @returns 0; or -EINVAL unknown `how`, wrong size; -EFAULT
 * Source: POSIX pthread_sigmask.
 */
export function sysRtSigprocmask(p: Process, args: SyscallArgs, lwp: Lwp): number {
  const how = args.int(0);
  const set = args.unsigned(1);
  const old = args.unsigned(2);
  if (args.unsigned(3) !== SIGSET_BYTES || (set !== 0 && (how < SIG_BLOCK || how > SIG_SETMASK))) return -EINVAL;
  const { blocked } = lwp;
  const before = setBytes(blocked.lo, blocked.hi);
  if (set !== 0) {
    const bytes = copyIn(p, set, SIGSET_BYTES);
    if (bytes === null) return -EFAULT;
    const [lo, hi] = new Int32Array(bytes.buffer) as unknown as [number, number];
    if (how === SIG_BLOCK) blocked.set(blocked.lo | lo, blocked.hi | hi);
    else if (how === SIG_UNBLOCK) blocked.set(blocked.lo & ~lo, blocked.hi & ~hi);
    else blocked.set(lo, hi);
    blocked.delete(SIGKILL);
    blocked.delete(SIGSTOP);
    lwp.attention = true;
  }
  return old === 0 || copyOut(p, old, before) ? 0 : -EFAULT;
}

/** rt_sigpending(set, size): signals that are pending and blocked. @returns 0; or -EINVAL wrong size; -EFAULT */
export function sysRtSigpending(p: Process, args: SyscallArgs, lwp: Lwp): number {
  if (args.unsigned(1) !== SIGSET_BYTES) return -EINVAL;
  const { blocked } = lwp;
  const own = lwp.pending.set;
  const all = p.pending.set;
  const bytes = setBytes((own.lo | all.lo) & blocked.lo, (own.hi | all.hi) & blocked.hi);
  return copyOut(p, args.unsigned(0), bytes) ? 0 : -EFAULT;
}

/**
 * rt_sigsuspend(set, size): sleeps with another mask until a handler has run; the mask before comes back with its return.
 * @param args set: address of a set; size: its bytes
 * @returns -EINTR; or -EINVAL wrong size; -EFAULT; -EOPNOTSUPP a TypeScript program, which has no handlers: rt_sigtimedwait
 * Waits: for a signal that is caught. Source: POSIX sigsuspend.
 */
export function sysRtSigsuspend(p: Process, args: SyscallArgs, lwp: Lwp): number {
  if (lwp.program !== null) return -EOPNOTSUPP;
  if (lwp.suspendedMask === null) {
    if (args.unsigned(1) !== SIGSET_BYTES) return -EINVAL;
    const bytes = copyIn(p, args.unsigned(0), SIGSET_BYTES);
    if (bytes === null) return -EFAULT;
    const [lo, hi] = new Int32Array(bytes.buffer) as unknown as [number, number];
    lwp.suspendedMask = new SignalSet();
    lwp.suspendedMask.copy(lwp.blocked);
    lwp.blocked.set(lo, hi);
    lwp.blocked.delete(SIGKILL);
    lwp.blocked.delete(SIGSTOP);
    lwp.attention = true;
  }
  if (p.kernel.signals.due(lwp) !== 0) return -EINTR;
  return p.kernel.sleepInCall(lwp, { channel: null, deadline: Infinity, interrupt: INTERRUPT_ENDS, why: 'a signal' });
}

/**
 * rt_sigtimedwait(set, info, timeout, size): takes a signal of `set`, which the caller has blocked, without a handler.
 * @param args set: address; info: address of a siginfo_t or 0; timeout: address of two u64, or 0 for ever; size: bytes of a set
 * @returns the signal; or -EINVAL; -EFAULT; -EAGAIN none came in time; -EINTR another one was caught
 * Waits: for a signal of the set. Source: POSIX sigtimedwait.
 */
export function sysRtSigtimedwait(p: Process, args: SyscallArgs, lwp: Lwp): number {
  if (args.unsigned(3) !== SIGSET_BYTES) return -EINVAL;
  const bytes = copyIn(p, args.unsigned(0), SIGSET_BYTES);
  if (bytes === null) return -EFAULT;
  const [lo, hi] = new Int32Array(bytes.buffer) as unknown as [number, number];
  const { signals, machine } = p.kernel;
  const own = lwp.pending.set;
  const all = p.pending.set;
  const signal = lowestSignal((own.lo | all.lo) & lo, (own.hi | all.hi) & hi);
  if (signal !== 0) {
    const info = signals.take(lwp, signal);
    const at = args.unsigned(1);
    if (info === null || at === 0) return signal;
    const out = new Uint8Array(INFO_BYTES);
    writeInfo(new DataView(out.buffer), info, p.xlen / 8);
    return copyOut(p, at, out) ? signal : -EFAULT;
  }
  const { call } = lwp;
  if (call.expired) return -EAGAIN;
  let { deadline } = call;
  const timeout = args.unsigned(2);
  if (call.nr === -1 && timeout !== 0) {
    const time = readTimespec(p, timeout);
    if (time < 0) return time;
    if (time === 0) return -EAGAIN;
    deadline = machine.clock.now() + time;
  }
  lwp.awaited = new SignalSet();
  lwp.awaited.set(lo, hi);
  return p.kernel.sleepInCall(lwp, { channel: null, deadline, interrupt: INTERRUPT_ENDS, why: 'a signal' });
}

/** rt_sigreturn(): back from a handler, to what its frame says. Does not return. A bad frame is SIGSEGV. */
export function sysRtSigreturn(p: Process, _args: SyscallArgs, lwp: Lwp): number {
  if (lwp.program !== null) return -EOPNOTSUPP;
  const { hart } = p.kernel.machine;
  if (leaveHandler(hart, lwp) < 0) {
    const status = { signal: SIGSEGV, faultVa: null, access: 0 as const, pc: hart.pc, refusal: 'rt_sigreturn without a frame' };
    p.kernel.end(p, status);
  }
  p.kernel.forgetExtended();
  return NO_RESULT;
}

/**
 * sigaltstack(new, old): where handlers with SA_ONSTACK run.
 * @param args new, old: addresses of { base: word; flags: int in a word; size: word }, or 0
 * @returns 0; or -EFAULT; -EINVAL flags other than SS_DISABLE; -ENOMEM less than 2048 bytes; -EPERM a handler runs there
 * Source: POSIX sigaltstack.
 */
export function sysSigaltstack(p: Process, args: SyscallArgs, lwp: Lwp): number {
  const word = p.xlen / 8;
  const { alternate } = lwp;
  const { x } = p.kernel.machine.hart;
  const sp = lwp.program === null ? ((p.xlen === 64 ? x[5] : 0) >>> 0) * 2 ** 32 + (x[4] >>> 0) : 0;
  const on = isOn(alternate, sp);
  const before = new Uint8Array(3 * word);
  const out = new DataView(before.buffer);
  writeWord(out, 0, word, alternate.size === 0 ? 0 : alternate.base);
  out.setInt32(word, alternate.size === 0 ? SS_DISABLE : on ? SS_ONSTACK : 0, true);
  writeWord(out, 2 * word, word, alternate.size);
  if (args.unsigned(0) !== 0) {
    const bytes = copyIn(p, args.unsigned(0), 3 * word);
    if (bytes === null) return -EFAULT;
    if (on) return -EPERM;
    const view = new DataView(bytes.buffer);
    const base = readWord(view, 0, word);
    const flags = view.getInt32(word, true);
    const size = readWord(view, 2 * word, word);
    if ((flags & ~(SS_DISABLE | SS_ONSTACK)) !== 0) return -EINVAL;
    if ((flags & SS_DISABLE) === 0 && (size < MINSIGSTKSZ || !isUsable(base, size))) return -ENOMEM;
    alternate.base = base;
    alternate.size = (flags & SS_DISABLE) === 0 ? size : 0;
  }
  return args.unsigned(1) === 0 || copyOut(p, args.unsigned(1), before) ? 0 : -EFAULT;
}

/**
 * kill(pid, signal): sends a signal to a process, to a group, or to all.
 * @param args pid: > 0 a process; 0 the caller's group; -1 all but the caller; < -1 the group -pid; signal: 1..64, or 0 to ask
 * @returns 0; or -EINVAL no such signal; -ESRCH no such process. A zombie is one, and takes no notice
 * Source: POSIX kill. Everybody may send to everybody.
 */
export function sysKill(p: Process, args: SyscallArgs): number {
  const pid = args.int(0);
  const signal = args.int(1);
  if (signal < 0 || signal > SIGNALS) return -EINVAL;
  const { kernel } = p;
  const group = pid === 0 ? p.pgid : -pid;
  const targets = [...kernel.processes].filter((q) => (pid > 0 ? q.pid === pid : pid === -1 ? q !== p : q.pgid === group));
  if (targets.length === 0) return -ESRCH;
  if (signal === 0) return 0;
  for (const target of targets) kernel.signals.send(target, { signal, code: SI_USER, pid: p.pid, lo: 0, hi: 0 });
  return p.exitStatus === null ? 0 : NO_RESULT;
}

/**
 * rt_sigqueueinfo(pid, signal, info): kill with a value.
 * @param args pid: a process; signal: 1..64; info: address of a siginfo_t: si_code below 0, and si_value
 * @returns 0; or -EINVAL no such signal; -EPERM si_code says the kernel or kill() sent it; -ESRCH; -EFAULT; -EAGAIN the queue is full
 * Source: Linux rt_sigqueueinfo(2).
 */
export function sysRtSigqueueinfo(p: Process, args: SyscallArgs): number {
  const signal = args.int(1);
  if (signal < 1 || signal > SIGNALS) return -EINVAL;
  const bytes = copyIn(p, args.unsigned(2), INFO_BYTES);
  if (bytes === null) return -EFAULT;
  const view = new DataView(bytes.buffer);
  const code = view.getInt32(8, true);
  if (code >= SI_USER || code === SI_TKILL) return -EPERM;
  const target = p.kernel.life.processes.get(args.int(0));
  if (target === undefined) return -ESRCH;
  const value = p.xlen === 64 ? 24 : 20;
  const hi = p.xlen === 64 ? view.getInt32(value + 4, true) : 0;
  const sent = p.kernel.signals.send(target, { signal, code, pid: p.pid, lo: view.getInt32(value, true), hi });
  if (!sent) return -EAGAIN;
  return p.exitStatus === null ? 0 : NO_RESULT;
}

/** tkill(tid, signal): a signal for one lwp. @returns 0; or -EINVAL; -ESRCH no such lwp */
export function sysTkill(p: Process, args: SyscallArgs): number {
  return sendToLwp(p, null, args.int(0), args.int(1));
}

/** tgkill(pid, tid, signal): a signal for one lwp of a process. @returns 0; or -EINVAL; -ESRCH no such lwp there */
export function sysTgkill(p: Process, args: SyscallArgs): number {
  return args.int(0) <= 0 ? -EINVAL : sendToLwp(p, args.int(0), args.int(1), args.int(2));
}

function sendToLwp(p: Process, pid: number | null, tid: number, signal: number): number {
  if (tid <= 0 || signal < 0 || signal > SIGNALS) return -EINVAL;
  for (const process of p.kernel.processes) {
    const lwp = process.lwps.find((other) => other.tid === tid);
    if (lwp === undefined) continue;
    if (pid !== null && process.pid !== pid) return -ESRCH;
    if (signal !== 0) p.kernel.signals.send(process, { signal, code: SI_TKILL, pid: p.pid, lo: 0, hi: 0 }, lwp);
    return p.exitStatus === null ? 0 : NO_RESULT;
  }
  return -ESRCH;
}

/** The action of `signal` as rt_sigaction shows it. */
function actionBytes(p: Process, signal: number): Uint8Array {
  const word = p.xlen / 8;
  const bytes = new Uint8Array(2 * word + SIGSET_BYTES);
  const view = new DataView(bytes.buffer);
  const { handler, flags, mask } = p.actions.get(signal);
  writeWord(view, 0, word, handler);
  view.setInt32(word, flags, true);
  view.setInt32(2 * word, mask.lo, true);
  view.setInt32(2 * word + 4, mask.hi, true);
  return bytes;
}

function setBytes(lo: number, hi: number): Uint8Array {
  return new Uint8Array(Int32Array.of(lo, hi).buffer);
}

function readWord(view: DataView, at: number, word: number): number {
  return view.getUint32(at, true) + (word === 8 ? view.getUint32(at + 4, true) * 2 ** 32 : 0);
}

function writeWord(view: DataView, at: number, word: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  if (word === 8) view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}
