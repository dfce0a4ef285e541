/** A disk opened by name: whole blocks, errors of the device, and the time it takes. */
import { expect, test } from 'vitest';
import { EBADF, EINVAL, EIO, ENOSPC } from '../../../hostkernel/base/errno.ts';
import {
  type Host,
  MAP_ANON,
  MAP_PRIVATE,
  SYS_fstat,
  SYS_lseek,
  SYS_mmap,
  SYS_openat,
  SYS_pread64,
  SYS_pwrite64,
  SYS_read,
  SYS_write,
} from '../../../hostkernel/kern/index.ts';
import { polledDisk, SparseStore } from '../../../hostkernel/machine/index.ts';
import { boot, plain } from './boot.ts';

const PAGE = 4096;
const BLOCKS = 40;
const SEEK_END = 2;
const O_RDWR = 2;

/** Runs `body` with a buffer of 40 pages, in a process that has opened a disk whose `broken` blocks fail. */
function withDisk(body: (host: Host, buffer: number, fd: number) => void, broken: ReadonlySet<number> = new Set()): void {
  const kept = new SparseStore();
  const store = {
    read: (block: number, into: Uint8Array) => !broken.has(block) && kept.read(block, into),
    write: (block: number, from: Uint8Array) => !broken.has(block) && kept.write(block, from),
  };
  const booted = boot({ disks: new Map([['/dev/swap0', polledDisk(store, BLOCKS, { latency: 20_000, perBlock: 2_000 })]]) });
  const process = booted.kernel.spawnBody(
    'test',
    plain((host) => {
      const buffer = host.syscall(SYS_mmap, 0, BLOCKS * PAGE, 3, MAP_PRIVATE | MAP_ANON, -1, 0);
      host.memory.write(buffer, new TextEncoder().encode('/dev/swap0\0'));
      const fd = host.syscall(SYS_openat, 0, buffer, O_RDWR, 0);
      expect(fd).toBe(3);
      body(host, buffer, fd);
    }),
    64,
  );
  expect(booted.finish(process)).toMatchObject({ code: 0 });
}

test('blocks of a disk are read as they were written, in transfers larger than the kernel moves at once', () => {
  withDisk((host, buffer, fd) => {
    for (let i = 0; i < 30; i++) host.memory.fill(buffer + i * PAGE, PAGE, i + 1);
    expect(host.syscall(SYS_pwrite64, fd, buffer, 30 * PAGE, 5 * PAGE)).toBe(30 * PAGE);
    host.memory.fill(buffer, 30 * PAGE, 0);
    expect(host.syscall(SYS_pread64, fd, buffer, 20 * PAGE, 10 * PAGE)).toBe(20 * PAGE);
    for (let i = 0; i < 20; i++) expect(host.memory.load8(buffer + i * PAGE + 4095)).toBe(i + 6);
  });
});

test('read and write move the position of a disk, and its end is where its size says', () => {
  withDisk((host, buffer, fd) => {
    expect(host.syscall(SYS_lseek, fd, 0, SEEK_END)).toBe(BLOCKS * PAGE);
    expect(host.syscall(SYS_read, fd, buffer, PAGE)).toBe(0);
    expect(host.syscall(SYS_write, fd, buffer, PAGE)).toBe(-ENOSPC);
    expect(host.syscall(SYS_lseek, fd, -PAGE, SEEK_END)).toBe((BLOCKS - 1) * PAGE);
    host.memory.fill(buffer, PAGE, 7);
    expect(host.syscall(SYS_write, fd, buffer, 2 * PAGE)).toBe(PAGE);
    expect(host.syscall(SYS_lseek, fd, -PAGE, SEEK_END)).toBe((BLOCKS - 1) * PAGE);
    expect(host.syscall(SYS_read, fd, buffer + PAGE, 2 * PAGE)).toBe(PAGE);
    expect(host.memory.load8(buffer + PAGE)).toBe(7);
    expect(host.syscall(SYS_fstat, fd, buffer)).toBe(0);
    expect([host.memory.load32(buffer + 16) & 0o170000, host.memory.load32(buffer + 48)]).toEqual([0o060000, BLOCKS * PAGE]);
    expect(host.syscall(SYS_mmap, 0, PAGE, 3, 1, fd, 0)).toBe(-EINVAL);
  });
});

test('a part of a block is refused', () => {
  withDisk((host, buffer, fd) => {
    expect(host.syscall(SYS_pread64, fd, buffer, 100, 0)).toBe(-EINVAL);
    expect(host.syscall(SYS_pwrite64, fd, buffer, PAGE, 100)).toBe(-EINVAL);
    expect(host.syscall(SYS_pread64, 9, buffer, PAGE, 0)).toBe(-EBADF);
  });
});

test('a block that fails ends a transfer short; if it is the first, EIO', () => {
  withDisk(
    (host, buffer, fd) => {
      expect(host.syscall(SYS_pread64, fd, buffer, 8 * PAGE, 0)).toBe(3 * PAGE);
      expect(host.syscall(SYS_pwrite64, fd, buffer, 38 * PAGE, 4 * PAGE)).toBe(16 * PAGE);
      expect(host.syscall(SYS_pread64, fd, buffer, PAGE, 3 * PAGE)).toBe(-EIO);
      expect(host.syscall(SYS_pwrite64, fd, buffer, PAGE, 20 * PAGE)).toBe(-EIO);
    },
    new Set([3, 20]),
  );
});

test('the time of a transfer is charged to the machine', () => {
  const booted = boot({ disks: new Map([['/dev/d', polledDisk(new SparseStore(), 8, { latency: 20_000, perBlock: 2_000 })]]) });
  const process = booted.kernel.spawnBody(
    'test',
    plain((host) => {
      const buffer = host.syscall(SYS_mmap, 0, 8 * PAGE, 3, MAP_PRIVATE | MAP_ANON, -1, 0);
      host.memory.write(buffer, new TextEncoder().encode('/dev/d\0'));
      const fd = host.syscall(SYS_openat, 0, buffer, O_RDWR, 0);
      const before = booted.machine.clock.charged;
      expect(host.syscall(SYS_pwrite64, fd, buffer, 4 * PAGE, 0)).toBe(4 * PAGE);
      expect(booted.machine.clock.charged - before).toBeGreaterThanOrEqual(28_000);
      const after = booted.machine.clock.charged;
      expect(host.syscall(SYS_pread64, fd, buffer, PAGE, 0)).toBe(PAGE);
      expect(booted.machine.clock.charged - after).toBeGreaterThanOrEqual(22_000);
    }),
    64,
  );
  expect(booted.finish(process)).toMatchObject({ code: 0 });
});
