/**
 * The interface of the memory policy server: contracts about guaranteed pages.
 *
 * The caller is known by its task id, which the kernel vouches for: a contract is always the caller's own, and needs no
 * capability. The task must be a principal: a memory control directly below the master control was made for it.
 * Amounts are pages, times microseconds from the moment of the reply.
 * Source: hurd-l4 design document, which has the contracts and no message for them.
 */
import { defineInterface } from '../cap/rpc.ts';

/** Stands for no time: a contract without end, or a guarantee that is not about to change. */
export const NO_TIME = 0;
/** Stands for the swap quota a task has. */
export const SWAP_AS_BEFORE = 2 ** 32 - 1;

const CONTRACT = [
  'guaranteed', // pages, now
  'extra', //      1: pages beyond them are allowed
  'expires', //    NO_TIME: when the policy ends it
  'promised', //   pages, when other contracts have been reduced, or this one
  'due', //        when it is reduced to `promised`; NO_TIME: it is not
] as const;

export const MEMORY_POLICY = defineInterface('policy', {
  /**
   * Makes the caller's contract, or changes it: `wanted` pages guaranteed, with `extra` (0 or 1) also pages beyond them, for
   * `term` microseconds, NO_TIME: as long as may be. Before `expires` it must be asked for again: an expired contract
   * guarantees the floor only, and what the task holds are extra pages then. A reduction comes at `due`, time enough
   * to write pages out; `thread`, one of the caller's, is told of each change with a `changed` message.
   * ESRCH: the caller is no principal; ENOMEM: the policy cannot give so much; EINVAL: `thread` is not the caller's.
   */
  negotiate: { label: 576, request: ['wanted', 'extra', 'term'], optional: ['thread'], reply: CONTRACT },

  /** The caller's contract as it is. ESRCH: it has none. */
  contract: { label: 577, request: [], reply: CONTRACT },

  /**
   * How a task stands: on behalf of which user it runs, its priority, its weight (at least 1), and how many pages it may
   * keep in swap (SWAP_AS_BEFORE: what it could before). EPERM: only the root task may say so; EINVAL: no task id, no weight; ESRCH: a
   * swap quota for a task that is no principal.
   */
  assign: { label: 578, request: ['task', 'user', 'priority', 'weight', 'swap'], reply: [] },

  /**
   * Gives the policy capability to another task and serves no more. `handle` is for that task; the caller has to tell it.
   * EPERM: only the root task may; else physmem's errnos.
   */
  handOver: { label: 579, request: ['task'], reply: ['handle'] },
});

/** What the policy server sends of its own accord, one way and without waiting. Who misses it may ask for the contract. */
export const MEMORY_POLICY_NOTICE = defineInterface('policy notice', {
  /** The guarantee is `guaranteed` pages now, and becomes `promised` pages `due` microseconds from now (NO_TIME: when others let go). */
  changed: { label: 584, request: ['guaranteed', 'promised', 'due'], reply: [] },
});
