/**
 * Virtual page tables as a method: what vpagetable-host.ts says, on a translation that walks the real page tables. They lie
 * in the memory of the host kernel; where that is a guest itself, the walk is nested in its host's tables.
 */
import { type Access } from '../../../hostkernel/base/units.ts';
import { PageTables, Translation } from '../../../hostkernel/machine/timing/index.ts';
import { newEvents } from '../events.ts';
import type { HostMemory } from '../guest/host-memory.ts';
import { GuestKernel } from '../guest/kernel.ts';
import { LabError } from '../guest/lab-error.ts';
import { AccessLoop } from './access-loop.ts';
import { HostBacking, hostsOf, LateWatcher, requireCache } from './host-backing.ts';
import type { Method, MethodSetup } from './method.ts';
import { tableMemoryOf } from './native.ts';
import { VPAGETABLE_POLICY, VpagetableHost, type VpagetablePolicy } from './vpagetable-host.ts';

export interface VpagetableMethod extends Method {
  readonly kernel: GuestKernel;
  readonly hosts: readonly HostMemory[];
  readonly translation: Translation;
  readonly host: VpagetableHost;
}

/** @throws LabError if the host's tables cannot cache the guest's page by page */
export function vpagetable(setup: MethodSetup, policy: VpagetablePolicy = setup.vpagetable ?? VPAGETABLE_POLICY): VpagetableMethod {
  const { machine, guest, hosts: formats, guestPolicy, hostPolicies, seed } = setup;
  if (formats.length === 0) throw new LabError('virtual page tables: a host is missing');
  requireCache('virtual page tables', guest, formats[0]);
  if (formats[0].basePages !== 1) throw new LabError(`virtual page tables: base pages of ${formats[0].id} are not of 4 KiB`);
  const events = newEvents();
  const hosts = hostsOf(setup);
  const [own, ...below] = hosts;
  const memory = tableMemoryOf(guestPolicy);
  const real = new PageTables(formats[0], own.tables.memory);
  const dimensions = [real, ...below.map((host) => host.tables)].map(({ format, memory: at }) => ({ format, memory: at }));
  const translation = new Translation({ machine, dimensions });
  below.forEach(({ root }, i) => translation.setRoot(i + 1, root));
  const watcher = new LateWatcher();
  const taken = hostPolicies[0].populate ? { taken: (frame: number, pages: number) => own.fillAll(frame, pages) } : {};
  const kernel = new GuestKernel({ format: guest, memory, policy: guestPolicy, seed, watcher, events, ...taken });
  const backing = new HostBacking([own], events);
  const host = new VpagetableHost({ guest: kernel.tables, real, backing, translation, events, policy });
  watcher.to = host;
  const hooks = {
    resolve: (page: number, access: Access, isBeyond: boolean) => {
      if (translation.refusedDimension === 0) return isBeyond ? host.refuse() : host.fault(page, access);
      below[translation.refusedDimension - 1].fill(translation.refusedPage);
      events.hostFaults++;
      events.exits++;
      return true;
    },
    hostUnmap: (page: number, pages: number) => {
      host.hostUnmapping(page, pages);
      return own.unmap(page, pages);
    },
  };
  const loop = new AccessLoop({ machine, translation, kernel, events, hooks });
  return { name: 'vpagetable', kernel, hosts, translation, host, consume: (batch) => loop.consume(batch), finish: () => loop.counts() };
}
