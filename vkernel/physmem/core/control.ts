/**
 * Memory controls: who may hold how many pages. A tree under the master control.
 *
 *   root 900 ---- A 90 ---- B 10            limits after: split 100 from the root, then 10 from A
 *                  |
 *                  containers, each charged to the control it was made from
 *
 * Charges count pages present in containers, not physical pages: a page seen through two containers is charged twice.
 * Several tasks may hold capabilities to one control; it counts them together.
 *
 * A control ends in two ways. Destroyed by a holder, it takes everything below with it: so a starter reclaims the memory
 * of what it started. Abandoned, because the last task that held it has died, it stays only as long as somebody else
 * holds a container or a child of it: such orphans keep what they have, charged as before, and with the last of them
 * the limit returns to the parent.
 *
 * Not here: what belongs to whom in the eyes of the policy server (principals.ts).
 *
 * Invariants:
 *   I1  used is the number of pages in the control's containers; used <= limit until extra pages are allowed
 *   I2  parent and children name each other; the sum of all limits changes only when memory is received
 *   I3  an abandoned control has a container or a child
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import { EPERM, ENOMEM } from '../../../hostkernel/base/errno.ts';
import { admitsDescriptor } from './admission.ts';
import type { Container } from './container.ts';
import type { Accounts, Principal } from './principals.ts';
import { isCount } from './range.ts';

export class MemoryControl {
  readonly parent: MemoryControl | null; // null: the root
  readonly principal: Principal; // whose pages these are
  readonly children = new Set<MemoryControl>();
  readonly containers = new Set<Container>();
  limit: number; // pages it may itself hold; negative where the policy server has taken more than was left
  used = 0; // pages charged to it
  descriptors = 0; // its containers, their entries, its children
  overhead = 0; // pages that those come to
  upcallThread = 0; // where requests for pages go, see upcallThreadOf
  alive = true;
  abandoned = false; // nobody holds a capability to it any more

  constructor(parent: MemoryControl | null, limit: number, principalOf: (control: MemoryControl) => Principal) {
    this.parent = parent;
    this.limit = limit;
    this.principal = principalOf(this);
  }

  /** Pages it may still charge or give away. */
  get unused(): number {
    return this.limit - this.used - this.overhead;
  }
}

/** What the tree needs of the rest of physmem. */
export interface ControlHost {
  readonly accounts: Accounts;
  /** Removes a container with all its pages. */
  destroy(container: Container): void;
  /** A control has gone: nobody may use it any more. */
  readonly retired: (control: MemoryControl) => void;
}

/**
 * Moves `pages` of unused limit to a new child. A child of the root with a `task` is a principal of its own, unless that
 * task has one; any other belongs to the principal of its parent.
 * @returns the child, or null where `control` has not that many pages, or the policy buffer no room for the task
 */
export function splitControl(host: ControlHost, control: MemoryControl, pages: number, task = 0): MemoryControl | null {
  const { accounts } = host;
  if (accounts.isInForce()) accounts.consult(control.principal);
  if (!isCount(pages) || pages > control.unused || !admitsDescriptor(accounts, control)) return null;
  const isTop = control.parent === null;
  if (isTop && (!accounts.ensureRow(task) || pages > control.unused)) return null; // a larger buffer takes its pages from the root
  control.limit -= pages;
  const child = new MemoryControl(control, pages, (top) => (isTop ? accounts.open(task, top, pages) : control.principal));
  control.children.add(child);
  accounts.describe(control, 1);
  return child;
}

/** Takes `pages` of unused limit back from a child. @returns 0, EPERM (the root) or ENOMEM (the child uses them) */
export function absorbControl(host: ControlHost, child: MemoryControl, pages: number): number {
  const { parent } = child;
  if (parent === null) return EPERM;
  if (host.accounts.isInForce()) host.accounts.consult(child.principal);
  if (!isCount(pages) || pages > child.unused) return ENOMEM;
  host.accounts.transfer(child, parent, pages);
  return 0;
}

/** Destroys a control with its descendants and all their containers. @returns 0, or EPERM for the root */
export function destroyControl(host: ControlHost, control: MemoryControl): number {
  const { parent } = control;
  if (parent === null) return EPERM;
  for (const each of subtreeOf(control).reverse()) {
    each.abandoned = false; // or it would go by itself, with its last container
    for (const container of each.containers) host.destroy(container);
    removeEmpty(host, each);
  }
  reapAbandoned(host, parent);
  return 0;
}

/** Nobody holds `control` any more. It ends with the last container or child that somebody holds. The root stays. */
export function abandonControl(host: ControlHost, control: MemoryControl): void {
  if (!control.alive || control.parent === null) return;
  control.abandoned = true;
  reapAbandoned(host, control);
}

/** Ends `control` and those above it that are abandoned and empty. To be called when a container or a child has gone. */
export function reapAbandoned(host: ControlHost, control: MemoryControl): void {
  for (let each = control; each.abandoned && each.children.size === 0 && each.containers.size === 0; ) {
    const { parent } = each;
    kassert(parent !== null, 'control I3');
    removeEmpty(host, each);
    each = parent;
  }
}

/** Takes a control without children and containers out of the tree. */
function removeEmpty(host: ControlHost, control: MemoryControl): void {
  const { parent, principal } = control;
  kassert(parent !== null && control.children.size === 0 && control.containers.size === 0, 'control I2');
  kassert(control.used === 0 && control.descriptors === 0, 'control I1');
  if (principal.control === control && principal.swap !== null) host.destroy(principal.swap);
  host.accounts.transfer(control, parent, control.limit);
  parent.children.delete(control);
  host.accounts.describe(parent, -1);
  control.alive = false;
  control.abandoned = false;
  if (principal.control === control) host.accounts.close(principal);
  host.retired(control);
}

/** Pages of a principal: guaranteed to it and held by it, over the whole subtree of `control`. */
export interface PrincipalAccount {
  readonly guaranteed: number;
  readonly allocated: number;
  readonly extra: number; // held beyond the guarantee
}

/** The account of everything below the control next to the root that `control` is under. The root counts for itself. */
export function principalAccount(control: MemoryControl): PrincipalAccount {
  if (control.parent === null) return account(control.limit, control.used, control.overhead);
  let top = control;
  while (top.parent !== null && top.parent.parent !== null) top = top.parent;
  return account(
    sumOf(top, (each) => each.limit),
    sumOf(top, (each) => each.used),
    sumOf(top, (each) => each.overhead),
  );
}

function account(guaranteed: number, used: number, overhead: number): PrincipalAccount {
  return { guaranteed, allocated: used + overhead, extra: Math.max(0, used - guaranteed) };
}

/** The thread that is asked for pages of a principal: that of its top control, or else the first found below. */
export function upcallThreadOf(principal: Principal): number {
  for (const control of subtreeOf(principal.control)) if (control.upcallThread !== 0) return control.upcallThread;
  return 0;
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
