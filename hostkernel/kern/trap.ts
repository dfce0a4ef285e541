/**
 * Traps: what ends the hart's run, and what the kernel does about it.
 *
 *   cause          outside a RUN                                inside a RUN of a RISC-V vkernel
 *   ecall          system call, result to a0                    RUN ends
 *   page fault     VmSpace.fault; else SIGSEGV, SIGBUS          VmSpace.fault; else RUN ends
 *                  no frame: SIGKILL                            no frame: SIGKILL
 *   breakpoint     SIGTRAP                                      RUN ends
 *   illegal        SIGILL                                       RUN ends
 *   misaligned     SIGBUS (LR, SC and AMOs only)                RUN ends
 *   budget         slice is over                                slice is over, or RUN ends
 *
 * Signals have their default action only: the process ends. Guests of TypeScript vkernels do not come here: run.ts.
 */

import { ENOSYS } from '../base/errno.ts';
import { type Processor, TRAP_BREAKPOINT, TRAP_BUDGET, TRAP_ECALL, TRAP_ILLEGAL, TRAP_PREEMPTED } from '../machine/index.ts';
import { FAULT_OK } from '../vm/index.ts';
import { SIGBUS, SIGILL, SIGTRAP } from './abi.ts';
import { FAULT_NS, SYSCALL_NS } from './costs.ts';
import type { HostKernel } from './kernel.ts';
import type { HartLwp, Process } from './process.ts';
import type { GuestSpace } from './space-group.ts';
import { type GuestRunner, isPageFault } from './run.ts';
import { SYSCALL_ARGS, SyscallArgs } from './syscall-args.ts';
import { NO_RESULT } from './syscall-result.ts';
import { SYSCALL_END, SYSCALL_TABLE } from './syscall-table.ts';

const TWO32 = 2 ** 32;
const A0 = 20; // word index of x10 in Hart.x
const A7 = 34;

export class Traps {
  readonly args = new SyscallArgs();
  readonly #kernel: HostKernel;
  readonly #runner: GuestRunner;
  readonly #hart: Processor;

  constructor(kernel: HostKernel, runner: GuestRunner) {
    this.#kernel = kernel;
    this.#runner = runner;
    this.#hart = kernel.machine.hart;
  }

  /** Runs `lwp`, whose registers and space are in the hart, to the end of its slice or of its process. Hot. */
  runSlice(lwp: HartLwp): void {
    const kernel = this.#kernel;
    const hart = this.#hart;
    const { process, run } = lwp;
    while (kernel.sliceLeft > 0 && process.exitStatus === null) {
      const { guest } = run;
      const limit = guest !== null && run.left < kernel.sliceLeft ? run.left : kernel.sliceLeft;
      const before = hart.retired;
      const cause = hart.run(limit);
      const done = hart.retired - before;
      kernel.sliceLeft -= done + 1; // a trap costs one, so that a slice ends
      run.left -= done;
      if (cause === TRAP_PREEMPTED) {
        kernel.endSlice();
        return;
      }
      if (cause !== TRAP_BUDGET) kernel.counters.entries++;
      if (guest === null) this.#userTrap(process, cause);
      else this.#guestTrap(lwp, guest, cause);
    }
  }

  /** Makes system call `nr` with the arguments in `args`. Hot. @returns a value >= 0, -errno, RUN_PREEMPTED or NO_RESULT */
  syscall(process: Process, nr: number): number {
    const kernel = this.#kernel;
    kernel.counters.syscalls++;
    kernel.machine.clock.charge(SYSCALL_NS);
    const call = nr >= 0 && nr < SYSCALL_END ? SYSCALL_TABLE[nr] : null;
    return call === null || call === undefined ? this.#unknown(process, nr) : call.handler(process, this.args);
  }

  #userTrap(process: Process, cause: number): void {
    if (cause === TRAP_ECALL) this.#ecall(process);
    else if (isPageFault(cause)) this.#pageFault(process);
    else if (cause === TRAP_ILLEGAL) this.#kill(process, SIGILL, `illegal instruction 0x${this.#hart.tval.toString(16)}`);
    else if (cause === TRAP_BREAKPOINT) this.#kill(process, SIGTRAP, 'breakpoint');
    else if (cause !== TRAP_BUDGET) this.#kill(process, SIGBUS, `misaligned or impossible access, trap cause ${cause}`);
  }

  #guestTrap(lwp: HartLwp, guest: GuestSpace, cause: number): void {
    if (cause === TRAP_BUDGET && lwp.run.left > 0) return;
    if (isPageFault(cause) && this.#runner.resolves(lwp.process, guest.space)) return;
    if (lwp.process.exitStatus === null) this.#runner.leaveToHart(lwp, guest, cause);
  }

  #pageFault(process: Process): void {
    const hart = this.#hart;
    const va = hart.tval;
    this.#kernel.counters.userFaults++;
    this.#kernel.machine.clock.charge(FAULT_NS);
    const result = process.space.fault(va, hart.access);
    if (result !== FAULT_OK) this.#kernel.killForFault(process, process.space, { result, va, access: hart.access, pc: hart.pc });
  }

  #kill(process: Process, signal: number, refusal: string): void {
    this.#kernel.end(process, { signal, faultVa: null, access: 0, pc: this.#hart.pc, refusal });
  }

  /** The system call of a RISC-V program: a7 and a0..a6 in, a0 out, pc to the next instruction. */
  #ecall(process: Process): void {
    const hart = this.#hart;
    const { x } = hart;
    const { args } = this;
    const wide = process.xlen === 64;
    for (let i = 0; i < SYSCALL_ARGS; i++) {
      args.lo[i] = x[A0 + 2 * i];
      args.hi[i] = wide ? x[A0 + 2 * i + 1] : 0;
    }
    const nr = wide && x[A7 + 1] !== 0 ? -1 : x[A7];
    if (!wide) this.#widen(nr);
    hart.setPc(hart.pc + 4);
    const result = this.syscall(process, nr);
    if (result === NO_RESULT) return;
    x[A0] = result;
    x[A0 + 1] = wide ? Math.floor(result / TWO32) : 0;
  }

  /** Puts 64-bit arguments of a 32-bit program together. */
  #widen(nr: number): void {
    const call = nr >= 0 && nr < SYSCALL_END ? SYSCALL_TABLE[nr] : null;
    if (call === null || call === undefined) return;
    const { args } = this;
    if (call.pair32 >= 0) args.hi[call.pair32] = args.lo[call.pair32 + 1];
    if (call.pages32 >= 0) args.setNumber(call.pages32, (args.lo[call.pages32] >>> 0) * 4096);
  }

  /** Counts a system call that does not exist, and reports the first of its number. Numbers out of range count as -1. */
  #unknown(process: Process, nr: number): number {
    const { unknownSyscalls } = this.#kernel.counters;
    const key = Number.isInteger(nr) && nr >= 0 && nr < SYSCALL_END ? nr : -1;
    const before = unknownSyscalls.get(key) ?? 0;
    unknownSyscalls.set(key, before + 1);
    if (before === 0) this.#kernel.log(process, `system call ${nr} does not exist`);
    return -ENOSYS;
  }
}
