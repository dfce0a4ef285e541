/**
 * What happens when something fails: 30 short lives, each lived again for every allocation of memory and for every
 * transfer of swap space in it, with that one failing, or it and all that follow.
 *
 * An operation may then say ENOMEM (EIO, where swap space could not be read), and has done exactly as much as it says: the
 * contents of every page are compared after each operation, and at the end everything goes back to where it came from.
 */

import { ALL_OR_NONE, COPY_IN_PLACE, COPY_MOVE, COPY_SHARED, LAZY, SOFT, SQUASH, WEAK_RIGHTS } from '../../../vkernel/physmem/interface.ts';
import { Twins } from './twins.ts';

type Act = (t: Twins) => void;

/** Pages [0, pages) of container 0, with contents. */
const filled =
  (pages: number): Act =>
  (t) => {
    t.allocate(0, 0, pages, 0);
    for (let page = 0; page < pages; page += 1) t.write(0, page, 10 + page);
  };

const alternate: Act = (t) => {
  for (let page = 0; page < 8; page += 1) t.write(page % 2, page, 50 + page);
};

export const SCENARIOS: Readonly<Record<string, readonly Act[]>> = {
  'first use of single pages': [(t) => t.allocate(0, 0, 1, 0), (t) => t.write(0, 0, 1), (t) => t.allocate(0, 1, 1, 0), (t) => t.read(0, 1)],
  'first use of a large frame': [(t) => t.allocate(0, 0, 8, 0), (t) => t.read(0, 3), (t) => t.write(0, 7, 1)],
  'mapping a range at once': [(t) => t.allocate(0, 0, 7, 0), (t) => t.map(0, 0, 7, true, true)],
  'providing a page': [(t) => t.provide(0, 3, 1, 0, true)],
  'providing a range': [(t) => t.provide(0, 1, 6, 0, true), (t) => t.provide(0, 8, 4, ALL_OR_NONE, false)],
  'writing a copy': [filled(4), (t) => t.copy(0, 0, 1, 0, 4, 0), (t) => t.write(1, 2, 99)],
  'writing both sides in turn': [filled(8), (t) => t.copy(0, 0, 1, 0, 8, 0), alternate],
  'writing a chain of copies': [
    filled(2),
    (t) => t.copy(0, 0, 1, 0, 2, 0),
    (t) => t.copy(1, 0, 2, 0, 2, 0),
    ...[0, 1, 2].map(
      (at): Act =>
        (t) =>
          t.write(at, 1, 60 + at),
    ),
  ],
  'writing a copy that was never bound': [
    (t) => t.allocate(0, 0, 4, 0),
    (t) => t.copy(0, 0, 1, 0, 4, 0),
    (t) => t.write(1, 0, 7),
    (t) => t.read(0, 0),
  ],
  'a group that moves together': [
    filled(4),
    (t) => t.copy(0, 0, 1, 1, 2, COPY_SHARED),
    (t) => t.copy(0, 0, 2, 0, 4, 0),
    (t) => t.write(1, 1, 44),
  ],
  'false sharers': [
    filled(4),
    (t) => t.copy(0, 1, 1, 0, 1, COPY_SHARED),
    (t) => t.copy(0, 2, 1, 4, 1, COPY_SHARED),
    (t) => t.copy(0, 0, 2, 0, 4, 0),
    (t) => t.destroy(0, 1),
    (t) => t.write(1, 0, 77),
    (t) => t.write(1, 4, 88),
  ],
  'deallocating part of a shared frame': [
    filled(8),
    (t) => t.copy(0, 1, 1, 0, 6, 0),
    (t) => t.deallocate(0, 2, 3, 0),
    (t) => t.write(1, 3, 5),
  ],
  'lazily, then written': [
    filled(4),
    (t) => t.copy(0, 0, 1, 0, 4, 0),
    (t) => t.read(0, 1),
    (t) => t.deallocate(0, 0, 4, LAZY),
    (t) => t.write(1, 1, 5),
  ],
  'moving, then writing': [filled(4), (t) => t.copy(0, 0, 2, 0, 4, 0), (t) => t.copy(0, 1, 1, 0, 3, COPY_MOVE), (t) => t.write(1, 0, 6)],
  'in place over private pages': [
    filled(4),
    (t) => t.allocate(1, 0, 4, 0),
    (t) => t.copy(0, 0, 1, 0, 4, COPY_IN_PLACE),
    (t) => t.write(1, 0, 3),
  ],
  'in place over shared pages': [
    filled(4),
    (t) => t.allocate(1, 0, 4, 0),
    (t) => t.copy(1, 0, 2, 0, 4, COPY_SHARED),
    (t) => t.copy(0, 0, 1, 0, 4, COPY_IN_PLACE),
  ],
  'in place over shared copies': [
    filled(4),
    (t) => t.copy(0, 0, 1, 0, 4, 0),
    (t) => t.copy(1, 0, 2, 0, 4, COPY_SHARED),
    (t) => t.write(0, 3, 9),
    (t) => t.copy(0, 2, 2, 0, 2, COPY_IN_PLACE | ALL_OR_NONE),
  ],
  'releasing, then writing': [filled(4), (t) => t.copy(0, 0, 1, 0, 4, 0), (t) => t.release(0, 1, 2, 0), (t) => t.write(0, 1, 3)],
  'replacing what is there': [filled(4), (t) => t.allocate(0, 2, 4, SQUASH), (t) => t.copy(0, 0, 0, 4, 2, SQUASH), (t) => t.write(0, 4, 8)],
  'pinning what has no memory yet': [(t) => t.allocate(0, 0, 4, 0), (t) => t.holds.pin(0, 1, 2, false, 100), (t) => t.holds.unpin(0)],
  'pinning for writing what was copied': [
    filled(4),
    (t) => t.copy(0, 0, 1, 0, 4, 0),
    (t) => t.holds.pin(0, 0, 4, true, 100),
    (t) => t.holds.deviceWrite(0, 70),
  ],
  'copying what a device writes': [
    filled(4),
    (t) => t.holds.pin(0, 1, 2, true, 100),
    (t) => t.copy(0, 0, 1, 0, 4, 0),
    (t) => t.holds.deviceWrite(0, 71),
    (t) => t.copy(0, 0, 2, 0, 4, ALL_OR_NONE),
  ],
  'writing beside a pin': [
    filled(4),
    (t) => t.holds.pin(0, 0, 2, false, 100),
    (t) => t.copy(0, 0, 1, 0, 4, 0),
    (t) => t.write(0, 0, 72),
    (t) => t.write(1, 1, 73),
  ],
  'filling for somebody else': [
    filled(4),
    (t) => t.allocate(1, 0, 4, 0),
    (t) => t.holds.share(1, WEAK_RIGHTS, 0),
    (t) => t.holds.weakFill(0, 0, 1, 0, 4),
    (t) => t.holds.revoke(1),
  ],
  'put away and taken back': [filled(4), (t) => t.swap.swapOut(0, 0, 4), (t) => t.swap.swapIn(0, 0, 4, 0, false), (t) => t.read(0, 2)],
  'written out and read': [
    filled(4),
    (t) => t.swap.swapOut(0, 0, 4),
    (t) => t.press(4),
    (t) => t.swap.swapIn(0, 0, 4, 0, false),
    (t) => t.read(0, 2),
    (t) => t.write(0, 1, 3),
  ],
  'written out once for all who put it away': [
    filled(2),
    (t) => t.copy(0, 0, 1, 0, 2, 0),
    (t) => t.swap.swapOut(0, 0, 2),
    (t) => t.swap.swapOut(1, 0, 2),
    (t) => t.press(2),
    (t) => t.swap.swapIn(0, 0, 1, 0, true),
    (t) => t.read(0, 0),
    (t) => t.write(0, 0, 5),
    (t) => t.swap.swapDrop(1, 1, 1),
  ],
  'put away while memory is full': [
    filled(12),
    (t) => t.swap.swapOut(0, 0, 8),
    ...[0, 1, 2, 3, 4, 5, 6, 7].map(
      (page): Act =>
        (t) =>
          t.write(0, page, 30 + page),
    ),
  ],
  'given up softly, taken, recovered': [
    filled(12),
    (t) => t.deallocate(0, 0, 4, SOFT),
    (t) => t.allocate(1, 0, 2, 0),
    (t) => t.write(1, 0, 4),
    (t) => t.swap.recover(0, 0, 4, 0),
  ],
  'copied in place from disk': [
    filled(4),
    (t) => t.allocate(1, 0, 4, 0),
    (t) => t.copy(1, 0, 2, 0, 4, COPY_SHARED),
    (t) => t.swap.swapOut(0, 0, 4),
    (t) => t.press(4),
    (t) => t.swap.swapIn(0, 0, 4, 0, false),
    (t) => t.copy(0, 0, 1, 0, 4, COPY_IN_PLACE),
  ],
  'control destroyed with everything in it': [
    filled(4),
    (t) => t.copy(0, 0, 1, 0, 4, 0),
    (t) => t.write(1, 1, 5),
    (t) => t.swap.swapOut(0, 0, 2),
    (t) => t.destroyControl(1),
  ],
};

/** What fails: the n-th allocation, read or write; alone, or with all that follow; a transfer altogether, or half way. */
export interface Fault {
  readonly kind: 'allocation' | 'read' | 'write';
  readonly n: number;
  readonly lasting: boolean;
  readonly short: boolean;
}

/** How often a life comes to each kind of thing that may fail. */
export interface Reached {
  allocation: number;
  read: number;
  write: number;
}

/** Lives a scenario, with a fault or without. @returns what it reached */
export function liveWith(acts: readonly Act[], fault: Fault | null): Reached {
  const twins = new Twins({ memory: [[4, 12]], slots: 32, swapQuota: 24 }, 16);
  const reached: Reached = { allocation: 0, read: 0, write: 0 };
  const { machine } = twins;
  twins.addControl(0, 12, 1);
  for (let i = 0; i < 3; i += 1) twins.addContainer(1);
  const strikes = (kind: Fault['kind']): boolean => {
    reached[kind] += 1;
    return fault !== null && fault.kind === kind && (fault.lasting ? reached[kind] >= fault.n : reached[kind] === fault.n);
  };
  twins.failing = fault !== null;
  machine.failsAllocation = () => strikes('allocation');
  machine.transferred = (isWrite, pages) => {
    if (!strikes(isWrite ? 'write' : 'read')) return pages;
    return fault?.short === true ? Math.floor(pages / 2) : 0;
  };
  for (const act of acts) {
    act(twins);
    twins.check();
  }
  machine.failsAllocation = () => false;
  machine.transferred = (_, pages) => pages;
  twins.tearDown();
  return reached;
}

/** All faults that a scenario can meet. */
export function faultsOf(reached: Reached): Fault[] {
  const faults: Fault[] = [];
  for (const kind of ['allocation', 'read', 'write'] as const) {
    for (let n = 1; n <= reached[kind]; n += 1) {
      for (const lasting of [false, true]) {
        faults.push({ kind, n, lasting, short: false });
        if (kind !== 'allocation') faults.push({ kind, n, lasting, short: true });
      }
    }
  }
  return faults;
}

/** Every scenario with every fault. @returns what went wrong, and how many faults there were */
export function tryAllFailures(): { failures: string[]; faults: number } {
  const failures: string[] = [];
  let count = 0;
  for (const [name, acts] of Object.entries(SCENARIOS)) {
    for (const fault of faultsOf(liveWith(acts, null))) {
      count += 1;
      try {
        liveWith(acts, fault);
      } catch (error) {
        failures.push(`${name}, ${JSON.stringify(fault)}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
  return { failures, faults: count };
}
