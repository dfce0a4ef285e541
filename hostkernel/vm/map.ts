/**
 * vm_map: which object is behind which addresses of a space. A balanced tree of entries over their first page, threaded by
 * a list in ascending order; every subtree knows the largest gap behind one of its entries. Not the checks of the system
 * calls (space.ts), not the real translations: whoever changes entries removes those.
 *
 *   entry [start, end)  ->  object, from page `offset`                      linear
 *   entry [start, end)  ->  root -> tables in the object -> its pages       vpagetable: page - start + offset is the index
 *
 *   ....... [ reserve | stack entry ) .....                                 a stack grows down into the `grow` pages below it
 *
 * Lookup, insertion, removal and findSpace are O(log entries) and allocate nothing; a lookup tries the entry found last.
 *
 * Invariants (assertInvariants):
 *   M1  entries are in ascending order, not empty, without overlap, and inside the user range
 *   M2  each entry holds one reference on its object; only a linear anonymous entry may have none yet, and needs no copy then
 *   M3  `pages` is the sum of the lengths, `size` the number of entries
 *   M4  tree and list hold the same entries in the same order; heights differ by one at most; maxGap is exact
 *
 * Source: the tree of DragonFly BSD's vm_map.c; the gaps, FreeBSD's max_free.
 */

import { kassert } from '../base/assert.ts';
import { type Access, type HostFrame, WRITE } from '../base/units.ts';
import type { PageTableFormat } from '../machine/index.ts';
import { VM_INHERIT_COPY } from './mman.ts';
import { MAX_OBJECT_PAGES, type VmObject } from './object.ts';

/** Entries a map may have, unless told otherwise. A caller that asks for more gets ENOMEM. */
export const MAX_MAP_ENTRIES = 131_072;

/** Pages a stack grows by, if its reserve has so many: 128 KiB. */
const STACK_GROWTH = 32;

/** One mapping. Page numbers are exact doubles; `end` is exclusive. */
export class VmMapEntry {
  start: number;
  end: number;
  /** null: anonymous memory nobody has touched. */
  object: VmObject | null;
  /** Pages: of the object for a linear entry, of the virtual page table's range for a vpagetable entry. */
  offset: number;
  protection: Access;
  /** MAP_NOSYNC, MAP_NOCORE. */
  flags: number;
  /** The object is others' too: before we change it we put a shadow in front of it. */
  needsCopy = false;
  /** MAP_SHARED, or shared by a fork: what is written is others' too, and is not forgotten on advice. */
  shared = false;
  /** VM_INHERIT_*: what a fork does with the entry. */
  inherit = VM_INHERIT_COPY;
  /** Pages below `start` that are reserved for this entry to grow into: a stack. */
  grow = 0;
  /** Frames wired by mlock, one for each page, or null: not wired. */
  wired: readonly HostFrame[] | null = null;
  /** Format of the virtual page table, or null: a linear entry. */
  readonly format: PageTableFormat | null;
  /** Root VPTE, as halves; a bare frame number in a format without root entries. */
  rootLo = 0;
  rootHi = 0;

  // Of the map: neighbours, subtrees, height of this subtree, largest gap behind an entry of it.
  next: VmMapEntry | null = null;
  previous: VmMapEntry | null = null;
  left: VmMapEntry | null = null;
  right: VmMapEntry | null = null;
  height = 1;
  maxGap = 0;

  constructor(fields: {
    readonly start: number;
    readonly end: number;
    readonly object: VmObject | null;
    readonly offset: number;
    readonly protection: Access;
    readonly flags: number;
    readonly format: PageTableFormat | null;
  }) {
    this.start = fields.start;
    this.end = fields.end;
    this.object = fields.object;
    this.offset = fields.offset;
    this.protection = fields.protection;
    this.flags = fields.flags;
    this.format = fields.format;
  }

  get pages(): number {
    return this.end - this.start;
  }

  /** An entry for [start, end) of this one, which says the same of it; with a reference on the object, but not wired. */
  copy(start: number, end: number): VmMapEntry {
    const copy = new VmMapEntry({
      start,
      end,
      object: this.object,
      offset: this.object === null ? this.offset : this.offset + (start - this.start),
      protection: this.protection,
      flags: this.flags,
      format: this.format,
    });
    copy.needsCopy = this.needsCopy;
    copy.shared = this.shared;
    copy.inherit = this.inherit;
    copy.grow = start === this.start ? this.grow : 0;
    if (this.object === null) copy.offset = copy.grow;
    copy.rootLo = this.rootLo;
    copy.rootHi = this.rootHi;
    this.object?.reference();
    return copy;
  }

  /** Whether `next`, which begins where this ends, says of its pages what this entry would say. */
  continuedBy(next: VmMapEntry): boolean {
    return (
      this.end === next.start &&
      this.object === next.object &&
      (this.object === null
        ? this.offset + (next.end - this.start) <= MAX_OBJECT_PAGES
        : this.offset + (this.end - this.start) === next.offset) &&
      this.protection === next.protection &&
      this.flags === next.flags &&
      this.needsCopy === next.needsCopy &&
      this.shared === next.shared &&
      this.inherit === next.inherit &&
      next.grow === 0 &&
      this.wired === null &&
      next.wired === null &&
      this.format === next.format &&
      this.rootLo === next.rootLo &&
      this.rootHi === next.rootHi
    );
  }
}

export class VmMap {
  /** First page beyond user space. */
  readonly endPage: number;
  /** Entries and pages the map may have. */
  maxEntries = MAX_MAP_ENTRIES;
  maxPages = Infinity;
  #root: VmMapEntry | null = null;
  #first: VmMapEntry | null = null;
  #hint: VmMapEntry | null = null; // found last
  #size = 0;
  #pages = 0;

  constructor(endPage: number) {
    this.endPage = endPage;
  }

  /** All entries, in order. O(entries). */
  get entries(): readonly VmMapEntry[] {
    return this.overlapping(0, this.endPage);
  }

  /** Entries. */
  get size(): number {
    return this.#size;
  }

  /** Pages in all entries. */
  get pages(): number {
    return this.#pages;
  }

  /** The entry with the lowest addresses; `next` leads to the others. */
  get first(): VmMapEntry | null {
    return this.#first;
  }

  /** The entry that contains `page`, any number, or null. Hot. */
  lookup(page: number): VmMapEntry | null {
    const hint = this.#hint;
    if (hint !== null && page >= hint.start && page < hint.end) return hint;
    let node = this.#root;
    while (node !== null) {
      if (page < node.start) node = node.left;
      else if (page < node.end) {
        this.#hint = node;
        return node;
      } else node = node.right;
    }
    return null;
  }

  /** The first entry that ends after `page`, or null. */
  from(page: number): VmMapEntry | null {
    let found: VmMapEntry | null = null;
    let node = this.#root;
    while (node !== null) {
      if (node.end > page) {
        found = node;
        node = node.left;
      } else node = node.right;
    }
    return found;
  }

  /** The entries that overlap [start, end), in order. */
  overlapping(start: number, end: number): readonly VmMapEntry[] {
    const found: VmMapEntry[] = [];
    for (let entry = this.from(start); entry !== null && entry.start < end; entry = entry.next) found.push(entry);
    return found;
  }

  /** Whether entries overlap [start, end) nowhere. A stack's reserve is free. */
  isFree(start: number, end: number): boolean {
    const entry = this.from(start);
    return entry === null || entry.start >= end;
  }

  /** Whether entries, and what stacks have in reserve, cover [start, end) without a hole. */
  isCovered(start: number, end: number): boolean {
    let page = start;
    for (let entry = this.from(start); page < end; entry = entry.next) {
      if (entry === null || entry.start - entry.grow > page) return false;
      page = entry.end;
    }
    return true;
  }

  /** Whether `more` further entries can be made, or with a negative number so many less are left. */
  hasRoomFor(more: number): boolean {
    return this.#size + more <= this.maxEntries;
  }

  /** How many entries reach over `start` or `end`: what clip adds, 0..2. */
  splits(start: number, end: number): number {
    return (this.#isInside(start) ? 1 : 0) + (end !== start && this.#isInside(end) ? 1 : 0);
  }

  /** Entries that overlap [start, end). */
  countIn(start: number, end: number): number {
    let count = 0;
    for (let entry = this.from(start); entry !== null && entry.start < end; entry = entry.next) count++;
    return count;
  }

  /** Pages of the entries in [start, end). */
  pagesIn(start: number, end: number): number {
    let pages = 0;
    for (let entry = this.from(start); entry !== null && entry.start < end; entry = entry.next) {
      pages += Math.min(end, entry.end) - Math.max(start, entry.start);
    }
    return pages;
  }

  /** The lowest page >= `from` with `pages` free pages, the reserves of stacks left out, or -1. O(log entries). */
  findSpace(from: number, pages: number): number {
    const at = this.from(from);
    const limit = at === null ? this.endPage : at.start - at.grow;
    if (from + pages <= limit) return from;
    if (at === null) return -1;
    const before = this.#findGap(this.#root, at.start, pages);
    return before === null ? -1 : before.end;
  }

  /** Takes in `entry`, with the reference on its object. Its range must be free. */
  insert(entry: VmMapEntry): void {
    const next = this.from(entry.start);
    kassert(next === null || next.start >= entry.end, 'vm_map: overlap');
    const previous = next === null ? this.#last() : next.previous;
    entry.next = next;
    entry.previous = previous;
    if (next !== null) next.previous = entry;
    if (previous !== null) previous.next = entry;
    else this.#first = entry;
    entry.left = null;
    entry.right = null;
    this.#root = this.#insertIn(this.#root, entry);
    if (previous !== null) this.#refresh(previous);
    this.#size++;
    this.#pages += entry.end - entry.start;
    this.#hint = entry;
  }

  /** Lengthens `entry` to end at `end`; the range behind it must be free. */
  extend(entry: VmMapEntry, end: number): void {
    kassert(end <= (entry.next === null ? this.endPage : entry.next.start), 'vm_map: overlap');
    this.#pages += end - entry.end;
    entry.end = end;
    this.#refresh(entry);
  }

  /** Grows the stack above `page`, whose reserve contains `page`, down to it and a little more. @returns its entry, or null */
  growStack(page: number): VmMapEntry | null {
    const entry = this.from(page);
    if (entry === null || entry.start <= page || entry.start - entry.grow > page) return null;
    const least = entry.start - page;
    const room = entry.start - (entry.previous === null ? 0 : entry.previous.end);
    const wanted = Math.min(Math.ceil(least / STACK_GROWTH) * STACK_GROWTH, entry.grow, room);
    const added = this.#pages + wanted <= this.maxPages ? wanted : least;
    if (this.#pages + added > this.maxPages) return null;
    if (entry.wired !== null) return this.#growBelow(entry, added);
    entry.start -= added;
    entry.offset -= added;
    entry.grow -= added;
    this.#pages += added;
    if (entry.previous !== null) this.#refresh(entry.previous);
    return entry;
  }

  /** Leaves `entry` only `grow` pages to grow into. */
  limitGrowth(entry: VmMapEntry, grow: number): void {
    if (entry.object === null) entry.offset = grow;
    entry.grow = grow;
    if (entry.previous !== null) this.#refresh(entry.previous);
  }

  /** Splits the entries that reach over `start` or `end`, so that the entries returned are exactly those of [start, end). */
  clip(start: number, end: number): readonly VmMapEntry[] {
    this.#splitAt(start);
    this.#splitAt(end);
    return this.overlapping(start, end);
  }

  /** Takes out the entries of [start, end), clipped to it, and returns them. Their references pass to the caller. */
  remove(start: number, end: number): readonly VmMapEntry[] {
    const removed = this.clip(start, end);
    for (const entry of removed) this.#take(entry);
    return removed;
  }

  /** Joins entries around [start, end) that say the same, roots included; the references of those joined are released. */
  simplify(start: number, end: number): void {
    const first = this.from(start);
    let before = first === null ? this.#last() : (first.previous ?? first);
    while (before !== null && before.next !== null && before.next.start <= end) {
      const entry: VmMapEntry = before.next;
      if (!before.continuedBy(entry)) {
        before = entry;
        continue;
      }
      this.#take(entry);
      this.extend(before, entry.end);
      entry.object?.release();
    }
  }

  assertInvariants(): void {
    let page = 0;
    let pages = 0;
    let size = 0;
    let previous: VmMapEntry | null = null;
    for (let entry = this.#first; entry !== null; entry = entry.next) {
      kassert(entry.start >= page && entry.end > entry.start && entry.end <= this.endPage, 'vm_map M1');
      kassert(entry.object !== null || (entry.format === null && !entry.needsCopy), 'vm_map M2');
      kassert(entry.object !== null || entry.offset === entry.grow, 'vm_map M2: offset of a reserve');
      kassert(entry.previous === previous, 'vm_map M4: back link');
      kassert(entry.wired === null || entry.wired.length === entry.pages, 'vm_map: wired frames');
      page = entry.end;
      pages += entry.end - entry.start;
      size++;
      previous = entry;
    }
    kassert(pages === this.#pages && size === this.#size, 'vm_map M3');
    kassert(this.#check(this.#root, this.#first, null) === size, 'vm_map M4: size');
  }

  // ----------------------------------------------------------------------------------------------------- private

  #last(): VmMapEntry | null {
    let node = this.#root;
    while (node !== null && node.right !== null) node = node.right;
    return node;
  }

  /** Whether an entry has `page` and the page before it. */
  #isInside(page: number): boolean {
    const entry = this.lookup(page);
    return entry !== null && entry.start < page;
  }

  /** Makes `page` a border between entries, if it is inside one. */
  #splitAt(page: number): void {
    const entry = this.lookup(page);
    if (entry === null || entry.start >= page) return;
    const rest = entry.copy(page, entry.end);
    if (entry.wired !== null) {
      rest.wired = entry.wired.slice(page - entry.start);
      entry.wired = entry.wired.slice(0, page - entry.start);
    }
    this.#pages -= entry.end - page;
    entry.end = page;
    this.insert(rest);
  }

  /** Growth of a wired stack: an entry of its own, which is not wired. */
  #growBelow(entry: VmMapEntry, pages: number): VmMapEntry | null {
    if (!this.hasRoomFor(1)) return null;
    const below = entry.copy(entry.start, entry.start);
    below.start -= pages;
    below.offset -= pages;
    below.grow = entry.grow - pages;
    entry.grow = 0;
    this.insert(below);
    return below;
  }

  /** Takes `entry` out of tree and list. */
  #take(entry: VmMapEntry): void {
    const { previous, next } = entry;
    this.#root = this.#removeIn(this.#root, entry);
    if (next !== null) next.previous = previous;
    if (previous !== null) previous.next = next;
    else this.#first = next;
    if (previous !== null) this.#refresh(previous);
    if (this.#hint === entry) this.#hint = null;
    this.#size--;
    this.#pages -= entry.end - entry.start;
  }

  /** Pages behind `entry` that findSpace may give out. */
  #gapAfter(entry: VmMapEntry): number {
    const limit = entry.next === null ? this.endPage : entry.next.start - entry.next.grow;
    return Math.max(0, limit - entry.end);
  }

  /** The lowest entry that starts at `start` or above and has a gap of `pages` behind it, or null. */
  #findGap(node: VmMapEntry | null, start: number, pages: number): VmMapEntry | null {
    if (node === null || node.maxGap < pages) return null;
    if (node.start < start) return this.#findGap(node.right, start, pages);
    const below = this.#findGap(node.left, start, pages);
    if (below !== null) return below;
    return this.#gapAfter(node) >= pages ? node : this.#findGap(node.right, start, pages);
  }

  /** Recomputes maxGap from `entry` up to the root: its gap has changed. */
  #refresh(entry: VmMapEntry): void {
    this.#refreshIn(this.#root, entry);
  }

  #refreshIn(node: VmMapEntry | null, entry: VmMapEntry): void {
    if (node === null) return;
    if (entry.start < node.start) this.#refreshIn(node.left, entry);
    else if (entry !== node) this.#refreshIn(node.right, entry);
    this.#measure(node);
  }

  /** Height and maxGap of `node`, from its subtrees. */
  #measure(node: VmMapEntry): void {
    const { left, right } = node;
    let gap = this.#gapAfter(node);
    let height = 0;
    if (left !== null) {
      if (left.maxGap > gap) gap = left.maxGap;
      height = left.height;
    }
    if (right !== null) {
      if (right.maxGap > gap) gap = right.maxGap;
      if (right.height > height) height = right.height;
    }
    node.maxGap = gap;
    node.height = height + 1;
  }

  #insertIn(node: VmMapEntry | null, entry: VmMapEntry): VmMapEntry {
    if (node === null) {
      this.#measure(entry);
      return entry;
    }
    if (entry.start < node.start) node.left = this.#insertIn(node.left, entry);
    else node.right = this.#insertIn(node.right, entry);
    return this.#balance(node);
  }

  #removeIn(node: VmMapEntry | null, entry: VmMapEntry): VmMapEntry | null {
    kassert(node !== null, 'vm_map: not in the tree');
    if (node !== entry) {
      if (entry.start < node.start) node.left = this.#removeIn(node.left, entry);
      else node.right = this.#removeIn(node.right, entry);
      return this.#balance(node);
    }
    if (node.left === null) return node.right;
    if (node.right === null) return node.left;
    let heir = node.right;
    while (heir.left !== null) heir = heir.left;
    const right = this.#removeIn(node.right, heir);
    heir.left = node.left;
    heir.right = right;
    return this.#balance(heir);
  }

  /** Rotates where the subtrees of `node` differ by two; returns what is in its place. */
  #balance(node: VmMapEntry): VmMapEntry {
    const tilt = heightOf(node.left) - heightOf(node.right);
    if (tilt > 1 && node.left !== null) {
      if (heightOf(node.left.left) < heightOf(node.left.right)) node.left = this.#rotateLeft(node.left);
      return this.#rotateRight(node);
    }
    if (tilt < -1 && node.right !== null) {
      if (heightOf(node.right.right) < heightOf(node.right.left)) node.right = this.#rotateRight(node.right);
      return this.#rotateLeft(node);
    }
    this.#measure(node);
    return node;
  }

  #rotateLeft(node: VmMapEntry): VmMapEntry {
    const up = node.right;
    if (up === null) return node;
    node.right = up.left;
    up.left = node;
    this.#measure(node);
    this.#measure(up);
    return up;
  }

  #rotateRight(node: VmMapEntry): VmMapEntry {
    const up = node.left;
    if (up === null) return node;
    node.left = up.right;
    up.right = node;
    this.#measure(node);
    this.#measure(up);
    return up;
  }

  /** Checks M4 below `node`, whose entries begin with `first` and are followed by `after`; returns their number. */
  #check(node: VmMapEntry | null, first: VmMapEntry | null, after: VmMapEntry | null): number {
    if (node === null) {
      kassert(first === after, 'vm_map M4: order');
      return 0;
    }
    const { height, maxGap } = node;
    const size = 1 + this.#check(node.left, first, node) + this.#check(node.right, node.next, after);
    kassert(Math.abs(heightOf(node.left) - heightOf(node.right)) <= 1, 'vm_map M4: balance');
    this.#measure(node);
    kassert(node.height === height && node.maxGap === maxGap, 'vm_map M4: height and maxGap');
    return size;
  }
}

/** The rights `entry` gives to real PTEs: a page that needs a copy is not written. */
export function rightsOf(entry: VmMapEntry): Access {
  return entry.needsCopy ? entry.protection & ~WRITE : entry.protection;
}

function heightOf(node: VmMapEntry | null): number {
  return node === null ? 0 : node.height;
}
