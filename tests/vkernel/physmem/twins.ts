/**
 * Does everything twice, on the core and on the reference (cells.ts, ledger.ts), and compares: errors and amounts of
 * each operation, then all contents and all translations.
 *
 * What is expected of an operation is worked out before it runs, from the reference alone. Where faults are injected
 * (`failing`), an operation may also fail for want of memory, and must then have done exactly what it says it did.
 */

import { EBUSY, EEXIST, EINVAL, EIO, ENOENT, ENOMEM, errnoName, ESRCH } from '../../../hostkernel/base/errno.ts';
import type { Container } from '../../../vkernel/physmem/core/container.ts';
import type { MemoryControl } from '../../../vkernel/physmem/core/control.ts';
import {
  ALL_OR_NONE,
  COPY_IN_PLACE,
  COPY_MOVE,
  COPY_SHARED,
  EXTRA,
  FORCE_WRITE,
  MAP_READ,
  MAP_WRITE,
  SOFT,
  SQUASH,
} from '../../../vkernel/physmem/interface.ts';
import { ABSENT, FIRST_SLOT, PROMISE } from './audit.ts';
import { Cells, type CopyMode } from './cells.ts';
import { writeOut } from '../../../vkernel/physmem/core/inactive.ts';
import { compact } from '../../../vkernel/physmem/core/move.ts';
import { discardSoft } from '../../../vkernel/physmem/core/soft.ts';
import { SwapTwins } from './swap-twins.ts';
import { Ledger } from './ledger.ts';
import { PolicyTwins } from './policy-twins.ts';
import { WAIT } from '../../../vkernel/physmem/core/reclaim.ts';
import { HoldTwins } from './hold-twins.ts';
import { Machine, type MachineOptions, P } from './machine.ts';
import { agree, done, type Outcome, type PrincipalTwin } from './outcome.ts';

export interface ContainerTwin {
  real: Container;
  control: ControlTwin;
}

export interface ControlTwin {
  readonly real: MemoryControl;
  readonly ledger: Ledger;
  readonly principal: PrincipalTwin;
}

export class Twins {
  readonly machine: Machine;
  readonly pages: number; // of each container that are used
  readonly cells = new Cells();
  readonly containers: ContainerTwin[] = [];
  readonly controls: ControlTwin[] = [];
  /** What clients could observe: errno, amount and value of each operation. */
  readonly observed: number[] = [];
  failing = false;
  readonly swap: SwapTwins;
  readonly holds: HoldTwins;
  readonly policy: PolicyTwins;
  readonly #outcomes = new Map<string, number>();

  constructor(options: MachineOptions, pages: number) {
    this.policy = new PolicyTwins(this);
    this.machine = new Machine({ ...options, returns: { send: (principal, count) => this.policy.send(principal, count) } });
    this.pages = pages;
    const root = this.machine.physmem.root;
    this.controls.push({ real: root, ledger: new Ledger(null, root.limit), principal: { real: root.principal, swapped: new Map() } });
    this.swap = new SwapTwins(this);
    this.holds = new HoldTwins(this);
  }

  // --- Controls and containers -----------------------------------------------------------------------------------

  /** @param task makes the child a principal, below the root */
  addControl(parent: number, pages: number, task = 0): number {
    const { real, ledger, principal } = this.controls[parent];
    const child = this.machine.physmem.splitControl(real, pages, task);
    agree(child !== null, pages <= ledger.unused, 'split');
    this.observed.push(child === null ? ENOMEM : 0);
    if (child === null) return -1;
    ledger.limit -= pages;
    this.controls.push({
      real: child,
      ledger: new Ledger(ledger, pages),
      principal: child.principal === principal.real ? principal : { real: child.principal, swapped: new Map() },
    });
    return this.controls.length - 1;
  }

  absorb(index: number, pages: number): void {
    const { real, ledger } = this.controls[index];
    if (ledger.parent === null) return;
    const error = this.machine.physmem.absorbControl(real, pages);
    agree(error, pages <= ledger.unused ? 0 : ENOMEM, 'absorb');
    this.observed.push(error);
    if (error !== 0) return;
    ledger.limit -= pages;
    ledger.parent.limit += pages;
  }

  /** Destroys a control; its containers and those of its descendants are made anew, empty, from the root. */
  destroyControl(index: number): void {
    const { real, ledger } = this.controls[index];
    if (ledger.parent === null) return;
    agree(this.machine.physmem.destroyControl(real), 0, 'destroy control');
    for (const container of this.containers) if (container.control.ledger.isBelow(ledger)) this.holds.forget(container.real);
    const dead = this.controls.filter((control) => control.ledger.isBelow(ledger));
    ledger.parent.limit += dead.reduce((sum, control) => sum + control.ledger.limit, 0);
    for (const control of dead) this.controls.splice(this.controls.indexOf(control), 1);
    this.containers.forEach((container, i) => {
      if (dead.includes(container.control)) this.#empty(i, 0);
    });
  }

  addContainer(control: number): number {
    const twin = this.controls[control];
    this.containers.push({ real: this.machine.create(twin.real), control: twin });
    return this.cells.addContainer(this.pages);
  }

  destroy(index: number, control: number): void {
    this.machine.destroy(this.containers[index].real);
    this.charge(index, -this.count(index, 0, this.pages));
    this.#empty(index, control);
  }

  // --- Pages -----------------------------------------------------------------------------------------------------

  allocate(index: number, page: number, count: number, flags: number): void {
    const expected = this.#expectAllocate(index, page, count, flags);
    const error = this.machine.allocate(this.containers[index].real, page, count, flags);
    this.#placeFresh(index, page, this.judge('allocate', error, this.amount, expected));
  }

  /** What an allocation gives is mapped as a map request would; one that fails altogether leaves nothing. */
  provide(index: number, page: number, count: number, flags: number, write: boolean): void {
    const { error, done: admitted } = this.#expectAllocate(index, page, count, flags);
    const rights = MAP_READ | (write ? MAP_WRITE : 0);
    const result = this.machine.provide(this.containers[index].real, flags | rights, page, count);
    const isLocked = write && this.holds.unlocked(index, page, count) < count;
    const expected = isLocked ? done(0, EBUSY) : done(admitted, admitted > 0 ? 0 : error);
    const given = this.judge('provide', result.error, this.amount, expected);
    this.#placeFresh(index, page, given);
    const mapped = result.items.reduce((sum, item) => sum + item.pages, 0);
    if (given === 0 || result.items.length < 31) agree(mapped, given, 'pages mapped');
    for (const item of result.items) agree(item.rights, rights, 'rights of the item');
  }

  deallocate(index: number, page: number, count: number, flags: number): void {
    const all = (flags & ALL_OR_NONE) !== 0;
    const loose = this.holds.loose(index, page, count);
    const present = this.count(index, page, loose);
    let expected = done(present, loose < count ? EBUSY : 0);
    if (all && this.count(index, page, count) < count) expected = done(0, ENOENT);
    else if (all && loose < count) expected = done(0, EBUSY);
    const error = this.machine.deallocate(this.containers[index].real, page, count, flags);
    this.judge((flags & SOFT) === 0 ? 'deallocate' : 'soften', error, this.amount, expected);
    if (expected.done === 0) return;
    this.charge(index, -present);
    this.cells.remove(index, page, loose, (flags & SOFT) !== 0);
  }

  release(index: number, page: number, count: number, flags: number): void {
    let expected = done(count);
    if (this.run(index, page, count, true) < count) expected = done(0, ENOENT);
    else if (this.holds.loose(index, page, count) < count) expected = done(0, EBUSY);
    const error = this.machine.release(this.containers[index].real, page, count, flags);
    if (this.judge('release', error, error === 0 ? count : 0, expected) > 0) this.cells.renew(index, page, count);
  }

  /** @param act does it on the core, where somebody else than the owner of both does it */
  copy(from: number, page: number, to: number, toPage: number, count: number, flags: number, act?: () => number): void {
    const mode = modeOf(flags);
    const unlocked = mode === 'in place' && act === undefined ? this.holds.unlocked(to, toPage, count) : count;
    let expected = done(0, EBUSY);
    if (unlocked === count) expected = this.#expectCopy(from, page, to, toPage, count, flags);
    else if (unlocked > 0 && (flags & ALL_OR_NONE) === 0) {
      expected = this.#expectCopy(from, page, to, toPage, unlocked, flags);
      if (expected.error === 0) expected = done(unlocked, EBUSY);
    }
    const [source, target] = [this.containers[from].real, this.containers[to].real];
    const error = act === undefined ? this.machine.copy(source, page, target, toPage, count, flags) : act();
    const copied = this.judge(`copy ${mode}`, error, this.amount, expected);
    if (mode !== 'in place') this.charge(to, copied - this.count(to, toPage, copied));
    this.cells.copy(from, page, to, toPage, copied, mode);
    if (mode === 'move') this.charge(from, -copied);
  }

  write(index: number, page: number, value: number): void {
    const cell = this.cells.containers[index][page];
    const error = this.machine.write(this.containers[index].real, page, value);
    let expected = done(1);
    if (this.holds.isLocked(index, page)) expected = done(0, EBUSY);
    else if (cell === null) expected = done(0, ENOENT);
    if (this.judge('write', error, error === 0 ? 1 : 0, expected) === 1 && cell !== null) cell.value = value;
  }

  read(index: number, page: number): void {
    const cell = this.cells.containers[index][page];
    const value = this.machine.read(this.containers[index].real, page);
    this.observed.push(value);
    if (this.failing && (value === -ENOMEM || value === -EIO)) return;
    agree(value, cell === null ? -ENOENT : cell.value, 'read');
  }

  /** Maps a range; how far it must come is where the first page is absent. */
  map(index: number, page: number, count: number, write: boolean, force: boolean): void {
    const flags = MAP_READ | (write ? MAP_WRITE : 0) | (force ? FORCE_WRITE : 0);
    const { error, items } = this.machine.map(this.containers[index].real, flags, page, count);
    const unlocked = write ? this.holds.unlocked(index, page, count) : count;
    const present = this.run(index, page, unlocked, true);
    const mapped = items.reduce((sum, item) => sum + item.pages, 0);
    if (this.failing && (error === ENOMEM || error === EIO)) agree(mapped <= present, true, 'pages mapped');
    else if (items.length < 31) {
      agree(error, present < unlocked ? ENOENT : unlocked < count ? EBUSY : 0, 'map');
      agree(mapped, present, 'pages mapped');
    } else agree(mapped <= present, true, 'pages mapped');
    let next = page;
    for (const item of items) {
      agree(item.page, next, 'page of the item');
      agree(item.frame % item.pages === 0 && item.page % item.pages === 0, true, 'item is aligned');
      if (write && force) agree(item.rights & MAP_WRITE, MAP_WRITE, 'rights of the item');
      if (!write) agree(item.rights & MAP_WRITE, 0, 'rights of the item');
      next += item.pages;
    }
  }

  /** Memory is short: what nobody needs goes. */
  press(pages: number): void {
    const { physmem } = this.machine;
    if (pages % 2 === 0) writeOut(physmem, pages);
    else discardSoft(physmem, pages);
  }

  /** Memory is moved so that large blocks come free; nobody can tell. */
  compact(pages: number): void {
    compact(this.machine.physmem, pages);
  }

  /** The client forgets a translation by itself: physmem is not told. */
  unmapLocally(index: number, page: number): void {
    this.machine.translations.get(this.containers[index].real)?.delete(page);
  }

  // --- Looking ---------------------------------------------------------------------------------------------------

  /** How many of the pages are present. */
  count(index: number, page: number, count: number): number {
    let present = 0;
    for (let i = page; i < page + count; i += 1) if (this.cells.containers[index][i] !== null) present += 1;
    return present;
  }

  /** Length of the run of pages from `page` on that are present (or absent), at most `count`. */
  run(index: number, page: number, count: number, present: boolean): number {
    let length = 0;
    while (length < count && (this.cells.containers[index][page + length] !== null) === present) length += 1;
    return length;
  }

  /** Everything that must hold between operations. */
  check(): void {
    this.machine.audit.run();
    for (let i = 0; i < this.containers.length; i += 1) this.#checkContents(i);
    this.swap.check();
    this.holds.check();
    this.policy.check();
    for (const { real, ledger } of this.controls) {
      agree(real.limit, ledger.limit, 'limit');
      agree(real.used, ledger.used, 'used');
    }
  }

  /** Destroys everything; all memory must be free again, in the blocks it came in. */
  tearDown(): void {
    const { physmem } = this.machine;
    for (const child of physmem.root.children) physmem.destroyControl(child);
    for (const container of physmem.root.containers) physmem.destroy(container);
    this.swap.tearDown();
    this.machine.audit.run();
    agree(this.machine.use, 0, 'use');
    agree(physmem.root.limit, physmem.receivedPages - physmem.fixedPages, 'limit of the root');
  }

  /** N1, as physmem sees it; as the client sees it, the audit has compared. */
  #checkContents(index: number): void {
    const { real } = this.containers[index];
    const cells = this.cells.containers[index];
    const places = this.machine.audit.placesOf(real);
    const { contents, disk } = this.machine;
    for (let page = 0; page < this.pages; page += 1) {
      const place = places[page];
      const value = place >= 0 ? contents.get(place) : place === ABSENT ? null : place === PROMISE ? 0 : disk.get(FIRST_SLOT - place);
      const cell = cells[page];
      if (value !== (cell === null ? null : cell.value)) {
        throw new Error(`page ${page} of container ${index} holds ${value}, should be ${cell?.value ?? 'absent'}`);
      }
    }
  }

  // --- What is expected ------------------------------------------------------------------------------------------

  /** Compares an outcome with the expected one. @returns the pages that were really done */
  judge(what: string, error: number, pages: number, expected: Outcome): number {
    this.observed.push(error, pages);
    this.note(what, error === 0 ? (pages > 0 ? 'ok' : 'nothing') : errnoName(error));
    if (this.failing && pages <= expected.done && (error === ENOMEM || error === EIO || (error === 0 && what === 'pin'))) return pages;
    if (error === WAIT && pages === 0 && this.policy.inForce) return 0; // asked back meanwhile: nothing has changed
    agree(error, expected.error, what);
    agree(pages, expected.done, `${what}: amount`);
    return pages;
  }

  #expectAllocate(index: number, page: number, count: number, flags: number): Outcome {
    const squash = (flags & SQUASH) !== 0;
    const all = (flags & ALL_OR_NONE) !== 0;
    const free = squash ? count : this.run(index, page, count, false);
    const fits = this.admitted(index, page, count, flags);
    const loose = squash ? this.holds.loose(index, page, count) : count;
    if (all && free < count) return done(0, EEXIST);
    if (all && loose < count) return done(0, EBUSY);
    if (all && fits < count) return done(0, ENOMEM);
    for (let at = 0; at < fits; ) {
      const piece = pieceAt(at, fits);
      if (at + piece > free) return done(at, EEXIST);
      if (at + piece > loose) return done(at, EBUSY);
      at += piece;
    }
    return done(fits, fits < count ? ENOMEM : 0);
  }

  #expectCopy(from: number, page: number, to: number, toPage: number, count: number, flags: number): Outcome {
    const mode = modeOf(flags);
    const squash = (flags & SQUASH) !== 0;
    if (from === to && Math.abs(page - toPage) < count) return done(0, mode === 'in place' ? EINVAL : EEXIST);
    const present = this.run(from, page, count, true);
    const ready = mode === 'in place' ? this.run(to, toPage, count, true) : squash ? count : this.run(to, toPage, count, false);
    const free = mode === 'move' && this.containers[from].control === this.containers[to].control;
    const fits = mode === 'in place' || free ? count : this.admitted(to, toPage, count, flags);
    let loose = squash ? this.holds.loose(to, toPage, count) : count;
    if (mode === 'move') loose = Math.min(loose, this.holds.loose(from, page, count));
    if (mode === 'in place') loose = this.holds.unpinned(to, toPage, count);
    const possible = Math.min(present, ready, loose, fits);
    if (possible === count) return done(count);
    let error = mode === 'in place' ? EBUSY : ENOMEM;
    if (possible === present) error = present === 0 ? ENOENT : ESRCH;
    else if (possible === ready) error = mode === 'in place' ? ENOMEM : EEXIST;
    else if (possible === loose) error = EBUSY;
    return done((flags & ALL_OR_NONE) !== 0 ? 0 : possible, error);
  }

  /** The longest prefix of the pages whose absent (without squash: whose) pages may be charged. */
  admitted(index: number, page: number, count: number, flags: number): number {
    const squash = (flags & SQUASH) !== 0;
    let room = this.allowance(this.containers[index].control, (flags & EXTRA) !== 0);
    for (let length = 0; length < count; length += 1) {
      if (squash && this.cells.containers[index][page + length] !== null) continue;
      if (room === 0) return length;
      room -= 1;
    }
    return count;
  }

  /** Counts an event, for the table of what was covered. */
  note(operation: string, outcome: string): void {
    const key = `${operation}\t${outcome}`;
    this.#outcomes.set(key, (this.#outcomes.get(key) ?? 0) + 1);
  }

  /** How often each operation had each outcome. */
  outcomes(): [operation: string, outcome: string, times: number][] {
    return [...this.#outcomes].map(([key, times]) => {
      const [operation, outcome] = key.split('\t');
      return [operation, outcome, times];
    });
  }

  /** How many more pages may be charged to a control: before a policy is in force first come, first served. */
  allowance(control: ControlTwin, extra: boolean): number {
    if (this.policy.inForce) return this.policy.allowance(control, extra);
    const { ledger } = control;
    const { physmem } = this.machine;
    const free = physmem.receivedPages - physmem.fixedPages - this.controls.reduce((sum, each) => sum + each.ledger.used, 0);
    return Math.max(0, extra ? free : Math.min(free, ledger.unused));
  }

  /** G: the limits of a principal's controls. */
  guaranteed(principal: PrincipalTwin): number {
    return this.controls.reduce((sum, control) => sum + (control.principal === principal ? control.ledger.limit : 0), 0);
  }

  // --- What is done on the reference -----------------------------------------------------------------------------

  #placeFresh(index: number, page: number, count: number): void {
    this.charge(index, count - this.count(index, page, count));
    this.cells.renew(index, page, count);
  }

  charge(index: number, pages: number): void {
    this.containers[index].control.ledger.used += pages;
  }

  #empty(index: number, control: number): void {
    const twin = this.controls[control];
    this.cells.remove(index, 0, this.pages);
    this.cells.soft[index].clear();
    this.holds.forget(this.containers[index].real);
    this.containers[index] = { real: this.machine.create(twin.real), control: twin };
  }

  get amount(): number {
    return this.machine.physmem.amount / P;
  }
}

export function modeOf(flags: number): CopyMode {
  if ((flags & COPY_IN_PLACE) !== 0) return 'in place';
  if ((flags & COPY_MOVE) !== 0) return 'move';
  return (flags & COPY_SHARED) !== 0 ? 'shared' : 'cow';
}

/** The piece of span(0, end) that begins at `at`, by the definition. */
export function pieceAt(at: number, end: number): number {
  let size = 1;
  while (at % (size * 2) === 0 && at + size * 2 <= end) size *= 2;
  return size;
}
