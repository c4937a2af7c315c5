import { defineConfig } from 'vitest/config';
import { MUTATION_VARIABLE, mutationNamed, mutationPlugin } from './test/mutations/inForce.ts';

/** The tests with one protecting line taken away: `MUTATION='its name' npx vitest run --config … FILES`. */
const mutation = mutationNamed(process.env[MUTATION_VARIABLE]);

export default defineConfig({
  plugins: mutation === null ? [] : [mutationPlugin(mutation, (line) => process.stdout.write(line))],
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 1,
    // One test that notices is enough.
    bail: 1,
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
