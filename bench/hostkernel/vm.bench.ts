/**
 * What does a page fault cost when the host kernel resolves it? Anonymous memory at its first touch, a resident page whose
 * translation was dropped, and a page behind a virtual page table; the life of a mapping, a fork, and a look-up in a map.
 *
 * Reported first: what repeats exactly. A first touch fills one frame; a fault through a virtual page table of four
 * levels loads four entries, and marks them the first time only. A step of a suite is BATCH faults.
 */
import b from 'benny';
import { Tracer } from '../../hostkernel/base/trace.ts';
import { PAGE_SIZE, READ, WRITE } from '../../hostkernel/base/units.ts';
import { compileLayout, Machine, SV39, VPTE_64_NX } from '../../hostkernel/machine/index.ts';
import {
  FAULT_OK,
  MADV_FREE,
  MADV_INVAL,
  MADV_SETMAP,
  MAP_ANON,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_VPAGETABLE,
  PROT_READ,
  PROT_WRITE,
  Vm,
  type VmSpace,
} from '../../hostkernel/vm/index.ts';
import { type Files, Suite } from '../suite.ts';

const BATCH = 512; // pages: one leaf table
const SMALL = 16; // pages: 64 KiB
const LENGTH = BATCH * PAGE_SIZE;
const PROT = PROT_READ | PROT_WRITE;

interface Rig {
  readonly vm: Vm;
  readonly space: VmSpace;
}

function rig(): Rig {
  const machine = Machine.create({ ramBytes: 16 * 2 ** 20 });
  if (machine === null) throw new Error('no memory for the machine');
  const vm = new Vm(machine, new Tracer());
  const space = vm.createSpace(compileLayout(SV39), 64);
  if (space === null) throw new Error('no frame for the space');
  return { vm, space };
}

function anonymous(space: VmSpace): number {
  return space.mmap({ addr: 0, len: LENGTH, prot: PROT, flags: MAP_ANON | MAP_PRIVATE, object: null, offset: 0 });
}

function touchAll(space: VmSpace, base: number, access: number): void {
  for (let page = 0; page < BATCH; page++) {
    if (space.fault(base + page * PAGE_SIZE, access) !== FAULT_OK) throw new Error('fault refused');
  }
}

/** First touches; the pages are forgotten afterwards, so the next step finds none. */
function firstTouch({ space }: Rig): () => void {
  const base = anonymous(space);
  return () => {
    touchAll(space, base, WRITE);
    space.madvise(base, LENGTH, MADV_FREE);
  };
}

/** Faults on resident pages. */
function resident({ space }: Rig): () => void {
  const base = anonymous(space);
  touchAll(space, base, WRITE);
  return () => {
    space.madvise(base, LENGTH, MADV_INVAL);
    touchAll(space, base, READ);
  };
}

/** Faults through four levels of tables: frames 0..3 are the tables, the data follows. */
function throughTables({ vm, space }: Rig): () => void {
  const format = compileLayout(VPTE_64_NX);
  const image = vm.createObject(4 + BATCH);
  const entry = (frame: number) =>
    new Uint8Array(new Int32Array([format.tableLo(1, frame * PAGE_SIZE), format.tableHi(1, frame * PAGE_SIZE)]).buffer);
  for (let table = 0; table < 3; table++) image.write(table * PAGE_SIZE, entry(table + 1));
  for (let page = 0; page < BATCH; page++) image.write(3 * PAGE_SIZE + page * 8, entry(4 + page));
  space.mmap({ addr: 0, len: LENGTH, prot: PROT, flags: MAP_SHARED | MAP_FIXED | MAP_VPAGETABLE, object: image, offset: 0 });
  space.mcontrol(0, LENGTH, MADV_SETMAP, format.rootLo(0));
  touchAll(space, 0, WRITE);
  return () => {
    space.mcontrol(0, LENGTH, MADV_INVAL, 0);
    touchAll(space, 0, WRITE);
  };
}

/** The same of 16 pages, all touched: what the mapping costs above its pages is this less 16 first touches. */
function lifeOfASmallMapping({ space }: Rig): () => void {
  return () => {
    for (let i = 0; i < BATCH / SMALL; i++) {
      const len = SMALL * PAGE_SIZE;
      const at = space.mmap({ addr: 0, len, prot: PROT, flags: MAP_ANON | MAP_PRIVATE, object: null, offset: 0 });
      for (let page = 0; page < SMALL; page++) if (space.fault(at + page * PAGE_SIZE, WRITE) !== FAULT_OK) throw new Error('fault refused');
      space.munmap(at, len);
    }
  };
}

/** A fork of BATCH pages, each of which the parent writes, so that it is copied; then the child ends. */
function forkAndCopy({ space }: Rig): () => void {
  const base = anonymous(space);
  touchAll(space, base, WRITE);
  return () => {
    const child = space.fork();
    if (child === null) throw new Error('no frame for the child');
    touchAll(space, base, WRITE);
    child.destroy();
  };
}

/** Lookups all over a map with so many entries; BATCH of them. */
function lookups(entries: number): ({ space }: Rig) => () => void {
  return ({ space }) => {
    const first = space.map.endPage / 4;
    for (let i = 0; i < entries; i++) {
      const flags = MAP_ANON | MAP_PRIVATE | MAP_FIXED;
      const at = space.mmap({ addr: (first + 2 * i) * PAGE_SIZE, len: PAGE_SIZE, prot: PROT, flags, object: null, offset: 0 });
      if (at < 0) throw new Error('not mapped');
    }
    let found = 0;
    return () => {
      let at = 0;
      for (let i = 0; i < BATCH; i++) {
        at = (at + 61_803) % entries;
        if (space.map.lookup(first + 2 * at) !== null) found++;
      }
      if (found === 0) throw new Error('nothing found');
    };
  };
}

/** mmap, one touch, munmap; BATCH times. */
function lifeOfAMapping({ space }: Rig): () => void {
  return () => {
    for (let i = 0; i < BATCH; i++) {
      const at = anonymous(space);
      if (space.fault(at, WRITE) !== FAULT_OK) throw new Error('fault refused');
      space.munmap(at, LENGTH);
    }
  };
}

const CASES = [
  [`first touch of anonymous memory, x${BATCH}`, firstTouch],
  [`resident page, translation dropped, x${BATCH}`, resident],
  [`through a virtual page table of four levels, x${BATCH}`, throughTables],
  [`mmap + touch + munmap, x${BATCH}`, lifeOfAMapping],
  [`mmap + ${SMALL} touches + munmap, x${BATCH / SMALL}`, lifeOfASmallMapping],
  [`fork, and a copy of each page, x${BATCH}`, forkAndCopy],
  [`look-up among 10 entries, x${BATCH}`, lookups(10)],
  [`look-up among 1,000 entries, x${BATCH}`, lookups(1000)],
  [`look-up among 100,000 entries, x${BATCH}`, lookups(100_000)],
] as const;

/** The counters as they are now. */
function countsOf({ counters }: Vm) {
  const { faults, zeroFills, copies, walks, walkReferences, walkUpdates } = counters;
  return { faults, zeroFills, copies, walks, walkReferences, walkUpdates };
}

/** What one step of each case counts, per fault. */
function reportCounts(suite: Suite): void {
  for (const [name, prepare] of CASES) {
    const made = rig();
    const step = prepare(made);
    step();
    const before = countsOf(made.vm);
    step();
    const after = countsOf(made.vm);
    suite.counts(name, Object.fromEntries(Object.entries(after).map(([key, count]) => [key, count - before[key as keyof typeof before]])));
    const { faults, zeroFills, copies, walks, walkReferences, walkUpdates } = after;
    if (faults === before.faults) continue;
    const perFault = (now: number, then: number) => (now - then) / (faults - before.faults);
    console.log(
      `  ${name}: ${faults - before.faults} faults; per fault ${perFault(zeroFills, before.zeroFills)} zero fills, ${perFault(copies, before.copies)} copies,` +
        ` ${perFault(walks, before.walks)} walks, ${perFault(walkReferences, before.walkReferences)} entries loaded,` +
        ` ${perFault(walkUpdates, before.walkUpdates)} marked`,
    );
  }
}

export async function run(): Promise<Files> {
  const suite = new Suite('vm');
  reportCounts(suite);
  const summary = await b.suite(
    'vm: faults the host resolves',
    ...CASES.map(([name, prepare]) => b.add(name, () => prepare(rig()))),
    b.cycle(),
    b.complete(),
  );
  suite.timesOf(summary);
  return suite.files();
}
