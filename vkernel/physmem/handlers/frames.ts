/** What gets at the physical pages: map, provide, pin, lock. */

import { EPERM } from '../../../hostkernel/base/errno.ts';
import { type GuestFrame, PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { lock, unlock } from '../core/locks.ts';
import { type MapSink, provide } from '../core/map.ts';
import { pin, type PinSink, unpin } from '../core/pins.ts';
import { containerOf as containerOfParty, mapBy, WeakContainer } from '../core/share.ts';
import { MAX_LIST } from '../../cap/rpc.ts';
import { WEAK_PIN } from '../interface.ts';
import { blockFpage } from '../frame-memory.ts';
import type { PhysmemServer } from '../server.ts';
import { askerOf, containerOf, partyOf, type PhysmemCall, type PhysmemHandlers, weakOf } from './objects.ts';

/** Map items of a reply, as the core makes them. */
export class ReplySink implements MapSink {
  call: PhysmemCall | null = null;

  get room(): number {
    return this.call === null ? 0 : this.call.itemRoom;
  }

  item(frame: GuestFrame, pages: number, page: number, rights: number): void {
    this.call?.mapItem(page * PAGE_SIZE, blockFpage(frame, pages, rights));
  }

  clear(): void {
    this.call?.clearItems();
  }
}

/** Runs of pinned memory in a reply, as the core makes them. */
class ReplyRuns implements PinSink {
  call: PhysmemCall | null = null;
  room = 0;

  begin(call: PhysmemCall): void {
    this.call = call;
    this.room = MAX_LIST;
  }

  run(frame: GuestFrame, pages: number): void {
    this.room -= 1;
    this.call?.append(frame * PAGE_SIZE, pages * PAGE_SIZE);
  }
}

export function frameHandlers(server: PhysmemServer): PhysmemHandlers {
  const { physmem } = server;
  const sink = new ReplySink();
  const runs = new ReplyRuns();
  const mapHandler = (call: PhysmemCall, _container: number, flags: number, vaddr: number, index: number, size: number): number => {
    sink.call = call;
    return mapBy(physmem, partyOf(call), flags, vaddr, index, size, sink);
  };
  return {
    map: mapHandler,
    mapOld: mapHandler,
    provide: (call, _container, flags, vaddr, index, size) => {
      sink.call = call;
      const error = provide(physmem, containerOf(call), flags, vaddr, index, size, sink);
      call.result(0, physmem.amount);
      return error;
    },
    pin: (call, _container, start, size, duration, flags) => {
      const party = partyOf(call);
      if (party instanceof WeakContainer && (party.rights & WEAK_PIN) === 0) return EPERM;
      runs.begin(call);
      const error = pin(physmem, containerOfParty(party), askerOf(call), start, size, duration, flags, runs);
      call.result(0, physmem.amount);
      return error;
    },
    unpin: (call, _container, start, size) => unpin(physmem, containerOfParty(partyOf(call)), askerOf(call), start, size),
    lock: (call, _weak, start, size, duration) => lock(physmem, weakOf(call), start, size, duration),
    unlock: (call, _weak, start, size) => unlock(physmem, weakOf(call), start, size),
  };
}
