/** Loads and stores of a TypeScript program, at every alignment and across pages. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { READ, WRITE } from '../../../hostkernel/base/units.ts';
import { type Host, MAP_ANON, MAP_SHARED, SYS_mmap, SYS_mprotect } from '../../../hostkernel/kern/index.ts';
import { boot, plain, runBody } from './boot.ts';

const PAGES = 3;
const SIZE = PAGES * 4096;

function memory(host: Host): number {
  return host.syscall(SYS_mmap, 0, SIZE, READ | WRITE, MAP_SHARED | MAP_ANON, -1, 0);
}

test('agrees with a plain array for every sequence of accesses', () => {
  const at = fc.oneof(fc.nat(SIZE - 8), fc.integer({ min: 4080, max: 4110 }), fc.integer({ min: 8180, max: 8200 }));
  const length = fc.nat(6000);
  const operation = fc.oneof(
    fc.record({ op: fc.constantFrom('store8', 'store16', 'store32', 'store64'), at, value: fc.maxSafeInteger() }),
    fc.record({ op: fc.constantFrom('load8', 'load16', 'load32', 'load64'), at }),
    fc.record({ op: fc.constantFrom('copy'), at, from: at, length }),
    fc.record({ op: fc.constantFrom('fill'), at, length, byte: fc.nat(255) }),
    fc.record({ op: fc.constantFrom('write', 'read'), at, length }),
  );
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
      runBody((host) => {
        const base = memory(host);
        const model = new Uint8Array(SIZE);
        const view = new DataView(model.buffer);
        for (const step of operations) {
          const va = base + step.at;
          if ('value' in step) {
            const big = BigInt.asUintN(64, BigInt(step.value));
            const size = Number(step.op.slice(5)) / 8;
            for (let i = 0; i < size; i++) model[step.at + i] = Number((big >> BigInt(8 * i)) & 0xffn);
            host.memory[step.op as 'store32'](va, step.value);
          } else if ('from' in step) {
            const n = Math.min(step.length, SIZE - Math.max(step.at, step.from));
            model.copyWithin(step.at, step.from, step.from + n);
            host.memory.copy(va, base + step.from, n);
          } else if ('byte' in step) {
            const n = Math.min(step.length, SIZE - step.at);
            model.fill(step.byte, step.at, step.at + n);
            host.memory.fill(va, n, step.byte);
          } else if (step.op === 'write') {
            const bytes = Uint8Array.from({ length: Math.min((step as { length: number }).length, SIZE - step.at) }, (_, i) => i * 7);
            model.set(bytes, step.at);
            host.memory.write(va, bytes);
          } else if (step.op === 'load64') {
            expect(host.memory.load64(va)).toBe(Number(view.getBigUint64(step.at, true)));
          } else if (step.op === 'load32') {
            expect(host.memory.load32(va)).toBe(view.getUint32(step.at, true));
          } else if (step.op === 'load16') {
            expect(host.memory.load16(va)).toBe(view.getUint16(step.at, true));
          } else if (step.op === 'load8') {
            expect(host.memory.load8(va)).toBe(model[step.at]);
          }
        }
        const all = new Uint8Array(SIZE);
        host.memory.read(base, all);
        expect(all).toEqual(model);
      });
    }),
    { numRuns: 25 },
  );
});

test('a store across a page that may not be written changes nothing', () => {
  for (const store of ['store16', 'store32', 'store64'] as const) {
    const machine = boot();
    const body = plain((host) => {
      const base = memory(host);
      host.syscall(SYS_mprotect, base + 4096, 4096, READ);
      try {
        host.memory[store](base + 4095, -1);
      } finally {
        expect(host.memory.load8(base + 4095)).toBe(0);
      }
    });
    expect(machine.finish(machine.kernel.spawnBody('test', body, 64))).toMatchObject({
      signal: 7,
      access: WRITE,
      refusal: 'entry-protection',
    });
  }
});

test('translate gives the place of a page in the machine, whoever faulted it in', () => {
  runBody((host) => {
    const base = memory(host);
    const at = host.memory.translate(base + 8, WRITE);
    host.memory.words[at >>> 2] = 77;
    expect(host.memory.load32(base + 8)).toBe(77);
    expect(host.memory.translate(base + 8, READ)).toBe(at);
  });
});

test.each([-1, -4096, Number.NaN, 2 ** 38, 2 ** 53, 2 ** 64, Number.POSITIVE_INFINITY])('a load at %d is SIGSEGV', (va) => {
  const machine = boot();
  const body = plain((host) => host.memory.load32(va));
  expect(machine.finish(machine.kernel.spawnBody('test', body, 64))).toMatchObject({ signal: 11 });
});
