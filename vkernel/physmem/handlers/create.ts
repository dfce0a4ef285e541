/** Containers come and go, and are shared: create, with contents too, share, revoke, destroy. */

import { EINVAL, ENOMEM, EPERM } from '../../../hostkernel/base/errno.ts';
import { isVersion } from '../../l4/user.ts';
import { admitsDescriptor } from '../core/admission.ts';
import { createFrom, createGather, createWith } from '../core/create.ts';
import type { Container } from '../core/container.ts';
import { hasOnly } from '../core/range.ts';
import { containerOf as containerOfParty, endShare, mayCopyFrom, type Party, revoke, share } from '../core/share.ts';
import { ALL_OR_NONE, CONTAINER, CONTIGUOUS, COPY_SHARED, DMA, EXTRA, SQUASH, WEAK_CONTAINER } from '../interface.ts';
import type { PhysmemServer } from '../server.ts';
import { containerOf, controlOf, type PhysmemCall, type PhysmemHandlers, secondParty } from './objects.ts';

const WITH_FLAGS = SQUASH | EXTRA | DMA | CONTIGUOUS | ALL_OR_NONE;
const COPY_FLAGS = COPY_SHARED | EXTRA | ALL_OR_NONE; // a move could not be undone when the rest fails

export function createHandlers(server: PhysmemServer): PhysmemHandlers {
  const { physmem, objects, wordBits } = server;

  /** Gives the caller a container that has just been made; or unmakes it. */
  function give(call: PhysmemCall, container: Container): number {
    const handle = objects.grant(call.task, CONTAINER, container);
    if (handle === 0) physmem.destroy(container);
    call.result(0, handle);
    return handle === 0 ? ENOMEM : 0;
  }

  /** Gives `task` a weak capability, whose handle becomes result `index`. */
  function shareWith(call: PhysmemCall, container: Container, task: number, rights: number, duration: number, index: number): number {
    if (!isVersion(task, wordBits) || task === call.task) return EINVAL;
    const weak = share(physmem, container, task, rights, duration);
    if (typeof weak === 'number') return weak;
    const handle = objects.grant(task, WEAK_CONTAINER, weak, call.task);
    if (handle === 0) endShare(physmem, weak);
    call.result(index, handle);
    return handle === 0 ? ENOMEM : 0;
  }

  /** What follows the making of a container with contents, which has ended with `error`: all of it or nothing. */
  function giveShared(call: PhysmemCall, error: number, task: number, rights: number, duration: number): number {
    const container = physmem.created;
    if (error !== 0 || container === null) return error;
    const refused = shareWith(call, container, task, rights, duration, 1);
    if (refused !== 0) {
      physmem.destroy(container);
      return refused;
    }
    const full = give(call, container);
    if (full !== 0) call.result(1, 0);
    return full;
  }

  /** @returns 0, or why there may be no container of the kind */
  function mayCreate(call: PhysmemCall, flags: number, allowed: number): number {
    if (!hasOnly(flags, allowed)) return EINVAL;
    return admitsDescriptor(physmem.accounts, controlOf(call)) ? 0 : ENOMEM;
  }

  /** The container to copy from, or an errno. */
  function sourceOf(call: PhysmemCall, handle: number, flags: number): Container | number {
    const party: Party | number = secondParty(server, call, handle);
    if (typeof party === 'number') return party;
    return mayCopyFrom(party, flags) ? containerOfParty(party) : EPERM;
  }

  return {
    create: (call) => {
      const refused = mayCreate(call, 0, 0);
      return refused === 0 ? give(call, physmem.create(controlOf(call))) : refused;
    },
    createWith: (call, _control, size, flags, task, rights, duration) => {
      const refused = mayCreate(call, flags, WITH_FLAGS);
      if (refused !== 0) return refused;
      return giveShared(call, createWith(physmem, controlOf(call), size, flags), task, rights, duration);
    },
    createFrom: (call, _control, sourceHandle, start, size, flags, task, rights, duration) => {
      const refused = mayCreate(call, flags, COPY_FLAGS);
      if (refused !== 0) return refused;
      const source = sourceOf(call, sourceHandle, flags);
      if (typeof source === 'number') return source;
      return giveShared(call, createFrom(physmem, controlOf(call), source, start, size, flags), task, rights, duration);
    },
    createGather: (call, _control, sourceHandle, flags, task, rights, duration) => {
      const refused = mayCreate(call, flags, COPY_FLAGS);
      if (refused !== 0) return refused;
      const source = sourceOf(call, sourceHandle, flags);
      if (typeof source === 'number') return source;
      const starts = call.list.slice(0, call.listLength);
      const error = createGather(physmem, controlOf(call), source, starts, flags);
      call.result(2, error === 0 ? 0 : physmem.position);
      return giveShared(call, error, task, rights, duration);
    },
    share: (call, _container, task, rights, duration) => shareWith(call, containerOf(call), task, rights, duration, 0),
    revoke: (call, _container, task) => revoke(physmem, containerOf(call), task),
    destroy: (call, handle) => {
      const refused = server.refusalToEnd(call.object);
      if (refused !== 0) return refused;
      server.end(handle, call.task, call.object);
      return 0;
    },
  };
}
