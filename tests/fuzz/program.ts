/**
 * Hostile programs, each an ELF file made from a random source.
 *
 *   code + 0     sets signal handlers (sometimes), loads all registers from the table
 *        + 400   handler: skips the instruction that trapped
 *        + 420   body: soup, system calls, or raw bytes
 *        + 1000  literals: register values and arguments of system calls
 *   data         structures, paths, noise; some of it beyond the file
 *   constants    a page that must not be written
 */
import { TABLE_32, TABLE_64 } from '../../vkernel/posix/syscalls/table.ts';
import { buildElf } from '../hostkernel/base/elf-builder.ts';
import { addi, anyInstruction, ECALL, i, jal, s, u } from './instructions.ts';
import type { Random } from './random.ts';

export interface HostileProgram {
  readonly kind: string;
  readonly file: Uint8Array;
  readonly argv: readonly string[];
  readonly env: readonly string[];
  readonly timeLimit: number; // microseconds
}

type Xlen = 32 | 64;
/** A machine word as two halves. */
type Word = readonly [lo: number, hi: number];

const HANDLER = 0x400;
const BODY = 0x420;
const LITERALS = 0x1000;
const CODE_BYTES = 0x2000;
const DATA_BYTES = 0x4000;
const DATA_MEMORY = 0x10000;
const A0 = 10;
const A7 = 17;

const word = (value: number): Word => [value >>> 0, Math.floor(value / 2 ** 32) >>> 0];

const PATHS = [
  '/',
  '.',
  '..',
  '',
  '/bin/hostile',
  '/tmp',
  '/tmp/x',
  '/tmp/x/y',
  'a',
  '/dev/null',
  '/dev/zero',
  '/dev/urandom',
  '/dev/full',
  '/dev/tty',
  '/proc/self/maps',
  '/proc/self/exe',
  '/proc/self/fd/1',
  '/proc/self/mem',
  '/proc',
  '/dev',
  '/proc/self/cmdline',
  '/proc/meminfo',
  '/proc/self/../self/fd',
  '//tmp//x/',
  'x/'.repeat(200),
  'n'.repeat(300),
  '/dev/fd/0',
  '/etc/passwd',
  '\xff\xfe',
];

const SHORT_PATHS = PATHS.filter((path) => path.length < 32);

/** Where in the data what system calls need is found. */
const PATHS_AT = 0x40;
const VECTORS_AT = 0x600;
const TIMES_AT = 0x680;
const BUFFERS_AT = 0x700;
/** Registers that keep results. */
const SAVED = [8, 9, 18, 19];

/** Arguments by number; the letters are those of Writer.sensibleCall. */
const TEMPLATES: readonly (readonly [number: number, template: string])[] = [
  [17, 'bl'],
  [23, 'f'],
  [24, 'fn'],
  [25, 'fnn'],
  [29, 'flb'],
  [33, 'dpm'],
  [34, 'dpm'],
  [35, 'dpz'],
  [36, 'pdp'],
  [37, 'dpdpz'],
  [276, 'dpdpz'],
  [43, 'pb'],
  [44, 'fb'],
  [45, 'pl'],
  [46, 'fl'],
  [47, 'fzll'],
  [48, 'dpn'],
  [49, 'p'],
  [50, 'f'],
  [52, 'fm'],
  [53, 'dpm'],
  [54, 'dpnnz'],
  [56, 'dpom'],
  [56, 'dpom'],
  [56, 'dpom'],
  [57, 'f'],
  [59, 'b'],
  [61, 'fbl'],
  [62, 'fln'],
  [63, 'fbl'],
  [63, 'fbl'],
  [64, 'fbl'],
  [64, 'fbl'],
  [65, 'fvn'],
  [66, 'fvn'],
  [67, 'fbll'],
  [68, 'fbll'],
  [69, 'fvnl'],
  [70, 'fvnl'],
  [71, 'ffzl'],
  [78, 'dpbl'],
  [79, 'dpbz'],
  [80, 'fb'],
  [88, 'dpzz'],
  [113, 'nb'],
  [101, 'tb'],
  [115, 'nztb'],
  [103, 'nbb'],
  [129, 'ns'],
  [132, 'bb'],
  [134, 'sbb8'],
  [135, 'nbb8'],
  [137, 'bbt8'],
  [160, 'b'],
  [169, 'bz'],
  [179, 'b'],
  [214, 'a'],
  [215, 'aA'],
  [222, 'aAPMfz'],
  [222, 'aAPMfz'],
  [222, 'aAPMfA'],
  [216, 'aAAna'],
  [226, 'aAP'],
  [227, 'aAn'],
  [232, 'aAb'],
  [233, 'aAn'],
  [261, 'znbb'],
  [278, 'bln'],
  [285, 'fzfzlz'],
  [291, 'dpznb'],
  [221, 'pbb'],
  [281, 'dpbbn'],
  [73, 'bntz8'],
  [72, 'nbbbt'],
  [139, ''],
  [258, 'bnnbn'],
];

class Writer {
  readonly xlen: Xlen;
  readonly base: number;
  readonly data: number;
  readonly constants: number;
  readonly random: Random;
  readonly code = new Uint8Array(CODE_BYTES);
  readonly #view = new DataView(this.code.buffer);
  #literals = 0;
  at = 0;

  constructor(random: Random, xlen: Xlen) {
    this.random = random;
    this.xlen = xlen;
    const bases = [0x1_0000, 0x40_0000, 0x4000_0000];
    if (xlen === 64) bases.push(0x20_0000_0000, 0x1_0000_0000);
    this.base = random.pick(bases);
    this.data = this.base + 0x10_0000;
    this.constants = this.base + 0x20_0000;
  }

  get full(): boolean {
    return this.at > LITERALS - 200;
  }

  emit(...words: readonly number[]): void {
    for (const one of words) {
      this.#view.setUint32(this.at, one, true);
      this.at += 4;
    }
  }

  /** Loads a literal: auipc, then a load. */
  load(register: number, value: Word): void {
    const bytes = this.xlen / 8;
    const slot = LITERALS + ((this.#literals++ * bytes) % (CODE_BYTES - LITERALS));
    this.put(slot, value);
    const delta = slot - this.at;
    const low = (delta << 20) >> 20;
    this.emit(u(0x17, register, (delta - low) >> 12), i(0x03, this.xlen === 64 ? 3 : 2, register, register, low));
  }

  put(at: number, [lo, hi]: Word): void {
    this.#view.setUint32(at, lo, true);
    if (this.xlen === 64) this.#view.setUint32(at + 4, hi, true);
  }

  /** Something a pointer may hold. */
  pointer(): Word {
    const x = this.random;
    const userEnd = this.xlen === 64 ? 2 ** 38 : 2 ** 32;
    return x.weighted<() => Word>([
      [12, () => word(this.data + x.below(DATA_BYTES / 8) * 8)],
      [4, () => word(this.data + x.below(DATA_MEMORY))],
      [2, () => word(this.data + x.pick([0x1000, DATA_BYTES, DATA_MEMORY]) - x.below(24))],
      [3, () => word(this.base + x.below(CODE_BYTES / 4) * 4)],
      [2, () => word(this.constants + x.below(4096))],
      [1, () => word(userEnd - 18 * 2 ** 20 - x.below(2 ** 16))], // the stack, about
      [1, () => word(userEnd - x.pick([1, 4096, 2 ** 21, 2 ** 22, 8, 0]))],
      [1, () => word(x.below(8192))],
      [1, () => [x.word(), x.pick([0, 0, x.below(64), 0xffff_ffff, 0x7fff_ffff, 0x8000_0000])]],
      [1, () => word(x.pick([2 ** 31, 2 ** 32, 2 ** 39, 2 ** 47, 2 ** 52, 2 ** 32 - 4]) - x.below(2) * 8)],
      [1, () => [0xffff_ffff - x.below(4096), 0xffff_ffff]],
    ])();
  }

  /** Anything a register may hold. */
  value(): Word {
    const x = this.random;
    return x.weighted<() => Word>([
      [8, () => this.pointer()],
      [6, () => word(x.below(16))],
      [2, () => word(x.pick([0, 1, 4096, 8192, 65536, 2 ** 20, 2 ** 30, 2 ** 31, 4095, 100]))],
      [2, () => [x.pick([-1, -2, -100, -4096]) >>> 0, 0xffff_ffff]],
      [1, () => [0, x.pick([0x8000_0000, 0x7fff_ffff, 1, 0x7ff0_0000, 0xfff8_0000, 0x0010_0000])]],
      [1, () => word(2 ** x.below(48))],
      [2, () => [x.word(), x.word()]],
    ])();
  }

  /** Sets handlers for the traps, then fills every register. */
  prologue(handlers: boolean): void {
    if (handlers) {
      for (const signal of [4, 5, 7, 11]) {
        this.emit(addi(A0, 0, signal), addi(A0 + 2, 0, 0), addi(A0 + 3, 0, 8), addi(A7, 0, 134));
        this.load(A0 + 1, word(this.data));
        this.emit(ECALL);
      }
    }
    for (let f = 0; f < 32; f += 4) {
      this.load(5, this.value());
      this.emit(u(0x37, 6, this.random.word()));
      this.emit(((this.xlen === 64 ? 0x79 : 0x78) << 25) | (5 << 15) | (f << 7) | 0x53); // fmv
      this.emit((0x69 << 25) | (6 << 15) | ((f + 1) << 7) | 0x53); // fcvt.d.w
    }
    for (let register = 1; register < 32; register += 1) {
      if (register !== 2 || this.random.oneIn(4)) this.load(register, this.random.oneIn(3) ? this.value() : this.pointer());
    }
    this.emit(jal(0, BODY - this.at));
    this.at = HANDLER;
    const pc = this.xlen === 64 ? 176 : 160;
    const [load, store] = this.xlen === 64 ? [3, 3] : [2, 2];
    this.emit(i(0x03, load, 5, 12, pc), addi(5, 5, this.random.pick([4, 4, 4, 2])), s(0x23, store, 12, 5, pc), i(0x67, 0, 0, 1, 0));
    this.at = BODY;
  }

  exit(): void {
    this.emit(addi(A0, 0, this.random.below(256)), addi(A7, 0, 94), ECALL, jal(0, 0));
  }

  /** A system call that may well succeed: arguments of the right kind, from the letters of its template. */
  sensibleCall(number: number, template: string): void {
    const x = this.random;
    Array.from(template, (letter, k) => {
      const to = A0 + k;
      switch (letter) {
        case 'd': // directory
          return this.emit(
            addi(
              to,
              0,
              x.weighted([
                [6, -100],
                [1, x.below(8)],
              ]),
            ),
          );
        case 'p': // path
          return this.load(to, word(this.data + PATHS_AT + x.below(SHORT_PATHS.length) * 32));
        case 'f': // descriptor
          return this.emit(x.oneIn(2) ? addi(to, x.pick(SAVED), 0) : addi(to, 0, x.below(8)));
        case 'b': // writable memory
          return this.load(to, word(this.data + BUFFERS_AT + x.below(DATA_MEMORY - BUFFERS_AT - 4096)));
        case 'l': // length
          return this.load(to, word(x.pick([0, 1, 8, 16, 64, 100, 1000, 4096, 5000, 40_000])));
        case 'o': // flags of open
          return this.load(to, word(x.pick([0, 1, 2, 0o101, 0o102, 0o1102, 0o2101, 0o200000, 0o100, 0o302])));
        case 'm':
          return this.emit(addi(to, 0, x.pick([0o755, 0o644, 0o777, 0, 0o400])));
        case 'v': // vectors of four, buffers of their own
          return this.load(to, word(this.data + VECTORS_AT));
        case 't': // 1 ms, 2 ms
          return this.load(to, word(this.data + TIMES_AT));
        case 'P':
          return this.emit(addi(to, 0, x.pick([3, 3, 1, 7, 5, 0])));
        case 'M':
          return this.emit(addi(to, 0, x.pick([0x22, 0x22, 0x32, 0x21, 0x02, 0x12, 0x01, 0x11])));
        case 'a': // a page
          if (x.oneIn(2)) return this.emit(addi(to, x.pick(SAVED), 0));
          return this.load(to, word(x.pick([0, this.base, this.data, this.data + 0x2000, this.constants, this.base + 0x8000, 0x8_0000])));
        case 'A': // bytes of pages
          return this.load(to, word(x.pick([0x1000, 0x2000, 0x1_0000, 0x10_0000, 1, 0x2800])));
        case 's':
          return this.emit(addi(to, 0, x.between(1, 65)));
        case '8':
          return this.emit(addi(to, 0, 8));
        case 'n':
          return this.emit(addi(to, 0, x.below(8)));
        default:
          return this.emit(addi(to, 0, 0));
      }
    });
    for (let k = template.length; k < 6; k += 1) this.emit(addi(A0 + k, 0, 0));
    if (x.oneIn(8)) this.load(A0 + x.below(6), this.value()); // one argument spoilt
    this.emit(addi(A7, 0, number), ECALL, addi(x.pick(SAVED), A0, 0));
  }

  /** A system call: its number, and six arguments of which some are results of earlier ones. */
  systemCall(number: number): void {
    const x = this.random;
    const count = x.weighted([
      [1, 2],
      [2, 4],
      [3, 6],
    ] as const);
    for (let k = 0; k < count; k += 1) {
      const how = x.below(12);
      if (how < 1) this.emit(addi(A0 + k, x.pick([8, 9, 18, 19]), x.pick([0, 0, 8, -8, 2047])));
      else if (how < 5)
        this.emit(
          addi(
            A0 + k,
            0,
            x.weighted([
              [6, x.below(8)],
              [2, x.pick([-1, -100, 64, 577, 1024, 2047])],
              [1, x.below(2048)],
            ]),
          ),
        );
      else if (how < 6) this.load(A0 + k, word(x.pick([0x1000, 0x2000, 0x10_0000, 0x4000_0000, 2 ** x.below(40)])));
      else if (how < 9) this.load(A0 + k, this.pointer());
      else this.load(A0 + k, this.value());
    }
    if (number < 2048) this.emit(addi(A7, 0, number));
    else this.load(A7, word(number));
    this.emit(ECALL);
    if (x.oneIn(2)) this.emit(addi(x.pick([8, 9, 18, 19]), A0, 0)); // keep the result
  }

  /** Data that system calls take: paths, vectors, times, noise. The first record is the sigaction of the prologue. */
  dataBytes(): Uint8Array {
    const x = this.random;
    const bytes = new Uint8Array(DATA_BYTES);
    const view = new DataView(bytes.buffer);
    const size = this.xlen / 8;
    const put = (at: number, [lo, hi]: Word): void => {
      view.setUint32(at, lo, true);
      if (size === 8) view.setUint32(at + 4, hi, true);
    };
    let at = 0;
    while (at < DATA_BYTES - 512) {
      const what = x.below(10);
      if (what < 4) {
        const path = x.pick(PATHS);
        for (let k = 0; k < path.length; k += 1) bytes[at + k] = path.charCodeAt(k);
        at += Math.ceil((path.length + 1) / 8) * 8;
      } else if (what < 7) {
        for (let k = x.between(1, 8); k > 0; k -= 1, at += size) put(at, this.value());
      } else if (what < 8) {
        for (let k = x.between(1, 4); k > 0; k -= 1, at += 2 * size) {
          put(at, this.pointer());
          put(at + size, word(x.pick([0, 1, 8, 100, 4096, 70000])));
        }
      } else if (what < 9) {
        view.setUint32(at, x.pick([0, 0, 1, 0xffff_ffff, x.word()]), true);
        view.setUint32(at + 8, x.pick([0, 1, 999_999_999, 1e9, x.word()]), true);
        at += 16;
      } else {
        for (let k = 0; k < 32; k += 4, at += 4) view.setUint32(at, x.word(), true);
      }
    }
    SHORT_PATHS.forEach((path, k) => {
      bytes.fill(0, PATHS_AT + 32 * k, PATHS_AT + 32 * (k + 1));
      for (let c = 0; c < path.length; c += 1) bytes[PATHS_AT + 32 * k + c] = path.charCodeAt(c);
    });
    for (let k = 0; k < 4; k += 1) {
      put(VECTORS_AT + 2 * size * k, word(this.data + BUFFERS_AT + x.below(0x8000)));
      put(VECTORS_AT + 2 * size * k + size, word(x.pick([0, 8, 5000, 1])));
    }
    for (let k = 0; k < 4; k += 1) view.setUint32(TIMES_AT + 8 * k, [0, 0, 50_000, 0][k] as number, true);
    put(0, word(this.base + HANDLER));
    put(size, word(x.pick([4, 0x4000_0004, 0x0800_0004, 0x4800_0004, 0x8000_0004])));
    put(2 * size, word(0));
    if (size === 4) view.setUint32(12, 0, true);
    return bytes;
  }

  file(): Uint8Array {
    const x = this.random;
    return buildElf({
      xlen: this.xlen,
      entry: this.base,
      segments: [
        { va: this.base, bytes: this.code, flags: x.oneIn(3) ? 5 : 7 },
        { va: this.data, bytes: this.dataBytes(), memBytes: DATA_MEMORY, flags: x.oneIn(8) ? 7 : 6 },
        { va: this.constants, bytes: x.bytes(64), memBytes: 4096, flags: 4 },
      ],
    });
  }
}

/** exit, exit_group, rt_sigsuspend. */
const FINAL: ReadonlySet<number> = new Set([93, 94, 133]);

/** Numbers somebody answers: where the interesting code is. Ending itself is rare, or nothing else would happen. */
const IMPLEMENTED: Readonly<Record<Xlen, readonly number[]>> = { 32: numbersOf(TABLE_32), 64: numbersOf(TABLE_64) };

function numbersOf(table: typeof TABLE_64): number[] {
  const numbers: number[] = [];
  table.names.forEach((_, number) => {
    const answered = table.calls[number] !== undefined || table.waits[number] !== undefined;
    if (answered && !FINAL.has(number)) numbers.push(number);
  });
  return numbers;
}

function anyNumber(x: Random, xlen: Xlen): number {
  return x.weighted([
    [40, x.pick(IMPLEMENTED[xlen])],
    [20, x.pick([56, 63, 64, 222, 215, 226, 216, 233, 214, 25, 62, 61, 46, 79, 29, 134, 135, 139, 73])],
    [8, x.below(461)],
    [1, x.below(2048)],
    [1, x.word()],
  ]);
}

const KINDS: readonly (readonly [number, string])[] = [
  [4, 'noise'],
  [8, 'soup'],
  [8, 'calls'],
  [4, 'mixture'],
  [3, 'header'],
  [1, 'script'],
];

/** The program of one case. `sample`: a valid program whose header is damaged for kind `header`. */
export function hostileProgram(x: Random, xlen: Xlen, sample: Uint8Array): HostileProgram {
  const kind = x.weighted(KINDS);
  const file = kind === 'header' ? damaged(x, xlen, sample) : kind === 'script' ? script(x) : written(x, xlen, kind);
  const argv = Array.from(
    {
      length: x.weighted([
        [20, 1],
        [4, x.below(8)],
        [1, x.below(300)],
      ]),
    },
    () => 'a'.repeat(x.below(x.oneIn(20) ? 9000 : 20)),
  );
  const env = x.oneIn(10) ? ['A=b', '', 'C'.repeat(x.below(5000))] : [];
  return { kind, file, argv, env, timeLimit: x.oneIn(16) ? 3000 : 400 };
}

function written(x: Random, xlen: Xlen, kind: string): Uint8Array {
  const writer = new Writer(x, xlen);
  writer.prologue(x.oneIn(2));
  const length = x.weighted([
    [4, x.between(4, 60)],
    [2, x.between(40, 250)],
    [1, 1000],
  ]);
  for (let k = 0; k < length && !writer.full; k += 1) {
    if (kind === 'noise') writer.emit(x.word());
    else if (kind === 'soup' || (kind === 'mixture' && !x.oneIn(4))) writer.emit(...anyInstruction(x));
    else if (x.oneIn(3)) writer.systemCall(anyNumber(x, xlen));
    else writer.sensibleCall(...x.pick(TEMPLATES));
  }
  writer.exit();
  return writer.file();
}

/** Sizes and offsets a loader may trip over. */
const EDGES = [0, 1, 0xffff_ffff, 0x7fff_ffff, 0x8000_0000, 0x1000, 0xfff, 0x10000, 56, 64, 0xffff_f000, 0x38, 2, 3];

function damaged(x: Random, xlen: Xlen, sample: Uint8Array): Uint8Array {
  const wellFormed = x.oneIn(2) ? sample : written(x, xlen, 'soup');
  const file = wellFormed.slice(0, x.oneIn(4) ? x.below(wellFormed.length) : wellFormed.length);
  const view = new DataView(file.buffer);
  for (let k = x.between(1, 8); k > 0; k -= 1) {
    const at = x.below(Math.min(file.length, x.oneIn(3) ? 64 : 64 + 56 * 5));
    if (at >= file.length) continue;
    if (x.oneIn(2)) file[at] = x.oneIn(3) ? x.below(256) : (file[at] as number) ^ (1 << x.below(8));
    else if (at + 8 <= file.length) {
      const aligned = at & ~3;
      if (aligned + 8 > file.length) continue;
      view.setUint32(aligned, x.oneIn(4) ? x.word() : x.pick(EDGES), true);
      if (x.oneIn(3)) view.setUint32(aligned + 4, x.pick([0, 0xffff_ffff, 0x7fff_ffff, 1, x.word()]), true);
    }
  }
  return file;
}

function script(x: Random): Uint8Array {
  const line = x.pick([
    '#!/bin/hostile',
    '#!/nowhere',
    '#!',
    '#! /bin/hostile a b',
    '#!/dev/zero',
    '#!/tmp',
    `#!${'/'.repeat(300)}`,
    '#!\0',
    '',
  ]);
  return new TextEncoder().encode(line + x.pick(['\n', '', '\nrest']));
}
