import fc from 'fast-check';
import { expect, test } from 'vitest';
import { COPY_SHARED } from '../../../vkernel/physmem/interface.ts';
import { Twins } from './cells.ts';
import { anyLife, live } from './random-run.ts';

test('a random life of containers, copies and controls agrees with the cell model at every step', () => {
  fc.assert(fc.property(anyLife(240), live), { numRuns: 60 });
});

test('every life of up to four steps with two containers and three pages of memory', () => {
  const steps: ((twins: Twins, value: number) => void)[] = [
    (t) => t.allocate(0, 0, 2, 0),
    (t) => t.allocate(1, 0, 1, 0),
    (t) => t.copy(0, 0, 1, 0, 2, 0),
    (t) => t.copy(1, 0, 0, 0, 1, 0),
    (t) => t.copy(0, 0, 1, 0, 2, COPY_SHARED),
    (t) => t.copy(0, 1, 1, 0, 1, COPY_SHARED),
    (t, value) => t.write(0, 0, value),
    (t, value) => t.write(0, 1, value),
    (t, value) => t.write(1, 0, value),
    (t) => t.deallocate(0, 0, 1, 0),
    (t) => t.deallocate(0, 0, 2, 0),
    (t) => t.deallocate(1, 0, 2, 0),
    (t) => t.map(0, 0, 2, true, false),
    (t) => t.provide(1, 0, 2, 0, true),
  ];
  let lives = 0;
  for (let length = 1; length <= 4; length += 1) {
    for (let code = 0; code < steps.length ** length; code += 1) {
      const twins = new Twins({ memory: [[1, 3]] }, 2);
      twins.addContainer(0);
      twins.addContainer(0);
      for (let i = 0, rest = code; i < length; i += 1, rest = Math.floor(rest / steps.length)) {
        steps[rest % steps.length](twins, 10 + i);
      }
      twins.check(); // what came before the last step was the end of a shorter life
      twins.tearDown();
      lives += 1;
    }
  }
  expect(lives).toBe(14 + 14 ** 2 + 14 ** 3 + 14 ** 4);
});
