/** A machine with principals and a policy buffer: the test is the policy server, and every task's upcall thread. */

import type { Container } from '../../../vkernel/physmem/core/container.ts';
import { assertInvariants } from '../../../vkernel/physmem/core/invariants.ts';
import { PolicyBuffer, type Words } from '../../../vkernel/physmem/core/policy-buffer.ts';
import type { Principal } from '../../../vkernel/physmem/core/principals.ts';
import { type ReturnsOptions, SENT } from '../../../vkernel/physmem/core/returns.ts';
import {
  HEADER_COMMITS,
  HEADER_OVERCOMMIT,
  HEADER_SERVER,
  MIN_CAPACITY_LOG2,
  policyWord,
  ROW_GUARANTEED,
  ROW_POLICY,
  ROW_WORDS,
  rowOf,
} from '../../../vkernel/physmem/policy-layout.ts';
import { Machine, type MachineOptions } from './machine.ts';

/** Rows in plain memory. */
export class ArrayWords implements Words {
  readonly words: Uint32Array;

  constructor(capacityLog2 = MIN_CAPACITY_LOG2) {
    this.words = new Uint32Array(ROW_WORDS * 2 ** capacityLog2);
  }

  load(index: number): number {
    return this.words[index];
  }

  store(index: number, value: number): void {
    this.words[index] = value;
  }
}

export interface Asked {
  readonly task: number;
  readonly count: number;
  readonly at: number; // microseconds
}

export class PolicyRig {
  readonly machine: Machine;
  words = new ArrayWords();
  readonly asked: Asked[] = [];
  readonly punished: { readonly task: number; readonly pages: number }[] = [];
  /** What becomes of a request to a task: SENT where nothing is said. */
  readonly answers = new Map<number, number>();

  constructor(pages: number, options: Partial<MachineOptions> & { readonly times?: Partial<ReturnsOptions> } = {}) {
    const { times, ...rest } = options;
    this.machine = new Machine({
      memory: [[1, pages]],
      ...rest,
      returns: {
        ...times,
        send: (principal, count) => this.#receive(principal, count),
        punished: ({ task }, taken) => this.punished.push({ task, pages: taken }),
      },
    });
  }

  get accounts() {
    return this.machine.physmem.accounts;
  }

  /** A container of a new principal. */
  principal(task: number, pages = 0): Container {
    const control = this.machine.physmem.splitControl(this.machine.physmem.root, pages, task);
    if (control === null) throw new Error(`no ${pages} pages for task ${task}`);
    return this.machine.create(control);
  }

  /** The policy server comes. @param grow gives larger memory */
  introduce(grow: (capacityLog2: number) => ArrayWords | null = () => null): void {
    this.accounts.introduce(new PolicyBuffer(this.words, MIN_CAPACITY_LOG2), (capacityLog2) => {
      const larger = grow(capacityLog2);
      if (larger !== null) this.words = larger;
      return larger;
    });
  }

  /** The policy server writes what it guarantees to a task, and whether it may hold extra pages. */
  guarantee(task: number, pages: number, extra = true): void {
    this.words.store(rowOf(task) + ROW_POLICY, policyWord(extra, 0));
    this.words.store(rowOf(task) + ROW_GUARANTEED, pages);
  }

  commit(): void {
    this.words.store(HEADER_COMMITS, this.words.load(HEADER_COMMITS) + 1);
  }

  /** w0 to w3 of a task's row. */
  row(task: number): number[] {
    return [...this.words.words.subarray(rowOf(task), rowOf(task) + ROW_WORDS)];
  }

  get overcommit(): boolean {
    return (this.words.load(HEADER_SERVER) & HEADER_OVERCOMMIT) !== 0;
  }

  /** Time passes, and what is due is done. */
  pass(microseconds: number): void {
    this.machine.time += microseconds;
    this.machine.physmem.returns.poll();
  }

  /** Writes all pages [0, pages). @returns the results that were not 0 */
  fill(container: Container, pages: number): number[] {
    return Array.from({ length: pages }, (_, page) => this.machine.write(container, page, 1000 + page)).filter((error) => error !== 0);
  }

  check(): void {
    assertInvariants(this.machine.physmem);
    for (const principal of this.accounts.principals()) {
      if (this.row(principal.task)[0] !== principal.allocated) throw new Error(`N4: row ${principal.task} is not what is charged`);
    }
  }

  #receive(principal: Principal, count: number): number {
    const { task, extra, request } = principal;
    if (count < 1 || count > extra) throw new Error(`N7: task ${task} is asked for ${count} pages, of ${extra} extra ones`);
    if (request === null || request.sent) throw new Error(`N7: task ${task} is asked twice`);
    this.asked.push({ task, count, at: this.machine.time });
    return this.answers.get(task) ?? SENT;
  }
}
