/**
 * The contracts of the principals with the policy server: what each is guaranteed now, what it will be, and until when.
 *
 *   negotiate --divide--> target == in force     done
 *                         target >  in force     raised as far as the sum allows; the rest when others have come down
 *                         target <  in force     the task is told; it has `reductionTime` to write out; then lowered
 *   expiry -------------> in force = floor       at once: it was known from the beginning
 *
 * Pure: a time goes in, the numbers come out. The server writes what is in force into the policy buffer, lowering
 * before it raises, and tells the tasks.
 * Source: hurd-l4 design document, medium-term contracts with the memory policy server.
 *
 * Invariants (assertInvariants; the model test calls it after every operation):
 *   I1  what is in force sums up to no more than the pages to be divided, as long as these do not shrink
 *   I2  the targets sum up to no more than these pages
 *   I3  a contract is due exactly when its target is lower than what is in force
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { ENOMEM } from '../../hostkernel/base/errno.ts';
import type { Claim, MemoryPolicy } from './division.ts';

export interface ContractTerms {
  readonly task: number;
  readonly wanted: number; // pages
  readonly extra: boolean; // whether it wants pages beyond its guarantee
  readonly term: number; //   microseconds; 0: as long as there is
}

/** How a task stands among others. Who starts it says so. */
export interface Standing {
  readonly user: number;
  readonly priority: number;
  readonly weight: number;
}

export interface Contract extends Claim {
  readonly task: number;
  wanted: number;
  inForce: number;
  user: number;
  priority: number;
  weight: number;
  target: number; //  pages it will be guaranteed
  due: number; //     time at which it is lowered to the target; Infinity: it is not
  expires: number; // time; Infinity: never
  extra: boolean;
}

export interface ContractOptions {
  readonly policy: MemoryPolicy;
  /** Microseconds between the notice of a reduction and the reduction: enough to write pages out. */
  readonly reductionTime: number;
  /** Longest term of a contract, microseconds. */
  readonly longestTerm: number;
  /** Pages an expired contract still guarantees. */
  readonly floor: number;
}

const NEVER = Number.POSITIVE_INFINITY;
const USUAL: Standing = { user: 0, priority: 0, weight: 1 };

export class Contracts {
  readonly #options: ContractOptions;
  readonly #contracts = new Map<number, Contract>(); // by task, oldest first
  readonly #standings = new Map<number, Standing>(); // by task

  constructor(options: ContractOptions) {
    this.#options = options;
  }

  get(task: number): Contract | null {
    return this.#contracts.get(task) ?? null;
  }

  all(): IterableIterator<Contract> {
    return this.#contracts.values();
  }

  /** Earliest time at which `advance` has something to do; Infinity: never. */
  get next(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { due, expires } of this.#contracts.values()) next = Math.min(next, due, expires);
    return next;
  }

  /**
   * Makes a contract, or changes the one the task has.
   * @param inForce pages the task is guaranteed without a contract; @param pages to be divided among the contracts
   * @returns the contract, or ENOMEM where the policy cannot give what is wanted: then nothing has changed
   */
  negotiate(terms: ContractTerms, inForce: number, now: number, pages: number): Contract | typeof ENOMEM {
    const { task, wanted, extra, term } = terms;
    const old = this.#contracts.get(task);
    const standing = this.#standings.get(task) ?? USUAL;
    const expires = now + Math.min(term === 0 ? Number.POSITIVE_INFINITY : term, this.#options.longestTerm);
    const contract: Contract =
      old === undefined
        ? { task, wanted, inForce, ...standing, target: inForce, due: NEVER, expires, extra }
        : { ...old, wanted, expires, extra };
    const others = [...this.#contracts.values()].filter((each) => each !== old);
    const place = old === undefined ? others.length : [...this.#contracts.keys()].indexOf(task);
    const claims = others.toSpliced(place, 0, contract);
    const share = this.#options.policy.divide(claims, pages)[place] as number;
    if (this.#options.policy.isWhole && share < wanted) return ENOMEM;
    this.#contracts.set(task, contract); // an old key keeps its place
    this.#settle(now, pages);
    return contract;
  }

  /** Says how a task stands among the others, now and in later contracts. */
  assign(task: number, standing: Standing, now: number, pages: number): void {
    this.#standings.set(task, standing);
    const contract = this.#contracts.get(task);
    if (contract === undefined) return;
    Object.assign(contract, standing);
    this.#settle(now, pages);
  }

  /** The task has gone, or somebody else has its row. */
  forget(task: number): void {
    this.#contracts.delete(task);
    this.#standings.delete(task);
  }

  /** Lowers what is due, ends what has expired, and raises what fits now. */
  advance(now: number, pages: number): void {
    for (const contract of this.#contracts.values()) {
      if (contract.due <= now) contract.inForce = contract.target;
      if (contract.expires > now) continue;
      contract.wanted = Math.min(contract.wanted, this.#options.floor);
      contract.inForce = Math.min(contract.inForce, contract.wanted);
      contract.expires = NEVER;
    }
    this.#settle(now, pages);
  }

  /** Divides the memory, notes what has to come down, and raises what may go up. */
  #settle(now: number, pages: number): void {
    const contracts = [...this.#contracts.values()];
    const shares = this.#options.policy.divide(contracts, pages);
    let room = pages;
    contracts.forEach((contract, i) => {
      const share = shares[i] as number;
      const isMore = share < contract.target; // lower than announced: the time to write out begins anew
      if (share >= contract.inForce) contract.due = NEVER;
      else if (isMore || contract.due === NEVER) contract.due = now + this.#options.reductionTime;
      contract.target = share;
      room -= contract.inForce;
    });
    for (const contract of contracts) {
      const more = Math.min(contract.target - contract.inForce, room);
      if (more <= 0) continue;
      contract.inForce += more;
      room -= more;
    }
  }

  /** @param pages those of the last call */
  assertInvariants(pages: number): void {
    let inForce = 0;
    let targets = 0;
    for (const contract of this.#contracts.values()) {
      inForce += contract.inForce;
      targets += contract.target;
      kassert((contract.due !== NEVER) === contract.target < contract.inForce, 'contracts I3');
    }
    kassert(inForce <= pages, 'contracts I1');
    kassert(targets <= pages, 'contracts I2');
  }
}
