/** Signal sets: 64 bits, signal n at bit n - 1, as two halves. */

/** A set of signals 1..64. */
export class SignalSet {
  lo = 0;
  hi = 0;

  has(signal: number): boolean {
    return signal <= 32 ? ((this.lo >>> (signal - 1)) & 1) !== 0 : ((this.hi >>> (signal - 33)) & 1) !== 0;
  }

  add(signal: number): void {
    if (signal <= 32) this.lo |= 1 << (signal - 1);
    else this.hi |= 1 << (signal - 33);
  }

  delete(signal: number): void {
    if (signal <= 32) this.lo &= ~(1 << (signal - 1));
    else this.hi &= ~(1 << (signal - 33));
  }

  set(lo: number, hi: number): void {
    this.lo = lo | 0;
    this.hi = hi | 0;
  }

  copy(from: SignalSet): void {
    this.lo = from.lo;
    this.hi = from.hi;
  }

  get isEmpty(): boolean {
    return (this.lo | this.hi) === 0;
  }
}

/** The lowest signal in the set given as halves, or 0. */
export function lowestSignal(lo: number, hi: number): number {
  if (lo !== 0) return 32 - Math.clz32(lo & -lo);
  return hi === 0 ? 0 : 64 - Math.clz32(hi & -hi);
}
