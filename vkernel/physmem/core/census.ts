/**
 * A census of physmem: who holds what, in which frames, and how much of it is shared. Plain data, the same from a running
 * system and from a crash dump. It only looks; on a system that is no longer sound it shows what it finds.
 *
 * Pages are base pages of 4 KiB. Not here: how a person is shown it (cli/info-text.ts).
 */

import { type MemoryControl, subtreeOf } from './control.ts';
import { BOUND, CONSTRAINED, entriesOf, type FrameId, ON_DISK, PINNED, PLACE, STALE } from './frame-table.ts';
import type { Physmem, PhysmemCounters } from './physmem.ts';

/** A memory control, with those split from it. */
export interface ControlCensus {
  readonly limit: number; // pages it may itself guarantee
  readonly used: number; // pages charged to it
  readonly overhead: number; // pages of descriptors charged to it
  readonly abandoned: boolean; // no task holds it any more
  readonly principal: PrincipalCensus | null; // of a control directly below the root
  readonly containers: readonly ContainerCensus[];
  readonly children: readonly ControlCensus[];
}

/** What the policy server sees: a row of its buffer. */
export interface PrincipalCensus {
  readonly task: number;
  readonly guaranteed: number;
  readonly allocated: number;
  readonly extra: number;
  readonly returning: boolean; // it has been asked for pages
  readonly dropped: boolean; // it has lost memory because it did not return what it was asked for
}

export interface ContainerCensus {
  readonly id: number;
  readonly kind: string; // 'user', 'swap' or 'soft'
  readonly pages: number; // present
  readonly entries: number;
  readonly boundPages: number; // of those, seen in memory
  readonly sharedPages: number; // of those present, on frames that somebody else is on too
}

/** Frames of one size. */
export interface FrameCensus {
  readonly pages: number; // of each
  readonly unbound: number;
  readonly bound: number;
  readonly onDisk: number;
  readonly copyOnWrite: number; // seen by more than one group
  readonly stale: number;
  readonly pinned: number;
  readonly constrained: number;
}

/** How many frames have so many sharing groups, and in how many entries. */
export interface GroupCensus {
  readonly groups: number;
  readonly frames: number;
  readonly entries: number;
}

export interface PhysmemCensus {
  readonly memory: {
    readonly received: number; // = fixed + free + bound
    readonly fixed: number;
    readonly free: number;
    readonly bound: number;
    readonly charged: number;
  };
  readonly controls: ControlCensus; // the root
  readonly frames: readonly FrameCensus[]; // sizes that occur, ascending
  readonly sharing: readonly GroupCensus[];
  readonly fragmentation: {
    readonly blocks: readonly { readonly pages: number; readonly free: number }[]; // sizes that occur, ascending
    readonly largest: number; // pages of the largest free block
    /** Share of free memory that is not in the largest block: 0 is one piece. */
    readonly scattered: number;
  };
  readonly tableBytes: number; // of physmem's own frame and entry tables
  readonly counters: Readonly<PhysmemCounters>;
}

/** Looks at everything. O(entries + controls). */
export function takeCensus(physmem: Physmem): PhysmemCensus {
  const { zones, table, receivedPages, fixedPages, boundPages } = physmem;
  const seen = countFrames(physmem);
  return {
    memory: {
      received: receivedPages,
      fixed: fixedPages,
      free: zones.freePages,
      bound: boundPages,
      charged: subtreeOf(physmem.root).reduce((sum, control) => sum + control.used, 0),
    },
    controls: controlCensus(physmem, physmem.root),
    frames: [...seen.frames.values()].sort((a, b) => a.pages - b.pages),
    sharing: [...seen.sharing.values()].sort((a, b) => a.groups - b.groups),
    fragmentation: fragmentation(physmem),
    tableBytes: table.bytes,
    counters: { ...physmem.counters },
  };
}

type Counting<T> = { -readonly [K in keyof T]: T[K] };

function countFrames({ table }: Physmem): { frames: Map<number, FrameCensus>; sharing: Map<number, GroupCensus> } {
  const frames = new Map<number, Counting<FrameCensus>>();
  const sharing = new Map<number, Counting<GroupCensus>>();
  for (let id = 1; id < table.frameEnd; id += 1) {
    if (!table.isFrame(id)) continue;
    const pages = 2 ** table.size[id];
    const state = table.state[id];
    const entries = entriesOf(table, id as FrameId);
    const groups = new Set(entries.map((entry) => table.group[entry])).size;
    const counts = frames.get(pages) ?? { pages, unbound: 0, bound: 0, onDisk: 0, copyOnWrite: 0, stale: 0, pinned: 0, constrained: 0 };
    frames.set(pages, counts);
    if ((state & PLACE) === BOUND) counts.bound += 1;
    else if ((state & PLACE) === ON_DISK) counts.onDisk += 1;
    else counts.unbound += 1;
    if (groups > 1) counts.copyOnWrite += 1;
    if ((state & STALE) !== 0) counts.stale += 1;
    if ((state & PINNED) !== 0) counts.pinned += 1;
    if ((state & CONSTRAINED) !== 0) counts.constrained += 1;
    const shared = sharing.get(groups) ?? { groups, frames: 0, entries: 0 };
    sharing.set(groups, shared);
    shared.frames += 1;
    shared.entries += entries.length;
  }
  return { frames, sharing };
}

/** A control and what is below it. A chain of controls may be of any length: no recursion. */
function controlCensus(physmem: Physmem, root: MemoryControl): ControlCensus {
  const done = new Map<MemoryControl, ControlCensus>();
  const below = (control: MemoryControl): ControlCensus[] =>
    [...control.children].map((child) => done.get(child)).filter((child) => child !== undefined);
  const controls = subtreeOf(root).reverse();
  for (const control of controls) {
    const containers = physmem.containers.filter((container) => container !== undefined && container.control === control);
    done.set(control, {
      limit: control.limit,
      used: control.used,
      overhead: control.overhead,
      abandoned: control.abandoned,
      principal: control.parent === root ? principalCensus(control) : null,
      containers: containers.map((container) => containerCensus(physmem, container as NonNullable<typeof container>)),
      children: below(control),
    });
  }
  return done.get(root) as ControlCensus; // the last of them
}

function principalCensus({ principal }: MemoryControl): PrincipalCensus {
  const { task, guaranteed, allocated, extra, request, dropped } = principal;
  return { task, guaranteed, allocated, extra, returning: request !== null, dropped };
}

function containerCensus({ table }: Physmem, { id, kind, pages, entries }: NonNullable<Physmem['containers'][number]>): ContainerCensus {
  let boundPages = 0;
  let sharedPages = 0;
  const all = entries.toArray();
  for (const entry of all) {
    const frame = table.frame[entry];
    const size = 2 ** table.log2[entry];
    if ((table.state[frame] & PLACE) === BOUND) boundPages += size;
    if (table.next[table.first[frame]] !== 0) sharedPages += size;
  }
  return { id, kind, pages, entries: all.length, boundPages, sharedPages };
}

function fragmentation({ zones }: Physmem): PhysmemCensus['fragmentation'] {
  const blocks: { pages: number; free: number }[] = [];
  for (let order = 0; order < 31; order += 1) {
    const free = zones.blocks(order).length;
    if (free > 0) blocks.push({ pages: 2 ** order, free });
  }
  const largest = blocks.at(-1)?.pages ?? 0;
  return { blocks, largest, scattered: zones.freePages === 0 ? 0 : 1 - largest / zones.freePages };
}
