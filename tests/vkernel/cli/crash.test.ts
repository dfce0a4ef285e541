/** A kernel that panics ends in a dump and a status of its own, not in an exception. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { KernelPanic } from '../../../hostkernel/base/assert.ts';
import { Machine } from '../../../hostkernel/machine/index.ts';
import { crashDump, crashText, guarded } from '../../../vkernel/cli/crash.ts';
import { infoPhysmem } from '../../../vkernel/cli/info-command.ts';
import { type MachineOptions, machineOptions } from '../../../vkernel/cli/options.ts';
import { EXIT_CRASH } from '../../../vkernel/cli/report.ts';
import { OutputFailure, TERMINAL } from '../../../vkernel/cli/terminal.ts';
import type { PhysmemCensus, StackProbe } from '../../../vkernel/index.ts';
import { run } from '../../system/stack-run.ts';

const machine = Machine.create({ ramBytes: 2 ** 20 }) as Machine;
machine.hart.x[20] = 0x1234; // x10, low half
machine.hart.x[21] = -1; //     high half
machine.hart.setPc(0x10150);

const NOTHING: StackProbe = { physmem: null };
const watched = { machine, probe: NOTHING, file: null };

afterEach(() => {
  vi.restoreAllMocks();
});

/** What is written to a stream while `body` runs. */
function said(fd: 1 | 2, body: () => unknown): string {
  const parts: string[] = [];
  const write = (to: 1 | 2, bytes: Uint8Array): void => {
    if (to === fd) parts.push(new TextDecoder().decode(bytes));
  };
  vi.spyOn(TERMINAL, 'write').mockImplementation(write);
  body();
  return parts.join('');
}

test('the dump says what broke, where in our code, and what the hart was at', () => {
  const dump = crashDump(machine, new KernelPanic('vm_object I2'), NOTHING);
  const lines = crashText(dump).split('\n');
  expect(lines[0]).toBe('vkernel: kernel panic: vm_object I2');
  expect(lines[2]).toBe('  pc 0000000000010150, 0 instructions retired, virtual time 0 ns, RAM 256 frames');
  expect(lines[5]).toContain('x10 ffffffff00001234');
  expect(lines.some((line) => line.includes('crash.test.ts'))).toBe(true);
  expect(dump.physmem).toBeNull();
});

test('a panic, or any exception out of a kernel, becomes the dump and exit status 70', () => {
  const broken = [new KernelPanic('l4 I3'), new TypeError('x is not a function')];
  for (const error of broken) {
    let status: unknown = 0;
    const text = said(2, () => {
      status = guarded(watched, () => {
        throw error;
      });
    });
    expect(status).toBe(EXIT_CRASH);
    expect(text).toContain(error.message);
    expect(text).toContain('--crash-dump FILE');
  }
});

test('a result passes through, and so does output that cannot be written', () => {
  const result = { fine: true };
  expect(guarded(watched, () => result)).toBe(result);
  const failure = new OutputFailure(1, 'EPIPE');
  const write = (): never => {
    throw failure;
  };
  expect(() => guarded(watched, write)).toThrow(failure);
});

test('a kernel too broken to be looked at still gives a dump', () => {
  const probe: StackProbe = {
    physmem: () => {
      throw new RangeError('no such frame');
    },
  };
  expect(crashDump(machine, new KernelPanic('physmem I8'), probe).physmem).toBe('cannot be read: RangeError: no such frame');
});

test('a dump in a file shows what the running system showed', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'vkernel-crash-'));
  const file = join(directory, 'dump.json');
  try {
    const probe: StackProbe = { physmem: null };
    const live: PhysmemCensus[] = [];
    const look = (): never => {
      live.push((probe.physmem as NonNullable<typeof probe.physmem>)());
      throw new KernelPanic('physmem I4');
    };
    const broken = () => run({ xlen: 64, programs: [['hello']], stack: { probe, inspect: { at: null, look } } });
    expect(said(2, () => expect(guarded({ machine, probe, file }, broken)).toBe(EXIT_CRASH))).toContain(`crash dump in ${file}`);
    const options = (await machineOptions({})) as MachineOptions;
    const shown = said(1, () => expect(infoPhysmem([], { dump: file, json: true }, options)).toBe(0));
    expect(JSON.parse(shown)).toEqual(live[0]);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ panic: 'physmem I4', physmem: live[0] });
  } finally {
    rmSync(directory, { recursive: true });
  }
});
