/**
 * Nested paging: the processor walks the guest's tables and its host's, one through the other. The guest does with its
 * tables what it likes; the host learns of nothing but guest-physical memory that has no frame yet. A host may be a guest
 * itself: then its own host, below it, has tables too.
 *
 *   program --guest's tables--> guest-physical --host's--> ... --the last host's--> memory
 *                                    | refused: host fault, filled (host-memory.ts), once more
 */
import { kassert } from '../../../hostkernel/base/assert.ts';
import { Translation } from '../../../hostkernel/machine/timing/index.ts';
import { type EventCounts, newEvents } from '../events.ts';
import { HostMemory } from '../guest/host-memory.ts';
import { GuestKernel } from '../guest/kernel.ts';
import { LabError } from '../guest/lab-error.ts';
import type { MemoryPolicy } from '../guest/policy.ts';
import type { Batch } from '../stream.ts';
import { AccessLoop } from './access-loop.ts';
import type { Method, MethodSetup } from './method.ts';
import { DirectGuest, tableMemoryOf } from './native.ts';
import { DesignRecorder } from './post-processed.ts';

export interface NestedMethod extends Method {
  readonly kernel: GuestKernel;
  readonly hosts: readonly HostMemory[]; // the guest's own first
  readonly translation: Translation;
}

export function nested(setup: MethodSetup): NestedMethod {
  const { machine, guest, hosts: formats, guestPolicy, hostPolicies, seed } = setup;
  if (formats.length === 0) throw new LabError('nested paging: a host is missing');
  const events = newEvents();
  const hosts: HostMemory[] = [];
  for (let i = formats.length - 1; i >= 0; i--) {
    const policy = hostPolicies[i];
    const below = hosts[0];
    hosts.unshift(
      new HostMemory({
        format: formats[i],
        memory: tableMemoryOf(policy),
        policy,
        seed: seed + 1 + i,
        ...aheadIn(below, hostPolicies[i + 1]),
      }),
    );
  }
  const memory = tableMemoryOf(guestPolicy);
  const dimensions = [{ format: guest, memory }, ...hosts.map(({ tables }) => ({ format: tables.format, memory: tables.memory }))];
  const translation = new Translation({ machine, dimensions });
  hosts.forEach(({ root }, i) => translation.setRoot(i + 1, root));
  const watcher = new DirectGuest(translation);
  const kernel = new GuestKernel({
    format: guest,
    memory,
    policy: guestPolicy,
    seed,
    watcher,
    events,
    ...aheadIn(hosts[0], hostPolicies[0]),
  });
  const hooks = {
    resolve: () => resolve(translation, hosts, events),
    hostUnmap: (page: number, pages: number) => {
      const unmapped = hosts[0].unmap(page, pages);
      if (unmapped > 0) translation.invalidateNested(1, page, pages);
      return unmapped;
    },
  };
  const loop = new AccessLoop({ machine, translation, kernel, events, hooks });
  const method = { name: 'nested', kernel, hosts, translation, consume: (batch: Batch) => loop.consume(batch) };
  if (setup.withDesigns !== true || hosts.length > 1) return { ...method, finish: () => loop.counts() };
  const recorder = new DesignRecorder(guest.levels, formats[0].levels);
  translation.recorder = recorder;
  return { ...method, finish: () => ({ ...loop.counts(), designs: recorder.designs }) };
}

/** Fills the page of guest-physical memory that was missing. @returns false: it is the guest's own tables that refuse */
function resolve({ refusedDimension, refusedPage }: Translation, hosts: readonly HostMemory[], events: EventCounts): boolean {
  if (refusedDimension === 0) return false;
  const host = hosts[refusedDimension - 1];
  kassert(host.frameOf(refusedPage) < 0, 'nested: a host refuses what it has mapped');
  host.fill(refusedPage);
  events.hostFaults++;
  events.exits++;
  if (refusedDimension < hosts.length) events.injections++; // the machine's own host hands it to the one above
  return true;
}

/** For whoever lives in the memory of `host`: memory is filled as it comes into use, if the host does so. */
function aheadIn(host: HostMemory | undefined, policy: MemoryPolicy | undefined): { taken?: (frame: number, pages: number) => void } {
  if (host === undefined || policy?.populate !== true) return {};
  return { taken: (frame, pages) => host.fillAll(frame, pages) };
}
