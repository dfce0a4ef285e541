/**
 * A virtual page table inside the memory image, and its mirror here.
 *
 *   image    root table --> table --> leaf table (VPTEs)         read by the host's fault-time walk
 *   mirror   TableNode  --> TableNode --> TableNode.tags         read by us: finds the VPTE's slot without a walk
 *
 * The mirror has one object a table page, and for each leaf slot a tag, a nonzero 32-bit number that belongs to whoever
 * made the mapping; 0 = nothing mapped. The entry itself (frame, rights, A and M) is only in the image.
 *
 * Any format with base pages of 4 KiB will do: a table smaller than a page takes a frame of its own, a larger one
 * neighbouring frames; entries may lie in memory with their most significant byte first.
 *
 * Not here: what the host must be told after a change (guest-space.ts). This file only edits entries. Base pages only.
 *
 * Invariants:
 *   I1  tag !== 0 exactly where the VPTE is a leaf; `live` counts them, in a directory its children
 *   I2  a directory's entry points to its child's frame, and is empty where there is no child
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { type GuestFrame, PAGE_SIZE, WRITE } from '../../hostkernel/base/units.ts';
import { ATTR_USER, ENTRY_INVALID, ENTRY_LEAF, ENTRY_TABLE, type PageTableFormat, swap32 } from '../../hostkernel/machine/paging/index.ts';
import type { MemoryImage } from './image.ts';

/** log2 of the slots a leaf's place number reserves: places are leaf id << SLOT_BITS | slot. No leaf table has more. */
export const SLOT_BITS = 12;

const NO_CHILDREN: (TableNode | null)[] = [];
const NO_TAGS = new Int32Array(0);
const WORDS_PER_PAGE = PAGE_SIZE / 4;

/** Halves of an entry of `level` that is not valid; null if the format has none. */
export function emptyEntry(format: PageTableFormat, level: number): { readonly lo: number; readonly hi: number } | null {
  const single = Array.from({ length: 8 * format.entryBytes }, (_, bit) =>
    bit < 32 ? { lo: 1 << bit, hi: 0 } : { lo: 0, hi: 1 << (bit - 32) },
  );
  return [{ lo: 0, hi: 0 }, ...single].find(({ lo, hi }) => format.kind(level, lo, hi) === ENTRY_INVALID) ?? null;
}

/** What tables of a level begin with: the same for all page tables of a format. */
interface EmptyTable {
  readonly lo: number; // an entry that is not valid
  readonly hi: number;
  readonly children: (TableNode | null)[]; // of a directory: to be copied, which costs a thirtieth of making them
}

const emptyTables = new WeakMap<PageTableFormat, readonly EmptyTable[]>(); // by format, then by level

function emptyTablesOf(format: PageTableFormat): readonly EmptyTable[] {
  let tables = emptyTables.get(format);
  if (tables === undefined) {
    tables = Array.from({ length: format.levels }, (_, level) => {
      const entry = emptyEntry(format, level);
      kassert(entry !== null, 'page-table: no invalid entry');
      const entries = format.tableBytes(level) / format.entryBytes;
      return { ...entry, children: level === 0 ? NO_CHILDREN : Array.from<null>({ length: entries }).fill(null) };
    });
    emptyTables.set(format, tables);
  }
  return tables;
}

/** One table. */
export class TableNode {
  readonly table: PageTable;
  readonly frame: GuestFrame; // the first, where it has several
  readonly frames: number;
  readonly level: number; // 0 = leaf
  readonly base: number; //  first virtual page it covers
  readonly parent: TableNode | null;
  readonly slot: number; //  in the parent
  readonly id: number; //    of a leaf, in the registry; 0 for directories
  readonly children: (TableNode | null)[];
  readonly tags: Int32Array;
  live = 0;
  /** Index in image.words of the table's first word; good in `epoch` only, and only for a table within a page. */
  word = 0;
  epoch = 0;

  constructor(
    table: PageTable,
    frame: GuestFrame,
    level: number,
    base: number,
    parent: TableNode | null,
    slot: number,
    id: number,
    children: (TableNode | null)[],
  ) {
    this.table = table;
    this.frame = frame;
    this.frames = table.framesOf(level);
    this.level = level;
    this.base = base;
    this.parent = parent;
    this.slot = slot;
    this.id = id;
    this.children = children;
    this.tags = level === 0 ? new Int32Array(table.entriesOf(level)) : NO_TAGS;
  }
}

/** Names all leaf tables of one vkernel by small numbers, so that a mapping can be remembered in 32 bits. */
export class LeafRegistry {
  readonly leaves: (TableNode | null)[] = [null]; // id 0 is never used
  readonly #free: number[] = [];

  /** The id the next leaf takes. */
  take(): number {
    const id = this.#free.pop();
    if (id !== undefined) return id;
    this.leaves.push(null);
    return this.leaves.length - 1;
  }

  put(id: number): void {
    this.leaves[id] = null;
    this.#free.push(id);
  }

  get(id: number): TableNode {
    const leaf = this.leaves[id];
    kassert(leaf !== null && leaf !== undefined, 'page-table: leaf id');
    return leaf;
  }
}

export class PageTable {
  readonly image: MemoryImage;
  readonly format: PageTableFormat;
  readonly leaves: LeafRegistry;
  readonly pageLimit: number; // pages the table can name
  readonly #owner: object; // whoever the table belongs to: what a leaf leads back to
  readonly #wordsPerEntry: 1 | 2;
  readonly #swaps: boolean; // entries are big-endian
  readonly #mask: number; // entries of a leaf table - 1
  readonly #empty: readonly EmptyTable[]; // by level
  #root: TableNode | null = null;
  #last: TableNode | null = null; // the leaf found last

  constructor(image: MemoryImage, format: PageTableFormat, leaves: LeafRegistry, pageLimit: number, owner: object) {
    this.image = image;
    this.format = format;
    this.leaves = leaves;
    this.pageLimit = Math.min(pageLimit, format.span(format.levels));
    this.#owner = owner;
    this.#wordsPerEntry = format.entryBytes === 8 ? 2 : 1;
    this.#swaps = format.bigEndian;
    this.#mask = this.entriesOf(0) - 1;
    kassert(format.basePages === 1 && this.#mask < 1 << SLOT_BITS, 'page-table: leaf tables of the format');
    this.#empty = emptyTablesOf(format);
  }

  /** Slots of a table of `level`. */
  entriesOf(level: number): number {
    return this.format.tableBytes(level) / this.format.entryBytes;
  }

  /** The object this table was made for. */
  get owner(): object {
    return this.#owner;
  }

  /** Makes the root table. @returns false without a frame for it */
  open(): boolean {
    if (this.#root === null) this.#root = this.#newTable(this.format.levels - 1, 0, null, 0);
    return this.#root !== null;
  }

  /** Where the root table begins in the image, bytes. */
  get rootAddress(): number {
    kassert(this.#root !== null, 'page-table: no root');
    return this.#root.frame * PAGE_SIZE;
  }

  /** Value for MADV_SETMAP. */
  get rootValue(): number {
    const address = this.rootAddress;
    return (this.format.rootHi(address) >>> 0) * 2 ** 32 + (this.format.rootLo(address) >>> 0);
  }

  /** Slot of `page` in its leaf. Hot. */
  slot(page: number): number {
    return page & this.#mask;
  }

  /** The leaf table that would hold `page`, or null; any number that is no page of this table has none. Hot: allocates nothing. */
  find(page: number): TableNode | null {
    const last = this.#last;
    if (last !== null && last.base === page - (page & this.#mask)) return last;
    if (!(page >= 0 && page < this.pageLimit)) return null; // its slots would be those of another page
    let node = this.#root;
    while (node !== null && node.level > 0) node = node.children[this.format.index(node.level, page)] as TableNode | null;
    if (node !== null) this.#last = node;
    return node;
  }

  /** Tag of `page`, 0 if nothing is mapped there. Hot. */
  tag(page: number): number {
    const leaf = this.find(page);
    return leaf === null ? 0 : (leaf.tags[page & this.#mask] as number);
  }

  /** The leaf table for `page`, made if it must be. @returns null without frames for it (tables made on the way stay) */
  ensure(page: number): TableNode | null {
    const found = this.find(page);
    if (found !== null) return found;
    if (!this.open()) return null;
    let node = this.#root as TableNode;
    while (node.level > 0) {
      const slot = this.format.index(node.level, page);
      let child = node.children[slot] as TableNode | null;
      if (child === null) {
        const span = this.format.span(node.level);
        child = this.#newTable(node.level - 1, Math.floor(page / span) * span, node, slot);
        if (child === null) return null;
        node.children[slot] = child;
        node.live++;
        const address = child.frame * PAGE_SIZE;
        this.#store(node, slot, this.format.tableLo(node.level, address), this.format.tableHi(node.level, address));
      }
      node = child;
    }
    this.#last = node;
    return node;
  }

  /** Enters `frame` in an empty slot, or replaces the attributes of the frame that is there. Hot. */
  write(leaf: TableNode, slot: number, frame: number, attributes: number, tag: number): void {
    if (leaf.tags[slot] === 0) leaf.live++;
    leaf.tags[slot] = tag;
    this.#store(leaf, slot, this.format.leafLo(0, frame, attributes), this.format.leafHi(0, frame, attributes));
  }

  /** Clears a slot. The caller tells the host. Hot. */
  clear(leaf: TableNode, slot: number): void {
    leaf.tags[slot] = 0;
    leaf.live--;
    this.#store(leaf, slot, this.#empty[0].lo, this.#empty[0].hi);
  }

  /** Lower half of the entry in a slot. Hot. */
  low(leaf: TableNode, slot: number): number {
    const word = this.image.words[this.#wordOf(leaf, slot) + (this.#swaps && this.#wordsPerEntry === 2 ? 1 : 0)];
    return this.#swaps ? swap32(word) : word;
  }

  /** Upper half of the entry in a slot; 0 in a format of four bytes. Hot. */
  high(leaf: TableNode, slot: number): number {
    if (this.#wordsPerEntry === 1) return 0;
    const word = this.image.words[this.#wordOf(leaf, slot) + (this.#swaps ? 0 : 1)];
    return this.#swaps ? swap32(word) : word;
  }

  /** Replaces the lower half of an entry: accessed and dirty bits, in place. Hot. */
  setLow(leaf: TableNode, slot: number, lo: number): void {
    this.image.words[this.#wordOf(leaf, slot) + (this.#swaps && this.#wordsPerEntry === 2 ? 1 : 0)] = this.#swaps ? swap32(lo) : lo;
  }

  /** The first mapped page in [page, end), or -1. Cost: the tables and slots passed over. */
  nextMapped(page: number, end: number): number {
    return this.#root === null ? -1 : this.#scan(this.#root, page, Math.min(end, this.pageLimit));
  }

  #scan(node: TableNode, from: number, end: number): number {
    if (node.live === 0) return -1;
    const span = node.level === 0 ? 1 : this.format.span(node.level);
    let slot = from <= node.base ? 0 : Math.floor((from - node.base) / span);
    const entries = this.entriesOf(node.level);
    for (let at = node.base + slot * span; slot < entries && at < end; slot++, at += span) {
      if (node.level === 0) {
        if (node.tags[slot] !== 0) return at;
        continue;
      }
      const child = node.children[slot] as TableNode | null;
      const found = child === null ? -1 : this.#scan(child, from, end);
      if (found >= 0) return found;
    }
    return -1;
  }

  /**
   * Frees tables that map nothing. `removed` is told the page range of each, after its directory entry was cleared and
   * before its frame is used again: the place to tell the host.
   * @returns table frames freed
   */
  trim(removed: (page: number, pages: number) => void): number {
    return this.#root === null ? 0 : this.#trimBelow(this.#root, removed);
  }

  #trimBelow(node: TableNode, removed: (page: number, pages: number) => void): number {
    let freed = 0;
    if (node.level === 0) return 0;
    for (const child of node.children) {
      if (child === null) continue;
      freed += this.#trimBelow(child, removed);
      if (child.live > 0) continue;
      this.#store(node, child.slot, this.#empty[node.level].lo, this.#empty[node.level].hi);
      node.children[child.slot] = null;
      node.live--;
      removed(child.base, this.format.span(node.level));
      this.#release(child);
      freed++;
    }
    return freed;
  }

  /** Frees every table. Nothing may be mapped, and the host must not walk it any more. */
  destroy(): void {
    if (this.#root === null) return;
    this.trim(() => undefined);
    kassert(this.#root.live === 0, 'page-table: destroyed with mappings');
    this.#release(this.#root);
    this.#root = null;
  }

  #release(node: TableNode): void {
    if (this.#last === node) this.#last = null;
    if (node.id !== 0) this.leaves.put(node.id);
    this.image.freeTableRun(node.frame, node.frames);
  }

  #newTable(level: number, base: number, parent: TableNode | null, slot: number): TableNode | null {
    const frames = this.framesOf(level);
    const frame = this.image.allocateTableRun(frames);
    if (frame < 0) return null;
    const { lo, hi, children } = this.#empty[level];
    const [first, second] = this.#wordsPerEntry === 1 ? [lo, lo] : this.#swaps ? [hi, lo] : [lo, hi];
    for (let i = 0; i < frames; i++)
      this.image.fillFrame(frame + i, this.#swaps ? swap32(first) : first, this.#swaps ? swap32(second) : second);
    const id = level === 0 ? this.leaves.take() : 0;
    const node = new TableNode(this, frame as GuestFrame, level, base, parent, slot, id, level === 0 ? NO_CHILDREN : children.slice());
    if (id !== 0) this.leaves.leaves[id] = node;
    return node;
  }

  /** Frames of a table of `level`. */
  framesOf(level: number): number {
    return Math.max(1, this.format.tableBytes(level) / PAGE_SIZE);
  }

  /** Nobody walks between the two halves: the host runs only when it is called. */
  #store(node: TableNode, slot: number, lo: number, hi: number): void {
    const at = this.#wordOf(node, slot);
    const { words } = this.image;
    if (this.#wordsPerEntry === 1) words[at] = this.#swaps ? swap32(lo) : lo;
    else {
      words[at] = this.#swaps ? swap32(hi) : lo;
      words[at + 1] = this.#swaps ? swap32(lo) : hi;
    }
  }

  /** Index in image.words of the first word of an entry. Hot. */
  #wordOf(node: TableNode, slot: number): number {
    const word = slot * this.#wordsPerEntry;
    if (node.frames > 1) {
      // The frames of a large table are neighbours in the image, not in the host's memory.
      const frame = node.frame + Math.floor(word / WORDS_PER_PAGE);
      return this.image.offset(frame, WRITE) / 4 + (word % WORDS_PER_PAGE);
    }
    if (node.epoch !== this.image.epoch) {
      node.word = this.image.offset(node.frame, WRITE) / 4;
      node.epoch = this.image.epoch;
    }
    return node.word + word;
  }

  /** Tables in use. */
  get tables(): number {
    return this.#root === null ? 0 : countTables(this.#root);
  }

  /** Frames they take. */
  get frames(): number {
    return this.#root === null ? 0 : countFrames(this.#root);
  }

  /** What the hart may do through a leaf made for `access`: not every format can deny to read or to execute. For checks. */
  permitted(access: number): number {
    const { format } = this;
    const attributes = access | ATTR_USER;
    return format.attributes(0, format.leafLo(0, 0 as GuestFrame, attributes), format.leafHi(0, 0 as GuestFrame, attributes)) & 7;
  }

  /** Checks the mirror against the image; `visit` sees every mapped page. */
  assertInvariants(visit: (leaf: TableNode, slot: number, frame: number, attributes: number) => void): void {
    if (this.#root !== null) this.#check(this.#root, visit);
  }

  #check(node: TableNode, visit: (leaf: TableNode, slot: number, frame: number, attributes: number) => void): void {
    const { format } = this;
    let live = 0;
    for (let slot = 0; slot < this.entriesOf(node.level); slot++) {
      const lo = this.low(node, slot);
      const hi = this.high(node, slot);
      const kind = format.kind(node.level, lo, hi);
      if (node.level === 0) {
        const mapped = node.tags[slot] !== 0;
        kassert(kind === (mapped ? ENTRY_LEAF : ENTRY_INVALID), 'page-table I1');
        if (!mapped) continue;
        live++;
        visit(node, slot, format.frame(0, lo, hi), format.attributes(0, lo, hi));
        continue;
      }
      const child = node.children[slot] as TableNode | null;
      kassert(kind === (child === null ? ENTRY_INVALID : ENTRY_TABLE), 'page-table I2');
      if (child === null) continue;
      live++;
      kassert(format.tableAddress(node.level, lo, hi) === child.frame * PAGE_SIZE && child.parent === node, 'page-table I2');
      this.#check(child, visit);
    }
    kassert(live === node.live, 'page-table I1');
  }
}

function countTables(node: TableNode): number {
  let count = 1;
  for (const child of node.children) if (child !== null) count += countTables(child);
  return count;
}

function countFrames(node: TableNode): number {
  let count = node.frames;
  for (const child of node.children) if (child !== null) count += countFrames(child);
  return count;
}
