import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { EFAULT, ENOENT, ENOSYS } from '../../../hostkernel/base/errno.ts';
import { FRAME_32, FRAME_64 } from '../../../vkernel/posix/signal-frame.ts';
import { Guest, SCRATCH, tinyElf } from './guest.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('start', () => {
  for (const wordBits of [64, 32] as const) {
    test(`rv${wordBits}: the stack begins with argc, argv, envp, auxv`, () => {
      const guest = new Guest({ wordBits, argv: ['prog', 'one'], env: ['A=b'] });
      expect(guest.started?.ip).toBe(0x10100);
      const sp = guest.started?.sp ?? 0;
      expect(sp % 16).toBe(0);
      const word = wordBits / 8;
      const view = guest.view(sp, 44 * word);
      const at = (i: number): number => (word === 8 ? Number(view.getBigUint64(i * 8, true)) : view.getUint32(i * 4, true));
      const string = (va: number): string => new TextDecoder().decode(guest.read(va, 16)).split('\0')[0] ?? '';
      expect(at(0)).toBe(2);
      expect([string(at(1)), string(at(2)), at(3), string(at(4)), at(5)]).toEqual(['prog', 'one', 0, 'A=b', 0]);
      const auxv = new Map<number, number>();
      for (let i = 6; at(i) !== 0; i += 2) auxv.set(at(i), at(i + 1));
      expect(auxv.get(6)).toBe(4096);
      expect(auxv.get(9)).toBe(0x10100);
      expect(auxv.get(3)).toBe(0x10000 + (word === 8 ? 64 : 52));
      expect(auxv.get(16)).toBe(0x112d);
      expect(auxv.get(33)).toBeUndefined(); // AT_SYSINFO_EHDR
      expect(string(auxv.get(31) ?? 0)).toBe('/bin/prog');
    });
  }
  test('a position-independent program goes two thirds up', () => {
    const guest = new Guest({ files: [{ path: '/bin/prog', mode: 0o755, bytes: tinyElf(64, { type: 3 }) }] });
    expect(guest.started?.ip).toBe(0x2aaaaaa100);
  });
  test.each([
    ['a missing program', [], 127, 'no such file'],
    ['a text file', [{ path: '/bin/prog', mode: 0o755, bytes: bytes('hello') }], 126, 'not an ELF file'],
    ['an empty file', [{ path: '/bin/prog', mode: 0o755, bytes: bytes('') }], 126, 'not an ELF file'],
    ['a file without execute bit', [{ path: '/bin/prog', mode: 0o644, bytes: tinyElf(64) }], 126, 'permission denied'],
    ['an x86 program', [{ path: '/bin/prog', mode: 0o755, bytes: tinyElf(64, { machine: 62 }) }], 126, 'x86-64'],
    ['a program of the other word size', [{ path: '/bin/prog', mode: 0o755, bytes: tinyElf(32) }], 126, 'riscv32'],
    ['a truncated program', [{ path: '/bin/prog', mode: 0o755, bytes: tinyElf(64).subarray(0, 300) }], 126, 'truncated'],
  ])('%s is refused in one line', (_what, files, status, text) => {
    const { exit } = new Guest({ files });
    expect(exit?.kind).toBe('refused');
    if (exit?.kind !== 'refused') return;
    expect(exit.refusal.status).toBe(status);
    expect(exit.refusal.text).toContain(text);
    expect(exit.refusal.text).not.toContain('\n');
  });
  test('a script runs its interpreter', () => {
    const guest = new Guest({
      program: '/s',
      argv: ['s', 'x'],
      files: [
        { path: '/bin/prog', mode: 0o755, bytes: tinyElf(64) },
        { path: '/s', mode: 0o755, bytes: bytes('#! /bin/prog -a b\nrest') },
      ],
    });
    const sp = guest.started?.sp ?? 0;
    const view = guest.view(sp, 48);
    expect(view.getUint32(0, true)).toBe(4);
    const args = [1, 2, 3, 4].map((i) => new TextDecoder().decode(guest.read(Number(view.getBigUint64(8 * i, true)), 12)).split('\0')[0]);
    expect(args).toEqual(['/bin/prog', '-a b', '/s', 'x']);
  });
});

describe('calls', () => {
  test('an unknown call is ENOSYS and reported once', () => {
    const guest = new Guest();
    for (let i = 0; i < 3; i++) expect(guest.syscall(5000)).toBe(-ENOSYS);
    expect(guest.syscall([39, 5] as unknown as number)).toBe(-ENOSYS);
    expect(guest.reports.filter((line) => line.includes('5000'))).toHaveLength(1);
  });
  test('write reaches the stream, and a bad pointer is EFAULT', () => {
    const guest = new Guest();
    guest.text(SCRATCH, 'hello');
    expect(guest.syscall(64, 1, SCRATCH, 5)).toBe(5);
    expect(guest.stdout).toBe('hello');
    expect(guest.syscall(64, 1, 0, 5)).toBe(-EFAULT);
    expect(guest.syscall(64, 1, [-1, -1], 5)).toBe(-EFAULT);
    expect(guest.syscall(64, 1, SCRATCH, [-1, -1])).toBe(-EFAULT);
  });
  test('a file is made, written, read back by position', () => {
    const guest = new Guest();
    guest.text(SCRATCH, '/tmp/f');
    const fd = guest.syscall(56, -100, SCRATCH, 0o102, 0o644);
    expect(fd).toBe(3);
    guest.text(SCRATCH + 64, 'abcdef');
    expect(guest.syscall(64, fd, SCRATCH + 64, 6)).toBe(6);
    expect(guest.syscall(67, fd, SCRATCH + 128, 3, 2)).toBe(3);
    expect(new TextDecoder().decode(guest.read(SCRATCH + 128, 3))).toBe('cde');
    expect(guest.syscall(62, fd, 0, 2)).toBe(6);
    expect(guest.syscall(35, -100, SCRATCH, 0)).toBe(0);
    expect(guest.syscall(56, -100, SCRATCH, 0, 0)).toBe(-ENOENT);
    expect(guest.syscall(57, fd)).toBe(0);
  });
  test('/proc/self/fd shows what is open, /proc/self/exe the program', () => {
    const guest = new Guest();
    guest.text(SCRATCH, '/proc/self/exe');
    expect(guest.syscall(78, -100, SCRATCH, SCRATCH + 64, 100)).toBe('/bin/prog'.length);
    expect(new TextDecoder().decode(guest.read(SCRATCH + 64, 9))).toBe('/bin/prog');
    guest.text(SCRATCH, '/dev/stdin');
    expect(guest.syscall(56, -100, SCRATCH, 0, 0)).toBe(3);
  });
  test('exit_group ends the process', () => {
    const guest = new Guest();
    guest.syscall(94, 300);
    expect(guest.exit).toEqual({ kind: 'exit', code: 44 });
  });
  test('a trace has name, arguments and result', () => {
    const guest = new Guest();
    const lines: string[] = [];
    guest.tracer.syscall = (event) => lines.push(`${event.name}(${event.args.join(',')})=${event.result}`);
    guest.syscall(173);
    guest.syscall(57, -1);
    expect(lines).toEqual(['getppid()=1', 'close(-1)=-9']);
  });
  test('random numbers are the same on every run', () => {
    const draw = (): string => {
      const guest = new Guest();
      guest.syscall(278, SCRATCH, 32, 0);
      return guest.read(SCRATCH, 32).join();
    };
    expect(draw()).toBe(draw());
  });
});

describe('signals', () => {
  function handled(wordBits: 32 | 64): Guest {
    const guest = new Guest({ wordBits });
    const action = new DataView(new ArrayBuffer(24));
    action.setUint32(0, 0x12344, true);
    action.setUint32(wordBits / 8, 4, true); // SA_SIGINFO
    guest.write(SCRATCH, new Uint8Array(action.buffer));
    expect(guest.syscall(134, 10, SCRATCH, 0, 8)).toBe(0);
    return guest;
  }
  test.each([64, 32] as const)('rv%i: a handler is entered on its frame and left again', (wordBits) => {
    const guest = handled(wordBits);
    const layout = wordBits === 64 ? FRAME_64 : FRAME_32;
    for (let i = 2; i < 64; i++) if (i !== 4 && i !== 5) guest.x[i] = wordBits === 64 || i % 2 === 0 ? i * 1000 : 0;
    for (let i = 0; i < 65; i++) guest.f[i] = i === 64 ? 0x21 : i + 7;
    const sp = guest.x[4] >>> 0;
    const before = guest.x.slice();
    const floats = guest.f.slice();
    guest.syscall(129, 2, 10);
    expect(guest.x[0]).toBe(0x12344);
    const frame = guest.x[4] >>> 0;
    expect(frame % 16).toBe(0);
    expect(guest.x[20]).toBe(10);
    const full = (guest.x[5] ?? 0) * 2 ** 32 + frame;
    const view = guest.view(full, layout.bytes);
    expect(view.getInt32(0, true)).toBe(10); // si_signo
    expect(view.getInt32(8, true)).toBe(0); // SI_USER
    expect(view.getUint32(layout.registers + 2 * (wordBits / 8), true)).toBe(sp);
    guest.f.fill(0);
    guest.x.fill(77, 6);
    guest.syscall(139);
    before[20] = 0; // kill's own result
    before[21] = 0;
    expect([...guest.x]).toEqual([...before]);
    expect([...guest.f]).toEqual([...floats]);
  });
  test('without a handler the default ends it', () => {
    const guest = new Guest();
    guest.syscall(129, 2, 15);
    expect(guest.exit).toMatchObject({ kind: 'signal', signal: 15 });
  });
  test('a fault is a SIGSEGV that names address and pc', () => {
    const guest = new Guest();
    guest.trap(13, 0x10);
    expect(guest.exit).toMatchObject({ kind: 'signal', signal: 11, fault: { address: 0x10, pc: 0x10100, cause: 13 } });
  });
  test('a handled fault tells MAPERR from ACCERR', () => {
    for (const [va, code] of [
      [0x10, 1],
      [0x10000, 2],
    ] as const) {
      const guest = handled(64);
      expect(guest.syscall(134, 11, SCRATCH, 0, 8)).toBe(0);
      guest.trap(15, va);
      expect(guest.exit).toBeNull();
      const view = guest.view(guest.x[5] * 2 ** 32 + (guest.x[4] >>> 0), 32);
      expect([view.getInt32(0, true), view.getInt32(8, true), view.getUint32(16, true)]).toEqual([11, code, va]);
    }
  });
  test('a handler on a stack that is not there is the end', () => {
    const guest = handled(64);
    guest.x[4] = 0;
    guest.x[5] = 0;
    guest.syscall(129, 2, 10);
    expect(guest.exit).toMatchObject({ kind: 'signal', signal: 11 });
  });
  test('an alarm ends a sleep early', () => {
    const guest = handled(64);
    expect(guest.syscall(134, 14, SCRATCH, 0, 8)).toBe(0);
    const timer = new DataView(new ArrayBuffer(32));
    timer.setUint32(24, 5000, true);
    guest.write(SCRATCH, new Uint8Array(timer.buffer));
    expect(guest.syscall(103, 0, SCRATCH, 0)).toBe(0);
    guest.write(SCRATCH, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    guest.syscall(101, SCRATCH, 0);
    expect(guest.micros).toBe(5000);
    expect(guest.x[0]).toBe(0x12344);
  });
  test('a timer that runs out reaches a program that makes no system calls', () => {
    const guest = handled(64);
    expect(guest.syscall(134, 14, SCRATCH, 0, 8)).toBe(0);
    const timer = new DataView(new ArrayBuffer(32));
    timer.setUint32(24, 5000, true);
    guest.write(SCRATCH, new Uint8Array(timer.buffer));
    expect(guest.syscall(103, 0, SCRATCH, 0)).toBe(0);
    guest.x[0] = 0x40000;
    guest.x[20] = 1234;
    guest.compute(4000);
    expect(guest.x[0]).toBe(0x40000);
    guest.compute(1000);
    expect(guest.x[0]).toBe(0x12344);
    guest.syscall(139);
    expect([guest.x[0], guest.x[20]]).toEqual([0x40000, 1234]); // exactly where it was
  });
  test('a death names its address to the last bit', () => {
    const guest = new Guest();
    guest.trap(15, -16);
    expect(guest.exit).toMatchObject({ kind: 'signal', signal: 11, text: expect.stringContaining('write at 0xfffffffffffffff0, pc') });
    const narrow = new Guest({ wordBits: 32 });
    narrow.trap(13, -16);
    expect(narrow.exit).toMatchObject({ kind: 'signal', signal: 11, text: expect.stringContaining('read at 0xfffffff0, pc') });
  });
  test('a wait for ever ends the process with a diagnosis', () => {
    const guest = new Guest();
    guest.syscall(133, SCRATCH, 8);
    expect(guest.exit).toMatchObject({ kind: 'signal', signal: 9 });
  });
});

test('hostile calls never throw, and every result is an errno or a small number', () => {
  const value = fc.oneof(
    fc.integer({ min: -8, max: 2000 }).map((n) => n as number | readonly [number, number]),
    fc.constantFrom(SCRATCH, SCRATCH + 4090, SCRATCH + 65530, 0x10000, 0, -1, 4096, 2 ** 32, 2 ** 38 - 1, 2 ** 38),
    fc.tuple(fc.integer(), fc.integer()),
  );
  const call = fc.tuple(fc.integer({ min: -2, max: 1100 }), fc.array(value, { minLength: 6, maxLength: 6 }));
  const ends = new Set([93, 94, 129, 130, 131, 138, 139, 240, 133, 137, 98, 101, 115, 72, 73]);
  for (const wordBits of [64, 32] as const) {
    fc.assert(
      fc.property(fc.array(call, { maxLength: 60 }), fc.uint8Array({ minLength: 4096, maxLength: 4096 }), (calls, noise) => {
        const guest = new Guest({ wordBits });
        guest.write(SCRATCH, noise);
        guest.text(SCRATCH + 4096, '/tmp/x/../y');
        for (const [number, args] of calls) {
          if (guest.exit !== null) break;
          const result = guest.syscall(number, ...args);
          if (!ends.has(number) && guest.exit === null) expect(Number.isNaN(result)).toBe(false);
        }
      }),
      { numRuns: 300 },
    );
  }
});
