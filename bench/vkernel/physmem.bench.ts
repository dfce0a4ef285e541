/**
 * What does a page cost inside physmem? Allocate it, map it writable, deallocate it, in the core alone: no message, no
 * clearing of memory, no page tables. Rivals: the same page among ten thousand others, sixteen pages as one frame and
 * as sixteen, and a copy that is written once.
 *
 * Reported first: the events of one round, which repeat exactly. Times matter as ratios only.
 */
import b from 'benny';
import { type GuestFrame, PAGE_SIZE } from '../../hostkernel/base/units.ts';
import { allocate } from '../../vkernel/physmem/core/allocate.ts';
import type { Container } from '../../vkernel/physmem/core/container.ts';
import { copy } from '../../vkernel/physmem/core/copy.ts';
import { deallocate } from '../../vkernel/physmem/core/deallocate.ts';
import { map, type MapSink } from '../../vkernel/physmem/core/map.ts';
import { Physmem, type PhysmemCounters } from '../../vkernel/physmem/core/physmem.ts';
import { FORCE_WRITE, MAP_READ, MAP_WRITE } from '../../vkernel/physmem/interface.ts';
import { type Counters, type Files, Suite } from '../suite.ts';

const RW = MAP_READ | MAP_WRITE | FORCE_WRITE;
const CROWD = 10_000; // pages
const ROUNDS = 256; // a measured call makes

/** Takes every item and keeps none. */
const sink: MapSink = { room: 31, item() {}, clear() {} };

function machine(): Physmem {
  const physmem = new Physmem({
    wordBits: 64,
    copyPages: 16,
    memory: { zero() {}, copy() {} },
    flush() {},
    now: () => 0,
    retired() {},
  });
  physmem.receive(1024 as GuestFrame, 32_768);
  return physmem;
}

/** `count` allocations of `each` pages, mapped and taken back. @returns bytes taken back */
function life(physmem: Physmem, container: Container, start: number, count: number, each: number): number {
  for (let i = 0; i < count; i += 1) allocate(physmem, container, 0, (start + i * each) * PAGE_SIZE, each * PAGE_SIZE);
  const size = count * each * PAGE_SIZE;
  map(physmem, container, RW, start * PAGE_SIZE, start * PAGE_SIZE, size, sink);
  deallocate(physmem, container, start * PAGE_SIZE, size, 0);
  return physmem.amount;
}

/** Sixteen pages copied, one page of the copy written, the copy given back. */
function copyAndWrite(physmem: Physmem, source: Container, target: Container): number {
  copy(physmem, source, 0, target, 0, 16 * PAGE_SIZE, 0);
  map(physmem, target, RW, 0, 5 * PAGE_SIZE, PAGE_SIZE, sink);
  deallocate(physmem, target, 0, 16 * PAGE_SIZE, 0);
  return physmem.amount;
}

/** A container of `pages` pages that were allocated one by one. */
function crowd(physmem: Physmem, pages: number): Container {
  const container = physmem.create(physmem.root);
  for (let page = 0; page < pages; page += 1) allocate(physmem, container, 0, page * PAGE_SIZE, PAGE_SIZE);
  deallocate(physmem, container, (pages / 2) * PAGE_SIZE, PAGE_SIZE, 0);
  return container;
}

/** The events one round makes, as counted by physmem. */
function events(title: string, round: (physmem: Physmem) => () => number): Counters {
  const physmem = machine();
  const once = round(physmem);
  const before: Readonly<Record<string, number>> = { ...physmem.counters };
  once();
  const after: PhysmemCounters = physmem.counters;
  const changed = Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)] as const);
  console.log(`  ${title}: ${changed.map(([name, count]) => `${name} ${count}`).join(', ')}`);
  return Object.fromEntries(changed);
}

type Round = (physmem: Physmem) => () => number;

const alone: Round = (physmem) => {
  const container = physmem.create(physmem.root);
  return () => life(physmem, container, 0, 1, 1);
};
const crowded: Round = (physmem) => {
  const container = crowd(physmem, CROWD);
  return () => life(physmem, container, CROWD / 2, 1, 1);
};
const oneFrame: Round = (physmem) => {
  const container = physmem.create(physmem.root);
  return () => life(physmem, container, 0, 1, 16);
};
const sixteenFrames: Round = (physmem) => {
  const container = physmem.create(physmem.root);
  return () => life(physmem, container, 0, 16, 1);
};
const copied: Round = (physmem) => {
  const source = physmem.create(physmem.root);
  allocate(physmem, source, 0, 0, 16 * PAGE_SIZE);
  map(physmem, source, RW, 0, 0, 16 * PAGE_SIZE, sink);
  const target = physmem.create(physmem.root);
  return () => copyAndWrite(physmem, source, target);
};

const ROUND_KINDS: readonly (readonly [string, Round])[] = [
  ['one page, alone in its container', alone],
  [`one page among ${CROWD}`, crowded],
  ['sixteen pages, one frame', oneFrame],
  ['sixteen pages, sixteen frames', sixteenFrames],
  ['copy of sixteen pages, one written', copied],
];

export async function run(): Promise<Files> {
  const suite = new Suite('physmem');
  for (const [title, round] of ROUND_KINDS) suite.counts(title, events(title, round));
  const summary = await b.suite(
    `physmem: ${ROUNDS} rounds of allocate, map, deallocate in the core`,
    ...ROUND_KINDS.map(([title, round]) =>
      b.add(title, () => {
        const once = round(machine());
        return () => {
          let bytes = 0;
          for (let i = 0; i < ROUNDS; i += 1) bytes += once();
          return bytes;
        };
      }),
    ),
    b.cycle(),
    b.complete(),
  );
  suite.timesOf(summary);
  return suite.files();
}
