/**
 * Ram: the one memory of the machine. The hart's own block comes first, then the RAM that page tables and frames
 * live in. It is not a frame allocator; who owns which frame is the kernel's business.
 *
 *   byte offset
 *   0                      registers of the hart         x0..x31, a slot that swallows writes to x0, f0..f31
 *   1024                   registers of harts that do not run, see riscv/hart.ts
 *   TLB_BASE               TLB_BLOCKS blocks             one per translation context that is in use, see tlb.ts
 *   base = HART_BYTES      frame 0
 *   base + frame * 4096    frame
 *
 * It is a WebAssembly.Memory, because compiled code and JavaScript must see the same bytes, and it never grows, because
 * growing would detach every view. Offsets reach 2^32: `>>> 0` wherever one could turn negative.
 */

import { kassert } from '../base/assert.ts';
import { PAGE_SIZE, type HostFrame } from '../base/units.ts';
import type { RamView } from './hardware.ts';

/** TLB blocks: how many address spaces keep their translations across a switch. At most 32, see `Mmu`. */
export const TLB_BLOCKS = 16;
export const TLB_BLOCK_BYTES = 65536;
export const TLB_BASE = 65536; // bytes; the rest of the first 64 KiB is unused

const HART_BYTES = TLB_BASE + TLB_BLOCKS * TLB_BLOCK_BYTES;
const WASM_PAGE = 65536; // bytes
const MAX_BYTES = 2 ** 32 - WASM_PAGE;

/**
 * Physical memory and the views over it.
 *
 * Invariants:
 *   I1  every view covers the whole memory
 *   I2  base + frames * 4096 is its end
 */
export class Ram implements RamView {
  /** The most RAM there can be, bytes: the memory has 4 GiB - 64 KiB, and the hart's block is in it. */
  static readonly MAX_BYTES = MAX_BYTES - HART_BYTES;
  readonly memory: WebAssembly.Memory;
  /** Byte offset of frame 0. */
  readonly base: number;
  /** Frames of RAM. */
  readonly frames: number;
  readonly u8: Uint8Array;
  readonly i8: Int8Array;
  readonly u16: Uint16Array;
  readonly i16: Int16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly f32: Float32Array;
  readonly f64: Float64Array;

  private constructor(memory: WebAssembly.Memory, frames: number) {
    this.memory = memory;
    this.base = HART_BYTES;
    this.frames = frames;
    this.u8 = new Uint8Array(memory.buffer);
    this.i8 = new Int8Array(memory.buffer);
    this.u16 = new Uint16Array(memory.buffer);
    this.i16 = new Int16Array(memory.buffer);
    this.u32 = new Uint32Array(memory.buffer);
    this.i32 = new Int32Array(memory.buffer);
    this.f32 = new Float32Array(memory.buffer);
    this.f64 = new Float64Array(memory.buffer);
  }

  /**
   * Memory with at least `bytes` of RAM, all zero.
   * @param bytes 1 or more; rounded up to 64 KiB
   * @returns null when it cannot be had: more than 4 GiB - 64 KiB with the hart's block, or the system refuses
   */
  static create(bytes: number): Ram | null {
    const ramBytes = Math.ceil(bytes / WASM_PAGE) * WASM_PAGE;
    if (!(ramBytes > 0) || HART_BYTES + ramBytes > MAX_BYTES) return null;
    const pages = (HART_BYTES + ramBytes) / WASM_PAGE;
    try {
      return new Ram(new WebAssembly.Memory({ initial: pages, maximum: pages }), ramBytes / PAGE_SIZE);
    } catch {
      return null; // RangeError: the engine could not reserve it
    }
  }

  /** Byte offset of `frame`. */
  offsetOf(frame: HostFrame): number {
    return this.base + frame * PAGE_SIZE;
  }

  assertInvariants(): void {
    for (const view of [this.u8, this.i8, this.u16, this.i16, this.u32, this.i32, this.f32, this.f64]) {
      kassert(view.buffer === this.memory.buffer && view.byteLength === this.memory.buffer.byteLength, 'ram I1');
    }
    kassert(this.base + this.frames * PAGE_SIZE === this.u8.length, 'ram I2');
  }
}
