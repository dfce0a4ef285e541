/**
 * Host memory as hypervisors see it that keep tables of their own: what lies behind a page of guest-physical memory,
 * through one host or several, and how much of it lies in one piece.
 *
 *   guest-physical page --hosts[0]--> --hosts[1]--> ... --> frame
 */
import { PAGE_SHIFT, powerOf2, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { ATTR_ACCESSED, ATTR_USER, type PageTableFormat } from '../../../hostkernel/machine/paging/index.ts';
import type { EventCounts } from '../events.ts';
import type { HostMemory } from '../guest/host-memory.ts';
import { LabError } from '../guest/lab-error.ts';
import type { Backing } from './shadow-hypervisor.ts';

export class HostBacking implements Backing {
  frame = 0;
  pages = 1;
  readonly #hosts: readonly HostMemory[];
  readonly #events: EventCounts;

  /** @param hosts that a page goes through, the guest's own first */
  constructor(hosts: readonly HostMemory[], events: EventCounts) {
    this.#hosts = hosts;
    this.#events = events;
  }

  back(frame: number): void {
    let at = frame;
    let pages = Infinity;
    for (const host of this.#hosts) {
      let next = host.frameOf(at);
      if (next < 0) {
        host.fill(at);
        this.#events.hostFaults++;
        next = host.frameOf(at);
      }
      pages = Math.min(pages, powerOf2(host.tables.shift - PAGE_SHIFT));
      at = next;
    }
    this.frame = at;
    this.pages = pages;
  }

  peek(frame: number): number {
    let at = frame;
    for (const host of this.#hosts) {
      at = host.frameOf(at);
      if (at < 0) return -1;
    }
    return at;
  }
}

/** @throws LabError if tables of `own` cannot cache those of `guest`, for `method` */
export function requireCache(method: string, guest: PageTableFormat, own: PageTableFormat): void {
  const asked = READ | ATTR_USER | ATTR_ACCESSED;
  if ((own.attributes(0, own.leafLo(0, 0, asked), own.leafHi(0, 0, asked)) & WRITE) !== 0) {
    throw new LabError(`${method}: tables of ${own.id} cannot forbid writing, so what the guest modifies would not be seen`);
  }
  if (own.basePages > guest.basePages) {
    throw new LabError(
      `${method}: pages of ${own.id} are of ${4 * own.basePages} KiB at least, too large for the guest's of ${4 * guest.basePages} KiB`,
    );
  }
}
