/**
 * A directory of the host as a read-only provider: what `--root DIR` stands on.
 *
 * Each path is taken apart by the overlay, which hands down only names it has been told are directories; still, no
 * symbolic link is followed here, not even one put in the way meanwhile: the real path of the parent must be the one
 * expected. Devices, sockets and fifos of the host are not shown.
 */
import {
  closeSync,
  constants,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  realpathSync,
  fstatSync,
  type BigIntStats,
} from 'node:fs';
import { EACCES, EINVAL, EIO, EISDIR, ELOOP, EMFILE, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM } from '../../../hostkernel/base/errno.ts';
import { type FileProvider, type FileStat, latin1, type Timestamp } from '../vfs/provider.ts';

const ERRNOS: ReadonlyMap<string, number> = new Map([
  ['ENOENT', ENOENT],
  ['ENOTDIR', ENOTDIR],
  ['EISDIR', EISDIR],
  ['EACCES', EACCES],
  ['EPERM', EPERM],
  ['ELOOP', ELOOP],
  ['EINVAL', EINVAL],
  ['EMFILE', EMFILE],
  ['ENAMETOOLONG', ENAMETOOLONG],
]);

const OPEN_FILES = 16; // host descriptors kept open at a time

/** @returns the provider, or -errno if `root` is not a directory that can be read */
export function directoryProvider(root: string): FileProvider | number {
  let real: Buffer;
  try {
    real = realpathSync(root, { encoding: 'buffer' });
    if (!lstatSync(real).isDirectory()) return -ENOTDIR;
  } catch (error) {
    return errnoOf(error);
  }
  return new DirectoryProvider(real);
}

/** Reads all of a host file. @returns its bytes, or -errno (-EISDIR for a directory) */
export function readHostFile(path: string): Uint8Array | number {
  let fd = -1;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = fstatSync(fd);
    if (stat.isDirectory()) return -EISDIR;
    if (!stat.isFile()) return -EACCES;
    const bytes = new Uint8Array(stat.size);
    let at = 0;
    while (at < bytes.length) {
      const n = readSync(fd, bytes, at, bytes.length - at, at);
      if (n === 0) break;
      at += n;
    }
    return bytes.subarray(0, at);
  } catch (error) {
    return errnoOf(error);
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

class DirectoryProvider implements FileProvider {
  readonly #root: Buffer;
  readonly #open = new Map<string, number>(); // path -> host descriptor, oldest first

  constructor(root: Buffer) {
    this.#root = root.length === 1 ? Buffer.alloc(0) : root; // '/' itself: every path begins with its own slash
  }

  stat(path: string): FileStat | number {
    try {
      const host = this.#hostPath(path);
      if (typeof host === 'number') return host;
      return fileStat(lstatSync(host, { bigint: true }));
    } catch (error) {
      return errnoOf(error);
    }
  }

  list(path: string): readonly string[] | number {
    try {
      const host = this.#hostPath(path);
      if (typeof host === 'number') return host;
      if (!lstatSync(host).isDirectory()) return -ENOTDIR;
      return readdirSync(host, { encoding: 'buffer' }).map((name) => latin1(name));
    } catch (error) {
      return errnoOf(error);
    }
  }

  readFile(path: string, offset: number, into: Uint8Array): number {
    try {
      const fd = this.#descriptor(path);
      if (fd < 0) return fd;
      let done = 0;
      while (done < into.length) {
        const n = readSync(fd, into, done, into.length - done, offset + done);
        if (n === 0) break;
        done += n;
      }
      return done;
    } catch (error) {
      return errnoOf(error);
    }
  }

  readlink(path: string): string | number {
    try {
      const host = this.#hostPath(path);
      if (typeof host === 'number') return host;
      return latin1(readlinkSync(host, { encoding: 'buffer' }));
    } catch (error) {
      return errnoOf(error);
    }
  }

  /** The host's name of `path`, or -ELOOP if a link on the way would lead elsewhere. */
  #hostPath(path: string): Buffer | number {
    if (path === '') return this.#root.length === 0 ? Buffer.from('/') : this.#root;
    if (path.split('/').some((name) => name === '' || name === '.' || name === '..' || name.includes('\0'))) return -EINVAL;
    const full = Buffer.concat([this.#root, Buffer.from(`/${path}`, 'latin1')]);
    const parent = full.subarray(0, full.lastIndexOf(47));
    if (parent.length > this.#root.length && Buffer.compare(realpathSync(parent, { encoding: 'buffer' }), parent) !== 0) return -ELOOP;
    return full;
  }

  #descriptor(path: string): number {
    const present = this.#open.get(path);
    if (present !== undefined) return present;
    const host = this.#hostPath(path);
    if (typeof host === 'number') return host;
    const fd = openSync(host, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if (!fstatSync(fd).isFile()) {
      closeSync(fd);
      return -EINVAL;
    }
    if (this.#open.size >= OPEN_FILES) {
      for (const [oldest, old] of this.#open) {
        closeSync(old);
        this.#open.delete(oldest);
        break;
      }
    }
    this.#open.set(path, fd);
    return fd;
  }
}

function fileStat(stat: BigIntStats): FileStat | number {
  const kind = stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'symlink' : null;
  if (kind === null) return -ENOENT;
  return {
    kind,
    mode: Number(stat.mode) & 0o7777,
    size: Number(stat.size),
    blocks: Number(stat.blocks),
    nlink: Number(stat.nlink),
    mtime: timestamp(stat.mtimeNs),
    identity: `${stat.dev}:${stat.ino}`,
  };
}

function timestamp(nanoseconds: bigint): Timestamp {
  const rest = ((nanoseconds % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return { seconds: Number((nanoseconds - rest) / 1_000_000_000n), nanoseconds: Number(rest) };
}

/** -errno of what node:fs threw. Anything that is not a system error is a bug, and passes on. */
function errnoOf(error: unknown): number {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') throw error;
  if (!('syscall' in error) && error.code.startsWith('ERR_') === false) throw error;
  return -(ERRNOS.get(error.code) ?? EIO);
}
