/**
 * What happens to frames: binding, splitting, breaking copy-on-write, losing an entry. One function a step of the
 * design; requests and their checks are in physmem.ts, the records in frame.ts.
 *
 *   split       one frame of 2n pages -> two of n over the same memory. No data moves, nothing is flushed or charged
 *   normalise   no entry: free it. Covered by an entry: leave it. Else split, and normalise both halves
 *   carve       take [from, to) of an entry out: flush, detach, put back what is left of it, normalise
 *   break       give the group of an entry a frame of its own, with a copy of the contents
 *
 * With `carve` defined by `normalise`, nobody works out who inherits which part of a frame: the largest remaining
 * entries do. Copy-on-write counts are never kept, so they cannot be wrong.
 *
 * Source: hurd-l4 physmem/frame.c, frame-entry.c, in a formulation of our own: there, re-homing survivors is a case
 * analysis of seven hundred lines.
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import type { GuestFrame } from '../../../hostkernel/base/units.ts';
import { MAP_WRITE } from '../interface.ts';
import type { Container } from './container.ts';
import { spanPiece } from './dyadic.ts';
import { attach, baseOf, detach, Frame, FrameEntry, isCopyOnWrite, isCovered, UNBOUND } from './frame.ts';
import { NO_BLOCK, Zones } from './zone.ts';

/** Access to the contents of guest memory. Frames and lengths in pages. */
export interface FrameMemory {
  zero(frame: GuestFrame, pages: number): void;
  copy(to: GuestFrame, from: GuestFrame, pages: number): void;
}

/** Takes `rights` to [frame, frame + pages), a dyadic block, away from every address space that has it from us. */
export type Flush = (frame: GuestFrame, pages: number, rights: number) => void;

export interface FramesOptions {
  readonly memory: FrameMemory;
  readonly flush: Flush;
  /** Largest piece copied at once when copy-on-write is broken, in pages: larger frames are split first. */
  readonly copyPages: number;
}

/** Events since the start, for benches and accounts. */
export interface FrameCounters {
  flushes: number;
  binds: number; // frames that got memory at first use
  zeroedPages: number;
  copies: number; // frames copied to break copy-on-write
  copiedPages: number;
  splits: number;
}

export class Frames {
  readonly zones = new Zones();
  readonly counters: FrameCounters = { flushes: 0, binds: 0, zeroedPages: 0, copies: 0, copiedPages: 0, splits: 0 };
  boundPages = 0;
  readonly #memory: FrameMemory;
  readonly #flushBlock: Flush;
  readonly #copyPages: number;
  #lastGroup = 0;

  constructor(options: FramesOptions) {
    this.#memory = options.memory;
    this.#flushBlock = options.flush;
    this.#copyPages = options.copyPages;
  }

  /** A group number nobody has. */
  newGroup(): number {
    this.#lastGroup += 1;
    return this.#lastGroup;
  }

  /** Puts a frame of its own under container pages [start, start + pages), a free range. `pages` is a power of two. */
  place(container: Container, start: number, pages: number, address: GuestFrame): void {
    if (address !== UNBOUND) this.boundPages += pages;
    const frame = new Frame(pages, address);
    container.entries.insert(new FrameEntry(container, start, pages, frame, 0, this.newGroup()));
  }

  /** Adds entries over frame pages [from, to), at the container pages that begin at `start`, all of `group`. */
  cover(container: Container, start: number, frame: Frame, from: number, to: number, group: number): void {
    for (let offset = from; offset < to; ) {
      const pages = spanPiece(offset, to);
      container.entries.insert(new FrameEntry(container, start + offset - from, pages, frame, offset, group));
      offset += pages;
    }
  }

  /**
   * Gives the frame of the entry that holds `page` memory, if it has none: all of it, or else smaller and smaller parts
   * around `page`. Cleared.
   * @returns the entry that holds `page` now; null where not even one page is free
   */
  bind(found: FrameEntry, page: number): FrameEntry | null {
    for (let entry = found; ; entry = entryAt(entry.container, page)) {
      const frame = entry.frame;
      if (frame.address !== UNBOUND) return entry;
      const address = this.zones.allocate(frame.pages);
      if (address !== NO_BLOCK) {
        this.#memory.zero(address, frame.pages);
        frame.address = address;
        this.boundPages += frame.pages;
        this.counters.binds += 1;
        this.counters.zeroedPages += frame.pages;
        return entry;
      }
      if (frame.pages === 1) return null;
      this.split(frame);
    }
  }

  /**
   * Separates the group of the entry that holds `page` from the other groups of its frame, so that it may be written.
   * What moves to the new frame is the group's largest entry around `page`, with every member inside it: sharers stay
   * sharers, in whatever container. Members elsewhere on the frame stay: they never overlapped.
   * @returns the entry that holds `page` now; null where there is no memory for the copy (then nothing observable has
   *   changed). For a single page that cannot happen to a principal within its guarantee.
   */
  breakCopyOnWrite(found: FrameEntry, page: number): FrameEntry | null {
    for (let entry = found; ; entry = entryAt(entry.container, page)) {
      const frame = entry.frame;
      if (!isCopyOnWrite(frame)) return entry;
      const base = baseOf(entry);
      const bound = frame.address !== UNBOUND;
      if (bound && base.pages > this.#copyPages) {
        this.split(frame);
        continue;
      }
      const address = bound ? this.zones.allocate(base.pages) : UNBOUND;
      if (bound && address === NO_BLOCK) {
        if (base.pages === 1) return null;
        this.split(frame);
        continue;
      }
      this.#moveGroup(base, new Frame(base.pages, address));
      this.normalise(frame);
      return entry;
    }
  }

  /** Takes container pages [from, to) of `entry`, not empty, out of its container. Charges are the caller's. */
  carve(entry: FrameEntry, from: number, to: number): void {
    const { container, frame, start, offset, pages, group } = entry;
    const end = start + pages;
    this.flushEntry(entry);
    container.entries.remove(entry);
    detach(entry);
    if (start < from) this.cover(container, start, frame, offset, offset + from - start, group);
    if (to < end) this.cover(container, to, frame, offset + to - start, offset + pages, group);
    this.normalise(frame);
  }

  /** Revokes what was granted on the range of `entry`, for everybody: there is no way to unmap from one task only. */
  flushEntry(entry: FrameEntry): void {
    this.#flush(entry.frame, entry.offset, entry.pages, entry.frame.granted);
  }

  /** Before a copy-on-write copy of `frame` exists: nobody may keep a writable mapping of any part of it. */
  revokeWrite(frame: Frame): void {
    if ((frame.granted & MAP_WRITE) === 0) return;
    this.#flush(frame, 0, frame.pages, MAP_WRITE);
  }

  /**
   * Replaces a frame by two halves over the same memory: `frame` itself becomes the lower one.
   * @returns the upper half; it has no entries where nobody uses that half
   */
  split(frame: Frame): Frame {
    const half = frame.pages / 2;
    kassert(half >= 1, 'frames: splitting a page');
    const upper = new Frame(half, frame.address === UNBOUND ? UNBOUND : ((frame.address + half) as GuestFrame));
    upper.granted = frame.granted;
    frame.pages = half;
    this.counters.splits += 1;
    let next: FrameEntry | null;
    for (let entry = frame.first; entry !== null; entry = next) {
      next = entry.next;
      if (entry.pages > half) {
        entry.pages = half;
        entry.container.entries.insert(new FrameEntry(entry.container, entry.start + half, half, upper, 0, entry.group));
      } else if (entry.offset >= half) {
        detach(entry);
        entry.offset -= half;
        attach(entry, upper);
      }
    }
    return upper;
  }

  /** Restores the cover: frees what no entry uses, and cuts the rest into one frame a largest entry. */
  normalise(frame: Frame): void {
    if (frame.first === null) {
      this.#discard(frame);
      return;
    }
    if (isCovered(frame)) return;
    const upper = this.split(frame);
    this.normalise(frame);
    this.normalise(upper);
  }

  /** Moves `base` and the members of its group inside it to `target`, with the contents. */
  #moveGroup(base: FrameEntry, target: Frame): void {
    const { frame, offset, pages, group } = base;
    this.#flush(frame, offset, pages, frame.granted);
    if (target.address !== UNBOUND) {
      this.#memory.copy(target.address, (frame.address + offset) as GuestFrame, pages);
      this.boundPages += pages;
      this.counters.copies += 1;
      this.counters.copiedPages += pages;
    }
    let next: FrameEntry | null;
    for (let entry = frame.first; entry !== null; entry = next) {
      next = entry.next;
      if (entry.group !== group || entry.offset < offset || entry.offset >= offset + pages) continue;
      detach(entry);
      entry.offset -= offset;
      attach(entry, target);
    }
  }

  /** The last entry of a frame has gone. */
  #discard(frame: Frame): void {
    this.#flush(frame, 0, frame.pages, frame.granted);
    if (frame.address === UNBOUND) return;
    this.zones.free(frame.address, frame.pages);
    this.boundPages -= frame.pages;
    frame.address = UNBOUND;
  }

  /** Revokes `rights` on part of a frame. Where that is the whole frame, they count as never granted again. */
  #flush(frame: Frame, offset: number, pages: number, rights: number): void {
    if (frame.granted === 0) return;
    kassert(frame.address !== UNBOUND, 'frames: rights granted on no memory');
    this.counters.flushes += 1;
    this.#flushBlock((frame.address + offset) as GuestFrame, pages, rights);
    if (pages === frame.pages) frame.granted &= ~rights;
  }
}

/** The entry that holds `page`, after a split: the page is present. */
function entryAt(container: Container, page: number): FrameEntry {
  const entry = container.entries.at(page);
  kassert(entry !== null, 'frames: a page was lost in a split');
  return entry;
}
