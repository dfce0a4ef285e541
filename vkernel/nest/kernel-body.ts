/**
 * A host kernel as a program of a host kernel, to any depth.
 *
 *   kernelBody                one kernel in one process
 *   nest(kernel, 2, ...)      kernel -> process: kernel -> process: kernel -> what the caller spawns there
 */
import { Tracer } from '../../hostkernel/base/trace.ts';
import { PAGE_SIZE } from '../../hostkernel/base/units.ts';
import { type Host, type HostBody, HostKernel, type HostKernelOptions, type HostWait, type Process } from '../../hostkernel/kern/index.ts';
import type { PageTableFormat, PolledDisk } from '../../hostkernel/machine/index.ts';
import { virtualDisk } from './virtual-disk.ts';
import { VirtualMachine } from './virtual-machine.ts';

/** Share of a kernel's frames that becomes the RAM of the kernel in it; the rest is for page tables and the way there. */
const RAM_SHARE = 3 / 4;

export interface NestedKernel {
  readonly frames: number; // of RAM
  /** Page tables of the inner kernel, in the format its host was told to walk. */
  readonly mmu: PageTableFormat;
  /** Virtual page tables of the inner kernel's processes. */
  readonly vpte: PageTableFormat;
  readonly options?: Partial<Pick<HostKernelOptions, 'timeSlice' | 'log' | 'vkernelEnable'>>;
  /** Disks of its host that it hands on under the same names. */
  readonly disks?: readonly string[];
  /** Whether it lets its vkernels run their guests without it: kern/delegation.ts. Default false. */
  readonly delegates?: boolean;
  /** Who listens to the inner kernel. */
  readonly tracer?: Tracer;
  /** Called once the kernel is up: starts its processes. */
  readonly start: (kernel: HostKernel, machine: VirtualMachine) => void;
  /** Called when all of them have ended. */
  readonly ended?: (kernel: HostKernel) => void;
}

/** Exit codes of a kernel body. */
export const KERNEL_DONE = 0;
export const KERNEL_NO_MACHINE = 1;
export const KERNEL_NO_DISK = 2;

/** The program that is a host kernel. It ends when all its processes have. */
export function kernelBody(nested: NestedKernel): HostBody {
  return function* main(host: Host): Generator<HostWait, number> {
    const machine = VirtualMachine.create(host, nested.frames);
    if (typeof machine === 'number') return KERNEL_NO_MACHINE;
    machine.delegates = nested.delegates ?? false;
    const { mmu, vpte } = nested;
    const disks = new Map<string, PolledDisk>();
    for (const path of nested.disks ?? []) {
      const disk = virtualDisk(host, path);
      if (typeof disk === 'number') return KERNEL_NO_DISK;
      disks.set(path, disk);
    }
    const kernel = new HostKernel({
      ...nested.options,
      tracer: nested.tracer ?? new Tracer(),
      machine,
      mmu64: mmu,
      mmu32: mmu,
      vpte64: vpte,
      vpte32: vpte,
      disks,
    });
    nested.start(kernel, machine);
    do {
      while (kernel.step()) {
        if (!machine.hart.preempted) continue;
        yield;
        machine.hart.preempted = false;
      }
    } while (kernel.endDeadlock());
    nested.ended?.(kernel);
    return KERNEL_DONE;
  };
}

export interface NestOptions {
  readonly xlen: 32 | 64;
  /** Kernels between `outer` and the innermost one's processes: 1 or more. */
  readonly depth: number;
  /** What all kernels but the innermost walk for the next: `outer` must have been given it as its VPTE format. */
  readonly between: PageTableFormat;
  /** Virtual page tables of the innermost kernel's processes. */
  readonly vpte: PageTableFormat;
  readonly options?: NestedKernel['options'];
  /** Disks of `outer` that all of them hand on. */
  readonly disks?: readonly string[];
  /** Whether all of them let their vkernels run their guests without them. Default false. */
  readonly delegates?: boolean;
  /** Who listens to the innermost kernel. */
  readonly tracer?: Tracer;
  /** Share of the frames free in `outer` that the kernel in it gets as RAM; 3/4 by default. */
  readonly ramShare?: number;
  /** Called with each kernel that is up, `outer` first as 0. */
  readonly visit?: (kernel: HostKernel, depth: number) => void;
  /** Starts the processes of the innermost kernel. */
  readonly start: NestedKernel['start'];
  readonly ended?: (kernel: HostKernel, depth: number) => void;
}

/** Starts a kernel in `outer`, one in that, and so on. @returns the process of `outer` that is the next kernel */
export function nest(outer: HostKernel, nesting: NestOptions, at = 1): Process {
  const { xlen, depth, between, vpte, options, tracer, visit, start, ended } = nesting;
  if (at === 1) visit?.(outer, 0);
  const frames = Math.floor(outer.vm.freeFrames * (at === 1 ? (nesting.ramShare ?? RAM_SHARE) : RAM_SHARE));
  const body = kernelBody({
    frames,
    mmu: between,
    vpte: at === depth ? vpte : between,
    ...(options === undefined ? {} : { options }),
    disks: nesting.disks ?? [],
    delegates: nesting.delegates ?? false,
    ...(tracer === undefined || at < depth ? {} : { tracer }),
    start: (kernel, machine) => {
      visit?.(kernel, at);
      if (at === depth) start(kernel, machine);
      else nest(kernel, nesting, at + 1);
    },
    ended: (kernel) => ended?.(kernel, at),
  });
  return outer.spawnBody(`kernel ${at} (${(frames * PAGE_SIZE) / 2 ** 20} MiB)`, body, xlen);
}
