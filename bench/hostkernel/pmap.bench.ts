/**
 * What do real translations cost? Entering and removing them one by one and by the range, with frames in a row (which
 * become large pages) and scattered; finding all translations of a frame; and what a large page saves the walk.
 *
 * Reported first: what repeats exactly. A step of a suite is PAGES translations.
 */
import b from 'benny';
import { type HostFrame, PAGE_SIZE, READ, type VirtualPage, WRITE } from '../../hostkernel/base/units.ts';
import { compileLayout, Machine, SV39 } from '../../hostkernel/machine/index.ts';
import { type HardwarePmap, HardwarePmaps, type PageSource } from '../../hostkernel/pmap/index.ts';
import { FrameAllocator } from '../../hostkernel/vm/frames.ts';
import { type Files, Suite } from '../suite.ts';

const PAGES = 4096;
const FIRST_DATA = 1024; // frames below are for tables
const RW = READ | WRITE;
const LARGE = 'found: large pages';
const SMALL = 'found: small pages';
const vpage = (page: number) => page as VirtualPage;

interface Rig {
  readonly machine: Machine;
  readonly pmaps: HardwarePmaps;
  readonly pmap: HardwarePmap;
}

function rig(superpages = true): Rig {
  const machine = Machine.create({ ramBytes: (FIRST_DATA + PAGES) * PAGE_SIZE });
  if (machine === null) throw new Error('no memory for the machine');
  const frames = new FrameAllocator(FIRST_DATA);
  const source: PageSource = {
    freeFrames: 0, // not asked for
    allocateTable: (count = 1) => {
      const first = frames.allocateRun(count, count);
      const offset = machine.ram.offsetOf(first);
      machine.ram.u8.fill(0, offset, offset + count * PAGE_SIZE);
      return first;
    },
    freeTable: (first) => frames.release(first),
    foldReferenced: () => undefined,
  };
  const pmaps = new HardwarePmaps(machine, source);
  pmaps.superpages = superpages;
  const pmap = pmaps.create(compileLayout(SV39));
  if (pmap === null) throw new Error('no frame for the root');
  return { machine, pmaps, pmap };
}

const inARow = (page: number) => (FIRST_DATA + page) as HostFrame;
const scattered = (page: number) => (FIRST_DATA + ((page * 7) % PAGES)) as HostFrame;

function enterAll({ pmap }: Rig, frameOf: (page: number) => HostFrame): void {
  for (let page = 0; page < PAGES; page++) pmap.enter(vpage(page), frameOf(page), WRITE, RW);
}

function enterAndRemove(all: Rig, frameOf: (page: number) => HostFrame): () => void {
  return () => {
    enterAll(all, frameOf);
    all.pmap.remove(vpage(0), vpage(PAGES));
  };
}

function oneByOne(all: Rig): () => void {
  const { pmap } = all;
  pmap.enter(vpage(1), inARow(1), WRITE, RW); // keeps the tables
  return () => {
    for (let i = 0; i < PAGES; i++) {
      pmap.enter(vpage(0), inARow(0), WRITE, RW);
      pmap.remove(vpage(0), vpage(1));
    }
  };
}

function byFrame(all: Rig): () => void {
  return () => {
    enterAll(all, scattered);
    for (let page = 0; page < PAGES; page++) all.pmaps.removeAll(inARow(page));
  };
}

function walks(all: Rig): () => number {
  const { context } = all.pmap;
  enterAll(all, inARow);
  return () => {
    let sum = 0;
    context.invalidateAll();
    for (let page = 0; page < PAGES; page++) sum += context.lookup(page * PAGE_SIZE, READ);
    return sum;
  };
}

function reportCounts(suite: Suite): void {
  for (const superpages of [true, false]) {
    const all = rig(superpages);
    walks(all)();
    const { walkReferences } = all.machine.mmu;
    suite.counts(superpages ? LARGE : SMALL, { 'large pages': all.pmaps.largePages, 'entries read': walkReferences });
    const mapped = `${PAGES} pages are ${all.pmaps.largePages} large pages and ${PAGES - 512 * all.pmaps.largePages} small ones`;
    console.log(`large pages ${superpages ? 'on ' : 'off'}: ${mapped}, walks of all read ${walkReferences} entries`);
  }
  const { pmaps } = rig();
  suite.counts('arrays of the pmaps, nothing mapped', { bytes: pmaps.bytes });
  console.log(`arrays of the pmaps, nothing mapped: ${(pmaps.bytes / (FIRST_DATA + PAGES)).toFixed(1)} bytes a frame`);
}

export async function run(): Promise<Files> {
  const suite = new Suite('pmap');
  reportCounts(suite);
  const made = await b.suite(
    `pmap: ${PAGES} translations made and gone`,
    b.add('frames in a row: large pages', () => enterAndRemove(rig(), inARow)),
    b.add('frames in a row, large pages off', () => enterAndRemove(rig(false), inARow)),
    b.add('scattered frames', () => enterAndRemove(rig(), scattered)),
    b.add('one by one', () => oneByOne(rig())),
    b.add('scattered frames, gone by frame', () => byFrame(rig())),
    b.cycle(),
    b.complete(),
  );
  suite.timesOf(made);
  const found = await b.suite(
    `pmap: ${PAGES} pages found after the TLB has forgotten them`,
    b.add(LARGE, () => walks(rig())),
    b.add(SMALL, () => walks(rig(false))),
    b.cycle(),
    b.complete(),
  );
  suite.timesOf(found);
  return suite.files();
}
