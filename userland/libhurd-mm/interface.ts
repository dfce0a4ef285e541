/**
 * What a program's personality sees of the memory manager: mmap and its kin, and what can back a mapping.
 *
 * Addresses and lengths are bytes. Results are addresses or 0, negative errnos where a call is refused; a refused call
 * has changed nothing. PROT_* and MAP_* values are those of Linux.
 */
import type { L4Wait } from '../../vkernel/l4/user.ts';

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;
export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_SHARED_VALIDATE = 0x03;
export const MAP_TYPE = 0x0f;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_POPULATE = 0x8000;
export const MAP_FIXED_NOREPLACE = 0x100000;
export const MREMAP_MAYMOVE = 1;
export const MREMAP_FIXED = 2;
export const MADV_DONTNEED = 4;
export const MADV_FREE = 8;
export const MADV_REMOVE = 9;
export const MADV_POPULATE_READ = 22;
export const MADV_POPULATE_WRITE = 23;
export const MS_ASYNC = 1;
export const MS_INVALIDATE = 2;
export const MS_SYNC = 4;

/** A file as something to map. Synchronous: the file system of a guest lives in the server's own memory. */
export interface FileBacking {
  /**
   * Identity of the bytes: mappings of the same file share its cached pages. A file whose bytes have changed has another
   * key from then on, and its old pages are forgotten (TaskMemory.refreshFiles).
   */
  readonly key: object;
  /** Bytes, now. */
  readonly size: number;
  /** Reads from byte `offset`; a short count only at the end of the file. @returns bytes, or -errno */
  read(offset: number, into: Uint8Array): number;
  /** Writes at byte `offset`, inside the file. Absent: the file cannot be written. @returns bytes, or -errno */
  write?(offset: number, from: Uint8Array): number;
  /** Called when the manager begins and when it ends to need the file: a file without a name lives as long as its mappings. */
  hold?(): void;
  release?(): void;
  /** Whether no name leads to the file any more: then its pages are not kept after the last mapping. */
  readonly isNameless?: boolean;
  /** What a list of mappings calls the file. */
  readonly label?: FileLabel;
}

export interface FileLabel {
  readonly path: string;
  readonly dev: number;
  readonly ino: number;
}

export interface MapRequest {
  readonly addr: number;
  readonly len: number;
  readonly prot: number;
  readonly flags: number;
  readonly file: FileBacking | null; // null: anonymous
  readonly offset: number; // bytes into the file
}

/** One line of a list of mappings. */
export interface Mapping {
  readonly start: number; // bytes
  readonly end: number;
  readonly prot: number; // PROT_*
  readonly shared: boolean;
  readonly offset: number; // bytes into the file; 0 for anonymous memory
  readonly file: FileLabel | null;
}

/** The memory of one task, as one of its threads uses it. */
export interface TaskMemory {
  mmap(request: MapRequest): Generator<L4Wait, number>;
  munmap(addr: number, len: number): Generator<L4Wait, number>;
  mprotect(addr: number, len: number, prot: number): Generator<L4Wait, number>;
  mremap(addr: number, oldLen: number, newLen: number, flags: number, newAddr: number): Generator<L4Wait, number>;
  madvise(addr: number, len: number, advice: number): Generator<L4Wait, number>;
  msync(addr: number, len: number, flags: number): Generator<L4Wait, number>;
  /** Moves the program break; 0 or an impossible address moves nothing. @returns the break */
  brk(addr: number): Generator<L4Wait, number>;
  /** Where the break starts: the end of a new program's data, rounded up. */
  setBreak(addr: number): void;
  /** The program's mappings, by address. */
  mappings(): Iterable<Mapping>;
  /** Releases all of the program's memory: it ends, or another takes its place. */
  reset(): Generator<L4Wait, void>;
  /** The task is about to be destroyed: files are let go, memory goes with it. */
  abandon(): Generator<L4Wait, void>;

  /** Whether the program has written to a shared mapping: before others look at files, writeFiles must be called. */
  readonly filesAreDirty: boolean;
  writeFiles(): Generator<L4Wait, void>;
  /** Whether a mapped file has changed behind the mapping: before the program goes on, refreshFiles must be called. */
  readonly filesAreStale: boolean;
  refreshFiles(): Generator<L4Wait, void>;
}
