import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../../src/base/ids.ts';
import { quorumReached, voteResult } from '../../../src/replication/raft/quorum.ts';
import { nodeId } from './cluster.ts';

const ids = fc.uniqueArray(fc.integer({ min: 1, max: 9 }).map(nodeId), { maxLength: 7 });
const someIds = fc.uniqueArray(fc.integer({ min: 1, max: 9 }).map(nodeId), { minLength: 1, maxLength: 7 });
const numbers = fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 10, maxLength: 10 });

function majority(voters: readonly NodeId[], yes: (voter: NodeId) => boolean): boolean {
  return voters.length === 0 || voters.filter(yes).length * 2 > voters.length;
}

describe('quorumReached', () => {
  test('is the largest number that majorities of both sets have reached', () => {
    fc.assert(
      fc.property(someIds, ids, numbers, (voters, votersOutgoing, reached) => {
        const of = (voter: NodeId): number => reached[Number.parseInt(voter, 16)] ?? 0;
        let dumb = 0;
        for (let number = 1; number <= 12; number += 1) {
          const both = [voters, votersOutgoing].every((set) => majority(set, (voter) => of(voter) >= number));
          if (both) dumb = number;
        }
        expect(quorumReached({ voters, votersOutgoing }, of)).toBe(dumb);
      }),
      { numRuns: 2_000 },
    );
  });

  test('is zero without voters', () => {
    expect(quorumReached({ voters: [], votersOutgoing: [] }, () => 9)).toBe(0);
  });
});

describe('voteResult', () => {
  test('agrees with trying out every way in which the open votes could fall', () => {
    fc.assert(
      fc.property(
        someIds,
        ids,
        fc.array(fc.constantFrom(true, false, null), { minLength: 10, maxLength: 10 }),
        (voters, votersOutgoing, answers) => {
          const votes = new Map<NodeId, boolean>();
          for (const [at, answer] of answers.entries()) if (answer !== null) votes.set(nodeId(at), answer);
          const wins = (open: boolean): boolean =>
            [voters, votersOutgoing].every((set) => majority(set, (voter) => votes.get(voter) ?? open));
          const dumb = wins(false) ? 'won' : wins(true) ? 'pending' : 'lost';
          expect(voteResult({ voters, votersOutgoing }, votes)).toBe(dumb);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
