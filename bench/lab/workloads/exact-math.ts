/**
 * Logarithm and exponential out of additions, multiplications and divisions only. Those are the same in every engine;
 * Math.log and Math.exp need not be, and a workload has to be. Both are good to about 1e-15 relative.
 */

const LN2_HI = 0.6931471803691238; // its last 32 bits are zero, so a small multiple of it is exact
const LN2_LO = 1.9082149292705877e-10;

const view = new DataView(new ArrayBuffer(8));

/** Natural logarithm of a normal number x > 0. */
export function ln(x: number): number {
  view.setFloat64(0, x);
  const high = view.getInt32(0);
  let exponent = (high >> 20) - 1023;
  view.setInt32(0, (high & 0xfffff) | 0x3ff00000);
  let mantissa = view.getFloat64(0); // 1 .. 2
  if (mantissa > Math.SQRT2) {
    mantissa /= 2;
    exponent++;
  }
  // ln m = 2 artanh s, s = (m - 1) / (m + 1), |s| < 0.172
  const s = (mantissa - 1) / (mantissa + 1);
  const square = s * s;
  let sum = 0;
  for (let k = 21; k >= 1; k -= 2) sum = sum * square + 1 / k;
  return exponent * LN2_HI + (2 * s * sum + exponent * LN2_LO);
}

/** e to the x, for |x| < 700. */
export function exp(x: number): number {
  const power = Math.round(x / Math.LN2);
  const rest = x - power * LN2_HI - power * LN2_LO; // |rest| < 0.35
  let sum = 1;
  for (let k = 14; k >= 1; k--) sum = 1 + (rest / k) * sum;
  view.setInt32(0, (power + 1023) << 20);
  view.setInt32(4, 0);
  return sum * view.getFloat64(0);
}
