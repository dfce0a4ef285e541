/** What gets at the physical pages: map and provide. */

import { type GuestFrame, PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { map, type MapSink, provide } from '../core/map.ts';
import { blockFpage } from '../frame-memory.ts';
import type { PhysmemServer } from '../server.ts';
import { containerOf, type PhysmemCall, type PhysmemHandlers } from './objects.ts';

/** Map items of a reply, as the core makes them. */
class ReplySink implements MapSink {
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

export function frameHandlers(server: PhysmemServer): PhysmemHandlers {
  const { physmem } = server;
  const sink = new ReplySink();
  return {
    map: (call, _container, flags, vaddr, index, size) => {
      sink.call = call;
      return map(physmem, containerOf(call), flags, vaddr, index, size, sink);
    },
    provide: (call, _container, flags, vaddr, index, size) => {
      sink.call = call;
      const error = provide(physmem, containerOf(call), flags, vaddr, index, size, sink);
      call.result(0, physmem.amount);
      return error;
    },
  };
}
