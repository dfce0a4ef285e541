/**
 * Path look-up: from a directory and a path to a place in the tree.
 *
 *   "a/link/../b"   a -> link -> (its target replaces it in what remains) -> .. (the parent here, never the provider's) -> b
 *
 * Links and `..` are resolved over the overlay's own tree alone, and the root is its own parent: there is no path that
 * leads out of it.
 */
import { ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR } from '../../../hostkernel/base/errno.ts';
import { MAX_SYMLINKS, PATH_MAX } from '../abi.ts';
import type { DirectoryInode, Inode } from './inode.ts';
import type { Tree } from './tree.ts';

/** Where a path ends. */
export interface Place {
  readonly directory: DirectoryInode; // that holds, or would hold, the last name
  readonly name: string; // the last name; '' where the path is only slashes
  readonly node: Inode | null; // what is there
  /** Whether `name` is a name, or one of the special ends: the root, `.` or `..` */
  readonly end: 'name' | 'root' | 'dot' | 'dotdot' | 'magic';
  readonly slash: boolean; // a slash follows the last name: it must be a directory
}

/**
 * Walks `path` from `base` (from the root if it starts with a slash).
 * @param path   byte string; an empty path is -ENOENT
 * @param follow whether a symbolic link at the end is followed; with a slash behind it, it always is
 * @returns a place whose node may be null (only the last name may be missing), or
 *   -ENOENT        a directory on the way is missing, or the path is empty
 *   -ENOTDIR       something on the way is not a directory, or what a slash follows is not
 *   -ELOOP         more than 40 links
 *   -ENAMETOOLONG  the path has 4096 bytes or more, or a name has more than 255
 *   or -errno of the provider
 */
export function walk(tree: Tree, base: DirectoryInode, path: string, follow: boolean): Place | number {
  if (path === '') return -ENOENT;
  if (path.length >= PATH_MAX) return -ENAMETOOLONG;
  let links = 0;
  let rest = path;
  let directory = base;
  if (rest.charCodeAt(0) === 47) directory = tree.root;
  let start = 0; // of the part of `rest` still to walk
  for (;;) {
    while (rest.charCodeAt(start) === 47) start++;
    if (start >= rest.length) return { directory, name: '', node: directory, end: directory === tree.root ? 'root' : 'dot', slash: true };
    let stop = rest.indexOf('/', start);
    if (stop < 0) stop = rest.length;
    const name = rest.slice(start, stop);
    let next = stop;
    while (rest.charCodeAt(next) === 47) next++;
    const last = next >= rest.length;
    const slash = stop < rest.length;
    if (name === '.' || name === '..') {
      if (directory.removed && name === '..') return -ENOENT;
      const node = name === '.' ? directory : directory.parent;
      if (last) return { directory, name, node, end: name === '.' ? 'dot' : 'dotdot', slash: true };
      directory = node;
      start = next;
      continue;
    }
    const node = tree.lookup(directory, name);
    if (typeof node === 'number') return node;
    if (node === null) {
      if (!last || directory.removed) return -ENOENT;
      return { directory, name, node: null, end: 'name', slash };
    }
    if (node.kind === 'symlink' && (!last || follow || slash)) {
      if (++links > MAX_SYMLINKS) return -ELOOP;
      if (node.jump !== null) {
        const target = node.jump();
        if (target === null) return -ENOENT;
        if (last && target.kind !== 'directory') {
          return slash ? -ENOTDIR : { directory, name, node: target, end: 'magic', slash };
        }
        if (target.kind !== 'directory') return -ENOTDIR;
        directory = target;
        start = next;
        continue;
      }
      const target = node.target();
      if (target === '') return -ENOENT;
      rest = `${target}${slash ? '/' : ''}${rest.slice(next)}`;
      if (rest.length >= 2 * PATH_MAX) return -ENAMETOOLONG;
      start = 0;
      if (rest.charCodeAt(0) === 47) directory = tree.root;
      continue;
    }
    if (last) {
      if (slash && node.kind !== 'directory') return -ENOTDIR;
      return { directory, name, node, end: 'name', slash };
    }
    if (node.kind !== 'directory') return -ENOTDIR;
    directory = node;
    start = next;
  }
}
