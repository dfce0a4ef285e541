/**
 * The file system as system calls use it: an overlay in memory over a read-only provider, with /dev and /proc.
 *
 * Every operation is synchronous, takes a base directory and a path, and answers >= 0 or -errno; one that answers an
 * errno has changed nothing. There is one user, root: permission bits are data, except that a file without any execute
 * bit cannot be executed. Not here: descriptors (file-table.ts), what devices answer (devices.ts), look-up (walk.ts).
 *
 * Access times are not kept up (the mount says `noatime`).
 */
import {
  EACCES,
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  EMLINK,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  ENOTEMPTY,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
  EXDEV,
} from '../../../hostkernel/base/errno.ts';
import {
  mayRead,
  mayWrite,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_TMPFILE,
  O_TRUNC,
  PATH_MAX,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from '../abi.ts';
import type { DirectoryInode, Inode } from './inode.ts';
import { OpenFile } from './open-file.ts';
import type { FileProvider, Timestamp } from './provider.ts';
import { Tree } from './tree.ts';
import { type Place, walk } from './walk.ts';

const LINK_MAX = 65000;

export interface FileSystemOptions {
  /** What lies beneath; null: nothing, and an empty /tmp is made. */
  readonly provider: FileProvider | null;
  readonly now: () => Timestamp;
  /** Bytes of file contents kept in memory; a write beyond is ENOSPC. Default 512 MiB. */
  readonly capacity?: number;
  /** Inodes made here that are alive at a time. Default 2^18. */
  readonly inodesMax?: number;
}

export class FileSystem {
  readonly tree: Tree;

  constructor(options: FileSystemOptions) {
    this.tree = new Tree({
      now: options.now,
      provider: options.provider,
      pagesMax: Math.floor((options.capacity ?? 2 ** 29) / 4096),
      inodesMax: options.inodesMax ?? 2 ** 18,
    });
    if (options.provider === null) this.tree.attach(this.root, 'tmp', this.tree.makeDirectory(this.root, 0o1777, { dev: 1 }));
  }

  get root(): DirectoryInode {
    return this.tree.root;
  }

  /**
   * Puts a tree on the name `name` of the root, unless the provider has something there that is not a directory.
   * It shows in the root's listing if `name` exists beneath, or if nothing lies beneath at all.
   */
  mount(name: string, root: DirectoryInode): void {
    const below = this.tree.lookup(this.root, name);
    if (below !== null && typeof below !== 'number' && below.kind !== 'directory') return;
    root.parent = this.root;
    root.name = name;
    this.tree.mounts.set(name, { root, shown: this.root.lower === null });
  }

  /** @returns the inode at `path`, or -errno of the walk */
  lookup(base: DirectoryInode, path: string, follow: boolean): Inode | number {
    const place = walk(this.tree, base, path, follow);
    if (typeof place === 'number') return place;
    return place.node ?? -ENOENT;
  }

  /**
   * open(2).
   * @param flags O_*; @param mode permission bits of a file that is made, already masked
   * @returns an open file description with no references, or -errno:
   *   -EEXIST O_EXCL and there is something; -EISDIR a directory opened for writing or to be created;
   *   -ENOTDIR O_DIRECTORY and it is none; -ELOOP O_NOFOLLOW and it is a link; -EOPNOTSUPP O_TMPFILE;
   *   -ENXIO a device without driver, a fifo opened for writing only that nobody reads; -EINVAL O_CREAT | O_DIRECTORY;
   *   -ENOSPC; -ENOMEM no room for the text of a generated file; those of the walk
   */
  open(base: DirectoryInode, path: string, flags: number, mode: number): OpenFile | number {
    if ((flags & O_TMPFILE & ~O_DIRECTORY) !== 0) return (flags & O_DIRECTORY) !== 0 ? -EOPNOTSUPP : -EINVAL;
    const pathOnly = (flags & O_PATH) !== 0;
    const create = (flags & O_CREAT) !== 0 && !pathOnly;
    if (create && (flags & O_DIRECTORY) !== 0) return -EINVAL;
    const exclusive = create && (flags & O_EXCL) !== 0;
    const place = walk(this.tree, base, path, (flags & O_NOFOLLOW) === 0 && !exclusive);
    if (typeof place === 'number') return place;
    if (create && place.slash) return place.node !== null && exclusive ? -EEXIST : -EISDIR;
    if (place.node === null) {
      if (!create) return -ENOENT;
      if (this.tree.full) return -ENOSPC;
      const made = this.tree.makeFile(mode, null);
      const error = this.tree.attach(place.directory, place.name, made);
      if (error < 0) {
        this.tree.reap(made);
        return error;
      }
      return new OpenFile(this.tree, made, this.#pathIn(place), flags);
    }
    if (exclusive) return -EEXIST;
    return this.#openNode(place.node, this.#pathIn(place), flags);
  }

  /** Opens an inode that is already at hand: what a magic link of /proc leads to. */
  #openNode(node: Inode, path: string, flags: number): OpenFile | number {
    const directoryWanted = (flags & O_DIRECTORY) !== 0;
    if (node.kind === 'symlink' && (flags & O_PATH) === 0) return directoryWanted ? -ENOTDIR : -ELOOP;
    if (directoryWanted && node.kind !== 'directory') return -ENOTDIR;
    if ((flags & O_PATH) !== 0) return new OpenFile(this.tree, node, path, flags);
    if (node.kind === 'directory' && (mayWrite(flags) || (flags & (O_CREAT | O_TRUNC)) !== 0)) return -EISDIR;
    if (node.kind === 'socket') return -ENXIO;
    if ((node.kind === 'character' || node.kind === 'block') && node.device === null) return -ENXIO;
    if (node.kind === 'fifo' && node.pipe !== null && !mayRead(flags)) {
      if (node.pipe.readers === 0 && (flags & O_NONBLOCK) !== 0) return -ENXIO;
    }
    if (node.kind === 'file') {
      if (node.generate !== null && mayWrite(flags)) return -EACCES;
      if ((flags & O_TRUNC) !== 0) {
        const error = this.truncate(node, 0);
        if (error < 0) return error;
      }
    }
    const file = new OpenFile(this.tree, node, path, flags);
    const error = file.generate();
    return error < 0 ? error : file;
  }

  /** truncate(2) on an inode. @returns 0; -EISDIR; -EINVAL not a regular file; -EACCES generated; -EFBIG */
  truncate(node: Inode, size: number): number {
    if (node.kind === 'directory') return -EISDIR;
    if (node.kind !== 'file') return -EINVAL;
    if (node.generate !== null) return -EACCES;
    const error = node.contents.truncate(size);
    if (error === 0) node.mtime = node.ctime = this.tree.now();
    return error;
  }

  mkdir(base: DirectoryInode, path: string, mode: number): number {
    const place = this.#placeForNew(base, path, true);
    if (typeof place === 'number') return place;
    return this.#attachNew(place, this.tree.makeDirectory(place.directory, mode & 0o1777, { dev: 1 }));
  }

  /** mknod(2). @param mode type and permission bits @param rdev as encoded in Linux's dev_t @returns 0; -EPERM a directory; -EINVAL */
  mknod(base: DirectoryInode, path: string, mode: number, rdev: number): number {
    const type = mode & S_IFMT;
    const place = this.#placeForNew(base, path, false);
    if (typeof place === 'number') return place;
    const id = { major: (rdev >>> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00) };
    switch (type) {
      case 0:
      case S_IFREG:
        return this.#attachNew(place, this.tree.makeFile(mode, null));
      case S_IFIFO:
        return this.#attachNew(place, this.tree.makeFifo(mode, null));
      case S_IFSOCK:
        return this.#attachNew(place, this.tree.makeSocket(mode));
      case S_IFCHR:
        return this.#attachNew(place, this.tree.makeDevice('character', mode, id, null));
      case S_IFBLK:
        return this.#attachNew(place, this.tree.makeDevice('block', mode, id, null));
      case 0o040000:
        return -EPERM;
      default:
        return -EINVAL;
    }
  }

  symlink(target: string, base: DirectoryInode, path: string): number {
    if (target === '') return -ENOENT;
    const place = this.#placeForNew(base, path, false);
    if (typeof place === 'number') return place;
    if (this.tree.store.pagesUsed >= this.tree.store.pagesMax) return -ENOSPC;
    return this.#attachNew(place, this.tree.makeSymlink(target));
  }

  /** link(2) of an inode at hand. @returns 0; -EPERM a directory; -EXDEV another mounted tree; -EMLINK; -ENOSPC; -ENOENT it has no name left */
  link(node: Inode, base: DirectoryInode, path: string): number {
    const place = this.#placeForNew(base, path, false);
    if (typeof place === 'number') return place;
    if (node.dev !== place.directory.dev) return -EXDEV;
    if (node.kind === 'directory') return -EPERM;
    if (node.nlink >= LINK_MAX) return -EMLINK;
    if (node.nlink === 0) return -ENOENT;
    if (this.tree.full) return -ENOSPC;
    return this.tree.attach(place.directory, place.name, node);
  }

  /** unlink(2). An open file lives on without a name. @returns 0; -EISDIR a directory; -EBUSY the last name is `.`, `..` or the root */
  unlink(base: DirectoryInode, path: string): number {
    const place = walk(this.tree, base, path, false);
    if (typeof place === 'number') return place;
    if (place.end !== 'name') return -EISDIR;
    if (place.node === null) return -ENOENT;
    if (place.node.kind === 'directory') return -EISDIR;
    const error = this.#mayRemove(place);
    if (error < 0) return error;
    this.tree.detach(place.directory, place.name, place.node);
    this.tree.reap(place.node);
    return 0;
  }

  /** rmdir(2). @returns 0; -ENOTEMPTY; -ENOTDIR; -EINVAL the last name is `.`; -EBUSY a mount point or the root */
  rmdir(base: DirectoryInode, path: string): number {
    const place = walk(this.tree, base, path, false);
    if (typeof place === 'number') return place;
    if (place.end === 'root') return -EBUSY;
    if (place.end === 'dot') return -EINVAL;
    if (place.end === 'dotdot') return -ENOTEMPTY;
    if (place.node === null) return -ENOENT;
    if (place.node.kind !== 'directory') return -ENOTDIR;
    const error = this.#mayRemove(place);
    if (error < 0) return error;
    const empty = this.tree.isEmpty(place.node);
    if (typeof empty === 'number') return empty;
    if (!empty) return -ENOTEMPTY;
    this.#removeDirectory(place.directory, place.name, place.node);
    return 0;
  }

  /**
   * renameat2(2).
   * @returns 0, or
   *   -EBUSY     a path ends in `.`, `..` or is the root, or names a mount point
   *   -EXDEV     from one mounted tree to another
   *   -EINVAL    the new place lies inside the directory that moves; unknown flags
   *   -ENOTEMPTY the directory in the way is not empty, or holds the one that moves
   *   -EISDIR, -ENOTDIR  a directory and something else cannot take each other's place
   *   -EEXIST    RENAME_NOREPLACE and something is there
   */
  rename(from: { base: DirectoryInode; path: string }, to: { base: DirectoryInode; path: string }, flags: number): number {
    if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) !== 0 || flags === (RENAME_NOREPLACE | RENAME_EXCHANGE)) return -EINVAL;
    const exchange = (flags & RENAME_EXCHANGE) !== 0;
    const source = walk(this.tree, from.base, from.path, false);
    if (typeof source === 'number') return source;
    const target = walk(this.tree, to.base, to.path, false);
    if (typeof target === 'number') return target;
    if (source.directory.dev !== target.directory.dev) return -EXDEV;
    if (source.end !== 'name' || target.end !== 'name') return -EBUSY;
    if (source.node === null) return -ENOENT;
    if (target.node !== null && (flags & RENAME_NOREPLACE) !== 0) return -EEXIST;
    if (target.node === null && exchange) return -ENOENT;
    if (source.node.kind !== 'directory' && (source.slash || (target.slash && !exchange))) return -ENOTDIR;
    if (isWithin(source.node, target.directory)) return -EINVAL;
    if (target.node !== null && isWithin(target.node, source.directory)) return exchange ? -EINVAL : -ENOTEMPTY;
    if (source.node === target.node) return 0;
    const error = this.#mayRemove(source) || (target.node === null ? this.#mayAdd(target) : this.#mayRemove(target));
    if (error < 0) return error;
    if (target.node === null) {
      this.#move(source.directory, source.name, source.node, target);
      return 0;
    }
    if (exchange) {
      this.tree.detach(source.directory, source.name, source.node);
      this.tree.detach(target.directory, target.name, target.node);
      this.tree.attach(source.directory, source.name, target.node);
      this.tree.attach(target.directory, target.name, source.node);
      return 0;
    }
    if (source.node.kind === 'directory' && target.node.kind !== 'directory') return -ENOTDIR;
    if (source.node.kind !== 'directory' && target.node.kind === 'directory') return -EISDIR;
    if (target.node.kind === 'directory') {
      const empty = this.tree.isEmpty(target.node);
      if (typeof empty === 'number') return empty;
      if (!empty) return -ENOTEMPTY;
      this.#removeDirectory(target.directory, target.name, target.node);
    } else {
      this.tree.detach(target.directory, target.name, target.node);
      this.tree.reap(target.node);
    }
    this.#move(source.directory, source.name, source.node, target);
    return 0;
  }

  chmod(node: Inode, mode: number): number {
    if (node.kind === 'symlink') return -EOPNOTSUPP;
    node.mode = mode & 0o7777;
    node.ctime = this.tree.now();
    return 0;
  }

  /** chown(2). An id of -1 leaves what is there. Set-id bits of a regular file go. */
  chown(node: Inode, uid: number, gid: number): number {
    if (uid !== -1) node.uid = uid >>> 0;
    if (gid !== -1) node.gid = gid >>> 0;
    if (node.kind === 'file') node.mode &= (node.mode & 0o010) !== 0 ? ~0o6000 : ~0o4000;
    node.ctime = this.tree.now();
    return 0;
  }

  /** Sets access and modification time; null leaves one as it is. */
  setTimes(node: Inode, atime: Timestamp | null, mtime: Timestamp | null): number {
    if (atime !== null) node.atime = atime;
    if (mtime !== null) node.mtime = mtime;
    node.ctime = this.tree.now();
    return 0;
  }

  /** Puts a read-only file at an absolute path, with the directories that lead to it: a program from outside the root. */
  addFile(path: string, mode: number, bytes: Uint8Array): number {
    const names = path.split('/').filter((name) => name !== '');
    for (let i = 1; i < names.length; i++) {
      const error = this.mkdir(this.root, `/${names.slice(0, i).join('/')}`, 0o755);
      if (error < 0 && error !== -EEXIST) return error;
    }
    const place = this.#placeForNew(this.root, path, false);
    if (typeof place === 'number') return place;
    const read = (offset: number, into: Uint8Array): number => {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    };
    const made = { ...this.tree.makeFile(mode, { size: bytes.length, read }), lowerBlocks: Math.ceil(bytes.length / 4096) * 8 };
    return this.#attachNew(place, made);
  }

  /** The absolute path of what a place names, as good as it is known. */
  #pathIn(place: Place): string {
    const directory = this.tree.pathOf(place.end === 'name' || place.node?.kind !== 'directory' ? place.directory : place.node) ?? '';
    if (place.end !== 'name' && place.node?.kind === 'directory') return directory;
    const path = directory === '/' ? `/${place.name}` : `${directory}/${place.name}`;
    return path.length >= PATH_MAX ? path.slice(0, PATH_MAX - 1) : path;
  }

  /** Where something new can be made. @returns -EEXIST if there is something; -ENOENT a slash follows and it is no directory */
  #placeForNew(base: DirectoryInode, path: string, directory: boolean): Place | number {
    const place = walk(this.tree, base, path, false);
    if (typeof place === 'number') return place === -ENOTDIR && !directory && path.endsWith('/') ? this.#slashError(base, path) : place;
    if (place.node !== null) return -EEXIST;
    if (place.slash && !directory) return -ENOENT;
    return place;
  }

  /** `file/` where something is to be made: the walk calls it ENOTDIR, but what matters is that the name is taken. */
  #slashError(base: DirectoryInode, path: string): number {
    const place = walk(this.tree, base, path.replace(/\/+$/, ''), false);
    return typeof place === 'number' || place.node === null ? -ENOTDIR : -EEXIST;
  }

  #attachNew(place: Place, node: Inode): number {
    const error = this.tree.full ? -ENOSPC : this.tree.attach(place.directory, place.name, node);
    if (error === 0) return 0;
    if (node.kind === 'directory') node.removed = true;
    this.tree.reap(node);
    return error;
  }

  #mayAdd(place: Place): number {
    if (place.directory.sealed || place.directory.computed !== null) return -EACCES;
    return place.directory.removed ? -ENOENT : 0;
  }

  #mayRemove(place: Place): number {
    if (place.directory.sealed || place.directory.computed !== null) return -EPERM;
    if (place.directory === this.root && this.tree.mounts.has(place.name)) return -EBUSY;
    return 0;
  }

  #removeDirectory(directory: DirectoryInode, name: string, node: DirectoryInode): void {
    this.tree.detach(directory, name, node);
    node.removed = true;
    node.nlink = 0;
    node.entries.clear();
    node.lower = null;
    this.tree.reap(node);
  }

  #move(directory: DirectoryInode, name: string, node: Inode, target: Place): void {
    this.tree.detach(directory, name, node);
    this.tree.attach(target.directory, target.name, node);
  }
}

/** Whether `directory` is `node` or lies somewhere below it. */
function isWithin(node: Inode, directory: DirectoryInode): boolean {
  if (node.kind !== 'directory') return false;
  for (let at = directory; ; at = at.parent) {
    if (at === node) return true;
    if (at.parent === at) return false;
  }
}
