/**
 * The L4 interface as one TypeScript thread sees it: the calls of user.ts, turned into the kernel's own.
 *
 * Checks here are those that protect the kernel from a thread that no longer exists. What a call does is in ipc.ts,
 * control.ts, mapping.ts and operation.ts.
 */
import { EXEC, PAGE_SIZE, READ, WRITE } from '../../hostkernel/base/units.ts';
import * as control from './control.ts';
import { fpageBase, fpageRights, fpageShift, fpageSize } from './fpage.ts';
import { floatRegistersOf, preemptHart, registersOf } from './hart.ts';
import { startIpc } from './ipc.ts';
import type { Message } from './message.ts';
import {
  Operation,
  OPERATION_FILL,
  OPERATION_LOAD32,
  OPERATION_READ,
  OPERATION_STORE32,
  OPERATION_TOUCH,
  OPERATION_WRITE,
} from './operation.ts';
import { CHARGE_PAGE, type KernelState, TIME_SLICE } from './state.ts';
import { DEAD, READY, type Thread } from './thread.ts';
import { NIL, type ThreadId, type WordBits } from './thread-id.ts';
import { NEVER, type Timeout, timeout, ZERO } from './timeout.ts';
import { TraceRuns } from './trace-runs.ts';
import {
  ERROR_INVALID_THREAD,
  ERROR_NO_PRIVILEGE,
  type ExchangedRegisters,
  IPC_ABORTED,
  type KernelConsole,
  type L4,
  type L4Body,
  type L4Operation,
} from './user.ts';

const NOTHING = new Uint8Array(0);

export class ThreadPort implements L4 {
  readonly message: Message;
  readonly wordBits: WordBits;
  readonly userEnd: number;
  readonly console: KernelConsole;
  readonly #kernel: KernelState;
  readonly #thread: Thread;
  readonly #operation: Operation;
  readonly #unmapped = new TraceRuns();
  readonly #exchanged: ExchangedRegisters = { control: 0, sp: 0, ip: 0, flags: 0, handle: 0, pager: NIL };

  constructor(kernel: KernelState, thread: Thread) {
    this.#kernel = kernel;
    this.#thread = thread;
    this.#operation = new Operation(kernel, thread);
    this.message = thread.message;
    this.wordBits = kernel.wordBits;
    this.userEnd = kernel.platform.userEnd;
    this.console = {
      write: (fd, bytes) => kernel.platform.consoleWrite(fd, bytes),
      read: (max) => kernel.platform.consoleRead(max),
    };
  }

  get id(): ThreadId {
    return this.#thread.id;
  }
  get from(): ThreadId {
    return this.#thread.from;
  }
  get actualSender(): ThreadId {
    return this.#thread.actualSender;
  }
  get error(): number {
    return this.#thread.error;
  }
  get acceptor(): number {
    return this.#thread.acceptor;
  }
  set acceptor(window: number) {
    this.#thread.acceptor = window;
  }
  get propagateAs(): ThreadId {
    return this.#thread.propagateAs;
  }
  set propagateAs(id: ThreadId) {
    this.#thread.propagateAs = id;
  }

  // ---- IPC. Hot: allocates nothing.

  ipc(to: ThreadId, source: ThreadId, sendTimeout: Timeout, receiveTimeout: Timeout): L4Operation {
    const thread = this.#thread;
    if (thread.state === DEAD) thread.error = IPC_ABORTED << 1;
    else {
      startIpc(this.#kernel, thread, to, source, sendTimeout, receiveTimeout);
      if (thread.state === READY) this.#makeWay();
    }
    return this.#operation.ipc();
  }

  call(to: ThreadId): L4Operation {
    return this.ipc(to, to, NEVER, NEVER);
  }

  send(to: ThreadId, sendTimeout: Timeout = NEVER): L4Operation {
    return this.ipc(to, NIL, sendTimeout, NEVER);
  }

  receive(source: ThreadId, receiveTimeout: Timeout = NEVER): L4Operation {
    return this.ipc(NIL, source, NEVER, receiveTimeout);
  }

  reply(to: ThreadId): number {
    const thread = this.#thread;
    if (thread.state === DEAD) return IPC_ABORTED << 1;
    startIpc(this.#kernel, thread, to, NIL, ZERO, NEVER);
    return thread.error;
  }

  replyWait(to: ThreadId, source: ThreadId): L4Operation {
    const thread = this.#thread;
    if (to !== NIL && thread.state !== DEAD) startIpc(this.#kernel, thread, to, NIL, ZERO, NEVER);
    return this.ipc(NIL, source, NEVER, NEVER);
  }

  sleep(us: number): L4Operation {
    return this.ipc(NIL, this.#thread.id, NEVER, timeout(us));
  }

  /** After an operation that did not wait: lets a thread of higher priority run, or the next one when our turn is over. Hot. */
  #makeWay(): void {
    const thread = this.#thread;
    const { highest } = this.#kernel.ready;
    if (highest > thread.priority || (highest === thread.priority && this.#kernel.now >= thread.sliceEnd)) thread.mustYield = true;
  }

  threadSwitch(to: ThreadId): L4Operation {
    const kernel = this.#kernel;
    const thread = this.#thread;
    thread.error = 0;
    thread.mustYield = true;
    thread.sliceEnd = kernel.now; // to the end of the list
    const partner = kernel.find(to);
    if (partner !== null && partner.queued) kernel.donated = partner;
    return this.#operation.ipc();
  }

  // ---- memory of others

  unmap(page: number, flush: boolean): number {
    const { space, state } = this.#thread;
    const { maps, tracer } = this.#kernel;
    if (state === DEAD) return 0;
    const shift = fpageShift(page);
    const start = shift === 1 ? 0 : Math.ceil(fpageBase(page) / PAGE_SIZE);
    const end = shift === 1 ? Number.POSITIVE_INFINITY : Math.floor((fpageBase(page) + fpageSize(page)) / PAGE_SIZE);
    const rights = fpageRights(page);
    let status = 0;
    let pages = 0;
    for (let at = start; at < end; at++) {
      let node = maps.nodeAt(space, at);
      if (node === 0) {
        at = maps.nextMapped(space, at, end);
        if (at < 0) break;
        node = maps.nodeAt(space, at);
      }
      if (tracer.unmap !== null) this.#unmapped.add(tracer.unmap, space.id, at, maps.frameOf(node), rights);
      status |= maps.revoke(node, rights, flush);
      pages++;
    }
    maps.flush();
    this.#kernel.now += pages * CHARGE_PAGE;
    if (tracer.unmap !== null) this.#unmapped.end(tracer.unmap);
    return status;
  }

  // ---- control

  threadControl(dest: ThreadId, space: ThreadId, scheduler: ThreadId, pager: ThreadId, utcb: number): number {
    return this.#answer(control.threadControl(this.#kernel, this.#thread, { dest, space, scheduler, pager, utcb }));
  }

  spaceControl(space: ThreadId, _control: number, kip: number, utcb: number, _redirector: ThreadId): number {
    return this.#answer(control.spaceControl(this.#kernel, this.#thread, space, kip, utcb));
  }

  exchangeRegisters(
    dest: ThreadId,
    controlWord: number,
    sp: number,
    ip: number,
    flags: number,
    handle: number,
    pager: ThreadId,
  ): ExchangedRegisters | null {
    const request: control.ExchangeRequest = { dest, control: controlWord, sp, ip, flags, handle, pager };
    const error = control.exchangeRegisters(this.#kernel, this.#thread, request, this.#exchanged);
    return this.#answer(error) === 1 ? this.#exchanged : null;
  }

  setPriority(dest: ThreadId, priority: number): number {
    return this.#answer(control.setPriority(this.#kernel, this.#thread, dest, priority));
  }

  setExceptionHandler(dest: ThreadId, handler: ThreadId): number {
    return this.#answer(control.setExceptionHandler(this.#kernel, this.#thread, dest, handler));
  }

  preempt(dest: ThreadId): number {
    const thread = this.#kernel.find(dest);
    if (thread === null || thread.space !== this.#thread.space) return this.#answer(ERROR_INVALID_THREAD);
    this.#thread.error = 0;
    return preemptHart(this.#kernel, thread) ? 1 : 0;
  }

  startBody(id: ThreadId, body: L4Body): number {
    const thread = this.#kernel.find(id);
    if (this.#thread.state === DEAD || thread === null || !control.mayDirect(this.#thread, thread))
      return this.#answer(ERROR_INVALID_THREAD);
    return this.#answer(giveBody(this.#kernel, thread, body) ? 0 : ERROR_INVALID_THREAD);
  }

  shutdown(reason: string): number {
    if (!this.#thread.space.privileged) return this.#answer(ERROR_NO_PRIVILEGE);
    this.#kernel.shutdownReason = reason;
    return this.#answer(0);
  }

  /** @param error 0 or an error code; @returns 1 or 0, as control calls do */
  #answer(error: number): number {
    this.#thread.error = error;
    return error === 0 ? 1 : 0;
  }

  clock(): number {
    return Math.floor(this.#kernel.now / 1000);
  }

  // ---- registers of hart threads

  registers(id: ThreadId): Int32Array | null {
    const thread = this.#kernel.find(id);
    return thread === null || !this.#handles(thread) ? null : registersOf(this.#kernel, thread);
  }

  floatRegisters(id: ThreadId): Int32Array | null {
    const thread = this.#kernel.find(id);
    return thread === null || !this.#handles(thread) ? null : floatRegistersOf(this.#kernel, thread);
  }

  #handles(thread: Thread): boolean {
    return thread.space === this.#thread.space || thread.handler === this.#thread.id;
  }

  // ---- own memory. Hot.

  tryRead(va: number, into: Uint8Array, at: number, len: number): number {
    return this.#thread.space.guest.read(va, into, at, Math.min(len, into.length - at));
  }

  tryWrite(va: number, from: Uint8Array, at: number, len: number): number {
    return this.#thread.space.guest.write(va, from, at, Math.min(len, from.length - at));
  }

  tryFill(va: number, len: number, byte: number): number {
    return this.#thread.space.guest.fill(va, len, byte);
  }

  tryCopy(dst: number, src: number, len: number): number {
    return this.#thread.space.guest.copy(dst, src, len);
  }

  tryLoad32(va: number): number {
    const { guest } = this.#thread.space;
    const offset = (va & 3) !== 0 ? -1 : guest.access(va, READ);
    return offset < 0 ? -1 : (guest.image.words[offset / 4] as number) >>> 0;
  }

  tryStore32(va: number, value: number): boolean {
    const { guest } = this.#thread.space;
    const offset = (va & 3) !== 0 ? -1 : guest.access(va, WRITE);
    if (offset < 0) return false;
    guest.image.words[offset / 4] = value;
    return true;
  }

  read(va: number, into: Uint8Array): L4Operation {
    return this.#operation.access(OPERATION_READ, va, into.length, into, 0);
  }

  write(va: number, from: Uint8Array): L4Operation {
    return this.#operation.access(OPERATION_WRITE, va, from.length, from, 0);
  }

  fill(va: number, len: number, byte: number): L4Operation {
    return this.#operation.access(OPERATION_FILL, va, len, NOTHING, byte);
  }

  copy(dst: number, src: number, len: number): L4Operation {
    return this.#operation.copy(dst, src, len);
  }

  store32(va: number, value: number): L4Operation {
    return this.#operation.access(OPERATION_STORE32, va, 4, NOTHING, value);
  }

  load32(va: number): L4Operation {
    return this.#operation.access(OPERATION_LOAD32, va, 4, NOTHING, 0);
  }

  touch(va: number, access: number): L4Operation {
    return this.#operation.access(OPERATION_TOUCH, va, 1, NOTHING, access & (READ | WRITE | EXEC));
  }
}

/** Gives an active thread that has no program a TypeScript one. @returns whether it was such a thread */
export function giveBody(kernel: KernelState, thread: Thread, body: L4Body): boolean {
  const port = new ThreadPort(kernel, thread);
  if (!control.startProgram(kernel, thread, body(port))) return false;
  thread.port = port;
  thread.sliceEnd = kernel.now + TIME_SLICE;
  return true;
}
