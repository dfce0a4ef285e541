/** A platform on a host kernel on a machine, for tests that need no threads. */
import { Tracer } from '../../../hostkernel/base/trace.ts';
import { HostKernel } from '../../../hostkernel/kern/index.ts';
import { compileLayout, layoutByName, Machine, type PageTableFormat } from '../../../hostkernel/machine/index.ts';
import { Platform } from '../../../vkernel/platform/index.ts';

export interface PlatformSetup {
  readonly xlen?: 32 | 64;
  readonly format?: string;
  readonly frames?: number;
  readonly reserved?: number;
}

export function formatNamed(id: string): PageTableFormat {
  const layout = layoutByName(id);
  if (layout === null || layout === undefined) throw new Error(`no layout ${id}`);
  return compileLayout(layout);
}

/** Calls `use` inside a host process that owns a platform; afterwards all of the host's frames must be back. */
export function withPlatform(setup: PlatformSetup, use: (platform: Platform) => void): void {
  const xlen = setup.xlen ?? 64;
  const frames = setup.frames ?? 512;
  const machine = Machine.create({
    ramBytes: frames * 4096 + 4 * 2 ** 20,
    console: { write: () => undefined, read: () => new Uint8Array(0) },
  });
  if (machine === null) throw new Error('no memory for the machine');
  const format = formatNamed(setup.format ?? (xlen === 64 ? 'vpte-64-nx' : 'vpte-32-nx'));
  const kernel = new HostKernel({
    machine,
    tracer: new Tracer(),
    mmu64: formatNamed('sv39'),
    mmu32: formatNamed('sv32'),
    vpte64: xlen === 64 ? format : formatNamed('vpte-64-nx'),
    vpte32: xlen === 32 ? format : formatNamed('vpte-32-nx'),
  });
  const free = kernel.vm.freeFrames;
  const process = kernel.spawnBody(
    'platform',
    function* body(host) {
      const platform = Platform.create(host, { format, memoryBytes: frames * 4096, reservedFrames: setup.reserved ?? 128 });
      if (typeof platform === 'number') throw new Error(`no platform: ${platform}`);
      use(platform);
      platform.assertInvariants();
      return 0;
    },
    xlen,
  );
  kernel.run();
  kernel.assertInvariants();
  if (process.exitStatus === null || !('code' in process.exitStatus) || process.exitStatus.code !== 0) {
    throw new Error(`process ended: ${JSON.stringify(process.exitStatus)}`);
  }
  if (kernel.vm.freeFrames !== free) throw new Error('host frames are lost');
}
