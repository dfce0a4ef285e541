/**
 * The reference: each page of each container is absent or names a cell. A shared copy names the same cell, a logical
 * copy clones it, a write changes it. It knows no frames. `Twins` does everything on the core too, and compares.
 */

import { EEXIST, ENOENT, ENOMEM, ESRCH } from '../../../hostkernel/base/errno.ts';
import type { Container } from '../../../vkernel/physmem/core/container.ts';
import type { MemoryControl } from '../../../vkernel/physmem/core/control.ts';
import { assertInvariants } from '../../../vkernel/physmem/core/invariants.ts';
import { ALL_OR_NONE, COPY_SHARED, FORCE_WRITE, MAP_READ, MAP_WRITE, SQUASH } from '../../../vkernel/physmem/interface.ts';
import { Machine, type MachineOptions, P } from './machine.ts';

interface Cell {
  value: number;
}

class ModelControl {
  limit: number;
  used = 0;
  readonly parent: ModelControl | null;
  constructor(parent: ModelControl | null, limit: number) {
    this.parent = parent;
    this.limit = limit;
  }
}

class ModelContainer {
  readonly pages: (Cell | null)[];
  readonly control: ModelControl;
  constructor(control: ModelControl, size: number) {
    this.control = control;
    this.pages = Array.from({ length: size }, () => null);
  }

  /** Length of the run of pages from `from` on that are present (or absent), at most `count`. */
  run(from: number, count: number, present: boolean): number {
    let n = 0;
    while (n < count && (this.pages[from + n] !== null) === present) n += 1;
    return n;
  }

  set(page: number, cell: Cell | null): void {
    const before = this.pages[page];
    this.control.used += (cell === null ? 0 : 1) - (before === null ? 0 : 1);
    this.pages[page] = cell;
  }

  /** The longest prefix of [from, from + count) whose absent (without squash: whose) pages fit the limit. */
  admitted(from: number, count: number, squash: boolean): number {
    let room = this.control.limit - this.control.used;
    for (let n = 0; n < count; n += 1) {
      if (squash && this.pages[from + n] !== null) continue;
      if (room === 0) return n;
      room -= 1;
    }
    return count;
  }
}

function fail(text: string): never {
  throw new Error(text);
}

/** As an expectation, and a thousand times cheaper: it is made for every page after every step. */
function agree(actual: unknown, expected: unknown, what: string): void {
  if (!Object.is(actual, expected)) fail(`${what}: ${String(actual)}, should be ${String(expected)}`);
}

/** span(0, length), by the definition. */
function spanOfLength(length: number): { at: number; size: number }[] {
  const pieces: { at: number; size: number }[] = [];
  for (let at = 0; at < length; ) {
    let size = 1;
    while (at % (size * 2) === 0 && at + size * 2 <= length) size *= 2;
    pieces.push({ at, size });
    at += size;
  }
  return pieces;
}

interface Slot {
  real: Container;
  model: ModelContainer;
}
interface ControlSlot {
  readonly real: MemoryControl;
  readonly model: ModelControl;
}

export class Twins {
  readonly machine: Machine;
  readonly size: number; // pages of each container that are used
  readonly slots: Slot[] = [];
  readonly controls: ControlSlot[] = [];

  constructor(options: MachineOptions, size: number) {
    this.machine = new Machine(options);
    this.size = size;
    const root = this.machine.physmem.root;
    this.controls.push({ real: root, model: new ModelControl(null, root.limit) });
  }

  addControl(parent: number, pages: number): number {
    const { real, model } = this.controls[parent];
    const child = this.machine.physmem.splitControl(real, pages);
    agree(child !== null, pages <= model.limit - model.used, 'split');
    if (child === null) return -1;
    model.limit -= pages;
    this.controls.push({ real: child, model: new ModelControl(model, pages) });
    return this.controls.length - 1;
  }

  absorb(index: number, pages: number): void {
    const { real, model } = this.controls[index];
    if (model.parent === null) return;
    const error = this.machine.physmem.absorbControl(real, pages);
    agree(error, pages <= model.limit - model.used ? 0 : ENOMEM, 'absorb');
    if (error !== 0) return;
    model.limit -= pages;
    model.parent.limit += pages;
  }

  /** Destroys a control; its containers and those of its descendants are made anew, empty, from the root. */
  destroyControl(index: number): void {
    const { real, model } = this.controls[index];
    if (model.parent === null) return;
    agree(this.machine.physmem.destroyControl(real), 0, 'destroy control');
    const dead = this.controls.filter((slot) => isBelow(slot.model, model));
    model.parent.limit += dead.reduce((sum, slot) => sum + slot.model.limit, 0);
    for (const slot of dead) this.controls.splice(this.controls.indexOf(slot), 1);
    this.slots.forEach((slot, i) => {
      if (dead.some((each) => each.model === slot.model.control)) this.#renew(i, 0);
    });
  }

  addContainer(control: number): number {
    const { real, model } = this.controls[control];
    this.slots.push({ real: this.machine.create(real), model: new ModelContainer(model, this.size) });
    return this.slots.length - 1;
  }

  destroy(index: number, control: number): void {
    const { real, model } = this.slots[index];
    this.machine.physmem.destroy(real);
    for (let page = 0; page < this.size; page += 1) model.set(page, null);
    this.#renew(index, control);
  }

  allocate(index: number, page: number, count: number, flags: number): void {
    const { real, model } = this.slots[index];
    const [error, done] = this.#expectAllocate(model, page, count, flags);
    agree(this.machine.allocate(real, page, count, flags), error, 'allocate');
    agree(this.machine.physmem.amount, done * P, 'amount');
  }

  /** What an allocation gives is mapped as a map request would; one that fails altogether leaves nothing. */
  provide(index: number, page: number, count: number, flags: number, write: boolean): void {
    const { real, model } = this.slots[index];
    const [error, done] = this.#expectAllocate(model, page, count, flags);
    const free = this.machine.physmem.zones.freePages;
    const result = this.machine.provide(real, flags | MAP_READ | (write ? MAP_WRITE : 0), page, count);
    const mapped = result.items.reduce((sum, item) => sum + item.pages, 0);
    if (done > 0 && result.error === ENOMEM && free < done) {
      for (let i = page; i < page + done; i += 1) model.set(i, null); // no memory behind a promise: all is taken back
      agree([this.machine.physmem.amount, mapped].join(), '0,0', 'what is left of it');
      return;
    }
    agree(result.error, done > 0 ? 0 : error, 'provide');
    agree(this.machine.physmem.amount, done * P, 'amount');
    if (result.items.length < 31) agree(mapped, done, 'pages mapped');
    for (const item of result.items) agree(item.rights, MAP_READ | (write ? MAP_WRITE : 0), 'rights of the item');
  }

  deallocate(index: number, page: number, count: number, flags: number): void {
    const { real, model } = this.slots[index];
    const isWhole = model.run(page, count, true) === count;
    const refused = (flags & ALL_OR_NONE) !== 0 && !isWhole;
    let removed = 0;
    for (let i = page; i < page + count; i += 1) {
      if (refused || model.pages[i] === null) continue;
      removed += 1;
      model.set(i, null);
    }
    agree(this.machine.deallocate(real, page, count, flags), refused ? ENOENT : 0, 'deallocate');
    agree(this.machine.physmem.amount, removed * P, 'amount');
  }

  copy(from: number, page: number, to: number, toPage: number, count: number, flags: number): void {
    const source = this.slots[from];
    const target = this.slots[to];
    const [error, done] = this.#expectCopy(source.model, page, target.model, toPage, count, flags);
    agree(this.machine.copy(source.real, page, target.real, toPage, count, flags), error, 'copy');
    agree(this.machine.physmem.amount, done * P, 'amount');
  }

  write(index: number, page: number, value: number): void {
    const { real, model } = this.slots[index];
    const cell = model.pages[page];
    agree(this.machine.write(real, page, value), cell === null ? ENOENT : 0, 'write');
    if (cell !== null) cell.value = value;
  }

  read(index: number, page: number): void {
    const { real, model } = this.slots[index];
    const cell = model.pages[page];
    agree(this.machine.read(real, page), cell === null ? -ENOENT : cell.value, 'read');
  }

  /** Maps a range; how far it must come is where the first page is absent. */
  map(index: number, page: number, count: number, write: boolean, force: boolean): void {
    const { real, model } = this.slots[index];
    const flags = MAP_READ | (write ? MAP_WRITE : 0) | (force ? FORCE_WRITE : 0);
    const { error, items } = this.machine.map(real, flags, page, count);
    const present = model.run(page, count, true);
    const mapped = items.reduce((sum, item) => sum + item.pages, 0);
    if (items.length < 31) {
      agree(error, present < count ? ENOENT : 0, 'map');
      agree(mapped, present, 'pages mapped');
    } else agree(mapped <= present, true, 'pages mapped');
    let next = page;
    for (const item of items) {
      agree(item.page, next, 'page of the item');
      agree(item.frame % item.pages === 0 && item.page % item.pages === 0, true, 'item is aligned');
      if (write && force) agree(item.rights & MAP_WRITE, MAP_WRITE, 'rights of the item');
      next += item.pages;
    }
  }

  /** The client forgets a translation by itself: physmem is not told. */
  unmapLocally(index: number, page: number): void {
    this.machine.translations.get(this.slots[index].real)?.delete(page);
  }

  /** Everything that must hold between operations. */
  check(): void {
    const { machine } = this;
    assertInvariants(machine.physmem);
    for (const { real, model } of this.slots) {
      for (let page = 0; page < this.size; page += 1) {
        const cell = model.pages[page];
        if (machine.peek(real, page) !== (cell?.value ?? null)) {
          fail(`page ${page} holds ${machine.peek(real, page)}, should be ${cell?.value ?? 'absent'}`);
        }
      }
      this.#checkTranslations(real);
    }
    for (const [container, table] of machine.translations) {
      if (!container.alive) agree(table.size, 0, 'translations of the dead');
    }
    for (const { real, model } of this.controls) {
      agree(real.limit, model.limit, 'limit');
      agree(real.used, model.used, 'used');
    }
  }

  /** Destroys everything; all memory must be free again, in the blocks it came in. */
  tearDown(): void {
    const { physmem } = this.machine;
    for (const child of physmem.root.children) physmem.destroyControl(child);
    for (const container of physmem.root.containers) physmem.destroy(container);
    assertInvariants(physmem);
    agree(this.machine.use, 0, 'use');
    agree(physmem.root.limit, physmem.receivedPages - physmem.fixedPages, 'limit of the root');
    for (const table of this.machine.translations.values()) agree(table.size, 0, 'translations');
  }

  /** A live translation points at the page its container designates, and is writable only where one group is. */
  #checkTranslations(container: Container): void {
    for (const [page, translation] of this.machine.translations.get(container) ?? []) {
      const guestFrame = this.machine.guestFrameAt(container, page);
      const frame = this.machine.frameAt(container, page);
      if (guestFrame < 0) fail(`page ${page} is gone, and still mapped`);
      else if (guestFrame !== translation.frame) fail(`page ${page} is stale`);
      else if ((translation.rights & ~this.machine.physmem.table.granted[frame]) !== 0) fail(`page ${page}: rights are not recorded`);
    }
  }

  #expectAllocate(model: ModelContainer, page: number, count: number, flags: number): [error: number, done: number] {
    const squash = (flags & SQUASH) !== 0;
    const all = (flags & ALL_OR_NONE) !== 0;
    const free = squash ? count : model.run(page, count, false);
    const fits = model.admitted(page, count, squash);
    if (all && free < count) return [EEXIST, 0];
    if (all && fits < count) return [ENOMEM, 0];
    let done = 0;
    for (const piece of spanOfLength(fits)) {
      if (piece.at + piece.size > free) return [EEXIST, done];
      for (let i = 0; i < piece.size; i += 1) model.set(page + piece.at + i, { value: 0 });
      done += piece.size;
    }
    return [fits < count ? ENOMEM : 0, done];
  }

  #expectCopy(
    source: ModelContainer,
    page: number,
    target: ModelContainer,
    toPage: number,
    count: number,
    flags: number,
  ): [error: number, done: number] {
    if (source === target && Math.abs(page - toPage) < count) return [EEXIST, 0];
    const squash = (flags & SQUASH) !== 0;
    const present = source.run(page, count, true);
    const free = squash ? count : target.run(toPage, count, false);
    const fits = target.admitted(toPage, count, squash);
    const possible = Math.min(present, free, fits);
    let error = 0;
    if (possible < count) {
      if (possible === present) error = present === 0 ? ENOENT : ESRCH;
      else error = possible === free ? EEXIST : ENOMEM;
    }
    if (error !== 0 && (flags & ALL_OR_NONE) !== 0) return [error, 0];
    for (let i = 0; i < possible; i += 1) {
      const cell = source.pages[page + i];
      if (cell !== null) target.set(toPage + i, (flags & COPY_SHARED) === 0 ? { value: cell.value } : cell);
    }
    return [error, possible];
  }

  #renew(index: number, control: number): void {
    const { real, model } = this.controls[control];
    this.slots[index] = { real: this.machine.create(real), model: new ModelContainer(model, this.size) };
  }
}

function isBelow(control: ModelControl, ancestor: ModelControl): boolean {
  for (let at: ModelControl | null = control; at !== null; at = at.parent) if (at === ancestor) return true;
  return false;
}
