/**
 * The pages an instruction has had brought in: those that may not go to make room for the rest of what it needs.
 *
 *   fetch, straddling: 2 pages          an instruction that begins anew after each fault ends when all of them are
 *   access, straddling: 2 pages         there at once; which are needed is known from its faults, one after the other
 *
 * So a task with memory for that many pages always goes on, whatever else goes in what order. With less it mostly does:
 * then the oldest of these go too, and an instruction whose pages take each other's place for good is told apart by
 * their coming back (isHopeless).
 *
 * An instruction is known by its address. One thread of a task runs instructions; its servers' threads have no
 * instruction pointer (0), access a page at a time, and come between two instructions.
 * Source: the minimum number of frames, as textbooks of operating systems derive it from the instruction set.
 *
 * Invariant: I1  at most INSTRUCTION_PAGES, all different
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import type { PageCache } from './page-cache.ts';

/** Most pages that one instruction needs at the same time. */
export const INSTRUCTION_PAGES = 4;
/** This often in a row a page comes back that the same instruction had, with no other between them: it will not end. */
const RETURNS = 64;

interface Page {
  readonly cache: PageCache;
  readonly page: number; // of the store
}

export class InstructionPages {
  readonly #pages: Page[] = []; // the oldest first
  #ip = 0;
  #returns = 0;

  /** How many there are. */
  get size(): number {
    return this.#pages.length;
  }

  /** A fault of the instruction at `ip`: with another one, other pages count. */
  begin(ip: number): void {
    if (ip === 0 || ip === this.#ip) return;
    this.clear();
    this.#ip = ip;
  }

  /** A page has been brought in for the fault at `ip`. */
  note(ip: number, cache: PageCache, page: number): void {
    if (ip === 0) return;
    const at = this.#find(cache, page);
    this.#returns = at < 0 ? 0 : this.#returns + 1;
    if (at >= 0) this.#pages.splice(at, 1);
    else if (this.#pages.length === INSTRUCTION_PAGES) this.#pages.shift();
    this.#pages.push({ cache, page });
  }

  /** Whether a page is among the last `newest` of them. */
  has(cache: PageCache, page: number, newest: number): boolean {
    const at = this.#find(cache, page);
    return at >= 0 && at >= this.#pages.length - newest;
  }

  /** Whether bringing the page in once more would be in vain: there is not the memory to hold what its instruction needs. */
  isHopeless(cache: PageCache, page: number): boolean {
    return this.#returns >= RETURNS && this.#find(cache, page) >= 0;
  }

  /** The instruction has ended, or its pages went for another reason than want of memory. */
  clear(): void {
    this.#pages.length = 0;
    this.#ip = 0;
    this.#returns = 0;
  }

  #find(cache: PageCache, page: number): number {
    return this.#pages.findIndex((one) => one.page === page && one.cache === cache);
  }

  assertInvariants(): void {
    kassert(this.#pages.length <= INSTRUCTION_PAGES, 'instruction-pages I1: too many');
    this.#pages.forEach(({ cache, page }, i) => kassert(this.#find(cache, page) === i, 'instruction-pages I1: twice'));
  }
}
