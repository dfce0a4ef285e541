/** System calls on descriptors: read, write and their relatives, memfd_create, ftruncate, close, ioctl. */

import { EBADF, EFAULT, EINVAL, EMFILE, ENOTTY, ESPIPE } from '../base/errno.ts';
import { COPY_BYTES, copyIn, copyOut, MAX_TRANSFER, stringLength } from './copy.ts';
import { MemoryFile, type OpenFile } from './file.ts';
import type { Process } from './process.ts';
import type { SyscallArgs } from './syscall-args.ts';

const MAX_VECTORS = 1024; // IOV_MAX
const MAX_NAME = 249; // bytes of a memfd's name
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;

/**
 * read(fd, buf, n): from the console, or from a memory image at its position.
 * @param args fd; buf: address; n: bytes
 * @returns bytes read, 0 at the end; or
 *   -EBADF   no such descriptor, or an output
 *   -EFAULT  buf is not writable; a part may have been written
 * Waits: the console may, for its user. Source: POSIX read.
 */
export function sysRead(p: Process, args: SyscallArgs): number {
  const file = p.files.get(args.int(0));
  return file === null ? -EBADF : readInto(p, file, args.unsigned(1), args.unsigned(2));
}

/**
 * write(fd, buf, n): to the console, or to a memory image at its position.
 * @param args fd; buf: address; n: bytes
 * @returns bytes written, less than n where buf stops being readable; or
 *   -EBADF   no such descriptor, or the input
 *   -EFAULT  buf is not readable at all
 *   -EFBIG, -ENOSPC  the image would grow beyond what an object can have, or no frame is free
 * Waits: no. Source: POSIX write.
 */
export function sysWrite(p: Process, args: SyscallArgs): number {
  const file = p.files.get(args.int(0));
  return file === null ? -EBADF : writeFrom(p, file, args.unsigned(1), args.unsigned(2));
}

/**
 * readv(fd, iov, n): read into n buffers, one after the other, until one comes back short.
 * @param args fd; iov: address of n pairs of address and length; n: 0..1024
 * @returns bytes read; or -EBADF, -EFAULT as read; -EINVAL n is out of range
 */
export function sysReadv(p: Process, args: SyscallArgs): number {
  return transferVector(p, args, readInto);
}

/**
 * writev(fd, iov, n): write n buffers, one after the other, until one is written short.
 * @param args fd; iov: address of n pairs of address and length; n: 0..1024
 * @returns bytes written; or errors as write; -EINVAL n is out of range
 */
export function sysWritev(p: Process, args: SyscallArgs): number {
  return transferVector(p, args, writeFrom);
}

/**
 * pread64(fd, buf, n, offset): read a memory image at `offset`; its position stays.
 * @param args fd; buf: address; n, offset: bytes
 * @returns bytes read, 0 at or beyond the end; or -EBADF; -ESPIPE the console; -EINVAL offset < 0; -EFAULT
 */
export function sysPread(p: Process, args: SyscallArgs): number {
  const file = p.files.get(args.int(0));
  if (file === null) return -EBADF;
  if (file.kind === 'console') return -ESPIPE;
  const offset = args.signed(3);
  if (offset < 0) return -EINVAL;
  return readPieces(p, args.unsigned(1), args.unsigned(2), (into, done) => file.readAt(offset + done, into));
}

/**
 * pwrite64(fd, buf, n, offset): write a memory image at `offset`; its position stays.
 * @param args fd; buf: address; n, offset: bytes
 * @returns bytes written; or -EBADF; -ESPIPE the console; -EINVAL offset < 0; -EFAULT, -EFBIG, -ENOSPC as write
 */
export function sysPwrite(p: Process, args: SyscallArgs): number {
  const file = p.files.get(args.int(0));
  if (file === null) return -EBADF;
  if (file.kind === 'console') return -ESPIPE;
  const offset = args.signed(3);
  if (offset < 0) return -EINVAL;
  return writePieces(p, args.unsigned(1), args.unsigned(2), (from, done) => file.writeAt(offset + done, from));
}

/**
 * memfd_create(name, flags): a new memory image of size 0.
 * @param args name: address of a string, only looked at, or 0 (ours: no name); flags: MFD_CLOEXEC, MFD_ALLOW_SEALING
 * @returns a descriptor; or
 *   -EINVAL  unknown flag; name longer than 249 bytes
 *   -EFAULT  name is not readable
 *   -EMFILE  256 descriptors are open
 * Source: Linux memfd_create(2). Sealing is accepted, and there is no call to seal with.
 */
export function sysMemfdCreate(p: Process, args: SyscallArgs): number {
  if ((args.int(1) & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING)) !== 0) return -EINVAL;
  const name = args.unsigned(0);
  const length = name === 0 ? 0 : stringLength(p, name, MAX_NAME);
  if (length < 0) return length;
  if (!p.files.hasRoom) return -EMFILE;
  return p.files.add(new MemoryFile(p.kernel.vm));
}

/**
 * ftruncate(fd, size): sets the size of a memory image. New bytes are holes; what is cut off is lost.
 * @param args fd; size: bytes
 * @returns 0; or -EBADF; -EINVAL the console, or size < 0; -EFBIG size is beyond what an object can have
 */
export function sysFtruncate(p: Process, args: SyscallArgs): number {
  const file = p.files.get(args.int(0));
  if (file === null) return -EBADF;
  return file.kind === 'console' ? -EINVAL : file.truncate(args.signed(1));
}

/** close(fd): mappings of a memory image stay, and keep it alive. @returns 0, or -EBADF */
export function sysClose(p: Process, args: SyscallArgs): number {
  return p.files.close(args.int(0));
}

/** ioctl(fd, request, arg): nothing here takes one. @returns -ENOTTY, or -EBADF */
export function sysIoctl(p: Process, args: SyscallArgs): number {
  return p.files.get(args.int(0)) === null ? -EBADF : -ENOTTY;
}

function readInto(p: Process, file: OpenFile, va: number, length: number): number {
  if (file.kind === 'console') {
    if (length === 0 && file.fd === 0) return 0;
    const bytes = file.read(Math.min(length, COPY_BYTES));
    if (typeof bytes === 'number') return bytes;
    return copyOut(p, va, bytes) ? bytes.length : -EFAULT;
  }
  const n = readPieces(p, va, length, (into, done) => file.readAt(file.position + done, into));
  if (n > 0) file.position += n;
  return n;
}

function writeFrom(p: Process, file: OpenFile, va: number, length: number): number {
  if (file.kind === 'console') return file.fd === 0 ? -EBADF : writePieces(p, va, length, (from) => file.write(from));
  const n = writePieces(p, va, length, (from, done) => file.writeAt(file.position + done, from));
  if (n > 0) file.position += n;
  return n;
}

/** Reads by `read` until it comes back short, `wanted` bytes are there, or the memory at `va` ends. */
function readPieces(p: Process, va: number, wanted: number, read: (into: Uint8Array, done: number) => number): number {
  const length = Math.min(wanted, MAX_TRANSFER);
  const buffer = new Uint8Array(Math.min(length, COPY_BYTES));
  for (let done = 0; ; ) {
    const n = read(buffer.subarray(0, Math.min(buffer.length, length - done)), done);
    if (!copyOut(p, va + done, buffer.subarray(0, n))) return done > 0 ? done : -EFAULT;
    done += n;
    if (n < buffer.length || done >= length) return done;
  }
}

/** Writes by `write` until it comes back short, `wanted` bytes are taken, or the memory at `va` ends. */
function writePieces(p: Process, va: number, wanted: number, write: (from: Uint8Array, done: number) => number): number {
  const length = Math.min(wanted, MAX_TRANSFER);
  const buffer = new Uint8Array(Math.min(length, COPY_BYTES));
  let done = 0;
  while (done < length) {
    const readable = p.space.copyIn(va + done, buffer.subarray(0, Math.min(buffer.length, length - done)));
    if (readable === 0) return done > 0 ? done : -EFAULT;
    const n = write(buffer.subarray(0, readable), done);
    if (n < 0) return done > 0 ? done : n;
    done += n;
    if (n < buffer.length) break;
  }
  return done;
}

function transferVector(p: Process, args: SyscallArgs, transfer: typeof readInto): number {
  const file = p.files.get(args.int(0));
  if (file === null) return -EBADF;
  const count = args.int(2);
  if (count < 0 || count > MAX_VECTORS) return -EINVAL;
  const word = p.xlen / 8;
  const vectors = copyIn(p, args.unsigned(1), count * 2 * word);
  if (vectors === null) return -EFAULT;
  const view = new DataView(vectors.buffer);
  const at = (i: number): number => view.getUint32(i * word, true) + (word === 8 ? view.getUint32(i * 8 + 4, true) * 2 ** 32 : 0);
  let total = 0;
  for (let i = 0; i < count; i++) {
    const length = at(2 * i + 1);
    if (length === 0) continue;
    const n = transfer(p, file, at(2 * i), length);
    if (n < 0) return total > 0 ? total : n;
    total += n;
    if (n < length) break;
  }
  return total;
}
