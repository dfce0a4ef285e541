/** Mapping: the pages of a container as map items, and fresh pages mapped at once. */

import { EBUSY, EINVAL, ENOENT } from '../../../hostkernel/base/errno.ts';
import { type GuestFrame, PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { ALL_OR_NONE, EXTRA, FORCE_WRITE, MAP_RIGHTS, MAP_WRITE } from '../interface.ts';
import { bind, breakCopyOnWrite } from './access.ts';
import { allocate } from './allocate.ts';
import type { Container } from './container.ts';
import { vacate } from './deallocate.ts';
import { xspanPiece } from './dyadic.ts';
import { type EntryId, type FrameId, isCopyOnWrite, NO_ENTRY, STALE } from './frame-table.ts';
import { flushFrame } from './frames.ts';
import { firstLocked } from './holds.ts';
import type { Physmem } from './physmem.ts';
import { hasOnly, isRange } from './range.ts';
import { WAIT } from './reclaim.ts';

const MAP_FLAGS = MAP_RIGHTS | FORCE_WRITE;
const PROVIDE_FLAGS = MAP_FLAGS | ALL_OR_NONE | EXTRA;

/** Where `map` puts its items: the reply being built. */
export interface MapSink {
  /** Items it still takes. */
  readonly room: number;
  /** Maps [frame, frame + pages) at page `page` of the client: a power of two, aligned at both. */
  item(frame: GuestFrame, pages: number, page: number, rights: number): void;
  /** Forgets all items. */
  clear(): void;
}

/**
 * Maps container bytes [index, index + size) at vaddr, as far as `sink` has room: the client asks again for the rest.
 * A success maps at least one page. Items lack WRITE where the page is shared copy-on-write, unless FORCE_WRITE
 * makes the copy now. First use binds memory.
 * @returns 0, or an errno; items made before it are good
 *   EINVAL  not page aligned, size 0, wraps, no rights, an unknown flag
 *   ENOENT  a page is absent
 *   ENOMEM  no memory for it: the principal holds more than its guarantee, or others do
 *   EBUSY   it must be copied to be written, and all who share it have it pinned
 *   EIO     and others of the swap store: what was put away cannot be read
 *   WAIT    see reclaim.ts. Where some pages could be mapped first, they are, and that is a success
 * Cost: O(log entries + items). Hot: allocates nothing but the frames it binds or copies.
 */
export function map(pm: Physmem, container: Container, flags: number, vaddr: number, index: number, size: number, sink: MapSink): number {
  if (!hasOnly(flags, MAP_FLAGS) || (flags & MAP_RIGHTS) === 0 || size === 0) return EINVAL;
  if (!isRange(pm, index, size) || !isRange(pm, vaddr, size)) return EINVAL;
  pm.counters.maps += 1;
  const end = (index + size) / PAGE_SIZE;
  const displacement = (vaddr - index) / PAGE_SIZE; // client page - container page
  const first = index / PAGE_SIZE;
  let { relocations } = pm;
  for (let page = first; page < end && sink.room > 0; ) {
    const found = container.entries.at(page);
    if (found === NO_ENTRY) return ENOENT;
    const entry = readyEntry(pm, found, page, flags);
    if (pm.relocations !== relocations && page > first) {
      sink.clear(); // memory of pages before this one may have moved, and its items name the old place
      if (entry === NO_ENTRY) return pm.refusal;
      relocations = pm.relocations;
      page = first;
      continue;
    }
    if (entry === NO_ENTRY) return pm.refusal === WAIT && page > first ? 0 : pm.refusal;
    page = mapEntry(pm, entry, page, end, displacement, flags & MAP_RIGHTS, sink);
  }
  return 0;
}

/**
 * Puts fresh pages at container bytes [index, index + size) and maps them at vaddr, as far as `sink` has room: what
 * allocate and map do, in one request. Without ALL_OR_NONE fewer pages than asked for are a success.
 * @returns 0 with `amount`, the bytes allocated; or an errno, and then nothing is allocated and nothing is mapped:
 *   EINVAL, EEXIST, ENOMEM as from allocate, then ENOMEM as from map; EBUSY a page to be written would be locked
 * Hot: allocates nothing but the frames, their entries, and what those need.
 */
export function provide(
  pm: Physmem,
  container: Container,
  flags: number,
  vaddr: number,
  index: number,
  size: number,
  sink: MapSink,
): number {
  pm.amount = 0;
  if (!hasOnly(flags, PROVIDE_FLAGS) || (flags & MAP_RIGHTS) === 0 || !isRange(pm, vaddr, size)) return EINVAL;
  if ((flags & MAP_WRITE) !== 0 && isRange(pm, index, size) && isLocked(pm, container, index, size)) return EBUSY;
  const refused = allocate(pm, container, flags & (ALL_OR_NONE | EXTRA), index, size);
  if (pm.amount === 0) return refused;
  const error = map(pm, container, flags & MAP_FLAGS, vaddr, index, pm.amount, sink);
  if (error === 0) return 0;
  vacate(pm, container, index / PAGE_SIZE, (index + pm.amount) / PAGE_SIZE);
  pm.amount = 0;
  sink.clear();
  return error;
}

function isLocked(pm: Physmem, container: Container, index: number, size: number): boolean {
  const end = (index + size) / PAGE_SIZE;
  return firstLocked(pm, container, index / PAGE_SIZE, end) < end;
}

/** The entry that holds `page`, separated and bound as a mapping with `flags` needs it; NO_ENTRY without memory. */
function readyEntry(pm: Physmem, found: EntryId, page: number, flags: number): EntryId {
  const writes = (flags & MAP_WRITE) !== 0 && (flags & FORCE_WRITE) !== 0;
  const entry = writes ? breakCopyOnWrite(pm, found, page) : found;
  return entry === NO_ENTRY ? NO_ENTRY : bind(pm, entry, page);
}

/** Makes the items for container pages [from, limit) of one entry. @returns the page after the last one mapped */
function mapEntry(pm: Physmem, entry: EntryId, from: number, limit: number, displacement: number, wanted: number, sink: MapSink): number {
  const { table } = pm;
  const frame = table.frame[entry] as FrameId;
  const end = Math.min(limit, table.start[entry] + (1 << table.log2[entry]));
  const rights = (wanted & MAP_WRITE) !== 0 && isCopyOnWrite(table, frame) ? wanted & ~MAP_WRITE : wanted;
  const base = table.address[frame] + table.offset[entry] - table.start[entry]; // guest frame - container page
  if ((rights & MAP_WRITE) !== 0 && (table.state[frame] & STALE) !== 0) flushFrame(pm, frame);
  table.granted[frame] |= rights;
  let page = from;
  while (page < end && sink.room > 0) {
    const piece = xspanPiece(base + page, base + end, displacement + page);
    sink.item((base + page) as GuestFrame, piece, displacement + page, rights);
    pm.counters.items += 1;
    page += piece;
  }
  return page;
}
