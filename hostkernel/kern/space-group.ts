/**
 * SpaceGroup: the vmspaces of one vkernel, by the keys it chose for them.
 *
 * Invariants (assertInvariants):
 *   G1  no key is 0 or from 2^53 on
 *   G2  the cached space is in the group
 */

import { kassert } from '../base/assert.ts';
import type { VmSpace } from '../vm/index.ts';

/** A guest address space. */
export interface GuestSpace {
  readonly id: number;
  readonly space: VmSpace;
  /** Lwps inside a RUN of it. */
  runners: number;
}

export class SpaceGroup {
  readonly #spaces = new Map<number, GuestSpace>();
  #last: GuestSpace | null = null; // what the last find returned: most RUNs name the space of the one before

  get size(): number {
    return this.#spaces.size;
  }

  /** The space with key `id`, or null. Hot. */
  find(id: number): GuestSpace | null {
    const last = this.#last;
    if (last !== null && last.id === id) return last;
    const found = this.#spaces.get(id) ?? null;
    if (found !== null) this.#last = found;
    return found;
  }

  add(id: number, space: VmSpace): void {
    kassert(!this.#spaces.has(id), 'space_group: key in use');
    this.#spaces.set(id, { id, space, runners: 0 });
  }

  /** Takes `guest` out and destroys its space: real PTEs first, then mappings. */
  destroy(guest: GuestSpace): void {
    this.#spaces.delete(guest.id);
    if (this.#last === guest) this.#last = null;
    guest.space.destroy();
  }

  /** Destroys every space: the vkernel has ended, in a RUN or not. */
  destroyAll(): void {
    for (const guest of this.#spaces.values()) this.destroy(guest);
  }

  assertInvariants(): void {
    for (const id of this.#spaces.keys()) kassert(id > 0 && id < 2 ** 53, 'space_group G1');
    kassert(this.#last === null || this.#spaces.get(this.#last.id) === this.#last, 'space_group G2');
  }
}
