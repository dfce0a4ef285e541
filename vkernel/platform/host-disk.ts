/**
 * A disk of the host, as the vkernel reaches it: opened by name, read and written with pread and pwrite.
 *
 *   frames of the image  <-- window -->  pread, pwrite  <-->  blocks of the disk, a page each
 *
 * Data goes between the disk and the memory image directly, as a device with DMA would move it. The host completes each
 * transfer before the call returns: the whole vkernel waits for it.
 */
import { EIO } from '../../hostkernel/base/errno.ts';
import { type GuestFrame, PAGE_SIZE } from '../../hostkernel/base/units.ts';
import { SYS_lseek, SYS_openat, SYS_pread64, SYS_pwrite64 } from '../../hostkernel/kern/host.ts';
import type { MemoryImage } from './image.ts';

const SEEK_END = 2;
const O_RDWR = 2;

export class HostDisk {
  /** Size in pages. */
  readonly slots: number;
  readonly #image: MemoryImage;
  readonly #fd: number;

  /** Opens the disk at `path`, which is passed in the page at address `bounce`. @returns the disk, or -errno of the host call that failed */
  static open(image: MemoryImage, bounce: number, path: string): HostDisk | number {
    image.host.memory.write(bounce, new TextEncoder().encode(`${path}\0`));
    const fd = image.syscall(SYS_openat, 0, bounce, O_RDWR, 0);
    if (fd < 0) return fd;
    const bytes = image.syscall(SYS_lseek, fd, 0, SEEK_END);
    return bytes < 0 ? bytes : new HostDisk(image, fd, Math.floor(bytes / PAGE_SIZE));
  }

  private constructor(image: MemoryImage, fd: number, slots: number) {
    this.#image = image;
    this.#fd = fd;
    this.slots = slots;
  }

  /** Fills `pages` frames from `into` on with blocks from `slot` on. @returns 0, or a positive errno; EIO if short */
  read(slot: number, into: GuestFrame, pages: number): number {
    return this.#transfer(SYS_pread64, slot, into, pages);
  }

  /** Writes `pages` frames from `from` on to blocks from `slot` on. @returns 0, or a positive errno; EIO if short */
  write(slot: number, from: GuestFrame, pages: number): number {
    return this.#transfer(SYS_pwrite64, slot, from, pages);
  }

  #transfer(call: number, slot: number, frame: number, pages: number): number {
    const image = this.#image;
    const bytes = pages * PAGE_SIZE;
    const done = image.syscall(call, this.#fd, image.window + frame * PAGE_SIZE, bytes, slot * PAGE_SIZE);
    return done === bytes ? 0 : done < 0 ? -done : EIO;
  }
}
