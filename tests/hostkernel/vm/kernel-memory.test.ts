/** How much memory the host kernel needs for each frame of RAM. */

import { expect, test } from 'vitest';
import { measureKernelMemory } from './kernel-memory.ts';

test('a million frames, all in use and mapped, cost no more than 64 bytes each, those of the processor included', () => {
  const small = measureKernelMemory(2 ** 12);
  const large = measureKernelMemory(2 ** 20 - 2 ** 11);
  // What does not grow with RAM is taken off: the processor's cache of decoded instructions, tables of formats.
  const perFrame = (bytesOf: (memory: typeof small) => number) => (bytesOf(large) - bytesOf(small)) / (large.frames - small.frames);
  const table = large.arrays.map(([place, bytes]) => `${(bytes / large.frames).toFixed(2).padStart(7)}  ${place}`).join('\n');
  expect(large.frames).toBeGreaterThan(1_000_000);
  expect(
    perFrame((memory) => memory.bytes),
    `\n${table}\n`,
  ).toBeLessThanOrEqual(64);
  expect(
    perFrame((memory) => memory.kernelBytes),
    `\n${table}\n`,
  ).toBeLessThanOrEqual(52); // vm and pmap
  expect(perFrame((memory) => memory.kernelBytes)).toBeGreaterThan(40); // all of them were seen
});
