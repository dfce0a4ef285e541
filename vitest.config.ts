import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    testTimeout: 180_000, // of a busy machine; most tests take milliseconds
    hookTimeout: 180_000,
    pool: 'threads',
    maxWorkers: 2,
    // The files of a worker share what they import: no module keeps state that one file could leave for another, and what
    // is loaded and compiled once serves them all. So no file may replace a module (vi.mock).
    isolate: false,
  },
});
