/**
 * Signals of a process: what is pending, what is blocked, what is to be done. Data and rules; how a handler is entered
 * is in `signal-frame.ts`, the system calls are in `syscalls/signals.ts`.
 *
 *   raise --> pending --(not blocked)--> action: default | ignore | handler at an address
 *
 * A mask has 64 bits, bit n - 1 for signal n, kept as two 32-bit halves.
 *
 * Invariants: SIGKILL and SIGSTOP are never blocked and always have their default action; a signal whose action is to
 * ignore it is not pending unless it is blocked.
 */
import {
  NSIG,
  SIG_DFL,
  SIG_IGN,
  SIGCHLD,
  SIGCONT,
  SIGKILL,
  SIGSTOP,
  SIGTSTP,
  SIGTTIN,
  SIGTTOU,
  SIGURG,
  SIGWINCH,
  SS_DISABLE,
} from './abi.ts';
import type { SignalInfo } from './layouts.ts';

/** What sigaction(2) sets. The handler is an address, raw halves kept whole. */
export interface Action {
  readonly handlerLo: number;
  readonly handlerHi: number;
  readonly flags: number; // SA_*, unsigned
  readonly maskLo: number;
  readonly maskHi: number;
}

const DEFAULT: Action = { handlerLo: SIG_DFL, handlerHi: 0, flags: 0, maskLo: 0, maskHi: 0 };

/** Signals whose default action is nothing. SIGCONT has done its work when it is sent. */
const HARMLESS: ReadonlySet<number> = new Set([SIGCHLD, SIGCONT, SIGURG, SIGWINCH]);

/** Signals whose default action is to stop the process. */
export const STOP_SIGNALS: readonly number[] = [SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU];

export function isStopSignal(signal: number): boolean {
  return signal >= SIGSTOP && signal <= SIGTTOU;
}

const PENDING_MAX = 1024;

export class SignalState {
  blockedLo = 0;
  blockedHi = 0;
  /** Mask to return to once the handler that ended a sigsuspend or ppoll has run; null when none is kept. */
  saved: { readonly lo: number; readonly hi: number } | null = null;
  /** Alternate stack; none while flags has SS_DISABLE. */
  stack = { sp: 0, size: 0, flags: SS_DISABLE };
  readonly #actions: Action[] = Array.from({ length: NSIG + 1 }, () => DEFAULT);
  readonly #pending: SignalInfo[] = []; // oldest first; a standard signal at most once

  action(signal: number): Action {
    return this.#actions[signal];
  }

  setAction(signal: number, action: Action): void {
    this.#actions[signal] = action;
    if (this.isIgnored(signal)) this.discard(signal);
  }

  isDefault(signal: number): boolean {
    const { handlerLo, handlerHi } = this.#actions[signal];
    return handlerLo === SIG_DFL && handlerHi === 0;
  }

  isIgnored(signal: number): boolean {
    const { handlerLo, handlerHi } = this.#actions[signal];
    return (handlerLo === SIG_IGN && handlerHi === 0) || (this.isDefault(signal) && HARMLESS.has(signal));
  }

  /** Whether SIG_IGN has been set for it, which means more than to do nothing for SIGCHLD. */
  isSetToIgnore(signal: number): boolean {
    const { handlerLo, handlerHi } = this.#actions[signal];
    return handlerLo === SIG_IGN && handlerHi === 0;
  }

  isBlocked(signal: number): boolean {
    return bit(this.blockedLo, this.blockedHi, signal);
  }

  setBlocked(lo: number, hi: number): void {
    this.blockedLo = lo & ~(1 << (SIGKILL - 1)) & ~(1 << (SIGSTOP - 1));
    this.blockedHi = hi;
  }

  /**
   * Makes a signal pending, unless it would be ignored or (a standard one) is pending already.
   * @returns false where too many are pending: this one is lost
   */
  raise(info: SignalInfo): boolean {
    if (this.isIgnored(info.signal) && !this.isBlocked(info.signal)) return true;
    const standard = info.signal < 32;
    if (standard && this.#pending.some((other) => other.signal === info.signal)) return true;
    if (this.#pending.length >= PENDING_MAX) return false;
    this.#pending.push(info);
    return true;
  }

  /** Whether anything waits to be delivered. Asked after every system call. */
  get deliverable(): boolean {
    if (this.#pending.length === 0) return false;
    return this.#pending.some((info) => !this.isBlocked(info.signal));
  }

  /** Whether a signal of `mask` is pending, blocked or not. */
  isPending(mask: { readonly lo: number; readonly hi: number }): boolean {
    return this.#pending.some((info) => bit(mask.lo, mask.hi, info.signal));
  }

  /** Takes the next signal to deliver: the lowest number that is not blocked. Ignored ones fall away. */
  take(): SignalInfo | null {
    return this.takeFrom(~this.blockedLo, ~this.blockedHi);
  }

  /** Takes the next pending signal within a mask: sigtimedwait(2). */
  takeFrom(lo: number, hi: number): SignalInfo | null {
    let best = -1;
    this.#pending.forEach((info, index) => {
      if (bit(lo, hi, info.signal) && (best < 0 || info.signal < this.#pending[best].signal)) best = index;
    });
    return best < 0 ? null : this.#pending.splice(best, 1)[0];
  }

  pendingMask(): { lo: number; hi: number } {
    let lo = 0;
    let hi = 0;
    for (const { signal } of this.#pending) {
      if (signal <= 32) lo |= 1 << (signal - 1);
      else hi |= 1 << (signal - 33);
    }
    return { lo, hi };
  }

  discard(signal: number): void {
    for (let i = this.#pending.length - 1; i >= 0; i--) if (this.#pending[i].signal === signal) this.#pending.splice(i, 1);
  }

  /** fork(2): the same actions and mask, and nothing pending. */
  clone(): SignalState {
    const copy = new SignalState();
    this.#actions.forEach((action, signal) => {
      copy.#actions[signal] = action;
    });
    copy.blockedLo = this.blockedLo;
    copy.blockedHi = this.blockedHi;
    copy.stack = { ...this.stack };
    return copy;
  }

  /** CLONE_CLEAR_SIGHAND: handlers go back to the default; what is ignored stays so. */
  clearHandlers(): void {
    for (let signal = 1; signal <= NSIG; signal++) {
      const { handlerLo, handlerHi } = this.#actions[signal];
      const ignored = handlerLo === SIG_IGN && handlerHi === 0;
      this.#actions[signal] = ignored ? { ...DEFAULT, handlerLo: SIG_IGN } : DEFAULT;
    }
  }

  /** execve(2): handlers go back to the default, what is ignored stays so; the alternate stack is gone. */
  exec(): void {
    this.clearHandlers();
    this.stack = { sp: 0, size: 0, flags: SS_DISABLE };
    this.saved = null;
  }
}

/** Whether a mask contains a signal. */
export function bit(lo: number, hi: number, signal: number): boolean {
  return signal <= 32 ? ((lo >>> (signal - 1)) & 1) !== 0 : ((hi >>> (signal - 33)) & 1) !== 0;
}

const NAMES = (
  'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ ' +
  'VTALRM PROF WINCH IO PWR SYS'
).split(' ');

/** `SIGSEGV`, or `signal 40`. */
export function signalName(signal: number): string {
  const name = NAMES[signal - 1];
  return name === undefined ? `signal ${signal}` : `SIG${name}`;
}
