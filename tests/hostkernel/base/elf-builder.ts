/** Builds small ELF files for tests: a header, program headers, and the segments' bytes page by page behind them. */

export interface SegmentSpec {
  readonly va: number;
  readonly bytes: Uint8Array;
  readonly memBytes?: number; // default: bytes.length
  readonly flags?: number; // PF_R 4, PF_W 2, PF_X 1; default 5
}

export interface ElfSpec {
  readonly xlen: 32 | 64;
  readonly entry: number;
  readonly segments: readonly SegmentSpec[];
  readonly type?: number; // default ET_EXEC
  readonly machine?: number; // default EM_RISCV
  readonly flags?: number;
  readonly interpreter?: string;
}

/** The file of `spec`. Segments start on a page of the file, congruent with their address. */
export function buildElf(spec: ElfSpec): Uint8Array {
  const wide = spec.xlen === 64;
  const ehsize = wide ? 64 : 52;
  const phentsize = wide ? 56 : 32;
  const phnum = spec.segments.length + (spec.interpreter === undefined ? 0 : 1);
  let end = 4096 * Math.ceil((ehsize + phnum * phentsize) / 4096);
  const places = spec.segments.map((segment) => {
    const offset = end + (segment.va % 4096);
    end = 4096 * Math.ceil((offset + segment.bytes.length) / 4096);
    return offset;
  });
  const name = new TextEncoder().encode(`${spec.interpreter ?? ''}\0`);
  const file = new Uint8Array(end + name.length);
  const view = new DataView(file.buffer);
  const word = (at: number, value: number): void => {
    view.setUint32(at, value % 2 ** 32, true);
    if (wide) view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  };
  file.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1]);
  view.setUint16(16, spec.type ?? 2, true);
  view.setUint16(18, spec.machine ?? 243, true);
  view.setUint32(20, 1, true);
  word(24, spec.entry);
  word(wide ? 32 : 28, ehsize);
  const flagsAt = wide ? 48 : 36;
  view.setUint32(flagsAt, spec.flags ?? 5, true); // RVC, double-float ABI
  view.setUint16(flagsAt + 4, ehsize, true);
  view.setUint16(flagsAt + 6, phentsize, true);
  view.setUint16(flagsAt + 8, phnum, true);

  const header = (
    at: number,
    h: { type: number; flags: number; offset: number; va: number; filesz: number; memsz: number; align: number },
  ): void => {
    view.setUint32(at, h.type, true);
    view.setUint32(at + (wide ? 4 : 24), h.flags, true);
    word(at + (wide ? 8 : 4), h.offset);
    word(at + (wide ? 16 : 8), h.va);
    word(at + (wide ? 24 : 12), h.va);
    word(at + (wide ? 32 : 16), h.filesz);
    word(at + (wide ? 40 : 20), h.memsz);
    word(at + (wide ? 48 : 28), h.align);
  };
  spec.segments.forEach((segment, i) => {
    const filesz = segment.bytes.length;
    const memsz = segment.memBytes ?? filesz;
    header(ehsize + i * phentsize, { type: 1, flags: segment.flags ?? 5, offset: places[i], va: segment.va, filesz, memsz, align: 4096 });
    file.set(segment.bytes, places[i]);
  });
  if (spec.interpreter !== undefined) {
    header(ehsize + (phnum - 1) * phentsize, { type: 3, flags: 4, offset: end, va: 0, filesz: name.length, memsz: name.length, align: 1 });
    file.set(name, end);
  }
  return file;
}

/** A text segment of instruction words. */
export function code(words: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(words).buffer);
}
