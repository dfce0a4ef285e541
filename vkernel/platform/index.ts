/**
 * The vkernel as a host process: memory image, kernel region, guest address spaces, console. Entry file of this room.
 *
 * Above it nobody knows the host. What the host's frames and traps look like is handed on from here.
 */
import { EINVAL } from '../../hostkernel/base/errno.ts';
import { PAGE_SIZE } from '../../hostkernel/base/units.ts';
import type { Host } from '../../hostkernel/kern/host.ts';
import { SYS_read, SYS_write } from '../../hostkernel/kern/host.ts';
import type { PageTableFormat } from '../../hostkernel/machine/paging/index.ts';
import { GuestSpace, guestUserEnd, type SpaceCounters } from './guest-space.ts';
import { HostDisk } from './host-disk.ts';
import { MemoryImage } from './image.ts';
import { BOUNCE_BYTES, KernelRegion } from './kernel-region.ts';
import { LeafRegistry } from './page-table.ts';
import type { SpaceWatcher } from './space-watcher.ts';

export {
  CAUSE_BREAKPOINT,
  CAUSE_ECALL,
  CAUSE_FETCH_PAGE_FAULT,
  CAUSE_ILLEGAL,
  CAUSE_LOAD_PAGE_FAULT,
  CAUSE_STORE_PAGE_FAULT,
  type Host,
  type HostBody,
  type HostWait,
  RUN_PREEMPTED,
  TF_ACCESS,
  TF_BUDGET,
  TF_PC,
  TF_SIZE,
  TF_TRAPNO,
  TF_TVAL,
  VF_CLEAN,
  VF_FCSR,
  VF_FLAGS,
  VF_SIZE,
} from '../../hostkernel/kern/host.ts';
export { compileLayout, layoutByName, type PageTableFormat } from '../../hostkernel/machine/paging/index.ts';
export { GuestSpace, type SpaceCounters } from './guest-space.ts';
export { HostDisk } from './host-disk.ts';
export { MemoryImage } from './image.ts';
export { KernelRegion, VEXTFRAME_OFFSET } from './kernel-region.ts';
export { emptyEntry, LeafRegistry, PageTable, SLOT_BITS, TableNode } from './page-table.ts';
export type { SpaceWatcher } from './space-watcher.ts';

/** Frames that the tables of the servers take. */
const SERVER_FRAMES = 40;

export interface PlatformOptions {
  /** Format of the virtual page tables: what the host was told to walk. */
  readonly format: PageTableFormat;
  /** Size of the memory image, bytes; a multiple of the page size. */
  readonly memoryBytes: number;
  /** Frames kept for page tables at the start of the image; without it what it takes, at least 64 and 1/32 of the image. */
  readonly reservedFrames?: number;
  /** Looks on as guest spaces are managed; nobody by default. */
  readonly watcher?: SpaceWatcher;
}

/** Frames of tables to map `frames` pages three times over: the boot maps all memory twice, and guests come on top. */
function tableFrames(format: PageTableFormat, frames: number): number {
  const leaf = format.tableBytes(0);
  const perTable = Math.max(1, leaf / PAGE_SIZE);
  return Math.ceil((3 * frames * perTable) / (leaf / format.entryBytes));
}

export class Platform {
  readonly image: MemoryImage;
  readonly region: KernelRegion;
  readonly leaves: LeafRegistry;
  readonly format: PageTableFormat;
  readonly xlen: 32 | 64;
  readonly userEnd: number; // bytes, of guest address spaces
  readonly counters: SpaceCounters = { invalidations: 0, skipped: 0, cacheMisses: 0 };
  readonly #watcher: SpaceWatcher | null;
  #nextSpace = 1;

  /** Sets up image, window and kernel region. @returns the platform, or -errno of the host call that failed */
  static create(host: Host, options: PlatformOptions): Platform | number {
    const frames = options.memoryBytes / PAGE_SIZE;
    if (!Number.isInteger(frames)) return -EINVAL;
    const reserved = options.reservedFrames ?? Math.max(64, Math.floor(frames / 32), tableFrames(options.format, frames));
    const image = MemoryImage.create(host, { frames, reserved });
    if (typeof image === 'number') return image;
    const leaves = new LeafRegistry();
    const region = KernelRegion.create(image, options.format, leaves);
    if (typeof region === 'number') return region;
    return new Platform(host, image, region, leaves, options);
  }

  private constructor(host: Host, image: MemoryImage, region: KernelRegion, leaves: LeafRegistry, options: PlatformOptions) {
    this.image = image;
    this.region = region;
    this.leaves = leaves;
    this.format = options.format;
    this.#watcher = options.watcher ?? null;
    this.xlen = host.xlen;
    this.userEnd = guestUserEnd(host, options.format);
  }

  /** A new guest space. It takes no frames before something is mapped in it or a hart runs in it. */
  createSpace(): GuestSpace {
    return new GuestSpace(this.#nextSpace++, this.image, this.format, this.leaves, this.counters, this.#watcher);
  }

  /**
   * Guest spaces whose tables there are frames for, beside those of the servers: each maps pages in four places, with all
   * the tables on the way to each, and all memory is mapped twice by the boot.
   */
  get spacesMax(): number {
    const { format, image } = this;
    const framesOf = (level: number): number => Math.ceil(format.tableBytes(level) / PAGE_SIZE);
    let frames = framesOf(format.levels - 1) + 3; // two more leaves, and what its hart takes
    for (let level = 0; level < format.levels - 1; level++) frames += 4 * framesOf(level);
    return Math.floor((image.reserved - 2 * Math.ceil(tableFrames(format, image.frames) / 3) - SERVER_FRAMES) / frames);
  }

  /** Opens a disk of the host. @param path at most a page long @returns the disk, or -errno */
  openDisk(path: string): HostDisk | number {
    return HostDisk.open(this.image, this.region.bounce, path);
  }

  /** Writes to the host's descriptor 1 or 2. @returns bytes written, or -errno if nothing was */
  consoleWrite(fd: 1 | 2, bytes: Uint8Array): number {
    const { image, region } = this;
    let done = 0;
    while (done < bytes.length) {
      const run = bytes.subarray(done, done + BOUNCE_BYTES);
      image.host.memory.write(region.bounce, run);
      const written = image.syscall(SYS_write, fd, region.bounce, run.length);
      if (written <= 0) return done > 0 || written === 0 ? done : written;
      done += written;
    }
    return done;
  }

  /** Reads from the host's descriptor 0. @returns what came; empty at the end of the file or on an error */
  consoleRead(max: number): Uint8Array {
    const { image, region } = this;
    const want = Math.max(0, Math.min(max, BOUNCE_BYTES));
    const got = want === 0 ? 0 : image.syscall(SYS_read, 0, region.bounce, want);
    if (got <= 0) return new Uint8Array(0);
    const bytes = new Uint8Array(got);
    image.host.memory.read(region.bounce, bytes);
    return bytes;
  }

  assertInvariants(): void {
    this.image.assertInvariants();
    this.region.assertInvariants();
  }
}
