/**
 * Pages asked back: a principal that holds more than its guarantee gives them up when somebody needs them who is owed.
 *
 *   shortage --> choose victims, largest E first --> ask each for min(E, shortage) --> parked until met, or the deadline
 *                                                          |
 *         not receiving (and no retry left) ---------------+--- held too much at the deadline ---> punished
 *
 *   met     it holds `count` pages less when an operation ends, in whatever way
 *   void    its guarantee was raised: it holds nothing extra now
 *   punished   everything its containers hold is dropped, without saving; or, if the policy server has chosen the mild
 *              way, only what it still owes, the most recently allocated first, and its eligibility until the next commit
 *
 * Nobody waits for anybody: a request is sent if it is received at once, the deadline is a time in `poll`. Guaranteed
 * pages are never asked for, and at most one request is outstanding per principal.
 *
 * Not here: who finds that pages are short (reclaim.ts, and `balance` after each admission), how a request is sent.
 */

import type { Container } from './container.ts';
import { subtreeOf } from './control.ts';
import { vacate } from './deallocate.ts';
import { type EntryId, PINNED } from './frame-table.ts';
import type { Physmem } from './physmem.ts';
import { breakHolds } from './holds.ts';
import type { Principal } from './principals.ts';

// What became of sending a request.
export const SENT = 0;
/** Its thread waits for an answer of ours, and would take the request for it: tried again, for at most one deadline. */
export const BUSY = 1;
export const ABSENT = 2; // it has no thread for this, or one that was not receiving

/** Orders the principals that hold extra pages: the first is asked first. */
export type VictimChoice = (candidates: readonly Principal[]) => readonly Principal[];

export interface ReturnsOptions {
  /** Sends a request, without waiting. @param deadline microseconds from now @returns SENT, BUSY or ABSENT */
  readonly send: (principal: Principal, count: number, deadline: number) => number;
  /** Time to give pages back, microseconds. Default 10,000: not enough for I/O. */
  readonly deadline?: number;
  /** How often it is tried again where nobody was receiving. Default 0. */
  readonly retries?: number;
  /** Microseconds until then. Default 1,000. */
  readonly retryAfter?: number;
  readonly choose?: VictimChoice;
  /** A principal has been punished: `pages` were taken from it. */
  readonly punished?: (principal: Principal, pages: number) => void;
}

/** Events since the start. */
export interface ReturnCounters {
  requests: number;
  asked: number; // pages
  punishments: number;
  dropped: number; // pages
}

/** Largest E first; of equals, the one whose task id is lower. */
const largestExtraFirst: VictimChoice = (candidates) => candidates.toSorted((a, b) => b.extra - a.extra || a.task - b.task);

export class Returns {
  readonly counters: ReturnCounters = { requests: 0, asked: 0, punishments: 0, dropped: 0 };
  readonly #pm: Physmem;
  readonly #send: ReturnsOptions['send'];
  readonly #deadline: number;
  readonly #retries: number;
  readonly #retryAfter: number;
  readonly #choose: VictimChoice;
  readonly #punished: (principal: Principal, pages: number) => void;

  constructor(pm: Physmem, options: ReturnsOptions) {
    this.#pm = pm;
    this.#send = options.send;
    this.#deadline = options.deadline ?? 10_000;
    this.#retries = options.retries ?? 0;
    this.#retryAfter = options.retryAfter ?? 1000;
    this.#choose = options.choose ?? largestExtraFirst;
    this.#punished = options.punished ?? (() => undefined);
  }

  /**
   * After an operation that gave pages up: requests that are met thereby end. Not while pages are given up, since an
   * operation may replace them: then nothing has been returned.
   */
  settle(): void {
    const { accounts } = this.#pm;
    if (accounts.asked === 0) return;
    for (const principal of accounts.principals()) {
      if (principal.request !== null && principal.used <= principal.request.target) accounts.endRequest(principal);
    }
  }

  /** After pages were admitted: where more are held than there are, the difference is asked back at once. */
  balance(): void {
    const { accounts } = this.#pm;
    this.settle();
    if (accounts.used > accounts.pages) this.#ask(accounts.used - accounts.pages);
  }

  /**
   * Memory is short by `pages`, for a principal within its guarantee.
   * @returns whether memory may come of it: now, because somebody was punished, or when requests outstanding end
   */
  demand(pages: number): boolean {
    const before = this.counters.dropped;
    const { accounts } = this.#pm;
    this.poll();
    this.#ask(Math.max(pages, accounts.used - accounts.pages)); // all that is held too much: one by one would take long
    return this.counters.dropped > before || this.isOutstanding;
  }

  get isOutstanding(): boolean {
    return this.#pm.accounts.asked > 0;
  }

  /** Does what is due now: what could not be sent, and what was not met. */
  poll(): void {
    const { accounts } = this.#pm;
    this.settle();
    if (accounts.asked === 0) return;
    const now = this.#pm.now();
    for (const principal of accounts.principals()) {
      const { request } = principal;
      if (request === null || now < request.deadline) continue;
      accounts.consult(principal); // its guarantee may have been raised, and the request be void
      if (principal.request === null) continue;
      if (request.sent) this.#punish(principal);
      else this.#attempt(principal);
    }
  }

  /** The next moment at which `poll` has something to do, microseconds; Infinity: none. */
  get nextDue(): number {
    const { accounts } = this.#pm;
    let next = Number.POSITIVE_INFINITY;
    if (accounts.asked === 0) return next;
    for (const { request } of accounts.principals()) if (request !== null) next = Math.min(next, request.deadline);
    return next;
  }

  /** Asks for `shortage` pages, less what is asked for already, from whoever holds extra ones. */
  #ask(shortage: number): void {
    const { accounts } = this.#pm;
    if (!accounts.isInForce()) return;
    accounts.refresh();
    let missing = shortage - accounts.asked;
    if (missing <= 0) return;
    const candidates = [...accounts.principals()].filter((principal) => principal.extra > 0 && principal.request === null);
    for (const principal of this.#choose(candidates)) {
      const count = Math.min(principal.extra, missing);
      const until = this.#pm.now() + this.#deadline;
      accounts.beginRequest(principal, {
        count,
        target: principal.used - count,
        deadline: until,
        until,
        sent: false,
        retries: this.#retries,
      });
      this.counters.requests += 1;
      this.counters.asked += count;
      this.#attempt(principal);
      missing -= count;
      if (missing <= 0) return;
    }
  }

  /** Sends the request of a principal, or sees to it that it is sent later. */
  #attempt(principal: Principal): void {
    const { request } = principal;
    if (request === null) return;
    const now = this.#pm.now();
    const owed = Math.min(principal.extra, principal.used - request.target); // some may have been given since it was made
    const sent = this.#send(principal, owed, this.#deadline);
    if (sent === SENT) {
      request.sent = true;
      request.deadline = now + this.#deadline;
      return;
    }
    const again = sent === BUSY ? now < request.until : request.retries > 0;
    if (!again) {
      this.#punish(principal);
      return;
    }
    if (sent !== BUSY) request.retries -= 1;
    request.deadline = now + this.#retryAfter;
  }

  /** Takes from a principal what it did not give. */
  #punish(principal: Principal): void {
    const { accounts } = this.#pm;
    const owed = Math.min(principal.extra, principal.used - (principal.request?.target ?? 0));
    const mild = accounts.isMild();
    const pages = mild ? dropRecent(this.#pm, principal, owed) : dropAll(this.#pm, principal);
    if (principal.request !== null) accounts.endRequest(principal);
    if (mild) accounts.bar(principal);
    accounts.markDropped(principal);
    this.counters.punishments += 1;
    this.counters.dropped += pages;
    this.#punished(principal, pages);
  }
}

/** Empties every container of a principal; pins are broken. @returns the pages that were in them */
function dropAll(pm: Physmem, principal: Principal): number {
  let pages = 0;
  for (const container of containersOf(principal)) {
    breakHolds(pm, container, 0, pm.limitPages);
    pages += vacate(pm, container, 0, pm.limitPages);
  }
  return pages;
}

/**
 * Takes `wanted` pages from a principal: those that came last, whatever they hold. Groups are numbered in the order in
 * which they came, so the highest number came last; a shared copy is as old as what it shares. Pinned pages stay.
 * @returns how many
 */
function dropRecent(pm: Physmem, principal: Principal, wanted: number): number {
  const { table } = pm;
  const entries: EntryId[] = [];
  for (const container of containersOf(principal)) {
    for (const entry of container.entries.toArray()) {
      if ((table.state[table.frame[entry]] & PINNED) === 0) entries.push(entry);
    }
  }
  const places = entries
    .toSorted((a, b) => table.group[b] - table.group[a] || table.start[b] - table.start[a])
    .map((entry) => ({ container: pm.containerOf(entry), from: table.start[entry], to: table.start[entry] + 2 ** table.log2[entry] }));
  let left = wanted;
  for (const { container, from, to } of places) {
    if (left === 0) break;
    const first = Math.max(from, to - left);
    breakHolds(pm, container, first, to); // locks: what is pinned was left out
    left -= vacate(pm, container, first, to); // carving one entry leaves the pages of others alone
  }
  return wanted - left;
}

function containersOf(principal: Principal): Container[] {
  return subtreeOf(principal.control).flatMap((control) => [...control.containers]);
}
