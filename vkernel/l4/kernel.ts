/**
 * The guest kernel: its main loop, and how it comes to life. The entry for whoever boots it; programs see user.ts.
 *
 *   run():  shut down? -> time-outs due -> take the first ready thread -> run it until it waits -> again
 *                                     \-> none ready: skip time to the next deadline; none: everybody waits, the end
 *
 * Order of reading: state.ts (what there is), ipc.ts, items.ts, mapping.ts, fault.ts, hart.ts, control.ts.
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { Tracer } from '../../hostkernel/base/trace.ts';
import type { GuestSpace, HostWait, Platform } from '../platform/index.ts';
import { activate, addThread, reserveAreas } from './control.ts';
import { fpage } from './fpage.ts';
import { finishKernelCall, runHart } from './hart.ts';
import { assertKernelInvariants } from './invariants.ts';
import { expireIpc } from './ipc.ts';
import type { MappingCounters } from './mapping.ts';
import { giveBody } from './port.ts';
import { FrameOwners, sigma0Body } from './sigma0.ts';
import { type KernelCounters, KernelState, TIME_SLICE } from './state.ts';
import { DEAD, INACTIVE, KERNEL_IPC_NONE, KIND_BODY, READY, RECEIVING, SENDING, STATE_NAMES, STOPPED, type Thread } from './thread.ts';
import { NIL, threadId, type ThreadId, threadName, USER_BASE } from './thread-id.ts';
import type { L4Body } from './user.ts';

/** Number of the first user threads, and the task id they share. */
const SIGMA0_NUMBER = USER_BASE;
const ROOT_NUMBER = USER_BASE + 2;
const SYSTEM_TASK = 1;
const ROOT_PRIORITY = 255;
const AREA_SHIFT = 16; // KIP and UTCB areas of the root server, bytes as log2

/** What a thread in a kernel IPC waits for, by KERNEL_IPC_*. */
const WAITS = ['', ' to answer its fault', ' to answer its system call', ' to answer its exception', ' to start it'] as const;

/** How a run ended. */
export interface RunResult {
  /** shutdown: someone asked for it; deadlock: nobody can ever run again. */
  readonly reason: 'shutdown' | 'deadlock';
  /** shutdown: the reason given, one line; deadlock: who waits for whom, a line a thread. */
  readonly report: readonly string[];
}

export interface KernelOptions {
  readonly tracer?: Tracer;
  /** Receives the kernel's own messages, one line each, without the end of line. */
  readonly log?: (line: string) => void;
}

export class L4Kernel {
  readonly sigma0: ThreadId;
  readonly #state: KernelState;
  readonly #owners: FrameOwners;

  constructor(platform: Platform, options: KernelOptions = {}) {
    this.#state = new KernelState(platform, options.tracer ?? new Tracer(), options.log ?? (() => undefined));
    this.#owners = new FrameOwners(this.#state);
    const { wordBits } = this.#state;
    this.sigma0 = threadId(SIGMA0_NUMBER, SYSTEM_TASK, wordBits);
    const rootServer = threadId(ROOT_NUMBER, SYSTEM_TASK, wordBits);
    const space = this.#state.createSpace({ privileged: true, idempotent: true });
    space.initialised = true;
    this.#startSystemThread(this.sigma0, space, this.sigma0, sigma0Body(this.#owners, this.#state.log, rootServer));
  }

  /**
   * Creates the root server in a space of its own: pager sigma0, highest priority, may make the privileged calls.
   * Its KIP and UTCB areas are the last 128 KiB of its address space.
   */
  createRootThread(body: L4Body): ThreadId {
    const id = threadId(ROOT_NUMBER, SYSTEM_TASK, this.#state.wordBits);
    kassert(this.#state.find(id) === null, 'l4: a second root server');
    const space = this.#state.createSpace({ privileged: true, idempotent: false });
    const areaSize = 2 ** AREA_SHIFT;
    const top = Math.floor(this.#state.platform.userEnd / areaSize) * areaSize;
    reserveAreas(space, fpage(top - areaSize, AREA_SHIFT, 0), fpage(top - 2 * areaSize, AREA_SHIFT, 0));
    this.#startSystemThread(id, space, this.sigma0, body);
    return id;
  }

  #startSystemThread(id: ThreadId, space: KernelState['spaces'][number], pager: ThreadId, body: L4Body): void {
    const thread = addThread(this.#state, id, space, id);
    thread.priority = ROOT_PRIORITY;
    activate(this.#state, thread, pager);
    const started = giveBody(this.#state, thread, body);
    kassert(started, 'l4: system thread did not start');
    if (id === this.sigma0) thread.pager = NIL;
  }

  get counters(): KernelCounters & MappingCounters {
    return { ...this.#state.counters, ...this.#state.maps.counters };
  }

  /** Virtual time, ns. */
  get now(): number {
    return this.#state.now;
  }

  /** Mappings that exist; page-table and kernel frames in use; frames sigma0 has not given away. */
  get usage(): { mappings: number; tableFrames: number; freeFrames: number } {
    return { mappings: this.#state.maps.size, tableFrames: this.#state.platform.image.tableFramesUsed, freeFrames: this.#owners.free };
  }

  /** Spaces that harts have run in, the oldest first. */
  get hostedSpaces(): readonly GuestSpace[] {
    return this.#state.spaces.map((space) => space.guest).filter((guest) => guest.hosted);
  }

  /** Calls `probe` between two instructions, as soon as harts have retired `instructions` (at least one) of them. */
  probe(instructions: number, probe: () => void): void {
    this.#state.probeAt = instructions;
    this.#state.probe = probe;
  }

  /** Runs all threads until shutdown or deadlock; may be called again after both. Yields to the host when another process is due there. */
  *run(): Generator<HostWait, RunResult, void> {
    const state = this.#state;
    for (;;) {
      if (state.shutdownReason !== null) {
        const report = [state.shutdownReason];
        state.shutdownReason = null;
        return { reason: 'shutdown', report };
      }
      if (state.timers.size > 0 && state.timers.nextDeadline <= state.now) expireTimers(state);
      const thread = takeDonated(state) ?? state.ready.take();
      if (thread === null) {
        if (state.timers.size === 0) return { reason: 'deadlock', report: waitReport(state) };
        state.now = Math.max(state.now, state.timers.nextDeadline); // idle
        continue;
      }
      state.current = thread;
      if (thread !== this.#last) {
        noteSwitch(state, this.#last, thread);
        this.#last = thread;
      }
      if (thread.kind === KIND_BODY) stepBody(state, thread);
      else {
        while (!stepHart(state, thread)) {
          yield undefined;
          state.platform.image.resumed();
        }
      }
      state.current = null;
      if (thread.state === READY) requeue(state, thread);
    }
  }

  #last: Thread | null = null; // who ran last

  assertInvariants(): void {
    assertKernelInvariants(this.#state);
  }
}

function expireTimers(state: KernelState): void {
  for (let thread = state.timers.takeDue(state.now); thread !== null; thread = state.timers.takeDue(state.now)) expireIpc(state, thread);
}

/** The thread that was given the processor by threadSwitch, if it is still ready. */
function takeDonated(state: KernelState): Thread | null {
  const thread = state.donated;
  if (thread === null) return null;
  state.donated = null;
  if (!thread.queued) return null;
  state.ready.remove(thread);
  return thread;
}

/** Another thread gets the processor: a new turn. */
function noteSwitch(state: KernelState, last: Thread | null, thread: Thread): void {
  state.counters.switches++;
  thread.sliceEnd = state.now + TIME_SLICE;
  if (state.tracer.switch !== null) state.tracer.switch({ from: last?.id ?? NIL, to: thread.id });
}

/** Back into the queue: in front if a higher priority took the processor, at the end if the turn is over. */
function requeue(state: KernelState, thread: Thread): void {
  if (state.now >= thread.sliceEnd) {
    thread.sliceEnd = state.now + TIME_SLICE;
    state.ready.add(thread);
  } else state.ready.addFirst(thread);
}

/** Runs a TypeScript thread until it waits. Hot. */
function stepBody(state: KernelState, thread: Thread): void {
  const { program } = thread;
  kassert(program !== null, 'l4: thread without a program');
  const step = program.next();
  if (step.done !== true) return;
  thread.program = null;
  if (step.value !== undefined && thread.state !== DEAD) {
    thread.program = step.value;
    if (thread.state === READY) stepBody(state, thread);
    return;
  }
  if (thread.state === READY) {
    thread.state = STOPPED;
    state.ready.remove(thread);
  }
}

/** Runs a hart thread until it waits or its turn is over. @returns false if the host wants the processor first. Hot. */
function stepHart(state: KernelState, thread: Thread): boolean {
  if (thread.kernelIpc !== KERNEL_IPC_NONE) {
    finishKernelCall(state, thread);
    if (thread.state !== READY || thread.kernelIpc !== KERNEL_IPC_NONE) return true;
  }
  const turn = Math.min(thread.sliceEnd - state.now, state.timers.nextDeadline - state.now);
  return runHart(state, thread, turn >= 1 ? turn : 1);
}

/** Who waits for whom: one line a thread that is neither inactive nor the idle sigma0. */
function waitReport(state: KernelState): string[] {
  const lines: string[] = [];
  for (const thread of state.threads) {
    if (thread === null || thread === undefined || thread.state === INACTIVE) continue;
    const name = threadName(thread.id, state.wordBits);
    if (thread.state === SENDING) lines.push(`${name} waits to send to ${threadName((thread.sendTo as Thread).id, state.wordBits)}`);
    else if (thread.state === RECEIVING) {
      lines.push(`${name} waits for ${threadName(thread.waitFor, state.wordBits)}${WAITS[thread.kernelIpc]}`);
    } else lines.push(`${name} is ${thread.halted ? 'halted' : STATE_NAMES[thread.state]}`);
  }
  return lines;
}
