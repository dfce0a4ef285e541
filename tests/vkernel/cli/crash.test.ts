/** A kernel that panics ends in a dump and a status of its own, not in an exception. */
import { afterEach, expect, test, vi } from 'vitest';
import { KernelPanic } from '../../../hostkernel/base/assert.ts';
import { Machine } from '../../../hostkernel/machine/index.ts';
import { crashDump, guarded } from '../../../vkernel/cli/crash.ts';
import { EXIT_CRASH } from '../../../vkernel/cli/report.ts';
import { OutputFailure, TERMINAL } from '../../../vkernel/cli/terminal.ts';

const machine = Machine.create({ ramBytes: 2 ** 20 }) as Machine;
machine.hart.x[20] = 0x1234; // x10, low half
machine.hart.x[21] = -1; //     high half
machine.hart.setPc(0x10150);

afterEach(() => {
  vi.restoreAllMocks();
});

test('the dump says what broke, where in our code, and what the hart was at', () => {
  const lines = crashDump(machine, new KernelPanic('vm_object I2')).split('\n');
  expect(lines[0]).toBe('vkernel: kernel panic: vm_object I2');
  expect(lines[2]).toBe('  pc 0000000000010150, 0 instructions retired, virtual time 0 ns, RAM 256 frames');
  expect(lines[5]).toContain('x10 ffffffff00001234');
  expect(lines.some((line) => line.includes('crash.test.ts'))).toBe(true);
});

test('a panic, or any exception out of a kernel, becomes the dump and exit status 70', () => {
  const said = vi.spyOn(TERMINAL, 'write').mockImplementation(() => undefined);
  const broken = [new KernelPanic('l4 I3'), new TypeError('x is not a function')];
  for (const error of broken) {
    const status = guarded(machine, () => {
      throw error;
    });
    expect(status).toBe(EXIT_CRASH);
  }
  expect(said).toHaveBeenCalledTimes(2);
  expect(said.mock.calls.map(([fd]) => fd)).toEqual([2, 2]);
});

test('a result passes through, and so does output that cannot be written', () => {
  const result = { fine: true };
  expect(guarded(machine, () => result)).toBe(result);
  const failure = new OutputFailure(1, 'EPIPE');
  const write = (): never => {
    throw failure;
  };
  expect(() => guarded(machine, write)).toThrow(failure);
});
