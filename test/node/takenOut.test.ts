import { describe, expect, it } from 'vitest';
import { isTakenOut } from '../../src/node/takenOut.ts';
import type { StoredConfiguration } from '../../src/proto/storage.ts';

const NOBODY: StoredConfiguration = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

function takenOut(configuration: Partial<StoredConfiguration>, removed = false): boolean {
  return isTakenOut({ isRemoved: () => removed, configuration: { ...NOBODY, ...configuration } }, 'me');
}

describe('a node is taken out', () => {
  it.each<[string, Partial<StoredConfiguration>, boolean]>([
    ['not as a voter', { voters: ['me', 'you'] }, false],
    ['not as a learner', { voters: ['you'], learners: ['me'] }, false],
    [
      'not while it becomes a learner',
      { voters: ['you'], votersOutgoing: ['me'], learnersNext: ['me'] },
      false,
    ],
    ['not before any configuration has come', {}, false],
    ['in the joint configuration in which it goes', { voters: ['you'], votersOutgoing: ['me', 'you'] }, true],
    ['when it is in none', { voters: ['you'] }, true],
  ])('%s', (_what, configuration, expected) => {
    expect(takenOut(configuration)).toBe(expected);
  });

  it('when the log says so, whatever the configuration', () => {
    expect(takenOut({ voters: ['me'] }, true)).toBe(true);
  });
});
