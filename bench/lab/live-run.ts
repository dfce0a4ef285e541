/**
 * A program on the booted stack, measured by several methods at once: what the recorder sees of it goes to all of them as
 * it happens, and at the end the counts of the vpagetable method stand beside what the host kernel itself counted.
 *
 *   the stack   vpte tables | real page tables of the host | host kernel counts faults, walks, invalidations
 *   the methods guest       | host                         | the same from the records alone
 *
 * The guest of the methods has the vkernel's layout, its host has that of the hardware; pages of base size, as there.
 * Frames of the guest are those the vkernel took; its tables lie where the vkernel's lie, each by its own count.
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { PAGE_SIZE } from '../../hostkernel/base/units.ts';
import { layoutByName, type Machine, type PageTableFormat } from '../../hostkernel/machine/index.ts';
import type { GuestSpace, StackResult } from '../../vkernel/index.ts';
import type { JsonTable } from './canonical.ts';
import { LabError } from './guest/lab-error.ts';
import { type Job, type MethodName, readJob } from './job.ts';
import { LiveRecorder } from './live.ts';
import type { LabResult } from './result.ts';
import { Runs } from './run.ts';
import type { Batch } from './stream.ts';

export interface LiveSetup {
  /** What runs, as results name it. */
  readonly program: string;
  readonly methods: readonly MethodName[];
  /** What the stack is to be booted on. */
  readonly machine: Machine;
  /** The machine of the methods: as in a job. */
  readonly modelled: JsonTable;
  /** Layouts of the hardware's page tables, and of the vkernel's. */
  readonly mmu: PageTableFormat;
  readonly vpte: PageTableFormat;
  /** Told every batch of records, too. */
  readonly record?: (batch: Batch) => void;
}

/** A count of the stack, and of the vpagetable method from the records alone. */
export interface Agreement {
  readonly what: string;
  readonly stack: number;
  readonly model: number;
  readonly isEqual: boolean;
}

export interface LiveResult {
  readonly results: readonly LabResult[];
  /** Empty: vpagetable was not among the methods. */
  readonly agreements: readonly Agreement[];
}

/** The guest's memory, in frames: tables lie in those that are reserved. */
type Image = Pick<GuestSpace['image'], 'reserved' | 'frames'>;

const ANY_IMAGE: Image = { reserved: 64, frames: 128 };

/** The records are those of a trace of our own, whether or not somebody writes them down. */
const FORMAT = 'vktrace';

export class LiveRun {
  /** To be the watcher of the stack; the machine has it already. */
  readonly recorder: LiveRecorder;
  readonly #setup: LiveSetup;
  #runs: Runs | null = null; // made when the first space tells how large the guest's memory is
  #isOver = false; // a record made no sense to them

  /** @throws LabError if the layouts and the machine make no job */
  constructor(setup: LiveSetup) {
    this.#setup = setup;
    this.recorder = new LiveRecorder(setup.machine.hart, (batch) => this.#consume(batch));
    setup.machine.mmu.watch(this.recorder);
    this.#makeRuns(ANY_IMAGE); // what is wrong with them shows before the boot
  }

  /** What was counted, when the stack has ended. @param stack what it counted itself */
  finish(stack: StackResult): LiveResult {
    this.recorder.finish();
    const results = this.#runs?.results(stack.failure) ?? [];
    const model = results.find(({ job }) => job.method === 'vpagetable');
    return { results, agreements: model === undefined ? [] : agreementsOf(stack, this.recorder, model) };
  }

  #consume(batch: Batch): void {
    this.#setup.record?.(batch);
    if (this.#isOver) return;
    const { image } = this.recorder;
    kassert(image !== null, 'live: records before the first space');
    this.#runs ??= this.#makeRuns(image);
    this.#isOver = !this.#runs.take(batch);
  }

  #makeRuns(image: Image): Runs {
    return new Runs(this.#setup.methods.map((method) => jobOf(this.#setup, method, image)));
  }
}

function jobOf(setup: LiveSetup, method: MethodName, image: Image): Job {
  const read = readJob({
    method,
    guest: {
      ...virtualLayoutOf(setup.vpte),
      tableBase: 0,
      dataBase: image.reserved * PAGE_SIZE,
      memoryBytes: (image.frames - image.reserved) * PAGE_SIZE,
    },
    hosts: [layoutOf(setup.mmu)],
    trace: { file: setup.program, format: FORMAT },
    machine: setup.modelled,
  });
  if ('schema' in read) return read;
  throw new LabError(`${read[0].path}: ${read[0].text}`);
}

function layoutOf({ descriptor, options }: PageTableFormat): Pick<Job['guest'], 'layout' | 'options'> {
  return { layout: layoutByName(descriptor.id) === descriptor ? descriptor.id : descriptor, options };
}

/**
 * The layout of a virtual page table as the host walks it: whatever addresses it has on hardware, here they begin at 0 and
 * end where the indices do.
 */
function virtualLayoutOf(format: PageTableFormat): Pick<Job['guest'], 'layout' | 'options'> {
  const { descriptor, options } = format;
  if (format.userEnd >= format.span(format.levels) * PAGE_SIZE) return layoutOf(format);
  return { layout: { ...descriptor, id: `${descriptor.id}-virtual`, va: { bits: descriptor.va.bits, rule: 'zero' } }, options };
}

/** The counts that the host kernel and the method both have, of guest spaces alone. */
function agreementsOf({ guestSpaces }: StackResult, { counts }: LiveRecorder, { counts: { events } }: LabResult): Agreement[] {
  const rows: readonly (readonly [string, number, number])[] = [
    ['faults', guestSpaces.faults, events['hiddenFaults'] + events['guestFaults']],
    ['faults the guest never sees', guestSpaces.ok, events['hiddenFaults']],
    ['faults passed to the guest kernel', guestSpaces.refused, events['guestFaults']],
    ['walks of virtual page tables', guestSpaces.walks, events['softWalks']],
    ['entries they read', guestSpaces.walkReferences, events['softWalkReferences']],
    ['pages entered into real page tables', guestSpaces.ok, events['pmapEnters']],
    ['pages invalidated', guestSpaces.invalidatedPages, events['invalidatedPages']],
    [
      'calls: spaces made and ended, invalidations, runs after a fault',
      CALLS_TO_HOST * counts.spaces + counts.ended + guestSpaces.invalidations + guestSpaces.refused,
      events['calls'],
    ],
    ['accesses that the tables refuse', 0, events['programErrors']],
  ];
  return rows.map(([what, stack, model]) => ({ what, stack, model, isEqual: stack === model }));
}

/** vmspace_create, vmspace_mmap, and the root of its table. */
const CALLS_TO_HOST = 3;
