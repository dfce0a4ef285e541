/**
 * What the parts of the kernel share: tables of threads and spaces, queues, virtual time, counters. No behaviour that
 * another file owns; the invariants of the whole are in invariants.ts.
 *
 * Virtual time is nanoseconds since the start: one for each instruction a hart retired, plus a fixed charge for each
 * kernel operation, plus what was skipped while all threads waited for time to pass.
 */
import type { Tracer } from '../../hostkernel/base/trace.ts';
import type { Platform } from '../platform/index.ts';
import { MappingDatabase } from './mapping.ts';
import { ReadyQueue } from './ready-queue.ts';
import { Space } from './space.ts';
import { INACTIVE, READY, type Thread } from './thread.ts';
import { MAX_THREAD_NUMBER, taskOf, threadNumber, type ThreadId, type WordBits } from './thread-id.ts';
import { TimerQueue } from './timer-queue.ts';

/** Charges of virtual time, ns. */
export const CHARGE_IPC = 200;
export const CHARGE_PAGE = 50; // one page mapped or unmapped
export const CHARGE_CONTROL = 1000;
/** A thread's turn before others of its priority get theirs, virtual ns. */
export const TIME_SLICE = 1_000_000;

export interface KernelCounters {
  ipcs: number; //         messages delivered
  ipcErrors: number;
  faults: number; //       page-fault messages, of harts and TypeScript threads
  syscalls: number; //     of hart threads
  exceptions: number;
  switches: number; //     another thread got the processor
  runs: number; //         RUN calls to the host
  instructions: number; // retired by hart threads
  timeouts: number;
  propagated: number;
  stopped: number; //      threads stopped because of a fault nobody handles
}

export class KernelState {
  readonly platform: Platform;
  readonly tracer: Tracer;
  readonly wordBits: WordBits;
  readonly maps: MappingDatabase;
  readonly ready = new ReadyQueue();
  readonly timers = new TimerQueue();
  readonly threads: (Thread | null)[] = []; // by thread number
  readonly spaces: Space[] = []; // alive, in order of creation
  readonly counters: KernelCounters = {
    ipcs: 0,
    ipcErrors: 0,
    faults: 0,
    syscalls: 0,
    exceptions: 0,
    switches: 0,
    runs: 0,
    instructions: 0,
    timeouts: 0,
    propagated: 0,
    stopped: 0,
  };
  readonly log: (line: string) => void;
  now = 0; //              virtual ns
  current: Thread | null = null; // whose program runs
  shutdownReason: string | null = null;
  donated: Thread | null = null; // runs next, whatever the queue says
  /** Called once, between two instructions, as soon as harts have retired `probeAt` of them. */
  probe: (() => void) | null = null;
  probeAt = Number.POSITIVE_INFINITY;
  #outOfTables = false; // has been logged

  constructor(platform: Platform, tracer: Tracer, log: (line: string) => void) {
    this.platform = platform;
    this.tracer = tracer;
    this.wordBits = platform.xlen;
    this.maps = new MappingDatabase(platform);
    this.maps.reclaim = () => this.#freeEmptyTables();
    this.log = log;
  }

  /** Page tables need frames, and there are none. @returns frames freed; the first time there are none, that is logged */
  #freeEmptyTables(): number {
    const freed = this.spaces.reduce((sum, space) => sum + space.guest.trim(), 0);
    if (freed === 0 && !this.#outOfTables) {
      this.#outOfTables = true;
      this.log('l4: no frame is left for page tables; mappings that need one are not made');
    }
    return freed;
  }

  /** The thread an id names, active or not; null if there is none. Hot. */
  find(id: number): Thread | null {
    if (!(id > 0)) return null;
    const number = threadNumber(id, this.wordBits);
    if (number > MAX_THREAD_NUMBER) return null;
    const thread = this.threads[number];
    return thread !== undefined && thread !== null && thread.id === id ? thread : null;
  }

  /** The active thread an id names, remembered in `thread.peer`. Hot. */
  partner(thread: Thread, id: ThreadId): Thread | null {
    const last = thread.peer;
    if (last !== null && last.id === id && last.state !== INACTIVE) return last; // a dead thread has no id
    const found = this.find(id);
    if (found === null || !found.isActive) return null;
    thread.peer = found;
    return found;
  }

  createSpace(options: { privileged: boolean; idempotent: boolean }): Space {
    const space = new Space(this.platform.createSpace(), options);
    this.spaces.push(space);
    return space;
  }

  /** Removes every mapping of a space that no thread lives in, then the space: all its frames are free again. */
  destroySpace(space: Space): void {
    const { guest } = space;
    guest.close();
    if (!space.idempotent) {
      const end = guest.table.pageLimit;
      for (let page = guest.table.nextMapped(0, end); page >= 0; page = guest.table.nextMapped(page + 1, end)) {
        this.maps.removeTree(guest.table.tag(page));
      }
    }
    this.maps.flush();
    guest.destroy();
    space.destroyed = true;
    this.spaces.splice(this.spaces.indexOf(space), 1);
  }

  /** Puts a thread that has become READY where the scheduler finds it. The running thread is found anyway. Hot. */
  makeReady(thread: Thread): void {
    thread.state = READY;
    if (thread !== this.current) this.ready.add(thread);
  }

  nameOf(thread: Thread): string {
    return `${thread.number}:${taskOf(thread.id, this.wordBits)}`;
  }
}
