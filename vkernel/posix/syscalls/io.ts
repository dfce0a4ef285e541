/**
 * System calls on descriptors: read and write in all their forms, seek, directories, duplicates, pipes, ioctl.
 * Waiting for readiness is in `poll.ts`, whose the terminal is in `terminal.ts`.
 *
 * Bulk data moves in pieces of 64 KiB through the process' buffer. A transfer that fails after its first piece reports
 * what it has done; the failure comes with the next call.
 * Source: the manual pages of section 2; linux_dirent64 as in getdents64(2).
 */
import {
  EAFNOSUPPORT,
  EAGAIN,
  EBADF,
  EFAULT,
  EFBIG,
  EINVAL,
  ENOTDIR,
  ENOTSOCK,
  ENOTTY,
  ENXIO,
  EOPNOTSUPP,
  EPIPE,
  ESPIPE,
} from '../../../hostkernel/base/errno.ts';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import type { L4Wait } from '../../l4/user.ts';
import {
  ERESTARTSYS,
  F_DUPFD,
  F_DUPFD_CLOEXEC,
  F_GETFD,
  F_GETFL,
  F_GETLK,
  F_GETLK64,
  F_GETOWN,
  F_GETPIPE_SZ,
  F_OFD_GETLK,
  F_OFD_SETLK,
  F_OFD_SETLKW,
  F_SETFD,
  F_SETFL,
  F_SETLK,
  F_SETLK64,
  F_SETLKW,
  F_SETLKW64,
  F_SETOWN,
  F_SETPIPE_SZ,
  F_UNLCK,
  FD_CLOEXEC,
  FIOCLEX,
  FIONBIO,
  FIONCLEX,
  FIONREAD,
  MAX_FILE_SIZE,
  MAX_RW_COUNT,
  O_APPEND,
  O_CLOEXEC,
  O_DIRECT,
  O_LARGEFILE,
  O_NOATIME,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  SEEK_CUR,
  SEEK_DATA,
  SEEK_END,
  SEEK_HOLE,
  SEEK_SET,
  SI_USER,
  SIGPIPE,
  TCGETS,
  TCSETS,
  TCSETSF,
  TCSETSW,
  TIOCGWINSZ,
  TIOCSWINSZ,
} from '../abi.ts';
import { BULK, putInt64 } from '../guest-memory.ts';
import { direntBytes, putDirent, putTermios, TERMIOS_BYTES } from '../layouts.ts';
import { INTERRUPTED, type Process } from '../process.ts';
import { OpenFile } from '../vfs/open-file.ts';
import { CAPACITY } from '../vfs/pipe.ts';
import type { Waiting } from './files.ts';
import { controlTerminal, mayChangeTerminal, mayReadTerminal } from './terminal.ts';

const IOV_MAX = 1024;

/** A piece of guest memory. */
interface Extent {
  readonly va: number;
  readonly len: number;
}

/** Where a transfer takes place: at the description's position, which moves, or at an offset of its own. */
type Position = number | null;

/** What counts of a piece whose first `n` bytes found memory: a pipe moves whole pages, everything else bytes. */
function counted(file: OpenFile, n: number): number {
  return file.node.kind === 'fifo' ? n - (n % PAGE_SIZE) : n;
}

/** Whether a call that cannot go on is to wait for the other end of its pipe. */
function waits(file: OpenFile, result: number): boolean {
  return result === -EAGAIN && file.pipe !== null && (file.flags & O_NONBLOCK) === 0;
}

/** Waits for a pipe to change. @returns 0, or -ERESTARTSYS: a signal came */
function* awaitPipe(p: Process, file: OpenFile): Waiting {
  const end = yield* p.wait(file.pipe === null ? [] : [file.pipe.changed], Number.POSITIVE_INFINITY);
  return end === INTERRUPTED ? -ERESTARTSYS : 0;
}

/** Reads from `file` into the guest, as far as its memory goes. Waits for bytes in a pipe. @returns bytes, or -errno */
function* readInto(p: Process, file: OpenFile, extent: Extent, position: Position): Waiting {
  if (!file.readable) return -EBADF;
  if (!p.memory.inRange(extent.va, extent.len)) return -EFAULT;
  if (file.isTerminal) {
    const refused = mayReadTerminal(p);
    if (refused < 0) return refused;
  }
  const total = Math.min(extent.len, MAX_RW_COUNT);
  let done = 0;
  do {
    const piece = p.memory.bulk.subarray(0, Math.min(BULK, total - done));
    const offset = position === null ? file.offset : position + done;
    const n = file.readAt(offset, piece);
    if (n < 0 && done > 0) return done;
    if (waits(file, n)) {
      const interrupted = yield* awaitPipe(p, file);
      if (interrupted < 0) return interrupted;
      continue;
    }
    if (n < 0) return n;
    if (file.pipe !== null) {
      const found = p.memory.tryWrite(extent.va + done, piece, n); // no wait before the rest is back: others use the pipe too
      const stored = found === n ? n : counted(file, found);
      const missing = extent.va + done + found;
      file.giveBack(n - stored);
      done += stored;
      if (found === n) break;
      const error = yield* p.memory.bringIn(missing);
      if (error < 0) return done > 0 ? done : error;
      continue;
    }
    const error = yield* p.memory.write(extent.va + done, piece, 0, n);
    const stored = error === 0 ? n : counted(file, p.memory.tryWrite(extent.va + done, piece, n));
    if (position === null && file.contents !== null) file.offset += stored;
    done += stored;
    if (stored < n) return done > 0 ? done : error;
    if (n < piece.length || file.isStream) break; // the end, or what there is now
  } while (done < total);
  return done;
}

/** Writes from the guest to `file`, as far as its memory goes. Waits for room in a pipe; a broken one raises SIGPIPE. @returns bytes, or -errno */
function* writeFrom(p: Process, file: OpenFile, extent: Extent, position: Position): Waiting {
  if (!file.writable) return -EBADF;
  if (!p.memory.inRange(extent.va, extent.len)) return -EFAULT;
  const total = Math.min(extent.len, MAX_RW_COUNT);
  let done = 0;
  do {
    const piece = p.memory.bulk.subarray(0, Math.min(BULK, total - done));
    const error = yield* p.memory.read(extent.va + done, piece, 0, piece.length);
    const there = error === 0 ? piece.length : counted(file, p.memory.tryRead(extent.va + done, piece, piece.length));
    if (error < 0 && there === 0) return done > 0 ? done : error;
    const offset = position === null || (file.flags & O_APPEND) !== 0 ? file.writeOffset : position + done;
    const n = file.writeAt(offset, error === 0 ? piece : piece.subarray(0, there));
    if (n === -EPIPE) p.signals.raise({ signal: SIGPIPE, code: SI_USER, address: null, pid: p.pid, value: null });
    if (waits(file, n)) {
      const interrupted = yield* awaitPipe(p, file);
      if (interrupted < 0) return done > 0 ? done : interrupted;
      continue;
    }
    if (n < 0) return done > 0 ? done : n;
    if (position === null && file.contents !== null) file.offset = offset + n;
    done += n;
    if (error < 0 || (n < piece.length && file.pipe === null)) break;
  } while (done < total);
  return done;
}

/** read(fd, buffer, count) */
export function* sysRead(p: Process): Waiting {
  const file = p.files.get(p.args.int(0));
  if (file === null) return -EBADF;
  return yield* readInto(p, file, { va: p.args.word(1), len: p.args.word(2) }, null);
}

/** write(fd, buffer, count) */
export function* sysWrite(p: Process): Waiting {
  const file = p.files.get(p.args.int(0));
  if (file === null) return -EBADF;
  return yield* writeFrom(p, file, { va: p.args.word(1), len: p.args.word(2) }, null);
}

/** The description and position of a p* call. @returns -EBADF, -EINVAL a negative position, -ESPIPE there are no positions */
function positioned(p: Process, position: number): OpenFile | number {
  const file = p.files.get(p.args.int(0));
  if (file === null) return -EBADF;
  if (position < 0) return -EINVAL;
  return file.seekable ? file : -ESPIPE;
}

/** pread64(fd, buffer, count, offset) */
export function* sysPread(p: Process): Waiting {
  const position = p.args.offset(3);
  const file = positioned(p, position);
  if (typeof file === 'number') return file;
  return yield* readInto(p, file, { va: p.args.word(1), len: p.args.word(2) }, position);
}

/** pwrite64(fd, buffer, count, offset) */
export function* sysPwrite(p: Process): Waiting {
  const position = p.args.offset(3);
  const file = positioned(p, position);
  if (typeof file === 'number') return file;
  return yield* writeFrom(p, file, { va: p.args.word(1), len: p.args.word(2) }, position);
}

/** Reads an array of struct iovec. @returns -EINVAL too many, or a length that is negative as a ssize_t; -EFAULT */
function* iovecs(p: Process, va: number, count: number): Generator<L4Wait, readonly Extent[] | number, void> {
  if (count < 0 || count > IOV_MAX) return -EINVAL;
  const extents: Extent[] = [];
  const word = p.memory.wordBytes;
  for (let i = 0; i < count; i++) {
    const error = yield* p.memory.load(va + i * 2 * word, 2 * word);
    if (error < 0) return error;
    const extent = { va: p.memory.wordAt(0), len: p.memory.wordAt(word) };
    if (extent.len >= 2 ** (8 * word - 1)) return -EINVAL;
    extents.push(extent);
  }
  return extents.every(({ va: start, len }) => p.memory.inRange(start, len)) ? extents : -EFAULT;
}

function* vector(p: Process, file: OpenFile, position: Position, transfer: typeof readInto): Waiting {
  const extents = yield* iovecs(p, p.args.word(1), p.args.long(2));
  if (typeof extents === 'number') return extents;
  if (extents.length === 0) return transfer === readInto ? (file.readable ? 0 : -EBADF) : file.writable ? 0 : -EBADF;
  let done = 0;
  for (const extent of extents) {
    const len = Math.min(extent.len, MAX_RW_COUNT - done);
    if (len === 0 && done > 0) continue;
    if (transfer === readInto && done > 0 && file.contents === null && !file.readReady) break;
    const n = yield* transfer(p, file, { va: extent.va, len }, position === null ? null : position + done);
    if (n < 0) return done > 0 ? done : n;
    done += n;
    if (n < len) break;
  }
  return done;
}

/** readv(fd, iov, count) */
export function* sysReadv(p: Process): Waiting {
  const file = p.files.get(p.args.int(0));
  return file === null ? -EBADF : yield* vector(p, file, null, readInto);
}

/** writev(fd, iov, count) */
export function* sysWritev(p: Process): Waiting {
  const file = p.files.get(p.args.int(0));
  return file === null ? -EBADF : yield* vector(p, file, null, writeFrom);
}

/** preadv(fd, iov, count, pos_l, pos_h): on rv64 the first half has it all. */
export function* sysPreadv(p: Process): Waiting {
  const position = p.args.offset(3);
  const file = positioned(p, position);
  return typeof file === 'number' ? file : yield* vector(p, file, position, readInto);
}

export function* sysPwritev(p: Process): Waiting {
  const position = p.args.offset(3);
  const file = positioned(p, position);
  return typeof file === 'number' ? file : yield* vector(p, file, position, writeFrom);
}

/** preadv2 and pwritev2 (fd, iov, count, pos_l, pos_h, flags): position -1 is the current one; flags are refused. */
function* vector2(p: Process, transfer: typeof readInto): Waiting {
  if (p.args.uint(5) !== 0) return -EOPNOTSUPP;
  const position = p.args.offset(3);
  if (position !== -1) return transfer === readInto ? yield* sysPreadv(p) : yield* sysPwritev(p);
  return transfer === readInto ? yield* sysReadv(p) : yield* sysWritev(p);
}

export function sysPreadv2(p: Process): Waiting {
  return vector2(p, readInto);
}
export function sysPwritev2(p: Process): Waiting {
  return vector2(p, writeFrom);
}

/** Moves a description's position. @returns the new one; -ESPIPE, -EINVAL, -ENXIO no data beyond */
function seek(file: OpenFile | null, offset: number, whence: number): number {
  if (file === null || (file.flags & O_PATH) !== 0) return -EBADF;
  if (!file.seekable) return -ESPIPE;
  const { contents } = file;
  const size = contents?.size ?? 0;
  let position: number;
  switch (whence) {
    case SEEK_SET:
      position = offset;
      break;
    case SEEK_CUR:
      position = file.offset + offset;
      break;
    case SEEK_END:
      position = size + offset;
      break;
    case SEEK_DATA:
    case SEEK_HOLE:
      if (contents === null) return -EINVAL;
      if (offset < 0 || offset >= size) return -ENXIO;
      position = whence === SEEK_DATA ? contents.nextData(offset) : contents.nextHole(offset);
      if (whence === SEEK_DATA && position >= size) return -ENXIO;
      break;
    default:
      return -EINVAL;
  }
  if (position < 0 || position > MAX_FILE_SIZE) return -EINVAL;
  if (file.node.kind === 'character') return 0;
  file.offset = position;
  return position;
}

/** lseek(fd, offset, whence) */
export function sysLseek(p: Process): number {
  return seek(p.files.get(p.args.int(0)), p.args.long(1), p.args.int(2));
}

/** rv32: llseek(fd, offset_high, offset_low, result, whence) */
export function* sysLlseek(p: Process): Waiting {
  const offset = p.args.int(1) * 2 ** 32 + p.args.uint(2);
  const position = seek(p.files.get(p.args.int(0)), offset, p.args.int(4));
  if (position < 0) return position;
  putInt64(p.memory.view, 0, position);
  return yield* p.memory.store(p.args.word(3), 8);
}

/** getdents64(fd, buffer, size). Positions: 0 `.`, 1 `..`, then the names as they were when reading began. */
export function* sysGetdents64(p: Process): Waiting {
  const file = p.files.get(p.args.int(0));
  if (file === null || (file.flags & O_PATH) !== 0) return -EBADF;
  const { node } = file;
  if (node.kind !== 'directory') return -ENOTDIR;
  const names = file.names();
  if (typeof names === 'number') return names;
  const room = Math.min(p.args.uint(2), BULK);
  const view = new DataView(p.memory.bulk.buffer);
  let used = 0;
  let next = file.offset;
  let tooSmall = false;
  for (; next < names.length + 2; next++) {
    const name = next === 0 ? '.' : next === 1 ? '..' : names[next - 2];
    const entry = next === 0 ? node : next === 1 ? node.parent : p.fs.tree.lookup(node, name);
    if (entry === null || typeof entry === 'number') continue; // removed since
    const size = direntBytes(name);
    if (used + size > room) {
      tooSmall = used === 0;
      break;
    }
    putDirent(view, used, { ino: entry.ino, kind: entry.kind, name, next: next + 1 });
    used += size;
  }
  if (tooSmall) return -EINVAL;
  const error = yield* p.memory.write(p.args.word(1), p.memory.bulk, 0, used);
  if (error < 0) return error;
  file.offset = next;
  return used;
}

/** ftruncate(fd, length) */
export function sysFtruncate(p: Process): number {
  const length = p.args.offset(1);
  const file = p.files.get(p.args.int(0));
  if (file === null) return -EBADF;
  return length < 0 ? -EINVAL : file.truncate(Math.min(length, 2 * MAX_FILE_SIZE));
}

const FALLOC_FL_KEEP_SIZE = 1;

/** fallocate(fd, mode, offset, length): only growing; pages are allocated when they are written, so nothing is reserved. */
export function sysFallocate(p: Process): number {
  const file = p.files.get(p.args.int(0));
  if (file === null || !file.writable) return -EBADF;
  const mode = p.args.uint(1);
  const offset = p.args.offset(2);
  const length = p.args.offset(p.args.after(2));
  if (offset < 0 || length <= 0) return -EINVAL;
  if ((mode & ~FALLOC_FL_KEEP_SIZE) !== 0) return -EOPNOTSUPP;
  if (file.contents === null) return file.pipe === null ? -EINVAL : -ESPIPE;
  if (offset + length > MAX_FILE_SIZE) return -EFBIG;
  return mode === 0 && offset + length > file.contents.size ? file.truncate(offset + length) : 0;
}

/** fsync, fdatasync, syncfs (fd): everything is in memory. */
export function sysFsync(p: Process): number {
  const file = p.files.get(p.args.int(0));
  if (file === null || (file.flags & O_PATH) !== 0) return -EBADF;
  return file.pipe === null ? 0 : -EINVAL;
}

/** fadvise64, readahead and others that are advice only. */
export function sysAdvice(p: Process): number {
  const file = p.files.get(p.args.int(0));
  return file === null ? -EBADF : file.pipe === null ? 0 : -ESPIPE;
}

/** dup(fd) */
export function sysDup(p: Process): number {
  const file = p.files.get(p.args.int(0));
  return file === null ? -EBADF : p.files.install(file, 0, false);
}

/** dup3(old, new, flags) */
export function sysDup3(p: Process): number {
  const [from, to, flags] = [p.args.int(0), p.args.int(1), p.args.uint(2)];
  if ((flags & ~O_CLOEXEC) !== 0 || from === to) return -EINVAL;
  const file = p.files.get(from);
  return file === null ? -EBADF : p.files.replace(to, file, flags !== 0);
}

/** pipe2(descriptors[2], flags) */
export function* sysPipe2(p: Process): Waiting {
  const flags = p.args.uint(1);
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) !== 0) return -EINVAL;
  const node = p.fs.tree.makeFifo(0o600, null);
  const status = flags & (O_NONBLOCK | O_DIRECT);
  const path = `pipe:[${node.ino}]`;
  const reader = p.files.install(new OpenFile(p.fs.tree, node, path, O_RDONLY | status), 0, (flags & O_CLOEXEC) !== 0);
  if (reader < 0) return reader;
  const writer = p.files.install(new OpenFile(p.fs.tree, node, path, O_WRONLY | status), 0, (flags & O_CLOEXEC) !== 0);
  if (writer < 0) {
    p.files.close(reader);
    return writer;
  }
  p.memory.view.setInt32(0, reader, true);
  p.memory.view.setInt32(4, writer, true);
  const error = yield* p.memory.store(p.args.word(0), 8);
  if (error < 0) {
    p.files.close(reader);
    p.files.close(writer);
  }
  return error;
}

const SETTABLE = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME; // by F_SETFL

/** fcntl(fd, command, argument). Locks are not kept: all of them succeed, whoever holds what. */
export function* sysFcntl(p: Process): Waiting {
  const fd = p.args.int(0);
  const file = p.files.get(fd);
  if (file === null) return -EBADF;
  const argument = p.args.int(2);
  switch (p.args.int(1)) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
      if (argument < 0 || argument >= p.files.limit) return -EINVAL;
      return p.files.install(file, argument, p.args.int(1) === F_DUPFD_CLOEXEC);
    case F_GETFD:
      return p.files.closesOnExec(fd) ? FD_CLOEXEC : 0;
    case F_SETFD:
      p.files.setCloseOnExec(fd, (argument & FD_CLOEXEC) !== 0);
      return 0;
    case F_GETFL:
      return file.flags | (p.wide ? 0 : O_LARGEFILE);
    case F_SETFL:
      file.flags = (file.flags & ~SETTABLE) | (argument & SETTABLE);
      return 0;
    case F_GETLK:
    case F_GETLK64:
    case F_OFD_GETLK: {
      const error = yield* p.memory.load(p.args.word(2), 2);
      if (error < 0) return error;
      p.memory.view.setInt16(0, F_UNLCK, true);
      return yield* p.memory.store(p.args.word(2), 2);
    }
    case F_SETLK:
    case F_SETLKW:
    case F_SETLK64:
    case F_SETLKW64:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
      return yield* p.memory.load(p.args.word(2), 2);
    case F_SETOWN:
    case F_GETOWN:
      return 0;
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
      return file.pipe === null ? -EBADF : CAPACITY;
    default:
      return -EINVAL;
  }
}

/** flock(fd, operation): as for the locks of fcntl. */
export function sysFlock(p: Process): number {
  if (p.files.get(p.args.int(0)) === null) return -EBADF;
  const operation = p.args.int(1) & ~4; // LOCK_NB
  return operation === 1 || operation === 2 || operation === 8 ? 0 : -EINVAL;
}

/** ioctl(fd, request, argument): what terminals and descriptors answer; -ENOTTY for everything else. */
export function* sysIoctl(p: Process): Waiting {
  const fd = p.args.int(0);
  const file = p.files.get(fd);
  if (file === null || (file.flags & O_PATH) !== 0) return -EBADF;
  const argument = p.args.word(2);
  const { view } = p.memory;
  const request = p.args.uint(1);
  switch (request) {
    case FIOCLEX:
    case FIONCLEX:
      p.files.setCloseOnExec(fd, request === FIOCLEX);
      return 0;
    case FIONBIO: {
      const error = yield* p.memory.load(argument, 4);
      if (error < 0) return error;
      file.flags = view.getInt32(0, true) !== 0 ? file.flags | O_NONBLOCK : file.flags & ~O_NONBLOCK;
      return 0;
    }
    case FIONREAD: {
      if (file.node.kind === 'directory') return -ENOTTY;
      const waiting = file.contents !== null ? file.contents.size - file.offset : (file.pipe?.length ?? 0);
      view.setInt32(0, Math.max(0, Math.min(waiting, 0x7fff_ffff)), true);
      return yield* p.memory.store(argument, 4);
    }
  }
  if (!file.isTerminal) return -ENOTTY;
  switch (request) {
    case TCGETS:
      putTermios(view);
      return yield* p.memory.store(argument, TERMIOS_BYTES);
    case TCSETS:
    case TCSETSW:
    case TCSETSF: {
      const refused = mayChangeTerminal(p);
      return refused < 0 ? refused : yield* p.memory.load(argument, TERMIOS_BYTES); // the terminal is the host's: its modes stay
    }
    case TIOCSWINSZ:
      return yield* p.memory.load(argument, 4);
    case TIOCGWINSZ:
      view.setUint16(0, 24, true);
      view.setUint16(2, 80, true);
      view.setUint32(4, 0, true);
      return yield* p.memory.store(argument, 8);
    default:
      return yield* controlTerminal(p, request, argument);
  }
}

/** Copies between two descriptions without passing through the guest. Waits for room in a pipe. @returns bytes, or -errno */
function* copyBetween(p: Process, from: OpenFile, to: OpenFile, options: { count: number; at: Position; into: Position }): Waiting {
  const { count, at, into } = options;
  let done = 0;
  while (done < count) {
    const piece = p.memory.bulk.subarray(0, Math.min(BULK, count - done));
    const n = from.readAt(at === null ? from.offset : at + done, piece);
    if (n <= 0) return done > 0 ? done : n;
    const offset = into === null ? to.writeOffset : into + done;
    const written = to.writeAt(offset, piece.subarray(0, n));
    if (written === -EPIPE) p.signals.raise({ signal: SIGPIPE, code: SI_USER, address: null, pid: p.pid, value: null });
    if (waits(to, written)) {
      const interrupted = yield* awaitPipe(p, to);
      if (interrupted < 0) return done > 0 ? done : interrupted;
      continue;
    }
    if (written < 0) return done > 0 ? done : written;
    if (at === null && from.contents !== null) from.offset += written;
    if (into === null && to.contents !== null) to.offset = offset + written;
    done += written;
    if (written < n && to.pipe === null) break;
  }
  return done;
}

/** The offset a pointer argument points to. @returns null for a null pointer, -EFAULT, or -EINVAL below 0 */
function* offsetAt(p: Process, va: number): Generator<L4Wait, Position, void> {
  if (va === 0) return null;
  const error = yield* p.memory.load(va, 8);
  if (error < 0) return error;
  const offset = p.memory.int64At(0);
  return offset < 0 ? -EINVAL : offset;
}

function* storeOffset(p: Process, va: number, offset: number): Waiting {
  if (va === 0) return 0;
  putInt64(p.memory.view, 0, offset);
  return yield* p.memory.store(va, 8);
}

/** sendfile(out, in, offset, count): from something with positions or a device to anything. */
export function* sysSendfile(p: Process): Waiting {
  const to = p.files.get(p.args.int(0));
  const from = p.files.get(p.args.int(1));
  if (to === null || from === null || !to.writable || !from.readable) return -EBADF;
  const offset = yield* offsetAt(p, p.args.word(2));
  if (offset !== null && offset < 0) return offset;
  if (offset !== null && !from.seekable) return -ESPIPE;
  if (from.contents === null || (to.flags & O_APPEND) !== 0) return -EINVAL;
  const n = yield* copyBetween(p, from, to, { count: Math.min(p.args.word(3), MAX_RW_COUNT), at: offset, into: null });
  if (n < 0 || offset === null) return n;
  const error = yield* storeOffset(p, p.args.word(2), offset + n);
  return error < 0 ? error : n;
}

/** copy_file_range(in, off_in, out, off_out, length, flags) between regular files. */
export function* sysCopyFileRange(p: Process): Waiting {
  const from = p.files.get(p.args.int(0));
  const to = p.files.get(p.args.int(2));
  if (from === null || to === null || !from.readable || !to.writable || (to.flags & O_APPEND) !== 0) return -EBADF;
  if (p.args.uint(5) !== 0 || from.contents === null || to.contents === null) return -EINVAL;
  const at = yield* offsetAt(p, p.args.word(1));
  if (at !== null && at < 0) return at;
  const into = yield* offsetAt(p, p.args.word(3));
  if (into !== null && into < 0) return into;
  const count = Math.min(p.args.word(4), MAX_RW_COUNT);
  const [start, target] = [at ?? from.offset, into ?? to.offset];
  if (from.node === to.node && start < target + count && target < start + count) return -EINVAL;
  const n = yield* copyBetween(p, from, to, { count, at, into });
  if (n < 0) return n;
  const first = at === null ? 0 : yield* storeOffset(p, p.args.word(1), at + n);
  const second = into === null ? 0 : yield* storeOffset(p, p.args.word(3), into + n);
  return first < 0 ? first : second < 0 ? second : n;
}

/** socket, socketpair: there is no network, not even inside. */
export function sysNoNetwork(): number {
  return -EAFNOSUPPORT;
}

/** getsockname, getpeername and their like on a descriptor that is no socket. */
export function sysNotSocket(p: Process): number {
  return p.files.get(p.args.int(0)) === null ? -EBADF : -ENOTSOCK;
}
