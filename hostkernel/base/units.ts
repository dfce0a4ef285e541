/**
 * Units: page numbers that must not be mixed up, and the page size they count in.
 *
 *   VirtualPage   page number of an address space          va / PAGE_SIZE
 *   HostFrame     page number in the machine's RAM         what a hardware page table names
 *   GuestFrame    page number in a memory image            what a virtual page table names
 *   ObjectPage    page index inside a vm_object
 *
 * A brand is put on where a number enters (a decoder, an allocator); arithmetic drops it again.
 */

declare const brand: unique symbol;

export type VirtualPage = number & { readonly [brand]: 'VirtualPage' };
export type HostFrame = number & { readonly [brand]: 'HostFrame' };
export type GuestFrame = number & { readonly [brand]: 'GuestFrame' };
export type ObjectPage = number & { readonly [brand]: 'ObjectPage' };

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096; // bytes
export const PAGE_MASK = 4095;

/** What an access wants, or what a mapping permits: PROT_* bits. */
export type Access = number;
export const READ = 1;
export const WRITE = 2;
export const EXEC = 4;

/** Whole pages that hold `bytes`, rounded up. Exact below 2^53. */
export function pagesOf(bytes: number): number {
  return Math.ceil(bytes / PAGE_SIZE);
}

/** `bytes` rounded up to whole pages, in bytes. Exact below 2^53. */
export function pageAlign(bytes: number): number {
  return Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
}

/** Whether a byte address or length is a whole number of pages. */
export function isPageAligned(bytes: number): boolean {
  return bytes % PAGE_SIZE === 0;
}

const POWERS = Float64Array.from({ length: 64 }, (_, n) => 2 ** n);

/** 2^n, 0 <= n < 64, exact. Hot: what `2 ** n` calls for an unknown n takes longer than all that is done with it. */
export function powerOf2(n: number): number {
  return POWERS[n];
}

/** n mod `power`, a power of 2; 0 <= n <= 2^53. Hot: % of doubles is a loop of the processor's slowest instruction. */
export function modPowerOf2(n: number, power: number): number {
  return n - Math.floor(n / power) * power;
}
