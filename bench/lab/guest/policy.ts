/**
 * What a modelled kernel decides about memory: how large its pages are, where they lie, when they are filled. A guest has
 * a policy, and so has each host below it. Policies are plain JSON.
 */
import { PAGE_SHIFT, PAGE_SIZE, READ } from '../../../hostkernel/base/units.ts';
import { ATTR_USER, type PageTableFormat } from '../../../hostkernel/machine/paging/index.ts';
import { type PageSize, sizeName } from '../../../hostkernel/machine/timing/index.ts';
import { LabError } from './lab-error.ts';

/** Where frames are taken from: see frame-pool.ts. */
export type Placement = 'linear' | 'first-touch' | 'scattered';

export interface MemoryPolicy {
  /**
   * Page sizes that may be used, joined by `+`: `4K`, `2M`, `4K+64K+2M`. A page is as large as one of them that its
   * region, its alignment and free memory have room for; where none fits, base pages serve. `base` is the size of the
   * layout's base pages, `thp` that of the leaves one level above.
   */
  readonly pageSizes: string;
  /** Share of the places for a page larger than a base page that get one, 0..1: memory is fragmented, as a rule. */
  readonly largeShare: number;
  readonly placement: Placement;
  /** Filled when it is mapped, not when it is touched. Of a host: its guest's memory, as the guest takes it into use. */
  readonly populate: boolean;
  /** Physical memory: tables in [tableBase, dataBase), all else in [dataBase, dataBase + memoryBytes). Bytes. */
  readonly tableBase: number;
  readonly dataBase: number;
  readonly memoryBytes: number;
}

export interface GuestPolicy extends MemoryPolicy {
  /** An access outside all regions makes one: traces do not tell what was mapped. */
  readonly implicitRegions: boolean;
}

/** The widest choice, which needs no larger memory than the layouts can name: what differs is given in `over`. */
export function guestPolicy(guest: PageTableFormat, hosts: readonly PageTableFormat[], over: Partial<GuestPolicy> = {}): GuestPolicy {
  return { ...memoryPolicy(guest, hosts[0] ?? null, over), implicitRegions: over.implicitRegions ?? false };
}

/**
 * The policy of a kernel whose tables have the format `own`, and whose physical memory is what `below` translates (null:
 * memory itself).
 */
export function memoryPolicy(own: PageTableFormat, below: PageTableFormat | null, over: Partial<MemoryPolicy> = {}): MemoryPolicy {
  const limit = Math.min(nameableBytes(own), below?.userEnd ?? Infinity, LARGEST_SPACE);
  const isSmall = limit < SMALL_SPACE; //         e.g. 4 GiB: tables from 256 MiB on, data from 1 GiB on
  const tableBase = isSmall ? limit / 16 : 2 ** 28;
  const dataBase = isSmall ? limit / 4 : 2 ** 32;
  const defaults: MemoryPolicy = {
    pageSizes: 'base',
    largeShare: 1,
    placement: 'first-touch',
    populate: false,
    tableBase,
    dataBase,
    memoryBytes: Math.min(limit - dataBase, LARGEST_MEMORY),
  };
  return { ...defaults, ...over };
}

const LARGEST_SPACE = 2 ** 46; // bytes
const SMALL_SPACE = 2 ** 34;
const LARGEST_MEMORY = 2 ** 38;

/** Bytes of physical memory that leaves of every size of `format` can name: some formats have large pages with wider frames. */
function nameableBytes(format: PageTableFormat): number {
  let bits = format.frameBits;
  for (let level = 0; level < format.levels; level++) {
    if (!format.hasLeaf(level)) continue;
    while (bits > 0 && !canName(format, level, 2 ** bits - format.span(level))) bits--;
  }
  return 2 ** (bits + PAGE_SHIFT);
}

function canName(format: PageTableFormat, level: number, frame: number): boolean {
  if (frame < 0) return true;
  return format.frame(level, format.leafLo(level, frame, READ | ATTR_USER), format.leafHi(level, frame, READ | ATTR_USER)) === frame;
}

/** @throws LabError unless `policy` is one that tables of `format` can serve */
export function checkPolicy(policy: MemoryPolicy, format: PageTableFormat): void {
  const { tableBase, dataBase, memoryBytes, largeShare } = policy;
  const isOrdered = tableBase >= 0 && tableBase < dataBase && memoryBytes >= PAGE_SIZE && largeShare >= 0 && largeShare <= 1;
  if (!isOrdered || tableBase % PAGE_SIZE !== 0 || dataBase % PAGE_SIZE !== 0) {
    throw new LabError(`memory of ${memoryBytes} bytes at ${dataBase}, tables at ${tableBase}: whole pages, the tables below the data`);
  }
  const end = nameableBytes(format);
  if (dataBase + memoryBytes > end)
    throw new LabError(`memory up to byte ${dataBase + memoryBytes}: pages of ${format.id} lie below ${end}`);
}

/**
 * The sizes that `text` names, of those a layout has, the largest first; base pages are among them always.
 * @throws LabError naming the sizes there are
 */
export function sizesOf(sizes: readonly PageSize[], text: string, layout: string): readonly PageSize[] {
  const [base] = sizes;
  const names = sizes.map(({ shift }) => sizeName(shift)).join(', ');
  const chosen = text.split('+').map((name) => {
    const size =
      name === 'base'
        ? base
        : sizes.find((one) => (name === 'thp' ? one.level > base.level && one.entries === 1 : sizeName(one.shift) === name));
    if (size === undefined) throw new LabError(`page size ${name}: ${layout} has ${names}, which may also be called base and thp`);
    return size;
  });
  return [...new Set([base, ...chosen])].sort((a, b) => b.shift - a.shift);
}

/** Whether the place at `page` of a space may have a page larger than a base page: a fixed choice that `share` of all places get. */
export function isLargeHere(share: number, seed: number, space: number, page: number): boolean {
  if (share >= 1) return true;
  let hash = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(space + 1, 0xc2b2ae35);
  hash = Math.imul(hash ^ (page % 2 ** 32) ^ (page / 2 ** 32), 0x27d4eb2f);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39);
  return ((hash ^ (hash >>> 15)) >>> 0) / 2 ** 32 < share;
}
