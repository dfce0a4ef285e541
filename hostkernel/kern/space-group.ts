/**
 * SpaceGroup: the vmspaces of one vkernel, by the keys it chose for them. Processes that a member forks are members too:
 * the virtual processors of a vkernel may be lwps or processes. A program that is executed never inherits spaces.
 *
 * Invariants (assertInvariants):
 *   G1  no key is 0 or from 2^53 on
 *   G2  a space in the group is not marked as destroyed, and the group has a member
 *   G3  a delegated space is among the delegates of the space it is delegated to, under its key, and nowhere else
 */

import { kassert } from '../base/assert.ts';
import type { VmSpace } from '../vm/index.ts';

/** A guest address space. */
export interface GuestSpace {
  readonly id: number;
  readonly space: VmSpace;
  /** Lwps inside a RUN of it. */
  runners: number;
  /** Taken out of its group: whoever kept this record must not use it. */
  isDestroyed: boolean;
  /** Spaces that whoever runs in this one may run itself, by the key it has for them: delegation.ts. */
  delegates: Map<number, GuestSpace> | null;
  /** The space among whose delegates this is, and its key there. */
  delegatedTo: GuestSpace | null;
  delegatedKey: number;
}

/** Who looks spaces up: an lwp. Most RUNs name the space of the one before. */
interface SpaceCache {
  lastGuest: GuestSpace | null;
}

export class SpaceGroup {
  readonly #spaces = new Map<number, GuestSpace>();
  #members = 1;

  get size(): number {
    return this.#spaces.size;
  }

  get spaces(): Iterable<GuestSpace> {
    return this.#spaces.values();
  }

  /** Processes that share the group. */
  get members(): number {
    return this.#members;
  }

  /** The space with key `id`, or null. Hot. @param cache of an lwp of a member */
  find(id: number, cache: SpaceCache | null = null): GuestSpace | null {
    if (cache === null) return this.#spaces.get(id) ?? null;
    const last = cache.lastGuest;
    if (last !== null && last.id === id && !last.isDestroyed) return last;
    cache.lastGuest = this.#spaces.get(id) ?? null;
    return cache.lastGuest;
  }

  add(id: number, space: VmSpace): void {
    kassert(!this.#spaces.has(id), 'space_group: key in use');
    this.#spaces.set(id, { id, space, runners: 0, isDestroyed: false, delegates: null, delegatedTo: null, delegatedKey: 0 });
  }

  /** Takes `guest`, in which nobody runs, out and destroys its space: real PTEs first, then mappings. */
  destroy(guest: GuestSpace): void {
    kassert(guest.runners === 0 && !guest.isDestroyed, 'space_group: destroy of a space in use');
    guest.isDestroyed = true;
    this.#revoke(guest);
    for (const other of guest.delegates?.values() ?? []) other.delegatedTo = null;
    guest.delegates = null;
    this.#spaces.delete(guest.id);
    guest.space.destroy();
  }

  /** From now on whoever runs in `owner` may run `guest` as `key`. Takes the place of what was said of either before. */
  delegate(guest: GuestSpace, owner: GuestSpace, key: number): void {
    this.#revoke(guest);
    owner.delegates ??= new Map();
    const before = owner.delegates.get(key);
    if (before !== undefined) this.#revoke(before);
    owner.delegates.set(key, guest);
    guest.delegatedTo = owner;
    guest.delegatedKey = key;
  }

  #revoke(guest: GuestSpace): void {
    guest.delegatedTo?.delegates?.delete(guest.delegatedKey);
    guest.delegatedTo = null;
  }

  /** Another process is a member. @returns this */
  join(): this {
    this.#members++;
    return this;
  }

  /** A member has ended or runs another program. The last one takes every space with it. */
  leave(): void {
    kassert(this.#members > 0, 'space_group: nobody is left to leave');
    this.#members--;
    if (this.#members > 0) return;
    for (const guest of this.#spaces.values()) this.destroy(guest);
  }

  assertInvariants(): void {
    kassert(this.#members > 0, 'space_group G2');
    for (const [id, guest] of this.#spaces) {
      kassert(id > 0 && id < 2 ** 53 && id === guest.id, 'space_group G1');
      kassert(!guest.isDestroyed, 'space_group G2');
      const owner = guest.delegatedTo;
      kassert(owner === null || (!owner.isDestroyed && owner.delegates?.get(guest.delegatedKey) === guest), 'space_group G3');
      for (const [key, other] of guest.delegates ?? [])
        kassert(other.delegatedTo === guest && other.delegatedKey === key, 'space_group G3');
    }
  }
}
