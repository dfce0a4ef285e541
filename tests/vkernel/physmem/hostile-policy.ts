/**
 * A policy server that writes garbage into the buffer, at any moment, anywhere. What it says may be unjust, but physmem
 * stays sound: nothing is lost or given twice, sum(G) <= N, nobody is asked for more than is extra.
 */

import { assertInvariants } from '../../../vkernel/physmem/core/invariants.ts';
import type { Container } from '../../../vkernel/physmem/core/container.ts';
import { PolicyBuffer } from '../../../vkernel/physmem/core/policy-buffer.ts';
import { ABSENT, BUSY, SENT } from '../../../vkernel/physmem/core/returns.ts';
import { COPY_SHARED, EXTRA, FORCE_WRITE, LAZY, MAP_READ, MAP_WRITE } from '../../../vkernel/physmem/interface.ts';
import { HEADER_COMMITS, MIN_CAPACITY_LOG2, ROW_WORDS } from '../../../vkernel/physmem/policy-layout.ts';
import type { Random } from '../../fuzz/random.ts';
import { ArrayWords } from './array-words.ts';
import { Machine } from './machine.ts';

const PAGES = 32; // of a container
const STEPS = 80;
const RW = MAP_READ | MAP_WRITE | FORCE_WRITE;

/** One life under such a policy. Throws where physmem is not sound. */
export function livesUnderGarbage(random: Random): void {
  const words = new ArrayWords();
  const machine = new Machine({
    memory: [[1, random.between(8, 96)]],
    descriptorsPerPage: random.oneIn(2) ? 8 : Number.POSITIVE_INFINITY,
    returns: {
      send: (principal, count) => {
        if (count < 1 || count > principal.extra) throw new Error(`N7: asked for ${count} pages, of ${principal.extra} extra ones`);
        return random.pick([SENT, BUSY, ABSENT]);
      },
      retries: random.below(3),
    },
  });
  const { physmem } = machine;
  const containers: Container[] = [];
  for (let task = 1; task <= 4; task += 1) {
    const control = physmem.splitControl(physmem.root, random.below(physmem.root.unused + 1), task);
    if (control !== null) containers.push(machine.create(control), machine.create(control));
  }
  physmem.accounts.introduce(new PolicyBuffer(words, MIN_CAPACITY_LOG2), () => null);
  words.store(HEADER_COMMITS, 1);
  for (let step = 0; step < STEPS; step += 1) {
    for (let i = random.below(6); i > 0; i -= 1) words.store(randomIndex(random), randomWord(random));
    machine.time += random.pick([0, 0, 1, 1000, 10_000]);
    physmem.returns.poll();
    operate(machine, random, containers);
    assertInvariants(physmem);
    machine.audit.run();
    const { guaranteed, pages } = physmem.accounts;
    if (guaranteed > pages) throw new Error(`${guaranteed} pages are guaranteed, of ${pages}`);
  }
}

/** Mostly the header and the rows in use. */
function randomIndex(random: Random): number {
  return random.below(random.oneIn(4) ? ROW_WORDS * 2 ** MIN_CAPACITY_LOG2 : ROW_WORDS * 5);
}

function randomWord(random: Random): number {
  return random.pick([random.word(), random.below(64), random.below(128), 0, 1, 2 ** 32 - 1]);
}

function operate(machine: Machine, random: Random, containers: readonly Container[]): void {
  const a = random.pick(containers);
  const b = random.pick(containers);
  const page = random.below(PAGES - 8);
  const toPage = random.below(PAGES - 8);
  const count = random.between(1, 9);
  const extra = random.oneIn(2) ? EXTRA : 0;
  switch (random.below(7)) {
    case 0:
    case 1:
      machine.allocate(a, page, count, extra);
      return;
    case 2:
      machine.copy(a, page, b, toPage, count, extra);
      return;
    case 3:
      machine.copy(a, page, b, toPage, count, extra | COPY_SHARED);
      return;
    case 4:
      machine.deallocate(a, page, count, random.oneIn(2) ? LAZY : 0);
      return;
    case 5:
      machine.map(a, MAP_READ, page, count);
      return;
    default:
      for (let i = 0; i < count; i += 1) machine.map(a, RW, page + i);
  }
}
