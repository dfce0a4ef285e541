/**
 * The state of physmem, and the life of its containers and memory controls. Pure and synchronous: memory, mappings,
 * flushes and the clock are handed in, so that everything in this folder runs in a test without a machine.
 *
 *   operations   allocate.ts  deallocate.ts  release.ts  map.ts  copy.ts  copy-vector.ts  create.ts
 *   steps        access.ts (bind, break copy-on-write)  frames.ts (split, cover, flush)  reclaim.ts (where memory is had)
 *   records      frame-table.ts  entry-set.ts  container.ts  control.ts  zone.ts
 *
 * Starts, lengths and amounts are bytes, as in the interface; inside, everything is pages. An operation returns 0 or an
 * errno. One that may stop half way says in `amount` how many bytes it did from the left; one that is refused has
 * changed nothing. The messages are in ../server.ts.
 *
 * Invariants (invariants.ts checks them over the whole of it):
 *   I1  an entry's size is a power of two, its offset a multiple of the size, and it lies inside its frame
 *   I2  entries of one container are disjoint
 *   I3  the intervals of a frame's entries are nested or disjoint
 *   I4  every frame has an entry covering all of it
 *   I5  a frame without entries does not exist, and no entry without a frame and a container that has it
 *   I7  a frame with entries of two groups has granted nobody WRITE
 *   I8  bound memory is aligned to its frame's size and belongs to one frame; free + bound + fixed = received
 *   I11 a stale frame is in memory, and granted, but to nobody for writing
 *   I12 a control has used what is in its containers; the limits of all controls sum up to the memory they share out
 *   I13 pages bound <= pages charged
 *   I14 the frame of a pinned page is in memory, and marked
 * (I6, I9: groups are counted where they are needed and known by frame and number; I10 speaks of contents: the model
 * tests check it.)
 */

import { kassert, panic } from '../../../hostkernel/base/assert.ts';
import { type GuestFrame, PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { Container, type ContainerKind, charge } from './container.ts';
import { absorbControl, destroyControl, type MemoryControl, reapAbandoned, splitControl } from './control.ts';
import { vacate } from './deallocate.ts';
import { log2 } from './dyadic.ts';
import { FrameList } from './frame-list.ts';
import { type EntryId, FrameTable } from './frame-table.ts';
import { place, takeMemory } from './frames.ts';
import { breakHolds, Holds } from './holds.ts';
import { OwnerMap } from './owner-map.ts';
import { Accounts } from './principals.ts';
import { ABSENT, Returns, type ReturnsOptions } from './returns.ts';
import { endSharesOf, Shares, type WeakContainer } from './share.ts';
import { Swap } from './swap.ts';
import type { SwapStore } from './swap-store.ts';
import type { Compaction } from './move.ts';
import { Received } from './received.ts';
import { Zones } from './zone.ts';

export { WAIT } from './reclaim.ts';

/** Access to the contents of guest memory. Frames and lengths in pages. */
export interface FrameMemory {
  zero(frame: GuestFrame, pages: number): void;
  copy(to: GuestFrame, from: GuestFrame, pages: number): void;
}

/** Takes `rights` to [frame, frame + pages), a dyadic block, away from every address space that has it from us. */
export type Flush = (frame: GuestFrame, pages: number, rights: number) => void;

export interface PhysmemOptions {
  readonly wordBits: 32 | 64;
  readonly memory: FrameMemory;
  readonly flush: Flush;
  /** Microseconds since some moment. Never runs backwards. */
  readonly now: () => number;
  /** Largest piece copied at once when copy-on-write is broken, in pages: larger frames are split first. */
  readonly copyPages: number;
  /** Frame descriptors, each with an entry, that are charged as one page. Default: they are free. */
  readonly descriptorsPerPage?: number;
  /** How pages are asked back. By default nobody can be asked. */
  readonly returns?: ReturnsOptions;
  /** Whether frames may be moved to open blocks; they may by default. */
  readonly moving?: boolean;
  /** An object has died: nobody may use it any more. */
  readonly retired: (object: Container | MemoryControl | WeakContainer) => void;
  /** Where pages that only swap entries use may be written; none by default. */
  readonly swap?: SwapStore;
  /** Pages each principal may put there where the policy server does not say; as many as there are by default. */
  readonly swapQuota?: number;
}

/** A piece of memory that already has contents: part of a module. */
export interface Block {
  readonly frame: GuestFrame;
  readonly pages: number; // power of two; `frame` is a multiple of it
}

/** Events since the start, for benches and accounts. */
export interface PhysmemCounters {
  flushes: number;
  binds: number; // frames that got memory at first use
  zeroedPages: number;
  copies: number; // frames copied to break copy-on-write
  copiedPages: number;
  splits: number;
  moves: number; // frames that got other memory, contents and all
  movedPages: number;
  maps: number; // map requests
  items: number; // map items made
  softDiscarded: number; // pages of soft references that were taken
}

export class Physmem {
  readonly accounts: Accounts;
  readonly returns: Returns;
  readonly root: MemoryControl;
  readonly table = new FrameTable();
  readonly zones = new Zones();
  readonly owners = new OwnerMap(this.table);
  /** What tasks have put away; null: there is no swap space. */
  readonly swap: Swap | null;
  readonly swapQuota: number; // pages a principal may put away where the policy server does not say
  /** Frames with contents that only soft references use. */
  readonly soft = new FrameList();
  hidden = 0; // containers of swap and of soft references
  readonly holds = new Holds();
  readonly shares = new Shares();
  readonly received = new Received();
  /** Whether frames may be moved to open blocks. */
  readonly moving: boolean;
  readonly compaction: Compaction = { start: -1, order: 0 };
  /** Where the search for memory that must be opened begins: where it last succeeded. */
  openFrom = 0;
  /** Frames and free blocks looked at to find what can be moved. */
  moveLooks = 0;
  /** Counts the times that memory of a frame went elsewhere: equal before and after means that addresses still hold. */
  relocations = 0;
  /** By id; undefined where the id is free. */
  readonly containers: (Container | undefined)[] = [undefined];
  readonly counters: PhysmemCounters = {
    flushes: 0,
    binds: 0,
    zeroedPages: 0,
    copies: 0,
    copiedPages: 0,
    splits: 0,
    moves: 0,
    movedPages: 0,
    maps: 0,
    items: 0,
    softDiscarded: 0,
  };
  /** Bytes the last allocate, provide, deallocate or copy did, from the left. */
  amount = 0;
  /** The position in its list at which the last operation on a list stopped. */
  position = 0;
  /** The id of the first page the last swapOut put away. */
  swapId = 0;
  /** What create.ts made last; null where it could not. */
  created: Container | null = null;
  /** Why the last access could not be prepared: ENOMEM, EBUSY, an errno of the swap store, or WAIT. */
  refusal = 0;
  /** Pages set aside for the operation that runs (reserve.ts); empty between operations. */
  readonly reserved: GuestFrame[] = [];
  pinnedRanges = 0; // in all containers
  boundPages = 0; // in frames that have memory
  receivedPages = 0;
  fixedPages = 0; // received, and kept out of use
  readonly memory: FrameMemory;
  readonly flushBlock: Flush;
  readonly now: () => number;
  readonly copyPages: number;
  readonly limitPages: number; // container and client addresses are below it
  readonly retired: (object: Container | MemoryControl | WeakContainer) => void;
  readonly #freeIds: number[] = [];

  constructor(options: PhysmemOptions) {
    this.memory = options.memory;
    this.flushBlock = options.flush;
    this.now = options.now;
    this.copyPages = options.copyPages;
    this.moving = options.moving ?? true;
    this.limitPages = (options.wordBits === 32 ? 2 ** 32 : 2 ** 53) / PAGE_SIZE; // 64-bit words are exact below 2^53
    this.swap = options.swap === undefined ? null : new Swap(options.swap);
    this.swapQuota = options.swapQuota ?? Number.POSITIVE_INFINITY;
    this.retired = options.retired;
    this.accounts = new Accounts(options.now, options.descriptorsPerPage ?? Number.POSITIVE_INFINITY);
    this.root = this.accounts.root.control;
    this.returns = new Returns(this, options.returns ?? { send: () => ABSENT });
  }

  /** Takes memory into the pool; the root may give it away. Page 0 is kept: nobody shall own it. */
  receive(frame: GuestFrame, pages: number): void {
    const kept = frame === 0 ? 1 : 0;
    this.receivedPages += pages;
    this.fixedPages += kept;
    this.accounts.receive(this.root, pages - kept);
    this.received.add(frame + kept, pages - kept);
    this.owners.grow(this.received.end);
    this.zones.free((frame + kept) as GuestFrame, pages - kept);
  }

  /** Containers that tasks have. */
  get userContainers(): number {
    return this.containers.length - 1 - this.#freeIds.length - this.hidden;
  }

  /** The container an entry is in. */
  containerOf(entry: EntryId): Container {
    return this.containers[this.table.container[entry]] ?? panic('physmem: an entry without container');
  }

  // --- Containers ------------------------------------------------------------------------------------------------

  /** Makes an empty container, charged to `control` if it is a task's. */
  create(control: MemoryControl, kind: ContainerKind = 'user'): Container {
    kassert(control.alive, 'physmem: container of a dead control');
    const id = this.#freeIds.pop() ?? this.containers.length;
    const container = new Container(id, kind, control, this.table);
    this.containers[id] = container;
    if (kind !== 'user') {
      this.hidden += 1;
      return container;
    }
    control.containers.add(container);
    this.accounts.describe(control, 1);
    return container;
  }

  /**
   * Makes a container of memory that has contents, received with it: page `frame - blocks[0].frame` is `frame`. The
   * control's limit grows by what it is charged, so the memory counts as guaranteed to it.
   * @returns the container, or null where a block is malformed or lies before the first
   */
  createFromMemory(control: MemoryControl, blocks: readonly Block[]): Container | null {
    const origin = blocks[0]?.frame ?? 0;
    if (blocks.some(({ frame, pages }) => frame < origin || frame === 0 || frame % pages !== 0)) return null;
    const container = this.create(control);
    for (const { frame, pages } of blocks) {
      this.receivedPages += pages;
      this.received.add(frame, pages);
      this.accounts.receive(control, pages);
      takeMemory(this, place(this, container, frame - origin, log2(pages)), frame);
      charge(container, pages);
    }
    return container;
  }

  /**
   * Removes a container with all its pages, pinned or not.
   * @param lazy who could only read may do so as long as others use the memory and nobody may write it
   */
  destroy(container: Container, lazy = false): void {
    endSharesOf(this, container);
    breakHolds(this, container, 0, this.limitPages);
    vacate(this, container, 0, this.limitPages, lazy);
    if (container.soft !== null) this.destroy(container.soft);
    container.alive = false;
    this.containers[container.id] = undefined;
    this.#freeIds.push(container.id);
    if (container.kind !== 'user') {
      if (container.kind === 'swap') container.control.principal.swap = null;
      this.hidden -= 1;
      return;
    }
    this.retired(container);
    container.control.containers.delete(container);
    this.accounts.describe(container.control, -1 - container.described);
    this.returns.settle();
    reapAbandoned(this, container.control);
  }

  // --- Memory controls -------------------------------------------------------------------------------------------

  splitControl(control: MemoryControl, pages: number, task = 0): MemoryControl | null {
    return splitControl(this, control, pages, task);
  }

  absorbControl(child: MemoryControl, pages: number): number {
    return absorbControl(this, child, pages);
  }

  destroyControl(control: MemoryControl): number {
    return destroyControl(this, control);
  }
}
