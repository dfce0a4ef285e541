/**
 * System calls on names: open, stat, make, remove, rename, link, and the attributes of what a name leads to.
 *
 * Each call reads its strings first (-EFAULT, -ENAMETOOLONG), then hands over to the file system, which changes nothing
 * when it answers an errno. What reads or writes guest memory may wait for page faults.
 * Source: the manual pages of section 2.
 */
import { EACCES, EBADF, EFAULT, EINVAL, ENAMETOOLONG, ENOENT, ENOSPC, ENOTDIR, EPERM, ERANGE } from '../../../hostkernel/base/errno.ts';
import type { L4Wait } from '../../l4/user.ts';
import {
  AT_EACCESS,
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_NO_AUTOMOUNT,
  AT_REMOVEDIR,
  AT_STATX_SYNC_TYPE,
  AT_SYMLINK_FOLLOW,
  AT_SYMLINK_NOFOLLOW,
  ERESTARTSYS,
  MAX_FILE_SIZE,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NOCTTY,
  O_NONBLOCK,
  O_PATH,
  O_RDWR,
  O_TRUNC,
  PATH_MAX,
  UTIME_NOW,
  UTIME_OMIT,
} from '../abi.ts';
import { putStat, putStatfs, putStatx, STAT_BYTES, STATX_BYTES } from '../layouts.ts';
import { INTERRUPTED, type Process } from '../process.ts';
import type { DirectoryInode, Inode } from '../vfs/inode.ts';
import { OpenFile } from '../vfs/open-file.ts';
import { bytesOf, type Timestamp } from '../vfs/provider.ts';
import { DEV_PROC } from '../vfs/tree.ts';

export type Waiting = Generator<L4Wait, number, void>;

/** A directory and a path in it, as two arguments of an *at call name them. */
interface At {
  readonly base: DirectoryInode;
  readonly path: string;
}

/** Reads the path argument `path` relative to the descriptor argument `dirfd` (-1: there is none). */
function* at(p: Process, dirfd: number, path: number): Generator<L4Wait, At | number, void> {
  const fd = dirfd < 0 ? AT_FDCWD : p.args.int(dirfd);
  const text = yield* p.path(p.args.word(path));
  if (typeof text === 'number') return text;
  if (text === '') return -ENOENT;
  const base = p.base(fd, text);
  return typeof base === 'number' ? base : { base, path: text };
}

/** The inode that (dirfd, path, flags) names; with AT_EMPTY_PATH and an empty path, that of the descriptor. */
function* inodeAt(p: Process, names: { dirfd: number; path: number }, flags: number): Generator<L4Wait, Inode | number, void> {
  const text = yield* p.path(p.args.word(names.path));
  if (typeof text === 'number') return text;
  const fd = p.args.int(names.dirfd);
  if (text === '') {
    if ((flags & AT_EMPTY_PATH) === 0) return -ENOENT;
    if (fd === AT_FDCWD) return p.cwd;
    return p.files.get(fd)?.node ?? -EBADF;
  }
  return p.lookup(fd, text, (flags & AT_SYMLINK_NOFOLLOW) === 0);
}

/** Opens and installs: the work of openat and its relatives. Waits for the other end of a fifo; a pipe without a name has had both. */
function* open(p: Process, where: At, flags: number, mode: number): Waiting {
  const fd = p.files.free(0);
  if (fd < 0) return fd;
  const file = p.fs.open(where.base, where.path, flags, mode & 0o7777 & ~p.umask);
  if (typeof file === 'number') return file;
  file.flags &= ~(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
  const seen = file.pipe === null || file.node.nlink === 0 ? null : { readers: file.pipe.readersEver, writers: file.pipe.writersEver };
  const installed = p.files.install(file, 0, (flags & O_CLOEXEC) !== 0);
  const waits = seen !== null && (flags & O_NONBLOCK) === 0 && file.readable !== file.writable;
  return waits ? yield* awaitPartner(p, file, installed, seen) : installed;
}

/** Waits until somebody has opened the other end of a fifo. @returns the descriptor, or -ERESTARTSYS: it is closed again */
function* awaitPartner(p: Process, file: OpenFile, fd: number, seen: { readonly readers: number; readonly writers: number }): Waiting {
  const { pipe } = file;
  if (pipe === null) return fd;
  for (;;) {
    const isThere = file.readable
      ? pipe.writers > 0 || pipe.writersEver > seen.writers
      : pipe.readers > 0 || pipe.readersEver > seen.readers;
    if (isThere) return fd;
    if ((yield* p.wait([pipe.changed], Number.POSITIVE_INFINITY)) !== INTERRUPTED) continue;
    p.files.close(fd);
    return -ERESTARTSYS;
  }
}

/** openat(dirfd, path, flags, mode). @returns the descriptor, or -errno of FileSystem.open, -EMFILE, -EBADF, -EFAULT */
export function* sysOpenat(p: Process): Waiting {
  const where = yield* at(p, 0, 1);
  return typeof where === 'number' ? where : yield* open(p, where, p.args.uint(2), p.args.uint(3));
}

/** open(path, flags, mode), an old number that libraries for bare machines use. */
export function* sysOpen(p: Process): Waiting {
  const where = yield* at(p, -1, 0);
  return typeof where === 'number' ? where : yield* open(p, where, p.args.uint(1), p.args.uint(2));
}

const RESOLVE_KNOWN = 0x3f; // RESOLVE_* flags of openat2
const RESOLVE_LIMITS = 0x1f; // those that forbid something: not supported, so refused

/** openat2(dirfd, path, how, size). how: flags, mode, resolve (u64 each). RESOLVE_* limits are refused with -EINVAL. */
export function* sysOpenat2(p: Process): Waiting {
  const size = p.args.word(3);
  if (size < 24) return -EINVAL;
  const error = yield* p.memory.load(p.args.word(2), 24);
  if (error < 0) return error;
  const [flags, mode, resolve] = [p.memory.int64At(0), p.memory.int64At(8), p.memory.int64At(16)];
  if (flags < 0 || flags > 0x7fffff || mode < 0 || mode > 0o7777 || size > 24) return -EINVAL;
  if ((resolve & ~RESOLVE_KNOWN) !== 0 || (resolve & RESOLVE_LIMITS) !== 0) return -EINVAL;
  const where = yield* at(p, 0, 1);
  return typeof where === 'number' ? where : yield* open(p, where, flags, mode);
}

const MEMFD_NAME_MAX = 249; // bytes
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2; // accepted; a seal itself is an unknown fcntl

/** memfd_create(name, flags): a file without a name in the tree. @returns the descriptor, or -EINVAL, -ENOSPC, -EMFILE, -EFAULT */
export function* sysMemfdCreate(p: Process): Waiting {
  const flags = p.args.uint(1);
  if ((flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING)) !== 0) return -EINVAL;
  const name = yield* p.memory.readString(p.args.word(0), MEMFD_NAME_MAX + 1);
  if (typeof name === 'number') return name === -ENAMETOOLONG ? -EINVAL : name;
  if (p.fs.tree.full) return -ENOSPC;
  const file = new OpenFile(p.fs.tree, p.fs.tree.makeFile(0o777, null), `/memfd:${name} (deleted)`, O_RDWR);
  return p.files.install(file, 0, (flags & MFD_CLOEXEC) !== 0);
}

/** close(fd) */
export function sysClose(p: Process): number {
  return p.files.close(p.args.int(0));
}

/** close_range(first, last, flags) */
export function sysCloseRange(p: Process): number {
  const flags = p.args.uint(2);
  if ((flags & ~6) !== 0) return -EINVAL; // CLOSE_RANGE_UNSHARE 2: nothing is shared; CLOSE_RANGE_CLOEXEC 4
  return p.files.closeRange(p.args.uint(0), p.args.uint(1), (flags & 4) !== 0);
}

/** newfstatat(dirfd, path, buffer, flags) */
export function* sysFstatat(p: Process): Waiting {
  const flags = p.args.uint(3);
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const node = yield* inodeAt(p, { dirfd: 0, path: 1 }, flags);
  return typeof node === 'number' ? node : yield* storeStat(p, p.args.word(2), node);
}

/** fstat(fd, buffer) */
export function* sysFstat(p: Process): Waiting {
  const file = p.files.get(p.args.int(0));
  return file === null ? -EBADF : yield* storeStat(p, p.args.word(1), file.node);
}

function* statPath(p: Process, follow: boolean): Waiting {
  const where = yield* at(p, -1, 0);
  if (typeof where === 'number') return where;
  const node = p.fs.lookup(where.base, where.path, follow);
  return typeof node === 'number' ? node : yield* storeStat(p, p.args.word(1), node);
}

/** stat(path, buffer) and lstat(path, buffer), old numbers. */
export function sysStat(p: Process): Waiting {
  return statPath(p, true);
}
export function sysLstat(p: Process): Waiting {
  return statPath(p, false);
}

function storeStat(p: Process, va: number, node: Inode): Waiting {
  putStat(p.memory.view, node);
  return p.memory.store(va, STAT_BYTES);
}

/** statx(dirfd, path, flags, mask, buffer). Every basic field is filled in, whatever the mask. */
export function* sysStatx(p: Process): Waiting {
  const flags = p.args.uint(2);
  const known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
  if ((flags & ~known) !== 0 || (flags & AT_STATX_SYNC_TYPE) === AT_STATX_SYNC_TYPE || p.args.int(3) < 0) return -EINVAL;
  const node = yield* inodeAt(p, { dirfd: 0, path: 1 }, flags);
  if (typeof node === 'number') return node;
  putStatx(p.memory.view, node);
  return yield* p.memory.store(p.args.word(4), STATX_BYTES);
}

/**
 * faccessat(dirfd, path, mode) and faccessat2 with flags. Root may read and write anything; it may execute what has an
 * execute bit, and search any directory.
 */
function* access(p: Process, flags: number): Waiting {
  const mode = p.args.uint(2);
  if ((mode & ~7) !== 0 || (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const node = yield* inodeAt(p, { dirfd: 0, path: 1 }, flags);
  return typeof node === 'number' ? node : mayAccess(node, mode);
}

function mayAccess(node: Inode, mode: number): number {
  return (mode & 1) !== 0 && node.kind !== 'directory' && (node.mode & 0o111) === 0 ? -EACCES : 0;
}

export function sysFaccessat(p: Process): Waiting {
  return access(p, 0);
}
export function sysFaccessat2(p: Process): Waiting {
  return access(p, p.args.uint(3));
}

/** access(path, mode), an old number. */
export function* sysAccess(p: Process): Waiting {
  const where = yield* at(p, -1, 0);
  if (typeof where === 'number') return where;
  const node = p.fs.lookup(where.base, where.path, true);
  return typeof node === 'number' ? node : mayAccess(node, p.args.uint(1));
}

/** readlinkat(dirfd, path, buffer, size). @returns bytes stored, without a NUL; -EINVAL not a link or size <= 0 */
export function* sysReadlinkat(p: Process): Waiting {
  const size = p.args.int(3);
  if (size <= 0) return -EINVAL;
  const node = yield* inodeAt(p, { dirfd: 0, path: 1 }, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
  if (typeof node === 'number') return node;
  if (node.kind !== 'symlink') return -EINVAL;
  const target = bytesOf(node.target());
  const n = Math.min(size, target.length);
  const error = yield* p.memory.write(p.args.word(2), target, 0, n);
  return error < 0 ? error : n;
}

/** getcwd(buffer, size). @returns bytes stored, with the NUL; -ERANGE too small; -ENAMETOOLONG; -ENOENT the directory has been removed */
export function* sysGetcwd(p: Process): Waiting {
  const path = p.fs.tree.pathOf(p.cwd);
  if (path === null) return -ENOENT;
  const bytes = bytesOf(`${path}\0`);
  if (bytes.length > PATH_MAX) return -ENAMETOOLONG;
  if (bytes.length > p.args.word(1)) return -ERANGE;
  const error = yield* p.memory.write(p.args.word(0), bytes, 0, bytes.length);
  return error < 0 ? error : bytes.length;
}

/** chdir(path) */
export function* sysChdir(p: Process): Waiting {
  const where = yield* at(p, -1, 0);
  if (typeof where === 'number') return where;
  return enter(p, p.fs.lookup(where.base, where.path, true));
}

/** fchdir(fd) */
export function sysFchdir(p: Process): number {
  return enter(p, p.files.get(p.args.int(0))?.node ?? -EBADF);
}

function enter(p: Process, node: Inode | number): number {
  if (typeof node === 'number') return node;
  if (node.kind !== 'directory') return -ENOTDIR;
  p.cwd = node;
  return 0;
}

/** chroot(path): only to where the root is already; a root inside the root is not kept. */
export function* sysChroot(p: Process): Waiting {
  const where = yield* at(p, -1, 0);
  if (typeof where === 'number') return where;
  const node = p.fs.lookup(where.base, where.path, true);
  if (typeof node === 'number') return node;
  return node === p.fs.root ? 0 : -EPERM;
}

/** mkdirat(dirfd, path, mode) */
export function* sysMkdirat(p: Process): Waiting {
  const where = yield* at(p, 0, 1);
  return typeof where === 'number' ? where : p.fs.mkdir(where.base, where.path, p.args.uint(2) & ~p.umask);
}

/** mkdir(path, mode), an old number. */
export function* sysMkdir(p: Process): Waiting {
  const where = yield* at(p, -1, 0);
  return typeof where === 'number' ? where : p.fs.mkdir(where.base, where.path, p.args.uint(1) & ~p.umask);
}

/** mknodat(dirfd, path, mode, dev). Device nodes can be made; only those of /dev have a driver. */
export function* sysMknodat(p: Process): Waiting {
  const where = yield* at(p, 0, 1);
  return typeof where === 'number' ? where : p.fs.mknod(where.base, where.path, p.args.uint(2) & ~(p.umask & 0o777), p.args.uint(3));
}

/** unlinkat(dirfd, path, flags) */
export function* sysUnlinkat(p: Process): Waiting {
  const flags = p.args.uint(2);
  if ((flags & ~AT_REMOVEDIR) !== 0) return -EINVAL;
  const where = yield* at(p, 0, 1);
  if (typeof where === 'number') return where;
  return flags === 0 ? p.fs.unlink(where.base, where.path) : p.fs.rmdir(where.base, where.path);
}

/** unlink(path), an old number. */
export function* sysUnlink(p: Process): Waiting {
  const where = yield* at(p, -1, 0);
  return typeof where === 'number' ? where : p.fs.unlink(where.base, where.path);
}

/** symlinkat(target, dirfd, path) */
export function* sysSymlinkat(p: Process): Waiting {
  const target = yield* p.path(p.args.word(0));
  if (typeof target === 'number') return target;
  const where = yield* at(p, 1, 2);
  return typeof where === 'number' ? where : p.fs.symlink(target, where.base, where.path);
}

/** linkat(olddirfd, oldpath, newdirfd, newpath, flags) */
export function* sysLinkat(p: Process): Waiting {
  const flags = p.args.uint(4);
  if ((flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const nofollow = (flags & AT_SYMLINK_FOLLOW) === 0 ? AT_SYMLINK_NOFOLLOW : 0;
  const node = yield* inodeAt(p, { dirfd: 0, path: 1 }, nofollow | (flags & AT_EMPTY_PATH));
  if (typeof node === 'number') return node;
  const where = yield* at(p, 2, 3);
  return typeof where === 'number' ? where : p.fs.link(node, where.base, where.path);
}

/** link(old, new), an old number. */
export function* sysLink(p: Process): Waiting {
  const from = yield* at(p, -1, 0);
  if (typeof from === 'number') return from;
  const node = p.fs.lookup(from.base, from.path, false);
  if (typeof node === 'number') return node;
  const where = yield* at(p, -1, 1);
  return typeof where === 'number' ? where : p.fs.link(node, where.base, where.path);
}

/** renameat2(olddirfd, oldpath, newdirfd, newpath, flags); renameat is the same without flags. */
function* rename(p: Process, flags: number): Waiting {
  const from = yield* at(p, 0, 1);
  if (typeof from === 'number') return from;
  const to = yield* at(p, 2, 3);
  return typeof to === 'number' ? to : p.fs.rename(from, to, flags);
}

export function sysRenameat(p: Process): Waiting {
  return rename(p, 0);
}
export function sysRenameat2(p: Process): Waiting {
  return rename(p, p.args.uint(4));
}

/** fchmodat(dirfd, path, mode); the kernel's call has no flags. */
export function* sysFchmodat(p: Process): Waiting {
  const node = yield* inodeAt(p, { dirfd: 0, path: 1 }, 0);
  return typeof node === 'number' ? node : changeMode(p, node, p.args.uint(2));
}

/** fchmodat2(dirfd, path, mode, flags) */
export function* sysFchmodat2(p: Process): Waiting {
  const flags = p.args.uint(3);
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const node = yield* inodeAt(p, { dirfd: 0, path: 1 }, flags);
  return typeof node === 'number' ? node : changeMode(p, node, p.args.uint(2));
}

/** fchmod(fd, mode) */
export function sysFchmod(p: Process): number {
  const file = p.files.get(p.args.int(0));
  return file === null || (file.flags & O_PATH) !== 0 ? -EBADF : changeMode(p, file.node, p.args.uint(1));
}

function changeMode(p: Process, node: Inode, mode: number): number {
  return node.dev === DEV_PROC ? -EPERM : p.fs.chmod(node, mode);
}

/** fchownat(dirfd, path, uid, gid, flags) */
export function* sysFchownat(p: Process): Waiting {
  const flags = p.args.uint(4);
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const node = yield* inodeAt(p, { dirfd: 0, path: 1 }, flags);
  if (typeof node === 'number') return node;
  return node.dev === DEV_PROC ? -EPERM : p.fs.chown(node, p.args.int(2), p.args.int(3));
}

/** fchown(fd, uid, gid) */
export function sysFchown(p: Process): number {
  const file = p.files.get(p.args.int(0));
  if (file === null || (file.flags & O_PATH) !== 0) return -EBADF;
  return file.node.dev === DEV_PROC ? -EPERM : p.fs.chown(file.node, p.args.int(1), p.args.int(2));
}

/** utimensat(dirfd, path, times[2], flags). A null path names the descriptor itself; null times are now. */
export function* sysUtimensat(p: Process): Waiting {
  const flags = p.args.uint(3);
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const now = p.now();
  let times: readonly [Timestamp | null, Timestamp | null] | null = [now, now];
  if (p.args.word(2) !== 0) {
    const error = yield* p.memory.load(p.args.word(2), 32);
    if (error < 0) return error;
    const [atime, mtime] = [timeAt(p, 0, now), timeAt(p, 16, now)];
    times = atime === undefined || mtime === undefined ? null : [atime, mtime];
  }
  if (times === null) return -EINVAL;
  if (p.args.word(1) === 0) {
    if (p.args.int(0) === AT_FDCWD) return -EFAULT;
    const file = p.files.get(p.args.int(0));
    return file === null ? -EBADF : p.fs.setTimes(file.node, times[0], times[1]);
  }
  const node = yield* inodeAt(p, { dirfd: 0, path: 1 }, flags);
  return typeof node === 'number' ? node : p.fs.setTimes(node, times[0], times[1]);
}

/** One timespec of utimensat: null leaves the time as it is, undefined is not a time. */
function timeAt(p: Process, offset: number, now: Timestamp): Timestamp | null | undefined {
  const nanoseconds = p.memory.int64At(offset + 8);
  if (nanoseconds === UTIME_NOW) return now;
  if (nanoseconds === UTIME_OMIT) return null;
  const seconds = p.memory.int64At(offset);
  if (nanoseconds < 0 || nanoseconds >= 1e9 || Math.abs(seconds) > 2 ** 40) return undefined;
  return { seconds, nanoseconds };
}

/** truncate(path, length) */
export function* sysTruncate(p: Process): Waiting {
  const length = p.args.offset(1);
  if (length < 0) return -EINVAL;
  const where = yield* at(p, -1, 0);
  if (typeof where === 'number') return where;
  const node = p.fs.lookup(where.base, where.path, true);
  return typeof node === 'number' ? node : p.fs.truncate(node, Math.min(length, 2 * MAX_FILE_SIZE));
}

const OVERLAY_MAGIC = 0x794c7630; // OVERLAYFS_SUPER_MAGIC
const PROC_MAGIC = 0x9fa0;

function storeStatfs(p: Process, va: number, node: Inode): Waiting {
  const { store, inodes, inodesMax } = p.fs.tree;
  const size = putStatfs(p.memory.view, p.wide, {
    type: node.dev === DEV_PROC ? PROC_MAGIC : OVERLAY_MAGIC,
    blocks: node.dev === DEV_PROC ? 0 : store.pagesMax,
    free: node.dev === DEV_PROC ? 0 : store.pagesMax - store.pagesUsed,
    files: inodesMax,
    filesFree: Math.max(0, inodesMax - inodes),
  });
  return p.memory.store(va, size);
}

/** statfs(path, buffer); on rv32 statfs64(path, size, buffer). */
export function* sysStatfs(p: Process): Waiting {
  if (!p.wide && p.args.word(1) !== 88) return -EINVAL;
  const where = yield* at(p, -1, 0);
  if (typeof where === 'number') return where;
  const node = p.fs.lookup(where.base, where.path, true);
  return typeof node === 'number' ? node : yield* storeStatfs(p, p.args.word(p.wide ? 1 : 2), node);
}

/** fstatfs(fd, buffer); on rv32 fstatfs64(fd, size, buffer). */
export function* sysFstatfs(p: Process): Waiting {
  if (!p.wide && p.args.word(1) !== 88) return -EINVAL;
  const file = p.files.get(p.args.int(0));
  return file === null ? -EBADF : yield* storeStatfs(p, p.args.word(p.wide ? 1 : 2), file.node);
}

/** umask(mask). @returns the old one */
export function sysUmask(p: Process): number {
  const old = p.umask;
  p.umask = p.args.uint(0) & 0o777;
  return old;
}
