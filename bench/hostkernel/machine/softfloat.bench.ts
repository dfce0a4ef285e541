/**
 * What do the host's doubles save over computing on integers, and what does it cost to look for inexactness? Add, multiply and
 * fused multiply-add of binary64 on ordinary operands, one chain of 1024 registers, four ways:
 *
 *   registers   the native path on a register file, as an interpreter calls it, NX accrued
 *   halves      the same through 32-bit halves: words in, `result` out
 *   halves, NX clear   NX has not accrued, so that the rounding error has to be computed
 *   integers    the exact path, forced by a mode (RMM) that the native one refuses
 *
 * Reported first: operations taken natively, which repeats exactly. Times matter as ratios only.
 */
import b from 'benny';
import {
  f64Add,
  f64AddNative,
  f64FmaNative,
  f64Madd,
  f64Mul,
  f64MulNative,
  NX,
  RMM,
  RNE,
  result,
  state,
} from '../../../hostkernel/machine/riscv/softfloat/index.ts';
import { type Files, Suite } from '../../suite.ts';

const COUNT = 1024;

/** Numbers of both signs between 2^-8 and 2^8 with full significands, from a fixed sequence. */
function operands(): Float64Array {
  let seed = 1;
  const next = (): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) | 0;
    return (seed >>> 0) / 2 ** 32;
  };
  return Float64Array.from({ length: COUNT + 3 }, () => (next() < 0.5 ? -1 : 1) * 2 ** (16 * next() - 8));
}

/** Register OUT takes every result; operands are registers i, i + 1 and i + 2. */
const OUT = COUNT + 2;

/**
 * One pass over all operands each. The loops are written out per operation, so that every call site sees one routine, as in an
 * interpreter. Flags are set before every operation: each finds the same ones.
 */
interface Rival {
  readonly name: string;
  /** @returns how many operations were taken natively */
  readonly registers: (d: Float64Array) => number;
  readonly halves: (w: Int32Array, flags: number) => void;
}

const RIVALS: readonly Rival[] = [
  {
    name: 'add',
    registers(d) {
      let taken = 0;
      for (let i = 0; i < COUNT; i++) {
        state.flags = NX;
        if (f64AddNative(d, OUT, i, i + 1)) taken++;
      }
      return taken;
    },
    halves(w, flags) {
      for (let i = 0; i < 2 * COUNT; i += 2) {
        state.flags = flags;
        f64Add(w[i], w[i + 1], w[i + 2], w[i + 3]);
        w[2 * OUT] = result[0];
        w[2 * OUT + 1] = result[1];
      }
    },
  },
  {
    name: 'multiply',
    registers(d) {
      let taken = 0;
      for (let i = 0; i < COUNT; i++) {
        state.flags = NX;
        if (f64MulNative(d, OUT, i, i + 1)) taken++;
      }
      return taken;
    },
    halves(w, flags) {
      for (let i = 0; i < 2 * COUNT; i += 2) {
        state.flags = flags;
        f64Mul(w[i], w[i + 1], w[i + 2], w[i + 3]);
        w[2 * OUT] = result[0];
        w[2 * OUT + 1] = result[1];
      }
    },
  },
  {
    name: 'fused multiply-add',
    registers(d) {
      let taken = 0;
      for (let i = 0; i < COUNT; i++) {
        state.flags = NX;
        if (f64FmaNative(d, OUT, i, i + 1, i + 2, 1, 1)) taken++;
      }
      return taken;
    },
    halves(w, flags) {
      for (let i = 0; i < 2 * COUNT; i += 2) {
        state.flags = flags;
        f64Madd(w[i], w[i + 1], w[i + 2], w[i + 3], w[i + 4], w[i + 5]);
        w[2 * OUT] = result[0];
        w[2 * OUT + 1] = result[1];
      }
    },
  },
];

export async function run(): Promise<Files> {
  const suite = new Suite('softfloat');
  for (const { name, registers, halves } of RIVALS) {
    const d = operands();
    const w = new Int32Array(d.buffer);
    state.rounding = RNE;
    const native = registers(d);
    suite.counts(`${name}: registers`, { operations: COUNT, 'taken natively': native });
    console.log(`softfloat: ${native} of ${COUNT} operations (${name}) taken natively`);
    const throughHalves = (rounding: number, flags: number) => () => {
      state.rounding = rounding;
      halves(w, flags);
      return w[2 * OUT];
    };
    const summary = await b.suite(
      `softfloat: ${COUNT} binary64 operations, ${name}`,
      b.add('registers', () => {
        state.rounding = RNE;
        return registers(d);
      }),
      b.add('halves', throughHalves(RNE, NX)),
      b.add('halves, NX clear', throughHalves(RNE, 0)),
      b.add('integers', throughHalves(RMM, NX)),
      b.cycle(),
    );
    suite.timesOf(summary, `${name}: `);
    const times = summary.results.map((r) => (r.details.median * 1e9) / COUNT); // ns an operation
    console.log(`  integers / registers: ${(times[3] / times[0]).toFixed(1)}`);
    console.log(`  integers / halves:    ${(times[3] / times[1]).toFixed(1)}`);
    console.log(`  NX clear / halves:    ${(times[2] / times[1]).toFixed(1)}`);
    console.log(`  registers:            ${times[0].toFixed(1)} ns an operation (median)`);
  }
  return suite.files();
}
