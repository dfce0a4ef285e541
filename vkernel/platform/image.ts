/**
 * The memory image: the guest's physical memory, one memory object of the host, seen by the vkernel through a window.
 *
 *   image (memfd)   | page-table frames ...          conventional frames ...                  |
 *                   0        reserved -->                                    <-- grown    frames
 *   linear window   the same bytes, at `window`: page tables are edited and data is copied through it
 *
 * Not here: the kernel region (kernel-region.ts) and guest address spaces (guest-space.ts), which see the image through
 * virtual page tables. Frames for page tables come from the start of the image; when those are used up, from the top,
 * as far as the owner of the conventional frames gives one back.
 *
 * All host system calls go through this class, because each one may move what an earlier translation found: `epoch`
 * counts them, and an offset is good as long as the epoch it was taken in.
 *
 * Invariants:
 *   I1  free table frames + table frames in use = reserved + grown
 *   I2  a free table frame lies below `reserved` or at or above `conventionalEnd`, and is listed once
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { EINVAL } from '../../hostkernel/base/errno.ts';
import { type Access, type GuestFrame, PAGE_SIZE, READ, WRITE } from '../../hostkernel/base/units.ts';
import { SYS_ftruncate, SYS_memfd_create, SYS_mmap, type Host } from '../../hostkernel/kern/host.ts';
import { MAP_SHARED } from '../../hostkernel/vm/mman.ts';

export interface ImageOptions {
  readonly frames: number; //   size of the image, pages
  readonly reserved: number; // pages at its start for page tables
}

export class MemoryImage {
  readonly host: Host;
  readonly fd: number;
  readonly window: number; // address of frame 0 in the vkernel's own space, bytes
  readonly frames: number;
  readonly reserved: number;
  /** First frame beyond the conventional ones; falls as page tables grow from the top. */
  conventionalEnd: number;
  /** Host memory, for translated offsets. */
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  epoch = 1;
  /** Asked for one frame at the top of conventional memory. @returns whether it is ours now */
  giveTop: ((frame: GuestFrame) => boolean) | null = null;

  readonly #free: Int32Array; // stack of free table frames below `reserved`, and of grown ones
  #freeCount = 0;
  #grown = 0;
  #used = 0;

  /** Creates and maps the image. @returns the image, or -errno of the host call that failed */
  static create(host: Host, options: ImageOptions): MemoryImage | number {
    const { frames, reserved } = options;
    if (!Number.isInteger(frames) || !Number.isInteger(reserved) || reserved < 8 || frames <= reserved) return -EINVAL;
    const fd = host.syscall(SYS_memfd_create, 0, 0);
    if (fd < 0) return fd;
    const size = frames * PAGE_SIZE;
    const truncated = host.syscall(SYS_ftruncate, fd, size);
    if (truncated < 0) return truncated;
    const window = host.syscall(SYS_mmap, 0, size, READ | WRITE, MAP_SHARED, fd, 0);
    if (window < 0) return window;
    return new MemoryImage(host, options, fd, window);
  }

  private constructor(host: Host, options: ImageOptions, fd: number, window: number) {
    this.host = host;
    this.fd = fd;
    this.window = window;
    this.frames = options.frames;
    this.reserved = options.reserved;
    this.conventionalEnd = options.frames;
    this.words = host.memory.words;
    this.bytes = host.memory.bytes;
    this.#free = new Int32Array(options.frames);
    for (let frame = options.reserved - 1; frame >= 0; frame--) this.#free[this.#freeCount++] = frame;
  }

  /** Makes a host system call. Every offset taken before it is stale afterwards. */
  syscall(nr: number, a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): number {
    this.epoch = (this.epoch + 1) | 0;
    return this.host.syscall(nr, a0, a1, a2, a3, a4, a5);
  }

  /** Runs a guest until its next trap. @returns 0, -errno, or RUN_PREEMPTED */
  run(id: number, tf: number, vf: number): number {
    this.epoch = (this.epoch + 1) | 0;
    return this.host.run(id, tf, vf);
  }

  /** Must be called after every `yield` to the host: other processes ran. */
  resumed(): void {
    this.epoch = (this.epoch + 1) | 0;
  }

  /** Offset in `bytes` of the first byte of `frame`, after whatever host fault the access takes. Hot. */
  offset(frame: number, access: Access): number {
    return this.host.memory.translate(this.window + frame * PAGE_SIZE, access);
  }

  /** Fills a frame with one 64-bit pattern (two 32-bit halves). */
  fillFrame(frame: number, lo: number, hi: number): void {
    const start = this.offset(frame, WRITE) / 4;
    const { words } = this;
    words.fill(lo, start, start + PAGE_SIZE / 4);
    if (hi === lo) return;
    for (let i = 1; i < PAGE_SIZE / 4; i += 2) words[start + i] = hi;
  }

  /** A frame for a page table or the kernel's own data; contents undefined. @returns -1 when there is none left */
  allocateTableFrame(): GuestFrame | -1 {
    if (this.#freeCount === 0 && !this.#grow()) return -1;
    this.#used++;
    return this.#free[--this.#freeCount] as GuestFrame;
  }

  freeTableFrame(frame: GuestFrame): void {
    kassert(this.#used > 0, 'image I1');
    this.#used--;
    this.#free[this.#freeCount++] = frame;
  }

  /**
   * Neighbouring frames for a table that is larger than a page, aligned to its size; contents undefined. Only root
   * tables of a few formats are, so this may look at every free frame.
   * @param count a power of two
   * @returns the first frame, or -1 when there is no such run left
   */
  allocateTableRun(count: number): GuestFrame | -1 {
    if (count === 1) return this.allocateTableFrame();
    let first = this.#findRun(count);
    for (let grown = 0; first < 0 && grown < 2 * count && this.#grow(); grown++) first = this.#findRun(count);
    if (first < 0) return -1;
    let kept = 0;
    for (let i = 0; i < this.#freeCount; i++) {
      const frame = this.#free[i];
      if (frame < first || frame >= first + count) this.#free[kept++] = frame;
    }
    this.#freeCount = kept;
    this.#used += count;
    return first as GuestFrame;
  }

  /** Gives back what allocateTableRun gave. */
  freeTableRun(first: GuestFrame, count: number): void {
    for (let i = count - 1; i >= 0; i--) this.freeTableFrame((first + i) as GuestFrame);
  }

  /** The lowest aligned run of free table frames, or -1. */
  #findRun(count: number): number {
    const free = new Map<number, number>(); // aligned run -> frames of it that are free
    for (let i = 0; i < this.#freeCount; i++) {
      const run = Math.floor(this.#free[i] / count);
      free.set(run, (free.get(run) ?? 0) + 1);
    }
    let first = -1;
    for (const [run, frames] of free) if (frames === count && (first < 0 || run * count < first)) first = run * count;
    return first;
  }

  get tableFramesUsed(): number {
    return this.#used;
  }

  isConventional(frame: number): boolean {
    return frame >= this.reserved && frame < this.conventionalEnd;
  }

  /** Takes one frame from the top of conventional memory. */
  #grow(): boolean {
    if (this.giveTop === null || this.conventionalEnd - 1 <= this.reserved) return false;
    const frame = (this.conventionalEnd - 1) as GuestFrame;
    if (!this.giveTop(frame)) return false;
    this.conventionalEnd--;
    this.#grown++;
    this.#free[this.#freeCount++] = frame;
    return true;
  }

  assertInvariants(): void {
    kassert(this.#freeCount + this.#used === this.reserved + this.#grown, 'image I1');
    const seen = new Set<number>();
    for (let i = 0; i < this.#freeCount; i++) {
      const frame = this.#free[i] as number;
      kassert(frame < this.reserved || frame >= this.conventionalEnd, 'image I2');
      kassert(!seen.has(frame), 'image I2');
      seen.add(frame);
    }
  }
}
