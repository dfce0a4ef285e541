/**
 * What workloads are written with: a program's memory, and its accesses one operation at a time.
 *
 * A pattern is a program reduced to its addresses. It asks for its arrays once, when it is made; then each step appends
 * the accesses of one operation (a look-up, an edge, a swap). Nothing it points at exists: what a program would read from
 * memory to know where to go next is computed from the position instead, so that 64 GiB cost no memory here.
 */
import { type Access, EXEC, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { type Batch, REGION } from '../stream.ts';
import type { Random } from './random.ts';

export interface Pattern {
  /** Records that one step appends at most. */
  readonly records: number;
  /** Appends one operation. The batch has room for `records` more. Hot: allocates nothing. */
  step(batch: Batch): void;
}

/** What a pattern is made from. */
export interface PatternSetup {
  readonly space: number;
  readonly memory: ProgramMemory;
  readonly random: Random;
  readonly seed: number;
  /** Parameters by name, checked, with the defaults filled in. */
  readonly params: Readonly<Record<string, number | string>>;
}

/** A setup's parameter that is a number. */
export function numberOf(setup: PatternSetup, name: string): number {
  return setup.params[name] as number; // the catalogue has checked it
}

/** Arrays of one address space, one behind the other, each beginning a large page. */
export class ProgramMemory {
  readonly #regions: { readonly page: number; readonly bytes: number }[] = [];
  readonly #start: number;
  readonly #end: number;
  #next: number;

  /** @param start, end bytes the arrays may lie in; start is a multiple of 2 MiB */
  constructor(start: number, end: number) {
    this.#start = start;
    this.#end = end;
    this.#next = start;
  }

  /**
   * Room for `bytes`. An array of a gigabyte or more begins at a multiple of one, the others at a multiple of 2 MiB.
   * @returns address of the first byte
   * @throws WorkloadError if the address space is too small
   */
  array(bytes: number): number {
    const align = bytes >= GIBIBYTE && this.#end - this.#start >= 8 * bytes ? GIBIBYTE : MEBIBYTES_2;
    const address = Math.ceil(this.#next / align) * align;
    const whole = Math.ceil(bytes / 4096) * 4096;
    if (address + whole > this.#end) {
      throw new WorkloadError(`footprint: the address space has ${this.#end - this.#start} bytes for programs, and more are needed`);
    }
    this.#next = address + whole;
    this.#regions.push({ page: address / 4096, bytes: whole });
    return address;
  }

  /** Bytes of all arrays, in whole pages. */
  get bytes(): number {
    return this.#regions.reduce((sum, region) => sum + region.bytes, 0);
  }

  /** Appends what maps all arrays, as the program's start would. The batch has room: patterns have few arrays. */
  declare(batch: Batch, space: number, flags: number): void {
    for (const { page, bytes } of this.#regions) batch.control(REGION, space, page, bytes, flags);
  }
}

/** Why a workload cannot be made: a parameter, and what is wrong with it. */
export class WorkloadError extends Error {
  override readonly name = 'WorkloadError';
}

const GIBIBYTE = 2 ** 30;
const MEBIBYTES_2 = 2 ** 21;

export const READ_WRITE: Access = READ | WRITE;
export const ALL_RIGHTS: Access = READ | WRITE | EXEC;

/** Steps of a search by halving among n, at most. */
export function halvings(n: number): number {
  let steps = 0;
  while (2 ** steps < n) steps++;
  return steps;
}

/** Appends an access of `bytes` at byte `address`, `work` instructions after the one before. Hot. */
export function touch(batch: Batch, space: number, address: number, kind: Access, bytes: number, work: number): void {
  const page = Math.floor(address / 4096);
  batch.access(space, page, address - page * 4096, kind, bytes, work);
}
