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
    sequence: { sequencer: longestFirst(LONGEST) },
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
