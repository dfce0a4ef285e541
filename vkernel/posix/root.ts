/**
 * The root task: makes the guest's first process, makes and destroys the tasks of its children, waits for its end,
 * counts the frames, and shuts the system down.
 *
 *   root ---task_create---> guest task:  pager thread     libhurd-mm, asks physmem for every page
 *        <--fork, spawn, end--           system-call thread    the Linux personality (server.ts)
 *                                        hart thread      the program
 *
 * The guest gets a memory control of its own, split from the master control: what its processes take is charged to it,
 * and destroying the control takes everything back.
 * A request is a message whose words do not matter: what is asked for lies in an object that both sides know. The
 * caller of fork fills the new container itself, because it has the right to its own; root makes the threads.
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { EAGAIN, ENOMEM, errnoName } from '../../hostkernel/base/errno.ts';
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
import type { PlaceBody, ProcessExit, ProcessOptions, ProcessServer } from './interface.ts';
import type { Place, Process } from './process.ts';
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
export interface GuestProcess extends Omit<ProcessOptions, 'hart' | 'pager' | 'memory' | 'onExit' | 'streams' | 'server'> {
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
  /** How many processes the kernel has frames for; asked at each start. Absent: a handful. */
  readonly processesMax?: () => number;
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
const LEAST_PROCESSES = 4; // however small the machine is
const READY = 0x70; // labels of our own threads towards the root thread
const ENDED = 0x71;
const MAKE = 0x73; // a task for a child
const START = 0x74; // its threads begin
const DISCARD = 0x75; // it was for nothing
const BURY = 0x76; // the caller's task goes

const OUT_OF_TIME: ProcessExit = { kind: 'signal', signal: 24, text: 'SIGXCPU: its time is up', fault: null };

/** The program of the root task. */
export function rootTask(options: RootOptions): L4Body {
  return (l4) => new Root(l4, options).main();
}

/** A step of the boot that failed, as one line; EAGAIN where it was a task for a child. */
class BootFailure {
  readonly text: string;
  readonly errno: number;
  constructor(text: string, errno: number) {
    this.text = text;
    this.errno = errno;
  }
}

/** A task of the guest. */
interface GuestTask {
  readonly task: number; // handle at the task server
  readonly id: number;
  readonly control: number; // its handle of the guest's memory control
  readonly pager: ThreadId;
  readonly systemCalls: ThreadId;
  readonly hart: ThreadId;
  /** null: it has none yet. */
  memory: MemoryManager | null;
}

/** What a system-call thread asks root for: the message says which, by the thread it comes from. */
interface Request {
  made: GuestTask | null;
  memory: MemoryManager | null; // null: an empty one
  readonly body: PlaceBody;
}

/** The guest: its control, and the tasks of its processes. */
interface Guest {
  control: number; // our handle at physmem; 0 before the first process
  readonly tasks: Map<ThreadId, GuestTask>; // by system-call thread
  readonly requests: Map<ThreadId, Request>;
  readonly burials: Map<ThreadId, Process>;
}

class Root {
  readonly #l4: L4;
  readonly #options: RootOptions;
  #data: StartupData | null = null;
  #exit: ProcessExit | null = null;
  #pages = 0; // guaranteed to the guest
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
    const guest = yield* this.#makeGuest(data);
    if (guest instanceof BootFailure) return guest;
    const first = yield* this.#makeFirst(data, guest, process);
    if (first instanceof BootFailure) return first;
    yield* this.#serve(data, guest, process.timeLimit ?? Number.POSITIVE_INFINITY);
    this.#options.ended?.();
    const held = yield* this.#account();
    for (const task of [...guest.tasks.values()].reverse()) {
      const failure = yield* this.#destroyTask(data, guest, task); // out of time, it still runs
      if (failure !== null) return failure;
    }
    const destroyed = yield* this.#call(data.physmem, PHYSMEM.controlDestroy, guest.control);
    if (destroyed !== null) return destroyed;
    const after = yield* this.#account();
    this.#options.log('root', `task ${first.id} has ended: held ${held.bound - before.bound} frames, returned ${held.bound - after.bound}`);
    const exit = this.#exit ?? OUT_OF_TIME;
    const memory = first.memory as MemoryManager;
    return { exit, memory: memory.counters, files: this.#files, before, held, after };
  }

  /** Does what the processes ask for, until the first has ended, or its time (microseconds). */
  *#serve(data: StartupData, guest: Guest, timeLimit: number): Generator<L4Wait, void> {
    const l4 = this.#l4;
    const end = l4.clock() + timeLimit;
    for (;;) {
      yield* l4.receive(ANY, timeLimit === Number.POSITIVE_INFINITY ? NEVER : timeout(Math.max(1, end - l4.clock())));
      const { from, message } = l4;
      if (l4.error === 0 && message.label === ENDED) {
        kassert(this.#exit !== null, 'root: a process ended without a status');
        return;
      }
      if (l4.clock() >= end) return;
      if (l4.error !== 0) continue;
      const { label } = message;
      if (label === BURY) yield* this.#bury(data, guest, from);
      else if (label === MAKE || label === START || label === DISCARD) {
        const errno = yield* this.#answer(data, guest, from, label);
        message.begin(errno);
        l4.reply(from);
      }
    }
  }

  /** @returns 0, ENOMEM or EAGAIN */
  *#answer(data: StartupData, guest: Guest, from: ThreadId, label: number): Generator<L4Wait, number> {
    const request = guest.requests.get(from);
    kassert(request !== undefined, 'root: nothing is asked for');
    if (label === MAKE) {
      const made = yield* this.#makeTask(data, guest);
      if (made instanceof BootFailure) return made.errno;
      request.made = made;
      return 0;
    }
    const { made } = request;
    kassert(made !== null, 'root: no task to start');
    if (label === START && (yield* this.#startTask(made, request.memory, request.body))) return 0;
    yield* this.#destroyTask(data, guest, made);
    return ENOMEM;
  }

  /** The task of a process goes, and then its parent hears of it. */
  *#bury(data: StartupData, guest: Guest, from: ThreadId): Generator<L4Wait, void> {
    const process = guest.burials.get(from);
    const task = guest.tasks.get(from);
    kassert(process !== undefined && task !== undefined, 'root: a burial without a body');
    guest.burials.delete(from);
    yield* this.#destroyTask(data, guest, task);
    process.system.bury(process);
    process.system.flush(this.#l4);
  }

  /** Takes a task apart: its threads, then everything it held. */
  *#destroyTask(data: StartupData, guest: Guest, { task, id, systemCalls }: GuestTask): Generator<L4Wait, BootFailure | null> {
    guest.tasks.delete(systemCalls);
    guest.requests.delete(systemCalls);
    guest.burials.delete(systemCalls);
    const ended = yield* this.#call(data.taskServer, TASK.taskDestroy, task);
    return ended ?? (yield* this.#call(data.physmem, PHYSMEM.taskDied, data.masterControl, id));
  }

  /** The system-call threads' side of it. They run in their own threads, not in root's. */
  #processServer(guest: Guest): ProcessServer {
    const root = this.#l4.id;
    function* ask(l4: L4, label: number): Generator<L4Wait, number> {
      l4.message.begin(label);
      const error = yield* l4.call(root);
      return error === 0 ? -l4.message.label : -EAGAIN;
    }
    function* make(
      l4: L4,
      body: PlaceBody,
      fill: ((made: GuestTask) => Generator<L4Wait, MemoryManager | number>) | null,
    ): Generator<L4Wait, number> {
      const request: Request = { made: null, memory: null, body };
      guest.requests.set(l4.id, request);
      let error = yield* ask(l4, MAKE);
      if (error === 0 && fill !== null && request.made !== null) {
        const memory = yield* fill(request.made);
        if (typeof memory === 'number') {
          yield* ask(l4, DISCARD);
          error = memory;
        } else request.memory = memory;
      }
      if (error === 0) error = yield* ask(l4, START);
      guest.requests.delete(l4.id);
      return error;
    }
    return {
      fork: (l4, body) =>
        make(l4, body, ({ id, control }) => {
          const memory = guest.tasks.get(l4.id)?.memory ?? null;
          kassert(memory !== null, 'root: a caller without memory');
          return memory.fork(l4, { task: id, control });
        }),
      spawn: (l4, body) => make(l4, body, null),
      *end(l4, process) {
        guest.burials.set(l4.id, process);
        l4.message.begin(BURY);
        yield* l4.send(root);
      },
    };
  }

  *#call(server: ThreadId, method: Method, ...args: number[]): Generator<L4Wait, BootFailure | null> {
    const label = yield* (invoke as (l4: L4, server: ThreadId, method: Method, ...args: number[]) => Generator<L4Wait, number>)(
      this.#l4,
      server,
      method,
      ...args,
    );
    return label === 0 ? null : new BootFailure(callText(method, label), label === ENOMEM ? ENOMEM : EAGAIN);
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

  /** A guest without processes, and how many pages it will be guaranteed. */
  *#makeGuest(data: StartupData): Generator<L4Wait, Guest | BootFailure> {
    const { message } = this.#l4;
    const failure = yield* this.#call(data.physmem, PHYSMEM.controlInfo, data.masterControl);
    if (failure !== null) return failure;
    this.#pages = Math.max(0, message.word(1) - message.word(2) - RESERVE_PAGES);
    return { control: 0, tasks: new Map(), requests: new Map(), burials: new Map() };
  }

  /** A task with its three threads, which wait to be started. Where it fails nothing is left. */
  *#makeTask(data: StartupData, guest: Guest): Generator<L4Wait, GuestTask | BootFailure> {
    const l4 = this.#l4;
    const { message } = l4;
    const areas = layout(l4.userEnd);
    const refused = yield* this.#call(data.taskServer, TASK.taskCreate, data.taskControl, areas.kip, areas.utcb);
    if (refused !== null) return refused;
    const [task, id, pager] = [message.word(1), message.word(2), message.word(3) as ThreadId];
    const threads: ThreadId[] = [];
    let failure = yield* this.#call(data.taskServer, TASK.threadSet, task, pager, l4.id, pager, areas.slot(0));
    for (let slot = 1; slot <= 2 && failure === null; slot += 1) {
      failure = yield* this.#addThread(data, { task, pager, slot: areas.slot(slot) });
      if (failure === null) threads.push(message.word(1) as ThreadId);
    }
    if (failure === null) failure = yield* this.#shareControl(data, guest, id);
    const made: GuestTask = {
      task,
      id,
      control: message.word(1),
      pager,
      systemCalls: threads[0] as ThreadId,
      hart: threads[1] as ThreadId,
      memory: null,
    };
    if (failure !== null) {
      yield* this.#destroyTask(data, guest, made);
      return failure;
    }
    for (const thread of [pager, ...threads]) l4.setPriority(thread, GUEST_PRIORITY);
    guest.tasks.set(made.systemCalls, made);
    return made;
  }

  /**
   * Gives a task the control that all processes of the guest share; its handle is in word 1 of the message. The control
   * is made for the first: under its task id the memory policy server knows the guest.
   */
  *#shareControl(data: StartupData, guest: Guest, id: number): Generator<L4Wait, BootFailure | null> {
    const { message } = this.#l4;
    if (guest.control !== 0) return yield* this.#call(data.physmem, PHYSMEM.copyCapability, guest.control, id);
    const failure = yield* this.#call(data.physmem, PHYSMEM.controlSplit, data.masterControl, this.#pages, id);
    if (failure !== null) return failure;
    guest.control = message.word(1);
    message.setWord(1, message.word(2));
    return null;
  }

  /** A further thread of a task, whose pager is that of the task; its id is in word 1 of the message. */
  *#addThread(
    data: StartupData,
    { task, pager, slot }: { readonly task: number; readonly pager: ThreadId; readonly slot: number },
  ): Generator<L4Wait, BootFailure | null> {
    const { message, id } = this.#l4;
    const failure = yield* this.#call(data.taskServer, TASK.threadAlloc, task, slot);
    if (failure !== null) return failure;
    const thread = message.word(1) as ThreadId;
    const refused = yield* this.#call(data.taskServer, TASK.threadSet, task, thread, id, pager, -1);
    message.setWord(1, thread);
    return refused;
  }

  /** Gives the threads of a task their programs. @param memory what it begins with; null: nothing @returns whether it has begun */
  *#startTask(made: GuestTask, memory: MemoryManager | null, body: PlaceBody): Generator<L4Wait, boolean> {
    const l4 = this.#l4;
    const areas = layout(l4.userEnd);
    made.memory = memory ?? this.#emptyMemory(made.control);
    const begun = made.memory;
    if (l4.startBody(made.pager, memory === null ? pagerBody(begun, l4.id) : forkedPagerBody(begun)) !== 1) return false;
    if (memory === null) {
      yield* l4.receive(made.pager);
      if (l4.message.label !== READY || l4.message.word(1) !== 0) return false;
    }
    const place: Place = { hart: made.hart, pager: made.pager, memory: (thread) => taskMemory(begun, thread, areas.mapBase) };
    return l4.startBody(made.systemCalls, body(place)) === 1;
  }

  #emptyMemory(control: number): MemoryManager {
    const areas = layout(this.#l4.userEnd);
    return new MemoryManager({
      physmem: (this.#data as StartupData).physmem,
      control,
      userEnd: areas.end,
      faultAround: this.#options.faultAround,
      cluster: this.#options.cluster,
      scratch: areas.scratch,
    });
  }

  /** The first process; its program starts as soon as its threads run. */
  *#makeFirst(data: StartupData, guest: Guest, options: GuestProcess): Generator<L4Wait, GuestTask | BootFailure> {
    const l4 = this.#l4;
    const made = yield* this.#makeTask(data, guest);
    if (made instanceof BootFailure) return made;
    const { id, pager, hart } = made;
    this.#options.log(
      'root',
      `makes task ${id}: ${this.#pages} frames guaranteed, pager ${threadName(pager, l4.wordBits)}, program in ${threadName(hart, l4.wordBits)}`,
    );
    const server = this.#processServer(guest);
    const ended = (exit: ProcessExit, files: FileSystem): void => {
      this.#files = files;
      this.#exit = exit;
    };
    const root = l4.id;
    const { terminals, companion } = this.#options;
    const body: PlaceBody = (place) =>
      posixBody({
        ...options,
        ...place,
        server,
        processesMax: Math.max(LEAST_PROCESSES, this.#options.processesMax?.() ?? LEAST_PROCESSES),
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
    if (!(yield* this.#startTask(made, null, body))) {
      return new BootFailure(`the first task: no container, or the kernel refuses its threads: ${errnoName(l4.message.word(1))}`, ENOMEM);
    }
    if (companion !== undefined) {
      const failure = yield* this.#addThread(data, { task: made.task, pager, slot: layout(l4.userEnd).slot(3) });
      if (failure !== null) return failure;
      const thread = l4.message.word(1) as ThreadId;
      l4.setPriority(thread, GUEST_PRIORITY);
      l4.startBody(thread, companion);
    }
    return made;
  }
}

/** Serves the faults of a task that has its memory. */
function forkedPagerBody(memory: MemoryManager): L4Body {
  return (l4) => pager(l4, memory);
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
