/**
 * A disk of a kernel that is a process: a disk of its host, opened by name, read and written a block at a time.
 *
 * The blocks pass through a page of the process. What a transfer takes is the host's time; this kernel is charged nothing.
 */
import { PAGE_SIZE, READ, WRITE } from '../../hostkernel/base/units.ts';
import {
  type Host,
  MAP_ANON,
  MAP_PRIVATE,
  SYS_lseek,
  SYS_mmap,
  SYS_openat,
  SYS_pread64,
  SYS_pwrite64,
} from '../../hostkernel/kern/index.ts';
import { BLOCK_SIZE, type PolledDisk, polledDisk } from '../../hostkernel/machine/index.ts';

const SEEK_END = 2;
const O_RDWR = 2;
const NO_TIME = { latency: 0, perBlock: 0 };

/** The disk at `path`, shorter than a page. @returns it, or -errno of the host call that failed */
export function virtualDisk(host: Host, path: string): PolledDisk | number {
  const page = host.syscall(SYS_mmap, 0, PAGE_SIZE, READ | WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
  if (page < 0) return page;
  host.memory.write(page, new TextEncoder().encode(`${path}\0`));
  const fd = host.syscall(SYS_openat, 0, page, O_RDWR, 0);
  if (fd < 0) return fd;
  const bytes = host.syscall(SYS_lseek, fd, 0, SEEK_END);
  if (bytes < 0) return bytes;
  const store = {
    read: (block: number, into: Uint8Array): boolean => {
      if (host.syscall(SYS_pread64, fd, page, BLOCK_SIZE, block * BLOCK_SIZE) !== BLOCK_SIZE) return false;
      host.memory.read(page, into);
      return true;
    },
    write: (block: number, from: Uint8Array): boolean => {
      host.memory.write(page, from);
      return host.syscall(SYS_pwrite64, fd, page, BLOCK_SIZE, block * BLOCK_SIZE) === BLOCK_SIZE;
    },
  };
  return polledDisk(store, bytes / BLOCK_SIZE, NO_TIME);
}
