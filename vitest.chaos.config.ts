import { defineConfig } from 'vitest/config';

/** Faults on real processes for CHAOS_MINUTES from CHAOS_SEED: see cluster-tests/chaos/README.md. */
export default defineConfig({
  test: {
    include: ['cluster-tests/chaos/chaos.test.ts'],
    pool: 'forks',
  },
});
