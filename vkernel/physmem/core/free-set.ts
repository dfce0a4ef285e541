/**
 * A set of numbers below a capacity that finds its lowest member with given bits: the free blocks of one zone.
 *
 *   level 2     [ word ]                              bit c of a word: its child c is not empty
 *   level 1     [ word ] [ word ] ...                 (32 children each)
 *   level 0     [ word ] [ word ] [ word ] ...        bit c: the number 32 * word + c is in the set
 *
 *   low[l][i] = all the level 0 words below word i of level l, or-ed: which of the 32 values of the low five bits occur
 *
 * A constraint fixes some bits of a number, five of them a level, so at each level it allows a subset of the 32
 * children: one word, computed once a search. A search descends into the lowest child that is allowed and whose `low`
 * has an allowed value. Bits fixed from above (DMA, an exact address) make that one path; so do bits fixed among the
 * lowest five (up to 32 colours). Other bits may lead into subtrees in vain.
 * Cost: 1.07 bits for each number of the capacity, all levels included.
 *
 * Invariants:
 *   I1  bit c of word i at level l > 0 is set exactly where word 32 i + c of level l - 1 is not 0
 *   I2  low[l][i] is the or of the level 0 words below
 *   I3  size counts the members
 */

import { kassert } from '../../../hostkernel/base/assert.ts';

/** The 32 values of five bits that have bit 0, 1, 2, 3, 4 set, as a mask. */
const WITH_BIT = Int32Array.of(0xaaaa_aaaa, 0xcccc_cccc, 0xf0f0_f0f0, 0xff00_ff00, 0xffff_0000);
const NONE = -1;

export class FreeSet {
  size = 0;
  /** Words looked at by `lowest` since the start. */
  looks = 0;
  #words: Int32Array[] = [new Int32Array(1)];
  #low: Int32Array[] = [];
  readonly #allowed = new Int32Array(7); // by level, during a search: the children the constraint permits

  /** Makes room for the numbers below `capacity`. Members stay. */
  grow(capacity: number): void {
    const leaves = wordsFor(capacity);
    if (leaves <= this.#words[0].length) return;
    const old = this.#words[0];
    this.#words = [new Int32Array(leaves)];
    for (let words = leaves; words > 1; words = wordsFor(words)) this.#words.push(new Int32Array(wordsFor(words)));
    this.#low = this.#words.map((words, level) => (level === 0 ? words : new Int32Array(words.length)));
    this.size = 0;
    for (let i = 0; i < old.length; i += 1) {
      for (let word = old[i]; word !== 0; word &= word - 1) this.add(32 * i + lowestBit(word));
    }
  }

  has(n: number): boolean {
    const word = n >>> 5;
    return word < this.#words[0].length && (this.#words[0][word] & (1 << (n & 31))) !== 0;
  }

  /** Adds a number that is not there. Hot. */
  add(n: number): void {
    this.size += 1;
    const value = 1 << (n & 31);
    let child = n;
    for (let level = 0; level < this.#words.length; level += 1) {
      const words = this.#words[level];
      const low = this.#low[level];
      const i = child >>> 5;
      const was = words[i];
      words[i] = was | (1 << (child & 31));
      if (level > 0) {
        if (was !== 0 && (low[i] & value) !== 0) return; // then no word above changes
        low[i] |= value;
      }
      child = i;
    }
  }

  /** Takes out a number that is there. Hot. */
  remove(n: number): void {
    this.size -= 1;
    const value = 1 << (n & 31);
    const leaves = this.#words[0];
    let child = n >>> 5;
    leaves[child] &= ~value;
    let empty = leaves[child] === 0;
    for (let level = 1; level < this.#words.length; level += 1) {
      const i = child >>> 5;
      const words = this.#words[level];
      if (empty) words[i] &= ~(1 << (child & 31));
      empty = words[i] === 0;
      if (this.#valueBelow(level, i, value)) return; // then no word above changes
      this.#low[level][i] &= ~value;
      child = i;
    }
  }

  /**
   * The lowest member with all bits of `set` and none of `clear`, or -1. Hot.
   * Cost: a path from the top, with at most 32 looks a level, unless bits above the lowest five are fixed below free ones.
   */
  lowest(set: number, clear: number): number {
    const top = this.#words.length - 1;
    if ((set | clear) === 0) return this.#first();
    if (this.size === 0 || set >>> (5 * top) > 31) return NONE;
    for (let level = 0; level <= top; level += 1) this.#allowed[level] = allowedOf(set >>> (5 * level), clear >>> (5 * level));
    return this.#search(top, 0);
  }

  /** The members in ascending order. For tests and accounts: it builds an array. */
  toArray(): number[] {
    const members: number[] = [];
    const leaves = this.#words[0];
    for (let i = 0; i < leaves.length; i += 1) {
      for (let word = leaves[i]; word !== 0; word &= word - 1) members.push(32 * i + lowestBit(word));
    }
    return members;
  }

  assertInvariants(): void {
    for (let level = 1; level < this.#words.length; level += 1) {
      const children = this.#words[level - 1];
      for (let i = 0; i < this.#words[level].length; i += 1) {
        let word = 0;
        let low = 0;
        for (let child = 32 * i; child < Math.min(children.length, 32 * i + 32); child += 1) {
          if (children[child] !== 0) word |= 1 << (child & 31);
          low |= this.#low[level - 1][child];
        }
        kassert(word === this.#words[level][i], 'free-set I1');
        kassert(low === this.#low[level][i], 'free-set I2');
      }
    }
    kassert(this.toArray().length === this.size, 'free-set I3');
  }

  /** The lowest member. */
  #first(): number {
    if (this.size === 0) return NONE;
    let i = 0;
    for (let level = this.#words.length - 1; level >= 0; level -= 1) i = 32 * i + lowestBit(this.#words[level][i]);
    this.looks += this.#words.length;
    return i;
  }

  /** The lowest allowed member below word i of `level`. */
  #search(level: number, i: number): number {
    this.looks += 1;
    let word = this.#words[level][i] & this.#allowed[level];
    if (level === 0) return word === 0 ? NONE : 32 * i + lowestBit(word);
    const low = this.#low[level - 1];
    const values = this.#allowed[0];
    for (; word !== 0; word &= word - 1) {
      const child = 32 * i + lowestBit(word);
      if ((low[child] & values) === 0) {
        this.looks += 1;
        continue;
      }
      const found = this.#search(level - 1, child);
      if (found !== NONE) return found;
    }
    return NONE;
  }

  /** Whether a child of word i at `level` still has `value` among its low bits. */
  #valueBelow(level: number, i: number, value: number): boolean {
    const low = this.#low[level - 1];
    for (let word = this.#words[level][i]; word !== 0; word &= word - 1) {
      if ((low[32 * i + lowestBit(word)] & value) !== 0) return true;
    }
    return false;
  }
}

/** Which of the 32 values of five bits have all of `set` and none of `clear`, whose low five bits count. */
function allowedOf(set: number, clear: number): number {
  let allowed = -1;
  for (let bit = 0; bit < 5; bit += 1) {
    if ((set & (1 << bit)) !== 0) allowed &= WITH_BIT[bit];
    else if ((clear & (1 << bit)) !== 0) allowed &= ~WITH_BIT[bit];
  }
  return allowed;
}

function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}

function wordsFor(bits: number): number {
  return Math.ceil(bits / 32);
}
