/** Pins, locks and weak capabilities, and the devices that pins are for. A part of Twins. */

import { EBUSY, EDQUOT, ENOENT, EPERM } from '../../../hostkernel/base/errno.ts';
import type { GuestFrame } from '../../../hostkernel/base/units.ts';
import type { Container } from '../../../vkernel/physmem/core/container.ts';
import { expireHolds } from '../../../vkernel/physmem/core/holds.ts';
import { lock, unlock } from '../../../vkernel/physmem/core/locks.ts';
import { pin, type PinSink, unpin } from '../../../vkernel/physmem/core/pins.ts';
import { copyBy, expireShares, revoke, share, type WeakContainer } from '../../../vkernel/physmem/core/share.ts';
import {
  COPY_IN_PLACE,
  FORCE_WRITE,
  MAP_READ,
  MAP_WRITE,
  WEAK_COPY_FROM,
  WEAK_COPY_INTO,
  WEAK_LOCK,
  WEAK_MAP_READ,
  WEAK_MAP_WRITE,
} from '../../../vkernel/physmem/interface.ts';
import { P } from './machine.ts';
import { agree, done } from './outcome.ts';
import type { Twins } from './twins.ts';

const OWNER = { task: 1, weak: null, expires: Number.POSITIVE_INFINITY };
const HOLDER = 2; // the task that has the weak capabilities

interface PinTwin {
  readonly container: Container;
  readonly index: number;
  readonly page: number;
  readonly writes: boolean;
  readonly frames: readonly number[]; // the physical pages the device knows
  readonly expires: number;
}

interface LockTwin {
  readonly weak: WeakContainer;
  readonly page: number;
  readonly count: number;
  readonly expires: number;
}

/** Collects the physical pages of a pin. */
class Runs implements PinSink {
  readonly frames: number[] = [];
  runs = 0;

  get room(): number {
    return 12 - this.runs;
  }

  run(frame: GuestFrame, pages: number): void {
    this.runs += 1;
    for (let i = 0; i < pages; i += 1) this.frames.push(frame + i);
  }
}

export class HoldTwins {
  readonly #twins: Twins;
  #pins: PinTwin[] = [];
  #locks: LockTwin[] = [];
  readonly #weak = new Map<Container, WeakContainer>();

  constructor(twins: Twins) {
    this.#twins = twins;
  }

  // --- Time --------------------------------------------------------------------------------------------------------

  /** Time passes; what has expired ends. */
  pass(microseconds: number): void {
    const { machine } = this.#twins;
    machine.time += microseconds;
    expireHolds(machine.physmem);
    expireShares(machine.physmem);
    this.#pins = this.#pins.filter(({ expires }) => expires > machine.time);
    this.#locks = this.#locks.filter(({ expires }) => expires > machine.time);
    for (const [container, weak] of this.#weak) if (weak.expires <= machine.time) this.#end(container);
  }

  /** A container has died, or is about to: nothing holds it. */
  forget(container: Container): void {
    this.#pins = this.#pins.filter((each) => each.container !== container);
    this.#locks = this.#locks.filter(({ weak }) => weak.container !== container);
    this.#weak.delete(container);
  }

  // --- Pins and devices --------------------------------------------------------------------------------------------

  pin(index: number, page: number, count: number, writes: boolean, duration: number): void {
    const { machine, containers } = this.#twins;
    const { real, control } = containers[index];
    const runs = new Runs();
    const flags = writes ? MAP_WRITE : MAP_READ;
    const quota = Math.max(0, Math.floor(this.#twins.guaranteed(control.principal) / 4));
    let expected = done(count);
    if (this.#twins.run(index, page, count, true) < count) expected = done(0, ENOENT);
    else if (this.#pinned(index) + count > quota) expected = done(0, EDQUOT);
    const error = pin(machine.physmem, real, OWNER, page * P, count * P, duration, flags, runs);
    const pages = this.#twins.amount;
    const isElsewhere = this.#pins.length > 0 && expected.error === 0 && (error === EBUSY || pages < count);
    if (isElsewhere || runs.runs === 12) this.#twins.judge('pin', error, pages, done(pages, error));
    else this.#twins.judge('pin', error, pages, expected);
    agree(runs.frames.length >= pages, true, 'pages of the pin');
    if (error !== 0) return;
    this.#pins.push({ container: real, index, page, writes, frames: runs.frames.slice(0, pages), expires: machine.time + duration });
  }

  /** Ends one of the pins there are. */
  unpin(pick: number): void {
    if (this.#pins.length === 0) return;
    const { container, page, frames } = this.#pins[pick % this.#pins.length];
    const error = unpin(this.#twins.machine.physmem, container, OWNER, page * P, frames.length * P);
    this.#twins.judge('unpin', error, 1, done(1));
    const first = this.#pins.findIndex(
      (each) => each.container === container && each.page === page && each.frames.length === frames.length,
    );
    this.#pins.splice(first, 1);
  }

  /** A device writes by physical address, past every page table. */
  deviceWrite(pick: number, value: number): void {
    const writing = this.#pins.filter(({ writes }) => writes);
    if (writing.length === 0) return;
    const { index, page, frames } = writing[pick % writing.length];
    const at = (pick >>> 8) % frames.length;
    this.#twins.machine.contents.set(frames[at], value);
    const cell = this.#twins.cells.containers[index][page + at];
    if (cell === null) throw new Error(`pinned page ${page + at} is gone`);
    cell.value = value;
  }

  // --- Weak capabilities and locks ---------------------------------------------------------------------------------

  share(index: number, rights: number, duration: number): void {
    const { real } = this.#twins.containers[index];
    if (this.#weak.has(real)) return;
    const weak = share(this.#twins.machine.physmem, real, HOLDER, rights, duration);
    if (typeof weak === 'number') this.#twins.judge('share', weak, 0, done(0, weak));
    else {
      this.#twins.judge('share', 0, 1, done(1));
      this.#weak.set(real, weak);
    }
  }

  revoke(index: number): void {
    const { real } = this.#twins.containers[index];
    const error = revoke(this.#twins.machine.physmem, real, 0);
    const isHeld = this.#locks.some(({ weak }) => weak.container === real);
    this.#twins.judge('revoke', error, error === 0 ? 1 : 0, isHeld ? done(0, EBUSY) : done(1));
    if (error === 0) this.#end(real);
  }

  lock(index: number, page: number, count: number, duration: number): void {
    const { machine, containers } = this.#twins;
    const weak = this.#weak.get(containers[index].real);
    if (weak === undefined) return;
    let expected = done(1);
    if ((weak.rights & WEAK_LOCK) === 0) expected = done(0, EPERM);
    else if (this.unlocked(index, page, count) < count) expected = done(0, EBUSY);
    const error = lock(machine.physmem, weak, page * P, count * P, duration);
    if (this.#twins.judge('lock', error, error === 0 ? 1 : 0, expected) === 0) return;
    this.#locks.push({ weak, page, count, expires: Math.min(machine.time + duration, weak.expires) });
  }

  unlock(pick: number): void {
    if (this.#locks.length === 0) return;
    const [held] = this.#locks.splice(pick % this.#locks.length, 1);
    const error = unlock(this.#twins.machine.physmem, held.weak, held.page * P, held.count * P);
    this.#twins.judge('unlock', error, 1, done(1));
  }

  weakWrite(index: number, page: number, value: number): void {
    const { machine, containers, cells } = this.#twins;
    const weak = this.#weak.get(containers[index].real);
    if (weak === undefined) return;
    const cell = cells.containers[index][page];
    const needed = WEAK_MAP_READ | WEAK_MAP_WRITE;
    let expected = done(1);
    if ((weak.rights & needed) !== needed) expected = done(0, EPERM);
    else if (cell === null) expected = done(0, ENOENT);
    const error = machine.write(weak, page, value);
    if (this.#twins.judge('weak write', error, error === 0 ? 1 : 0, expected) === 1 && cell !== null) cell.value = value;
  }

  weakRead(index: number, page: number): void {
    const { machine, containers, cells } = this.#twins;
    const weak = this.#weak.get(containers[index].real);
    if (weak === undefined) return;
    const cell = cells.containers[index][page];
    const value = machine.read(weak, page);
    this.#twins.observed.push(value);
    if ((weak.rights & WEAK_MAP_READ) === 0) agree(value, -EPERM, 'weak read');
    else if (!this.#twins.failing) agree(value, cell === null ? -ENOENT : cell.value, 'weak read');
  }

  /** The holder fills pages from a container of its own. */
  weakFill(from: number, page: number, to: number, toPage: number, count: number): void {
    const { machine, containers } = this.#twins;
    const weak = this.#weak.get(containers[to].real);
    if (weak === undefined) return;
    const act = () => copyBy(machine.physmem, containers[from].real, page * P, weak, toPage * P, count * P, COPY_IN_PLACE);
    if ((weak.rights & WEAK_COPY_INTO) !== 0) this.#twins.copy(from, page, to, toPage, count, COPY_IN_PLACE, act);
    else this.#twins.judge('weak fill', act(), this.#twins.amount, done(0, EPERM));
  }

  /** The holder takes logical copies. */
  weakTake(from: number, page: number, to: number, toPage: number, count: number): void {
    const { machine, containers } = this.#twins;
    const weak = this.#weak.get(containers[from].real);
    if (weak === undefined) return;
    const act = () => copyBy(machine.physmem, weak, page * P, containers[to].real, toPage * P, count * P, 0);
    if ((weak.rights & WEAK_COPY_FROM) !== 0) this.#twins.copy(from, page, to, toPage, count, 0, act);
    else this.#twins.judge('weak take', act(), this.#twins.amount, done(0, EPERM));
  }

  weakMap(index: number, page: number, count: number, write: boolean): void {
    const weak = this.#weak.get(this.#twins.containers[index].real);
    if (weak === undefined) return;
    this.#twins.machine.map(weak, MAP_READ | (write ? MAP_WRITE | FORCE_WRITE : 0), page, count);
  }

  // --- Looking -----------------------------------------------------------------------------------------------------

  /** How many pages from `page` on are neither pinned nor locked, at most `count`. */
  loose(index: number, page: number, count: number): number {
    return Math.min(this.unpinned(index, page, count), this.unlocked(index, page, count));
  }

  /** Length of the run of pages from `page` on that no device may write, whoever has pinned them, at most `count`. */
  stable(index: number, page: number, count: number): number {
    const { cells } = this.#twins;
    const written = new Set<object | null>();
    for (const pinned of this.#pins) {
      if (pinned.writes) for (let i = 0; i < pinned.frames.length; i += 1) written.add(cells.containers[pinned.index][pinned.page + i]);
    }
    written.delete(null);
    let length = 0;
    while (length < count && !written.has(cells.containers[index][page + length])) length += 1;
    return length;
  }

  unpinned(index: number, page: number, count: number): number {
    const { real } = this.#twins.containers[index];
    const mine = this.#pins.filter(({ container }) => container === real);
    let length = 0;
    while (length < count && !mine.some((each) => page + length >= each.page && page + length < each.page + each.frames.length))
      length += 1;
    return length;
  }

  unlocked(index: number, page: number, count: number): number {
    const { real } = this.#twins.containers[index];
    const mine = this.#locks.filter(({ weak }) => weak.container === real);
    let length = 0;
    while (length < count && !mine.some((each) => page + length >= each.page && page + length < each.page + each.count)) length += 1;
    return length;
  }

  /** A container that is shared weakly, if any. */
  shared(pick: number): number | null {
    const found = [...this.#weak.keys()];
    return found.length === 0 ? null : this.#twins.containers.findIndex(({ real }) => real === found[pick % found.length]);
  }

  isLocked(index: number, page: number): boolean {
    return this.unlocked(index, page, 1) === 0;
  }

  isHeld(index: number): boolean {
    return this.loose(index, 0, this.#twins.pages) < this.#twins.pages;
  }

  /** Pinned pages are where the device was told, and a revoked holder has nothing left. */
  check(): void {
    for (const { container, page, frames } of this.#pins) {
      for (let i = 0; i < frames.length; i += 1) {
        agree(this.#twins.machine.guestFrameAt(container, page + i), frames[i], `address of pinned page ${page + i}`);
      }
    }
  }

  #pinned(index: number): number {
    const { principal } = this.#twins.containers[index].control;
    let pages = 0;
    for (const { index: other, frames } of this.#pins) {
      if (this.#twins.containers[other].control.principal === principal) pages += frames.length;
    }
    return pages;
  }

  #end(container: Container): void {
    const weak = this.#weak.get(container);
    this.#weak.delete(container);
    this.#locks = this.#locks.filter((each) => each.weak !== weak);
  }
}
