/**
 * Lwp: one thread of control of a process.
 *
 *   hart   a RISC-V program: registers, in a hart or saved here; perhaps inside a vmspace_ctl(RUN)
 *   body   a TypeScript program: a generator that the scheduler steps
 *
 *   ready <--> running --> asleep --(wakeup, deadline, signal)--> ready        stopped: its process is, and it was due
 *                     \--> ended
 *
 * A system call that must wait leaves `call` behind: its arguments stay in the registers, and it is made again from the
 * beginning when the lwp runs next. What it must remember from one attempt to the next is in the record.
 */

import type { GuestSpace } from './space-group.ts';
import type { HostWait } from './host.ts';
import type { Process } from './process.ts';
import { RegisterFile } from './registers.ts';
import { PendingSignals } from './signal.ts';
import { SignalSet } from './signal-set.ts';
import type { Timer } from './timer.ts';

export type LwpState = 'ready' | 'running' | 'asleep' | 'stopped' | 'ended';

/** What an lwp sleeps on: whoever changes what it waits for wakes the same value up. Compared by identity. */
export type Channel = object | string | number;

/** What a signal with a handler does to a call that waits. */
export const INTERRUPT_RESTARTS = 0; // as the handler's SA_RESTART says
export const INTERRUPT_ENDS = 1; // -EINTR always

/** A system call that waits. */
export interface WaitingCall {
  nr: number; // -1: none
  interrupt: number; // INTERRUPT_*
  /** Clock time, ns, when it ends by itself; kept over the attempts. Infinity: it does not. */
  deadline: number;
  /** It was woken by who it waits for, or has reached its deadline: it must finish before a signal is looked at. */
  woken: boolean;
  expired: boolean;
  /** Bytes it has moved so far. Means something while the call waits. */
  done: number;
  /** Where the remaining time goes if a handler interrupts it; 0: nowhere. */
  remainderAt: number;
}

/** The vmspace_ctl(RUN) that a RISC-V program is inside of. All but `guest` means nothing while there is none. */
export interface GuestRun {
  guest: GuestSpace | null; // null: its own program runs
  tf: number; // where the caller wants the frames back, addresses in its space
  vf: number;
  readonly caller: RegisterFile; // what comes back when the RUN ends
  left: number; // instructions the RUN may still execute; Infinity without a budget
}

/** Where handlers with SA_ONSTACK run. */
export interface AlternateStack {
  base: number;
  size: number; // bytes, 0: there is none
}

export class Lwp {
  tid: number; // > 0; the pid in a process's first, and in one that executes a program
  readonly process: Process;
  /** The TypeScript program; null: a RISC-V program runs. */
  readonly program: Generator<HostWait, number, void> | null;
  readonly registers = new RegisterFile();
  readonly run: GuestRun = { guest: null, tf: 0, vf: 0, caller: new RegisterFile(), left: 0 };
  /** The space its last vmspace call named: most name the one before. */
  lastGuest: GuestSpace | null = null;

  state: LwpState = 'ready';
  /** Its process has an exit status, or it has ended itself: it makes no more calls. */
  isOver = false;
  /** Neighbour in the run queue. */
  next: Lwp | null = null;
  /** While asleep; null: only time or a signal wakes it. */
  channel: Channel | null = null;
  /** What it sleeps for, for a person. */
  why = '';
  /** Set by whoever makes it sleep with a deadline. */
  readonly timer: Timer;
  readonly call: WaitingCall = {
    nr: -1,
    interrupt: INTERRUPT_RESTARTS,
    deadline: Infinity,
    woken: false,
    expired: false,
    done: 0,
    remainderAt: 0,
  };

  /** Signals for this lwp alone. */
  readonly pending = new PendingSignals();
  readonly blocked = new SignalSet();
  /** The mask to come back after rt_sigsuspend; null outside of one. */
  suspendedMask: SignalSet | null = null;
  /** Signals rt_sigtimedwait waits for: they wake it though they are blocked. */
  awaited: SignalSet | null = null;
  /** A signal may be due: looked at before every return to the program. */
  attention = false;
  readonly alternate: AlternateStack = { base: 0, size: 0 };
  /** Where 0 is stored, and who waits there woken, when it ends; 0: nowhere. */
  clearTid = 0;

  constructor(tid: number, process: Process, program: Generator<HostWait, number, void> | null, expire: (lwp: Lwp) => void) {
    this.tid = tid;
    this.process = process;
    this.program = program;
    this.timer = { at: Infinity, index: -1, order: 0, fire: () => expire(this) };
  }
}
