/**
 * Makes golden/guests.json: what the cases of guest-cases.ts do under qemu-riscv64, each in a fresh tree. With --check it
 * says instead which of them qemu does otherwise today, and fails if there are any.
 *
 *   npx tsx tests/system/guest-golden.ts [--check]    with the packages in guests/, or where VKERNEL_GUESTS says
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { GUEST_CASES } from './guest-cases.ts';
import { golden, GUESTS, runUnderQemu } from './guest-run.ts';

if (GUESTS === null) throw new Error('no unpacked packages; run npm run guests');
const outcomes = Object.fromEntries(GUEST_CASES.map((guestCase) => [guestCase.name, runUnderQemu(guestCase)]));
if (process.argv[2] === '--check') {
  const expected = golden();
  const changed = Object.keys({ ...expected, ...outcomes }).filter((name) => !isDeepStrictEqual(expected[name], outcomes[name]));
  for (const name of changed) process.stderr.write(`not as the golden outcome says: ${name}\n`);
  process.exitCode = changed.length === 0 ? 0 : 1;
} else {
  mkdirSync(new URL('golden/', import.meta.url), { recursive: true });
  writeFileSync(new URL('golden/guests.json', import.meta.url), `${JSON.stringify(outcomes, null, 1)}\n`);
}
