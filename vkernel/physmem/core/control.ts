/**
 * Memory controls: who may hold how many pages. A tree under the master control.
 *
 *   root 900 ---- A 90 ---- B 10            limits after: split 100 from the root, then 10 from A
 *                  |
 *                  containers, each charged to the control it was made from
 *
 * Charges count pages present in containers, not physical pages: a page seen through two containers is charged twice.
 * A principal is a control directly below the root, with its descendants.
 * Not here: destroying a control, which destroys containers (physmem.ts).
 *
 * Invariants:
 *   I1  0 <= used <= limit
 *   I2  used is the number of pages in the control's containers
 *   I3  parent and children name each other; the sum of all limits changes only when memory is received
 */

import type { Container } from './container.ts';

export class MemoryControl {
  readonly parent: MemoryControl | null; // null: the root
  readonly children = new Set<MemoryControl>();
  readonly containers = new Set<Container>();
  limit: number; // pages it may itself hold
  used = 0; // pages charged to it
  alive = true;

  constructor(parent: MemoryControl | null, limit: number) {
    this.parent = parent;
    this.limit = limit;
  }

  /** Pages it may still charge or give away. */
  get unused(): number {
    return this.limit - this.used;
  }
}

/** Pages of a principal: guaranteed to it and held by it, over the whole subtree of `control`. */
export interface PrincipalAccount {
  readonly guaranteed: number;
  readonly allocated: number;
  readonly extra: number; // held beyond the guarantee
}

/** The account of the principal `control` belongs to. The root counts for itself, without the principals below it. */
export function principalAccount(control: MemoryControl): PrincipalAccount {
  if (control.parent === null) return account(control.limit, control.used);
  let principal = control;
  while (principal.parent !== null && principal.parent.parent !== null) principal = principal.parent;
  return account(
    sumOf(principal, (each) => each.limit),
    sumOf(principal, (each) => each.used),
  );
}

function account(guaranteed: number, allocated: number): PrincipalAccount {
  return { guaranteed, allocated, extra: Math.max(0, allocated - guaranteed) };
}

/** A control and all its descendants, parents first. No recursion: whoever may split may make a chain of any length. */
export function subtreeOf(control: MemoryControl): MemoryControl[] {
  const found = [control];
  for (let i = 0; i < found.length; i += 1) for (const child of found[i].children) found.push(child);
  return found;
}

/** Sum of a number over a control and all its descendants. */
export function sumOf(control: MemoryControl, of: (control: MemoryControl) => number): number {
  return subtreeOf(control).reduce((sum, each) => sum + of(each), 0);
}
