/** Native: the guest's kernel is the machine's own, and the processor walks its tables as they are. The measure of the others. */
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { type SpaceRoots, TableMemory, Translation } from '../../../hostkernel/machine/timing/index.ts';
import { newEvents } from '../events.ts';
import { GuestKernel } from '../guest/kernel.ts';
import type { MemoryPolicy } from '../guest/policy.ts';
import type { GuestWatcher } from '../guest/watcher.ts';
import { AccessLoop } from './access-loop.ts';
import type { Method, MethodSetup } from './method.ts';

/** Where the tables of a kernel with `policy` lie. */
export function tableMemoryOf({ tableBase, dataBase }: MemoryPolicy): TableMemory {
  return new TableMemory({ firstFrame: tableBase / PAGE_SIZE, frames: (dataBase - tableBase) / PAGE_SIZE });
}

/**
 * What the processor does when the guest's kernel invalidates or switches, where nobody stands between them: the watcher
 * of native and nested guests.
 */
export class DirectGuest implements GuestWatcher {
  readonly #translation: Translation;
  readonly #roots = new Map<number, SpaceRoots>();

  constructor(translation: Translation) {
    this.#translation = translation;
  }

  entryWritten(): void {}

  invalidated(space: number, page: number, pages: number, singles: number, tablesToo: boolean): void {
    if (singles === 0) this.#translation.invalidateSpace(space);
    else this.#translation.invalidateRange(space, page, pages, tablesToo);
  }

  switched(space: number): void {
    const roots = this.#roots.get(space);
    if (roots !== undefined) this.#translation.setSpace(space, roots);
  }

  created(space: number, root: number): void {
    this.#roots.set(space, { root });
  }

  destroyed(space: number): void {
    this.#translation.invalidateSpace(space);
    this.#roots.delete(space);
  }
}

export function native({
  machine,
  guest,
  guestPolicy,
  seed,
  filling,
}: MethodSetup): Method & { readonly kernel: GuestKernel; readonly translation: Translation } {
  const events = newEvents();
  const memory = tableMemoryOf(guestPolicy);
  const translation = new Translation({ machine, dimensions: [{ format: guest, memory }] });
  const told = filling === undefined ? {} : { filling };
  const watcher = new DirectGuest(translation);
  const kernel = new GuestKernel({ format: guest, memory, policy: guestPolicy, seed, watcher, events, ...told });
  const hooks = { resolve: () => false, hostUnmap: () => 0 };
  const loop = new AccessLoop({ machine, translation, kernel, events, hooks });
  return { name: 'native', kernel, translation, consume: (batch) => loop.consume(batch), finish: () => loop.counts() };
}
