import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AgileFront } from '../../../../bench/lab/methods/agile-front.ts';
import { AGILE_POLICY, AgileHypervisor, type AgilePolicy } from '../../../../bench/lab/methods/agile-hypervisor.ts';
import { SoftwareWalk } from '../../../../bench/lab/methods/software-walk.ts';
import { PAGE_SIZE, WRITE } from '../../../../hostkernel/base/units.ts';
import { ENTRY_INVALID, ENTRY_TABLE, LAYOUT_NAMES } from '../../../../hostkernel/machine/paging/index.ts';
import { TableMemory } from '../../../../hostkernel/machine/timing/index.ts';
import { anyStep, formatOf, REFUSED_BY_GUEST, REFUSED_BY_METHOD, Rig, type RigSetup, SPACES, type TlbEntry } from './hypervisor-rig.ts';

const COSTS = {
  exit: 100,
  inject: 10,
  shadowFill: 10,
  ptWriteEmulate: 20,
  fault: 100,
  syscall: 50,
  softWalkPerLevel: 5,
  pmapEnter: 10,
  ipi: 100,
};

/** A walk that starts in the shadow, and takes so many cycles where it goes on in the guest's tables. */
function agileRig(setup: Omit<RigSetup, 'table'>, over: Partial<AgilePolicy>, nestedCycles: number) {
  const rig = new Rig({ ...setup, table: setup.guest });
  const { guest, backing, tlb, events, format } = rig;
  const front = new AgileFront(format, rig.hostMemory);
  let shadowRoot = -1;
  const translation = {
    setSpace: (space: number, roots: { readonly root: number; readonly shadowRoot?: number }) => {
      shadowRoot = roots.shadowRoot ?? -1;
      tlb.setSpace(space, roots);
    },
    invalidateRange: (space: number, page: number, pages: number) => tlb.invalidateRange(space, page, pages),
    invalidateSpace: (space: number) => tlb.invalidateSpace(space),
  };
  const policy = { ...AGILE_POLICY, period: 1, ...over };
  const hypervisor = new AgileHypervisor({ guest, front, backing, translation, events, costs: COSTS, policy });
  rig.attach(hypervisor);
  // Walks that went on in the guest's tables were translated by the host: the method has the processor forget them.
  rig.taken = () => {
    for (let space = 0; space < SPACES; space++) tlb.invalidateSpace(space);
  };
  const hardware = new SoftwareWalk(format, guest.memory, 'hardware');
  const latencies = new Float64Array([0, 0]);

  /** Nested from a guest's table on: the guest refuses, or the host fills what is missing. */
  const nestedWalk = (top: number, page: number, kind: number): TlbEntry | number => {
    if (!hardware.walk(top, page, kind)) return REFUSED_BY_GUEST;
    backing.back(hardware.frame);
    latencies[0] = nestedCycles;
    return { first: page, pages: 1, frame: backing.frame, rights: hardware.dirty ? hardware.rights : hardware.rights & ~WRITE };
  };

  rig.walk = (page, kind) => {
    const { tables } = front;
    const known = page % format.span(format.levels);
    latencies[0] = 0;
    let found: TlbEntry | number = REFUSED_BY_METHOD;
    if (shadowRoot < 0 || front.switchesAt(shadowRoot, known)) {
      if (shadowRoot >= 0) checkSwitch(known);
      found = nestedWalk(guest.topTable(rig.roots.get(tlb.space) ?? -1), page, kind);
    } else if (tables.find(shadowRoot, known) && (tables.attributes & kind) === kind) {
      found = { first: page, pages: 1, frame: tables.frame, rights: tables.attributes & 7 };
    }
    if (typeof found !== 'number') hypervisor.walked(tlb.space, page, kind, latencies, 2);
    return found;
  };

  /** The SWITCH on the way to `page` names the guest's table of that place, and where it lies. */
  const checkSwitch = (page: number): void => {
    const root = rig.roots.get(tlb.space) ?? -1;
    for (let level = format.levels - 1; level > 0; level--) {
      const entry = front.tables.entryAt(shadowRoot, level, page);
      front.tables.readEntry(entry);
      if (format.kind(level, front.memory.lo, front.memory.hi) === ENTRY_TABLE) continue;
      expect(front.guestLevel(level, front.memory.lo, front.memory.hi)).toBe(level - 1);
      const table = guest.entryAt(root, level - 1, page) - format.index(level - 1, page) * format.entryBytes;
      expect(front.guestTable).toBe(table);
      expect(front.hostTable).toBe(backing.peek(Math.floor(table / PAGE_SIZE)) * PAGE_SIZE + (table % PAGE_SIZE));
      return;
    }
  };
  return { rig, hypervisor, front };
}

const someSteps = fc.array(anyStep, { minLength: 30, maxLength: 70, size: 'max' });

test.each([
  ['sv39', 1, 'auto', 400],
  ['x86-64-4l', 512, 'auto', 3000],
  ['sv48', 1, 3, 0],
  ['sv32', 1, 2, 0],
  ['i386-2l', 1, 'auto', 3000],
] as const)('what a program reaches is what guest and host say, %s over blocks of %i, %s levels', (guest, blockPages, levels, cycles) => {
  fc.assert(
    fc.property(someSteps, (steps) => {
      const { rig, hypervisor, front } = agileRig({ guest, blockPages }, { levels, roots: 2 }, cycles);
      steps.forEach((step, i) => {
        rig.step(step);
        if (i % 16 === 0) hypervisor.assertInvariants();
      });
      hypervisor.assertInvariants();
      for (let space = 0; space < SPACES; space++) rig.end(space);
      expect(rig.hostMemory.used).toBe(0);
      expect(front.switches).toBe(0);
    }),
    { numRuns: 6 },
  );
});

test('every layout whose tables can be shadowed has room for the number of a record in an invalid entry', () => {
  for (const name of LAYOUT_NAMES) {
    const format = formatOf(name);
    if (format.levels === 1) continue;
    const front = new AgileFront(format, new TableMemory({ firstFrame: 16, frames: 1024 }));
    const root = front.tables.createRoot();
    for (let table = 1; table <= 3; table++) front.putSwitch(root, format.levels - 1, 0, table * 65536, table * 131072);
    const entry = front.tables.entryAt(root, format.levels - 1, 0);
    front.tables.readEntry(entry);
    const { lo, hi } = front.memory;
    expect(format.kind(format.levels - 1, lo, hi), name).toBe(ENTRY_INVALID);
    expect(front.guestLevel(format.levels - 1, lo, hi), name).toBe(format.levels - 2);
    expect([front.guestTable, front.hostTable]).toEqual([3 * 65536, 3 * 131072]);
    expect(front.switches).toBe(1);
    front.clear(root, format.levels - 1, 0);
    expect(front.switches).toBe(0);
    front.tables.readEntry(entry);
    expect(front.guestLevel(format.levels - 1, front.memory.lo, front.memory.hi)).toBe(-1);
  }
});

test('a quiet table becomes shadowed, a written one nested, and quiet again it comes back', () => {
  const { rig, hypervisor } = agileRig({ guest: 'sv39', blockPages: 1 }, {}, 500);
  for (let at = 0; at < 10; at += 4) rig.step({ do: 'map', at, frame: at, size: 0, rights: 3, marks: 0 });
  const touch = (): void => {
    for (let i = 0; i < 40; i++) {
      rig.step({ do: 'access', at: 0, kind: WRITE });
      rig.tlb.invalidateSpace(0);
    }
  };
  expect(hypervisor.isShadowed(0)).toBe(false);
  touch();
  expect(hypervisor.isShadowed(0)).toBe(true);
  expect(hypervisor.shadowed).toBe(3);
  for (let i = 0; i < 12; i++) {
    rig.step({ do: 'clean', at: 4 });
    rig.step({ do: 'invalidate', at: 4, pages: 1 });
    rig.guest.protect(rig.roots.get(0) ?? -1, rig.page(4), 1, i % 2 === 0 ? 1 | 8 : 3 | 8);
    rig.step({ do: 'invalidate', at: 4, pages: 1 });
  }
  expect(hypervisor.isShadowed(0)).toBe(false);
  touch();
  expect(hypervisor.isShadowed(0)).toBe(true);
});
