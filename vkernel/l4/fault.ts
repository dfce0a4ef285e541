/**
 * Messages the kernel makes on behalf of a thread, and what their answers mean.
 *
 *   event             to                  label                 words
 *   page fault        pager               (-2 << 4) + rwx       address, ip
 *   system call       exception handler   -5 << 4               a7, a0..a5, pc
 *   other exception   exception handler   -4 << 4               cause, tval, pc
 *   preempted         exception handler   -3 << 4               none
 *
 * They are calls without time limit. The thread's own message, acceptor and error word are not touched. A thread whose
 * pager or handler does not exist is stopped, and that is logged.
 * Source: L4 X.2, "Generic protocols".
 */
import { type Access, READ, WRITE } from '../../hostkernel/base/units.ts';
import { rightsOf } from './fpage.ts';
import { startIpc } from './ipc.ts';
import { LABEL_PAGE_FAULT } from './message.ts';
import type { KernelState } from './state.ts';
import { KERNEL_IPC_FAULT, KERNEL_IPC_NONE, STOPPED, type Thread } from './thread.ts';
import { NIL, type ThreadId, threadName } from './thread-id.ts';
import { NEVER } from './timeout.ts';

/** Stops a thread for good, unless exchangeRegisters starts it again, and says why. */
export function stopThread(kernel: KernelState, thread: Thread, why: string): void {
  kernel.ready.remove(thread);
  thread.state = STOPPED;
  thread.kernelIpc = KERNEL_IPC_NONE;
  kernel.counters.stopped++;
  kernel.log(`l4: thread ${kernel.nameOf(thread)} stopped: ${why}`);
}

/** Whether a message to `partner` could ever arrive. Hot. */
export function isReachable(kernel: KernelState, thread: Thread, partner: ThreadId): boolean {
  return reachable(kernel, thread, partner) !== null;
}

/** The thread a message to `partner` would go to; null if there is none. Hot. */
export function reachable(kernel: KernelState, thread: Thread, partner: ThreadId): Thread | null {
  const found = partner === NIL ? null : kernel.partner(thread, partner);
  return found === thread ? null : found;
}

/** Sends the message in kernelMessage to `partner` and waits for its answer. Hot. */
export function startKernelCall(kernel: KernelState, thread: Thread, kind: number, partner: ThreadId): void {
  thread.kernelIpc = kind;
  startIpc(kernel, thread, partner, partner, NEVER, NEVER);
}

/**
 * Starts a page-fault IPC. Hot.
 * @param va bytes; @param ip bytes, 0 for a TypeScript thread
 * @returns false if there is no pager: then nothing has happened, but a line in the log
 */
export function startFault(kernel: KernelState, thread: Thread, va: number, access: Access, ip: number): boolean {
  if (!isReachable(kernel, thread, thread.pager)) {
    kernel.log(
      `l4: thread ${kernel.nameOf(thread)}: ${accessName(access)} fault at 0x${va.toString(16)}, ip 0x${ip.toString(16)}, ` +
        `and no pager (${threadName(thread.pager, kernel.wordBits)})`,
    );
    traceFault(kernel, thread, va, access, ip, 'no pager');
    return false;
  }
  kernel.counters.faults++;
  if (kernel.tracer.fault !== null) traceFault(kernel, thread, va, access, ip, 'pager');
  const message = thread.kernelMessage;
  message.label = LABEL_PAGE_FAULT + rightsOf(access);
  message.untyped = 2;
  message.typed = 0;
  message.setWord(1, va);
  message.setWord(2, ip);
  startKernelCall(kernel, thread, KERNEL_IPC_FAULT, thread.pager);
  return true;
}

function traceFault(kernel: KernelState, thread: Thread, va: number, access: Access, pc: number, result: string): void {
  if (kernel.tracer.fault !== null) kernel.tracer.fault({ layer: 'guest', space: thread.space.id, va, access, pc, result });
}

export function accessName(access: Access): string {
  return access === READ ? 'read' : access === WRITE ? 'write' : 'execute';
}
