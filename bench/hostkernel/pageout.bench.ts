/**
 * What does a page cost that leaves RAM and comes back? A sweep over twice as much memory as there is brings every page in
 * and presses another one out: written where it is dirty, dropped where it is clean. And what does a disk cost where memory
 * is plentiful: faults with one and without.
 *
 * Reported first: what repeats exactly, the pages and requests of a sweep, and the kernel's memory for each frame. The rival
 * is what cannot be saved: two copies of a page, to the device and from it. A step is a sweep of PAGES faults.
 */
import b from 'benny';
import { Tracer } from '../../hostkernel/base/trace.ts';
import { PAGE_SIZE, READ, WRITE } from '../../hostkernel/base/units.ts';
import { compileLayout, Machine, memoryDisk, SV39 } from '../../hostkernel/machine/index.ts';
import {
  FAULT_OK,
  MADV_FREE,
  MADV_INVAL,
  MAP_ANON,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
  Vm,
  type VmSpace,
} from '../../hostkernel/vm/index.ts';
import { measureKernelMemory } from '../../tests/hostkernel/vm/kernel-memory.ts';
import { type Files, Suite } from '../suite.ts';

const RAM_PAGES = 2048;
const PAGES = 2 * RAM_PAGES;
const RESIDENT = 512; // pages of the cases without pressure: one leaf table
const PROT = PROT_READ | PROT_WRITE;

const WRITTEN = 'written: page-out and page-in of each page';
const READ_IN = 'read: page-in of each page';

interface Rig {
  readonly vm: Vm;
  readonly space: VmSpace;
}

function rig(withDisk: boolean): Rig {
  const disk = withDisk ? { disk: memoryDisk(16 * PAGES * PAGE_SIZE) } : {};
  const machine = Machine.create({ ramBytes: RAM_PAGES * PAGE_SIZE, ...disk });
  if (machine === null) throw new Error('no memory for the machine');
  const vm = new Vm(machine, new Tracer());
  const space = vm.createSpace(compileLayout(SV39), 64);
  if (space === null) throw new Error('no frame for the space');
  return { vm, space };
}

function sweep(vm: Vm, space: VmSpace, at: number, access: number): void {
  for (let page = 0; page < PAGES; page++) {
    if (space.faultNow(at + page * PAGE_SIZE, access) !== FAULT_OK) throw new Error('fault refused');
    if (page % 64 === 0) vm.poll();
  }
}

/** Faults on each page of an object twice as large as RAM, in order. */
function sweeping(access: number) {
  return ({ vm, space }: Rig): (() => void) => {
    const object = vm.createObject(PAGES);
    const at = space.mmap({ addr: 0, len: PAGES * PAGE_SIZE, prot: PROT, flags: MAP_SHARED, object, offset: 0 });
    sweep(vm, space, at, WRITE);
    sweep(vm, space, at, access);
    return () => sweep(vm, space, at, access);
  };
}

/** Two copies of each page, and nothing else. */
function copying(): () => void {
  const ram = new Uint8Array(RAM_PAGES * PAGE_SIZE);
  const disk = new Uint8Array(PAGES * PAGE_SIZE);
  return () => {
    for (let page = 0; page < PAGES; page++) {
      const at = (page % RAM_PAGES) * PAGE_SIZE;
      disk.set(ram.subarray(at, at + PAGE_SIZE), page * PAGE_SIZE);
      ram.set(disk.subarray(page * PAGE_SIZE, page * PAGE_SIZE + PAGE_SIZE), at);
    }
  };
}

function anonymous({ space }: Rig): number {
  return space.mmap({ addr: 0, len: RESIDENT * PAGE_SIZE, prot: PROT, flags: MAP_ANON | MAP_PRIVATE, object: null, offset: 0 });
}

function touchAll({ space }: Rig, at: number, access: number): void {
  for (let page = 0; page < RESIDENT; page++) {
    if (space.fault(at + page * PAGE_SIZE, access) !== FAULT_OK) throw new Error('fault refused');
  }
}

/** First touches of memory that is forgotten afterwards. */
function firstTouch(made: Rig): () => void {
  const at = anonymous(made);
  return () => {
    touchAll(made, at, WRITE);
    made.space.madvise(at, RESIDENT * PAGE_SIZE, MADV_FREE);
  };
}

/** Faults on resident pages. */
function resident(made: Rig): () => void {
  const at = anonymous(made);
  touchAll(made, at, WRITE);
  return () => {
    made.space.madvise(at, RESIDENT * PAGE_SIZE, MADV_INVAL);
    touchAll(made, at, READ);
  };
}

function reportCounts(suite: Suite): void {
  for (const [name, title, access] of [
    ['written', WRITTEN, WRITE],
    ['read', READ_IN, READ],
  ] as const) {
    const made = rig(true);
    const step = sweeping(access)(made);
    const counters = made.vm.pagerCounters;
    if (counters === null) throw new Error('no disk');
    const before = Object.assign({}, counters);
    step();
    suite.counts(
      title,
      Object.fromEntries(Object.entries(counters).map(([key, count]) => [key, count - before[key as keyof typeof before]])),
    );
    const each = (key: keyof typeof before) => ((counters[key] - before[key]) / PAGES).toFixed(3);
    console.log(
      `  a sweep of ${PAGES} pages over ${RAM_PAGES} frames, ${name}: per page ${each('pagesRead')} read in ${each('reads')} requests,` +
        ` ${each('pagesWritten')} written in ${each('writes')}, ${each('scanned')} looked at`,
    );
  }
  const { frames, bytes, kernelBytes, arrays } = measureKernelMemory(2 ** 20 - 2 ** 11);
  suite.counts(`memory for ${frames} frames`, { bytes, 'of vm and pmap': kernelBytes });
  console.log(
    `  memory for ${frames} frames in use: vm and pmap ${(kernelBytes / frames).toFixed(2)} bytes each, with the machine ${(bytes / frames).toFixed(2)}`,
  );
  for (const [place, size] of arrays) console.log(`    ${(size / frames).toFixed(2).padStart(6)}  ${place}`);
}

export async function run(): Promise<Files> {
  const suite = new Suite('pageout');
  reportCounts(suite);
  const sweeps = await b.suite(
    `pageout: a sweep of ${PAGES} pages over ${RAM_PAGES} frames`,
    b.add(WRITTEN, () => sweeping(WRITE)(rig(true))),
    b.add(READ_IN, () => sweeping(READ)(rig(true))),
    b.add('two copies of each page', copying),
    b.cycle(),
    b.complete(),
  );
  suite.timesOf(sweeps);
  const plenty = await b.suite(
    `pageout: ${RESIDENT} faults where memory is plentiful`,
    b.add('first touch, without a disk', () => firstTouch(rig(false))),
    b.add('first touch, with a disk', () => firstTouch(rig(true))),
    b.add('resident page, without a disk', () => resident(rig(false))),
    b.add('resident page, with a disk', () => resident(rig(true))),
    b.cycle(),
    b.complete(),
  );
  suite.timesOf(plenty);
  return suite.files();
}
