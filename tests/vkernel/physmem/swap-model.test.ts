/**
 * Random lives of pages that are put away, given up softly, shared, copied and taken back, with as much memory as is
 * charged and not a page more, and a store whose transfers fail or come short. The model: each page names a cell, each swap
 * id and each soft reference holds a value.
 */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EIO, ENOENT, ENOEXIST, ENOMEM } from '../../../hostkernel/base/errno.ts';
import type { Container } from '../../../vkernel/physmem/core/container.ts';
import { assertInvariants } from '../../../vkernel/physmem/core/invariants.ts';
import { writeOut } from '../../../vkernel/physmem/core/inactive.ts';
import { swapDrop } from '../../../vkernel/physmem/core/swap.ts';
import { COPY_SHARED, KEEP, SOFT } from '../../../vkernel/physmem/interface.ts';
import { Machine, P } from './machine.ts';

const PAGES = 12; // of each container
const CONTAINERS = 3;

const KINDS = [
  'allocate',
  'cow',
  'share',
  'write',
  'write',
  'fill',
  'fill',
  'read',
  'deallocate',
  'soft',
  'recover',
  'out',
  'out',
  'in',
  'in',
  'keep',
  'drop',
  'pressure',
] as const;

const anyStep = fc.record({
  kind: fc.constantFrom(...KINDS),
  a: fc.nat(CONTAINERS - 1),
  b: fc.nat(CONTAINERS - 1),
  page: fc.nat(PAGES - 1),
  to: fc.nat(PAGES - 1),
  count: fc.constantFrom(1, 1, 2, 2, 3, 4, 5, 8),
  pick: fc.nat(1000),
  fails: fc.constantFrom(0, 0, 0, 1, 2, 3), // from which transfer of the step on the store fails; 0: not at all
});
type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never;

const anyLife = fc.record({
  memory: fc.integer({ min: 6, max: 24 }),
  slots: fc.constantFrom(3, 10, 64, 64),
  copyPages: fc.constantFrom(1, 4, 1024),
  steps: fc.array(anyStep, { maxLength: 60, size: 'max' }),
});

class Life {
  readonly machine: Machine;
  readonly containers: Container[];
  readonly cells: ({ value: number } | null)[][];
  readonly soft: (number | null)[][];
  readonly ids = new Map<number, number>();
  readonly faulty: boolean;
  failures = 0; // transfers of the step that failed

  constructor(options: { memory: number; slots: number; copyPages: number }, faulty: boolean) {
    const { memory, slots, copyPages } = options;
    this.machine = new Machine({ memory: [[1024, memory]], slots, copyPages });
    this.containers = Array.from({ length: CONTAINERS }, () => this.machine.create());
    this.cells = this.containers.map(() => Array.from({ length: PAGES }, () => null));
    this.soft = this.containers.map(() => Array.from({ length: PAGES }, () => null));
    this.faulty = faulty;
    for (const [index, container] of this.containers.entries()) {
      this.machine.allocate(container, 0, PAGES);
      for (let page = 0; page < this.done; page += 1) this.put(index, page, { value: 0 });
    }
  }

  /** Done so far by the last operation, in pages. */
  get done(): number {
    return this.machine.physmem.amount / P;
  }

  step(step: Step, value: number): void {
    let transfers = 0;
    this.failures = 0;
    this.machine.transferred = (_, pages) => {
      transfers += 1;
      if (!this.faulty || step.fails === 0 || transfers < step.fails) return pages;
      this.failures += 1;
      return (step.pick + transfers) % pages; // short, or nothing at all
    };
    this.take(step, value);
    this.machine.transferred = (_, pages) => pages;
    this.check();
  }

  take(step: Step, value: number): void {
    const { machine } = this;
    const { physmem } = machine;
    const { kind, page, pick } = step;
    const to = Math.min(step.to, PAGES - 1);
    const real = this.containers[step.a];
    const other = this.containers[step.b];
    const cells = this.cells[step.a];
    const count = Math.min(step.count, PAGES - page);
    switch (kind) {
      case 'allocate':
        machine.allocate(real, page, count);
        for (let i = page; i < page + this.done; i += 1) this.put(step.a, i, { value: 0 });
        break;
      case 'cow':
      case 'share': {
        const length = Math.min(count, PAGES - to);
        machine.copy(real, page, other, to, length, kind === 'share' ? COPY_SHARED : 0);
        const copied = cells.slice(page, page + this.done);
        copied.forEach((cell, i) => this.put(step.b, to + i, kind === 'share' ? cell : { value: cell?.value ?? Number.NaN }));
        break;
      }
      case 'write':
        this.write(step.a, page, value);
        break;
      case 'fill': // until all memory is in use
        for (let i = 0; i < CONTAINERS * PAGES; i += 1) {
          const index = (step.a + Math.floor(i / PAGES)) % CONTAINERS;
          const at = i % PAGES;
          if (this.cells[index][at] === null && machine.allocate(this.containers[index], at, 1) === 0) this.put(index, at, { value: 0 });
          if (this.cells[index][at] !== null) this.write(index, at, value + 1000 * i);
        }
        break;
      case 'read': {
        const found = machine.read(real, page);
        if (found < 0) this.judge(-found, cells[page] === null ? ENOENT : 0);
        else expect(found).toBe(cells[page]?.value);
        break;
      }
      case 'deallocate':
      case 'soft': {
        expect(machine.deallocate(real, page, count, kind === 'soft' ? SOFT : 0)).toBe(0);
        for (let i = page; i < page + count; i += 1) {
          if (kind === 'soft' && cells[i] !== null) this.soft[step.a][i] = cells[i]?.value ?? null;
          cells[i] = null;
        }
        break;
      }
      case 'recover': {
        const error = machine.recover(real, page, count);
        for (let i = page; i < page + this.done; i += 1) {
          expect(this.soft[step.a][i]).not.toBe(null);
          this.put(step.a, i, { value: this.soft[step.a][i] ?? Number.NaN });
        }
        expect([0, ENOEXIST, ENOMEM, 17].includes(error) && (error === 0) === (this.done === count)).toBe(true);
        break;
      }
      case 'out': {
        const room = physmem.swap?.room;
        const error = machine.swapOut(real, page, count);
        for (let i = 0; i < this.done; i += 1) {
          this.ids.set(physmem.swapId + i, cells[page + i]?.value ?? Number.NaN);
          this.put(step.a, page + i, { value: 0 });
        }
        if (error === 0) expect(this.done).toBe(count);
        else if (error === ENOENT) expect(cells[page + this.done]).toBe(null);
        else expect([error, room]).toEqual([ENOMEM, this.done]);
        break;
      }
      case 'in':
      case 'keep': {
        const id = this.pick(pick);
        const error = machine.swapIn(real, id, page, count, kind === 'keep' ? KEEP : 0);
        for (let i = 0; i < this.done; i += 1) {
          expect(cells[page + i]).not.toBe(null);
          this.put(step.a, page + i, { value: this.ids.get(id + i) ?? Number.NaN });
          if (kind === 'in') this.ids.delete(id + i);
        }
        if (error === 0) expect(this.done).toBe(count);
        else expect([error, cells[page + this.done] === null || !this.ids.has(id + this.done)]).toEqual([ENOENT, true]);
        break;
      }
      case 'drop': {
        const id = this.pick(pick);
        const known = Array.from({ length: count }, (_, i) => id + i).filter((each) => this.ids.has(each));
        expect(swapDrop(physmem, physmem.root.principal, id, count)).toBe(known.length === count ? 0 : ENOENT);
        expect(physmem.amount).toBe(known.length);
        for (const each of known) this.ids.delete(each);
        break;
      }
      case 'pressure':
        writeOut(physmem, count);
        break;
    }
  }

  write(index: number, page: number, value: number): void {
    const cell = this.cells[index][page];
    const error = this.machine.write(this.containers[index], page, value);
    this.judge(error, cell === null ? ENOENT : 0);
    if (error === 0 && cell !== null) cell.value = value;
  }

  /** An error that is not the expected one must be the store's, in a step in which it failed. */
  judge(error: number, expected: number): void {
    if (error === expected) return;
    expect([this.failures > 0, error === EIO || error === ENOMEM, expected]).toEqual([true, true, 0]);
  }

  put(index: number, page: number, cell: { value: number } | null): void {
    this.cells[index][page] = cell;
    this.soft[index][page] = null; // the name is used again
  }

  pick(at: number): number {
    const ids = [...this.ids.keys()];
    return ids.length === 0 || at % 10 === 0 ? at + 1 : ids[at % ids.length];
  }

  /** All is sound, and everything is what the model says, in memory or on disk. */
  check(): void {
    const { machine } = this;
    assertInvariants(machine.physmem);
    const { swap } = machine.physmem.root.principal;
    expect(swap?.pages ?? 0).toBe(this.ids.size);
    for (const [id, value] of this.ids) if (swap !== null && machine.peek(swap, id) !== value) expect.fail(`id ${id} is not ${value}`);
    for (const [index, container] of this.containers.entries()) {
      for (let page = 0; page < PAGES; page += 1) {
        const value = this.cells[index][page]?.value ?? null;
        if (machine.peek(container, page) !== value)
          expect.fail(`page ${page} of ${index} is ${machine.peek(container, page)}, not ${value}`);
        const kept = container.soft === null ? null : machine.peek(container.soft, page);
        if (kept !== null && kept !== this.soft[index][page]) expect.fail(`soft page ${page} of ${index} is ${kept}`);
      }
    }
  }

  /** With a store that works everything can be read; then nothing is left. */
  end(): void {
    const { machine } = this;
    const { physmem } = machine;
    for (const [index, container] of this.containers.entries()) {
      for (let page = 0; page < PAGES; page += 1) {
        const cell = this.cells[index][page];
        if (cell !== null) expect(machine.read(container, page)).toBe(cell.value);
      }
    }
    this.check();
    for (const container of physmem.root.containers) physmem.destroy(container);
    const { swap } = physmem.root.principal;
    if (swap !== null) physmem.destroy(swap);
    assertInvariants(physmem);
    expect([machine.use, physmem.swap?.slots.used, physmem.swap?.unbacked, physmem.soft.frames, physmem.hidden]).toEqual([0, 0, 0, 0, 0]);
  }
}

for (const faulty of [false, true]) {
  test(`a life with swap agrees with its model, ${faulty ? 'while transfers fail or come short' : 'and nothing fails for want of memory'}`, () => {
    fc.assert(
      fc.property(anyLife, ({ steps, ...options }) => {
        const life = new Life(options, faulty);
        steps.forEach((step, i) => life.step(step, 100 + i));
        life.end();
      }),
      { numRuns: 30 },
    );
  });
}
