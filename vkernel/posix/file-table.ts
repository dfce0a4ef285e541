/**
 * The descriptors of a process: small numbers that stand for open file descriptions.
 *
 * Invariants (assertInvariants):
 *   F1  a description's references >= the descriptors that stand for it
 *   F2  a free descriptor has no close-on-exec mark; `limit` bounds every new descriptor
 */
import { EBADF, EINVAL, EMFILE } from '../../hostkernel/base/errno.ts';
import { kassert } from '../../hostkernel/base/assert.ts';
import type { OpenFile } from './vfs/open-file.ts';

export const DESCRIPTORS_MAX = 4096; // hard limit of a process

export class FileTable {
  limit = 1024; // RLIMIT_NOFILE, soft
  users = 1; // processes that share the table
  readonly #files: (OpenFile | null)[] = [];
  readonly #closeOnExec = new Set<number>();

  /** The description a descriptor stands for, or null. */
  get(fd: number): OpenFile | null {
    return this.#files[fd] ?? null; // a fraction or a negative number finds nothing
  }

  /** The lowest free descriptor >= `from`, or -EMFILE. */
  free(from: number): number {
    let fd = from;
    while (fd < this.#files.length && this.#files[fd] !== null) fd++;
    return fd < this.limit ? fd : -EMFILE;
  }

  /** Gives `file` the lowest free descriptor >= `from`. @returns it, or -EMFILE: then the description is dropped if it is new */
  install(file: OpenFile, from: number, closeOnExec: boolean): number {
    const fd = this.free(from);
    if (fd < 0) {
      file.acquire();
      file.release();
      return fd;
    }
    this.#put(fd, file, closeOnExec);
    return fd;
  }

  /** Makes `fd` stand for `file`, closing what it stood for. @returns fd, or -EBADF beyond the limit */
  replace(fd: number, file: OpenFile, closeOnExec: boolean): number {
    if (fd < 0 || fd >= this.limit) return -EBADF;
    file.acquire(); // before the close: they may be the same
    if (this.get(fd) !== null) this.close(fd);
    this.#put(fd, file, closeOnExec);
    file.release();
    return fd;
  }

  /** @returns 0 or -EBADF */
  close(fd: number): number {
    const file = this.get(fd);
    if (file === null) return -EBADF;
    this.#files[fd] = null;
    this.#closeOnExec.delete(fd);
    file.release();
    return 0;
  }

  closesOnExec(fd: number): boolean {
    return this.#closeOnExec.has(fd);
  }

  setCloseOnExec(fd: number, on: boolean): void {
    if (on) this.#closeOnExec.add(fd);
    else this.#closeOnExec.delete(fd);
  }

  /** Closes what execve(2) must not leave open. */
  exec(): void {
    for (const fd of this.#closeOnExec) this.close(fd);
  }

  /** fork(2): the same descriptors for the same descriptions. */
  clone(): FileTable {
    const copy = new FileTable();
    copy.limit = this.limit;
    this.#files.forEach((file, fd) => {
      if (file !== null) copy.#put(fd, file, this.#closeOnExec.has(fd));
    });
    return copy;
  }

  /** A process that uses the table ends; with the last one all descriptors are closed. */
  leave(): void {
    this.users--;
    if (this.users === 0) this.closeAll();
  }

  closeAll(): void {
    for (let fd = 0; fd < this.#files.length; fd++) this.close(fd);
  }

  /** close_range(2). @returns 0 or -EINVAL */
  closeRange(first: number, last: number, onExecOnly: boolean): number {
    if (last < first) return -EINVAL;
    for (let fd = first; fd <= last && fd < this.#files.length; fd++) {
      if (this.get(fd) === null) continue;
      if (onExecOnly) this.#closeOnExec.add(fd);
      else this.close(fd);
    }
    return 0;
  }

  open(): readonly number[] {
    return [...this.#files.keys()].filter((fd) => this.get(fd) !== null);
  }

  assertInvariants(): void {
    const counts = new Map<OpenFile, number>();
    for (const file of this.#files) if (file) counts.set(file, (counts.get(file) ?? 0) + 1);
    for (const [file, count] of counts) kassert(file.references >= count, 'file table F1');
    for (const fd of this.#closeOnExec) kassert(this.get(fd) !== null, 'file table F2');
  }

  #put(fd: number, file: OpenFile, closeOnExec: boolean): void {
    while (this.#files.length <= fd) this.#files.push(null);
    file.acquire();
    this.#files[fd] = file;
    this.setCloseOnExec(fd, closeOnExec);
  }
}
