/** Containers and the pages in them: create, share, allocate, deallocate, copy, destroy. */

import { EINVAL, ENOMEM } from '../../../hostkernel/base/errno.ts';
import { isVersion } from '../../l4/user.ts';
import { admitsContainer } from '../core/admission.ts';
import { allocate } from '../core/allocate.ts';
import { containerInfo } from '../core/container-info.ts';
import { deallocate } from '../core/deallocate.ts';
import { containerOf as containerOfParty, copyBy, endShare, revoke, share, WeakContainer } from '../core/share.ts';
import { CONTAINER, WEAK_CONTAINER, WEAK_RIGHTS } from '../interface.ts';
import type { PhysmemServer } from '../server.ts';
import { containerOf, controlOf, partyOf, type PhysmemHandlers, secondParty } from './objects.ts';

export function containerHandlers(server: PhysmemServer): PhysmemHandlers {
  const { physmem, objects, wordBits } = server;
  return {
    create: (call) => {
      const control = controlOf(call);
      if (!admitsContainer(physmem.accounts, control)) return ENOMEM;
      const container = physmem.create(control);
      const handle = objects.grant(call.task, CONTAINER, container);
      if (handle === 0) physmem.destroy(container);
      call.result(0, handle);
      return handle === 0 ? ENOMEM : 0;
    },
    share: (call, _container, task, rights, duration) => {
      if (!isVersion(task, wordBits) || task === call.task) return EINVAL;
      const weak = share(physmem, containerOf(call), task, rights, duration);
      if (typeof weak === 'number') return weak;
      const handle = objects.grant(task, WEAK_CONTAINER, weak, call.task);
      if (handle === 0) endShare(physmem, weak);
      call.result(0, handle);
      return handle === 0 ? ENOMEM : 0;
    },
    revoke: (call, _container, task) => revoke(physmem, containerOf(call), task),
    containerInfo: (call, _container, start) => {
      const party = partyOf(call);
      const info = containerInfo(physmem, containerOfParty(party), start);
      if (info === null) return EINVAL;
      call.result(0, info.charged);
      call.result(1, info.first);
      call.result(2, info.length);
      call.result(3, info.state);
      call.result(4, party instanceof WeakContainer ? party.rights : WEAK_RIGHTS);
      return 0;
    },
    allocate: (call, _container, flags, start, size, mustSet) => {
      const mustClear = server.signedWord(6); // a complement is exact from the sign down, whatever the width of a word
      const error = allocate(physmem, containerOf(call), flags, start, size, mustSet, mustClear);
      call.result(0, physmem.amount);
      return error;
    },
    deallocate: (call, _container, start, size, flags) => {
      const error = deallocate(physmem, containerOf(call), start, size, flags);
      call.result(0, physmem.amount);
      return error;
    },
    copy: (call, _source, sourceStart, destinationHandle, destinationStart, size, flags) => {
      const destination = secondParty(server, call, destinationHandle);
      if (typeof destination === 'number') return destination;
      const error = copyBy(physmem, partyOf(call), sourceStart, destination, destinationStart, size, flags);
      call.result(0, physmem.amount);
      return error;
    },
    destroy: (call, handle) => {
      const refused = server.refusalToEnd(call.object);
      if (refused !== 0) return refused;
      server.end(handle, call.task, call.object);
      return 0;
    },
  };
}
