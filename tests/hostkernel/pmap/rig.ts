/** A machine with pmaps and nothing above them: what every test of this room starts from. */

import { type HostFrame, PAGE_SIZE, READ, type VirtualPage, WRITE } from '../../../hostkernel/base/units.ts';
import {
  compileLayout,
  LAYOUT_NAMES,
  type LayoutDescriptor,
  layoutByName,
  Machine,
  type PageTableFormat,
} from '../../../hostkernel/machine/index.ts';
import { type HardwarePmap, HardwarePmaps, type PageSource, refusalOf } from '../../../hostkernel/pmap/index.ts';
import { FrameAllocator } from '../../../hostkernel/vm/frames.ts';

/** A page allocator that only does tables, and remembers what became of pages. */
export class TableSource implements PageSource {
  readonly referenced = new Set<number>();
  readonly modified = new Set<number>();
  /** Allocations that still succeed. */
  budget = Infinity;
  readonly #machine: Machine;
  readonly #frames: FrameAllocator;

  /** @param frames those below are for tables */
  constructor(machine: Machine, frames: number) {
    this.#machine = machine;
    this.#frames = new FrameAllocator(frames, 5);
  }

  get freeFrames(): number {
    return this.#frames.free;
  }

  allocateTable(frames = 1): HostFrame {
    if (this.budget === 0) return 0 as HostFrame;
    this.budget--;
    const first = this.#frames.allocateRun(frames, frames);
    const { ram } = this.#machine;
    if (first === 0) return first;
    for (let i = 0; i < frames; i++) {
      const offset = ram.offsetOf((first + i) as HostFrame);
      ram.u8.fill(0, offset, offset + PAGE_SIZE);
    }
    return first;
  }

  freeTable(first: HostFrame, frames = 1): void {
    const { ram } = this.#machine;
    for (let i = 0; i < frames; i++) {
      const offset = ram.offsetOf((first + i) as HostFrame);
      ram.u8.fill(0xff, offset, offset + PAGE_SIZE); // whoever still walks it sees nonsense
      this.#frames.release((first + i) as HostFrame);
    }
  }

  foldReferenced(frame: HostFrame, modified: boolean): void {
    this.referenced.add(frame);
    if (modified) this.modified.add(frame);
  }
}

export interface PmapRig {
  readonly machine: Machine;
  readonly source: TableSource;
  readonly pmaps: HardwarePmaps;
  /** The first data frame: a multiple of what the largest leaf maps that fits. */
  readonly data: number;
}

/** @param dataFrames frames that are not for tables */
export function pmapRig(format: PageTableFormat, dataFrames: number, harts = 1): PmapRig {
  let align = format.span(1);
  for (let level = 2; level < format.levels && format.span(level) <= dataFrames; level++) align = format.span(level);
  const data = Math.ceil(256 / align) * align;
  const machine = Machine.create({ ramBytes: (data + dataFrames) * PAGE_SIZE, harts });
  if (machine === null) throw new Error('no memory');
  const source = new TableSource(machine, data);
  return { machine, source, pmaps: new HardwarePmaps(machine, source), data };
}

export function created(pmaps: HardwarePmaps, format: PageTableFormat): HardwarePmap {
  const pmap = pmaps.create(format);
  if (pmap === null) throw new Error('no frame');
  return pmap;
}

export function formatOf(name: string): PageTableFormat {
  const layout = layoutByName(name);
  if (layout === null) throw new Error(`no layout ${name}`);
  return compileLayout(layout);
}

/** Sv39's entries in tables of eight: large pages on three levels, of 8, 64 and 512 pages. */
export function tinyFormat(): PageTableFormat {
  const sv39 = formatOf('sv39').descriptor;
  const levels = [3, 2, 1, 0].map((level) => ({ name: `T${level}`, lo: 12 + 3 * level, bits: 3 }));
  const classify = Object.fromEntries(
    levels.map(({ name, lo, bits }) => {
      const original = sv39.classify[lo === 12 ? 'L0' : 'L1'];
      const low = `0x${((2 ** (lo - 12) - 1) * 2 ** 10).toString(16)}` as const;
      return [name, bits === 0 ? [] : original.map((p) => (p.fault === 'misaligned' ? { ...p, any: low } : p))];
    }),
  );
  const tiny: LayoutDescriptor = { ...sv39, id: 'tiny', va: { bits: 24, rule: 'trunc' }, levels, classify };
  return compileLayout(tiny);
}

/** Every format whose tables a hart can walk alone. */
export const MMU_FORMATS: readonly PageTableFormat[] = [
  ...LAYOUT_NAMES.map(formatOf).filter((format) => refusalOf(format) === null),
  tinyFormat(),
];

export const vpage = (page: number) => page as VirtualPage;
export const frameAt = (frame: number) => frame as HostFrame;
export const RW = READ | WRITE;
