/**
 * Processes of the posix server on a false kernel: flat, paged guest memory, and threads whose system calls the test
 * makes itself. No hart, no pager, no scheduler: a page is mapped or it is not, and who waits is resumed when another
 * thread has sent it a message.
 */
import { Tracer } from '../../../hostkernel/base/trace.ts';
import { EACCES, EFAULT, EINVAL, ENOMEM } from '../../../hostkernel/base/errno.ts';
import {
  ANY,
  IPC_TIMEOUT,
  type L4,
  L4_WAIT,
  type L4Operation,
  type L4Program,
  type L4Wait,
  LABEL_EXCEPTION,
  LABEL_PREEMPTION,
  LABEL_SYSCALL,
  Message,
  NEVER,
  NIL,
  PHASE_RECEIVE,
  type ThreadId,
  type Timeout,
  timeoutMicroseconds,
  type WordBits,
} from '../../../vkernel/l4/user.ts';
import type { Mapping, MapRequest, TaskMemory } from '../../../userland/libhurd-mm/interface.ts';
import type { PlaceBody, ProcessExit, ProcessServer } from '../../../vkernel/posix/interface.ts';
import type { Place, Process } from '../../../vkernel/posix/process.ts';
import { posixBody } from '../../../vkernel/posix/server.ts';
import type { System } from '../../../vkernel/posix/system.ts';
import type { FileProvider } from '../../../vkernel/posix/vfs/provider.ts';

const PAGE = 4096;

/** Paged memory: page number -> bytes and protection. */
export class FlatMemory {
  clone(): FlatMemory {
    const copy = new FlatMemory();
    for (const [page, { bytes, prot }] of this.pages) copy.pages.set(page, { bytes: bytes?.slice() ?? null, prot });
    return copy;
  }

  readonly pages = new Map<number, { bytes: Uint8Array | null; prot: number }>(); // null: all zeros, so far

  /** @returns bytes moved before the first page that is missing or lacks the right */
  transfer(va: number, len: number, access: number, move: (page: Uint8Array, inPage: number, done: number, n: number) => void): number {
    let done = 0;
    while (done < len) {
      const at = va + done;
      const page = this.pages.get(Math.floor(at / PAGE));
      if (page === undefined || (page.prot & access) !== access) break;
      const n = Math.min(len - done, PAGE - (at % PAGE));
      page.bytes ??= new Uint8Array(PAGE);
      move(page.bytes, at % PAGE, done, n);
      done += n;
    }
    return done;
  }
}

class FlatTask implements TaskMemory {
  readonly memory: FlatMemory;
  readonly #userEnd: number;
  #next = 0x1000_0000;
  #break = 0;
  #breakStart = 0;

  constructor(memory: FlatMemory, userEnd: number) {
    this.memory = memory;
    this.#userEnd = userEnd;
  }

  // oxlint-disable-next-line require-yield
  *mmap(r: MapRequest): Generator<L4Wait, number> {
    const pages = Math.ceil(r.len / PAGE);
    if (r.addr < 0 || r.len <= 0 || r.len > this.#userEnd) return -EINVAL;
    if (pages > 65536) return -ENOMEM;
    let start = Math.floor(r.addr / PAGE) * PAGE;
    if ((r.flags & 0x100010) === 0 && (start === 0 || this.memory.pages.has(start / PAGE))) {
      start = this.#next;
      this.#next += (pages + 1) * PAGE;
    }
    if (start + r.len > this.#userEnd) return -ENOMEM;
    for (let i = 0; i < pages; i++) {
      const bytes = r.file === null ? null : new Uint8Array(PAGE);
      if (bytes !== null) r.file?.read(r.offset + i * PAGE, bytes);
      this.memory.pages.set(start / PAGE + i, { bytes, prot: r.prot });
    }
    return start;
  }
  // oxlint-disable-next-line require-yield
  *munmap(addr: number, len: number): Generator<L4Wait, number> {
    if (len > 2 ** 32) return -EINVAL;
    for (let i = 0; i < Math.ceil(len / PAGE); i++) this.memory.pages.delete(addr / PAGE + i);
    return 0;
  }
  // oxlint-disable-next-line require-yield
  *mprotect(addr: number, len: number, prot: number): Generator<L4Wait, number> {
    if (len > 2 ** 32) return -ENOMEM;
    for (let i = 0; i < Math.ceil(len / PAGE); i++) {
      const page = this.memory.pages.get(addr / PAGE + i);
      if (page === undefined) return -ENOMEM;
      page.prot = prot;
    }
    return 0;
  }
  // oxlint-disable-next-line require-yield
  *mremap(): Generator<L4Wait, number> {
    return -ENOMEM;
  }
  // oxlint-disable-next-line require-yield
  *madvise(): Generator<L4Wait, number> {
    return 0;
  }
  // oxlint-disable-next-line require-yield
  *msync(): Generator<L4Wait, number> {
    return 0;
  }
  setBreak(addr: number): void {
    this.#break = addr;
    this.#breakStart = addr;
  }
  *brk(addr: number): Generator<L4Wait, number> {
    if (addr < this.#breakStart || addr > this.#breakStart + 2 ** 26) return this.#break;
    const [from, to] = [Math.ceil(this.#break / PAGE), Math.ceil(addr / PAGE)];
    if (to > from) yield* this.mmap({ addr: from * PAGE, len: (to - from) * PAGE, prot: 3, flags: 0x32, file: null, offset: 0 });
    this.#break = addr;
    return addr;
  }
  *mappings(): Iterable<Mapping> {
    const pages = [...this.memory.pages.keys()].sort((one, other) => one - other);
    const protOf = (page: number): number => this.memory.pages.get(page)?.prot ?? -1;
    for (let i = 0, first = 0; i < pages.length; i++) {
      if (protOf(pages[i] + 1) === protOf(pages[i])) continue;
      yield { start: pages[first] * PAGE, end: (pages[i] + 1) * PAGE, prot: protOf(pages[i]), shared: false, offset: 0, file: null };
      first = i + 1;
    }
  }
  // oxlint-disable-next-line require-yield
  *reset(): Generator<L4Wait, void> {
    this.memory.pages.clear();
  }
  *abandon(): Generator<L4Wait, void> {}
  readonly filesAreDirty = false;
  readonly filesAreStale = false;
  *writeFiles(): Generator<L4Wait, void> {}
  *refreshFiles(): Generator<L4Wait, void> {}
}

export interface GuestOptions {
  readonly wordBits?: WordBits;
  readonly provider?: FileProvider | null;
  readonly files?: readonly { path: string; mode: number; bytes: Uint8Array }[];
  readonly program?: string;
  readonly argv?: readonly string[];
  readonly env?: readonly string[];
  readonly stdin?: Uint8Array;
  readonly terminals?: readonly [boolean, boolean, boolean];
  /** Whether there may be more than one process. */
  readonly processes?: boolean;
}

/** What guests made from each other share. */
interface World {
  readonly guests: Guest[]; // in order of their making
  readonly pending: (() => void)[]; // what happens when the thread that runs has come to wait
  isPumping: boolean;
  micros: number;
  refusal: number; // what the next fork or spawn answers, where it is not 0
  harts?: 'none'; // the kernel has no memory for the registers of one that begins
  fault?: (va: number) => void; // called where a thread waits for its pager
  process: Process | null; // any of them
}

/** How a guest comes from another one. */
interface Birth {
  readonly world: World;
  readonly memory: FlatMemory;
  readonly body: PlaceBody;
}

/** A program under test: memory, registers, and what it has written. */
export class Guest {
  readonly memory: FlatMemory;
  readonly world: World;
  readonly hart: ThreadId;
  readonly thread: ThreadId;
  readonly x = new Int32Array(64);
  readonly f = new Int32Array(65);
  readonly tracer = new Tracer();
  readonly reports: string[] = [];
  readonly output: Record<1 | 2, number[]> = { 1: [], 2: [] };
  readonly message: Message;
  exit: ProcessExit | null = null; // of the first process
  isGone = false; // its task has been destroyed
  started: { ip: number; sp: number } | null = null;
  readonly userEnd: number;
  readonly #body: L4Program;
  #from: ThreadId = NIL;
  #error = 0; // of the next receive that ends
  #takesAny = false; // it waits for a message of anybody
  readonly #options: GuestOptions;
  #preempted = false;
  #inCall = false; // the hart waits for an answer

  constructor(options: GuestOptions = {}, birth: Birth | null = null) {
    this.world = birth?.world ?? { guests: [], pending: [], isPumping: false, micros: 0, refusal: 0, process: null };
    this.memory = birth?.memory ?? new FlatMemory();
    const number = this.world.guests.length + 1;
    this.hart = (0x1_0000_0000 + number) as ThreadId;
    this.thread = (0x2_0000_0000 + number) as ThreadId;
    if (birth === null) this.world.guests.push(this);
    this.#options = options;
    const wordBits = options.wordBits ?? 64;
    this.userEnd = wordBits === 64 ? 2 ** 38 : 0xc000_0000;
    this.message = new Message(wordBits);
    let input = options.stdin ?? new Uint8Array();
    if (birth !== null) {
      this.#body = birth.body(this.#place())(this.#l4(wordBits));
      this.world.pending.push(() => this.#body.next());
      return;
    }
    const body = posixBody({
      ...this.#place(),
      ...(options.processes === true ? { server: this.#server() } : {}),
      tracer: this.tracer,
      program: options.program ?? '/bin/prog',
      argv: options.argv ?? ['prog'],
      env: options.env ?? [],
      provider: options.provider ?? null,
      files: options.files ?? [{ path: '/bin/prog', mode: 0o755, bytes: tinyElf(wordBits) }],
      streams: () => ({
        terminals: options.terminals ?? [false, false, false],
        read: (max) => {
          const part = input.subarray(0, max);
          input = input.subarray(part.length);
          return part;
        },
        write: (fd, bytes) => {
          this.output[fd].push(...bytes);
          return bytes.length;
        },
      }),
      onExit: (exit) => this.#ended(exit),
      report: (line) => this.reports.push(line),
    });
    this.#body = body(this.#l4(wordBits));
    this.#body.next();
    if (this.exit === null) this.map(SCRATCH, 16);
  }

  map(va: number, pages: number, prot = 3): void {
    for (let i = 0; i < pages; i++) this.memory.pages.set(va / PAGE + i, { bytes: null, prot });
  }

  #place(): Place {
    const task = new FlatTask(this.memory, this.userEnd);
    return { hart: this.hart, pager: this.thread, memory: () => task };
  }

  /** Microseconds of virtual time, the same for all guests. */
  get micros(): number {
    return this.world.micros;
  }
  set micros(value: number) {
    this.world.micros = value;
  }

  /** The guest made last. */
  get newest(): Guest {
    return this.world.guests.at(-1) as Guest;
  }

  /** Whether the call made last has not been answered. */
  get isWaiting(): boolean {
    return this.#inCall && !this.isGone;
  }

  /** a0: the answer to the call made last. */
  get result(): number {
    return this.#signed(this.x[20], this.x[21]);
  }

  /** The processes of the system. */
  get system(): System {
    if (this.world.process === null) throw new Error('guest: nothing has been forked');
    return this.world.process.system;
  }

  /** Makes and destroys tasks at once, where the root task takes messages. */
  #server(): ProcessServer {
    const { world } = this;
    const options = this.#options;
    const guestOf = (l4: L4): Guest => world.guests.find(({ thread }) => thread === l4.id) as Guest;
    function* make(memory: FlatMemory, body: PlaceBody): Generator<L4Wait, number> {
      yield* [];
      const { refusal } = world;
      world.refusal = 0;
      if (refusal === 0) world.guests.push(new Guest(options, { world, memory, body }));
      return refusal;
    }
    return {
      fork: (l4, body) => make(guestOf(l4).memory.clone(), body),
      spawn: (_l4, body) => make(new FlatMemory(), body),
      *end(l4, process) {
        yield* [];
        guestOf(l4).isGone = true;
        world.process = process;
        process.system.bury(process);
        process.system.flush(l4);
      },
    };
  }

  /** Lets everybody go on who has been sent something, until all wait. */
  #pump(): void {
    const { world } = this;
    if (world.isPumping) return;
    world.isPumping = true;
    for (let next = world.pending.shift(); next !== undefined; next = world.pending.shift()) next();
    world.isPumping = false;
  }

  /** The message of another thread, if this one waits for any. */
  #woken(by: ThreadId, label: number): void {
    if (!this.#takesAny || this.isGone) return;
    this.#takesAny = false;
    this.message.begin(label);
    this.#from = by;
    this.#body.next();
  }

  /** Makes a system call with arguments as numbers or raw [lo, hi] halves. @returns a0 as a signed number */
  syscall(number: number, ...args: (number | readonly [number, number])[]): number {
    const { message } = this;
    message.begin(LABEL_SYSCALL);
    message.append(number);
    for (let i = 0; i < 6; i++) {
      const value = args[i] ?? 0;
      message.append(0);
      if (typeof value === 'number') message.setWord(2 + i, value);
      else message.setHalves(2 + i, value[0], value[1]);
    }
    message.append(this.#pc());
    [this.x[20], this.x[21]] = [message.lo[2], message.hi[2]]; // a0 is the first argument until there is an answer
    this.#resume();
    return this.result;
  }

  /** Traps with a cause, as the hart would. */
  trap(cause: number, tval: number): void {
    this.message.begin(LABEL_EXCEPTION);
    for (const value of [cause, tval, this.#pc()]) this.message.append(value);
    this.#resume();
  }

  /** Computes for `us` microseconds: the server wakes by its time-out, if it has one, and may preempt. */
  compute(us: number): void {
    this.micros += us;
    this.#error = (IPC_TIMEOUT << 1) | PHASE_RECEIVE;
    this.#body.next();
    this.#error = 0;
    this.#pump();
  }

  #preempt(): void {
    if (!this.#preempted) return;
    this.#preempted = false;
    this.message.begin(LABEL_PREEMPTION);
    this.#resume();
  }

  *#received(): L4Operation {
    yield L4_WAIT;
    return this.#error;
  }

  read(va: number, len: number): Uint8Array {
    const bytes = new Uint8Array(len);
    const n = this.memory.transfer(va, len, 0, (page, at, done, count) => bytes.set(page.subarray(at, at + count), done));
    if (n !== len) throw new Error(`guest: nothing mapped at ${va.toString(16)}`);
    return bytes;
  }

  write(va: number, bytes: Uint8Array): number {
    this.memory.transfer(va, bytes.length, 0, (page, at, done, count) => page.set(bytes.subarray(done, done + count), at));
    return va;
  }

  /** Puts a NUL-terminated string at `va`. @returns va */
  text(va: number, text: string): number {
    return this.write(va, new TextEncoder().encode(`${text}\0`));
  }

  view(va: number, len: number): DataView {
    return new DataView(this.read(va, len).buffer);
  }

  get stdout(): string {
    return new TextDecoder().decode(Uint8Array.from(this.output[1]));
  }

  #pc(): number {
    return this.#signed(this.x[0], this.x[1]);
  }

  #signed(lo: number, hi: number): number {
    return this.message.wordBits === 32 ? lo : hi * 2 ** 32 + (lo >>> 0);
  }

  *#ended(exit: ProcessExit): Generator<L4Wait, void, void> {
    this.exit = exit;
  }

  #resume(): void {
    this.#from = this.hart;
    this.#inCall = true;
    this.#takesAny = false;
    this.#body.next();
    this.#pump();
  }

  #l4(wordBits: WordBits): L4 {
    const { memory, message } = this;
    const sent = (): void => {
      this.started = { ip: message.word(1), sp: message.word(2) };
      this.x[0] = message.lo[1];
      this.x[1] = message.hi[1];
      this.x[4] = message.lo[2];
      this.x[5] = message.hi[2];
    };
    const answered = (): void => {
      this.#inCall = false;
      if (message.untyped === 0) return;
      this.x[20] = message.lo[1];
      this.x[21] = message.hi[1];
    };
    const refusal = (va: number, access: number): number => (memory.pages.has(Math.floor(va / PAGE)) && access !== 0 ? EACCES : EFAULT);
    function* wait(): L4Operation {
      yield L4_WAIT;
      return 0;
    }
    /** Inside a call time passes by itself: nobody else is there to send anything. */
    const received = (source: ThreadId, limit: Timeout = NEVER): L4Operation => {
      const isBegun = source === this.hart && this.world.harts !== 'none';
      if (isBegun) this.world.pending.push(() => this.trap(12, this.userEnd));
      this.#takesAny = source === ANY;
      const isLost = source === this.hart && !isBegun;
      if (!isLost && (!this.#inCall || source !== ANY)) return this.#received();
      if (limit === NEVER) return this.#received();
      this.micros += timeoutMicroseconds(limit);
      return done((IPC_TIMEOUT << 1) | PHASE_RECEIVE);
    };
    function* done(value: number): L4Operation {
      yield* [];
      return value;
    }
    const tryRead: L4['tryRead'] = (va, into, at, len) =>
      memory.transfer(va, len, 1, (page, from, off, n) => into.set(page.subarray(from, from + n), at + off));
    const tryWrite: L4['tryWrite'] = (va, from, at, len) =>
      memory.transfer(va, len, 2, (page, to, off, n) => page.set(from.subarray(at + off, at + off + n), to));
    const tryFill: L4['tryFill'] = (va, len, byte) => memory.transfer(va, len, 2, (page, to, _off, n) => page.fill(byte, to, to + n));
    const partial: Partial<L4> = {
      id: this.thread,
      wordBits,
      userEnd: this.userEnd,
      message,
      error: 0,
      acceptor: 0,
      propagateAs: NIL,
      clock: () => this.micros,
      send: () => {
        sent();
        return done(0);
      },
      receive: received,
      preempt: () => {
        this.#preempted = true;
        this.world.pending.push(() => this.#preempt());
        return 1;
      },
      reply: (to) => {
        if (to === this.hart) answered();
        else {
          const label = message.label;
          const target = this.world.guests.find(({ thread }) => thread === to);
          if (target !== undefined) this.world.pending.push(() => target.#woken(this.thread, label));
        }
        return 0;
      },
      replyWait: () => {
        answered();
        this.#takesAny = true;
        return wait();
      },
      sleep: (us) => {
        this.micros += us;
        return done(0);
      },
      setExceptionHandler: () => 1,
      registers: () => this.x,
      floatRegisters: () => this.f,
      tryRead,
      tryWrite,
      tryFill,
      read: (va, into) => done(tryRead(va, into, 0, into.length) === into.length ? 0 : EFAULT),
      write: (va, from) => done(tryWrite(va, from, 0, from.length) === from.length ? 0 : EFAULT),
      fill: (va, len, byte) => done(tryFill(va, len, byte) === len ? 0 : EFAULT),
      touch: (va, access) => {
        this.world.fault?.(va);
        return done(memory.transfer(va, 1, access, () => undefined) === 1 ? 0 : refusal(va, access));
      },
    };
    Object.defineProperty(partial, 'from', { get: () => this.#from });
    return partial as L4; // what the server uses of it is here; anything else would be a TypeError in the test
  }
}

/** Pages mapped for the test's own data. */
export const SCRATCH = 0x0800_0000;

/** The smallest static program: one segment, read and execute, two instructions. */
export function tinyElf(wordBits: WordBits, options: { machine?: number; type?: number } = {}): Uint8Array {
  const wide = wordBits === 64;
  const bytes = new Uint8Array(PAGE);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1]);
  view.setUint16(16, options.type ?? 2, true);
  view.setUint16(18, options.machine ?? 243, true);
  view.setUint32(20, 1, true);
  const base = options.type === 3 ? 0 : 0x10000;
  const headers = wide ? 64 : 52;
  if (wide) {
    view.setUint32(24, base + 0x100, true);
    view.setUint32(32, headers, true);
    view.setUint16(52, 64, true);
    view.setUint16(54, 56, true);
    view.setUint16(56, 1, true);
    [1, 5].forEach((value, i) => view.setUint32(headers + 4 * i, value, true));
    [0, base, base, PAGE, PAGE + 0x800, PAGE].forEach((value, i) => view.setUint32(headers + 8 + 8 * i, value, true));
  } else {
    view.setUint32(24, base + 0x100, true);
    view.setUint32(28, headers, true);
    view.setUint16(40, 52, true);
    view.setUint16(42, 32, true);
    view.setUint16(44, 1, true);
    [1, 0, base, base, PAGE, PAGE + 0x800, 5, PAGE].forEach((value, i) => view.setUint32(headers + 4 * i, value, true));
  }
  view.setUint32(0x100, 0x05d00893, true); // li a7, 93
  view.setUint32(0x104, 0x00000073, true); // ecall
  return bytes;
}
