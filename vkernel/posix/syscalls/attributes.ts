/**
 * Extended attributes: no file has any, and none can be given one. The file is looked up all the same.
 *
 * Source: xattr(7), getxattr(2), listxattr(2), setxattr(2), removexattr(2).
 */
import { EBADF, EOPNOTSUPP } from '../../../hostkernel/base/errno.ts';
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_PATH } from '../abi.ts';
import type { Process } from '../process.ts';
import type { Waiting } from './files.ts';

function* present(p: Process, flags: number): Waiting {
  const path = yield* p.path(p.args.word(0));
  if (typeof path === 'number') return path;
  const node = p.lookup(AT_FDCWD, path, (flags & AT_SYMLINK_NOFOLLOW) === 0);
  return typeof node === 'number' ? node : 0;
}

function open(p: Process): number {
  const file = p.files.get(p.args.int(0));
  return file === null || (file.flags & O_PATH) !== 0 ? -EBADF : 0;
}

/** setxattr, getxattr, removexattr(path, name, ...): -EOPNOTSUPP */
export function* sysXattr(p: Process): Waiting {
  const error = yield* present(p, 0);
  return error < 0 ? error : -EOPNOTSUPP;
}
/** The same of a link itself. */
export function* sysLxattr(p: Process): Waiting {
  const error = yield* present(p, AT_SYMLINK_NOFOLLOW);
  return error < 0 ? error : -EOPNOTSUPP;
}
/** The same of a descriptor. */
export function sysFxattr(p: Process): number {
  const error = open(p);
  return error < 0 ? error : -EOPNOTSUPP;
}

/** listxattr(path, list, size), llistxattr, flistxattr: 0 bytes */
export function sysListxattr(p: Process): Waiting {
  return present(p, 0);
}
export function sysLlistxattr(p: Process): Waiting {
  return present(p, AT_SYMLINK_NOFOLLOW);
}
export function sysFlistxattr(p: Process): number {
  return open(p);
}
