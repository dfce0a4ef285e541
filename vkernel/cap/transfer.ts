/**
 * Capabilities that change hands: what every server with objects can offer, whatever its objects are.
 *
 *   giver: copyCapability(handle, receiver) -> handle for the receiver --told by message--> receiver uses it
 *   holder: releaseCapability(handle, count)  with the last reference the handle is gone
 *
 * The giver needs no consent, so that no server ever waits for a client; what he can put into a receiver's table is
 * bounded instead (objects.ts). A handle that nobody was told of is useless to the receiver, and harmless.
 * Source: the idea is the capability copy protocol of hurd-l4's libhurd-cap, which existed as pseudo code; ours has one
 * message, where that had a reference container to create, to accept and to destroy.
 */

import { EINVAL, ENOMEM, EPERM } from '../../hostkernel/base/errno.ts';
import { isVersion, type WordBits } from '../l4/user.ts';
import type { ObjectTable } from './objects.ts';
import { ANY_CLASS, type Handlers, type MethodDefinition } from './rpc.ts';

export const CAPABILITY_METHODS = {
  /**
   * Gives `task` a capability to the object of the caller's own. `handle` is for that task alone; the caller has to
   * tell it. EINVAL: no task id; EPERM: a capability that may not be passed on; ENOMEM: no room in that task's table.
   */
  copyCapability: { label: 173, on: ANY_CLASS, request: ['capability', 'task'], reply: ['handle'] },

  /** Gives back `references` of a capability, alive or dead; one where that is 0. EINVAL: not so many are held. */
  releaseCapability: { label: 174, on: ANY_CLASS, evenDead: true, request: ['capability'], optional: ['references'], reply: [] },
} as const satisfies Readonly<Record<string, MethodDefinition>>;

export interface TransferRules<O> {
  readonly wordBits: WordBits;
  readonly objects: ObjectTable<O>;
  /** Whether capabilities of this class may be passed on. */
  readonly mayCopy: (kind: string) => boolean;
  /** Whether the last capability to the object may go now: 0, or the errno that says why not. */
  readonly mayEnd: (object: O) => number;
}

/** The handlers of CAPABILITY_METHODS. */
export function capabilityHandlers<O>(rules: TransferRules<O>): Handlers<typeof CAPABILITY_METHODS, O> {
  const { objects } = rules;
  return {
    copyCapability(call, handle, task) {
      const entry = objects.lookup(handle, call.task);
      if (entry === null || !isVersion(task, rules.wordBits)) return EINVAL;
      if (!rules.mayCopy(entry.served.kind)) return EPERM;
      const copied = objects.grant(task, entry.served.kind, entry.served.value, call.task);
      call.result(0, copied);
      return copied === 0 ? ENOMEM : 0;
    },
    releaseCapability(call, handle, count) {
      const entry = objects.lookup(handle, call.task);
      if (entry === null) return EINVAL;
      const references = count === 0 ? 1 : count;
      const isLast = !entry.dead && references === entry.references && entry.served.holders.size === 1;
      const refused = isLast ? rules.mayEnd(entry.served.value) : 0;
      return refused === 0 ? objects.release(entry, references) : refused;
    },
  };
}
