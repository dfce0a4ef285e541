/**
 * Scheduler: who runs next, who sleeps on what, and what happens when.
 *
 *   enqueue -> run queue -> dequeue -> its step -> enqueue, or sleep -> channel -> wakeup -> enqueue
 *                                                             `-> timer ----------^
 *
 * Round robin. A channel is any value; who sleeps on it first is woken first. Nothing here knows what a step is: that is
 * kernel.ts.
 *
 * Invariants (assertInvariants):
 *   S1  an lwp is in the run queue if and only if its state is ready
 *   S2  an lwp with a channel is asleep, and in that channel's queue, once
 */

import { kassert } from '../base/assert.ts';
import type { Channel, Lwp } from './lwp.ts';
import { TimerQueue } from './timer.ts';

export class Scheduler {
  readonly timers = new TimerQueue();
  /** The lwp in its step, or null. */
  current: Lwp | null = null;
  #head: Lwp | null = null;
  #tail: Lwp | null = null;
  #ready = 0;
  readonly #sleepers = new Map<Channel, Lwp[]>();

  /** Lwps that wait for a processor. */
  get ready(): number {
    return this.#ready;
  }

  /** Puts `lwp`, which is in no queue, at the end of the run queue. */
  enqueue(lwp: Lwp): void {
    lwp.state = 'ready';
    lwp.next = null;
    if (this.#tail === null) this.#head = lwp;
    else this.#tail.next = lwp;
    this.#tail = lwp;
    this.#ready++;
  }

  /** Takes the first of the run queue, or null. */
  dequeue(): Lwp | null {
    const lwp = this.#head;
    if (lwp === null) return null;
    this.#head = lwp.next;
    if (this.#head === null) this.#tail = null;
    lwp.next = null;
    lwp.state = 'running';
    this.#ready--;
    return lwp;
  }

  /**
   * Puts `lwp`, which is in its step, to sleep.
   * @param deadline clock time, ns, at which it wakes by itself; Infinity: never
   * @param why what it sleeps for, for a person
   */
  sleep(lwp: Lwp, channel: Channel | null, deadline: number, why: string): void {
    kassert(lwp === this.current && lwp.channel === null, 'scheduler: sleep of an lwp that does not run');
    lwp.state = 'asleep';
    lwp.channel = channel;
    lwp.why = why;
    this.timers.set(lwp.timer, deadline);
    if (channel === null) return;
    const sleepers = this.#sleepers.get(channel);
    if (sleepers === undefined) this.#sleepers.set(channel, [lwp]);
    else sleepers.push(lwp);
  }

  /** Wakes up to `most` sleepers of `channel`, in the order they came. @returns how many */
  wakeup(channel: Channel, most = Infinity): number {
    const sleepers = this.#sleepers.get(channel);
    if (sleepers === undefined) return 0;
    let woken = 0;
    for (; woken < most && sleepers.length > 0; woken++) {
      const lwp = sleepers[0] as Lwp;
      lwp.call.woken = true;
      this.rouse(lwp);
    }
    return woken;
  }

  /** Moves up to `most` sleepers of one channel to another. @returns how many */
  move(from: Channel, to: Channel, most: number): number {
    const sleepers = this.#sleepers.get(from);
    if (sleepers === undefined || from === to) return 0;
    const moved = sleepers.splice(0, most);
    if (sleepers.length === 0) this.#sleepers.delete(from);
    for (const lwp of moved) lwp.channel = to;
    const others = this.#sleepers.get(to);
    if (moved.length > 0) this.#sleepers.set(to, others === undefined ? moved : [...others, ...moved]);
    return moved.length;
  }

  /** Makes a sleeping lwp ready, for whatever reason. No effect on one that does not sleep. */
  rouse(lwp: Lwp): void {
    if (lwp.state !== 'asleep') return;
    this.#forget(lwp);
    if (lwp === this.current) lwp.state = 'running';
    else this.enqueue(lwp);
  }

  /** Takes `lwp`, which is about to end, out of wherever it is. */
  remove(lwp: Lwp): void {
    if (lwp.state === 'asleep') this.#forget(lwp);
    else if (lwp.state === 'ready') this.#unlink(lwp);
    this.timers.clear(lwp.timer);
    lwp.state = 'ended';
  }

  assertInvariants(lwps: Iterable<Lwp>): void {
    const queued = new Set<Lwp>();
    for (let lwp = this.#head; lwp !== null; lwp = lwp.next) queued.add(lwp);
    kassert(queued.size === this.#ready, 'scheduler S1');
    let sleepers = 0;
    for (const lwp of lwps) {
      kassert(queued.has(lwp) === (lwp.state === 'ready'), 'scheduler S1');
      if (lwp.channel === null) continue;
      sleepers++;
      kassert(lwp.state === 'asleep' && this.#sleepers.get(lwp.channel)?.filter((other) => other === lwp).length === 1, 'scheduler S2');
    }
    for (const queue of this.#sleepers.values()) sleepers -= queue.length;
    kassert(sleepers === 0, 'scheduler S2');
    this.timers.assertInvariants();
  }

  /** Takes a sleeper off its channel and its deadline. */
  #forget(lwp: Lwp): void {
    this.timers.clear(lwp.timer);
    const { channel } = lwp;
    if (channel === null) return;
    const sleepers = this.#sleepers.get(channel) as Lwp[];
    sleepers.splice(sleepers.indexOf(lwp), 1);
    if (sleepers.length === 0) this.#sleepers.delete(channel);
    lwp.channel = null;
  }

  #unlink(lwp: Lwp): void {
    let before: Lwp | null = null;
    for (let other = this.#head; other !== lwp; other = other?.next ?? null) before = other;
    if (before === null) this.#head = lwp.next;
    else before.next = lwp.next;
    if (this.#tail === lwp) this.#tail = before;
    lwp.next = null;
    this.#ready--;
  }
}
