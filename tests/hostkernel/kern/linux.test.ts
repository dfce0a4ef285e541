/**
 * C programs on the host kernel, against what they print under qemu: the same system calls mean the same. One difference is
 * DragonFly's way: an access that a mapping forbids is SIGBUS here, and SIGSEGV on Linux.
 */
import { describe, expect, test } from 'vitest';
import { golden, runProgram } from './guest-program.ts';

const SYSTEM = new URL('../../system/golden/programs/', import.meta.url);

/** What a page that may not be accessed so does here. */
const asDragonFly = (text: string): string => text.replaceAll(/^(.* (?:readable|closed) page: )signal 11 code 2/gm, '$1signal 7 code 2');

describe.each([32, 64] as const)('on rv%i', (xlen) => {
  test.each([1_000_000, 3_000])(
    'signals: faults, handlers, masks, stacks, timers, waiting; slices of %i',
    { timeout: 60_000 },
    (timeSlice) => {
      const { output, status } = runProgram('signals', xlen, { timeSlice });
      expect(output).toBe(asDragonFly(golden('signals', SYSTEM)));
      expect(status).toMatchObject({ signal: 6 });
    },
  );
});
