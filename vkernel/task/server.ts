/**
 * The task server: hands out task ids and thread numbers, and makes threads through wortel.
 *
 *   task control capability -> Task { id, threads }          the version of a thread is its task's id
 *
 * A task id is used again as late as possible; a thread number stays with this server for good and is used again
 * first. Not here: starting and stopping threads, which is local business of each task.
 * Source: hurd-l4 task server.
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { EAGAIN, EINVAL, ENOMEM, EPERM, ESRCH } from '../../hostkernel/base/errno.ts';
import type { Tracer } from '../../hostkernel/base/trace.ts';
import { HANDLES_32, HANDLES_64, ObjectTable } from '../cap/objects.ts';
import { type Call, callText, type Handlers, invoke, serve } from '../cap/rpc.ts';
import { type StartupData, startup } from '../cap/startup.ts';
import {
  isVersion,
  type L4,
  type L4Body,
  type L4Wait,
  MAX_THREAD_NUMBER,
  NIL,
  type ThreadId,
  threadId,
  threadNumber,
  versionBits,
} from '../l4/user.ts';
import { WORTEL, withCapability } from '../wortel/interface.ts';
import { TASK, TASK_CONTROL } from './interface.ts';

/** Task ids below this belong to the boot. */
const FIRST_TASK = 6;
const NO_UTCB = -1;

interface Task {
  readonly id: number;
  readonly threads: ThreadId[]; // in order of creation
}

type Log = (who: string, text: string) => void;

/** The program of the task server. */
export function taskServer(tracer: Tracer, log: Log): L4Body {
  return function* main(l4: L4): Generator<L4Wait, void> {
    const data = yield* startup(l4);
    if (typeof data === 'string') {
      log('task', data);
      return;
    }
    const server = new TaskServer(l4, data);
    const failure = yield* server.boot(log);
    if (failure !== null) {
      log('task', failure);
      return;
    }
    yield* serve(l4, { methods: TASK, handlers: server.handlers, objects: server.objects, nobody: server.nobody, tracer });
  };
}

class TaskServer {
  readonly objects: ObjectTable<Task>;
  readonly nobody: Task = { id: 0, threads: [] };
  readonly handlers: Handlers<typeof TASK, Task>;
  readonly #l4: L4;
  readonly #wortel: ThreadId;
  readonly #calls;
  readonly #tasks = new Map<number, Task>(); // by id
  readonly #freeNumbers: number[] = []; // thread numbers given back; the last is used first
  #nextNumber = 0;
  #lastTask = FIRST_TASK - 1;

  constructor(l4: L4, data: StartupData) {
    this.#l4 = l4;
    this.#wortel = data.wortel;
    this.#calls = withCapability(WORTEL, data.wortelCapability);
    // The last capability gone destroys nothing here: threads of a boot task outlive their starter's interest in them.
    this.objects = new ObjectTable<Task>(l4.wordBits === 32 ? HANDLES_32 : HANDLES_64, () => undefined);
    this.handlers = {
      threadAlloc: (call, _task, utcb) => this.#threadAlloc(call, utcb),
      threadDealloc: (call, _task, thread) => this.#threadDealloc(call, thread as ThreadId),
      taskCreate: (call, _creator, kip, utcb) => this.#taskCreate(call, kip, utcb),
      taskDestroy: (call, handle) => this.#taskDestroy(call, handle),
      threadSet: (call, _task, thread, scheduler, pager, utcb) => this.#threadSet(call, thread, scheduler, pager, utcb),
    };
  }

  /** The bootstrap dialogue. @returns null, or one line that says what failed */
  *boot(log: Log): Generator<L4Wait, string | null> {
    const { message } = this.#l4;
    let label = yield* invoke(this.#l4, this.#wortel, this.#calls.getFirstFreeThreadNumber);
    if (label !== 0) return callText(WORTEL.getFirstFreeThreadNumber, label);
    this.#nextNumber = message.word(1);
    for (;;) {
      label = yield* invoke(this.#l4, this.#wortel, this.#calls.getTaskCapabilityRequest);
      if (label !== 0) return callText(WORTEL.getTaskCapabilityRequest, label);
      const id = message.word(1);
      const threads = Array.from({ length: message.word(2) }, (_, i) => message.word(3 + i) as ThreadId);
      const task: Task = { id, threads };
      if (threads.length > 0) this.#tasks.set(id, task);
      const handle = this.objects.grant(id, TASK_CONTROL, task);
      label = yield* invoke(this.#l4, this.#wortel, this.#calls.getTaskCapabilityReply, handle);
      if (label !== 0) return callText(WORTEL.getTaskCapabilityReply, label);
      if (threads.length === 0) break; // the master capability ends the dialogue
    }
    log('task', `knows ${this.#tasks.size} tasks`);
    label = yield* invoke(this.#l4, this.#wortel, this.#calls.bootstrapFinal);
    return label === 0 ? null : callText(WORTEL.bootstrapFinal, label);
  }

  /** A thread number nobody uses, or -1. */
  #takeNumber(): number {
    const free = this.#freeNumbers.pop();
    if (free !== undefined) return free;
    if (this.#nextNumber > MAX_THREAD_NUMBER) return -1;
    return this.#nextNumber++;
  }

  /** The next valid task id after the last one handed out, or 0 where all are in use. */
  #takeTaskId(): number {
    const last = 2 ** versionBits(this.#l4.wordBits) - 1;
    const most = this.#tasks.size + Math.ceil(this.#tasks.size / 63) + FIRST_TASK; // ids in use, and the invalid ones among them
    for (let tries = 0; tries <= most; tries += 1) {
      this.#lastTask = this.#lastTask >= last ? FIRST_TASK : this.#lastTask + 1;
      if (isVersion(this.#lastTask, this.#l4.wordBits) && !this.#tasks.has(this.#lastTask)) return this.#lastTask;
    }
    return 0;
  }

  /** The kernel's ThreadControl, through wortel. @returns 0, the kernel's error code, or -1 where wortel refuses */
  *#threadControl(dest: ThreadId, space: ThreadId, scheduler: ThreadId, pager: ThreadId, utcb: number): Generator<L4Wait, number> {
    const label = yield* invoke(this.#l4, this.#wortel, this.#calls.threadControl, dest, space, scheduler, pager, utcb);
    return label === 0 ? this.#l4.message.word(1) : -1;
  }

  *#threadAlloc(call: Call<Task>, utcb: number): Generator<L4Wait, number> {
    const task = call.object;
    const first = task.threads[0];
    if (first === undefined) return EINVAL; // the master capability stands for no task
    const number = this.#takeNumber();
    if (number < 0) return EAGAIN;
    const id = threadId(number, task.id, this.#l4.wordBits);
    const code = yield* this.#threadControl(id, first, call.from, id, utcb);
    if (code !== 0) {
      this.#freeNumbers.push(number);
      call.result(0, code);
      return EINVAL;
    }
    task.threads.push(id);
    call.result(0, id);
    return 0;
  }

  *#threadDealloc(call: Call<Task>, thread: ThreadId): Generator<L4Wait, number> {
    const { threads } = call.object;
    const index = threads.indexOf(thread);
    if (index < 0) return ESRCH;
    if (threads.length === 1) return EPERM;
    const code = yield* this.#threadControl(thread, NIL, NIL, NIL, NO_UTCB);
    if (code !== 0) return EINVAL;
    threads.splice(index, 1);
    this.#freeNumbers.push(threadNumber(thread, this.#l4.wordBits));
    return 0;
  }

  *#taskCreate(call: Call<Task>, kip: number, utcb: number): Generator<L4Wait, number> {
    const task = this.#takeTaskId();
    const number = this.#takeNumber();
    if (task === 0 || number < 0) {
      if (number >= 0) this.#freeNumbers.push(number);
      return EAGAIN;
    }
    const id = threadId(number, task, this.#l4.wordBits);
    const code = yield* this.#newSpace(id, call.from, kip, utcb);
    if (code !== 0) {
      this.#freeNumbers.push(number);
      call.result(0, code);
      return EINVAL;
    }
    const made: Task = { id: task, threads: [id] };
    const handle = this.objects.grant(call.task, TASK_CONTROL, made);
    if (handle === 0) {
      yield* this.#threadControl(id, NIL, NIL, NIL, NO_UTCB);
      this.#freeNumbers.push(number);
      return ENOMEM;
    }
    this.#tasks.set(task, made);
    call.result(0, handle);
    call.result(1, task);
    call.result(2, id);
    return 0;
  }

  /** An inactive thread in a space of its own. @returns 0 or the kernel's error code; then nothing is left behind */
  *#newSpace(id: ThreadId, scheduler: ThreadId, kip: number, utcb: number): Generator<L4Wait, number> {
    let code = yield* this.#threadControl(id, id, scheduler, NIL, NO_UTCB);
    if (code !== 0) return code;
    const label = yield* invoke(this.#l4, this.#wortel, this.#calls.spaceControl, id, 0, kip, utcb, NIL);
    code = label === 0 ? this.#l4.message.word(1) : label;
    if (code !== 0) yield* this.#threadControl(id, NIL, NIL, NIL, NO_UTCB);
    return code;
  }

  *#taskDestroy(call: Call<Task>, handle: number): Generator<L4Wait, number> {
    const task = call.object;
    if (task.id === call.task || task.threads.length === 0 || task.id < FIRST_TASK) return EPERM;
    for (const thread of task.threads.splice(0).reverse()) {
      const code = yield* this.#threadControl(thread, NIL, NIL, NIL, NO_UTCB);
      kassert(code === 0, 'task: the kernel keeps a thread of a dead task');
      this.#freeNumbers.push(threadNumber(thread, this.#l4.wordBits));
    }
    this.#tasks.delete(task.id);
    this.objects.revoke(task);
    const entry = this.objects.lookup(handle, call.task);
    if (entry !== null) this.objects.release(entry, entry.references);
    this.objects.releaseTask(task.id);
    return 0;
  }

  *#threadSet(call: Call<Task>, thread: number, scheduler: number, pager: number, utcb: number): Generator<L4Wait, number> {
    const { threads } = call.object;
    if (!threads.includes(thread as ThreadId)) return ESRCH;
    const slot = utcb >= 2 ** this.#l4.wordBits - 1 ? NO_UTCB : utcb;
    const code = yield* this.#threadControl(thread as ThreadId, thread as ThreadId, scheduler as ThreadId, pager as ThreadId, slot);
    call.result(0, code);
    return code === 0 ? 0 : EINVAL;
  }
}
