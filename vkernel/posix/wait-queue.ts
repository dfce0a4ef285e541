/**
 * Processes that wait for something to change: the readers of an empty pipe, the parent of running children.
 *
 *   waiter:  look; not yet --> enter the queues --> L4 receive --> leave the queues --> look again
 *   changer: change --> queue.wake(): the waiters are marked --> System.flush: a message to each of their threads
 *
 * Threads change places only where they wait, so nothing can happen between a look and the receive. A message that finds
 * its thread not receiving is lost, and may be: that thread will look before it waits the next time.
 */

/** Who can wait: a process, as a queue sees it. */
export interface Waiter {
  /** Marks it as one to be woken. */
  wake(): void;
}

export class WaitQueue {
  readonly #waiters = new Set<Waiter>();

  add(waiter: Waiter): void {
    this.#waiters.add(waiter);
  }

  remove(waiter: Waiter): void {
    this.#waiters.delete(waiter);
  }

  /** What they wait for may have come. Cheap where nobody waits. */
  wake(): void {
    for (const waiter of this.#waiters) waiter.wake();
  }
}
