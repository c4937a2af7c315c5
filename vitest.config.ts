import { defineConfig } from 'vitest/config';
import { longestFirst } from './test/longestFirst.ts';

const LONGEST = [
  'test/node/rotateAuthority.test.ts',
  'test/replication/raftLog/raftLog.test.ts',
  'test/node/renewedCertificates.test.ts',
];

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    // A worker loads each module once for all its files: what is loaded is the same for all, and no file changes what others see.
    isolate: false,
    sequence: { sequencer: longestFirst(LONGEST) },
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
