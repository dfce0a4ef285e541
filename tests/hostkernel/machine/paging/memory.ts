/** Table memory for the reference walk: what is not stored reads as zero. */
import type { LayoutDescriptor, ReferenceMemory, U64, WalkMemory } from '../../../../hostkernel/machine/paging/index.ts';

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

/**
 * RAM for the compiled walk: 2 GiB + 16 MiB of zeros, where the vectors' tables fit at their own addresses. Untouched
 * pages cost nothing. Entries are stored as the layout's byte order has them.
 */
export class TableRam implements WalkMemory {
  readonly base = 0;
  readonly frames = (2 ** 31 + 2 ** 24) / 4096;
  readonly i32 = new Int32Array((2 ** 31 + 2 ** 24) / 4);
  #loaded: { readonly layout: LayoutDescriptor; readonly address: number; readonly entry: string }[] = [];

  /** Stores entries of a table of `layout`. */
  load(layout: LayoutDescriptor, mem: readonly (readonly [string, string])[]): void {
    for (const [address, entry] of mem) {
      this.#loaded.push({ layout, address: Number(address), entry: `0x${BigInt(entry).toString(16)}` });
      this.#view(layout, Number(address), BigInt(entry));
    }
  }

  /** Which entries of `layout` have changed since, with their new values; clears them. */
  takeChanges(layout: LayoutDescriptor): readonly (readonly [string, string])[] {
    const changes = this.#loaded
      .filter((one) => one.layout === layout)
      .map(({ address, entry }) => [address, entry, `0x${this.#view(layout, address, null).toString(16)}`] as const)
      .filter(([, before, after]) => before !== after)
      .map(([address, , after]) => [`0x${address.toString(16)}`, after] as const);
    for (const { address } of this.#loaded.filter((one) => one.layout === layout)) this.#view(layout, address, 0n);
    this.#loaded = this.#loaded.filter((one) => one.layout !== layout);
    return changes.toSorted(([a], [b]) => Number(a) - Number(b));
  }

  #view({ endian, entryBytes }: LayoutDescriptor, address: number, entry: bigint | null): bigint {
    const view = new DataView(this.i32.buffer, address, entryBytes);
    const little = endian === 'le';
    if (entry !== null) {
      if (entryBytes === 8) view.setBigUint64(0, entry, little);
      else view.setUint32(0, Number(entry), little);
    }
    return entryBytes === 8 ? view.getBigUint64(0, little) : BigInt(view.getUint32(0, little));
  }
}
