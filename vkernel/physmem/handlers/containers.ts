/** The pages of containers: allocate, deallocate, release, copy. */

import { EINVAL } from '../../../hostkernel/base/errno.ts';
import { allocate } from '../core/allocate.ts';
import { containerInfo } from '../core/container-info.ts';
import { deallocate } from '../core/deallocate.ts';
import { release } from '../core/release.ts';
import { containerOf as containerOfParty, copyBy, copyVectorBy, WeakContainer } from '../core/share.ts';
import { WEAK_RIGHTS } from '../interface.ts';
import type { PhysmemServer } from '../server.ts';
import { containerOf, partyOf, type PhysmemHandlers, secondParty } from './objects.ts';

export function containerHandlers(server: PhysmemServer): PhysmemHandlers {
  const { physmem } = server;
  return {
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
    copyVector: (call, _source, destinationHandle, flags) => {
      const destination = secondParty(server, call, destinationHandle);
      if (typeof destination === 'number') return destination;
      const list = call.list.slice(0, 2 * call.listLength);
      const error = copyVectorBy(physmem, partyOf(call), destination, list, flags);
      call.result(0, physmem.amount);
      call.result(1, error === 0 ? 0 : physmem.position);
      return error;
    },
    release: (call, _container, start, size, flags) => release(physmem, containerOf(call), start, size, flags),
  };
}
