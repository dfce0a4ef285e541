/** Kernels in kernels, for tests: what the innermost one's programs print, and what all kernels count. */
import { Tracer } from '../../../hostkernel/base/trace.ts';
import {
  describeExit,
  type ExitStatus,
  type HostBody,
  HostKernel,
  type HostKernelOptions,
  type Process,
} from '../../../hostkernel/kern/index.ts';
import { compileLayout, layoutByName, Machine, type PageTableFormat } from '../../../hostkernel/machine/index.ts';
import { nest, type NestOptions } from '../../../vkernel/nest/index.ts';

export const format = (name: string): PageTableFormat => {
  const layout = layoutByName(name);
  if (layout === null) throw new Error(`no layout ${name}`);
  return compileLayout(layout);
};

export interface Nest {
  /** By depth: the kernels, 0 = on the machine. */
  readonly kernels: HostKernel[];
  /** The process started at the innermost depth. */
  process: Process;
  output(): string;
  /** Runs everything to its end; all frames of all kernels must be back. @returns how the process ended */
  finish(): ExitStatus;
}

export interface RigOptions {
  readonly xlen?: 32 | 64;
  readonly vpte?: string;
  readonly mmu?: string;
  readonly ramBytes?: number;
  readonly harts?: number;
  readonly timeSlice?: number;
  readonly options?: NestOptions['options'];
  readonly input?: string;
  readonly delegates?: boolean;
  readonly disks?: HostKernelOptions['disks'];
}

/** `start` gets the kernel at `depth`; depth 0 is the machine's own. */
export function nestOf(depth: number, start: (kernel: HostKernel) => Process, options: RigOptions = {}): Nest {
  const { xlen = 64 } = options;
  let written = '';
  let input = new TextEncoder().encode(options.input ?? '');
  const machine = Machine.create({
    ramBytes: options.ramBytes ?? 64 * 2 ** 20,
    harts: options.harts ?? 1,
    console: {
      write: (_fd, bytes) => void (written += new TextDecoder().decode(bytes)),
      read: (max) => {
        const bytes = input.slice(0, max);
        input = input.slice(max);
        return bytes;
      },
    },
  });
  if (machine === null) throw new Error('no memory for the machine');
  const between = format(xlen === 64 ? 'vpte-64-nx' : 'vpte-32-nx');
  const vpte = options.vpte === undefined ? between : format(options.vpte);
  const outerVpte = depth === 0 ? vpte : between;
  const outer = new HostKernel({
    machine,
    tracer: new Tracer(),
    mmu64: format(xlen === 64 ? (options.mmu ?? 'sv39') : 'sv39'),
    mmu32: format(xlen === 32 ? (options.mmu ?? 'sv32') : 'sv32'),
    vpte64: outerVpte,
    vpte32: outerVpte,
    ...(options.timeSlice === undefined ? {} : { timeSlice: options.timeSlice }),
    ...options.options,
    ...(options.disks === undefined ? {} : { disks: options.disks }),
  });
  let first: Process | null = null;
  const kernels: HostKernel[] = [];
  const free: number[] = [];
  const note = (kernel: HostKernel): void => {
    kernels.push(kernel);
    free.push(kernel.vm.freeFrames);
  };
  const made: Nest = {
    kernels,
    process: null as unknown as Process, // set before anybody can look: below
    output: () => written,
    finish: () => {
      outer.run();
      for (const [i, kernel] of kernels.entries()) {
        if (i === 0) kernel.assertInvariants();
        if (kernel.vm.freeFrames !== free[i]) throw new Error(`kernel ${i}: ${free[i] - kernel.vm.freeFrames} frames are lost`);
      }
      const status = made.process.exitStatus;
      if (status === null) throw new Error('still alive');
      const bodies = first?.exitStatus ?? null;
      if (depth > 0 && (bodies === null || !('code' in bodies) || bodies.code !== 0)) {
        throw new Error(`the kernel in between: ${bodies === null ? 'alive' : describeExit(bodies)}`);
      }
      return status;
    },
  };
  if (depth === 0) {
    note(outer);
    made.process = start(outer);
  } else {
    first = nest(outer, {
      xlen,
      depth,
      between,
      vpte,
      options: { ...(options.timeSlice === undefined ? {} : { timeSlice: options.timeSlice }), ...options.options },
      delegates: options.delegates ?? false,
      disks: [...(options.disks?.keys() ?? [])],
      visit: note,
      start: (kernel) => void (made.process = start(kernel)),
      ended: (kernel) => kernel.assertInvariants(),
    });
  }
  return made;
}

/** Starts an ELF file; throws where it cannot. */
export function elf(file: Uint8Array, argv: readonly string[]): (kernel: HostKernel) => Process {
  return (kernel) => {
    const process = kernel.spawnElf(file, argv, []);
    if ('reason' in process) throw new Error(process.reason);
    return process;
  };
}

/** Starts a TypeScript program. */
export function body(program: HostBody, xlen: 32 | 64 = 64): (kernel: HostKernel) => Process {
  return (kernel) => kernel.spawnBody('program', program, xlen);
}
