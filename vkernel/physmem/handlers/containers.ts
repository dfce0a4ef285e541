/** Containers and the pages in them: create, allocate, deallocate, copy, destroy. */

import { EBADF, EINVAL, ENOMEM } from '../../../hostkernel/base/errno.ts';
import { allocate } from '../core/allocate.ts';
import { Container } from '../core/container.ts';
import { copy } from '../core/copy.ts';
import { deallocate } from '../core/deallocate.ts';
import { CONTAINER } from '../interface.ts';
import type { PhysmemServer } from '../server.ts';
import { containerOf, controlOf, type PhysmemHandlers } from './objects.ts';

export function containerHandlers(server: PhysmemServer): PhysmemHandlers {
  const { physmem, objects } = server;
  return {
    create: (call) => {
      const container = physmem.create(controlOf(call));
      const handle = objects.grant(call.task, CONTAINER, container);
      if (handle === 0) physmem.destroy(container);
      call.result(0, handle);
      return handle === 0 ? ENOMEM : 0;
    },
    allocate: (call, _container, flags, start, size) => {
      const error = allocate(physmem, containerOf(call), flags, start, size);
      call.result(0, physmem.amount);
      return error;
    },
    deallocate: (call, _container, start, size, flags) => {
      const error = deallocate(physmem, containerOf(call), start, size, flags);
      call.result(0, physmem.amount);
      return error;
    },
    copy: (call, _source, sourceStart, destinationHandle, destinationStart, size, flags) => {
      const entry = objects.lookup(destinationHandle, call.task);
      if (entry === null) return EINVAL;
      if (entry.dead) return EBADF;
      const destination = entry.served.value;
      if (!(destination instanceof Container)) return EINVAL;
      const error = copy(physmem, containerOf(call), sourceStart, destination, destinationStart, size, flags);
      call.result(0, physmem.amount);
      return error;
    },
    destroy: (call, handle) => {
      server.end(handle, call.task, call.object);
      return 0;
    },
  };
}
