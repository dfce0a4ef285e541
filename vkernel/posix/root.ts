/**
 * The root task: makes one guest process, waits for its end, counts the frames, and shuts the system down.
 *
 *   root ---task_create---> guest task:  pager thread     libhurd-mm, asks physmem for every page
 *                                        system-call thread    the Linux personality (server.ts)
 *                                        hart thread      the program
 *
 * The guest gets a memory control of its own, split from the master control: what it takes is charged to it, and
 * destroying the control takes everything back.
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { errnoName } from '../../hostkernel/base/errno.ts';
import { PAGE_SIZE } from '../../hostkernel/base/units.ts';
import { type MemoryCounters, MemoryManager, pager, taskMemory, WINDOW_PAGES } from '../../userland/libhurd-mm/index.ts';
import { callText, invoke, type Method } from '../cap/rpc.ts';
import { startup, type StartupData } from '../cap/startup.ts';
import {
  ANY,
  fpage,
  KIP_SHIFT,
  type L4,
  type L4Body,
  type L4Wait,
  NEVER,
  type ThreadId,
  threadName,
  timeout,
  UTCB_SHIFT,
} from '../l4/user.ts';
import { PHYSMEM } from '../physmem/interface.ts';
import { TASK } from '../task/interface.ts';
import { WORTEL, withCapability } from '../wortel/interface.ts';
import type { ProcessExit, ProcessOptions } from './interface.ts';
import { posixBody } from './server.ts';
import type { FileSystem } from './vfs/filesystem.ts';

/** Where physmem's page frames are; all in pages. received = fixed + free + bound. */
export interface FrameAccount {
  readonly received: number;
  readonly fixed: number;
  readonly free: number;
  readonly bound: number;
  readonly charged: number;
  readonly containers: number;
}

/** What became of the guest, and what it cost. */
export interface RootReport {
  readonly exit: ProcessExit;
  readonly memory: MemoryCounters;
  /** As the guest left it; null where it was killed for its time. */
  readonly files: FileSystem | null;
  /** Before the guest was made, when it had ended, and after its control was destroyed. */
  readonly before: FrameAccount;
  readonly held: FrameAccount;
  readonly after: FrameAccount;
}

/** A guest process, but for what this task provides. */
export interface GuestProcess extends Omit<ProcessOptions, 'hart' | 'pager' | 'memory' | 'onExit' | 'streams'> {
  /** Microseconds of virtual time after which the process is killed, wherever it is; absent: never. */
  readonly timeLimit?: number;
}

export interface RootOptions {
  readonly process: GuestProcess;
  /** Asked when a process has gone: which is the next? null: none. Absent: there is only the one. */
  readonly next?: (report: RootReport) => GuestProcess | null;
  /** Which of descriptors 0, 1, 2 are terminals. All three are the kernel's console. */
  readonly terminals: readonly [boolean, boolean, boolean];
  /** Pages mapped at once around a fault where resident, and fresh pages brought in by one; powers of two up to 16. */
  readonly faultAround: number;
  readonly cluster: number;
  readonly log: (who: string, text: string) => void;
  /** Called once, before the shutdown, with the report of the last process. */
  readonly done: (report: RootReport) => void;
  /** Called instead where the guest could not be made, with one line that says why. */
  readonly failed: (why: string) => void;
  /** A further TypeScript thread in the guest's space, for programs that want a partner there. */
  readonly companion?: L4Body;
  /** Called when the guest has ended, while it still has its memory. */
  readonly ended?: () => void;
}

/** Address space kept for kernel areas and the scratch window, and the alignment of what is above and below it. */
const AREA_BYTES = 2 ** 21;
/** Pages of the master control that stay unassigned: physmem's own growth. */
const RESERVE_PAGES = 64;
/** Below the servers, so that no guest runs while it is taken apart, and none keeps the others from their work. */
const GUEST_PRIORITY = 50;
const READY = 0x70; // labels of our own threads towards the root thread
const ENDED = 0x71;

const OUT_OF_TIME: ProcessExit = { kind: 'signal', signal: 24, text: 'SIGXCPU: its time is up', fault: null };

/** The program of the root task. */
export function rootTask(options: RootOptions): L4Body {
  return (l4) => new Root(l4, options).main();
}

/** A step of the boot that failed, as one line. */
class BootFailure {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

interface Guest {
  readonly task: number; // handle at the task server
  readonly id: number;
  readonly control: number; // our handle at physmem
  readonly memory: MemoryManager;
}

class Root {
  readonly #l4: L4;
  readonly #options: RootOptions;
  #data: StartupData | null = null;
  #exit: ProcessExit | null = null;
  #files: FileSystem | null = null;

  constructor(l4: L4, options: RootOptions) {
    this.#l4 = l4;
    this.#options = options;
  }

  *main(): Generator<L4Wait, void> {
    const data = yield* startup(this.#l4);
    if (typeof data === 'string') {
      this.#options.failed(data);
      return; // nobody can be asked to shut down: the system comes to rest
    }
    this.#data = data;
    const failure = yield* this.#run(data);
    if (failure instanceof BootFailure) this.#options.failed(failure.text);
    yield* invoke(this.#l4, data.wortel, withCapability(WORTEL, data.wortelCapability).shutdown, 0);
  }

  /** Runs one process after the other. */
  *#run(data: StartupData): Generator<L4Wait, BootFailure | null> {
    let { process } = this.#options;
    for (;;) {
      const report = yield* this.#runProcess(data, process);
      if (report instanceof BootFailure) return report;
      const next = this.#options.next?.(report) ?? null;
      if (next === null) {
        this.#options.done(report);
        return null;
      }
      process = next;
    }
  }

  *#runProcess(data: StartupData, process: GuestProcess): Generator<L4Wait, RootReport | BootFailure> {
    this.#exit = null;
    this.#files = null;
    const before = yield* this.#account();
    const guest = yield* this.#makeGuest(data, process);
    if (guest instanceof BootFailure) return guest;
    yield* this.#awaitEnd(process.timeLimit ?? Number.POSITIVE_INFINITY);
    this.#options.ended?.();
    const held = yield* this.#account();
    const ended = yield* this.#call(data.taskServer, TASK.taskDestroy, guest.task); // first: out of time, it still runs
    if (ended !== null) return ended;
    const destroyed = yield* this.#call(data.physmem, PHYSMEM.controlDestroy, guest.control);
    if (destroyed !== null) return destroyed;
    const died = yield* this.#call(data.physmem, PHYSMEM.taskDied, data.masterControl, guest.id);
    if (died !== null) return died;
    const after = yield* this.#account();
    this.#options.log('root', `task ${guest.id} has ended: held ${held.bound - before.bound} frames, returned ${held.bound - after.bound}`);
    const exit = this.#exit ?? OUT_OF_TIME;
    return { exit, memory: guest.memory.counters, files: this.#files, before, held, after };
  }

  /** Waits for the end of the guest, or for the end of its time (microseconds). */
  *#awaitEnd(timeLimit: number): Generator<L4Wait, void> {
    const l4 = this.#l4;
    const end = l4.clock() + timeLimit;
    for (;;) {
      yield* l4.receive(ANY, timeLimit === Number.POSITIVE_INFINITY ? NEVER : timeout(end - l4.clock()));
      if (l4.error === 0 && l4.message.label === ENDED) {
        kassert(this.#exit !== null, 'root: a process ended without a status');
        return;
      }
      if (l4.clock() >= end) return;
    }
  }

  *#call(server: ThreadId, method: Method, ...args: number[]): Generator<L4Wait, BootFailure | null> {
    const label = yield* (invoke as (l4: L4, server: ThreadId, method: Method, ...args: number[]) => Generator<L4Wait, number>)(
      this.#l4,
      server,
      method,
      ...args,
    );
    return label === 0 ? null : new BootFailure(callText(method, label));
  }

  *#account(): Generator<L4Wait, FrameAccount> {
    const { message } = this.#l4;
    const data = this.#data as StartupData;
    const label = yield* invoke(this.#l4, data.physmem, PHYSMEM.info, data.masterControl);
    kassert(label === 0, `root: physmem.info: ${errnoName(label)}`);
    const [received, fixed, free, bound, charged, containers] = [1, 2, 3, 4, 5, 6].map((i) => message.word(i)) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    return { received, fixed, free, bound, charged, containers };
  }

  /** The guest task with its three threads; the program starts as soon as its threads run. */
  *#makeGuest(data: StartupData, options: GuestProcess): Generator<L4Wait, Guest | BootFailure> {
    const l4 = this.#l4;
    const { message } = l4;
    const areas = layout(l4.userEnd);
    let failure = yield* this.#call(data.taskServer, TASK.taskCreate, data.taskControl, areas.kip, areas.utcb);
    if (failure !== null) return failure;
    const task = message.word(1);
    const id = message.word(2);
    const pagerThread = message.word(3) as ThreadId;
    failure = yield* this.#call(data.taskServer, TASK.threadSet, task, pagerThread, l4.id, pagerThread, areas.slot(0));
    if (failure !== null) return failure;
    const threads: ThreadId[] = [];
    const wanted = this.#options.companion === undefined ? 2 : 3;
    for (let slot = 1; slot <= wanted; slot += 1) {
      failure = yield* this.#call(data.taskServer, TASK.threadAlloc, task, areas.slot(slot));
      if (failure !== null) return failure;
      const thread = message.word(1) as ThreadId;
      failure = yield* this.#call(data.taskServer, TASK.threadSet, task, thread, l4.id, pagerThread, -1);
      if (failure !== null) return failure;
      threads.push(thread);
    }
    const [systemCalls, hart, companion] = threads as [ThreadId, ThreadId, ThreadId?];
    for (const thread of [pagerThread, ...threads]) l4.setPriority(thread, GUEST_PRIORITY);

    failure = yield* this.#call(data.physmem, PHYSMEM.controlInfo, data.masterControl);
    if (failure !== null) return failure;
    const pages = message.word(1) - message.word(2) - RESERVE_PAGES;
    failure = yield* this.#call(data.physmem, PHYSMEM.controlSplit, data.masterControl, Math.max(0, pages), id);
    if (failure !== null) return failure;
    const control = message.word(1);
    const memory = new MemoryManager({
      physmem: data.physmem,
      control: message.word(2),
      userEnd: areas.end,
      faultAround: this.#options.faultAround,
      cluster: this.#options.cluster,
      scratch: areas.scratch,
    });
    this.#options.log(
      'root',
      `makes task ${id}: ${pages} frames guaranteed, pager ${threadName(pagerThread, l4.wordBits)}, program in ${threadName(hart, l4.wordBits)}`,
    );

    if (l4.startBody(pagerThread, pagerBody(memory, l4.id)) !== 1) return new BootFailure(`pager: the kernel refuses, code ${l4.error}`);
    yield* l4.receive(pagerThread);
    if (message.label !== READY || message.word(1) !== 0) return new BootFailure(`pager: no container: ${errnoName(message.word(1))}`);
    const ended = (exit: ProcessExit, files: FileSystem): void => {
      this.#files = files;
      this.#exit = exit;
    };
    const root = l4.id;
    const { terminals } = this.#options;
    const body = posixBody({
      ...options,
      hart,
      pager: pagerThread,
      memory: (thread) => taskMemory(memory, thread, areas.mapBase),
      streams: ({ console }) => ({
        read: (max) => console.read(max),
        write: (fd, bytes) => console.write(fd, bytes),
        terminals,
      }),
      *onExit(exit, thread, files) {
        ended(exit, files);
        thread.message.begin(ENDED);
        yield* thread.send(root);
      },
    });
    if (l4.startBody(systemCalls, body) !== 1) return new BootFailure(`system calls: the kernel refuses, code ${l4.error}`);
    if (companion !== undefined && this.#options.companion !== undefined) l4.startBody(companion, this.#options.companion);
    return { task, id, control, memory };
  }
}

/** Makes the container, says so, then serves faults. */
function pagerBody(memory: MemoryManager, root: ThreadId): L4Body {
  return function* (l4) {
    const errno = yield* memory.start(l4);
    l4.message.begin(READY);
    l4.message.append(errno);
    yield* l4.send(root);
    return errno === 0 ? pager(l4, memory) : undefined;
  };
}

/** Where a guest's kernel areas lie: above everything its program may map, since programs are linked at low addresses. */
function layout(userEnd: number): {
  end: number;
  scratch: number;
  kip: number;
  utcb: number;
  mapBase: number;
  slot: (i: number) => number;
} {
  const end = (Math.floor(userEnd / AREA_BYTES) - 1) * AREA_BYTES;
  const utcbBase = end + 2 ** KIP_SHIFT;
  return {
    end,
    kip: fpage(end, KIP_SHIFT, 0),
    utcb: fpage(utcbBase, 12, 0),
    scratch: end + WINDOW_PAGES * PAGE_SIZE,
    mapBase: Math.floor(userEnd / 4 / AREA_BYTES) * AREA_BYTES,
    slot: (i) => utcbBase + (i << UTCB_SHIFT),
  };
}
