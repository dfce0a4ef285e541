/**
 * Operations: what a TypeScript thread waits for with `yield*`. One object a thread, used again for every call.
 *
 *   l4.call(to) ----> IPC started at once ----> operation ----yield*----> next(): complete? the result : wait
 *
 * Nothing is allocated: the object is its own iterator, and its two results are constant objects. An access to memory
 * is an operation that goes on by itself: copy what can be copied, raise a page fault for the next page, wait, go on.
 */
import { EFAULT, EINTR } from '../../hostkernel/base/errno.ts';
import { READ, WRITE } from '../../hostkernel/base/units.ts';
import { startFault } from './fault.ts';
import type { KernelState } from './state.ts';
import { KERNEL_IPC_FAULT, KERNEL_IPC_NONE, READY, type Thread } from './thread.ts';
import { IPC_CANCELLED, ipcErrorCode, L4_WAIT, type L4Wait } from './user.ts';

export const OPERATION_IPC = 0;
export const OPERATION_READ = 1;
export const OPERATION_WRITE = 2;
export const OPERATION_FILL = 3;
export const OPERATION_COPY = 4;
export const OPERATION_TOUCH = 5;
export const OPERATION_LOAD32 = 6; // from here on words: no pager can help where one is misaligned
export const OPERATION_STORE32 = 7;

const WAITING: IteratorYieldResult<L4Wait> = { done: false, value: L4_WAIT };
const NOTHING = new Uint8Array(0);

export class Operation implements Generator<L4Wait, number, void> {
  readonly #kernel: KernelState;
  readonly #thread: Thread;
  readonly #complete: { done: true; value: number } = { done: true, value: 0 };
  #kind = OPERATION_IPC;
  #va = 0; //     bytes: next byte to read, or to write
  #source = 0; // bytes: of a copy
  #buffer: Uint8Array = NOTHING;
  #done = 0; //   bytes
  #len = 0; //    bytes
  #value = 0; //  byte to fill with, word to store, or access to touch for
  #faulting = false;

  constructor(kernel: KernelState, thread: Thread) {
    this.#kernel = kernel;
    this.#thread = thread;
  }

  [Symbol.iterator](): this {
    return this;
  }

  /** The operation is an IPC that has been started. */
  ipc(): this {
    this.#kind = OPERATION_IPC;
    return this;
  }

  /** The operation is an access to memory; it starts with the first next(). `kind` says which arguments count. */
  access(kind: number, va: number, len: number, buffer: Uint8Array, value: number): this {
    this.#kind = kind;
    this.#va = va;
    this.#buffer = buffer;
    this.#done = 0;
    this.#len = len;
    this.#value = value;
    this.#faulting = false;
    return this;
  }

  copy(dst: number, src: number, len: number): this {
    this.#source = src;
    return this.access(OPERATION_COPY, dst, len, NOTHING, 0);
  }

  /** Called by `yield*`: the result, or one more wait. Hot: allocates nothing. */
  next(): IteratorResult<L4Wait, number> {
    const thread = this.#thread;
    if (thread.state !== READY || thread.mustYield) {
      thread.mustYield = false;
      return WAITING;
    }
    if (this.#kind === OPERATION_IPC) {
      this.#complete.value = thread.error;
      return this.#complete;
    }
    return this.#goOn();
  }

  /** The thread is being deleted: its program ends here. */
  return(value: number): IteratorResult<L4Wait, number> {
    return { done: true, value };
  }

  throw(error: unknown): IteratorResult<L4Wait, number> {
    throw error;
  }

  [Symbol.dispose](): void {
    // Nothing is held.
  }

  get [Symbol.toStringTag](): string {
    return 'L4Operation';
  }

  /** One more piece of an access to memory. */
  #goOn(): IteratorResult<L4Wait, number> {
    if ((this.#va & 3) !== 0 && this.#kind >= OPERATION_LOAD32) return this.#result(this.#kind === OPERATION_LOAD32 ? -EFAULT : EFAULT);
    for (;;) {
      if (this.#faulting) {
        const refused = this.#finishFault();
        if (refused !== 0) return this.#result(this.#kind === OPERATION_LOAD32 ? -refused : refused);
      }
      const fault = this.#advance();
      if (fault === 0) return this.#result(this.#kind === OPERATION_LOAD32 ? this.#value : 0);
      const va = this.#kind === OPERATION_COPY && fault === READ ? this.#source + this.#done : this.#va + this.#done;
      const inside = va >= 0 && va < this.#thread.space.guest.userEnd;
      if (!inside || !startFault(this.#kernel, this.#thread, va, fault, 0)) {
        return this.#result(this.#kind === OPERATION_LOAD32 ? -EFAULT : EFAULT);
      }
      this.#faulting = true;
      if (this.#thread.state !== READY) return WAITING;
    }
  }

  #result(value: number): IteratorResult<L4Wait, number> {
    this.#buffer = NOTHING;
    this.#complete.value = value;
    return this.#complete;
  }

  /** The page-fault IPC is over. @returns 0: try again; else the errno of its refusal */
  #finishFault(): number {
    const thread = this.#thread;
    this.#faulting = false;
    if (thread.kernelIpc !== KERNEL_IPC_FAULT) return 0;
    thread.kernelIpc = KERNEL_IPC_NONE;
    if (thread.kernelError !== 0) return ipcErrorCode(thread.kernelError) === IPC_CANCELLED ? EINTR : EFAULT;
    return Math.abs(thread.kernelMessage.label);
  }

  /** Does what can be done now. @returns 0 when complete, else READ or WRITE: the access that faults at the next byte */
  #advance(): number {
    const { guest } = this.#thread.space;
    const at = this.#va + this.#done;
    const left = this.#len - this.#done;
    switch (this.#kind) {
      case OPERATION_READ:
        this.#done += guest.read(at, this.#buffer, this.#done, left);
        return this.#done === this.#len ? 0 : READ;
      case OPERATION_WRITE:
        this.#done += guest.write(at, this.#buffer, this.#done, left);
        return this.#done === this.#len ? 0 : WRITE;
      case OPERATION_FILL:
        this.#done += guest.fill(at, left, this.#value);
        return this.#done === this.#len ? 0 : WRITE;
      case OPERATION_COPY:
        this.#done += guest.copy(at, this.#source + this.#done, left);
        if (this.#done === this.#len) return 0;
        return guest.access(this.#source + this.#done, READ) < 0 ? READ : WRITE;
      case OPERATION_TOUCH:
        return guest.access(at, this.#value) < 0 ? this.#value : 0;
      case OPERATION_STORE32: {
        const offset = guest.access(at, WRITE);
        if (offset < 0) return WRITE;
        guest.image.words[offset / 4] = this.#value;
        return 0;
      }
      default: {
        const offset = guest.access(at, READ);
        if (offset < 0) return READ;
        this.#value = (guest.image.words[offset / 4] as number) >>> 0;
        return 0;
      }
    }
  }
}
