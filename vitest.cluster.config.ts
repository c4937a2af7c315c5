import { defineConfig } from 'vitest/config';

/** Real processes, sockets and faults: one file at a time, since each starts a cluster of its own. */
export default defineConfig({
  test: {
    include: ['cluster-tests/**/*.test.ts'],
    // Minutes long: a suite of its own, vitest.chaos.config.ts.
    exclude: ['cluster-tests/chaos/chaos.test.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
