/**
 * Shadow paging: the hypervisor keeps tables of its own, in the host's format, which map what programs use straight to
 * host memory. The processor walks only them; the guest's tables are data that the hypervisor reads.
 *
 *   guest's tables    root --> directory --> leaf table     write-protected while a shadow of them exists
 *        | software walk, once for each entry: hidden fault      (shadow-pages.ts)
 *        v
 *   shadow tables     root ------> ...... ------> leaf --> host frame        one root for each root of the guest
 *        ^ the processor's walk
 *
 *   event                          what is done
 *   access refused by the shadow   exit; walk of the guest's tables, A and for a write D are set in them
 *     the walk refuses             the fault is injected: every fault of the guest costs an exit
 *     it does not                  entry made, read-only until the guest's is dirty, so that the first write is seen
 *   guest writes a table           exit, if its page is protected: shadow-pages.ts says what becomes of the page. Emulated:
 *                                  the shadow of that entry and of all below goes
 *   guest invalidates a page       exit; of a table out of sync the entry is read again
 *   guest flushes, or goes to      exit; every table of the space that is out of sync is read again and protected
 *     another space
 *   host takes a frame away        found by the reverse map, or everything goes (policy)
 *
 * A write of the first kind leaves the shadow as it was: the processor's TLB might hold the same, and the guest must
 * invalidate in both cases. An entry that is read again is kept if it leads where it led, with the rights it has now, and
 * else dropped: it comes back by a hidden fault.
 *
 * Page sizes: an entry of the shadow is as large as the guest's leaf, the host's memory behind it and the shadow's format
 * allow. One large page of the guest over small ones of the host becomes many entries ("splintering"). Where tables of
 * the two formats map different amounts, one table of the guest has several in the shadow, or part of one.
 *
 * Not modelled: entries filled ahead of faults; the guest kernel's own mappings; sharing of shadow tables between spaces,
 * which share no tables here. Rights that the host's format cannot deny are granted.
 *
 * Source: the shadow MMU of Linux KVM, Documentation/virt/kvm/x86/mmu.rst, and arch/x86/kvm/mmu of Linux 6.
 */
import { kassert } from '../../../hostkernel/base/assert.ts';
import { type Access, PAGE_SIZE, powerOf2, WRITE } from '../../../hostkernel/base/units.ts';
import { ATTR_ACCESSED, ATTR_DIRTY, ATTR_USER, type PageTableFormat } from '../../../hostkernel/machine/paging/index.ts';
import type { PageTables, Translation } from '../../../hostkernel/machine/timing/index.ts';
import type { EventCounts } from '../events.ts';
import { LabError } from '../guest/lab-error.ts';
import type { GuestWatcher } from '../guest/watcher.ts';
import { type ShadowedPage, type ShadowedTable, ShadowedPages } from './shadow-pages.ts';
import { ReverseMap } from './shadow-reverse.ts';
import { SoftwareWalk } from './software-walk.ts';

/** Choices of the hypervisor: part of a job. */
export interface ShadowPolicy {
  /** A written leaf table becomes writable until the guest's next flush. Otherwise each write is emulated. */
  readonly outOfSync: boolean;
  /** Emulated writes to one page, without a hidden fault between them that uses it, after which it is no longer shadowed. */
  readonly threshold: number;
  /** Shadow roots kept: the space that was left longest ago loses its shadow. 0: no limit. */
  readonly roots: number;
  /** How entries of a frame are found that the host takes away: `reverse` map, or `flush` of every shadow. */
  readonly hostUnmap: 'reverse' | 'flush';
}

export const SHADOW_POLICY: ShadowPolicy = { outOfSync: true, threshold: 3, roots: 0, hostUnmap: 'reverse' };

/** Host memory behind a guest's frames, as a method has it. */
export interface Backing {
  /** After back(): the host's frame, and the pages of the naturally aligned block around it that is mapped linearly. */
  readonly frame: number;
  readonly pages: number;
  /** Makes sure that the guest's `frame` has host memory. */
  back(frame: number): void;
  /** The host's frame behind the guest's, or -1: none yet. Sets nothing. */
  peek(frame: number): number;
}

export interface ShadowSetup {
  readonly guest: PageTables;
  readonly shadow: PageTables;
  readonly backing: Backing;
  readonly translation: Pick<Translation, 'setSpace' | 'invalidateRange' | 'invalidateSpace'>;
  readonly events: EventCounts;
  readonly policy: ShadowPolicy;
}

interface ShadowSpace {
  readonly id: number;
  readonly guestTop: number; // byte address of the guest's top table
  root: number; //              of the shadow; -1: none
}

const ALL_PAGES = 2 ** 52;

/**
 * Invariants (assertInvariants; those of shadow-pages.ts besides):
 *   S1  an entry of the shadow maps a page that a walk of the guest's tables finds, to the host memory behind what it
 *       finds, with no more than its rights, and WRITE only if it is dirty; unless the leaf's table is out of sync
 *   S2  the tables on the way of every entry are shadowed
 */
export class ShadowHypervisor implements GuestWatcher {
  readonly pages: ShadowedPages;
  readonly #guest: PageTables;
  readonly #shadow: PageTables;
  readonly #backing: Backing;
  readonly #translation: ShadowSetup['translation'];
  readonly #events: EventCounts;
  readonly #policy: ShadowPolicy;
  readonly #walk: SoftwareWalk;
  readonly #spaces = new Map<number, ShadowSpace>(); // in the order of their last use, where roots are limited
  readonly #reverse = new ReverseMap();
  readonly #base: number; //        pages of the shadow's smallest page
  readonly #guestReach: number;
  readonly #shadowReach: number;
  readonly #upper: number; //       guest pages from here on are addresses with ones on top
  readonly #spans: readonly { readonly pages: number; readonly shift: number }[]; // of shadow leaves, the largest first
  #current = -1;

  constructor({ guest, shadow, backing, translation, events, policy }: ShadowSetup) {
    this.#guest = guest;
    this.#shadow = shadow;
    this.#backing = backing;
    this.#translation = translation;
    this.#events = events;
    this.#policy = policy;
    this.#walk = new SoftwareWalk(guest.format, guest.memory, 'hardware');
    this.pages = new ShadowedPages(guest.format);
    this.#base = shadow.format.basePages;
    this.#guestReach = guest.format.span(guest.format.levels);
    this.#shadowReach = shadow.format.span(shadow.format.levels);
    this.#upper = guest.format.descriptor.va.rule === 'sign' ? this.#guestReach / 2 : Infinity;
    this.#spans = shadow.sizes
      .filter(({ entries }) => entries === 1)
      .map(({ shift }) => ({ pages: 2 ** (shift - 12), shift }))
      .reverse();
  }

  /**
   * An access of the current space that its shadow refused.
   * @returns false: the guest's own tables refuse it, and its kernel gets the fault
   */
  fault(page: number, access: Access): boolean {
    const events = this.#events;
    const space = this.#spaceOf(this.#current);
    events.exits++;
    const walk = this.#walk;
    const found = walk.walk(space.guestTop, page, access);
    events.softWalks++;
    events.softWalkReferences += walk.references;
    if (walk.references > 0) {
      for (let level = this.#guest.format.levels - 1; level >= walk.level; level--) {
        this.#backing.back(Math.floor(walk.entries[level] / PAGE_SIZE));
      }
    }
    if (!found) {
      events.injections++;
      return false;
    }
    events.hiddenFaults++;
    const known = page % this.#guestReach;
    for (let level = this.#guest.format.levels - 1; level >= walk.level; level--) {
      const table = walk.tables[level];
      const home = this.pages.pageOf(table);
      if (level > 0 && home?.outOfSync === true) this.#synchronise(home);
      this.pages.use(space.id, table, level, known);
    }
    this.#fill(space, page, walk.frame, walk.pages, this.#rightsOf(walk));
    return true;
  }

  // ------------------------------------------------------------------------------------------- what the guest does

  created(space: number, root: number): void {
    this.#spaces.set(space, { id: space, guestTop: this.#guest.topTable(root), root: -1 });
  }

  destroyed(space: number): void {
    const known = this.#spaceOf(space);
    this.#drop(known);
    this.#spaces.delete(space);
    if (this.#current === space) this.#current = -1;
  }

  switched(space: number): void {
    const events = this.#events;
    events.switchTraps++;
    events.exits++;
    const known = this.#spaceOf(space);
    this.#current = space;
    if (known.root < 0) known.root = this.#shadow.createRoot();
    this.#synchroniseAll(space);
    this.#limitRoots(known);
    this.#translation.setSpace(space, { root: known.root });
  }

  entryWritten(space: number, level: number, entryAddress: number, page: number): void {
    const { format } = this.#guest;
    const home = this.pages.pageOf(entryAddress - format.index(level, page) * format.entryBytes);
    if (home === undefined || home.outOfSync) return;
    const events = this.#events;
    events.tableWriteTraps++;
    events.exits++;
    if (this.#policy.outOfSync && this.pages.hasLeavesOnly(home)) {
      this.pages.leaveSync(home);
      events.unsyncs++;
      return;
    }
    home.writes++;
    if (home.writes >= this.#policy.threshold) {
      while (home.tables.length > 0) this.#unshadow(home.tables[home.tables.length - 1]);
      return;
    }
    const known = page % this.#guestReach;
    const table = this.pages.tableAt(space, level, known - (known % format.span(level + 1)));
    if (table === undefined) return; // only its neighbour in the page is shadowed
    this.pages.forgetBelow(space, level, known);
    this.#clear(this.#spaceOf(space), known, format.span(level));
  }

  invalidated(space: number, page: number, pages: number, singles: number, tablesToo: boolean): void {
    const events = this.#events;
    const isFlush = pages === Infinity || singles === 0;
    const traps = isFlush ? 1 : singles;
    events.invalidationTraps += traps;
    events.exits += traps;
    if (isFlush) this.#synchroniseAll(space);
    else this.#readAgain(this.#spaceOf(space), page % this.#guestReach, pages);
    if (isFlush) this.#translation.invalidateSpace(space);
    else this.#translation.invalidateRange(space, page, pages, tablesToo);
  }

  // -------------------------------------------------------------------------------------------- what the host does

  /** The host is about to take guest frames [frame, frame + frames) away: no entry leads to them any more. */
  hostUnmapping(frame: number, frames: number): void {
    if (this.#policy.hostUnmap === 'flush') {
      for (const space of this.#spaces.values()) if (space.root >= 0) this.#emptyShadow(space);
      return;
    }
    if (!this.#reverse.isKept) this.#beginReverse();
    for (let at = frame; at < frame + frames; at++) {
      const host = this.#backing.peek(at);
      if (host >= 0) this.#reverse.takeFrame(host, this.#dropEntry);
    }
  }

  /** Drops the entry that a record is of, if it still is what the record says. */
  readonly #dropEntry = (id: number, page: number, frame: number): void => {
    const shadow = this.#shadow;
    const space = this.#spaces.get(id);
    if (space === undefined || space.root < 0 || !shadow.find(space.root, page) || shadow.frame !== frame) return;
    const pages = powerOf2(shadow.shift - 12);
    shadow.unmap(space.root, page, pages);
    this.#translation.invalidateRange(id, this.#addressOf(page), pages, true);
  };

  /** From now on the reverse map is kept: most guests never lose a page to their host. */
  #beginReverse(): void {
    this.#reverse.begin();
    for (const space of this.#spaces.values()) {
      if (space.root < 0) continue;
      this.#shadow.forEachLeaf(space.root, (page, frame, level) => {
        this.#reverse.insert(frame, this.#shadow.format.span(level), space.id, page);
      });
    }
  }

  // --------------------------------------------------------------------------------------------------- the shadow

  /** The rights of an entry that caches what the walk found. */
  #rightsOf(walk: SoftwareWalk): number {
    return walk.dirty ? walk.rights : walk.rights & ~WRITE;
  }

  /** Makes the entry for `page`, which the guest maps to its `frame` by a leaf of `guestPages`. */
  #fill(space: ShadowSpace, page: number, frame: number, guestPages: number, rights: number): void {
    const shadow = this.#shadow;
    const backing = this.#backing;
    backing.back(frame);
    const most = Math.min(guestPages, backing.pages);
    let { pages, shift } = this.#spans[this.#spans.length - 1];
    for (const span of this.#spans) {
      // A leaf of the guest may lie askew where its format adds offsets.
      if (span.pages > most || (frame - (page % span.pages)) % span.pages !== 0) continue;
      ({ pages, shift } = span);
      break;
    }
    const at = inReachOf(shadow.format, page);
    const first = at - (at % pages);
    if (shadow.find(space.root, at)) this.#translation.invalidateRange(space.id, page - (page % pages), pages, true);
    shadow.map(space.root, first, backing.frame - (at % pages), shift, attributesOf(rights));
    this.#events.shadowFills++;
    if (this.#reverse.isKept) this.#reverse.insert(backing.frame - (at % pages), pages, space.id, first);
  }

  /** Empties the shadow of the guest's pages [page, page + pages) of a space, which begin and end with an entry. */
  #clear(space: ShadowSpace, page: number, pages: number): void {
    if (page < this.#upper && page + pages > this.#upper) {
      // The two halves of the guest's tables may lie apart in the shadow's.
      this.#clear(space, page, this.#upper - page);
      this.#clear(space, this.#upper, page + pages - this.#upper);
      return;
    }
    const raw = this.#rawOf(page);
    if (space.root < 0 || this.#shadow.unmap(space.root, raw % this.#shadowReach, pages) === 0) return;
    this.#translation.invalidateRange(space.id, raw, pages, true);
  }

  #unshadow(table: ShadowedTable): void {
    this.pages.forget(table);
    this.#clear(this.#spaceOf(table.space), table.first, table.pages);
  }

  #synchroniseAll(space: number): void {
    for (const home of this.pages.outOfSyncIn(space)) this.#synchronise(home);
  }

  /** Reads all tables in a page again, and protects it. */
  #synchronise(home: ShadowedPage): void {
    for (const table of home.tables) this.#readEntries(this.#spaceOf(table.space), table.first, table.first + table.pages);
    this.pages.enterSync(home);
    this.#events.resyncs++;
  }

  /** Reads the entries of pages [page, page + pages) again, where their table is out of sync. */
  #readAgain(space: ShadowSpace, page: number, pages: number): void {
    if (this.pages.outOfSyncIn(space.id).size === 0) return;
    const end = Math.min(page + pages, this.#guestReach);
    const span = this.#guest.format.span(1);
    for (let first = page - (page % span); first < end; first += span) {
      if (this.pages.tableAt(space.id, 0, first)?.home.outOfSync !== true) continue;
      this.#readEntries(space, Math.max(page, first), Math.min(end, first + span));
    }
  }

  /** Compares the shadow of pages [from, to), of one leaf table, with the guest's entries. */
  #readEntries(space: ShadowSpace, from: number, to: number): void {
    const shadow = this.#shadow;
    const walk = this.#walk;
    if (space.root < 0) return;
    for (let page = from - (from % this.#base); page < to; page += this.#base) {
      const raw = this.#rawOf(page);
      const at = raw % this.#shadowReach;
      if (!shadow.find(space.root, at)) continue;
      const { frame, shift, attributes } = shadow;
      const pages = powerOf2(shift - 12);
      const wanted = walk.look(space.guestTop, raw) && walk.accessed ? attributesOf(this.#rightsOf(walk)) : 0;
      const leads = wanted !== 0 && this.#backing.peek(walk.frame) === frame;
      if (leads && (attributes & ~ATTR_MARKS) === (this.#granted(wanted) & ~ATTR_MARKS)) continue;
      const first = at - (at % pages);
      if (leads) shadow.map(space.root, first, frame - (at % pages), shift, wanted);
      else shadow.unmap(space.root, first, pages);
      this.#translation.invalidateRange(space.id, raw - (raw % pages), pages, true);
    }
  }

  /** What an entry made for `attributes` says. */
  #granted(attributes: number): number {
    const { format } = this.#shadow;
    return format.attributes(0, format.leafLo(0, 0, attributes), format.leafHi(0, 0, attributes));
  }

  /** Takes a space's shadow away; it gets another when it is used again. */
  #drop(space: ShadowSpace): void {
    this.pages.forgetSpace(space.id);
    if (space.root >= 0) this.#shadow.destroyRoot(space.root);
    space.root = -1;
    this.#translation.invalidateSpace(space.id);
  }

  /** Empties a space's shadow, and keeps its root. */
  #emptyShadow(space: ShadowSpace): void {
    this.pages.forgetSpace(space.id);
    this.#shadow.unmap(space.root, 0, this.#shadowReach);
    this.#translation.invalidateSpace(space.id);
  }

  #limitRoots(used: ShadowSpace): void {
    const { roots } = this.#policy;
    if (roots === 0) return;
    this.#spaces.delete(used.id);
    this.#spaces.set(used.id, used);
    let count = 0;
    for (const { root } of this.#spaces.values()) if (root >= 0) count++;
    for (const space of this.#spaces.values()) {
      if (count <= roots) return;
      if (space.root < 0) continue;
      this.#drop(space);
      count--;
    }
  }

  assertInvariants(): void {
    this.pages.assertInvariants();
    const shadow = this.#shadow;
    const walk = this.#walk;
    for (const { id, root, guestTop } of this.#spaces.values()) {
      if (root < 0) continue;
      shadow.forEachLeaf(root, (page, frame, level, attributes) => {
        const known = this.#addressOf(page) % this.#guestReach;
        const step = Math.min(shadow.format.span(level), this.#guest.format.basePages);
        for (let i = 0; i < shadow.format.span(level); i += step) {
          const first = known + i - ((known + i) % this.#guest.format.span(1));
          if (this.pages.tableAt(id, 0, first)?.home.outOfSync === true) continue;
          kassert(walk.look(guestTop, this.#rawOf(known + i)), 'shadow S1: mapped');
          const host = this.#backing.peek(walk.frame);
          kassert(host === frame + i, 'shadow S1: frame');
          kassert((this.#granted(attributesOf(this.#rightsOf(walk))) & attributes & 7) === (attributes & 7), 'shadow S1: rights');
          const span = this.#guest.format.span(walk.level + 1);
          kassert(this.pages.tableAt(id, walk.level, known + i - ((known + i) % span)) !== undefined, 'shadow S2');
        }
      });
    }
  }

  #spaceOf(id: number): ShadowSpace {
    const space = this.#spaces.get(id);
    kassert(space !== undefined, 'shadow: no such space');
    return space;
  }

  /** The address of a page as the guest's tables count it: with ones on top, if it is in the upper half. */
  #rawOf(page: number): number {
    return page >= this.#upper ? page + ALL_PAGES - this.#guestReach : page;
  }

  /** The same of a page as the shadow's tables count it. */
  #addressOf(page: number): number {
    return this.#upper === Infinity ? page : this.#rawOf(page % this.#guestReach);
  }
}

/**
 * `page` as tables of `format` count it: without the ones on top that extend its sign.
 * @throws LabError if they cannot express it
 */
export function inReachOf(format: PageTableFormat, page: number): number {
  const reach = format.span(format.levels);
  const isSigned = format.descriptor.va.rule === 'sign';
  const isLow = page < (isSigned ? reach / 2 : reach);
  if (isLow || (isSigned && page >= ALL_PAGES - reach / 2)) return page % reach;
  throw new LabError(`page ${page}: the guest maps it, and tables of ${format.id} cannot express its address`);
}

const ATTR_MARKS = ATTR_ACCESSED | ATTR_DIRTY;

/** Of an entry that grants `rights`: marked beforehand, since the guest's marks are the ones that count. */
function attributesOf(rights: number): number {
  return rights | ATTR_USER | ATTR_ACCESSED | ((rights & WRITE) !== 0 ? ATTR_DIRTY : 0);
}
