/**
 * A memory policy in force, for random lives: guarantees and eligibility that change at any time, and principals that give
 * back what they are asked for before they do anything else. Those who do not are in attack.ts. A part of Twins.
 */

import { PolicyBuffer } from '../../../vkernel/physmem/core/policy-buffer.ts';
import type { Principal } from '../../../vkernel/physmem/core/principals.ts';
import { SENT } from '../../../vkernel/physmem/core/returns.ts';
import {
  HEADER_COMMITS,
  MIN_CAPACITY_LOG2,
  policyWord,
  ROW_ALLOCATED,
  ROW_GUARANTEED,
  ROW_POLICY,
  rowOf,
} from '../../../vkernel/physmem/policy-layout.ts';
import { ArrayWords } from './array-words.ts';
import { agree, type PrincipalTwin } from './outcome.ts';
import type { ControlTwin, Twins } from './twins.ts';

const LONGEST_HOLD = 3000; // microseconds, in random lives

export class PolicyTwins {
  readonly #twins: Twins;
  readonly #words = new ArrayWords();
  readonly #eligible = new Set<number>(); // tasks
  readonly #debtors = new Set<Principal>();
  #inForce = false;

  constructor(twins: Twins) {
    this.#twins = twins;
  }

  /** Where return requests go. */
  send(principal: Principal, count: number): number {
    if (count < 1 || count > principal.extra) throw new Error(`N7: asked for ${count} pages, of ${principal.extra} extra ones`);
    this.#debtors.add(principal);
    this.#twins.note('return pages', 'asked');
    return SENT;
  }

  get inForce(): boolean {
    return this.#inForce;
  }

  /** The policy server comes, leaves everybody what he has, and commits. */
  introduce(): void {
    const { accounts } = this.#twins.machine.physmem;
    accounts.introduce(new PolicyBuffer(this.#words, MIN_CAPACITY_LOG2), () => null);
    for (const principal of accounts.principals()) this.set(principal.task, principal.guaranteed, principal.task % 2 === 0);
    this.#words.store(HEADER_COMMITS, 1);
    this.#inForce = accounts.isInForce();
    agree(this.#inForce, true, 'the policy is in force');
    this.look();
  }

  /** Writes the row of a task: anything, physmem takes of it what it can. */
  set(task: number, guaranteed: number, eligible: boolean): void {
    this.#words.store(rowOf(task) + ROW_GUARANTEED, guaranteed);
    this.#words.store(rowOf(task) + ROW_POLICY, policyWord(eligible, 0));
    if (eligible) this.#eligible.add(task);
    else this.#eligible.delete(task);
  }

  /** A guarantee that may well be granted: nothing, or a part of all there is. */
  share(pick: number): number {
    const { pages } = this.#twins.machine.physmem.accounts;
    return pick % 3 === 0 ? 0 : (pick >>> 8) % Math.ceil(pages / 2);
  }

  /** Before each step: what was asked for is given back, and limits are what physmem has made of the rows. */
  look(): void {
    if (!this.#inForce) return;
    const { accounts } = this.#twins.machine.physmem;
    accounts.refresh();
    this.#sync();
    for (const principal of this.#debtors) this.#giveBack(principal);
    this.#debtors.clear();
    agree(accounts.used <= accounts.pages, true, 'no more is held than there is');
  }

  /** How many more pages may be charged to a control. */
  allowance({ ledger, principal }: ControlTwin, extra: boolean): number {
    const { physmem } = this.#twins.machine;
    const free = physmem.accounts.pages - this.#twins.controls.reduce((sum, control) => sum + control.ledger.used, 0);
    const { task } = principal.real;
    const guaranteed = task === 0 ? ledger.unused : Math.min(ledger.unused, this.#twins.guaranteed(principal) - this.#used(principal));
    const isEligible = this.#eligible.has(task) && principal.real.request === null;
    return Math.max(0, guaranteed, extra && isEligible ? free : 0);
  }

  /** N4, and sum(G) <= N: what is exported is what is charged. */
  check(): void {
    if (!this.#inForce) return;
    const { accounts } = this.#twins.machine.physmem;
    let sum = 0;
    for (const principal of accounts.principals()) {
      sum += principal.guaranteed;
      agree(this.#words.load(rowOf(principal.task) + ROW_ALLOCATED), principal.allocated, `A of task ${principal.task}`);
    }
    agree(sum <= accounts.pages, true, 'sum of G is at most N');
  }

  #sync(): void {
    for (const { real, ledger } of this.#twins.controls) ledger.limit = real.limit;
  }

  #used(principal: PrincipalTwin): number {
    return this.#twins.controls.reduce((sum, control) => sum + (control.principal === principal ? control.ledger.used : 0), 0);
  }

  /** Deallocates until the request is met; what is held ends soon. */
  #giveBack(principal: Principal): void {
    const { containers, holds, pages } = this.#twins;
    for (let round = 0; round < 2 && principal.request !== null; round += 1) {
      for (let i = 0; i < containers.length; i += 1) {
        if (containers[i].control.principal.real !== principal) continue;
        for (let page = 0; page < pages && principal.request !== null; page += 1) {
          if (this.#twins.count(i, page, 1) === 1 && holds.loose(i, page, 1) === 1) this.#twins.deallocate(i, page, 1, 0);
        }
      }
      if (principal.request !== null) holds.pass(LONGEST_HOLD);
    }
    agree(principal.request, null, 'a request that was met');
  }
}
