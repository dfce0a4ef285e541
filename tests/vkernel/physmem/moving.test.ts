import { expect, test } from 'vitest';
import { fuzzPhysmemMemory, shake } from '../../fuzz/physmem-memory.ts';
import { Random } from '../../fuzz/random.ts';
import { live, randomSetting, randomSteps } from './random-run.ts';

test('lives agree with the cell model while memory is compacted and claimed by address', () => {
  const { failures, coverage } = fuzzPhysmemMemory({ seed: 3, from: 0, cases: 2 });
  expect(failures.map(({ error }) => error.message)).toEqual([]);
  expect(coverage.of('shake', 'moved')).toBeGreaterThan(5);
  expect(coverage.of('claim', 'ok')).toBeGreaterThan(5);
});

test('metamorphic (d): moving memory at any point changes nothing observable', () => {
  let moves = 0;
  for (let seed = 0; seed < 6; seed += 1) {
    const setting = randomSetting(new Random(seed, 0));
    const steps = randomSteps(new Random(seed, 1), 120);
    const still = live({ ...setting, machine: { ...setting.machine, moving: false } }, steps);
    const random = new Random(seed, 2);
    const moving = live(setting, steps, ({ machine }) => void shake(machine.physmem, random));
    expect(moving.observed).toEqual(still.observed);
    moves += moving.machine.physmem.counters.moves;
  }
  expect(moves).toBeGreaterThan(50);
});
