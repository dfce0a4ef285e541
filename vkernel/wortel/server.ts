/**
 * wortel, the root server: the only task that may use the kernel's privileged calls. It boots the other servers in a
 * fixed order, then stays as a thin wrapper around those calls.
 *
 *   sigma0 --all memory--> wortel --GET_MEM--> physmem            frames, mapped 1:1
 *                             |   --capability requests--> physmem   controls and containers for the others
 *                             |   --startup page--> task, then policy, then the root task
 *
 * wortel never calls a server: each pulls what it needs, so that while one boots the others can still print and die.
 * Not here: what the calls mean (interface.ts), what a server finds in its startup page (cap/startup.ts).
 * Source: hurd-l4 wortel; its access check, which was compiled out, is made here.
 */
import { EACCES, EINVAL, EOPNOTSUPP } from '../../hostkernel/base/errno.ts';
import {
  encodeStartup,
  KIP_AREA,
  STARTUP_BASE,
  STARTUP_BOOTSTRAP,
  STARTUP_BYTES,
  STARTUP_DATA,
  STARTUP_PAGE,
  STARTUP_SHIFT,
  STARTUP_VERSION,
  type StartupData,
  UTCB_AREA,
  utcbSlot,
} from '../cap/startup.ts';
import {
  ACCEPT_ALL,
  ACCEPT_UNTYPED,
  ANY,
  fpage,
  type Fpage,
  FPAGE_MIN_SHIFT,
  FPAGE_NIL,
  fpageAny,
  fpageBase,
  fpageShift,
  fpageSize,
  IPC_TIMEOUT,
  ipcErrorCode,
  type L4,
  type L4Body,
  type L4Wait,
  LABEL_PAGE_FAULT,
  LABEL_SIGMA0,
  NEVER,
  NIL,
  RIGHTS_ALL,
  taskOf,
  type ThreadId,
  threadId,
  threadName,
  timeout,
  USER_BASE,
  ZERO,
} from '../l4/user.ts';
import {
  WORTEL_MSG_BOOTSTRAP_FINAL,
  WORTEL_MSG_GET_CAP_REPLY,
  WORTEL_MSG_GET_CAP_REQUEST,
  WORTEL_MSG_GET_FIRST_FREE_THREAD_NO,
  WORTEL_MSG_GET_MEM,
  WORTEL_MSG_GET_TASK_CAP_REPLY,
  WORTEL_MSG_GET_TASK_CAP_REQUEST,
  WORTEL_MSG_GET_THREADS,
  WORTEL_MSG_PUTCHAR,
  WORTEL_MSG_SHUTDOWN,
  WORTEL_MSG_SPACE_CONTROL,
  WORTEL_MSG_THREAD_CONTROL,
} from './interface.ts';

/** Task ids of the boot, and the thread numbers they own, counted from USER_BASE. */
export const TASK_KERNEL = 1; // sigma0, wortel
export const TASK_PHYSMEM = 2;
export const TASK_TASK = 3;
export const TASK_POLICY = 4;
export const TASK_ROOT = 5;
const PHYSMEM_THREAD = USER_BASE + 3;
const TASK_THREAD = USER_BASE + 7;
const POLICY_PAGER = USER_BASE + 8; // kept for a pager of the task server, which needs none
const POLICY_THREAD = USER_BASE + 9;
const ROOT_THREAD = USER_BASE + 10;
const FIRST_FREE_THREAD = USER_BASE + 11;

const BOOT_STEP_LIMIT = timeout(5_000_000); // microseconds without a message while the boot is unfinished

/** The program of a server, and how many pages it is guaranteed. */
export interface BootModule {
  readonly body: L4Body;
  readonly pages: number;
}

/** What the boot loader hands over. Without a policy server memory stays first come, first served. */
export interface BootModules {
  readonly physmem: L4Body;
  readonly task: BootModule;
  readonly policy?: BootModule;
  readonly root: BootModule;
}

/** A line of the boot log: who says what. */
export type BootLog = (who: string, text: string) => void;

/** A startup page that is mapped this often and still faults cannot be: the kernel has no frames for its page tables. */
const STARTUP_FAULTS = 16;

interface CapabilityRequest {
  readonly task: number;
  readonly pages: number; // a memory control with this guarantee, where `memory` is nil
  readonly memory: Fpage | null; // null: the master control
  handle: number;
}

/** The program of wortel's thread. `sigma0` is the thread that owns all memory. */
export function wortel(sigma0: ThreadId, modules: BootModules, log: BootLog): L4Body {
  return (l4) => new Wortel(l4, sigma0, modules, log).main();
}

class Wortel {
  readonly #l4: L4;
  readonly #sigma0: ThreadId;
  readonly #modules: BootModules;
  readonly #log: BootLog;
  readonly #physmem: ThreadId;
  readonly #task: ThreadId;
  readonly #policy: ThreadId;
  readonly #policyPager: ThreadId;
  readonly #root: ThreadId;
  /** Task id a capability id belongs to; index 0 is nobody's. */
  readonly #capabilities: readonly number[] = [0, TASK_PHYSMEM, TASK_TASK, TASK_ROOT, TASK_POLICY];
  #requests: CapabilityRequest[] = [];
  #nextRequest = 0;
  #taskRequests: { readonly task: number; readonly threads: readonly ThreadId[]; handle: number }[] = [];
  #nextTaskRequest = 0;
  #waiting: ThreadId[] = []; // servers whose BOOTSTRAP_FINAL is answered when the boot is complete
  #memoryShift: number; // log2 of the size GET_MEM asks sigma0 for next
  #memoryGiven = 0; // bytes
  #step = 'physmem asks for its memory'; // what the boot waits for
  #faulting: ThreadId = NIL; // who faulted last, and how often in a row
  #startupFaults = 0;
  #booting = true;

  constructor(l4: L4, sigma0: ThreadId, modules: BootModules, log: BootLog) {
    this.#l4 = l4;
    this.#sigma0 = sigma0;
    this.#modules = modules;
    this.#log = log;
    this.#physmem = threadId(PHYSMEM_THREAD, TASK_PHYSMEM, l4.wordBits);
    this.#task = threadId(TASK_THREAD, TASK_TASK, l4.wordBits);
    this.#policy = threadId(POLICY_THREAD, TASK_POLICY, l4.wordBits);
    this.#policyPager = threadId(POLICY_PAGER, TASK_POLICY, l4.wordBits);
    this.#root = threadId(ROOT_THREAD, TASK_ROOT, l4.wordBits);
    this.#memoryShift = l4.wordBits === 32 ? 31 : 47;
  }

  *main(): Generator<L4Wait, void> {
    const failure = yield* this.#prepare();
    if (failure !== null) {
      this.#fail(failure);
      return;
    }
    yield* this.#serve();
  }

  /** Takes what no server may get, the startup pages, and starts physmem. */
  *#prepare(): Generator<L4Wait, string | null> {
    yield* this.#fromSigma0(fpage(0, FPAGE_MIN_SHIFT, RIGHTS_ALL)); // page 0 is nobody's; refused where it is not memory
    const areas = yield* this.#fromSigma0(fpageAny(FPAGE_MIN_SHIFT + 1, RIGHTS_ALL));
    const { task, policy, root } = this.#modules;
    const ordinary = [
      { task: TASK_TASK, pages: task.pages, threads: [this.#task] },
      ...(policy === undefined ? [] : [{ task: TASK_POLICY, pages: policy.pages, threads: [this.#policy, this.#policyPager] }]),
      { task: TASK_ROOT, pages: root.pages, threads: [this.#root] },
    ];
    const startups: Fpage[] = [];
    for (const _ of ordinary) startups.push(yield* this.#fromSigma0(fpageAny(STARTUP_SHIFT, RIGHTS_ALL)));
    if (areas === FPAGE_NIL || startups.includes(FPAGE_NIL)) return 'too little memory for the startup pages';
    this.#requests = [
      ...ordinary.map((each) => ({ task: each.task, pages: each.pages, memory: FPAGE_NIL, handle: 0 })),
      ...ordinary.map((each, i) => ({ task: each.task, pages: 0, memory: startups[i] as Fpage, handle: 0 })),
      { task: TASK_ROOT, pages: 0, memory: null, handle: 0 },
    ];
    this.#taskRequests = [
      { task: TASK_KERNEL, threads: [this.#sigma0, this.#l4.id], handle: 0 },
      { task: TASK_PHYSMEM, threads: [this.#physmem], handle: 0 },
      ...ordinary.map((each) => ({ task: each.task, threads: each.threads, handle: 0 })),
      { task: TASK_ROOT, threads: [], handle: 0 },
    ];
    // physmem runs at virtual = physical: its kernel areas lie on memory that it will not get.
    const kip = fpage(fpageBase(areas), FPAGE_MIN_SHIFT, 0);
    const utcb = fpage(fpageBase(areas) + 4096, FPAGE_MIN_SHIFT, 0);
    return this.#start('physmem', this.#physmem, this.#modules.physmem, kip, utcb, fpageBase(utcb));
  }

  /** Asks sigma0 for memory. @returns the fpage that is now mapped here 1:1, or the nil fpage where it is refused */
  *#fromSigma0(wanted: Fpage): Generator<L4Wait, Fpage> {
    const { message } = this.#l4;
    message.begin(LABEL_SIGMA0);
    message.append(wanted);
    message.append(0);
    this.#l4.acceptor = ACCEPT_ALL;
    const error = yield* this.#l4.call(this.#sigma0);
    this.#l4.acceptor = ACCEPT_UNTYPED;
    return error === 0 && message.typed === 2 ? message.itemFpage(message.untyped + 1) : FPAGE_NIL;
  }

  /** Creates a task with one thread and starts it. @returns null, or what the kernel refused */
  #start(name: string, id: ThreadId, body: L4Body, kip: Fpage, utcb: Fpage, slot: number): string | null {
    const l4 = this.#l4;
    const done =
      l4.threadControl(id, id, l4.id, NIL, -1) === 1 &&
      l4.spaceControl(id, 0, kip, utcb, NIL) === 1 &&
      l4.threadControl(id, id, l4.id, l4.id, slot) === 1 &&
      l4.startBody(id, body) === 1;
    if (!done) return `${name}: the kernel refuses its thread, code ${l4.error}`;
    this.#log('wortel', `starts ${name}: task ${taskOf(id, l4.wordBits)}, thread ${threadName(id, l4.wordBits)}`);
    return null;
  }

  #fail(what: string): void {
    this.#log('wortel', `boot failure: ${what}`);
    this.#l4.shutdown(`boot failure: ${what}`);
  }

  /** Answers requests until the system is shut down. */
  *#serve(): Generator<L4Wait, void> {
    const l4 = this.#l4;
    let client = NIL;
    for (;;) {
      const error = yield* l4.ipc(client, ANY, ZERO, this.#booting ? BOOT_STEP_LIMIT : NEVER);
      client = NIL;
      if (error !== 0) {
        if (this.#booting && ipcErrorCode(error) === IPC_TIMEOUT) {
          this.#fail(`time-out: ${this.#step}`);
          return;
        }
        continue;
      }
      client = yield* this.#answer(l4.from);
      if (!this.#booting && this.#waiting.length > 0) yield* this.#finishBoot();
    }
  }

  /** Serves one message and puts the reply into the message registers. @returns whom to answer, NIL for nobody */
  *#answer(from: ThreadId): Generator<L4Wait, ThreadId> {
    const { message } = this.#l4;
    const label = message.label;
    const task = taskOf(from, this.#l4.wordBits);
    if (label < 0) return this.#capabilities.includes(task) ? this.#pageFault(from, label) : NIL; // a stranger's is a forgery
    const capability = label & 0xff;
    const allowed = capability > 0 && this.#capabilities[capability] === task;
    const errno = allowed ? yield* this.#call(label >> 8, from) : EACCES;
    if (errno === DEFERRED) return NIL;
    if (errno !== 0) message.begin(errno);
    return from;
  }

  /** The one fault of a task that starts: its startup page. Anything else is a defect of the boot. */
  #pageFault(from: ThreadId, label: number): ThreadId {
    const { message, wordBits } = this.#l4;
    const request = this.#requests.find((r) => r.task === taskOf(from, wordBits) && r.memory !== null && r.memory !== FPAGE_NIL);
    const at = message.word(1);
    const isFault = label >= LABEL_PAGE_FAULT && label < LABEL_PAGE_FAULT + 8 && message.untyped === 2;
    if (!isFault || request === undefined || at < STARTUP_BASE || at >= STARTUP_BASE + STARTUP_BYTES) {
      this.#fail(`thread ${threadName(from, wordBits)} faults at 0x${at.toString(16)}, pc 0x${message.word(2).toString(16)}`);
      return NIL;
    }
    this.#startupFaults = this.#faulting === from ? this.#startupFaults + 1 : 1;
    this.#faulting = from;
    if (this.#startupFaults > STARTUP_FAULTS) {
      this.#fail(`thread ${threadName(from, wordBits)}: no memory for the page tables of its startup page`);
      return NIL;
    }
    message.begin(0);
    message.appendMap(STARTUP_BASE, fpage(fpageBase(request.memory as Fpage), fpageShift(STARTUP_PAGE), RIGHTS_ALL));
    return from;
  }

  /** One call of a server that may make it. @returns 0, an errno, or DEFERRED */
  *#call(id: number, from: ThreadId): Generator<L4Wait, number> {
    const l4 = this.#l4;
    const { message } = l4;
    const task = taskOf(from, l4.wordBits);
    switch (id) {
      case WORTEL_MSG_THREAD_CONTROL: {
        if (task !== TASK_TASK) return EACCES;
        if (message.untyped !== 5) return EINVAL;
        const [dest, space, scheduler, pager] = [1, 2, 3, 4].map((i) => message.word(i) as ThreadId);
        const utcb = message.word(5) >= 2 ** l4.wordBits - 1 ? -1 : message.word(5); // all ones: leave it as it is
        const done = l4.threadControl(dest as ThreadId, space as ThreadId, scheduler as ThreadId, pager as ThreadId, utcb);
        return this.#reply(done === 1 ? 0 : l4.error);
      }
      case WORTEL_MSG_SPACE_CONTROL: {
        if (task !== TASK_TASK) return EACCES;
        if (message.untyped !== 5) return EINVAL;
        const done = l4.spaceControl(message.word(1) as ThreadId, message.word(2), message.word(3), message.word(4), NIL);
        return this.#reply(done === 1 ? 0 : l4.error, 0);
      }
      case WORTEL_MSG_PUTCHAR:
        l4.console.write(1, Uint8Array.of(message.word(1) & 0xff));
        return this.#reply();
      case WORTEL_MSG_SHUTDOWN:
        this.#log('wortel', 'shutdown');
        l4.shutdown(this.#booting ? `boot failure: task ${task} gives up: ${this.#step}` : 'shutdown');
        return DEFERRED;
      case WORTEL_MSG_GET_MEM:
        return task === TASK_PHYSMEM ? yield* this.#getMemory() : EACCES;
      case WORTEL_MSG_GET_THREADS:
        return task === TASK_PHYSMEM ? this.#reply(0) : EACCES;
      case WORTEL_MSG_GET_CAP_REQUEST:
        return task === TASK_PHYSMEM ? this.#capabilityRequest() : EACCES;
      case WORTEL_MSG_GET_CAP_REPLY:
        return task === TASK_PHYSMEM ? this.#capabilityReply() : EACCES;
      case WORTEL_MSG_GET_FIRST_FREE_THREAD_NO:
        return task === TASK_TASK ? this.#reply(FIRST_FREE_THREAD) : EACCES;
      case WORTEL_MSG_GET_TASK_CAP_REQUEST:
        return task === TASK_TASK ? this.#taskCapabilityRequest() : EACCES;
      case WORTEL_MSG_GET_TASK_CAP_REPLY:
        return task === TASK_TASK ? this.#taskCapabilityReply() : EACCES;
      case WORTEL_MSG_BOOTSTRAP_FINAL:
        return yield* this.#bootstrapFinal(from, task);
      default:
        return EOPNOTSUPP;
    }
  }

  #reply(...words: number[]): number {
    this.#l4.message.begin(0);
    for (const word of words) this.#l4.message.append(word);
    return 0;
  }

  /** The largest piece of memory sigma0 still has; the nil fpage when there is none. */
  *#getMemory(): Generator<L4Wait, number> {
    let page = FPAGE_NIL;
    while (this.#memoryShift >= FPAGE_MIN_SHIFT) {
      page = yield* this.#fromSigma0(fpageAny(this.#memoryShift, RIGHTS_ALL));
      if (page !== FPAGE_NIL) break;
      this.#memoryShift -= 1;
    }
    this.#l4.message.begin(0);
    this.#l4.message.appendMap(fpageBase(page), page === FPAGE_NIL ? FPAGE_NIL : fpage(fpageBase(page), fpageShift(page), RIGHTS_ALL));
    if (page === FPAGE_NIL) {
      this.#log('wortel', `gave physmem ${this.#memoryGiven / 4096} frames`);
      this.#step = 'physmem makes the capabilities of the others';
    } else {
      this.#memoryGiven += 2 ** fpageShift(page);
    }
    return 0;
  }

  #capabilityRequest(): number {
    const request = this.#requests[this.#nextRequest];
    if (request === undefined) return EINVAL;
    this.#reply(request.task, request.pages);
    if (request.memory === null) return 0;
    const sent = request.memory === FPAGE_NIL ? FPAGE_NIL : fpage(fpageBase(request.memory), fpageShift(request.memory), RIGHTS_ALL);
    this.#l4.message.appendMap(fpageBase(request.memory), sent);
    return 0;
  }

  #capabilityReply(): number {
    const request = this.#requests[this.#nextRequest];
    const { message } = this.#l4;
    if (request === undefined || message.untyped !== 1 || message.word(1) === 0) return this.#malformed('physmem');
    request.handle = message.word(1);
    this.#nextRequest += 1;
    this.#log('wortel', `has physmem ${whatIsMade(request)}`);
    return this.#reply();
  }

  /** A capability reply that names no capability, or that nobody asked for. Without it the boot cannot go on. */
  #malformed(server: string): number {
    this.#fail(`${server} answers a capability request with ${this.#l4.message.untyped} words`);
    return EINVAL;
  }

  #taskCapabilityRequest(): number {
    const request = this.#taskRequests[this.#nextTaskRequest];
    return request === undefined ? EINVAL : this.#reply(request.task, request.threads.length, ...request.threads);
  }

  #taskCapabilityReply(): number {
    const request = this.#taskRequests[this.#nextTaskRequest];
    const { message } = this.#l4;
    if (request === undefined || message.untyped !== 1 || message.word(1) === 0) return this.#malformed('task');
    request.handle = message.word(1);
    this.#nextTaskRequest += 1;
    return this.#reply();
  }

  /** A server is up. Its answer waits for the end of the boot; meanwhile the next server is started. */
  *#bootstrapFinal(from: ThreadId, task: number): Generator<L4Wait, number> {
    if (!this.#booting || this.#waiting.includes(from)) return EINVAL;
    if (task === TASK_PHYSMEM && this.#nextRequest === this.#requests.length) {
      this.#waiting.push(from);
      this.#step = 'the task server asks for its tasks';
      yield* this.#startOrdinary('task', this.#task, this.#modules.task.body);
      return DEFERRED;
    }
    if (task === TASK_TASK && this.#nextTaskRequest === this.#taskRequests.length) {
      this.#waiting.push(from);
      if (this.#modules.policy === undefined) {
        this.#booting = false;
      } else {
        this.#step = 'the policy server takes charge';
        yield* this.#startOrdinary('policy', this.#policy, this.#modules.policy.body, this.#policyPager);
      }
      return DEFERRED;
    }
    if (task === TASK_POLICY) {
      this.#waiting.push(from);
      this.#booting = false;
      return DEFERRED;
    }
    return EINVAL;
  }

  /** Writes the startup page of a task and starts it. `pager`: a second thread, which the task makes its pager. */
  *#startOrdinary(name: string, id: ThreadId, body: L4Body, pager: ThreadId = NIL): Generator<L4Wait, void> {
    const l4 = this.#l4;
    const task = taskOf(id, l4.wordBits);
    const container = this.#requests.find((r) => r.task === task && r.memory !== null && r.memory !== FPAGE_NIL);
    const control = this.#requests.find((r) => r.task === task && r.memory === FPAGE_NIL);
    const isRoot = task === TASK_ROOT;
    const data: StartupData = {
      version: STARTUP_VERSION,
      flags: isRoot ? STARTUP_BOOTSTRAP : 0,
      wortel: l4.id,
      wortelCapability: this.#capabilities.indexOf(task),
      taskServer: this.#task,
      taskControl: this.#taskRequests.find((r) => r.task === task && r.threads.length > 0)?.handle ?? 0,
      physmem: this.#physmem,
      startupContainer: container?.handle ?? 0,
      memoryControl: control?.handle ?? 0,
      masterControl: isRoot ? (this.#requests.find((r) => r.memory === null)?.handle ?? 0) : 0,
      taskMaster: isRoot ? (this.#taskRequests.find((r) => r.threads.length === 0)?.handle ?? 0) : 0,
      pager,
      policyServer: this.#modules.policy === undefined ? NIL : this.#policy,
    };
    const at = fpageBase(container?.memory ?? FPAGE_NIL) + STARTUP_DATA - STARTUP_BASE;
    const errno = yield* l4.write(at, encodeStartup(data, l4.wordBits));
    if (errno !== 0) {
      this.#fail(`${name}: its startup page cannot be written`);
      return;
    }
    const failure = this.#start(name, id, body, KIP_AREA, UTCB_AREA, utcbSlot(0));
    const refused = failure === null && pager !== NIL && l4.threadControl(pager, id, l4.id, pager, utcbSlot(1)) !== 1;
    if (failure !== null) this.#fail(failure);
    else if (refused) this.#fail(`${name}: the kernel refuses its pager, code ${l4.error}`);
  }

  /** Answers the servers that wait and starts the root task. */
  *#finishBoot(): Generator<L4Wait, void> {
    const l4 = this.#l4;
    for (const server of this.#waiting) {
      const taskHandle = this.#taskRequests.find((r) => r.task === taskOf(server, l4.wordBits))?.handle ?? 0;
      this.#reply(this.#task, taskHandle, 0, 0);
      l4.reply(server);
    }
    this.#waiting = [];
    yield* this.#startOrdinary('the root task', this.#root, this.#modules.root.body);
  }
}

/** What physmem does for a request, for the boot log. */
function whatIsMade({ task, pages, memory }: CapabilityRequest): string {
  if (memory === null) return `give task ${task} the master control`;
  if (memory === FPAGE_NIL) return `guarantee task ${task} ${pages} frames`;
  return `keep the startup page of task ${task}, ${fpageSize(memory) / 4096} frames`;
}

/** The answer comes later, or never. */
const DEFERRED = -1;
