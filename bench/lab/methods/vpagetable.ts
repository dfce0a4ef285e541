/**
 * Virtual page tables as a method: what vpagetable-host.ts says, on a translation that walks the real page tables. They lie
 * in the memory of the host kernel; where that is a guest itself, the walk is nested in its host's tables.
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
import { VPAGETABLE_POLICY, VpagetableHost, type VpagetablePolicy } from './vpagetable-host.ts';

export interface VpagetableMethod extends Method {
  readonly kernel: GuestKernel;
  readonly hosts: readonly HostMemory[];
  readonly translation: Translation;
  readonly host: VpagetableHost;
}

/** @throws LabError if the host's tables cannot cache the guest's page by page */
export function vpagetable(setup: MethodSetup, policy: VpagetablePolicy = setup.vpagetable ?? VPAGETABLE_POLICY): VpagetableMethod {
  const { machine, guest, hosts: formats } = setup;
  if (formats.length === 0) throw new LabError('virtual page tables: a host is missing');
  requireCache('virtual page tables', guest, formats[0]);
  if (formats[0].basePages !== 1) throw new LabError(`virtual page tables: base pages of ${formats[0].id} are not of 4 KiB`);
  const events = newEvents();
  const hosts = hostsOf(setup);
  const [own, ...below] = hosts;
  const watcher = new LateWatcher();
  const kernel = guestAbove(own, setup, watcher, events);
  const real = new PageTables(formats[0], own.tables.memory);
  const translation = translationThrough(below, { machine, tables: real });
  const backing = new HostBacking([own], events);
  const host = new VpagetableHost({ guest: kernel.tables, real, backing, translation, events, policy });
  watcher.to = host;
  const hooks = {
    resolve: (page: number, access: Access, isBeyond: boolean) => {
      if (translation.refusedDimension === 0) return isBeyond ? host.refuse() : host.fault(page, access);
      fillRefused(translation, below, events);
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
