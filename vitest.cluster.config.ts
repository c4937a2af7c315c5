import { defineConfig } from 'vitest/config';

/** Real processes, sockets and faults. Each file starts a cluster of its own, which waits more than it works: two at a time. */
export default defineConfig({
  test: {
    include: ['cluster-tests/**/*.test.ts'],
    // Minutes long: a suite of its own, vitest.chaos.config.ts.
    exclude: ['cluster-tests/chaos/chaos.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
