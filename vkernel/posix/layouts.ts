/**
 * Structures of the Linux/riscv interface, written field by field into a DataView at offset 0.
 *
 * Sizes in bytes as rv64 / rv32; one number where both agree. Times are 64 bits wide on both (rv32 has only the
 * `time64` calls), but for the old `timeval` pairs in rusage and itimerval, which are longs.
 * Source: uapi headers of Linux 6.1, compiled for both word sizes; the tests hold the compiler's offsets.
 */
import { blocksOf, sizeOf, typeBits, type Inode } from './vfs/inode.ts';
import type { Timestamp } from './vfs/provider.ts';
import { putInt64 } from './guest-memory.ts';

export const STAT_BYTES = 128;
export const STATX_BYTES = 256;
export const UTSNAME_BYTES = 390;
export const TERMIOS_BYTES = 36;
export const SIGINFO_BYTES = 128;
export const POLLFD_BYTES = 8;

const BLOCK_SIZE = 4096; // bytes: the preferred size of a transfer

function clear(view: DataView, len: number): void {
  new Uint8Array(view.buffer, view.byteOffset, len).fill(0);
}

export function putTimespec(view: DataView, offset: number, time: Timestamp): void {
  putInt64(view, offset, time.seconds);
  putInt64(view, offset + 8, time.nanoseconds);
}

/** Device number as stat(2) shows it. */
function rdevOf(node: Inode): number {
  if (node.kind !== 'character' && node.kind !== 'block') return 0;
  return (node.minor & 0xff) | (node.major << 8) | ((node.minor & 0xfff00) << 12);
}

/** struct stat of rv64, 128 bytes. rv32 has no such call of its own; C libraries for bare rv32 use the same layout. */
export function putStat(view: DataView, node: Inode): void {
  clear(view, STAT_BYTES);
  putInt64(view, 0, node.dev);
  putInt64(view, 8, node.ino);
  view.setUint32(16, typeBits(node) | node.mode, true);
  view.setUint32(20, node.nlink, true);
  view.setUint32(24, node.uid, true);
  view.setUint32(28, node.gid, true);
  putInt64(view, 32, rdevOf(node));
  putInt64(view, 48, sizeOf(node));
  view.setInt32(56, BLOCK_SIZE, true);
  putInt64(view, 64, blocksOf(node));
  putTimespec(view, 72, node.atime);
  putTimespec(view, 88, node.mtime);
  putTimespec(view, 104, node.ctime);
}

const STATX_BASIC_STATS = 0x7ff;

/** struct statx, 256 bytes. */
export function putStatx(view: DataView, node: Inode): void {
  clear(view, STATX_BYTES);
  const time = (offset: number, at: Timestamp): void => {
    putInt64(view, offset, at.seconds);
    view.setUint32(offset + 8, at.nanoseconds, true);
  };
  view.setUint32(0, STATX_BASIC_STATS, true);
  view.setUint32(4, BLOCK_SIZE, true);
  view.setUint32(16, node.nlink, true);
  view.setUint32(20, node.uid, true);
  view.setUint32(24, node.gid, true);
  view.setUint16(28, typeBits(node) | node.mode, true);
  putInt64(view, 32, node.ino);
  putInt64(view, 40, sizeOf(node));
  putInt64(view, 48, blocksOf(node));
  time(64, node.atime);
  time(96, node.ctime);
  time(112, node.mtime);
  if (node.kind === 'character' || node.kind === 'block') {
    view.setUint32(128, node.major, true);
    view.setUint32(132, node.minor, true);
  }
  view.setUint32(140, node.dev, true);
}

export interface StatfsValues {
  readonly type: number;
  readonly blocks: number; // of 4096 bytes
  readonly free: number;
  readonly files: number;
  readonly filesFree: number;
}

/** struct statfs of rv64 (120) or struct statfs64 of rv32 (88). @returns its size */
export function putStatfs(view: DataView, wide: boolean, values: StatfsValues): number {
  const { type, blocks, free, files, filesFree } = values;
  const counts = [blocks, free, free, files, filesFree];
  if (wide) {
    clear(view, 120);
    putInt64(view, 0, type);
    putInt64(view, 8, BLOCK_SIZE);
    for (let i = 0; i < 5; i++) putInt64(view, 16 + 8 * i, counts[i]);
    putInt64(view, 64, 255);
    putInt64(view, 72, BLOCK_SIZE);
    return 120;
  }
  clear(view, 88);
  view.setUint32(0, type, true);
  view.setUint32(4, BLOCK_SIZE, true);
  for (let i = 0; i < 5; i++) putInt64(view, 8 + 8 * i, counts[i]);
  view.setUint32(56, 255, true);
  view.setUint32(60, BLOCK_SIZE, true);
  return 88;
}

export interface UnameValues {
  readonly nodename: string;
  readonly release: string;
  readonly version: string;
  readonly machine: string;
}

/** struct new_utsname, 390 bytes: six fields of 65. */
export function putUtsname(view: DataView, values: UnameValues): void {
  clear(view, UTSNAME_BYTES);
  const fields = ['Linux', values.nodename, values.release, values.version, values.machine, '(none)'];
  fields.forEach((field, index) => {
    for (let i = 0; i < Math.min(field.length, 64); i++) view.setUint8(65 * index + i, field.charCodeAt(i));
  });
}

/** struct sysinfo, 112 / 64 bytes. @returns its size */
export function putSysinfo(view: DataView, wide: boolean, values: { uptime: number; total: number; free: number }): number {
  const word = wide ? 8 : 4;
  const size = wide ? 112 : 64;
  clear(view, size);
  const put = (index: number, value: number): void =>
    wide ? putInt64(view, index * 8, value) : view.setUint32(index * 4, Math.min(value, 0xffff_ffff), true);
  put(0, Math.floor(values.uptime));
  put(4, values.total);
  put(5, values.free);
  view.setUint16(10 * word, 1, true); // procs
  view.setUint32(13 * word, 1, true); // mem_unit
  return size;
}

/** struct rusage, 144 / 72 bytes: two timevals and 14 longs. @param time microseconds of processor time; @returns its size */
export function putRusage(view: DataView, wide: boolean, values: { time: number; maxrss: number }): number {
  const size = wide ? 144 : 72;
  clear(view, size);
  const seconds = Math.floor(values.time / 1e6);
  const rest = Math.floor(values.time % 1e6);
  if (wide) {
    putInt64(view, 0, seconds);
    putInt64(view, 8, rest);
    putInt64(view, 32, values.maxrss);
  } else {
    view.setInt32(0, seconds, true);
    view.setInt32(4, rest, true);
    view.setInt32(16, values.maxrss, true);
  }
  return size;
}

/** struct termios of a terminal in its usual state, 36 bytes. */
export function putTermios(view: DataView): void {
  clear(view, TERMIOS_BYTES);
  view.setUint32(0, 0x4500, true); // ICRNL | IXON | IUTF8
  view.setUint32(4, 0x5, true); // OPOST | ONLCR
  view.setUint32(8, 0xbf, true); // B38400 | CS8 | CREAD
  view.setUint32(12, 0x8a3b, true); // ISIG ICANON ECHO ECHOE ECHOK ECHOCTL ECHOKE IEXTEN
  const controls = [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0];
  controls.forEach((value, i) => view.setUint8(17 + i, value));
}

/** What a signal tells its handler. */
export interface SignalInfo {
  readonly signal: number;
  readonly code: number; // SI_* or the fault's
  /** Fault address, for signals of faults. */
  readonly address: { readonly lo: number; readonly hi: number } | null;
  readonly pid: number;
  /** sigval of sigqueue(3), as raw halves. */
  readonly value: { readonly lo: number; readonly hi: number } | null;
}

/** siginfo_t, 128 bytes, at `offset`. */
export function putSiginfo(view: DataView, offset: number, wide: boolean, info: SignalInfo): void {
  new Uint8Array(view.buffer, view.byteOffset + offset, SIGINFO_BYTES).fill(0);
  view.setInt32(offset, info.signal, true);
  view.setInt32(offset + 8, info.code, true);
  const fields = offset + (wide ? 16 : 12);
  if (info.address !== null) {
    view.setInt32(fields, info.address.lo, true);
    if (wide) view.setInt32(fields + 4, info.address.hi, true);
    return;
  }
  view.setInt32(fields, info.pid, true);
  if (info.value !== null) {
    view.setInt32(fields + 8, info.value.lo, true);
    if (wide) view.setInt32(fields + 12, info.value.hi, true);
  }
}

const DT_TYPES: Readonly<Record<Inode['kind'], number>> = {
  fifo: 1,
  character: 2,
  directory: 4,
  block: 6,
  file: 8,
  symlink: 10,
  socket: 12,
};

/** Bytes of one struct linux_dirent64 for `name`. */
export function direntBytes(name: string): number {
  return Math.ceil((19 + name.length + 1) / 8) * 8;
}

/** struct linux_dirent64 at `offset`. @param next the position after this entry */
export function putDirent(view: DataView, offset: number, entry: { ino: number; kind: Inode['kind']; name: string; next: number }): void {
  const size = direntBytes(entry.name);
  putInt64(view, offset, entry.ino);
  putInt64(view, offset + 8, entry.next);
  view.setUint16(offset + 16, size, true);
  view.setUint8(offset + 18, DT_TYPES[entry.kind]);
  for (let i = 0; i < size - 19; i++) view.setUint8(offset + 19 + i, i < entry.name.length ? entry.name.charCodeAt(i) : 0);
}
