import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../../src/base/limits.ts';
import { encodeConfigurationChange } from '../../../src/replication/raft/configurationCodec.ts';
import { entryHash, ZERO_HASH } from '../../../src/replication/raft/entryHash.ts';
import type { Raft } from '../../../src/replication/raft/raft.ts';
import type { Entry, EntryType, MemberChange, Message } from '../../../src/replication/raft/types.ts';
import { Cluster, nodeId } from './cluster.ts';

type Append = Extract<Message, { type: 'append' }>;

const START = { index: 0, term: 0, hash: ZERO_HASH };
const [ONE, TWO, THREE, STRANGER] = [nodeId(1), nodeId(2), nodeId(3), nodeId(9)];

function entryAfter(
  previous: { readonly index: number; readonly hash: Uint8Array },
  { term = 1, type = 'normal' as EntryType, payload = Buffer.from('x') as Buffer } = {},
): Entry {
  const place = { index: previous.index + 1, term };
  return { ...place, type, payload, hash: entryHash(previous.hash, place, type, payload) };
}

function append(
  previous: typeof START | Entry,
  entries: readonly Entry[],
  more: Partial<Append> = {},
): Append {
  const { index, term, hash: previousHash } = previous;
  return {
    type: 'append',
    from: ONE,
    to: TWO,
    term: 1,
    previous: { index, term },
    previousHash,
    entries,
    commit: 0,
    ...more,
  };
}

function heartbeat(more: { from?: typeof ONE; term?: number; commit?: number } = {}): Message {
  return { type: 'heartbeat', from: ONE, to: TWO, term: 1, commit: 0, round: 0, ...more };
}

function changeAfter(previous: typeof START | Entry, changes: readonly MemberChange[]): Entry {
  const payload = encodeConfigurationChange({ changes, context: Buffer.from('c') });
  return entryAfter(previous, { type: 'configuration', payload });
}

const FIRST = entryAfter(START);
const SECOND = entryAfter(FIRST);
const THIRD = entryAfter(SECOND);

/** Node 2 of three: it follows node 1 in term 1 and holds three entries, the first of them committed. */
function follower(): Raft {
  const two = new Cluster({ voters: [1, 2, 3], learners: [4] }).core(2);
  two.step(append(START, [FIRST, SECOND, THIRD], { commit: 1 }));
  for (let ready = two.ready(); ready !== null; ready = two.ready()) {
    if (ready.persist !== null) two.persisted(ready.persist.sequence);
    const last = ready.committed.at(-1);
    if (last !== undefined) two.applied(last.index);
  }
  return two;
}

/** Steps a message that must change nothing and be answered with nothing. Returns why. */
function refusal(core: Raft, message: Message): string | null {
  const before = core.status();
  const refused = core.step(message);
  expect(core.status()).toEqual(before);
  expect(core.ready()).toBeNull();
  return refused;
}

const later = (type: 'voteResponse' | 'appendResponse', term: number): Message =>
  type === 'voteResponse'
    ? { type, from: ONE, to: TWO, term, rejected: true }
    : { type, from: ONE, to: TWO, term, index: 1, rejected: false, hint: { index: 0, term: 0 } };

describe('a peer cannot change a term', () => {
  test.each<[string, Message]>([
    ['2^64 - 1', heartbeat({ term: 2 ** 64 - 1 })],
    ['2^53 - 1', heartbeat({ term: Number.MAX_SAFE_INTEGER })],
    ['just beyond the jump that is allowed', heartbeat({ term: 2 + LIMITS.termJumpMax })],
    ['far off in a vote', { type: 'vote', from: ONE, to: TWO, term: 2 ** 40, last: THIRD, transfer: true }],
    ['far off in a refused vote', later('voteResponse', 2 ** 40)],
    ['far off in an answer', later('appendResponse', 2 ** 40)],
    ['zero', heartbeat({ term: 0 })],
    ['that is no number', heartbeat({ term: Number.NaN })],
  ])('to one that is %s', (_what, message) => {
    expect(refusal(follower(), message)).toMatch(/^(?:termJump|malformed)$/);
  });

  test('but by a jump that a long absence explains', () => {
    const two = follower();
    expect(two.step(heartbeat({ term: 1 + LIMITS.termJumpMax }))).toBeNull();
    expect(two.status().term).toBe(1 + LIMITS.termJumpMax);
  });

  test('except that of a node that has not joined and has none of its own', () => {
    const cluster = new Cluster({ voters: [1], blank: [2] });
    expect(cluster.core(2).step(heartbeat({ term: 2 ** 40 }))).toBeNull();
    expect(cluster.core(2).status().term).toBe(2 ** 40);
  });

  test('by telling it to campaign: only the leader of this term may', () => {
    const two = follower();
    const timeoutNow = (from: typeof ONE, term: number): Message => ({
      type: 'timeoutNow',
      from,
      to: TWO,
      term,
    });
    expect(refusal(two, timeoutNow(THREE, 1))).toBe('notExpected');
    expect(refusal(two, timeoutNow(THREE, 2))).toBe('notExpected');
    expect(refusal(two, timeoutNow(ONE, 2))).toBe('notExpected');
    expect(two.step(timeoutNow(ONE, 1))).toBeNull();
    expect(two.status()).toMatchObject({ role: 'candidate', term: 2 });
  });

  test('when it is no member of the configuration', () => {
    expect(refusal(follower(), { ...later('appendResponse', 5), from: STRANGER })).toBe('unknownSender');
  });

  test('for somebody else', () => {
    expect(refusal(follower(), { ...heartbeat({ term: 2 }), to: THREE })).toBe('misaddressed');
    expect(refusal(follower(), heartbeat({ from: TWO, term: 2 }))).toBe('misaddressed');
  });
});

describe('a second leader of one term is not followed and stops nobody (I23)', () => {
  const claims: Message[] = [
    heartbeat({ from: THREE }),
    append(THIRD, [entryAfter(THIRD)], { from: THREE }),
    { type: 'commit', from: THREE, to: TWO, term: 1, commit: 3 },
    { type: 'snapshotOffer', from: THREE, to: TWO, term: 1, index: 100 },
  ];

  test.each(claims.map((message) => [message.type, message] as const))(
    '%s, at a follower',
    (_type, message) => {
      expect(refusal(follower(), message)).toBe('rivalLeader');
    },
  );

  test.each(claims.map((message) => [message.type, message] as const))(
    '%s, at the leader',
    (_type, message) => {
      const cluster = new Cluster({ voters: [1, 2, 3] });
      cluster.elect(2);
      const { term } = cluster.core(2).status();
      expect(refusal(cluster.core(2), { ...message, term })).toBe('rivalLeader');
      expect(cluster.core(2).status().role).toBe('leader');
    },
  );
});

describe('entries are refused', () => {
  const broken = (change: Partial<Entry>): Message => append(THIRD, [{ ...entryAfter(THIRD), ...change }]);

  test.each<[string, Message, string]>([
    ['with a gap', broken({ index: 5 }), 'malformed'],
    ['that go back', broken({ index: 3 }), 'malformed'],
    [
      'whose index overflows',
      append({ ...THIRD, index: 2 ** 53 - 1 }, [entryAfter({ ...THIRD, index: 2 ** 53 - 1 })]),
      'malformed',
    ],
    ['with a term that falls', broken({ term: 0 }), 'malformed'],
    ['with a term above that of the message', broken({ term: 2 }), 'malformed'],
    ['with a payload where none belongs', broken({ type: 'empty' }), 'malformed'],
    ['with a short hash', broken({ hash: Buffer.alloc(31) }), 'malformed'],
    ['whose hash is not that of the payload', broken({ payload: Buffer.from('y') }), 'hashMismatch'],
    [
      'whose second hash does not follow',
      append(SECOND, [THIRD, { ...entryAfter(THIRD), hash: Buffer.alloc(32, 1) }]),
      'hashMismatch',
    ],
    [
      'in a later term, when the chain breaks',
      { ...broken({ payload: Buffer.from('y') }), term: 7 },
      'hashMismatch',
    ],
    ['after a start that is none: a term', append({ ...START, term: 1 }, []), 'malformed'],
    ['after a start that is none: a hash', append({ ...START, hash: Buffer.alloc(32, 1) }, []), 'malformed'],
    ['after an entry of term 0', append({ ...FIRST, term: 0 }, []), 'malformed'],
    ['with a commit index that is no number', append(THIRD, [], { commit: -1 }), 'malformed'],
  ])('%s', (_what, message, reason) => {
    expect(refusal(follower(), message)).toBe(reason);
  });

  test('that the leader has replaced in its own term, though they were acknowledged (I8)', () => {
    const two = follower();
    const other = entryAfter(FIRST, { payload: Buffer.from('other') });
    expect(refusal(two, append(FIRST, [other]))).toBe('rewrite');
    expect(
      refusal(two, append(START, [FIRST, SECOND, entryAfter(SECOND, { payload: Buffer.from('o') })])),
    ).toBe('rewrite');
    // Another leader, elected later, may: what is not committed may go.
    expect(two.step(append(FIRST, [other], { from: THREE, term: 2 }))).toBeNull();
    expect(two.hashAt(2)).toEqual(other.hash);
  });

  test('below the base of the log, too, when their chain breaks', () => {
    const two = follower();
    two.step({ type: 'commit', from: ONE, to: TWO, term: 1, commit: 3 });
    for (let ready = two.ready(); ready !== null; ready = two.ready()) {
      const last = ready.committed.at(-1);
      if (last !== undefined) two.applied(last.index);
    }
    two.compact({ index: 2 });
    const forged = { ...SECOND, hash: Buffer.alloc(32, 3) };
    expect(refusal(two, append(START, [FIRST, forged, entryAfter(forged)]))).toBe('hashMismatch');
    expect(two.step(append(START, [FIRST, SECOND, THIRD]))).toBeNull();
  });

  test('that would be none of ours: an append that does not fit is answered, not judged', () => {
    const two = follower();
    const far = { index: 50, term: 1, hash: Buffer.alloc(32, 5) };
    expect(two.step(append(far, [{ ...entryAfter(far), hash: Buffer.alloc(32, 6) }]))).toBeNull();
    expect(two.ready()?.messages).toMatchObject([{ type: 'appendResponse', rejected: true, index: 50 }]);
  });
});

describe('a configuration entry is refused', () => {
  const remove = (nodeIdentity: typeof ONE): MemberChange => ({ kind: 'remove', nodeId: nodeIdentity });
  const undecodable = entryAfter(THIRD, { type: 'configuration', payload: Buffer.from([1, 0, 9]) });
  const otherVersion = entryAfter(THIRD, {
    type: 'configuration',
    payload: Buffer.from([2, 0, 0, 0, 0, 0, 0]),
  });

  test.each<[string, Entry]>([
    ['that removes all voters', changeAfter(THIRD, [remove(ONE), remove(TWO), remove(THREE)])],
    ['that removes who is no member', changeAfter(THIRD, [remove(STRANGER)])],
    [
      'that changes a member twice',
      changeAfter(THIRD, [remove(ONE), { kind: 'set', nodeId: ONE, role: 'learner' }]),
    ],
    ['that leaves a joint configuration where none is', changeAfter(THIRD, [])],
    ['that is cut short', undecodable],
    ['of an unknown version', otherVersion],
  ])('%s', (_what, entry) => {
    expect(refusal(follower(), append(THIRD, [entry]))).toBe('badConfiguration');
  });

  test('also when it fits only before another one of the same append, or of the log', () => {
    const two = follower();
    const first = changeAfter(THIRD, [remove(ONE)]);
    const again = changeAfter(first, [remove(THREE)]);
    expect(refusal(two, append(THIRD, [first, again]))).toBe('badConfiguration');
    expect(two.step(append(THIRD, [first]))).toBeNull();
    two.ready();
    expect(refusal(two, append(first, [again]))).toBe('badConfiguration');
  });

  test('unless it fits: into a joint configuration and out of it', () => {
    const two = follower();
    const enter = changeAfter(THIRD, [remove(nodeId(4))]);
    const leave = changeAfter(enter, []);
    const next = changeAfter(leave, [{ kind: 'set', nodeId: nodeId(5), role: 'learner' }]);
    expect(two.step(append(THIRD, [enter, leave, next]))).toBeNull();
    expect(two.status().lastIndex).toBe(6);
    // The same once more, now that they are in the log.
    expect(two.step(append(THIRD, [enter, leave, next, entryAfter(next)]))).toBeNull();
    expect(two.status().lastIndex).toBe(7);
  });
});

describe('a commit index', () => {
  test('beyond what was acknowledged to the leader of a term that we saw begin is refused', () => {
    const two = follower();
    expect(refusal(two, heartbeat({ commit: 4 }))).toBe('commitUnproven');
    expect(refusal(two, heartbeat({ commit: Number.MAX_SAFE_INTEGER }))).toBe('commitUnproven');
    // A new leader has compared nothing yet: it may not commit what only an earlier one knew to be the same.
    expect(refusal(two, heartbeat({ from: THREE, term: 2, commit: 3 }))).toBe('commitUnproven');
    expect(two.step(heartbeat({ commit: 3 }))).toBeNull();
    expect(two.status().commit).toBe(3);
  });

  test('in an append counts as far as its entries, in a commit message as far as what was compared', () => {
    const two = follower();
    two.step(append(THIRD, [], { commit: Number.MAX_SAFE_INTEGER }));
    expect(two.status().commit).toBe(3);
    two.step({ type: 'commit', from: ONE, to: TWO, term: 1, commit: Number.MAX_SAFE_INTEGER });
    expect(two.status().commit).toBe(3);
  });

  test('I7: past the end of the log, in the term that we restarted in, makes the log suspect: entries were lost', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    const machine = cluster.machine(2);
    machine.disk.hardState = { term: 1, vote: null, commit: 0 };
    cluster.crash(machine);
    cluster.start(machine);
    machine.core.step(heartbeat({ commit: 5 }));
    expect(machine.core.status()).toMatchObject({ commit: 0, suspectUntil: { index: 5, term: 1 } });
  });
});

describe('an old answer, once more', () => {
  test('neither lowers nor raises what the leader knows', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    cluster.elect(1);
    cluster.propose(1, 'a');
    cluster.settle();
    const acks = cluster.sent.filter(({ type, to }) => type === 'appendResponse' && to === ONE);
    expect(acks.length).toBeGreaterThan(2);
    const before = cluster.core(1).status();
    for (const ack of acks) cluster.core(1).step(ack);
    expect(cluster.core(1).status()).toEqual(before);
  });

  test('from an earlier term counts for nothing', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    cluster.elect(1);
    cluster.propose(1, 'a');
    cluster.settle();
    const acks = cluster.sent.filter(({ type, to }) => type === 'appendResponse' && to === ONE);
    for (const [leader, next] of [
      [1, TWO],
      [2, ONE],
    ] as const) {
      cluster.core(leader).transferLeadership(next);
      cluster.settle();
    }
    expect(cluster.core(1).status().role).toBe('leader');
    cluster.lose = ({ to }) => to !== ONE;
    cluster.propose(1, 'b');
    cluster.settle();
    const { commit, lastIndex } = cluster.core(1).status();
    expect(commit).toBeLessThan(lastIndex);
    for (const ack of acks) cluster.core(1).step({ ...ack });
    expect(cluster.core(1).status().commit).toBe(commit);
  });

  test('beyond the log of its leader is dropped', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    cluster.elect(1);
    const { term, commit } = cluster.core(1).status();
    for (const from of [TWO, THREE]) {
      cluster.core(1).step({
        type: 'appendResponse',
        from,
        to: ONE,
        term,
        index: 99,
        rejected: false,
        hint: { index: 0, term: 0 },
      });
    }
    expect(cluster.core(1).dropped.get('ackBeyondLog')).toBe(2);
    expect(cluster.core(1).status().commit).toBe(commit);
  });
});
