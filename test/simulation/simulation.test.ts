import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { NO_CONFIGURATION } from '../../src/replication/raft/configuration.ts';
import { Coverage } from './coverage.ts';
import { uncovered } from './expectedCoverage.ts';
import { KEPT_SEEDS } from './keptSeeds.ts';
import { quorumsMeet } from './quorums.ts';
import { nodeIdOf, simulate } from './simulation.ts';

const STEPS = 1_000;

async function traceOf(seed: number): Promise<string> {
  const hash = createHash('sha256');
  const { failure } = await simulate({ seed, steps: STEPS, trace: (line) => hash.update(`${line}\n`) });
  expect(failure).toBeNull();
  return hash.digest('hex');
}

describe('a simulated cluster', () => {
  it('does the same again from the same seed, event by event', async () => {
    expect(await traceOf(17)).toBe(await traceOf(17));
    expect(await traceOf(17)).not.toBe(await traceOf(18));
  });

  it.each(Array.from({ length: 12 }, (_, place) => place * 5 + 1))(
    'keeps its invariants through faults and recovers (seeds from %i)',
    async (first) => {
      for (let seed = first; seed < first + 5; seed += 1) {
        const { failure } = await simulate({ seed, steps: STEPS });
        expect(failure, `seed ${seed}`).toBeNull();
      }
    },
  );

  it.each(KEPT_SEEDS)('keeps them where once $found', async ({ order }) => {
    const { failure } = await simulate(order);
    expect(failure).toBeNull();
  });
});

describe('the quorums of two configurations', () => {
  const voters = (...numbers: number[]) => ({ ...NO_CONFIGURATION, voters: numbers.map(nodeIdOf) });

  it.each([
    { one: [1, 2, 3], other: [1, 2, 3], meet: true },
    { one: [1, 2, 3], other: [1, 2, 3, 4], meet: true },
    { one: [1, 2, 3], other: [1, 2, 3, 4, 5], meet: false },
    { one: [1, 2, 3], other: [3, 4, 5], meet: false },
  ])('of $one and $other meet: $meet', ({ one, other, meet }) => {
    expect(quorumsMeet(voters(...one), voters(...other))).toBe(meet);
  });

  it('of a joint configuration meet those of both its halves', () => {
    const joint = { ...voters(3, 4, 5), votersOutgoing: voters(1, 2, 3).voters };
    expect(quorumsMeet(voters(1, 2, 3), joint)).toBe(true);
    expect(quorumsMeet(joint, voters(3, 4, 5))).toBe(true);
  });
});

describe('the meetings of message, role and situation', () => {
  it('are missed when one that must come up has not', () => {
    const coverage = new Coverage();
    const all = uncovered(coverage);
    expect(all).toContain('append leader joint');
    coverage.add(all.map((meeting) => [meeting, 1] as const));
    expect(uncovered(coverage)).toEqual([]);
  });
});
