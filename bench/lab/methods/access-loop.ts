/**
 * The loop that every method runs: takes batches apart, translates accesses, and sees to what is refused.
 *
 *   Batch --> access  --> Translation.access --> refused? --> the method resolves it --> once more
 *         |                                               \-> the guest's tables refuse it: its kernel's fault --> once more
 *         |                                                                                \-> an error of the program: skipped
 *         \-> control --> GuestKernel, which writes the guest's tables and tells the method as its watcher
 *
 * An access of a space that does not run switches to it. One that reaches over the end of its page is translated for both
 * pages.
 */
import { panic } from '../../../hostkernel/base/assert.ts';
import { type Access, PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { type MachineConfig, STAGE_LEVELS, STAGE_SERVERS, TRANSLATED, type Translation } from '../../../hostkernel/machine/timing/index.ts';
import { type EventCounts, trapCycles } from '../events.ts';
import type { GuestKernel } from '../guest/kernel.ts';
import { LabError } from '../guest/lab-error.ts';
import { TouchedPages } from '../guest/touched-pages.ts';
import { type Batch, END, FAULT, HOST_UNMAP, REGION } from '../stream.ts';
import type { MethodCounts, StageCounts } from './method.ts';

const PAGES_END = 2 ** 52;
const MOST_TRIES = 100_000; // an access that is refused more often is never allowed: three dimensions have a page fault for every table

/** Who says what the guest's kernel does about a fault: it is modelled, or records of a real one follow. */
const UNTOLD = 0;
const TOLD = 1;
const BEYOND = 2; // they do, and its tables could not have held the page

/** What a method does about its own part of a translation. */
export interface AccessHooks {
  /**
   * The translation has refused `access` to `page` of the current space.
   * @param isBeyond the guest's kernel has no tables that far up, as a record says: nobody need look
   * @returns whether to try again; false: the guest's own tables refuse it, and its kernel gets the fault
   */
  resolve(page: number, access: Access, isBeyond: boolean): boolean;
  /** The host takes pages [page, page + pages) of guest-physical memory. @returns how many there were */
  hostUnmap(page: number, pages: number): number;
}

export interface AccessLoopSetup {
  readonly machine: MachineConfig;
  readonly translation: Translation;
  readonly kernel: GuestKernel;
  readonly events: EventCounts;
  readonly hooks: AccessHooks;
}

export class AccessLoop {
  readonly #machine: MachineConfig;
  readonly #translation: Translation;
  readonly #kernel: GuestKernel;
  readonly #events: EventCounts;
  readonly #hooks: AccessHooks;
  readonly #touched = new TouchedPages();
  readonly #kinds = new Float64Array(REGION); // accesses, by kind
  #records = 0;
  #at = 0; // the record of the present batch
  #instructions = 0;
  #walks = 0; // seen so far

  constructor({ machine, translation, kernel, events, hooks }: AccessLoopSetup) {
    this.#machine = machine;
    this.#translation = translation;
    this.#kernel = kernel;
    this.#events = events;
    this.#hooks = hooks;
  }

  /** Takes the records of `batch`. Hot: accesses that hit the TLB allocate nothing. @throws LabError, with the number of the record */
  consume(batch: Batch): void {
    try {
      this.#takeAll(batch);
    } catch (error) {
      if (error instanceof LabError) error.record = this.#records + this.#at;
      throw error;
    } finally {
      this.#records += this.#at;
      this.#instructions += workOf(batch, this.#at);
    }
  }

  /** Takes all records; `#at` is the one at work wherever something may be refused. */
  #takeAll(batch: Batch): void {
    const { kind: kinds, page: pages, offset: offsets, bytes: sizes, space: spaces, count } = batch;
    const kernel = this.#kernel;
    const translation = this.#translation;
    const counts = this.#kinds;
    for (let i = 0; i < count; i++) {
      this.#at = i;
      const kind = kinds[i];
      if (kind >= REGION || kind === 0) this.#control(batch, i);
      else {
        const page = pages[i];
        const offset = offsets[i];
        const end = offset + sizes[i];
        if (!(page >= 0 && page < PAGES_END) || Math.floor(page) !== page || offset >= PAGE_SIZE || end === offset)
          this.#refuseRecord(batch, i);
        if (spaces[i] !== kernel.current) kernel.switchTo(spaces[i]);
        if (translation.access(page, offset, kind) !== TRANSLATED) this.#refused(page, offset, kind, UNTOLD);
        if (translation.walks !== this.#walks) this.#walked(page);
        if (end > PAGE_SIZE) this.#access((page + 1) % PAGES_END, 0, kind);
        counts[kind]++;
      }
    }
    this.#at = count;
  }

  #access(page: number, offset: number, access: Access): void {
    const translation = this.#translation;
    if (translation.access(page, offset, access) !== TRANSLATED) this.#refused(page, offset, access, UNTOLD);
    if (translation.walks !== this.#walks) this.#walked(page);
  }

  /** The access missed every TLB: perhaps this is the first time that its page is touched. */
  #walked(page: number): void {
    const { current } = this.#kernel;
    this.#walks = this.#translation.walks;
    if (this.#touched.has(current, page)) return;
    const pages = this.#kernel.leafPages(current, page);
    if (pages === 0) return; // it was refused
    this.#touched.add(current, page - (page % pages), pages);
    this.#events.touched++;
  }

  /**
   * Sees to a refused access until it is done, or is an error.
   * @param told what the guest's kernel does about its fault comes as records: TOLD or BEYOND
   */
  #refused(page: number, offset: number, access: Access, told: number): void {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      if (!this.#hooks.resolve(page, access, told === BEYOND)) {
        this.#events.guestFaults++;
        if (told !== UNTOLD) return;
        if (!this.#kernel.fault(this.#kernel.current, page, access)) {
          this.#events.programErrors++;
          return;
        }
      }
      if (this.#translation.access(page, offset, access) === TRANSLATED) return;
    }
    panic(`access loop: page ${page} is refused for ever`);
  }

  #control(batch: Batch, i: number): void {
    const kind = batch.kind[i];
    if (kind === FAULT) this.#fault(batch, i);
    else if (kind === HOST_UNMAP) this.#hostUnmap(batch.page[i], batch.value[i]);
    else {
      const ended = kind === END ? batch.space[i] : -1;
      this.#kernel.record(batch, i);
      if (ended >= 0) this.#touched.forget(ended);
    }
  }

  /** An access that a real kernel's tables have refused; what it does then follows. */
  #fault(batch: Batch, i: number): void {
    const page = batch.page[i];
    const offset = batch.offset[i];
    const access = batch.flags[i];
    const isAccess = access > 0 && access < REGION && page >= 0 && page < PAGES_END && Math.floor(page) === page && offset < PAGE_SIZE;
    const told = batch.value[i] === 1 ? BEYOND : TOLD;
    if (!isAccess) throw new LabError(`a fault of access ${access} at page ${page}, offset ${offset}: no such access`);
    if (batch.space[i] !== this.#kernel.current) this.#kernel.switchTo(batch.space[i]);
    if (this.#kernel.space(batch.space[i])?.regions.list.length !== 0) {
      throw new LabError(`space ${batch.space[i]}: it has regions, so its faults are the modelled kernel's`);
    }
    if (this.#translation.access(page, offset, access) !== TRANSLATED) this.#refused(page, offset, access, told);
    if (this.#translation.walks !== this.#walks) this.#walked(page);
  }

  #hostUnmap(page: number, bytes: number): void {
    const pages = Math.ceil(bytes / PAGE_SIZE);
    if (!(page >= 0 && pages > 0 && page + pages <= PAGES_END) || Math.floor(page) !== page) {
      throw new LabError(`${bytes} bytes from guest-physical page ${page} on: no such memory`);
    }
    this.#events.hostUnmaps += this.#hooks.hostUnmap(page, pages);
  }

  #refuseRecord(batch: Batch, i: number): never {
    throw new LabError(`${batch.bytes[i]} bytes at page ${batch.page[i]}, offset ${batch.offset[i]}: no such access`);
  }

  /** Everything counted so far. */
  counts(): MethodCounts {
    const events: EventCounts = { ...this.#events, misses: this.#translation.walks };
    const kinds = this.#kinds;
    let accesses = 0;
    let writes = 0;
    let reads = 0;
    for (let kind = 1; kind < REGION; kind++) {
      accesses += kinds[kind];
      if ((kind & WRITE) !== 0) writes += kinds[kind];
      else if ((kind & READ) !== 0) reads += kinds[kind];
    }
    const { tlbCycles: tlb, walkCycles: walk, dataCycles: data, counters, perWalk, structures } = this.#translation;
    const work = this.#instructions;
    const traps = trapCycles(events, this.#machine.events);
    return {
      records: this.#records,
      accesses,
      reads,
      writes,
      fetches: accesses - reads - writes,
      instructions: this.#instructions,
      structures: Object.fromEntries(Object.entries(structures).map(([name, counts]) => [name, { ...counts }])),
      walks: { count: counters.walks, references: counters.references, perWalk: [...perWalk], byStage: stagesOf(this.#translation) },
      events,
      cycles: { work, tlb, walk, data, traps, total: work + tlb + walk + data + traps },
    };
  }
}

/** Instructions of the first `count` records. */
function workOf({ work }: Batch, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += work[i];
  return sum;
}

/** The stages and levels that had references. */
function stagesOf({ byStage, stageNames }: Translation): StageCounts[] {
  const stages: StageCounts[] = [];
  stageNames.forEach((stage, i) => {
    for (let level = 0; level < STAGE_LEVELS; level++) {
      const at = (i * STAGE_LEVELS + level) * STAGE_SERVERS;
      const [l1, l2, llc, memory] = byStage.subarray(at, at + STAGE_SERVERS);
      if (l1 + l2 + llc + memory > 0) stages.push({ stage, level, servedBy: { l1, l2, llc, memory } });
    }
  });
  return stages;
}
