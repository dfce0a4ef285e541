/**
 * IPC: send phase, receive phase, and the queues between them.
 *
 *   start(thread, to, source)         READY ------------------------------------------> READY (complete)
 *     send: partner waits for us?       | no: queue at the partner        ^ message
 *        yes: deliver                   v                                 |
 *     receive: a sender queued?      SENDING -- partner receives --> RECEIVING
 *        yes: deliver                   \--- time-out, cancel, partner deleted ---> READY with an error
 *
 * The two phases are joined: when the message has gone, the thread waits for the answer in the same step. Queues of
 * senders are first come, first served. A completed thread is made ready; what it does with the result is its
 * operation's business (port.ts, hart.ts). Message items are in items.ts.
 *
 * Invariants (checkThread):
 *   I1  a thread is SENDING exactly when it is in one queue, that of `sendTo`, an active thread other than itself
 *   I2  a RECEIVING thread has no matching sender in its queue
 *   I3  only SENDING and RECEIVING threads have a timer
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { refusedItem, transferItems } from './items.ts';
import { cutLabel, type Message, MESSAGE_WORDS } from './message.ts';
import type { Space } from './space.ts';
import { CHARGE_IPC, type KernelState } from './state.ts';
import { KERNEL_IPC_FAULT, KERNEL_IPC_NONE, READY, RECEIVING, SENDING, type Thread } from './thread.ts';
import { ANY, ANYLOCAL, NIL, type ThreadId } from './thread-id.ts';
import { NEVER, type Timeout, timeoutMicroseconds, ZERO } from './timeout.ts';
import { ACCEPT_ALL, ACCEPT_UNTYPED, IPC_ABORTED, IPC_NO_PARTNER, IPC_OVERFLOW, IPC_TIMEOUT, PHASE_RECEIVE, PHASE_SEND } from './user.ts';

const SEND_TIMEOUT_ERROR = (IPC_TIMEOUT << 1) | PHASE_SEND;
const RECEIVE_TIMEOUT_ERROR = (IPC_TIMEOUT << 1) | PHASE_RECEIVE;
const SEND_NO_PARTNER = (IPC_NO_PARTNER << 1) | PHASE_SEND;
const RECEIVE_NO_PARTNER = (IPC_NO_PARTNER << 1) | PHASE_RECEIVE;

/**
 * Starts an IPC of `thread`: afterwards it is READY (complete, error word set), SENDING or RECEIVING. Hot: allocates nothing.
 * @param to NIL: no send phase; @param source NIL: no receive phase; @param sendTimeout, receiveTimeout encoded
 */
export function startIpc(
  kernel: KernelState,
  thread: Thread,
  to: ThreadId,
  source: ThreadId,
  sendTimeout: Timeout,
  receiveTimeout: Timeout,
): void {
  kernel.now += CHARGE_IPC;
  if (to !== NIL) {
    const partner = kernel.partner(thread, to);
    if (partner === null || partner === thread) {
      thread.propagateAs = NIL;
      complete(kernel, thread, SEND_NO_PARTNER);
      return;
    }
    const message = thread.kernelIpc === KERNEL_IPC_NONE ? thread.message : thread.kernelMessage;
    if (!(message.untyped >= 0 && message.typed >= 0 && message.untyped + message.typed <= MESSAGE_WORDS)) {
      thread.propagateAs = NIL;
      complete(kernel, thread, (IPC_OVERFLOW << 1) | PHASE_SEND);
      return;
    }
    thread.virtualSender = thread.propagateAs === NIL ? NIL : virtualSenderOf(kernel, thread, partner);
    if (!accepts(kernel, partner, thread)) {
      if (sendTimeout === ZERO) complete(kernel, thread, SEND_TIMEOUT_ERROR);
      else blockSend(kernel, thread, partner, source, sendTimeout, receiveTimeout);
      return;
    }
    const error = deliver(kernel, thread, partner);
    if (error !== 0) {
      complete(kernel, thread, error);
      return;
    }
  }
  if (source === NIL) complete(kernel, thread, 0);
  else receive(kernel, thread, source, receiveTimeout);
}

/**
 * A call whose partner waits for it need not be composed first and copied then: the message is written into the
 * partner's registers, and callInPlace does the rest. Kernel messages without items only.
 * @returns those registers; null where the way is startIpc. Between the two calls nothing else may happen. Hot.
 */
export function messageInPlace(kernel: KernelState, thread: Thread, partner: Thread): Message | null {
  return partner.kernelIpc === KERNEL_IPC_NONE && accepts(kernel, partner, thread) ? partner.message : null;
}

/** Ends the send phase of a call with its message in place, and begins the receive phase, without time limit. Hot. */
export function callInPlace(kernel: KernelState, thread: Thread, partner: Thread): void {
  kernel.now += CHARGE_IPC;
  arrive(kernel, thread, partner, partner.message);
  receive(kernel, thread, partner.id, NEVER);
}

/** Whether `receiver` is waiting for a message like the one `sender` wants to send. Hot. */
function accepts(kernel: KernelState, receiver: Thread, sender: Thread): boolean {
  return receiver.state === RECEIVING && matches(kernel, receiver, receiver.waitFor, sender);
}

/** Whether a wait for `source` takes the message of `sender`: from the one it claims to be, or from who it really is. Hot. */
function matches(kernel: KernelState, receiver: Thread, source: number, sender: Thread): boolean {
  if (source === ANY || source === sender.id) return true;
  if (source === ANYLOCAL) return spaceOfSender(kernel, sender) === receiver.space;
  return source === sender.virtualSender;
}

/** The space a message comes from, as the receiver sees it. */
function spaceOfSender(kernel: KernelState, sender: Thread): Space {
  if (sender.virtualSender === NIL) return sender.space;
  return (kernel.find(sender.virtualSender) ?? sender).space;
}

/** Whom `thread` may send as: the thread it asked for, or NIL where the rule forbids it. The request is used up. */
function virtualSenderOf(kernel: KernelState, thread: Thread, partner: Thread): ThreadId {
  if (thread.kernelIpc !== KERNEL_IPC_NONE) return NIL; // the registers belong to the program, not to the kernel's message
  const virtual = kernel.find(thread.propagateAs);
  thread.propagateAs = NIL;
  if (virtual === null || virtual === thread || virtual === partner || !virtual.isActive) return NIL;
  return thread.space === virtual.space || thread.space === partner.space ? virtual.id : NIL;
}

/**
 * Moves a message. The receiver is waiting for it and completes; the sender's state is left to the caller. Hot.
 * @returns 0, or the sender's error word
 */
function deliver(kernel: KernelState, sender: Thread, receiver: Thread): number {
  const message = sender.kernelIpc === KERNEL_IPC_NONE ? sender.message : sender.kernelMessage;
  const into = receiver.kernelIpc === KERNEL_IPC_NONE ? receiver.message : receiver.kernelMessage;
  into.copyFrom(message);
  into.label = cutLabel(message.label, kernel.wordBits);
  if (message.typed !== 0) {
    const window = acceptorOf(receiver);
    const refused = refusedItem(message, window);
    if (refused !== 0) {
      const word = (((refused - 1) * (kernel.wordBits >>> 3)) << 4) | (IPC_OVERFLOW << 1);
      complete(kernel, receiver, word | PHASE_RECEIVE);
      return word | PHASE_SEND;
    }
    transferItems(kernel, message, sender.space, receiver.space, window);
  }
  arrive(kernel, sender, receiver, into);
  return 0;
}

/** The message of `sender` is in the registers of `receiver`, which completes. Hot. */
function arrive(kernel: KernelState, sender: Thread, receiver: Thread, into: Message): void {
  const virtual = sender.virtualSender;
  if (receiver.kernelIpc === KERNEL_IPC_NONE) {
    receiver.from = virtual === NIL ? sender.id : virtual;
    receiver.actualSender = sender.id;
  }
  kernel.counters.ipcs++;
  if (kernel.tracer.ipc !== null) {
    kernel.tracer.ipc({ from: sender.id, to: receiver.id, label: into.label, untyped: into.untyped, typed: into.typed });
  }
  complete(kernel, receiver, 0);
  if (virtual !== NIL) retarget(kernel, virtual, sender, receiver);
}

/** A virtual sender who waits for the actual one now waits for the receiver: from there its answer will come. */
function retarget(kernel: KernelState, virtualId: ThreadId, sender: Thread, receiver: Thread): void {
  sender.virtualSender = NIL;
  kernel.counters.propagated++;
  const virtual = kernel.find(virtualId);
  if (virtual === null || virtual.state !== RECEIVING || virtual.waitFor !== sender.id) return;
  virtual.waitFor = receiver.id;
  takeSender(kernel, virtual);
}

/** The window for items: BR0, or the complete space while the kernel waits for the answer to a page fault. Hot. */
function acceptorOf(thread: Thread): number {
  if (thread.kernelIpc === KERNEL_IPC_NONE) return thread.acceptor;
  return thread.kernelIpc === KERNEL_IPC_FAULT ? ACCEPT_ALL : ACCEPT_UNTYPED;
}

/** Receive phase: take the first matching sender, or wait. Hot. */
function receive(kernel: KernelState, thread: Thread, source: ThreadId, timeout: Timeout): void {
  if (source !== ANY && source !== ANYLOCAL && source !== thread.id && kernel.partner(thread, source) === null) {
    complete(kernel, thread, RECEIVE_NO_PARTNER);
    return;
  }
  if (awaitMessage(kernel, thread, source)) return;
  if (timeout === ZERO) complete(kernel, thread, RECEIVE_TIMEOUT_ERROR);
  else if (timeout !== NEVER) kernel.timers.add(thread, kernel.now + timeoutMicroseconds(timeout) * 1000);
}

/** Lets a thread wait for `source`, whether or not that exists. @returns whether a queued sender has been served: then it is complete. Hot. */
export function awaitMessage(kernel: KernelState, thread: Thread, source: ThreadId): boolean {
  thread.waitFor = source;
  thread.state = RECEIVING;
  return thread.firstSender !== null && takeSender(kernel, thread);
}

/**
 * Serves the receive phase of a RECEIVING thread from its queue; the sender served goes on with its own receive phase.
 * @returns whether a message was delivered (or refused with an error): then the thread is complete
 */
function takeSender(kernel: KernelState, thread: Thread): boolean {
  let sender = thread.firstSender;
  while (sender !== null && !matches(kernel, thread, thread.waitFor, sender)) sender = sender.nextSender;
  if (sender === null) return false;
  dequeueSender(sender);
  kernel.timers.remove(sender);
  const next = sender.receiveNext as ThreadId;
  const nextTimeout = sender.receiveTimeout;
  sender.state = READY; // left to us by deliver
  const error = deliver(kernel, sender, thread);
  if (error !== 0 || next === NIL) complete(kernel, sender, error);
  else receive(kernel, sender, next, nextTimeout);
  return true;
}

function blockSend(
  kernel: KernelState,
  thread: Thread,
  partner: Thread,
  source: ThreadId,
  sendTimeout: Timeout,
  receiveTimeout: Timeout,
): void {
  thread.state = SENDING;
  thread.sendTo = partner;
  thread.receiveNext = source;
  thread.receiveTimeout = receiveTimeout;
  const last = partner.lastSender;
  thread.prevSender = last;
  thread.nextSender = null;
  if (last === null) partner.firstSender = thread;
  else last.nextSender = thread;
  partner.lastSender = thread;
  if (sendTimeout !== NEVER) kernel.timers.add(thread, kernel.now + timeoutMicroseconds(sendTimeout) * 1000);
}

function dequeueSender(sender: Thread): void {
  const partner = sender.sendTo as Thread;
  const { nextSender, prevSender } = sender;
  if (prevSender === null) partner.firstSender = nextSender;
  else prevSender.nextSender = nextSender;
  if (nextSender === null) partner.lastSender = prevSender;
  else nextSender.prevSender = prevSender;
  sender.sendTo = null;
  sender.nextSender = null;
  sender.prevSender = null;
}

/** Ends a thread's IPC with `error` (0 = success) and makes it ready. Its place in a queue and its timer must be gone, or go here. Hot. */
function complete(kernel: KernelState, thread: Thread, error: number): void {
  if (thread.timerIndex >= 0) kernel.timers.remove(thread);
  if (error !== 0) kernel.counters.ipcErrors++;
  if (thread.kernelIpc === KERNEL_IPC_NONE) {
    thread.error = error;
    if (error !== 0) thread.from = NIL;
  } else thread.kernelError = error;
  thread.virtualSender = NIL;
  kernel.makeReady(thread);
}

/** Ends the IPC a thread waits in with error code IPC_*; the phase is that of the wait. Nothing if it does not wait. */
export function abortIpc(kernel: KernelState, thread: Thread, code: number): void {
  if (thread.state === SENDING) {
    dequeueSender(thread);
    complete(kernel, thread, (code << 1) | PHASE_SEND);
  } else if (thread.state === RECEIVING) complete(kernel, thread, (code << 1) | PHASE_RECEIVE);
}

/** Time is up for a waiting thread (its timer has been taken out). */
export function expireIpc(kernel: KernelState, thread: Thread): void {
  kernel.counters.timeouts++;
  abortIpc(kernel, thread, IPC_TIMEOUT);
}

/** A thread has gone, or has another name: whoever sends to it or waits for it alone gets an error. */
export function forgetPartner(kernel: KernelState, gone: Thread, goneId: ThreadId): void {
  while (gone.firstSender !== null) abortIpc(kernel, gone.firstSender, IPC_NO_PARTNER);
  for (const thread of kernel.threads) {
    if (thread === null || thread === undefined) continue;
    if (thread.state === RECEIVING && thread.waitFor === goneId && thread !== gone) abortIpc(kernel, thread, IPC_NO_PARTNER);
    else if (thread.state === SENDING && thread.virtualSender === goneId) abortIpc(kernel, thread, IPC_ABORTED);
  }
}

/** Takes a thread out of every IPC structure without completing anything: it is being deleted. */
export function detachIpc(kernel: KernelState, thread: Thread): void {
  if (thread.state === SENDING) dequeueSender(thread);
  kernel.timers.remove(thread);
}

/** Checks I1-I3 for one thread. */
export function checkThread(kernel: KernelState, thread: Thread): void {
  kassert((thread.state === SENDING) === (thread.sendTo !== null), 'ipc I1');
  kassert(thread.sendTo !== thread, 'ipc I1');
  let previous: Thread | null = null;
  for (let sender = thread.firstSender; sender !== null; sender = sender.nextSender) {
    kassert(sender.sendTo === thread && sender.state === SENDING && sender.prevSender === previous, 'ipc I1');
    kassert(thread.isActive, 'ipc I1');
    kassert(!accepts(kernel, thread, sender), 'ipc I2');
    previous = sender;
  }
  kassert(thread.lastSender === previous, 'ipc I1');
  if (thread.timerIndex >= 0) kassert(thread.state === SENDING || thread.state === RECEIVING, 'ipc I3');
}
