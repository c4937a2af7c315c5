import { defineConfig } from 'vitest/config';

/** Real processes, sockets and faults: one file at a time, since each starts a cluster of its own. */
export default defineConfig({
  test: {
    include: ['cluster-tests/**/*.test.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
