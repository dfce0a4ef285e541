/**
 * The objects a server serves, and who holds a capability to which: handle tables, one a client task.
 *
 *   handle word          client index | object index        32-bit: 14 | 18 bits, 64-bit: 32 | 32 bits
 *                             |              |
 *   clients[client index] -> Client      entries[object index] -> Entry -> Served -> the server's object
 *                             task id: must be the sender's
 *
 * Both indices start at 1, so handle 0 is never valid; a table gives its lowest free index. One client gets one handle
 * for one object, however often it is granted. A revoked entry stays until its holder releases it: until then the
 * holder is told ECAP_DIED, while a handle that never was his gets no answer at all.
 *
 * One task may put entries into another's table (a gift): at most GIFTS_TO_ONE into one table and GIFTS_OF_ONE into all,
 * until the receivers release them. So no task can fill the table of another, nor that of the clients.
 *
 * Not here: the messages (rpc.ts).
 * Source: hurd-l4 libhurd-cap-server, with indices from 1.
 *
 * Invariants:
 *   I1  an entry is found under its own client and index, and its client under the client's index
 *   I2  the holders of a served object are exactly the live entries that name it; references >= 1 in each
 *   I3  a dead entry names an object that has no such holder any more
 *   I4  gifts are counted for who gave them, in all and in each receiver's table, and the limits hold
 */

import { kassert } from '../../hostkernel/base/assert.ts';
import { EINVAL } from '../../hostkernel/base/errno.ts';

/** One object as its server serves it. */
export interface Served<O> {
  readonly kind: string; // class: which methods it understands
  readonly value: O;
  readonly holders: Set<Entry<O>>; // live entries
}

/** One object in one client's table. */
export interface Entry<O> {
  readonly client: Client<O>;
  readonly index: number;
  readonly served: Served<O>;
  readonly giver: number; // task that put it here; 0: the server did, or the client for itself
  references: number; // granted to the client and not yet released
  dead: boolean; // revoked
}

interface Client<O> {
  readonly task: number;
  readonly index: number;
  readonly entries: Slots<Entry<O>>;
  readonly gifts: Map<number, number>; // entries by giver
}

/** Most entries one task may have put into another's table, and into all others' together. */
export const GIFTS_TO_ONE = 256;
export const GIFTS_OF_ONE = 4096;
const MAX_REFERENCES = 2 ** 31;

/** Bits of a handle's two fields. */
export interface HandleFormat {
  readonly clientBits: number;
  readonly objectBits: number;
}

export const HANDLES_32: HandleFormat = { clientBits: 14, objectBits: 18 };
/** 64-bit handles have 32 + 32 bits; we hand out only those that are exact in a number. */
export const HANDLES_64: HandleFormat = { clientBits: 20, objectBits: 32 };

/** A table whose indices start at 1 and are given out lowest first. */
class Slots<T> {
  readonly #slots: (T | null)[] = [null]; // slot 0 is never used
  #lowestFree = 1;
  count = 0;

  get(index: number): T | null {
    return this.#slots[index] ?? null;
  }

  /** The index the next insertion takes. */
  get next(): number {
    return this.#lowestFree;
  }

  insert(value: T): void {
    const index = this.#lowestFree;
    this.#slots[index] = value;
    this.count += 1;
    let free = index + 1;
    while (free < this.#slots.length && this.#slots[free] !== null) free += 1;
    this.#lowestFree = free;
  }

  remove(index: number): void {
    this.#slots[index] = null;
    this.count -= 1;
    if (index < this.#lowestFree) this.#lowestFree = index;
  }

  /** The values present, by ascending index. */
  values(): T[] {
    return this.#slots.filter((value) => value !== null);
  }
}

/** All capabilities to the objects of one server. */
export class ObjectTable<O> {
  readonly #clients = new Slots<Client<O>>();
  readonly #byTask = new Map<number, Client<O>>();
  readonly #served = new Map<O, Served<O>>();
  readonly #gifts = new Map<number, number>(); // entries in the tables of others, by giver
  readonly #scale: number; // 2^objectBits
  readonly #maxClients: number;
  readonly #maxObjects: number; // per client
  /** Called when the last capability to a live object has gone. The server may destroy it or leave it. */
  readonly #unreferenced: (value: O) => void;

  constructor(format: HandleFormat, unreferenced: (value: O) => void) {
    this.#scale = 2 ** format.objectBits;
    this.#maxClients = 2 ** format.clientBits - 1;
    this.#maxObjects = Math.min(this.#scale - 1, 2 ** 18 - 1);
    this.#unreferenced = unreferenced;
  }

  /**
   * Grants `task` a capability to `value`, an object of class `kind`; one more reference where it holds one already.
   * @param giver task whose gift it is; 0, or `task` itself, where it is none
   * @returns the handle; 0 where the client's table, or that of clients, is full, or the giver has given too much
   */
  grant(task: number, kind: string, value: O, giver = 0): number {
    const held = this.#entryOf(task, value);
    if (held !== null) {
      if (held.references >= MAX_REFERENCES) return 0;
      held.references += 1;
      return this.#handle(held);
    }
    const from = giver === task ? 0 : giver;
    if (from !== 0 && !this.#mayGive(from, task)) return 0;
    const client = this.#clientOf(task);
    if (client === null) return 0;
    const index = client.entries.next;
    if (index > this.#maxObjects) return 0;
    const served = this.#servedOf(kind, value);
    const entry: Entry<O> = { client, index, served, giver: from, references: 1, dead: false };
    client.entries.insert(entry);
    served.holders.add(entry);
    if (from !== 0) this.#countGift(client, from, 1);
    return this.#handle(entry);
  }

  /**
   * What `handle` means when `task` sends it. Hot: allocates nothing.
   * @returns null for a handle that is not this task's: unknown client or object, another task's, not a whole number
   */
  lookup(handle: number, task: number): Entry<O> | null {
    const clientIndex = Math.floor(handle / this.#scale);
    const client = this.#clients.get(clientIndex);
    if (client === null || client.task !== task) return null;
    return client.entries.get(handle - clientIndex * this.#scale);
  }

  /** Takes `value` from everybody: its handles answer ECAP_DIED from now on. */
  revoke(value: O): void {
    const served = this.#served.get(value);
    if (served === undefined) return;
    for (const entry of served.holders) entry.dead = true;
    served.holders.clear();
    this.#served.delete(value);
  }

  /**
   * Gives back `count` references of an entry; with the last one the handle is gone.
   * @returns 0, or EINVAL where `count` is not in 1..references (nothing has changed)
   */
  release(entry: Entry<O>, count: number): number {
    if (!Number.isInteger(count) || count < 1 || count > entry.references) return EINVAL;
    entry.references -= count;
    if (entry.references > 0) return 0;
    this.#remove(entry);
    return 0;
  }

  /** Releases everything `task` holds and forgets it: the task has died. */
  releaseTask(task: number): void {
    const client = this.#byTask.get(task);
    if (client === undefined) return;
    this.#byTask.delete(task);
    this.#clients.remove(client.index);
    for (const entry of client.entries.values()) this.#remove(entry);
  }

  /** Capabilities held, dead ones included. */
  get entryCount(): number {
    return [...this.#byTask.values()].reduce((sum, client) => sum + client.entries.count, 0);
  }

  assertInvariants(): void {
    let live = 0;
    for (const [task, client] of this.#byTask) {
      kassert(client.task === task && this.#clients.get(client.index) === client, 'cap objects I1');
      for (const entry of client.entries.values()) {
        kassert(entry.client === client && client.entries.get(entry.index) === entry, 'cap objects I1');
        kassert(entry.references >= 1 && entry.served.holders.has(entry) === !entry.dead, 'cap objects I2');
        kassert(!entry.dead || this.#served.get(entry.served.value) !== entry.served, 'cap objects I3');
        if (!entry.dead) live += 1;
      }
    }
    const given = new Map<number, number>();
    for (const client of this.#byTask.values()) {
      const entries = client.entries.values();
      for (const [giver, count] of client.gifts) {
        given.set(giver, (given.get(giver) ?? 0) + count);
        kassert(count <= GIFTS_TO_ONE && entries.filter((entry) => entry.giver === giver).length === count, 'cap objects I4');
      }
      kassert(
        entries.every((entry) => entry.giver === 0 || client.gifts.has(entry.giver)),
        'cap objects I4',
      );
    }
    for (const [giver, count] of this.#gifts) kassert(count <= GIFTS_OF_ONE && given.get(giver) === count, 'cap objects I4');
    kassert(given.size === this.#gifts.size, 'cap objects I4');
    const holders = [...this.#served.values()].reduce((sum, served) => sum + served.holders.size, 0);
    kassert(holders === live, 'cap objects I2');
  }

  #handle(entry: Entry<O>): number {
    return entry.client.index * this.#scale + entry.index;
  }

  /** The live entry `task` has for `value`, or null. */
  #entryOf(task: number, value: O): Entry<O> | null {
    const holders = this.#served.get(value)?.holders;
    if (holders === undefined) return null;
    for (const entry of holders) {
      if (entry.client.task === task) return entry;
    }
    return null;
  }

  #mayGive(giver: number, task: number): boolean {
    if ((this.#gifts.get(giver) ?? 0) >= GIFTS_OF_ONE) return false;
    return (this.#byTask.get(task)?.gifts.get(giver) ?? 0) < GIFTS_TO_ONE;
  }

  #countGift(client: Client<O>, giver: number, change: 1 | -1): void {
    add(client.gifts, giver, change);
    add(this.#gifts, giver, change);
  }

  #clientOf(task: number): Client<O> | null {
    const known = this.#byTask.get(task);
    if (known !== undefined) return known;
    const index = this.#clients.next;
    if (index > this.#maxClients) return null;
    const client: Client<O> = { task, index, entries: new Slots<Entry<O>>(), gifts: new Map() };
    this.#clients.insert(client);
    this.#byTask.set(task, client);
    return client;
  }

  #servedOf(kind: string, value: O): Served<O> {
    const known = this.#served.get(value);
    if (known !== undefined) return known;
    const served: Served<O> = { kind, value, holders: new Set() };
    this.#served.set(value, served);
    return served;
  }

  /** Takes an entry out of its client's table and its object's holders. */
  #remove(entry: Entry<O>): void {
    entry.client.entries.remove(entry.index);
    if (entry.giver !== 0) this.#countGift(entry.client, entry.giver, -1);
    const served = entry.served;
    if (!served.holders.delete(entry) || served.holders.size > 0) return;
    this.#served.delete(served.value);
    this.#unreferenced(served.value);
  }
}

/** Changes a count that is kept while it is not 0. */
function add(counts: Map<number, number>, key: number, change: 1 | -1): void {
  const count = (counts.get(key) ?? 0) + change;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}
