/**
 * The tree of names: directories, what they hold, and the lazy view of a provider beneath them.
 *
 * A directory made from a provider knows nothing at first. A name is fetched when it is looked up, all names when the
 * directory is listed; from then on the inode here is the truth, wherever it is renamed to. Deleting a name that exists
 * below leaves a whiteout (null), so that it does not show through again.
 *
 * Invariants (assertInvariants, over everything reachable from the root):
 *   I1  a directory has one name, and `parent` is the directory that holds it; the root is its own parent
 *   I2  nlink of a file made here counts the names that lead to it; of a directory, 2 + its subdirectories (if made here)
 *   I3  a removed directory holds nothing and is reachable by no name
 *   I4  entries hold whiteouts only where there is something below
 */
import { EACCES, EEXIST, ENAMETOOLONG, ENOENT, ENOTDIR } from '../../../hostkernel/base/errno.ts';
import { kassert } from '../../../hostkernel/base/assert.ts';
import { NAME_MAX, PATH_MAX } from '../abi.ts';
import { Contents, type LowerFile, type Store } from './contents.ts';
import type { Attributes, ComputedDirectory, Device, DirectoryInode, FileInode, Inode, SymlinkInode } from './inode.ts';
import { Pipe } from './pipe.ts';
import type { FileProvider, FileStat, Timestamp } from './provider.ts';

export interface TreeOptions {
  readonly now: () => Timestamp;
  readonly provider: FileProvider | null;
  readonly pagesMax: number; // pages of file contents kept in memory: beyond, ENOSPC
  readonly inodesMax: number;
}

const SHORT_TARGET = 59; // bytes of a link's target that are kept in the inode itself

/** Device numbers of the mounted trees, as `st_dev` shows them. */
export const DEV_ROOT = 1;
export const DEV_DEV = 2;
export const DEV_PROC = 3;

export class Tree {
  readonly root: DirectoryInode;
  readonly store: Store;
  readonly now: () => Timestamp;
  readonly inodesMax: number;
  inodes = 0; // alive
  names = 0; // given here, less those taken away; below 0 where names of the provider's have gone
  /** Trees mounted on names of the root. They are found by look-up, and listed where the name exists beneath or `shown`. */
  readonly mounts = new Map<string, { readonly root: DirectoryInode; readonly shown: boolean }>();
  #nextIno = 2;
  readonly #known = new Map<string, Inode>(); // identity of a file below that has several names -> its inode

  constructor(options: TreeOptions) {
    this.now = options.now;
    this.inodesMax = options.inodesMax;
    this.store = { pagesMax: options.pagesMax, pagesUsed: 0 };
    this.root = this.makeDirectory(null, 0o755, { dev: DEV_ROOT });
    if (options.provider !== null) {
      this.root.lower = { provider: options.provider, path: '' };
      const stat = options.provider.stat('');
      if (typeof stat !== 'number') {
        this.root.mode = stat.mode;
        this.root.nlink = stat.nlink;
        this.root.atime = this.root.mtime = this.root.ctime = stat.mtime;
      }
    }
  }

  /** Attributes of something new. */
  attributes(mode: number, dev: number): Attributes {
    const now = this.now();
    this.inodes++;
    return { ino: this.#nextIno++, dev, mode: mode & 0o7777, uid: 0, gid: 0, nlink: 0, atime: now, mtime: now, ctime: now };
  }

  /** Whether nothing more can be named: an inode has as many names as a program likes, so they are bounded too. */
  get full(): boolean {
    return this.inodes >= this.inodesMax || this.names >= 2 * this.inodesMax;
  }

  makeFile(mode: number, lower: LowerFile | null, dev = DEV_ROOT): FileInode {
    return {
      ...this.attributes(mode, dev),
      kind: 'file',
      contents: new Contents(this.store, lower),
      lowerBlocks: 0,
      generate: null,
      opens: 0,
    };
  }

  makeGenerated(mode: number, generate: () => string, dev: number): FileInode {
    return { ...this.makeFile(mode, null, dev), generate };
  }

  makeDirectory(
    parent: DirectoryInode | null,
    mode: number,
    options: { dev: number; computed?: ComputedDirectory; sealed?: boolean },
  ): DirectoryInode {
    const made = {
      ...this.attributes(mode, options.dev),
      kind: 'directory' as const,
      parent: parent as DirectoryInode, // replaced below where there is none
      name: '',
      entries: new Map<string, Inode | null>(),
      lower: null,
      computed: options.computed ?? null,
      sealed: options.sealed ?? false,
      removed: false,
    };
    made.nlink = 2;
    if (parent === null) made.parent = made;
    return made;
  }

  makeSymlink(target: string | (() => string), dev = DEV_ROOT, jump: SymlinkInode['jump'] = null): SymlinkInode {
    const stored = typeof target === 'string';
    const pages = stored && target.length > SHORT_TARGET ? 1 : 0;
    this.store.pagesUsed += pages;
    return { ...this.attributes(0o777, dev), kind: 'symlink', target: stored ? () => target : target, pages, jump };
  }

  makeFifo(mode: number, device: Device | null, dev = DEV_ROOT): Inode {
    return { ...this.attributes(mode, dev), kind: 'fifo', pipe: device === null ? new Pipe() : null, device };
  }

  makeDevice(
    kind: 'character' | 'block',
    mode: number,
    id: { major: number; minor: number },
    device: Device | null,
    dev = DEV_ROOT,
  ): Inode {
    return { ...this.attributes(mode, dev), kind, major: id.major, minor: id.minor, device };
  }

  makeSocket(mode: number): Inode {
    return { ...this.attributes(mode, DEV_ROOT), kind: 'socket' };
  }

  /**
   * What `name` (not `.` or `..`) leads to.
   * @returns the inode, null if there is no such name, or -errno of the provider, -ENAMETOOLONG
   */
  lookup(directory: DirectoryInode, name: string): Inode | null | number {
    if (name.length > NAME_MAX) return -ENAMETOOLONG;
    if (directory.removed) return null;
    if (directory === this.root) {
      const mount = this.mounts.get(name);
      if (mount !== undefined) return mount.root;
    }
    if (directory.computed !== null) return directory.computed.lookup(name);
    const entry = directory.entries.get(name);
    if (entry !== undefined) return entry;
    if (directory.lower === null) return null;
    const made = this.#fetch(directory, name);
    if (made === -ENOENT || made === -ENOTDIR) return null;
    if (typeof made === 'number') return made;
    directory.entries.set(name, made);
    if (made.kind === 'directory') made.name = name;
    return made;
  }

  /** The names in a directory, sorted, without `.` and `..`; or -errno. */
  list(directory: DirectoryInode): readonly string[] | number {
    if (directory.removed) return [];
    if (directory.computed !== null) return directory.computed.list();
    const error = this.#fetchAll(directory);
    if (error < 0) return error;
    const names: string[] = [];
    for (const [name, entry] of directory.entries) if (entry !== null) names.push(name);
    if (directory === this.root) {
      for (const [name, mount] of this.mounts) if (mount.shown && !names.includes(name)) names.push(name);
    }
    return names.sort();
  }

  /** Whether a directory has no names. @returns -errno where the provider cannot say */
  isEmpty(directory: DirectoryInode): boolean | number {
    const names = this.list(directory);
    return typeof names === 'number' ? names : names.length === 0;
  }

  /** Gives `node` the name `name`, which must be free. Times and link counts follow. @returns 0 or -errno, nothing changed */
  attach(directory: DirectoryInode, name: string, node: Inode): number {
    if (directory.removed) return -ENOENT;
    if (directory.sealed) return -EACCES;
    if (name.length > NAME_MAX) return -ENAMETOOLONG;
    if (directory === this.root && this.mounts.has(name)) return -EEXIST;
    kassert(!directory.entries.get(name), 'tree: name taken');
    directory.entries.set(name, node);
    this.names++;
    if (node.kind === 'directory') {
      node.parent = directory;
      node.name = name;
      directory.nlink++;
    } else {
      node.nlink++;
    }
    this.#touch(directory);
    node.ctime = directory.ctime;
    return 0;
  }

  /** Takes the name away from what it leads to. The caller has checked that it may. The inode lives on while it is used. */
  detach(directory: DirectoryInode, name: string, node: Inode): void {
    kassert(directory.entries.get(name) === node, 'tree: detach of a name that does not lead there');
    if (this.#isBelow(directory, name)) directory.entries.set(name, null);
    else directory.entries.delete(name);
    this.names--;
    if (node.kind === 'directory') directory.nlink = Math.max(2, directory.nlink - 1);
    else node.nlink = Math.max(0, node.nlink - 1);
    this.#touch(directory);
    node.ctime = directory.ctime;
  }

  /** Frees an inode that no name leads to and nothing has open. */
  reap(node: Inode): void {
    if (node.kind === 'directory' ? !node.removed : node.nlink > 0) return;
    if (node.kind === 'file') {
      if (node.opens > 0) return;
      node.contents.release();
    }
    if (node.kind === 'fifo' && node.pipe !== null && node.pipe.readers + node.pipe.writers > 0) return;
    if (node.kind === 'symlink') this.store.pagesUsed -= node.pages;
    this.inodes--;
  }

  /** The absolute path of a directory, or null if it has been removed. Of one longer than PATH_MAX only the end, longer than that. */
  pathOf(directory: DirectoryInode): string | null {
    let path = '';
    let at = directory;
    while (at !== this.root && path.length <= PATH_MAX) {
      if (at.removed) return null;
      path = `/${at.name}${path}`;
      at = at.parent;
    }
    return path === '' ? '/' : path;
  }

  assertInvariants(): void {
    const names = new Map<Inode, number>();
    const visit = (directory: DirectoryInode): void => {
      kassert(!directory.removed, 'tree I3');
      let subdirectories = 0;
      for (const [, node] of directory.entries) {
        if (node === null) {
          kassert(directory.lower !== null, 'tree I4');
          continue;
        }
        names.set(node, (names.get(node) ?? 0) + 1);
        if (node.kind === 'directory') {
          kassert(names.get(node) === 1 && node.parent === directory && directory.entries.get(node.name) === node, 'tree I1');
          subdirectories++;
          visit(node);
        } else if (node.kind === 'file') {
          node.contents.assertInvariants();
        }
      }
      if (directory.lower === null && directory !== this.root && directory.dev === DEV_ROOT) {
        kassert(directory.nlink >= 2 + subdirectories, 'tree I2: directory');
      }
    };
    visit(this.root);
    for (const [node, count] of names) if (node.kind !== 'directory') kassert(node.nlink >= count, 'tree I2: file');
  }

  /** Whether the provider has something under this name, so that only a whiteout hides it. */
  #isBelow(directory: DirectoryInode, name: string): boolean {
    const lower = directory.lower;
    return lower !== null && lower.provider.stat(lower.path === '' ? name : `${lower.path}/${name}`) !== -ENOENT;
  }

  #touch(directory: DirectoryInode): void {
    directory.mtime = directory.ctime = this.now();
  }

  /** Makes the inode of a name below; the tree below bounds how many there are. @returns -errno of the provider */
  #fetch(directory: DirectoryInode, name: string): Inode | number {
    const lower = directory.lower;
    if (lower === null) return -ENOENT;
    const path = lower.path === '' ? name : `${lower.path}/${name}`;
    const stat = lower.provider.stat(path);
    if (typeof stat === 'number') return stat;
    const known = stat.identity === null ? undefined : this.#known.get(stat.identity);
    if (known !== undefined && stat.nlink > 1 && stat.kind !== 'directory') return known;
    const node = this.#fromBelow(directory, lower.provider, path, stat);
    if (typeof node === 'number') return node;
    if (stat.identity !== null && stat.nlink > 1 && stat.kind !== 'directory') this.#known.set(stat.identity, node);
    return node;
  }

  #fromBelow(directory: DirectoryInode, provider: FileProvider, path: string, stat: FileStat): Inode | number {
    let node: Inode;
    switch (stat.kind) {
      case 'directory':
        node = this.makeDirectory(directory, stat.mode, { dev: directory.dev });
        node.lower = { provider, path };
        break;
      case 'symlink': {
        const target = provider.readlink(path);
        if (typeof target === 'number') return target;
        node = this.makeSymlink(target, directory.dev);
        break;
      }
      case 'file': {
        const lower = { size: stat.size, read: (offset: number, into: Uint8Array) => provider.readFile(path, offset, into) };
        node = { ...this.makeFile(stat.mode, lower, directory.dev), lowerBlocks: stat.blocks };
        break;
      }
    }
    node.mode = stat.mode;
    node.nlink = stat.nlink;
    node.atime = node.mtime = node.ctime = stat.mtime;
    return node;
  }

  #fetchAll(directory: DirectoryInode): number {
    const lower = directory.lower;
    if (lower === null) return 0;
    const names = lower.provider.list(lower.path);
    if (typeof names === 'number') return names;
    for (const name of [...names].sort()) {
      if (directory.entries.has(name) || name.length > NAME_MAX || name === '' || name === '.' || name === '..') continue;
      const node = this.#fetch(directory, name);
      if (node === -ENOENT) continue; // gone since it was listed, or of a kind that is not shown
      if (typeof node === 'number') return node;
      directory.entries.set(name, node);
      if (node.kind === 'directory') node.name = name;
    }
    for (const [name, entry] of directory.entries) if (entry === null) directory.entries.delete(name);
    directory.lower = null; // everything below is known now: whiteouts have done their work
    return 0;
  }
}
