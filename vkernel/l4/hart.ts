/**
 * Hart threads: RISC-V code in an L4 space, between RUN calls to the host.
 *
 *   start message (ip, sp) --> trapframe --> RUN --> trap --> message to pager or exception handler
 *                                  ^                              |
 *                                  +---- registers, a0 <--- answer+
 *
 * The registers are in a trapframe of the kernel region, which the host reads and writes. A handler works on a copy
 * (registersOf) that is put back before the thread goes on.
 */
import { EINTR } from '../../hostkernel/base/errno.ts';
import { EXEC, PAGE_MASK, PAGE_SHIFT, WRITE } from '../../hostkernel/base/units.ts';
import {
  CAUSE_ECALL,
  CAUSE_FETCH_PAGE_FAULT,
  CAUSE_LOAD_PAGE_FAULT,
  CAUSE_STORE_PAGE_FAULT,
  RUN_PREEMPTED,
  TF_ACCESS,
  TF_BUDGET,
  TF_TRAPNO,
  TF_TVAL,
  VEXTFRAME_OFFSET,
  VF_CLEAN,
  VF_FLAGS,
} from '../platform/index.ts';
import { accessName, isReachable, reachable, startFault, startKernelCall, stopThread } from './fault.ts';
import { awaitMessage, callInPlace, messageInPlace } from './ipc.ts';
import { LABEL_EXCEPTION, LABEL_PREEMPTION, LABEL_SYSCALL } from './message.ts';
import type { KernelState } from './state.ts';
import {
  KERNEL_IPC_EXCEPTION,
  KERNEL_IPC_FAULT,
  KERNEL_IPC_NONE,
  KERNEL_IPC_START,
  KERNEL_IPC_SYSCALL,
  KIND_HART,
  READY,
  type Thread,
} from './thread.ts';
import { IPC_CANCELLED, ipcErrorCode } from './user.ts';

const WORD = 0x1_0000_0000;
const PAGES_PER_WORD = WORD / 2 ** PAGE_SHIFT;
const REGISTER_A0 = 10;
const REGISTER_A7 = 17;
const REGISTER_WORDS = 64;
const FLOAT_WORDS = 65;
const BUDGET_WORD = TF_BUDGET / 4;
const TRAPNO_WORD = TF_TRAPNO / 4;
const TVAL_WORD = TF_TVAL / 4;
const ACCESS_WORD = TF_ACCESS / 4;
const VF_FLAGS_WORD = VF_FLAGS / 4;

/** Index in image.words of the trapframe's first word. Good until the next host call. Hot. */
function frameWord(kernel: KernelState, thread: Thread): number {
  const { image } = kernel.platform;
  if (thread.frameEpoch !== image.epoch) {
    thread.frameWord = image.host.memory.translate(thread.trapframe, WRITE) >>> 2;
    thread.frameEpoch = image.epoch;
  }
  return thread.frameWord;
}

/** Makes a thread wait for the start message of its pager; the pager may come into being later. */
export function awaitStart(kernel: KernelState, thread: Thread): void {
  thread.kernelIpc = KERNEL_IPC_START;
  awaitMessage(kernel, thread, thread.pager);
}

/** Gives a thread its first registers. @returns whether there was memory for the frames */
function startHart(kernel: KernelState, thread: Thread, ip: number, sp: number): boolean {
  if (thread.trapframe === 0) {
    const frame = kernel.platform.region.allocateFrames();
    if (frame < 0) return false;
    thread.trapframe = frame;
  }
  thread.kind = KIND_HART;
  setInstructionPointer(kernel, thread, ip);
  setStackPointer(kernel, thread, sp);
  return true;
}

/** Reads x-register `i` (0 = pc) as a number. Exact below 2^53. */
export function readRegister(kernel: KernelState, thread: Thread, i: number): number {
  if (thread.trapframe === 0) return 0;
  const { words } = kernel.platform.image;
  const at = frameWord(kernel, thread) + 2 * i;
  const lo = (words[at] as number) >>> 0;
  return kernel.wordBits === 32 ? lo : ((words[at + 1] as number) >>> 0) * WORD + lo;
}

function writeRegister(kernel: KernelState, thread: Thread, i: number, value: number): void {
  const { words } = kernel.platform.image;
  const at = frameWord(kernel, thread) + 2 * i;
  words[at] = value;
  words[at + 1] = Math.floor(value / WORD);
  if (thread.registersTaken && thread.registers !== null) {
    thread.registers[2 * i] = value;
    thread.registers[2 * i + 1] = Math.floor(value / WORD);
  }
}

export function setInstructionPointer(kernel: KernelState, thread: Thread, ip: number): void {
  writeRegister(kernel, thread, 0, ip);
}

export function setStackPointer(kernel: KernelState, thread: Thread, sp: number): void {
  writeRegister(kernel, thread, 2, sp);
}

/** Copy of the integer registers that a handler may change; pc in words 0 and 1, xi in words 2i and 2i + 1. */
export function registersOf(kernel: KernelState, thread: Thread): Int32Array | null {
  if (!isInKernelCall(thread)) return null;
  if (thread.registers === null) thread.registers = new Int32Array(REGISTER_WORDS);
  if (!thread.registersTaken) {
    const { words } = kernel.platform.image;
    const at = frameWord(kernel, thread);
    for (let i = 0; i < REGISTER_WORDS; i++) thread.registers[i] = words[at + i] as number;
    thread.registersTaken = true;
  }
  return thread.registers;
}

/** Copy of f0..f31 (words 2i and 2i + 1) and fcsr (word 64) that a handler may change. */
export function floatRegistersOf(kernel: KernelState, thread: Thread): Int32Array | null {
  if (!isInKernelCall(thread)) return null;
  if (thread.floatRegisters === null) thread.floatRegisters = new Int32Array(FLOAT_WORDS);
  if (!thread.floatRegistersTaken) {
    const { words } = kernel.platform.image;
    const at = frameWord(kernel, thread) + VEXTFRAME_OFFSET / 4;
    for (let i = 0; i < FLOAT_WORDS; i++) thread.floatRegisters[i] = words[at + i] as number;
    thread.floatRegistersTaken = true;
  }
  return thread.floatRegisters;
}

/** Whether a hart thread waits in a fault, system call or exception. */
function isInKernelCall(thread: Thread): boolean {
  return (
    thread.kind === KIND_HART && thread.kernelIpc !== KERNEL_IPC_NONE && thread.kernelIpc !== KERNEL_IPC_START && thread.state !== READY
  );
}

/** Puts the handler's changes in force. */
function putBackRegisters(kernel: KernelState, thread: Thread): void {
  const { words } = kernel.platform.image;
  if (thread.registersTaken && thread.registers !== null) {
    words.set(thread.registers, frameWord(kernel, thread));
    thread.registersTaken = false;
  }
  if (thread.floatRegistersTaken && thread.floatRegisters !== null) {
    const at = frameWord(kernel, thread) + VEXTFRAME_OFFSET / 4;
    words.set(thread.floatRegisters, at);
    words[at + VF_FLAGS_WORD] = 0; // the host must load it again
    thread.vextClean = false;
    thread.floatRegistersTaken = false;
  }
}

/**
 * The kernel's IPC on behalf of `thread` has ended and the thread is about to run: takes the answer. Hot.
 * Afterwards the thread is READY with kernelIpc NONE, or waits again, or is stopped.
 */
export function finishKernelCall(kernel: KernelState, thread: Thread): void {
  const kind = thread.kernelIpc;
  if (kind === KERNEL_IPC_START) {
    finishStart(kernel, thread);
    return;
  }
  const error = thread.kernelError;
  const cancelled = ipcErrorCode(error) === IPC_CANCELLED;
  if (error !== 0 && !cancelled) {
    stopThread(kernel, thread, kind === KERNEL_IPC_FAULT ? 'its pager has gone' : 'its exception handler has gone');
    return;
  }
  putBackRegisters(kernel, thread);
  const message = thread.kernelMessage;
  if (cancelled) {
    if (kind === KERNEL_IPC_SYSCALL) writeRegister(kernel, thread, REGISTER_A0, -EINTR);
  } else if (message.label !== 0) {
    refusedCall(kernel, thread, kind);
    return;
  } else if (kind !== KERNEL_IPC_FAULT && message.untyped > 0) {
    const { words } = kernel.platform.image;
    const at = frameWord(kernel, thread) + 2 * REGISTER_A0;
    words[at] = message.lo[1] as number;
    words[at + 1] = message.hi[1] as number;
  }
  thread.kernelIpc = KERNEL_IPC_NONE;
}

/** The answer carries an error label. A page fault goes on to the exception handler, as the exception it is. */
function refusedCall(kernel: KernelState, thread: Thread, kind: number): void {
  const { label } = thread.kernelMessage;
  if (kind !== KERNEL_IPC_FAULT) {
    stopThread(kernel, thread, `its exception handler answered with label ${label}`);
    return;
  }
  startException(kernel, thread);
}

function finishStart(kernel: KernelState, thread: Thread): void {
  const message = thread.kernelMessage;
  if (thread.kernelError === 0 && (message.label !== 0 || message.untyped < 2)) {
    awaitStart(kernel, thread); // not a start message
    return;
  }
  if (thread.kernelError === 0) {
    thread.startIp = message.word(1);
    thread.startSp = message.word(2);
  } else if (ipcErrorCode(thread.kernelError) !== IPC_CANCELLED || thread.startIp === 0) {
    stopThread(kernel, thread, 'no start message');
    return;
  }
  thread.kernelIpc = KERNEL_IPC_NONE;
  if (!startHart(kernel, thread, thread.startIp, thread.startSp)) stopThread(kernel, thread, 'no memory for its registers');
}

/**
 * Runs a hart thread until a trap, or for `budget` instructions. Hot: allocates nothing.
 * @returns false if the host wants another process to run first: `yield`, then repeat
 */
export function runHart(kernel: KernelState, thread: Thread, budget: number): boolean {
  const { guest } = thread.space;
  if (!guest.hosted) {
    const made = guest.host();
    if (made < 0) {
      stopThread(kernel, thread, `the host refused an address space (errno ${-made})`);
      return true;
    }
  }
  const { words } = kernel.platform.image;
  let at = frameWord(kernel, thread);
  const { instructions } = kernel.counters;
  if (instructions + budget > kernel.probeAt) budget = kernel.probeAt - instructions;
  words[at + BUDGET_WORD] = budget;
  words[at + BUDGET_WORD + 1] = 0;
  const vextframe = thread.trapframe + VEXTFRAME_OFFSET;
  const result = guest.run(thread.trapframe, vextframe);
  kernel.counters.runs++;
  at = frameWord(kernel, thread);
  const retired = budget - ((words[at + BUDGET_WORD] as number) >>> 0);
  kernel.counters.instructions += retired;
  kernel.now += retired;
  if (kernel.counters.instructions >= kernel.probeAt) callProbe(kernel);
  if (result === RUN_PREEMPTED) return false;
  if (result < 0) {
    stopThread(kernel, thread, `the host refused to run it (errno ${-result})`);
    return true;
  }
  if (!thread.vextClean) {
    words[at + VEXTFRAME_OFFSET / 4 + VF_FLAGS_WORD] = (words[at + VEXTFRAME_OFFSET / 4 + VF_FLAGS_WORD] as number) | VF_CLEAN;
    thread.vextClean = true;
  }
  const cause = words[at + TRAPNO_WORD] as number;
  if (cause === CAUSE_ECALL) startSyscall(kernel, thread, at);
  else if (cause !== 0) startTrap(kernel, thread, cause, at);
  return true;
}

function callProbe(kernel: KernelState): void {
  kernel.probeAt = Number.POSITIVE_INFINITY;
  kernel.probe?.();
}

/** A system call goes to the exception handler: number, six arguments, pc of the ecall. Hot. */
function startSyscall(kernel: KernelState, thread: Thread, at: number): void {
  const handler = reachable(kernel, thread, thread.handler);
  if (handler === null) {
    stopThread(kernel, thread, `system call ${readRegister(kernel, thread, REGISTER_A7)}, and no exception handler`);
    return;
  }
  kernel.counters.syscalls++;
  const { words } = kernel.platform.image;
  const inPlace = messageInPlace(kernel, thread, handler);
  const message = inPlace ?? thread.kernelMessage;
  const { lo, hi } = message;
  message.label = LABEL_SYSCALL;
  message.untyped = 8;
  message.typed = 0;
  lo[1] = words[at + 2 * REGISTER_A7] as number;
  hi[1] = words[at + 2 * REGISTER_A7 + 1] as number;
  for (let i = 0; i < 6; i++) {
    lo[2 + i] = words[at + 2 * (REGISTER_A0 + i)] as number;
    hi[2 + i] = words[at + 2 * (REGISTER_A0 + i) + 1] as number;
  }
  const pc = words[at] as number; // already past the instruction
  lo[8] = pc - 4;
  hi[8] = (words[at + 1] as number) - (pc >>> 0 < 4 ? 1 : 0);
  if (inPlace === null) startKernelCall(kernel, thread, KERNEL_IPC_SYSCALL, thread.handler);
  else {
    thread.kernelIpc = KERNEL_IPC_SYSCALL;
    callInPlace(kernel, thread, handler);
  }
}

/**
 * Stops RISC-V code between two instructions: a message without words goes to its exception handler, and the thread goes
 * on when that is answered.
 * @returns whether the thread was running; one that waits for its pager or its handler has stopped already
 */
export function preemptHart(kernel: KernelState, thread: Thread): boolean {
  if (thread.kind !== KIND_HART || thread.state !== READY || thread.kernelIpc !== KERNEL_IPC_NONE) return false;
  if (thread.halted || !isReachable(kernel, thread, thread.handler)) return false;
  kernel.ready.remove(thread);
  thread.kernelMessage.begin(LABEL_PREEMPTION);
  startKernelCall(kernel, thread, KERNEL_IPC_EXCEPTION, thread.handler);
  return true;
}

/** Any other trap: a page fault goes to the pager, the rest to the exception handler. */
function startTrap(kernel: KernelState, thread: Thread, cause: number, at: number): void {
  if (cause !== CAUSE_FETCH_PAGE_FAULT && cause !== CAUSE_LOAD_PAGE_FAULT && cause !== CAUSE_STORE_PAGE_FAULT) {
    startException(kernel, thread);
    return;
  }
  const { words } = kernel.platform.image;
  const access = words[at + ACCESS_WORD] as number;
  const lo = words[at + TVAL_WORD] as number;
  const hi = words[at + TVAL_WORD + 1] as number;
  const va = faultAddress(kernel, lo, hi);
  const ip = readRegister(kernel, thread, 0);
  const page = (kernel.wordBits === 32 ? 0 : (hi >>> 0) * PAGES_PER_WORD) + (lo >>> PAGE_SHIFT);
  thread.space.guest.refused(page, lo & PAGE_MASK, access === 0 ? EXEC : access);
  if (va >= kernel.platform.userEnd)
    startException(kernel, thread); // no pager can help
  else if (!startFault(kernel, thread, va, access === 0 ? EXEC : access, ip)) {
    stopThread(kernel, thread, `${accessName(access)} fault at 0x${va.toString(16)}, ip 0x${ip.toString(16)}, no pager`);
  }
}

function faultAddress(kernel: KernelState, lo: number, hi: number): number {
  return kernel.wordBits === 32 ? lo >>> 0 : (hi >>> 0) * WORD + (lo >>> 0);
}

/** The trap in the thread's frame goes to the exception handler: cause, tval, pc. */
function startException(kernel: KernelState, thread: Thread): void {
  const { words } = kernel.platform.image;
  const at = frameWord(kernel, thread);
  const cause = words[at + TRAPNO_WORD] as number;
  if (!isReachable(kernel, thread, thread.handler)) {
    const tval = faultAddress(kernel, words[at + TVAL_WORD] as number, words[at + TVAL_WORD + 1] as number);
    const pc = readRegister(kernel, thread, 0);
    stopThread(kernel, thread, `exception ${cause}, tval 0x${tval.toString(16)}, pc 0x${pc.toString(16)}, and no handler`);
    return;
  }
  kernel.counters.exceptions++;
  const message = thread.kernelMessage;
  message.label = LABEL_EXCEPTION;
  message.untyped = 3;
  message.typed = 0;
  message.setHalves(1, cause, 0);
  message.setHalves(2, words[at + TVAL_WORD] as number, words[at + TVAL_WORD + 1] as number);
  message.setHalves(3, words[at] as number, words[at + 1] as number);
  startKernelCall(kernel, thread, KERNEL_IPC_EXCEPTION, thread.handler);
}
