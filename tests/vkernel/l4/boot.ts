/** A vkernel on a host kernel on a machine, for tests: the root server is the test's program. */
import { Tracer } from '../../../hostkernel/base/trace.ts';
import { HostKernel } from '../../../hostkernel/kern/index.ts';
import { compileLayout, layoutByName, Machine, type PageTableFormat, type PolledDisk } from '../../../hostkernel/machine/index.ts';
import { L4Kernel, Platform, type RunResult } from '../../../vkernel/l4/index.ts';
import type { L4Body, ThreadId } from '../../../vkernel/l4/user.ts';

export interface BootOptions {
  readonly xlen?: 32 | 64;
  readonly format?: string; // layout id of the virtual page tables
  readonly memoryBytes?: number; // of the vkernel's image
  readonly reservedFrames?: number;
  readonly tracer?: Tracer;
  readonly timeSlice?: number;
  /** Disks of the host. */
  readonly disks?: ReadonlyMap<string, PolledDisk>;
  /** Called with the platform, before there is a kernel. */
  readonly seen?: (platform: Platform) => void;
  /** Called before the kernel runs. */
  readonly before?: (kernel: L4Kernel, root: ThreadId) => void;
  /** Called after the kernel has run, while the host process is alive. */
  readonly after?: (kernel: L4Kernel) => void;
  /** A second host process that competes for the processor. */
  readonly rival?: boolean;
}

export interface Booted {
  readonly result: RunResult;
  readonly kernel: L4Kernel;
  readonly log: string[];
  readonly output: string;
}

export function formatOf(id: string): PageTableFormat {
  const layout = layoutByName(id);
  if (layout === null || layout === undefined) throw new Error(`no layout ${id}`);
  return compileLayout(layout);
}

/** Boots, runs the root server's program until shutdown or deadlock, checks all invariants, ends the host process. */
export function boot(body: L4Body, options: BootOptions = {}): Booted {
  let output = '';
  const memoryBytes = options.memoryBytes ?? 4 * 2 ** 20;
  const machine = Machine.create({
    ramBytes: memoryBytes + 8 * 2 ** 20,
    console: { write: (_fd, bytes) => void (output += new TextDecoder().decode(bytes)), read: () => new Uint8Array(0) },
  });
  if (machine === null) throw new Error('no memory for the machine');
  const xlen = options.xlen ?? 64;
  const format = formatOf(options.format ?? (xlen === 64 ? 'vpte-64-nx' : 'vpte-32-nx'));
  const host = new HostKernel({
    machine,
    tracer: new Tracer(),
    mmu64: formatOf('sv39'),
    mmu32: formatOf('sv32'),
    vpte64: xlen === 64 ? format : formatOf('vpte-64-nx'),
    vpte32: xlen === 32 ? format : formatOf('vpte-32-nx'),
    ...(options.timeSlice === undefined ? {} : { timeSlice: options.timeSlice }),
    ...(options.disks === undefined ? {} : { disks: options.disks }),
  });
  const log: string[] = [];
  let kernel: L4Kernel | null = null;
  let result: RunResult | null = null;
  const process = host.spawnBody(
    'vkernel',
    function* vkernel(api) {
      const platform = Platform.create(api, {
        format,
        memoryBytes,
        ...(options.reservedFrames === undefined ? {} : { reservedFrames: options.reservedFrames }),
      });
      if (typeof platform === 'number') throw new Error(`platform: ${platform}`);
      options.seen?.(platform);
      kernel = new L4Kernel(platform, {
        log: (line) => log.push(line),
        ...(options.tracer === undefined ? {} : { tracer: options.tracer }),
      });
      const root = kernel.createRootThread(body);
      options.before?.(kernel, root);
      result = yield* kernel.run();
      kernel.assertInvariants();
      options.after?.(kernel);
      return 0;
    },
    xlen,
  );
  if (options.rival === true) {
    host.spawnBody(
      'rival',
      function* rival() {
        for (let i = 0; i < 1000; i++) yield;
        return 0;
      },
      xlen,
    );
  }
  host.run();
  host.assertInvariants();
  const status = process.exitStatus;
  if (status === null || !('code' in status) || status.code !== 0) throw new Error(`vkernel ended: ${JSON.stringify(status)}`);
  if (kernel === null || result === null) throw new Error('the kernel did not run');
  return { result, kernel, log, output };
}
