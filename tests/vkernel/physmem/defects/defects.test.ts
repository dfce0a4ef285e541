/** A suite is worth what it catches: defects are put into the core one by one, and each must be found. */

import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { FORGOTTEN, HISTORICAL } from './list.ts';
import { loadPatched } from './patched.ts';
import { ATTACKS, FAILURES, failureIn, LIVES } from './suite.ts';

const FOLDER = 'tests/vkernel/physmem/scenarios';
const SCENARIOS = readdirSync(fileURLToPath(new URL('../scenarios', import.meta.url)))
  .filter((name) => /^[a-l]-.*\.test\.ts$/.test(name) && !name.includes('policy'))
  .map((name) => `${FOLDER}/${name}`);
const SUITE = [LIVES, ATTACKS, FAILURES, ...SCENARIOS, 'tests/vkernel/physmem/entry-set.test.ts', 'tests/vkernel/physmem/found.test.ts'];

const LONG = 120_000; // ms: nothing hangs where nothing was put in, however busy the machine

for (const { name, patches, by, withoutAssertions } of [...HISTORICAL, ...FORGOTTEN]) {
  test(`caught: ${name}`, async () => {
    const caught = await failureIn(await loadPatched(SUITE, patches, withoutAssertions), by ?? '', 3000);
    if (process.env.SHOW_DEFECTS !== undefined) console.log(`${name} -> ${caught}`);
    expect(caught).not.toBeNull();
  });
}

test('nothing is caught where nothing was put in, with assertions and without', async () => {
  const found = 'tests/vkernel/physmem/found.test.ts'; // the others run by themselves
  expect(await failureIn(await loadPatched([LIVES, ATTACKS, FAILURES, found], []), '', LONG)).toBeNull();
  expect(await failureIn(await loadPatched([LIVES, ATTACKS, FAILURES, found], [], true), '', LONG)).toBeNull();
});

test('a patch that no longer applies is an error', async () => {
  await expect(loadPatched(SUITE, [{ file: 'core/copy.ts', find: 'no such text', replace: '' }])).rejects.toThrow('0 times');
});
