/**
 * Random instructions that look valid: encoders of the RISC-V formats, and a generator with a taste for trouble.
 * What the registers hold is program.ts.
 */
import type { Random } from './random.ts';

export const r = (opcode: number, f3: number, f7: number, rd: number, rs1: number, rs2: number): number =>
  ((f7 << 25) | (rs2 << 20) | (rs1 << 15) | (f3 << 12) | (rd << 7) | opcode) >>> 0;
export const i = (opcode: number, f3: number, rd: number, rs1: number, imm: number): number =>
  (((imm & 0xfff) << 20) | (rs1 << 15) | (f3 << 12) | (rd << 7) | opcode) >>> 0;
export const s = (opcode: number, f3: number, rs1: number, rs2: number, imm: number): number =>
  (((imm & 0xfe0) << 20) | (rs2 << 20) | (rs1 << 15) | (f3 << 12) | ((imm & 0x1f) << 7) | opcode) >>> 0;
export const b = (f3: number, rs1: number, rs2: number, o: number): number =>
  (((o & 0x1000) << 19) | ((o & 0x7e0) << 20) | (rs2 << 20) | (rs1 << 15) | (f3 << 12) | ((o & 0x1e) << 7) | ((o & 0x800) >> 4) | 0x63) >>>
  0;
export const u = (opcode: number, rd: number, imm20: number): number => (((imm20 & 0xf_ffff) << 12) | (rd << 7) | opcode) >>> 0;
export const jal = (rd: number, o: number): number =>
  (((o & 0x10_0000) << 11) | ((o & 0x7fe) << 20) | ((o & 0x800) << 9) | (o & 0xf_f000) | (rd << 7) | 0x6f) >>> 0;
export const addi = (rd: number, rs1: number, imm: number): number => i(0x13, 0, rd, rs1, imm);
export const ECALL = 0x73;

type Make = (random: Random) => readonly number[];

const register = (random: Random): number => random.below(32);
/** Offsets that stay near, and some that do not. */
const offset = (random: Random): number =>
  random.weighted([
    [4, random.below(64) * 8],
    [2, random.between(-64, 64)],
    [1, random.between(-2048, 2048)],
  ]);
const branch = (random: Random): number =>
  random.weighted([
    [6, random.between(1, 12) * 4],
    [2, random.between(-8, 12) * 2],
    [1, random.between(-1024, 1024) * 2],
  ]);

const ROUNDING = [0, 1, 2, 3, 4, 7, 5, 6];
const FLOAT_OPS = [0x00, 0x04, 0x08, 0x0c, 0x10, 0x14, 0x20, 0x2c, 0x50, 0x60, 0x68, 0x70, 0x78];
const AMO_OPS = [0, 1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 5];
const CSRS = [0x001, 0x002, 0x003, 0xc00, 0xc01, 0xc02, 0xc80, 0xc82, 0x300, 0x180, 0x000, 0xfff, 0xc03];

/** The kinds of instruction, by weight. */
const KINDS: readonly (readonly [number, Make])[] = [
  [10, (x) => [i(0x13, x.pick([0, 2, 3, 4, 6, 7]), register(x), register(x), x.word())]],
  [3, (x) => [i(0x13, x.pick([1, 5]), register(x), register(x), x.below(64) | (x.oneIn(2) ? 0x400 : 0))]],
  [8, (x) => [r(0x33, x.below(8), x.pick([0, 0, 32, 1, 1]), register(x), register(x), register(x))]],
  [5, (x) => [r(0x3b, x.pick([0, 1, 4, 5, 6, 7]), x.pick([0, 32, 1]), register(x), register(x), register(x))]],
  [3, (x) => [i(0x1b, x.pick([0, 1, 5]), register(x), register(x), x.word())]],
  [14, (x) => [i(0x03, x.below(7), register(x), register(x), offset(x))]],
  [12, (x) => [s(0x23, x.below(4), register(x), register(x), offset(x))]],
  [6, (x) => [b(x.pick([0, 1, 4, 5, 6, 7]), register(x), register(x), branch(x))]],
  [3, (x) => [jal(register(x), branch(x))]],
  [1, (x) => [i(0x67, 0, register(x), register(x), offset(x))]],
  [3, (x) => [u(x.pick([0x17, 0x37]), register(x), x.word())]],
  [7, (x) => [r(0x2f, x.pick([2, 3]), (x.pick(AMO_OPS) << 2) | x.below(4), register(x), register(x), register(x))]],
  [
    3,
    (x) => {
      // a reservation and what may break it
      const at = register(x);
      const width = x.pick([2, 3]);
      return [
        r(0x2f, width, 2 << 2, register(x), at, 0),
        s(0x23, 2, register(x), register(x), offset(x)),
        r(0x2f, width, 3 << 2, register(x), at, register(x)),
      ];
    },
  ],
  [9, (x) => [r(0x53, x.pick(ROUNDING), x.pick(FLOAT_OPS) | x.below(2), register(x), register(x), x.oneIn(3) ? x.below(5) : register(x))]],
  [
    4,
    (x) => [
      ((register(x) << 27) | r(x.pick([0x43, 0x47, 0x4b, 0x4f]), x.pick(ROUNDING), x.below(2), register(x), register(x), register(x))) >>>
        0,
    ],
  ],
  [4, (x) => [i(0x07, x.pick([2, 3]), register(x), register(x), offset(x))]],
  [4, (x) => [s(0x27, x.pick([2, 3]), register(x), register(x), offset(x))]],
  [8, (x) => [(x.word() & 0xfffc_fffc) | (x.below(3) << 16) | x.below(3)]], // two compressed ones
  [3, (x) => [i(0x73, x.pick([1, 2, 3, 5, 6, 7]), register(x), register(x), x.pick(CSRS))]],
  [2, (x) => [i(0x0f, x.below(2), 0, 0, x.oneIn(2) ? 0xff : 0)]],
  [
    4,
    (x) => {
      // code that is about to run is overwritten: auipc t, 0; store; fence.i
      const at = x.between(1, 32);
      return [u(0x17, at, 0), s(0x23, x.below(3), at, register(x), x.between(8, 40)), ...(x.oneIn(2) ? [i(0x0f, 1, 0, 0, 0)] : [])];
    },
  ],
  [1, () => [0x0010_0073]],
  [1, () => [ECALL]],
  [2, (x) => [x.word() | 3]],
];

/** One random instruction, or a few that belong together. */
export function anyInstruction(random: Random): readonly number[] {
  return random.weighted(KINDS)(random);
}
