/**
 * physmem as the pager of last resort: page faults answered out of a container that their task has named for it.
 *
 *   pager of a task --faults in its own code or stack--> physmem --one page of the default container--> it goes on
 *
 * A task pages itself, but who pages its pager? Without this its code and stack would have to stay mapped, that is: their
 * frames could never be moved, written out or copied on write. With it they are pages like all others.
 *
 * A task names its own container only, so nobody can put memory under another; and what a forged fault message gets
 * is a page of the forger's own container.
 * Source: wished for, and not built, in hurd-l4: a default paging container for each task.
 */

import { EFAULT, EINVAL } from '../../../hostkernel/base/errno.ts';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import type { Container } from '../core/container.ts';
import type { MapSink } from '../core/map.ts';
import { isRange } from '../core/range.ts';
import { mapBy } from '../core/share.ts';
import { FORCE_WRITE, MAP_EXECUTE, MAP_READ, MAP_WRITE } from '../interface.ts';
import type { PhysmemServer } from '../server.ts';
import { ReplySink } from './frames.ts';
import { containerOf, type PhysmemCall, type PhysmemHandlers } from './objects.ts';

/** Bytes [vaddr, vaddr + size) of a task show its container from 0 on. */
interface DefaultContainer {
  readonly container: Container;
  readonly vaddr: number;
  readonly size: number;
}

/** The default containers, by task. */
export class Paging {
  readonly #byTask = new Map<number, DefaultContainer>();

  set(task: number, entry: DefaultContainer): void {
    if (entry.size === 0) this.#byTask.delete(task);
    else this.#byTask.set(task, entry);
  }

  forget(task: number): void {
    this.#byTask.delete(task);
  }

  /** What the task has named for `address`; null: nothing, or it is gone. */
  at(task: number, address: number): DefaultContainer | null {
    const entry = this.#byTask.get(task);
    if (entry === undefined || address < entry.vaddr || address >= entry.vaddr + entry.size) return null;
    if (entry.container.alive) return entry;
    this.#byTask.delete(task);
    return null;
  }
}

export function pagingHandlers(server: PhysmemServer): PhysmemHandlers {
  const { paging, physmem } = server;
  return {
    setDefaultContainer: (call, _container, vaddr, size) => {
      if (!isRange(physmem, vaddr, size)) return EINVAL;
      paging.set(call.task, { container: containerOf(call), vaddr, size });
      return 0;
    },
  };
}

/**
 * Answers page faults: the page at `address` for an access of `rights` (MAP_*). A reader gets no WRITE, so that what is
 * shared copy-on-write stays shared.
 * @returns the handler of fault messages: 0 with one map item; EFAULT nothing is named for the address; what `map` says
 */
export function faultHandler(server: PhysmemServer): (call: PhysmemCall, address: number, rights: number) => number {
  const { paging, physmem } = server;
  const sink = new ReplySink();
  return (call, address, rights) => {
    const entry = paging.at(call.task, address);
    if (entry === null) return EFAULT;
    const page = Math.floor(address / PAGE_SIZE) * PAGE_SIZE;
    const flags = MAP_READ | MAP_EXECUTE | ((rights & MAP_WRITE) === 0 ? 0 : MAP_WRITE | FORCE_WRITE);
    sink.call = call;
    return mapBy(physmem, entry.container, flags, page, page - entry.vaddr, PAGE_SIZE, sink satisfies MapSink);
  };
}
