/**
 * Virtual page tables: the guest's kernel is a process of the host kernel, and its spaces are spaces of that kernel too,
 * each with real page tables of its own. They cache what a walk of the guest's tables found, made by the host's fault
 * handler. The guest writes its tables as it likes, and says what the host must forget.
 *
 *   guest's tables   in the memory of the guest: plain stores, never trapped
 *        | walk at a fault, every entry marked A, for a write M                                 (software-walk.ts)
 *        v
 *   real page table  one for each space: a switch flushes nothing                               (vpagetable-pmap.ts)
 *        ^ the processor's walk                ^
 *                                              | invalidate(range): a call; entries go, then the TLB forgets them
 *
 *   event                            what is done
 *   fault, the walk permits          one base page is entered, whatever the guest's page size. A read of a page that is
 *                                    not modified enters it read-only: its first write is a second fault
 *   fault, the walk refuses          the run of the guest ends: its kernel handles the fault and runs the space again
 *   guest invalidates                one call for each range, if the space has run at all
 *   guest's space runs first, ends   created, mapped and given its root: three calls; one to destroy it
 *   guest switches spaces            the next run names another: nothing
 *   host takes a frame away          its real entries are found by the reverse map and dropped
 *
 * The rules are those of the project's own host kernel: hostkernel/vm/fault.ts, vpagetable.ts, space.ts.
 */
import { kassert } from '../../../hostkernel/base/assert.ts';
import { type Access, PAGE_SIZE, WRITE } from '../../../hostkernel/base/units.ts';
import type { PageTables, Translation } from '../../../hostkernel/machine/timing/index.ts';
import type { EventCounts } from '../events.ts';
import type { GuestWatcher } from '../guest/watcher.ts';
import { type Backing, inReachOf } from './shadow-hypervisor.ts';
import { ReverseMap } from './shadow-reverse.ts';
import { SoftwareWalk } from './software-walk.ts';
import { VpagetablePmap } from './vpagetable-pmap.ts';

/** Choices of the host kernel: part of a job. */
export interface VpagetablePolicy {
  /** Full tables of pages in a row become large pages. */
  readonly superpages: boolean;
}

export const VPAGETABLE_POLICY: VpagetablePolicy = { superpages: true };

export interface VpagetableSetup {
  readonly guest: PageTables;
  readonly real: PageTables;
  readonly backing: Backing;
  readonly translation: Pick<Translation, 'setSpace' | 'invalidatePage' | 'invalidateRange' | 'invalidateSpace'>;
  readonly events: EventCounts;
  readonly policy: VpagetablePolicy;
}

interface HostedSpace {
  readonly guestTop: number; // byte address of the guest's top table
  pmap: VpagetablePmap | null; // null: it has not run yet
}

/** vmspace_create, vmspace_mmap and the root: what a space costs when it first runs. */
const CALLS_TO_HOST = 3;

export class VpagetableHost implements GuestWatcher {
  /** Calls that invalidate, of `events.calls`. */
  invalidateCalls = 0;
  readonly #guest: PageTables;
  readonly #real: PageTables;
  readonly #backing: Backing;
  readonly #translation: VpagetableSetup['translation'];
  readonly #events: EventCounts;
  readonly #policy: VpagetablePolicy;
  readonly #walk: SoftwareWalk;
  readonly #spaces = new Map<number, HostedSpace>();
  readonly #reverse = new ReverseMap();
  #current = -1;

  constructor({ guest, real, backing, translation, events, policy }: VpagetableSetup) {
    this.#guest = guest;
    this.#real = real;
    this.#backing = backing;
    this.#translation = translation;
    this.#events = events;
    this.#policy = policy;
    this.#walk = new SoftwareWalk(guest.format, guest.memory, 'vkernel');
  }

  /**
   * An access of the current space that its real page table refused.
   * @returns false: the walk refuses it, and the guest's kernel gets the fault
   */
  fault(page: number, access: Access): boolean {
    const events = this.#events;
    const { guestTop, pmap } = this.#spaceOf(this.#current);
    kassert(pmap !== null, 'vpagetable: a fault of a space that never ran');
    const walk = this.#walk;
    events.exits++;
    const found = walk.walk(guestTop, page, access);
    events.softWalks++;
    events.softWalkReferences += walk.references;
    if (walk.references > 0) {
      for (let level = this.#guest.format.levels - 1; level >= walk.level; level--) {
        this.#backing.back(Math.floor(walk.entries[level] / PAGE_SIZE));
      }
    }
    if (!found) return this.#pass();
    events.hiddenFaults++;
    const backing = this.#backing;
    backing.back(walk.frame);
    const rights = walk.dirty ? walk.rights : walk.rights & ~WRITE;
    const { promotions } = pmap;
    const wasThere = pmap.enter(inReachOf(this.#real.format, page), backing.frame, access, rights);
    const isPromoted = pmap.promotions > promotions; // the table that a walk cache may point to is gone
    if (wasThere || isPromoted) this.#translation.invalidatePage(this.#current, page, isPromoted);
    events.pmapEnters++;
    if (this.#reverse.isKept) this.#reverse.insert(backing.frame, 1, this.#current, page);
    return true;
  }

  /** An access beyond what the guest's tables are mapped over: the host refuses it without a walk. @returns false */
  refuse(): boolean {
    this.#events.exits++;
    return this.#pass();
  }

  /** The guest's kernel gets the fault. @returns false */
  #pass(): boolean {
    this.#events.injections++;
    this.#events.calls++; // it runs the space again
    return false;
  }

  /** The real page table of a space, or null: it has not run. */
  pmapOf(space: number): VpagetablePmap | null {
    return this.#spaces.get(space)?.pmap ?? null;
  }

  created(space: number, root: number): void {
    this.#spaces.set(space, { guestTop: this.#guest.topTable(root), pmap: null });
  }

  destroyed(space: number): void {
    const { pmap } = this.#spaceOf(space);
    if (pmap !== null) {
      this.#events.calls++;
      pmap.destroy();
      this.#translation.invalidateSpace(space);
    }
    this.#spaces.delete(space);
    if (this.#current === space) this.#current = -1;
  }

  switched(space: number): void {
    const hosted = this.#spaceOf(space);
    this.#current = space;
    if (hosted.pmap === null) {
      hosted.pmap = new VpagetablePmap(this.#real, this.#policy.superpages);
      this.#events.calls += CALLS_TO_HOST;
    }
    this.#translation.setSpace(space, { root: hosted.pmap.root });
  }

  /** Nobody hears of it. */
  entryWritten(): void {}

  invalidated(space: number, page: number, pages: number): void {
    const { pmap } = this.#spaceOf(space);
    if (pmap === null) return; // it never ran: the host has nothing of it
    const events = this.#events;
    events.calls++;
    this.invalidateCalls++;
    if (pmap.remove(pages === Infinity ? 0 : page, pages) === 0) return;
    events.shootDowns++;
    if (pages === Infinity) this.#translation.invalidateSpace(space);
    else this.#translation.invalidateRange(space, page, pages, true);
  }

  /** The host is about to take guest frames [frame, frame + frames) away: no real entry leads to them any more. */
  hostUnmapping(frame: number, frames: number): void {
    if (!this.#reverse.isKept) this.#beginReverse();
    for (let at = frame; at < frame + frames; at++) {
      const host = this.#backing.peek(at);
      if (host >= 0) this.#reverse.takeFrame(host, this.#dropEntry);
    }
  }

  /** Drops the entry that a record is of, if it still is what the record says. */
  readonly #dropEntry = (space: number, page: number, frame: number): void => {
    const pmap = this.pmapOf(space);
    if (pmap === null || !this.#real.find(pmap.root, page) || this.#real.frame !== frame) return;
    pmap.remove(page, 1);
    this.#events.shootDowns++;
    this.#translation.invalidatePage(space, page, true);
  };

  /** Every real entry gets its record: from now on they are kept. */
  #beginReverse(): void {
    this.#reverse.begin();
    for (const [space, { pmap }] of this.#spaces) {
      if (pmap === null) continue;
      this.#real.forEachLeaf(pmap.root, (page, frame, level) => {
        const pages = this.#real.format.span(level);
        for (let i = 0; i < pages; i++) this.#reverse.insert(frame + i, 1, space, page + i);
      });
    }
  }

  #spaceOf(id: number): HostedSpace {
    const space = this.#spaces.get(id);
    kassert(space !== undefined, 'vpagetable: no such space');
    return space;
  }
}
