import { afterAll, beforeAll, expect, it } from 'vitest';
import type { HoldfastError } from '../src/base/errors.ts';
import { SeededRandom } from '../src/base/random.ts';
import { LocalCluster } from './localCluster.ts';
import { Writers } from './writers.ts';

const ROUNDS = Number(process.env['KILL_ROUNDS'] ?? 6);
const SEED = Number(process.env['KILL_SEED'] ?? 1);
const WRITERS = 8;
const ROUND_LIMIT_MS = 60_000;

let cluster: LocalCluster;

beforeAll(async () => {
  cluster = await LocalCluster.form(3);
}, 120_000);

afterAll(async () => {
  await cluster?.destroy();
});

it(
  `loses no acknowledged write and applies none twice over ${ROUNDS} rounds of kill -9`,
  async () => {
    const random = new SeededRandom(SEED);
    const writers = await Writers.start(cluster, { count: WRITERS });
    for (let round = 0; round < ROUNDS; round += 1) {
      await writers.untilMore(50, ROUND_LIMIT_MS);
      // Every third round hits the leader for certain.
      const victim = round % 3 === 0 ? await cluster.leader() : `n${random.integer({ min: 1, max: 4 })}`;
      await cluster.kill(victim);
      await writers.untilMore(20, ROUND_LIMIT_MS);
      cluster.start(victim);
      await cluster.untilVoters(3);
    }
    await writers.stop();
    const client = await cluster.client();
    try {
      const problems = await writers.check(client);
      expect(problems).toEqual([]);
    } finally {
      await client.close();
    }
    expect(new Set(await cluster.equalDigests()).size).toBe(1);
    for (const node of cluster.nodes) expect(cluster.isRunning(node.name)).toBe(true);
    expect(writers.acknowledged).toBeGreaterThan(ROUNDS * 70);
    expect(writers.unexpected.map((error: HoldfastError) => `${error.code}: ${error.message}`)).toEqual([]);
  },
  ROUNDS * ROUND_LIMIT_MS,
);
