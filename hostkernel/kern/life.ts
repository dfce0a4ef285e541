/**
 * Life: how processes and lwps begin and end.
 *
 *   enroll -> alive --end--> has an exit status --reap, between two steps--> taken apart -> zombie --wait--> gone
 *                                                                                      \--> gone, if nobody will ask
 *
 * Taking apart gives back everything: lwps, spaces of guests, descriptors, timers, the address space. What is left of a
 * zombie is its number and its status. A child whose parent ends is the kernel's: nobody asks for its status.
 */

import { CLD_CONTINUED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, SIGCHLD } from './abi.ts';
import { describeExit, type ExitStatus } from './exit-status.ts';
import type { HostKernel } from './kernel.ts';
import { IntervalTimers } from './interval-timer.ts';
import { Lwp } from './lwp.ts';
import { Process, type ProcessParts } from './process.ts';
import { kassert } from '../base/assert.ts';

export class Life {
  /** Every process that is alive or a zombie, by pid. */
  readonly processes = new Map<number, Process>();
  readonly #kernel: HostKernel;
  /** They have a status, and wait to be taken apart. */
  #ending: Process[] = [];
  #nextId = 1; // of processes and lwps; never used twice

  constructor(kernel: HostKernel) {
    this.#kernel = kernel;
  }

  /** A process without lwps. */
  enroll(parts: Omit<ProcessParts, 'kernel' | 'pid' | 'timers'>): Process {
    const kernel = this.#kernel;
    const timers = new IntervalTimers(
      kernel.scheduler.timers,
      () => kernel.machine.clock.now(),
      (which) => kernel.signals.expire(process, which),
    );
    const process: Process = new Process({ ...parts, kernel, pid: this.#nextId++, timers });
    this.processes.set(process.pid, process);
    process.parent?.children.add(process);
    return process;
  }

  /** Another lwp of `process`, in no queue yet. @param program what a TypeScript lwp runs, null for a RISC-V one */
  addLwp(process: Process, program: Lwp['program']): Lwp {
    const tid = process.lwps.length === 0 && process.exitStatus === null && process.firstCode === null ? process.pid : this.#nextId++;
    const lwp = new Lwp(tid, process, program, (sleeper) => {
      sleeper.call.expired = true;
      this.#kernel.scheduler.rouse(sleeper);
    });
    process.lwps.push(lwp);
    return lwp;
  }

  /** Gives `process` its exit status. What it holds is given back before the next step. */
  end(process: Process, status: ExitStatus): void {
    if (process.exitStatus !== null) return;
    process.exitStatus = status;
    for (const lwp of process.lwps) lwp.isOver = true;
    this.#ending.push(process);
    if ('signal' in status) this.#kernel.log(process, describeExit(status));
  }

  /** `lwp` has ended by its own wish; with the last one the process ends. */
  exitLwp(lwp: Lwp, code: number): void {
    const { process } = lwp;
    if (lwp.tid === process.pid) process.firstCode = code;
    if (process.lwps.length === 1) {
      this.end(process, { code: (process.firstCode ?? code) & 0xff });
      return;
    }
    this.#kernel.futexes.clearTid(lwp);
    this.removeLwp(lwp);
  }

  /** Ends `lwp` at once, without a word to anybody. */
  removeLwp(lwp: Lwp): void {
    const { process, run } = lwp;
    lwp.isOver = true;
    if (run.guest !== null) run.guest.runners--;
    run.guest = null;
    lwp.lastGuest = null;
    this.#kernel.scheduler.remove(lwp);
    process.lwps.splice(process.lwps.indexOf(lwp), 1);
  }

  /** Takes apart all that have ended. Never within a step. */
  reap(): void {
    if (this.#ending.length > 0) this.#reapAll();
  }

  #reapAll(): void {
    while (this.#ending.length > 0) {
      const ending = this.#ending;
      this.#ending = [];
      for (const process of ending) this.#takeApart(process);
    }
  }

  /** `parent` has taken note of the end of `zombie`: nothing of it is left. */
  forget(zombie: Process): void {
    kassert(zombie.isTakenApart, 'life: a live process is forgotten');
    zombie.parent?.children.delete(zombie);
    zombie.parent = null;
    this.processes.delete(zombie.pid);
  }

  /** `process` has stopped or goes on: its parent may want to know. */
  tellStop(process: Process): void {
    const { parent } = process;
    if (parent === null) return;
    if (parent.actions.hearsStops) {
      const code = process.stopped ? CLD_STOPPED : CLD_CONTINUED;
      this.#kernel.signals.send(parent, { signal: SIGCHLD, code, pid: process.pid, lo: process.stopSignal, hi: 0 });
    }
    this.#kernel.scheduler.wakeup(parent.children);
  }

  #takeApart(process: Process): void {
    while (process.lwps.length > 0) this.removeLwp(process.lwps[0] as Lwp);
    process.memory?.detach();
    process.group?.leave();
    process.group = null;
    process.files.closeAll();
    process.timers.clear();
    process.space.destroy();
    process.isTakenApart = true;
    for (const child of process.children) {
      child.parent = null;
      if (child.isTakenApart) this.processes.delete(child.pid);
    }
    process.children.clear();
    this.#tellEnd(process);
  }

  /** Makes a zombie of `process` and tells its parent; or forgets it, if nobody will ask. */
  #tellEnd(process: Process): void {
    const { parent, exitStatus: status } = process;
    if (parent === null || parent.exitStatus !== null || status === null) {
      this.forget(process);
      return;
    }
    const reaped = parent.actions.reapsChildren && process.exitSignal === SIGCHLD;
    if (process.exitSignal !== 0) {
      const [code, value] = 'code' in status ? [CLD_EXITED, status.code] : [CLD_KILLED, status.signal];
      this.#kernel.signals.send(parent, { signal: process.exitSignal, code, pid: process.pid, lo: value, hi: 0 });
    }
    if (reaped) this.forget(process);
    this.#kernel.scheduler.wakeup(parent.children);
  }
}
