/**
 * A container: a sparse name space of pages. Its contents are never directly accessible, they must be mapped.
 *
 * It belongs to one memory control, which is charged for each page in it. Not here: the operations (physmem.ts).
 */

import type { MemoryControl } from './control.ts';
import { EntrySet } from './entry-set.ts';

export class Container {
  readonly control: MemoryControl;
  readonly entries = new EntrySet();
  pages = 0; // present; what the control is charged for it
  alive = true;

  constructor(control: MemoryControl) {
    this.control = control;
  }
}

/** Charges `pages` more (or less) to a container and its control. */
export function charge(container: Container, pages: number): void {
  container.pages += pages;
  container.control.used += pages;
}
