/** What puts contents away and brings them back: swap and soft references. */

import { recover } from '../core/soft.ts';
import { swapDrop, swapIn, swapOut } from '../core/swap.ts';
import type { PhysmemServer } from '../server.ts';
import { containerOf, controlOf, type PhysmemHandlers } from './objects.ts';

export function swapHandlers(server: PhysmemServer): PhysmemHandlers {
  const { physmem } = server;
  return {
    recover: (call, _container, start, size, flags) => {
      const error = recover(physmem, containerOf(call), start, size, flags);
      call.result(0, physmem.amount);
      return error;
    },
    swapOut: (call, _container, start, size) => {
      const error = swapOut(physmem, containerOf(call), start, size);
      call.result(0, physmem.amount);
      call.result(1, physmem.swapId);
      return error;
    },
    swapIn: (call, _container, id, start, size, flags) => {
      const error = swapIn(physmem, containerOf(call), id, start, size, flags);
      call.result(0, physmem.amount);
      return error;
    },
    swapDrop: (call, _control, id, pages) => {
      const error = swapDrop(physmem, controlOf(call).principal, id, pages);
      call.result(0, physmem.amount);
      return error;
    },
  };
}
