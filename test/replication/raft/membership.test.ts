import { describe, expect, test } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { Raft } from '../../../src/replication/raft/raft.ts';
import type { MemberChange, Message } from '../../../src/replication/raft/types.ts';
import { Cluster, configurationOf, nodeId } from './cluster.ts';

const voter = (number: number): MemberChange => ({ kind: 'set', nodeId: nodeId(number), role: 'voter' });
const learner = (number: number): MemberChange => ({ kind: 'set', nodeId: nodeId(number), role: 'learner' });
const remove = (number: number): MemberChange => ({ kind: 'remove', nodeId: nodeId(number) });

function change(cluster: Cluster, number: number, ...changes: MemberChange[]) {
  const answer = cluster.core(number).proposeConfiguration(changes, () => Buffer.from('context'));
  cluster.settle();
  return answer;
}

describe('membership', () => {
  test('one node grows to three: learners first, then voters, each joint and left by itself', () => {
    const cluster = new Cluster({ voters: [1] });
    cluster.elect(1);
    cluster.propose(1, 'before');
    cluster.join(2);
    cluster.join(3);
    change(cluster, 1, learner(2), learner(3));
    cluster.tickAll(4);
    expect(cluster.core(1).configuration).toEqual(configurationOf([1], [2, 3]));
    expect(cluster.machine(2).core.status()).toMatchObject({ configuration: configurationOf([1], [2, 3]) });
    change(cluster, 1, voter(2), voter(3));
    cluster.tickAll(2);
    for (const number of [1, 2, 3]) {
      expect(cluster.core(number).configuration).toEqual(configurationOf([1, 2, 3]));
      expect(cluster.machine(number).digest).toBe(cluster.machine(1).digest);
    }
    cluster.crash(cluster.machine(1));
    cluster.tickAll(60);
    expect(cluster.leaders).toHaveLength(1);
  });

  test('while joint both majorities are needed', () => {
    const cluster = new Cluster({ voters: [1, 2, 3], learners: [4, 5] });
    cluster.elect(1);
    const one = cluster.machine(1);
    cluster.lose = ({ from, to }) => [from, to].some((id) => id === nodeId(4) || id === nodeId(5));
    change(cluster, 1, voter(4), voter(5), remove(2), remove(3));
    expect(one.core.configuration.votersOutgoing).toHaveLength(3);
    const { commit } = one.core.status();
    cluster.propose(1, 'x');
    cluster.tickAll(3);
    expect(one.core.status().commit).toBe(commit);
    cluster.heal();
    cluster.tickAll(3);
    expect(one.core.configuration).toEqual(configurationOf([1, 4, 5]));
    expect(one.core.status().commit).toBe(one.core.status().lastIndex);
  });

  test('one change at a time, none before the own term is committed, none that makes no sense', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    expect(change(cluster, 1, remove(3))).toMatchObject({ refused: 'notLeader' });
    cluster.lose = ({ type }) => type === 'append';
    cluster.core(1).campaign();
    cluster.settle();
    expect(change(cluster, 1, remove(3))).toMatchObject({ refused: 'pending' });
    cluster.heal();
    cluster.tickAll(3);
    expect(change(cluster, 1, remove(9))).toMatchObject({ refused: 'invalid' });
    cluster.machine(1).applyHeld = true;
    expect(change(cluster, 1, remove(3))).toHaveProperty('index');
    expect(change(cluster, 1, remove(2))).toMatchObject({ refused: 'pending' });
    cluster.core(1).transferLeadership(nodeId(2));
    expect(change(cluster, 1, remove(2))).toMatchObject({ refused: 'transferring' });
  });

  test('I40: a leader that is removed sees it through, steps down, and the others go on', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    cluster.elect(1);
    change(cluster, 1, remove(1));
    expect(cluster.core(1).status()).toMatchObject({
      role: 'follower',
      configuration: configurationOf([2, 3]),
    });
    for (let tick = 0; tick < 60; tick += 1) cluster.tick(1, 2, 3);
    const [leader, none] = cluster.leaders;
    expect([leader?.core.configuration, none]).toEqual([configurationOf([2, 3]), undefined]);
    expect(cluster.core(1).dropped.get('notPromotable')).toBeGreaterThan(0);
  });

  describe('a node that was taken out, with more in its log than it knows to be committed,', () => {
    /** Node 1: entry 2 (term 1) took it out, entry 3 (term 3) followed; it knows of 2 that it is committed, from term 3. */
    function retired(): Raft {
      const hashes = [1, 2, 3].map((at) => Buffer.alloc(32, at));
      const place = (index: number, term: number) => ({
        index,
        term,
        type: 'normal' as const,
        payload: Buffer.alloc(0),
        hash: present(hashes[index - 1], 'hash'),
      });
      return new Raft({
        nodeId: nodeId(1),
        electionTicksMin: 10,
        electionTicksMax: 20,
        heartbeatTicks: 1,
        random: new SeededRandom(1),
        appendBytesMax: 1024,
        inFlightMessagesMax: 8,
        inFlightBytesMax: 8192,
        uncommittedBytesMax: 65_536,
        pendingReadRoundsMax: 16,
        initial: {
          hardState: { term: 3, vote: nodeId(2), commit: 2 },
          snapshot: { index: 0, term: 0, hash: Buffer.alloc(32), configuration: configurationOf([1, 2, 3]) },
          entries: [place(1, 1), place(2, 1), place(3, 3)],
          applied: 2,
          configuration: configurationOf([2, 3, 4]),
        },
      });
    }

    const votes = (last: { index: number; term: number }): boolean => {
      const core = retired();
      core.step({ type: 'vote', from: nodeId(3), to: nodeId(1), term: 4, last, transfer: false });
      return core.status().vote === nodeId(3);
    };

    test('helps whoever holds what is committed, though its own log is longer', () => {
      expect(votes({ index: 2, term: 3 })).toBe(true);
      expect(votes({ index: 3, term: 3 })).toBe(true);
    });

    test('does not help a leader of a term in between, which may never have had that', () => {
      expect(votes({ index: 9, term: 2 })).toBe(false);
      expect(votes({ index: 1, term: 3 })).toBe(false);
    });
  });

  test('a demoted leader steps down and stays as a learner', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    cluster.elect(1);
    change(cluster, 1, learner(1));
    expect(cluster.core(1).status().role).toBe('follower');
    cluster.tickAll(60);
    const [leader] = cluster.leaders;
    leader?.core.propose(() => Buffer.from('later'));
    cluster.settle();
    expect(leader?.core.configuration).toEqual(configurationOf([2, 3], [1]));
    expect(cluster.machine(1).appliedPayloads).toEqual(['later']);
  });

  test('a leader that removed itself does not refuse the last vote that the others need', () => {
    const cluster = new Cluster({ voters: [1, 2], raft: { appendBytesMax: 1 } });
    cluster.elect(1);
    // Node 2 gets the entry that leaves the joint configuration, but neither later entries nor news of its commit.
    let leaving = false;
    cluster.lose = (message) => {
      const lost = leaving && message.from === nodeId(1) && ['append', 'heartbeat'].includes(message.type);
      if (message.type === 'append') {
        const [first] = message.entries;
        leaving ||= first?.type === 'configuration' && first.payload.length === 7;
      }
      return lost;
    };
    cluster.machine(1).applyHeld = true;
    change(cluster, 1, remove(1));
    cluster.applyAll(cluster.machine(1));
    cluster.propose(1, 'nobody else has this');
    cluster.machine(1).applyHeld = false;
    cluster.settle();
    expect(cluster.core(1).status()).toMatchObject({ role: 'follower', configuration: configurationOf([2]) });
    expect(cluster.core(1).status().lastIndex).toBeGreaterThan(cluster.core(2).status().lastIndex);
    cluster.heal();
    cluster.tickAll(60);
    expect(cluster.core(2).status()).toMatchObject({ role: 'leader', configuration: configurationOf([2]) });
  });

  test('I15: a learner and a stranger answer votes; the candidate may know a newer configuration', () => {
    const cluster = new Cluster({ voters: [1, 2, 3], learners: [4], blank: [5] });
    for (const number of [4, 5]) {
      cluster.core(number).step({
        type: 'vote',
        from: nodeId(9),
        to: nodeId(number),
        term: 3,
        last: { index: 0, term: 0 },
        transfer: false,
      });
    }
    cluster.settle();
    expect(cluster.sent.map((message) => [message.type, 'rejected' in message && message.rejected])).toEqual([
      ['voteResponse', false],
      ['voteResponse', false],
    ]);
  });

  test('I15: other messages of strangers change nothing, but a leader of a newer configuration is followed', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    const route = { from: nodeId(9), to: nodeId(2), term: 50 };
    const messages: Message[] = [
      { ...route, type: 'voteResponse', rejected: true },
      { ...route, type: 'heartbeatResponse', round: 0 },
      { ...route, type: 'timeoutNow' },
      { ...route, type: 'readIndex', requestId: 1 },
    ];
    for (const message of messages) cluster.core(2).step(message);
    expect(cluster.core(2).status().term).toBe(0);
    expect(cluster.core(2).dropped.get('unknownSender')).toBe(messages.length);
    cluster.core(2).step({ ...route, type: 'heartbeat', commit: 0, round: 0 });
    expect(cluster.core(2).status()).toMatchObject({ term: 50, leader: nodeId(9) });
  });

  test('I16, I19: learners do not campaign, nor does a node with an unapplied configuration', () => {
    const cluster = new Cluster({ voters: [1, 2, 3], learners: [4] });
    cluster.core(4).campaign();
    expect(cluster.core(4).status().role).toBe('follower');
    cluster.elect(1);
    cluster.machine(2).applyHeld = true;
    change(cluster, 1, voter(4));
    cluster.tickAll(2);
    cluster.core(2).campaign();
    expect(cluster.core(2).status().role).toBe('follower');
    cluster.machine(2).applyHeld = false;
    cluster.settle();
    cluster.core(2).campaign();
    expect(cluster.core(2).status().role).toBe('preCandidate');
  });

  test('a joint configuration is left by the next leader when the first one dies', () => {
    const cluster = new Cluster({ voters: [1, 2, 3], learners: [4] });
    cluster.elect(1);
    cluster.machine(1).applyHeld = true;
    change(cluster, 1, voter(4));
    cluster.tickAll(2);
    expect(cluster.core(2).configuration.autoLeave).toBe(true);
    cluster.crash(cluster.machine(1));
    cluster.tickAll(80);
    const [leader] = cluster.leaders;
    expect(leader?.core.configuration).toEqual(configurationOf([1, 2, 3, 4]));
  });

  test('a configuration is handed out only when the disk knows that it is committed', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    cluster.elect(1);
    const two = cluster.machine(2);
    cluster.lose = (message) => message.type === 'heartbeat' || isCommitNews(message);
    change(cluster, 1, remove(3));
    two.diskHeld = true;
    cluster.heal();
    cluster.tick(1);
    expect(two.core.status()).toMatchObject({ commit: 2, applied: 1 });
    expect(two.core.stableIndex).toBe(2);
    two.diskHeld = false;
    cluster.settle();
    expect(two.core.configuration).toEqual(configurationOf([1, 2]));
    expect(two.disk.hardState.commit).toBe(two.core.status().commit);
  });

  test('while joint the outgoing majority is needed too', () => {
    const cluster = new Cluster({ voters: [1, 2, 3], learners: [4, 5] });
    cluster.elect(1);
    const one = cluster.machine(1);
    one.applyHeld = true;
    change(cluster, 1, voter(4), voter(5), remove(2), remove(3));
    cluster.lose = ({ from, to }) => [from, to].some((id) => id === nodeId(2) || id === nodeId(3));
    one.applyHeld = false;
    cluster.settle();
    const { commit } = one.core.status();
    cluster.propose(1, 'x');
    cluster.tickAll(2);
    expect(one.core.configuration.votersOutgoing).toHaveLength(3);
    expect(one.core.status().commit).toBe(commit);
    cluster.heal();
    cluster.tickAll(3);
    expect(one.core.configuration).toEqual(configurationOf([1, 4, 5]));
  });
});

/** What tells node 2 how far is committed. */
function isCommitNews(message: Message): boolean {
  const tells = message.type === 'append' || message.type === 'commit';
  return tells && message.to === nodeId(2) && message.commit > 1;
}
