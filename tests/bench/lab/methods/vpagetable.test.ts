import fc from 'fast-check';
import { expect, test } from 'vitest';
import { VPAGETABLE_POLICY, VpagetableHost, type VpagetablePolicy } from '../../../../bench/lab/methods/vpagetable-host.ts';
import { newEvents } from '../../../../bench/lab/events.ts';
import { type Job, readJob } from '../../../../bench/lab/job.ts';
import { runJob } from '../../../../bench/lab/run.ts';
import { READ, WRITE } from '../../../../hostkernel/base/units.ts';
import { ATTR_DIRTY, ATTR_USER, ENTRY_LEAF, ENTRY_TABLE } from '../../../../hostkernel/machine/paging/index.ts';
import { anyStep, type Hypervisor, Rig, type RigSetup, SPACES } from './hypervisor-rig.ts';

function vpagetableRig(setup: RigSetup, policy: Partial<VpagetablePolicy> = {}) {
  const rig = new Rig(setup);
  const { guest, tables, backing, tlb, events } = rig;
  const host = new VpagetableHost({ guest, real: tables, backing, translation: tlb, events, policy: { ...VPAGETABLE_POLICY, ...policy } });
  rig.attach(host);
  return { rig, host };
}

/** The rules of virtual page tables restated: one map of real entries for each space that has run. */
class Restated implements Hypervisor {
  readonly counts = newEvents();
  readonly #rig: Rig;
  readonly real = new Map<number, Map<number, { frame: number; writable: boolean }>>();
  #current = -1;

  constructor(rig: Rig) {
    this.#rig = rig;
  }

  /** Entries read until one is no pointer. */
  #references(page: number): number {
    const { guest, format, roots } = this.#rig;
    const root = roots.get(this.#current) ?? -1;
    for (let level = format.levels - 1; level >= 0; level--) {
      guest.readEntry(guest.entryAt(root, level, page % format.span(format.levels)));
      if (format.kind(level, guest.memory.lo, guest.memory.hi) !== ENTRY_TABLE) return format.levels - level;
      expect(format.kind(level, guest.memory.lo, guest.memory.hi)).not.toBe(ENTRY_LEAF);
    }
    return format.levels;
  }

  fault(page: number, kind: number): boolean {
    const { counts } = this;
    const isExcess = page >= this.#rig.format.span(this.#rig.format.levels);
    counts.exits++;
    counts.softWalks++;
    if (!isExcess) counts.softWalkReferences += this.#references(page);
    const truth = isExcess ? null : this.#rig.truth(this.#current, page);
    if (truth === null || (truth.rights & kind) !== kind) {
      counts.injections++;
      counts.calls++;
      return false;
    }
    counts.hiddenFaults++;
    counts.pmapEnters++;
    const writable = (truth.rights & WRITE) !== 0 && ((truth.marks & ATTR_DIRTY) !== 0 || (kind & WRITE) !== 0);
    this.real.get(this.#current)?.set(page, { frame: truth.guestFrame, writable });
    return true;
  }

  switched(space: number): void {
    this.#current = space;
    if (this.real.has(space)) return;
    this.real.set(space, new Map());
    this.counts.calls += 3;
  }

  invalidated(space: number, page: number, pages: number): void {
    const real = this.real.get(space);
    if (real === undefined) return;
    this.counts.calls++;
    const gone = [...real.keys()].filter((at) => pages === Infinity || (at >= page && at < page + pages));
    for (const at of gone) real.delete(at);
    if (gone.length > 0) this.counts.shootDowns++;
  }

  hostUnmapping(first: number, frames: number): void {
    for (const real of this.real.values()) {
      for (const [page, { frame }] of real) {
        if (frame < first || frame >= first + frames) continue;
        real.delete(page);
        this.counts.shootDowns++;
      }
    }
  }

  destroyed(space: number): void {
    if (this.real.delete(space)) this.counts.calls++;
  }

  created(): void {}
  entryWritten(): void {}
}

const SETUPS: readonly RigSetup[] = [
  { guest: 'vpte-64', table: 'sv48', blockPages: 1 },
  { guest: 'vpte-32', table: 'sv39', blockPages: 512 },
  { guest: 'i386-2l', table: 'x86-64-4l', blockPages: 512 },
];

const someSteps = fc.array(anyStep, { minLength: 30, maxLength: 70, size: 'max' });

test.each(SETUPS)(
  'a real entry is what the guest said when it last had to say it, and events are those of the rules restated: %o',
  (setup) => {
    fc.assert(
      fc.property(someSteps, (steps) => {
        const { rig, host } = vpagetableRig(setup);
        const restated = new Restated(rig);
        rig.attach(restated);
        for (const step of steps) {
          rig.step(step);
          const { hostFaults: _, ...counted } = rig.events;
          const { hostFaults: __, ...wanted } = restated.counts;
          expect(counted).toEqual(wanted);
          for (const [space, real] of restated.real) expect(host.pmapOf(space)?.mapped).toBe(real.size);
        }
        for (let space = 0; space < SPACES; space++) host.pmapOf(space)?.assertInvariants();
        for (let space = 0; space < SPACES; space++) rig.end(space);
        expect(rig.hostMemory.used).toBe(0);
      }),
      { numRuns: 6 },
    );
  },
);

/** A guest whose first 512 pages lie in a row, as their host's frames do. */
function inARow(policy: Partial<VpagetablePolicy> = {}) {
  const { rig, host } = vpagetableRig({ guest: 'sv39', table: 'sv39', blockPages: 512 }, policy);
  rig.goTo(0);
  const root = rig.roots.get(0) ?? -1;
  for (let page = 0; page < 512; page++) rig.guest.map(root, page, 2 ** 16 + page, 12, READ | WRITE | ATTR_USER);
  return { rig, host };
}

test('a full table of written pages in a row becomes a large page, which no fault shows; a part of it goes alone', () => {
  const { rig, host } = inARow();
  for (let page = 0; page < 512; page++) rig.access(page, WRITE);
  expect(rig.events.hiddenFaults).toBe(512);
  // Hardware has not marked the pages here: entered by a write, they are.
  expect(host.pmapOf(0)?.promotions).toBe(1);
  expect(rig.tables.find(rig.tlb.root, 300) && rig.tables.level).toBe(1);
  rig.invalidate(7, 1);
  expect(host.pmapOf(0)?.mapped).toBe(511);
  host.pmapOf(0)?.assertInvariants();
  for (let page = 0; page < 512; page++) rig.access(page, WRITE);
  expect(rig.events.hiddenFaults).toBe(513);
  expect(host.pmapOf(0)?.promotions).toBe(2);
});

test('no walk begins in a table that a large page has replaced: walk caches forget it', async () => {
  const pages = { pageSizes: '2M', populate: true };
  const written = {
    method: 'vpagetable',
    guest: { layout: 'sv48', ...pages },
    hosts: [{ layout: 'sv48', ...pages }],
    workload: { name: 'gups', params: { footprint: 2 ** 22 } },
    accesses: 12_000, // each of 1024 pages is touched
  };
  const { counts } = await runJob(readJob(written) as Job);
  expect(counts.accesses).toBe(12_000);
  expect(counts.events).toMatchObject({ hiddenFaults: 1024, pmapEnters: 1024, programErrors: 0 });
});

test('a page that was read is written by a second fault, once', () => {
  const { rig } = inARow({ superpages: false });
  rig.access(3, READ);
  rig.access(3, READ);
  expect(rig.events.hiddenFaults).toBe(1);
  rig.access(3, WRITE);
  rig.access(3, WRITE);
  expect(rig.events.hiddenFaults).toBe(2);
  expect(rig.events.softWalkReferences).toBe(6);
});
