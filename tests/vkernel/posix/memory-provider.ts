/** A read-only tree in memory as a provider: what the overlay tests stand on. */
import { EINVAL, EISDIR, ENOENT, ENOTDIR } from '../../../hostkernel/base/errno.ts';
import type { FileProvider, FileStat } from '../../../vkernel/posix/vfs/provider.ts';

export type Below = Uint8Array | string | { readonly [name: string]: Below }; // a file, a link's target, a directory

export function memoryProvider(root: Below): FileProvider & { readonly asked: string[] } {
  const asked: string[] = [];
  const find = (path: string): Below | number => {
    let at: Below = root;
    for (const name of path.split('/').filter((part) => part !== '')) {
      if (name === '.' || name === '..') throw new Error(`provider asked for ${path}`);
      if (typeof at === 'string') throw new Error(`provider asked to look through a link: ${path}`);
      if (at instanceof Uint8Array) return -ENOTDIR;
      const next: Below | undefined = Object.hasOwn(at, name) ? at[name] : undefined;
      if (next === undefined) return -ENOENT;
      at = next;
    }
    return at;
  };
  const mtime = { seconds: 1000, nanoseconds: 5 };
  return {
    asked,
    stat(path): FileStat | number {
      asked.push(path);
      const at = find(path);
      if (typeof at === 'number') return at;
      const kind = at instanceof Uint8Array ? 'file' : typeof at === 'string' ? 'symlink' : 'directory';
      const size = at instanceof Uint8Array || typeof at === 'string' ? at.length : 4096;
      const directories =
        kind === 'directory' ? Object.values(at).filter((child) => typeof child === 'object' && !(child instanceof Uint8Array)) : [];
      const nlink = kind === 'directory' ? 2 + directories.length : 1;
      return { kind, mode: kind === 'file' ? 0o644 : 0o755, size, blocks: 8, nlink, mtime, identity: null };
    },
    list(path) {
      const at = find(path);
      if (typeof at === 'number') return at;
      return at instanceof Uint8Array || typeof at === 'string' ? -ENOTDIR : Object.keys(at);
    },
    readFile(path, offset, into) {
      const at = find(path);
      if (typeof at === 'number') return at;
      if (!(at instanceof Uint8Array)) return -EISDIR;
      const part = at.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
    readlink(path) {
      const at = find(path);
      if (typeof at === 'number') return at;
      return typeof at === 'string' ? at : -EINVAL;
    },
  };
}
