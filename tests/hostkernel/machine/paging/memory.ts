/** Table memory for the reference walk: what is not stored reads as zero. */
import type { ReferenceMemory, U64 } from '../../../../hostkernel/machine/paging/index.ts';

export function u64(text: string | bigint): U64 {
  const value = BigInt(text);
  return { lo: Number(value & 0xffff_ffffn), hi: Number(value >> 32n) };
}

export function bigintOf({ lo, hi }: U64): bigint {
  return (BigInt(hi) << 32n) | BigInt(lo);
}

export function hexOf(value: U64): string {
  return `0x${bigintOf(value).toString(16)}`;
}

export class SparseMemory implements ReferenceMemory {
  readonly entries = new Map<bigint, bigint>();
  readonly #mask: bigint;

  constructor(entryBytes: 4 | 8, mem: readonly (readonly [string, string])[]) {
    this.#mask = 2n ** BigInt(8 * entryBytes) - 1n;
    for (const [address, entry] of mem) this.entries.set(BigInt(address), BigInt(entry));
  }

  read(address: U64): U64 {
    return u64((this.entries.get(bigintOf(address)) ?? 0n) & this.#mask);
  }

  write(address: U64, entry: U64): void {
    this.entries.set(bigintOf(address), bigintOf(entry));
  }
}
