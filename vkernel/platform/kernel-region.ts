/**
 * The kernel region: the vkernel's own data in image frames, seen through a virtual page table of its own.
 *
 *   region   | bounce page | thread frames: 4 slots a page, 1 KiB each ...                          |
 *   slot     | trapframe (288 bytes) | ... | 512: vextframe (264 bytes) | ...
 *
 * The host reads and writes the frames at every RUN, by their addresses here. Pages are entered as they are needed and
 * stay. Nothing has to be invalidated: entries only go from invalid to valid.
 */
import { ENOMEM } from '../../hostkernel/base/errno.ts';
import { PAGE_SIZE, READ, WRITE } from '../../hostkernel/base/units.ts';
import { SYS_mcontrol, SYS_mmap } from '../../hostkernel/kern/host.ts';
import { MADV_SETMAP, MAP_SHARED, MAP_VPAGETABLE } from '../../hostkernel/vm/mman.ts';
import { ATTR_USER, type PageTableFormat } from '../../hostkernel/machine/paging/index.ts';
import type { MemoryImage } from './image.ts';
import { type LeafRegistry, PageTable } from './page-table.ts';

const REGION_BYTES = 16 * 1024 * 1024;
const SLOT_BYTES = 1024;
/** Offset of a thread's vextframe from its trapframe. */
export const VEXTFRAME_OFFSET = 512;
/** Bytes that one console transfer carries at most. */
export const BOUNCE_BYTES = PAGE_SIZE;

export class KernelRegion {
  readonly base: number; // address, bytes
  readonly #image: MemoryImage;
  readonly #table: PageTable;
  readonly #freeSlots: number[] = []; // addresses
  #pages = 0;

  /** @returns the region, or -errno */
  static create(image: MemoryImage, format: PageTableFormat, leaves: LeafRegistry): KernelRegion | number {
    const base = image.syscall(SYS_mmap, 0, REGION_BYTES, READ | WRITE, MAP_SHARED | MAP_VPAGETABLE, image.fd, 0);
    if (base < 0) return base;
    const region = new KernelRegion(image, format, leaves, base);
    if (!region.#table.open()) return -ENOMEM;
    const set = image.syscall(SYS_mcontrol, base, REGION_BYTES, MADV_SETMAP, region.#table.rootValue);
    if (set < 0) return set;
    return region.#addPage() < 0 ? -ENOMEM : region; // page 0: the bounce page
  }

  private constructor(image: MemoryImage, format: PageTableFormat, leaves: LeafRegistry, base: number) {
    this.#image = image;
    this.base = base;
    this.#table = new PageTable(image, format, leaves, REGION_BYTES / PAGE_SIZE, this);
  }

  /** Address of the page that carries data of host calls. */
  get bounce(): number {
    return this.base;
  }

  /** A zeroed slot for one thread's frames. @returns address of its trapframe, or -1 without memory */
  allocateFrames(): number {
    if (this.#freeSlots.length === 0) {
      const page = this.#addPage();
      if (page < 0) return -1;
      for (let at = PAGE_SIZE - SLOT_BYTES; at >= 0; at -= SLOT_BYTES) this.#freeSlots.push(page + at);
    }
    const slot = this.#freeSlots.pop() as number;
    this.#image.host.memory.fill(slot, SLOT_BYTES, 0);
    return slot;
  }

  freeFrames(trapframe: number): void {
    this.#freeSlots.push(trapframe);
  }

  /** Enters one more page. @returns its address, or -1 */
  #addPage(): number {
    if (this.#pages * PAGE_SIZE >= REGION_BYTES) return -1;
    const leaf = this.#table.ensure(this.#pages);
    if (leaf === null) return -1;
    const frame = this.#image.allocateTableFrame();
    if (frame < 0) return -1;
    this.#table.write(leaf, this.#table.slot(this.#pages), frame, READ | WRITE | ATTR_USER, 1);
    return this.base + this.#pages++ * PAGE_SIZE;
  }

  /** Image frames this region holds: tables and data. */
  get framesUsed(): number {
    return this.#table.frames + this.#pages;
  }

  assertInvariants(): void {
    this.#table.assertInvariants(() => undefined);
  }
}
