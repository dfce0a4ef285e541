/**
 * ProcessMemory: the loads and stores of a TypeScript program, through the same page tables as everybody's.
 *
 *   va --TranslationContext.lookup--> offset into the machine's memory
 *             | refused
 *             +--> VmSpace.fault --ok--> lookup again
 *                       | refused
 *                       +--> the process is killed, ProcessEnded unwinds its body
 *
 * ProcessEnded is the one exception of this kernel: a body is JavaScript, and nothing else ends it in mid-expression.
 * The kernel catches it where it stepped the body. A body that catches it first meets it again at its next call.
 */

import { kassert } from '../base/assert.ts';
import { type Access, PAGE_MASK, PAGE_SIZE, READ, WRITE } from '../base/units.ts';
import type { RamView } from '../machine/index.ts';
import { FAULT_NO_MEMORY, FAULT_OK, FAULT_WAIT, type Vm } from '../vm/index.ts';
import { FAULT_NS } from './costs.ts';
import type { UserMemory } from './host.ts';
import type { Process } from './process.ts';

/** Unwinds the body of a process that has ended. */
export class ProcessEnded extends Error {
  override readonly name = 'ProcessEnded';
}

/** What a context looks like to this file. */
interface Translator {
  lookup(va: number, access: Access): number;
}

/** Stands for the context of a process that is gone: whoever kept its UserMemory gets ProcessEnded. */
const NOWHERE: Translator = { lookup: () => -1 };

const TWO32 = 2 ** 32;

export class ProcessMemory implements UserMemory {
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  readonly #process: Process;
  readonly #paging: Vm | null; // where pages may leave RAM
  #context: Translator;

  constructor(process: Process, ram: RamView) {
    this.words = ram.i32;
    this.bytes = ram.u8;
    this.#process = process;
    const { vm } = process.kernel;
    this.#paging = vm.io === null ? null : vm;
    this.#context = process.space.context;
  }

  /** The process is gone, and its space with it. */
  detach(): void {
    this.#context = NOWHERE;
  }

  translate(va: number, access: Access): number {
    const at = this.#at(va, access);
    if (this.#paging !== null) this.#paging.hold(at);
    return at;
  }

  load8(va: number): number {
    return this.bytes[this.#at(va, READ)];
  }

  load16(va: number): number {
    return this.load8(va) | (this.load8(va + 1) << 8);
  }

  load32(va: number): number {
    if ((va & 3) === 0) return this.words[this.#at(va, READ) >>> 2] >>> 0;
    return (this.load16(va) | (this.load16(va + 2) << 16)) >>> 0;
  }

  load64(va: number): number {
    return this.load32(va + 4) * TWO32 + this.load32(va);
  }

  store8(va: number, value: number): void {
    this.bytes[this.#at(va, WRITE)] = value;
  }

  store16(va: number, value: number): void {
    if ((va & PAGE_MASK) === PAGE_MASK) this.#at(va + 1, WRITE); // both pages, before either changes
    this.store8(va, value);
    this.store8(va + 1, value >>> 8);
  }

  store32(va: number, value: number): void {
    if ((va & 3) === 0) {
      this.words[this.#at(va, WRITE) >>> 2] = value;
      return;
    }
    this.#at(va + 3, WRITE);
    this.store16(va, value);
    this.store16(va + 2, value >>> 16);
  }

  store64(va: number, value: number): void {
    if ((va & PAGE_MASK) > PAGE_SIZE - 8) this.#at(va + 7, WRITE);
    this.store32(va, value);
    this.store32(va + 4, Math.floor(value / TWO32));
  }

  read(va: number, into: Uint8Array): void {
    for (let done = 0; done < into.length; ) {
      const at = this.#at(va + done, READ);
      const n = pieceAt(va + done, into.length - done);
      into.set(this.bytes.subarray(at, at + n), done);
      done += n;
    }
  }

  write(va: number, from: Uint8Array): void {
    for (let done = 0; done < from.length; ) {
      const at = this.#at(va + done, WRITE);
      const n = pieceAt(va + done, from.length - done);
      this.bytes.set(n === from.length ? from : from.subarray(done, done + n), at);
      done += n;
    }
  }

  copy(dst: number, src: number, len: number): void {
    if (dst > src && dst < src + len) this.#copyDown(dst, src, len);
    else this.#copyUp(dst, src, len);
  }

  fill(va: number, len: number, byte: number): void {
    for (let done = 0; done < len; ) {
      const at = this.#at(va + done, WRITE);
      const n = pieceAt(va + done, len - done);
      this.bytes.fill(byte, at, at + n);
      done += n;
    }
  }

  #copyUp(dst: number, src: number, len: number): void {
    for (let done = 0; done < len; ) {
      const n = pieceAt(dst + done, pieceAt(src + done, len - done));
      this.#copyPiece(dst + done, src + done, n);
      done += n;
    }
  }

  /** From the end, for a destination that overlaps the rest of the source. */
  #copyDown(dst: number, src: number, len: number): void {
    for (let left = len; left > 0; ) {
      const n = Math.min(left, bytesBelow(dst + left), bytesBelow(src + left));
      left -= n;
      this.#copyPiece(dst + left, src + left, n);
    }
  }

  /** Copies `n` bytes that cross no page on either side. */
  #copyPiece(dst: number, src: number, n: number): void {
    this.translate(dst, WRITE); // whichever faults, both are looked up after it
    const from = this.translate(src, READ);
    const to = this.translate(dst, WRITE);
    this.bytes.copyWithin(to, from, from + n);
  }

  /** As translate(), but good until the next call of anything: the page may leave RAM. Hot. */
  #at(va: number, access: Access): number {
    const at = this.#context.lookup(va, access);
    return at >= 0 ? at : this.#fault(va, access);
  }

  /** The slow half of #at: the kernel's part of a page fault. */
  #fault(va: number, access: Access): number {
    const process = this.#process;
    if (process.exitStatus !== null) throw new ProcessEnded();
    process.kernel.counters.entries++;
    process.kernel.counters.userFaults++;
    process.kernel.machine.clock.charge(FAULT_NS);
    const { vm } = process.kernel;
    let result = process.space.fault(va, access);
    while (result === FAULT_WAIT) result = vm.waitFor(vm.waitChannel) ? process.space.fault(va, access) : FAULT_NO_MEMORY;
    if (result !== FAULT_OK) {
      process.kernel.killForFault(process, process.space, { result, va, access, pc: null });
      throw new ProcessEnded();
    }
    const at = this.#context.lookup(va, access);
    kassert(at >= 0, 'user_memory: a resolved fault does not translate');
    return at;
  }
}

/** Bytes from `va` that stay in its page, at most `len`. */
function pieceAt(va: number, len: number): number {
  return Math.min(len, PAGE_SIZE - (va & PAGE_MASK));
}

/** Bytes below `va` that are in one page: 1..4096. */
function bytesBelow(va: number): number {
  return ((va - 1) & PAGE_MASK) + 1;
}
