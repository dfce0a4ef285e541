/**
 * The interface of physmem, the physical memory server: labels, words and flags.
 *
 * All starts, lengths and amounts are bytes, whole pages of 4 KiB; those of memory controls, of swap ids, of the
 * policy server and of `info` are pages. Times are microseconds of virtual time. Reply labels are errnos; the amount
 * tells how far an operation came from the left. A flag that an operation does not list is refused with EINVAL, and
 * so is a start, a length or an address that is no whole page or leaves the address space: that is not said again
 * below.
 *
 *   class            who holds it                        what it is good for
 *   container        the owner, and whom he gave a copy  everything
 *   weak container   whom the owner let in by `share`    what its rights say: methods `alsoOn` it; all others EPERM
 *   control          who may be charged                  making containers, splitting
 *   policy           the memory policy server            the policy buffer
 *
 * Any container method may answer EBUSY where a pin (`pin`) or, for the owner, a lock (`lock`) forbids it.
 * Source: hurd-l4 physmem/hurd/physmem.h (130 to 135); the rest continues its numbering.
 */

import { CAPABILITY_METHODS } from '../cap/transfer.ts';
import { defineInterface } from '../cap/rpc.ts';

export * from './policy-layout.ts';

/** Classes of physmem's objects. */
export const CONTAINER = 'container';
export const WEAK_CONTAINER = 'weak container';
export const CONTROL = 'control';
export const POLICY = 'policy';

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
export const LAZY = 1 << 7; // deallocate, release: unmapping may be postponed
export const ALL_OR_NONE = 1 << 8; // allocate, copy, deallocate, provide: no partial success
export const SQUASH = 1 << 9; // allocate, copy: replace what is already there
export const EXTRA = 1 << 10; // allocate, copy, provide, recover: may exceed the guarantee
export const DMA = 1 << 11; // allocate: memory suitable for DMA
export const CONSTRAINED = 1 << 12; // allocate: two more words follow, bits the address must have and must not have
export const CONTIGUOUS = 1 << 13; // allocate: the whole request is one physical run
export const SOFT = 1 << 14; // deallocate: keep a soft reference
export const KEEP = 1 << 15; // swapIn: do not consume the swap id

// Rights of a weak container. A holder can never allocate, remove or share on, whatever he was given.
export const WEAK_MAP_READ = 1 << 0; // map for reading or executing
export const WEAK_MAP_WRITE = 1 << 1; // map for writing
export const WEAK_COPY_FROM = 1 << 2; // be the source of a logical copy, not of a shared one or a move
export const WEAK_COPY_INTO = 1 << 3; // be the destination of a copy in place
export const WEAK_LOCK = 1 << 4; // keep the owner from changing a range
export const WEAK_PIN = 1 << 5; // keep physical memory where it is
export const WEAK_RIGHTS = (1 << 6) - 1;

/** Longest a pin or a lock may last: what asks for more gets this. */
export const MAX_HOLD_US = 1_000_000;

// State bits of `containerInfo`.
export const STATE_BOUND = 1 << 0; // has memory
export const STATE_ON_DISK = 1 << 1; // its contents lie on swap space
export const STATE_COPY_ON_WRITE = 1 << 2; // somebody else is owed a copy, or we are
export const STATE_PINNED = 1 << 3;
export const STATE_LOCKED = 1 << 4;

const MAP = {
  on: CONTAINER,
  alsoOn: WEAK_CONTAINER,
  request: ['container', 'flags', 'vaddr', 'index', 'size'],
  reply: [],
  maps: true,
} as const;

export const PHYSMEM = defineInterface('physmem', {
  /**
   * Makes an empty container charged to the control. ENOMEM: no room for the handle, or for its descriptor in the
   * control.
   */
  create: { label: 130, on: CONTROL, request: ['control'], reply: ['container'] },

  /**
   * Lets another task use the container within `rights` (WEAK_*), for `duration`, or until it is revoked where that
   * is 0. `weak` is a handle for that task only, which the caller has to tell it. Nothing is charged to it. EINVAL no
   * task id, the caller's own, or no rights; ENOMEM no room for the handle in that task's table.
   */
  share: { label: 131, on: CONTAINER, refuses: WEAK_CONTAINER, request: ['container', 'task', 'rights', 'duration'], reply: ['weak'] },

  /**
   * Puts fresh zero pages at [start, start + size). Flags: ALL_OR_NONE, SQUASH, EXTRA; and which memory it is to be: DMA
   * below 16 MiB; CONSTRAINED where the address of each piece has all bits of mustSet and none of mustClear; CONTIGUOUS
   * one physical run, all of it or nothing, which gets its memory at once. Pages keep what they want until they are
   * removed; they have it whenever they are pinned.
   * EINVAL empty range, or memory that this machine has not got; EEXIST occupied; ENOMEM beyond the control's limit, or no
   * memory for a run; EBUSY with SQUASH, a page to be replaced is pinned or locked; the memory for a run is pinned.
   */
  allocate: {
    label: 132,
    on: CONTAINER,
    refuses: WEAK_CONTAINER,
    request: ['container', 'flags', 'start', 'size'],
    optional: ['mustSet', 'mustClear'],
    reply: ['amount'],
  },

  /**
   * Removes the pages of [start, start + size); holes are skipped, and not counted. Flags: ALL_OR_NONE, LAZY, SOFT.
   * ENOENT a hole, with ALL_OR_NONE; EBUSY a pinned page, or a locked one (then nothing from there on has changed, and
   * with ALL_OR_NONE nothing at all).
   */
  deallocate: {
    label: 133,
    on: CONTAINER,
    refuses: WEAK_CONTAINER,
    request: ['container', 'start', 'size'],
    optional: ['flags'],
    reply: ['amount'],
  },

  /** An older label of `map`, for who knows it. */
  mapOld: { ...MAP, label: 128 },

  /**
   * Maps [index, index + size) at vaddr, as far as one reply reaches: sum the items, and ask again for the rest.
   * Flags: MAP_READ, MAP_WRITE, MAP_EXECUTE, FORCE_WRITE. Look at the rights of the items: WRITE is withheld where
   * the page is shared copy-on-write and FORCE_WRITE is not given.
   * EINVAL no rights; ENOENT a page is absent (items before it are good); ENOMEM no memory to be had; EBUSY the owner
   * asks for WRITE on a locked page, or the memory a page is to have is pinned; EPERM a weak right is missing.
   */
  map: { ...MAP, label: 134 },

  /**
   * Logical copy of [sourceStart, sourceStart + size) of the source container, both handles the caller's own. Flags:
   * COPY_SHARED, COPY_MOVE, COPY_IN_PLACE (one of them at most), ALL_OR_NONE, SQUASH, EXTRA. Nothing is copied until
   * one side is written. EINVAL no container of the caller's, or overlapping ranges with COPY_IN_PLACE; EBADF dead
   * destination; ENOENT first source page absent; ESRCH a later one; EEXIST destination occupied; ENOMEM beyond the
   * limit of the destination's control, or a page to be filled in place is absent; EBUSY a page to be given up,
   * replaced or filled is pinned or locked; EPERM a weak right is missing: COPY_FROM for the source, COPY_INTO for
   * the destination, and that only with COPY_IN_PLACE.
   */
  copy: {
    label: 135,
    on: CONTAINER,
    alsoOn: WEAK_CONTAINER,
    request: ['source', 'sourceStart', 'destination', 'destinationStart', 'size', 'flags'],
    reply: ['amount'],
  },

  /**
   * Gives [start, start + size) fresh zero pages in place of those there, without a copy and without a change of
   * charge. Flags: LAZY. ENOENT a hole, EBUSY a pinned or locked page: nothing has changed.
   */
  release: { label: 136, on: CONTAINER, refuses: WEAK_CONTAINER, request: ['container', 'start', 'size'], optional: ['flags'], reply: [] },

  /**
   * Keeps the pages of [start, start + size) at their physical addresses for `duration` at most, and says which: as
   * far as one reply reaches, `amount` bytes. Flags: MAP_WRITE, a device will write there: then the pages are the
   * caller's alone from now on. Pins nest; one ends by `unpin` with the same start and the amount, or by itself.
   * EINVAL empty range or no duration; ENOENT a page is absent; ENOMEM no memory to be had; EDQUOT the principal's quota
   * of pinned pages, or the container carries too many pins; EPERM no PIN right.
   */
  pin: {
    label: 137,
    on: CONTAINER,
    alsoOn: WEAK_CONTAINER,
    request: ['container', 'start', 'size', 'duration'],
    optional: ['flags'],
    reply: ['amount'],
    replyList: ['address', 'length'],
  },

  /** Ends a pin of the caller's of exactly this range. ENOENT: there is none (any more). */
  unpin: { label: 138, on: CONTAINER, alsoOn: WEAK_CONTAINER, request: ['container', 'start', 'size'], reply: [] },

  /**
   * Keeps the owner from mapping [start, start + size) writable, from changing or removing its pages, from destroying
   * the container and from revoking, for `duration` at most. For holders of a weak capability with the LOCK right.
   * EINVAL empty range or no duration; EPERM no LOCK right, or the caller is the owner; EBUSY locked by another;
   * EDQUOT the container carries too many locks.
   */
  lock: { label: 139, on: WEAK_CONTAINER, refuses: CONTAINER, request: ['weak', 'start', 'size', 'duration'], reply: [] },

  /** Ends a lock of the caller's of exactly this range. ENOENT: there is none (any more). */
  unlock: { label: 140, on: WEAK_CONTAINER, refuses: CONTAINER, request: ['weak', 'start', 'size'], reply: [] },

  /**
   * Removes a container with all its pages. The caller's handle is consumed; those of others answer ECAP_DIED.
   * EBUSY: a page is locked, or pinned.
   */
  destroy: { label: 141, on: CONTAINER, refuses: WEAK_CONTAINER, request: ['container'], reply: [] },

  /**
   * `copy` of single pages, each from and to a place of its own: scatter, gather, and both. Flags as for `copy`.
   * Stops at the first position that fails: `amount` is what was copied, `frameError` the number of that position in
   * the list. With ALL_OR_NONE nothing has changed then. Errors are those of `copy`; ENOENT for every absent source page.
   */
  copyVector: {
    label: 142,
    on: CONTAINER,
    alsoOn: WEAK_CONTAINER,
    request: ['source', 'destination', 'flags'],
    list: ['sourceStart', 'destinationStart'],
    reply: ['amount', 'frameError'],
  },

  /**
   * Create, allocate `size` bytes at 0, and share, as one: all of it or nothing. Flags of `allocate`, but CONSTRAINED.
   * Errors of the three.
   */
  createWith: {
    label: 143,
    on: CONTROL,
    request: ['control', 'size', 'flags', 'task', 'rights', 'duration'],
    reply: ['container', 'weak'],
  },

  /**
   * The same with a copy of [start, start + size) of `source` at 0. Flags: COPY_SHARED, EXTRA. Errors of create, copy
   * and share.
   */
  createFrom: {
    label: 144,
    on: CONTROL,
    request: ['control', 'source', 'start', 'size', 'flags', 'task', 'rights', 'duration'],
    reply: ['container', 'weak'],
  },

  /**
   * The same with copies of single pages of `source`, the first at 0, the next behind it. `frameError` as for
   * `copyVector`.
   */
  createGather: {
    label: 145,
    on: CONTROL,
    request: ['control', 'source', 'flags', 'task', 'rights', 'duration'],
    list: ['sourceStart'],
    reply: ['container', 'weak', 'frameError'],
  },

  /** Where all page frames are: received = fixed + free + bound. */
  info: { label: 146, on: CONTROL, request: ['control'], reply: ['received', 'fixed', 'free', 'bound', 'charged', 'containers'] },

  /**
   * Turns the soft references to [start, start + size) into pages again, contents intact. Flags: EXTRA, ALL_OR_NONE.
   * ENOEXIST a page has been reused, or was never given up softly; EEXIST there is a page; ENOMEM beyond the limit
   * (the soft references stay).
   */
  recover: {
    label: 147,
    on: CONTAINER,
    refuses: WEAK_CONTAINER,
    request: ['container', 'start', 'size'],
    optional: ['flags'],
    reply: ['amount'],
  },

  /**
   * Puts the contents of [start, start + size) away and gives the pages back fresh, as `release` does. `id` is that
   * of the first page put away; the ids of the pages behind it follow it. They are the principal's: any of its
   * containers may take them in. ENOENT a hole; EBUSY pinned or locked; EDQUOT the principal's swap quota; ENOMEM no
   * swap space.
   */
  swapOut: { label: 148, on: CONTAINER, refuses: WEAK_CONTAINER, request: ['container', 'start', 'size'], reply: ['amount', 'id'] },

  /**
   * The pages of [start, start + size), which must be there, take the contents put away under `id` and those behind it.
   * The ids are gone then, unless KEEP.
   * ENOENT unknown id, or a page is absent; EBUSY pinned or locked; ENOMEM, EIO where the contents cannot be read back.
   */
  swapIn: {
    label: 149,
    on: CONTAINER,
    refuses: WEAK_CONTAINER,
    request: ['container', 'id', 'start', 'size'],
    optional: ['flags'],
    reply: ['amount'],
  },

  /**
   * Forgets what was put away under `id` and the `pages` - 1 ids behind it. ENOENT: unknown id, of which `pages`
   * tells how many were not.
   */
  swapDrop: { label: 150, on: CONTROL, request: ['control', 'id', 'pages'], reply: ['pages'] },

  /**
   * Puts fresh zero pages at [index, index + size) and maps them at vaddr, as far as one reply reaches: allocate and
   * map in one request, for a page that is touched the first time. The amount is what was allocated. Flags: MAP_READ,
   * MAP_WRITE, MAP_EXECUTE, FORCE_WRITE, ALL_OR_NONE, EXTRA. Without ALL_OR_NONE, fewer pages than asked for are a
   * success. Errors are those of allocate, then those of map; after one nothing is allocated and nothing mapped.
   */
  provide: {
    label: 151,
    on: CONTAINER,
    refuses: WEAK_CONTAINER,
    request: ['container', 'flags', 'vaddr', 'index', 'size'],
    reply: ['amount'],
    maps: true,
  },

  /**
   * Ends the weak capabilities `task` has to the container, or with 0 everybody's, with what they pinned; what they
   * had mapped is unmapped. EBUSY: one of them holds a lock.
   */
  revoke: { label: 152, on: CONTAINER, refuses: WEAK_CONTAINER, request: ['container'], optional: ['task'], reply: [] },

  /**
   * What is at `start` or first behind it: `length` bytes from `first` on are one entry (0: nothing any more), in `state`
   * (STATE_*). `charged` is the whole container, in bytes; `rights` what a weak holder may do, WEAK_RIGHTS for others.
   */
  containerInfo: {
    label: 153,
    on: CONTAINER,
    alsoOn: WEAK_CONTAINER,
    request: ['container'],
    optional: ['start'],
    reply: ['charged', 'first', 'length', 'state', 'rights'],
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

  /**
   * The control's own numbers, then those of the principal it belongs to. In pages. `overhead` is what descriptors
   * take of the limit.
   */
  controlInfo: {
    label: 163,
    on: CONTROL,
    request: ['control'],
    reply: ['limit', 'used', 'guaranteed', 'allocated', 'extra', 'overhead', 'swapUsed', 'swapQuota', 'pinned', 'pinQuota'],
  },

  /** Where page-return requests of the control's principal go: a thread of the caller's. EINVAL: it is not. */
  controlSetUpcallThread: { label: 164, on: CONTROL, request: ['control', 'thread'], reply: [] },

  /** The policy capability, for the first who asks, and never again: EPERM. */
  getControl: { label: 170, request: [], reply: ['policy'] },

  /**
   * Maps the policy buffer, readable and writable, at vaddr: `rows` rows of four 32-bit words, row 0 the header. As
   * often as it is asked for; it must be, after a fault there. What has been committed is in force afterwards.
   * EPERM: not the policy capability; EINVAL: vaddr is no multiple of the buffer's size.
   */
  getPolicyBuffer: { label: 171, request: ['policy', 'vaddr'], reply: ['rows'], maps: true },

  /** A task has died, and its address space has gone: everything it held is released. EPERM unless the control is the root. */
  taskDied: { label: 172, on: CONTROL, request: ['control', 'task'], reply: [] },

  ...CAPABILITY_METHODS,

  /**
   * physmem answers page faults of the caller's task in [vaddr, vaddr + size) out of the container, page 0 of it at
   * vaddr, when it is a thread's pager: the last resort, so that a pager's own code and stack need no wired mapping.
   * A task has one such container; size 0 takes it away.
   */
  setDefaultContainer: {
    label: 175,
    on: CONTAINER,
    refuses: WEAK_CONTAINER,
    request: ['container', 'vaddr', 'size'],
    reply: [],
  },

  /**
   * Ends the outstanding request of another thread of the caller's task: it is answered ECANCELED, and has done
   * nothing. ESRCH: that thread has none.
   */
  cancel: { label: 179, request: ['thread'], reply: [] },
});

/**
 * What physmem sends of its own accord, one way and without waiting: to the upcall thread of a principal.
 */
export const PHYSMEM_UPCALL = defineInterface('physmem upcall', {
  /**
   * `count` pages are to be given back until `deadline`, microseconds from now. Who does not, or is not receiving,
   * loses all.
   */
  returnPages: { label: 180, request: ['count', 'deadline'], reply: [] },

  /**
   * To the upcall thread of the master control: `task` did not return what it was asked for, and has lost `pages`. Who
   * is not receiving does not hear of it.
   */
  dropped: { label: 181, request: ['task', 'pages'], reply: [] },
});
