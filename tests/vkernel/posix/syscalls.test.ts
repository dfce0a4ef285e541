import { describe, expect, test } from 'vitest';
import {
  E2BIG,
  EAFNOSUPPORT,
  EAGAIN,
  EBADF,
  ECHILD,
  EFAULT,
  EINVAL,
  ENAMETOOLONG,
  ENODEV,
  ENOENT,
  ENOSYS,
  ENOTTY,
  EOPNOTSUPP,
  EPERM,
  EPIPE,
  ESPIPE,
  ESRCH,
} from '../../../hostkernel/base/errno.ts';
import { Guest, SCRATCH, tinyElf } from './guest.ts';
import { memoryProvider } from './memory-provider.ts';

const DATA = SCRATCH + 0x2000;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const textAt = (guest: Guest, va: number, len: number): string => new TextDecoder().decode(guest.read(va, len));

function open(guest: Guest, path: string, flags = 0): number {
  return guest.syscall(56, -100, guest.text(SCRATCH, path), flags, 0o644);
}

describe('pipes', () => {
  const NONBLOCK = 0o4000;
  function pipe(guest: Guest, flags = 0): readonly [reader: number, writer: number] {
    expect(guest.syscall(59, DATA, flags)).toBe(0);
    const view = guest.view(DATA, 8);
    return [view.getInt32(0, true), view.getInt32(4, true)];
  }
  test('what goes in comes out, then the end', () => {
    const guest = new Guest();
    const [reader, writer] = pipe(guest, NONBLOCK);
    guest.text(DATA, 'through');
    expect(guest.syscall(64, writer, DATA, 7)).toBe(7);
    expect(guest.syscall(63, reader, DATA + 64, 100)).toBe(7);
    expect(textAt(guest, DATA + 64, 7)).toBe('through');
    expect(guest.syscall(63, reader, DATA, 1)).toBe(-EAGAIN);
    guest.syscall(57, writer);
    expect(guest.syscall(63, reader, DATA, 1)).toBe(0);
    expect(guest.syscall(62, reader, 0, 0)).toBe(-ESPIPE);
  });
  test('a full pipe takes no more, a short write not a part', () => {
    const guest = new Guest();
    const [, writer] = pipe(guest, NONBLOCK);
    expect(guest.syscall(64, writer, SCRATCH, 65536 - 10)).toBe(65526);
    expect(guest.syscall(64, writer, SCRATCH, 11)).toBe(-EAGAIN);
    expect(guest.syscall(64, writer, SCRATCH, 8000)).toBe(10);
  });
  test('who waits for what nobody can send is told so', () => {
    for (const call of [63, 64]) {
      const guest = new Guest();
      const ends = pipe(guest);
      if (call === 64) expect(guest.syscall(64, ends[1], SCRATCH, 65536)).toBe(65536);
      guest.syscall(call, ends[call - 63] as number, SCRATCH, 1);
      expect(guest.exit).toMatchObject({ kind: 'signal', signal: 9, text: expect.stringContaining('cannot come') as string });
    }
  });
  test('without a reader it is a SIGPIPE', () => {
    const guest = new Guest();
    const [reader, writer] = pipe(guest);
    guest.syscall(57, reader);
    guest.syscall(64, writer, SCRATCH, 1);
    expect(guest.exit).toMatchObject({ kind: 'signal', signal: 13 });
  });
  test('or EPIPE if that is ignored', () => {
    const guest = new Guest();
    guest.write(DATA, new Uint8Array([1]));
    expect(guest.syscall(134, 13, DATA, 0, 8)).toBe(0);
    const [reader, writer] = pipe(guest);
    guest.syscall(57, reader);
    expect(guest.syscall(64, writer, SCRATCH, 1)).toBe(-EPIPE);
  });
  test('poll tells which ends are ready', () => {
    const guest = new Guest();
    const [reader, writer] = pipe(guest);
    const fds = new DataView(new ArrayBuffer(24));
    [reader, writer, 99].forEach((fd, i) => {
      fds.setInt32(8 * i, fd, true);
      fds.setInt16(8 * i + 4, 5, true); // POLLIN | POLLOUT
    });
    guest.write(DATA, new Uint8Array(fds.buffer));
    expect(guest.syscall(73, DATA, 3, 0, 0, 8)).toBe(2);
    const view = guest.view(DATA, 24);
    expect([6, 14, 22].map((at) => view.getInt16(at, true))).toEqual([0, 4, 0x20]);
  });
});

describe('descriptors', () => {
  test('duplicates share the position', () => {
    const guest = new Guest();
    const fd = open(guest, '/tmp/f', 0o102);
    expect(guest.syscall(23, fd)).toBe(4);
    expect(guest.syscall(24, fd, 9, 0o2000000)).toBe(9);
    expect(guest.syscall(25, 9, 1)).toBe(1); // close-on-exec
    expect(guest.syscall(25, fd, 0, 20)).toBe(20);
    guest.text(DATA, 'abc');
    guest.syscall(64, fd, DATA, 3);
    expect(guest.syscall(62, 20, 0, 1)).toBe(3);
    expect(guest.syscall(24, fd, fd, 0)).toBe(-EINVAL);
    expect(guest.syscall(23, 99)).toBe(-EBADF);
  });
  test('append writes at the end, wherever the position is', () => {
    const guest = new Guest();
    guest.text(DATA, 'abcdef');
    const fd = open(guest, '/tmp/f', 0o2102);
    guest.syscall(64, fd, DATA, 3);
    guest.syscall(62, fd, 0, 0);
    guest.syscall(64, fd, DATA + 3, 3);
    guest.syscall(67, fd, DATA + 64, 6, 0);
    expect(textAt(guest, DATA + 64, 6)).toBe('abcdef');
  });
  test('a pipe is no terminal, a terminal is one', () => {
    expect(new Guest().syscall(29, 0, 0x5401, DATA)).toBe(-ENOTTY);
    const guest = new Guest({ terminals: [true, true, true] });
    expect(guest.syscall(29, 0, 0x5401, DATA)).toBe(0);
    expect(guest.syscall(29, 0, 0x5413, DATA)).toBe(0);
    expect(guest.view(DATA, 4).getUint16(2, true)).toBe(80);
  });
  test('standard input ends', () => {
    const guest = new Guest({ stdin: bytes('in') });
    expect(guest.syscall(63, 0, DATA, 10)).toBe(2);
    expect(guest.syscall(63, 0, DATA, 10)).toBe(0);
  });
  test('vectors go through in order', () => {
    const guest = new Guest();
    guest.text(DATA, 'onetwo');
    const vector = new DataView(new ArrayBuffer(32));
    [DATA, 3, DATA + 3, 3].forEach((value, i) => vector.setUint32(8 * i, value, true));
    guest.write(DATA + 64, new Uint8Array(vector.buffer));
    expect(guest.syscall(66, 1, DATA + 64, 2)).toBe(6);
    expect(guest.stdout).toBe('onetwo');
    expect(guest.syscall(66, 1, DATA + 64, 1025)).toBe(-EINVAL);
    expect(guest.syscall(66, 1, 16, 1)).toBe(-EFAULT);
  });
});

describe('directories', () => {
  test('there is a /tmp, whatever lies beneath', () => {
    const files = [{ path: '/bin/prog', mode: 0o755, bytes: tinyElf(64) }];
    for (const provider of [null, memoryProvider({ d: {} }), memoryProvider({ tmp: { f: bytes('') } })]) {
      const guest = new Guest({ provider, files });
      expect(guest.syscall(34, -100, guest.text(SCRATCH, '/tmp/new'), 0o755)).toBe(0);
    }
  });
  test('entries come in parts, and again after a rewind', () => {
    const guest = new Guest({
      provider: memoryProvider({ d: { one: bytes(''), two: {} } }),
      files: [{ path: '/bin/prog', mode: 0o755, bytes: tinyElf(64) }],
    });
    const fd = open(guest, '/d', 0o200000);
    const names: string[] = [];
    for (;;) {
      const n = guest.syscall(61, fd, DATA, 48);
      expect(n).toBeGreaterThanOrEqual(0);
      if (n === 0) break;
      const view = guest.view(DATA, n);
      for (let at = 0; at < n; at += view.getUint16(at + 16, true)) names.push(textAt(guest, DATA + at + 19, 4).split('\0')[0] ?? '');
    }
    expect(names).toEqual(['.', '..', 'one', 'two']);
    expect(guest.syscall(61, fd, DATA, 10)).toBe(0);
    expect(guest.syscall(62, fd, 0, 0)).toBe(0);
    expect(guest.syscall(61, fd, DATA, 10)).toBe(-EINVAL);
    expect(guest.syscall(61, fd, DATA, 4096)).toBe(96);
  });
});

describe('memory', () => {
  test('a private file mapping shows the file', () => {
    const guest = new Guest({
      provider: memoryProvider({ f: bytes('mapped contents') }),
      files: [{ path: '/bin/prog', mode: 0o755, bytes: tinyElf(64) }],
    });
    const fd = open(guest, '/f');
    const at = guest.syscall(222, 0, 4096, 1, 2, fd, 0);
    expect(textAt(guest, at, 15)).toBe('mapped contents');
    expect(guest.syscall(222, 0, 4096, 1, 2, fd, 100)).toBe(-EINVAL);
    expect(guest.syscall(222, 0, 0, 1, 2, fd, 0)).toBe(-EINVAL);
    expect(guest.syscall(222, 0, 4096, 1, 2, 0, 0)).toBe(-ENODEV);
    expect(guest.syscall(222, 0, 4096, 3, 1, fd, 0)).toBe(-13); // EACCES: shared and writable, but open for reading
    expect(guest.syscall(222, [-1, -1], [-1, -1], 3, 0x22, -1, 0)).toBe(-12);
  });
  test('the break moves and comes back', () => {
    const guest = new Guest();
    const start = guest.syscall(214, 0);
    expect(start).toBe(0x12000);
    expect(guest.syscall(214, start + 10000)).toBe(start + 10000);
    expect(guest.syscall(214, [-1, -1])).toBe(start + 10000);
  });
});

describe('the process', () => {
  test('execve replaces the program and closes what it must', () => {
    const guest = new Guest({ files: [{ path: '/bin/prog', mode: 0o755, bytes: tinyElf(64) }] });
    const fd = open(guest, '/tmp/f', 0o2000102);
    guest.x.fill(5, 6);
    guest.syscall(221, guest.text(SCRATCH, '/bin/prog'), 0, 0);
    expect(guest.x[0]).toBe(0x10100);
    expect([...guest.x.subarray(6)].every((word) => word === 0)).toBe(true);
    guest.map(SCRATCH, 16);
    expect(guest.syscall(57, fd)).toBe(-EBADF);
    expect(guest.syscall(221, guest.text(SCRATCH, '/none'), 0, 0)).toBe(-ENOENT);
    expect(guest.exit).toBeNull();
  });
  test('without a process server there are no other processes', () => {
    const guest = new Guest();
    expect([guest.syscall(220, 17), guest.syscall(435, 0, 0), guest.syscall(260, -1)]).toEqual([-ENOSYS, -EINVAL, -ECHILD]);
    expect(guest.reports).toEqual([]); // a known answer, not an unknown call
  });
  test('a sleep lasts virtual time', () => {
    const guest = new Guest();
    const time = new DataView(new ArrayBuffer(16));
    time.setUint32(0, 3600, true);
    guest.write(DATA, new Uint8Array(time.buffer));
    expect(guest.syscall(101, DATA, 0)).toBe(0);
    expect(guest.micros).toBe(3600e6);
    expect(guest.syscall(113, 1, DATA)).toBe(0);
    expect(guest.view(DATA, 8).getUint32(0, true)).toBe(3600);
  });
  test('hwprobe answers known keys and marks the others', () => {
    const guest = new Guest();
    const pairs = new DataView(new ArrayBuffer(32));
    pairs.setUint32(0, 4, true);
    pairs.setUint32(16, 77, true);
    guest.write(DATA, new Uint8Array(pairs.buffer));
    expect(guest.syscall(258, DATA, 2, 0, 0, 0)).toBe(0);
    const view = guest.view(DATA, 32);
    expect([view.getInt32(0, true), view.getInt32(8, true), view.getInt32(16, true)]).toEqual([4, 3, -1]);
  });
  test('a futex with another value is EAGAIN, a wake wakes nobody', () => {
    const guest = new Guest();
    expect(guest.syscall(98, DATA, 0, 1, 0)).toBe(-EAGAIN);
    expect(guest.syscall(98, DATA, 129, 1)).toBe(0);
    guest.syscall(98, DATA, 0, 0, 0);
    expect(guest.exit).toMatchObject({ kind: 'signal', signal: 9, text: expect.stringContaining('cannot come') as string });
  });
});

describe('rv32', () => {
  test('a 64-bit offset takes two registers', () => {
    const guest = new Guest({ wordBits: 32 });
    const fd = open(guest, '/tmp/f', 0o102);
    expect(guest.syscall(46, fd, 5, 1)).toBe(0); // ftruncate64: 2^32 + 5
    expect(guest.syscall(62, fd, 0, 0, DATA, 2)).toBe(0); // llseek
    const view = guest.view(DATA, 8);
    expect([view.getUint32(0, true), view.getUint32(4, true)]).toEqual([5, 1]);
    guest.text(DATA, 'x');
    expect(guest.syscall(68, fd, DATA, 1, 0, 1)).toBe(1); // pwrite64 at 2^32
    expect(guest.syscall(67, fd, DATA + 8, 1, 0, 1)).toBe(1);
    expect(textAt(guest, DATA + 8, 1)).toBe('x');
  });
  test('clock_gettime64 is 403, and 113 does not exist', () => {
    const guest = new Guest({ wordBits: 32 });
    expect(guest.syscall(403, 0, DATA)).toBe(0);
    expect(guest.view(DATA, 8).getUint32(0, true)).toBe(1767225600);
    expect(guest.syscall(113, 0, DATA)).toBe(-ENOSYS);
  });
  test('mmap2 counts its offset in pages', () => {
    const file = new Uint8Array(8192).fill(65, 4096);
    const guest = new Guest({
      wordBits: 32,
      provider: memoryProvider({ f: file }),
      files: [{ path: '/bin/prog', mode: 0o755, bytes: tinyElf(32) }],
    });
    const at = guest.syscall(222, 0, 4096, 1, 2, open(guest, '/f'), 1);
    expect(textAt(guest, at, 2)).toBe('AA');
  });
});

describe('a transfer that meets the end of memory goes as far as it can', () => {
  const END = SCRATCH + 16 * 4096; // the first byte that is not mapped

  /** Writes an array of struct iovec at `va`. */
  function iovecs(guest: Guest, va: number, extents: readonly (readonly [at: number, len: bigint])[]): number {
    const words = extents.flatMap(([at, len]) => [BigInt(at), len]);
    return guest.write(va, new Uint8Array(BigUint64Array.from(words).buffer));
  }

  test('write and read report the bytes that were there, and the position agrees', () => {
    const guest = new Guest();
    const fd = open(guest, '/tmp/f', 0o102);
    expect(guest.syscall(64, fd, END - 100, 8192)).toBe(100);
    expect(guest.syscall(64, fd, END, 1)).toBe(-EFAULT);
    expect(guest.syscall(64, fd, DATA, 8192)).toBe(8192);
    expect(guest.syscall(62, fd, 0, 1)).toBe(8292);
    expect(guest.syscall(67, fd, END - 5000, 8000, 0)).toBe(5000);
    guest.syscall(62, fd, 0, 0);
    expect(guest.syscall(63, fd, END - 7, 100)).toBe(7);
    expect(guest.syscall(62, fd, 0, 1)).toBe(7);
    expect(guest.syscall(278, END - 9, 100, 0)).toBe(9); // getrandom
  });
  test('writev and readv stop inside the piece that is missing', () => {
    const guest = new Guest();
    const fd = open(guest, '/tmp/f', 0o102);
    const iov = iovecs(guest, DATA, [
      [SCRATCH, 10n],
      [END - 5, 10n],
      [SCRATCH, 3n],
    ]);
    expect(guest.syscall(66, fd, iov, 3)).toBe(15);
    guest.syscall(62, fd, 0, 0);
    expect(guest.syscall(65, fd, iov, 3)).toBe(15);
  });
  test('a length that cannot be is refused before anything is moved', () => {
    const guest = new Guest();
    const fd = open(guest, '/tmp/f', 0o102);
    const half = 2n ** 63n;
    for (const [len, errno] of [
      [half, EINVAL],
      [2n ** 64n - 1n, EINVAL],
      [2n ** 62n, EFAULT],
      [2n ** 40n, EFAULT],
    ] as const) {
      const iov = iovecs(guest, DATA, [
        [SCRATCH, 10n],
        [SCRATCH, len],
      ]);
      expect(guest.syscall(66, fd, iov, 2)).toBe(-errno);
    }
    expect(guest.syscall(62, fd, 0, 2)).toBe(0);
    expect(guest.syscall(63, fd, SCRATCH, [-1, -1])).toBe(-EFAULT);
    expect(guest.syscall(64, fd, SCRATCH, [0, 0x1000_0000])).toBe(-EFAULT);
  });
  test('a pipe moves whole pages, and keeps what a reader had no room for', () => {
    const guest = new Guest();
    guest.syscall(59, DATA, 0);
    guest.text(DATA, 'hello');
    expect(guest.syscall(64, 4, DATA, 5)).toBe(5);
    expect(guest.syscall(63, 3, END, 5)).toBe(-EFAULT);
    expect(guest.syscall(63, 3, END - 2, 5)).toBe(-EFAULT);
    expect(guest.syscall(63, 3, DATA + 64, 9)).toBe(5);
    expect(textAt(guest, DATA + 64, 5)).toBe('hello');
    expect(guest.syscall(64, 4, END - 5000, 8192)).toBe(4096);
    expect(guest.syscall(64, 4, END - 6, 100)).toBe(-EFAULT);
    expect(guest.syscall(63, 3, DATA, 8192)).toBe(4096);
  });
  test('a device that never ends fills the whole buffer', () => {
    const guest = new Guest();
    guest.map(0x2000_0000, 256);
    expect(guest.syscall(63, open(guest, '/dev/zero'), 0x2000_0000, 2 ** 20)).toBe(2 ** 20);
  });
});

describe('what a program can make grow is bounded', () => {
  test('a signal too many in the queue is EAGAIN', () => {
    const guest = new Guest();
    const block = guest.write(DATA, new Uint8Array(8).fill(0xff));
    expect(guest.syscall(135, 0, block, 0, 8)).toBe(0);
    const info = guest.write(DATA + 64, new Uint8Array(128));
    const queue = (): number => guest.syscall(138, 2, 40, info);
    for (let i = 0; i < 1024; i++) expect(queue()).toBe(0);
    expect(queue()).toBe(-EAGAIN);
  });
  test('its environment, opened again and again, is charged to the store', () => {
    const guest = new Guest({ env: [`A=${'x'.repeat(100_000)}`] });
    const stored = (): number => {
      guest.syscall(43, guest.text(SCRATCH, '/'), DATA);
      return guest.view(DATA + 16, 8).getUint32(0, true) - guest.view(DATA + 24, 8).getUint32(0, true); // blocks - free
    };
    const before = stored();
    const fds = [0, 1, 2].map(() => open(guest, '/proc/self/environ'));
    expect(stored() - before).toBe(3 * 25);
    for (const fd of fds) guest.syscall(57, fd);
    expect(stored()).toBe(before);
    expect(open(guest, '/proc/self/status')).toBe(fds[0]);
    expect(stored()).toBe(before); // a page comes with the descriptor
  });
  test('a pipe that is closed gives its inode back, and so does a fifo, whichever of name and end goes last', () => {
    const guest = new Guest();
    const free = (): number => {
      guest.syscall(43, guest.text(SCRATCH, '/'), DATA);
      return guest.view(DATA + 48, 8).getUint32(0, true);
    };
    const before = free();
    guest.syscall(59, DATA, 0);
    expect(free()).toBe(before - 1);
    guest.syscall(57, 3);
    guest.syscall(57, 4);
    expect(free()).toBe(before);
    const fifo = (): number => guest.syscall(33, -100, guest.text(SCRATCH, '/tmp/fifo'), 0o010644, 0);
    const unlink = (): number => guest.syscall(35, -100, guest.text(SCRATCH, '/tmp/fifo'), 0);
    for (const flags of [0o2, 0o10000000]) {
      expect(fifo()).toBe(0);
      const fd = open(guest, '/tmp/fifo', flags); // both ends, or O_PATH
      expect([unlink(), guest.syscall(57, fd), free()]).toEqual([0, 0, before]);
      expect(fifo()).toBe(0);
      expect([guest.syscall(57, open(guest, '/tmp/fifo', flags)), unlink(), free()]).toEqual([0, 0, before]);
    }
  });
  test('a path too long for anything is no longer than that in a descriptor', () => {
    const guest = new Guest();
    for (let depth = 0; depth < 40; depth++) {
      expect(guest.syscall(34, -100, guest.text(SCRATCH, 'd'.repeat(200)), 0o755)).toBe(0);
      expect(guest.syscall(49, SCRATCH)).toBe(0);
    }
    expect(guest.syscall(17, DATA, 8192)).toBe(-ENAMETOOLONG); // getcwd
    const fd = open(guest, 'f', 0o102);
    expect(guest.syscall(78, -100, guest.text(SCRATCH, `/proc/self/fd/${fd}`), DATA, 8192)).toBe(4095);
  });
  test('arguments and environment too long together leave the old program as it was', () => {
    const guest = new Guest();
    const at = 0x2000_0000;
    guest.map(at, 32);
    guest.write(at, new Uint8Array(131_071).fill(120));
    const twelve = guest.write(DATA, new Uint8Array(BigUint64Array.from([...Array.from({ length: 12 }, () => BigInt(at)), 0n]).buffer));
    expect(guest.syscall(221, guest.text(SCRATCH, '/bin/prog'), twelve, twelve)).toBe(-E2BIG);
    expect(guest.exit).toBe(null);
    expect(guest.syscall(172)).toBe(2);
  });
});

describe('what libraries ask for in passing', () => {
  test('limits that were set are those that are read', () => {
    const guest = new Guest();
    const limit = (resource: number, soft: bigint, hard: bigint): number => {
      guest.write(DATA, new Uint8Array(new BigUint64Array([soft, hard]).buffer));
      return guest.syscall(261, 0, resource, DATA, 0);
    };
    const read = (resource: number): bigint[] => {
      expect(guest.syscall(261, 0, resource, 0, DATA)).toBe(0);
      return [...new BigUint64Array(guest.read(DATA, 16).slice().buffer)];
    };
    const infinite = 2n ** 64n - 1n;
    expect([limit(7, 64n, 256n), read(7)]).toEqual([0, [64n, 256n]]);
    expect([limit(4, 1000n, infinite), read(4)]).toEqual([0, [1000n, infinite]]);
    expect([limit(9, infinite, infinite), read(9)]).toEqual([0, [infinite, infinite]]);
    expect([limit(4, infinite, 5n), limit(4, 6n, 5n), read(4)]).toEqual([-EINVAL, -EINVAL, [1000n, infinite]]);
    expect(limit(7, 100n, 1_000_000n)).toBe(-EPERM); // more descriptors than there are
    expect(limit(3, 100n, 200n)).toBe(0); // a stack nobody could start on: a program gets 64 KiB all the same
    expect(read(3)).toEqual([100n, 200n]);
  });
  test('the mappings of a process are in /proc/self/maps, with the stack among them', () => {
    const guest = new Guest();
    const fd = open(guest, '/proc/self/maps');
    const text = textAt(guest, DATA, guest.syscall(63, fd, DATA, 0x2000));
    expect(text).toMatch(/^[0-9a-f]{8,}-[0-9a-f]{8,} r[-w][-x]p 0{8} 00:00 0 \n/);
    const stack = text.split('\n').find((line) => line.endsWith('[stack]'));
    expect(stack?.indexOf('[stack]')).toBe(73);
    const [start, end] = (stack ?? '').split(/[- ]/).map((part) => Number.parseInt(part, 16));
    const sp = guest.started?.sp ?? 0;
    expect((start ?? 0) <= sp && sp < (end ?? 0)).toBe(true);
  });
  test('no file has extended attributes, and a file that is not there is not there', () => {
    const guest = new Guest();
    const path = guest.text(SCRATCH, '/bin/prog');
    const missing = guest.text(SCRATCH + 64, '/none');
    expect([guest.syscall(8, path, path, 0, 0), guest.syscall(8, missing, path, 0, 0)]).toEqual([-EOPNOTSUPP, -ENOENT]);
    expect([guest.syscall(11, path, 0, 0), guest.syscall(12, missing, 0, 0), guest.syscall(13, 99, 0, 0)]).toEqual([0, -ENOENT, -EBADF]);
    expect([guest.syscall(7, 1, path, 0, 0, 0), guest.syscall(7, 99, path, 0, 0, 0)]).toEqual([-EOPNOTSUPP, -EBADF]);
    expect(guest.reports).toEqual([]);
  });
  test('there is no network to open a socket on, and that is an answer', () => {
    const guest = new Guest();
    expect([guest.syscall(198, 1, 1, 0), guest.syscall(199, 1, 1, 0, DATA)]).toEqual([-EAFNOSUPPORT, -EAFNOSUPPORT]);
    expect(guest.reports).toEqual([]);
  });
  test('memory by descriptor is a file without a name', () => {
    const guest = new Guest();
    const fd = guest.syscall(279, guest.text(SCRATCH, 'heap'), 1);
    expect(guest.syscall(46, fd, 8192)).toBe(0);
    expect([guest.syscall(64, fd, SCRATCH, 4), guest.syscall(67, fd, DATA, 4, 0), textAt(guest, DATA, 4)]).toEqual([4, 4, 'heap']);
    expect(guest.syscall(78, -100, guest.text(SCRATCH, `/proc/self/fd/${fd}`), DATA, 100)).toBe(21);
    expect(textAt(guest, DATA, 21)).toBe('/memfd:heap (deleted)');
    expect([guest.syscall(57, fd), guest.syscall(279, SCRATCH, 4)]).toEqual([0, -EINVAL]);
  });
  test('the scheduler is the ordinary one', () => {
    const guest = new Guest();
    expect([guest.syscall(120, 0), guest.syscall(120, 77), guest.syscall(121, 0, DATA)]).toEqual([0, -ESRCH, 0]);
    expect([guest.syscall(125, 1), guest.syscall(126, 1), guest.syscall(125, 0), guest.syscall(126, 0)]).toEqual([99, 1, 0, 0]);
    expect([guest.syscall(125, 9), guest.syscall(126, 9)]).toEqual([-EINVAL, -EINVAL]);
  });
});
