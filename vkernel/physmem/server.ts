/**
 * physmem as a server: the bootstrap dialogue with wortel, then requests for ever.
 *
 *   wortel --map--> physmem at virtual = physical --map items in replies--> tasks
 *                      |
 *                      core (pure)  zero, copy -> the 1:1 mapping;  flush -> unmap of what was derived from it
 *
 * One thread, each request to completion or parked: no locks, and no handler ever waits for a client. Not here: the
 * requests one by one (handlers/), what they mean (core/physmem.ts), and their words (interface.ts).
 * Source: hurd-l4 physmem/physmem.c, the bootstrap of wortel/wortel.c.
 */

import { kassert } from '../../hostkernel/base/assert.ts';
import { EBUSY, ECANCELED, errnoName } from '../../hostkernel/base/errno.ts';
import type { Tracer } from '../../hostkernel/base/trace.ts';
import { type GuestFrame, PAGE_SIZE } from '../../hostkernel/base/units.ts';
import { HANDLES_32, HANDLES_64, ObjectTable } from '../cap/objects.ts';
import { ParkedRequests } from '../cap/parked.ts';
import { invoke, PARKED, serve, type Waiting } from '../cap/rpc.ts';
import {
  FPAGE_NIL,
  fpageBase,
  fpageSize,
  type L4,
  type L4Body,
  type L4Wait,
  Message,
  NIL,
  type ThreadId,
  type WordBits,
} from '../l4/user.ts';
import { WORTEL, withCapability } from '../wortel/interface.ts';
import { Compactor } from './compactor.ts';
import { Container } from './core/container.ts';
import { abandonControl, MemoryControl, upcallThreadOf } from './core/control.ts';
import { endHoldsOfTask, expireHolds, firstHeld } from './core/holds.ts';
import { type Block, Physmem, WAIT } from './core/physmem.ts';
import type { Principal } from './core/principals.ts';
import { ABSENT, BUSY, type ReturnsOptions, SENT } from './core/returns.ts';
import { endShare, expireShares, WeakContainer } from './core/share.ts';
import type { SwapStore } from './core/swap-store.ts';
import { blockFpage, frameMemory } from './frame-memory.ts';
import { containerHandlers } from './handlers/containers.ts';
import { createHandlers } from './handlers/create.ts';
import { controlHandlers } from './handlers/controls.ts';
import { frameHandlers } from './handlers/frames.ts';
import type { PhysmemHandlers, PhysmemObject } from './handlers/objects.ts';
import { faultHandler, Paging, pagingHandlers } from './handlers/paging.ts';
import { policyHandlers } from './handlers/policy.ts';
import { swapHandlers } from './handlers/swap.ts';
import { CONTAINER, CONTROL, PHYSMEM, PHYSMEM_UPCALL } from './interface.ts';

export interface PhysmemServerOptions {
  readonly wortel: ThreadId;
  readonly capability: number; // our capability id at wortel
  readonly tracer: Tracer;
  /** Makes the swap space; without it there is none. */
  readonly swap?: (l4: L4) => SwapStore;
  /** Told of the server when it begins: for a look from outside. */
  readonly started?: (physmem: Physmem) => void;
  /** Frame descriptors, each with an entry, that are charged as a page. Default 64. */
  readonly descriptorsPerPage?: number;
  /** How long a task has to return pages, and how often it is asked. */
  readonly returns?: Pick<ReturnsOptions, 'deadline' | 'retries' | 'retryAfter' | 'choose'>;
  /** Largest piece copied at once when copy-on-write is broken, in pages. */
  readonly copyPages?: number;
}

/** 64 KiB: below it a fault costs more than the copy, above it copies are made that nobody asked for. */
const COPY_PAGES = 16;
const DESCRIPTORS_PER_PAGE = 64;
/** A thread that has just returned pages is about to receive, and may be asked again before it does. */
const RETURN_RETRIES = 2;

/** The program of the physmem thread. Returns only if the bootstrap fails; then wortel has been told to shut down. */
export function physmemBody(options: PhysmemServerOptions): L4Body {
  return (l4) => {
    const server = new PhysmemServer(l4, options);
    options.started?.(server.physmem);
    return server.run();
  };
}

export class PhysmemServer {
  readonly physmem: Physmem;
  readonly objects: ObjectTable<PhysmemObject>;
  readonly handlers: PhysmemHandlers;
  readonly wordBits: WordBits;
  /** Requests that wait for memory. */
  readonly parked: ParkedRequests;
  readonly waiting: Waiting;
  readonly paging = new Paging();
  readonly #compactor: Compactor;
  readonly #l4: L4;
  readonly #tracer: Tracer;
  readonly #wortel: ThreadId;
  readonly #calls: typeof WORTEL;
  #freePages = 0; // when a parked request was last tried
  #ended = 0; //     requests for pages that had ended then
  readonly #kept: Message; // what the message registers held, while an upcall is in them
  readonly #controls = new Map<number, MemoryControl>(); // made at boot, by task id
  #isBurying = false; // a task that has died releases what it held

  constructor(l4: L4, options: PhysmemServerOptions) {
    kassert(WAIT === PARKED, 'physmem: an operation that waits parks its request');
    this.#l4 = l4;
    this.#kept = new Message(l4.wordBits);
    this.wordBits = l4.wordBits;
    this.parked = new ParkedRequests(l4.wordBits);
    this.#tracer = options.tracer;
    this.#wortel = options.wortel;
    this.#calls = withCapability(WORTEL, options.capability);
    this.objects = new ObjectTable(l4.wordBits === 32 ? HANDLES_32 : HANDLES_64, (object) => this.#unreferenced(object));
    this.physmem = new Physmem({
      wordBits: l4.wordBits,
      copyPages: options.copyPages ?? COPY_PAGES,
      memory: frameMemory(l4),
      now: () => l4.clock(),
      flush: (frame, pages, rights) => void l4.unmap(blockFpage(frame, pages, rights), false),
      retired: (object) => this.objects.revoke(object),
      descriptorsPerPage: options.descriptorsPerPage ?? DESCRIPTORS_PER_PAGE,
      returns: {
        retries: RETURN_RETRIES,
        ...options.returns,
        send: (principal, count, deadline) => this.#askReturn(principal, count, deadline),
        punished: (principal, pages) => this.#tellPunished(principal, pages),
      },
      ...(options.swap === undefined ? {} : { swap: options.swap(l4) }),
    });
    this.#compactor = new Compactor(this.physmem);
    this.waiting = {
      parked: this.parked,
      client: NIL,
      due: () => this.#due(),
      isTimed: () => this.#nextDue() !== Number.POSITIVE_INFINITY,
      worthTrying: () => this.#worthTrying(),
    };
    this.handlers = {
      ...createHandlers(this),
      ...containerHandlers(this),
      ...frameHandlers(this),
      ...controlHandlers(this),
      ...swapHandlers(this),
      ...policyHandlers(this, l4),
      ...pagingHandlers(this),
    };
  }

  /** Boots. @returns the loop to go on with; undefined if the bootstrap fails. Waits: for wortel. */
  *run(): Generator<L4Wait, Generator<L4Wait, never> | undefined> {
    const failure = yield* this.bootstrap();
    if (failure !== null) {
      yield* this.giveUp(failure);
      return undefined;
    }
    return serve(this.#l4, {
      methods: PHYSMEM,
      handlers: this.handlers,
      objects: this.objects,
      nobody: this.physmem.root,
      tracer: this.#tracer,
      waiting: this.waiting,
      fault: faultHandler(this),
    });
  }

  /** Word i of the request being served, counted from 1, as a signed number; 0 where it has not that many. */
  signedWord(i: number): number {
    const { message } = this.#l4;
    return i <= message.untyped ? message.signed(i) : 0;
  }

  /**
   * The dialogue: all free memory, then a capability a request, then the notice that we serve. wortel answers the last
   * one when everybody is up, with servers we do not call; we do not wait for it, or nobody could come up.
   * @returns null, or what went wrong, as a sentence for the boot log
   * Waits: for wortel.
   */
  *bootstrap(): Generator<L4Wait, string | null> {
    const l4 = this.#l4;
    const wortel = this.#wortel;
    const calls = this.#calls;
    for (;;) {
      const error = yield* invoke(l4, wortel, calls.getMemory);
      if (error !== 0) return `get memory: ${errnoName(error)}`;
      const blocks = blocksOf(l4.message);
      if (blocks.length === 0) break;
      for (const { frame, pages } of blocks) this.physmem.receive(frame, pages);
    }
    for (;;) {
      const error = yield* invoke(l4, wortel, calls.getCapabilityRequest);
      if (error !== 0) return `get capability request: ${errnoName(error)}`;
      const isLast = l4.message.typed === 0;
      const task = l4.message.word(1);
      const handle = this.#makeCapability(task, l4.message.word(2), l4.message);
      if (handle === 0) return `cannot make the capability for task ${task}`;
      const refused = yield* invoke(l4, wortel, calls.getCapabilityReply, handle);
      if (refused !== 0) return `capability reply for task ${task}: ${errnoName(refused)}`;
      if (isLast) break;
    }
    l4.message.begin(calls.bootstrapFinal.label);
    const error = yield* l4.send(wortel);
    return error === 0 ? null : `bootstrap final: IPC error ${error}`;
  }

  /** Prints why the bootstrap failed, and asks wortel to end it. Waits: for wortel. */
  *giveUp(failure: string): Generator<L4Wait, void> {
    this.#l4.console.write(2, new TextEncoder().encode(`physmem: ${failure}\n`));
    yield* invoke(this.#l4, this.#wortel, this.#calls.shutdown, 1);
  }

  /**
   * Everything `task` held is released; what only it held is destroyed, its pages freed. What it shared copy-on-write
   * stays mapped for the others where nobody may write it: its own mappings went with its address space, and a forked
   * child that ends would take all text from its parent.
   */
  taskDied(task: number): void {
    this.#controls.delete(task);
    this.parked.removeTask(task);
    this.paging.forget(task);
    endHoldsOfTask(this.physmem, task);
    this.#isBurying = true;
    this.objects.releaseTask(task);
    this.#isBurying = false;
  }

  /** Ends the outstanding request of a thread: it is told ECANCELED. @returns whether it had one */
  cancel(thread: ThreadId): boolean {
    if (!this.parked.remove(thread)) return false;
    this.#l4.message.begin(ECANCELED);
    this.#l4.reply(thread);
    return true;
  }

  /** Does what its time has come for. @returns microseconds until there is more; Infinity for never */
  #due(): number {
    const { physmem } = this;
    expireHolds(physmem);
    expireShares(physmem);
    physmem.returns.poll();
    this.#compactor.poll();
    const next = this.#nextDue();
    return next === Number.POSITIVE_INFINITY ? next : Math.max(0, next - physmem.now());
  }

  #nextDue(): number {
    const { holds, shares, returns } = this.physmem;
    return Math.min(holds.next, shares.next, returns.nextDue, this.#compactor.next);
  }

  /**
   * Whether pages have come free since the last time, or somebody who was asked for pages has answered or been punished:
   * then requests that wait for memory are worth another try.
   */
  #worthTrying(): boolean {
    const { zones, accounts } = this.physmem;
    const isWorth = zones.freePages > this.#freePages || accounts.ended > this.#ended;
    this.#freePages = zones.freePages;
    this.#ended = accounts.ended;
    return isWorth;
  }

  /** Asks a principal for pages. It hears of it at once or not at all. */
  #askReturn(principal: Principal, count: number, deadline: number): number {
    const thread = upcallThreadOf(principal) as ThreadId;
    if (thread === NIL) return ABSENT;
    if (thread === this.waiting.client || this.parked.has(thread)) return BUSY;
    return this.#upcall(thread, PHYSMEM_UPCALL.returnPages.label, count, deadline) ? SENT : ABSENT;
  }

  /** Says that a principal has lost pages: in the log, and to the thread that watches over the master control. */
  #tellPunished(principal: Principal, pages: number): void {
    const { task } = principal;
    this.#l4.console.write(2, new TextEncoder().encode(`physmem: task ${task} did not return pages: ${pages} dropped\n`));
    const watcher = this.physmem.root.upcallThread as ThreadId;
    if (watcher === NIL || watcher === this.waiting.client || this.parked.has(watcher)) return;
    this.#upcall(watcher, PHYSMEM_UPCALL.dropped.label, task, pages);
  }

  /** Sends two words with zero timeout; the message registers are kept. @returns whether they were received */
  #upcall(thread: ThreadId, label: number, first: number, second: number): boolean {
    const { message } = this.#l4;
    this.#kept.copyFrom(message);
    message.begin(label);
    message.append(first);
    message.append(second);
    const error = this.#l4.reply(thread);
    message.copyFrom(this.#kept);
    return error === 0;
  }

  /** Makes what a capability request asks for. @returns the handle for `task`; 0 where it cannot be made */
  #makeCapability(task: number, frames: number, message: Message): number {
    const { physmem, objects } = this;
    if (message.typed === 0) return objects.grant(task, CONTROL, physmem.root);
    const blocks = blocksOf(message);
    if (blocks.length === 0) {
      const control = physmem.splitControl(physmem.root, frames, task);
      if (control === null) return 0;
      this.#controls.set(task, control);
      return objects.grant(task, CONTROL, control);
    }
    const container = physmem.createFromMemory(this.#controls.get(task) ?? physmem.root, blocks);
    return container === null ? 0 : objects.grant(task, CONTAINER, container);
  }

  /** The last capability to an object has gone. What hangs on a control and is held by somebody else stays. */
  #unreferenced(object: PhysmemObject): void {
    if (object instanceof MemoryControl) abandonControl(this.physmem, object);
    else this.destroy(object, this.#isBurying);
  }

  /** Why a holder may not end an object now: EBUSY, a page of a container is pinned or locked; 0: he may. */
  refusalToEnd(object: PhysmemObject): number {
    const { physmem } = this;
    if (!(object instanceof Container) || !object.alive) return 0;
    return firstHeld(physmem, object, 0, physmem.limitPages) < physmem.limitPages ? EBUSY : 0;
  }

  /** The owner of an object ends it. The root stays. @param lazy as Physmem.destroy has it */
  destroy(object: PhysmemObject, lazy = false): void {
    if (!object.alive) return;
    if (object instanceof Container) this.physmem.destroy(object, lazy);
    else if (object instanceof WeakContainer) endShare(this.physmem, object);
    else if (object instanceof MemoryControl && object.parent !== null) this.physmem.destroyControl(object);
  }

  /** Ends an object at the request of a holder, whose handle is consumed. */
  end(handle: number, task: number, object: PhysmemObject): void {
    this.destroy(object);
    const entry = this.objects.lookup(handle, task);
    if (entry !== null) this.objects.release(entry, entry.references);
  }
}

/** The memory named by the map items of a message; nil items name none. */
function blocksOf(message: Message): Block[] {
  const blocks: Block[] = [];
  for (let i = 0; i < message.typed; i += 2) {
    const page = message.itemFpage(1 + message.untyped + i);
    if (page === FPAGE_NIL || fpageSize(page) < PAGE_SIZE) continue;
    blocks.push({ frame: (fpageBase(page) / PAGE_SIZE) as GuestFrame, pages: fpageSize(page) / PAGE_SIZE });
  }
  return blocks;
}
