/**
 * System calls that wait until descriptors are ready.
 *
 * What is not ready now may become so by another process: these calls look, wait in the queues of all pipes they have
 * looked at, and look again. Files, devices and the console are always ready.
 * Source: poll(2), select(2).
 */
import { EBADF, EINVAL } from '../../../hostkernel/base/errno.ts';
import { ERESTARTNOHAND, POLLIN, POLLNVAL, POLLOUT, POLLHUP, POLLERR, POLLRDNORM, POLLWRNORM } from '../abi.ts';
import { POLLFD_BYTES } from '../layouts.ts';
import { INTERRUPTED, type Process } from '../process.ts';
import type { OpenFile } from '../vfs/open-file.ts';
import type { WaitQueue } from '../wait-queue.ts';
import type { Waiting } from './files.ts';

/** What a descriptor is ready for. Files, devices and the console always are: their calls answer at once. */
function readiness(file: OpenFile): number {
  const { pipe } = file;
  if (pipe === null) return (file.readable ? POLLIN | POLLRDNORM : 0) | (file.writable ? POLLOUT | POLLWRNORM : 0);
  let events = 0;
  if (file.readable) events |= (pipe.length > 0 ? POLLIN | POLLRDNORM : 0) | (pipe.writers === 0 ? POLLHUP : 0);
  if (file.writable) events |= (pipe.hasRoom ? POLLOUT | POLLWRNORM : 0) | (pipe.readers === 0 ? POLLERR : 0);
  return events;
}

/** The deadline (microseconds of virtual time) a relative timespec argument means. @returns Infinity for null, -EFAULT, -EINVAL */
function* deadlineAt(p: Process, va: number): Waiting {
  if (va === 0) return Number.POSITIVE_INFINITY;
  const error = yield* p.memory.load(va, 16);
  if (error < 0) return error;
  const [seconds, nanoseconds] = [p.memory.int64At(0), p.memory.int64At(8)];
  if (seconds < 0 || nanoseconds < 0 || nanoseconds >= 1e9) return -EINVAL;
  return p.micros() + seconds * 1e6 + Math.ceil(nanoseconds / 1000);
}

/** Sets the temporary mask of ppoll and pselect6; the frame of a handler that ends the wait restores the old one. */
function* temporaryMask(p: Process, va: number, size: number): Waiting {
  if (va === 0) return 0;
  if (size !== 8) return -EINVAL;
  const error = yield* p.memory.load(va, 8);
  if (error < 0) return error;
  p.signals.saved = { lo: p.signals.blockedLo, hi: p.signals.blockedHi };
  p.signals.setBlocked(p.memory.view.getInt32(0, true), p.memory.view.getInt32(4, true));
  return 0;
}

/** Ends a temporary mask when no handler will. */
function restoreMask(p: Process): void {
  const { saved } = p.signals;
  if (saved === null || p.signals.deliverable) return;
  p.signals.setBlocked(saved.lo, saved.hi);
  p.signals.saved = null;
}

/** Looks until something is ready, or the deadline has come. @returns ready count or -ERESTARTNOHAND */
function* waitReady(p: Process, fds: () => Iterable<number>, look: () => number, until: number): Waiting {
  const deadline = p.keptDeadline >= 0 ? p.keptDeadline : until;
  for (;;) {
    const ready = look();
    if (ready > 0 || deadline <= p.micros()) return ready;
    const queues = new Set<WaitQueue>();
    for (const fd of fds()) {
      const pipe = p.files.get(fd)?.pipe ?? null;
      if (pipe !== null) queues.add(pipe.changed);
    }
    if ((yield* p.wait([...queues], deadline)) === INTERRUPTED) {
      p.keptDeadline = deadline;
      return -ERESTARTNOHAND;
    }
  }
}

/** ppoll(fds, count, timeout, mask, size) */
export function* sysPpoll(p: Process): Waiting {
  const va = p.args.word(0);
  const count = p.args.uint(1);
  if (count > p.files.limit) return -EINVAL;
  const deadline = yield* deadlineAt(p, p.args.word(2));
  if (deadline < 0) return deadline;
  const fds = new Uint8Array(count * POLLFD_BYTES);
  const error = yield* p.memory.read(va, fds, 0, fds.length);
  if (error < 0) return error;
  const masked = yield* temporaryMask(p, p.args.word(3), p.args.word(4));
  if (masked < 0) return masked;
  const view = new DataView(fds.buffer);
  const look = (): number => {
    let ready = 0;
    for (let i = 0; i < count; i++) {
      const fd = view.getInt32(i * POLLFD_BYTES, true);
      const file = p.files.get(fd);
      const wanted = view.getUint16(i * POLLFD_BYTES + 4, true) | POLLERR | POLLHUP;
      const events = fd < 0 ? 0 : file === null ? POLLNVAL : readiness(file) & wanted;
      view.setUint16(i * POLLFD_BYTES + 6, events, true);
      if (events !== 0) ready++;
    }
    return ready;
  };
  const descriptors = function* (): Iterable<number> {
    for (let i = 0; i < count; i++) yield view.getInt32(i * POLLFD_BYTES, true);
  };
  const ready = yield* waitReady(p, descriptors, look, deadline);
  restoreMask(p);
  if (ready < 0) return ready;
  const stored = yield* p.memory.write(va, fds, 0, fds.length);
  return stored < 0 ? stored : ready;
}

/** pselect6(count, readfds, writefds, exceptfds, timeout, {mask, size}) */
export function* sysPselect6(p: Process): Waiting {
  const count = p.args.int(0);
  if (count < 0) return -EINVAL;
  const n = Math.min(count, p.files.limit);
  const bytes = Math.ceil(n / (8 * p.memory.wordBytes)) * p.memory.wordBytes;
  const sets = [new Uint8Array(bytes), new Uint8Array(bytes), new Uint8Array(bytes)];
  for (let i = 0; i < 3; i++) {
    if (p.args.word(1 + i) === 0) continue;
    const error = yield* p.memory.read(p.args.word(1 + i), sets[i], 0, bytes);
    if (error < 0) return error;
  }
  const deadline = yield* deadlineAt(p, p.args.word(4));
  if (deadline < 0) return deadline;
  if (p.args.word(5) !== 0) {
    const error = yield* p.memory.load(p.args.word(5), 2 * p.memory.wordBytes);
    if (error < 0) return error;
    const masked = yield* temporaryMask(p, p.memory.wordAt(0), p.memory.wordAt(p.memory.wordBytes));
    if (masked < 0) return masked;
  }
  const wanted = sets.map((set) => set.slice());
  const masks = [POLLIN | POLLHUP | POLLERR, POLLOUT | POLLERR, 0];
  let bad = false;
  const look = (): number => {
    let ready = 0;
    for (const set of sets) set.fill(0);
    for (let fd = 0; fd < n; fd++) {
      for (let i = 0; i < 3; i++) {
        if (((wanted[i][fd >> 3] >> (fd & 7)) & 1) === 0) continue;
        const file = p.files.get(fd);
        if (file === null) bad = true;
        else if ((readiness(file) & masks[i]) !== 0) {
          sets[i][fd >> 3] |= 1 << (fd & 7);
          ready++;
        }
      }
    }
    return bad ? 1 : ready;
  };
  const descriptors = function* (): Iterable<number> {
    for (let fd = 0; fd < n; fd++) if (((wanted[0][fd >> 3] | wanted[1][fd >> 3]) >> (fd & 7)) & 1) yield fd;
  };
  const ready = yield* waitReady(p, descriptors, look, deadline);
  restoreMask(p);
  if (bad) return -EBADF;
  if (ready < 0) return ready;
  for (let i = 0; i < 3; i++) {
    if (p.args.word(1 + i) === 0) continue;
    const error = yield* p.memory.write(p.args.word(1 + i), sets[i], 0, bytes);
    if (error < 0) return error;
  }
  return ready;
}
