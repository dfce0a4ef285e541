/** Swap and soft references, done on the core and on the reference. A part of Twins. */

import { EBUSY, EDQUOT, EEXIST, ENOENT, ENOEXIST, ENOMEM } from '../../../hostkernel/base/errno.ts';
import { softPages } from '../../../vkernel/physmem/core/soft.ts';
import { ALL_OR_NONE, KEEP } from '../../../vkernel/physmem/interface.ts';
import { agree, done, type PrincipalTwin } from './outcome.ts';
import type { Twins } from './twins.ts';

export const SWAP_QUOTA = 24; // pages a principal may put away, as the machine is told

export class SwapTwins {
  readonly #twins: Twins;

  constructor(twins: Twins) {
    this.#twins = twins;
  }

  swapOut(index: number, page: number, count: number): void {
    const { machine, cells, containers, holds } = this.#twins;
    const { real, control } = containers[index];
    const { swapped } = control.principal;
    const present = this.#twins.run(index, page, count, true);
    const loose = Math.min(holds.loose(index, page, count), holds.stable(index, page, count));
    const room = machine.physmem.swap?.room ?? 0; // slots shared by several ids count once: only the core knows
    const quota = Math.min(SWAP_QUOTA, machine.physmem.swap?.slots.slots ?? 0) - swapped.size;
    const possible = Math.max(0, Math.min(present, loose, quota, room));
    let error = 0;
    if (possible < count) {
      if (possible === present) error = ENOENT;
      else if (possible === loose) error = EBUSY;
      else error = quota < room ? EDQUOT : ENOMEM;
    }
    const pages = this.#twins.judge('swap out', machine.swapOut(real, page, count), this.#twins.amount, done(possible, error));
    const { swapId } = machine.physmem;
    for (let i = 0; i < pages; i += 1) agree(swapped.has(swapId + i), false, 'an id is given twice');
    cells.swapOut(index, page, pages, swapped, swapId);
  }

  /** @param pick chooses among the ids there are */
  swapIn(index: number, page: number, count: number, pick: number, kept: boolean): void {
    const { machine, cells, containers, holds } = this.#twins;
    const { real, control } = containers[index];
    const { swapped } = control.principal;
    const id = chooseId(control.principal, pick);
    const known = this.#known(swapped, id, count);
    const present = this.#twins.run(index, page, count, true);
    const loose = holds.loose(index, page, count);
    const possible = Math.min(known, present, loose);
    const error = possible === count ? 0 : possible === known || possible === present ? ENOENT : EBUSY;
    const result = machine.swapIn(real, id, page, count, kept ? KEEP : 0);
    const pages = this.#twins.judge('swap in', result, this.#twins.amount, done(possible, error));
    for (let i = 0; i < pages; i += 1) cells.swapIn(index, page + i, swapped, id + i, kept);
  }

  swapDrop(control: number, count: number, pick: number): void {
    const { machine, controls } = this.#twins;
    const { real, principal } = controls[control];
    const id = chooseId(principal, pick);
    let dropped = 0;
    for (let i = 0; i < count; i += 1) if (principal.swapped.has(id + i)) dropped += 1;
    const error = machine.swapDrop(real, id, count);
    this.#twins.judge('swap drop', error, machine.physmem.amount, done(dropped, dropped < count ? ENOENT : 0));
    for (let i = 0; i < count; i += 1) principal.swapped.delete(id + i);
  }

  recover(index: number, page: number, count: number, flags: number): void {
    const { machine, cells, containers } = this.#twins;
    const { real } = containers[index];
    const free = this.#twins.run(index, page, count, false);
    const known = softPages(machine.physmem, real, page, count); // it may be gone at any time; what is there is checked
    const fits = this.#twins.admitted(index, page, count, flags & ~ALL_OR_NONE);
    const possible = Math.min(free, known, fits);
    let error = 0;
    if (possible < count) {
      if (possible === free) error = EEXIST;
      else error = possible === known ? ENOEXIST : ENOMEM;
    }
    const expected = error !== 0 && (flags & ALL_OR_NONE) !== 0 ? 0 : possible;
    const pages = this.#twins.judge('recover', machine.recover(real, page, count, flags), this.#twins.amount, done(expected, error));
    for (let i = page; i < page + pages; i += 1) cells.recover(index, i);
    this.#twins.charge(index, pages);
  }

  /** What was put away is there, under its ids and nothing else; what is remembered is what was given up. */
  check(): void {
    const { machine, cells, containers, controls } = this.#twins;
    for (const { principal } of controls) {
      const { swap } = principal.real;
      const values = swap === null ? new Map<number, number>() : machine.audit.valuesOf(swap);
      if (values.size !== principal.swapped.size) throw new Error(`${values.size} ids, should be ${principal.swapped.size}`);
      for (const [id, value] of principal.swapped) agree(values.get(id), value, `what is put away under ${id}`);
    }
    for (let i = 0; i < containers.length; i += 1) {
      const { soft } = containers[i].real;
      if (soft === null) continue;
      for (const [page, value] of machine.audit.valuesOf(soft)) agree(value, cells.soft[i].get(page), `soft page ${page}`);
    }
  }

  /** The root is not destroyed: what was put away from it is dropped. No slot is left in use. */
  tearDown(): void {
    const { physmem } = this.#twins.machine;
    const { swap } = physmem.root.principal;
    if (swap !== null) physmem.destroy(swap);
    physmem.root.principal.swap = null;
    agree(physmem.swap?.slots.used ?? 0, 0, 'slots');
    agree(physmem.soft.pages, 0, 'soft references');
  }

  #known(swapped: ReadonlyMap<number, number>, id: number, count: number): number {
    let known = 0;
    while (known < count && swapped.has(id + known)) known += 1;
    return known;
  }
}

/** One of the ids there are, mostly. */
function chooseId({ swapped }: PrincipalTwin, pick: number): number {
  const ids = [...swapped.keys()];
  return ids.length === 0 || pick % 16 === 0 ? pick % 64 : ids[pick % ids.length];
}
