/**
 * The interface of physmem, the physical memory server: labels, words and flags.
 *
 * All starts, lengths and amounts are bytes, whole pages of 4 KiB; those of memory controls, of `info` and of
 * `controlInfo` are pages. Reply labels are errnos; the amount tells how far an operation came from the left.
 * Source: hurd-l4 physmem/hurd/physmem.h (130 to 135); the rest continues its numbering.
 */

import { defineInterface } from '../cap/rpc.ts';

export * from './policy-layout.ts';

/** Classes of physmem's objects. */
export const CONTAINER = 'container';
export const CONTROL = 'control';

// Rights of a mapping: the values L4 uses in fpages.
export const MAP_EXECUTE = 1;
export const MAP_WRITE = 2;
export const MAP_READ = 4;
export const MAP_RIGHTS = 7;

// Flags of the operations. A flag an operation does not list is refused with EINVAL.
export const COPY_SHARED = 1 << 3; // copy: the pages are shared, not copied on write
export const COPY_MOVE = 1 << 4; // copy: give up the source
export const COPY_IN_PLACE = 1 << 5; // copy: destination pages exist and receive the contents
export const FORCE_WRITE = 1 << 6; // map, provide: copy now what is shared copy-on-write, so that WRITE can be granted
export const LAZY = 1 << 7; // deallocate: unmapping may be postponed
export const ALL_OR_NONE = 1 << 8; // allocate, copy, deallocate, provide: no partial success
export const SQUASH = 1 << 9; // allocate, copy: replace what is already there
export const EXTRA = 1 << 10; // allocate, copy: may exceed the guarantee
export const DMA = 1 << 11; // allocate: memory suitable for DMA
export const CONSTRAINED = 1 << 12; // allocate: two more words follow, bits the address must have and must not have
export const CONTIGUOUS = 1 << 13; // allocate: the whole request is one physical run
export const SOFT = 1 << 14; // deallocate: keep a soft reference

export const PHYSMEM = defineInterface('physmem', {
  /** Makes an empty container charged to the control. ENOMEM: no room for the handle. */
  create: { label: 130, on: CONTROL, request: ['control'], reply: ['container'] },

  /**
   * Puts fresh zero pages at [start, start + size). Flags: ALL_OR_NONE, SQUASH, EXTRA.
   * EINVAL alignment, empty or wrapping range; EEXIST occupied; ENOMEM beyond the control's limit.
   */
  allocate: {
    label: 132,
    on: CONTAINER,
    request: ['container', 'flags', 'start', 'size'],
    optional: ['mustSet', 'mustClear'],
    reply: ['amount'],
  },

  /**
   * Removes the pages of [start, start + size); holes are skipped. Flags: ALL_OR_NONE, LAZY.
   * EINVAL alignment; ENOENT a hole, with ALL_OR_NONE (then nothing has changed).
   */
  deallocate: { label: 133, on: CONTAINER, request: ['container', 'start', 'size'], optional: ['flags'], reply: ['amount'] },

  /**
   * Maps [index, index + size) at vaddr, as far as one reply reaches: sum the items, and ask again for the rest.
   * Flags: MAP_READ, MAP_WRITE, MAP_EXECUTE, FORCE_WRITE. Look at the rights of the items: WRITE is withheld where
   * the page is shared copy-on-write and FORCE_WRITE is not given.
   * EINVAL alignment, no rights; ENOENT a page is absent (items before it are good); ENOMEM no memory to be had.
   */
  map: { label: 134, on: CONTAINER, request: ['container', 'flags', 'vaddr', 'index', 'size'], reply: [], maps: true },

  /**
   * Logical copy of [sourceStart, sourceStart + size) of the source container, both handles the caller's own.
   * Flags: COPY_SHARED, ALL_OR_NONE, SQUASH, EXTRA. Nothing is copied until one side is written.
   * EINVAL alignment, or no container of the caller's; EBADF dead destination; ENOENT first source page absent;
   * ESRCH a later one; EEXIST destination occupied; ENOMEM beyond the limit of the destination's control.
   */
  copy: {
    label: 135,
    on: CONTAINER,
    request: ['source', 'sourceStart', 'destination', 'destinationStart', 'size', 'flags'],
    reply: ['amount'],
  },

  /** Removes a container with all its pages. The caller's handle is consumed; those of others answer ECAP_DIED. */
  destroy: { label: 141, on: CONTAINER, request: ['container'], reply: [] },

  /** Where all page frames are: received = fixed + free + bound. */
  info: { label: 146, on: CONTROL, request: ['control'], reply: ['received', 'fixed', 'free', 'bound', 'charged', 'containers'] },

  /**
   * Puts fresh zero pages at [index, index + size) and maps them at vaddr, as far as one reply reaches: allocate and
   * map in one request, for a page that is touched the first time. The amount is what was allocated.
   * Flags: MAP_READ, MAP_WRITE, MAP_EXECUTE, FORCE_WRITE, ALL_OR_NONE. Without the last, fewer pages than asked for
   * are a success. Errors are those of allocate, then those of map; after one nothing is allocated and nothing mapped.
   */
  provide: {
    label: 151,
    on: CONTAINER,
    request: ['container', 'flags', 'vaddr', 'index', 'size'],
    reply: ['amount'],
    maps: true,
  },

  /**
   * Moves `pages` of the control's unused limit to a new child. With `task` that task gets a capability to the child
   * too: `granted` is the handle it may use, which the caller has to tell it.
   * ENOMEM: the control has not that many. EINVAL: no task id.
   */
  controlSplit: { label: 160, on: CONTROL, request: ['control', 'pages'], optional: ['task'], reply: ['child', 'granted'] },

  /** Takes back `pages` of unused limit from a child. ENOMEM: the child uses them. EPERM: the root has no parent. */
  controlAbsorb: { label: 161, on: CONTROL, request: ['child', 'pages'], reply: [] },

  /** Destroys a control, its descendants and all their containers; the limit returns to the parent. EPERM: the root. */
  controlDestroy: { label: 162, on: CONTROL, request: ['control'], reply: [] },

  /** The control's own numbers, then those of the principal it belongs to. In pages. */
  controlInfo: { label: 163, on: CONTROL, request: ['control'], reply: ['limit', 'used', 'guaranteed', 'allocated', 'extra'] },

  /** A task has died: everything it held is released. EPERM unless the control is the root. */
  taskDied: { label: 172, on: CONTROL, request: ['control', 'task'], reply: [] },
});
