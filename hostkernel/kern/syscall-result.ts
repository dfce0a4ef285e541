/** What a system-call handler returns besides a value >= 0 or -errno. */

/** There is nobody to give a result to: the process has ended, the thread has become a guest, or its registers are set. */
export const NO_RESULT = -0x10000;

/** The call waits: Scheduler.sleepInCall has been told for what, and it will be made again. */
export const ASLEEP = -0x10001;
