/**
 * Makes golden/guests.json: what the cases of guest-cases.ts do under qemu-riscv64, each in a fresh tree.
 *
 *   npx tsx tests/system/guest-golden.ts       with the packages in guests/, or where VKERNEL_GUESTS says
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { GUEST_CASES } from './guest-cases.ts';
import { GUESTS, runUnderQemu } from './guest-run.ts';

if (GUESTS === null) throw new Error('no unpacked packages; run npm run guests');
const golden = Object.fromEntries(GUEST_CASES.map((guestCase) => [guestCase.name, runUnderQemu(guestCase)]));
mkdirSync(new URL('golden/', import.meta.url), { recursive: true });
writeFileSync(new URL('golden/guests.json', import.meta.url), `${JSON.stringify(golden, null, 1)}\n`);
