/** System calls that move bytes: read, write and their relatives; and memfd_create, ftruncate. Descriptors: sys-descriptor.ts. */

import { EAGAIN, EBADF, EFAULT, EINVAL, EMFILE, EPIPE, ESPIPE } from '../base/errno.ts';
import { SI_KERNEL, SIGPIPE } from './abi.ts';
import { COPY_BYTES, copyIn, copyOut, MAX_TRANSFER, stringLength } from './copy.ts';
import { type DiskFile, MemoryFile, type OpenFile, type PipeEnd, type TreeFile } from './file.ts';
import { INTERRUPT_RESTARTS, type Lwp } from './lwp.ts';
import { PIPE_BUF } from './pipe.ts';
import type { Process } from './process.ts';
import type { SyscallArgs } from './syscall-args.ts';

const MAX_VECTORS = 1024; // IOV_MAX
const MAX_NAME = 249; // bytes of a memfd's name
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;

/**
 * read(fd, buf, n): from the console, a pipe, or a file at its position.
 * @param args fd; buf: address; n: bytes
 * @returns bytes read, 0 at the end; or
 *   -EBADF   no such descriptor, or an output
 *   -EFAULT  buf is not writable; a part may have been written, and what came from a pipe is lost
 *   -EAGAIN  an empty pipe with O_NONBLOCK
 *   -EINTR   a handler has run before anything came
 * Waits: for a pipe to be written to; the console may, for its user. Source: POSIX read.
 */
export function sysRead(p: Process, args: SyscallArgs, lwp: Lwp): number {
  const file = p.files.get(args.int(0));
  return file === null ? -EBADF : readInto(p, file, { va: args.unsigned(1), length: args.unsigned(2), lwp });
}

/**
 * write(fd, buf, n): to the console, a pipe, or a memory image at its position.
 * @param args fd; buf: address; n: bytes
 * @returns bytes written, less than n where buf stops being readable, or a handler has run; or
 *   -EBADF   no such descriptor, or the input
 *   -EFAULT  buf is not readable at all
 *   -EFBIG, -ENOSPC  the image would grow beyond what an object can have, or no frame is free
 *   -EPIPE   nobody can read from the pipe any more; SIGPIPE has been sent
 *   -EAGAIN  a pipe without room, with O_NONBLOCK
 *   -EINTR   a handler has run before anything went
 * Waits: for room in a pipe. Source: POSIX write.
 */
export function sysWrite(p: Process, args: SyscallArgs, lwp: Lwp): number {
  const file = p.files.get(args.int(0));
  return file === null ? -EBADF : writeFrom(p, file, { va: args.unsigned(1), length: args.unsigned(2), lwp });
}

/**
 * readv(fd, iov, n): read into n buffers, one after the other, until one comes back short.
 * @param args fd; iov: address of n pairs of address and length; n: 0..1024
 * @returns bytes read; or -EBADF, -EFAULT as read; -EINVAL n is out of range
 */
export function sysReadv(p: Process, args: SyscallArgs, lwp: Lwp): number {
  return transferVector(p, args, lwp, readInto);
}

/**
 * writev(fd, iov, n): write n buffers, one after the other, until one is written short.
 * @param args fd; iov: address of n pairs of address and length; n: 0..1024
 * @returns bytes written; or errors as write; -EINVAL n is out of range
 */
export function sysWritev(p: Process, args: SyscallArgs, lwp: Lwp): number {
  return transferVector(p, args, lwp, writeFrom);
}

/**
 * pread64(fd, buf, n, offset): read a file at `offset`; its position stays.
 * @param args fd; buf: address; n, offset: bytes
 * @returns bytes read, 0 at or beyond the end; or -EBADF; -ESPIPE the console, a pipe; -EINVAL offset < 0, or of a disk no
 *   whole blocks; -EIO the disk could not read the first; -EFAULT
 */
export function sysPread(p: Process, args: SyscallArgs): number {
  const file = p.files.get(args.int(0));
  if (file === null) return -EBADF;
  if (file.kind === 'console' || file.kind === 'pipe') return -ESPIPE;
  const offset = args.signed(3);
  if (offset < 0) return -EINVAL;
  return readPieces(p, args.unsigned(1), args.unsigned(2), (into, done) => file.readAt(offset + done, into));
}

/**
 * pwrite64(fd, buf, n, offset): write a memory image or a disk at `offset`; its position stays.
 * @param args fd; buf: address; n, offset: bytes
 * @returns bytes written; or -EBADF, also for a file of the tree; -ESPIPE the console, a pipe; -EINVAL offset < 0; -EFAULT,
 *   -EFBIG, -ENOSPC as write; of a disk -EINVAL no whole blocks, -ENOSPC its end, -EIO
 */
export function sysPwrite(p: Process, args: SyscallArgs): number {
  const file = p.files.get(args.int(0));
  if (file === null) return -EBADF;
  if (file.kind === 'console' || file.kind === 'pipe') return -ESPIPE;
  const offset = args.signed(3);
  if (offset < 0) return -EINVAL;
  if (file.kind === 'tree') return -EBADF;
  return writePieces(p, args.unsigned(1), args.unsigned(2), (from, done) => file.writeAt(offset + done, from));
}

/**
 * memfd_create(name, flags): a new memory image of size 0.
 * @param args name: address of a string, only looked at, or 0 (ours: no name); flags: MFD_CLOEXEC, MFD_ALLOW_SEALING
 * @returns a descriptor; or
 *   -EINVAL  unknown flag; name longer than 249 bytes
 *   -EFAULT  name is not readable
 *   -EMFILE  256 descriptors are open
 * Source: Linux memfd_create(2). Sealing is accepted, and there is no call to seal with.
 */
export function sysMemfdCreate(p: Process, args: SyscallArgs): number {
  if ((args.int(1) & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING)) !== 0) return -EINVAL;
  const name = args.unsigned(0);
  const length = name === 0 ? 0 : stringLength(p, name, MAX_NAME);
  if (length < 0) return length;
  if (!p.files.hasRoom()) return -EMFILE;
  return p.files.add(new MemoryFile(p.kernel.vm), (args.int(1) & MFD_CLOEXEC) !== 0);
}

/**
 * ftruncate(fd, size): sets the size of a memory image. New bytes are holes; what is cut off is lost.
 * @param args fd; size: bytes
 * @returns 0; or -EBADF; -EINVAL no memory image, or size < 0; -EFBIG size is beyond what an object can have;
 *   -EIO the page that is cut in two cannot be brought in: nothing has changed
 */
export function sysFtruncate(p: Process, args: SyscallArgs): number {
  const file = p.files.get(args.int(0));
  if (file === null) return -EBADF;
  return file.kind === 'memory' ? file.truncate(args.signed(1)) : -EINVAL;
}

/** What is to be moved: bytes at an address, for an lwp that may have to wait. */
interface Transfer {
  readonly va: number;
  readonly length: number;
  readonly lwp: Lwp;
}

function readInto(p: Process, file: OpenFile, transfer: Transfer): number {
  const { va, length } = transfer;
  switch (file.kind) {
    case 'console': {
      if (length === 0 && file.fd === 0) return 0;
      const bytes = file.read(Math.min(length, COPY_BYTES));
      if (typeof bytes === 'number') return bytes;
      return copyOut(p, va, bytes) ? bytes.length : -EFAULT;
    }
    case 'pipe':
      return readPipe(p, file, transfer);
    default:
      return readPositioned(p, file, va, length);
  }
}

function writeFrom(p: Process, file: OpenFile, transfer: Transfer): number {
  const { va, length } = transfer;
  switch (file.kind) {
    case 'console':
      return file.fd === 0 ? -EBADF : writePieces(p, va, length, (from) => file.write(from));
    case 'pipe':
      return writePipe(p, file, transfer);
    case 'tree':
      return -EBADF;
    default: {
      const n = writePieces(p, va, length, (from, done) => file.writeAt(file.position + done, from));
      if (n > 0) file.position += n;
      return n;
    }
  }
}

function readPositioned(p: Process, file: MemoryFile | TreeFile | DiskFile, va: number, length: number): number {
  const n = readPieces(p, va, length, (into, done) => file.readAt(file.position + done, into));
  if (n > 0) file.position += n;
  return n;
}

/** What there is in the pipe, up to `length`; sleeps while it is empty and somebody can write. */
function readPipe(p: Process, file: PipeEnd, transfer: Transfer): number {
  const { pipe } = file;
  if (file.end === 'write') return -EBADF;
  if (transfer.length === 0) return 0;
  if (pipe.length === 0) {
    if (pipe.writers === 0) return 0;
    if (file.nonBlocking) return -EAGAIN;
    return p.kernel.sleepInCall(transfer.lwp, {
      channel: pipe.filled,
      deadline: Infinity,
      interrupt: INTERRUPT_RESTARTS,
      why: 'input from a pipe',
    });
  }
  const bytes = new Uint8Array(Math.min(transfer.length, pipe.length));
  pipe.read(bytes);
  p.kernel.scheduler.wakeup(pipe.drained);
  return copyOut(p, transfer.va, bytes) ? bytes.length : -EFAULT;
}

/** Puts all of it into the pipe, in as many attempts as that takes; up to PIPE_BUF bytes at once. */
function writePipe(p: Process, file: PipeEnd, transfer: Transfer): number {
  const { pipe } = file;
  const { lwp } = transfer;
  if (file.end === 'read') return -EBADF;
  const length = Math.min(transfer.length, MAX_TRANSFER);
  let done = lwp.call.nr === -1 ? 0 : lwp.call.done;
  for (;;) {
    if (done >= length) return done; // more than that, if another lwp has made the vector shorter meanwhile
    if (pipe.readers === 0) {
      if (done > 0) return done;
      p.kernel.signals.send(p, { signal: SIGPIPE, code: SI_KERNEL, pid: 0, lo: 0, hi: 0 }, lwp);
      return -EPIPE;
    }
    const left = length - done;
    const whole = length <= PIPE_BUF ? left : 1;
    if (pipe.room < whole) break;
    const bytes = new Uint8Array(Math.min(left, pipe.room));
    const readable = p.space.copyIn(transfer.va + done, bytes);
    if (readable === 0) return done > 0 ? done : -EFAULT;
    pipe.write(bytes.subarray(0, readable));
    p.kernel.scheduler.wakeup(pipe.filled);
    done += readable;
    if (readable < bytes.length) return done;
  }
  if (file.nonBlocking) return done > 0 ? done : -EAGAIN;
  lwp.call.done = done;
  return p.kernel.sleepInCall(lwp, { channel: pipe.drained, deadline: Infinity, interrupt: INTERRUPT_RESTARTS, why: 'room in a pipe' });
}

/** Reads by `read` until it comes back short, `wanted` bytes are there, or the memory at `va` ends. */
function readPieces(p: Process, va: number, wanted: number, read: (into: Uint8Array, done: number) => number): number {
  const length = Math.min(wanted, MAX_TRANSFER);
  const buffer = new Uint8Array(Math.min(length, COPY_BYTES));
  for (let done = 0; ; ) {
    const n = read(buffer.subarray(0, Math.min(buffer.length, length - done)), done);
    if (n < 0) return done > 0 ? done : n;
    if (!copyOut(p, va + done, buffer.subarray(0, n))) return done > 0 ? done : -EFAULT;
    done += n;
    if (n < buffer.length || done >= length) return done;
  }
}

/** Writes by `write` until it comes back short, `wanted` bytes are taken, or the memory at `va` ends. */
function writePieces(p: Process, va: number, wanted: number, write: (from: Uint8Array, done: number) => number): number {
  const length = Math.min(wanted, MAX_TRANSFER);
  const buffer = new Uint8Array(Math.min(length, COPY_BYTES));
  let done = 0;
  while (done < length) {
    const readable = p.space.copyIn(va + done, buffer.subarray(0, Math.min(buffer.length, length - done)));
    if (readable === 0) return done > 0 ? done : -EFAULT;
    const n = write(buffer.subarray(0, readable), done);
    if (n < 0) return done > 0 ? done : n;
    done += n;
    if (n < buffer.length) break;
  }
  return done;
}

function transferVector(p: Process, args: SyscallArgs, lwp: Lwp, transfer: typeof readInto): number {
  const file = p.files.get(args.int(0));
  if (file === null) return -EBADF;
  const count = args.int(2);
  if (count < 0 || count > MAX_VECTORS) return -EINVAL;
  const word = p.xlen / 8;
  const vectors = copyIn(p, args.unsigned(1), count * 2 * word);
  if (vectors === null) return -EFAULT;
  const view = new DataView(vectors.buffer);
  const at = (i: number): number => view.getUint32(i * word, true) + (word === 8 ? view.getUint32(i * 8 + 4, true) * 2 ** 32 : 0);
  if (file.kind === 'pipe') return transferOne(p, file, { count, at, lwp }, transfer);
  let total = 0;
  for (let i = 0; i < count; i++) {
    const length = at(2 * i + 1);
    if (length === 0) continue;
    const n = transfer(p, file, { va: at(2 * i), length, lwp });
    if (n < 0) return total > 0 ? total : n;
    total += n;
    if (n < length) break;
  }
  return total;
}

/** The first buffer that is not empty, and no more: a pipe may have to wait, and a short count is allowed. */
function transferOne(
  p: Process,
  file: PipeEnd,
  vectors: { readonly count: number; readonly at: (i: number) => number; readonly lwp: Lwp },
  transfer: typeof readInto,
): number {
  for (let i = 0; i < vectors.count; i++) {
    const length = vectors.at(2 * i + 1);
    if (length > 0) return transfer(p, file, { va: vectors.at(2 * i), length, lwp: vectors.lwp });
  }
  return 0;
}
