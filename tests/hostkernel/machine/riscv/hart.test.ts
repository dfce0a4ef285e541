/** What a kernel relies on: causes, precision of traps, the budget, counters. */

import { describe, expect, test } from 'vitest';
import { READ, WRITE, EXEC } from '../../../../hostkernel/base/units.ts';
import {
  TRAP_BREAKPOINT,
  TRAP_BUDGET,
  TRAP_ECALL,
  TRAP_FETCH_ACCESS,
  TRAP_FETCH_PAGE,
  TRAP_ILLEGAL,
  TRAP_LOAD_ACCESS,
  TRAP_LOAD_MISALIGNED,
  TRAP_LOAD_PAGE,
  TRAP_STORE_ACCESS,
  TRAP_STORE_MISALIGNED,
  TRAP_STORE_PAGE,
} from '../../../../hostkernel/machine/index.ts';
import type { HostFrame } from '../../../../hostkernel/base/units.ts';
import { RW, RX, Rig, code } from '../rig.ts';
import * as asm from './assembler.ts';

const CODE = 0x10000;
const DATA = 0x40000;
const NOWHERE = 0x123000;

/** A hart at CODE with `words` to execute and a page of data. */
function rigWith(words: readonly number[], xlen: 32 | 64 = 64): Rig {
  const rig = new Rig({ xlen });
  rig.put(rig.mapNew(CODE, 1, RX), 0, code(words));
  rig.mapNew(DATA, 1, RW);
  rig.machine.hart.setPc(CODE);
  return rig;
}

describe.each([64, 32] as const)('traps, RV%i', (xlen) => {
  const cases: readonly (readonly [name: string, word: number, x6: number, cause: number, tval: number | null])[] = [
    ['ecall', asm.ECALL, 0, TRAP_ECALL, null],
    ['ebreak', asm.EBREAK, 0, TRAP_BREAKPOINT, null],
    ['no instruction', 0xffff_ffff | 0, 0, TRAP_ILLEGAL, 0xffff_ffff],
    ['mret', 0x3020_0073, 0, TRAP_ILLEGAL, 0x3020_0073],
    ['sstatus', asm.csrrs(5, 0x100, 0), 0, TRAP_ILLEGAL, asm.csrrs(5, 0x100, 0)],
    ['write to a counter', asm.csrrw(5, 0xc00, 6) | 0, 0, TRAP_ILLEGAL, asm.csrrw(5, 0xc00, 6) >>> 0],
    ['load from nowhere', asm.lw(5, 4, 6), NOWHERE, TRAP_LOAD_PAGE, NOWHERE + 4],
    ['store to nowhere', asm.sw(5, 4, 6), NOWHERE, TRAP_STORE_PAGE, NOWHERE + 4],
    ['store to code', asm.sw(5, 0, 6), CODE, TRAP_STORE_PAGE, CODE],
    ['lr from nowhere', asm.amo(2, 2, 5, 6, 0), NOWHERE, TRAP_LOAD_PAGE, NOWHERE],
    ['amo to nowhere', asm.amo(0, 2, 5, 6, 7), NOWHERE, TRAP_STORE_PAGE, NOWHERE],
    ['misaligned lr', asm.amo(2, 2, 5, 6, 0), DATA + 2, TRAP_LOAD_MISALIGNED, DATA + 2],
    ['misaligned sc', asm.amo(3, 2, 5, 6, 7), DATA + 1, TRAP_STORE_MISALIGNED, DATA + 1],
    ['misaligned amo', asm.amo(0, 2, 5, 6, 7), DATA + 2, TRAP_STORE_MISALIGNED, DATA + 2],
    ['fadd with reserved rounding mode 5', asm.rType(0x53, 5, 0, 1, 2, 3), 0, TRAP_ILLEGAL, asm.rType(0x53, 5, 0, 1, 2, 3)],
    ['fmadd with half precision', asm.rType(0x43, 0, 2, 1, 2, 3), 0, TRAP_ILLEGAL, asm.rType(0x43, 0, 2, 1, 2, 3)],
  ];
  test.each(cases)('%s', (_name, word, x6, cause, tval) => {
    const rig = rigWith([asm.NOP, asm.C_NOP, word, asm.NOP], xlen);
    rig.setX(5, 55);
    rig.setX(6, x6);
    const { hart } = rig.machine;
    expect(hart.run(100)).toBe(cause);
    expect(hart.pc).toBe(CODE + 6);
    expect(hart.retired).toBe(2);
    expect(rig.x(5)).toBe(55n);
    if (tval !== null) expect(hart.tval).toBe(tval >>> 0);
  });

  test('a page fault says which access it was', () => {
    for (const [word, access] of [
      [asm.lw(5, 0, 6), READ],
      [asm.sw(5, 0, 6), WRITE],
      [asm.jalr(1, 6, 0), EXEC],
    ] as const) {
      const rig = rigWith([word], xlen);
      rig.setX(6, NOWHERE);
      rig.machine.hart.run(10);
      expect(rig.machine.hart.access).toBe(access);
    }
  });

  test('a jump to nowhere retires, and the target faults', () => {
    const rig = rigWith([asm.jalr(1, 6, 1)], xlen);
    rig.setX(6, NOWHERE + 2);
    const { hart } = rig.machine;
    expect(hart.run(10)).toBe(TRAP_FETCH_PAGE);
    expect([hart.pc, hart.tval, hart.retired]).toEqual([NOWHERE + 2, NOWHERE + 2, 1]);
    expect(rig.x(1)).toBe(BigInt(CODE + 4));
  });

  test('tables that name memory beyond the RAM are access faults', () => {
    const rig = rigWith([asm.lw(5, 0, 6), asm.sw(5, 0, 6), asm.jalr(0, 6, 0)], xlen);
    const { hart, ram } = rig.machine;
    rig.map(NOWHERE, ram.frames as HostFrame, RW | EXEC);
    rig.setX(6, NOWHERE);
    for (const cause of [TRAP_LOAD_ACCESS, TRAP_STORE_ACCESS, TRAP_FETCH_ACCESS]) {
      expect(hart.run(10)).toBe(cause);
      expect(hart.tval).toBe(NOWHERE);
      hart.setPc(hart.pc + 4);
    }
  });

  test('after the kernel has repaired a fault the instruction runs again', () => {
    const rig = rigWith([asm.lw(5, 8, 6), asm.ECALL], xlen);
    rig.setX(6, NOWHERE);
    const { hart, ram } = rig.machine;
    expect(hart.run(10)).toBe(TRAP_LOAD_PAGE);
    const frame = rig.mapNew(NOWHERE, 1, RW);
    ram.i32[ram.offsetOf(frame) / 4 + 2] = 42;
    expect(hart.run(10)).toBe(TRAP_ECALL);
    expect(rig.x(5)).toBe(42n);
  });
});

describe('addresses of 64 bits', () => {
  test.each([
    ['above the lower half', 1n << 38n],
    ['not canonical', (1n << 40n) | BigInt(DATA)],
    ['only bit 32 more than a mapped page', (1n << 32n) | BigInt(DATA)],
    ['all ones', (1n << 64n) - 8n],
  ])('%s: a load and a jump fault', (_name, address) => {
    const rig = rigWith([asm.ld(5, 0, 7), asm.ld(5, 0, 6), asm.jalr(0, 6, 0)]);
    rig.setX(7, DATA); // now the page is in the TLB
    rig.setX(6, address);
    const { hart } = rig.machine;
    expect(hart.run(10)).toBe(TRAP_LOAD_PAGE);
    expect((BigInt(hart.tvalHi >>> 0) << 32n) | BigInt(hart.tvalLo >>> 0)).toBe(address);
    hart.setPc(CODE + 8);
    expect(hart.run(10)).toBe(TRAP_FETCH_PAGE);
    expect((BigInt(hart.tvalHi >>> 0) << 32n) | BigInt(hart.tvalLo >>> 0)).toBe(address & ~1n);
    expect((BigInt(hart.pcHi >>> 0) << 32n) | BigInt(hart.pcLo >>> 0)).toBe(address & ~1n);
  });

  test('an offset carries into the upper half', () => {
    const rig = rigWith([asm.ld(5, 16, 6), asm.ld(7, -16, 8), asm.sd(5, -8, 8), asm.ECALL]);
    const high = rig.mapNew(0x1_0000_0000, 1, RW);
    const low = rig.mapNew(0xffff_f000, 1, RW);
    const { hart, ram } = rig.machine;
    ram.i32[ram.offsetOf(high) / 4 + 2] = 11;
    ram.i32[ram.offsetOf(low) / 4 + 1022] = 22;
    rig.setX(6, 0xffff_fff8);
    rig.setX(8, 0x1_0000_0008);
    expect(hart.run(10)).toBe(TRAP_ECALL);
    expect([rig.x(5), rig.x(7), ram.i32[ram.offsetOf(high) / 4]]).toEqual([11n, 22n, 11]);
  });

  test('links and pc-relative addresses carry across 4 GiB', () => {
    const rig = rigWith([]);
    rig.put(rig.mapNew(0xffff_f000, 1, RX), 0xff8, code([asm.auipc(5, 0x1000), asm.jal(1, 4)]));
    rig.put(rig.mapNew(0x1_0000_0000, 1, RX), 0, code([asm.auipc(6, -0x1000), asm.ECALL]));
    const { hart } = rig.machine;
    hart.setPc(0xffff_fff8);
    expect(hart.run(10)).toBe(TRAP_ECALL);
    expect([rig.x(5), rig.x(1), rig.x(6)]).toEqual([0x1_0000_0ff8n, 0x1_0000_0000n, 0xffff_f000n]);
    expect(hart.pc).toBe(0x1_0000_0004);
  });
});

test('RV32 over sv39 uses addresses of 32 bits, zero-extended', () => {
  const rig = new Rig({ xlen: 32, format: 'sv39' });
  rig.put(rig.mapNew(CODE, 1, RX), 0, code([asm.lw(5, -4, 6), asm.lw(7, 4, 8), asm.ECALL]));
  const top = rig.mapNew(0xffff_f000, 1, RW);
  const { hart, ram } = rig.machine;
  ram.i32[ram.offsetOf(top) / 4 + 1023] = 9;
  const bottom = rig.mapNew(0, 1, RW);
  ram.i32[ram.offsetOf(bottom) / 4] = 8;
  rig.setX(6, 0n); // upper halves of registers mean nothing
  rig.setX(8, 0xffff_fffcn | (7n << 32n));
  hart.setPc(CODE);
  expect(hart.run(10)).toBe(TRAP_ECALL);
  expect([rig.x(5), rig.x(7)]).toEqual([9n, 8n]);
  expect(rig.context.lookup(2 ** 32 + CODE, READ)).toBe(-1);
});

test('whatever a kernel puts into x0 and the pc, x0 is 0 and the pc even', () => {
  const rig = rigWith([asm.add(5, 0, 6), asm.EBREAK]);
  const { hart } = rig.machine;
  hart.x.fill(-1);
  hart.pcLo = CODE + 1;
  rig.setX(6, 7);
  expect(hart.run(10)).toBe(TRAP_BREAKPOINT);
  expect([rig.x(5), hart.pc]).toEqual([7n, CODE + 4]);
});

describe('budget', () => {
  const LOOP = [asm.addi(5, 5, 1), asm.addi(6, 6, 2), asm.bne(5, 7, -8), asm.ECALL];

  test('exactly so many instructions retire', () => {
    for (const budget of [0, 1, 2, 3, 4, 100, 2999]) {
      const rig = rigWith(LOOP);
      rig.setX(7, 1000);
      expect(rig.machine.hart.run(budget)).toBe(TRAP_BUDGET);
      expect(rig.machine.hart.retired).toBe(budget);
    }
  });

  test('a trap that comes with the last instruction is not lost', () => {
    const rig = rigWith(LOOP);
    rig.setX(7, 1000);
    expect(rig.machine.hart.run(3000)).toBe(TRAP_BUDGET);
    expect(rig.machine.hart.run(1)).toBe(TRAP_ECALL);
    expect(rig.machine.hart.retired).toBe(3000);
  });

  test('a budget longer than the interpreter counts is run in several goes', () => {
    const rig = rigWith([asm.ECALL]);
    expect(rig.machine.hart.run(2 ** 40)).toBe(TRAP_ECALL);
    expect(rig.machine.hart.run(Infinity)).toBe(TRAP_ECALL);
  });

  test('with no budget left the next page is not touched', () => {
    const rig = rigWith([asm.jalr(0, 6, 0)]);
    rig.setX(6, NOWHERE);
    expect(rig.machine.hart.run(1)).toBe(TRAP_BUDGET);
    expect(rig.machine.hart.pc).toBe(NOWHERE);
    expect(rig.machine.hart.run(1)).toBe(TRAP_FETCH_PAGE);
  });
});

describe('counters', () => {
  test('instret and cycle count instructions, time adds what was charged', () => {
    const rig = rigWith([asm.NOP, asm.csrrs(5, 0xc02, 0), asm.csrrs(6, 0xc00, 0), asm.csrrs(7, 0xc01, 0), asm.ECALL]);
    rig.machine.clock.charge(2 ** 33);
    expect(rig.machine.hart.run(2)).toBe(TRAP_BUDGET);
    expect(rig.machine.hart.run(10)).toBe(TRAP_ECALL);
    expect([rig.x(5), rig.x(6), rig.x(7)]).toEqual([1n, 2n, 2n ** 33n + 3n]);
    expect(rig.machine.clock.now()).toBe(2 ** 33 + 4);
  });

  test('RV32 reads them in two halves', () => {
    const rig = rigWith([asm.csrrs(5, 0xc01, 0), asm.csrrs(6, 0xc81, 0), asm.ECALL], 32);
    rig.machine.clock.charge(2 ** 33 + 5);
    expect(rig.machine.hart.run(10)).toBe(TRAP_ECALL);
    expect([rig.x(5), rig.x(6)]).toEqual([5n, 2n]);
  });

  test('RV64 has no upper halves', () => {
    expect(rigWith([asm.csrrs(5, 0xc81, 0)]).machine.hart.run(10)).toBe(TRAP_ILLEGAL);
  });
});

describe('floating-point state', () => {
  test('a dynamic rounding mode that is invalid is illegal, and nothing is written', () => {
    const add = asm.rType(0x53, 7, 0, 1, 2, 3);
    for (const frm of [5, 6, 7]) {
      const rig = rigWith([add]);
      rig.machine.hart.fcsr = frm << 5;
      expect(rig.machine.hart.run(10)).toBe(TRAP_ILLEGAL);
      expect([rig.machine.hart.tval, rig.machine.hart.fpDirty]).toEqual([add, false]);
    }
  });

  test('fcsr is frm and fflags', () => {
    const rig = rigWith([asm.csrrw(5, 3, 6), asm.csrrs(7, 1, 0), asm.csrrs(8, 2, 0), asm.ECALL]);
    rig.setX(6, 0xfff);
    expect(rig.machine.hart.run(10)).toBe(TRAP_ECALL);
    expect([rig.x(5), rig.x(7), rig.x(8), BigInt(rig.machine.hart.fcsr)]).toEqual([0n, 31n, 7n, 255n]);
    expect(rig.machine.hart.fpDirty).toBe(true);
  });

  test('integer work and comparisons without flags leave fpDirty alone', () => {
    const feq = asm.rType(0x53, 2, 0x51, 5, 1, 2);
    const rig = rigWith([feq, asm.fsd(1, 0, 6), asm.ECALL]);
    rig.setX(6, DATA);
    expect(rig.machine.hart.run(10)).toBe(TRAP_ECALL);
    expect([rig.machine.hart.fpDirty, rig.x(5)]).toEqual([false, 1n]);
  });

  test('a single that is not boxed counts as NaN, but is moved and stored as it is', () => {
    const add = asm.rType(0x53, 0, 0, 3, 1, 2);
    const move = asm.rType(0x53, 0, 0x70, 5, 1, 0);
    const rig = rigWith([add, move, asm.ECALL]);
    rig.machine.hart.f[2] = 0x3f80_0000;
    rig.machine.hart.f[3] = 0;
    rig.machine.hart.f.set([0x3f80_0000, -1], 4);
    expect(rig.machine.hart.run(10)).toBe(TRAP_ECALL);
    expect([rig.machine.hart.f[6], rig.machine.hart.f[7], rig.x(5)]).toEqual([0x7fc0_0000, -1, 0x3f80_0000n]);
  });
});
