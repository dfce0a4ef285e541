/**
 * SpaceWatcher: who looks on as a vkernel manages the address spaces its harts run in: what it writes into their page
 * tables, what it tells the host, whom it runs. A space without a watcher costs one comparison for each.
 *
 * Spaces that no hart has run in have nobody to look on: the host does not know them either.
 */
import type { Access } from '../../hostkernel/base/units.ts';
import type { GuestSpace } from './guest-space.ts';

export interface SpaceWatcher {
  /** The host has a vmspace for `space`. What its table holds by now counts; every later change is told. */
  hosted(space: GuestSpace): void;
  /** The VPTE of `page` has been written, by us: the host's own marks are not told. `space.table` has it. */
  written(space: GuestSpace, page: number): void;
  /** A table of `pages` pages from `page`, which mapped nothing, is gone. */
  trimmed(space: GuestSpace, page: number, pages: number): void;
  /** The host has been told to forget `pages` pages from `page`. */
  invalidated(space: GuestSpace, page: number, pages: number): void;
  /** A hart is about to run. */
  runs(space: GuestSpace): void;
  /** The hart's access at byte `offset` of `page` was refused, by our table or because there is nothing so far up. */
  refused(space: GuestSpace, page: number, offset: number, access: Access): void;
  /** The space and its tables are gone. */
  destroyed(space: GuestSpace): void;
}
