/**
 * Frames and frame entries: which page of which container is which physical page.
 *
 *   container A   [ entry 4P ]----------+
 *                                       v
 *   container B   [entry 1P][1P]----> frame 4P ----> address, or unbound (a promise: reads as zero)
 *                                       ^
 *   container C   [ entry 4P ]----------+            all entries of a frame hang on its list
 *
 * An entry says: container pages [start, start + pages) are frame pages [offset, offset + pages). Entries of one frame
 * with the same group number see each other's writes; entries of different groups are copies of each other, made when
 * one is written. A group is known by frame and number together, so a frame that is split splits its groups. There is
 * no tree of ancestry: a frame knows its groups and nothing of who copied whom.
 *
 * Not here: what happens to frames (frames.ts), and the ordered set of a container's entries (entry-set.ts).
 * Source: hurd-l4 physmem/priv.h, frame.c, frame-entry.c.
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import type { GuestFrame } from '../../../hostkernel/base/units.ts';
import type { Container } from './container.ts';

/** Address of a frame that has no memory yet. */
export const UNBOUND = -1 as GuestFrame;

export class Frame {
  pages: number; // power of two
  address: GuestFrame; // first page, a multiple of `pages`; or UNBOUND
  granted = 0; // rights handed out since the last flush of the whole frame
  first: FrameEntry | null = null; // head of the list of entries
  entries = 0; // length of that list

  constructor(pages: number, address: GuestFrame) {
    this.pages = pages;
    this.address = address;
  }
}

export class FrameEntry {
  readonly container: Container;
  start: number; // container page
  pages: number; // power of two
  frame: Frame;
  offset: number; // page in the frame, a multiple of `pages`
  readonly group: number;
  next: FrameEntry | null = null; // on the frame's list
  prev: FrameEntry | null = null;

  /** Makes an entry and hangs it on its frame; the container does not know it yet. */
  constructor(container: Container, start: number, pages: number, frame: Frame, offset: number, group: number) {
    this.container = container;
    this.start = start;
    this.pages = pages;
    this.frame = frame;
    this.offset = offset;
    this.group = group;
    attach(this, frame);
  }
}

/** Hangs an entry on `frame`, at the head of its list. */
export function attach(entry: FrameEntry, frame: Frame): void {
  entry.frame = frame;
  entry.prev = null;
  entry.next = frame.first;
  if (frame.first !== null) frame.first.prev = entry;
  frame.first = entry;
  frame.entries += 1;
}

/** Takes an entry off its frame. */
export function detach(entry: FrameEntry): void {
  const { frame, next, prev } = entry;
  if (prev === null) frame.first = next;
  else prev.next = next;
  if (next !== null) next.prev = prev;
  entry.next = null;
  entry.prev = null;
  frame.entries -= 1;
}

/** Whether some page of the frame may be owed a copy: it has entries of more than one group. */
export function isCopyOnWrite(frame: Frame): boolean {
  const first = frame.first;
  if (first === null) return false;
  for (let entry = first.next; entry !== null; entry = entry.next) {
    if (entry.group !== first.group) return true;
  }
  return false;
}

/** Whether one entry covers the frame: while that holds, no page of it is unused. */
export function isCovered(frame: Frame): boolean {
  for (let entry = frame.first; entry !== null; entry = entry.next) {
    if (entry.pages === frame.pages) return true;
  }
  return false;
}

/** The largest entry of `entry`'s group whose interval contains `entry`: what a write to it must take along. */
export function baseOf(entry: FrameEntry): FrameEntry {
  let base = entry;
  for (let other = entry.frame.first; other !== null; other = other.next) {
    if (other.group !== entry.group || other.pages <= base.pages) continue;
    if (other.offset <= entry.offset && entry.offset < other.offset + other.pages) base = other;
  }
  return base;
}

/** The entries of a frame, newest first. For checks and tests: it builds an array. */
export function entriesOf(frame: Frame): FrameEntry[] {
  const entries: FrameEntry[] = [];
  for (let entry = frame.first; entry !== null; entry = entry.next) entries.push(entry);
  kassert(entries.length === frame.entries, 'frame I5');
  return entries;
}
