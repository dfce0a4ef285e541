/** The program that started it all: a page table inside the memory it maps, first with the format of the first day. */

import { describe, expect, test } from 'vitest';
import { READ, WRITE } from '../../../hostkernel/base/units.ts';
import {
  type Host,
  MADV_INVAL,
  MADV_SETMAP,
  MAP_ANON,
  MAP_SHARED,
  MAP_VPAGETABLE,
  SYS_mcontrol,
  SYS_mmap,
  SYS_write,
} from '../../../hostkernel/kern/index.ts';
import { compileLayout, VPTE_2006, VPTE_32_NX, VPTE_64_NX } from '../../../hostkernel/machine/index.ts';
import { boot, type BootOptions, plain, runBody } from './boot.ts';

const M = 2 ** 20;
const SIZE = 32 * M;
const G0: BootOptions = { vpte32: compileLayout(VPTE_2006), vpte64: compileLayout(VPTE_2006), ramBytes: 16 * M };
const G5: BootOptions = { vpte32: compileLayout(VPTE_32_NX), vpte64: compileLayout(VPTE_64_NX), ramBytes: 16 * M };

// The first day's bits.
const IV = 1;
const PS = 2;
// Today's.
const V = 1;
const RW = 2;
const LARGE = 0x80;

/** The program's mapping, and what it prints about it. */
class Seed {
  readonly ptr: number;
  readonly #host: Host;
  #text: number; // a page for what is printed

  constructor(host: Host) {
    this.#host = host;
    const prot = READ | WRITE;
    this.ptr = host.syscall(SYS_mmap, 0, SIZE, prot, MAP_SHARED | MAP_ANON | MAP_VPAGETABLE, -1, 0);
    this.#text = host.syscall(SYS_mmap, 0, 4096, prot, MAP_SHARED | MAP_ANON, -1, 0);
    expect(this.ptr).toBeGreaterThan(0);
  }

  load(offset: number): number {
    return this.#host.memory.load32(this.ptr + offset);
  }

  store(offset: number, value: number): void {
    this.#host.memory.store32(this.ptr + offset, value);
  }

  /** Prints a word by its offset, as MiB and bytes. */
  show(offset: number): void {
    const value = this.load(offset);
    const bytes = new TextEncoder().encode(`${Math.floor(offset / M)}M+${offset % M}: ${value === 0x400000 ? '0x400000' : value}\n`);
    this.#host.memory.write(this.#text, bytes);
    this.#host.syscall(SYS_write, 1, this.#text, bytes.length);
  }

  control(behav: number, value = 0, offset = 0, len = SIZE): void {
    expect(this.#host.syscall(SYS_mcontrol, this.ptr + offset, len, behav, value)).toBe(0);
  }
}

/** The stores of the program: a directory in frame 0, a table in frame 1, both pages of 4 MiB in frame 1024. */
function buildTables(seed: Seed): void {
  seed.store(0, PS);
  seed.store(4, 0x1000);
  seed.store(4096, 0x400000);
  seed.store(4096 + 4, 0x400000);
  seed.store(4 * M, 23);
}

describe.each([32, 64] as const)('the program of the first day, as a %i-bit process', (xlen) => {
  test('prints what its tables say', () => {
    const machine = runBody(
      (host) => {
        const seed = new Seed(host);
        buildTables(seed);
        for (let page = 0; page < 5; page++) seed.show(4 * M + 4096 * page);
        seed.show(8 * M - 4096);
        seed.show(0);
        seed.show(4096);
        seed.show(4 * M - 4096);
        seed.show(8 * M);
        seed.show(8 * M + 4096);
        seed.show(8 * M + 8192);
        seed.store(4 * M + 4096, 24);
        seed.show(4 * M);
      },
      xlen,
      G0,
    );
    expect(machine.output().split('\n').slice(0, -1)).toEqual([
      '4M+0: 23',
      '4M+4096: 23',
      '4M+8192: 2',
      '4M+12288: 2',
      '4M+16384: 2',
      `7M+${M - 4096}: 2`,
      '0M+0: 2',
      '0M+4096: 0x400000',
      `3M+${M - 4096}: 0`,
      '8M+0: 2',
      '8M+4096: 0x400000',
      '8M+8192: 2',
      '4M+0: 24',
    ]);
  });

  test('needs three frames for its table, directory and data', () => {
    const machine = boot(G0);
    const { counters } = machine.kernel.vm;
    const body = plain((host) => {
      const seed = new Seed(host);
      const before = counters.zeroFills;
      buildTables(seed);
      expect(counters.zeroFills - before).toBe(3);
    });
    expect(machine.finish(machine.kernel.spawnBody('seed', body, xlen))).toEqual({ code: 0 });
  });

  test('ends with SIGSEGV at an entry marked invalid, its neighbours stay', () => {
    const machine = boot(G0);
    const process = machine.kernel.spawnBody(
      'seed',
      plain((host) => {
        const seed = new Seed(host);
        buildTables(seed);
        seed.store(4096 + 8, IV);
        seed.show(4 * M);
        seed.show(4 * M + 12288);
        seed.show(4 * M + 8192);
      }),
      xlen,
    );
    const status = machine.finish(process);
    expect(status).toMatchObject({ signal: 11, access: READ, refusal: 'virtual page table: not-valid at level 0' });
    expect(machine.output()).toBe('4M+0: 23\n4M+12288: 2\n');
  });

  test('sees a page marked invalid after it was read until the translation is dropped', () => {
    const machine = boot(G0);
    const process = machine.kernel.spawnBody(
      'seed',
      plain((host) => {
        const seed = new Seed(host);
        buildTables(seed);
        seed.show(4 * M + 8192);
        seed.store(4096 + 8, IV);
        seed.show(4 * M + 8192);
        seed.control(MADV_INVAL, 0, 4 * M + 8192, 4096);
        seed.show(4 * M + 8192);
      }),
      xlen,
    );
    expect(machine.finish(process)).toMatchObject({ signal: 11 });
    expect(machine.output()).toBe('4M+8192: 2\n4M+8192: 2\n');
  });

  test('finds a zero page behind a frame beyond the mapping', () => {
    runBody(
      (host) => {
        const seed = new Seed(host);
        buildTables(seed);
        seed.store(4096 + 8, 8192 * 4096);
        expect(seed.load(4 * M + 8192)).toBe(0);
      },
      xlen,
      G0,
    );
  });
});

/** Kills a process by a load at `offset` after `prepare`, and returns its exit status. */
function killedBy(prepare: (seed: Seed) => void, offset: number, xlen: 32 | 64): unknown {
  const machine = boot(G5);
  const body = plain((host) => {
    const seed = new Seed(host);
    prepare(seed);
    seed.load(offset);
  });
  return machine.finish(machine.kernel.spawnBody('seed', body, xlen));
}

describe('the same program with today’s 32-bit format', () => {
  const prepare = (seed: Seed): void => {
    seed.control(MADV_SETMAP, V | RW | LARGE); // a linear view to fill the tables through
    seed.store(0, 0x83);
    seed.store(4, 0x1003);
    seed.store(4096, 0x40_0003);
    seed.store(4096 + 4, 0x40_0003);
    seed.control(MADV_SETMAP, V | RW);
  };

  test('every access is SIGSEGV before the first SETMAP', () => {
    expect(killedBy(() => undefined, 0, 32)).toMatchObject({ signal: 11, refusal: 'virtual page table: not-valid at level 2' });
  });

  test('the accesses mark the entries they pass', () => {
    runBody(
      (host) => {
        const seed = new Seed(host);
        prepare(seed);
        seed.store(4 * M, 23);
        expect([seed.load(4), seed.load(4096)]).toEqual([0x1063, 0x40_0063]);
        expect([seed.load(4 * M), seed.load(4 * M + 4096)]).toEqual([23, 23]);
        expect(seed.load(4096 + 4)).toBe(0x40_0023);
        seed.store(4096 + 8, 0x003);
        expect(host.memory.load8(seed.ptr + 4 * M + 8192)).toBe(0xe3);
        expect(seed.load(4096 + 8)).toBe(0x023);
        seed.store(4 * M + 4096, 24);
        expect(seed.load(4 * M)).toBe(24);
        expect(seed.load(4096 + 4)).toBe(0x40_0063);
      },
      32,
      G5,
    );
  });

  test.each([4 * M + 8192, 8 * M])('a load at %i is SIGSEGV', (offset) => {
    expect(killedBy(prepare, offset, 32)).toMatchObject({ signal: 11 });
  });

  test('an entry that is cleared is readable until INVAL, then SIGSEGV', () => {
    const clear = (seed: Seed): void => {
      prepare(seed);
      seed.store(4096 + 8, 0x003);
      seed.load(4 * M + 8192);
      seed.store(4096 + 8, 0);
      expect(seed.load(4 * M + 8192) & 0xff).toBe(0xe3);
      seed.control(MADV_INVAL, 0, 4 * M + 8192, 4096);
    };
    expect(killedBy(clear, 4 * M + 8192, 32)).toMatchObject({ signal: 11 });
  });
});

describe('the same program with today’s 64-bit format', () => {
  const prepare = (seed: Seed): void => {
    seed.control(MADV_SETMAP, V | RW | LARGE);
    seed.store(0, 0x1003); // level 3 -> 2 -> 1
    seed.store(4096, 0x2003);
    seed.store(8192, 0x83); // 2 MiB of linear window
    seed.store(8192 + 8, 0x3003);
    seed.store(12288, 0x20_0003);
    seed.store(12288 + 8, 0x20_0003);
    seed.control(MADV_SETMAP, V | RW);
  };

  test('a store marks all four entries on its path', () => {
    runBody(
      (host) => {
        const seed = new Seed(host);
        prepare(seed);
        seed.store(2 * M, 23);
        expect([0, 4096, 8192 + 8, 12288].map((at) => seed.load(at) & 0xff)).toEqual([0x63, 0x63, 0x63, 0x63]);
        expect([seed.load(2 * M), seed.load(2 * M + 4096)]).toEqual([23, 23]);
        expect(seed.load(12288 + 8)).toBe(0x20_0023);
        seed.store(16, 0x1234); // through the window: now its entry is marked modified
        seed.store(12288 + 16, 0x2003); // frame 2 as data: the page with the window's entry
        expect(host.memory.load8(seed.ptr + 2 * M + 8192)).toBe(0xe3);
        seed.store(2 * M + 4096, 24);
        expect(seed.load(2 * M)).toBe(24);
      },
      64,
      G5,
    );
  });

  test.each([2 * M + 8192, 4 * M])('a load at %i is SIGSEGV', (offset) => {
    expect(killedBy(prepare, offset, 64)).toMatchObject({ signal: 11 });
  });
});
