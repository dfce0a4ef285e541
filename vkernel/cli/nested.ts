/** The whole system on the machine's own host kernel, or on a host kernel that is some kernels deep in it (`--nest`). */
import { Tracer } from '../../hostkernel/base/trace.ts';
import { PAGE_SIZE } from '../../hostkernel/base/units.ts';
import { HostKernel } from '../../hostkernel/kern/index.ts';
import { bootStack, disksOf, spawnStack, type StackOptions, type StackResult } from '../index.ts';
import { nest } from '../nest/index.ts';
import { nestingFormat } from './layouts.ts';
import { showSize } from './size.ts';

/**
 * Boots as bootStack does, in the kernel `depth` kernels deep; 0 is the machine's own. The result's counters are those
 * of that kernel.
 */
export function bootNested(depth: number, options: StackOptions): StackResult {
  if (depth === 0) return bootStack(options);
  const { machine, xlen, tracer } = options;
  const between = nestingFormat(xlen);
  const log = (line: string): void => options.log('host', line);
  const outer = new HostKernel({ ...options, tracer: new Tracer(), vpte64: between, vpte32: between, disks: disksOf(options), log });
  log(`RAM ${machine.ram.frames} frames, page tables ${(xlen === 64 ? options.mmu64 : options.mmu32).id}; ${depth} more kernels in it`);
  let finish: (() => StackResult) | null = null;
  let result: StackResult | null = null;
  const free = outer.vm.freeFrames;
  nest(outer, {
    xlen,
    depth,
    between,
    vpte: xlen === 64 ? options.vpte64 : options.vpte32,
    options: { log },
    disks: [...disksOf(options).keys()],
    tracer,
    visit: (kernel, at) => {
      if (at > 0) log(`kernel ${at} is up, a process of the one before, with ${showSize(kernel.vm.totalFrames * PAGE_SIZE)}`);
    },
    start: (kernel) => void (finish = spawnStack(kernel, { ...options, mmu64: between, mmu32: between })),
    ended: (_kernel, at) => {
      if (at === depth) result = finish?.() ?? null;
    },
  });
  outer.run();
  if (options.verify === true) outer.assertInvariants();
  if (result === null) throw new Error(`no result of kernel ${depth}: too little memory`);
  const { stats } = result as StackResult;
  return { ...(result as StackResult), stats: { ...stats, hostFramesLost: stats.hostFramesLost + free - outer.vm.freeFrames } };
}
