/**
 * Who is guaranteed how many pages, and who holds how many. A principal is a control directly below the root that was
 * made for a task, with its descendants; whatever else hangs below the root belongs to the account of the root.
 *
 *   N = pages physmem can give out
 *     = G of each principal (its controls' limits)  +  what the root keeps (limits of the root and its own controls)
 *
 *   phase    until                                        admission               limits
 *   BEFORE   a policy server has introduced itself        first come first served as split
 *   GRACE    its first commit, or 1 s                     first come first served as split
 *   IN FORCE                                              guarantee, then extra   follow the policy buffer
 *
 * A = pages in containers + pages of descriptors. E = pages that may be asked back = pages in containers - G: descriptors
 * come with what others do to shared frames too, and a task cannot give them back, so they never make it owe anything.
 *
 * What the policy server writes is input, read once a decision. A lower G is always put in force. A higher one only as
 * far as the root has pages left that it neither holds nor has promised: so sum(G) <= N at all times, whatever is in the
 * buffer. Since G moves between limits, the sum of all limits stays what was received.
 *
 * Not here: who is let in (admission.ts), how pages are asked back (returns.ts), the words (policy-buffer.ts).
 *
 * Invariants (assertInvariants):
 *   I1  a principal has used what the controls of its subtree have used; the sums over all are those of the accounts
 *   I2  the limits of a principal's subtree sum up to its G; sum(G) + limits of the root's account = N; sum(G) <= N
 *   I3  requests outstanding are at most one a principal, each for at least one page
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import { MAX_CAPACITY_LOG2, POLICY_EXTRA, SERVER_DROPPED, SERVER_LIVE, SERVER_RETURNING, swapQuotaOf } from '../policy-layout.ts';
import type { Container } from './container.ts';
import { MemoryControl, subtreeOf } from './control.ts';
import type { PolicyBuffer, Words } from './policy-buffer.ts';

/** Memory for a larger policy buffer, all zero, which the policy server does not see yet; null: none to be had. */
export type BufferGrowth = (capacityLog2: number) => Words | null;

/** How long after its introduction a policy server that never commits is taken at its word, in microseconds. */
export const GRACE = 1_000_000;

const NEVER_COMMITTED = -1;

/** Pages asked back from a principal: one request, met by holding fewer. */
export interface ReturnRequest {
  readonly count: number; // pages
  readonly target: number; // met when the principal has used no more than this
  sent: boolean;
  deadline: number; // microseconds: sent, it is to be met by then; not sent, it is tried again then
  readonly until: number; // a thread that is busy is tried until then
  retries: number; // left
}

export class Principal {
  readonly accounts: Accounts;
  readonly task: number; // 0: the account of the root
  readonly control: MemoryControl; // the top of its subtree
  guaranteed: number; // G in force; of the root's account, see Accounts.kept
  used = 0; // pages in containers
  overhead = 0; // pages of descriptors
  pinned = 0; // pages of pins, each pin for itself
  policy = 0; // its policy word as last read
  request: ReturnRequest | null = null; // pages it has been asked for
  dropped = false; // it has lost memory because it did not return what it was asked for
  softPages = 0; // pages of soft references
  swap: Container | null = null; // what it has put away; the page number is the swap id
  nextSwapId = 1; // where the search for a free one begins
  barred = NEVER_COMMITTED; // value of the commit counter while which it is not eligible

  constructor(accounts: Accounts, task: number, control: MemoryControl, guaranteed: number) {
    this.accounts = accounts;
    this.task = task;
    this.control = control;
    this.guaranteed = guaranteed;
  }

  /** A: what is counted against the guarantee. */
  get allocated(): number {
    return this.used + this.overhead;
  }

  /** E: pages it may be asked to return. */
  get extra(): number {
    return this.task === 0 ? 0 : Math.max(0, this.used - this.guaranteed);
  }

  /** Whether it holds no more than it is guaranteed. The root's account is guaranteed what nobody else is. */
  get isWithinGuarantee(): boolean {
    return this.used <= (this.task === 0 ? this.accounts.pages - this.accounts.guaranteed : this.guaranteed);
  }

  /** Pages it may keep in swap. */
  get swapQuota(): number {
    return swapQuotaOf(this.policy);
  }
}

export class Accounts {
  readonly root: Principal;
  /** N. */
  pages = 0;
  used = 0; // by all
  overhead = 0; // of all
  guaranteed = 0; // sum of G over principals
  asked = 0; // pages of requests outstanding
  ended = 0; // requests that are not outstanding any more
  readonly #principals = new Map<number, Principal>(); // by task
  readonly #now: () => number;
  readonly #descriptorsPerPage: number;
  #buffer: PolicyBuffer | null = null;
  #inForce = false;
  #grow: BufferGrowth = () => null;
  #overcommitted = false; // as the header says
  #introduced = 0; // microseconds
  #firstCommits = 0; // commit counter at the introduction

  /**
   * @param now microseconds
   * @param descriptorsPerPage frame descriptors, each with an entry, that count as one page; Infinity: they are free
   */
  constructor(now: () => number, descriptorsPerPage: number) {
    this.#now = now;
    this.#descriptorsPerPage = descriptorsPerPage;
    this.root = new MemoryControl(null, 0, (control) => new Principal(this, 0, control, 0)).principal;
  }

  get buffer(): PolicyBuffer | null {
    return this.#buffer;
  }

  /** A of all. */
  get allocated(): number {
    return this.used + this.overhead;
  }

  /** Principals in the order in which they came. */
  principals(): IterableIterator<Principal> {
    return this.#principals.values();
  }

  principalOf(task: number): Principal | null {
    return this.#principals.get(task) ?? null;
  }

  // --- Changes of what is counted ----------------------------------------------------------------------------------

  /** N grows by memory that `control` may hold, or shrinks by what it gives up. */
  receive(control: MemoryControl, pages: number): void {
    control.limit += pages;
    this.pages += pages;
    this.#grant(control.principal, pages);
    this.#buffer?.storePages(this.pages);
  }

  /** Charges `pages` more, or less, to a control. Hot: once a piece of every request. */
  charge(control: MemoryControl, pages: number): void {
    const { principal } = control;
    control.used += pages;
    principal.used += pages;
    this.used += pages;
    this.#publish(principal);
  }

  /** A control has `count` more descriptors, or fewer. They count from the next request on. Hot: once an entry. */
  describe(control: MemoryControl, count: number): void {
    control.descriptors += count;
    const pages = Math.ceil(control.descriptors / this.#descriptorsPerPage);
    const change = pages - control.overhead;
    if (change === 0) return;
    control.overhead = pages;
    control.principal.overhead += change;
    this.overhead += change;
    this.#publish(control.principal);
  }

  /** Whether `count` more descriptors start a page. */
  startsPage(control: MemoryControl, count: number): boolean {
    return Math.ceil((control.descriptors + count) / this.#descriptorsPerPage) > control.overhead;
  }

  /** Moves `pages` of limit from a control to its parent, which may belong to another principal. */
  transfer(child: MemoryControl, parent: MemoryControl, pages: number): void {
    child.limit -= pages;
    parent.limit += pages;
    if (child.principal === parent.principal) return;
    this.#grant(child.principal, -pages);
    this.#grant(parent.principal, pages);
  }

  // --- Principals --------------------------------------------------------------------------------------------------

  /** Makes sure that the policy buffer, where there is one, has a row for a task. @returns false where it cannot grow */
  ensureRow(task: number): boolean {
    const buffer = this.#buffer;
    if (task === 0 || buffer === null || buffer.holds(task)) return true;
    const capacityLog2 = Math.floor(Math.log2(task)) + 1;
    const words = capacityLog2 > MAX_CAPACITY_LOG2 ? null : this.#grow(capacityLog2);
    if (words === null) return false;
    buffer.move(words, capacityLog2);
    return true;
  }

  /**
   * The principal of a control that is split off the root with `pages`: a new one for `task`, or the root's own account
   * where no task is named or where the task has one. The buffer must have a row for it.
   */
  open(task: number, control: MemoryControl, pages: number): Principal {
    if (task === 0 || this.#principals.has(task)) return this.root;
    kassert(this.#buffer === null || this.#buffer.holds(task), 'principals: no row');
    const principal = new Principal(this, task, control, 0);
    this.#principals.set(task, principal);
    this.#grant(principal, pages);
    principal.policy = this.#buffer?.newPolicy() ?? 0;
    this.#buffer?.open(task, 0, pages, principal.policy, SERVER_LIVE);
    return principal;
  }

  /** The top control of a principal has gone, with everything in it. Its limit has returned to the root. */
  close(principal: Principal): void {
    kassert(principal.task !== 0 && principal.allocated === 0 && principal.guaranteed === 0, 'principals I1');
    if (principal.request !== null) this.endRequest(principal);
    this.#principals.delete(principal.task);
    this.#buffer?.close(principal.task);
  }

  // --- The policy server -------------------------------------------------------------------------------------------

  /** A policy server has come: the buffer, empty, is filled with what is, and its words count after the grace period. */
  introduce(buffer: PolicyBuffer, grow: BufferGrowth): void {
    kassert(this.#buffer === null, 'principals: introduced twice');
    this.#buffer = buffer;
    this.#grow = grow;
    for (const task of this.#principals.keys()) kassert(buffer.holds(task), 'principals: no row');
    this.#introduced = this.#now();
    buffer.storePages(this.pages);
    for (const principal of this.#principals.values()) {
      buffer.open(principal.task, principal.allocated, 0, POLICY_EXTRA, SERVER_LIVE);
    }
    this.#firstCommits = buffer.commits();
  }

  /** Whether guarantees are those of the policy server. What it turns from false to true puts all rows in force. */
  isInForce(): boolean {
    const buffer = this.#buffer;
    if (this.#inForce || buffer === null) return this.#inForce;
    if (buffer.commits() === this.#firstCommits && this.#now() < this.#introduced + GRACE) return false;
    this.#inForce = true;
    this.refresh();
    return true;
  }

  /** Reads the row of a principal for a decision about it, and puts in force what can be. Only while in force. */
  consult(principal: Principal): void {
    const buffer = this.#buffer;
    if (buffer === null || principal.task === 0) return;
    principal.policy = buffer.policy(principal.task);
    this.#publish(principal);
    if (this.#put(principal, buffer.guaranteed(principal.task)) && !this.#overcommitted) return;
    this.refresh(); // lower guarantees of others may make room
  }

  /** Reads all rows: what is lower first, then what is higher, as far as it goes. The overcommit bit says how it went. */
  refresh(): void {
    const buffer = this.#buffer;
    if (buffer === null || !this.#inForce) return;
    const raises: Principal[] = [];
    const wanted: number[] = [];
    for (const principal of this.#principals.values()) {
      principal.policy = buffer.policy(principal.task);
      this.#publish(principal);
      const pages = buffer.guaranteed(principal.task);
      if (pages <= principal.guaranteed) this.#put(principal, pages);
      else {
        raises.push(principal);
        wanted.push(pages);
      }
    }
    let refused = false;
    for (let i = 0; i < raises.length; i += 1) if (!this.#put(raises[i], wanted[i])) refused = true;
    this.#overcommitted = refused;
    buffer.storeOvercommit(refused);
    buffer.storePages(this.pages);
  }

  /** Whether it may hold extra pages now: the policy server says so, and it is not asked for any. */
  isEligible(principal: Principal): boolean {
    if (principal.request !== null || (principal.policy & POLICY_EXTRA) === 0) return false;
    return this.#buffer !== null && principal.barred !== this.#buffer.commits();
  }

  isMild(): boolean {
    return this.#buffer?.isMild() ?? false;
  }

  /** Takes eligibility away until the next commit. */
  bar(principal: Principal): void {
    principal.barred = this.#buffer?.commits() ?? NEVER_COMMITTED;
  }

  // --- Requests ----------------------------------------------------------------------------------------------------

  beginRequest(principal: Principal, request: ReturnRequest): void {
    kassert(principal.request === null && request.count >= 1 && request.count <= principal.extra, 'principals I3');
    principal.request = request;
    this.asked += request.count;
    this.#storeFlags(principal);
  }

  endRequest(principal: Principal): void {
    this.asked -= principal.request?.count ?? 0;
    this.ended += 1;
    principal.request = null;
    this.#storeFlags(principal);
  }

  markDropped(principal: Principal): void {
    principal.dropped = true;
    this.#storeFlags(principal);
  }

  // --- Steps -------------------------------------------------------------------------------------------------------

  /** Makes G of a principal `wanted`, the difference coming from the root. @returns false where the root has not that much */
  #put(principal: Principal, wanted: number): boolean {
    const more = wanted - principal.guaranteed;
    if (more > 0 && more > this.root.control.unused) return false;
    principal.control.limit += more;
    this.root.control.limit -= more;
    this.#grant(principal, more);
    if (principal.request !== null && principal.extra === 0) this.endRequest(principal);
    return true;
  }

  /** What the root's account keeps is what is left: it has no figure of its own. */
  #grant(principal: Principal, pages: number): void {
    if (principal.task === 0) return;
    principal.guaranteed += pages;
    this.guaranteed += pages;
  }

  #publish(principal: Principal): void {
    if (principal.task !== 0) this.#buffer?.storeAllocated(principal.task, principal.allocated);
  }

  #storeFlags(principal: Principal): void {
    const returning = principal.request === null ? 0 : SERVER_RETURNING;
    this.#buffer?.storeFlags(principal.task, SERVER_LIVE | returning | (principal.dropped ? SERVER_DROPPED : 0));
  }

  assertInvariants(): void {
    let guaranteed = 0;
    let used = 0;
    let overhead = 0;
    let asked = 0;
    for (const principal of [this.root, ...this.#principals.values()]) {
      const controls = subtreeOf(principal.control).filter((control) => control.principal === principal);
      const sum = (of: (control: MemoryControl) => number): number => controls.reduce((total, control) => total + of(control), 0);
      kassert(
        sum((control) => control.used) === principal.used && sum((control) => control.overhead) === principal.overhead,
        'principals I1',
      );
      const limits = sum((control) => control.limit);
      kassert(limits === (principal.task === 0 ? this.pages - this.guaranteed : principal.guaranteed), 'principals I2');
      kassert(principal.guaranteed >= 0 && (principal.request === null || principal.request.count >= 1), 'principals I3');
      guaranteed += principal.guaranteed;
      used += principal.used;
      overhead += principal.overhead;
      asked += principal.request?.count ?? 0;
    }
    kassert(used === this.used && overhead === this.overhead, 'principals I1');
    kassert(guaranteed === this.guaranteed && guaranteed <= this.pages, 'principals I2');
    kassert(asked === this.asked, 'principals I3');
  }
}
