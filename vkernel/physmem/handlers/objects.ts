/** What physmem hands capabilities to, and how a handler gets at the object of its call. */

import { panic } from '../../../hostkernel/base/assert.ts';
import type { Call, Handlers } from '../../cap/rpc.ts';
import { Container } from '../core/container.ts';
import { MemoryControl } from '../core/control.ts';
import type { PHYSMEM } from '../interface.ts';

/** What the policy server has: there is one, and who holds it may have the policy buffer. */
export class PolicyCapability {
  readonly alive = true;
}

export type PhysmemObject = Container | MemoryControl | PolicyCapability;
export type PhysmemCall = Call<PhysmemObject>;

/** Handlers of some of the methods: one file a family. */
export type PhysmemHandlers = Partial<Handlers<typeof PHYSMEM, PhysmemObject>>;

/** The container of a call to a method `on` containers. */
export function containerOf(call: PhysmemCall): Container {
  return call.object instanceof Container ? call.object : panic('physmem: method of a container');
}

/** The control of a call to a method `on` controls. */
export function controlOf(call: PhysmemCall): MemoryControl {
  return call.object instanceof MemoryControl ? call.object : panic('physmem: method of a control');
}
