/**
 * The thread control block. Data only; what happens to threads is in ipc.ts, control.ts, hart.ts and kernel.ts.
 *
 *                  activate                     IPC that cannot go on
 *   INACTIVE ------------------> RECEIVING  <------------------------- READY <--> (running: kernel.current)
 *                                    |                                   ^  \
 *                                    +------ message, time-out, cancel --+   +--> STOPPED (program over, fault refused)
 *                                 SENDING <------------------------------+
 *   any ------> DEAD (deleted; never resumed)
 *
 * A thread runs either RISC-V code (a hart thread: its registers are in a trapframe of the kernel region) or a
 * TypeScript body (a generator).
 */
import type { L4, L4Body } from './user.ts';
import { Message } from './message.ts';
import { ACCEPT_UNTYPED } from './user.ts';
import { NIL, threadNumber, type ThreadId, type WordBits } from './thread-id.ts';
import type { Space } from './space.ts';

export const INACTIVE = 0;
export const READY = 1;
export const SENDING = 2;
export const RECEIVING = 3;
export const STOPPED = 4;
export const DEAD = 5;
export type ThreadState = 0 | 1 | 2 | 3 | 4 | 5;
export const STATE_NAMES = ['inactive', 'ready', 'sending', 'receiving', 'stopped', 'dead'] as const;

export const KIND_NONE = 0; // has no program yet
export const KIND_BODY = 1;
export const KIND_HART = 2;

/** IPC that the kernel makes on behalf of a thread; it uses kernelMessage and leaves the thread's registers alone. */
export const KERNEL_IPC_NONE = 0;
export const KERNEL_IPC_FAULT = 1;
export const KERNEL_IPC_SYSCALL = 2;
export const KERNEL_IPC_EXCEPTION = 3;
export const KERNEL_IPC_START = 4;

export const DEFAULT_PRIORITY = 100;

export class Thread {
  readonly number: number;
  id: ThreadId; //     NIL once deleted
  space: Space;
  readonly wordBits: WordBits;
  scheduler: ThreadId;
  pager: ThreadId = NIL;
  handler: ThreadId = NIL; // exception handler
  priority = DEFAULT_PRIORITY;
  state: ThreadState = INACTIVE;
  halted = false; //   not scheduled, whatever its state
  kind = KIND_NONE;
  utcb = -1; //        address of the UTCB slot, bytes; -1: none
  userHandle = 0;
  flags = 0;

  // IPC.
  readonly message: Message;
  readonly kernelMessage: Message;
  kernelIpc = KERNEL_IPC_NONE;
  kernelError = 0; //  of the kernel IPC that ended last
  acceptor = ACCEPT_UNTYPED;
  from: ThreadId = NIL;
  actualSender: ThreadId = NIL;
  error = 0;
  propagateAs: ThreadId = NIL;
  virtualSender: ThreadId = NIL; // of the send under way
  waitFor = 0; //      RECEIVING: an id, ANY or ANYLOCAL
  sendTo: Thread | null = null; // SENDING: in whose queue
  receiveNext = 0; //  SENDING: what to wait for afterwards; 0 = nothing
  receiveTimeout = 0; // SENDING: of that wait
  firstSender: Thread | null = null; // who waits to send to us, first come first
  lastSender: Thread | null = null;
  nextSender: Thread | null = null;
  prevSender: Thread | null = null;
  peer: Thread | null = null; // whom an id led to last

  // Scheduling.
  queued = false;
  nextReady: Thread | null = null;
  prevReady: Thread | null = null;
  deadline = 0; //     virtual ns
  timerIndex = -1; //  in the timer queue; -1: no timer
  timerAge = 0;
  sliceEnd = 0; //     virtual ns
  mustYield = false; // give others a turn before going on

  // Programs.
  program: ReturnType<L4Body> | null = null;
  port: L4 | null = null;
  trapframe = 0; //    address in the kernel region; 0: none
  frameWord = 0; //    index of its first word in image.words; good in `frameEpoch` only
  frameEpoch = 0;
  vextClean = false; // the vextframe is as the last RUN left it
  startIp = 0;
  startSp = 0;
  registers: Int32Array | null = null; // copy that a handler works on
  registersTaken = false; //              and that must be written back
  floatRegisters: Int32Array | null = null;
  floatRegistersTaken = false;

  constructor(id: ThreadId, space: Space, scheduler: ThreadId, wordBits: WordBits) {
    this.id = id;
    this.number = threadNumber(id, wordBits);
    this.space = space;
    this.scheduler = scheduler;
    this.wordBits = wordBits;
    this.message = new Message(wordBits);
    this.kernelMessage = new Message(wordBits);
  }

  get isActive(): boolean {
    return this.state !== INACTIVE && this.state !== DEAD;
  }
}

export type { L4Body };
