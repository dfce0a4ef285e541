/**
 * pmap(9): what the machine-independent VM asks of whatever holds the real translations. hardware-pmap.ts implements it
 * on the page tables of the machine, hardware.ts what concerns all of them. A pmap is a cache: the VM may drop any
 * translation at any time, and makes it again on the next fault.
 *
 *   vm_fault, vm_map  ->  Pmap (one a space), PmapSystem (all of them)  ->  page tables, TLB
 *                                            |
 *                                            +-> PageSource: frames for tables, what became of a page's A and D bits
 */

import type { Access, HostFrame, VirtualPage } from '../base/units.ts';

/** What a pmap needs from the page allocator above it. Frame 0 is never a page: it stands for none. */
export interface PageSource {
  /** Frames that could be allocated now. */
  readonly freeFrames: number;
  /**
   * Zeroed frames for a page table, or 0.
   * @param frames power of two, 1 by default: so many that follow each other, the first a multiple of it
   */
  allocateTable(frames?: number): HostFrame;
  /** Takes the frames of a table back, as many as were asked for. */
  freeTable(first: HostFrame, frames?: number): void;
  /** A real PTE of `frame` is gone or was cleaned; it had been used, and if `modified` written through. */
  foldReferenced(frame: HostFrame, modified: boolean): void;
}

/** The real translations of one address space. Ranges are half open, in virtual pages. */
export interface Pmap {
  /** Pages this pmap translates. */
  readonly mapped: number;

  /**
   * Makes `page` translate to `frame` with `rights`, in place of whatever it translated to. `access` is the access that
   * follows: its accessed (and for a write its modified) bit is set now. The page gets the least rights the hardware has
   * that contain these (see granted); where it has no modified bit, WRITE only once it is written: the first write faults.
   * A full table of frames in a row may become one large page, which nobody above notices. Hot: allocates no objects.
   * @returns whether it was done; false: no frame for a page table, and nothing has changed
   */
  enter(page: VirtualPage, frame: HostFrame, access: Access, rights: Access): boolean;

  /** Drops the translations in [start, end). Their accessed and modified bits go to the pages. */
  remove(start: VirtualPage, end: VirtualPage): void;

  /** Takes away the rights not in `rights` from the translations in [start, end); never adds one. */
  protect(start: VirtualPage, end: VirtualPage, rights: Access): void;

  /** The frame `page` translates to, or 0. */
  extract(page: VirtualPage): HostFrame;

  /** The rights `page` is mapped with, or 0. */
  rights(page: VirtualPage): Access;

  /** What a page entered with `rights` may really do: READ with WRITE, and what the hardware cannot tell apart. */
  granted(rights: Access): Access;

  /** Drops everything, table pages included. The pmap must not be used again. */
  destroy(): void;
}

/** What concerns the real PTEs of a frame, wherever they are. */
export interface PmapSystem {
  /** Drops every real PTE of `frame`, in all pmaps. Afterwards nobody can reach it without a fault. */
  removeAll(frame: HostFrame): void;

  /**
   * Moves the accessed and modified bits of all real PTEs of `frame` into the page: reads and clears them. Where hardware
   * has no accessed bits the PTEs go, so that the next access shows itself by a fault.
   * @returns whether one of them had been accessed since the last time
   */
  harvest(frame: HostFrame): boolean;

  /** Takes WRITE from every real PTE of `frame`: the next write faults. Modified bits go to the page. */
  writeProtect(frame: HostFrame): void;

  /** Whether any real PTE maps `frame`. */
  isMapped(frame: HostFrame): boolean;
}
