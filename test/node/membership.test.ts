import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { openContext } from '../../src/node/entryPayload.ts';
import { Membership } from '../../src/node/membership.ts';
import type { Member } from '../../src/proto/storage.ts';
import type { Configuration, MemberChange, Place, RaftStatus } from '../../src/replication/raft/types.ts';
import type { MembershipRefusal, Seal } from '../../src/replication/replicatedLog.ts';
import { keyringFor, sealerFor } from '../envelope/fixtures.ts';
import { refusalOf } from './refusal.ts';

const SEALER = sealerFor(keyringFor('on'));
const id = (number: number) => number.toString(16).padStart(16, '0') as NodeId;

/** A leader's log: what was proposed to it, and who leads where. */
class FakeLog {
  configuration: Configuration = {
    voters: [id(1), id(2), id(3)],
    votersOutgoing: [],
    learners: [id(4)],
    learnersNext: [],
    autoLeave: false,
  };
  role: RaftStatus['role'] = 'leader';
  match = new Map<NodeId, number>([
    [id(2), 90],
    [id(3), 95],
    [id(4), 100],
  ]);
  silent = new Set<NodeId>();
  /** Nothing is known of their logs. */
  probed = new Set<NodeId>();
  refusal: MembershipRefusal | null = null;
  readonly proposed: { changes: readonly MemberChange[]; context: Uint8Array; place: Place }[] = [];
  readonly transferred: NodeId[] = [];

  status(): RaftStatus {
    return {
      nodeId: id(1),
      role: this.role,
      term: 1,
      vote: null,
      leader: id(1),
      commit: 100,
      applied: 100,
      firstIndex: 1,
      lastIndex: 100,
      lastHash: new Uint8Array(32),
      durableTerm: 1,
      suspectUntil: null,
      configuration: this.configuration,
      transferTarget: null,
      uncommittedBytes: 0,
      progress: [...this.match].map(([nodeId, match]) => ({
        nodeId,
        match,
        next: match + 1,
        state: this.probed.has(nodeId) ? 'probe' : 'replicate',
        silentTicks: this.silent.has(nodeId) ? 10 : 9,
        reachable: !this.silent.has(nodeId),
        suspect: false,
      })),
    };
  }

  proposeMembership(changes: readonly MemberChange[], seal: Seal) {
    if (this.refusal !== null) return { refused: this.refusal, reason: 'as the test says' };
    const place = { index: 101, term: 1 };
    this.proposed.push({ changes, context: seal(place), place });
    return { place };
  }

  transferLeadership(target: NodeId): void {
    this.transferred.push(target);
  }
}

let log: FakeLog;
let clock: ManualClock;
let members: Member[];
let membership: Membership;
let deciding: boolean;

function memberOf(number: number, name = `n${number}`, wantedRole = 'voter'): Member {
  return { nodeId: id(number), name, peerAddress: `p${number}:1`, apiAddress: `a${number}:1`, wantedRole };
}

beforeEach(() => {
  deciding = false;
  log = new FakeLog();
  clock = new ManualClock();
  members = [1, 2, 3, 4].map((number) => memberOf(number));
  membership = new Membership({
    log: () => log as unknown as ReturnType<ConstructorParameters<typeof Membership>[0]['log']>,
    sealer: SEALER,
    clock,
    stampMs: () => 77,
    members: () => members,
    isDeciding: () => deciding,
  });
});

/** Lets a change be asked for, then shows the configurations that follow. */
async function settles(change: Promise<void>, ...configurations: Configuration[]): Promise<void> {
  for (const configuration of configurations) {
    await Promise.resolve();
    membership.configurationApplied(configuration);
  }
  await change;
}

describe('a member', () => {
  it('is found by id, or by a name that only one has', async () => {
    members.push(memberOf(5, 'n2'), memberOf(6, id(1)));
    expect(membership.find(id(2)).nodeId).toBe(id(2));
    expect(membership.find('n3').nodeId).toBe(id(3));
    expect(membership.find(id(1)).nodeId).toBe(id(1));
    expect((await refusalOf(() => membership.find('n9'))).code).toBe('MEMBER_UNKNOWN');
    const ambiguous = await refusalOf(() => membership.find('n2'));
    expect(ambiguous).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'member' });
  });
});

describe('a change', () => {
  it('is done when the joint configuration is left, and carries its details sealed', async () => {
    const joint = { ...log.configuration, votersOutgoing: log.configuration.voters, voters: [id(1), id(3)] };
    const left = { ...joint, votersOutgoing: [] };
    let done = false;
    const change = membership.remove('n2', { force: false, deadlineMs: 1_000 }).then(() => {
      done = true;
    });
    await Promise.resolve();
    membership.configurationApplied(joint);
    await new Promise<void>((resolve) => setImmediate(resolve));
    expect(done).toBe(false);
    await settles(change, left);
    expect(log.proposed[0]?.changes).toEqual([{ kind: 'remove', nodeId: id(2) }]);
    const { context, place } = log.proposed[0] ?? { context: Buffer.alloc(0), place: { index: 0, term: 0 } };
    expect(openContext(SEALER, context, place)?.timeMs).toBe(77);
  });

  it.each([
    ['notLeader', 'NOT_LEADER'],
    ['transferring', 'NOT_LEADER'],
    ['pending', 'MEMBERSHIP_CHANGE_PENDING'],
    ['overloaded', 'OVERLOADED'],
    ['invalid', 'INVALID_ARGUMENT'],
    ['stopped', 'UNAVAILABLE'],
  ] as const)('that the log refuses as %s is %s', async (refusal, code) => {
    log.refusal = refusal;
    expect((await refusalOf(() => membership.demote('n2', 1_000))).code).toBe(code);
  });

  it('that takes too long is OUTCOME_UNKNOWN, and not before its deadline', async () => {
    let code = '';
    const change = membership.demote('n2', 1_000).catch((thrown: unknown) => {
      code = thrown instanceof HoldfastError ? thrown.code : 'odd';
    });
    await Promise.resolve();
    clock.advance(1_000);
    membership.sweep();
    await Promise.resolve();
    expect(code).toBe('');
    clock.advance(1);
    membership.sweep();
    await change;
    expect(code).toBe('OUTCOME_UNKNOWN');
  });

  it('is not waited for when the node stops', async () => {
    const change = refusalOf(() => membership.demote('n2', 1_000));
    await Promise.resolve();
    membership.stop();
    expect((await change).code).toBe('OUTCOME_UNKNOWN');
  });
});

describe('the quorum', () => {
  it('is not risked: what is left must have a live majority', async () => {
    log.silent.add(id(3));
    const refusal = await refusalOf(() => membership.remove('n2', { force: false, deadlineMs: 1_000 }));
    expect(refusal.code).toBe('QUORUM_AT_RISK');
    expect(refusal.message).toContain('1 of the 2');
    expect((await refusalOf(() => membership.demote('n2', 1_000))).code).toBe('QUORUM_AT_RISK');
    expect(log.proposed).toEqual([]);
  });

  it('lets the dead one go', async () => {
    log.silent.add(id(3));
    const after = { ...log.configuration, voters: [id(1), id(2)] };
    await settles(membership.remove('n3', { force: false, deadlineMs: 1_000 }), after);
  });

  it('yields to force', async () => {
    log.silent.add(id(3));
    const after = { ...log.configuration, voters: [id(1), id(3)] };
    await settles(membership.remove('n2', { force: true, deadlineMs: 1_000 }), after);
  });

  it('keeps its last voter', async () => {
    log.configuration = { ...log.configuration, voters: [id(1)] };
    const refusal = await refusalOf(() => membership.remove('n1', { force: false, deadlineMs: 1_000 }));
    expect(refusal).toMatchObject({ code: 'QUORUM_AT_RISK' });
  });
});

describe('the leader', () => {
  it.each(['remove', 'demote'] as const)('hands over before it is taken out: %s', async (what) => {
    const asked = () =>
      what === 'demote'
        ? membership.demote('n1', 1_000)
        : membership.remove('n1', { force: false, deadlineMs: 1_000 });
    expect((await refusalOf(asked)).code).toBe('NOT_LEADER');
    // The voter that is furthest on; a learner is further, and cannot lead.
    expect(log.transferred).toEqual([id(3)]);
    expect(log.proposed).toEqual([]);
  });

  it('does not hand over to one that is silent', async () => {
    log.silent.add(id(3));
    await refusalOf(() => membership.remove('n1', { force: true, deadlineMs: 1_000 }));
    expect(log.transferred).toEqual([id(2)]);
  });
});

describe('a learner', () => {
  it('is added once', async () => {
    await membership.addLearner(memberOf(2), 1_000);
    expect(log.proposed).toEqual([]);
    const after = { ...log.configuration, learners: [id(4), id(5)] };
    await settles(membership.addLearner(memberOf(5), 1_000), after);
    expect(log.proposed[0]?.changes).toEqual([{ kind: 'set', nodeId: id(5), role: 'learner' }]);
  });

  it('takes nobody in while other keys are about to come into force', async () => {
    deciding = true;
    await expect(membership.addLearner(memberOf(5), 1_000)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(log.proposed).toEqual([]);
  });

  it('is one too many at some point', async () => {
    members = Array.from({ length: LIMITS.membersMax }, (_, number) => memberOf(number + 1));
    const full = { code: 'INVALID_ARGUMENT', field: 'members' };
    expect(await refusalOf(() => membership.addLearner(memberOf(99), 1_000))).toMatchObject(full);
    expect(() => membership.checkRoom(id(99))).toThrow(expect.objectContaining(full));
    membership.checkRoom(id(LIMITS.membersMax));
    members.pop();
    membership.checkRoom(id(99));
  });

  it('becomes a voter by itself once it has caught up, if it shall', () => {
    membership.promoteCaughtUp();
    expect(log.proposed.map(({ changes }) => changes)).toEqual([
      [{ kind: 'set', nodeId: id(4), role: 'voter' }],
    ]);
  });

  it.each<[string, () => void]>([
    ['it shall stay one', () => members.splice(3, 1, memberOf(4, 'n4', 'learner'))],
    ['it is behind', () => log.match.set(id(4), -LIMITS.learnerCatchUpEntriesMax)],
    ['it is silent', () => log.silent.add(id(4))],
    ['nothing was heard of it yet', () => log.probed.add(id(4))],
    [
      'another change is under way',
      () => {
        log.configuration = { ...log.configuration, votersOutgoing: [id(1)] };
      },
    ],
    [
      'this node does not lead',
      () => {
        log.role = 'follower';
      },
    ],
  ])('does not when %s', (_what, given) => {
    given();
    membership.promoteCaughtUp();
    expect(log.proposed).toEqual([]);
  });

  it('is not promoted by hand before it has caught up', async () => {
    log.match.set(id(4), -LIMITS.learnerCatchUpEntriesMax);
    expect((await refusalOf(() => membership.promote('n4', 1_000))).code).toBe('MEMBERSHIP_CHANGE_PENDING');
    await membership.promote('n2', 1_000);
    log.match.set(id(4), 100);
    const after = { ...log.configuration, voters: [...log.configuration.voters, id(4)], learners: [] };
    await settles(membership.promote('n4', 1_000), after);
  });
});
