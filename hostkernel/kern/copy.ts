/** Copyin: what system calls read from and write to a process's memory. A page that is not there is a return value. */

import { EFAULT, EINVAL } from '../base/errno.ts';
import type { Process } from './process.ts';

/** Bytes moved by a system call in one go: bounds what a length in a register can make the kernel allocate. */
export const COPY_BYTES = 65536;

/** Bytes one system call moves at most; a longer transfer comes back short. As Linux has it. */
export const MAX_TRANSFER = 0x7fff_f000;

/** `length` bytes at `va`, at most COPY_BYTES; null unless all of them are readable. */
export function copyIn(p: Process, va: number, length: number): Uint8Array | null {
  const bytes = new Uint8Array(length);
  return p.space.copyIn(va, bytes) === length ? bytes : null;
}

/** Whether all of `bytes` could be written at `va`. A part may have been written if not. */
export function copyOut(p: Process, va: number, bytes: Uint8Array): boolean {
  return p.space.copyOut(va, bytes) === bytes.length;
}

/**
 * Length of the string at `va`, in bytes without its NUL.
 * @returns or -EFAULT not readable up to its NUL; -EINVAL longer than `limit`
 */
export function stringLength(p: Process, va: number, limit: number): number {
  const one = new Uint8Array(1);
  for (let length = 0; length <= limit; length++) {
    if (p.space.copyIn(va + length, one) === 0) return -EFAULT;
    if (one[0] === 0) return length;
  }
  return -EINVAL;
}

/**
 * The string at `va`, as UTF-8.
 * @returns or -EFAULT not readable up to its NUL; -EINVAL longer than `limit` bytes
 */
export function readString(p: Process, va: number, limit: number): string | number {
  const length = stringLength(p, va, limit);
  if (length < 0) return length;
  const bytes = copyIn(p, va, length);
  return bytes === null ? -EFAULT : new TextDecoder().decode(bytes);
}
