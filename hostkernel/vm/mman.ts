/**
 * The numbers of mmap, mprotect, madvise and mcontrol: part of the host's system-call interface, so programs see them.
 *
 * Values are DragonFly's, with Linux's MAP_ANONYMOUS as an alias, so that a Linux program's ordinary mappings mean here
 * what they mean there. Source: DragonFly BSD sys/mman.h.
 */

export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;

export const MAP_SHARED = 0x0001;
export const MAP_PRIVATE = 0x0002;
export const MAP_FIXED = 0x0010;
export const MAP_ANONYMOUS = 0x0020; // Linux's number; means MAP_ANON
export const MAP_STACK = 0x0400; // anonymous memory that grows down, from its end, to the full size
export const MAP_NOSYNC = 0x0800;
export const MAP_ANON = 0x1000;
export const MAP_VPAGETABLE = 0x2000; // translated by a virtual page table
export const MAP_TRYFIXED = 0x10000; // MAP_FIXED, but never over an existing mapping
export const MAP_NOCORE = 0x20000;
export const MAP_NOREPLACE = 0x100000; // Linux's MAP_FIXED_NOREPLACE: as MAP_TRYFIXED, with EEXIST

export const MADV_NORMAL = 0;
export const MADV_RANDOM = 1;
export const MADV_SEQUENTIAL = 2;
export const MADV_WILLNEED = 3;
export const MADV_DONTNEED = 4;
export const MADV_FREE = 5;
export const MADV_NOSYNC = 6;
export const MADV_AUTOSYNC = 7;
export const MADV_NOCORE = 8;
export const MADV_CORE = 9;
export const MADV_INVAL = 10; // the caller edited VPTEs: drop the real PTEs made from them
export const MADV_SETMAP = 11; // mcontrol only: a new root for the virtual page table

/** What a fork does with a mapping. Source: DragonFly BSD minherit(2). */
export const VM_INHERIT_SHARE = 0; // both see the same memory
export const VM_INHERIT_COPY = 1; //  the child has a copy of what it is now
export const VM_INHERIT_NONE = 2; //  the child has nothing there

export const MS_ASYNC = 1;
export const MS_INVALIDATE = 2;
export const MS_SYNC = 4; // Linux's number; 0 means the same

export const MCL_CURRENT = 1;
export const MCL_FUTURE = 2;

/** mincore: the page is in memory. */
export const MINCORE_INCORE = 1;
