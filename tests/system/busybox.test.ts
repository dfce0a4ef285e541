/**
 * Unmodified Debian programs: what they print, how they end and what they leave behind is what it is under qemu.
 * Needs the packages (npm run guests; VKERNEL_GUESTS names another folder). Without them the cases are skipped.
 */
import { describe, expect, test } from 'vitest';
import { GUEST_CASES } from './guest-cases.ts';
import { golden, GUESTS, QEMU, runUnderQemu, runUnderStack } from './guest-run.ts';

const expected = golden();

/** A third of the cases, which are alike in kind, or all of them with VKERNEL_CASES=all. */
const CASES = GUEST_CASES.filter((_, i) => process.env['VKERNEL_CASES'] === 'all' || i % 3 === 0);

describe.runIf(GUESTS !== null)('programs of Debian', () => {
  test.each(CASES)('$name', (guestCase) => {
    const { outcome, host, stats } = runUnderStack(guestCase);
    expect(outcome).toEqual(expected[guestCase.name]);
    expect(host).toEqual({ added: [], removed: [] });
    expect(stats.framesReturned).toBe(stats.framesHeld);
    expect(stats.hostFramesLost).toBe(0);
  });
});

describe.runIf(GUESTS !== null && QEMU && process.getuid?.() === 0)('the golden outcomes', () => {
  // One in eight: all of them are what `guest-golden.ts --check` looks at.
  test('are what qemu says today', () => {
    for (const guestCase of GUEST_CASES.filter((_, i) => i % 8 === 0))
      expect(runUnderQemu(guestCase), guestCase.name).toEqual(expected[guestCase.name]);
  });
});

test.runIf(GUESTS === null)('the programs of Debian are not here: npm run guests unpacks them', () => {
  expect(GUESTS).toBeNull();
});

test('there are at least 40 cases over at least 30 applets, each with a golden outcome', () => {
  const applets = new Set(GUEST_CASES.filter((one) => one.program === 'busybox').map((one) => one.args[0]));
  expect(applets.size).toBeGreaterThanOrEqual(30);
  expect(GUEST_CASES.length).toBeGreaterThanOrEqual(40);
  expect(Object.keys(expected).sort()).toEqual(GUEST_CASES.map((one) => one.name).sort());
});
