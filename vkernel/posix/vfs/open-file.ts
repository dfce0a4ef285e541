/**
 * Open file descriptions: what a descriptor stands for, shared by its duplicates.
 *
 * Invariant: an open pipe end is counted in its pipe, an open file in its inode, exactly while references > 0.
 */
import { EBADF, EINVAL, EIO, EISDIR, ENOMEM, ENXIO, ESPIPE } from '../../../hostkernel/base/errno.ts';
import { kassert } from '../../../hostkernel/base/assert.ts';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { mayRead, mayWrite, O_APPEND } from '../abi.ts';
import { Contents } from './contents.ts';
import type { Device, Inode } from './inode.ts';
import type { Pipe } from './pipe.ts';
import { bytesOf } from './provider.ts';
import type { Tree } from './tree.ts';

export class OpenFile {
  readonly node: Inode;
  readonly path: string; // absolute, as it was opened: what /proc/self/fd shows
  flags: number; // O_*: access mode, O_APPEND, O_NONBLOCK, O_PATH
  offset = 0; // bytes; for a directory, index in `names()` + 2
  references = 0;
  /** The names of a directory as they were when reading it began, null before. */
  #listing: readonly string[] | null = null;
  readonly #tree: Tree;
  #contents: Contents | null; // of a regular file; a generated one has its text of the moment

  constructor(tree: Tree, node: Inode, path: string, flags: number) {
    this.node = node;
    this.path = path;
    this.flags = flags;
    this.#tree = tree;
    this.#contents = node.kind === 'file' && node.generate === null ? node.contents : null;
  }

  /**
   * Takes the text of a generated file, as it is now. Up to a page it comes with the descriptor; more is charged to the
   * file system's store, because a program chooses its own arguments and opens them as often as it likes.
   * @returns 0, or -ENOMEM: there is no room for it
   */
  generate(): number {
    if (this.node.kind !== 'file' || this.node.generate === null) return 0;
    const text = bytesOf(this.node.generate());
    const store = text.length <= PAGE_SIZE ? { pagesMax: 1, pagesUsed: 0 } : this.#tree.store;
    const contents = new Contents(store, null);
    if (contents.write(0, text, 0, text.length) < text.length) {
      contents.release();
      return -ENOMEM;
    }
    this.#contents = contents;
    return 0;
  }

  get readable(): boolean {
    return mayRead(this.flags);
  }

  get writable(): boolean {
    return mayWrite(this.flags);
  }

  get contents(): Contents | null {
    return this.#contents;
  }

  get pipe(): Pipe | null {
    return this.node.kind === 'fifo' ? this.node.pipe : null;
  }

  get device(): Device | null {
    return this.node.kind === 'character' || this.node.kind === 'block' || this.node.kind === 'fifo' ? this.node.device : null;
  }

  get isTerminal(): boolean {
    return this.device?.isTerminal ?? false;
  }

  /** Whether a read answers with what there is at the moment, and does not go on for more. */
  get isStream(): boolean {
    return this.node.kind === 'fifo' || this.isTerminal;
  }

  /** Whether there is a position to seek to. */
  get seekable(): boolean {
    return this.node.kind === 'file' || this.node.kind === 'directory' || (this.node.kind === 'character' && !this.isTerminal);
  }

  acquire(): void {
    if (this.references++ > 0) return;
    if (this.node.kind === 'file') this.node.opens++;
    const { pipe } = this;
    if (pipe === null) return;
    if (this.readable) {
      pipe.readers++;
      pipe.readersEver++;
    }
    if (this.writable) {
      pipe.writers++;
      pipe.writersEver++;
    }
    pipe.changed.wake();
  }

  release(): void {
    kassert(this.references > 0, 'open file: released too often');
    if (--this.references > 0) return;
    if (this.pipe !== null && this.readable) this.pipe.readers--;
    if (this.pipe !== null && this.writable) this.pipe.writers--;
    this.pipe?.changed.wake();
    if (this.pipe?.readers === 0 && this.pipe.writers === 0 && (this.readable || this.writable)) {
      this.pipe.drain();
      this.#tree.reap(this.node);
    }
    this.#setListing(null);
    if (this.node.kind === 'file') {
      this.node.opens--;
      if (this.node.generate !== null) this.#contents?.release();
      this.#tree.reap(this.node);
    }
  }

  /**
   * Reads into the whole of `into` from `offset` (ignored where there is no position).
   * @returns bytes, 0 at the end; or -EBADF not open for reading, -EISDIR, -ENXIO no driver, -EAGAIN an empty pipe
   */
  readAt(offset: number, into: Uint8Array): number {
    if (!this.readable) return -EBADF;
    if (this.#contents !== null) return this.#contents.read(offset, into, 0, into.length);
    if (this.node.kind === 'directory') return -EISDIR;
    if (this.pipe !== null) return this.pipe.read(into);
    return this.device?.read(into) ?? -ENXIO;
  }

  /** The reader had no room for the last `n` bytes of the read just made. A pipe keeps them; what a device gave is gone. */
  giveBack(n: number): void {
    this.pipe?.unread(n);
  }

  /**
   * Writes the whole of `from` at `offset` (with O_APPEND: at the end).
   * @returns bytes; or -EBADF not open for writing, -EPIPE, -EAGAIN, -ENOSPC, -EFBIG, -ENXIO
   */
  writeAt(offset: number, from: Uint8Array): number {
    if (!this.writable) return -EBADF;
    if (this.node.kind === 'file') {
      if (this.node.generate !== null) return -EIO;
      const n = this.node.contents.write(offset, from, 0, from.length);
      if (n > 0) this.node.mtime = this.node.ctime = this.#tree.now();
      return n;
    }
    if (this.node.kind === 'directory') return -EBADF;
    if (this.pipe !== null) return this.pipe.write(from);
    return this.device?.write(from) ?? -ENXIO;
  }

  /** Where a write at the current position begins. */
  get writeOffset(): number {
    return (this.flags & O_APPEND) !== 0 && this.#contents !== null ? this.#contents.size : this.offset;
  }

  /** Whether a read would be answered with something other than -EAGAIN. */
  get readReady(): boolean {
    const pipe = this.pipe;
    return pipe === null || pipe.length > 0 || pipe.writers === 0;
  }

  /** Sets the size of a regular file. @returns 0, -EINVAL not a regular file or not open for writing, -EFBIG */
  truncate(size: number): number {
    if (this.node.kind !== 'file' || !this.writable || this.node.generate !== null) return -EINVAL;
    const error = this.node.contents.truncate(size);
    if (error === 0) this.node.mtime = this.node.ctime = this.#tree.now();
    return error;
  }

  /** The names of a directory, taken when its reading begins and again after a rewind; -ENOMEM if there is no room to keep them. */
  names(): readonly string[] | number {
    if (this.node.kind !== 'directory') return -ESPIPE;
    if (this.#listing !== null && this.offset > 0) return this.#listing;
    this.#setListing(null);
    const names = this.#tree.list(this.node);
    if (typeof names === 'number') return names;
    if (this.#tree.store.pagesUsed + listingPages(names) > this.#tree.store.pagesMax) return -ENOMEM;
    this.#setListing(names);
    return names;
  }

  /** Keeps a listing, charged to the file system's store like everything a program can make grow. */
  #setListing(names: readonly string[] | null): void {
    if (this.#listing !== null) this.#tree.store.pagesUsed -= listingPages(this.#listing);
    if (names !== null) this.#tree.store.pagesUsed += listingPages(names);
    this.#listing = names;
  }
}

/** Pages a listing is charged as: a pointer a name, and something for the rest. */
function listingPages(names: readonly string[]): number {
  return Math.floor(names.length / 256);
}
