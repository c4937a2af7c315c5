import { expect, test } from 'vitest';
import { NO_CONFIGURATION } from '../../../src/replication/raft/configuration.ts';
import type { Configuration, Entry, SnapshotMetadata } from '../../../src/replication/raft/types.ts';
import { openingOf } from '../../../src/replication/raftLog/opening.ts';
import type { WalContents } from '../../../src/replication/wal/types.ts';
import { testNodeId } from '../transport/certificates.ts';

const [nodeId, other] = [testNodeId(1), testNodeId(2)];
const hashOf = (index: number): Buffer => Buffer.alloc(32, index);
const alone: Configuration = { ...NO_CONFIGURATION, voters: [nodeId] };

function at(index: number, configuration = alone): SnapshotMetadata {
  return { index, term: 2, hash: hashOf(index), configuration };
}

/** Entries 5 to 7 are what is left of a log that went to 10. */
const walContents: WalContents = {
  hardState: { term: 3, vote: nodeId, commit: 6 },
  snapshot: at(4),
  entries: [5, 6, 7].map(
    (index): Entry => ({ index, term: 2, type: 'normal', payload: Buffer.alloc(1), hash: hashOf(index) }),
  ),
  suspicion: { until: { index: 10, term: 3, hash: hashOf(10) }, reason: 'the log ends at record 7' },
};

test.each([10, 12])(
  'a state that ends at %i holds all that the log may have held: it begins anew',
  (index) => {
    const { restart, initial } = openingOf({ walContents, applied: at(index), nodeId });
    expect(restart).toEqual({
      hardState: { term: 3, vote: nodeId, commit: index },
      snapshot: at(index),
      entries: [],
    });
    expect(initial).toMatchObject({ applied: index, configuration: alone, suspectUntil: null, ...restart });
  },
);

test('the log begins anew in the latest term that it may have known', () => {
  const until = { index: 10, term: 5, hash: hashOf(10) };
  const later = { ...walContents, suspicion: { until, reason: '' } };
  const { restart } = openingOf({ walContents: later, applied: at(10), nodeId });
  expect(restart?.hardState).toEqual({ term: 5, vote: null, commit: 10 });
});

test.each([
  ['lacks an entry', at(9)],
  ['is gone', null],
])('a state that %s does not: refused', (_what, applied) => {
  expect(() => openingOf({ walContents, applied, nodeId })).toThrow(
    expect.objectContaining({ code: 'LOG_CORRUPT', message: expect.stringContaining('record 7') }),
  );
});

test('a state that lacks what was written since the loss does not: refused', () => {
  const until = { index: 6, term: 3, hash: hashOf(6) };
  const longer = { ...walContents, suspicion: { until, reason: '' } };
  expect(() => openingOf({ walContents: longer, applied: at(6), nodeId })).toThrow(
    expect.objectContaining({ code: 'LOG_CORRUPT' }),
  );
});

test.each([
  ['another voter', { ...alone, voters: [nodeId, other] }],
  ['another voter that is about to leave', { ...alone, votersOutgoing: [nodeId, other] }],
  ['another voter alone', { ...alone, voters: [other] }],
])('beside %s the log stays suspect, whatever the state holds', (_whom, configuration) => {
  const { initial } = openingOf({ walContents, applied: at(12, configuration), nodeId });
  expect(initial.suspectUntil).toMatchObject({ index: 10 });
});

test('a log that is not suspect is left as it is', () => {
  const { restart, initial } = openingOf({
    walContents: { ...walContents, suspicion: null },
    applied: at(7),
    nodeId,
  });
  expect([restart, initial.entries.length]).toEqual([null, 3]);
});
