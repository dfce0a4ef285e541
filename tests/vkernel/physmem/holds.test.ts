/**
 * Weak capabilities, pins and locks against a model of them, in lives of random operations with copies, devices and time.
 *
 * The model knows pages as cells (a value, shared by those who see each other's writes), and holds as ranges with an end.
 * What it predicts: which operations are refused, what every page reads, that a pinned page keeps its address, that the
 * owner has no writable translation of a locked page.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EBUSY, EDQUOT, EINVAL, ENOENT, EPERM } from '../../../hostkernel/base/errno.ts';
import type { Container } from '../../../vkernel/physmem/core/container.ts';
import { endHoldsOfTask, expireHolds } from '../../../vkernel/physmem/core/holds.ts';
import { assertInvariants } from '../../../vkernel/physmem/core/invariants.ts';
import { lock, unlock } from '../../../vkernel/physmem/core/locks.ts';
import { compact } from '../../../vkernel/physmem/core/move.ts';
import { pin, pinQuota, unpin } from '../../../vkernel/physmem/core/pins.ts';
import { copyBy, endShare, expireShares, mapBy, revoke, share, WeakContainer } from '../../../vkernel/physmem/core/share.ts';
import {
  ALL_OR_NONE,
  COPY_IN_PLACE,
  COPY_MOVE,
  COPY_SHARED,
  FORCE_WRITE,
  MAP_READ,
  MAP_WRITE,
  WEAK_COPY_FROM,
  WEAK_COPY_INTO,
  WEAK_LOCK,
  WEAK_MAP_READ,
  WEAK_MAP_WRITE,
  WEAK_PIN,
  WEAK_RIGHTS,
} from '../../../vkernel/physmem/interface.ts';
import { Items, Machine, P } from './machine.ts';

const PAGES = 6; // of each container
const CONTAINERS = 3;
const OWNER = 5;
const RW = MAP_READ | MAP_WRITE | FORCE_WRITE;
const OWN = { task: OWNER, weak: null, expires: Number.POSITIVE_INFINITY };
const MODES = [0, 0, COPY_SHARED, COPY_IN_PLACE, COPY_IN_PLACE, COPY_MOVE];

interface Cell {
  value: number;
}

interface ModelHold {
  readonly isLock: boolean;
  readonly container: number;
  readonly from: number;
  readonly to: number;
  readonly writes: boolean;
  readonly expires: number;
  readonly weak: WeakContainer | null;
  readonly frames: readonly number[]; // of a pin: where its pages lie
}

class Life {
  readonly machine = new Machine({
    memory: [
      [64, 32],
      [128, 16],
    ],
    copyPages: 4,
  });
  readonly containers: Container[] = Array.from({ length: CONTAINERS }, () => this.machine.create());
  readonly cells: (Cell | null)[][] = this.containers.map(() => Array.from({ length: PAGES }, () => null));
  holds: ModelHold[] = [];
  weaks: WeakContainer[] = [];
  #value = 100;

  get #pm() {
    return this.machine.physmem;
  }

  /** The weak container a step means: one that lives, or null. */
  weak(choice: number): WeakContainer | null {
    return this.weaks.length === 0 ? null : this.weaks[choice % this.weaks.length];
  }

  #indexOf(container: Container): number {
    return this.containers.indexOf(container);
  }

  #isHeld(container: number, page: number, locksOnly = false, pinsOnly = false): boolean {
    return this.holds.some(
      (hold) =>
        hold.container === container && hold.from <= page && page < hold.to && !(locksOnly && !hold.isLock) && !(pinsOnly && hold.isLock),
    );
  }

  #present(container: number, from: number, to: number): boolean {
    return this.cells[container].slice(from, to).every((cell) => cell !== null);
  }

  allocate(at: number, from: number, to: number): void {
    const isFree = this.cells[at].slice(from, to).every((cell) => cell === null);
    expect(this.machine.allocate(this.containers[at], from, to - from, ALL_OR_NONE) === 0).toBe(isFree);
    if (isFree) for (let page = from; page < to; page += 1) this.cells[at][page] = { value: 0 };
  }

  deallocate(at: number, from: number, to: number): void {
    let end = from;
    while (end < to && !this.#isHeld(at, end)) end += 1;
    expect(this.machine.deallocate(this.containers[at], from, to - from)).toBe(end < to ? EBUSY : 0);
    this.cells[at].fill(null, from, end);
  }

  write(at: number, page: number): void {
    const container = this.containers[at];
    const expected = this.#isHeld(at, page, true) ? EBUSY : this.cells[at][page] === null ? ENOENT : 0;
    expect(mapBy(this.#pm, container, RW, page * P, page * P, P, new Items())).toBe(expected);
    const cell = this.cells[at][page];
    if (expected !== 0 || cell === null) return;
    this.#value += 1;
    cell.value = this.#value;
    expect(this.machine.write(container, page, this.#value)).toBe(0);
  }

  weakWrite(choice: number, page: number): void {
    const weak = this.weak(choice);
    if (weak === null) return;
    const cell = this.cells[this.#indexOf(weak.container)][page];
    const allowed = WEAK_MAP_READ | WEAK_MAP_WRITE;
    const expected = (weak.rights & allowed) !== allowed ? EPERM : cell === null ? ENOENT : 0;
    const sink = new Items();
    expect(mapBy(this.#pm, weak, RW, page * P, page * P, P, sink)).toBe(expected);
    if (expected !== 0 || cell === null) return;
    this.#value += 1;
    cell.value = this.#value;
    this.machine.contents.set(sink.items[0].frame, this.#value);
  }

  /** The first page at or behind `from`, or else the first at all, where `pages` are absent; `from` where that is nowhere. */
  freeRun(at: number, from: number, pages: number): number {
    const cells = this.cells[at];
    const starts = Array.from({ length: PAGES - pages + 1 }, (_, i) => (from + i) % (PAGES - pages + 1));
    return starts.find((start) => cells.slice(start, start + pages).every((cell) => cell === null)) ?? Math.min(from, PAGES - pages);
  }

  /** The run of present pages at or behind `from`, at most `pages`; one page that is absent where there is none. */
  presentRun(at: number, from: number, pages: number): [from: number, to: number] {
    const cells = this.cells[at];
    const start = Array.from({ length: PAGES }, (_, i) => (from + i) % PAGES).find((page) => cells[page] !== null);
    if (start === undefined) return [from, from + 1];
    let end = start;
    while (end < PAGES && end < start + pages && cells[end] !== null) end += 1;
    return [start, end];
  }

  copy(source: number, from: number, target: number, to: number, pages: number, mode: number, choice: number): void {
    if (source === target && Math.abs(from - to) < pages) return;
    const weak = this.weak(choice);
    const isWeak = weak !== null && choice % 2 === 0 && this.containers[target] === weak.container;
    const taken = this.cells[source].slice(from, from + pages);
    const there = this.cells[target].slice(to, to + pages);
    const range = Array.from({ length: pages }, (_, i) => i);
    const inPlace = mode === COPY_IN_PLACE;
    let succeeds = taken.every((cell) => cell !== null) && there.every((cell) => (cell === null) !== inPlace);
    if (isWeak) succeeds &&= inPlace && (weak.rights & WEAK_COPY_INTO) !== 0;
    if (inPlace) succeeds &&= !range.some((i) => this.#isHeld(target, to + i, false, isWeak));
    if (mode === COPY_MOVE) succeeds &&= !range.some((i) => this.#isHeld(source, from + i));
    const destination = isWeak ? weak : this.containers[target];
    const error = copyBy(this.#pm, this.containers[source], from * P, destination, to * P, pages * P, mode | ALL_OR_NONE);
    expect([error === 0, this.#pm.amount]).toEqual([succeeds, succeeds ? pages * P : 0]);
    if (!succeeds) return;
    const values = taken.map((cell) => cell?.value ?? 0);
    range.forEach((i) => {
      const cell = there[i];
      if (inPlace && cell !== null)
        cell.value = taken[i]?.value ?? 0; // page by page: one may be the source of the next
      else this.cells[target][to + i] = mode === 0 ? { value: values[i] } : taken[i];
      if (mode === COPY_MOVE) this.cells[source][from + i] = null;
    });
  }

  pin(at: number, from: number, to: number, writes: boolean, duration: number, choice: number): void {
    const found = choice % 2 === 0 ? this.weak(choice) : null;
    const weak = found !== null && found.container === this.containers[at] ? found : null;
    const container = this.containers[at];
    const index = at;
    const mayPin = weak === null || (weak.rights & WEAK_PIN) !== 0;
    if (!mayPin) return; // the right is looked at where the request comes in
    const { principal } = container.control;
    let expected = 0;
    if (to <= from) expected = EINVAL;
    else if (!this.#present(index, from, to)) expected = ENOENT;
    else if (principal.pinned + to - from > pinQuota(principal)) expected = EDQUOT;
    const frames: number[] = [];
    const sink = {
      room: 24,
      run(frame: number, pages: number) {
        for (let i = 0; i < pages; i += 1) frames.push(frame + i);
      },
    };
    const flags = writes ? MAP_WRITE : 0;
    expect(pin(this.#pm, container, weak?.asker ?? OWN, from * P, (to - from) * P, duration, flags, sink)).toBe(expected);
    if (expected !== 0) return;
    const expires = Math.min(this.machine.time + duration, weak?.expires ?? Number.POSITIVE_INFINITY);
    this.holds.push({ isLock: false, container: index, from, to, writes, expires, weak, frames });
  }

  /** A device writes where a pin lets it. */
  deviceWrite(choice: number): void {
    const pins = this.holds.filter((hold) => hold.writes);
    if (pins.length === 0) return;
    const hold = pins[choice % pins.length];
    const page = hold.from + (choice % (hold.to - hold.from));
    const cell = this.cells[hold.container][page];
    if (cell === null) throw new Error('a pinned page has gone');
    this.#value += 1;
    cell.value = this.#value;
    this.machine.contents.set(hold.frames[page - hold.from], this.#value);
  }

  /** Ends a hold that there is, or is refused one that there is not. */
  endHold(choice: number): void {
    const hold = this.holds[choice % Math.max(1, this.holds.length)];
    if (hold === undefined) return;
    const size = (hold.to - hold.from) * P;
    const container = this.containers[hold.container];
    if (hold.isLock) {
      if (hold.weak === null) throw new Error('a lock of nobody');
      expect(unlock(this.#pm, hold.weak, hold.from * P, size + P)).toBe(ENOENT);
      expect(unlock(this.#pm, hold.weak, hold.from * P, size)).toBe(0);
    } else {
      expect(unpin(this.#pm, container, { ...OWN, task: 99 }, hold.from * P, size)).toBe(ENOENT);
      expect(unpin(this.#pm, container, hold.weak?.asker ?? OWN, hold.from * P, size)).toBe(0);
    }
    const same = this.holds.findIndex((other) => isSame(other, hold)); // two alike: which one goes is the server’s to choose
    const twins = this.holds.filter((other) => isSame(other, hold));
    this.holds.splice(same, 1);
    if (twins.length > 1) this.#adoptFromServer();
  }

  /** Where two pins differ in their end or purpose only, takes over which of them the server has kept. */
  #adoptFromServer(): void {
    const left = [...this.#pm.holds.all];
    this.holds = left.map((hold) => {
      const known = [...this.holds].find(
        (model) =>
          this.containers[model.container] === hold.container &&
          model.from === hold.from &&
          model.to === hold.to &&
          model.weak === hold.weak,
      );
      if (known === undefined) throw new Error('a hold nobody asked for');
      return { ...known, isLock: hold.isLock, writes: hold.writes, expires: hold.expires };
    });
  }

  lock(choice: number, from: number, to: number, duration: number): void {
    const weak = this.weak(choice);
    if (weak === null) return;
    const container = this.#indexOf(weak.container);
    let expected = 0;
    if ((weak.rights & WEAK_LOCK) === 0) expected = EPERM;
    else if (this.holds.some((hold) => hold.isLock && hold.container === container && hold.from < to && from < hold.to)) expected = EBUSY;
    expect(lock(this.#pm, weak, from * P, (to - from) * P, duration)).toBe(expected);
    const expires = Math.min(this.machine.time + duration, weak.expires);
    if (expected === 0) this.holds.push({ isLock: true, container, from, to, writes: false, expires, weak, frames: [] });
  }

  share(at: number, task: number, rights: number, duration: number): void {
    const weak = share(this.#pm, this.containers[at], task, rights, duration);
    if (weak instanceof WeakContainer) this.weaks.push(weak);
    expect(weak instanceof WeakContainer).toBe(rights !== 0);
  }

  revoke(at: number, task: number): void {
    const targets = this.weaks.filter((weak) => weak.container === this.containers[at] && (task === 0 || weak.task === task));
    const isBusy = this.holds.some((hold) => hold.isLock && hold.weak !== null && targets.includes(hold.weak));
    expect(revoke(this.#pm, this.containers[at], task)).toBe(isBusy ? EBUSY : 0);
    if (!isBusy) this.#forget(targets);
  }

  death(task: number): void {
    const targets = this.weaks.filter((weak) => weak.task === task);
    endHoldsOfTask(this.#pm, task);
    for (const weak of targets) endShare(this.#pm, weak);
    this.#forget(targets);
  }

  #forget(targets: readonly WeakContainer[]): void {
    this.weaks = this.weaks.filter((weak) => !targets.includes(weak));
    this.holds = this.holds.filter((hold) => hold.weak === null || !targets.includes(hold.weak));
  }

  pass(us: number): void {
    this.machine.time += us;
    expireHolds(this.#pm);
    expireShares(this.#pm);
    this.holds = this.holds.filter((hold) => hold.expires > this.machine.time);
    this.#forget(this.weaks.filter((weak) => weak.expires <= this.machine.time));
  }

  check(): void {
    assertInvariants(this.#pm);
    expect(this.#pm.holds.all.size).toBe(this.holds.length);
    expect(this.#pm.shares.all.size).toBe(this.weaks.length);
    for (const hold of this.holds) {
      const container = this.containers[hold.container];
      for (let page = hold.from; page < hold.to; page += 1) {
        if (hold.isLock) expect((this.machine.translations.get(container)?.get(page)?.rights ?? 0) & MAP_WRITE).toBe(0);
        else expect(this.machine.guestFrameAt(container, page)).toBe(hold.frames[page - hold.from]);
      }
    }
    this.containers.forEach((container, at) => {
      for (let page = 0; page < PAGES; page += 1) {
        const cell = this.cells[at][page];
        if (cell !== null) expect(this.machine.read(container, page)).toBe(cell.value);
        else expect(this.machine.peek(container, page)).toBe(null);
      }
    });
  }
}

function isSame(a: ModelHold, b: ModelHold): boolean {
  return a.isLock === b.isLock && a.container === b.container && a.from === b.from && a.to === b.to && a.weak === b.weak;
}

/** How often each operation comes. */
const WEIGHTS = {
  allocate: 1,
  deallocate: 1,
  write: 3,
  weakWrite: 1,
  copy: 5,
  pin: 3,
  compact: 2,
  device: 2,
  endHold: 1,
  lock: 2,
  share: 2,
  revoke: 1,
  death: 1,
  pass: 1,
};

const anyStep = fc.record({
  what: fc.oneof(...Object.entries(WEIGHTS).map(([what, weight]) => ({ arbitrary: fc.constant(what), weight }))),
  at: fc.nat(CONTAINERS - 1),
  other: fc.nat(CONTAINERS - 1),
  from: fc.nat(PAGES - 1),
  to: fc.nat(PAGES - 1),
  pages: fc.integer({ min: 1, max: 4 }),
  choice: fc.nat(30),
  rights: fc.oneof(fc.constant(WEAK_RIGHTS), fc.nat(WEAK_RIGHTS)),
  us: fc.constantFrom(1, 300, 1000, 3000),
});

test('weak rights, pins and locks do what the model says, whatever else happens to the pages', () => {
  fc.assert(
    fc.property(fc.array(anyStep, { minLength: 20, maxLength: 70 }), (steps) => {
      const life = new Life();
      for (let at = 0; at < 2; at += 1) life.allocate(at, 0, 4);
      life.share(0, 7, WEAK_RIGHTS & ~WEAK_COPY_FROM, 0);
      for (const { what, at, other, from, to, pages, choice, rights, us } of steps) {
        const end = Math.min(PAGES, from + pages);
        if (what === 'allocate') life.allocate(at, from, end);
        else if (what === 'deallocate') life.deallocate(at, from, end);
        else if (what === 'write') life.write(at, from);
        else if (what === 'weakWrite') life.weakWrite(choice, from);
        else if (what === 'copy') {
          const mode = MODES[choice % MODES.length];
          const [first, last] = life.presentRun(at, from, pages);
          const target = mode === COPY_IN_PLACE ? Math.min(to, PAGES - (last - first)) : life.freeRun(other, to, last - first);
          life.copy(at, first, other, target, last - first, mode, choice);
        } else if (what === 'pin') {
          const [first, last] = life.presentRun(at, from, pages);
          life.pin(at, first, choice === 0 ? end : last, rights % 3 !== 0, us, choice);
        } else if (what === 'compact') compact(life.machine.physmem, 64);
        else if (what === 'device') life.deviceWrite(choice);
        else if (what === 'endHold') life.endHold(choice);
        else if (what === 'lock') life.lock(choice, from, end, us);
        else if (what === 'share') life.share(at, 7 + (choice % 2), rights, choice % 3 === 0 ? us : 0);
        else if (what === 'revoke') life.revoke(at, [0, 7, 8][choice % 3] ?? 0);
        else if (what === 'death') life.death(7 + (choice % 2));
        else life.pass(us);
        life.check();
      }
      life.pass(2_000_000);
      for (const container of life.containers) life.machine.destroy(container);
      assertInvariants(life.machine.physmem);
      expect([life.machine.use, life.machine.physmem.holds.all.size, life.machine.physmem.shares.all.size]).toEqual([0, 0, 0]);
    }),
    { numRuns: 15 },
  );
});
