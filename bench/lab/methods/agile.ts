/**
 * Agile paging as a method: what agile-hypervisor.ts says, on a translation whose walks begin in shadow tables and go on
 * in the guest's. With two hosts the lower one keeps the shadow: it leads through both of them at once.
 */
import { type Access, PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import type { PageTableFormat } from '../../../hostkernel/machine/paging/index.ts';
import { FRONT, type Translation } from '../../../hostkernel/machine/timing/index.ts';
import { newEvents } from '../events.ts';
import type { HostMemory } from '../guest/host-memory.ts';
import type { GuestKernel } from '../guest/kernel.ts';
import { LabError } from '../guest/lab-error.ts';
import type { MemoryPolicy } from '../guest/policy.ts';
import { AccessLoop } from './access-loop.ts';
import { AgileFront } from './agile-front.ts';
import { AGILE_POLICY, AgileHypervisor, type AgilePolicy } from './agile-hypervisor.ts';
import { HostBacking, requireCache } from './host-backing.ts';
import { fillRefused, guestAbove, hostsOf, LateWatcher, translationThrough } from './hosted-guest.ts';
import type { Method, MethodSetup } from './method.ts';

export interface AgileMethod extends Method {
  readonly kernel: GuestKernel;
  readonly hosts: readonly HostMemory[];
  readonly translation: Translation;
  readonly hypervisor: AgileHypervisor;
  readonly front: AgileFront;
}

/** @throws LabError if one walk cannot go through shadow tables and the guest's */
export function agile(setup: MethodSetup, policy: AgilePolicy = setup.agile ?? AGILE_POLICY): AgileMethod {
  const { machine, guest, hosts: formats, hostPolicies } = setup;
  if (formats.length === 0) throw new LabError('agile paging: a host is missing');
  requireAgile(guest, formats, hostPolicies[formats.length - 1]);
  const events = newEvents();
  const hosts = hostsOf(setup);
  const [own] = hosts;
  const watcher = new LateWatcher();
  const kernel = guestAbove(own, setup, watcher, events);
  const front = new AgileFront(guest, hosts[hosts.length - 1].tables.memory);
  const translation = translationThrough(hosts, { machine, tables: kernel.tables, front });
  const backing = new HostBacking(hosts, events);
  const hypervisor = new AgileHypervisor({ guest: kernel.tables, front, backing, translation, events, costs: machine.events, policy });
  watcher.to = hypervisor;
  translation.recorder = hypervisor;
  const hooks = {
    resolve: (page: number, access: Access) => {
      const { refusedDimension } = translation;
      if (refusedDimension === FRONT) return hypervisor.fault(page, access);
      if (refusedDimension === 0) return false;
      fillRefused(translation, hosts, events);
      return true;
    },
    hostUnmap: (page: number, pages: number) => {
      const { basePages } = formats[0];
      const first = page - (page % basePages);
      hypervisor.hostUnmapping(first, Math.ceil((page + pages - first) / basePages) * basePages);
      const unmapped = own.unmap(page, pages);
      if (unmapped > 0) translation.invalidateNested(1, page, pages);
      return unmapped;
    },
  };
  const loop = new AccessLoop({ machine, translation, kernel, events, hooks });
  return {
    name: 'agile',
    kernel,
    hosts,
    translation,
    hypervisor,
    front,
    consume: (batch) => loop.consume(batch),
    finish: () => loop.counts(),
  };
}

/** The shadow tables have the guest's format: its levels are theirs, but they lie in the host's memory and name its frames. */
function requireAgile(guest: PageTableFormat, hosts: readonly PageTableFormat[], { dataBase, memoryBytes }: MemoryPolicy): void {
  requireCache('agile paging', guest, guest);
  const most = 2 ** guest.frameBits;
  if ((dataBase + memoryBytes) / PAGE_SIZE > most) {
    throw new LabError(
      `agile paging: entries of ${guest.id} name frames below ${most}, and the host's memory ends at byte ${dataBase + memoryBytes}`,
    );
  }
  const hostPages = Math.min(...hosts.map(({ basePages }) => basePages));
  if (guest.basePages > hostPages) {
    throw new LabError(
      `agile paging: a page of ${guest.id} is of ${4 * guest.basePages} KiB, and the host's of ${4 * hostPages}: no entry of the shadow leads to it`,
    );
  }
  for (let level = 0; level < guest.levels; level++) {
    if (guest.tableBytes(level) > hostPages * PAGE_SIZE) {
      throw new LabError(
        `agile paging: a table of ${guest.id} is of ${guest.tableBytes(level)} bytes, and the host's pages of ${hostPages * PAGE_SIZE}: it is no run of host memory`,
      );
    }
  }
}
