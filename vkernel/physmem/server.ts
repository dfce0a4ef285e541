/**
 * physmem as a server: the bootstrap dialogue with wortel, then requests for ever.
 *
 *   wortel --map--> physmem at virtual = physical --map items in replies--> tasks
 *                      |
 *                      core (pure)  zero, copy -> the 1:1 mapping;  flush -> unmap of what was derived from it
 *
 * One thread, each request to completion: no locks, and no handler ever waits for a client. Not here: what the
 * requests mean (core/physmem.ts), and their words (interface.ts).
 * Source: hurd-l4 physmem/physmem.c, the bootstrap of wortel/wortel.c.
 */

import { kassert, panic } from '../../hostkernel/base/assert.ts';
import { EBADF, EINVAL, ENOMEM, EPERM, errnoName } from '../../hostkernel/base/errno.ts';
import type { Tracer } from '../../hostkernel/base/trace.ts';
import { type GuestFrame, PAGE_SHIFT, PAGE_SIZE } from '../../hostkernel/base/units.ts';
import { HANDLES_32, HANDLES_64, ObjectTable } from '../cap/objects.ts';
import { capabilityHandlers } from '../cap/transfer.ts';
import { type Call, type Handlers, invoke, serve } from '../cap/rpc.ts';
import {
  fpage,
  FPAGE_NIL,
  fpageBase,
  fpageSize,
  isVersion,
  type L4,
  type L4Body,
  type L4Wait,
  type Message,
  type ThreadId,
} from '../l4/user.ts';
import { WORTEL, withCapability } from '../wortel/interface.ts';
import { allocate } from './core/allocate.ts';
import { Container } from './core/container.ts';
import { abandonControl, MemoryControl, principalAccount, sumOf } from './core/control.ts';
import { copy } from './core/copy.ts';
import { deallocate } from './core/deallocate.ts';
import { log2 } from './core/dyadic.ts';
import { containersOf } from './core/invariants.ts';
import { map, type MapSink, provide } from './core/map.ts';
import { type Block, Physmem } from './core/physmem.ts';
import type { SwapStore } from './core/swap-store.ts';
import { CONTAINER, CONTROL, PHYSMEM } from './interface.ts';

/** What physmem hands capabilities to. */
export type PhysmemObject = Container | MemoryControl;

export interface PhysmemServerOptions {
  readonly wortel: ThreadId;
  readonly capability: number; // our capability id at wortel
  readonly tracer: Tracer;
  /** Makes the swap space; without it there is none. */
  readonly swap?: (l4: L4) => SwapStore;
  /** Largest piece copied at once when copy-on-write is broken, in pages. */
  readonly copyPages?: number;
}

/** 64 KiB: below it a fault costs more than the copy, above it copies are made that nobody asked for. */
const COPY_PAGES = 16;

/** The program of the physmem thread. Returns only if the bootstrap fails; then wortel has been told to shut down. */
export function physmemBody(options: PhysmemServerOptions): L4Body {
  return function* (l4) {
    const server = new PhysmemServer(l4, options);
    const failure = yield* server.bootstrap();
    if (failure !== null) {
      yield* server.giveUp(failure);
      return undefined;
    }
    return serve(l4, {
      methods: PHYSMEM,
      handlers: server.handlers,
      objects: server.objects,
      nobody: server.physmem.root,
      tracer: options.tracer,
    });
  };
}

/** Map items of a reply, as the core makes them. */
class ReplySink implements MapSink {
  call: Call<PhysmemObject> | null = null;

  get room(): number {
    return this.call === null ? 0 : this.call.itemRoom;
  }

  item(frame: GuestFrame, pages: number, page: number, rights: number): void {
    this.call?.mapItem(page * PAGE_SIZE, blockFpage(frame, pages, rights));
  }

  clear(): void {
    this.call?.clearItems();
  }
}

export class PhysmemServer {
  readonly physmem: Physmem;
  readonly objects: ObjectTable<PhysmemObject>;
  readonly handlers: Partial<Handlers<typeof PHYSMEM, PhysmemObject>>;
  readonly #l4: L4;
  readonly #wortel: ThreadId;
  readonly #calls: typeof WORTEL;
  readonly #controls = new Map<number, MemoryControl>(); // made at boot, by task id
  readonly #sink = new ReplySink();

  constructor(l4: L4, options: PhysmemServerOptions) {
    this.#l4 = l4;
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
      ...(options.swap === undefined ? {} : { swap: options.swap(l4) }),
    });
    this.handlers = this.#makeHandlers();
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

  /** Everything `task` held is released; what only it held is destroyed, its pages freed. */
  taskDied(task: number): void {
    this.#controls.delete(task);
    this.objects.releaseTask(task);
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
    else this.#destroy(object);
  }

  /** The owner of an object ends it. The root stays. */
  #destroy(object: PhysmemObject): void {
    if (!object.alive) return;
    if (object instanceof Container) this.physmem.destroy(object);
    else if (object.parent !== null) this.physmem.destroyControl(object);
  }

  /** Ends an object at the request of a holder, whose handle is consumed. */
  #end(handle: number, task: number, object: PhysmemObject): void {
    this.#destroy(object);
    const entry = this.objects.lookup(handle, task);
    if (entry !== null) this.objects.release(entry, entry.references);
  }

  #makeHandlers(): Partial<Handlers<typeof PHYSMEM, PhysmemObject>> {
    const { physmem, objects } = this;
    const sink = this.#sink;
    return {
      ...capabilityHandlers({ wordBits: this.#l4.wordBits, objects, mayCopy: () => true, mayEnd: () => 0 }),
      create: (call) => {
        const container = physmem.create(controlOf(call));
        const handle = objects.grant(call.task, CONTAINER, container);
        if (handle === 0) physmem.destroy(container);
        call.result(0, handle);
        return handle === 0 ? ENOMEM : 0;
      },
      allocate: (call, _container, flags, start, size) => {
        const error = allocate(physmem, containerOf(call), flags, start, size);
        call.result(0, physmem.amount);
        return error;
      },
      deallocate: (call, _container, start, size, flags) => {
        const error = deallocate(physmem, containerOf(call), start, size, flags);
        call.result(0, physmem.amount);
        return error;
      },
      map: (call, _container, flags, vaddr, index, size) => {
        sink.call = call;
        return map(physmem, containerOf(call), flags, vaddr, index, size, sink);
      },
      provide: (call, _container, flags, vaddr, index, size) => {
        sink.call = call;
        const error = provide(physmem, containerOf(call), flags, vaddr, index, size, sink);
        call.result(0, physmem.amount);
        return error;
      },
      copy: (call, _source, sourceStart, destinationHandle, destinationStart, size, flags) => {
        const entry = objects.lookup(destinationHandle, call.task);
        if (entry === null) return EINVAL;
        if (entry.dead) return EBADF;
        const destination = entry.served.value;
        if (!(destination instanceof Container)) return EINVAL;
        const error = copy(physmem, containerOf(call), sourceStart, destination, destinationStart, size, flags);
        call.result(0, physmem.amount);
        return error;
      },
      destroy: (call, handle) => {
        this.#end(handle, call.task, call.object);
        return 0;
      },
      info: (call) => {
        call.result(0, physmem.receivedPages);
        call.result(1, physmem.fixedPages);
        call.result(2, physmem.zones.freePages);
        call.result(3, physmem.boundPages);
        call.result(
          4,
          sumOf(physmem.root, (control) => control.used),
        );
        call.result(5, containersOf(physmem.root).length);
        return 0;
      },
      controlSplit: (call, _control, pages, task) => {
        if (task !== 0 && !isVersion(task, this.#l4.wordBits)) return EINVAL;
        const child = physmem.splitControl(controlOf(call), pages, task);
        if (child === null) return ENOMEM;
        const handle = objects.grant(call.task, CONTROL, child);
        const granted = task === 0 || handle === 0 ? 0 : objects.grant(task, CONTROL, child);
        if (handle === 0 || (task !== 0 && granted === 0)) {
          physmem.destroyControl(child);
          return ENOMEM;
        }
        call.result(0, handle);
        call.result(1, granted);
        return 0;
      },
      controlAbsorb: (call, _child, pages) => physmem.absorbControl(controlOf(call), pages),
      controlDestroy: (call, handle) => {
        if (controlOf(call).parent === null) return EPERM;
        this.#end(handle, call.task, call.object);
        return 0;
      },
      controlInfo: (call) => {
        const control = controlOf(call);
        const account = principalAccount(control);
        call.result(0, control.limit);
        call.result(1, control.used);
        call.result(2, account.guaranteed);
        call.result(3, account.allocated);
        call.result(4, account.extra);
        return 0;
      },
      taskDied: (call, _control, task) => {
        if (controlOf(call) !== physmem.root) return EPERM;
        this.taskDied(task);
        return 0;
      },
    };
  }
}

/** Contents of guest memory through physmem's own mapping, which wortel entered with every block: it cannot fault. */
function frameMemory(l4: L4): {
  zero(frame: GuestFrame, pages: number): void;
  copy(to: GuestFrame, from: GuestFrame, pages: number): void;
} {
  return {
    zero(frame, pages) {
      const len = pages * PAGE_SIZE;
      kassert(l4.tryFill(frame * PAGE_SIZE, len, 0) === len, 'physmem: memory is not mapped');
    },
    copy(to, from, pages) {
      const len = pages * PAGE_SIZE;
      kassert(l4.tryCopy(to * PAGE_SIZE, from * PAGE_SIZE, len) === len, 'physmem: memory is not mapped');
    },
  };
}

/** The fpage of a dyadic block of guest memory at its place in physmem's space. */
function blockFpage(frame: GuestFrame, pages: number, rights: number): number {
  return fpage(frame * PAGE_SIZE, log2(pages) + PAGE_SHIFT, rights);
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

/** The container of a call to a method `on` containers. */
function containerOf(call: Call<PhysmemObject>): Container {
  return call.object instanceof Container ? call.object : panic('physmem: method of a container');
}

/** The control of a call to a method `on` controls. */
function controlOf(call: Call<PhysmemObject>): MemoryControl {
  return call.object instanceof MemoryControl ? call.object : panic('physmem: method of a control');
}
