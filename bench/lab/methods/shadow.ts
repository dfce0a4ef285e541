/**
 * Shadow paging as a method: what shadow-hypervisor.ts says, on a translation that walks the shadow tables. They lie in the
 * memory of the guest's host; where that is a guest itself, the walk is nested in its host's tables.
 */
import { type Access } from '../../../hostkernel/base/units.ts';
import { PageTables, type Translation } from '../../../hostkernel/machine/timing/index.ts';
import { newEvents } from '../events.ts';
import type { HostMemory } from '../guest/host-memory.ts';
import type { GuestKernel } from '../guest/kernel.ts';
import { LabError } from '../guest/lab-error.ts';
import { AccessLoop } from './access-loop.ts';
import { HostBacking, requireCache } from './host-backing.ts';
import { fillRefused, guestAbove, hostsOf, LateWatcher, translationThrough } from './hosted-guest.ts';
import type { Method, MethodSetup } from './method.ts';
import { SHADOW_POLICY, ShadowHypervisor, type ShadowPolicy } from './shadow-hypervisor.ts';

export interface ShadowMethod extends Method {
  readonly kernel: GuestKernel;
  readonly hosts: readonly HostMemory[];
  readonly translation: Translation;
  readonly hypervisor: ShadowHypervisor;
}

/** @throws LabError if the host's tables cannot be a shadow of the guest's */
export function shadow(setup: MethodSetup, policy: ShadowPolicy = setup.shadow ?? SHADOW_POLICY): ShadowMethod {
  const { machine, guest, hosts: formats } = setup;
  if (formats.length === 0) throw new LabError('shadow paging: a host is missing');
  requireCache('shadow paging', guest, formats[0]);
  const events = newEvents();
  const hosts = hostsOf(setup);
  const [own, ...below] = hosts;
  const watcher = new LateWatcher();
  const kernel = guestAbove(own, setup, watcher, events);
  const tables = new PageTables(formats[0], own.tables.memory);
  const translation = translationThrough(below, { machine, tables });
  const backing = new HostBacking([own], events);
  const hypervisor = new ShadowHypervisor({ guest: kernel.tables, shadow: tables, backing, translation, events, policy });
  watcher.to = hypervisor;
  const hooks = {
    resolve: (page: number, access: Access) => {
      if (translation.refusedDimension === 0) return hypervisor.fault(page, access);
      fillRefused(translation, below, events);
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
