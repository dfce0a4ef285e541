/**
 * Numbers of the host's binary interface: system calls, frames of vmspace_ctl(RUN), signals, auxiliary vector.
 *
 * Constants only. Linux/riscv numbers for what Linux has, DragonFly BSD numbers for the rest, so that a static Linux
 * program and a vkernel are processes of the same kernel. The mmap and mcontrol flags are the memory system's own
 * (vm/mman.ts); the types a TypeScript program sees are in host.ts.
 */

// System calls, Linux/riscv numbers (asm-generic/unistd.h).
export const SYS_ioctl = 29;
export const SYS_ftruncate = 46;
export const SYS_close = 57;
export const SYS_read = 63;
export const SYS_write = 64;
export const SYS_readv = 65;
export const SYS_writev = 66;
export const SYS_pread64 = 67;
export const SYS_pwrite64 = 68;
export const SYS_exit = 93;
export const SYS_exit_group = 94;
export const SYS_set_tid_address = 96;
export const SYS_set_robust_list = 99;
export const SYS_clock_gettime = 113;
export const SYS_sched_yield = 124;
export const SYS_rt_sigaction = 134;
export const SYS_rt_sigprocmask = 135;
export const SYS_uname = 160;
export const SYS_getpid = 172;
export const SYS_gettid = 178;
export const SYS_brk = 214;
export const SYS_munmap = 215;
export const SYS_mmap = 222;
export const SYS_mprotect = 226;
export const SYS_madvise = 233;
export const SYS_memfd_create = 279;
export const SYS_clock_gettime64 = 403; // what 32-bit programs call: 113 does not exist there

// System calls, DragonFly BSD numbers.
export const SYS_mcontrol = 485;
export const SYS_vmspace_create = 486;
export const SYS_vmspace_destroy = 487;
export const SYS_vmspace_ctl = 488;
export const SYS_vmspace_mmap = 489;
export const SYS_vmspace_munmap = 490;
export const SYS_vmspace_mcontrol = 491;
export const SYS_vmspace_pread = 492;
export const SYS_vmspace_pwrite = 493;

/** The only command of vmspace_ctl: run the calling thread in the space until a trap. */
export const VMSPACE_CTL_RUN = 1;

/** What Host.run returns, nothing lost, when another process is due: `yield`, then make the same call again. */
export const RUN_PREEMPTED = -516;

/**
 * struct trapframe: the registers of a guest, in the vkernel's memory. Offsets in bytes, little endian.
 * 8-byte aligned, and within one page.
 *
 *     0  pc u64 |  8*i  xi u64, i = 1..31 | 256  trapno u32 | 260  access u32 | 264  tval u64
 *   272  flags u32 (0) | 276 unused | 280  budget u64 | 288
 *
 * 32-bit guests use the same frame; the upper halves of their registers are not looked at and come back as 0.
 */
export const TF_PC = 0;
export const TF_X = 0; // xi lies at TF_X + 8 * i
export const TF_TRAPNO = 256; // RISC-V cause; 0 = nothing to handle: a host signal, or the budget is spent
export const TF_ACCESS = 260; // of a page fault: READ, WRITE or EXEC
export const TF_TVAL = 264; // address of an access that trapped, bits of an illegal instruction; else 0
export const TF_FLAGS = 272;
export const TF_BUDGET = 280; // instructions this RUN may execute, 0 = no limit; on return what is left, 0 when spent
export const TF_SIZE = 288;

/**
 * struct vextframe: the floating-point registers of a guest. Placed as a trapframe is.
 *
 *     0  f0..f31 u64 each | 256  fcsr u32 | 260  flags u32 | 264
 */
export const VF_F = 0; // fi lies at VF_F + 8 * i
export const VF_FCSR = 256;
export const VF_FLAGS = 260;
export const VF_SIZE = 264;
/** Out: a RUN changed floating-point state, and the frame holds it. RUN never clears it: that is the caller's. */
export const VF_DIRTY = 1;
/** In: nobody but RUN has written this frame since the last RUN with it. The caller's bit: RUN leaves it as it is. */
export const VF_CLEAN = 2;

// Trap causes: RISC-V scause numbers (privileged specification 1.12, table 4.2).
export const CAUSE_FETCH_ACCESS = 1;
export const CAUSE_ILLEGAL = 2;
export const CAUSE_BREAKPOINT = 3;
export const CAUSE_LOAD_MISALIGNED = 4;
export const CAUSE_LOAD_ACCESS = 5;
export const CAUSE_STORE_MISALIGNED = 6;
export const CAUSE_STORE_ACCESS = 7;
export const CAUSE_ECALL = 8;
export const CAUSE_FETCH_PAGE_FAULT = 12;
export const CAUSE_LOAD_PAGE_FAULT = 13;
export const CAUSE_STORE_PAGE_FAULT = 15;

// Signals, Linux numbers. Only their default action exists: the process ends.
export const SIGILL = 4;
export const SIGTRAP = 5;
export const SIGBUS = 7;
export const SIGKILL = 9;
export const SIGSEGV = 11;

// Auxiliary vector tags (Linux elf.h).
export const AT_NULL = 0;
export const AT_PHDR = 3;
export const AT_PHENT = 4;
export const AT_PHNUM = 5;
export const AT_PAGESZ = 6;
export const AT_BASE = 7;
export const AT_FLAGS = 8;
export const AT_ENTRY = 9;
export const AT_UID = 11;
export const AT_EUID = 12;
export const AT_GID = 13;
export const AT_EGID = 14;
export const AT_HWCAP = 16;
export const AT_CLKTCK = 17;
export const AT_SECURE = 23;
export const AT_RANDOM = 25;
export const AT_EXECFN = 31;
