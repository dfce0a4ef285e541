/**
 * Shadow paging as a method: what shadow-hypervisor.ts says, on a translation that walks the shadow tables. They lie in the
 * memory of the guest's host; where that is a guest itself, the walk is nested in its host's tables.
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
import { SHADOW_POLICY, ShadowHypervisor, type ShadowPolicy } from './shadow-hypervisor.ts';

export interface ShadowMethod extends Method {
  readonly kernel: GuestKernel;
  readonly hosts: readonly HostMemory[];
  readonly translation: Translation;
  readonly hypervisor: ShadowHypervisor;
}

/** @throws LabError if the host's tables cannot be a shadow of the guest's */
export function shadow(setup: MethodSetup, policy: ShadowPolicy = setup.shadow ?? SHADOW_POLICY): ShadowMethod {
  const { machine, guest, hosts: formats, guestPolicy, hostPolicies, seed } = setup;
  if (formats.length === 0) throw new LabError('shadow paging: a host is missing');
  requireCache('shadow paging', guest, formats[0]);
  const events = newEvents();
  const hosts = hostsOf(setup);
  const [own, ...below] = hosts;
  const memory = tableMemoryOf(guestPolicy);
  const tables = new PageTables(formats[0], own.tables.memory);
  const dimensions = [tables, ...below.map((host) => host.tables)].map(({ format, memory: at }) => ({ format, memory: at }));
  const translation = new Translation({ machine, dimensions });
  below.forEach(({ root }, i) => translation.setRoot(i + 1, root));
  const watcher = new LateWatcher();
  const taken = hostPolicies[0].populate ? { taken: (frame: number, pages: number) => own.fillAll(frame, pages) } : {};
  const kernel = new GuestKernel({ format: guest, memory, policy: guestPolicy, seed, watcher, events, ...taken });
  const backing = new HostBacking([own], events);
  const hypervisor = new ShadowHypervisor({ guest: kernel.tables, shadow: tables, backing, translation, events, policy });
  watcher.to = hypervisor;
  const hooks = {
    resolve: (page: number, access: Access) => {
      if (translation.refusedDimension === 0) return hypervisor.fault(page, access);
      below[translation.refusedDimension - 1].fill(translation.refusedPage);
      events.hostFaults++;
      events.exits++;
      return true;
    },
    hostUnmap: (page: number, pages: number) => {
      const { basePages } = formats[0];
      const first = page - (page % basePages);
      hypervisor.hostUnmapping(first, Math.ceil((page + pages - first) / basePages) * basePages);
      return own.unmap(page, pages);
    },
  };
  const loop = new AccessLoop({ machine, translation, kernel, events, hooks });
  return { name: 'shadow', kernel, hosts, translation, hypervisor, consume: (batch) => loop.consume(batch), finish: () => loop.counts() };
}
