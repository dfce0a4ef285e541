/**
 * Signals as data: what is pending, what is to be done about each, and what a signal does by itself. Who sends and who
 * receives is signals.ts; the frame a handler runs on is signal-frame.ts.
 *
 * A signal below SIGRTMIN is pending once, however often it is sent: the first sender's record is kept. Those from SIGRTMIN
 * on are queued.
 */

import {
  SA_NOCLDSTOP,
  SA_NOCLDWAIT,
  SIG_DFL,
  SIG_IGN,
  SIGCHLD,
  SIGCONT,
  SIGKILL,
  SIGNALS,
  SIGRTMIN,
  SIGSTOP,
  SIGTSTP,
  SIGTTIN,
  SIGTTOU,
  SIGURG,
  SIGWINCH,
} from './abi.ts';
import { SignalSet } from './signal-set.ts';

/** What a handler with SA_SIGINFO is told. */
export interface SignalInfo {
  readonly signal: number;
  readonly code: number; // si_code
  /** Sender, or the child of a SIGCHLD; 0: the kernel. */
  readonly pid: number;
  /** SIGCHLD: exit code or signal. sigqueue: the value. Without a pid: address of a fault. 64 bits as halves. */
  readonly lo: number;
  readonly hi: number;
}

/** Records of one set that wait for their turn. */
const MAX_QUEUED = 1024;

/** Signals that have been sent and not yet taken. */
export class PendingSignals {
  readonly set = new SignalSet();
  #records: SignalInfo[] = []; // in the order they came

  /** @returns false: too many are queued, and this one is not */
  add(info: SignalInfo): boolean {
    if (this.set.has(info.signal) && info.signal < SIGRTMIN) return true;
    if (this.#records.length >= MAX_QUEUED) return false;
    this.set.add(info.signal);
    this.#records.push(info);
    return true;
  }

  /** Takes the first record of `signal` out; null if there is none. */
  take(signal: number): SignalInfo | null {
    const at = this.#records.findIndex((info) => info.signal === signal);
    if (at < 0) return null;
    const [info] = this.#records.splice(at, 1);
    if (!this.#records.some((other) => other.signal === signal)) this.set.delete(signal);
    return info ?? null;
  }

  delete(signal: number): void {
    if (!this.set.has(signal)) return;
    this.set.delete(signal);
    this.#records = this.#records.filter((info) => info.signal !== signal);
  }
}

/** What rt_sigaction keeps for one signal. */
export interface SignalAction {
  handler: number; // SIG_DFL, SIG_IGN, or an address
  flags: number; // SA_*
  readonly mask: SignalSet;
}

/** The actions of a process. */
export class SignalActions {
  readonly #actions: readonly SignalAction[] = Array.from({ length: SIGNALS + 1 }, () => ({
    handler: SIG_DFL,
    flags: 0,
    mask: new SignalSet(),
  }));

  get(signal: number): SignalAction {
    return this.#actions[signal] as SignalAction;
  }

  /** For fork. */
  copy(from: SignalActions): void {
    for (let signal = 1; signal <= SIGNALS; signal++) {
      const action = this.get(signal);
      const other = from.get(signal);
      action.handler = other.handler;
      action.flags = other.flags;
      action.mask.copy(other.mask);
    }
  }

  /** For exec: handlers are gone with the program they were in. */
  resetHandlers(): void {
    for (let signal = 1; signal <= SIGNALS; signal++) {
      const action = this.get(signal);
      if (action.handler !== SIG_IGN) this.reset(signal);
    }
  }

  reset(signal: number): void {
    const action = this.get(signal);
    action.handler = SIG_DFL;
    action.flags = 0;
    action.mask.set(0, 0);
  }

  /** Whether `signal` would have no effect: SIG_IGN, or SIG_DFL of one that does nothing. */
  ignores(signal: number): boolean {
    const { handler } = this.get(signal);
    return handler === SIG_IGN || (handler === SIG_DFL && defaultAction(signal) === 'ignore');
  }

  /** Whether ended children leave no zombie. */
  get reapsChildren(): boolean {
    const { handler, flags } = this.get(SIGCHLD);
    return handler === SIG_IGN || (flags & SA_NOCLDWAIT) !== 0;
  }

  /** Whether the parent wants SIGCHLD for a child that stopped or went on. */
  get hearsStops(): boolean {
    return (this.get(SIGCHLD).flags & SA_NOCLDSTOP) === 0;
  }
}

export type DefaultAction = 'end' | 'ignore' | 'stop' | 'continue';

/** What a signal does where no handler is. There are no core dumps. */
export function defaultAction(signal: number): DefaultAction {
  switch (signal) {
    case SIGCHLD:
    case SIGURG:
    case SIGWINCH:
      return 'ignore';
    case SIGCONT:
      return 'continue';
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
      return 'stop';
    default:
      return 'end';
  }
}

/** Whether nothing keeps the signal from acting: no handler, no mask. */
export function cannotBeCaught(signal: number): boolean {
  return signal === SIGKILL || signal === SIGSTOP;
}
