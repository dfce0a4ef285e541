/**
 * The interface of wortel, the root server: the calls of the bootstrap dialogue and the privileged kernel calls.
 *
 *   label = message id << 8 | capability id        the capability id indexes wortel's table of task ids; a call is
 *                                                  allowed iff that entry is the sender's task
 *
 * wortel never calls: servers pull. `withCapability` gives the methods of one capability id, once, at startup.
 * Source: hurd-l4 wortel/wortel.h.
 */

import { defineInterface, type Interface, type Method, type MethodDefinition } from '../cap/rpc.ts';

// Message ids, as they were published.
export const WORTEL_MSG_THREAD_CONTROL = 1;
export const WORTEL_MSG_SPACE_CONTROL = 2;
export const WORTEL_MSG_PROCESSOR_CONTROL = 3;
export const WORTEL_MSG_MEMORY_CONTROL = 4;
export const WORTEL_MSG_PUTCHAR = 32;
export const WORTEL_MSG_SHUTDOWN = 33;
export const WORTEL_MSG_GET_MEM = 64;
export const WORTEL_MSG_GET_CAP_REQUEST = 65;
export const WORTEL_MSG_GET_CAP_REPLY = 66;
export const WORTEL_MSG_GET_THREADS = 67;
export const WORTEL_MSG_BOOTSTRAP_FINAL = 68;
export const WORTEL_MSG_GET_FIRST_FREE_THREAD_NO = 69;
export const WORTEL_MSG_GET_TASK_CAP_REQUEST = 70;
export const WORTEL_MSG_GET_TASK_CAP_REPLY = 71;
export const WORTEL_MSG_GET_DEVA_CAP_REQUEST = 72;
export const WORTEL_MSG_GET_DEVA_CAP_REPLY = 73;

const label = (id: number): number => id << 8;

export const WORTEL = defineInterface('wortel', {
  threadControl: {
    label: label(WORTEL_MSG_THREAD_CONTROL),
    request: ['dest', 'space', 'scheduler', 'pager', 'utcb'],
    reply: ['result'], // 0, or the kernel's error code
  },
  spaceControl: {
    label: label(WORTEL_MSG_SPACE_CONTROL),
    request: ['space', 'control', 'kip', 'utcb', 'redirector'],
    reply: ['result', 'control'],
  },
  putchar: { label: label(WORTEL_MSG_PUTCHAR), request: ['character'], reply: [] },
  shutdown: { label: label(WORTEL_MSG_SHUTDOWN), request: [], optional: ['status'], reply: [] },

  /** One map item: memory for physmem, mapped 1:1. The nil fpage ends it. */
  getMemory: { label: label(WORTEL_MSG_GET_MEM), request: [], reply: [], maps: true },

  /**
   * The next capability physmem is to make for `task`, told by the map items:
   *   fpages of memory      a container whose pages are this memory, at their distance from the first fpage
   *   one nil fpage         a memory control with `frames` guaranteed pages
   *   none                  the master control: the last request
   */
  getCapabilityRequest: { label: label(WORTEL_MSG_GET_CAP_REQUEST), request: [], reply: ['task', 'frames'], maps: true },
  getCapabilityReply: { label: label(WORTEL_MSG_GET_CAP_REPLY), request: ['handle'], reply: [] },

  getThreads: { label: label(WORTEL_MSG_GET_THREADS), request: [], reply: ['count'] },

  /** Answered when all servers of the boot are up. Words a server has no use for are 0. */
  bootstrapFinal: {
    label: label(WORTEL_MSG_BOOTSTRAP_FINAL),
    request: [],
    reply: ['taskServer', 'taskHandle', 'devaServer', 'devaHandle'],
  },
  /** The next task the task server is to know: its id and its threads, as many ids as `threads` says. None: the master capability. */
  getTaskCapabilityRequest: { label: label(WORTEL_MSG_GET_TASK_CAP_REQUEST), request: [], reply: ['task', 'threads'] },
  getTaskCapabilityReply: { label: label(WORTEL_MSG_GET_TASK_CAP_REPLY), request: ['handle'], reply: [] },
  getFirstFreeThreadNumber: { label: label(WORTEL_MSG_GET_FIRST_FREE_THREAD_NO), request: [], reply: ['number'] },
});

/** The methods of `methods` under wortel's capability id `capability` (0..255). Made once by each client, at startup. */
export function withCapability<M extends Readonly<Record<string, MethodDefinition>>>(
  methods: Interface<M>,
  capability: number,
): Interface<M> {
  const bound = Object.entries<Method>(methods).map(([name, method]) => [name, { ...method, label: method.label | capability }]);
  return Object.fromEntries(bound) as Interface<M>; // same keys, same shapes
}
