/** System calls on descriptors themselves: opening, closing, duplicating, pipes, positions. Bytes move in sys-file.ts. */

import { EBADF, EFAULT, EINVAL, EMFILE, ENAMETOOLONG, ENOENT, ENOTTY, EROFS, ESPIPE } from '../base/errno.ts';
import { copyOut, readString } from './copy.ts';
import { DiskFile, MAX_FILES, PipeEnd, TreeFile } from './file.ts';
import { PATH_MAX } from './file-tree.ts';
import { Pipe } from './pipe.ts';
import type { Process } from './process.ts';
import type { SyscallArgs } from './syscall-args.ts';

const O_ACCMODE = 3;
const O_CREAT = 0o100;
const O_TRUNC = 0o1000;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const F_DUPFD = 0;
const F_GETFD = 1;
const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;
const F_DUPFD_CLOEXEC = 1030;
const FD_CLOEXEC = 1;
const SEEK_SET = 0;
const SEEK_CUR = 1;
const SEEK_END = 2;
const S_IFIFO = 0o010000;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
const S_IFREG = 0o100000;
const STAT_BYTES = 128;

/**
 * openat(dir, path, flags, mode): opens a file of the tree for reading, or a disk. There is one directory, the root.
 * @param args dir: ignored; path: address of a string; flags: O_RDONLY, possibly O_CLOEXEC; of a disk anything
 * @returns a descriptor; or -ENOENT; -EROFS to write a file, or to make one; -EFAULT; -ENAMETOOLONG; -EMFILE
 */
export function sysOpenat(p: Process, args: SyscallArgs): number {
  const path = readString(p, args.unsigned(1), PATH_MAX - 1);
  if (typeof path === 'number') return path === -EINVAL ? -ENAMETOOLONG : path;
  const flags = args.int(2);
  const disk = p.kernel.disks.get(path);
  if (disk !== undefined) {
    if (!p.files.hasRoom()) return -EMFILE;
    return p.files.add(new DiskFile(disk, p.kernel.machine.clock), (flags & O_CLOEXEC) !== 0);
  }
  const bytes = p.kernel.tree.find(path);
  if ((flags & (O_ACCMODE | O_TRUNC)) !== 0 || (bytes === null && (flags & O_CREAT) !== 0)) return -EROFS;
  if (bytes === null) return -ENOENT;
  if (!p.files.hasRoom()) return -EMFILE;
  return p.files.add(new TreeFile(bytes), (flags & O_CLOEXEC) !== 0);
}

/** unlinkat(dir, path, flags): the tree stays as it is. @returns -EROFS; or -ENOENT; -EFAULT; -ENAMETOOLONG */
export function sysUnlinkat(p: Process, args: SyscallArgs): number {
  const path = readString(p, args.unsigned(1), PATH_MAX - 1);
  if (typeof path === 'number') return path === -EINVAL ? -ENAMETOOLONG : path;
  return p.kernel.tree.find(path) === null ? -ENOENT : -EROFS;
}

/** close(fd): mappings of a memory image stay, and keep it alive. @returns 0, or -EBADF */
export function sysClose(p: Process, args: SyscallArgs): number {
  return p.files.close(args.int(0));
}

/** dup(fd): another descriptor of the same open file, the lowest free. @returns it; or -EBADF; -EMFILE */
export function sysDup(p: Process, args: SyscallArgs): number {
  const file = p.files.get(args.int(0));
  if (file === null) return -EBADF;
  return p.files.hasRoom() ? p.files.add(file) : -EMFILE;
}

/**
 * dup3(fd, to, flags): makes `to` a descriptor of the same open file, in place of what it was.
 * @returns `to`; or -EBADF no such descriptor, `to` is out of range; -EINVAL the same one, unknown flag
 */
export function sysDup3(p: Process, args: SyscallArgs): number {
  const file = p.files.get(args.int(0));
  const to = args.int(1);
  const flags = args.int(2);
  if (to === args.int(0) || (flags & ~O_CLOEXEC) !== 0) return -EINVAL;
  if (file === null || to < 0 || to >= MAX_FILES) return -EBADF;
  p.files.put(to, file, (flags & O_CLOEXEC) !== 0);
  return to;
}

/**
 * fcntl(fd, command, value): F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL (O_NONBLOCK of a pipe).
 * @returns by command; or -EBADF; -EINVAL another command; -EMFILE
 */
export function sysFcntl(p: Process, args: SyscallArgs): number {
  const fd = args.int(0);
  const file = p.files.get(fd);
  if (file === null) return -EBADF;
  const value = args.int(2);
  switch (args.int(1)) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC: {
      if (value < 0 || value >= MAX_FILES) return -EINVAL;
      let free = value;
      while (free < MAX_FILES && p.files.get(free) !== null) free++;
      return free < MAX_FILES ? p.files.add(file, args.int(1) === F_DUPFD_CLOEXEC, free) : -EMFILE;
    }
    case F_GETFD:
      return p.files.closesOnExec(fd) ? FD_CLOEXEC : 0;
    case F_SETFD:
      p.files.setCloseOnExec(fd, (value & FD_CLOEXEC) !== 0);
      return 0;
    case F_GETFL:
      if (file.kind === 'pipe') return (file.end === 'write' ? 1 : 0) | (file.nonBlocking ? O_NONBLOCK : 0);
      if (file.kind === 'console') return file.fd === 0 ? 0 : 1;
      return file.kind === 'memory' || file.kind === 'disk' ? 2 : 0;
    case F_SETFL:
      if (file.kind === 'pipe') file.nonBlocking = (value & O_NONBLOCK) !== 0;
      return 0;
    default:
      return -EINVAL;
  }
}

/**
 * pipe2(fds, flags): a pipe, its reading end in fds[0], its writing end in fds[1].
 * @param args fds: address of two ints; flags: O_CLOEXEC, O_NONBLOCK
 * @returns 0; or -EINVAL unknown flag; -EMFILE; -EFAULT (then there is no pipe)
 */
export function sysPipe2(p: Process, args: SyscallArgs): number {
  const flags = args.int(1);
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) !== 0) return -EINVAL;
  if (!p.files.hasRoom(2)) return -EMFILE;
  const pipe = new Pipe();
  const { scheduler } = p.kernel;
  const options = { nonBlocking: (flags & O_NONBLOCK) !== 0, wakeup: (channel: object) => void scheduler.wakeup(channel) };
  const closes = (flags & O_CLOEXEC) !== 0;
  const fds = Int32Array.of(
    p.files.add(new PipeEnd(pipe, 'read', options), closes),
    p.files.add(new PipeEnd(pipe, 'write', options), closes),
  );
  if (copyOut(p, args.unsigned(0), new Uint8Array(fds.buffer))) return 0;
  for (const fd of fds) p.files.close(fd);
  return -EFAULT;
}

/**
 * lseek(fd, offset, whence): moves the position of a file. On 32-bit: _llseek(fd, high, low, result, whence).
 * @returns the position, bytes (32-bit: 0, and it is stored); or -EBADF; -ESPIPE; -EINVAL; -EFAULT
 */
export function sysLseek(p: Process, args: SyscallArgs): number {
  const narrow = p.xlen === 32 && p.memory === null;
  const offset = narrow ? args.int(1) * 2 ** 32 + (args.int(2) >>> 0) : args.signed(1);
  const whence = args.int(narrow ? 4 : 2);
  const file = p.files.get(args.int(0));
  if (file === null) return -EBADF;
  if (file.kind === 'console' || file.kind === 'pipe') return -ESPIPE;
  if (whence < SEEK_SET || whence > SEEK_END) return -EINVAL;
  const size = file.kind === 'tree' ? file.bytes.length : file.size;
  const position = offset + (whence === SEEK_SET ? 0 : whence === SEEK_CUR ? file.position : size);
  if (!(position >= 0 && position < 2 ** 53)) return -EINVAL;
  file.position = position;
  if (!narrow) return position;
  const words = Uint32Array.of(position, position / 2 ** 32);
  return copyOut(p, args.unsigned(3), new Uint8Array(words.buffer)) ? 0 : -EFAULT;
}

/**
 * fstat(fd, stat): what kind of file it is, and its size. Everything else is 0.
 * @param args fd; stat: address of a struct stat of a 64-bit program (128 bytes)
 * @returns 0; or -EBADF; -EFAULT
 */
export function sysFstat(p: Process, args: SyscallArgs): number {
  const file = p.files.get(args.int(0));
  if (file === null) return -EBADF;
  const bytes = new Uint8Array(STAT_BYTES);
  const view = new DataView(bytes.buffer);
  const kind = file.kind === 'console' ? S_IFCHR : file.kind === 'pipe' ? S_IFIFO : file.kind === 'disk' ? S_IFBLK : S_IFREG;
  const size = file.kind === 'tree' ? file.bytes.length : file.kind === 'memory' || file.kind === 'disk' ? file.size : 0;
  view.setUint32(16, kind | 0o600, true);
  view.setUint32(20, 1, true); // links
  view.setUint32(48, size % 2 ** 32, true);
  view.setUint32(52, Math.floor(size / 2 ** 32), true);
  view.setUint32(56, 4096, true); // best size of a transfer
  return copyOut(p, args.unsigned(1), bytes) ? 0 : -EFAULT;
}

/** ioctl(fd, request, arg): nothing here takes one. @returns -ENOTTY, or -EBADF */
export function sysIoctl(p: Process, args: SyscallArgs): number {
  return p.files.get(args.int(0)) === null ? -EBADF : -ENOTTY;
}
