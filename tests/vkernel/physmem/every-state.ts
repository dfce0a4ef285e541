/**
 * Every short life of a small physmem: two containers of two pages, three pages of memory. From every state that can be
 * reached in n steps every step is taken; what comes of it is checked, and is a state of n + 1 steps if it is new.
 *
 * Two states are the same if no later step can tell them apart: values and frames are numbered in the order they are met,
 * the containers may change places, the order of entries on a frame does not count, nor do hints of where to look for memory. A state is known by 52 bits of hash; how many sequences of steps it
 * stands for is counted.
 */

import type { Container } from '../../../vkernel/physmem/core/container.ts';
import { BOUND, entriesOf, type FrameId, PLACE } from '../../../vkernel/physmem/core/frame-table.ts';
import { ALL_OR_NONE, COPY_IN_PLACE, COPY_MOVE, COPY_SHARED, LAZY, SOFT, SQUASH } from '../../../vkernel/physmem/interface.ts';
import { SWAP_QUOTA } from './swap-twins.ts';
import { Twins } from './twins.ts';

export interface SmallStep {
  readonly name: string;
  readonly take: (twins: Twins, value: number) => void;
}

const PAGES = 2;

/** Which steps are taken: those of copies, or swap, soft references and pins too, which make many more states. */
export type Alphabet = 'copies' | 'everything';

/** All steps of an alphabet: whole containers and single pages of them. */
export function smallSteps(alphabet: Alphabet): SmallStep[] {
  const steps: SmallStep[] = [];
  const add = (name: string, take: SmallStep['take']): number => steps.push({ name, take });
  const ranges = [
    [0, 2],
    [0, 1],
    [1, 1],
  ] as const;
  for (const a of [0, 1]) {
    add(`map ${a}`, (t) => t.map(a, 0, 2, true, false));
    add(`destroy ${a}`, (t) => t.destroy(a, 1));
    add(`all or none ${a}`, (t) => t.allocate(a, 0, 2, ALL_OR_NONE));
    for (const page of [0, 1]) {
      add(`release ${a}.${page}`, (t) => t.release(a, page, 1, 0));
      add(`write ${a}.${page}`, (t, value) => t.write(a, page, value));
      add(`read ${a}.${page}`, (t) => t.read(a, page));
    }
    for (const [page, count] of ranges) {
      const range = `${a}.${page}+${count}`;
      add(`allocate ${range}`, (t) => t.allocate(a, page, count, 0));
      add(`deallocate ${range}`, (t) => t.deallocate(a, page, count, 0));
      add(`lazy ${range}`, (t) => t.deallocate(a, page, count, LAZY));
      for (const toPage of [0, 1].filter((to) => to + count <= PAGES)) {
        for (const b of [0, 1]) {
          if (a === b && (page === toPage || count === 2)) continue;
          const ends = `${range} to ${b}.${toPage}`;
          add(`copy ${ends}`, (t) => t.copy(a, page, b, toPage, count, 0));
          add(`move ${ends}`, (t) => t.copy(a, page, b, toPage, count, COPY_MOVE | SQUASH));
          add(`in place ${ends}`, (t) => t.copy(a, page, b, toPage, count, COPY_IN_PLACE));
          add(`share ${ends}`, (t) => t.copy(a, page, b, toPage, count, COPY_SHARED | SQUASH));
        }
      }
    }
  }
  return alphabet === 'copies' ? steps : [...steps, ...hiddenSteps()];
}

function hiddenSteps(): SmallStep[] {
  const steps: SmallStep[] = [
    { name: 'device', take: (t, value) => t.holds.deviceWrite(0, value) },
    { name: 'unpin', take: (t) => t.holds.unpin(0) },
    { name: 'drop', take: (t) => t.swap.swapDrop(1, 1, 1) },
    { name: 'press', take: (t) => t.press(2) },
  ];
  for (const a of [0, 1]) {
    steps.push({ name: `put away ${a}`, take: (t) => t.swap.swapOut(a, 0, 2) });
    steps.push({ name: `soften ${a}`, take: (t) => t.deallocate(a, 0, 2, SOFT) });
    steps.push({ name: `recover ${a}`, take: (t) => t.swap.recover(a, 0, 1, 0) });
    for (const page of [0, 1]) {
      steps.push({ name: `take back ${a}.${page}`, take: (t) => t.swap.swapIn(a, page, 1, 1, page === 1) });
      steps.push({ name: `pin ${a}.${page}`, take: (t) => t.holds.pin(a, page, 1, page === 0, 100) });
    }
  }
  return steps;
}

/** What lives of one length lead to. */
export interface Explored {
  readonly states: number; // that no shorter life leads to
  readonly sequences: number; // lives of exactly that many steps
}

/** Takes every step from every state, to lives of `depth` steps. */
export function exploreStates(alphabet: Alphabet, depth: number, progress: (states: number) => void = () => undefined): Explored[] {
  const steps = smallSteps(alphabet);
  const explored: Explored[] = [{ states: 1, sequences: 1 }];
  const seen = new Set<number>([keyOf(begin())]);
  let level: Uint8Array[] = [new Uint8Array(0)];
  for (let length = 1; length <= depth; length += 1) {
    const next: Uint8Array[] = [];
    const before = seen.size;
    for (const path of level) {
      for (let i = 0; i < steps.length; i += 1) {
        const twins = follow(steps, path, i);
        const key = keyOf(twins);
        if (seen.has(key)) continue;
        seen.add(key);
        if (length < depth) next.push(Uint8Array.of(...path, i));
        twins.tearDown();
      }
      progress(seen.size);
    }
    explored.push({ states: seen.size - before, sequences: steps.length ** length });
    level = next;
  }
  return explored;
}

function begin(): Twins {
  const twins = new Twins({ memory: [[1, 3]], slots: 8, swapQuota: SWAP_QUOTA }, PAGES);
  twins.addControl(0, 3, 1);
  twins.addContainer(1);
  twins.addContainer(1);
  return twins;
}

/** Lives again what led to a state, and takes one step more. */
function follow(steps: readonly SmallStep[], path: Uint8Array, last: number): Twins {
  const twins = begin();
  try {
    for (let i = 0; i < path.length; i += 1) steps[path[i]].take(twins, 10 + i);
    steps[last].take(twins, 10 + path.length);
    twins.check();
  } catch (error) {
    const names = [...path, last].map((i) => steps[i].name);
    throw new Error(`${error instanceof Error ? error.message : String(error)}, after: ${names.join('; ')}`, { cause: error });
  }
  return twins;
}

/** What distinguishes a state: 52 bits. The two containers may change places. */
function keyOf(twins: Twins): number {
  return Math.min(keyInOrder(twins, [0, 1]), keyInOrder(twins, [1, 0]));
}

function keyInOrder(twins: Twins, order: readonly number[]): number {
  const hash = new Hash();
  const { physmem, contents } = twins.machine;
  const { table } = physmem;
  const frames = new Numbering<number>();
  const groups = new Numbering<string>();
  const values = new Numbering<number>();
  const cells = new Numbering<object>();
  values.of(0);
  const addEntries = (container: Container): void => {
    const from = container.kind === 'swap' ? table.start[container.entries.from(0)] : 0; // ids are told apart by their distance
    for (const entry of container.entries.toArray()) {
      const frame = table.frame[entry];
      const group = groups.of(`${frame} ${table.group[entry]}`);
      hash.add(1, table.start[entry] - from, table.log2[entry], frames.of(frame), table.offset[entry], group);
    }
    for (const { from: first, to, writes } of container.pins) hash.add(5, first, to, writes ? 1 : 0);
  };
  for (const i of order) {
    const { real } = twins.containers[i];
    addEntries(real);
    if (real.soft !== null) {
      hash.add(6);
      addEntries(real.soft);
    }
    for (const cell of twins.cells.containers[i]) hash.add(cell === null ? -1 : cells.of(cell));
    const translations = [...(twins.machine.translations.get(real) ?? [])].sort(([a], [b]) => a - b);
    for (const [page, { frame, rights }] of translations) hash.add(2, page, frame, rights);
  }
  const { swap } = twins.controls[1].principal.real;
  if (swap !== null) {
    hash.add(7);
    addEntries(swap);
  }
  for (const frame of physmem.swap?.inactive.toArray() ?? []) hash.add(8, frames.of(frame));
  for (const frame of physmem.soft.toArray()) hash.add(9, frames.of(frame));
  for (const frame of frames.inOrder()) {
    hash.add(3, table.size[frame], table.state[frame], table.granted[frame], entriesOf(table, frame as FrameId).length);
    if ((table.state[frame] & PLACE) !== BOUND) continue;
    hash.add(table.address[frame]);
    for (let i = 0; i < 2 ** table.size[frame]; i += 1) hash.add(values.of(contents.get(table.address[frame] + i) as number));
  }
  for (const leftover of twins.machine.leftovers) hash.add(4, leftover.frame, leftover.rights);
  return hash.value;
}

/** Numbers things in the order they are met. */
class Numbering<T> {
  readonly #numbers = new Map<T, number>();

  of(thing: T): number {
    let number = this.#numbers.get(thing);
    if (number === undefined) {
      number = this.#numbers.size;
      this.#numbers.set(thing, number);
    }
    return number;
  }

  inOrder(): T[] {
    return [...this.#numbers.keys()];
  }
}

class Hash {
  #low = 0x811c_9dc5;
  #high = 0x9e37_79b9;

  add(...numbers: number[]): void {
    for (const number of numbers) {
      this.#low = Math.imul(this.#low ^ (number & 0xffff), 0x0100_0193);
      this.#low ^= this.#low >>> 15;
      this.#high = Math.imul(this.#high ^ number, 0x85eb_ca6b);
      this.#high ^= this.#high >>> 13;
    }
  }

  get value(): number {
    return (this.#low >>> 6) * 2 ** 26 + (this.#high >>> 6);
  }
}
