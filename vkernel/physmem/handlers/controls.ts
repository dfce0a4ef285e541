/** Memory controls, capabilities, and the account of the machine. */

import { EINVAL, ENOMEM, EPERM, ESRCH } from '../../../hostkernel/base/errno.ts';
import { capabilityHandlers } from '../../cap/transfer.ts';
import { isVersion, NIL, taskOf, type ThreadId } from '../../l4/user.ts';
import { principalAccount } from '../core/control.ts';
import { pinQuota } from '../core/pins.ts';
import { swapQuota, swapUsed } from '../core/swap.ts';
import { CONTROL, WEAK_CONTAINER } from '../interface.ts';
import type { PhysmemServer } from '../server.ts';
import { controlOf, type PhysmemHandlers } from './objects.ts';

export function controlHandlers(server: PhysmemServer): PhysmemHandlers {
  const { physmem, objects, wordBits } = server;
  return {
    ...capabilityHandlers({
      wordBits,
      objects,
      mayCopy: (kind) => kind !== WEAK_CONTAINER,
      mayEnd: (object) => server.refusalToEnd(object),
    }),
    info: (call) => {
      call.result(0, physmem.receivedPages);
      call.result(1, physmem.fixedPages);
      call.result(2, physmem.zones.freePages);
      call.result(3, physmem.boundPages);
      call.result(4, physmem.accounts.used);
      call.result(5, physmem.userContainers);
      return 0;
    },
    controlSplit: (call, _control, pages, task) => {
      if (task !== 0 && !isVersion(task, wordBits)) return EINVAL;
      const child = physmem.splitControl(controlOf(call), pages, task);
      if (child === null) return ENOMEM;
      const handle = objects.grant(call.task, CONTROL, child);
      const granted = task === 0 || handle === 0 ? 0 : objects.grant(task, CONTROL, child, call.task);
      if (handle === 0 || (task !== 0 && granted === 0)) {
        physmem.destroyControl(child);
        return ENOMEM;
      }
      call.result(0, handle);
      call.result(1, granted);
      return 0;
    },
    controlAbsorb: (call, _child, pages) => physmem.absorbControl(controlOf(call), pages),
    controlDestroy: (call, handle) => {
      if (controlOf(call).parent === null) return EPERM;
      server.end(handle, call.task, call.object);
      return 0;
    },
    controlInfo: (call) => {
      const control = controlOf(call);
      if (physmem.accounts.isInForce()) physmem.accounts.consult(control.principal);
      const account = principalAccount(control);
      call.result(0, control.limit);
      call.result(1, control.used);
      call.result(2, account.guaranteed);
      call.result(3, account.allocated);
      call.result(4, account.extra);
      call.result(5, control.overhead);
      call.result(6, swapUsed(control.principal));
      call.result(7, swapQuota(physmem, control.principal));
      call.result(8, control.principal.pinned);
      call.result(9, pinQuota(control.principal));
      return 0;
    },
    controlSetUpcallThread: (call, _control, thread) => {
      if (thread !== NIL && taskOf(thread as ThreadId, wordBits) !== call.task) return EINVAL;
      controlOf(call).upcallThread = thread;
      return 0;
    },
    taskDied: (call, _control, task) => {
      if (controlOf(call) !== physmem.root) return EPERM;
      server.taskDied(task);
      return 0;
    },
    cancel: (call, thread) => {
      const isOurs = taskOf(thread as ThreadId, wordBits) === call.task;
      return isOurs && server.cancel(thread as ThreadId) ? 0 : ESRCH;
    },
  };
}
