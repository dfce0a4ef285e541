/**
 * The L4 user interface: everything a server or a task sees of the kernel. Types, constants and message helpers; the
 * kernel itself is index.ts.
 *
 * A TypeScript thread is a generator function that gets an `L4`, its view of the kernel. What can wait is an
 * *operation*: `const result = yield* l4.call(server)`. An operation is started by the call and must be waited for at
 * once; a thread has one at a time, and nothing is allocated for it. What cannot wait is a plain function.
 *
 *   body --yield*--> operation --yields L4Wait--> kernel: runs other threads, resumes when it is complete
 *
 * Source: L4 X.2 reference manual; the subset is in the docstrings.
 */
import type { Fpage } from './fpage.ts';
import type { Message } from './message.ts';
import type { ThreadId, WordBits } from './thread-id.ts';
import type { Timeout } from './timeout.ts';

export * from './fpage.ts';
export * from './front.ts';
export * from './message.ts';
export * from './thread-id.ts';
export * from './timeout.ts';

/** What a thread yields while it waits. Its only value is L4_WAIT; the kernel knows the rest. */
export interface L4Wait {
  readonly wait: 'l4';
}
export const L4_WAIT: L4Wait = Object.freeze({ wait: 'l4' });

/** A kernel operation that may wait; its result is a number. Use it with `yield*` at once, and once. */
export type L4Operation = Generator<L4Wait, number, void>;

/** What a TypeScript thread runs. */
export type L4Program = Generator<L4Wait, void, void>;

/**
 * Program of a TypeScript thread. When it returns the thread stops (it is not deleted); or goes on with the program that
 * it returns: a loop that is entered so, and not with `yield*`, is resumed without a detour each time.
 */
export type L4Body = (l4: L4) => Generator<L4Wait, L4Program | void, void>;

/**
 * IPC errors: offset << 4 | code << 1 | phase; 0 is success. offset: bytes of the message that arrived.
 * Source: L4 X.2, "IPC error code".
 */
export const IPC_TIMEOUT = 1;
export const IPC_NO_PARTNER = 2;
export const IPC_CANCELLED = 3;
export const IPC_OVERFLOW = 4;
export const IPC_TRANSFER_TIMEOUT_OWN = 5;
export const IPC_TRANSFER_TIMEOUT_PARTNER = 6;
export const IPC_ABORTED = 7;
export const PHASE_SEND = 0;
export const PHASE_RECEIVE = 1;

export function ipcErrorCode(error: number): number {
  return (error >>> 1) & 7;
}
export function ipcErrorPhase(error: number): number {
  return error & 1;
}

/** Error codes of threadControl, spaceControl, exchangeRegisters and schedule, in `l4.error`. */
export const ERROR_NO_PRIVILEGE = 1;
export const ERROR_INVALID_THREAD = 2;
export const ERROR_INVALID_SPACE = 3;
export const ERROR_INVALID_SCHEDULER = 4;
export const ERROR_INVALID_PARAMETER = 5;
export const ERROR_UTCB_AREA = 6;
export const ERROR_KIP_AREA = 7;
export const ERROR_NO_MEMORY = 8;

/** exchangeRegisters, control word in. */
export const XR_HALT = 1;
export const XR_CANCEL_RECEIVE = 2;
export const XR_CANCEL_SEND = 4;
export const XR_SP = 8;
export const XR_IP = 16;
export const XR_FLAGS = 32;
export const XR_HANDLE = 64;
export const XR_PAGER = 128;
export const XR_APPLY_HALT = 256;
export const XR_DELIVER = 512;
/** exchangeRegisters, control word out. */
export const XR_WAS_HALTED = 1;
export const XR_WAS_RECEIVING = 2;
export const XR_WAS_SENDING = 4;

/** Sizes of the areas a space reserves, bytes, as log2. */
export const KIP_SHIFT = 12;
export const UTCB_SHIFT = 9; //       one thread's slot
export const UTCB_AREA_MIN_SHIFT = 12;

/** Acceptor (BR0): no items at all; items anywhere in the address space. Any other fpage is a window. */
export const ACCEPT_UNTYPED = 0;
export const ACCEPT_ALL = 0x10;

/** Old register values of a thread, filled by exchangeRegisters. */
export interface ExchangedRegisters {
  control: number; // XR_WAS_*
  sp: number;
  ip: number;
  flags: number;
  handle: number;
  pager: ThreadId;
}

/** Message from a hart thread to its exception handler: system call (label LABEL_SYSCALL, 8 words). */
export const SYSCALL_NUMBER = 1; // MR1 = a7
export const SYSCALL_ARGUMENT = 2; // MR2..MR7 = a0..a5
export const SYSCALL_PC = 8; // MR8 = pc of the ecall; the thread goes on after it
/** Any other exception (label LABEL_EXCEPTION, 3 words), also a page fault its pager refused. */
export const EXCEPTION_CAUSE = 1; // RISC-V scause number
export const EXCEPTION_TVAL = 2;
export const EXCEPTION_PC = 3;

/** The kernel-debugger console, passed through to the host. */
export interface KernelConsole {
  /** @returns bytes written, or -errno */
  write(fd: 1 | 2, bytes: Uint8Array): number;
  /** @param max bytes; @returns what was read; empty = end of file */
  read(max: number): Uint8Array;
}

/**
 * What one thread sees of the kernel.
 *
 * Registers of the thread are the fields. `message` is both what the next send takes and what a receive fills.
 */
export interface L4 {
  readonly id: ThreadId;
  readonly wordBits: WordBits;
  /** First byte address beyond the address space of a task. */
  readonly userEnd: number;
  readonly message: Message;
  /** After a receive: the sender, NIL after an error. With propagation this is the virtual sender. */
  readonly from: ThreadId;
  /** After a receive: who really sent. Equal to `from` without propagation. */
  readonly actualSender: ThreadId;
  /** Error word of the last IPC (0 = none), or error code of the last refused control call. */
  readonly error: number;
  /** BR0: the window for map and grant items. ACCEPT_UNTYPED, ACCEPT_ALL or an fpage. */
  acceptor: number;
  /** Virtual sender of the next send, NIL for none; the kernel resets it. Allowed if it shares a space with us or we with the receiver. */
  propagateAs: ThreadId;

  /** Send to `to` if not NIL, then receive from `source` if not NIL, with nothing in between. @returns 0 or an IPC error word */
  ipc(to: ThreadId, source: ThreadId, sendTimeout: Timeout, receiveTimeout: Timeout): L4Operation;
  /** Send, wait for the answer from the same thread; never times out. */
  call(to: ThreadId): L4Operation;
  send(to: ThreadId, timeout?: Timeout): L4Operation;
  /** @param source a thread, ANY, or ANYLOCAL (threads of the same space) */
  receive(source: ThreadId, timeout?: Timeout): L4Operation;
  /** Send with timeout zero: a partner who is not waiting loses it. */
  reply(to: ThreadId): number;
  /** reply, then receive from `source` without time limit. A reply that fails is not reported: the wait goes on. */
  replyWait(to: ThreadId, source: ThreadId): L4Operation;
  /** Waits `us` microseconds of virtual time. */
  sleep(us: number): L4Operation;

  /**
   * Takes the rights in `page` away from every mapping derived from ours in that range; with `flush` from ours too.
   * @returns STATUS_* bits gathered since the last call: of derived mappings, with `flush` of our own accesses too
   */
  unmap(page: Fpage, flush: boolean): number;

  /** Creates, changes, deletes (space = NIL) a thread. Root server only. @param utcb bytes, or -1: leave. @returns 1, or 0 and `error` */
  threadControl(dest: ThreadId, space: ThreadId, scheduler: ThreadId, pager: ThreadId, utcb: number): number;
  /** Sets the KIP and UTCB areas of a space that has no active thread. Root server only. @returns 1, or 0 and `error` */
  spaceControl(space: ThreadId, control: number, kip: Fpage, utcb: Fpage, redirector: ThreadId): number;
  /** Registers of an active thread of our own space. @returns old values, in one record that the next call reuses; null and `error` if refused */
  exchangeRegisters(
    dest: ThreadId,
    control: number,
    sp: number,
    ip: number,
    flags: number,
    handle: number,
    pager: ThreadId,
  ): ExchangedRegisters | null;
  /** Priority 0..255 of a thread; only its scheduler may. @returns 1, or 0 and `error` */
  setPriority(dest: ThreadId, priority: number): number;
  /** Exception handler of a thread of our own space (of oneself too), or of one we made or page. @returns 1, or 0 and `error` */
  setExceptionHandler(dest: ThreadId, handler: ThreadId): number;
  /**
   * Stops a running hart thread of our own space between two instructions: its exception handler gets a message with
   * LABEL_PREEMPTION and no words. @returns 1, or 0: it is not running (`error` 0) or not ours
   */
  preempt(dest: ThreadId): number;
  /** Gives the processor to `to`, or to the next of the same priority with NIL. */
  threadSwitch(to: ThreadId): L4Operation;
  /** Virtual time, microseconds since the start. */
  clock(): number;

  /** Gives a thread its TypeScript program. The thread is active, has none yet, and is of our space or made by us. @returns 1, or 0 and `error` */
  startBody(thread: ThreadId, body: L4Body): number;
  /**
   * Integer registers of a hart thread that waits in a fault or exception IPC; it is of our space, or we are its
   * exception handler. Int32Array[64]: pc in words
   * 0 and 1, xi in words 2i (low) and 2i + 1 (high). What is written there is in force when the thread goes on.
   * The array belongs to the thread: read it again after every message from it.
   */
  registers(thread: ThreadId): Int32Array | null;
  /** The same for f0..f31 and fcsr: Int32Array[65], fi in words 2i and 2i + 1, fcsr in word 64. */
  floatRegisters(thread: ThreadId): Int32Array | null;

  readonly console: KernelConsole;
  /** Ends the kernel's main loop. Root server only. @returns 1, or 0 and `error` */
  shutdown(reason: string): number;

  /**
   * Access to our own address space that cannot wait. Each returns the bytes done before the first page that is missing
   * or lacks the right. Hot: allocate nothing.
   * @param va bytes; @param at index in the array where the first byte goes or comes from
   */
  tryRead(va: number, into: Uint8Array, at: number, len: number): number;
  tryWrite(va: number, from: Uint8Array, at: number, len: number): number;
  tryFill(va: number, len: number, byte: number): number;
  tryCopy(dst: number, src: number, len: number): number;
  /** The aligned 32-bit word at va, unsigned; -1 if it cannot be read without a fault. */
  tryLoad32(va: number): number;
  /** Stores an aligned 32-bit word at va. @returns false if that cannot be done without a fault */
  tryStore32(va: number, value: number): boolean;

  /**
   * The same with page faults: a missing page becomes a page-fault IPC to our pager, then the access goes on.
   * @returns 0, or the errno with which the pager refused (its reply's label); EFAULT outside user space
   */
  read(va: number, into: Uint8Array): L4Operation;
  write(va: number, from: Uint8Array): L4Operation;
  fill(va: number, len: number, byte: number): L4Operation;
  copy(dst: number, src: number, len: number): L4Operation;
  store32(va: number, value: number): L4Operation;
  /** @returns the unsigned word, or -errno */
  load32(va: number): L4Operation;
  /** Makes sure one access of this kind at va would succeed now, faulting if it must. access: PROT_* bits. */
  touch(va: number, access: number): L4Operation;
}
