/**
 * Random lives with every kind of memory: pages with constraints, runs, copies of all modes, release, swap, pins, and
 * memory that is compacted. A model keeps, for each page of each container, its cell and what it wants of its address.
 * Whoever wants something has it whenever it is pinned.
 */

import { expect } from 'vitest';
import type { GuestFrame } from '../../../hostkernel/base/units.ts';
import { accepts, type Constraint, constraintOf, highPart } from '../../../vkernel/physmem/core/constraint.ts';
import type { Container } from '../../../vkernel/physmem/core/container.ts';
import { spanPiece } from '../../../vkernel/physmem/core/dyadic.ts';
import { assertInvariants } from '../../../vkernel/physmem/core/invariants.ts';
import { compact } from '../../../vkernel/physmem/core/move.ts';
import { pin, unpin } from '../../../vkernel/physmem/core/pins.ts';
import { placementOf } from '../../../vkernel/physmem/core/placement.ts';
import { ALL_OR_NONE, CONSTRAINED, CONTIGUOUS, COPY_IN_PLACE, COPY_MOVE, COPY_SHARED, DMA } from '../../../vkernel/physmem/interface.ts';
import { Machine, P } from './machine.ts';

export interface KindsStep {
  readonly kind: number; // 0..KINDS - 1
  readonly which: number; // container
  readonly page: number; // 0..15
  readonly length: number; // 0..7
  readonly x: number; // 0..15
}
export const KINDS = 16;

interface Page {
  cell: { value: number };
  /** What bits of its address must be, above those of the piece it was allocated in. */
  wants: Constraint | null;
}

const OWN = { task: 5, weak: null, expires: Number.POSITIVE_INFINITY };
const PAGES = 24;

export class KindsLife {
  readonly machine = new Machine({
    memory: [
      [1, 30],
      [33, 40],
    ],
    copyPages: 4,
    slots: 24,
  });
  readonly containers: readonly Container[] = [this.machine.create(), this.machine.create(), this.machine.create()];
  /** How often a pinned page had what it wanted. */
  met = 0;
  readonly #pages = this.containers.map(() => new Map<number, Page>());
  readonly #swapped = new Map<number, number>(); // value by id

  take(step: KindsStep, value: number): void {
    const { kind, which, page, length, x } = step;
    const count = 1 + length;
    if (kind < 4) this.#allocate(which, page, count, kind, x);
    else if (kind < 7) this.#write(which, page, value);
    else if (kind === 7) this.#remove(which, page, count);
    else if (kind < 11) this.#copy(which, page, x, count, [0, COPY_SHARED, COPY_MOVE][kind - 8]);
    else if (kind === 11) this.#copy(which, page, x, count, COPY_IN_PLACE);
    else if (kind === 12) this.#release(which, page, count);
    else if (kind === 13) this.#swap(which, page, Math.min(count, 3), x);
    else if (kind === 14) this.#pinWanting(which, x, count);
    else compact(this.machine.physmem, 1 + x);
  }

  check(): void {
    assertInvariants(this.machine.physmem);
    this.containers.forEach((container, which) => {
      const model = this.#pages[which];
      const wrong: number[] = [];
      for (let page = 0; page < PAGES; page += 1) {
        if (this.machine.peek(container, page) !== (model.get(page)?.cell.value ?? null)) wrong.push(page);
      }
      const stale = [...(this.machine.translations.get(container) ?? [])].filter(
        ([page, { frame }]) => this.machine.guestFrameAt(container, page) !== frame,
      );
      expect([wrong, stale]).toEqual([[], []]);
    });
  }

  #allocate(which: number, page: number, count: number, kind: number, x: number): void {
    const flags = [0, DMA, CONSTRAINED, CONSTRAINED | CONTIGUOUS][kind];
    const unit = 2 ** Math.floor(Math.log2(count));
    const set = x & -unit;
    const clear = ~x & (count - 1) & -unit;
    if (this.machine.allocate(this.containers[which], page, count, flags | ALL_OR_NONE, set * P, clear * P) !== 0) return;
    const constraint = kind < 2 ? null : constraintOf(set * P, clear * P, 1);
    for (let done = 0; done < count; ) {
      const piece = spanPiece(done, count);
      // Of a run only the first frame was asked to be somewhere.
      const wants = constraint === null || (kind === 3 && done > 0) ? null : highPart(constraint, Math.log2(piece));
      for (let i = 0; i < piece; i += 1) this.#pages[which].set(page + done + i, { cell: { value: 0 }, wants });
      done += piece;
    }
  }

  #write(which: number, page: number, value: number): void {
    const model = this.#pages[which].get(page);
    if (model !== undefined && this.machine.write(this.containers[which], page, value) === 0) model.cell.value = value;
  }

  #remove(which: number, page: number, count: number): void {
    if (this.machine.deallocate(this.containers[which], page, count) !== 0) return;
    for (let i = 0; i < count; i += 1) this.#pages[which].delete(page + i);
  }

  #copy(which: number, page: number, to: number, count: number, mode: number): void {
    const other = (which + 1) % 3;
    const [source, destination] = [this.#pages[which], this.#pages[other]];
    const flags = mode | ALL_OR_NONE;
    if (this.machine.copy(this.containers[which], page, this.containers[other], to, count, flags) !== 0) return;
    for (let i = 0; i < count; i += 1) {
      const from = source.get(page + i);
      if (from === undefined) throw new Error('an absent page was copied');
      if (mode === COPY_IN_PLACE) (destination.get(to + i) as Page).cell.value = from.cell.value;
      else if (mode === 0) destination.set(to + i, { cell: { ...from.cell }, wants: null });
      else destination.set(to + i, { cell: from.cell, wants: mode === COPY_MOVE ? from.wants : null });
      if (mode === COPY_MOVE) source.delete(page + i);
    }
  }

  #release(which: number, page: number, count: number): void {
    if (this.machine.release(this.containers[which], page, count) !== 0) return;
    for (let i = 0; i < count; i += 1) (this.#pages[which].get(page + i) as Page).cell = { value: 0 };
  }

  /** Puts pages away, or takes in what was put away longest ago. */
  #swap(which: number, page: number, count: number, x: number): void {
    const { machine } = this;
    const { physmem } = machine;
    const model = this.#pages[which];
    const [oldest] = this.#swapped;
    if (x < 8 && oldest !== undefined) {
      if (machine.swapIn(this.containers[which], oldest[0], page, 1) !== 0) return;
      const taken = model.get(page) as Page;
      taken.cell = { value: oldest[1] };
      if (this.#isPlacedForOthers(which, page)) taken.wants = null; // a frame can be at one place only: the first who asked
      this.#swapped.delete(oldest[0]);
      return;
    }
    machine.swapOut(this.containers[which], page, count);
    for (let i = 0; i < physmem.amount / P; i += 1) {
      const put = model.get(page + i) as Page;
      this.#swapped.set(physmem.swapId + i, put.cell.value);
      put.cell = { value: 0 };
    }
  }

  /** Whether a page that was taken in shares a frame that another group wants somewhere. */
  #isPlacedForOthers(which: number, page: number): boolean {
    const { table } = this.machine.physmem;
    const placement = placementOf(table, this.machine.frameAt(this.containers[which], page));
    return placement !== undefined && placement.group !== table.group[this.containers[which].entries.at(page)];
  }

  /** Pins a page that wants something, and those behind it if they are there. */
  #pinWanting(which: number, x: number, count: number): void {
    const model = this.#pages[which];
    const wanting = [...model].filter(([, { wants }]) => wants !== null);
    if (wanting.length === 0) return;
    const [page] = wanting[x % wanting.length];
    let present = 1;
    while (present < count && model.has(page + present)) present += 1;
    this.#pin(which, page, present);
  }

  #pin(which: number, page: number, count: number): void {
    const { physmem } = this.machine;
    const frames: number[] = [];
    const sink = {
      room: 24,
      run: (frame: GuestFrame, pages: number) => void frames.push(...Array.from({ length: pages }, (_, i) => frame + i)),
    };
    if (pin(physmem, this.containers[which], OWN, page * P, count * P, 1000, 0, sink) !== 0) return;
    frames.forEach((frame, i) => {
      const wants = this.#pages[which].get(page + i)?.wants;
      expect(frame).toBe(this.machine.guestFrameAt(this.containers[which], page + i));
      if (wants === null || wants === undefined) return;
      expect(accepts(wants, frame), `page ${page + i} at ${frame}`).toBe(true);
      this.met += 1;
    });
    expect(unpin(physmem, this.containers[which], OWN, page * P, physmem.amount)).toBe(0);
  }
}
