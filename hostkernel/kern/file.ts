/**
 * Open files: the console, memory images, ends of pipes, files of the tree, disks; and the table of descriptors of a process.
 *
 * A memory image (memfd) is a vm_object with a size in bytes. mmap maps the object, read and write go to the object's
 * pages through it: there is one copy of the data, so all views agree at once.
 * An open file has as many references as descriptors lead to it, in all processes: dup and fork share it, position included.
 */

import { kassert } from '../base/assert.ts';
import { EBADF, EFBIG, EINVAL, EIO, ENOSPC } from '../base/errno.ts';
import { PAGE_SIZE, pagesOf } from '../base/units.ts';
import { BLOCK_SIZE, type Clock, type Console, type PolledDisk } from '../machine/index.ts';
import type { Vm, VmObject } from '../vm/index.ts';
import type { Pipe } from './pipe.ts';

export type OpenFile = ConsoleFile | MemoryFile | PipeEnd | TreeFile | DiskFile;

/** Descriptors of a process: 0..MAX_FILES-1. */
export const MAX_FILES = 256;

/** Largest size of a memory image, bytes: 2^31 - 1 pages, what a vm_object can have. */
export const MAX_FILE_BYTES = (2 ** 31 - 1) * PAGE_SIZE;

/** Standard input, output or error. */
export class ConsoleFile {
  readonly kind = 'console';
  references = 0;
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

  close(): void {
    // the console is there as long as the machine
  }
}

/** A memory image. */
export class MemoryFile {
  readonly kind = 'memory';
  references = 0;
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
   * @param size any number
   * @returns 0; or, and nothing is cut off, -EINVAL negative; -EFBIG more than MAX_FILE_BYTES; -EIO the page that is cut in
   *   two is on the swap device and cannot be brought in
   */
  truncate(size: number): number {
    if (size < 0) return -EINVAL;
    if (size > MAX_FILE_BYTES) return -EFBIG;
    if (size < this.#size && size % PAGE_SIZE !== 0) {
      const cut = Math.floor(size / PAGE_SIZE); // in two
      const rest = new Uint8Array(PAGE_SIZE - (size % PAGE_SIZE));
      if (this.object.nextPage(cut) === cut && this.object.write(size, rest) < rest.length) return -EIO;
    }
    this.object.resize(pagesOf(size));
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

/** One end of a pipe. */
export class PipeEnd {
  readonly kind = 'pipe';
  references = 0;
  readonly pipe: Pipe;
  readonly end: 'read' | 'write';
  /** O_NONBLOCK: -EAGAIN instead of waiting. */
  nonBlocking: boolean;
  readonly #wakeup: (channel: object) => void;

  constructor(pipe: Pipe, end: 'read' | 'write', options: { readonly nonBlocking: boolean; readonly wakeup: (channel: object) => void }) {
    this.pipe = pipe;
    this.end = end;
    this.nonBlocking = options.nonBlocking;
    this.#wakeup = options.wakeup;
    if (end === 'read') pipe.readers++;
    else pipe.writers++;
  }

  /** The other side finds out: end of file, or a broken pipe. */
  close(): void {
    const { pipe } = this;
    if (this.end === 'read') pipe.readers--;
    else pipe.writers--;
    this.#wakeup(this.end === 'read' ? pipe.drained : pipe.filled);
  }
}

/** A file of the tree, open for reading. */
export class TreeFile {
  readonly kind = 'tree';
  references = 0;
  readonly bytes: Uint8Array;
  position = 0; // bytes

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** Bytes from `offset` on, up to the end of the file. @returns how many */
  readAt(offset: number, into: Uint8Array): number {
    const from = this.bytes.subarray(offset, offset + into.length);
    into.set(from);
    return from.length;
  }

  close(): void {
    // the tree keeps the contents
  }
}

/** A disk as a file of whole blocks, read and written past every cache. The caller waits: its time is charged to the clock. */
export class DiskFile {
  readonly kind = 'disk';
  references = 0;
  position = 0; // bytes
  readonly #disk: PolledDisk;
  readonly #clock: Pick<Clock, 'charge'>;

  constructor(disk: PolledDisk, clock: Pick<Clock, 'charge'>) {
    this.#disk = disk;
    this.#clock = clock;
  }

  get size(): number {
    return this.#disk.blocks * BLOCK_SIZE;
  }

  /** Whole blocks from `offset` on, up to the end of the disk. @returns bytes; -EINVAL no whole blocks; -EIO none could be read */
  readAt(offset: number, into: Uint8Array): number {
    return this.#transfer(offset, into, (block, bytes) => this.#disk.read(block, bytes));
  }

  /** Writes whole blocks at `offset`. @returns bytes; -EINVAL no whole blocks; -ENOSPC at the end of the disk; -EIO none could be written */
  writeAt(offset: number, from: Uint8Array): number {
    if (offset >= this.size && from.length > 0) return -ENOSPC;
    return this.#transfer(offset, from, (block, bytes) => this.#disk.write(block, bytes));
  }

  /** Moves block after block until one fails: then what was moved before it counts. */
  #transfer(offset: number, bytes: Uint8Array, move: (block: number, bytes: Uint8Array) => boolean): number {
    if (offset % BLOCK_SIZE !== 0 || bytes.length % BLOCK_SIZE !== 0) return -EINVAL;
    const { timing } = this.#disk;
    const end = Math.min(bytes.length, Math.max(0, this.size - offset));
    let done = 0;
    for (; done < end; done += BLOCK_SIZE) {
      if (!move((offset + done) / BLOCK_SIZE, bytes.subarray(done, done + BLOCK_SIZE))) break;
    }
    if (end > 0) this.#clock.charge(timing.latency + (done / BLOCK_SIZE) * timing.perBlock);
    return done === 0 && end > 0 ? -EIO : done;
  }

  close(): void {
    // the disk is there as long as the machine
  }
}

interface Descriptor {
  readonly file: OpenFile;
  closeOnExec: boolean;
}

/**
 * The descriptors of a process.
 *
 * Invariant: T1  an open file has as many references as descriptors lead to it, over all tables, and is closed at none
 */
export class FileTable {
  readonly #descriptors: (Descriptor | null)[] = [];

  /** Standard input, output and error. */
  static standard(console: Console): FileTable {
    const table = new FileTable();
    for (const fd of [0, 1, 2] as const) table.add(new ConsoleFile(console, fd));
    return table;
  }

  /** The file of `fd`, or null. */
  get(fd: number): OpenFile | null {
    return this.#descriptors[fd]?.file ?? null;
  }

  /** Whether `count` more files can be opened. */
  hasRoom(count = 1): boolean {
    let free = MAX_FILES - this.#descriptors.length;
    for (let fd = 0; fd < this.#descriptors.length && free < count; fd++) if (this.#descriptors[fd] === null) free++;
    return free >= count;
  }

  /** Enters `file` under the lowest free descriptor from `from` on. There must be room. */
  add(file: OpenFile, closeOnExec = false, from = 0): number {
    let fd = from;
    while (this.get(fd) !== null) fd++;
    kassert(fd < MAX_FILES, 'file_table: full');
    this.put(fd, file, closeOnExec);
    return fd;
  }

  /** Makes `fd`, below MAX_FILES, lead to `file`, in place of where it led. */
  put(fd: number, file: OpenFile, closeOnExec: boolean): void {
    file.references++;
    this.close(fd);
    while (this.#descriptors.length < fd) this.#descriptors.push(null);
    this.#descriptors[fd] = { file, closeOnExec };
  }

  /** Whether `fd` is closed by exec. */
  closesOnExec(fd: number): boolean {
    return this.#descriptors[fd]?.closeOnExec === true;
  }

  setCloseOnExec(fd: number, closeOnExec: boolean): void {
    const descriptor = this.#descriptors[fd];
    if (descriptor !== null && descriptor !== undefined) descriptor.closeOnExec = closeOnExec;
  }

  /** @returns 0, or -EBADF */
  close(fd: number): number {
    const file = this.get(fd);
    if (file === null) return -EBADF;
    this.#descriptors[fd] = null;
    file.references--;
    if (file.references === 0) file.close();
    return 0;
  }

  closeAll(): void {
    for (let fd = 0; fd < this.#descriptors.length; fd++) this.close(fd);
  }

  /** For exec. */
  closeMarked(): void {
    for (let fd = 0; fd < this.#descriptors.length; fd++) if (this.closesOnExec(fd)) this.close(fd);
  }

  /** For fork: another table that leads to the same open files. */
  fork(): FileTable {
    const table = new FileTable();
    for (const [fd, descriptor] of this.#descriptors.entries()) {
      if (descriptor !== null) table.put(fd, descriptor.file, descriptor.closeOnExec);
    }
    return table;
  }
}
