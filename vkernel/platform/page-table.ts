/**
 * A virtual page table inside the memory image, and its mirror here.
 *
 *   image    root table --> table --> leaf table (VPTEs)         read by the host's fault-time walk
 *   mirror   TableNode  --> TableNode --> TableNode.tags         read by us: finds the VPTE's slot without a walk
 *
 * The mirror has one object a table page, and for each leaf slot a tag, a nonzero 32-bit number that belongs to whoever
 * made the mapping; 0 = nothing mapped. The entry itself (frame, rights, A and M) is only in the image.
 *
 * Not here: what the host must be told after a change (guest-space.ts). This file only edits entries. Base pages only.
 *
 * Invariants:
 *   I1  tag !== 0 exactly where the VPTE is a leaf; `live` counts them, in a directory its children
 *   I2  a directory's entry points to its child's frame, and is empty where there is no child
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { type GuestFrame, PAGE_SIZE, WRITE } from '../../hostkernel/base/units.ts';
import { ENTRY_INVALID, ENTRY_LEAF, ENTRY_TABLE, type PageTableFormat } from '../../hostkernel/machine/paging/index.ts';
import type { MemoryImage } from './image.ts';

/** log2 of the slots a leaf's place number reserves: places are leaf id << SLOT_BITS | slot. */
export const SLOT_BITS = 10;

const NO_CHILDREN: (TableNode | null)[] = [];
const NO_TAGS = new Int32Array(0);

/** One table page. */
export class TableNode {
  readonly table: PageTable;
  readonly frame: GuestFrame;
  readonly level: number; // 0 = leaf
  readonly base: number; //  first virtual page it covers
  readonly parent: TableNode | null;
  readonly slot: number; //  in the parent
  readonly id: number; //    of a leaf, in the registry; 0 for directories
  readonly children: (TableNode | null)[];
  readonly tags: Int32Array;
  live = 0;
  /** Index in image.words of the table's first word; good in `epoch` only. */
  word = 0;
  epoch = 0;

  constructor(table: PageTable, frame: GuestFrame, level: number, base: number, parent: TableNode | null, slot: number, id: number) {
    this.table = table;
    this.frame = frame;
    this.level = level;
    this.base = base;
    this.parent = parent;
    this.slot = slot;
    this.id = id;
    this.children = level === 0 ? NO_CHILDREN : Array.from<TableNode | null>({ length: table.entries }).fill(null);
    this.tags = level === 0 ? new Int32Array(table.entries) : NO_TAGS;
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
  readonly entries: number; // slots a table
  readonly pageLimit: number; // pages the table can name
  readonly #owner: object; // whoever the table belongs to: what a leaf leads back to
  readonly #wordsPerEntry: 1 | 2;
  readonly #mask: number; // entries - 1
  readonly #emptyLo: number; // an entry that is not valid
  #root: TableNode | null = null;
  #last: TableNode | null = null; // the leaf found last

  constructor(image: MemoryImage, format: PageTableFormat, leaves: LeafRegistry, pageLimit: number, owner: object) {
    this.image = image;
    this.format = format;
    this.leaves = leaves;
    this.entries = 4096 / format.entryBytes;
    this.pageLimit = Math.min(pageLimit, format.span(format.levels));
    this.#owner = owner;
    this.#wordsPerEntry = format.entryBytes === 8 ? 2 : 1;
    this.#mask = this.entries - 1;
    this.#emptyLo = format.kind(0, 0, 0) === ENTRY_INVALID ? 0 : 1;
    kassert(format.kind(0, this.#emptyLo, 0) === ENTRY_INVALID, 'page-table: no invalid entry');
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

  /** Value for MADV_SETMAP. */
  get rootValue(): number {
    kassert(this.#root !== null, 'page-table: no root');
    const { frame } = this.#root;
    const address = frame * PAGE_SIZE;
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
    this.#store(leaf, slot, this.#emptyLo, 0);
  }

  /** Lower half of the entry in a slot. Hot. */
  low(leaf: TableNode, slot: number): number {
    if (leaf.epoch !== this.image.epoch) this.#refresh(leaf);
    return this.image.words[leaf.word + slot * this.#wordsPerEntry] as number;
  }

  /** Upper half of the entry in a slot; 0 in a format of four bytes. Hot. */
  high(leaf: TableNode, slot: number): number {
    if (this.#wordsPerEntry === 1) return 0;
    if (leaf.epoch !== this.image.epoch) this.#refresh(leaf);
    return this.image.words[leaf.word + slot * 2 + 1] as number;
  }

  /** Replaces the lower half of an entry: accessed and dirty bits, in place. Hot. */
  setLow(leaf: TableNode, slot: number, lo: number): void {
    if (leaf.epoch !== this.image.epoch) this.#refresh(leaf);
    this.image.words[leaf.word + slot * this.#wordsPerEntry] = lo;
  }

  /** The first mapped page in [page, end), or -1. Cost: the tables and slots passed over. */
  nextMapped(page: number, end: number): number {
    return this.#root === null ? -1 : this.#scan(this.#root, page, Math.min(end, this.pageLimit));
  }

  #scan(node: TableNode, from: number, end: number): number {
    if (node.live === 0) return -1;
    const span = node.level === 0 ? 1 : this.format.span(node.level);
    let slot = from <= node.base ? 0 : Math.floor((from - node.base) / span);
    for (let at = node.base + slot * span; slot < this.entries && at < end; slot++, at += span) {
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
      this.#store(node, child.slot, this.#emptyLo, 0);
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
    this.image.freeTableFrame(node.frame);
  }

  #newTable(level: number, base: number, parent: TableNode | null, slot: number): TableNode | null {
    const frame = this.image.allocateTableFrame();
    if (frame < 0) return null;
    this.image.fillFrame(frame, this.#emptyLo, this.#wordsPerEntry === 1 ? this.#emptyLo : 0);
    const id = level === 0 ? this.leaves.take() : 0;
    const node = new TableNode(this, frame as GuestFrame, level, base, parent, slot, id);
    if (id !== 0) this.leaves.leaves[id] = node;
    return node;
  }

  /** Upper half first: the lower one holds the valid bit. */
  #store(node: TableNode, slot: number, lo: number, hi: number): void {
    if (node.epoch !== this.image.epoch) this.#refresh(node);
    const { words } = this.image;
    if (this.#wordsPerEntry === 2) {
      const at = node.word + slot * 2;
      words[at] = this.#emptyLo;
      words[at + 1] = hi;
      words[at] = lo;
    } else words[node.word + slot] = lo;
  }

  #refresh(node: TableNode): void {
    node.word = this.image.offset(node.frame, WRITE) / 4;
    node.epoch = this.image.epoch;
  }

  /** Table pages in use. */
  get tables(): number {
    return this.#root === null ? 0 : countTables(this.#root);
  }

  /** Checks the mirror against the image; `visit` sees every mapped page. */
  assertInvariants(visit: (leaf: TableNode, slot: number, frame: number, attributes: number) => void): void {
    if (this.#root !== null) this.#check(this.#root, visit);
  }

  #check(node: TableNode, visit: (leaf: TableNode, slot: number, frame: number, attributes: number) => void): void {
    const { format } = this;
    let live = 0;
    for (let slot = 0; slot < this.entries; slot++) {
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
