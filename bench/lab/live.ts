/**
 * The live system as a source of records: a program runs on the booted stack, and what it accesses and what its kernels do
 * to its address spaces goes to the laboratory's methods. Nothing is modelled here: the records are what happened.
 *
 *   hart     --every load, store, atomic, page of code entered-->  READ, WRITE, READ | WRITE, EXEC     machine/mmu.ts
 *   vkernel  --VPTE written, table gone------------------------->  MAP, UNMAP                          platform/guest-space.ts
 *            --host told to forget, space run, space gone------->  INVALIDATE, SWITCH, END
 *            --a fault that its own tables refuse--------------->  FAULT
 *
 * The program and its kernels do not notice: the same output and the same counts, but for walks of the hardware.
 *
 * What is not told: accesses of the vkernel itself and of its servers, which are no code of the guest's harts. Where they
 * mark a VPTE accessed or modified, that is a MAP of the page to the frame it had. Only the first instruction of those
 * that a hart executes in a page one after the other is told.
 *
 * Spaces of the records are numbers from 0 in the order in which harts first ran in them. One that is gone gives its number
 * back, and it is taken again when all others have been.
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { type Access, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE } from '../../hostkernel/base/units.ts';
import type { AccessWatcher, Processor } from '../../hostkernel/machine/index.ts';
import type { GuestSpace, SpaceWatcher } from '../../vkernel/index.ts';
import { Batch, END, FAULT, INVALIDATE, MAP, SWITCH, UNMAP } from './stream.ts';

const SPACES = 65536;
const PAGES_PER_4_GIB = 2 ** (32 - PAGE_SHIFT);

/** What the live system did, as far as only it knows. */
export interface LiveCounts {
  spaces: number; // in which harts ran
  ended: number; //  of those
}

/**
 * Turns what it sees of a running stack into records: the watcher of the machine's MMU and of the vkernel's spaces.
 *
 * Invariants (assertInvariants):
 *   L1  spaces that exist have different numbers, none of which is free
 */
export class LiveRecorder implements AccessWatcher, SpaceWatcher {
  readonly counts: LiveCounts = { spaces: 0, ended: 0 };
  /** The guest's memory, as soon as there is a space. */
  image: GuestSpace['image'] | null = null;
  readonly #hart: Pick<Processor, 'retired'>;
  readonly #sink: (batch: Batch) => void;
  readonly #batch = new Batch();
  readonly #numbers = new Map<GuestSpace, number>();
  readonly #free: number[] = []; // given back, the oldest first
  #next = 0;
  #running: GuestSpace | null = null;
  #space = 0; // its number
  #retired = 0; // at the last record

  /**
   * @param hart of the machine that is looked at
   * @param sink takes the records of a batch, which is overwritten afterwards
   */
  constructor(hart: Pick<Processor, 'retired'>, sink: (batch: Batch) => void) {
    this.#hart = hart;
    this.#sink = sink;
  }

  /** Hands over the records of the last batch, if there are any. To be called when the system has ended. */
  finish(): void {
    if (this.#batch.count > 0) this.#flush();
  }

  /** Hot: allocates nothing. */
  accessed(lo: number, hi: number, bytes: number, access: Access, retired: number): void {
    const batch = this.#batch;
    if (batch.isFull) this.#flush();
    batch.access(this.#space, pageOf(lo, hi), lo & PAGE_MASK, access, bytes, retired - this.#retired);
    this.#retired = retired;
  }

  hosted(space: GuestSpace): void {
    const { table } = space;
    this.#numbers.set(space, this.#takeNumber());
    this.counts.spaces++;
    this.image = space.image;
    for (let page = table.nextMapped(0, table.pageLimit); page >= 0; page = table.nextMapped(page + 1, table.pageLimit))
      this.written(space, page);
  }

  written(space: GuestSpace, page: number): void {
    const { table } = space;
    const leaf = table.find(page);
    kassert(leaf !== null, 'live: a page without a table was written');
    const slot = table.slot(page);
    if (leaf.tags[slot] === 0) {
      this.#control(UNMAP, space, page, PAGE_SIZE);
      return;
    }
    const { format } = table;
    const lo = table.low(leaf, slot);
    const hi = table.high(leaf, slot);
    const i = this.#control(MAP, space, page, format.frame(0, lo, hi), format.attributes(0, lo, hi));
    this.#batch.bytes[i] = PAGE_SHIFT;
  }

  trimmed(space: GuestSpace, page: number, pages: number): void {
    this.#control(UNMAP, space, page, pages * PAGE_SIZE);
  }

  invalidated(space: GuestSpace, page: number, pages: number): void {
    this.#control(INVALIDATE, space, page, pages * PAGE_SIZE);
  }

  runs(space: GuestSpace): void {
    if (space === this.#running) return;
    this.#running = space;
    this.#space = this.#numberOf(space);
    this.#control(SWITCH, space, 0, 0);
  }

  refused(space: GuestSpace, page: number, offset: number, access: Access): void {
    const i = this.#control(FAULT, space, page, page < space.table.pageLimit ? 0 : 1, access);
    this.#batch.offset[i] = offset;
  }

  destroyed(space: GuestSpace): void {
    this.#control(END, space, 0, 0);
    this.counts.ended++;
    this.#free.push(this.#numberOf(space));
    this.#numbers.delete(space);
    if (this.#running === space) this.#running = null;
  }

  assertInvariants(): void {
    const numbers = new Set([...this.#numbers.values(), ...this.#free]);
    kassert(numbers.size === this.#numbers.size + this.#free.length, 'live L1');
  }

  /** Appends a control record. @returns its index in the batch */
  #control(kind: number, space: GuestSpace, page: number, value: number, flags = 0): number {
    if (this.#batch.isFull) this.#flush();
    const i = this.#batch.count;
    this.#batch.control(kind, this.#numberOf(space), page, value, flags);
    const { retired } = this.#hart;
    if (retired <= this.#retired) return i; // also where the last access was the first part of one that was refused
    this.#batch.work[i] = retired - this.#retired;
    this.#retired = retired;
    return i;
  }

  #flush(): void {
    this.#sink(this.#batch);
    this.#batch.count = 0;
  }

  #numberOf(space: GuestSpace): number {
    const number = this.#numbers.get(space);
    kassert(number !== undefined, 'live: a space that was never hosted');
    return number;
  }

  #takeNumber(): number {
    if (this.#next < SPACES) return this.#next++;
    const number = this.#free.shift();
    kassert(number !== undefined, 'live: more spaces at once than records can name');
    return number;
  }
}

/** The page of an address in halves. */
function pageOf(lo: number, hi: number): number {
  return (hi >>> 0) * PAGES_PER_4_GIB + (lo >>> PAGE_SHIFT);
}
