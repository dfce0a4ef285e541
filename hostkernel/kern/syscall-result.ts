/** What a system-call handler returns besides a value >= 0 or -errno. */

/** There is nobody to give a result to: the process has ended, or the thread has become a guest. */
export const NO_RESULT = -0x10000;
