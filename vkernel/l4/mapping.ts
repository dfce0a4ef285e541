/**
 * The mapping database: for every frame the tree of its mappings, who got it from whom.
 *
 *   root(frame) = node frame + 1          sigma0's mapping: page = frame, no VPTE
 *      +-- node: space A, page 7          child lists are doubly linked; a node's `place` is its VPTE:
 *      |     +-- node: space B, page 3    leaf table id << 10 | slot; the VPTE's tag is the node
 *      +-- node: space C, page 9
 *
 * Every mapping includes the right to read: an item without it maps nothing, and taking it away takes the mapping away.
 *
 * Status bits. An access is noted by the hardware in A and M of one VPTE. When these are taken (a query, a removal, a
 * change of rights) they go to the node itself (`own`) and to all its ancestors (`below`): every mapper learns once of
 * every access made through what it gave away, whoever asked first.
 *
 * Nodes are numbers; their fields lie in parallel arrays, 27 bytes a node. Node 0 is none.
 *
 * Invariants:
 *   I1  a VPTE is present exactly where a node has its place; both name the same frame, the VPTE grants the node's rights
 *   I2  a child's frame is its parent's; its rights are among its parent's; every node can read
 *   I3  parent, child, next and prev agree; every node in use is reachable from its frame's root
 *   I4  nodes in use + free nodes = nodes made
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { READ, WRITE } from '../../hostkernel/base/units.ts';
import type { GuestSpace, LeafRegistry, Platform, TableNode } from '../platform/index.ts';
import { SLOT_BITS } from '../platform/index.ts';
import { accessOf, RIGHT_EXECUTE, RIGHT_READ, STATUS_EXECUTED, STATUS_REFERENCED, STATUS_WRITTEN } from './fpage.ts';
import type { Space } from './space.ts';

export type MappingNode = number;

const SLOT_MASK = (1 << SLOT_BITS) - 1;
const NO_PLACE = 0; // leaf 0 does not exist

/** What map() and grant() can say. */
export const ENTERED = 0;
export const NOT_ENTERED = 1; //  nothing to do, or not possible: the rest goes on
export const OUT_OF_FRAMES = 2; // no frame for a page table

export interface MappingCounters {
  maps: number; //    nodes made or extended
  grants: number;
  unmaps: number; //  nodes removed
  outOfFrames: number;
}

export class MappingDatabase {
  readonly counters: MappingCounters = { maps: 0, grants: 0, unmaps: 0, outOfFrames: 0 };
  readonly #platform: Platform;
  readonly #leaves: LeafRegistry;
  readonly #roots: number; // nodes 1 .. #roots are the roots of frames 0 .. #roots - 1

  #frame: Int32Array;
  #place: Int32Array;
  #parent: Int32Array;
  #child: Int32Array;
  #next: Int32Array;
  #prev: Int32Array;
  #rights: Uint8Array;
  #own: Uint8Array;
  #below: Uint8Array;
  #free = 0; // list of free nodes, linked by #next
  #made: number; // nodes that have been handed out at least once, + 1
  #inUse = 0;
  readonly #stale: GuestSpace[] = []; // spaces with invalidations not yet flushed
  /** Makes room for page tables by freeing empty ones; set by the kernel. @returns frames freed */
  reclaim: (() => number) | null = null;

  constructor(platform: Platform) {
    this.#platform = platform;
    this.#leaves = platform.leaves;
    this.#roots = platform.image.frames;
    const capacity = 3 * this.#roots + 1 + 4096; // the boot maps all memory twice: growing then costs more than the boot
    this.#frame = new Int32Array(capacity);
    this.#place = new Int32Array(capacity);
    this.#parent = new Int32Array(capacity);
    this.#child = new Int32Array(capacity);
    this.#next = new Int32Array(capacity);
    this.#prev = new Int32Array(capacity);
    this.#rights = new Uint8Array(capacity);
    this.#own = new Uint8Array(capacity);
    this.#below = new Uint8Array(capacity);
    for (let frame = 0; frame < this.#roots; frame++) {
      this.#frame[frame + 1] = frame;
      this.#rights[frame + 1] = 7;
    }
    this.#made = this.#roots + 1;
  }

  // ---- looking

  /** The mapping of `page` in `space`, 0 if there is none. Hot. */
  nodeAt(space: Space, page: number): MappingNode {
    if (space.idempotent) return this.#platform.image.isConventional(page) ? page + 1 : 0;
    return space.guest.table.tag(page);
  }

  /** First mapped page in [page, end), -1 if there is none. */
  nextMapped(space: Space, page: number, end: number): number {
    if (!space.idempotent) return space.guest.table.nextMapped(page, end);
    const { image } = this.#platform;
    const first = Math.max(page, image.reserved);
    return first < Math.min(end, image.conventionalEnd) ? first : -1;
  }

  frameOf(node: MappingNode): number {
    return this.#frame[node] as number;
  }

  rightsOf(node: MappingNode): number {
    return this.#rights[node] as number;
  }

  parentOf(node: MappingNode): MappingNode {
    return this.#parent[node] as number;
  }

  /** Whether sigma0's mapping of `frame` has been given to nobody. */
  isUntouched(frame: number): boolean {
    return this.#child[frame + 1] === 0;
  }

  /** Mappings that exist, without the roots. */
  get size(): number {
    return this.#inUse;
  }

  #isAncestor(candidate: MappingNode, node: MappingNode): boolean {
    for (let at = node; at !== 0; at = this.#parent[at] as number) if (at === candidate) return true;
    return false;
  }

  // ---- mapping

  /**
   * Enters the frame of `source` as `page` of `space`, derived from `source`, with `rights` as far as the source has
   * them. Another frame there is removed with all that derives from it. The same frame there gets more rights. Hot.
   * @returns ENTERED, NOT_ENTERED, OUT_OF_FRAMES
   */
  map(source: MappingNode, space: Space, page: number, rights: number): number {
    const granted = rights & (this.#rights[source] as number);
    if ((granted & RIGHT_READ) === 0 || page >= space.guest.table.pageLimit || space.isReserved(page)) return NOT_ENTERED;
    const { guest } = space;
    const leaf = guest.table.find(page) ?? this.#ensure(guest, page);
    if (leaf === null) return OUT_OF_FRAMES;
    const slot = guest.table.slot(page);
    const existing = leaf.tags[slot] as number;
    if (existing !== 0) {
      if (existing === source) return NOT_ENTERED;
      if (this.#frame[existing] === this.#frame[source]) return this.#extend(existing, source, granted);
      this.removeTree(existing);
    }
    this.#derive(source, guest, leaf, slot, granted);
    return ENTERED;
  }

  /**
   * Maps pages of `from` in a row as map() would, as far as they are all there, lie in one table of either space and go
   * to empty slots of a table that exists. Hot: at boot all memory is mapped twice (bench/vkernel/l4.bench.ts).
   * @param pages at most so many
   * @returns pages mapped, from the left; 0: the first one needs map()
   */
  mapRun(from: Space, page: number, to: Space, target: number, pages: number, rights: number): number {
    const { guest } = to;
    const { image } = this.#platform;
    const leaf = target < guest.table.pageLimit ? guest.table.find(target) : null;
    const sources = from.idempotent ? null : from.guest.table.find(page);
    if (leaf === null || (from.idempotent ? !image.isConventional(page) : sources === null)) return 0;
    const slot = guest.table.slot(target);
    const sourceSlot = guest.table.slot(page); // all tables of one vkernel have the same size
    const there = sources === null ? image.conventionalEnd - page : sources.tags.length - sourceSlot;
    const last = Math.min(pages, there, leaf.tags.length - slot, guest.table.pageLimit - target);
    let done = 0;
    for (; done < last; done++) {
      const source = sources === null ? page + done + 1 : (sources.tags[sourceSlot + done] as number);
      const granted = rights & (this.#rights[source] as number); // 0 where there is no source
      if ((granted & RIGHT_READ) === 0 || leaf.tags[slot + done] !== 0 || to.isReserved(target + done)) break;
      this.#derive(source, guest, leaf, slot + done, granted);
    }
    return done;
  }

  /** Makes a mapping of the frame of `source` in an empty slot. */
  #derive(source: MappingNode, guest: GuestSpace, leaf: TableNode, slot: number, granted: number): void {
    const node = this.#allocate();
    const frame = this.#frame[source] as number;
    this.#frame[node] = frame;
    this.#place[node] = (leaf.id << SLOT_BITS) | slot;
    this.#rights[node] = granted;
    this.#link(node, source);
    guest.enter(leaf, slot, frame, accessOf(granted), node);
    this.counters.maps++;
  }

  /** The same frame is mapped there already: more rights, as far as a mapping above it has them. */
  #extend(node: MappingNode, source: MappingNode, granted: number): number {
    const before = this.#rights[node] as number;
    let want = before | granted;
    if (want === before) return NOT_ENTERED;
    const parentRights = this.#rights[this.#parent[node] as number] as number;
    if ((want & ~parentRights) !== 0) {
      const coveredBySource = (want & ~(this.#rights[source] as number)) === 0;
      if (coveredBySource && !this.#isAncestor(node, source)) {
        this.#harvestBelow(node); // what happened so far is the business of those it came from
        this.#harvest(node);
        this.#unlink(node);
        this.#link(node, source);
      } else want = before | (granted & parentRights);
    }
    if (want === before) return NOT_ENTERED;
    this.#rights[node] = want;
    const leaf = this.#leafOf(node);
    this.#guestOf(leaf).extend(leaf, (this.#place[node] as number) & SLOT_MASK, this.#frame[node] as number, accessOf(want));
    this.counters.maps++;
    return ENTERED;
  }

  /**
   * Moves the mapping `source` to `page` of `space`: it keeps its place in the tree, loses what `rights` does not have,
   * and its old page is empty. Where the same frame is mapped already, that mapping gets the rights, and what derived
   * from the source hangs below the source's parent.
   */
  grant(source: MappingNode, space: Space, page: number, rights: number): number {
    const granted = rights & (this.#rights[source] as number);
    if ((granted & RIGHT_READ) === 0 || page >= space.guest.table.pageLimit || space.isReserved(page)) return NOT_ENTERED;
    if (this.#place[source] === NO_PLACE) return this.map(source, space, page, rights);
    const { guest } = space;
    const leaf = guest.table.find(page) ?? this.#ensure(guest, page);
    if (leaf === null) return OUT_OF_FRAMES;
    const slot = guest.table.slot(page);
    const existing = leaf.tags[slot] as number;
    if (existing === source) return NOT_ENTERED;
    if (existing !== 0 && this.#frame[existing] === this.#frame[source]) {
      this.#extend(existing, source, granted);
      this.#splice(source);
      this.counters.grants++;
      return ENTERED;
    }
    if (existing !== 0) this.removeTree(existing);
    if (granted !== this.#rights[source]) this.#reduceTree(source, ~granted & 7);
    this.#harvest(source);
    this.#vacate(source);
    this.#place[source] = (leaf.id << SLOT_BITS) | slot;
    guest.enter(leaf, slot, this.#frame[source] as number, accessOf(granted), source);
    this.counters.grants++;
    return ENTERED;
  }

  // ---- taking away

  /**
   * Takes `rights` away from everything derived from `node`, with `flush` from the node too.
   * @returns status bits since the last call: of derived mappings, with `flush` the node's own too
   */
  revoke(node: MappingNode, rights: number, flush: boolean): number {
    this.#harvestBelow(node);
    let status = this.#below[node] as number;
    this.#below[node] = 0;
    if (flush) {
      this.#harvest(node);
      status |= this.#own[node] as number;
      this.#own[node] = 0;
    }
    if (rights === 0) return status;
    if (flush && this.#place[node] !== NO_PLACE) {
      if ((rights & RIGHT_READ) !== 0) this.removeTree(node);
      else this.#reduceTree(node, rights);
    } else {
      for (let child = this.#child[node] as number, next = 0; child !== 0; child = next) {
        next = this.#next[child] as number;
        if ((rights & RIGHT_READ) !== 0) this.removeTree(child);
        else this.#reduceTree(child, rights);
      }
    }
    return status;
  }

  /** Removes `node` and everything derived from it. Not for roots. */
  removeTree(node: MappingNode): void {
    let at = node;
    for (;;) {
      while (this.#child[at] !== 0) at = this.#child[at] as number;
      const parent = this.#parent[at] as number;
      const last = at === node;
      this.#remove(at);
      if (last) return;
      at = parent;
    }
  }

  /**
   * Tells the host of everything stale. Ends every operation that took something away. A slot that was cleared and
   * entered again before this is read anew by the host after it: no guest runs in between.
   */
  flush(): void {
    if (this.#stale.length === 0) return;
    for (const guest of this.#stale) guest.flush();
    this.#stale.length = 0;
  }

  /** Takes `taken` (without the right to read) from `node` and everything derived from it. */
  #reduceTree(node: MappingNode, taken: number): void {
    let at = node;
    for (;;) {
      this.#reduce(at, taken);
      if (this.#child[at] !== 0) {
        at = this.#child[at] as number;
        continue;
      }
      while (at !== node && this.#next[at] === 0) at = this.#parent[at] as number;
      if (at === node) return;
      at = this.#next[at] as number;
    }
  }

  #reduce(node: MappingNode, taken: number): void {
    const before = this.#rights[node] as number;
    const after = before & ~taken;
    if (after === before) return;
    const written = (this.#harvest(node) & STATUS_WRITTEN) !== 0;
    this.#rights[node] = after;
    const leaf = this.#leafOf(node);
    const guest = this.#guestOf(leaf);
    guest.protect(leaf, (this.#place[node] as number) & SLOT_MASK, this.#frame[node] as number, accessOf(before), accessOf(after), written);
    this.#noteStale(guest);
  }

  /** Takes the status bits of every mapping derived from `node`. */
  #harvestBelow(node: MappingNode): void {
    let at = this.#child[node] as number;
    if (at === 0) return;
    for (;;) {
      this.#harvest(at);
      if (this.#child[at] !== 0) {
        at = this.#child[at] as number;
        continue;
      }
      while (at !== node && this.#next[at] === 0) at = this.#parent[at] as number;
      if (at === node) return;
      at = this.#next[at] as number;
    }
  }

  /** Takes the status bits of one VPTE to its node and all nodes above. @returns the bits */
  #harvest(node: MappingNode): number {
    const place = this.#place[node] as number;
    if (place === NO_PLACE) return 0;
    const leaf = this.#leafOf(node);
    const guest = this.#guestOf(leaf);
    const access = guest.takeStatus(leaf, place & SLOT_MASK);
    if (access === 0) return 0;
    this.#noteStale(guest);
    const rights = this.#rights[node] as number;
    const status =
      ((access & READ) !== 0 ? STATUS_REFERENCED | ((rights & RIGHT_EXECUTE) !== 0 ? STATUS_EXECUTED : 0) : 0) |
      ((access & WRITE) !== 0 ? STATUS_WRITTEN & rights : 0);
    this.#own[node] = (this.#own[node] as number) | status;
    for (let at = this.#parent[node] as number; at !== 0; at = this.#parent[at] as number)
      this.#below[at] = (this.#below[at] as number) | status;
    return status;
  }

  /** Removes one mapping that has no children. */
  #remove(node: MappingNode): void {
    this.#harvest(node);
    this.#vacate(node);
    this.#unlink(node);
    this.#release(node);
    this.counters.unmaps++;
  }

  /** Removes one mapping; its children become its parent's. */
  #splice(node: MappingNode): void {
    const parent = this.#parent[node] as number;
    for (let child = this.#child[node] as number, next = 0; child !== 0; child = next) {
      next = this.#next[child] as number;
      this.#unlink(child);
      this.#link(child, parent);
    }
    this.#remove(node);
  }

  /** Clears a node's VPTE. */
  #vacate(node: MappingNode): void {
    const leaf = this.#leafOf(node);
    const guest = this.#guestOf(leaf);
    guest.remove(leaf, (this.#place[node] as number) & SLOT_MASK);
    this.#noteStale(guest);
  }

  #noteStale(guest: GuestSpace): void {
    if (!guest.hosted || guest.flushQueued) return;
    guest.flushQueued = true;
    this.#stale.push(guest);
  }

  #ensure(guest: GuestSpace, page: number): TableNode | null {
    let leaf = guest.table.ensure(page);
    if (leaf === null && this.reclaim !== null && this.reclaim() > 0) leaf = guest.table.ensure(page);
    if (leaf === null) this.counters.outOfFrames++;
    return leaf;
  }

  #leafOf(node: MappingNode): TableNode {
    return this.#leaves.get((this.#place[node] as number) >>> SLOT_BITS);
  }

  #guestOf(leaf: TableNode): GuestSpace {
    return leaf.table.owner as GuestSpace; // only guest spaces' tables carry our tags
  }

  // ---- nodes

  #link(node: MappingNode, parent: MappingNode): void {
    const first = this.#child[parent] as number;
    this.#parent[node] = parent;
    this.#next[node] = first;
    this.#prev[node] = 0;
    if (first !== 0) this.#prev[first] = node;
    this.#child[parent] = node;
  }

  #unlink(node: MappingNode): void {
    const next = this.#next[node] as number;
    const prev = this.#prev[node] as number;
    if (prev === 0) this.#child[this.#parent[node] as number] = next;
    else this.#next[prev] = next;
    if (next !== 0) this.#prev[next] = prev;
  }

  #allocate(): MappingNode {
    this.#inUse++;
    const node = this.#free;
    if (node !== 0) {
      this.#free = this.#next[node] as number;
      return node;
    }
    if (this.#made === this.#frame.length) this.#growArrays();
    return this.#made++;
  }

  #release(node: MappingNode): void {
    this.#inUse--;
    this.#place[node] = NO_PLACE;
    this.#parent[node] = 0;
    this.#child[node] = 0;
    this.#own[node] = 0;
    this.#below[node] = 0;
    this.#next[node] = this.#free;
    this.#free = node;
  }

  #growArrays(): void {
    const capacity = Math.ceil(this.#frame.length * 1.5);
    this.#frame = grown(this.#frame, new Int32Array(capacity));
    this.#place = grown(this.#place, new Int32Array(capacity));
    this.#parent = grown(this.#parent, new Int32Array(capacity));
    this.#child = grown(this.#child, new Int32Array(capacity));
    this.#next = grown(this.#next, new Int32Array(capacity));
    this.#prev = grown(this.#prev, new Int32Array(capacity));
    this.#rights = grown(this.#rights, new Uint8Array(capacity));
    this.#own = grown(this.#own, new Uint8Array(capacity));
    this.#below = grown(this.#below, new Uint8Array(capacity));
  }

  // ---- checks

  /** @param spaces every space that exists */
  assertInvariants(spaces: readonly Space[]): void {
    let present = 0;
    for (const space of spaces) {
      space.guest.table.assertInvariants((leaf, slot, frame, attributes) => {
        const node = leaf.tags[slot] as number;
        kassert(this.#place[node] === ((leaf.id << SLOT_BITS) | slot), 'mapping I1');
        kassert(this.#frame[node] === frame, 'mapping I1');
        const access = accessOf(this.#rights[node] as number);
        kassert(!this.#platform.format.hasPermissions || (attributes & 7) === space.guest.table.permitted(access), 'mapping I1');
        kassert(!space.isReserved(leaf.base + slot), 'mapping: reserved page mapped');
        present++;
      });
    }
    kassert(present === this.#inUse, 'mapping I1');
    let reached = 0;
    for (let root = 1; root <= this.#roots; root++) if (this.#child[root] !== 0) reached += this.#checkTree(root);
    kassert(reached === this.#inUse, 'mapping I3');
    let free = 0;
    for (let node = this.#free; node !== 0; node = this.#next[node] as number) free++;
    kassert(free + this.#inUse + this.#roots + 1 === this.#made, 'mapping I4');
  }

  /** @returns nodes below `parent` */
  #checkTree(parent: MappingNode): number {
    let count = 0;
    let previous = 0;
    for (let node = this.#child[parent] as number; node !== 0; node = this.#next[node] as number) {
      kassert(this.#parent[node] === parent && this.#prev[node] === previous, 'mapping I3');
      kassert(this.#frame[node] === this.#frame[parent], 'mapping I2');
      kassert(((this.#rights[node] as number) & ~(this.#rights[parent] as number)) === 0, 'mapping I2');
      kassert(((this.#rights[node] as number) & RIGHT_READ) !== 0, 'mapping I2');
      count += 1 + this.#checkTree(node);
      previous = node;
    }
    return count;
  }
}

function grown<A extends Int32Array | Uint8Array>(from: A, to: A): A {
  to.set(from);
  return to;
}
