/**
 * Agile paging: one walk, the upper levels in shadow tables, the rest nested, in every part of a space as suits it.
 *
 *   guest root -> directory -> leaf table A      shadowed: their tables are write-protected, every write is applied at once
 *                          \-> leaf table B      nested: the guest writes it freely, walks of it are two-dimensional
 *
 *   shadow root -> directory' -> leaf table A' -> host frames
 *                           \-> SWITCH to B
 *
 *   shadowed levels s of G     references G + (G - s) * H: a SWITCH names the guest's table by its host address
 *   nothing shadowed           the same with s = 0, where a trapped switch has translated the root; else (G + 1) * (H + 1) - 1
 *
 * Which tables are shadowed is decided for each by its balance, in cycles, learned from samples of walks:
 *
 *   nested     + what the host's part of walks through it cost;  - what its writes would cost, were it shadowed; never
 *              below 0. From the price of shadowing it on, it is shadowed, if the table above is: exit, and an entry for
 *              each entry in use
 *   shadowed   + what walks through it save, up to its price;  - what its writes cost. Below minus its price it is nested
 *              again, with all below it
 *
 * So a table that is written goes to nested, a quiet one comes back, and neither can cost much more than it has saved
 * before: the warm-up is at most the price of each table. A switch of spaces is trapped only while something is shadowed,
 * and not while the processor's cache of roots has the space; a trap counts as a write to its root.
 *
 *   event                          shadowed part                                    nested part
 *   access refused                 exit, software walk, entry or injected fault     the guest's own fault; a host fault: exit
 *   guest writes a table           exit, emulated: the shadow follows at once       nothing
 *   guest invalidates              nothing: the shadow is never stale               nothing
 *
 * Source: Gandhi, Hill, Swift, "Agile Paging", ISCA 2016. Theirs decides by write counts and intervals.
 */
import { kassert } from '../../../hostkernel/base/assert.ts';
import { type Access, PAGE_SIZE, powerOf2, WRITE } from '../../../hostkernel/base/units.ts';
import { ATTR_ACCESSED, ATTR_DIRTY, ATTR_USER, ENTRY_LEAF, ENTRY_TABLE } from '../../../hostkernel/machine/paging/index.ts';
import type { EventCosts, PageTables, Translation, WalkRecorder } from '../../../hostkernel/machine/timing/index.ts';
import type { EventCounts } from '../events.ts';
import type { GuestWatcher } from '../guest/watcher.ts';
import type { AgileFront } from './agile-front.ts';
import type { Backing } from './shadow-hypervisor.ts';
import { type ShadowedTable, ShadowedPages } from './shadow-pages.ts';
import { ReverseMap } from './shadow-reverse.ts';
import { SoftwareWalk } from './software-walk.ts';

/** Choices of the hypervisor: part of a job. */
export interface AgilePolicy {
  /** Levels that are shadowed, from the root down, whatever happens; `auto`: by the balances. */
  readonly levels: number | 'auto';
  /** One walk of so many is a sample. */
  readonly period: number;
  /** Spaces whose roots the processor knows: going to one of them does not trap. */
  readonly roots: number;
}

export const AGILE_POLICY: AgilePolicy = { levels: 'auto', period: 16, roots: 4 };

export interface AgileSetup {
  readonly guest: PageTables;
  readonly front: AgileFront;
  readonly backing: Backing;
  readonly translation: Pick<Translation, 'setSpace' | 'invalidateRange' | 'invalidateSpace'>;
  readonly events: EventCounts;
  readonly costs: EventCosts;
  readonly policy: AgilePolicy;
}

interface AgileSpace {
  readonly id: number;
  readonly guestRoot: number;
  readonly guestTop: number; // byte address of the guest's top table
  front: number; //             root of the shadow; -1: all is nested
  /** By level, then by first page of a table: its balance. */
  readonly balances: readonly Map<number, Balance>[];
}

interface Balance {
  cycles: number;
  price: number; // 0: not yet asked for
}

const ALL_PAGES = 2 ** 52;

/**
 * Invariants (assertInvariants; those of shadow-pages.ts besides):
 *   A1  a table is shadowed exactly where the front has a table of its level: the one above it is too
 *   A2  where the guest's entry in a shadowed table is a pointer, the front's is a pointer or a SWITCH to the same table
 *   A3  a leaf of the front maps what the guest's tables and the host's memory say, with no more than the guest's rights,
 *       and WRITE only if the guest's leaf is dirty
 */
export class AgileHypervisor implements GuestWatcher, WalkRecorder {
  readonly pages: ShadowedPages;
  /** Tables that became shadowed, and nested again. */
  shadowed = 0;
  unshadowed = 0;
  readonly #guest: PageTables;
  readonly #front: AgileFront;
  readonly #backing: Backing;
  readonly #translation: AgileSetup['translation'];
  readonly #events: EventCounts;
  readonly #costs: EventCosts;
  readonly #policy: AgilePolicy;
  readonly #walk: SoftwareWalk;
  readonly #spaces = new Map<number, AgileSpace>();
  readonly #reverse = new ReverseMap();
  readonly #reach: number;
  readonly #upper: number; // pages of the tables from here on are addresses with ones on top
  readonly #least: number; // levels shadowed whatever happens
  readonly #most: number;
  /** Spaces whose roots the processor knows, the one used last at the end. */
  readonly #roots: number[] = [];
  #fronts = 0; // spaces with a shadow
  #current = -1;
  #untilSample: number;
  /** What the host's part of a sampled walk cost, on average. */
  #saved = 0;

  constructor({ guest, front, backing, translation, events, costs, policy }: AgileSetup) {
    this.#guest = guest;
    this.#front = front;
    this.#backing = backing;
    this.#translation = translation;
    this.#events = events;
    this.#costs = costs;
    this.#policy = policy;
    this.#walk = new SoftwareWalk(guest.format, guest.memory, 'hardware');
    this.pages = new ShadowedPages(guest.format);
    this.#reach = guest.format.span(guest.format.levels);
    this.#upper = guest.format.descriptor.va.rule === 'sign' ? this.#reach / 2 : Infinity;
    this.#least = policy.levels === 'auto' ? 0 : policy.levels;
    this.#most = policy.levels === 'auto' ? guest.format.levels : policy.levels;
    this.#untilSample = policy.period;
  }

  /** Whether the walk of `page` in the current space ends in its shadow: then a refusal is the shadow's. */
  isShadowed(page: number): boolean {
    const { front } = this.#spaceOf(this.#current);
    return front >= 0 && !this.#front.switchesAt(front, page % this.#reach);
  }

  /**
   * An access of the current space that its shadow refused.
   * @returns false: the guest's own tables refuse it, and its kernel gets the fault
   */
  fault(page: number, access: Access): boolean {
    const events = this.#events;
    const space = this.#spaceOf(this.#current);
    const walk = this.#walk;
    const { levels } = this.#guest.format;
    events.exits++;
    const found = walk.walk(space.guestTop, page, access);
    events.softWalks++;
    events.softWalkReferences += walk.references;
    if (walk.references > 0) for (let level = levels - 1; level >= walk.level; level--) this.#backing.back(frameOf(walk.entries[level]));
    if (!found) {
      events.injections++;
      return false;
    }
    events.hiddenFaults++;
    const at = page % this.#reach;
    if (this.#tableOver(space.id, walk.level, at) !== undefined) {
      this.#backing.back(walk.frame);
      this.#putLeaf(space, at, true);
      return true;
    }
    // Its table is not shadowed, and the entry that should say so is not there yet.
    let level = levels - 1;
    while (this.#tableOver(space.id, level - 1, at) !== undefined) level--;
    this.#putSwitch(space, level, at, walk.tables[level - 1]);
    return true;
  }

  // ------------------------------------------------------------------------------------------- what the guest does

  created(space: number, root: number): void {
    const balances = Array.from({ length: this.#guest.format.levels }, () => new Map<number, Balance>());
    this.#spaces.set(space, { id: space, guestRoot: root, guestTop: this.#guest.topTable(root), front: -1, balances });
  }

  destroyed(space: number): void {
    const known = this.#spaceOf(space);
    this.#dropFront(known);
    this.#forgetRoot(space);
    this.#spaces.delete(space);
    this.#translation.invalidateSpace(space);
    if (this.#current === space) this.#current = -1;
  }

  switched(space: number): void {
    const known = this.#spaceOf(space);
    this.#current = space;
    if (this.#roots.includes(space)) this.#learnRoot(space);
    else if (this.#fronts > 0 || this.#policy.levels !== 'auto') {
      this.#events.switchTraps++;
      this.#events.exits++;
      this.#learnRoot(space);
      const top = this.pages.tableAt(space, this.#guest.format.levels - 1, 0);
      if (top !== undefined) this.#charge(known, top, this.#costs.exit);
    }
    this.#enter(known);
  }

  entryWritten(space: number, level: number, entryAddress: number, page: number): void {
    const { format } = this.#guest;
    const at = page % this.#reach;
    const cost = this.#costs.exit + this.#costs.ptWriteEmulate;
    const table = this.#tableOver(space, level, at);
    if (table === undefined) {
      const balance = this.#spaceOf(space).balances[level].get(at - (at % format.span(level + 1)));
      if (balance !== undefined) balance.cycles = Math.max(0, balance.cycles - cost);
    }
    if (this.pages.pageOf(entryAddress - format.index(level, page) * format.entryBytes) === undefined) return;
    const events = this.#events;
    events.tableWriteTraps++;
    events.exits++;
    if (table === undefined) return; // only its neighbour in the page is shadowed
    const known = this.#spaceOf(space);
    this.#follow(known, level, at);
    this.#charge(known, table, cost);
  }

  /** The shadow follows every write at once, so nobody has to hear of invalidations. */
  invalidated(space: number, page: number, pages: number, singles: number, tablesToo: boolean): void {
    if (singles === 0) this.#translation.invalidateSpace(space);
    else this.#translation.invalidateRange(space, page, pages, tablesToo);
  }

  // -------------------------------------------------------------------------------------------- what the host does

  /** The host is about to take guest frames [frame, frame + frames) away: no entry of a shadow leads to them any more. */
  hostUnmapping(frame: number, frames: number): void {
    if (!this.#reverse.isKept) this.#beginReverse();
    for (let at = frame; at < frame + frames; at++) {
      const host = this.#backing.peek(at);
      if (host < 0) continue;
      this.#reverse.takeFrame(host, this.#dropEntry);
      if (this.#front.hasSwitchTo(at)) for (const space of this.#spaces.values()) this.#dropFront(space);
    }
    // A root may have been translated to what goes.
    if (this.#current >= 0) this.#enter(this.#spaceOf(this.#current));
  }

  readonly #dropEntry = (id: number, page: number, frame: number): void => {
    const { tables } = this.#front;
    const space = this.#spaces.get(id);
    if (space === undefined || space.front < 0 || !tables.find(space.front, page) || tables.frame !== frame) return;
    const pages = powerOf2(tables.shift - 12);
    tables.unmap(space.front, page, pages);
    this.#translation.invalidateRange(id, this.#rawOf(page), pages, true);
  };

  #beginReverse(): void {
    this.#reverse.begin();
    for (const { front, id } of this.#spaces.values()) {
      if (front < 0) continue;
      this.#front.tables.forEachLeaf(front, (page, frame, level) => {
        this.#reverse.insert(frame, this.#guest.format.span(level), id, page);
      });
    }
  }

  // ------------------------------------------------------------------------------------------------------ balances

  /** Takes samples of walks. Hot: most are none. */
  walked(space: number, page: number, _access: Access, latencies: Float64Array, columns: number): void {
    if (--this.#untilSample > 0) return;
    this.#untilSample = this.#policy.period;
    let nested = 0;
    for (let i = 0; i < latencies.length; i++) if ((i + 1) % columns !== 0) nested += latencies[i];
    this.#sample(this.#spaceOf(space), page % this.#reach, nested);
  }

  /** One walk of `page`, whose nested part took `nested` cycles, stands for `period` of them. */
  #sample(space: AgileSpace, page: number, nested: number): void {
    const { format } = this.#guest;
    const { period } = this.#policy;
    if (nested > 0) this.#saved += (nested - this.#saved) / 8;
    for (let level = format.levels - 1; level >= format.levels - this.#most; level--) {
      const first = page - (page % format.span(level + 1));
      let balance = space.balances[level].get(first);
      if (balance === undefined) {
        balance = { cycles: 0, price: 0 };
        space.balances[level].set(first, balance);
      }
      if (this.pages.tableAt(space.id, level, first) !== undefined) {
        balance.cycles = Math.min(balance.price, balance.cycles + period * this.#saved);
        continue;
      }
      balance.cycles += period * nested;
      const isFixed = level >= format.levels - this.#least;
      if (!isFixed && balance.cycles < Math.max(balance.price, this.#costs.exit)) return;
      balance.price = this.#priceOf(space, level, page);
      if (balance.price < 0 || (!isFixed && balance.cycles < balance.price)) return;
      balance.cycles = 0;
      this.#shadow(space, level, page);
      if (!isFixed) return;
    }
  }

  /** What shadowing the table of `level` that maps `page` costs, or -1: there is none. */
  #priceOf(space: AgileSpace, level: number, page: number): number {
    const walk = this.#walk;
    walk.look(space.guestTop, this.#rawOf(page));
    if (walk.level > level) return -1;
    const { format, memory } = this.#guest;
    const table = walk.tables[level];
    const end = table + format.tableBytes(level);
    let entries = 0;
    for (let at = table; at < end; at += format.entryBytes) {
      this.#guest.readEntry(at);
      const kind = format.kind(level, memory.lo, memory.hi);
      if (kind === ENTRY_TABLE || kind === ENTRY_LEAF) entries++;
    }
    return this.#costs.exit + entries * (this.#costs.shadowFill + this.#costs.softWalkPerLevel);
  }

  /** A write to a shadowed table, or a switch to its space, has cost `cycles`. */
  #charge(space: AgileSpace, table: ShadowedTable, cycles: number): void {
    const balance = space.balances[table.level].get(table.first);
    if (balance === undefined || table.level >= this.#guest.format.levels - this.#least) return;
    balance.cycles -= cycles;
    if (balance.cycles >= -balance.price) return;
    balance.cycles = 0;
    this.#unshadow(space, table);
  }

  // ---------------------------------------------------------------------------------------------------- the shadow

  /** Shadows the table of `level` that maps `page`; the one above is shadowed. */
  #shadow(space: AgileSpace, level: number, page: number): void {
    const { format, memory } = this.#guest;
    const events = this.#events;
    const walk = this.#walk;
    walk.look(space.guestTop, this.#rawOf(page));
    const table = walk.tables[level];
    events.exits++;
    this.shadowed++;
    if (level === format.levels - 1) {
      space.front = this.#front.tables.createRoot();
      this.#fronts++;
      this.#learnRoot(space.id);
    } else this.#front.putTable(space.front, level, page);
    this.pages.use(space.id, table, level, page);
    const first = page - (page % format.span(level + 1));
    const span = format.span(level);
    for (let at = first; at < first + format.span(level + 1); at += span) {
      this.#guest.readEntry(table + format.index(level, at) * format.entryBytes);
      const { lo, hi } = memory;
      const kind = format.kind(level, lo, hi);
      if (kind !== ENTRY_TABLE && kind !== ENTRY_LEAF) continue;
      events.softWalkReferences++;
      if (kind === ENTRY_TABLE) this.#putSwitch(space, level, at, format.tableAddress(level, lo, hi));
      else if (walk.look(space.guestTop, this.#rawOf(at)) && walk.accessed && this.#backing.peek(walk.frame) >= 0) {
        this.#backing.back(walk.frame);
        this.#putLeaf(space, at, false);
      }
    }
    this.#translation.invalidateRange(space.id, this.#rawOf(first), format.span(level + 1), true);
    if (space.id === this.#current && level === format.levels - 1) this.#enter(space);
  }

  /** Makes a table nested again, with all below it. */
  #unshadow(space: AgileSpace, table: ShadowedTable): void {
    const { format } = this.#guest;
    this.unshadowed++;
    if (table.level === format.levels - 1) {
      this.#dropFront(space);
      if (space.id === this.#current) this.#enter(space);
      return;
    }
    this.pages.forget(table);
    this.#putSwitch(space, table.level + 1, table.first, table.address);
    this.#translation.invalidateRange(space.id, this.#rawOf(table.first), table.pages, true);
  }

  #dropFront(space: AgileSpace): void {
    if (space.front < 0) return;
    this.pages.forgetSpace(space.id);
    this.#front.destroyRoot(space.front);
    space.front = -1;
    this.#fronts--;
    this.#translation.invalidateSpace(space.id);
  }

  /** The guest has written the entry of `level` that maps from `page` on, in a shadowed table: so does its shadow. */
  #follow(space: AgileSpace, level: number, page: number): void {
    const { format, memory } = this.#guest;
    const table = this.#tableOver(space.id, level, page);
    kassert(table !== undefined, 'agile: a write to a table without a shadow');
    this.pages.forgetBelow(space.id, level, page);
    this.#guest.readEntry(table.address + format.index(level, page) * format.entryBytes);
    const { lo, hi } = memory;
    if (format.kind(level, lo, hi) === ENTRY_TABLE) this.#putSwitch(space, level, page, format.tableAddress(level, lo, hi));
    else this.#front.clear(space.front, level, page);
    this.#translation.invalidateRange(space.id, this.#rawOf(page), format.span(level), true);
  }

  #putSwitch(space: AgileSpace, level: number, page: number, guestTable: number): void {
    const backing = this.#backing;
    backing.back(frameOf(guestTable));
    const hostTable = backing.frame * PAGE_SIZE + (guestTable % PAGE_SIZE);
    this.#front.putSwitch(space.front, level, page - (page % this.#guest.format.span(level)), guestTable, hostTable);
    this.#events.shadowFills++;
  }

  /** Makes the leaf for `page` that #walk has found, whose frame `backing` has just backed. */
  #putLeaf(space: AgileSpace, page: number, splinters: boolean): void {
    const walk = this.#walk;
    const backing = this.#backing;
    const { tables } = this.#front;
    const most = Math.min(walk.pages, backing.pages);
    if (most < walk.pages && !splinters) return; // many small ones: as they are used
    let size = tables.sizes[0];
    for (const larger of tables.sizes) {
      const pages = powerOf2(larger.shift - 12);
      if (larger.entries === 1 && pages <= most && (walk.frame - (page % pages)) % pages === 0) size = larger;
    }
    const pages = powerOf2(size.shift - 12);
    const first = page - (page % pages);
    const rights = walk.dirty ? walk.rights : walk.rights & ~WRITE;
    const isThere = tables.find(space.front, page);
    const marks = ATTR_USER | ATTR_ACCESSED | ((rights & WRITE) !== 0 ? ATTR_DIRTY : 0);
    tables.map(space.front, first, backing.frame - (page % pages), size.shift, rights | marks);
    this.#events.shadowFills++;
    if (isThere) this.#translation.invalidateRange(space.id, this.#rawOf(first), pages, true);
    if (this.#reverse.isKept) this.#reverse.insert(backing.frame - (page % pages), pages, space.id, first);
  }

  /** The hypervisor puts a space's root into the processor's cache of them. */
  #learnRoot(space: number): void {
    this.#forgetRoot(space);
    this.#roots.push(space);
    if (this.#roots.length > this.#policy.roots) this.#roots.shift();
  }

  #forgetRoot(space: number): void {
    const at = this.#roots.indexOf(space);
    if (at >= 0) this.#roots.splice(at, 1);
  }

  /** The processor goes to a space. Where the hypervisor had no hand in it, its root is an address of the guest. */
  #enter(space: AgileSpace): void {
    const backing = this.#backing;
    if (!this.#roots.includes(space.id)) {
      this.#translation.setSpace(space.id, { root: space.guestRoot });
      return;
    }
    backing.back(frameOf(space.guestRoot));
    const hostRoot = backing.frame * PAGE_SIZE + (space.guestRoot % PAGE_SIZE);
    this.#translation.setSpace(
      space.id,
      space.front >= 0 ? { root: space.guestRoot, hostRoot, shadowRoot: space.front } : { root: space.guestRoot, hostRoot },
    );
  }

  /** The shadowed table of `level` that maps `page`. */
  #tableOver(space: number, level: number, page: number): ShadowedTable | undefined {
    return this.pages.tableAt(space, level, page - (page % this.#guest.format.span(level + 1)));
  }

  #spaceOf(id: number): AgileSpace {
    const space = this.#spaces.get(id);
    kassert(space !== undefined, 'agile: no such space');
    return space;
  }

  assertInvariants(): void {
    this.pages.assertInvariants();
    for (const space of this.#spaces.values()) {
      const top = this.pages.tableAt(space.id, this.#guest.format.levels - 1, 0);
      kassert(space.front >= 0 === (top !== undefined), 'agile A1: root');
      if (top !== undefined) this.#checkTable(space, top);
    }
  }

  #checkTable(space: AgileSpace, table: ShadowedTable): void {
    const { format, memory } = this.#guest;
    const front = this.#front;
    const { level, first, pages } = table;
    const span = format.span(level);
    for (let page = first; page < first + pages; page += span) {
      const entry = front.tables.entryAt(space.front, level, page);
      kassert(entry >= 0, 'agile A1: table');
      front.tables.readEntry(entry);
      const { lo, hi } = front.memory;
      const kind = format.kind(level, lo, hi);
      const switched = level > 0 && kind !== ENTRY_TABLE && kind !== ENTRY_LEAF && front.guestLevel(level, lo, hi) >= 0;
      const { guestTable } = front;
      const below = level > 0 ? this.pages.tableAt(space.id, level - 1, page) : undefined;
      this.#guest.readEntry(table.address + format.index(level, page) * format.entryBytes);
      const isPointer = format.kind(level, memory.lo, memory.hi) === ENTRY_TABLE;
      const child = isPointer ? format.tableAddress(level, memory.lo, memory.hi) : -1;
      if (below !== undefined) {
        kassert(kind === ENTRY_TABLE && below.address === child, 'agile A2: pointer');
        this.#checkTable(space, below);
      } else if (switched) kassert(guestTable === child, 'agile A2: switch');
      else if (kind === ENTRY_TABLE || kind === ENTRY_LEAF) this.#checkLeaves(space, page, span);
    }
  }

  /** Checks leaves of pages [first, first + pages), which one entry of a shadowed table maps. */
  #checkLeaves(space: AgileSpace, first: number, pages: number): void {
    const { tables } = this.#front;
    const walk = this.#walk;
    for (let page = first; page < first + pages; page += this.#guest.format.basePages) {
      if (!tables.find(space.front, page)) continue;
      const { frame, attributes } = tables;
      kassert(walk.look(space.guestTop, this.#rawOf(page)), 'agile A3: mapped');
      kassert(this.#backing.peek(walk.frame) === frame, 'agile A3: frame');
      kassert((attributes & WRITE) === 0 || (walk.dirty && (walk.rights & WRITE) !== 0), 'agile A3: rights');
    }
  }

  /** The address of a page as the tables count it: with ones on top, if it is in the upper half. */
  #rawOf(page: number): number {
    return page >= this.#upper ? page + ALL_PAGES - this.#reach : page;
  }
}

function frameOf(address: number): number {
  return Math.floor(address / PAGE_SIZE);
}
