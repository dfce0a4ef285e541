/**
 * An L4 address space: a guest space of the platform, the areas the kernel reserves in it, and who lives there.
 *
 * The pages of the KIP and UTCB areas are never mapped by IPC.
 */
import type { GuestSpace } from '../platform/index.ts';

export class Space {
  readonly guest: GuestSpace;
  /** May make the privileged calls: sigma0 and the root server. */
  readonly privileged: boolean;
  /** sigma0's space: page = frame, every conventional frame is there, without tables. */
  readonly idempotent: boolean;
  threads = 0;
  activeThreads = 0;
  initialised = false; // spaceControl has set the areas
  destroyed = false;
  // Areas, in pages: [start, end).
  kipStart = 0;
  kipEnd = 0;
  utcbStart = 0;
  utcbEnd = 0;

  constructor(guest: GuestSpace, options: { privileged: boolean; idempotent: boolean }) {
    this.guest = guest;
    this.privileged = options.privileged;
    this.idempotent = options.idempotent;
  }

  get id(): number {
    return this.guest.id;
  }

  /** Whether the kernel keeps `page` for itself. Hot. */
  isReserved(page: number): boolean {
    return (page >= this.kipStart && page < this.kipEnd) || (page >= this.utcbStart && page < this.utcbEnd);
  }
}
