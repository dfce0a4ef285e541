/**
 * Loading a program: from a path to mapped segments, a stack and an entry point.
 *
 *   [ segments ... bss ][ heap: brk ->            <- mmap: anything ][ trampoline ]          [ stack, 8 MiB, lazily ]
 *
 *   stack, from the top:  strings | 16 random bytes | auxiliary vector | envp | argv | argc <- sp
 *
 * Finding and checking a program changes nothing (`findProgram`); after that the old image is gone, and a failure is
 * the end of the process. Segments are private mappings of the file, so their pages come when they are touched.
 */
import { E2BIG, EACCES, EISDIR, ELOOP, ENOENT, ENOEXEC, ENOTDIR, errnoText } from '../../hostkernel/base/errno.ts';
import { type ElfImage, type ElfSegment, parseElf } from '../../hostkernel/base/elf.ts';
import { EXEC, PAGE_SIZE, pageAlign, READ, WRITE } from '../../hostkernel/base/units.ts';
import type { FileBacking } from '../../userland/libhurd-mm/interface.ts';
import { LABEL_START, type L4Wait } from '../l4/user.ts';
import { MAP_ANONYMOUS, MAP_FIXED, MAP_NORESERVE, MAP_PRIVATE, MAP_STACK } from './abi.ts';
import type { ExecRefusal } from './interface.ts';
import type { Place, Process } from './process.ts';
import { TRAMPOLINE } from './signal-frame.ts';
import type { FileInode } from './vfs/inode.ts';
import { textOf } from './vfs/provider.ts';

const IMAGE_MAX = 256 * 2 ** 20; // bytes: a larger file is not looked into
const SCRIPTS_MAX = 4; // interpreters of interpreters
const SCRIPT_LINE = 256; // bytes of a #! line that count
export const ARGUMENTS_MAX = 2 ** 21; // bytes of argv and envp together, a quarter of the stack

/** A program that can be loaded, and the arguments it will see. */
export interface Program {
  readonly inode: FileInode;
  readonly path: string; // absolute, where the image was found
  readonly image: ElfImage;
  readonly argv: readonly string[]; // byte strings, those of scripts in front
  readonly execfn: string; // as execve was called
}

/**
 * Finds the program at `path` and checks that it can be loaded.
 * @param path, argv byte strings
 * @returns the program, or a refusal: ENOENT, EACCES (no execute bit, not a regular file), ENOEXEC (and why), ELOOP
 */
export function findProgram(p: Process, path: string, argv: readonly string[]): Program | ExecRefusal {
  let at = path;
  let args = argv;
  for (let depth = 0; depth <= SCRIPTS_MAX; depth++) {
    const inode = p.lookup(-100, at, true);
    if (typeof inode === 'number') return refusal(-inode, at, errnoText(-inode));
    if (inode.kind === 'directory') return refusal(EACCES, at, errnoText(EISDIR));
    if (inode.kind !== 'file' || inode.generate !== null) return refusal(EACCES, at, 'not a regular file');
    if ((inode.mode & 0o111) === 0) return refusal(EACCES, at, `${errnoText(EACCES)} (no execute bit)`);
    const head = new Uint8Array(SCRIPT_LINE);
    const got = inode.contents.read(0, head, 0, SCRIPT_LINE);
    if (got < 0) return refusal(-got, at, errnoText(-got));
    const script = parseScript(head.subarray(0, got));
    if (script === null) return checkImage(p, inode, at, args, path);
    if (typeof script === 'string') return refusal(ENOEXEC, at, script);
    args = [script.interpreter, ...(script.argument === '' ? [] : [script.argument]), at, ...args.slice(1)];
    at = script.interpreter;
  }
  return refusal(ELOOP, path, 'too many levels of interpreters');
}

function checkImage(p: Process, inode: FileInode, at: string, argv: readonly string[], execfn: string): Program | ExecRefusal {
  const { size } = inode.contents;
  if (size === 0) return refusal(ENOEXEC, at, 'not an ELF file (it is empty)');
  if (size > IMAGE_MAX) return refusal(ENOEXEC, at, 'too large for a program');
  const magic = new Uint8Array(4);
  inode.contents.read(0, magic, 0, 4);
  const whole = magic[0] === 0x7f; // what is no ELF file at all is not read in
  const bytes = whole ? new Uint8Array(size) : magic;
  if (whole) {
    const got = inode.contents.read(0, bytes, 0, size);
    if (got < 0) return refusal(-got, at, errnoText(-got));
  }
  const image = parseElf(bytes);
  if (typeof image === 'string') return refusal(ENOEXEC, at, image);
  if (image.interpreter !== null) return refusal(ENOEXEC, at, `dynamically linked (needs ${image.interpreter}), only static programs run`);
  const xlen = p.wide ? 64 : 32;
  if (image.xlen !== xlen) return refusal(ENOEXEC, at, `a riscv${image.xlen} program on a riscv${xlen} machine`);
  if (!image.positionIndependent && !p.memory.inRange(image.start, image.end - image.start)) {
    return refusal(ENOEXEC, at, 'segment beyond the address space');
  }
  const absolute = at.startsWith('/') ? at : joined(p.fs.tree.pathOf(p.cwd) ?? '', at);
  return { inode, path: absolute, image, argv, execfn };
}

function joined(directory: string, path: string): string {
  const relative = path.replace(/^(\.\/+)+/, '');
  return directory === '/' ? `/${relative}` : `${directory}/${relative}`;
}

function refusal(errno: number, path: string, text: string): ExecRefusal {
  return { errno, text: `${textOf(path)}: ${text}`, status: errno === ENOENT || errno === ENOTDIR ? 127 : 126 };
}

/** The `#!` line. @returns null if there is none, or why it cannot be used */
function parseScript(head: Uint8Array): { interpreter: string; argument: string } | string | null {
  if (head[0] !== 0x23 || head[1] !== 0x21) return null;
  const end = head.indexOf(10);
  if (end < 0 && head.length === SCRIPT_LINE) return 'the #! line is too long';
  const line = String.fromCharCode(...head.subarray(2, end < 0 ? head.length : end));
  const match = /^[ \t]*([^ \t\0]+)[ \t]*(.*?)[ \t]*$/s.exec(line.split('\0')[0]);
  if (match === null) return 'the #! line names no interpreter';
  return { interpreter: match[1], argument: match[2] };
}

/** Whether a program's arguments and environment are few enough: a change of mind is possible only before the old image goes. */
export function argumentsFit(p: Process, program: Program, env: readonly string[]): boolean {
  return argumentBytes(p, program, env) <= Math.min(ARGUMENTS_MAX, p.stackLimit / 2);
}

/** Bytes the strings of a new program take, with what points to them and the auxiliary vector. */
function argumentBytes(p: Process, { argv, execfn }: Program, env: readonly string[]): number {
  const strings = [...argv, ...env, execfn].reduce((sum, text) => sum + text.length + 1, 0);
  return strings + (argv.length + env.length + 3 + 2 * AUXV_MAX) * p.memory.wordBytes;
}

/**
 * Maps a program and builds its stack. The address space is empty before.
 * @param env byte strings
 * @returns where to start, or -errno: -ENOMEM, -E2BIG, -EFAULT, -ENOEXEC or what the memory manager says
 */
export function* loadProgram(
  p: Process,
  program: Program,
  env: readonly string[],
): Generator<L4Wait, { readonly entry: number; readonly sp: number } | number, void> {
  const { image } = program;
  if (!argumentsFit(p, program, env)) return -E2BIG;
  const bias = image.positionIndependent ? programBase(p, image) : 0;
  const first = pageFloor(image.start + bias);
  const end = pageAlign(image.end + bias);
  if (!p.memory.inRange(first, end - first)) return -ENOEXEC;
  const mapped = image.segments.every((s) => s.va % PAGE_SIZE === s.fileOffset % PAGE_SIZE && separate(image, s))
    ? yield* mapSegments(p, program, bias)
    : yield* copySegments(p, program, bias);
  if (mapped < 0) return mapped;
  p.task.setBreak(end);
  const trampoline = yield* mapTrampoline(p);
  if (trampoline < 0) return trampoline;
  p.trampoline = trampoline;
  const sp = yield* makeStack(p, program, env, bias);
  if (sp < 0) return sp;
  p.stackStart = sp;
  p.setProgram({ inode: program.inode, path: program.path, argv: program.argv, env });
  return { entry: image.entry + bias, sp };
}

/** Lets the hart thread begin, in the name of its pager. @returns 0 or an IPC error */
export function* startHart(p: Process, place: Place, ip: number, sp: number): Generator<L4Wait, number, void> {
  const { l4 } = p;
  l4.setExceptionHandler(p.hart, l4.id);
  l4.message.begin(LABEL_START);
  l4.message.append(ip);
  l4.message.append(sp);
  l4.propagateAs = place.pager;
  return yield* l4.send(p.hart);
}

/** Where position-independent programs go: two thirds up, as on Linux. */
function programBase(p: Process, image: ElfImage): number {
  const align = Math.max(PAGE_SIZE, Math.min(image.align, 2 ** 30));
  return Math.floor((Math.floor(p.l4.userEnd / 3) * 2) / align) * align;
}

function pageFloor(va: number): number {
  return Math.floor(va / PAGE_SIZE) * PAGE_SIZE;
}

/** Whether no other segment lies on the pages of `segment`. */
function separate(image: ElfImage, segment: ElfSegment): boolean {
  const next = image.segments[image.segments.indexOf(segment) + 1];
  return next === undefined || pageAlign(segment.va + segment.memBytes) <= pageFloor(next.va);
}

/** A file as the memory manager sees it: as it is now, whenever it is asked. */
export function backingOf(p: Process, inode: FileInode, options: { readonly path: string; readonly writable: boolean }): FileBacking {
  const { contents } = inode;
  return {
    label: { path: options.path, dev: inode.dev, ino: inode.ino },
    get size(): number {
      return contents.size;
    },
    get key(): object {
      return contents.cacheKey;
    },
    get isNameless(): boolean {
      return inode.nlink === 0;
    },
    read: (offset, into) => contents.read(offset, into, 0, into.length),
    ...(options.writable ? { write } : {}),
    hold() {
      inode.opens++;
    },
    release() {
      inode.opens--;
      p.fs.tree.reap(inode);
    },
  };

  function write(offset: number, from: Uint8Array): number {
    const n = contents.write(offset, from, 0, Math.min(from.length, Math.max(0, contents.size - offset)));
    if (n > 0) inode.mtime = inode.ctime = p.now();
    return n;
  }
}

function* mapSegments(p: Process, program: Program, bias: number): Generator<L4Wait, number, void> {
  const file = backingOf(p, program.inode, { path: program.path, writable: false });
  for (const segment of program.image.segments) {
    const start = pageFloor(segment.va + bias);
    const fileEnd = segment.va + bias + segment.fileBytes;
    const end = pageAlign(segment.va + bias + segment.memBytes);
    const fileTop = segment.fileBytes === 0 ? start : pageAlign(fileEnd);
    const { rights: prot } = segment;
    if (fileTop > start) {
      const offset = pageFloor(segment.fileOffset);
      const at = yield* p.task.mmap({ addr: start, len: fileTop - start, prot, flags: MAP_PRIVATE | MAP_FIXED, file, offset });
      if (at < 0) return at;
    }
    if (end > fileTop) {
      const flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS;
      const at = yield* p.task.mmap({ addr: fileTop, len: end - fileTop, prot, flags, file: null, offset: 0 });
      if (at < 0) return at;
    }
    if (segment.memBytes > segment.fileBytes && fileTop > fileEnd && (prot & WRITE) !== 0) {
      const error = yield* p.memory.fill(fileEnd, Math.min(fileTop, segment.va + bias + segment.memBytes) - fileEnd, 0);
      if (error < 0) return error;
    }
  }
  return 0;
}

/** For files whose segments share pages or lie at odd offsets: copied into anonymous memory; shared pages get both rights. */
function* copySegments(p: Process, program: Program, bias: number): Generator<L4Wait, number, void> {
  const { segments } = program.image;
  const flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS;
  let top = 0; // end of the pages mapped so far
  for (const { va, memBytes } of segments) {
    const start = Math.max(top, pageFloor(va + bias));
    const end = pageAlign(va + bias + memBytes);
    if (end > start) {
      const at = yield* p.task.mmap({ addr: start, len: end - start, prot: READ | WRITE, flags, file: null, offset: 0 });
      if (at < 0) return at;
    }
    top = Math.max(top, end);
  }
  for (const { va, fileOffset, fileBytes } of segments) {
    for (let done = 0; done < fileBytes; ) {
      const n = program.inode.contents.read(fileOffset + done, p.memory.bulk, 0, Math.min(p.memory.bulk.length, fileBytes - done));
      if (n <= 0) return n === 0 ? -ENOEXEC : n;
      const error = yield* p.memory.write(va + bias + done, p.memory.bulk, 0, n);
      if (error < 0) return error;
      done += n;
    }
  }
  for (let i = 0; i < segments.length; i++) {
    const start = pageFloor(segments[i].va + bias);
    const end = pageAlign(segments[i].va + bias + segments[i].memBytes);
    const before = segments[i - 1];
    const shared = before !== undefined && pageAlign(before.va + bias + before.memBytes) > start;
    const error = yield* p.task.mprotect(start, end - start, segments[i].rights);
    if (error < 0) return error;
    if (shared) {
      const both = yield* p.task.mprotect(start, PAGE_SIZE, segments[i].rights | before.rights);
      if (both < 0) return both;
    }
  }
  return 0;
}

/** The page a signal handler returns to. */
function* mapTrampoline(p: Process): Generator<L4Wait, number, void> {
  const at = yield* p.task.mmap({
    addr: 0,
    len: PAGE_SIZE,
    prot: READ | WRITE,
    flags: MAP_PRIVATE | MAP_ANONYMOUS,
    file: null,
    offset: 0,
  });
  if (at < 0) return at;
  const error = yield* p.memory.write(at, TRAMPOLINE, 0, TRAMPOLINE.length);
  if (error < 0) return error;
  const sealed = yield* p.task.mprotect(at, PAGE_SIZE, READ | EXEC);
  return sealed < 0 ? sealed : at;
}

// Auxiliary vector. Source: uapi/linux/auxvec.h.
const AT_NULL = 0;
const AT_PHDR = 3;
const AT_PHENT = 4;
const AT_PHNUM = 5;
const AT_PAGESZ = 6;
const AT_BASE = 7;
const AT_FLAGS = 8;
const AT_ENTRY = 9;
const AT_UID = 11;
const AT_EUID = 12;
const AT_GID = 13;
const AT_EGID = 14;
const AT_HWCAP = 16;
const AT_CLKTCK = 17;
const AT_SECURE = 23;
const AT_RANDOM = 25;
const AT_EXECFN = 31;
const AUXV_MAX = 19; // entries there is room for
const HWCAP_IMAFDC = 0x112d; // bit n for the n-th letter

/** Maps the stack and fills its top. @returns the initial sp, or -errno */
function* makeStack(p: Process, program: Program, env: readonly string[], bias: number): Generator<L4Wait, number, void> {
  const { image, argv } = program;
  const size = p.stackLimit;
  const hint = pageFloor(p.l4.userEnd - 16 * 2 ** 20) - size;
  const prot = READ | WRITE | (image.executableStack ? EXEC : 0);
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE;
  const bottom = yield* p.task.mmap({ addr: hint, len: size, prot, flags, file: null, offset: 0 });
  if (bottom < 0) return bottom;

  const strings = [...argv, ...env, program.execfn].map((text) => `${text}\0`);
  const stringBytes = strings.reduce((sum, text) => sum + text.length, 0);
  const word = p.memory.wordBytes;
  const top = bottom + size - 16;
  const stringsAt = top - stringBytes;
  const randomAt = Math.floor((stringsAt - 16) / 16) * 16;

  const addresses: number[] = [];
  let at = stringsAt;
  for (const text of strings) {
    addresses.push(at);
    at += text.length;
  }
  const words = [argv.length, ...addresses.slice(0, argv.length), 0, ...addresses.slice(argv.length, argv.length + env.length), 0];
  const auxv: readonly (readonly [number, number])[] = [
    [AT_HWCAP, HWCAP_IMAFDC],
    [AT_PAGESZ, PAGE_SIZE],
    [AT_CLKTCK, 100],
    [AT_PHDR, image.phdrVa === 0 ? 0 : image.phdrVa + bias],
    [AT_PHENT, image.phentsize],
    [AT_PHNUM, image.phnum],
    [AT_BASE, 0],
    [AT_FLAGS, 0],
    [AT_ENTRY, image.entry + bias],
    [AT_UID, 0],
    [AT_EUID, 0],
    [AT_GID, 0],
    [AT_EGID, 0],
    [AT_SECURE, 0],
    [AT_RANDOM, randomAt],
    [AT_EXECFN, addresses[addresses.length - 1]],
    [AT_NULL, 0],
  ];
  for (const [type, value] of auxv) words.push(type, value);
  const sp = Math.floor((randomAt - words.length * word) / 16) * 16;

  const block = new Uint8Array(top - sp);
  const view = new DataView(block.buffer);
  words.forEach((value, index) => {
    view.setUint32(index * word, value, true);
    if (word === 8) view.setUint32(index * word + 4, Math.floor(value / 2 ** 32), true);
  });
  p.random.draw(block.subarray(randomAt - sp, randomAt - sp + 16));
  let offset = stringsAt - sp;
  for (const text of strings) for (let i = 0; i < text.length; i++) block[offset++] = text.charCodeAt(i);
  const error = yield* p.memory.write(sp, block, 0, block.length);
  return error < 0 ? error : sp;
}
