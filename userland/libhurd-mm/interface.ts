/**
 * What a task's memory manager offers to the rest of the task, above all to the system calls of a Linux program.
 *
 * Flags, protections and advice have Linux's values; results are >= 0 or -errno. Addresses and lengths are bytes and
 * come unchecked from the program: an implementation refuses what is not aligned, wraps or leaves user space.
 * Everything that changes mappings may wait for the physical memory server; what only looks does not.
 */
import type { L4Wait } from '../../vkernel/l4/user.ts';

/** A file as something that can be mapped. All calls are synchronous. */
export interface FileBacking {
  readonly size: number; // bytes, now
  /** Reads into the whole of `into`. @returns bytes, fewer only at the end of the file; or -errno */
  read(offset: number, into: Uint8Array): number;
  /** Absent: the file cannot be written through a mapping. */
  write?(offset: number, from: Uint8Array): number;
  /** Identity of the bytes: equal keys may share cached pages. A changed file has another key. */
  readonly key: object;
}

export interface MapRequest {
  readonly addr: number;
  readonly len: number;
  readonly prot: number; // PROT_*
  readonly flags: number; // MAP_*
  readonly file: FileBacking | null; // null: anonymous
  readonly offset: number; // bytes into `file`, page aligned
}

export interface TaskMemory {
  /** mmap(2). @returns the address or -errno */
  mmap(request: MapRequest): Generator<L4Wait, number, void>;
  munmap(addr: number, len: number): Generator<L4Wait, number, void>;
  mprotect(addr: number, len: number, prot: number): Generator<L4Wait, number, void>;
  mremap(addr: number, oldLen: number, newLen: number, flags: number, newAddr: number): Generator<L4Wait, number, void>;
  madvise(addr: number, len: number, advice: number): Generator<L4Wait, number, void>;
  /** Writes shared file pages back. */
  msync(addr: number, len: number, flags: number): Generator<L4Wait, number, void>;
  /** Declares where the heap begins, after a program has been loaded. It is empty then. */
  startBreak(addr: number): void;
  /** brk(2). @returns the new break; the old one if it cannot be had */
  brk(addr: number): Generator<L4Wait, number, void>;
  /** Removes every mapping of the program, heap too: execve(2). */
  clear(): Generator<L4Wait, number, void>;
  /** PROT_* of the mapping at an address, or -1 where nothing is mapped. */
  protectionAt(addr: number): number;
  /** Bytes the program has mapped, for /proc and limits. */
  readonly mappedBytes: number;
}
