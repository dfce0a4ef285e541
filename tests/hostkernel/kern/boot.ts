/** A machine with a host kernel, for tests: what it prints and reports, and what it must look like when all has ended. */

import { Tracer } from '../../../hostkernel/base/trace.ts';
import type { ObjectPage } from '../../../hostkernel/base/units.ts';
import {
  describeExit,
  type ExitStatus,
  type Host,
  type HostBody,
  HostKernel,
  type HostKernelOptions,
  type Process,
  RUN_PREEMPTED,
} from '../../../hostkernel/kern/index.ts';
import { type BlockDevice, compileLayout, Machine, SV32, SV39, VPTE_32_NX, VPTE_64_NX } from '../../../hostkernel/machine/index.ts';
import type { Vm, VmObject } from '../../../hostkernel/vm/index.ts';
import { buildElf, code } from '../base/elf-builder.ts';

export interface Boot {
  readonly kernel: HostKernel;
  readonly machine: Machine;
  readonly messages: string[]; // of the kernel's log
  /** What processes have written to descriptor 1 and 2. */
  output(): string;
  /** Runs everything to its end, checks that all frames came back, and returns how `process` ended. */
  finish(process: Process): ExitStatus;
}

export interface BootOptions extends Partial<HostKernelOptions> {
  readonly ramBytes?: number;
  readonly input?: string;
  readonly harts?: number;
  readonly disk?: BlockDevice;
}

const TEXT = 0x10000;

export function boot(options: BootOptions = {}): Boot {
  let written = '';
  let input = new TextEncoder().encode(options.input ?? '');
  const machine = Machine.create({
    ramBytes: options.ramBytes ?? 4 * 2 ** 20,
    harts: options.harts ?? 1,
    ...(options.disk === undefined ? {} : { disk: options.disk }),
    console: {
      write: (_fd, bytes) => {
        written += new TextDecoder().decode(bytes);
      },
      read: (max) => {
        const bytes = input.slice(0, max);
        input = input.slice(max);
        return bytes;
      },
    },
  });
  if (machine === null) throw new Error('no memory for the machine');
  const messages: string[] = [];
  const kernel = new HostKernel({
    machine,
    tracer: new Tracer(),
    mmu64: compileLayout(SV39),
    mmu32: compileLayout(SV32),
    vpte64: compileLayout(VPTE_64_NX),
    vpte32: compileLayout(VPTE_32_NX),
    log: (line) => messages.push(line),
    ...options,
  });
  const free = kernel.vm.freeFrames;
  return {
    kernel,
    machine,
    messages,
    output: () => written,
    finish: (process) => {
      kernel.assertInvariants();
      kernel.run();
      settle(machine, kernel);
      kernel.assertInvariants();
      if (kernel.vm.freeFrames !== free) throw new Error(`${free - kernel.vm.freeFrames} frames are lost`);
      if (process.exitStatus === null) throw new Error('still alive');
      return process.exitStatus;
    },
  };
}

/** Lets transfers that are under way come to their end: their frames are not free before. */
function settle(machine: Machine, kernel: HostKernel): void {
  for (let next = kernel.vm.nextEvent(); next !== Infinity; next = kernel.vm.nextEvent()) {
    machine.clock.charge(Math.max(0, Math.ceil(next - machine.clock.now())));
    kernel.vm.poll();
  }
}

/** Runs a TypeScript program alone; it must exit with code 0. `program` may be a plain function of the host. */
export function runBody(program: (host: Host) => void, xlen: 32 | 64 = 64, options: BootOptions = {}): Boot {
  const machine = boot(options);
  const status = machine.finish(machine.kernel.spawnBody('test', plain(program), xlen));
  if (!('code' in status) || status.code !== 0) throw new Error(describeExit(status));
  return machine;
}

/** The body that calls `program` and exits with 0. */
export function plain(program: (host: Host) => void): HostBody {
  return function* body(host) {
    program(host);
    return 0;
  };
}

/** Takes every free frame; releasing the object gives them back. */
export function exhaust(vm: Vm): VmObject {
  const hog = vm.createObject(vm.totalFrames);
  for (let page = 0; vm.freeFrames > 0; page++) hog.writable(page as ObjectPage);
  return hog;
}

/** Host.run, repeated as long as other processes are due. */
export function* runGuest(host: Host, id: number, tf: number, vf: number): Generator<undefined, number, void> {
  for (;;) {
    const result = host.run(id, tf, vf);
    if (result !== RUN_PREEMPTED) return result;
    yield;
  }
}

/** A process that runs `words` at 0x10000, with a page of data at 0x20000. */
export function spawnCode(machine: Boot, words: readonly number[], xlen: 32 | 64 = 64, argv: readonly string[] = ['test']): Process {
  const segments = [
    { va: TEXT, bytes: code(words) },
    { va: 0x20000, bytes: new Uint8Array(0), memBytes: 8192, flags: 6 },
  ];
  const process = machine.kernel.spawnElf(buildElf({ xlen, entry: TEXT, segments }), argv, []);
  if ('reason' in process) throw new Error(process.reason);
  return process;
}
