/**
 * Open files: the console and memory images, and the table of descriptors of a process.
 *
 * A memory image (memfd) is a vm_object with a size in bytes. mmap maps the object, read and write go to the object's
 * pages through it: there is one copy of the data, so all views agree at once.
 */

import { kassert } from '../base/assert.ts';
import { EBADF, EFBIG, EINVAL, ENOSPC } from '../base/errno.ts';
import { type ObjectPage, PAGE_SIZE, pagesOf } from '../base/units.ts';
import type { Console } from '../machine/index.ts';
import type { Vm, VmObject } from '../vm/index.ts';

export type OpenFile = ConsoleFile | MemoryFile;

/** Descriptors of a process: 0..MAX_FILES-1. */
export const MAX_FILES = 256;

/** Largest size of a memory image, bytes: 2^31 - 1 pages, what a vm_object can have. */
export const MAX_FILE_BYTES = (2 ** 31 - 1) * PAGE_SIZE;

/** Standard input, output or error. */
export class ConsoleFile {
  readonly kind = 'console';
  readonly fd: 0 | 1 | 2;
  readonly #console: Console;

  constructor(console: Console, fd: 0 | 1 | 2) {
    this.#console = console;
    this.fd = fd;
  }

  /** Up to `max` bytes of input, empty at its end; -EBADF on an output. */
  read(max: number): Uint8Array | number {
    return this.fd === 0 ? this.#console.read(max) : -EBADF;
  }

  /** Writes all of `bytes`. @returns their number, or -EBADF on the input */
  write(bytes: Uint8Array): number {
    if (this.fd === 0) return -EBADF;
    this.#console.write(this.fd, bytes);
    return bytes.length;
  }
}

/** A memory image. */
export class MemoryFile {
  readonly kind = 'memory';
  /** What mmap maps. Ours is one reference, every mapping has its own. */
  readonly object: VmObject;
  /** Where read and write go on, bytes. */
  position = 0;
  #size = 0; // bytes

  constructor(vm: Vm) {
    this.object = vm.createObject(0);
  }

  get size(): number {
    return this.#size;
  }

  /**
   * Makes the file `size` bytes long. What is cut off is lost, what is added is a hole; an access through a mapping
   * beyond the last page is SIGBUS.
   * @param size any number @returns 0; -EINVAL negative; -EFBIG more than MAX_FILE_BYTES
   */
  truncate(size: number): number {
    if (size < 0) return -EINVAL;
    if (size > MAX_FILE_BYTES) return -EFBIG;
    this.object.resize(pagesOf(size));
    const cut = Math.floor(size / PAGE_SIZE) as ObjectPage; // in two; beyond the object if the size is whole pages
    if (size < this.#size && this.object.lookup(cut) !== 0) this.object.write(size, new Uint8Array(PAGE_SIZE - (size % PAGE_SIZE)));
    this.#size = size;
    return 0;
  }

  /** Bytes from `offset` on, up to the end of the file. @returns how many */
  readAt(offset: number, into: Uint8Array): number {
    const n = Math.max(0, Math.min(into.length, this.#size - offset));
    return n === 0 ? 0 : this.object.read(offset, into.subarray(0, n));
  }

  /**
   * Writes `from` at `offset`; the file grows if it ends before.
   * @returns bytes written, less than given if frames ran out; -ENOSPC if none was left; -EFBIG beyond MAX_FILE_BYTES
   */
  writeAt(offset: number, from: Uint8Array): number {
    const end = offset + from.length;
    if (end > MAX_FILE_BYTES) return -EFBIG;
    if (from.length === 0) return 0;
    if (end > this.object.sizePages * PAGE_SIZE) this.object.resize(pagesOf(end));
    const n = this.object.write(offset, from);
    this.#size = Math.max(this.#size, n === 0 ? 0 : offset + n);
    this.object.resize(pagesOf(this.#size)); // without the room that found no frames
    return n === 0 ? -ENOSPC : n;
  }

  close(): void {
    this.object.release();
  }
}

/**
 * The descriptors of a process. Each file has one descriptor: nothing here duplicates one.
 *
 * Invariant: T1  a file is in the table exactly while it is open.
 */
export class FileTable {
  readonly #files: (OpenFile | null)[];

  constructor(console: Console) {
    this.#files = [new ConsoleFile(console, 0), new ConsoleFile(console, 1), new ConsoleFile(console, 2)];
  }

  /** The file of `fd`, or null. */
  get(fd: number): OpenFile | null {
    return this.#files[fd] ?? null;
  }

  /** Whether another file can be opened. */
  get hasRoom(): boolean {
    return this.#files.length < MAX_FILES || this.#files.includes(null);
  }

  /** Enters `file` under the lowest free descriptor. There must be room. */
  add(file: OpenFile): number {
    kassert(this.hasRoom, 'file_table: full');
    const free = this.#files.indexOf(null);
    const fd = free < 0 ? this.#files.length : free;
    this.#files[fd] = file;
    return fd;
  }

  /** @returns 0, or -EBADF */
  close(fd: number): number {
    const file = this.get(fd);
    if (file === null) return -EBADF;
    if (file.kind === 'memory') file.close();
    this.#files[fd] = null;
    return 0;
  }

  closeAll(): void {
    for (let fd = 0; fd < this.#files.length; fd++) this.close(fd);
  }
}
