/**
 * The thread that answers a Linux program's system calls and faults: the body of one TypeScript thread in its space.
 *
 *   hart thread --ecall--> kernel --LABEL_SYSCALL: number, six arguments, pc--> this thread: table, function, result
 *   hart thread <--goes on-- kernel <--reply: result in a0, or registers as they were set-- this thread
 *
 *   hart thread --other trap, or a fault its pager refused--> LABEL_EXCEPTION: cause, tval, pc --> a signal
 *
 *   an interval timer runs out, or another process sends a signal (LABEL_WAKE), while the program computes
 *                                                  --> this thread preempts it --> LABEL_PREEMPTION
 *
 * After every message pending signals are delivered: the handler's frame is written and the reply leaves the registers
 * alone. When the process ends there is no reply: the hart thread stays stopped until its creator deletes it.
 * A thread answers for one process at a time: for a child that vfork has lent the place to, then for its owner again.
 * A call that neither waits nor looks at files (getppid) is answered by a plain function, in front of the loop, while
 * nothing else is to be seen to. That path allocates nothing.
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { EACCES, EFAULT, EINTR, EIO, ENOMEM, ENOSYS, errnoText } from '../../hostkernel/base/errno.ts';
import { EXEC, READ, WRITE } from '../../hostkernel/base/units.ts';
import {
  ACCEPT_UNTYPED,
  ANY,
  FrontedProgram,
  EXCEPTION_CAUSE,
  EXCEPTION_PC,
  EXCEPTION_TVAL,
  type L4,
  type L4Operation,
  type L4Program,
  type L4Wait,
  LABEL_EXCEPTION,
  LABEL_SYSCALL,
  type Message,
  NEVER,
  SYSCALL_ARGUMENT,
  SYSCALL_NUMBER,
  timeout,
} from '../l4/user.ts';
import {
  BUS_ADRALN,
  BUS_ADRERR,
  ERESTARTNOHAND,
  ERESTARTSYS,
  ILL_ILLOPC,
  SA_RESTART,
  SEGV_ACCERR,
  SEGV_MAPERR,
  SI_KERNEL,
  SIGBUS,
  SIGILL,
  SIGKILL,
  SIGSEGV,
  SIGTRAP,
  TRAP_BRKPT,
} from './abi.ts';
import type { CallArguments } from './arguments.ts';
import { findProgram, loadProgram, startHart } from './exec.ts';
import type { Beginning, ProcessOptions } from './interface.ts';
import { NO_RESULT, type Place, Process, type Turn } from './process.ts';
import { enterHandler } from './signal-frame.ts';
import { isStopSignal } from './signals.ts';
import { type CallTable, NUMBERS, TABLE_32, TABLE_64 } from './syscalls/table.ts';
import { System } from './system.ts';
import { byteString } from './vfs/provider.ts';

/** Numbers of calls about the process, signals and time: they look at no file, so mappings of files do not matter. */
const FIRST_PROCESS_CALL = 93;
const LAST_PROCESS_CALL = 220;

/** The program of the first process' system-call thread. */
export function posixBody(options: ProcessOptions): (l4: L4) => L4Program {
  return (l4) => {
    const first = new Process(new System(l4, options, placeProgram), null, l4.wordBits);
    first.system.enter(first);
    return placeProgram(first, options, start)(l4);
  };
}

/** The program of a system-call thread that answers for `p` to begin with. */
function placeProgram(p: Process, place: Place, begin: Beginning): (l4: L4) => L4Program {
  return (l4) => {
    const turn: Turn = { process: p, isOpen: false, isCalled: false, result: NO_RESULT };
    p.settle(l4, place, turn);
    return new FrontedProgram(() => answer(turn, l4), serve(turn, l4, begin(p, place)));
  };
}

/**
 * Answers a call that one function can answer. Hot.
 * @returns the wait for the next message; null: the loop must see to this one
 */
function answer(turn: Turn, l4: L4): L4Operation | null {
  const p = turn.process;
  const { message } = l4;
  if (!turn.isOpen || l4.error !== 0 || l4.from !== p.hart || message.label !== LABEL_SYSCALL) return null;
  const number = message.lo[SYSCALL_NUMBER];
  if (number < FIRST_PROCESS_CALL || number > LAST_PROCESS_CALL || (message.hi[SYSCALL_NUMBER] !== 0 && p.wide)) return null;
  const call = (p.wide ? TABLE_64 : TABLE_32).calls[number];
  if (call === undefined || p.tracer.syscall !== null || p.nextDeadline !== Number.POSITIVE_INFINITY) return null;
  p.args.take(message, SYSCALL_ARGUMENT);
  const result = call(p);
  if (p.ended !== null || p.signals.deliverable || p.nextDeadline !== Number.POSITIVE_INFINITY) {
    turn.isCalled = true;
    turn.result = result;
    return null;
  }
  if (p.system.hasWoken) p.system.flush(l4);
  message.begin(0);
  if (result !== NO_RESULT) message.append(result);
  return l4.replyWait(p.hart, ANY);
}

/** Loads the program and starts the hart thread, in the name of its pager. A failure ends the process. */
function* start(p: Process, place: Place): Generator<L4Wait, boolean, void> {
  const { options } = p.system;
  const refuse = (errno: number, text: string): void =>
    p.end({ kind: 'refused', refusal: { errno, text: `${options.program}: ${text}`, status: 126 } });
  const program = findProgram(p, byteString(options.program), options.argv.map(byteString));
  if ('errno' in program) {
    p.end({ kind: 'refused', refusal: program });
    return true;
  }
  const loaded = yield* loadProgram(p, program, options.env.map(byteString));
  if (typeof loaded === 'number') {
    refuse(-loaded, `cannot be loaded: ${errnoText(-loaded)}`);
    return true;
  }
  if ((yield* startHart(p, place, loaded.entry, loaded.sp)) !== 0) {
    refuse(EIO, 'the thread cannot be started');
    return true;
  }
  return false;
}

/**
 * Starts the program and answers the messages of its thread until the process has ended. One generator, not a stack of
 * them: every level between the kernel and this loop costs each system call.
 */
function* serve(turn: Turn, l4: L4, begin: Generator<L4Wait, boolean, void>): Generator<L4Wait, void, void> {
  const { message } = l4;
  let p = turn.process;
  const { args, system } = p;
  const table = p.wide ? TABLE_64 : TABLE_32;
  let result = NO_RESULT;
  let isStopped = yield* begin;
  l4.acceptor = ACCEPT_UNTYPED;
  for (;;) {
    if (p.nextDeadline !== Number.POSITIVE_INFINITY) p.expireTimers();
    if (isStopped && p.ended === null && p.signals.deliverable) result = yield* deliver(p, result);
    if (p.ended !== null) {
      if (p.lent === null) break;
      result = p.pid;
      p.leave();
      const owner = p.giveBack();
      system.bury(p);
      p = owner;
      continue;
    }
    const { hart } = p;
    if (!isStopped) {
      yield* awaitHart(p);
    } else if (p.nextDeadline === Number.POSITIVE_INFINITY) {
      if (system.hasWoken) system.flush(l4);
      message.begin(0);
      if (result !== NO_RESULT) message.append(result);
      turn.isOpen = true;
      yield* l4.replyWait(hart, ANY);
      turn.isOpen = false;
      p.charge();
      if (l4.error !== 0 || l4.from !== hart) {
        isStopped = false;
        continue; // somebody wakes us: there may be a signal
      }
    } else {
      if (system.hasWoken) system.flush(l4);
      message.begin(0);
      if (result !== NO_RESULT) message.append(result);
      l4.reply(hart);
      yield* awaitHart(p);
    }
    isStopped = true;
    result = NO_RESULT;
    if (turn.isCalled) {
      turn.isCalled = false;
      result = turn.result;
    } else if (message.label === LABEL_SYSCALL) {
      const number = message.lo[SYSCALL_NUMBER];
      const known = number >= 0 && number < NUMBERS && (message.hi[SYSCALL_NUMBER] === 0 || !p.wide);
      args.take(message, SYSCALL_ARGUMENT);
      const looksAtFiles = number < FIRST_PROCESS_CALL || number > LAST_PROCESS_CALL;
      if (looksAtFiles && p.task.filesAreDirty) yield* p.task.writeFiles();
      const call = known ? table.calls[number] : undefined;
      if (call !== undefined) result = call(p);
      else {
        const waits = known ? table.waits[number] : undefined;
        result = waits === undefined ? refuse(p, table, number) : yield* waits(p);
        while (result === -ERESTARTSYS || result === -ERESTARTNOHAND) {
          result = yield* deliver(p, result);
          if (p.ended !== null) break;
          if (waits !== undefined && isRestart(result)) result = yield* waits(p);
        }
        p.keptDeadline = -1;
      }
      if (p.tracer.syscall !== null) trace(p, args, table, { number, result });
      p = turn.process; // vfork and the execve after it change it
      if (looksAtFiles && p.ended === null && p.task.filesAreStale) yield* p.task.refreshFiles();
    } else if (message.label === LABEL_EXCEPTION) {
      yield* raiseFault(p, message.lo[EXCEPTION_CAUSE]);
    }
  }
  yield* end(p, l4);
}

/** The last acts of a process that has a place of its own: nothing of it remains but what its parent may ask. */
function* end(p: Process, l4: L4): Generator<L4Wait, void, void> {
  const { system, task, ended } = p;
  kassert(ended !== null, 'posix: the end of a living process');
  if (task.filesAreDirty) yield* task.writeFiles();
  p.charge();
  p.leave();
  yield* task.abandon();
  system.flush(l4);
  if (p === system.first) yield* system.options.onExit(ended, l4, system.fs);
  else yield* system.server?.end(l4, p) ?? [];
}

/** Microseconds after which a thread that was with its pager is looked for again. */
const PREEMPT_AGAIN = 20;

/**
 * Waits for the next message of the thread. It is stopped where it is when a signal is to be delivered, or when the first
 * of its interval timers has run out and its turn is over (TIME_SLICE of the kernel: the tick of this clock). If it is
 * not running it will send a message soon, or is with its pager, and is tried again.
 */
function* awaitHart(p: Process): Generator<L4Wait, void, void> {
  const { l4, hart } = p;
  for (;;) {
    const isWanted = p.signals.deliverable && l4.preempt(hart) === 0;
    const last = Math.max(1, p.nextDeadline - p.micros());
    const wait = isWanted ? Math.min(PREEMPT_AGAIN, last) : last;
    const error = yield* l4.receive(ANY, wait === Number.POSITIVE_INFINITY ? NEVER : timeout(wait));
    if (error === 0 && l4.from === hart) break;
    if (p.micros() >= p.nextDeadline) l4.preempt(hart);
  }
  p.charge();
}

/** A number nobody answers. */
function refuse(p: Process, table: CallTable, number: number): number {
  p.unknown((number >= 0 && number < NUMBERS ? table.names[number] : undefined) ?? `${number}`);
  return -ENOSYS;
}

/** @param p who made the call; its place, and so `args`, may have changed hands meanwhile */
function trace(p: Process, args: CallArguments, table: CallTable, { number, result }: { number: number; result: number }): void {
  const known = number >= 0 && number < NUMBERS;
  const count = known ? table.args[number] : 6;
  const values: number[] = [];
  for (let i = 0; i < count; i++) values.push(args.long(i));
  const name = (known ? table.names[number] : undefined) ?? `syscall ${number}`;
  p.tracer.syscall?.({ process: p.pid, name, args: values, result: result === NO_RESULT ? 0 : result });
}

function setResult(p: Process, result: number): void {
  const registers = p.registers();
  registers[20] = result;
  registers[21] = Math.floor(result / 2 ** 32);
}

/** Whether a call is to be made again, unless a handler runs first. */
function isRestart(result: number): boolean {
  return result === -ERESTARTSYS || result === -ERESTARTNOHAND;
}

/**
 * Delivers pending signals until one enters its handler, the process ends, or none is left. Waits while stopped.
 * @param result of the call just made
 * @returns what is still to be done with it: NO_RESULT once the registers say it, or there is nobody to tell
 */
function* deliver(p: Process, result: number): Generator<L4Wait, number, void> {
  const { signals } = p;
  for (let info = signals.take(); info !== null; info = signals.take()) {
    if (signals.isIgnored(info.signal)) continue;
    if (signals.isDefault(info.signal) && isStopSignal(info.signal)) {
      yield* stop(p, info.signal);
      continue;
    }
    if (signals.isDefault(info.signal)) {
      p.kill(info.signal, null);
      return NO_RESULT;
    }
    if (isRestart(result)) {
      const again = result === -ERESTARTSYS && (signals.action(info.signal).flags & SA_RESTART) !== 0;
      if (again) repeatCall(p);
      else setResult(p, -EINTR);
    } else if (result !== NO_RESULT) setResult(p, result);
    if ((yield* enterHandler(p, info)) < 0) p.kill(SIGSEGV, null);
    return NO_RESULT;
  }
  if (signals.saved === null) return result;
  signals.setBlocked(signals.saved.lo, signals.saved.hi);
  signals.saved = null;
  return signals.deliverable ? yield* deliver(p, result) : result;
}

/** The thread makes its call again when it goes on: a0 is still the first argument. */
function repeatCall(p: Process): void {
  const registers = p.registers();
  const pc = registers[0] >>> 0;
  registers[0] = pc - 4;
  if (pc < 4) registers[1]--;
}

/** Stays stopped until SIGCONT or SIGKILL comes. */
function* stop(p: Process, signal: number): Generator<L4Wait, void, void> {
  const { system } = p;
  if (!system.mayStop(p, signal)) return;
  system.stop(p, signal);
  while (p.stopSignal !== 0 && p.ended === null) yield* p.rest(Number.POSITIVE_INFINITY);
}

/** RISC-V scause numbers. */
const CAUSE_FETCH_MISALIGNED = 0;
const CAUSE_FETCH_ACCESS = 1;
const CAUSE_ILLEGAL = 2;
const CAUSE_BREAKPOINT = 3;
const CAUSE_LOAD_MISALIGNED = 4;
const CAUSE_LOAD_ACCESS = 5;
const CAUSE_STORE_MISALIGNED = 6;
const CAUSE_STORE_ACCESS = 7;
const CAUSE_FETCH_PAGE = 12;
const CAUSE_LOAD_PAGE = 13;
const CAUSE_STORE_PAGE = 15;

/** How often the same fault may turn out to be none before it counts as one. */
const REPEATS = 8;

/** What a trap is as a signal. `text` is for a person, and ends the line that explains a death. */
interface Fault {
  readonly signal: number;
  readonly code: number; // si_code
  readonly address: number;
  readonly text: string;
}

/** Turns a trap of the program into a signal. Waits: asks the pager why it refused a page. */
function* raiseFault(p: Process, cause: number): Generator<L4Wait, void, void> {
  const { message } = p.l4;
  const address = message.word(EXCEPTION_TVAL);
  const pc = message.word(EXCEPTION_PC);
  const atPc = cause === CAUSE_ILLEGAL || cause === CAUSE_BREAKPOINT;
  const at = atPc ? EXCEPTION_PC : EXCEPTION_TVAL;
  const raw = { lo: message.lo[at], hi: message.hi[at] };
  const words = { address: hex(message, EXCEPTION_TVAL), pc: hex(message, EXCEPTION_PC) };
  const isPage = cause === CAUSE_FETCH_PAGE || cause === CAUSE_LOAD_PAGE || cause === CAUSE_STORE_PAGE;
  const fault = isPage ? yield* pageFault(p, cause, { address, pc, words }) : otherFault(cause, { address, pc, words });
  if (fault === null) return; // the page is there by now
  const detail = { address: fault.address, pc, cause, text: fault.text };
  const { signals } = p;
  const handled = !signals.isDefault(fault.signal) && !signals.isIgnored(fault.signal) && !signals.isBlocked(fault.signal);
  if (handled) signals.raise({ signal: fault.signal, code: fault.code, address: raw, pid: 0, value: null });
  else p.kill(fault.signal, detail);
}

/** Where a trap took place, as numbers and as the exact words for a person. */
interface Trap {
  readonly address: number; // rounded above 2^53
  readonly pc: number;
  readonly words: { readonly address: string; readonly pc: string };
}

/** A page the pager refused: asks it again, for the reason. @returns null if the page is there by now */
function* pageFault(p: Process, cause: number, { address, pc, words }: Trap): Generator<L4Wait, Fault | null, void> {
  const access = cause === CAUSE_FETCH_PAGE ? EXEC : cause === CAUSE_LOAD_PAGE ? READ : WRITE;
  const verb = access === EXEC ? 'fetch' : access === READ ? 'read' : 'write';
  const what = `${verb} at ${words.address}, pc ${words.pc}`;
  const errno = p.memory.inRange(address, 1) ? yield* p.l4.touch(address, access) : EFAULT;
  if (errno === 0 && !p.repeats(pc, address, REPEATS)) return null;
  switch (errno) {
    case EFAULT:
      return { signal: SIGSEGV, code: SEGV_MAPERR, address, text: `${what}: nothing is mapped there` };
    case EACCES:
      return { signal: SIGSEGV, code: SEGV_ACCERR, address, text: `${what}: the mapping forbids it` };
    case ENOMEM:
      return { signal: SIGKILL, code: SI_KERNEL, address, text: `${what}: out of memory` };
    default:
      return { signal: SIGBUS, code: BUS_ADRERR, address, text: `${what}: there is no page behind the mapping` };
  }
}

function otherFault(cause: number, { address, pc, words }: Trap): Fault {
  switch (cause) {
    case CAUSE_ILLEGAL:
      return { signal: SIGILL, code: ILL_ILLOPC, address: pc, text: `illegal instruction at pc ${words.pc}` };
    case CAUSE_BREAKPOINT:
      return { signal: SIGTRAP, code: TRAP_BRKPT, address: pc, text: `breakpoint at pc ${words.pc}` };
    case CAUSE_FETCH_MISALIGNED:
    case CAUSE_LOAD_MISALIGNED:
    case CAUSE_STORE_MISALIGNED:
      return { signal: SIGBUS, code: BUS_ADRALN, address, text: `misaligned access at ${words.address}, pc ${words.pc}` };
    case CAUSE_FETCH_ACCESS:
    case CAUSE_LOAD_ACCESS:
    case CAUSE_STORE_ACCESS:
      return { signal: SIGSEGV, code: SEGV_ACCERR, address, text: `access to ${words.address}, pc ${words.pc}` };
    default:
      return { signal: SIGKILL, code: SI_KERNEL, address, text: `trap with cause ${cause} at pc ${words.pc}` };
  }
}

/** A register of a message, all bits of it. */
function hex(message: Message, register: number): string {
  const [lo, hi] = [message.lo[register] >>> 0, message.wordBits === 32 ? 0 : message.hi[register] >>> 0];
  return hi === 0 ? `0x${lo.toString(16)}` : `0x${hi.toString(16)}${lo.toString(16).padStart(8, '0')}`;
}
