/**
 * Signals: who gets one, and what comes of it.
 *
 *   kill, timer, SIGCHLD --send--> acts at once (ends, stops, continues, nothing), if no handler and no mask is in the way
 *                            |
 *                            +---> pending of the lwp or the process, attention --due--> handler, or default action
 *   fault of an lwp --raise--> pending of the lwp, or the end
 *
 * A RISC-V lwp looks for due signals before it returns to its program (trap.ts); a handler runs on a frame on its stack
 * (signal-frame.ts). A TypeScript program has no handlers: any handler address but SIG_IGN means that it asks by
 * Host.takeSignal.
 */

import { ITIMER_REAL, ITIMER_VIRTUAL, SI_KERNEL, SI_USER, SIG_DFL, SIG_IGN, SIGALRM, SIGCONT, SIGKILL, SIGPROF, SIGVTALRM } from './abi.ts';
import type { Killed } from './exit-status.ts';
import type { HostKernel } from './kernel.ts';
import type { Lwp } from './lwp.ts';
import type { Process } from './process.ts';
import { cannotBeCaught, defaultAction, type SignalInfo } from './signal.ts';
import { lowestSignal } from './signal-set.ts';

export class Signals {
  readonly #kernel: HostKernel;

  constructor(kernel: HostKernel) {
    this.#kernel = kernel;
  }

  /**
   * Sends a signal to `process`, or to the lwp of it that `only` names.
   * @returns false: so many are queued that this one is lost
   */
  send(process: Process, info: SignalInfo, only: Lwp | null = null): boolean {
    if (process.exitStatus !== null) return true;
    const { signal } = info;
    if (signal === SIGKILL) {
      this.#kernel.end(process, killedBy(info));
      return true;
    }
    const action = defaultAction(signal);
    if (signal === SIGCONT) this.#continue(process);
    else if (action === 'stop') this.#drop(process, (other) => other === SIGCONT);
    const receiver = this.#receiver(process, only, signal);
    if (receiver !== null && receiver.awaited?.has(signal) !== true) {
      const { handler } = process.actions.get(signal);
      if (process.actions.ignores(signal)) return true;
      if (handler === SIG_DFL) {
        this.#act(process, info);
        return true;
      }
    }
    if (!(only ?? process).pending.add(info)) return false;
    for (const lwp of only === null ? process.lwps : [only]) lwp.attention = true;
    if (receiver !== null) this.#kernel.scheduler.rouse(receiver);
    return true;
  }

  /** `lwp` has made a fault. Without a handler, or if it is blocked, the process ends by `status`. */
  raise(lwp: Lwp, info: SignalInfo, status: Killed): void {
    const { process } = lwp;
    const { handler } = process.actions.get(info.signal);
    if (lwp.program !== null || handler === SIG_DFL || handler === SIG_IGN || lwp.blocked.has(info.signal)) {
      this.#kernel.end(process, status);
      return;
    }
    lwp.pending.add(info);
    lwp.attention = true;
  }

  /** One of the timers of `process` has run out. */
  expire(process: Process, which: number): void {
    const signal = which === ITIMER_REAL ? SIGALRM : which === ITIMER_VIRTUAL ? SIGVTALRM : SIGPROF;
    this.send(process, { signal, code: SI_KERNEL, pid: 0, lo: 0, hi: 0 });
  }

  /**
   * The signal that `lwp` has a handler for and must take next, or 0. Default actions are done on the way, so the process
   * may have ended or stopped. Clears `attention` when nothing is left to do.
   */
  due(lwp: Lwp): number {
    const { process } = lwp;
    for (;;) {
      const signal = this.#next(lwp);
      if (signal === 0) {
        lwp.attention = false;
        return 0;
      }
      const { handler } = process.actions.get(signal);
      if (handler !== SIG_DFL && handler !== SIG_IGN) return signal;
      const info = this.take(lwp, signal);
      if (handler === SIG_IGN || info === null) continue;
      this.#act(process, info);
      if (process.exitStatus !== null || process.stopped) return 0;
    }
  }

  /** Takes `signal` out of what is pending for `lwp`; null if it is not. */
  take(lwp: Lwp, signal: number): SignalInfo | null {
    return lwp.pending.take(signal) ?? lwp.process.pending.take(signal);
  }

  /** The lowest signal that is pending for `lwp` and not blocked; those for it alone come first. */
  #next(lwp: Lwp): number {
    const { blocked } = lwp;
    const own = lwp.pending.set;
    const first = lowestSignal(own.lo & ~blocked.lo, own.hi & ~blocked.hi);
    if (first !== 0) return first;
    const all = lwp.process.pending.set;
    return lowestSignal(all.lo & ~blocked.lo, all.hi & ~blocked.hi);
  }

  /** An lwp that would take the signal now, or null: all block it. */
  #receiver(process: Process, only: Lwp | null, signal: number): Lwp | null {
    if (cannotBeCaught(signal)) return process.lwps[0] ?? null;
    for (const lwp of only === null ? process.lwps : [only]) {
      if (lwp.state !== 'ended' && (!lwp.blocked.has(signal) || lwp.awaited?.has(signal) === true)) return lwp;
    }
    return null;
  }

  /** What `info` does where no handler is. */
  #act(process: Process, info: SignalInfo): void {
    switch (defaultAction(info.signal)) {
      case 'end':
        this.#kernel.end(process, killedBy(info));
        return;
      case 'stop':
        if (process.stopped) return;
        process.stopped = true;
        process.news = 'stopped';
        process.stopSignal = info.signal;
        if (this.#kernel.scheduler.current?.process === process) this.#kernel.endSlice();
        this.#kernel.life.tellStop(process);
        return;
      case 'continue':
      case 'ignore':
    }
  }

  #continue(process: Process): void {
    this.#drop(process, (signal) => defaultAction(signal) === 'stop');
    if (!process.stopped) return;
    process.stopped = false;
    process.news = 'continued';
    for (const lwp of process.lwps) if (lwp.state === 'stopped') this.#kernel.scheduler.enqueue(lwp);
    this.#kernel.life.tellStop(process);
  }

  /** Makes all pending signals that `which` names unsent. */
  #drop(process: Process, which: (signal: number) => boolean): void {
    for (let signal = 1; signal <= 31; signal++) {
      if (!which(signal)) continue;
      process.pending.delete(signal);
      for (const lwp of process.lwps) lwp.pending.delete(signal);
    }
  }
}

function killedBy(info: SignalInfo): Killed {
  const from = info.code <= SI_USER && info.pid > 0 ? `sent by process ${info.pid}` : 'sent by the kernel';
  return { signal: info.signal, faultVa: null, access: 0, pc: null, refusal: from };
}
