/**
 * The shadow tables of agile paging: where a walk begins. They have the guest's format, so one walker reads both kinds,
 * and their levels are the guest's. An entry that is neither leaf nor pointer may send the walk on to the guest's own table.
 *
 *   shadow   root -> pointer -> SWITCH                leaf -> host frame
 *                                  |
 *   guest                          +--> table -> entry -> guest frame, nested from here on
 *
 *   SWITCH   an invalid entry whose free bits in the lower half hold the number of a record: the guest's table, its
 *            address in the guest and in the host, so that its first entry needs no nested walk
 */
import { kassert } from '../../../hostkernel/base/assert.ts';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { ENTRY_INVALID, ENTRY_TABLE, type PageTableFormat } from '../../../hostkernel/machine/paging/index.ts';
import { PageTables, type ShadowFront, type TableMemory } from '../../../hostkernel/machine/timing/index.ts';

/** Where the number of a record is in the lower half of a SWITCH: `bits` bits from `shift` on. */
interface FreeBits {
  readonly shift: number;
  readonly bits: number;
}

/** Fewer free bits than these do not number the tables of a guest. */
const LEAST_BITS = 16;

/** The longest run of bits in the lower half that an invalid entry of `format` may have in any state. */
function freeBitsOf(format: PageTableFormat, emptyLo: number, emptyHi: number): FreeBits {
  const isFree = (mask: number): boolean => {
    for (let level = 1; level < format.levels; level++) if (format.kind(level, emptyLo ^ mask, emptyHi) !== ENTRY_INVALID) return false;
    return true;
  };
  let best: FreeBits = { shift: 0, bits: 0 };
  for (let shift = 0; shift < 32; shift++) {
    let bits = 0;
    let mask = 0;
    while (shift + bits < 32 && isFree(1 << (shift + bits)) && isFree(mask | (1 << (shift + bits)))) mask |= 1 << (shift + bits++);
    if (bits > best.bits) best = { shift, bits };
  }
  return best;
}

export class AgileFront implements ShadowFront {
  readonly format: PageTableFormat;
  readonly memory: TableMemory;
  readonly tables: PageTables;
  hostTable = 0;
  guestTable = 0;
  readonly #emptyLo: number;
  readonly #emptyHi: number;
  readonly #shift: number;
  readonly #mask: number;
  // Records, by number; 0 is none.
  readonly #levels: number[] = [0];
  readonly #guestTables: number[] = [0];
  readonly #hostTables: number[] = [0];
  readonly #unused: number[] = [];

  constructor(format: PageTableFormat, memory: TableMemory) {
    this.format = format;
    this.memory = memory;
    this.tables = new PageTables(format, memory);
    this.#emptyLo = format.leafLo(0, 0, 0);
    this.#emptyHi = format.leafHi(0, 0, 0);
    const { shift, bits } = freeBitsOf(format, this.#emptyLo, this.#emptyHi);
    kassert(bits >= LEAST_BITS || format.levels === 1, `agile: entries of ${format.id} have no free bits`);
    this.#shift = shift;
    this.#mask = bits === 32 ? -1 : (1 << bits) - 1;
  }

  /** Records in use. */
  get switches(): number {
    return this.#levels.length - 1 - this.#unused.length;
  }

  /** Level of the guest's table that an entry of the shadow names, or -1: it names none. Hot. */
  guestLevel(_level: number, lo: number, _hi: number): number {
    const record = ((lo ^ this.#emptyLo) >>> this.#shift) & this.#mask;
    if (record === 0) return -1;
    this.hostTable = this.#hostTables[record];
    this.guestTable = this.#guestTables[record];
    return this.#levels[record];
  }

  /** Makes the entry of `page` on `level`, whose table is there, a SWITCH to the guest's table. */
  putSwitch(root: number, level: number, page: number, guestTable: number, hostTable: number): void {
    this.#removeBelow(root, level, page);
    const record = this.#unused.pop() ?? this.#levels.length;
    kassert((record & this.#mask) === record, 'agile: more tables than a SWITCH can name');
    this.#levels[record] = level - 1;
    this.#guestTables[record] = guestTable;
    this.#hostTables[record] = hostTable;
    const address = this.tables.entryAt(root, level, page);
    this.tables.writeEntry(root, level, address, page, this.#emptyLo ^ (record << this.#shift), this.#emptyHi);
  }

  /** Puts an empty table of `level` in the place of the SWITCH above it. */
  putTable(root: number, level: number, page: number): void {
    this.#removeBelow(root, level + 1, page);
    this.tables.makeEntryAt(root, level, page);
  }

  /** Empties the entry of `page` on `level`, whose table is there. */
  clear(root: number, level: number, page: number): void {
    this.#removeBelow(root, level, page);
  }

  destroyRoot(root: number): void {
    this.#releaseBelow(this.format.levels - 1, this.tables.topTable(root));
    this.tables.destroyRoot(root);
  }

  /** Whether the walk for `page` goes on in the guest's table. */
  switchesAt(root: number, page: number): boolean {
    const { format, tables } = this;
    for (let level = format.levels - 1; level > 0; level--) {
      const address = tables.entryAt(root, level, page);
      if (address < 0) return false;
      tables.readEntry(address);
      const { lo, hi } = this.memory;
      const kind = format.kind(level, lo, hi);
      if (kind === ENTRY_INVALID) return this.guestLevel(level, lo, hi) >= 0;
      if (kind !== ENTRY_TABLE) return false;
    }
    return false;
  }

  /** Whether a SWITCH leads to a table in the guest's frame. */
  hasSwitchTo(frame: number): boolean {
    for (let record = 1; record < this.#levels.length; record++) {
      if (this.#levels[record] >= 0 && Math.floor(this.#guestTables[record] / PAGE_SIZE) === frame) return true;
    }
    return false;
  }

  /** Makes the entry of `page` on `level` empty, with all below it. */
  #removeBelow(root: number, level: number, page: number): void {
    const { format, tables, memory } = this;
    const address = tables.entryAt(root, level, page);
    kassert(address >= 0, 'agile: no table for the entry');
    tables.readEntry(address);
    const { lo, hi } = memory;
    const kind = format.kind(level, lo, hi);
    const span = format.span(level);
    const first = page - (page % span);
    if (kind === ENTRY_INVALID) {
      if (this.#release(lo)) tables.writeEntry(root, level, address, first, this.#emptyLo, this.#emptyHi);
      return;
    }
    if (kind === ENTRY_TABLE) this.#releaseBelow(level - 1, format.tableAddress(level, lo, hi));
    tables.unmap(root, first, span);
  }

  /** Gives back the records of a table and of those below it. */
  #releaseBelow(level: number, table: number): void {
    if (level === 0) return;
    const { format, tables, memory } = this;
    const end = table + format.tableBytes(level);
    for (let at = table; at < end; at += format.entryBytes) {
      tables.readEntry(at);
      const { lo, hi } = memory;
      const kind = format.kind(level, lo, hi);
      if (kind === ENTRY_TABLE) this.#releaseBelow(level - 1, format.tableAddress(level, lo, hi));
      else if (kind === ENTRY_INVALID) this.#release(lo);
    }
  }

  /** Gives back the record of an invalid entry. @returns whether it had one */
  #release(lo: number): boolean {
    const record = ((lo ^ this.#emptyLo) >>> this.#shift) & this.#mask;
    if (record === 0) return false;
    this.#levels[record] = -1;
    this.#unused.push(record);
    return true;
  }
}
