/**
 * Requests that cannot be answered yet: each is tried again from the beginning, in the order in which they came.
 *
 *   request --handler says PARKED--> parked [first, second, ...] --try--> answered, or still parked
 *                                        |
 *                                        +--cancel, or the task dies--> gone
 *
 * A thread has one at most: what it sends while one is outstanding is dropped, so that nobody can fill the list. The
 * request is kept as the message it came in, and goes through all checks again: meanwhile its capability may have
 * died. Not here: when to try (the server), and the loop (rpc.ts).
 */

import { Message, taskOf, type ThreadId, type WordBits } from '../l4/user.ts';

export class ParkedRequests {
  readonly #wordBits: WordBits;
  readonly #requests = new Map<ThreadId, Message>(); // in the order in which they came

  constructor(wordBits: WordBits) {
    this.#wordBits = wordBits;
  }

  get size(): number {
    return this.#requests.size;
  }

  has(client: ThreadId): boolean {
    return this.#requests.size > 0 && this.#requests.has(client);
  }

  /** Keeps the request in `message` until it is taken out. */
  park(client: ThreadId, message: Message): void {
    const kept = new Message(this.#wordBits);
    kept.copyFrom(message);
    this.#requests.set(client, kept);
  }

  /** The threads that wait, first come first. */
  clients(): ThreadId[] {
    return [...this.#requests.keys()];
  }

  /** The request of a thread; null where it has none. */
  of(client: ThreadId): Message | null {
    return this.#requests.get(client) ?? null;
  }

  /** Forgets the request of a thread. @returns whether there was one */
  remove(client: ThreadId): boolean {
    return this.#requests.delete(client);
  }

  /** Forgets the requests of all threads of `task`: it has died. */
  removeTask(task: number): void {
    for (const client of this.clients()) {
      if (taskOf(client, this.#wordBits) === task) this.#requests.delete(client);
    }
  }
}
