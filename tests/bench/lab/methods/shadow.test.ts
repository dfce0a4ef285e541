import fc from 'fast-check';
import { expect, test } from 'vitest';
import { newEvents } from '../../../../bench/lab/events.ts';
import { type Hypervisor } from './hypervisor-rig.ts';
import { SHADOW_POLICY, ShadowHypervisor, type ShadowPolicy } from '../../../../bench/lab/methods/shadow-hypervisor.ts';
import { WRITE } from '../../../../hostkernel/base/units.ts';
import { ATTR_DIRTY, ENTRY_LEAF, ENTRY_TABLE } from '../../../../hostkernel/machine/paging/index.ts';
import { anyStep, Rig, type RigSetup, SPACES, type Step } from './hypervisor-rig.ts';

function shadowRig(setup: RigSetup, policy: Partial<ShadowPolicy> = {}) {
  const rig = new Rig(setup);
  const { guest, tables, backing, tlb, events } = rig;
  const hypervisor = new ShadowHypervisor({
    guest,
    shadow: tables,
    backing,
    translation: tlb,
    events,
    policy: { ...SHADOW_POLICY, ...policy },
  });
  rig.attach(hypervisor);
  return { rig, hypervisor };
}

/**
 * The rules of the shadow for base pages, restated: one map of entries a space, one of protected frames. Tables are found
 * by the guest's entries each time. Slow, and only for counting: it translates nothing.
 */
class Restated implements Hypervisor {
  readonly counts = newEvents();
  readonly #rig: Rig;
  readonly #policy: ShadowPolicy;
  /** By space: by page, the frame and rights of the shadow's entry, and the address of the leaf table it was read from. */
  readonly #entries = new Map<number, Map<number, { frame: number; rights: number }>>();
  /** By frame of a guest's page: its shadowed tables, as `space/level/first page`, whether it is out of sync, and its writes. */
  readonly #frames = new Map<number, { tables: Set<string>; stale: boolean; writes: number }>();
  #current = -1;

  constructor(rig: Rig, policy: ShadowPolicy) {
    this.#rig = rig;
    this.#policy = policy;
  }

  #in(page: number): number {
    return page % this.#rig.format.span(this.#rig.format.levels);
  }

  #key(space: number, level: number, page: number): string {
    return `${space}/${level}/${page - (page % this.#rig.format.span(level + 1))}`;
  }

  /** The tables on the way to `page`, root first: level and address; and the leaf, if there is one. */
  #path(space: number, page: number): { tables: [number, number][]; leaf: number } {
    const { guest, format, roots } = this.#rig;
    const root = roots.get(space) ?? -1;
    const tables: [number, number][] = [];
    for (let level = format.levels - 1; level >= 0; level--) {
      const entry = guest.entryAt(root, level, page);
      tables.push([level, entry - format.index(level, page) * format.entryBytes]);
      guest.readEntry(entry);
      const kind = format.kind(level, guest.memory.lo, guest.memory.hi);
      if (kind === ENTRY_LEAF) return { tables, leaf: level };
      if (kind !== ENTRY_TABLE) break;
    }
    return { tables, leaf: -1 };
  }

  #rights(space: number, page: number): { frame: number; rights: number } | null {
    const truth = this.#rig.truth(space, page);
    if (truth === null) return null;
    return { frame: truth.guestFrame, rights: (truth.marks & ATTR_DIRTY) === 0 ? truth.rights & ~WRITE : truth.rights };
  }

  fault(page: number, kind: number): boolean {
    const { counts } = this;
    const space = this.#current;
    counts.exits++;
    const at = this.#in(page);
    const { tables, leaf } = this.#path(space, at);
    counts.softWalks++;
    counts.softWalkReferences += tables.length;
    const truth = this.#rig.truth(space, page);
    if (leaf < 0 || truth === null || (truth.rights & kind) !== kind) {
      counts.injections++;
      return false;
    }
    counts.hiddenFaults++;
    counts.shadowFills++;
    for (const [level, address] of tables) {
      const frame = Math.floor(address / 4096);
      const home = this.#frames.get(frame) ?? { tables: new Set(), stale: false, writes: 0 };
      this.#frames.set(frame, home);
      home.writes = 0;
      home.tables.add(this.#key(space, level, at));
    }
    const rights = (truth.marks & ATTR_DIRTY) !== 0 || (kind & WRITE) !== 0 ? truth.rights : truth.rights & ~WRITE;
    this.#entriesOf(space).set(page, { frame: truth.guestFrame, rights });
    return true;
  }

  #entriesOf(space: number): Map<number, { frame: number; rights: number }> {
    const entries = this.#entries.get(space) ?? new Map<number, { frame: number; rights: number }>();
    this.#entries.set(space, entries);
    return entries;
  }

  /** Entries of pages [first, first + pages) go; and the shadows of tables below `level` in it. */
  #zap(space: number, level: number, first: number, pages: number): void {
    for (const page of this.#entriesOf(space).keys()) {
      if (this.#in(page) >= first && this.#in(page) < first + pages) this.#entriesOf(space).delete(page);
    }
    for (const [frame, home] of this.#frames) {
      for (const key of home.tables) {
        const [of, at, from] = key.split('/').map(Number);
        if (of === space && at < level && from >= first && from < first + pages) home.tables.delete(key);
      }
      if (home.tables.size === 0) this.#frames.delete(frame);
    }
  }

  entryWritten(space: number, level: number, entryAddress: number, page: number): void {
    const { format } = this.#rig;
    const { counts } = this;
    const frame = Math.floor((entryAddress - format.index(level, page) * format.entryBytes) / 4096);
    const home = this.#frames.get(frame);
    if (home === undefined || home.stale) return;
    counts.tableWriteTraps++;
    counts.exits++;
    if (this.#policy.outOfSync && [...home.tables].every((key) => key.split('/')[1] === '0')) {
      counts.unsyncs++;
      home.stale = true;
      return;
    }
    if (++home.writes < this.#policy.threshold) {
      this.#zap(space, level, page, format.span(level));
      return;
    }
    for (const key of home.tables) {
      const [of, at, from] = key.split('/').map(Number);
      this.#zap(of, at + 1, from, format.span(at + 1));
    }
  }

  #again(space: number, page: number, pages: number, all: boolean): void {
    for (const home of this.#frames.values()) {
      if (!home.stale || ![...home.tables].some((key) => key.startsWith(`${space}/`))) continue;
      for (const key of home.tables) {
        const [of, , from] = key.split('/').map(Number);
        if (of !== space && !all) continue;
        for (const [at, entry] of this.#entriesOf(of)) {
          const known = this.#in(at);
          const isAsked = all || (known >= this.#in(page) && known < this.#in(page) + pages);
          if (!isAsked || known < from || known >= from + this.#rig.format.span(1)) continue;
          const now = this.#rights(of, at);
          const marks = this.#rig.truth(of, at)?.marks ?? 0;
          if (now === null || now.frame !== entry.frame || (this.#rig.format.hasAccessed && (marks & 16) === 0))
            this.#entriesOf(of).delete(at);
          else entry.rights = now.rights;
        }
      }
      if (!all) continue;
      home.stale = false;
      this.counts.resyncs++;
    }
  }

  invalidated(space: number, page: number, pages: number, singles: number): void {
    const traps = singles === 0 ? 1 : singles;
    this.counts.invalidationTraps += traps;
    this.counts.exits += traps;
    this.#again(space, page, pages, singles === 0);
  }

  switched(space: number): void {
    this.#current = space;
    this.counts.switchTraps++;
    this.counts.exits++;
    this.#again(space, 0, Infinity, true);
  }

  created(): void {}

  destroyed(space: number): void {
    this.#zap(space, Infinity, 0, Infinity);
  }

  hostUnmapping(first: number, frames: number): void {
    for (const entries of this.#entries.values()) {
      for (const [page, { frame }] of entries) if (frame >= first && frame < first + frames) entries.delete(page);
    }
  }
}

const SETUPS: readonly (readonly [RigSetup, Partial<ShadowPolicy>])[] = [
  [{ guest: 'sv39', table: 'sv48', blockPages: 1 }, {}],
  [{ guest: 'sv39', table: 'sv39', blockPages: 512 }, { outOfSync: false }],
  [{ guest: 'x86-64-4l', table: 'x86-64-4l', blockPages: 512 }, { hostUnmap: 'flush' }],
  [{ guest: 'i386-2l', table: 'x86-64-4l', blockPages: 512 }, { roots: 2 }],
  [{ guest: 'armv7-short', table: 'sv39', blockPages: 1 }, { threshold: 2 }],
  [{ guest: 'vpte-64', table: 'sv48', blockPages: 512 }, {}],
];

const someSteps = fc.array(anyStep, { minLength: 30, maxLength: 70, size: 'max' });

test.each(SETUPS)('what a program reaches is what guest and host say: %o %o', (setup, policy) => {
  fc.assert(
    fc.property(someSteps, (steps) => {
      const { rig, hypervisor } = shadowRig(setup, policy);
      steps.forEach((step, i) => {
        rig.step(step);
        if (i % 16 === 0) hypervisor.assertInvariants();
      });
      if (rig.current >= 0) rig.invalidate(0, Infinity);
      hypervisor.assertInvariants();
      for (let space = 0; space < SPACES; space++) rig.end(space);
      expect(rig.hostMemory.used).toBe(0);
    }),
    { numRuns: 6 },
  );
});

/** Without large pages: the restated rules know none. */
const isSmall = (step: Step): boolean => step.do !== 'map' || step.size === 0;

test.each([{}, { outOfSync: false }, { threshold: 1 }, { outOfSync: false, threshold: 2 }])(
  'events are those of the rules restated: %o',
  (over) => {
    const policy = { ...SHADOW_POLICY, ...over };
    fc.assert(
      fc.property(someSteps, (steps) => {
        const { rig } = shadowRig({ guest: 'sv39', table: 'sv48', blockPages: 1 }, policy);
        const restated = new Restated(rig, policy);
        rig.attach(restated);
        for (const step of steps.filter(isSmall)) {
          rig.step(step);
          const { tableWrites, hostFaults, ...counted } = rig.events;
          const { tableWrites: _, hostFaults: __, ...wanted } = restated.counts;
          expect(tableWrites + hostFaults).toBeGreaterThanOrEqual(0);
          expect(counted).toEqual({ ...wanted });
        }
      }),
      { numRuns: 6 },
    );
  },
);
