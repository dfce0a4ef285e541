import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    testTimeout: 60_000,
    pool: 'threads',
    isolate: false, // no module keeps state, and warm kernels are fast kernels
    maxWorkers: 2,
  },
});
