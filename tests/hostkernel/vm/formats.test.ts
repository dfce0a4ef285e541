/** Every page-table format as that of a virtual page table: tables of any size, in either byte order, leaves of any size. */

import { describe, expect, test } from 'vitest';
import { EXEC, PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { ATTR_ACCESSED, ATTR_DIRTY, ATTR_USER, LAYOUT_NAMES, type PageTableFormat } from '../../../hostkernel/machine/index.ts';
import { MAP_FIXED, MAP_SHARED, MAP_VPAGETABLE, MAX_OBJECT_PAGES, type VmObject, type VmSpace } from '../../../hostkernel/vm/index.ts';
import { formatOf, Rig, RWX } from './rig.ts';

const ALL = READ | WRITE | EXEC | ATTR_USER;

/** A frame away from the tables that a leaf of `level` can name; 0: there is none. */
function frameFor(format: PageTableFormat, level: number): number {
  for (let frame = 2 ** 20; frame >= Math.max(512, format.span(level)); frame /= 2) {
    if (format.frame(level, format.leafLo(level, frame, ALL), format.leafHi(level, frame, ALL)) === frame) return frame;
  }
  return 0;
}

/** Tables in an image, one path down, made with the format's own encoders. */
class Tables {
  readonly format: PageTableFormat;
  readonly image: VmObject;
  readonly #address: number[] = []; // by level: of the table
  #end = 0;

  constructor(format: PageTableFormat, image: VmObject) {
    this.format = format;
    this.image = image;
    for (let level = format.levels - 1; level >= 0; level--) {
      const align = Math.max(format.tableAlign(level), PAGE_SIZE);
      this.#address[level] = Math.ceil(this.#end / align) * align;
      this.#end = this.#address[level] + format.tableBytes(level);
    }
  }

  /** Makes this the table behind [0, len) of `space`. */
  plug(space: VmSpace, len: number): void {
    const address = this.#address[this.format.levels - 1];
    expect(space.setRoot(0, len, this.format.rootLo(address), this.format.rootHi(address))).toBe(0);
  }

  /** Points from the root to the table of `level` that has `page`. */
  descend(page: number, level: number): void {
    for (let at = this.format.levels - 1; at > level; at--) {
      const below = this.#address[at - 1];
      this.#store(at, page, this.format.tableLo(at, below), this.format.tableHi(at, below));
    }
  }

  leaf(page: number, level: number, frame: number, attributes: number): void {
    this.descend(page, level);
    this.#store(level, page, this.format.leafLo(level, frame, attributes), this.format.leafHi(level, frame, attributes));
  }

  /** What the leaf of `page` on `level` says of itself now. */
  attributes(page: number, level: number): number {
    const bytes = new Uint8Array(this.format.entryBytes);
    this.image.read(this.#at(level, page), bytes);
    const view = new DataView(bytes.buffer);
    const little = !this.format.bigEndian;
    const first = view.getInt32(0, little);
    if (this.format.entryBytes === 4) return this.format.attributes(level, first, 0);
    const second = view.getInt32(4, little);
    return little ? this.format.attributes(level, first, second) : this.format.attributes(level, second, first);
  }

  #at(level: number, page: number): number {
    return this.#address[level] + this.format.index(level, page) * this.format.entryBytes;
  }

  #store(level: number, page: number, lo: number, hi: number): void {
    const bytes = new Uint8Array(this.format.entryBytes);
    const view = new DataView(bytes.buffer);
    const little = !this.format.bigEndian;
    if (bytes.length === 4) view.setInt32(0, lo, little);
    else {
      view.setInt32(little ? 0 : 4, lo, little);
      view.setInt32(little ? 4 : 0, hi, little);
    }
    expect(this.image.write(this.#at(level, page), bytes)).toBe(bytes.length);
  }
}

describe.each(LAYOUT_NAMES.map((name) => [name]))('%s', (name) => {
  const format = formatOf(name);
  const preset = (format.hardwareAccessed ? 0 : ATTR_ACCESSED) | (format.hardwareDirty ? 0 : ATTR_DIRTY);
  const levels = Array.from({ length: format.levels }, (_, level) => level).filter(
    (level) => format.hasLeaf(level) && frameFor(format, level) > 0,
  );

  test.each(levels.map((level) => [level]))('a leaf of level %i leads to its frames, piece by piece, and is marked', (level) => {
    const rig = new Rig({ frames: 512, mmu: 'sv48' });
    rig.space.vpteFormat = format;
    const image = rig.vm.createObject(MAX_OBJECT_PAGES);
    const tables = new Tables(format, image);
    const span = format.span(level);
    const frame = frameFor(format, level);
    const page = span * 3;
    const len = Math.min(rig.space.userEnd, format.span(format.levels) * PAGE_SIZE);
    const flags = MAP_FIXED | MAP_SHARED | MAP_VPAGETABLE;
    expect(rig.space.mmap({ addr: 0, len, prot: RWX, flags, object: image, offset: 0 })).toBe(0);
    tables.leaf(page, level, frame, ALL | preset);
    tables.plug(rig.space, len);
    const pieces = [...new Set([0, 1, span - 1])].filter((piece) => piece < span);
    const seen = new Uint8Array(4);
    for (const piece of pieces) {
      const va = (page + piece) * PAGE_SIZE;
      expect(rig.load32(va)).toBe(0);
      if (format.hasAccessed) expect(tables.attributes(page, level) & ATTR_ACCESSED).toBe(ATTR_ACCESSED);
      expect(rig.store32(va, 1000 + piece)).toBe(0);
      if (format.hasDirty) expect(tables.attributes(page, level) & ATTR_DIRTY).toBe(ATTR_DIRTY);
      image.read((frame + piece) * PAGE_SIZE, seen);
      expect(new DataView(seen.buffer).getUint32(0, true)).toBe(1000 + piece);
      expect(rig.space.peek(va, seen)).toBe(4);
      expect(new DataView(seen.buffer).getUint32(0, true)).toBe(1000 + piece);
      expect(rig.space.mincore(va, PAGE_SIZE)).toEqual(Uint8Array.of(1));
    }
    rig.vm.assertInvariants();
  });
});
