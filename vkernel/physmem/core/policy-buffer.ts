/**
 * The policy buffer as physmem reads and writes it: rows and header as words. Where they are: ../policy-layout.ts.
 *
 *   physmem --stores w0, w3--> [ rows ] <--stores w1, w2-- policy server, at any time, anything
 *
 * The mapping is writable as a whole, so nothing physmem needs to know is kept only here: its own words are exported
 * and never read back, those of the policy server are taken one at a time, and each is good for what it says or for
 * nothing. What is made of them: principals.ts.
 *
 * Growth: whoever holds the memory takes the old buffer away from the policy server first, so that no write is lost,
 * then moves it here; the policy server faults at its next access and asks for the buffer again.
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import {
  HEADER_COMMITS,
  HEADER_MILD,
  HEADER_PAGES,
  HEADER_POLICY,
  HEADER_SERVER,
  HEADER_OVERCOMMIT,
  HEADER_SWAP_FAILING,
  headerWord,
  newPolicyWord,
  REST_COMMITS_FIRST,
  REST_COMMITS_SECOND,
  REST_ROW,
  ROW_ALLOCATED,
  ROW_GUARANTEED,
  ROW_POLICY,
  ROW_SERVER,
  ROW_WORDS,
  rowOf,
} from '../policy-layout.ts';

/** Memory as 32-bit words, by index. Each access is one access: it is never seen half done. */
export interface Words {
  load(index: number): number; // unsigned
  store(index: number, value: number): void;
}

export class PolicyBuffer {
  #words: Words;
  #capacityLog2: number;
  #epoch = 0;
  #commits = 0; // as last read whole
  #flags = 0; // HEADER_OVERCOMMIT, HEADER_SWAP_FAILING

  /** @param words all zero, of 2^capacityLog2 rows */
  constructor(words: Words, capacityLog2: number) {
    this.#words = words;
    this.#capacityLog2 = capacityLog2;
    this.#storeServer();
  }

  get capacityLog2(): number {
    return this.#capacityLog2;
  }

  /** Counts replacements. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Whether there is a row for this task. */
  holds(task: number): boolean {
    return task > 0 && task < 2 ** this.#capacityLog2;
  }

  /**
   * Moves everything to larger memory. The policy server must not see the old one any more.
   * @param words all zero, of 2^capacityLog2 rows
   */
  move(words: Words, capacityLog2: number): void {
    kassert(capacityLog2 > this.#capacityLog2, 'policy buffer: growth');
    const count = ROW_WORDS * 2 ** this.#capacityLog2;
    for (let i = 0; i < count; i += 1) words.store(i, this.#words.load(i));
    this.#words = words;
    this.#capacityLog2 = capacityLog2;
    this.#epoch = (this.#epoch + 1) % 2 ** 24;
    this.#storeServer();
  }

  // --- Words of the policy server ----------------------------------------------------------------------------------

  /** How often it has committed, as far as it is done: in the middle of a commit the count before it. */
  commits(): number {
    const rest = rowOf(REST_ROW);
    const second = this.#words.load(rest + REST_COMMITS_SECOND);
    const low = this.#words.load(HEADER_COMMITS);
    const first = this.#words.load(rest + REST_COMMITS_FIRST);
    if (first === second) this.#commits = first * 2 ** 32 + low;
    return this.#commits;
  }

  isMild(): boolean {
    return (this.#words.load(HEADER_POLICY) & HEADER_MILD) !== 0;
  }

  /** The policy word of a new row. */
  newPolicy(): number {
    return newPolicyWord(this.#words.load(HEADER_POLICY));
  }

  /** Pages it guarantees to `task`. */
  guaranteed(task: number): number {
    return this.#words.load(rowOf(task) + ROW_GUARANTEED);
  }

  /** POLICY_* and the swap quota of `task`. */
  policy(task: number): number {
    return this.#words.load(rowOf(task) + ROW_POLICY);
  }

  // --- Words of physmem --------------------------------------------------------------------------------------------

  /** Starts the row of a task: what it has been given until the policy server says otherwise, then the live bit. */
  open(task: number, allocated: number, guaranteed: number, policy: number, server: number): void {
    const row = rowOf(task);
    this.#words.store(row + ROW_ALLOCATED, word(allocated));
    this.#words.store(row + ROW_GUARANTEED, word(guaranteed));
    this.#words.store(row + ROW_POLICY, policy);
    this.#words.store(row + ROW_SERVER, server);
  }

  /** Ends the row of a task. What the policy server wrote stays until the row starts again. */
  close(task: number): void {
    const row = rowOf(task);
    this.#words.store(row + ROW_SERVER, 0);
    this.#words.store(row + ROW_ALLOCATED, 0);
  }

  storeAllocated(task: number, pages: number): void {
    this.#words.store(rowOf(task) + ROW_ALLOCATED, word(pages));
  }

  storeFlags(task: number, server: number): void {
    this.#words.store(rowOf(task) + ROW_SERVER, server);
  }

  storePages(pages: number): void {
    this.#words.store(HEADER_PAGES, word(pages));
  }

  storeOvercommit(overcommit: boolean): void {
    this.#storeFlag(HEADER_OVERCOMMIT, overcommit);
  }

  storeSwapFailing(failing: boolean): void {
    this.#storeFlag(HEADER_SWAP_FAILING, failing);
  }

  #storeFlag(flag: number, isSet: boolean): void {
    this.#flags = isSet ? this.#flags | flag : this.#flags & ~flag;
    this.#storeServer();
  }

  #storeServer(): void {
    this.#words.store(HEADER_SERVER, headerWord(this.#capacityLog2, this.#flags, this.#epoch));
  }
}

/** A count of pages as a word: the largest stands for more. */
function word(pages: number): number {
  return Math.min(2 ** 32 - 1, pages);
}
