/** Memory accesses off the fast path: misaligned, on two pages, to code, atomic. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EXEC, READ, WRITE, type HostFrame } from '../../../../hostkernel/base/units.ts';
import { TRAP_ECALL, TRAP_FETCH_PAGE, TRAP_LOAD_PAGE, TRAP_STORE_PAGE } from '../../../../hostkernel/machine/index.ts';
import { RW, RWX, RX, Rig, code } from '../rig.ts';
import * as asm from './assembler.ts';

const CODE = 0x10000;
const DATA = 0x40000;

function rigWith(words: readonly number[], xlen: 32 | 64 = 64): Rig {
  const rig = new Rig({ xlen });
  rig.put(rig.mapNew(CODE, 1, RWX), 0, code(words));
  rig.machine.hart.setPc(CODE);
  return rig;
}

/** Maps two pages at DATA whose frames do not follow each other, and fills them with what `byteAt` says. */
function twoPages(rig: Rig): { bytes: (start: number, length: number) => number[] } {
  const second = rig.frame();
  const first = rig.frame();
  rig.map(DATA, first, RW);
  rig.map(DATA + 4096, second, RW);
  const { ram } = rig.machine;
  const at = (i: number): number => ram.offsetOf(i < 4096 ? first : second) + (i & 4095);
  for (let i = 0; i < 8192; i++) ram.u8[at(i)] = byteAt(i);
  return { bytes: (start, length) => Array.from({ length }, (_, i) => ram.u8[at(start + i)]) };
}

const byteAt = (i: number): number => (i * 7 + (i >> 8) * 3 + 0x81) & 255;

const LOADS = [
  ['lb', 0, 1, true],
  ['lh', 1, 2, true],
  ['lw', 2, 4, true],
  ['ld', 3, 8, true],
  ['lbu', 4, 1, false],
  ['lhu', 5, 2, false],
  ['lwu', 6, 4, false],
] as const;

describe.each([64, 32] as const)('RV%i', (xlen) => {
  for (const [name, funct3, bytes, isSigned] of LOADS.filter(([load]) => xlen === 64 || (load !== 'ld' && load !== 'lwu'))) {
    test(`${name} from any address, on two pages too`, () => {
      const rig = rigWith([asm.iType(0x03, funct3, 5, 6, -4), asm.ECALL], xlen);
      twoPages(rig);
      const addresses = fc.oneof(fc.integer({ min: 0, max: 8184 }), fc.integer({ min: 4088, max: 4100 }));
      fc.assert(
        fc.property(addresses, (address) => {
          rig.setX(6, DATA + address + 4);
          rig.machine.hart.setPc(CODE);
          expect(rig.machine.hart.run(10)).toBe(TRAP_ECALL);
          let value = 0n;
          for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(byteAt(address + i));
          expect(rig.x(5)).toBe(BigInt.asUintN(xlen, isSigned ? BigInt.asIntN(bytes * 8, value) : value));
        }),
      );
    });
  }

  for (const [name, funct3, bytes] of (
    [
      ['sb', 0, 1],
      ['sh', 1, 2],
      ['sw', 2, 4],
      ['sd', 3, 8],
    ] as const
  ).filter(([store]) => xlen === 64 || store !== 'sd')) {
    test(`${name} to any address, on two pages too`, () => {
      const rig = rigWith([asm.sType(0x23, funct3, 6, 5, 8), asm.ECALL], xlen);
      const addresses = fc.oneof(fc.integer({ min: 8, max: 8176 }), fc.integer({ min: 4080, max: 4100 }));
      fc.assert(
        fc.property(addresses, (address) => {
          const { bytes: read } = twoPages(rig);
          rig.setX(5, 0x1122_3344_5566_7788n);
          rig.setX(6, DATA + address - 8);
          rig.machine.hart.setPc(CODE);
          expect(rig.machine.hart.run(10)).toBe(TRAP_ECALL);
          const stored = [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11].slice(0, bytes);
          expect(read(address - 8, 24)).toEqual(
            Array.from({ length: 24 }, (_, i) => (i >= 8 && i < 8 + bytes ? stored[i - 8] : byteAt(address - 8 + i))),
          );
        }),
        { numRuns: 40 },
      );
    });
  }
});

describe('an access on two pages of which the second is missing', () => {
  test('a load reports the second page', () => {
    const rig = rigWith([asm.ld(5, 0, 6)]);
    rig.mapNew(DATA, 1, RW);
    rig.setX(5, 55);
    rig.setX(6, DATA + 4093);
    expect(rig.machine.hart.run(10)).toBe(TRAP_LOAD_PAGE);
    expect([rig.machine.hart.tval, rig.machine.hart.pc, rig.x(5)]).toEqual([DATA + 4096, CODE, 55n]);
  });

  test('a store writes nothing', () => {
    const rig = rigWith([asm.sd(5, 0, 6)]);
    const { ram, hart } = rig.machine;
    const frame = rig.mapNew(DATA, 1, RW);
    rig.map(DATA + 4096, rig.frame(), READ);
    rig.setX(5, -1);
    rig.setX(6, DATA + 4093);
    expect(hart.run(10)).toBe(TRAP_STORE_PAGE);
    expect([hart.tval, ram.u8[ram.offsetOf(frame) + 4093]]).toEqual([DATA + 4096, 0]);
  });

  test('a page missing at first is the one reported', () => {
    const rig = rigWith([asm.ld(5, 0, 6)]);
    rig.mapNew(DATA + 4096, 1, RW);
    rig.setX(6, DATA + 4093);
    expect(rig.machine.hart.run(10)).toBe(TRAP_LOAD_PAGE);
    expect(rig.machine.hart.tval).toBe(DATA + 4093);
  });
});

describe('an instruction on two pages', () => {
  test.each([64, 32] as const)('is executed, as often as it comes (RV%i)', (xlen) => {
    const rig = new Rig({ xlen });
    rig.map(CODE + 4096, rig.frame(), RX);
    rig.map(CODE, rig.frame(), RX);
    const { hart } = rig.machine;
    const bytes = code([asm.addi(6, 6, 1), asm.C_NOP, asm.addi(5, 5, 3), asm.bne(6, 7, -10), asm.ECALL]); // the second addi is on both
    write(rig, CODE + 4096 - 8, bytes);
    rig.setX(7, 5);
    hart.setPc(CODE + 4096 - 8);
    expect(hart.run(1000)).toBe(TRAP_ECALL);
    expect([rig.x(5), rig.x(6), hart.retired]).toEqual([15n, 5n, 20]);
  });

  test('jumps relative to its first half', () => {
    const rig = rigWith([]);
    rig.mapNew(CODE + 4096, 1, RX);
    write(rig, CODE + 4094, code([asm.jal(1, 0x402)]));
    write(rig, CODE + 4096 + 0x400, code([asm.ECALL]));
    rig.machine.hart.setPc(CODE + 4094);
    expect(rig.machine.hart.run(10)).toBe(TRAP_ECALL);
    expect([rig.machine.hart.pc, rig.x(1)]).toEqual([CODE + 4096 + 0x400, BigInt(CODE + 4098)]);
  });

  test('faults at the second page with the pc of the instruction', () => {
    const rig = rigWith([]);
    write(rig, CODE + 4092, code([asm.C_NOP, asm.addi(5, 5, 3)]).slice(0, 4));
    const { hart } = rig.machine;
    hart.setPc(CODE + 4092);
    expect(hart.run(10)).toBe(TRAP_FETCH_PAGE);
    expect([hart.pc, hart.tval, hart.access, hart.retired]).toEqual([CODE + 4094, CODE + 4096, EXEC, 1]);
    rig.mapNew(CODE + 4096, 1, RX);
    write(rig, CODE + 4096, code([asm.addi(5, 5, 3), asm.ECALL]).slice(2));
    expect(hart.run(10)).toBe(TRAP_ECALL);
    expect(rig.x(5)).toBe(3n);
  });

  test('takes its second half from the address space it runs in', () => {
    const rig = rigWith([]);
    const other = rig.space();
    const { hart, ram } = rig.machine;
    const first = ((rig.context.lookup(CODE, EXEC) - ram.base) / 4096) as HostFrame;
    rig.map(CODE, first, RX, other);
    write(rig, CODE + 4094, code([asm.addi(5, 0, 3)]).slice(0, 2));
    for (const [context, imm] of [
      [rig.context, 3],
      [other, 4],
    ] as const) {
      const frame = rig.frame();
      rig.map(CODE + 4096, frame, RX, context);
      rig.put(frame, 0, code([asm.addi(5, 0, imm), asm.ECALL]).slice(2));
    }
    for (const [context, imm] of [
      [rig.context, 3n],
      [other, 4n],
      [rig.context, 3n],
    ] as const) {
      hart.activate(context, 64);
      hart.setPc(CODE + 4094);
      expect(hart.run(10)).toBe(TRAP_ECALL);
      expect(rig.x(5)).toBe(imm);
    }
  });
});

/** Writes through the tables of the rig's own space, as a kernel does. */
function write(rig: Rig, va: number, bytes: Uint8Array): void {
  bytes.forEach((byte, i) => {
    const offset = rig.context.lookup(va + i, EXEC);
    rig.machine.ram.u8[offset] = byte;
    rig.machine.hart.invalidateCode(((offset - rig.machine.ram.base) >>> 12) as HostFrame);
  });
}

describe('stores to code', () => {
  const patch = asm.addi(5, 5, 100);

  test.each([64, 32] as const)('are seen by the next execution (RV%i)', (xlen) => {
    // twice round: the first time x5 += 1, then the instruction at +8 becomes x5 += 100
    const rig = rigWith(
      [asm.NOP, asm.NOP, asm.addi(5, 5, 1), asm.sw(6, 8, 8), asm.FENCE_I, asm.addi(7, 7, -1), asm.bne(7, 0, -16), asm.ECALL],
      xlen,
    );
    rig.setX(6, patch);
    rig.setX(7, 3);
    rig.setX(8, CODE);
    expect(rig.machine.hart.run(100)).toBe(TRAP_ECALL);
    expect(rig.x(5)).toBe(201n);
    rig.machine.mmu.assertInvariants();
  });

  test('data beside code can be written without decoding the code again', () => {
    const rig = rigWith([asm.addi(5, 5, 1), asm.sw(5, 2044, 8), asm.bne(5, 7, -8), asm.ECALL]);
    rig.setX(7, 500);
    rig.setX(8, CODE);
    expect(rig.machine.hart.run(1e4)).toBe(TRAP_ECALL);
    expect(rig.machine.hart.code.claims).toBe(1);
    expect(rig.machine.mmu.walks).toBeGreaterThan(400); // each store goes the slow way
  });

  test('through another mapping, in another space, of a frame that was written before', () => {
    const rig = rigWith([asm.addi(5, 5, 1), asm.ECALL]);
    const writer = rig.space();
    const { hart, ram } = rig.machine;
    const frame = ((rig.context.lookup(CODE, EXEC) - ram.base) / 4096) as HostFrame;
    rig.map(DATA, frame, RW, writer);
    const stub = rig.frame();
    rig.map(CODE + 4096, stub, RX, writer);
    rig.put(stub, 0, code([asm.sw(6, 0, 8), asm.ECALL]));
    rig.setX(6, asm.addi(5, 5, 1));
    rig.setX(8, DATA);
    const call = (context: typeof writer, pc: number): void => {
      hart.activate(context, 64);
      hart.setPc(pc);
      expect(hart.run(10)).toBe(TRAP_ECALL);
    };
    call(writer, CODE + 4096); // a write tag for the frame is now in the TLB
    call(rig.context, CODE); // decoding takes it away
    rig.machine.mmu.assertInvariants();
    rig.setX(6, patch);
    call(writer, CODE + 4096);
    call(rig.context, CODE);
    expect(rig.x(5)).toBe(101n);
  });

  test('by TypeScript, through lookup', () => {
    const rig = rigWith([asm.addi(5, 5, 1), asm.ECALL]);
    const { hart, ram } = rig.machine;
    expect(hart.run(10)).toBe(TRAP_ECALL);
    const offset = rig.context.lookup(CODE, WRITE);
    ram.i32[offset / 4] = patch;
    hart.setPc(CODE);
    expect(hart.run(10)).toBe(TRAP_ECALL);
    expect(rig.x(5)).toBe(101n);
    ram.i32[rig.context.lookup(CODE, WRITE) / 4] = asm.NOP; // and once more, now that it had been cached
    hart.setPc(CODE);
    expect(hart.run(10)).toBe(TRAP_ECALL);
    expect(rig.x(5)).toBe(101n);
  });

  test('by the kernel, which says so', () => {
    const rig = rigWith([asm.addi(5, 5, 1), asm.ECALL]);
    const { hart } = rig.machine;
    expect(hart.run(10)).toBe(TRAP_ECALL);
    const frame = ((rig.context.lookup(CODE, EXEC) - rig.machine.ram.base) / 4096) as HostFrame;
    rig.put(frame, 0, code([patch]));
    hart.setPc(CODE);
    expect(hart.run(10)).toBe(TRAP_ECALL);
    expect(rig.x(5)).toBe(101n);
  });

  test('the second half of an instruction counts', () => {
    const rig = rigWith([asm.addi(5, 5, 1), asm.sh(6, 2, 8), asm.ECALL]);
    rig.setX(6, patch >>> 16);
    rig.setX(8, CODE);
    for (let i = 0; i < 2; i++) {
      rig.machine.hart.setPc(CODE);
      expect(rig.machine.hart.run(10)).toBe(TRAP_ECALL);
    }
    expect(rig.x(5)).toBe(101n);
  });

  test('the end of a store that begins in the page before counts', () => {
    const rig = rigWith([asm.addi(5, 5, 1), asm.sd(6, 0, 8), asm.ECALL]);
    rig.mapNew(CODE - 4096, 1, RW);
    rig.setX(6, BigInt(patch) << 32n);
    rig.setX(8, CODE - 4);
    for (let i = 0; i < 2; i++) {
      rig.machine.hart.setPc(CODE);
      expect(rig.machine.hart.run(10)).toBe(TRAP_ECALL);
    }
    expect(rig.x(5)).toBe(101n);
  });

  test('the same frame runs as RV32 and as RV64', () => {
    const rig = rigWith([0x32fd, asm.ECALL]); // c.addiw x5, -1, or c.jal
    const { hart } = rig.machine;
    const frame = ((rig.context.lookup(CODE, EXEC) - rig.machine.ram.base) / 4096) as HostFrame;
    const narrow = rig.space();
    rig.map(CODE, frame, RX, narrow);
    expect(hart.run(10)).toBe(TRAP_ECALL);
    expect(rig.x(5)).toBe(2n ** 64n - 1n);
    hart.activate(narrow, 32);
    hart.setPc(CODE);
    expect(hart.run(10)).toBe(TRAP_FETCH_PAGE); // it jumps in front of the page
    expect(hart.x[2]).toBe(CODE + 2);
    hart.activate(rig.context, 64);
    hart.setPc(CODE);
    expect(hart.run(10)).toBe(TRAP_ECALL);
    expect(rig.x(5)).toBe(2n ** 64n - 2n);
  });
});

describe('load-reserved and store-conditional', () => {
  const LR = asm.amo(2, 3, 5, 8, 0);
  const SC = asm.amo(3, 3, 6, 8, 7);

  function rigAt(words: readonly number[]): { rig: Rig; value: () => bigint; run: () => void } {
    const rig = rigWith([...words, asm.ECALL]);
    const frame = rig.mapNew(DATA, 1, RW);
    const { ram, hart } = rig.machine;
    rig.setX(8, DATA);
    rig.setX(7, 0x1_2345_6789n);
    const at = ram.offsetOf(frame) / 4;
    return {
      rig,
      value: () => (BigInt(ram.u32[at + 1]) << 32n) | BigInt(ram.u32[at]),
      run: () => {
        let cause: number;
        do cause = hart.run(1);
        while (cause === 32);
        expect(cause).toBe(TRAP_ECALL);
      },
    };
  }

  test('a pair succeeds, even if the budget ends between them', () => {
    const { rig, value, run } = rigAt([LR, asm.NOP, SC]);
    run();
    expect([rig.x(6), value()]).toEqual([0n, 0x1_2345_6789n]);
  });

  test('without a reservation it fails, and fails again after success', () => {
    const { rig, value, run } = rigAt([LR, SC, asm.addi(9, 6, 0), SC]);
    run();
    expect([rig.x(9), rig.x(6), value()]).toEqual([0n, 1n, 0x1_2345_6789n]);
  });

  test('a trap in between ends the reservation', () => {
    const { rig, value } = rigAt([LR, asm.EBREAK, SC]);
    const { hart } = rig.machine;
    hart.run(10);
    hart.setPc(hart.pc + 4);
    expect(hart.run(10)).toBe(TRAP_ECALL);
    expect([rig.x(6), value()]).toEqual([1n, 0n]);
  });

  test('a switch of address spaces ends the reservation', () => {
    const { rig, value } = rigAt([LR, SC]);
    const { hart } = rig.machine;
    hart.run(1);
    hart.activate(rig.context, 64);
    expect(hart.run(10)).toBe(TRAP_ECALL);
    expect([rig.x(6), value()]).toEqual([1n, 0n]);
  });

  test('a reservation elsewhere does not count', () => {
    const { rig, run } = rigAt([LR, asm.addi(8, 8, 8), SC]);
    run();
    expect(rig.x(6)).toBe(1n);
  });
});

describe('atomic operations', () => {
  const OPERATIONS: Readonly<Record<string, readonly [funct5: number, (old: bigint, operand: bigint, bits: number) => bigint]>> = {
    swap: [0x01, (_old, operand) => operand],
    add: [0x00, (old, operand) => old + operand],
    xor: [0x04, (old, operand) => old ^ operand],
    or: [0x08, (old, operand) => old | operand],
    and: [0x0c, (old, operand) => old & operand],
    min: [0x10, (old, operand, bits) => (BigInt.asIntN(bits, old) < BigInt.asIntN(bits, operand) ? old : operand)],
    max: [0x14, (old, operand, bits) => (BigInt.asIntN(bits, old) > BigInt.asIntN(bits, operand) ? old : operand)],
    minu: [0x18, (old, operand, bits) => (BigInt.asUintN(bits, old) < BigInt.asUintN(bits, operand) ? old : operand)],
    maxu: [0x1c, (old, operand, bits) => (BigInt.asUintN(bits, old) > BigInt.asUintN(bits, operand) ? old : operand)],
  };
  const value = fc.oneof(
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    fc.constantFrom(0n, 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 63n, 2n ** 64n - 1n),
  );

  for (const [name, [funct5, operation]] of Object.entries(OPERATIONS)) {
    for (const [xlen, bits] of [
      [64, 64],
      [64, 32],
      [32, 32],
    ] as const) {
      test(`amo${name} of ${bits} bits, RV${xlen}`, () => {
        const rig = rigWith([asm.amo(funct5, bits === 64 ? 3 : 2, 5, 8, 7), asm.ECALL], xlen);
        const frame = rig.mapNew(DATA, 1, RW);
        const { ram, hart } = rig.machine;
        const at = ram.offsetOf(frame) / 4;
        fc.assert(
          fc.property(value, value, (old, operand) => {
            ram.u32[at] = Number(old & 0xffff_ffffn);
            ram.u32[at + 1] = Number(old >> 32n);
            rig.setX(7, operand);
            rig.setX(8, DATA);
            hart.setPc(CODE);
            expect(hart.run(5)).toBe(TRAP_ECALL);
            const cut = BigInt.asUintN(bits, operation(BigInt.asUintN(bits, old), BigInt.asUintN(bits, operand), bits));
            const left = bits === 64 ? cut : ((old >> 32n) << 32n) | BigInt.asUintN(32, cut);
            expect((BigInt(ram.u32[at + 1]) << 32n) | BigInt(ram.u32[at])).toBe(left);
            expect(rig.x(5)).toBe(BigInt.asUintN(xlen, BigInt.asIntN(bits, old)));
          }),
        );
      });
    }
  }
});
