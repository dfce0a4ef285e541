import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    testTimeout: 180_000, // of a busy machine; most tests take milliseconds
    pool: 'threads',
    maxWorkers: 2,
  },
});
