/**
 * A container: a sparse name space of pages. Its contents are never directly accessible, they must be mapped.
 *
 * It belongs to one memory control, which is charged for each page in it. Not here: the operations (one file a family).
 */

import type { MemoryControl } from './control.ts';
import { EntrySet } from './entry-set.ts';
import type { FrameTable } from './frame-table.ts';
import type { Hold } from './holds.ts';
import type { WeakContainer } from './share.ts';

/** Who uses it: a task; the swap of a principal; or what remembers pages given up softly. Only the first is charged. */
export type ContainerKind = 'user' | 'swap' | 'soft';

/** Pages [from, to) that keep their physical memory; with `writes` a device may write there. */
export interface PinnedRange {
  readonly from: number;
  readonly to: number;
  readonly writes: boolean;
}

const NO_PINS: readonly PinnedRange[] = [];
const NO_LOCKS: readonly Hold[] = [];

export class Container {
  readonly id: number; // its place in Physmem.containers; used again when it is dead
  readonly kind: ContainerKind;
  readonly control: MemoryControl;
  readonly entries: EntrySet;
  pages = 0; // present; what the control is charged for it
  described = 0; // of its entries, those the control is charged for
  pins = NO_PINS; // replaced when they change, by setPins
  soft: Container | null = null; // soft references to pages it had, at their places
  locks = NO_LOCKS; // replaced when they change, in holds.ts
  shares: Set<WeakContainer> | null = null; // weak capabilities there are to it
  alive = true;

  constructor(id: number, kind: ContainerKind, control: MemoryControl, table: FrameTable) {
    this.id = id;
    this.kind = kind;
    this.control = control;
    this.entries = new EntrySet(table);
  }
}

/**
 * Charges `pages` more (or less) to a container and its control, and the entries it has now: those that splits of its
 * frames have made since are noticed here too. To be called after the entries were changed.
 */
export function charge(container: Container, pages: number): void {
  container.pages += pages;
  if (container.kind !== 'user') {
    if (container.kind === 'soft') container.control.principal.softPages += pages;
    return;
  }
  const { control, entries } = container;
  const { accounts } = control.principal;
  accounts.charge(control, pages);
  if (entries.size === container.described) return;
  accounts.describe(control, entries.size - container.described);
  container.described = entries.size;
}
