/**
 * VirtualRam: the memory of a kernel that is a process. One memory image of its host, seen through a linear window.
 *
 *   image (memfd)   | frame 0 | frame 1 | ...                                   | stub |      one page more: see below
 *   window          the same pages, at `window` in the process's own space
 *
 * The stub is a page with one `ecall`, mapped in every guest space above its user range: see VirtualHart.ecall. It is no
 * frame of RAM: no page table of the kernel names it.
 */
import type { Access, HostFrame } from '../../hostkernel/base/units.ts';
import { PAGE_SIZE, READ, WRITE } from '../../hostkernel/base/units.ts';
import { type Host, MAP_NOSYNC, MAP_SHARED, SYS_ftruncate, SYS_memfd_create, SYS_mmap } from '../../hostkernel/kern/index.ts';
import type { RamView } from '../../hostkernel/machine/index.ts';

const ECALL = 0x73;

export class VirtualRam implements RamView {
  readonly frames: number;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly f64: Float64Array;
  /** Descriptor of the image: what guest spaces map. */
  readonly fd: number;
  readonly #memory: Host['memory'];
  readonly #window: number; // address, bytes

  /** @returns the memory, all zero, or -errno of the host call that failed */
  static create(host: Host, frames: number): VirtualRam | number {
    const fd = host.syscall(SYS_memfd_create, 0, 0);
    if (fd < 0) return fd;
    const bytes = (frames + 1) * PAGE_SIZE;
    const truncated = host.syscall(SYS_ftruncate, fd, bytes);
    if (truncated < 0) return truncated;
    const window = host.syscall(SYS_mmap, 0, bytes, READ | WRITE, MAP_SHARED | MAP_NOSYNC, fd, 0);
    if (window < 0) return window;
    host.memory.store32(window + frames * PAGE_SIZE, ECALL);
    return new VirtualRam(host, frames, fd, window);
  }

  private constructor(host: Host, frames: number, fd: number, window: number) {
    const { memory } = host;
    const { buffer } = memory.bytes;
    this.frames = frames;
    this.fd = fd;
    this.u8 = memory.bytes;
    this.i32 = memory.words;
    this.u16 = new Uint16Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.#memory = memory;
    this.#window = window;
  }

  /** Offset of the stub in the image, bytes. */
  get stubOffset(): number {
    return this.frames * PAGE_SIZE;
  }

  offsetOf(frame: HostFrame): number {
    return this.#memory.translate(this.#window + frame * PAGE_SIZE, WRITE);
  }

  /** As offsetOf, but for READ the page does not become modified. Hot. */
  offsetFor(frame: number, access: Access): number {
    return this.#memory.translate(this.#window + frame * PAGE_SIZE, access === WRITE ? WRITE : READ);
  }
}
