/**
 * The requests of the memory policy server: the policy capability, once and for one, and the buffer.
 *
 *   getControl       introduces a policy server: from its first commit on its guarantees are in force
 *   getPolicyBuffer  maps the buffer, and reads it: what has been committed is then in force
 */

import { EINVAL, ENOMEM, EPERM } from '../../../hostkernel/base/errno.ts';
import type { Handlers } from '../../cap/rpc.ts';
import type { L4 } from '../../l4/user.ts';
import { PolicyBuffer } from '../core/policy-buffer.ts';
import { MIN_CAPACITY_LOG2, type PHYSMEM, POLICY } from '../interface.ts';
import { PolicyPages } from '../policy-pages.ts';
import type { PhysmemServer } from '../server.ts';
import { PolicyCapability, type PhysmemObject } from './objects.ts';

type PolicyMethods = Pick<Handlers<typeof PHYSMEM, PhysmemObject>, 'getControl' | 'getPolicyBuffer'>;

export function policyHandlers({ physmem, objects }: PhysmemServer, l4: L4): PolicyMethods {
  const { accounts } = physmem;
  const pages = new PolicyPages(l4, physmem);
  const capability = new PolicyCapability();
  let isTaken = false;
  return {
    getControl: (call) => {
      if (isTaken) return EPERM;
      let capacityLog2 = MIN_CAPACITY_LOG2;
      for (const { task } of accounts.principals()) while (task >= 2 ** capacityLog2) capacityLog2 += 1;
      const handle = objects.grant(call.task, POLICY, capability);
      const words = handle === 0 ? null : pages.take(capacityLog2);
      if (words === null) {
        const entry = objects.lookup(handle, call.task);
        if (entry !== null) objects.release(entry, 1);
        return ENOMEM;
      }
      isTaken = true;
      accounts.introduce(new PolicyBuffer(words, capacityLog2), (larger) => pages.take(larger));
      call.result(0, handle);
      return 0;
    },
    getPolicyBuffer: (call, handle, vaddr) => {
      const entry = objects.lookup(handle, call.task);
      const { buffer } = accounts;
      if (entry === null || entry.served.value !== capability || buffer === null) return EPERM;
      if (vaddr % pages.bytes !== 0) return EINVAL;
      if (accounts.isInForce()) accounts.refresh();
      call.result(0, 2 ** buffer.capacityLog2);
      call.mapItem(vaddr, pages.mapped());
      return 0;
    },
  };
}
