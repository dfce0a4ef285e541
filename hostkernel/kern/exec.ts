/**
 * Exec: puts an ELF program into an empty space and builds the stack it starts on. The headers have been checked by
 * base/elf.ts; what is left is whether they fit this machine and this space.
 *
 *   0        image: segments         heap (brk) -->        mappings          <-- stack        userEnd
 *   |--------|======|===|===========|------>---------------|====|------------|======|=guard=|
 *
 *   sp -> argc | argv[0..] 0 | envp[0..] 0 | auxv pairs .. AT_NULL 0 | 16 random bytes | strings | stack top
 *         words of xlen bits, sp a multiple of 16
 *
 * Source: System V ABI, process initialization; RISC-V ELF psABI; Linux's auxiliary vector.
 */

import { type ElfImage, type ElfSegment } from '../base/elf.ts';
import { E2BIG, ENOEXEC, ENOMEM, errnoName } from '../base/errno.ts';
import { type Access, PAGE_SIZE, pageAlign } from '../base/units.ts';
import { MAP_ANON, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE, type VmSpace } from '../vm/index.ts';
import {
  AT_BASE,
  AT_CLKTCK,
  AT_EGID,
  AT_ENTRY,
  AT_EUID,
  AT_EXECFN,
  AT_FLAGS,
  AT_GID,
  AT_HWCAP,
  AT_NULL,
  AT_PAGESZ,
  AT_PHDR,
  AT_PHENT,
  AT_PHNUM,
  AT_RANDOM,
  AT_SECURE,
  AT_UID,
} from './abi.ts';

export interface ExecRequest {
  readonly space: VmSpace; // empty
  readonly userEnd: number; // bytes
  readonly image: ElfImage;
  readonly file: Uint8Array;
  readonly argv: readonly string[];
  readonly env: readonly string[];
  readonly seed: number; // of AT_RANDOM
}

/** Where the program starts. */
export interface ExecStart {
  readonly pc: number;
  readonly sp: number;
  readonly breakStart: number;
}

/** Why a program cannot be started: one line for a person. */
export interface ExecRefusal {
  readonly errno: number; // positive
  readonly reason: string;
}

const STACK_BYTES = 8 * 2 ** 20; // mapped, and filled as it is touched
const STACK_GUARD = 16 * PAGE_SIZE; // between the stack and the end of user space
const MAX_START_BYTES = 256 * 1024; // of arguments, environment and auxiliary vector
const FIRST_USER_VA = PAGE_SIZE; // no program lies in page 0, so that its null pointers fault
/** AT_HWCAP: one bit a letter of IMAFDC. */
const HWCAP = 'IMAFDC'.split('').reduce((bits, letter) => bits | (1 << (letter.charCodeAt(0) - 65)), 0);

/**
 * Maps the image and the stack. On a refusal the space is left half filled: the caller destroys it.
 * @returns the start; or a refusal: ENOEXEC needs an interpreter, or lies outside user space; E2BIG arguments;
 *   ENOMEM no frames or address space
 */
export function loadProgram(request: ExecRequest): ExecStart | ExecRefusal {
  const { space, image, userEnd, file } = request;
  if (image.interpreter !== null) {
    return { errno: ENOEXEC, reason: `needs the program interpreter ${image.interpreter}: only static programs can run` };
  }
  const stackTop = userEnd - STACK_GUARD;
  const base = image.positionIndependent ? loadAddress(image, userEnd) : 0;
  if (base + image.start < FIRST_USER_VA) return { errno: ENOEXEC, reason: 'segment below the first user address' };
  if (base + image.end > stackTop - STACK_BYTES) return { errno: ENOEXEC, reason: 'segment beyond user space' };

  const refused = mapSegments(space, image, file, base);
  if (refused !== null) return refused;
  const stack = space.mmap({
    addr: stackTop - STACK_BYTES,
    len: STACK_BYTES,
    prot: PROT_READ | PROT_WRITE,
    flags: MAP_PRIVATE | MAP_ANON | MAP_FIXED,
    object: null,
    offset: 0,
  });
  if (stack < 0) return { errno: -stack, reason: `no room for the stack (${errnoName(-stack)})` };
  const start = startBytes(request, stackTop, base);
  if (start === null) return { errno: E2BIG, reason: 'arguments and environment are too long' };
  if (space.copyOut(stackTop - start.length, start) < start.length) return { errno: ENOMEM, reason: 'no memory for the stack' };
  return { pc: base + image.entry, sp: stackTop - start.length, breakStart: pageAlign(base + image.end) };
}

/** Where a position-independent image goes: at two thirds of user space, as its alignment demands. */
function loadAddress(image: ElfImage, userEnd: number): number {
  const align = Math.max(image.align, PAGE_SIZE);
  return Math.floor((userEnd * 2) / 3 / align) * align;
}

/** Maps every segment, writes its bytes, and gives it its rights. A page of several segments gets the rights of all. */
function mapSegments(space: VmSpace, image: ElfImage, file: Uint8Array, base: number): ExecRefusal | null {
  let mappedEnd = 0;
  for (const segment of image.segments) {
    const { start, end } = pagesOfSegment(segment, base);
    const addr = Math.max(start, mappedEnd);
    if (end > addr) {
      const prot = PROT_READ | PROT_WRITE;
      const mapped = space.mmap({ addr, len: end - addr, prot, flags: MAP_PRIVATE | MAP_ANON | MAP_FIXED, object: null, offset: 0 });
      if (mapped < 0) return { errno: -mapped, reason: `no room for a segment (${errnoName(-mapped)})` };
      mappedEnd = end;
    }
    const bytes = file.subarray(segment.fileOffset, segment.fileOffset + segment.fileBytes);
    if (space.copyOut(base + segment.va, bytes) < bytes.length) return { errno: ENOMEM, reason: 'no memory for a segment' };
  }
  let last = { page: -1, rights: 0 as Access }; // the page the segments so far end in
  for (const segment of image.segments) {
    const { start, end } = pagesOfSegment(segment, base);
    const first = start === last.page ? last.rights | segment.rights : segment.rights;
    const result = space.mprotect(start, end - start, segment.rights);
    const shared = start === last.page ? space.mprotect(start, PAGE_SIZE, first) : 0;
    if (result < 0 || shared < 0) return { errno: ENOMEM, reason: 'no room to protect a segment' };
    last = { page: end - PAGE_SIZE, rights: end - start > PAGE_SIZE ? segment.rights : first };
  }
  return null;
}

function pagesOfSegment(segment: ElfSegment, base: number): { readonly start: number; readonly end: number } {
  const start = Math.floor((base + segment.va) / PAGE_SIZE) * PAGE_SIZE;
  return { start, end: pageAlign(base + segment.va + segment.memBytes) };
}

/** What lies between sp and the top of the stack, or null if it is too long. */
function startBytes(request: ExecRequest, top: number, base: number): Uint8Array | null {
  const { image, argv, env, seed } = request;
  const encoder = new TextEncoder();
  const strings = [...argv, ...env].map((text) => encoder.encode(`${text}\0`));
  const stringBytes = strings.reduce((sum, bytes) => sum + bytes.length, 0);
  if (stringBytes > MAX_START_BYTES) return null;

  // Downwards from the top: strings, random bytes, words.
  const stringsAt = top - stringBytes;
  const randomAt = Math.floor((stringsAt - 16) / 16) * 16;
  const addresses: number[] = [];
  let at = stringsAt;
  for (const bytes of strings) {
    addresses.push(at);
    at += bytes.length;
  }
  const auxv = auxiliaryVector(image, base, randomAt, argv.length === 0 ? 0 : addresses[0]);
  const words = [argv.length, ...addresses.slice(0, argv.length), 0, ...addresses.slice(argv.length), 0, ...auxv];
  const wordBytes = image.xlen / 8;
  const sp = Math.floor((randomAt - words.length * wordBytes) / 16) * 16;
  if (top - sp > MAX_START_BYTES) return null;

  const bytes = new Uint8Array(top - sp);
  const view = new DataView(bytes.buffer);
  for (const [i, word] of words.entries()) {
    view.setUint32(i * wordBytes, word % 2 ** 32, true);
    if (wordBytes === 8) view.setUint32(i * 8 + 4, Math.floor(word / 2 ** 32), true);
  }
  bytes.set(randomBytes(seed), randomAt - sp);
  for (const [i, text] of strings.entries()) bytes.set(text, addresses[i] - sp);
  return bytes;
}

/** Tag and value pairs, AT_NULL last. */
function auxiliaryVector(image: ElfImage, base: number, randomAt: number, nameAt: number): number[] {
  const pairs: (readonly [tag: number, value: number])[] = [
    [AT_PHENT, image.phentsize],
    [AT_PHNUM, image.phnum],
    [AT_PAGESZ, PAGE_SIZE],
    [AT_BASE, 0],
    [AT_FLAGS, 0],
    [AT_ENTRY, base + image.entry],
    [AT_UID, 0],
    [AT_EUID, 0],
    [AT_GID, 0],
    [AT_EGID, 0],
    [AT_HWCAP, HWCAP],
    [AT_CLKTCK, 100],
    [AT_SECURE, 0],
    [AT_RANDOM, randomAt],
    [AT_EXECFN, nameAt],
    [AT_NULL, 0],
  ];
  if (image.phdrVa !== 0) pairs.unshift([AT_PHDR, base + image.phdrVa]);
  return pairs.flat();
}

/** 16 bytes that are the same in every run: xorshift32 from `seed`. */
function randomBytes(seed: number): Uint8Array {
  const bytes = new Uint8Array(16);
  let state = (seed ^ 0x9e37_79b9) | 1;
  for (let i = 0; i < bytes.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state;
  }
  return bytes;
}
