/**
 * Frames and frame entries: which page of which container is which physical page. Struct of arrays, indexed by id.
 *
 *   container A   [ entry 4P ]----------+
 *                                       v
 *   container B   [entry 1P][1P]----> frame 4P ----> address, or a promise (reads as zero), or a place on disk
 *                                       ^
 *   container C   [ entry 4P ]----------+            all entries of a frame hang on its list
 *
 * An entry says: container pages [start, start + 2^log2) are frame pages [offset, offset + 2^log2). Entries of one frame
 * with the same group number see each other's writes; entries of different groups are copies of each other, made when
 * one is written. A group is known by frame and number together, so a frame that is split splits its groups. There is
 * no tree of ancestry: a frame knows its groups and nothing of who copied whom.
 *
 *   state of a frame    7      6          5         4            3       2      1 0
 *                       CLEAN  SOFT_ONLY  INACTIVE  CONSTRAINED  PINNED  STALE  UNBOUND, BOUND or ON_DISK
 *
 * The arrays are replaced when the table grows: never keep one across a call that may make a frame or an entry.
 * Not here: what happens to frames (frames.ts), and the ordered set of a container's entries (entry-set.ts).
 * Source: hurd-l4 physmem/priv.h, frame.c, frame-entry.c.
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import type { Placement } from './placement.ts';

declare const brand: unique symbol;

export type FrameId = number & { readonly [brand]: 'FrameId' };
export type EntryId = number & { readonly [brand]: 'EntryId' };

/** Ids begin at 1. */
export const NO_FRAME = 0 as FrameId;
export const NO_ENTRY = 0 as EntryId;

// Where the contents of a frame are: the low two bits of its state.
export const UNBOUND = 0; // nowhere: it reads as zero
export const BOUND = 1; // in memory, at `address`
export const ON_DISK = 2; // in the swap slots that begin at `address`
export const PLACE = 3; // the mask of these

export const STALE = 4; // someone may still read it through a mapping that was not taken away
export const PINNED = 8; // an entry of it is pinned, see pinned.ts
export const CONSTRAINED = 16; // its memory must lie at certain addresses: placement.ts knows which

export const INACTIVE = 32; // only swap needs it: on the list of those to be written out (hidden.ts)
export const SOFT_ONLY = 64; // only soft references do: on the list of those to be taken
export const CLEAN = 128; // in memory, and in a swap slot too, which has the same contents

const FREE = 0xff; // size of a frame that does not exist
const FIRST_CAPACITY = 64;

export class FrameTable {
  // Frames.
  address = new Int32Array(FIRST_CAPACITY); // BOUND: first guest frame; ON_DISK: first slot; else meaningless
  size = new Uint8Array(FIRST_CAPACITY).fill(FREE); // log2 of its pages
  granted = new Uint8Array(FIRST_CAPACITY); // rights handed out since the last flush of the whole frame
  state = new Uint8Array(FIRST_CAPACITY);
  first = new Int32Array(FIRST_CAPACITY); // head of the list of entries; for a free id the next free one

  /** Details of CONSTRAINED frames: placement.ts. */
  readonly placements = new Map<FrameId, Placement>();

  // Entries.
  start = new Float64Array(FIRST_CAPACITY); // container page
  log2 = new Uint8Array(FIRST_CAPACITY); // of its pages
  frame = new Int32Array(FIRST_CAPACITY); // NO_FRAME: the id is free
  offset = new Int32Array(FIRST_CAPACITY); // page in the frame, a multiple of its pages
  group = new Float64Array(FIRST_CAPACITY);
  next = new Int32Array(FIRST_CAPACITY); // on the frame's list; for a free id the next free one
  prev = new Int32Array(FIRST_CAPACITY);
  container = new Int32Array(FIRST_CAPACITY); // id

  /** Frames and entries that exist. */
  frames = 0;
  entries = 0;
  /** Counts changes to which entry is on which frame: equal before and after means that nothing has moved. */
  changes = 0;
  #freeFrame = 0;
  #freeEntry = 0;
  #frameEnd = 1; // ids from here on were never used
  #entryEnd = 1;
  #lastGroup = 0;

  /** A group number nobody has. */
  newGroup(): number {
    this.#lastGroup += 1;
    return this.#lastGroup;
  }

  /** Makes a frame of 2^size pages without entries: nothing granted, state as given. */
  newFrame(size: number, state: number, address: number): FrameId {
    let id = this.#freeFrame;
    if (id !== NO_FRAME) this.#freeFrame = this.first[id];
    else {
      if (this.#frameEnd === this.size.length) this.#growFrames();
      id = this.#frameEnd;
      this.#frameEnd += 1;
    }
    this.frames += 1;
    this.address[id] = address;
    this.size[id] = size;
    this.granted[id] = 0;
    this.state[id] = state;
    this.first[id] = NO_ENTRY;
    return id as FrameId;
  }

  /** Forgets a frame without entries. */
  freeFrame(frame: FrameId): void {
    kassert(this.first[frame] === NO_ENTRY && this.size[frame] !== FREE, 'frame I5');
    if ((this.state[frame] & CONSTRAINED) !== 0) this.placements.delete(frame);
    this.size[frame] = FREE;
    this.first[frame] = this.#freeFrame;
    this.#freeFrame = frame;
    this.frames -= 1;
  }

  /** Makes an entry and hangs it on its frame; the container does not know it yet. */
  newEntry(container: number, start: number, log2: number, frame: FrameId, offset: number, group: number): EntryId {
    let id = this.#freeEntry;
    if (id !== NO_ENTRY) this.#freeEntry = this.next[id];
    else {
      if (this.#entryEnd === this.log2.length) this.#growEntries();
      id = this.#entryEnd;
      this.#entryEnd += 1;
    }
    this.entries += 1;
    this.container[id] = container;
    this.start[id] = start;
    this.log2[id] = log2;
    this.offset[id] = offset;
    this.group[id] = group;
    attach(this, id as EntryId, frame);
    return id as EntryId;
  }

  /** Forgets an entry that hangs on no frame. */
  freeEntry(entry: EntryId): void {
    kassert(this.frame[entry] === NO_FRAME, 'entry: still on a frame');
    this.next[entry] = this.#freeEntry;
    this.#freeEntry = entry;
    this.entries -= 1;
  }

  /** Ids below this may be frames; `isFrame` tells. For walks over all of them. */
  get frameEnd(): number {
    return this.#frameEnd;
  }

  isFrame(id: number): boolean {
    return this.size[id] !== FREE;
  }

  /** Bytes of all arrays. */
  get bytes(): number {
    return this.size.length * (4 + 1 + 1 + 1 + 4) + this.log2.length * (8 + 1 + 4 + 4 + 8 + 4 + 4 + 4);
  }

  #growFrames(): void {
    const capacity = grown(this.size.length);
    this.address = copied(this.address, new Int32Array(capacity));
    this.size = copied(this.size, new Uint8Array(capacity).fill(FREE));
    this.granted = copied(this.granted, new Uint8Array(capacity));
    this.state = copied(this.state, new Uint8Array(capacity));
    this.first = copied(this.first, new Int32Array(capacity));
  }

  #growEntries(): void {
    const capacity = grown(this.log2.length);
    this.start = copied(this.start, new Float64Array(capacity));
    this.log2 = copied(this.log2, new Uint8Array(capacity));
    this.frame = copied(this.frame, new Int32Array(capacity));
    this.offset = copied(this.offset, new Int32Array(capacity));
    this.group = copied(this.group, new Float64Array(capacity));
    this.next = copied(this.next, new Int32Array(capacity));
    this.prev = copied(this.prev, new Int32Array(capacity));
    this.container = copied(this.container, new Int32Array(capacity));
  }
}

/** By an eighth: a million entries are copied eight times on the way, and no more than an eighth is idle. */
function grown(capacity: number): number {
  return capacity + Math.max(FIRST_CAPACITY, capacity >>> 3);
}

function copied<A extends { set(from: A): void }>(from: A, to: A): A {
  to.set(from);
  return to;
}

/**
 * Hangs an entry on `frame`: at the head of its list, or behind a head that covers the frame. So one that covers it is
 * found at once, however many small entries there are.
 */
export function attach(table: FrameTable, entry: EntryId, frame: FrameId): void {
  const head = table.first[frame];
  const size = table.size[frame];
  table.frame[entry] = frame;
  table.changes += 1;
  if (head !== NO_ENTRY && table.log2[head] === size && table.log2[entry] !== size) {
    const second = table.next[head];
    table.prev[entry] = head;
    table.next[entry] = second;
    table.next[head] = entry;
    if (second !== NO_ENTRY) table.prev[second] = entry;
    return;
  }
  table.prev[entry] = NO_ENTRY;
  table.next[entry] = head;
  if (head !== NO_ENTRY) table.prev[head] = entry;
  table.first[frame] = entry;
}

/** Takes an entry off its frame. */
export function detach(table: FrameTable, entry: EntryId): void {
  const next = table.next[entry];
  const prev = table.prev[entry];
  if (prev === NO_ENTRY) table.first[table.frame[entry]] = next;
  else table.next[prev] = next;
  if (next !== NO_ENTRY) table.prev[next] = prev;
  table.frame[entry] = NO_FRAME;
  table.changes += 1;
}

/** Whether some page of the frame may be owed a copy: it has entries of more than one group. */
export function isCopyOnWrite(table: FrameTable, frame: FrameId): boolean {
  const first = table.first[frame];
  if (first === NO_ENTRY) return false;
  const group = table.group[first];
  for (let entry = table.next[first]; entry !== NO_ENTRY; entry = table.next[entry]) {
    if (table.group[entry] !== group) return true;
  }
  return false;
}

/** Whether one entry covers the frame: while that holds, no page of it is unused. */
export function isCovered(table: FrameTable, frame: FrameId): boolean {
  const size = table.size[frame];
  for (let entry = table.first[frame]; entry !== NO_ENTRY; entry = table.next[entry]) {
    if (table.log2[entry] === size) return true;
  }
  return false;
}

/** The largest entry of `entry`'s group whose interval contains `entry`: what a write to it must take along. */
export function baseOf(table: FrameTable, entry: EntryId): EntryId {
  const group = table.group[entry];
  const offset = table.offset[entry];
  let base: number = entry;
  for (let other = table.first[table.frame[entry]]; other !== NO_ENTRY; other = table.next[other]) {
    if (table.group[other] !== group || table.log2[other] <= table.log2[base]) continue;
    if (table.offset[other] >>> table.log2[other] === offset >>> table.log2[other]) base = other;
  }
  return base as EntryId;
}

/** The entries of a frame. For checks, accounts and tests: it builds an array. */
export function entriesOf(table: FrameTable, frame: FrameId): EntryId[] {
  const entries: EntryId[] = [];
  for (let entry = table.first[frame]; entry !== NO_ENTRY; entry = table.next[entry]) entries.push(entry as EntryId);
  return entries;
}
