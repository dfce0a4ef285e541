/** What physmem hands capabilities to, and how a handler gets at the object of its call. */

import { panic } from '../../../hostkernel/base/assert.ts';
import { EBADF, EINVAL } from '../../../hostkernel/base/errno.ts';
import type { Call, Handlers } from '../../cap/rpc.ts';
import { Container } from '../core/container.ts';
import { MemoryControl } from '../core/control.ts';
import type { Asker } from '../core/holds.ts';
import { type Party, WeakContainer } from '../core/share.ts';
import type { PHYSMEM } from '../interface.ts';
import type { PhysmemServer } from '../server.ts';

/** What the policy server has: there is one, and who holds it may have the policy buffer. */
export class PolicyCapability {
  alive = true;
}

export type PhysmemObject = Container | WeakContainer | MemoryControl | PolicyCapability;
export type PhysmemCall = Call<PhysmemObject>;

/** Handlers of some of the methods: one file a family. */
export type PhysmemHandlers = Partial<Handlers<typeof PHYSMEM, PhysmemObject>>;

/** The container of a call to a method `on` containers. */
export function containerOf(call: PhysmemCall): Container {
  return call.object instanceof Container ? call.object : panic('physmem: method of a container');
}

/** Who asks for something in a method that is for owners and weak holders. */
export function partyOf(call: PhysmemCall): Party {
  const { object } = call;
  return object instanceof Container || object instanceof WeakContainer ? object : panic('physmem: method of a container');
}

/** The weak container of a call to a method `on` those. */
export function weakOf(call: PhysmemCall): WeakContainer {
  return call.object instanceof WeakContainer ? call.object : panic('physmem: method of a weak container');
}

/** On whose account a pin of the call is. */
export function askerOf(call: PhysmemCall): Asker {
  const { object, task } = call;
  return object instanceof WeakContainer ? object.asker : { task, weak: null, expires: Number.POSITIVE_INFINITY };
}

/** What a handle that is not the first word stands for. @returns EINVAL: no handle of the caller's, or no container; EBADF: dead */
export function secondParty({ objects }: PhysmemServer, call: PhysmemCall, handle: number): Party | typeof EINVAL | typeof EBADF {
  const entry = objects.lookup(handle, call.task);
  if (entry === null) return EINVAL;
  if (entry.dead) return EBADF;
  const { value } = entry.served;
  return value instanceof Container || value instanceof WeakContainer ? value : EINVAL;
}

/** The control of a call to a method `on` controls. */
export function controlOf(call: PhysmemCall): MemoryControl {
  return call.object instanceof MemoryControl ? call.object : panic('physmem: method of a control');
}
