import { describe, expect, test } from 'vitest';
import { Cluster, nodeId } from './cluster.ts';

const SEEDS = Array.from({ length: 40 }, (_, i) => i + 1);
/** Of the clusters here; timeouts are drawn from this up to twice as much. */
const SHORTEST_TIMEOUT = 10;

function ofThree(seed: number): Cluster {
  return new Cluster({ voters: [1, 2, 3], seed });
}

function ticksUntilLed(cluster: Cluster): number {
  for (let ticks = 1; ticks <= 100; ticks += 1) {
    cluster.tickAll();
    if (cluster.leaders.length > 0) return ticks;
  }
  return Number.POSITIVE_INFINITY;
}

/** Votes split now and then, above all here, where ticks come to all at once; then they are asked for once more. */
function expectQuick(ticks: readonly number[]): void {
  const atOnce = ticks.filter((count) => count < SHORTEST_TIMEOUT);
  expect(atOnce.length).toBeGreaterThan(0.75 * ticks.length);
  expect(Math.max(...ticks)).toBeLessThan(3 * SHORTEST_TIMEOUT);
}

/** Node 1 is gone; node 2 holds an entry that node 3 does not, and heard of the leader last. */
function leftBehind(seed: number): Cluster {
  const cluster = ofThree(seed);
  cluster.elect(1);
  cluster.isolate(3);
  cluster.propose(1, 'a');
  cluster.settle();
  cluster.crash(cluster.machine(1));
  return cluster;
}

function questionOfThree(cluster: Cluster): void {
  const { term } = cluster.core(3).status();
  const last = { index: 1, term: 1 };
  const [from, to] = [nodeId(3), nodeId(2)];
  cluster.core(2).step({ type: 'preVote', from, to, term: term + 1, last, transfer: false });
}

describe('how long an election takes', () => {
  test('nodes that start do not wait for a leader of whom none has heard', () => {
    expectQuick(SEEDS.map((seed) => ticksUntilLed(ofThree(seed))));
  });

  test('questions that were lost are asked again before the shortest timeout is over', () => {
    expectQuick(
      SEEDS.map((seed) => {
        const cluster = ofThree(seed);
        cluster.elect(1);
        cluster.crash(cluster.machine(1));
        cluster.lose = () => true;
        cluster.tickAll(50);
        cluster.heal();
        return ticksUntilLed(cluster);
      }),
    );
  });

  test('who is asked for a vote that it cannot give, for it holds more, asks for votes itself', () => {
    for (const seed of SEEDS) {
      const cluster = leftBehind(seed);
      for (let tick = 0; tick < SHORTEST_TIMEOUT; tick += 1) cluster.core(2).tick();
      questionOfThree(cluster);
      cluster.core(2).tick();
      cluster.core(2).tick();
      expect(cluster.core(2).status().role, `seed ${seed}`).toBe('preCandidate');
    }
  });

  test('but not while it hears of a leader, or has just voted for somebody', () => {
    for (const seed of SEEDS) {
      const cluster = leftBehind(seed);
      questionOfThree(cluster);
      const { term } = cluster.core(2).status();
      const last = { index: 9, term };
      cluster.core(2).tick();
      cluster.core(2).tick();
      expect(cluster.core(2).status().role).toBe('follower');
      for (let tick = 0; tick < SHORTEST_TIMEOUT; tick += 1) cluster.core(2).tick();
      const vote = { type: 'vote', from: nodeId(3), to: nodeId(2), term: term + 1, last } as const;
      cluster.core(2).step({ ...vote, transfer: false });
      questionOfThree(cluster);
      for (let tick = 0; tick < 3; tick += 1) cluster.core(2).tick();
      expect(cluster.core(2).status(), `seed ${seed}`).toMatchObject({ role: 'follower', vote: nodeId(3) });
    }
  });
});
