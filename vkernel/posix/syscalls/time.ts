/**
 * System calls on time. There is one time, virtual, counted in retired instructions and charged kernel work: every clock
 * shows it, CLOCK_REALTIME from the date the machine was given. A sleep lasts virtual time, not the user's.
 *
 * Source: clock_gettime(2), nanosleep(2), getitimer(2), times(2), getrusage(2).
 */
import { EINVAL, EPERM } from '../../../hostkernel/base/errno.ts';
import { ERESTARTNOHAND } from '../abi.ts';
import { putInt64 } from '../guest-memory.ts';
import { putRusage, putTimespec } from '../layouts.ts';
import type { Process } from '../process.ts';
import type { Timestamp } from '../vfs/provider.ts';
import type { Waiting } from './files.ts';

const CLOCK_REALTIME = 0;
const CLOCK_REALTIME_COARSE = 5;
const CLOCK_REALTIME_ALARM = 8;
const CLOCK_TAI = 11;
const TIMER_ABSTIME = 1;

function isRealtime(clock: number): boolean {
  return clock === CLOCK_REALTIME || clock === CLOCK_REALTIME_COARSE || clock === CLOCK_REALTIME_ALARM || clock === CLOCK_TAI;
}

/** Whether there is such a clock. Negative ids are processor-time clocks of this process and its thread. */
function isClock(p: Process, clock: number): boolean {
  if (clock >= 0) return clock <= CLOCK_TAI && clock !== 10;
  const pid = ~(clock >> 3);
  return (clock & 3) !== 3 && (pid === 0 || pid === p.pid);
}

function timeOf(p: Process, clock: number): Timestamp {
  if (isRealtime(clock)) return p.now();
  const micros = p.micros();
  const seconds = Math.floor(micros / 1e6);
  return { seconds, nanoseconds: Math.floor(micros - seconds * 1e6) * 1000 };
}

/** clock_gettime(clock, timespec) */
export function* sysClockGettime(p: Process): Waiting {
  const clock = p.args.int(0);
  if (!isClock(p, clock)) return -EINVAL;
  putTimespec(p.memory.view, 0, timeOf(p, clock));
  return yield* p.memory.store(p.args.word(1), 16);
}

/** clock_getres(clock, timespec): a microsecond. */
export function* sysClockGetres(p: Process): Waiting {
  if (!isClock(p, p.args.int(0))) return -EINVAL;
  if (p.args.word(1) === 0) return 0;
  putTimespec(p.memory.view, 0, { seconds: 0, nanoseconds: 1000 });
  return yield* p.memory.store(p.args.word(1), 16);
}

/** clock_settime, settimeofday, clock_adjtime: the machine's clock is not the program's to set. */
export function sysSetTime(): number {
  return -EPERM;
}

/** gettimeofday(timeval, timezone) */
export function* sysGettimeofday(p: Process): Waiting {
  const { seconds, nanoseconds } = p.now();
  if (p.args.word(0) !== 0) {
    putInt64(p.memory.view, 0, seconds);
    putInt64(p.memory.view, 8, Math.floor(nanoseconds / 1000));
    const error = yield* p.memory.store(p.args.word(0), 16);
    if (error < 0) return error;
  }
  return p.args.word(1) === 0 ? 0 : yield* p.memory.fill(p.args.word(1), 8, 0);
}

/** time(result), an old number. */
export function* sysTime(p: Process): Waiting {
  const { seconds } = p.now();
  if (p.args.word(0) === 0) return seconds;
  putInt64(p.memory.view, 0, seconds);
  const error = yield* p.memory.store(p.args.word(0), 8);
  return error < 0 ? error : seconds;
}

function* sleep(p: Process, options: { clock: number; absolute: boolean; request: number; remain: number }): Waiting {
  const error = yield* p.memory.load(options.request, 16);
  if (error < 0) return error;
  const [seconds, nanoseconds] = [p.memory.int64At(0), p.memory.int64At(8)];
  if (seconds < 0 || nanoseconds < 0 || nanoseconds >= 1e9) return -EINVAL;
  const length = seconds * 1e6 + Math.ceil(nanoseconds / 1000);
  const start = options.absolute ? (isRealtime(options.clock) ? -p.epoch * 1e6 : 0) : p.micros();
  const deadline = p.keptDeadline >= 0 ? p.keptDeadline : start + length;
  if (yield* p.sleepUntil(deadline)) return 0;
  p.keptDeadline = deadline;
  if (!options.absolute && options.remain !== 0 && p.ended === null) {
    const left = Math.max(0, deadline - p.micros());
    putTimespec(p.memory.view, 0, { seconds: Math.floor(left / 1e6), nanoseconds: Math.floor(left % 1e6) * 1000 });
    const stored = yield* p.memory.store(options.remain, 16);
    if (stored < 0) return stored;
  }
  return -ERESTARTNOHAND;
}

/** nanosleep(request, remain) */
export function sysNanosleep(p: Process): Waiting {
  return sleep(p, { clock: 1, absolute: false, request: p.args.word(0), remain: p.args.word(1) });
}

/** clock_nanosleep(clock, flags, request, remain) */
export function* sysClockNanosleep(p: Process): Waiting {
  const clock = p.args.int(0);
  if (!isClock(p, clock) || clock < 0 || clock === 3) return -EINVAL; // a thread cannot wait for its own processor time
  return yield* sleep(p, {
    clock,
    absolute: (p.args.int(1) & TIMER_ABSTIME) !== 0,
    request: p.args.word(2),
    remain: p.args.word(3),
  });
}

/** times(buffer). @returns clock ticks (100 a second) since the start */
export function* sysTimes(p: Process): Waiting {
  const ticks = Math.floor(p.micros() / 10_000);
  if (p.args.word(0) === 0) return ticks;
  const { memory } = p;
  p.charge();
  const own = Math.floor(p.cpuTime / 10_000); // all of it the program's, none the system's
  const children = Math.floor(p.childTime / 10_000);
  [own, 0, children, 0].forEach((value, i) => memory.putWord(i * memory.wordBytes, value));
  const error = yield* memory.store(p.args.word(0), 4 * memory.wordBytes);
  return error < 0 ? error : ticks;
}

/** getrusage(who, buffer) */
export function* sysGetrusage(p: Process): Waiting {
  const who = p.args.int(0);
  if (who !== 0 && who !== -1 && who !== 1) return -EINVAL;
  p.charge();
  const size = putRusage(p.memory.view, p.wide, { time: who === -1 ? p.childTime : p.cpuTime, maxrss: 0 });
  return yield* p.memory.store(p.args.word(1), size);
}

/** Writes a timer's state as struct itimerval: two timevals of longs. */
function storeTimer(p: Process, va: number, which: number): Waiting {
  const { deadline, interval } = p.timers[which];
  const left = deadline === Number.POSITIVE_INFINITY ? 0 : Math.max(1, deadline - p.micros());
  const word = p.memory.wordBytes;
  [interval, left].forEach((micros, i) => {
    p.memory.putWord(2 * i * word, Math.floor(micros / 1e6));
    p.memory.putWord((2 * i + 1) * word, Math.floor(micros % 1e6));
  });
  return p.memory.store(va, 4 * word);
}

/** getitimer(which, value) */
export function* sysGetitimer(p: Process): Waiting {
  const which = p.args.int(0);
  if (which < 0 || which > 2) return -EINVAL;
  return yield* storeTimer(p, p.args.word(1), which);
}

/** setitimer(which, new, old). A null `new` stops the timer. */
export function* sysSetitimer(p: Process): Waiting {
  const which = p.args.int(0);
  if (which < 0 || which > 2) return -EINVAL;
  const word = p.memory.wordBytes;
  let interval = 0;
  let value = 0;
  if (p.args.word(1) !== 0) {
    const error = yield* p.memory.load(p.args.word(1), 4 * word);
    if (error < 0) return error;
    const parts = [0, 1, 2, 3].map((i) => p.memory.longAt(i * word));
    if (parts.some((part) => part < 0) || parts[1] >= 1e6 || parts[3] >= 1e6) return -EINVAL;
    interval = Math.min(parts[0], 2 ** 31) * 1e6 + parts[1];
    value = Math.min(parts[2], 2 ** 31) * 1e6 + parts[3];
  }
  if (p.args.word(2) !== 0) {
    const error = yield* storeTimer(p, p.args.word(2), which);
    if (error < 0) return error;
  }
  const timer = p.timers[which];
  timer.interval = interval;
  timer.deadline = value === 0 ? Number.POSITIVE_INFINITY : p.micros() + value;
  p.rearm();
  return 0;
}
