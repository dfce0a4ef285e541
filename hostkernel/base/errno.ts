/**
 * Error numbers: what a refused system call or RPC returns, negated or as a reply label.
 *
 * Numbers are those of Linux/riscv (asm-generic), so that a guest program understands them. The two at the end are
 * the stack's own: the capability layer's "object gone" and physmem's lost soft reference.
 */

export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const E2BIG = 7;
export const ENOEXEC = 8;
export const EBADF = 9;
export const ECHILD = 10;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EFAULT = 14;
export const ENOTBLK = 15;
export const EBUSY = 16;
export const EEXIST = 17;
export const EXDEV = 18;
export const ENODEV = 19;
export const ENOTDIR = 20;
export const EISDIR = 21;
export const EINVAL = 22;
export const ENFILE = 23;
export const EMFILE = 24;
export const ENOTTY = 25;
export const ETXTBSY = 26;
export const EFBIG = 27;
export const ENOSPC = 28;
export const ESPIPE = 29;
export const EROFS = 30;
export const EMLINK = 31;
export const EPIPE = 32;
export const EDOM = 33;
export const ERANGE = 34;
export const EDEADLK = 35;
export const ENAMETOOLONG = 36;
export const ENOLCK = 37;
export const ENOSYS = 38;
export const ENOTEMPTY = 39;
export const ELOOP = 40;
export const EOVERFLOW = 75;
export const EILSEQ = 84;
export const ENOTSOCK = 88;
export const EPROTONOSUPPORT = 93;
export const EAFNOSUPPORT = 97;
export const EOPNOTSUPP = 95;
export const ETIMEDOUT = 110;
export const EALREADY = 114;
export const ESTALE = 116;
export const EDQUOT = 122;
export const ECANCELED = 125;
export const ENOEXIST = 0x7001; // physmem: the soft reference's page has been reused
export const ECAP_DIED = 0x8001; // capability layer: object revoked or server gone

const NAMES: ReadonlyMap<number, readonly [name: string, text: string]> = new Map([
  [EPERM, ['EPERM', 'operation not permitted']],
  [ENOENT, ['ENOENT', 'no such file or directory']],
  [ESRCH, ['ESRCH', 'no such process']],
  [EINTR, ['EINTR', 'interrupted system call']],
  [EIO, ['EIO', 'input/output error']],
  [ENXIO, ['ENXIO', 'no such device or address']],
  [E2BIG, ['E2BIG', 'argument list too long']],
  [ENOEXEC, ['ENOEXEC', 'exec format error']],
  [EBADF, ['EBADF', 'bad file descriptor']],
  [ECHILD, ['ECHILD', 'no child processes']],
  [EAGAIN, ['EAGAIN', 'resource temporarily unavailable']],
  [ENOMEM, ['ENOMEM', 'cannot allocate memory']],
  [EACCES, ['EACCES', 'permission denied']],
  [EFAULT, ['EFAULT', 'bad address']],
  [ENOTBLK, ['ENOTBLK', 'block device required']],
  [EBUSY, ['EBUSY', 'device or resource busy']],
  [EEXIST, ['EEXIST', 'file exists']],
  [EXDEV, ['EXDEV', 'invalid cross-device link']],
  [ENODEV, ['ENODEV', 'no such device']],
  [ENOTDIR, ['ENOTDIR', 'not a directory']],
  [EISDIR, ['EISDIR', 'is a directory']],
  [EINVAL, ['EINVAL', 'invalid argument']],
  [ENFILE, ['ENFILE', 'too many open files in system']],
  [EMFILE, ['EMFILE', 'too many open files']],
  [ENOTTY, ['ENOTTY', 'inappropriate ioctl for device']],
  [ETXTBSY, ['ETXTBSY', 'text file busy']],
  [EFBIG, ['EFBIG', 'file too large']],
  [ENOSPC, ['ENOSPC', 'no space left on device']],
  [ESPIPE, ['ESPIPE', 'illegal seek']],
  [EROFS, ['EROFS', 'read-only file system']],
  [EMLINK, ['EMLINK', 'too many links']],
  [EPIPE, ['EPIPE', 'broken pipe']],
  [EDOM, ['EDOM', 'numerical argument out of domain']],
  [ERANGE, ['ERANGE', 'numerical result out of range']],
  [EDEADLK, ['EDEADLK', 'resource deadlock avoided']],
  [ENAMETOOLONG, ['ENAMETOOLONG', 'file name too long']],
  [ENOLCK, ['ENOLCK', 'no locks available']],
  [ENOSYS, ['ENOSYS', 'function not implemented']],
  [ENOTEMPTY, ['ENOTEMPTY', 'directory not empty']],
  [ELOOP, ['ELOOP', 'too many levels of symbolic links']],
  [EOVERFLOW, ['EOVERFLOW', 'value too large for defined data type']],
  [EILSEQ, ['EILSEQ', 'invalid or incomplete multibyte or wide character']],
  [ENOTSOCK, ['ENOTSOCK', 'socket operation on non-socket']],
  [EPROTONOSUPPORT, ['EPROTONOSUPPORT', 'protocol not supported']],
  [EAFNOSUPPORT, ['EAFNOSUPPORT', 'address family not supported by protocol']],
  [EOPNOTSUPP, ['EOPNOTSUPP', 'operation not supported']],
  [ETIMEDOUT, ['ETIMEDOUT', 'connection timed out']],
  [EALREADY, ['EALREADY', 'operation already in progress']],
  [ESTALE, ['ESTALE', 'stale file handle']],
  [EDQUOT, ['EDQUOT', 'disk quota exceeded']],
  [ECANCELED, ['ECANCELED', 'operation canceled']],
  [ENOEXIST, ['ENOEXIST', 'soft reference lost']],
  [ECAP_DIED, ['ECAP_DIED', 'capability died']],
] as const);

/** The symbolic name of a positive errno, or `errno N` for a number nobody defined. */
export function errnoName(errno: number): string {
  return NAMES.get(errno)?.[0] ?? `errno ${errno}`;
}

/** `EINVAL: invalid argument`: how an errno is shown to a person. */
export function errnoText(errno: number): string {
  const entry = NAMES.get(errno);
  return entry === undefined ? `errno ${errno}` : `${entry[0]}: ${entry[1]}`;
}
