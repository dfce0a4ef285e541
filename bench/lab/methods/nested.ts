/**
 * Nested paging: the processor walks the guest's tables and its host's, one through the other. The guest does with its
 * tables what it likes; the host learns of nothing but guest-physical memory that has no frame yet. A host may be a guest
 * itself: then its own host, below it, has tables too.
 *
 *   program --guest's tables--> guest-physical --host's--> ... --the last host's--> memory
 *                                    | refused: host fault, filled (host-memory.ts), once more
 */
import type { Translation } from '../../../hostkernel/machine/timing/index.ts';
import { newEvents } from '../events.ts';
import type { HostMemory } from '../guest/host-memory.ts';
import type { GuestKernel } from '../guest/kernel.ts';
import { LabError } from '../guest/lab-error.ts';
import type { Batch } from '../stream.ts';
import { AccessLoop } from './access-loop.ts';
import { fillRefused, guestAbove, hostsOf, LateWatcher, translationThrough } from './hosted-guest.ts';
import type { Method, MethodSetup } from './method.ts';
import { DirectGuest } from './native.ts';
import { DesignRecorder } from './post-processed.ts';

export interface NestedMethod extends Method {
  readonly kernel: GuestKernel;
  readonly hosts: readonly HostMemory[]; // the guest's own first
  readonly translation: Translation;
}

export function nested(setup: MethodSetup): NestedMethod {
  const { machine, guest, hosts: formats } = setup;
  if (formats.length === 0) throw new LabError('nested paging: a host is missing');
  const events = newEvents();
  const hosts = hostsOf(setup);
  const watcher = new LateWatcher();
  const kernel = guestAbove(hosts[0], setup, watcher, events);
  const translation = translationThrough(hosts, { machine, tables: kernel.tables });
  watcher.to = new DirectGuest(translation);
  const hooks = {
    resolve: () => {
      if (translation.refusedDimension === 0) return false;
      fillRefused(translation, hosts, events);
      return true;
    },
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
