/**
 * A guest above hosts: what methods with a host are put together from, and what all of them do when a host has no page.
 *
 *   GuestKernel --its tables--> guest-physical --hosts[0]--> ... --the last host--> memory
 *                                                  | refused: host fault, filled (host-memory.ts), once more
 *
 * Not here: what a hypervisor keeps beside these tables (shadow-hypervisor.ts, vpagetable-host.ts, agile-hypervisor.ts).
 */
import { kassert } from '../../../hostkernel/base/assert.ts';
import { type DimensionSetup, type MachineConfig, type ShadowFront, Translation } from '../../../hostkernel/machine/timing/index.ts';
import type { EventCounts } from '../events.ts';
import { HostMemory } from '../guest/host-memory.ts';
import { GuestKernel } from '../guest/kernel.ts';
import type { GuestWatcher } from '../guest/watcher.ts';
import type { MethodSetup } from './method.ts';
import { tableMemoryOf } from './native.ts';

/** The hosts of a setup, the guest's own first: each fills ahead in the one below, if that one's policy says so. */
export function hostsOf({ hosts: formats, hostPolicies, seed }: MethodSetup): readonly HostMemory[] {
  const hosts: HostMemory[] = [];
  for (let i = formats.length - 1; i >= 0; i--) {
    const policy = hostPolicies[i];
    const ahead = hosts.length === 0 || !hostPolicies[i + 1].populate ? {} : aheadIn(hosts[0]);
    hosts.unshift(new HostMemory({ format: formats[i], memory: tableMemoryOf(policy), policy, seed: seed + 1 + i, ...ahead }));
  }
  return hosts;
}

/** The kernel of a setup's guest, in the memory of `host`; `watcher` sees what it does. */
export function guestAbove(host: HostMemory, setup: MethodSetup, watcher: GuestWatcher, events: EventCounts): GuestKernel {
  const { guest: format, guestPolicy: policy, hostPolicies, seed, filling } = setup;
  const ahead = hostPolicies[0].populate ? aheadIn(host) : {};
  const told = filling === undefined ? {} : { filling };
  return new GuestKernel({ format, memory: tableMemoryOf(policy), policy, seed, watcher, events, ...ahead, ...told });
}

/** For whoever lives in the memory of `host`: it is filled as it comes into use. */
function aheadIn(host: HostMemory): { taken(frame: number, pages: number): void } {
  return { taken: (frame, pages) => host.fillAll(frame, pages) };
}

/** Walks of `tables`, which lie in the memory of the first of `hosts`, through the tables of all of these. */
export function translationThrough(
  hosts: readonly HostMemory[],
  { machine, tables, front }: { readonly machine: MachineConfig; readonly tables: DimensionSetup; readonly front?: ShadowFront },
): Translation {
  const dimensions = [tables, ...hosts.map((host) => host.tables)];
  const translation = new Translation({ machine, dimensions, ...(front === undefined ? {} : { front }) });
  hosts.forEach(({ root }, i) => translation.setRoot(i + 1, root));
  return translation;
}

/** Gives a page its frame that the tables of one of `hosts` have refused, those that the translation goes through. */
export function fillRefused({ refusedDimension, refusedPage }: Translation, hosts: readonly HostMemory[], events: EventCounts): void {
  const host = hosts[refusedDimension - 1];
  kassert(host.frameOf(refusedPage) < 0, 'hosted guest: a host refuses what it has mapped');
  host.fill(refusedPage);
  events.hostFaults++;
  events.exits++;
  if (refusedDimension < hosts.length) events.injections++; // the machine's own host hands it to the one above
}

/** A watcher that is named before there is one: the guest's kernel needs it, and its hypervisor needs the kernel's tables. */
export class LateWatcher implements GuestWatcher {
  to: GuestWatcher | null = null;

  entryWritten(space: number, level: number, entryAddress: number, page: number): void {
    this.to?.entryWritten(space, level, entryAddress, page);
  }

  invalidated(space: number, page: number, pages: number, singles: number, tablesToo: boolean): void {
    this.to?.invalidated(space, page, pages, singles, tablesToo);
  }

  switched(space: number): void {
    this.to?.switched(space);
  }

  created(space: number, root: number): void {
    this.to?.created(space, root);
  }

  destroyed(space: number): void {
    this.to?.destroyed(space);
  }
}
