/**
 * The memory of the guest program as its system calls see it: copies in and out that may fault, with errno results.
 *
 * A copy first runs as far as it can without a fault; only what is left goes through the generator that raises page
 * faults to the task's pager. Structures pass through `scratch`; bulk data through `bulk`.
 */
import { EFAULT, ENAMETOOLONG, ENOMEM } from '../../hostkernel/base/errno.ts';
import { WRITE } from '../../hostkernel/base/units.ts';
import type { L4, L4Wait } from '../l4/user.ts';
import { latin1 } from './vfs/provider.ts';

export const BULK = 65536; // bytes a system call moves at a time

export class GuestMemory {
  readonly wide: boolean; // rv64: longs and addresses have 8 bytes
  readonly wordBytes: 4 | 8;
  readonly scratch = new Uint8Array(4096);
  readonly view = new DataView(this.scratch.buffer);
  readonly bulk = new Uint8Array(BULK);
  readonly #page = new Uint8Array(4096); // of a string being read
  readonly #l4: L4;

  constructor(l4: L4) {
    this.#l4 = l4;
    this.wide = l4.wordBits === 64;
    this.wordBytes = this.wide ? 8 : 4;
  }

  /** Whether `[va, va + len)` can be memory of the guest at all. */
  inRange(va: number, len: number): boolean {
    return va >= 0 && len >= 0 && va + len <= this.#l4.userEnd;
  }

  /** Reads `len` bytes at `va` into `into[at...]`. Waits for page faults. @returns 0, -EFAULT or -ENOMEM */
  *read(va: number, into: Uint8Array, at: number, len: number): Generator<L4Wait, number, void> {
    if (len === 0) return 0;
    if (!this.inRange(va, len)) return -EFAULT;
    const done = this.#l4.tryRead(va, into, at, len);
    if (done === len) return 0;
    return refusal(yield* this.#l4.read(va + done, into.subarray(at + done, at + len)));
  }

  /** Writes `len` bytes of `from[at...]` to `va`. Waits for page faults. @returns 0, -EFAULT or -ENOMEM */
  *write(va: number, from: Uint8Array, at: number, len: number): Generator<L4Wait, number, void> {
    if (len === 0) return 0;
    if (!this.inRange(va, len)) return -EFAULT;
    const done = this.#l4.tryWrite(va, from, at, len);
    if (done === len) return 0;
    return refusal(yield* this.#l4.write(va + done, from.subarray(at + done, at + len)));
  }

  /** How far reading `len` bytes at `va` comes without a fault: after one that was refused, how far it came. @returns bytes */
  tryRead(va: number, into: Uint8Array, len: number): number {
    return this.#l4.tryRead(va, into, 0, len);
  }

  /** The same for writing. */
  tryWrite(va: number, from: Uint8Array, len: number): number {
    return this.#l4.tryWrite(va, from, 0, len);
  }

  /** Waits until the page of `va` is there to be written. It may have gone again. @returns 0, -EFAULT or -ENOMEM */
  *bringIn(va: number): Generator<L4Wait, number, void> {
    return this.inRange(va, 1) ? refusal(yield* this.#l4.touch(va, WRITE)) : -EFAULT;
  }

  /** Reads a structure of `len` bytes into `scratch`. @returns 0 or -EFAULT */
  load(va: number, len: number): Generator<L4Wait, number, void> {
    return this.read(va, this.scratch, 0, len);
  }

  /** Writes the first `len` bytes of `scratch`. @returns 0 or -EFAULT */
  store(va: number, len: number): Generator<L4Wait, number, void> {
    return this.write(va, this.scratch, 0, len);
  }

  *fill(va: number, len: number, byte: number): Generator<L4Wait, number, void> {
    if (len === 0) return 0;
    if (!this.inRange(va, len)) return -EFAULT;
    const done = this.#l4.tryFill(va, len, byte);
    if (done === len) return 0;
    return refusal(yield* this.#l4.fill(va + done, len - done, byte));
  }

  /**
   * A NUL-terminated string as a byte string.
   * @param max bytes, with the NUL; @returns the string, -EFAULT, or -ENAMETOOLONG: no NUL within `max`
   */
  *readString(va: number, max: number): Generator<L4Wait, string | number, void> {
    const piece = this.#page;
    let text = '';
    let at = va;
    while (text.length < max) {
      if (!this.inRange(at, 1)) return -EFAULT;
      const len = Math.min(4096 - (at % 4096), max - text.length, this.#l4.userEnd - at);
      const error = yield* this.read(at, piece, 0, len); // never crosses a page: what follows the string may be missing
      if (error < 0) return error;
      const end = piece.subarray(0, len).indexOf(0);
      if (end >= 0) return text + latin1(piece.subarray(0, end));
      text += latin1(piece.subarray(0, len));
      at += len;
    }
    return -ENAMETOOLONG;
  }

  /** One address-sized word. @returns the unsigned value (exact below 2^53), or -EFAULT */
  *readWord(va: number): Generator<L4Wait, number, void> {
    const error = yield* this.load(va, this.wordBytes);
    return error < 0 ? error : this.wordAt(0);
  }

  /** The unsigned word at `offset` of `scratch`. */
  wordAt(offset: number): number {
    const lo = this.view.getUint32(offset, true);
    return this.wide ? this.view.getUint32(offset + 4, true) * 2 ** 32 + lo : lo;
  }

  /** The signed word at `offset` of `scratch`. */
  longAt(offset: number): number {
    if (!this.wide) return this.view.getInt32(offset, true);
    return this.view.getInt32(offset + 4, true) * 2 ** 32 + this.view.getUint32(offset, true);
  }

  /** The signed 64-bit value at `offset` of `scratch`, on either word size. */
  int64At(offset: number): number {
    return this.view.getInt32(offset + 4, true) * 2 ** 32 + this.view.getUint32(offset, true);
  }

  putWord(offset: number, value: number): void {
    if (this.wide) putInt64(this.view, offset, value);
    else this.view.setInt32(offset, value, true);
  }
}

/** What a system call answers when the pager has answered `errno`: memory that has run out is not a bad address. */
function refusal(errno: number): number {
  return errno === 0 ? 0 : errno === ENOMEM ? -ENOMEM : -EFAULT;
}

/** Stores an integer below 2^53 as 64 bits, two's complement. */
export function putInt64(view: DataView, offset: number, value: number): void {
  view.setInt32(offset, value, true);
  view.setInt32(offset + 4, Math.floor(value / 2 ** 32), true);
}
