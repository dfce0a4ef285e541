/**
 * ELF: what must be known of a RISC-V program file before it can be loaded.
 *
 *   file header ──> program headers ──> segments: bytes [fileOffset, +fileBytes) of the file at va, zeros up to memBytes
 *
 * A pure function from bytes to a description. The bytes are hostile: every field is checked against the file before
 * it is believed, and what cannot be loaded is refused in one line. Mapping the segments is the loader's work (the
 * host's kern/exec.ts; a guest kernel has its own); section headers and symbols are not looked at.
 * Source: System V gABI, chapters 4 and 5; RISC-V ELF psABI 1.0, section 8.1 for e_flags.
 */

import { type Access, EXEC, READ, WRITE } from './units.ts';

/** One PT_LOAD. All numbers are bytes; 0 <= fileBytes <= memBytes, memBytes > 0, va + memBytes <= 2^53. */
export interface ElfSegment {
  readonly va: number; // relative to the load address if the file is position independent
  readonly memBytes: number;
  readonly fileOffset: number;
  readonly fileBytes: number;
  readonly rights: Access;
}

/** First address behind a segment. */
function endOf(segment: ElfSegment): number {
  return segment.va + segment.memBytes;
}

/** A file that can be loaded. */
export interface ElfImage {
  readonly xlen: 32 | 64;
  readonly positionIndependent: boolean; // ET_DYN: every va and the entry are relative to an address the loader picks
  readonly entry: number;
  readonly segments: readonly ElfSegment[]; // ascending, not overlapping, at least one
  readonly start: number; // of the first segment
  readonly end: number; // of the last segment; its bytes end here
  readonly align: number; // the largest p_align, bytes, a power of two, >= 1
  readonly phdrVa: number; // where the program headers are in memory, 0 if no segment holds them
  readonly phentsize: number;
  readonly phnum: number;
  readonly interpreter: string | null; // PT_INTERP: the program that must load this one
  readonly executableStack: boolean;
}

const ET_EXEC = 2;
const ET_DYN = 3;
const EM_RISCV = 243;
const PT_LOAD = 1;
const PT_INTERP = 3;
const PT_PHDR = 6;
const PT_GNU_STACK = 0x6474_e551;
const PF_X = 1;
const PF_W = 2;
const PF_R = 4;
const EF_RISCV_FLOAT_ABI = 6; // mask; both bits set is the quad-precision calling convention
const EF_RISCV_RVE = 8;

const MAX_PHDR_BYTES = 65536; // of all program headers, as Linux has it
const MAX_INTERPRETER_BYTES = 4096;

const TYPE_NAMES: ReadonlyMap<number, string> = new Map([
  [0, 'a file without type'],
  [1, 'a relocatable object'],
  [4, 'a core dump'],
]);

const MACHINE_NAMES: ReadonlyMap<number, string> = new Map([
  [2, 'sparc'],
  [3, 'i386'],
  [8, 'mips'],
  [20, 'powerpc'],
  [21, 'powerpc64'],
  [22, 's390'],
  [40, 'arm'],
  [62, 'x86-64'],
  [183, 'aarch64'],
  [258, 'loongarch'],
]);

/** Offsets of the fields that differ between the two classes, bytes. `word` is the size of an address. */
interface Layout {
  readonly word: 4 | 8;
  readonly ehsize: number;
  readonly flags: number;
  readonly phentsize: number;
  readonly pFlags: number;
  readonly pOffset: number;
  readonly pVaddr: number;
  readonly pFilesz: number;
  readonly pMemsz: number;
  readonly pAlign: number;
}

const ELF32: Layout = {
  word: 4,
  ehsize: 52,
  flags: 36,
  phentsize: 32,
  pFlags: 24,
  pOffset: 4,
  pVaddr: 8,
  pFilesz: 16,
  pMemsz: 20,
  pAlign: 28,
};
const ELF64: Layout = {
  word: 8,
  ehsize: 64,
  flags: 48,
  phentsize: 56,
  pFlags: 4,
  pOffset: 8,
  pVaddr: 16,
  pFilesz: 32,
  pMemsz: 40,
  pAlign: 48,
};

/**
 * Reads the headers of a program file.
 * @param bytes the whole file; not changed, not kept
 * @returns the description, or why there is none: one line for a person, without the file's name
 */
export function parseElf(bytes: Uint8Array): ElfImage | string {
  if (bytes.length < 4 || bytes[0] !== 0x7f || bytes[1] !== 0x45 || bytes[2] !== 0x4c || bytes[3] !== 0x46) return 'not an ELF file';
  if (bytes.length < 16) return 'truncated ELF header';
  if (bytes[4] !== 1 && bytes[4] !== 2) return `unknown ELF class ${bytes[4]}`;
  if (bytes[5] !== 1) return bytes[5] === 2 ? 'big-endian, needs little-endian' : `unknown ELF data encoding ${bytes[5]}`;
  if (bytes[6] !== 1) return `unknown ELF version ${bytes[6]}`;
  const layout = bytes[4] === 1 ? ELF32 : ELF64;
  if (bytes.length < layout.ehsize) return 'truncated ELF header';

  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const refusal = checkHeader(view, layout);
  if (refusal !== null) return refusal;
  return readProgramHeaders(bytes, view, layout);
}

/** Checks everything in the file header but the program header table's place; null if the file is a RISC-V program. */
function checkHeader(view: DataView, layout: Layout): string | null {
  const machine = view.getUint16(18, true);
  if (machine !== EM_RISCV) return `wrong machine: ${MACHINE_NAMES.get(machine) ?? `number ${machine}`}, needs riscv`;
  const type = view.getUint16(16, true);
  if (type !== ET_EXEC && type !== ET_DYN) return `${TYPE_NAMES.get(type) ?? `a file of type ${type}`}, not a program`;
  if (view.getUint32(20, true) !== 1) return `unknown ELF version ${view.getUint32(20, true)}`;
  const flags = view.getUint32(layout.flags, true);
  if ((flags & EF_RISCV_RVE) !== 0) return 'needs the RV32E/RV64E base with 16 registers';
  if ((flags & EF_RISCV_FLOAT_ABI) === EF_RISCV_FLOAT_ABI) return 'needs quad-precision floating point';
  if (view.getUint16(layout.flags + 4, true) !== layout.ehsize) return 'wrong ELF header size';
  if (view.getUint16(layout.flags + 6, true) !== layout.phentsize) return 'wrong program header size';
  return null;
}

function readProgramHeaders(bytes: Uint8Array, view: DataView, layout: Layout): ElfImage | string {
  const entry = readWord(view, 24, layout);
  const phoff = readWord(view, 24 + layout.word, layout);
  const phnum = view.getUint16(layout.flags + 8, true);
  if (phnum === 0) return 'no program headers';
  if (phnum * layout.phentsize > MAX_PHDR_BYTES) return 'too many program headers';
  if (phoff < layout.ehsize || phoff + phnum * layout.phentsize > bytes.length) return 'truncated program headers';

  const segments: ElfSegment[] = [];
  let align = 1;
  let phdrVa = -1; // as PT_PHDR says
  let interpreter: string | null = null;
  let executableStack = false;
  for (let at = phoff; at < phoff + phnum * layout.phentsize; at += layout.phentsize) {
    const type = view.getUint32(at, true);
    const flags = view.getUint32(at + layout.pFlags, true);
    const fileOffset = readWord(view, at + layout.pOffset, layout);
    const fileBytes = readWord(view, at + layout.pFilesz, layout);
    if (type === PT_LOAD) {
      const segment = readSegment(view, at, layout, bytes.length);
      if (typeof segment === 'string') return segment;
      if (segment.memBytes === 0) continue;
      segments.push(segment);
      align = Math.max(align, readWord(view, at + layout.pAlign, layout));
    } else if (type === PT_INTERP) {
      if (fileBytes < 2 || fileBytes > MAX_INTERPRETER_BYTES || fileOffset + fileBytes > bytes.length) return 'bad interpreter name';
      interpreter = readName(bytes.subarray(fileOffset, fileOffset + fileBytes));
      if (interpreter === null) return 'bad interpreter name';
    } else if (type === PT_PHDR) {
      phdrVa = readWord(view, at + layout.pVaddr, layout);
    } else if (type === PT_GNU_STACK) {
      executableStack = (flags & PF_X) !== 0;
    }
  }

  // Ascending order is the standard's rule, but linkers for bare machines break it, and Linux does not mind.
  segments.sort((a, b) => a.va - b.va);
  if (segments.some((segment, i) => i > 0 && segment.va < endOf(segments[i - 1]))) return 'segments overlap';
  const first = segments[0];
  const last = segments.at(-1);
  if (first === undefined || last === undefined) return 'no segment to load';
  const code = segments.find((segment) => entry >= segment.va && entry < segment.va + segment.memBytes);
  if (code === undefined || (code.rights & EXEC) === 0) return 'entry point outside the executable segments';
  if (entry % 2 !== 0) return 'odd entry point';
  return {
    xlen: layout.word === 4 ? 32 : 64,
    positionIndependent: view.getUint16(16, true) === ET_DYN,
    entry,
    segments,
    start: first.va,
    end: endOf(last),
    align,
    phdrVa: headersInMemory(segments, phoff, phnum * layout.phentsize, phdrVa),
    phentsize: layout.phentsize,
    phnum,
    interpreter,
    executableStack,
  };
}

/** One PT_LOAD, or why the file is refused because of it. */
function readSegment(view: DataView, at: number, layout: Layout, length: number): ElfSegment | string {
  const va = readWord(view, at + layout.pVaddr, layout);
  const memBytes = readWord(view, at + layout.pMemsz, layout);
  const fileOffset = readWord(view, at + layout.pOffset, layout);
  const fileBytes = readWord(view, at + layout.pFilesz, layout);
  const align = readWord(view, at + layout.pAlign, layout);
  if (fileBytes > memBytes) return 'segment larger in the file than in memory';
  if (fileBytes > 0 && fileOffset + fileBytes > length) return 'truncated segment';
  if (va + memBytes > (layout.word === 4 ? 2 ** 32 : 2 ** 53)) return 'segment beyond the address space';
  if (align > 2 ** 40 || (align > 1 && Math.log2(align) % 1 !== 0)) return 'segment alignment is not a power of two';
  if (align > 1 && va % align !== fileOffset % align) return 'misaligned segment';
  const flags = view.getUint32(at + layout.pFlags, true);
  const rights = ((flags & PF_R) !== 0 ? READ : 0) | ((flags & PF_W) !== 0 ? WRITE : 0) | ((flags & PF_X) !== 0 ? EXEC : 0);
  // A segment of zeros may claim to lie behind the end of the file: that is where the linker was when it came to it.
  return { va, memBytes, fileOffset: fileBytes === 0 ? 0 : fileOffset, fileBytes, rights };
}

/** Where in memory the program headers are: as PT_PHDR claims if that is true, else by their place in the file; or 0. */
function headersInMemory(segments: readonly ElfSegment[], phoff: number, length: number, claimed: number): number {
  for (const { va, fileOffset, fileBytes } of segments) {
    const at = va + (phoff - fileOffset);
    const inside = phoff >= fileOffset && phoff + length <= fileOffset + fileBytes;
    if (inside && (claimed < 0 || claimed === at)) return at;
  }
  return 0;
}

/** A u32 or u64 field. Above 2^53 the value is not exact, but still above 2^53: no check lets it pass. */
function readWord(view: DataView, at: number, layout: Layout): number {
  const lo = view.getUint32(at, true);
  return layout.word === 4 ? lo : view.getUint32(at + 4, true) * 2 ** 32 + lo;
}

/** A file name as PT_INTERP has it: printable ASCII up to a NUL that ends the field; null if it is anything else. */
function readName(field: Uint8Array): string | null {
  if (field.at(-1) !== 0) return null;
  const name = field.subarray(0, -1);
  return name.every((byte) => byte > 0x20 && byte < 0x7f) ? String.fromCharCode(...name) : null;
}
