/** BodyHost: the Host of a TypeScript program. Its system calls are those of everybody; only the registers are missing. */

import type { Host } from './host.ts';
import type { Process } from './process.ts';
import { NO_RESULT } from './syscall-result.ts';
import { ProcessEnded, ProcessMemory } from './user-memory.ts';

export class BodyHost implements Host {
  readonly xlen: 32 | 64;
  readonly userEnd: number;
  readonly memory: ProcessMemory;
  readonly #process: Process;

  constructor(process: Process) {
    this.#process = process;
    this.xlen = process.xlen;
    this.userEnd = process.space.userEnd;
    this.memory = new ProcessMemory(process, process.kernel.machine.ram);
  }

  syscall(nr: number, a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0, a6 = 0): number {
    const process = this.#process;
    if (process.exitStatus !== null) throw new ProcessEnded();
    const { args } = process.kernel;
    this.#trap();
    args.setNumber(0, a0);
    args.setNumber(1, a1);
    args.setNumber(2, a2);
    args.setNumber(3, a3);
    args.setNumber(4, a4);
    args.setNumber(5, a5);
    args.setNumber(6, a6);
    const result = process.kernel.syscall(process, nr);
    if (result === NO_RESULT) throw new ProcessEnded();
    return result;
  }

  run(id: number, tf: number, vf: number): number {
    const process = this.#process;
    if (process.exitStatus !== null) throw new ProcessEnded();
    this.#trap();
    const result = process.kernel.runGuest(process, id, tf, vf);
    if (result === NO_RESULT) throw new ProcessEnded();
    return result;
  }

  /** The way into the kernel, as far as this hardware has one for programs that are not RISC-V code. */
  #trap(): void {
    const { kernel, space, xlen } = this.#process;
    kernel.counters.entries++;
    kernel.machine.trapFromBody(space.context, xlen);
  }
}
