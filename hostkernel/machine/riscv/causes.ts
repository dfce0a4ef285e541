/** Why `Hart.run` ended. Numbers of the scause register; 0 (instruction misaligned) cannot happen with compressed code. */

export const TRAP_FETCH_ACCESS = 1;
export const TRAP_ILLEGAL = 2;
export const TRAP_BREAKPOINT = 3;
export const TRAP_LOAD_MISALIGNED = 4; // LR only: ordinary accesses may be misaligned
export const TRAP_LOAD_ACCESS = 5;
export const TRAP_STORE_MISALIGNED = 6; // SC and AMOs only
export const TRAP_STORE_ACCESS = 7;
export const TRAP_ECALL = 8;
export const TRAP_FETCH_PAGE = 12;
export const TRAP_LOAD_PAGE = 13;
export const TRAP_STORE_PAGE = 15;
/** Ours: the budget is spent. */
export const TRAP_BUDGET = 32;
/** Ours: whoever runs this machine wants the processor back. Never on a real machine. End the slice, and come again. */
export const TRAP_PREEMPTED = 33;
