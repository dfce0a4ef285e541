/**
 * Radix: which frame, or which slot of the swap device, holds page `index` of an object. A radix tree of 64-way nodes, as
 * high as the largest index needs, whose nodes come from one pool of typed arrays for all objects. Nothing is known here
 * of frames and slots beyond their number.
 *
 *   index  | .. | 11 .. 6 | 5 .. 0 |           height 1: pages 0..63, height 2: 0..4095, ... height 6: all of 2^31
 *               node ---> node ---> frame      0 anywhere means nothing there
 *
 * Invariants (assertInvariants):
 *   X1  the count of a node is the number of its slots that are not zero, and not zero itself
 *   X2  every node of the pool is free or in exactly one tree
 */

import { kassert } from '../base/assert.ts';
import type { HostFrame, ObjectPage } from '../base/units.ts';

const SLOT_BITS = 6;
const SLOTS = 64;
const SLOT_MASK = SLOTS - 1;
const MAX_HEIGHT = 6;
const FIRST_CAPACITY = 64; // nodes
const GROWTH = 1.125; // what is not used yet costs memory too

/** The nodes of all trees. Node 0 is not used: 0 means none. */
export class RadixPool {
  /** By node, 64 each: child nodes, or frames in the lowest level. */
  slots = new Int32Array(FIRST_CAPACITY * SLOTS);
  /** By node: slots in use. */
  used = new Uint8Array(FIRST_CAPACITY);
  readonly #free: number[] = [];
  #nodes = 1; // ever used, with node 0

  /** Bytes of the nodes, used or not. */
  get byteLength(): number {
    return this.slots.byteLength + this.used.byteLength;
  }

  /** Nodes that are in some tree. */
  get live(): number {
    return this.#nodes - 1 - this.#free.length;
  }

  /** An empty node. */
  allocate(): number {
    const node = this.#free.pop() ?? this.#nodes++;
    if (node >= this.used.length) this.#grow();
    return node;
  }

  /** Takes back a node without slots in use. */
  free(node: number): void {
    this.#free.push(node);
  }

  #grow(): void {
    const capacity = Math.ceil(this.used.length * GROWTH);
    const slots = new Int32Array(capacity * SLOTS);
    slots.set(this.slots);
    this.slots = slots;
    const used = new Uint8Array(capacity);
    used.set(this.used);
    this.used = used;
  }
}

/** The resident pages of one object, or those on the device. `Leaf` is a positive number below 2^31. */
export class Radix<Leaf extends number = HostFrame> {
  readonly #pool: RadixPool;
  #root = 0;
  #height = 0; // levels of nodes; 0: empty
  #size = 0;

  constructor(pool: RadixPool) {
    this.#pool = pool;
  }

  /** Pages in the tree. */
  get size(): number {
    return this.#size;
  }

  /** The frame (slot) of page `index`, or 0. Hot: allocates nothing. */
  get(index: ObjectPage): Leaf {
    let shift = (this.#height - 1) * SLOT_BITS;
    if (this.#root === 0 || index >>> shift >= SLOTS) return 0 as Leaf;
    const slots = this.#pool.slots;
    let found = this.#root;
    for (; shift >= 0 && found !== 0; shift -= SLOT_BITS) found = slots[found * SLOTS + ((index >>> shift) & SLOT_MASK)];
    return found as Leaf;
  }

  /** Enters `leaf`, which is not 0, for page `index`, which must not be there yet. */
  insert(index: ObjectPage, leaf: Leaf): void {
    const pool = this.#pool;
    while (this.#root === 0 || index >>> ((this.#height - 1) * SLOT_BITS) >= SLOTS) this.#raise(index);
    let node = this.#root;
    for (let shift = (this.#height - 1) * SLOT_BITS; shift > 0; shift -= SLOT_BITS) {
      const slot = node * SLOTS + ((index >>> shift) & SLOT_MASK);
      let child = pool.slots[slot];
      if (child === 0) {
        child = pool.allocate(); // may replace pool.slots
        pool.slots[slot] = child;
        pool.used[node]++;
      }
      node = child;
    }
    const slot = node * SLOTS + (index & SLOT_MASK);
    kassert(pool.slots[slot] === 0, 'radix: slot taken');
    pool.slots[slot] = leaf;
    pool.used[node]++;
    this.#size++;
  }

  /** Takes out page `index`, which must be there, and the nodes that become empty. */
  remove(index: ObjectPage): void {
    kassert(this.get(index) !== 0, 'radix: nothing to remove');
    this.#removeIn(this.#root, (this.#height - 1) * SLOT_BITS, index);
    this.#size--;
    if (this.#size > 0) return;
    this.#pool.free(this.#root);
    this.#root = 0;
    this.#height = 0;
  }

  /** The smallest index >= `from` that is there, or -1. */
  next(from: number): number {
    const shift = (this.#height - 1) * SLOT_BITS;
    if (this.#root === 0 || from >= SLOTS * (1 << shift)) return -1;
    return this.#nextIn(this.#root, shift, 0, from);
  }

  /** Checks this tree and returns its number of nodes, which the owner of the pool adds up for X2. */
  assertInvariants(): number {
    if (this.#root === 0) return 0;
    return this.#check(this.#root, this.#height);
  }

  /** Adds a level above the root; the first level of an empty tree is made as high as `index` needs. */
  #raise(index: ObjectPage): void {
    const pool = this.#pool;
    const node = pool.allocate();
    if (this.#root === 0) {
      this.#height = 1;
      while (this.#height < MAX_HEIGHT && index >>> ((this.#height - 1) * SLOT_BITS) >= SLOTS) this.#height++;
    } else {
      pool.slots[node * SLOTS] = this.#root;
      pool.used[node] = 1;
      this.#height++;
    }
    this.#root = node;
  }

  /** Removes `index` below `node`; returns whether the node is empty now. */
  #removeIn(node: number, shift: number, index: number): boolean {
    const pool = this.#pool;
    const slot = node * SLOTS + ((index >>> shift) & SLOT_MASK);
    if (shift > 0) {
      const child = pool.slots[slot];
      if (!this.#removeIn(child, shift - SLOT_BITS, index)) return false;
      pool.free(child);
    }
    pool.slots[slot] = 0;
    pool.used[node]--;
    return pool.used[node] === 0;
  }

  #nextIn(node: number, shift: number, base: number, from: number): number {
    const span = 1 << shift;
    const slots = this.#pool.slots;
    for (let slot = Math.max(0, Math.floor((from - base) / span)); slot < SLOTS; slot++) {
      const child = slots[node * SLOTS + slot];
      if (child === 0) continue;
      if (shift === 0) return base + slot;
      const found = this.#nextIn(child, shift - SLOT_BITS, base + slot * span, from);
      if (found >= 0) return found;
    }
    return -1;
  }

  #check(node: number, height: number): number {
    let used = 0;
    let nodes = 1;
    for (let slot = 0; slot < SLOTS; slot++) {
      const child = this.#pool.slots[node * SLOTS + slot];
      if (child === 0) continue;
      used++;
      if (height > 1) nodes += this.#check(child, height - 1);
    }
    kassert(used === this.#pool.used[node] && used > 0, 'radix X1');
    return nodes;
  }
}
