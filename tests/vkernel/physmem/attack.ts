/**
 * Guarantees under attack. One task, the victim, is within its guarantee and wants what it was promised; the others hold
 * all memory as extra pages, and are asked to return them. Some do, some are silent, some lie. Whatever they do, the
 * victim gets each page within BOUND of virtual time, without ever seeing an error, and its pages keep their contents.
 *
 * Time passes only while the victim waits; its request is tried again as the server does: after every operation that
 * gave pages back, and when a deadline has passed.
 */

import { COPY_SHARED, EXTRA, FORCE_WRITE, LAZY, MAP_READ, MAP_WRITE, SQUASH } from '../../../vkernel/physmem/interface.ts';
import type { Container } from '../../../vkernel/physmem/core/container.ts';
import type { MemoryControl } from '../../../vkernel/physmem/core/control.ts';
import { assertInvariants } from '../../../vkernel/physmem/core/invariants.ts';
import { WAIT } from '../../../vkernel/physmem/core/physmem.ts';
import { PolicyBuffer } from '../../../vkernel/physmem/core/policy-buffer.ts';
import { ABSENT, BUSY, SENT } from '../../../vkernel/physmem/core/returns.ts';
import {
  HEADER_COMMITS,
  HEADER_MILD,
  HEADER_POLICY,
  MIN_CAPACITY_LOG2,
  policyWord,
  ROW_GUARANTEED,
  ROW_POLICY,
  rowOf,
} from '../../../vkernel/physmem/policy-layout.ts';
import type { Random } from '../../fuzz/random.ts';
import { ArrayWords } from './array-words.ts';
import { Machine, P } from './machine.ts';

const DEADLINE = 10_000; // microseconds, as in the server
/**
 * A thread that is busy is tried for one deadline, then it has one more to give the pages back. The request that ends may
 * have been sent before the victim wanted anything, and be for less: then a second one follows, for all that is missing.
 */
export const BOUND = 2 * (2 * DEADLINE + 1000);

const RW = MAP_READ | MAP_WRITE | FORCE_WRITE;
const PAGES = 64; // of a container
const VICTIM = 1;

/** How a task answers when it is asked for pages. */
const CHARACTERS = [
  'honest', // gives them back, soon
  'silent', // is not receiving
  'busy', // is always about to
  'deaf', // receives, and does nothing
  'short', // gives back one page less
  'late', // gives them back when it is too late
  'churning', // gives them back, and takes as many again
  'replacing', // gives them up, and has fresh ones in their place
  'lying', // gives back what its accomplice still has
] as const;

type Character = (typeof CHARACTERS)[number];

interface Attacker {
  readonly task: number;
  readonly character: Character;
  readonly control: MemoryControl;
  readonly containers: Container[];
  owes: number; // pages it was asked for and has not given
  asked: number; // when
}

export interface Attacked {
  /** Longest time the victim waited for one operation, in microseconds. */
  longest: number;
  /** From its first operation to its last page. */
  total: number;
  waits: number;
  punishments: number;
}

class Siege {
  readonly machine: Machine;
  readonly random: Random;
  readonly words = new ArrayWords();
  readonly attackers: Attacker[] = [];
  readonly victim: Container;
  readonly promised: number;
  readonly result: Attacked = { longest: 0, total: 0, waits: 0, punishments: 0 };
  readonly #written = new Map<number, number>(); // pages of the victim

  constructor(random: Random) {
    this.random = random;
    const pages = random.between(24, 128);
    this.machine = new Machine({
      memory: [[1, pages]],
      copyPages: random.pick([1, 4, 1024]),
      descriptorsPerPage: random.oneIn(3) ? 64 : Number.POSITIVE_INFINITY,
      returns: { send: (principal, count) => this.#receive(principal.task, count), deadline: DEADLINE },
    });
    const { physmem } = this.machine;
    const count = random.between(1, 5);
    const slack = 2 * (count + 1); // what is kept for descriptors
    this.promised = random.between(4, Math.floor(pages / 2));
    const control = this.#principal(VICTIM, this.promised + slack);
    for (let i = 0; i < count; i += 1) {
      const guarantee = random.oneIn(2) ? 0 : random.below(Math.max(1, Math.floor((pages - this.promised - slack) / (count + 1))));
      this.attackers.push({
        task: 2 + i,
        character: random.pick(CHARACTERS),
        control: this.#principal(2 + i, guarantee),
        containers: [],
        owes: 0,
        asked: 0,
      });
    }
    physmem.accounts.introduce(new PolicyBuffer(this.words, MIN_CAPACITY_LOG2), () => null);
    for (const principal of physmem.accounts.principals()) {
      const task = principal.task;
      this.words.store(rowOf(task) + ROW_GUARANTEED, principal.guaranteed);
      this.words.store(rowOf(task) + ROW_POLICY, policyWord(true, 64));
    }
    if (random.oneIn(4)) this.words.store(HEADER_POLICY, HEADER_MILD);
    this.words.store(HEADER_COMMITS, 1);
    this.victim = this.machine.create(control);
    for (const attacker of this.attackers) {
      for (let i = random.between(1, 3); i > 0; i -= 1) attacker.containers.push(this.machine.create(attacker.control));
    }
  }

  /** The attackers take everything; then the victim wants its pages. */
  run(): Attacked {
    for (let i = this.random.between(20, 120); i > 0; i -= 1) this.#attack(this.random.pick(this.attackers), true);
    const began = this.machine.time;
    for (let page = 0; page < this.promised; ) {
      const pages = Math.min(this.promised - page, this.random.pick([1, 1, 2, 3, 4, 8, 16]));
      this.#insist('allocate', () => this.machine.allocate(this.victim, page, pages));
      if (this.random.oneIn(2)) for (let i = page; i < page + pages; i += 1) this.#write(i);
      page += pages;
      if (this.random.oneIn(3)) this.#attack(this.random.pick(this.attackers), true);
    }
    for (let page = 0; page < this.promised; page += 1) this.#write(page);
    for (const [page, value] of this.#written) {
      const found = this.machine.read(this.victim, page);
      if (found !== value) throw new Error(`page ${page} of the victim holds ${found}, it wrote ${value}`);
    }
    this.result.total = this.machine.time - began;
    this.#check();
    this.result.punishments = this.machine.physmem.returns.counters.punishments;
    return this.result;
  }

  #principal(task: number, pages: number): MemoryControl {
    const control = this.machine.physmem.splitControl(this.machine.physmem.root, pages, task);
    if (control === null) throw new Error(`no ${pages} pages for task ${task}`);
    return control;
  }

  #write(page: number): void {
    const value = 1000 + page;
    this.#insist(`write page ${page}`, () => this.machine.write(this.victim, page, value));
    this.#written.set(page, value);
  }

  /** Tries until it is done, while time passes and the attackers do what they like. */
  #insist(what: string, attempt: () => number): void {
    const since = this.machine.time;
    for (let result = attempt(); result !== 0; result = attempt()) {
      if (result !== WAIT) throw new Error(`${what}: errno ${result} for a task within its guarantee`);
      this.result.waits += 1;
      const { returns } = this.machine.physmem;
      const given = this.#attackersTurn();
      const later = this.machine.time + this.random.between(1, 4000);
      if (!given) this.machine.time = returns.nextDue > this.machine.time ? Math.min(returns.nextDue, later) : later;
      returns.poll();
      const waited = this.machine.time - since;
      if (waited > BOUND) throw new Error(`${what}: not there after ${waited} microseconds`);
      this.result.longest = Math.max(this.result.longest, waited);
    }
  }

  /** @returns whether pages were given back */
  #attackersTurn(): boolean {
    const before = this.machine.physmem.accounts.used;
    const attacker = this.random.pick(this.attackers);
    if (attacker.owes > 0) this.#answer(attacker);
    else if (this.random.oneIn(3)) this.#attack(attacker, false);
    return this.machine.physmem.accounts.used < before;
  }

  #receive(task: number, count: number): number {
    const attacker = this.attackers.find((each) => each.task === task);
    if (attacker === undefined) throw new Error(`task ${task} is asked for ${count} pages`);
    const { extra } = attacker.control.principal;
    if (count < 1 || count > extra) throw new Error(`N7: asked for ${count} pages, of ${extra} extra ones`);
    if (attacker.character === 'silent') return ABSENT;
    if (attacker.character === 'busy') return BUSY;
    attacker.owes = count;
    attacker.asked = this.machine.time;
    return SENT;
  }

  /** An attacker does, or does not do, what it was asked for. */
  #answer(attacker: Attacker): void {
    const { character, owes } = attacker;
    if (character === 'deaf' || (character === 'late' && this.machine.time < attacker.asked + DEADLINE)) return;
    attacker.owes = 0;
    if (character === 'replacing') {
      for (const container of attacker.containers) this.#replace(container);
      return;
    }
    this.#giveBack(attacker, character === 'short' ? owes - 1 : owes);
    if (character === 'churning') this.#take(attacker, owes);
  }

  #replace(container: Container): void {
    for (const entry of container.entries.toArray()) {
      const { start, log2 } = this.machine.physmem.table;
      this.machine.allocate(container, start[entry], 2 ** log2[entry], SQUASH | EXTRA);
    }
  }

  #giveBack(attacker: Attacker, count: number): void {
    let left = count;
    for (const container of attacker.containers) {
      for (let page = 0; page < PAGES && left > 0; page += 1) {
        this.machine.deallocate(container, page, 1, this.random.oneIn(2) ? LAZY : 0);
        left -= this.machine.physmem.amount / P;
      }
    }
  }

  #take(attacker: Attacker, count: number): void {
    const container = this.random.pick(attacker.containers);
    const page = this.random.below(PAGES - count > 0 ? PAGES - count : 1);
    this.machine.allocate(container, page, Math.min(count, PAGES - page), EXTRA);
    this.machine.map(container, RW, page, Math.min(count, PAGES - page));
  }

  /** Something greedy. */
  #attack(attacker: Attacker, isFilling: boolean): void {
    const { random, machine } = this;
    const mine = random.pick(attacker.containers);
    const other = random.pick(random.pick(this.attackers).containers); // they work together
    const page = random.below(PAGES - 16);
    const count = random.between(1, 16);
    switch (random.below(isFilling ? 6 : 8)) {
      case 0:
      case 1:
        return this.#take(attacker, count);
      case 2:
        machine.copy(mine, page, other, random.below(PAGES - 16), count, EXTRA);
        return;
      case 3:
        machine.copy(mine, page, other, random.below(PAGES - 16), count, EXTRA | COPY_SHARED);
        return;
      case 4:
        for (let i = 0; i < count; i += 1) machine.map(mine, RW, page + i);
        return;
      case 5:
        machine.map(mine, MAP_READ, page, count);
        return;
      case 6:
        machine.deallocate(mine, page, count, LAZY);
        return;
      default:
        machine.deallocate(mine, page, count);
    }
  }

  #check(): void {
    assertInvariants(this.machine.physmem);
    this.machine.audit.run();
  }
}

/** One siege. Throws where the victim does not get what it was promised. */
export function attack(random: Random): Attacked {
  return new Siege(random).run();
}
