/** Several harts: each has its own registers, translations and reservation, and what is invalidated is so for all. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type HostFrame, PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { type MmuContext, TRAP_BUDGET, TRAP_ECALL } from '../../../hostkernel/machine/index.ts';
import * as asm from './riscv/assembler.ts';
import { code, Rig, RW, RWX, RX } from './rig.ts';

const CODE = 0x10000;
const DATA = 0x40000;
const HARTS = [1, 2, 3, 4] as const;

/** Calls `visit` as every hart in turn, and ends as hart 0. */
function onEach(rig: Rig, visit: (hart: number) => void): void {
  for (let k = 0; k < rig.machine.harts; k++) {
    rig.machine.select(k);
    visit(k);
  }
  rig.machine.select(0);
}

describe.each(HARTS)('stale translations, %i harts', (harts) => {
  const changes: readonly (readonly [
    name: string,
    change: (rig: Rig, frame: HostFrame) => void,
    wanted: 'moved' | 'gone' | 'read-only',
  ])[] = [
    ['another frame, invalidatePage', (rig, frame) => rig.map(DATA, frame, RW), 'moved'],
    ['unmapped, invalidatePage', (rig) => rig.unmap(DATA), 'gone'],
    ['write-protected, invalidatePage', (rig) => rig.map(DATA, frameOf(rig), READ), 'read-only'],
    [
      'unmapped, invalidateRange',
      (rig) => {
        rig.machine.ram.i32[rig.entryAt(DATA)] = 0;
        rig.context.invalidateRange(DATA / PAGE_SIZE - 3, DATA / PAGE_SIZE + 1);
      },
      'gone',
    ],
    [
      'unmapped, a range of more pages than a TLB has',
      (rig) => {
        rig.machine.ram.i32[rig.entryAt(DATA)] = 0;
        rig.context.invalidateRange(0, 2 ** 27);
      },
      'gone',
    ],
    [
      'unmapped, invalidateAll',
      (rig) => {
        rig.machine.ram.i32[rig.entryAt(DATA)] = 0;
        rig.context.invalidateAll();
      },
      'gone',
    ],
    [
      'unmapped, released and used again',
      (rig) => {
        rig.machine.ram.i32[rig.entryAt(DATA)] = 0;
        rig.context.release();
      },
      'gone',
    ],
  ];

  function frameOf(rig: Rig): HostFrame {
    const at = rig.entryAt(DATA);
    return rig.format.frame(0, rig.machine.ram.i32[at], rig.machine.ram.i32[at + 1]) as HostFrame;
  }

  test.each(changes)('%s', (_name, change, wanted) => {
    for (let from = 0; from < harts; from++) {
      const rig = new Rig({ harts });
      const { ram } = rig.machine;
      const old = rig.mapNew(DATA, 1, RW);
      const next = rig.frame();
      onEach(rig, () => {
        expect(rig.context.lookup(DATA, READ)).toBe(ram.offsetOf(old));
        expect(rig.context.lookup(DATA, WRITE)).toBe(ram.offsetOf(old));
      });
      rig.machine.select(from);
      change(rig, next);
      onEach(rig, () => {
        expect(rig.context.lookup(DATA, READ)).toBe(wanted === 'gone' ? -1 : ram.offsetOf(wanted === 'moved' ? next : old));
        expect(rig.context.lookup(DATA, WRITE)).toBe(wanted === 'moved' ? ram.offsetOf(next) : -1);
      });
      rig.machine.mmu.assertInvariants();
    }
  });

  test('a page that becomes code loses its write translations on every hart', () => {
    const rig = new Rig({ harts });
    const frame = rig.mapNew(CODE, 1, RWX);
    rig.put(frame, 0, code([asm.addi(5, 0, 1), asm.ECALL]));
    onEach(rig, () => {
      rig.machine.hart.activate(rig.context, 64);
      rig.context.lookup(CODE, WRITE);
    });
    const run = (): bigint => {
      rig.machine.hart.activate(rig.context, 64);
      rig.machine.hart.setPc(CODE);
      expect(rig.machine.hart.run(10)).toBe(TRAP_ECALL);
      return rig.x(5);
    };
    expect(run()).toBe(1n);
    onEach(rig, (k) => {
      const at = rig.context.lookup(CODE, WRITE); // drops what was decoded
      rig.machine.ram.i32[at >>> 2] = asm.addi(5, 0, k + 2);
      onEach(rig, () => expect(run()).toBe(BigInt(k + 2)));
      rig.machine.select(k);
      rig.machine.mmu.assertInvariants();
    });
  });

  test('any order of maps, unmaps, accesses and switches', () => {
    const step = fc.record({
      hart: fc.nat(harts - 1),
      kind: fc.constantFrom('read', 'write', 'map', 'unmap', 'protect', 'all', 'range'),
      page: fc.nat(5),
      space: fc.nat(19), // more than there are TLB blocks
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const rig = new Rig({ harts, ramBytes: 2 ** 21 });
        const spaces: MmuContext[] = [];
        const model: Map<number, { frame: HostFrame; rights: number }>[] = [];
        const frames = Array.from({ length: 4 }, () => rig.frame());
        for (const { hart, kind, page, space } of steps) {
          rig.machine.select(hart);
          const context = (spaces[space] ??= rig.space());
          const pages = (model[space] ??= new Map());
          const va = DATA + page * 2 ** 22; // all in one entry of the first part
          const now = pages.get(page);
          if (kind === 'read' || kind === 'write') {
            const may = now !== undefined && (kind === 'read' || (now.rights & WRITE) !== 0);
            expect(context.lookup(va, kind === 'read' ? READ : WRITE)).toBe(may ? rig.machine.ram.offsetOf(now.frame) : -1);
          } else if (kind === 'map') {
            const frame = frames[(page + space + pages.size) % frames.length];
            rig.map(va, frame, RW, context);
            pages.set(page, { frame, rights: RW });
          } else if (kind === 'unmap' || now === undefined) {
            rig.unmap(va, context);
            pages.delete(page);
          } else {
            const at = rig.entryAt(va, context);
            rig.machine.ram.i32[at] = rig.format.leafLo(0, now.frame, READ | 0x38);
            if (kind === 'protect') context.invalidatePage(va);
            else if (kind === 'range') context.invalidateRange(va / PAGE_SIZE, va / PAGE_SIZE + 1);
            else context.invalidateAll();
            pages.set(page, { frame: now.frame, rights: READ });
          }
          rig.machine.mmu.assertInvariants();
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('a hart of several', () => {
  test('keeps its registers, pc and address space while others run', () => {
    const rig = new Rig({ harts: 4 });
    rig.put(rig.mapNew(CODE, 1, RX), 0, code([asm.addi(5, 5, 1), asm.ECALL]));
    onEach(rig, (k) => {
      rig.machine.hart.activate(rig.context, 64);
      rig.machine.hart.setPc(CODE);
      rig.setX(5, 100 * k);
      rig.machine.hart.f[2] = k;
      rig.machine.hart.fcsr = k;
      expect(rig.machine.hart.run(1)).toBe(TRAP_BUDGET);
    });
    onEach(rig, (k) => {
      const { hart } = rig.machine;
      expect(hart.id).toBe(k);
      expect(hart.pc).toBe(CODE + 4);
      expect(rig.x(5)).toBe(BigInt(100 * k + 1));
      expect([hart.f[2], hart.fcsr]).toEqual([k, k]);
      expect(hart.run(1)).toBe(TRAP_ECALL);
    });
    expect(rig.machine.hart.retired).toBe(4);
  });

  test('loses its reservation to a store of another that restores the value', () => {
    const rig = new Rig({ harts: 2 });
    const data = rig.mapNew(DATA, 1, RW);
    const lr = asm.amo(2, 3, 5, 8, 0);
    const sc = asm.amo(3, 3, 6, 8, 7);
    rig.put(rig.mapNew(CODE, 1, RX), 0, code([lr, sc, asm.ECALL]));
    const { hart, ram } = rig.machine;
    hart.setPc(CODE);
    rig.setX(8, DATA);
    rig.setX(7, 99);
    expect(hart.run(1)).toBe(TRAP_BUDGET);
    rig.machine.select(1);
    ram.i32[ram.offsetOf(data) / 4] = 1;
    ram.i32[ram.offsetOf(data) / 4] = 0;
    rig.machine.select(0);
    expect(hart.run(2)).toBe(TRAP_ECALL);
    expect(rig.x(6)).toBe(1n); // the store conditional has failed
    expect(ram.i32[ram.offsetOf(data) / 4]).toBe(0);
  });

  test('executes its own instruction on two pages after another has executed a different one', () => {
    const rig = new Rig({ harts: 2 });
    const other = rig.space();
    const pages = [rig.mapNew(CODE, 2, RX), rig.frame()];
    rig.frame();
    const at = CODE + PAGE_SIZE - 2;
    const put = (first: HostFrame, second: HostFrame, word: number): void => {
      rig.put(first, PAGE_SIZE - 2, Uint8Array.of(word & 255, (word >>> 8) & 255));
      rig.put(second, 0, Uint8Array.of((word >>> 16) & 255, word >>> 24));
    };
    put(pages[0], (pages[0] + 1) as HostFrame, asm.addi(5, 5, 1));
    const lower = rig.frame();
    const upper = rig.frame();
    rig.map(CODE, lower, RX, other);
    rig.map(CODE + PAGE_SIZE, upper, RX, other);
    put(lower, upper, asm.addi(5, 5, 16));
    const step = (): void => {
      rig.machine.hart.setPc(at);
      expect(rig.machine.hart.run(1)).toBe(TRAP_BUDGET);
    };
    rig.machine.hart.activate(rig.context, 64);
    step();
    rig.machine.select(1);
    rig.machine.hart.activate(other, 64);
    step();
    rig.machine.select(0);
    step();
    expect(rig.x(5)).toBe(2n);
    rig.machine.select(1);
    expect(rig.x(5)).toBe(16n);
  });

  test('is told of an invalidation once for each block it has, and never on a machine of one', () => {
    const count = (harts: number): number => {
      const rig = new Rig({ harts });
      rig.mapNew(DATA, 1, RW);
      onEach(rig, (k) => void (k < 3 && rig.context.lookup(DATA, READ)));
      const before = rig.machine.mmu.shootDowns;
      rig.context.invalidatePage(DATA);
      return rig.machine.mmu.shootDowns - before;
    };
    expect([1, 2, 3, 4].map(count)).toEqual([0, 1, 2, 2]);
  });

  test('a machine has 1 to 4', () => {
    expect(() => new Rig({ harts: 5 })).toThrow('mmu: harts');
    expect(() => new Rig({ harts: 0 })).toThrow('mmu: harts');
    const rig = new Rig({ harts: 2 });
    expect(() => rig.machine.select(2)).toThrow('no such hart');
  });
});
