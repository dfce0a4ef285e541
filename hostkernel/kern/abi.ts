/**
 * Numbers of the host's binary interface: system calls, frames of vmspace_ctl(RUN), signals, auxiliary vector.
 *
 * Constants only. Linux/riscv numbers for what Linux has, DragonFly BSD numbers for the rest, so that a static Linux
 * program and a vkernel are processes of the same kernel. The mmap and mcontrol flags are the memory system's own
 * (vm/mman.ts); the types a TypeScript program sees are in host.ts.
 */

// System calls, Linux/riscv numbers (asm-generic/unistd.h).
export const SYS_dup = 23;
export const SYS_dup3 = 24;
export const SYS_fcntl = 25;
export const SYS_ioctl = 29;
export const SYS_unlinkat = 35;
export const SYS_ftruncate = 46;
export const SYS_openat = 56;
export const SYS_close = 57;
export const SYS_pipe2 = 59;
export const SYS_lseek = 62;
export const SYS_read = 63;
export const SYS_write = 64;
export const SYS_readv = 65;
export const SYS_writev = 66;
export const SYS_pread64 = 67;
export const SYS_pwrite64 = 68;
export const SYS_ppoll = 73;
export const SYS_fstat = 80;
export const SYS_exit = 93;
export const SYS_exit_group = 94;
export const SYS_waitid = 95;
export const SYS_set_tid_address = 96;
export const SYS_futex = 98;
export const SYS_set_robust_list = 99;
export const SYS_nanosleep = 101;
export const SYS_getitimer = 102;
export const SYS_setitimer = 103;
export const SYS_clock_gettime = 113;
export const SYS_clock_nanosleep = 115;
export const SYS_sched_yield = 124;
export const SYS_kill = 129;
export const SYS_tkill = 130;
export const SYS_tgkill = 131;
export const SYS_sigaltstack = 132;
export const SYS_rt_sigsuspend = 133;
export const SYS_rt_sigaction = 134;
export const SYS_rt_sigprocmask = 135;
export const SYS_rt_sigpending = 136;
export const SYS_rt_sigtimedwait = 137;
export const SYS_rt_sigqueueinfo = 138;
export const SYS_rt_sigreturn = 139;
export const SYS_setpgid = 154;
export const SYS_getpgid = 155;
export const SYS_getsid = 156;
export const SYS_setsid = 157;
export const SYS_uname = 160;
export const SYS_getpid = 172;
export const SYS_getppid = 173;
export const SYS_getuid = 174;
export const SYS_geteuid = 175;
export const SYS_getgid = 176;
export const SYS_getegid = 177;
export const SYS_gettid = 178;
export const SYS_brk = 214;
export const SYS_munmap = 215;
export const SYS_clone = 220;
export const SYS_execve = 221;
export const SYS_mmap = 222;
export const SYS_mprotect = 226;
export const SYS_msync = 227;
export const SYS_mlock = 228;
export const SYS_munlock = 229;
export const SYS_mlockall = 230;
export const SYS_munlockall = 231;
export const SYS_mincore = 232;
export const SYS_madvise = 233;
export const SYS_wait4 = 260;
export const SYS_memfd_create = 279;
// What 32-bit programs call in place of 113, 115, 137 and 98: those do not exist there.
export const SYS_clock_gettime64 = 403;
export const SYS_clock_nanosleep_time64 = 407;
export const SYS_ppoll_time64 = 414;
export const SYS_rt_sigtimedwait_time64 = 421;
export const SYS_futex_time64 = 422;

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

// System calls of our own, behind DragonFly's.
export const SYS_vmspace_mcontrolv = 494;
export const SYS_mcontrol_frames = 495;
export const SYS_sysctlbyname = 496;
export const SYS_minherit = 497;
export const SYS_vmspace_delegate = 498;

/** The only command of vmspace_ctl: run the calling thread in the space until a trap. */
export const VMSPACE_CTL_RUN = 1;

/**
 * What a call of a TypeScript program returns, nothing lost, when it must wait: another process is due, or what it asks
 * for is not there yet. `yield`, then make the same call again.
 */
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

// Signals, Linux numbers: 1..64, those from SIGRTMIN on without a meaning of their own.
export const SIGHUP = 1;
export const SIGINT = 2;
export const SIGQUIT = 3;
export const SIGILL = 4;
export const SIGTRAP = 5;
export const SIGABRT = 6;
export const SIGBUS = 7;
export const SIGFPE = 8;
export const SIGKILL = 9;
export const SIGUSR1 = 10;
export const SIGSEGV = 11;
export const SIGUSR2 = 12;
export const SIGPIPE = 13;
export const SIGALRM = 14;
export const SIGTERM = 15;
export const SIGSTKFLT = 16;
export const SIGCHLD = 17;
export const SIGCONT = 18;
export const SIGSTOP = 19;
export const SIGTSTP = 20;
export const SIGTTIN = 21;
export const SIGTTOU = 22;
export const SIGURG = 23;
export const SIGXCPU = 24;
export const SIGXFSZ = 25;
export const SIGVTALRM = 26;
export const SIGPROF = 27;
export const SIGWINCH = 28;
export const SIGIO = 29;
export const SIGPWR = 30;
export const SIGSYS = 31;
export const SIGRTMIN = 32;
export const SIGNALS = 64; // the last one

// Actions of rt_sigaction.
export const SIG_DFL = 0;
export const SIG_IGN = 1;
export const SA_NOCLDSTOP = 1;
export const SA_NOCLDWAIT = 2;
export const SA_SIGINFO = 4;
export const SA_ONSTACK = 0x0800_0000;
export const SA_RESTART = 0x1000_0000;
export const SA_NODEFER = 0x4000_0000;
export const SA_RESETHAND = 0x8000_0000;

// rt_sigprocmask, sigaltstack.
export const SIG_BLOCK = 0;
export const SIG_UNBLOCK = 1;
export const SIG_SETMASK = 2;
export const SS_ONSTACK = 1;
export const SS_DISABLE = 2;
export const MINSIGSTKSZ = 2048; // bytes

// si_code: where a signal comes from.
export const SI_USER = 0;
export const SI_KERNEL = 0x80;
export const SI_TKILL = -6;
export const ILL_ILLOPC = 1;
export const TRAP_BRKPT = 1;
export const BUS_ADRALN = 1;
export const BUS_ADRERR = 2;
export const SEGV_MAPERR = 1;
export const SEGV_ACCERR = 2;
export const CLD_EXITED = 1;
export const CLD_KILLED = 2;
export const CLD_STOPPED = 5;
export const CLD_CONTINUED = 6;

// clone.
export const CSIGNAL = 0xff; // the signal the parent gets when the child ends
export const CLONE_VM = 0x0100;
export const CLONE_FS = 0x0200;
export const CLONE_FILES = 0x0400;
export const CLONE_SIGHAND = 0x0800;
export const CLONE_VFORK = 0x4000;
export const CLONE_THREAD = 0x1_0000;
export const CLONE_SYSVSEM = 0x4_0000;
export const CLONE_SETTLS = 0x8_0000;
export const CLONE_PARENT_SETTID = 0x10_0000;
export const CLONE_CHILD_CLEARTID = 0x20_0000;
export const CLONE_DETACHED = 0x40_0000;
export const CLONE_CHILD_SETTID = 0x100_0000;

// wait4.
export const WNOHANG = 1;
export const WUNTRACED = 2;
export const WEXITED = 4; // waitid only
export const WCONTINUED = 8;
export const WNOWAIT = 0x0100_0000;

// waitid.
export const P_ALL = 0;
export const P_PID = 1;
export const P_PGID = 2;

// futex.
export const FUTEX_WAIT = 0;
export const FUTEX_WAKE = 1;
export const FUTEX_REQUEUE = 3;
export const FUTEX_CMP_REQUEUE = 4;
export const FUTEX_WAIT_BITSET = 9;
export const FUTEX_WAKE_BITSET = 10;
export const FUTEX_PRIVATE_FLAG = 128;
export const FUTEX_CLOCK_REALTIME = 256;

// setitimer.
export const ITIMER_REAL = 0;
export const ITIMER_VIRTUAL = 1;
export const ITIMER_PROF = 2;

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
