import { defineConfig } from 'vitest/config';
import { longestFirst } from './test/longestFirst.ts';

const LONGEST = ['rekeyFailpoints', 'failpoints', 'badInput', 'rekey', 'trust', 'fencing'];

/** Real processes, sockets and faults. Each file starts a cluster of its own, which waits more than it works: two at a time. */
export default defineConfig({
  test: {
    include: ['cluster-tests/**/*.test.ts'],
    // Minutes long: a suite of its own, vitest.chaos.config.ts.
    exclude: ['cluster-tests/chaos/chaos.test.ts'],
    globalSetup: 'cluster-tests/oneFileProgram.ts',
    pool: 'forks',
    maxWorkers: 2,
    sequence: { sequencer: longestFirst(LONGEST.map((name) => `cluster-tests/${name}.test.ts`)) },
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
