/**
 * The interface of the task server: tasks, their ids and their threads.
 *
 * Thread ids and fpages are words; addresses are bytes. Reply labels are errnos; where the kernel refused, the label is
 * EINVAL and the first result word the kernel's error code.
 * Source: hurd-l4 task/task.h (512); the rest continues its numbering.
 */
import { defineInterface } from '../cap/rpc.ts';

/** Class of the task server's objects. */
export const TASK_CONTROL = 'task control';

export const TASK = defineInterface('task', {
  /** A new thread of the task, active and its own pager, not started. EAGAIN: no thread number left; EINVAL: the kernel refuses. */
  threadAlloc: { label: 512, on: TASK_CONTROL, request: ['task', 'utcb'], reply: ['thread'] },

  /** Deletes a thread. ESRCH: not of this task; EPERM: the last one, through which alone the space exists. */
  threadDealloc: { label: 513, on: TASK_CONTROL, request: ['task', 'thread'], reply: [] },

  /**
   * A new task with an empty space and one inactive thread. The caller is its threads' scheduler.
   * EAGAIN: no id or number left; EINVAL: the kernel refuses the areas; ENOMEM: no room for the handle.
   */
  taskCreate: { label: 514, on: TASK_CONTROL, request: ['creator', 'kip', 'utcb'], reply: ['task', 'id', 'thread'] },

  /** Deletes all threads of the task, and with them its space. Its id may be used again, and the caller's handle is consumed. EPERM: the caller's own. */
  taskDestroy: { label: 515, on: TASK_CONTROL, request: ['task'], reply: [] },

  /** Sets scheduler, pager and UTCB slot of a thread; a pager makes it active. utcb -1: as it is. ESRCH: not of this task. */
  threadSet: { label: 516, on: TASK_CONTROL, request: ['task', 'thread', 'scheduler', 'pager', 'utcb'], reply: ['code'] },
});
