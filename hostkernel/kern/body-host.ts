/** BodyHost: the Host of a TypeScript program. Its system calls are those of everybody; only the registers are missing. */

import { kassert } from '../base/assert.ts';
import { EAGAIN } from '../base/errno.ts';
import type { Host, HostBody } from './host.ts';
import type { HostKernel } from './kernel.ts';
import type { Lwp } from './lwp.ts';
import type { Process } from './process.ts';
import { RUN_PREEMPTED } from './abi.ts';
import type { SyscallArgs } from './syscall-args.ts';
import { ASLEEP, NO_RESULT } from './syscall-result.ts';
import { ProcessEnded, type ProcessMemory } from './user-memory.ts';

const MAX_LWPS = 1024; // of a process

export class BodyHost implements Host {
  readonly xlen: 32 | 64;
  readonly userEnd: number;
  readonly memory: ProcessMemory;
  readonly #process: Process;
  readonly #kernel: HostKernel;
  readonly #args: SyscallArgs;
  #lwp: Lwp | null = null;

  constructor(process: Process, memory: ProcessMemory) {
    this.xlen = process.xlen;
    this.userEnd = process.space.userEnd;
    this.memory = memory;
    this.#process = process;
    this.#kernel = process.kernel;
    this.#args = process.kernel.args;
  }

  /** Whose system calls these are: known when the generator has been made from this object. */
  belongTo(lwp: Lwp): void {
    this.#lwp = lwp;
  }

  syscall(nr: number, a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0, a6 = 0): number {
    const lwp = this.#live();
    const kernel = this.#kernel;
    const args = this.#args;
    this.#trap();
    args.setNumber(0, a0);
    args.setNumber(1, a1);
    args.setNumber(2, a2);
    args.setNumber(3, a3);
    args.setNumber(4, a4);
    args.setNumber(5, a5);
    args.setNumber(6, a6);
    return this.#result(kernel.syscallOf(lwp, nr));
  }

  run(id: number, tf: number, vf: number): number {
    const lwp = this.#live();
    this.#trap();
    return this.#result(this.#kernel.runGuest(lwp, id, tf, vf));
  }

  takeSignal(): number {
    const lwp = this.#live();
    const { signals } = this.#process.kernel;
    const signal = signals.due(lwp);
    if (signal !== 0) signals.take(lwp, signal);
    return signal;
  }

  createLwp(body: HostBody): number {
    this.#live();
    const process = this.#process;
    return process.lwps.length < MAX_LWPS ? process.kernel.addBody(process, body).tid : -EAGAIN;
  }

  /** The lwp, if its process has not ended. */
  #live(): Lwp {
    const lwp = this.#lwp;
    if (lwp === null || lwp.isOver) return this.#ended();
    return lwp;
  }

  #ended(): never {
    kassert(this.#lwp !== null, 'body_host: used before its program runs');
    throw new ProcessEnded();
  }

  /** The way into the kernel, as far as this hardware has one for programs that are not RISC-V code. */
  #trap(): void {
    const kernel = this.#kernel;
    const { space, xlen } = this.#process;
    kernel.counters.entries++;
    kernel.vm.releaseHolds();
    kernel.machine.trapFromBody(space.context, xlen);
  }

  #result(result: number): number {
    if (result === NO_RESULT) throw new ProcessEnded();
    return result === ASLEEP ? RUN_PREEMPTED : result;
  }
}
