/**
 * Scenarios in which the swap device fails: the n-th request, with an error or after half of it, n = 1, 2, ... until the
 * scenario makes no more requests; and in which its slots run out. Nothing may be lost: a page that could not be written
 * stays, a page that could not be read refuses one access and is there for the next.
 */
import { Tracer } from '../../hostkernel/base/trace.ts';
import { PAGE_SIZE, READ, WRITE } from '../../hostkernel/base/units.ts';
import { compileLayout, FaultyDevice, Machine, memoryDisk, SV39 } from '../../hostkernel/machine/index.ts';
import {
  FAULT_INVALID,
  FAULT_NO_MEMORY,
  FAULT_OK,
  MADV_SETMAP,
  MAP_ANON,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_VPAGETABLE,
  Vm,
  type VmObject,
  type VmSpace,
} from '../../hostkernel/vm/index.ts';
import type { Coverage } from './campaign.ts';

const FRAMES = 128;
const PAGES = 200; // more than there are frames
const AT = 2 ** 30;
const MOST = 2000; // requests a scenario may make

/** A machine whose device fails as it is told. */
class Stand {
  readonly machine: Machine;
  readonly vm: Vm;
  readonly space: VmSpace;
  readonly device: FaultyDevice;
  readonly objects: VmObject[] = [];
  /** Accesses refused because of the device. */
  refused = 0;
  /** Accesses refused for want of memory. */
  missing = 0;
  readonly #free: number;

  constructor(nth: number, outcome: 'error' | 'short', blocks: number) {
    this.device = new FaultyDevice(memoryDisk(blocks * PAGE_SIZE), (_, count) => (count === nth ? outcome : 'done'));
    const machine = Machine.create({ ramBytes: FRAMES * PAGE_SIZE, disk: this.device });
    if (machine === null) throw new Error('no machine');
    this.machine = machine;
    this.vm = new Vm(machine, new Tracer());
    this.#free = this.vm.freeFrames;
    const space = this.vm.createSpace(compileLayout(SV39), 64);
    if (space === null) throw new Error('no space');
    this.space = space;
  }

  map(flags: number, object: VmObject | null): void {
    const result = this.space.mmap({ addr: AT, len: PAGES * PAGE_SIZE, prot: 3, flags: flags | MAP_FIXED, object, offset: 0 });
    if (result !== AT) throw new Error(`mmap gives ${result}`);
  }

  image(): VmObject {
    const object = this.vm.createObject(PAGES + 8);
    this.objects.push(object);
    return object;
  }

  /** Offset of page `i` in the machine's memory. What the device or want of memory refuses is tried again, a few times. */
  page(i: number, access: 1 | 2, space = this.space): number {
    const va = AT + i * PAGE_SIZE;
    for (let attempt = 0; attempt < 4; attempt += 1) {
      const offset = space.context.lookup(va, access);
      if (offset >= 0) return offset;
      const result = space.faultNow(va, access);
      if (result === FAULT_OK) continue;
      if (result === FAULT_INVALID) this.refused += 1;
      else if (result === FAULT_NO_MEMORY) this.missing += 1;
      else throw new Error(`page ${i}: ${space.lastRefusal.reason}`);
    }
    const offset = space.context.lookup(va, access);
    if (offset < 0) throw new Error(`page ${i} cannot be had: ${space.lastRefusal.reason}`);
    return offset;
  }

  write(i: number, value: number, space = this.space): void {
    const offset = this.page(i, WRITE, space);
    this.machine.ram.i32[offset / 4] = value;
    this.machine.ram.i32[offset / 4 + 1023] = ~value;
    if (i % 16 === 0) this.vm.poll();
  }

  check(i: number, value: number, space = this.space): void {
    const offset = this.page(i, READ, space);
    const [first, last] = [this.machine.ram.i32[offset / 4], this.machine.ram.i32[offset / 4 + 1023]];
    if (first !== value || last !== ~value) throw new Error(`page ${i} holds ${first}, ${last}, not ${value}`);
    if (i % 16 === 0) this.vm.poll();
  }

  /** Takes everything down; nothing is left. */
  end(): void {
    this.space.destroy();
    for (const object of this.objects) object.release();
    while (this.vm.nextEvent() !== Infinity) {
      this.machine.clock.charge(Math.max(0, this.vm.nextEvent() - this.machine.clock.now()));
      this.vm.poll();
    }
    this.vm.assertInvariants();
    if (this.vm.freeFrames !== this.#free) throw new Error(`${this.#free - this.vm.freeFrames} frames are lost`);
  }
}

/** What is done on the stand. It must end with all content checked. */
type Play = (stand: Stand) => void;

const PLAYS: Readonly<Record<string, Play>> = {
  'private memory': (stand) => {
    stand.map(MAP_PRIVATE | MAP_ANON, null);
    for (let i = 0; i < PAGES; i += 1) stand.write(i, i + 1);
    for (let i = 0; i < PAGES; i += 1) stand.check(i, i + 1);
    for (let i = 0; i < PAGES; i += 3) stand.write(i, 1000 + i);
    for (let i = PAGES - 1; i >= 0; i -= 1) stand.check(i, i % 3 === 0 ? 1000 + i : i + 1);
  },
  'a shared image': (stand) => {
    const image = stand.image();
    stand.map(MAP_SHARED, image);
    for (let i = 0; i < PAGES; i += 1) stand.write(i, i + 1);
    for (let i = 0; i < PAGES; i += 1) stand.check(i, i + 1);
  },
  'a virtual page table': (stand) => {
    const image = stand.image();
    stand.map(MAP_SHARED | MAP_VPAGETABLE, image);
    const { space } = stand;
    // PAGES pages in reverse order behind three levels of tables; the window turns the table off while it is filled.
    const [third, second, first] = [PAGES, PAGES + 1, PAGES + 2];
    space.mcontrol(AT, PAGES * PAGE_SIZE, MADV_SETMAP, third * PAGE_SIZE + 0x83);
    const view = (page: number, slot: number, value: number): void => {
      const offset = stand.page(page - third, WRITE);
      stand.machine.ram.i32.set([value, 0], offset / 4 + 2 * slot);
    };
    view(third, 0, second * PAGE_SIZE + 3);
    view(second, 0, first * PAGE_SIZE + 3);
    view(first, 0, (PAGES + 3) * PAGE_SIZE + 3);
    for (let i = 0; i < PAGES; i += 1) view(PAGES + 3, i, (PAGES - 1 - i) * PAGE_SIZE + 3);
    space.mcontrol(AT, PAGES * PAGE_SIZE, MADV_SETMAP, third * PAGE_SIZE + 3);
    for (let i = 0; i < PAGES; i += 1) stand.write(i, i + 1);
    for (let i = 0; i < PAGES; i += 1) stand.check(i, i + 1);
    space.mcontrol(AT, PAGES * PAGE_SIZE, MADV_SETMAP, 0x83);
    for (let i = 0; i < PAGES; i += 1) stand.check(i, PAGES - i);
  },
};

export interface SwappingOptions {
  /** Every so manieth transfer is made to fail. */
  readonly stride: number;
  /** Called now and then. */
  readonly tick: () => void;
}

/** Goes through every stride-th n until the play makes fewer requests. */
function untilClean(name: string, play: Play, outcome: 'error' | 'short', coverage: Coverage, { stride, tick }: SwappingOptions): void {
  for (let nth = 1; nth < MOST; nth += stride) {
    tick();
    const stand = new Stand(nth, outcome, 4 * PAGES);
    const where = `request ${nth}, ${outcome}: `;
    try {
      play(stand);
      stand.vm.assertInvariants();
      stand.end();
    } catch (error) {
      throw new Error(`${where}${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
    if (stand.device.completed < nth) {
      if (stand.refused > 0) throw new Error(`${where}an access is refused though nothing failed`);
      if (nth === 1) throw new Error(`${name} makes no request`);
      return;
    }
    coverage.count(`${name}: ${outcome}`, stand.refused > 0 ? 'an access is refused once' : 'nobody notices');
  }
  throw new Error(`${name} never ends`);
}

/** A device too small for what is dirty: accesses are refused, but what is there stays right, and room helps. */
function outOfSlots(coverage: Coverage): void {
  for (let blocks = 2; blocks < PAGES; blocks += 11) {
    const stand = new Stand(0, 'error', blocks);
    stand.map(MAP_PRIVATE | MAP_ANON, null);
    let written = 0;
    try {
      for (; written < PAGES; written += 1) stand.write(written, written + 1);
    } catch (error) {
      if (stand.missing === 0) throw error;
    }
    stand.vm.assertInvariants();
    for (let i = 0; i < written; i += 1) stand.check(i, i + 1);
    const half = Math.floor(written / 2);
    if (stand.space.munmap(AT, half * PAGE_SIZE) !== 0) throw new Error('munmap');
    if (written < PAGES) stand.write(written, written + 1);
    for (let i = half; i < written; i += 1) stand.check(i, i + 1);
    stand.end();
    coverage.count('slots run out', written < PAGES ? 'an access is refused' : 'they suffice');
  }
}

export const SWAPPING: readonly { readonly name: string; readonly run: (coverage: Coverage, options: SwappingOptions) => void }[] = [
  ...Object.entries(PLAYS).flatMap(([name, play]) =>
    (['error', 'short'] as const).map((outcome) => ({
      name: `swapping ${name}, ${outcome}`,
      run: (coverage: Coverage, options: SwappingOptions): void => untilClean(`swapping ${name}`, play, outcome, coverage, options),
    })),
  ),
  { name: 'slots run out', run: outOfSlots },
];
