/** Page tables made with the codec of a format, in a piece of RAM: what a kernel would do, without the kernel. */
import { PAGE_SIZE } from '../../../../hostkernel/base/units.ts';
import { ENTRY_INVALID, type PageTableFormat, swap32, type WalkMemory } from '../../../../hostkernel/machine/paging/index.ts';

/** RAM of `bytes` bytes, behind `base` bytes of something else. */
export function ramOf(bytes: number, base = 8192): WalkMemory {
  return { base, frames: bytes / PAGE_SIZE, i32: new Int32Array((base + bytes) / 4) };
}

/** An entry at byte `address`, in halves. */
export function readEntry({ bigEndian, entryBytes }: PageTableFormat, ram: WalkMemory, address: number): { lo: number; hi: number } {
  const word = (ram.base + address) / 4;
  const first = ram.i32[word];
  if (entryBytes === 4) return { lo: bigEndian ? swap32(first) : first, hi: 0 };
  const second = ram.i32[word + 1];
  return bigEndian ? { lo: swap32(second), hi: swap32(first) } : { lo: first, hi: second };
}

export function writeEntry({ bigEndian, entryBytes }: PageTableFormat, ram: WalkMemory, address: number, lo: number, hi: number): void {
  const word = (ram.base + address) / 4;
  if (entryBytes === 4) ram.i32[word] = bigEndian ? swap32(lo) : lo;
  else {
    ram.i32[word] = bigEndian ? swap32(hi) : lo;
    ram.i32[word + 1] = bigEndian ? swap32(lo) : hi;
  }
}

/** A tree of tables. Tables are taken one after the other from byte `next` of the RAM on. */
export class TableTree {
  readonly format: PageTableFormat;
  readonly ram: WalkMemory;
  readonly root: number; // byte address of the root table
  next: number;

  constructor(format: PageTableFormat, ram: WalkMemory, start: number) {
    this.format = format;
    this.ram = ram;
    this.next = start;
    this.root = this.#take(format.levels - 1);
  }

  /** The value of a root register: as an entry, where the format's is one; for a context table, its entry is made first. */
  register(): number {
    const { descriptor, rootIsEntry } = this.format;
    const value = (this.format.rootHi(this.root) >>> 0) * 2 ** 32 + (this.format.rootLo(this.root) >>> 0);
    if (descriptor.root.kind === 'value') return value;
    if (descriptor.levels[0].bits > 0 || !rootIsEntry) return this.root;
    const context = this.#takeBytes(64, 64);
    writeEntry(this.format, this.ram, context, this.format.rootLo(this.root), this.format.rootHi(this.root));
    return context;
  }

  /** Address of the entry of `page` on `level`; tables on the way are made. */
  entryAt(level: number, page: number): number {
    const { format } = this;
    let table = this.root;
    for (let at = format.levels - 1; ; at--) {
      const address = table + format.index(at, page) * format.entryBytes;
      if (at === level) return address;
      const { lo, hi } = readEntry(format, this.ram, address);
      if (format.kind(at, lo, hi) === ENTRY_INVALID) {
        table = this.#take(at - 1);
        writeEntry(format, this.ram, address, format.tableLo(at, table), format.tableHi(at, table));
      } else table = format.tableAddress(at, lo, hi);
    }
  }

  /** Maps `page`, the first of a leaf's on `level`, to `frame`. Returns the address of the entry. */
  map(page: number, frame: number, attributes: number, level = 0): number {
    const address = this.entryAt(level, page);
    const { format } = this;
    writeEntry(format, this.ram, address, format.leafLo(level, frame, attributes), format.leafHi(level, frame, attributes));
    return address;
  }

  /** An empty table of `level`. */
  #take(level: number): number {
    return this.#takeBytes(this.format.tableBytes(level), Math.max(PAGE_SIZE, this.format.tableAlign(level)));
  }

  #takeBytes(bytes: number, align: number): number {
    const table = Math.ceil(this.next / align) * align;
    this.next = table + bytes;
    if (this.next > this.ram.frames * PAGE_SIZE) throw new Error('out of RAM for tables');
    const emptyLo = this.format.kind(0, 0, 0) === 0 ? 0 : 1; // vpte-2006: a zero entry is valid
    if (emptyLo !== 0) for (let at = 0; at < bytes; at += this.format.entryBytes) writeEntry(this.format, this.ram, table + at, emptyLo, 0);
    return table;
  }
}
